//! Where we differ from the reference on purpose, each with its reason; everything else is exact. `MIGRATING.md` tells
//! users the same.

use std::collections::BTreeSet;

use serde_json::Value;

/// What is expected of us in place of what was recorded.
enum Ours {
    /// It is not there.
    Nothing,
    /// This JSON.
    Json(&'static str),
}

use Ours::{Json, Nothing};

struct Difference {
    case: &'static str,
    /// Empty for every step.
    step: &'static str,
    path: &'static str,
    ours: Ours,
    /// For readers.
    #[expect(dead_code, reason = "the reason stands beside the difference")]
    why: &'static str,
}

const fn differs(
    case: &'static str,
    step: &'static str,
    path: &'static str,
    ours: Ours,
    why: &'static str,
) -> Difference {
    Difference { case, step, path, ours, why }
}

/// Finalizers that we need not: what an ExternalSecret makes goes by its owner reference, and Namespaces are not ours to hold.
const FINALIZERS: [&str; 4] = [
    "externalsecrets.external-secrets.io/externalsecret-cleanup",
    "externalsecrets.external-secrets.io/clusterexternalsecret-cleanup",
    "externalsecrets.external-secrets.io/ces-",
    "secretstore.externalsecrets.io/finalizer",
];

const HEALS: &str = "changed labels and annotations of ours are put right at once, not an hour later";
const FORGETS: &str = "the reference forgets labels of objects with names of 28 to 63 letters";
const MARKS: &str = "a Secret that may not be written is not marked either";

const DIFFERENCES: &[Difference] = &[
    differs(
        "bao-openbao-provider",
        "create",
        "secretstores|bao|capabilities",
        Json("\"ReadWrite\""),
        "a PushSecret can write to OpenBao under this name, too",
    ),
    differs("owner-metadata-drift", "drift", "secrets|t|labels|l", Json("\"v\""), HEALS),
    differs("owner-metadata-drift", "drift", "secrets|t|annotations|n", Json("\"v\""), HEALS),
    differs(
        "owner-metadata-drift",
        "drift",
        "events",
        Json(r#"["ExternalSecret/es Normal Created", "ExternalSecret/es Normal Updated"]"#),
        HEALS,
    ),
    differs(
        "owner-metadata-drift",
        "unmanage",
        "secrets|t|labels|reconcile.external-secrets.io/managed",
        Json("\"true\""),
        HEALS,
    ),
    differs("template-none-copies-metadata-long-name", "remove", "secrets|t|labels|l2", Nothing, FORGETS),
    differs("immutable-foreign", "create", "secrets|t|labels", Json("{}"), MARKS),
    differs("immutable-foreign", "create", "secrets|t|annotations", Json("{}"), MARKS),
    differs("immutable-foreign", "create", "secrets|t|owners", Json("[]"), MARKS),
    differs("owner-of-another-controller", "create", "secrets|t|labels", Json("{}"), MARKS),
];

/// Turns a recorded outcome into what is expected of us.
pub(super) fn apply(case: &str, step: &str, outcome: &mut Value) {
    without_finalizers(outcome);
    let rows = DIFFERENCES.iter().filter(|row| row.case == case && (row.step.is_empty() || row.step == step));
    for row in rows {
        remove(outcome, row.path);
        if let Json(text) = row.ours {
            set(outcome, row.path, serde_json::from_str(text).unwrap());
        }
    }
}

/// Rows whose case was not played although all were.
pub(super) fn unused(played: &BTreeSet<&str>) -> Vec<&'static str> {
    let all = super::names().len() == played.len();
    DIFFERENCES.iter().map(|row| row.case).filter(|case| all && !played.contains(case)).collect()
}

fn without_finalizers(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::Array(names)) = fields.get_mut("finalizers") {
                let had = names.len();
                names.retain(|name| {
                    !FINALIZERS.iter().any(|known| name.as_str().unwrap_or_default().starts_with(known))
                });
                // Objects without finalizers do not show the field; Namespaces do.
                if names.is_empty() && had > 0 && !fields.contains_key("secrets") {
                    fields.remove("finalizers");
                }
            }
            fields.values_mut().for_each(without_finalizers);
        }
        Value::Array(items) => items.iter_mut().for_each(without_finalizers),
        _ => {}
    }
}

/// Takes away what a path with `|` between its parts leads to.
pub(super) fn remove(value: &mut Value, path: &str) {
    let (parents, last) = path.rsplit_once('|').unwrap_or(("", path));
    let parents = parents.split('|').filter(|part| !part.is_empty());
    let place = parents.fold(Some(value), |place, part| place.and_then(|place| place.get_mut(part)));
    if let Some(fields) = place.and_then(Value::as_object_mut) {
        fields.remove(last);
    }
}

fn set(value: &mut Value, path: &str, ours: Value) {
    let place = path.split('|').fold(value, |place, part| &mut place[part]);
    *place = ours;
}

/// Messages are for people: each controller has its own words.
pub(super) fn strip_messages(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if ["type", "status", "reason"].iter().all(|name| fields.contains_key(*name)) {
                fields.remove("message");
            }
            fields.values_mut().for_each(strip_messages);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_messages),
        _ => {}
    }
}

/// What differs, one line each.
pub(super) fn between(wanted: &Value, seen: &Value, path: &str) -> Vec<String> {
    let short = |value: &Value| value.to_string().chars().take(200).collect::<String>();
    match (wanted, seen) {
        (Value::Object(wanted), Value::Object(seen)) => {
            let names: BTreeSet<&String> = wanted.keys().chain(seen.keys()).collect();
            names
                .into_iter()
                .flat_map(|name| match (wanted.get(name), seen.get(name)) {
                    (Some(wanted), Some(seen)) => between(wanted, seen, &format!("{path}/{name}")),
                    (Some(wanted), None) => vec![format!("{path}/{name}: expected {}, missing", short(wanted))],
                    (None, Some(seen)) => vec![format!("{path}/{name}: not expected, got {}", short(seen))],
                    (None, None) => Vec::new(),
                })
                .collect()
        }
        (wanted, seen) if wanted == seen => Vec::new(),
        (wanted, seen) => vec![format!("{path}: expected {}, got {}", short(wanted), short(seen))],
    }
}
