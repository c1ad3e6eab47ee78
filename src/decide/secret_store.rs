//! Who may use a store, and how often it is tried.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::Value;

use super::selector;
use crate::api::secret_store::SecretStoreSpec;
use crate::values::Pattern;

/// How often a store is tried unless it says otherwise, as upstream.
const EVERY: Duration = Duration::from_secs(300);
/// The pause before a call is repeated unless the store says otherwise.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Whether a store is for this class of controller: those that name none are for all.
pub fn is_of_class(spec: &SecretStoreSpec, class: &str) -> bool {
    spec.controller.as_deref().is_none_or(|named| named.is_empty() || named == class)
}

/// Whether objects of a namespace may use a ClusterSecretStore. Without conditions all may; else one field of one
/// condition must match. A pattern or selector that is none matches nothing: in doubt the answer is no.
pub fn permits(spec: &SecretStoreSpec, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
    spec.conditions.is_empty()
        || spec.conditions.iter().any(|condition| {
            condition.namespaces.iter().any(|name| name == namespace)
                || condition.namespace_regexes.iter().any(|regex| matches_regex(regex, namespace))
                || condition.namespace_selector.as_ref().is_some_and(|wanted| selects(wanted, labels))
        })
}

fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    selector::check(selector).is_ok() && selector::matches(selector, labels)
}

/// Whether `permits` needs to know a namespace's labels.
pub fn asks_for_labels(spec: &SecretStoreSpec) -> bool {
    spec.conditions.iter().any(|condition| condition.namespace_selector.is_some())
}

fn matches_regex(regex: &str, namespace: &str) -> bool {
    Pattern::new(regex).is_ok_and(|pattern| pattern.matches(namespace))
}

/// How often a call that failed is repeated, and after which pause: not at all, unless the store says so.
pub fn retries(spec: &SecretStoreSpec) -> (u32, Duration) {
    let settings = spec.retry_settings.clone().unwrap_or_default();
    let pause = settings.retry_interval.and_then(|text| text.parse::<jiff::SignedDuration>().ok());
    let pause = pause.and_then(|signed| Duration::try_from(signed).ok()).unwrap_or(RETRY_PAUSE);
    (settings.max_retries.and_then(|most| u32::try_from(most).ok()).unwrap_or_default(), pause)
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
    fn conditions_permit_what_one_of_their_fields_matches() {
        let labels: BTreeMap<_, _> = [("team".to_owned(), "kelp".to_owned())].into();
        let cases = [
            (json!([]), "any", true),
            (json!([{ "namespaces": ["a"] }, { "namespaces": ["b"] }]), "b", true),
            (json!([{ "namespaces": ["a"] }]), "c", false),
            (json!([{ "namespaceRegexes": ["hop"] }]), "shop", true),
            (json!([{ "namespaceRegexes": ["^hop"] }]), "shop", false),
            (json!([{ "namespaceRegexes": ["("] }]), "shop", false),
            (json!([{ "namespaceRegexes": ["("], "namespaces": ["shop"] }]), "shop", true),
            (json!([{ "namespaceSelector": { "matchLabels": { "team": "kelp" } } }]), "x", true),
            (json!([{ "namespaceSelector": { "matchLabels": { "team": "eel" } } }]), "x", false),
            (json!([{ "namespaceSelector": {} }]), "x", true),
            (json!([{}]), "x", false),
            (
                json!([{ "namespaceSelector": { "matchExpressions": [{ "key": "team", "operator": "NotIn", "values": ["eel"] }] } }]),
                "x",
                true,
            ),
            (
                json!([{ "namespaceSelector": { "matchExpressions": [{ "key": "team", "operator": "DoesNotExist" }] } }]),
                "x",
                false,
            ),
            (
                json!([{ "namespaceSelector": { "matchExpressions": [{ "key": "team", "operator": "Like" }] } }]),
                "x",
                false,
            ),
        ];
        for (conditions, namespace, expected) in cases {
            let spec = spec(json!({ "conditions": conditions }));
            assert_eq!(permits(&spec, namespace, &labels), expected, "{conditions} {namespace}");
        }
    }

    #[test]
    fn calls_are_repeated_as_the_store_says() {
        assert_eq!(retries(&spec(json!({}))).0, 0);
        let asked = json!({ "retrySettings": { "maxRetries": 3, "retryInterval": "200ms" } });
        assert_eq!(retries(&spec(asked)), (3, Duration::from_millis(200)));
        let odd = json!({ "retrySettings": { "maxRetries": -1, "retryInterval": "soon" } });
        assert_eq!(retries(&spec(odd)), (0, RETRY_PAUSE));
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
