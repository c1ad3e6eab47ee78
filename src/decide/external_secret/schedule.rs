//! Schedules as cron has them, in UTC: when one last began, and when it begins next.
//!
//! The rules are those of the library that the reference uses: five fields or a name like `@daily`; names of months and
//! days; `?` is `*`; when day and weekday are both restricted, either is enough. `@every 1h` has no beginning: it is
//! always the given time away.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// As far ahead as is looked: a leap day comes back within eight years.
const FARTHEST_DAYS: i32 = 9 * 366;

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Schedule {
    /// By the calendar.
    Calendar(Box<Calendar>),
    /// Again and again after this time.
    Every(Duration),
}

/// Bits of the minutes, hours … at which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Calendar {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    any_day: bool,
    any_weekday: bool,
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Schedule {
    /// Reads one; none when it is none.
    pub(super) fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let named = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        if let Some(every) = named.strip_prefix("@every ") {
            let every: jiff::SignedDuration = every.trim().parse().ok()?;
            let every = Duration::try_from(every).ok()?;
            return Some(Self::Every(Duration::from_secs(every.as_secs().max(1))));
        }
        let fields: Vec<_> = named.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else { return None };
        let is_any = |field: &str| field.starts_with(['*', '?']);
        let week = bits(weekdays, 0, 7, &WEEKDAYS, 0)?;
        Some(Self::Calendar(Box::new(Calendar {
            minutes: bits(minutes, 0, 59, &[], 0)?,
            hours: bits(hours, 0, 23, &[], 0)?,
            days: bits(days, 1, 31, &[], 0)?,
            months: bits(months, 1, 12, &MONTHS, 1)?,
            // Seven is Sunday as well.
            weekdays: (week | week >> 7) & 0x7f,
            any_day: is_any(days),
            any_weekday: is_any(weekdays),
        })))
    }

    /// When it begins next after a time.
    pub(super) fn after(&self, time: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(every) => time.checked_add(*every).ok(),
            Self::Calendar(calendar) => calendar.after(time),
        }
    }
}

impl Calendar {
    fn after(&self, time: Timestamp) -> Option<Timestamp> {
        let time = time.to_zoned(TimeZone::UTC).datetime();
        let mut date = time.date();
        for _ in 0..FARTHEST_DAYS {
            if self.begins_on(date) {
                let from =
                    if date == time.date() { i32::from(time.hour()) * 60 + i32::from(time.minute()) + 1 } else { 0 };
                if let Some(minute) = (from..24 * 60).find(|minute| self.begins_at(*minute)) {
                    return at(date, minute);
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn begins_on(&self, date: Date) -> bool {
        let has = |bits: u64, bit: i8| bits >> bit & 1 == 1;
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        let either = if self.any_day || self.any_weekday { day && weekday } else { day || weekday };
        has(self.months, date.month()) && either
    }

    fn begins_at(&self, minute: i32) -> bool {
        self.hours >> (minute / 60) & 1 == 1 && self.minutes >> (minute % 60) & 1 == 1
    }
}

fn at(date: Date, minute: i32) -> Option<Timestamp> {
    let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
    let time = DateTime::new(date.year(), date.month(), date.day(), hour, minute, 0, 0).ok()?;
    time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// The bits of one field: lists of values, ranges and steps.
fn bits(field: &str, least: u32, most: u32, names: &[&str], first: u32) -> Option<u64> {
    let mut bits = 0;
    let number = |text: &str| {
        let named = names.iter().zip(first..).find(|(name, _)| name.eq_ignore_ascii_case(text));
        named.map(|(_, number)| number).or_else(|| text.parse().ok())
    };
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse::<u32>().ok().filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (number(from)?, number(to)?),
            None if matches!(range, "*" | "?") => (least, most.min(if names.len() == 7 { 6 } else { most })),
            // `5/10` goes on from five.
            None if part.contains('/') => (number(range)?, most),
            None => (number(range)?, number(range)?),
        };
        if from < least || to > most || from > to {
            return None;
        }
        for value in (from..=to).step_by(usize::try_from(step).ok()?) {
            bits |= 1 << value;
        }
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_begin_when_cron_says() {
        // 2026-11-26 is a Thursday.
        let now: Timestamp = "2026-11-26T10:30:00Z".parse().unwrap();
        for (schedule, expected) in [
            ("* * * * *", Some("2026-11-26T10:31:00Z")),
            ("*/15 * * * *", Some("2026-11-26T10:45:00Z")),
            ("0 9 * * *", Some("2026-11-27T09:00:00Z")),
            ("0 9 * * MON", Some("2026-11-30T09:00:00Z")),
            ("0 9 * * 7", Some("2026-11-29T09:00:00Z")),
            ("0 9 1 * mon-fri", Some("2026-11-27T09:00:00Z")),
            ("0 0 29 2 *", Some("2028-02-29T00:00:00Z")),
            ("5/20 22,23 ? DEC ?", Some("2026-12-01T22:05:00Z")),
            ("@daily", Some("2026-11-27T00:00:00Z")),
            ("@every 90m", Some("2026-11-26T12:00:00Z")),
            ("0 0 31 2 *", None),
        ] {
            let found = Schedule::read(schedule).unwrap().after(now).map(|time| time.to_string());
            assert_eq!(found.as_deref(), expected, "{schedule}");
        }
        for wrong in ["", "* * * *", "60 * * * *", "* * 0 * *", "a * * * *", "*/0 * * * *", "5-1 * * * *", "@sometimes"]
        {
            assert_eq!(Schedule::read(wrong), None, "{wrong}");
        }
    }
}
