//! Who may use a store, and how often it is tried.

use std::time::Duration;

use serde_json::Value;

use crate::api::secret_store::SecretStoreSpec;

mod references;

pub use references::references;

/// How often a store is tried unless it says otherwise, as upstream.
const EVERY: Duration = Duration::from_secs(300);

/// Whether a store is for this class of controller: those that name none are for all.
pub fn is_of_class(spec: &SecretStoreSpec, class: &str) -> bool {
    spec.controller.as_deref().is_none_or(|named| named.is_empty() || named == class)
}

/// Whether objects of a namespace may use a ClusterSecretStore. Without conditions all may. A condition that holds
/// something we do not honour permits nothing: in doubt the answer is no.
pub fn permits(spec: &SecretStoreSpec, namespace: &str) -> bool {
    spec.conditions.is_empty()
        || spec.conditions.iter().any(|condition| condition.namespaces.iter().any(|name| name == namespace))
}

/// How often the store is tried: seconds or a Go duration.
pub fn interval(spec: &SecretStoreSpec) -> Duration {
    let asked = match spec.refresh_interval.as_ref().map(|carried| &carried.0) {
        Some(Value::Number(seconds)) => seconds.as_u64().map(Duration::from_secs),
        Some(Value::String(text)) => text
            .parse::<jiff::SignedDuration>()
            .ok()
            .and_then(|signed| Duration::try_from(signed).ok())
            .or_else(|| text.parse().ok().map(Duration::from_secs)),
        _ => None,
    };
    asked.filter(|asked| !asked.is_zero()).unwrap_or(EVERY)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(fields: Value) -> SecretStoreSpec {
        let mut value = json!({ "provider": { "vault": { "server": "https://v" } } });
        value.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn conditions_permit_named_namespaces_only() {
        assert!(permits(&spec(json!({})), "any"));
        let listed = spec(json!({ "conditions": [{ "namespaces": ["a"] }, { "namespaces": ["b"] }] }));
        assert!(permits(&listed, "b") && !permits(&listed, "c"));
        let unhonoured = spec(json!({ "conditions": [{ "namespaceRegexes": [".*"] }] }));
        assert!(!permits(&unhonoured, "a"));
    }

    #[test]
    fn intervals_are_seconds_or_durations() {
        for (value, seconds) in
            [(json!(60), 60), (json!("60"), 60), (json!("2m"), 120), (json!(0), 300), (json!("x"), 300)]
        {
            assert_eq!(interval(&spec(json!({ "refreshInterval": value }))).as_secs(), seconds, "{value}");
        }
    }
}
