//! Dates and durations. The local time zone is UTC, as in the peers' containers.

use std::fmt;
use std::sync::LazyLock;

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};

use super::super::error::Fault;
use super::super::run::Run;
use super::super::signature::{Int64, Nanoseconds};
use super::super::value::{Text, Value};
use super::{Function, both};

/// Time zones come with the program: what a template gives does not depend on the machine.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// A moment, and where it is shown.
#[derive(Clone, Debug)]
pub(in super::super) struct Time {
    at: Timestamp,
    zone: Zone,
}

impl PartialEq for Time {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

#[derive(Clone, Debug)]
enum Zone {
    Utc,
    Named(TimeZone),
    Fixed { offset: i32, name: String },
}

/// A moment taken apart.
struct Shown {
    civil: DateTime,
    /// Seconds east of Greenwich.
    offset: i32,
    zone_name: String,
}

impl Time {
    pub(super) fn utc(at: Timestamp) -> Self {
        Self { at, zone: Zone::Utc }
    }

    /// Go's zero time: the first of January of the year 1.
    fn zero() -> Self {
        Self::utc(Timestamp::from_second(-62_135_596_800).unwrap_or(Timestamp::UNIX_EPOCH))
    }

    fn unix(seconds: i64) -> Result<Self, Fault> {
        Timestamp::from_second(seconds).map(Self::utc).map_err(|_| "the time is out of range".into())
    }

    fn in_zone(self, name: &str) -> Self {
        let zone = match name {
            "" | "UTC" | "Local" => Zone::Utc,
            // Names are told apart by case, as by the files of the original.
            name => ZONES.get(name).ok().filter(|zone| zone.iana_name() == Some(name)).map_or(Zone::Utc, Zone::Named),
        };
        Self { zone, ..self }
    }

    fn shown(&self) -> Shown {
        let fixed = |offset: i32, name: &str| {
            let zoned = Offset::from_seconds(offset)
                .map_or_else(|_| Offset::UTC.to_datetime(self.at), |o| o.to_datetime(self.at));
            Shown { civil: zoned, offset, zone_name: name.to_owned() }
        };
        match &self.zone {
            Zone::Utc => fixed(0, "UTC"),
            Zone::Fixed { offset, name } => fixed(*offset, name),
            Zone::Named(zone) => {
                let info = zone.to_offset_info(self.at);
                Shown {
                    civil: info.offset().to_datetime(self.at),
                    offset: info.offset().seconds(),
                    zone_name: info.abbreviation().to_owned(),
                }
            }
        }
    }

    fn plus(&self, nanoseconds: i64) -> Result<Self, Fault> {
        let at = self.at.checked_add(jiff::SignedDuration::from_nanos(nanoseconds));
        at.map(|at| Self { at, zone: self.zone.clone() }).map_err(|_| "the time is out of range".into())
    }

    /// Nanoseconds since another moment, at most what a duration holds.
    fn since(&self, other: &Self) -> i64 {
        let difference = self.at.as_nanosecond() - other.at.as_nanosecond();
        i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
    }

    /// As it stands in JSON.
    pub(super) fn rfc3339(&self) -> String {
        format(self, "2006-01-02T15:04:05.999999999Z07:00")
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format(self, "2006-01-02 15:04:05.999999999 -0700 MST"))
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A month by its number from 1, as Go names it.
pub(in super::super) fn month_name(month: i8) -> String {
    let index = usize::try_from(month).ok().and_then(|month| month.checked_sub(1));
    index.and_then(|index| MONTHS.get(index)).map_or_else(|| format!("%!Month({month})"), |name| (*name).to_owned())
}

/// A day of the week by its number from Sunday.
pub(in super::super) fn weekday_name(day: i8) -> String {
    let name = usize::try_from(day).ok().and_then(|day| DAYS.get(day));
    name.map_or_else(|| format!("%!Weekday({day})"), |name| (*name).to_owned())
}

/// One piece of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    LongMonth,
    Month,
    NumMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperPm,
    LowerPm,
    ZoneName,
    /// A numeric zone: with `Z` for UTC, with colons, with seconds, or hours only.
    Zone {
        z: bool,
        colon: bool,
        seconds: bool,
        short: bool,
    },
    /// A fraction of so many digits, with trailing zeros or without.
    Fraction {
        digits: usize,
        trims: bool,
        comma: bool,
    },
}

/// The text in front of the next piece, the piece, and what is left.
fn next_piece(layout: &str) -> (&str, Option<Piece>, &str) {
    use Piece as P;
    let bytes = layout.as_bytes();
    for at in 0..bytes.len() {
        let rest = &bytes[at..];
        let lower_at = |index: usize| rest.get(index).is_some_and(u8::is_ascii_lowercase);
        let zone = |z, colon, seconds, short| P::Zone { z, colon, seconds, short };
        let found = match rest[0] {
            b'J' if rest.starts_with(b"January") => Some((P::LongMonth, 7)),
            b'J' if rest.starts_with(b"Jan") && !lower_at(3) => Some((P::Month, 3)),
            b'M' if rest.starts_with(b"Monday") => Some((P::LongWeekday, 6)),
            b'M' if rest.starts_with(b"Mon") && !lower_at(3) => Some((P::Weekday, 3)),
            b'M' if rest.starts_with(b"MST") => Some((P::ZoneName, 3)),
            b'0' => match rest.get(1) {
                Some(b'1') => Some((P::ZeroMonth, 2)),
                Some(b'2') => Some((P::ZeroDay, 2)),
                Some(b'3') => Some((P::ZeroHour12, 2)),
                Some(b'4') => Some((P::ZeroMinute, 2)),
                Some(b'5') => Some((P::ZeroSecond, 2)),
                Some(b'6') => Some((P::Year, 2)),
                Some(b'0') if rest.get(2) == Some(&b'2') => Some((P::ZeroYearDay, 3)),
                _ => None,
            },
            b'1' if rest.get(1) == Some(&b'5') => Some((P::Hour, 2)),
            b'1' => Some((P::NumMonth, 1)),
            b'2' if rest.starts_with(b"2006") => Some((P::LongYear, 4)),
            b'2' => Some((P::Day, 1)),
            b'_' if rest.starts_with(b"_2006") => {
                return (&layout[..=at], Some(P::LongYear), &layout[at + 5..]);
            }
            b'_' if rest.get(1) == Some(&b'2') => Some((P::UnderDay, 2)),
            b'_' if rest.starts_with(b"__2") => Some((P::UnderYearDay, 3)),
            b'3' => Some((P::Hour12, 1)),
            b'4' => Some((P::Minute, 1)),
            b'5' => Some((P::Second, 1)),
            b'P' if rest.get(1) == Some(&b'M') => Some((P::UpperPm, 2)),
            b'p' if rest.get(1) == Some(&b'm') => Some((P::LowerPm, 2)),
            sign @ (b'-' | b'Z') => {
                let z = sign == b'Z';
                match &rest[1..] {
                    more if more.starts_with(b"070000") => Some((zone(z, false, true, false), 7)),
                    more if more.starts_with(b"07:00:00") => Some((zone(z, true, true, false), 9)),
                    more if more.starts_with(b"0700") => Some((zone(z, false, false, false), 5)),
                    more if more.starts_with(b"07:00") => Some((zone(z, true, false, false), 6)),
                    more if more.starts_with(b"07") => Some((zone(z, false, false, true), 3)),
                    _ => None,
                }
            }
            point @ (b'.' | b',') if matches!(rest.get(1), Some(b'0' | b'9')) => {
                let digit = rest[1];
                let digits = rest[1..].iter().take_while(|byte| **byte == digit).count();
                let ends = !rest.get(1 + digits).is_some_and(u8::is_ascii_digit);
                let fraction = P::Fraction { digits, trims: digit == b'9', comma: point == b',' };
                ends.then_some((fraction, 1 + digits))
            }
            _ => None,
        };
        if let Some((piece, length)) = found {
            return (&layout[..at], Some(piece), &layout[at + length..]);
        }
    }
    (layout, None, "")
}

/// A moment by a layout, such as `2006-01-02`.
fn format(time: &Time, layout: &str) -> String {
    let shown = time.shown();
    let (date, clock) = (shown.civil.date(), shown.civil.time());
    let hour12 = if clock.hour() % 12 == 0 { 12 } else { clock.hour() % 12 };
    let mut out = String::new();
    let mut rest = layout;
    loop {
        let (text, piece, after) = next_piece(rest);
        out += text;
        let Some(piece) = piece else { return out };
        rest = after;
        match piece {
            Piece::LongMonth => out += &month_name(date.month()),
            Piece::Month => out += &month_name(date.month())[..3],
            Piece::NumMonth => out += &date.month().to_string(),
            Piece::ZeroMonth => out += &format!("{:02}", date.month()),
            Piece::LongWeekday => out += &weekday_name(weekday_of(date)),
            Piece::Weekday => out += &weekday_name(weekday_of(date))[..3],
            Piece::Day => out += &date.day().to_string(),
            Piece::UnderDay => out += &format!("{:2}", date.day()),
            Piece::ZeroDay => out += &format!("{:02}", date.day()),
            Piece::UnderYearDay => out += &format!("{:3}", date.day_of_year()),
            Piece::ZeroYearDay => out += &format!("{:03}", date.day_of_year()),
            Piece::Hour => out += &format!("{:02}", clock.hour()),
            Piece::Hour12 => out += &hour12.to_string(),
            Piece::ZeroHour12 => out += &format!("{hour12:02}"),
            Piece::Minute => out += &clock.minute().to_string(),
            Piece::ZeroMinute => out += &format!("{:02}", clock.minute()),
            Piece::Second => out += &clock.second().to_string(),
            Piece::ZeroSecond => out += &format!("{:02}", clock.second()),
            Piece::LongYear if date.year() < 0 => out += &format!("-{:04}", -date.year()),
            Piece::LongYear => out += &format!("{:04}", date.year()),
            Piece::Year => out += &format!("{:02}", date.year().rem_euclid(100)),
            Piece::UpperPm => out += if clock.hour() >= 12 { "PM" } else { "AM" },
            Piece::LowerPm => out += if clock.hour() >= 12 { "pm" } else { "am" },
            Piece::ZoneName if shown.zone_name.is_empty() => out += &offset_text(shown.offset, false, false, false),
            Piece::ZoneName => out += &shown.zone_name,
            Piece::Zone { z: true, .. } if shown.offset == 0 => out.push('Z'),
            Piece::Zone { colon, seconds, short, .. } => out += &offset_text(shown.offset, colon, seconds, short),
            Piece::Fraction { digits, trims, comma } => {
                let nanoseconds = format!("{:09}", clock.subsec_nanosecond());
                let mut fraction: String =
                    nanoseconds.chars().chain(std::iter::repeat('0')).take(digits.min(1024)).collect();
                if trims {
                    fraction.truncate(fraction.trim_end_matches('0').len());
                }
                if !(trims && fraction.is_empty()) {
                    out.push(if comma { ',' } else { '.' });
                    out += &fraction;
                }
            }
        }
    }
}

fn weekday_of(date: Date) -> i8 {
    date.weekday().to_sunday_zero_offset()
}

fn offset_text(offset: i32, colon: bool, seconds: bool, short: bool) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    let size = offset.abs();
    let separator = if colon { ":" } else { "" };
    let mut out = format!("{sign}{:02}", size / 3600);
    if !short {
        out += &format!("{separator}{:02}", size / 60 % 60);
    }
    if seconds {
        out += &format!("{separator}{:02}", size % 60);
    }
    out
}

/// Reads a moment by a layout.
pub(super) fn parse(layout: &str, text: &str) -> Option<Time> {
    let mut reader = Reader { rest: text };
    let (mut year, mut month, mut day, mut year_day) = (0_i64, None, None, None);
    let (mut hour, mut minute, mut second, mut nanosecond) = (0_i64, 0_i64, 0_i64, 0_i64);
    let (mut is_pm, mut is_am) = (false, false);
    let (mut offset, mut is_utc, mut zone_name) = (None, false, String::new());
    let mut layout = layout;
    loop {
        let (prefix, piece, after) = next_piece(layout);
        reader.skip(prefix)?;
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
                let has_fraction = matches!(next_piece(layout), ("", Some(Piece::Fraction { .. }), _));
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

/// A duration as Go writes it: `1h1m1s`.
pub(in super::super) fn duration_text(nanoseconds: i64) -> String {
    let size = nanoseconds.unsigned_abs();
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let point = |whole: u64, fraction: u64, digits: usize| {
        let fraction = format!("{fraction:0digits$}");
        match fraction.trim_end_matches('0') {
            "" => whole.to_string(),
            fraction => format!("{whole}.{fraction}"),
        }
    };
    match size {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{size}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", point(size / 1_000, size % 1_000, 3)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", point(size / 1_000_000, size % 1_000_000, 6)),
        _ => {
            let seconds = size / 1_000_000_000;
            let last = point(seconds % 60, size % 1_000_000_000, 9);
            match (seconds / 3600, seconds / 60 % 60) {
                (0, 0) => format!("{sign}{last}s"),
                (0, minutes) => format!("{sign}{minutes}m{last}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{last}s"),
            }
        }
    }
}

/// A duration such as `-1.5h` or `24h30m`, in nanoseconds.
fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let whole_length = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, after) = rest.split_at(whole_length);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(after.bytes().take_while(u8::is_ascii_digit).count()),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let unit_length = after.bytes().take_while(|byte| *byte != b'.' && !byte.is_ascii_digit()).count();
        let (unit, after) = after.split_at(unit_length);
        let unit: u64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let mut value = whole.checked_mul(unit)?;
        if !fraction.is_empty() {
            let digits = &fraction[..fraction.len().min(18)];
            let numerator: f64 = digits.parse().ok()?;
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "as Go does it"
            )]
            let part = (numerator * (unit as f64 / 10_f64.powi(i32::try_from(digits.len()).ok()?))) as u64;
            value = value.checked_add(part)?;
        }
        total = total.checked_add(value).filter(|total| *total <= 1 << 63)?;
        rest = after;
    }
    if negative {
        return 0_i64.checked_sub_unsigned(total);
    }
    i64::try_from(total).ok()
}

/// The moment that a value names; what names none is now.
fn moment(run: &Run, value: &Value) -> Result<Time, Fault> {
    match value {
        Value::Time(time) => Ok(time.clone()),
        Value::Int64(seconds) | Value::Int(seconds) => Time::unix(*seconds),
        _ => Ok(Time::utc(run.chance.now())),
    }
}

fn date_in_zone(run: &mut Run, layout: Text, date: Value, zone: Text) -> Result<String, Fault> {
    run.budget.spend(layout.len().saturating_mul(32))?;
    Ok(format(&moment(run, &date)?.in_zone(&zone.lossy()), &layout.lossy()))
}

fn date(run: &mut Run, layout: Text, date: Value) -> Result<String, Fault> {
    date_in_zone(run, layout, date, Text::from("UTC"))
}

fn html_date(run: &mut Run, date: Value) -> Result<String, Fault> {
    date_in_zone(run, Text::from("2006-01-02"), date, Text::from("UTC"))
}

fn html_date_in_zone(run: &mut Run, date: Value, zone: Text) -> Result<String, Fault> {
    date_in_zone(run, Text::from("2006-01-02"), date, zone)
}

fn now(run: &mut Run) -> Time {
    Time::utc(run.chance.now())
}

fn ago(run: &mut Run, date: Value) -> Result<String, Fault> {
    let date = match date {
        // Only these; an int32 is now.
        Value::Time(_) | Value::Int(_) | Value::Int64(_) => moment(run, &date)?,
        _ => Time::utc(run.chance.now()),
    };
    Ok(duration_text(rounded(Time::utc(run.chance.now()).since(&date), SECOND)))
}

/// To the nearest multiple, half away from zero.
fn rounded(nanoseconds: i64, unit: i64) -> i64 {
    if unit <= 0 {
        return nanoseconds;
    }
    let (number, unit) = (i128::from(nanoseconds), i128::from(unit));
    let half = if number < 0 { -unit } else { unit };
    let result = (2 * number + half) / (2 * unit) * unit;
    i64::try_from(result).unwrap_or(if result < 0 { i64::MIN } else { i64::MAX })
}

fn to_date(layout: Text, text: Text) -> Time {
    parse(&layout.lossy(), &text.lossy()).unwrap_or_else(Time::zero)
}

fn must_to_date(layout: Text, text: Text) -> Result<Time, Fault> {
    parse(&layout.lossy(), &text.lossy()).ok_or_else(|| "the text does not follow the layout".into())
}

fn date_modify(change: Text, date: Time) -> Result<Time, Fault> {
    match parse_duration(&change.lossy()) {
        Some(nanoseconds) => date.plus(nanoseconds),
        None => Ok(date),
    }
}

fn must_date_modify(change: Text, date: Time) -> Result<Time, Fault> {
    match parse_duration(&change.lossy()) {
        Some(nanoseconds) => date.plus(nanoseconds),
        None => Fault::wrong("not a duration such as `-1.5h`"),
    }
}

fn unix_epoch(date: Time) -> String {
    date.at.as_second().to_string()
}

fn duration(seconds: Value) -> String {
    let seconds = match seconds {
        Value::Text(text) => saturating_integer(&text.lossy()),
        Value::Int64(seconds) => seconds,
        _ => 0,
    };
    duration_text(seconds.wrapping_mul(SECOND))
}

/// As `strconv.ParseInt` leaves it: too big is the biggest.
fn saturating_integer(text: &str) -> i64 {
    text.parse().unwrap_or_else(|error: std::num::ParseIntError| match error.kind() {
        std::num::IntErrorKind::PosOverflow => i64::MAX,
        std::num::IntErrorKind::NegOverflow => i64::MIN,
        _ => 0,
    })
}

fn duration_round(run: &mut Run, duration: Value) -> String {
    let nanoseconds = match duration {
        Value::Text(text) => parse_duration(&text.lossy()).unwrap_or(0),
        Value::Int64(nanoseconds) => nanoseconds,
        Value::Time(time) => Time::utc(run.chance.now()).since(&time),
        _ => 0,
    };
    let size = nanoseconds.unsigned_abs();
    let hour = HOUR.unsigned_abs();
    let units = [
        (hour * 24 * 365, "y"),
        (hour * 24 * 30, "mo"),
        (hour * 24, "d"),
        (hour, "h"),
        (MINUTE.unsigned_abs(), "m"),
        (SECOND.unsigned_abs(), "s"),
    ];
    let fitting = units.iter().find(|(unit, _)| size > *unit);
    fitting.map_or_else(|| "0s".to_owned(), |(unit, name)| format!("{}{name}", size / unit))
}

fn number(value: impl Into<i64>) -> i64 {
    value.into()
}

/// What a time can be asked.
pub(super) fn time_methods() -> Vec<Function> {
    vec![
        both("Year", |time: Time| number(time.shown().civil.year()), "The year."),
        both("Month", |time: Time| Value::Month(time.shown().civil.month()), "The month."),
        both("Day", |time: Time| number(time.shown().civil.day()), "The day of the month."),
        both("Hour", |time: Time| number(time.shown().civil.hour()), "The hour."),
        both("Minute", |time: Time| number(time.shown().civil.minute()), "The minute."),
        both("Second", |time: Time| number(time.shown().civil.second()), "The second."),
        both("Nanosecond", |time: Time| number(time.shown().civil.subsec_nanosecond()), "The nanosecond."),
        both("YearDay", |time: Time| number(time.shown().civil.date().day_of_year()), "The day of the year."),
        both("Weekday", |time: Time| Value::Weekday(weekday_of(time.shown().civil.date())), "The day of the week."),
        both("Unix", |time: Time| Int64(time.at.as_second()), "Seconds since 1970."),
        both("UnixMilli", |time: Time| Int64(time.at.as_millisecond()), "Milliseconds since 1970."),
        both("UnixMicro", |time: Time| Int64(time.at.as_microsecond()), "Microseconds since 1970."),
        both(
            "UnixNano",
            |time: Time| Int64(i64::try_from(time.at.as_nanosecond()).unwrap_or(0)),
            "Nanoseconds since 1970.",
        ),
        both("Format", |time: Time, layout: Text| format(&time, &layout.lossy()), "By a layout."),
        both("String", |time: Time| time.to_string(), "In full."),
        both("UTC", |time: Time| Time::utc(time.at), "In UTC."),
        both("Local", |time: Time| Time::utc(time.at), "In the local zone, which is UTC."),
        both("Add", |time: Time, by: Nanoseconds| time.plus(by.0), "Later by a duration."),
        both("Sub", |time: Time, other: Time| Nanoseconds(time.since(&other)), "The duration since another."),
        both("AddDate", add_date, "Later by years, months and days."),
        both("Before", |time: Time, other: Time| time.at < other.at, "Whether it is earlier."),
        both("After", |time: Time, other: Time| time.at > other.at, "Whether it is later."),
        both("Equal", |time: Time, other: Time| time.at == other.at, "Whether it is the same moment."),
        both("Compare", |time: Time, other: Time| time.at.cmp(&other.at) as i64, "-1, 0 or 1."),
        both("IsZero", |time: Time| time == Time::zero(), "Whether it is the zero time."),
    ]
}

fn add_date(time: Time, years: i64, months: i64, days: i64) -> Result<Time, Fault> {
    const RANGE: &str = "the time is out of range";
    let shown = time.shown();
    let months = i64::from(shown.civil.month()) - 1 + months;
    let year =
        i64::from(shown.civil.year()).checked_add(years).and_then(|year| year.checked_add(months.div_euclid(12)));
    let month = i8::try_from(months.rem_euclid(12) + 1).map_err(|_| RANGE)?;
    let year = year.and_then(|year| i16::try_from(year).ok()).ok_or(RANGE)?;
    // The 31st of a shorter month is in the next one, as Go counts.
    let first = Date::new(year, month, 1).map_err(|_| RANGE)?;
    let days = days.checked_add(i64::from(shown.civil.day()) - 1).filter(|days| days.abs() < 5_000_000).ok_or(RANGE)?;
    let date = first.checked_add(jiff::Span::new().days(days)).map_err(|_| RANGE)?;
    let civil = date.to_datetime(shown.civil.time());
    let zone = match &time.zone {
        Zone::Utc => TimeZone::UTC,
        Zone::Named(zone) => zone.clone(),
        Zone::Fixed { offset, .. } => TimeZone::fixed(Offset::from_seconds(*offset).map_err(|_| RANGE)?),
    };
    let zoned: Zoned = zone.to_zoned(civil).map_err(|_| RANGE)?;
    Ok(Time { at: zoned.timestamp(), zone: time.zone })
}

/// What a duration can be asked.
pub(super) fn duration_methods() -> Vec<Function> {
    #[expect(clippy::cast_precision_loss, reason = "as Go does it")]
    fn in_units(duration: Nanoseconds, unit: i64) -> f64 {
        (duration.0 / unit) as f64 + (duration.0 % unit) as f64 / unit as f64
    }
    vec![
        both("Hours", |duration: Nanoseconds| in_units(duration, HOUR), "In hours."),
        both("Minutes", |duration: Nanoseconds| in_units(duration, MINUTE), "In minutes."),
        both("Seconds", |duration: Nanoseconds| in_units(duration, SECOND), "In seconds."),
        both("Milliseconds", |duration: Nanoseconds| Int64(duration.0 / 1_000_000), "In milliseconds."),
        both("Microseconds", |duration: Nanoseconds| Int64(duration.0 / 1_000), "In microseconds."),
        both("Nanoseconds", |duration: Nanoseconds| Int64(duration.0), "In nanoseconds."),
        both("String", |duration: Nanoseconds| duration_text(duration.0), "As `1h1m1s`."),
        both("Abs", |duration: Nanoseconds| Nanoseconds(duration.0.saturating_abs()), "Without its sign."),
        both(
            "Round",
            |duration: Nanoseconds, unit: Nanoseconds| Nanoseconds(rounded(duration.0, unit.0)),
            "To the nearest multiple.",
        ),
        both(
            "Truncate",
            |duration: Nanoseconds, unit: Nanoseconds| {
                Nanoseconds(if unit.0 <= 0 { duration.0 } else { duration.0 - duration.0 % unit.0 })
            },
            "To the multiple towards zero.",
        ),
    ]
}

/// What a month can be asked.
pub(super) fn month_methods() -> Vec<Function> {
    vec![both("String", |month: Value| super::super::print::own_text(&month).unwrap_or_default(), "Its name.")]
}

/// What a day of the week can be asked.
pub(super) fn weekday_methods() -> Vec<Function> {
    month_methods()
}

pub(super) fn table() -> Vec<Function> {
    vec![
        both("ago", ago, "How long ago, to the second."),
        both("date", date, "By a layout such as `2006-01-02`."),
        both("dateInZone", date_in_zone, "By a layout, in a time zone."),
        both("dateModify", date_modify, "Later by a duration such as `-1.5h`."),
        both("date_in_zone", date_in_zone, "The same as `dateInZone`."),
        both("date_modify", date_modify, "The same as `dateModify`."),
        both("duration", duration, "Seconds as `1m35s`."),
        both("durationRound", duration_round, "A duration in its greatest unit."),
        both("htmlDate", html_date, "As `2006-01-02`."),
        both("htmlDateInZone", html_date_in_zone, "As `2006-01-02`, in a time zone."),
        both("mustDateModify", must_date_modify, "Later by a duration; an error if it is none."),
        both("mustToDate", must_to_date, "A text read by a layout; an error if it does not fit."),
        both("must_date_modify", must_date_modify, "The same as `mustDateModify`."),
        both(
            "now",
            now,
            "When the object was written or refreshed; it does not move on when a hand edit is put right.",
        ),
        both("toDate", to_date, "A text read by a layout; the zero time if it does not fit."),
        both("unixEpoch", unix_epoch, "Seconds since 1970."),
    ]
}
