//! Changing the keys of a map that was read, as `rewrite` asks.

use std::collections::BTreeMap;

use regex::Regex;
use seal::SecretBytes;
use serde_json::{Map, Value};

use super::json::plain_json;
use super::{ValueError, text};
use crate::api::external_secret::{ConflictPolicy, MergeStrategy, PriorityPolicy, Rewrite, RewriteMerge};

/// Applies the rewrites in their order. `render` renders a template over the variable `value`, a key.
///
/// Two keys that become one are an error: in the reference chance decides then which value stands.
///
/// # Errors
///
/// [`ValueError::NoPattern`], [`ValueError::Collision`], [`ValueError::Template`], [`ValueError::Merge`].
pub fn rewrite(
    mut values: BTreeMap<String, SecretBytes>,
    rewrites: &[Rewrite],
    render: &dyn Fn(&str, &str) -> Result<String, String>,
) -> Result<BTreeMap<String, SecretBytes>, ValueError> {
    for operation in rewrites {
        values = match &operation.merge {
            Some(merge) => merged(&values, merge)?,
            None => renamed(values, operation, render)?,
        };
    }
    Ok(values)
}

/// One name through rewrites that only change names; a `merge` among them does nothing.
///
/// # Errors
///
/// [`ValueError::NoPattern`], [`ValueError::Template`].
pub fn rewrite_name(
    name: &str,
    rewrites: &[Rewrite],
    render: &dyn Fn(&str, &str) -> Result<String, String>,
) -> Result<String, ValueError> {
    let mut name = name.to_owned();
    for operation in rewrites {
        name = changed(&name, operation, render)?;
    }
    Ok(name)
}

fn renamed(
    values: BTreeMap<String, SecretBytes>,
    operation: &Rewrite,
    render: &dyn Fn(&str, &str) -> Result<String, String>,
) -> Result<BTreeMap<String, SecretBytes>, ValueError> {
    let mut out = BTreeMap::new();
    for (key, value) in values {
        let key = changed(&key, operation, render)?;
        if out.insert(key.clone(), value).is_some() {
            return Err(ValueError::Collision(key));
        }
    }
    Ok(out)
}

fn changed(
    key: &str,
    operation: &Rewrite,
    render: &dyn Fn(&str, &str) -> Result<String, String>,
) -> Result<String, ValueError> {
    if let Some(regexp) = &operation.regexp {
        let pattern = Regex::new(&regexp.source).map_err(|_| ValueError::NoPattern(regexp.source.clone()))?;
        return Ok(pattern.replace_all(key, regexp.target.as_str()).into_owned());
    }
    if let Some(transform) = &operation.transform {
        return render(&transform.template, key).map_err(ValueError::Template);
    }
    Ok(key.to_owned())
}

/// Takes every value for a JSON object and merges them; those named by `priority` come last and so win.
fn merged(
    values: &BTreeMap<String, SecretBytes>,
    merge: &RewriteMerge,
) -> Result<BTreeMap<String, SecretBytes>, ValueError> {
    let others = values.keys().filter(|key| !merge.priority.contains(key));
    let mut whole = Map::new();
    let mut conflicts = Vec::new();
    for key in others.chain(&merge.priority) {
        let Some(value) = values.get(key) else {
            if merge.priority_policy == PriorityPolicy::IgnoreNotFound {
                continue;
            }
            return Err(ValueError::Merge(format!("priority names {key:?}, which is not there")));
        };
        let object: Map<String, Value> = serde_json::from_slice(value.expose())
            .map_err(|_| ValueError::Merge(format!("the value of {key:?} is no JSON object")))?;
        for (name, value) in object {
            if whole.insert(name.clone(), value).is_some() {
                conflicts.push(name);
            }
        }
    }
    if merge.conflict_policy == ConflictPolicy::Error && !conflicts.is_empty() {
        return Err(ValueError::Merge(format!("more than one value has {}", conflicts.join(", "))));
    }
    match merge.strategy {
        MergeStrategy::Extract => {
            Ok(whole.iter().map(|(name, value)| (name.clone(), text(&as_floats(value)).into())).collect())
        }
        MergeStrategy::Json if merge.into.is_empty() => Err(ValueError::Merge("strategy JSON needs `into`".to_owned())),
        MergeStrategy::Json => {
            let mut out = values.clone();
            out.insert(merge.into.clone(), plain_json(&as_floats(&Value::Object(whole))).into());
            Ok(out)
        }
    }
}

/// Numbers as the reference has them, which reads them as floats: whole ones lose the digits that a float does not hold.
fn as_floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or_else(|| value.clone(), Value::from),
        Value::Array(items) => Value::Array(items.iter().map(as_floats).collect()),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), as_floats(value))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, SecretBytes> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned().into())).collect()
    }

    fn run(pairs: &[(&str, &str)], rewrites: Value) -> Result<Vec<(String, String)>, String> {
        let rewrites: Vec<Rewrite> = serde_json::from_value(rewrites).unwrap();
        let render = |template: &str, key: &str| Ok(template.replace("{{ .value }}", key));
        let out = rewrite(values(pairs), &rewrites, &render).map_err(|error| error.to_string())?;
        let text = |value: SecretBytes| String::from_utf8(value.expose().to_vec()).unwrap();
        Ok(out.into_iter().map(|(key, value)| (key, text(value))).collect())
    }

    #[test]
    fn keys_are_rewritten() {
        let regexp =
            |source: &str, target: &str| serde_json::json!([{ "regexp": { "source": source, "target": target } }]);
        let two = [("user", "u"), ("pass", "p")];
        for (rewrites, expected) in [
            (regexp("(.*)", "my_$1"), ["my_pass", "my_user"]),
            (regexp("^(.)(.*)$", "$1x-$2"), ["-ass", "-ser"]),
            (regexp("^(?P<w>.*)$", "${w}.db"), ["pass.db", "user.db"]),
            (serde_json::json!([{ "transform": { "template": "X_{{ .value }}" } }]), ["X_pass", "X_user"]),
        ] {
            let keys: Vec<_> = run(&two, rewrites.clone()).unwrap().into_iter().map(|(key, _)| key).collect();
            assert_eq!(keys, expected, "{rewrites}");
        }
        assert_eq!(run(&two, regexp("(", "x")).unwrap_err(), "\"(\" is no regular expression");
        assert_eq!(run(&two, regexp(".*", "x")).unwrap_err(), "two keys become \"x\"");
    }

    #[test]
    fn maps_are_merged() {
        let two = [("m1", r#"{"user":"u1","host":"h1"}"#), ("m2", r#"{"user":"u2","port":5432}"#)];
        let merge = |fields: Value| serde_json::json!([{ "merge": fields }]);
        let user = |fields: Value| {
            let out = run(&two, merge(fields));
            out.map(|out| out.into_iter().find(|(key, _)| key == "user").unwrap().1)
        };
        let ignore = |priority: &[&str]| serde_json::json!({ "conflictPolicy": "Ignore", "priority": priority });
        for (fields, expected) in [
            (ignore(&["m1"]), Ok("u1")),
            (ignore(&["m2", "m1"]), Ok("u1")),
            (ignore(&[]), Ok("u2")),
            (ignore(&["m9"]), Err("merge: priority names \"m9\", which is not there")),
            (serde_json::json!({}), Err("merge: more than one value has user")),
            (serde_json::json!({ "priority": ["m1"] }), Err("merge: more than one value has user")),
            (
                serde_json::json!({ "conflictPolicy": "Ignore", "strategy": "JSON" }),
                Err("merge: strategy JSON needs `into`"),
            ),
        ] {
            assert_eq!(user(fields.clone()).as_deref().map_err(String::as_str), expected, "{fields}");
        }
        let whole =
            run(&two, merge(serde_json::json!({ "conflictPolicy": "Ignore", "strategy": "JSON", "into": "all" })));
        assert_eq!(whole.unwrap()[0], ("all".to_owned(), r#"{"host":"h1","port":5432,"user":"u2"}"#.to_owned()));
        let disjoint = run(&[("a", r#"{"x":{"y": "<", "n": 1.0}}"#)], merge(serde_json::json!({}))).unwrap();
        assert_eq!(disjoint, [("x".to_owned(), r#"{"n":1,"y":"\u003c"}"#.to_owned())]);
    }
}
