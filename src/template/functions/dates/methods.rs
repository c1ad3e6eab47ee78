//! What a time, a duration, a month and a day of the week can be asked.

use jiff::Zoned;
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};

use super::super::super::error::Fault;
use super::super::super::print;
use super::super::super::signature::{Int64, Nanoseconds};
use super::super::super::value::{Text, Value};
use super::super::{Function, both};
use super::durations::{duration_text, rounded};
use super::layout::{format, weekday_of};
use super::{HOUR, MINUTE, SECOND, Time, Zone};

fn number(value: impl Into<i64>) -> i64 {
    value.into()
}

/// What a time can be asked.
pub(in super::super) fn time_methods() -> Vec<Function> {
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
        both("Format", |time: Time, layout: Text| format(&time, &layout), "By a layout."),
        both("String", |time: Time| time.to_string(), "In full."),
        both("UTC", |time: Time| Time::utc(time.at), "In UTC."),
        both("Location", |time: Time| time.location(), "The name of its zone."),
        both("IsDST", |time: Time| time.is_dst(), "Whether it is summer time."),
        both(
            "Truncate",
            |time: Time, unit: Nanoseconds| time.to_multiple(unit.0, false),
            "Down to a multiple of a duration.",
        ),
        both("Round", |time: Time, unit: Nanoseconds| time.to_multiple(unit.0, true), "To the nearest multiple."),
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
pub(in super::super) fn duration_methods() -> Vec<Function> {
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
pub(in super::super) fn month_methods() -> Vec<Function> {
    vec![both("String", |month: Value| print::own_text(&month).unwrap_or_default(), "Its name.")]
}

/// What a day of the week can be asked.
pub(in super::super) fn weekday_methods() -> Vec<Function> {
    month_methods()
}
