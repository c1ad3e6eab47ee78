//! Label selectors, as Kubernetes reads them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Whether labels match; an empty selector matches everything, and an operator that is none matches nothing.
pub fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let rules = selector.match_expressions.iter().flatten();
    equal
        && rules.into_iter().all(|rule| {
            let value = labels.get(&rule.key);
            let listed = || value.is_some_and(|value| rule.values.iter().flatten().any(|entry| entry == value));
            match rule.operator.as_str() {
                "In" => listed(),
                "NotIn" => !listed(),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

/// The same as the text that the API server takes in a list.
pub fn query(selector: &LabelSelector) -> String {
    let equal = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    let rules = selector.match_expressions.iter().flatten().map(|rule| {
        let values = rule.values.clone().unwrap_or_default().join(",");
        match rule.operator.as_str() {
            "In" => format!("{} in ({values})", rule.key),
            "NotIn" => format!("{} notin ({values})", rule.key),
            "DoesNotExist" => format!("!{}", rule.key),
            "Exists" => rule.key.clone(),
            // There is no shorter way to say nothing.
            _ => format!("{key},!{key}", key = rule.key),
        }
    });
    equal.chain(rules).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn labels_are_selected_as_kubernetes_does() {
        let labels = BTreeMap::from([("team".to_owned(), "kelp".to_owned()), ("tier".to_owned(), "x".to_owned())]);
        let rule = |key: &str, operator: &str, values: Value| json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] });
        for (selector, expected, text) in [
            (json!({}), true, ""),
            (json!({ "matchLabels": { "team": "kelp" } }), true, "team=kelp"),
            (json!({ "matchLabels": { "team": "eel" } }), false, "team=eel"),
            (rule("tier", "In", json!(["x", "y"])), true, "tier in (x,y)"),
            (rule("tier", "NotIn", json!(["x"])), false, "tier notin (x)"),
            (rule("absent", "NotIn", json!(["x"])), true, "absent notin (x)"),
            (rule("team", "Exists", json!([])), true, "team"),
            (rule("team", "DoesNotExist", json!([])), false, "!team"),
            (rule("team", "Near", json!([])), false, "team,!team"),
        ] {
            let selector: LabelSelector = serde_json::from_value(selector).unwrap();
            assert_eq!((matches(&selector, &labels), query(&selector).as_str()), (expected, text));
        }
    }
}
