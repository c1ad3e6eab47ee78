//! When a sealing key is due, and what to say of those that there are.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::api::SealedSecret;
use crate::api::key_report::{KeyReportStatus, KeyUsage, UnusableKey};
use crate::plan::KeyFacts;

/// The sealing certificate's end is told this long before.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How many keys and unusable Secrets a report lists.
const LISTED: usize = 500;
const LISTED_UNUSABLE: usize = 100;

/// Objects and items by fingerprint: what the statuses say that each key opened.
pub type Usage = BTreeMap<String, (i64, i64)>;

/// Counts what needs each key.
pub fn usage(objects: impl IntoIterator<Item: Borrow<SealedSecret>>) -> Usage {
    let mut usage = Usage::new();
    for object in objects {
        let record = object.borrow().status.as_ref().and_then(|status| status.chancery.as_ref());
        for (key, items) in record.iter().flat_map(|record| &record.keys) {
            let (objects, all) = usage.entry(key.clone()).or_default();
            *objects += 1;
            *all += items;
        }
    }
    usage
}

/// How long until a new key is due; zero when it is. None when renewal is switched off, or there is no key to renew.
pub fn due_in(newest_since: Option<i64>, period: SignedDuration, now: Timestamp) -> Option<SignedDuration> {
    if period.is_zero() {
        return None;
    }
    let since = Timestamp::from_second(newest_since?).ok()?;
    let at = since.saturating_add(period).ok()?;
    Some(at.duration_since(now).max(SignedDuration::ZERO))
}

/// The report.
pub fn report(
    keys: &[KeyFacts],
    unusable: &BTreeMap<String, String>,
    usage: &Usage,
    last_backup: Option<&str>,
    now: Timestamp,
) -> KeyReportStatus {
    let time =
        |seconds: i64| Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string());
    let of = |key: &KeyFacts| usage.get(&key.fingerprint).copied().unwrap_or_default();
    let listed = keys.iter().take(LISTED).map(|key| KeyUsage {
        secret: key.secret.clone(),
        fingerprint: key.fingerprint.clone(),
        state: key.state.to_owned(),
        not_before: time(key.not_before),
        not_after: time(key.not_after),
        objects: of(key).0,
        items: of(key).1,
    });
    let backup = last_backup.and_then(|text| text.parse::<Timestamp>().ok());
    KeyReportStatus {
        usable: i64::try_from(keys.len()).unwrap_or(i64::MAX),
        sealing: keys.iter().find(|key| key.state == "Sealing").map(|key| key.secret.clone()).unwrap_or_default(),
        keys: listed.collect(),
        unusable: unusable
            .iter()
            .take(LISTED_UNUSABLE)
            .map(|(secret, problem)| UnusableKey { secret: secret.clone(), problem: problem.clone() })
            .collect(),
        last_backup: backup.map(|time| time.to_string()),
        warnings: warnings(keys, usage, last_backup, backup, now),
    }
}

fn warnings(
    keys: &[KeyFacts],
    usage: &Usage,
    written: Option<&str>,
    backup: Option<Timestamp>,
    now: Timestamp,
) -> Vec<String> {
    let mut all = Vec::new();
    let of = |key: &KeyFacts| usage.get(&key.fingerprint).copied().unwrap_or_default().0;
    for key in keys.iter().filter(|key| key.state == "Deleted" && of(key) > 0) {
        all.push(format!(
            "{} is deleted, and {} objects need it: they cannot be opened after a restart; restore it, or seal them anew",
            key.secret,
            of(key)
        ));
    }
    for key in keys.iter().filter(|key| key.mismatched) {
        all.push(format!("{}: its certificate is of another key, so it opens items and never seals", key.secret));
    }
    let sealing = keys.iter().find(|key| key.state == "Sealing");
    match sealing {
        None => all.push("there is no key to seal with".to_owned()),
        Some(key) if now.as_second() > key.not_after => {
            all.push(format!("the certificate of {} has ended: kubeseal refuses to seal with it", key.secret));
        }
        Some(key) if now.as_second() > key.not_after - SOON.as_secs() => {
            all.push(format!("the certificate of {} ends within 30 days", key.secret));
        }
        Some(_) => {}
    }
    let newest = keys.iter().map(|key| key.not_before).max();
    match (written, backup) {
        (Some(_), None) => all.push("the time of the last backup cannot be read; write it as in RFC 3339".to_owned()),
        (Some(_), Some(backup)) if newest.is_some_and(|newest| newest > backup.as_second()) => {
            all.push("there is a key that is newer than the last backup".to_owned());
        }
        _ => {}
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(secret: &str, state: &'static str, not_before: i64, not_after: i64) -> KeyFacts {
        let fingerprint = format!("SHA256:{secret}");
        KeyFacts { secret: secret.to_owned(), fingerprint, state, not_before, not_after, mismatched: false }
    }

    #[test]
    fn when_a_key_is_due() {
        let now = Timestamp::from_second(10_000).unwrap();
        let hour = SignedDuration::from_hours(1);
        let cases = [
            ("no key", None, hour, None),
            ("switched off", Some(0), SignedDuration::ZERO, None),
            ("overdue", Some(0), hour, Some(SignedDuration::ZERO)),
            ("not yet", Some(9_000), hour, Some(SignedDuration::from_secs(2_600))),
            ("dated in the future", Some(20_000), hour, Some(SignedDuration::from_secs(13_600))),
        ];
        for (name, since, period, expected) in cases {
            assert_eq!(due_in(since, period, now), expected, "{name}");
        }
    }

    #[test]
    fn usage_is_what_the_statuses_say() {
        let object = |keys: serde_json::Value| -> SealedSecret {
            serde_json::from_value(json!({
                "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "metadata": { "name": "x" },
                "spec": { "encryptedData": {} }, "status": { "chancery": { "keys": keys } },
            }))
            .unwrap()
        };
        let all = [object(json!({ "a": 2, "b": 1 })), object(json!({ "a": 3 })), object(json!({}))];
        assert_eq!(usage(&all), Usage::from([("a".to_owned(), (2, 5)), ("b".to_owned(), (1, 1))]));
    }

    #[test]
    fn a_report_warns_of_what_a_person_should_do() {
        let now = Timestamp::from_second(1_000_000_000).unwrap();
        let far = 2_000_000_000;
        let used = Usage::from([("SHA256:old".to_owned(), (7, 9))]);
        let good = key("new", "Sealing", 900_000_000, far);
        let cases = [
            ("all is well", vec![good.clone()], None, &[][..]),
            ("an old one in use", vec![good.clone(), key("old", "Opening", 1, far)], None, &[]),
            ("a deleted one in use", vec![good.clone(), key("old", "Deleted", 1, far)], None, &["7 objects need it"]),
            ("a deleted one nobody needs", vec![good.clone(), key("older", "Deleted", 1, far)], None, &[]),
            ("ended", vec![key("new", "Sealing", 1, 999_999_999)], None, &["has ended"]),
            ("ends soon", vec![key("new", "Sealing", 1, 1_000_000_100)], None, &["within 30 days"]),
            ("none", vec![], None, &["no key to seal with"]),
            ("backed up", vec![good.clone()], Some("2001-01-01T00:00:00Z"), &[]),
            ("backed up before", vec![good.clone()], Some("1990-01-01T00:00:00Z"), &["newer than the last backup"]),
            ("backed up, when?", vec![good], Some("yesterday"), &["cannot be read"]),
        ];
        for (name, keys, backup, expected) in cases {
            let report = report(&keys, &BTreeMap::new(), &used, backup, now);
            assert_eq!(report.warnings.len(), expected.len(), "{name}: {:?}", report.warnings);
            for words in expected {
                assert!(report.warnings[0].contains(words), "{name}: {:?}", report.warnings);
            }
        }
    }
}
