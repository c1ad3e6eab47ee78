//! Holds our schemas to upstream's: every upstream path is there, with the same type, and nothing is refused that
//! upstream accepts. The files in `tests/golden/crds` list upstream's fields; see the first line of each.

use std::path::Path;

use serde_json::{Value, json};

/// Where we differ on purpose, with the reason.
const EXCEPTIONS: [(&str, &str, &str); 1] = [(
    "applications.argoproj.io",
    "spec.project",
    "optional: the mission's App of Apps names none, and `default` is meant",
)];

#[test]
fn every_upstream_field_is_there_and_nothing_more_is_refused() {
    let mut wrong = Vec::new();
    for (name, crd) in super::all_crds() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/crds").join(format!("{name}.tsv"));
        let Ok(upstream) = std::fs::read_to_string(&file) else {
            assert!(name.ends_with(".chancery.dev"), "{name}: no list of upstream's fields");
            continue;
        };
        let crd = serde_json::to_value(&crd).unwrap();
        let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap();
        let mut fields = 0;
        for line in upstream.lines().filter(|line| !line.starts_with('#')) {
            let mut columns = line.split('\t');
            let (path, kind) = (columns.next().unwrap(), columns.next().unwrap());
            let rules = columns.next().unwrap_or_default();
            fields += 1;
            let excepted = EXCEPTIONS.iter().any(|(crd, field, _)| *crd == name && *field == path);
            if let Some(trouble) = compare(schema, path, kind, rules).filter(|_| !excepted) {
                wrong.push(format!("{name}: {path}: {trouble}"));
            }
        }
        assert!(fields > 0, "{name}: the list is empty");
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn columns_and_names_are_upstreams() {
    for (name, crd) in super::all_crds() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/crds").join(format!("{name}.tsv"));
        let Ok(upstream) = std::fs::read_to_string(file) else { continue };
        let crd = serde_json::to_value(&crd).unwrap();
        let columns = crd.pointer("/spec/versions/0/additionalPrinterColumns").and_then(Value::as_array);
        for line in upstream.lines().filter_map(|line| line.strip_prefix("# column ")) {
            let path = &line[line.find(" .").unwrap() + 1..];
            let path = path.split(" priority=").next().unwrap();
            let known = columns.is_some_and(|all| all.iter().any(|column| column["jsonPath"] == path));
            assert!(known, "{name}: no column {line}");
        }
        let first = upstream.lines().next().unwrap();
        let short = first.split("shortNames=").nth(1).unwrap().split(' ').next().unwrap();
        let ours: Vec<_> =
            crd["spec"]["names"]["shortNames"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert_eq!(ours.join(","), short, "{name}: short names");
    }
}

/// What is wrong with our schema at `path`, if anything.
fn compare(root: &Value, path: &str, kind: &str, rules: &str) -> Option<String> {
    let mut schema = root;
    let mut required = false;
    for segment in path.split('.') {
        let bare = segment.trim_end_matches("[]").trim_end_matches("{}");
        // Inside a leaf that is kept as it was written, everything is there.
        if is_open(schema) && schema.pointer(&format!("/properties/{bare}")).is_none() {
            return None;
        }
        required = schema["required"].as_array().is_some_and(|all| all.contains(&json!(bare)));
        schema = match schema.pointer(&format!("/properties/{bare}")) {
            Some(schema) => schema,
            None => return Some("is not there".to_owned()),
        };
        let mut rest = &segment[bare.len()..];
        while !rest.is_empty() {
            if is_open(schema) && schema.get("type").is_none() {
                return None;
            }
            let (step, after) = if let Some(after) = rest.strip_prefix("[]") {
                (schema.get("items"), after)
            } else {
                (schema.get("additionalProperties"), &rest[2..])
            };
            schema = match step {
                Some(schema) => schema,
                None if is_open(schema) => return None,
                None => return Some("has no items".to_owned()),
            };
            rest = after;
            required = false;
        }
    }
    if is_open(schema) && schema.get("type").is_none() {
        return None;
    }
    let wanted = match kind {
        "map" => "object",
        "any" => return None,
        other => other,
    };
    if schema["type"] != wanted {
        return Some(format!("is {} and not {wanted}", schema["type"]));
    }
    if required && !rules.contains("required") {
        return Some("is required by us only".to_owned());
    }
    refuses_more(schema, rules)
}

fn refuses_more(schema: &Value, rules: &str) -> Option<String> {
    let rule = |name: &str| -> Option<Value> {
        let start = rules.find(&format!("{name}="))? + name.len() + 1;
        serde_json::Deserializer::from_str(&rules[start..]).into_iter::<Value>().next()?.ok()
    };
    if let Some(ours) = schema.get("enum").and_then(Value::as_array) {
        let theirs = rule("enum");
        let Some(theirs) = theirs.as_ref().and_then(Value::as_array) else {
            return Some("only we have an enum".to_owned());
        };
        if let Some(missing) = theirs.iter().find(|value| !ours.contains(value)) {
            return Some(format!("does not take {missing}"));
        }
    }
    if let Some(ours) = schema.get("pattern").filter(|ours| rule("pattern").as_ref() != Some(*ours)) {
        return Some(format!("has another pattern, {ours}"));
    }
    if schema.get("default") != rule("default").as_ref() {
        return Some(format!("has the default {:?} and upstream {:?}", schema.get("default"), rule("default")));
    }
    for (name, smaller_is_stricter) in
        [("maxLength", true), ("maxItems", true), ("maxProperties", true), ("minLength", false), ("minItems", false)]
    {
        let Some(ours) = schema.get(name).and_then(Value::as_i64) else { continue };
        let theirs = rule(name).and_then(|value| value.as_i64());
        let stricter = theirs.is_none_or(|theirs| if smaller_is_stricter { ours < theirs } else { ours > theirs });
        if stricter {
            return Some(format!("has {name} {ours}, upstream {theirs:?}"));
        }
    }
    None
}

fn is_open(schema: &Value) -> bool {
    schema["x-kubernetes-preserve-unknown-fields"] == true
}
