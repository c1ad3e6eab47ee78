//! Label selectors, as Kubernetes reads them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// A selector that the API server would refuse in a list. It matches nothing, or everything: whoever deletes what is not
/// selected must [`check`] first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// An operator that is none.
    #[error("operator {0:?} is none of In, NotIn, Exists, DoesNotExist")]
    Operator(String),
    /// Values where there can be none, or none where there must be some.
    #[error("operator {operator} for label {key:?} takes {takes}")]
    Values {
        /// The label.
        key: String,
        /// The operator.
        operator: String,
        /// How many values it takes.
        takes: &'static str,
    },
    /// What no label is called.
    #[error("{0:?} is no name of a label")]
    Key(String),
    /// What no label can be.
    #[error(
        "{0:?} is no value of a label: at most 63 letters, digits, `-`, `_` and `.`, a letter or digit at both ends"
    )]
    Value(String),
}

/// Whether the API server would take a selector.
///
/// # Errors
///
/// [`Invalid`].
pub fn check(selector: &LabelSelector) -> Result<(), Invalid> {
    for (key, value) in selector.match_labels.iter().flatten() {
        check_key(key)?;
        check_value(value)?;
    }
    for rule in selector.match_expressions.iter().flatten() {
        check_key(&rule.key)?;
        let values = rule.values.as_deref().unwrap_or_default();
        let (is_right, takes) = match rule.operator.as_str() {
            "In" | "NotIn" => (!values.is_empty(), "one value at least"),
            "Exists" | "DoesNotExist" => (values.is_empty(), "no values"),
            other => return Err(Invalid::Operator(other.to_owned())),
        };
        if !is_right {
            return Err(Invalid::Values { key: rule.key.clone(), operator: rule.operator.clone(), takes });
        }
        values.iter().try_for_each(|value| check_value(value))?;
    }
    Ok(())
}

/// `example.org/name`: a DNS subdomain of at most 253 bytes, and a name as values are, but never empty.
fn check_key(key: &str) -> Result<(), Invalid> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let is_part =
        |part: &str| is_word(part, |byte| byte == b'-') && !part.bytes().any(|byte| byte.is_ascii_uppercase());
    let is_domain = |prefix: &str| prefix.len() <= 253 && prefix.split('.').all(is_part);
    let is_name = !name.is_empty() && check_value(name).is_ok();
    if is_name && prefix.is_none_or(is_domain) { Ok(()) } else { Err(Invalid::Key(key.to_owned())) }
}

fn check_value(value: &str) -> Result<(), Invalid> {
    let is_value = value.is_empty() || is_word(value, |byte| matches!(byte, b'-' | b'_' | b'.'));
    if is_value { Ok(()) } else { Err(Invalid::Value(value.to_owned())) }
}

/// At most 63 letters, digits, and what goes between them.
fn is_word(text: &str, is_between: impl Fn(u8) -> bool) -> bool {
    let ends = [text.bytes().next(), text.bytes().next_back()];
    text.len() <= 63
        && ends.iter().all(|end| end.is_some_and(|end| end.is_ascii_alphanumeric()))
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_between(byte))
}

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
    fn what_the_api_server_would_refuse_is_refused_here() {
        let rule = |key: &str, operator: &str, values: Value| json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] });
        let labels = |key: &str, value: &str| json!({ "matchLabels": { key: value } });
        let long = "a".repeat(64);
        for (selector, expected) in [
            (json!({}), ""),
            (labels("team", "kelp"), ""),
            (labels("example.org/team", ""), ""),
            (rule("team", "In", json!(["a", "b_c.D-e"])), ""),
            (rule("team", "NotIn", json!(["a"])), ""),
            (rule("team", "Exists", json!([])), ""),
            (rule("team", "DoesNotExist", Value::Null), ""),
            (rule("team", "Near", json!([])), "Near"),
            (rule("team", "in", json!(["a"])), "none of In"),
            (rule("team", "In", json!([])), "one value at least"),
            (rule("team", "NotIn", Value::Null), "one value at least"),
            (rule("team", "Exists", json!(["a"])), "no values"),
            (rule("", "Exists", json!([])), "no name"),
            (rule("a/b/c", "Exists", json!([])), "no name"),
            (rule("Upper.org/team", "Exists", json!([])), "no name"),
            (rule("-.org/team", "Exists", json!([])), "no name"),
            (rule("team", "NotIn", json!(["a b"])), "no value"),
            (labels("team", "kelp-"), "no value"),
            (labels("team", &long), "no value"),
            (labels(&long, "kelp"), "no name"),
        ] {
            let read: LabelSelector = serde_json::from_value(selector.clone()).unwrap();
            let told = check(&read).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(told.contains(expected) && told.is_empty() == expected.is_empty(), "{selector}: {told:?}");
        }
    }

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
