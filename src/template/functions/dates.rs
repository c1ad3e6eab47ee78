//! Dates and durations. The local time zone is UTC, as in the peers' containers.

mod durations;
mod layout;
mod methods;
mod parse;

pub(in super::super) use self::durations::duration_text;
use self::durations::{parse_duration, rounded};
use self::layout::format;
pub(super) use self::methods::{duration_methods, month_methods, time_methods, weekday_methods};
pub(super) use self::parse::parse;
use std::fmt;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

use super::super::error::Fault;
use super::super::run::Run;
use super::super::unicode;
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

    fn location(&self) -> String {
        match &self.zone {
            Zone::Utc => "UTC".to_owned(),
            Zone::Named(zone) => zone.iana_name().unwrap_or_default().to_owned(),
            Zone::Fixed { name, .. } => name.clone(),
        }
    }

    fn is_dst(&self) -> bool {
        matches!(&self.zone, Zone::Named(zone) if zone.to_offset_info(self.at).dst().is_dst())
    }

    /// Counted from the zero time, as Go does it.
    fn to_multiple(&self, unit: i64, rounds: bool) -> Result<Self, Fault> {
        if unit <= 0 {
            return Ok(self.clone());
        }
        let beyond = (self.at.as_nanosecond() - Self::zero().at.as_nanosecond()).rem_euclid(i128::from(unit));
        let down = i64::try_from(beyond).unwrap_or(0);
        self.plus(if rounds && beyond * 2 >= i128::from(unit) { unit - down } else { -down })
    }

    fn by(&self, layout: &str) -> String {
        unicode::lossy(&format(self, layout.as_bytes()))
    }

    /// As it stands in JSON.
    pub(super) fn rfc3339(&self) -> String {
        self.by("2006-01-02T15:04:05.999999999Z07:00")
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.by("2006-01-02 15:04:05.999999999 -0700 MST"))
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

/// The moment that a value names; what names none is now.
fn moment(run: &Run, value: &Value) -> Result<Time, Fault> {
    match value {
        Value::Time(time) => Ok(time.clone()),
        Value::Int64(seconds) | Value::Int(seconds) => Time::unix(*seconds),
        _ => Ok(Time::utc(run.chance.now())),
    }
}

fn date_in_zone(run: &mut Run, layout: Text, date: Value, zone: Text) -> Result<Vec<u8>, Fault> {
    run.budget.spend(layout.len().saturating_mul(32))?;
    Ok(format(&moment(run, &date)?.in_zone(&zone.lossy()), &layout))
}

fn date(run: &mut Run, layout: Text, date: Value) -> Result<Vec<u8>, Fault> {
    date_in_zone(run, layout, date, Text::from("UTC"))
}

fn html_date(run: &mut Run, date: Value) -> Result<Vec<u8>, Fault> {
    date_in_zone(run, Text::from("2006-01-02"), date, Text::from("UTC"))
}

fn html_date_in_zone(run: &mut Run, date: Value, zone: Text) -> Result<Vec<u8>, Fault> {
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
