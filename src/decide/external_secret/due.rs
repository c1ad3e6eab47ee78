//! When values are to be read.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use super::Error;
use super::hash::synced_resource_version;
use super::schedule::Schedule;
use crate::api::ExternalSecret;
use crate::api::external_secret::{RefreshPolicy, SyncWindows, WindowKind};

/// As long as a closed window is left before it is looked at again.
const LONGEST_REST: Duration = Duration::from_secs(3600);
/// The first refresh after a start is spread over this part of the interval, and no longer than `LONGEST_SPREAD`.
const SPREAD_DIVISOR: u32 = 10;
const LONGEST_SPREAD: Duration = Duration::from_secs(60);

/// When values are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Now, and why.
    Now(Why),
    /// After this time.
    Later(Duration),
    /// When something changes.
    Never,
}

/// Why values are to be read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// They never were.
    First,
    /// Somebody changed the object, or asks by an annotation.
    Changed,
    /// Their time is over.
    Elapsed,
}

/// When values are to be read, for a target that is as it was written.
///
/// # Errors
///
/// [`Error::Interval`].
pub fn due(object: &ExternalSecret, now: Timestamp) -> Result<Due, Error> {
    let every = interval(&object.spec.refresh_interval)?;
    let Some(refreshed) = refreshed_at(object) else { return Ok(Due::Now(Why::First)) };
    let known = object.status.as_ref().and_then(|status| status.synced_resource_version.as_deref());
    let changed = known != Some(synced_resource_version(&object.metadata).as_str());
    Ok(match object.spec.refresh_policy.unwrap_or_default() {
        RefreshPolicy::CreatedOnce => Due::Never,
        RefreshPolicy::OnChange if changed => Due::Now(Why::Changed),
        RefreshPolicy::OnChange => Due::Never,
        // Upstream's rule: an interval of nothing means once and for all.
        RefreshPolicy::Periodic if every.is_zero() => Due::Never,
        RefreshPolicy::Periodic if changed => Due::Now(Why::Changed),
        RefreshPolicy::Periodic if refreshed > now => Due::Now(Why::Elapsed),
        RefreshPolicy::Periodic => {
            let since = Duration::try_from(now.duration_since(refreshed)).unwrap_or_default();
            match every.checked_sub(since) {
                Some(left) if !left.is_zero() => Due::Later(left),
                _ => match object.spec.sync_windows.as_ref().and_then(|windows| closed_for(windows, now)) {
                    Some(left) => Due::Later(left),
                    None => Due::Now(Why::Elapsed),
                },
            }
        }
    })
}

/// By how much values are older than they should be: since their time, or since the object was made where there are none.
pub fn late_by(object: &ExternalSecret, now: Timestamp) -> Duration {
    let should = match due(object, now) {
        Ok(Due::Now(Why::First)) => object.metadata.creation_timestamp.as_ref().map(|made| made.0),
        Ok(Due::Now(Why::Changed | Why::Elapsed)) => {
            let every = interval(&object.spec.refresh_interval).unwrap_or_default();
            refreshed_at(object).and_then(|refreshed| refreshed.checked_add(every).ok())
        }
        Ok(Due::Later(_) | Due::Never) | Err(_) => None,
    };
    should.and_then(|should| Duration::try_from(now.duration_since(should)).ok()).unwrap_or_default()
}

/// When values were last read completely; none when they never were.
pub fn refreshed_at(object: &ExternalSecret) -> Option<Timestamp> {
    let status = object.status.as_ref()?;
    status.synced_resource_version.as_ref()?;
    status.refresh_time.as_deref()?.parse().ok()
}

/// How long values count: a Go duration. What is negative counts as nothing.
///
/// # Errors
///
/// [`Error::Interval`].
pub fn interval(text: &str) -> Result<Duration, Error> {
    duration("refreshInterval", text)
}

/// The Go duration that a field says. What is negative counts as nothing.
///
/// # Errors
///
/// [`Error::Interval`].
pub fn duration(field: &'static str, text: &str) -> Result<Duration, Error> {
    let text = text.trim();
    if matches!(text, "" | "0") {
        return Ok(Duration::ZERO);
    }
    let signed: jiff::SignedDuration = text.parse().map_err(|_| Error::Interval { field, text: text.to_owned() })?;
    Ok(Duration::try_from(signed).unwrap_or_default())
}

/// After a start many objects may be overdue at once. Each waits for its own part of this time, once.
pub fn spread(object: &ExternalSecret) -> Duration {
    let every = interval(&object.spec.refresh_interval).unwrap_or_default();
    let longest = (every / SPREAD_DIVISOR).min(LONGEST_SPREAD);
    // The uid is random already.
    let part = object
        .uid()
        .unwrap_or_default()
        .bytes()
        .fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    longest * (part % 1000) / 1000
}

/// How long windows hold a refresh back; none when they do not. A schedule that cannot be read has no window.
fn closed_for(windows: &SyncWindows, now: Timestamp) -> Option<Duration> {
    let mut next: Option<Timestamp> = None;
    let mut is_open = false;
    for window in &windows.windows {
        let length = interval(&window.duration).ok().filter(|length| !length.is_zero());
        let (Some(schedule), Some(length)) = (Schedule::read(&window.schedule), length) else { continue };
        let Some(begun) = now.checked_sub(length).ok().and_then(|since| schedule.after(since)) else { continue };
        let changes = if begun <= now {
            is_open = true;
            begun.checked_add(length).ok()
        } else {
            Some(begun)
        };
        next = next.into_iter().chain(changes).min();
    }
    let permits = (windows.kind == WindowKind::Allow) == is_open;
    if permits {
        return None;
    }
    let left = next.and_then(|next| Duration::try_from(next.duration_since(now)).ok()).unwrap_or(LONGEST_REST);
    Some(left.clamp(Duration::from_secs(1), LONGEST_REST))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::object;
    use super::*;

    fn now() -> Timestamp {
        "2026-11-26T10:30:00Z".parse().unwrap()
    }

    /// Synced so many seconds ago, at the present version.
    fn synced(seconds: i64, edit: impl FnOnce(&mut Value)) -> ExternalSecret {
        let mut object = object(edit);
        let refreshed = Timestamp::from_second(now().as_second() - seconds).unwrap();
        let version = synced_resource_version(&object.metadata);
        let status = json!({ "refreshTime": refreshed.to_string(), "syncedResourceVersion": version });
        object.status = Some(serde_json::from_value(status).unwrap());
        object
    }

    #[test]
    fn values_are_late_from_when_they_should_have_been_read() {
        let policy = |policy: &'static str| move |o: &mut Value| o["spec"]["refreshPolicy"] = json!(policy);
        let mut new = object(|o| o["metadata"]["creationTimestamp"] = json!("2026-11-26T10:29:00Z"));
        new.status = None;
        let mut edited = synced(60, |_| {});
        edited.metadata.generation = Some(2);
        let rows = [
            ("in time", synced(60, |_| {}), 0),
            ("an hour and a minute old", synced(3660, |_| {}), 60),
            ("never read", new, 60),
            ("edited, but not old", edited, 0),
            ("once and for all", synced(36_000, policy("CreatedOnce")), 0),
            ("on change", synced(36_000, policy("OnChange")), 0),
            ("no interval", synced(36_000, |o| o["spec"]["refreshInterval"] = json!("0")), 0),
            ("read in the future", synced(-60, |_| {}), 0),
        ];
        for (name, object, expected) in rows {
            assert_eq!(late_by(&object, now()).as_secs(), expected, "{name}");
        }
    }

    #[test]
    fn when_a_fetch_is_due() {
        let later = |seconds| Due::Later(Duration::from_secs(seconds));
        let (first, changed, elapsed) = (Due::Now(Why::First), Due::Now(Why::Changed), Due::Now(Why::Elapsed));
        let edited = |mut object: ExternalSecret| {
            object.metadata.generation = Some(2);
            object
        };
        let policy = |policy: &'static str| move |o: &mut Value| o["spec"]["refreshPolicy"] = policy.into();
        let every = |every: &'static str| move |o: &mut Value| o["spec"]["refreshInterval"] = every.into();
        let window = |kind: &'static str, schedule: &'static str| {
            move |o: &mut Value| {
                o["spec"]["syncWindows"] =
                    json!({ "kind": kind, "windows": [{ "schedule": schedule, "duration": "1h" }] });
            }
        };
        let cases = [
            ("never synced", object(|_| {}), first),
            ("synced, interval not over", synced(1800, |_| {}), later(1800)),
            ("synced, interval over", synced(3600, |_| {}), elapsed),
            ("spec changed since last sync", edited(synced(60, |_| {})), changed),
            ("last refresh lies in the future", synced(-60, |_| {}), elapsed),
            ("interval of nothing", synced(60, every("0")), Due::Never),
            ("negative interval", synced(60, every("-5m")), Due::Never),
            ("interval of nothing, spec changed", edited(synced(60, every("0s"))), Due::Never),
            ("interval of nothing, never synced", object(every("0s")), first),
            ("once", synced(9_999, policy("CreatedOnce")), Due::Never),
            ("once, changed", edited(synced(9_999, policy("CreatedOnce"))), Due::Never),
            ("on change, nothing changed", synced(9_999, policy("OnChange")), Due::Never),
            ("on change, changed", edited(synced(60, policy("OnChange"))), changed),
            ("allowed now", synced(9_999, window("allow", "0 10 * * *")), elapsed),
            ("allowed from eleven", synced(9_999, window("allow", "0 11 * * *")), later(1800)),
            ("allowed tomorrow", synced(9_999, window("allow", "0 9 * * *")), later(3600)),
            ("denied until eleven", synced(9_999, window("deny", "0 10 * * *")), later(1800)),
            ("denied later", synced(9_999, window("deny", "0 11 * * *")), elapsed),
            ("a window holds no change back", edited(synced(60, window("deny", "0 10 * * *"))), changed),
            ("a schedule that is none, allow", synced(9_999, window("allow", "x")), later(3600)),
            ("a schedule that is none, deny", synced(9_999, window("deny", "x")), elapsed),
        ];
        for (name, object, expected) in cases {
            assert_eq!(due(&object, now()).unwrap(), expected, "{name}");
        }
        assert!(due(&object(every("soon")), now()).is_err());
    }

    #[test]
    fn the_first_refresh_after_a_start_is_spread_within_bounds() {
        let with = |uid: &str, every: &str| {
            let object = object(|o| {
                o["metadata"]["uid"] = uid.into();
                o["spec"]["refreshInterval"] = every.into();
            });
            spread(&object)
        };
        let all: Vec<_> = (0..50).map(|n| with(&format!("uid-{n}"), "1h")).collect();
        assert!(all.iter().all(|spread| *spread < LONGEST_SPREAD));
        assert!(
            all.iter().any(|spread| *spread > LONGEST_SPREAD / 2)
                && all.iter().any(|spread| *spread < LONGEST_SPREAD / 2)
        );
        assert!(with("uid-1", "15s") < Duration::from_millis(1500));
        assert_eq!(with("uid-1", "0"), Duration::ZERO);
    }
}
