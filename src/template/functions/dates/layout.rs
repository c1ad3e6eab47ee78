//! Layouts, such as `2006-01-02`: read, and a moment shown by one.

use super::{Shown, Time, month_name, weekday_name};
use jiff::civil::Date;

/// One piece of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
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
pub(super) fn next_piece(layout: &[u8]) -> (&[u8], Option<Piece>, &[u8]) {
    use Piece as P;
    let bytes = layout;
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
    (layout, None, &[])
}

/// A moment by a layout, such as `2006-01-02`.
pub(super) fn format(time: &Time, layout: &[u8]) -> Vec<u8> {
    let shown = time.shown();
    let mut out = Vec::new();
    let mut rest = layout;
    loop {
        let (text, piece, after) = next_piece(rest);
        out.extend_from_slice(text);
        let Some(piece) = piece else { return out };
        out.extend_from_slice(piece.of(&shown).as_bytes());
        rest = after;
    }
}

impl Piece {
    /// What stands in its place.
    fn of(self, shown: &Shown) -> String {
        let (date, clock) = (shown.civil.date(), shown.civil.time());
        let hour12 = if clock.hour() % 12 == 0 { 12 } else { clock.hour() % 12 };
        let is_pm = clock.hour() >= 12;
        match self {
            Self::LongMonth => month_name(date.month()),
            Self::Month => month_name(date.month())[..3].to_owned(),
            Self::NumMonth => date.month().to_string(),
            Self::ZeroMonth => format!("{:02}", date.month()),
            Self::LongWeekday => weekday_name(weekday_of(date)),
            Self::Weekday => weekday_name(weekday_of(date))[..3].to_owned(),
            Self::Day => date.day().to_string(),
            Self::UnderDay => format!("{:2}", date.day()),
            Self::ZeroDay => format!("{:02}", date.day()),
            Self::UnderYearDay => format!("{:3}", date.day_of_year()),
            Self::ZeroYearDay => format!("{:03}", date.day_of_year()),
            Self::Hour => format!("{:02}", clock.hour()),
            Self::Hour12 => hour12.to_string(),
            Self::ZeroHour12 => format!("{hour12:02}"),
            Self::Minute => clock.minute().to_string(),
            Self::ZeroMinute => format!("{:02}", clock.minute()),
            Self::Second => clock.second().to_string(),
            Self::ZeroSecond => format!("{:02}", clock.second()),
            Self::LongYear if date.year() < 0 => format!("-{:04}", -date.year()),
            Self::LongYear => format!("{:04}", date.year()),
            Self::Year => format!("{:02}", date.year().rem_euclid(100)),
            Self::UpperPm => if is_pm { "PM" } else { "AM" }.to_owned(),
            Self::LowerPm => if is_pm { "pm" } else { "am" }.to_owned(),
            Self::ZoneName if shown.zone_name.is_empty() => offset_text(shown.offset, false, false, false),
            Self::ZoneName => shown.zone_name.clone(),
            Self::Zone { z: true, .. } if shown.offset == 0 => "Z".to_owned(),
            Self::Zone { colon, seconds, short, .. } => offset_text(shown.offset, colon, seconds, short),
            Self::Fraction { digits, trims, comma } => fraction(clock.subsec_nanosecond(), digits, trims, comma),
        }
    }
}

fn fraction(nanoseconds: i32, digits: usize, trims: bool, comma: bool) -> String {
    let nanoseconds = format!("{nanoseconds:09}");
    let mut fraction: String = nanoseconds.chars().chain(std::iter::repeat('0')).take(digits.min(1024)).collect();
    if trims {
        fraction.truncate(fraction.trim_end_matches('0').len());
    }
    if trims && fraction.is_empty() {
        return fraction;
    }
    fraction.insert(0, if comma { ',' } else { '.' });
    fraction
}

pub(super) fn weekday_of(date: Date) -> i8 {
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
