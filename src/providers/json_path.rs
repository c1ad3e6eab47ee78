//! JSONPath, as far as answers of web services need it.

use jsonpath_rust::JsonPath;
use serde_json::Value;

/// What a path leads to: one value by itself, several as a list, none when it leads nowhere. An error when it is no
/// path. `$` may be left out in front.
pub(super) fn pick(document: &Value, path: &str) -> Result<Option<Value>, ()> {
    // Kubernetes writes its paths in braces.
    let path = path.trim().trim_start_matches('{').trim_end_matches('}');
    let path = if path.starts_with('$') { path.to_owned() } else { format!("$.{}", path.trim_start_matches('.')) };
    let found = document.query(&path).map_err(|_| ())?;
    // A path without choices means one value.
    let is_single = !path.contains(['*', '?', ':', ',']) && !path.contains("..");
    let mut found = found.into_iter().cloned();
    if is_single {
        return Ok(found.next());
    }
    let found: Vec<_> = found.collect();
    Ok((!found.is_empty()).then_some(Value::Array(found)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_values() {
        let document = json!({ "a": { "b": [{ "x": 1 }, { "x": 2, "y": "z" }] }, "d-e": "f" });
        for (path, expected) in [
            ("$.a.b[1].y", Ok(Some(json!("z")))),
            ("a.b[0].x", Ok(Some(json!(1)))),
            ("{.a.b[0].x}", Ok(Some(json!(1)))),
            ("$['d-e']", Ok(Some(json!("f")))),
            ("$.a.b[*].x", Ok(Some(json!([1, 2])))),
            ("$..y", Ok(Some(json!(["z"])))),
            ("$.a.b[?(@.x == 2)].y", Ok(Some(json!(["z"])))),
            ("$.none", Ok(None)),
            ("$.[[", Err(())),
        ] {
            assert_eq!(pick(&document, path), expected, "{path}");
        }
    }
}
