//! Reads a moment by a layout.

use jiff::civil::Date;
use jiff::tz::Offset;

use super::layout::{Piece, next_piece};
use super::{DAYS, MONTHS, Time, Zone};

/// Reads a moment by a layout.
pub(in super::super) fn parse(layout: &str, text: &str) -> Option<Time> {
    let mut reader = Reader { rest: text };
    let (mut year, mut month, mut day, mut year_day) = (0_i64, None, None, None);
    let (mut hour, mut minute, mut second, mut nanosecond) = (0_i64, 0_i64, 0_i64, 0_i64);
    let (mut is_pm, mut is_am) = (false, false);
    let (mut offset, mut is_utc, mut zone_name) = (None, false, String::new());
    let mut layout = layout.as_bytes();
    loop {
        let (prefix, piece, after) = next_piece(layout);
        reader.skip(std::str::from_utf8(prefix).ok()?)?;
        let Some(piece) = piece else {
            if !reader.rest.is_empty() {
                return None;
            }
            break;
        };
        layout = after;
        match piece {
            Piece::LongYear => year = reader.digits(4, 4)?,
            Piece::Year => {
                year = reader.digits(2, 2)?;
                year += if year >= 69 { 1900 } else { 2000 };
            }
            Piece::LongMonth => month = Some(reader.name(&MONTHS, None)? + 1),
            Piece::Month => month = Some(reader.name(&MONTHS, Some(3))? + 1),
            Piece::NumMonth => month = Some(reader.digits(1, 2)?),
            Piece::ZeroMonth => month = Some(reader.digits(2, 2)?),
            Piece::LongWeekday => {
                reader.name(&DAYS, None)?;
            }
            Piece::Weekday => {
                reader.name(&DAYS, Some(3))?;
            }
            Piece::Day | Piece::UnderDay => {
                if piece == Piece::UnderDay {
                    reader.rest = reader.rest.strip_prefix(' ').unwrap_or(reader.rest);
                }
                day = Some(reader.digits(1, 2)?);
            }
            Piece::ZeroDay => day = Some(reader.digits(2, 2)?),
            Piece::UnderYearDay | Piece::ZeroYearDay => {
                let spaces = if piece == Piece::UnderYearDay { 2 } else { 0 };
                let mut width = 3;
                for _ in 0..spaces {
                    if let Some(rest) = reader.rest.strip_prefix(' ') {
                        (reader.rest, width) = (rest, width - 1);
                    }
                }
                year_day = Some(reader.digits(width, width)?);
            }
            Piece::Hour => hour = reader.bounded(1, 2, 23)?,
            Piece::Hour12 => hour = reader.bounded(1, 2, 12)?,
            Piece::ZeroHour12 => hour = reader.bounded(2, 2, 12)?,
            Piece::Minute => minute = reader.bounded(1, 2, 59)?,
            Piece::ZeroMinute => minute = reader.bounded(2, 2, 59)?,
            Piece::Second | Piece::ZeroSecond => {
                second = reader.bounded(if piece == Piece::Second { 1 } else { 2 }, 2, 59)?;
                // A fraction may follow though the layout has none.
                let has_fraction = matches!(next_piece(layout), ([], Some(Piece::Fraction { .. }), _));
                let mut following = reader.rest.chars();
                let point = matches!(following.next(), Some('.' | ','));
                if !has_fraction && point && following.next().is_some_and(|c| c.is_ascii_digit()) {
                    nanosecond = reader.fraction(None)?;
                }
            }
            Piece::UpperPm | Piece::LowerPm => {
                let (am, pm) = if piece == Piece::UpperPm { ("AM", "PM") } else { ("am", "pm") };
                if let Some(rest) = reader.rest.strip_prefix(pm) {
                    (reader.rest, is_pm) = (rest, true);
                } else {
                    (reader.rest, is_am) = (reader.rest.strip_prefix(am)?, true);
                }
            }
            Piece::Zone { z: true, .. } if reader.rest.starts_with('Z') => {
                reader.rest = &reader.rest[1..];
                is_utc = true;
            }
            Piece::Zone { colon, seconds, short, .. } => offset = Some(reader.offset(colon, seconds, short)?),
            Piece::ZoneName => {
                if let Some(rest) = reader.rest.strip_prefix("UTC") {
                    (reader.rest, is_utc) = (rest, true);
                } else {
                    zone_name = reader.zone_name()?;
                }
            }
            Piece::Fraction { digits, trims: false, .. } => nanosecond = reader.fraction(Some(digits))?,
            Piece::Fraction { trims: true, .. } => {
                let mut following = reader.rest.chars();
                let point = matches!(following.next(), Some('.' | ','));
                if point && following.next().is_some_and(|c| c.is_ascii_digit()) {
                    nanosecond = reader.fraction(None)?;
                }
            }
        }
    }
    if is_pm && hour < 12 {
        hour += 12;
    } else if is_am && hour == 12 {
        hour = 0;
    }
    let date = match year_day {
        Some(year_day) => {
            let first = Date::new(i16::try_from(year).ok()?, 1, 1).ok()?;
            let date = first.checked_add(jiff::Span::new().days(year_day - 1)).ok()?;
            let agrees = month.is_none_or(|month| i64::from(date.month()) == month)
                && day.is_none_or(|day| i64::from(date.day()) == day);
            (year_day >= 1 && date.year() == first.year() && agrees).then_some(date)?
        }
        None => {
            let number = |value: Option<i64>| i8::try_from(value.unwrap_or(1)).ok();
            Date::new(i16::try_from(year).ok()?, number(month)?, number(day)?).ok()?
        }
    };
    let small = |value: i64| i8::try_from(value).ok();
    let civil = date.at(small(hour)?, small(minute)?, small(second)?, i32::try_from(nanosecond).ok()?);
    let at = Offset::UTC.to_timestamp(civil).ok()?;
    if is_utc {
        return Some(Time::utc(at));
    }
    if let Some(offset) = offset {
        let at = at.checked_sub(jiff::SignedDuration::from_secs(i64::from(offset))).ok()?;
        let is_local = offset == 0 && (zone_name.is_empty() || zone_name == "UTC");
        let zone = if is_local { Zone::Utc } else { Zone::Fixed { offset, name: zone_name } };
        return Some(Time { at, zone });
    }
    if !zone_name.is_empty() {
        let hours: i32 = zone_name.strip_prefix("GMT").and_then(|hours| hours.parse().ok()).unwrap_or(0);
        let at = at.checked_sub(jiff::SignedDuration::from_hours(i64::from(hours))).ok()?;
        return Some(Time { at, zone: Zone::Fixed { offset: hours * 3600, name: zone_name } });
    }
    Some(Time::utc(at))
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    /// The text of the layout; a space stands for any number of them.
    fn skip(&mut self, prefix: &str) -> Option<()> {
        let mut prefix = prefix;
        while let Some(character) = prefix.chars().next() {
            if character == ' ' {
                if !self.rest.is_empty() && !self.rest.starts_with(' ') {
                    return None;
                }
                prefix = prefix.trim_start_matches(' ');
                self.rest = self.rest.trim_start_matches(' ');
                continue;
            }
            self.rest = self.rest.strip_prefix(character)?;
            prefix = &prefix[character.len_utf8()..];
        }
        Some(())
    }

    fn digits(&mut self, least: usize, most: usize) -> Option<i64> {
        let count = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if count < least {
            return None;
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        digits.parse().ok()
    }

    fn bounded(&mut self, least: usize, most: usize, greatest: i64) -> Option<i64> {
        self.digits(least, most).filter(|number| *number <= greatest)
    }

    /// One of the names, or of their beginnings, in any case.
    fn name(&mut self, names: &[&str], letters: Option<usize>) -> Option<i64> {
        for (index, name) in names.iter().enumerate() {
            let name = &name[..letters.unwrap_or(name.len())];
            if self.rest.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name)) {
                self.rest = &self.rest[name.len()..];
                return i64::try_from(index).ok();
            }
        }
        None
    }

    /// A point and digits, as nanoseconds.
    fn fraction(&mut self, exactly: Option<usize>) -> Option<i64> {
        let rest = self.rest.strip_prefix(['.', ','])?;
        let count = match exactly {
            Some(count) => count,
            None => rest.bytes().take_while(u8::is_ascii_digit).count(),
        };
        let digits = rest.get(..count).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        self.rest = &rest[count..];
        if exactly.is_some() && count > 9 {
            return None;
        }
        format!("{digits:0<9}").get(..9)?.parse().ok()
    }

    fn offset(&mut self, colon: bool, seconds: bool, short: bool) -> Option<i32> {
        let sign = match self.rest.bytes().next()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        self.rest = &self.rest[1..];
        let hours = self.bounded(2, 2, 24)?;
        let part = |reader: &mut Self, wanted: bool| {
            if !wanted {
                return Some(0);
            }
            if colon {
                reader.rest = reader.rest.strip_prefix(':')?;
            }
            reader.bounded(2, 2, 60)
        };
        let minutes = part(self, !short)?;
        let seconds = part(self, seconds)?;
        i32::try_from(sign * (hours * 3600 + minutes * 60 + seconds)).ok()
    }

    /// Three or four capitals, `GMT` with hours, or a sign with two digits.
    fn zone_name(&mut self) -> Option<String> {
        let bytes = self.rest.as_bytes();
        let length = if self.rest.starts_with("GMT") {
            let signed = matches!(bytes.get(3), Some(b'+' | b'-'));
            let digits = bytes.iter().skip(4).take(2).take_while(|byte| byte.is_ascii_digit()).count();
            if signed && digits > 0 { 4 + digits } else { 3 }
        } else if self.rest.starts_with("ChST") || self.rest.starts_with("MeST") {
            4
        } else if matches!(bytes.first(), Some(b'+' | b'-')) {
            let digits = bytes.iter().skip(1).take(2).take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 2 { 3 } else { return None }
        } else {
            match bytes.iter().take(6).take_while(|byte| byte.is_ascii_uppercase()).count() {
                5 if bytes[4] == b'T' => 5,
                4 if bytes[3] == b'T' || self.rest.starts_with("WITA") => 4,
                3 => 3,
                _ => return None,
            }
        };
        let (name, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(name.to_owned())
    }
}
