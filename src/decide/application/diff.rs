//! Whether two versions of an object are the same.
//!
//! The API server itself says what an apply would leave (a dry run), with all its defaults: what differs from that is
//! drift, and nothing else is.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use crate::plan::Manifest;

/// Bookkeeping of the API server.
const BOOKKEEPING: [&str; 5] = ["managedFields", "resourceVersion", "generation", "creationTimestamp", "uid"];

/// Whether an apply would change nothing. Status is nobody's wish, so it is not compared.
pub fn same(live: &Manifest, predicted: &Manifest) -> bool {
    let (live, predicted) = (live.fields(), predicted.fields());
    let compared = |name: &&String| !matches!(name.as_str(), "status" | "metadata" | "apiVersion" | "kind");
    let count = |fields: &serde_json::Map<String, Value>| fields.keys().filter(compared).count();
    count(live) == count(predicted)
        && live.iter().filter(|(name, _)| compared(name)).all(|(name, value)| predicted.get(name) == Some(value))
        && same_metadata(live.get("metadata"), predicted.get("metadata"))
}

fn same_metadata(live: Option<&Value>, predicted: Option<&Value>) -> bool {
    let (Some(Value::Object(live)), Some(Value::Object(predicted))) = (live, predicted) else { return false };
    let compared = |name: &&String| !BOOKKEEPING.contains(&name.as_str());
    live.keys().filter(compared).count() == predicted.keys().filter(compared).count()
        && live.iter().filter(|(name, _)| compared(name)).all(|(name, value)| predicted.get(name) == Some(value))
}

/// A hash by which a manifest is known again within this process.
pub fn fingerprint(manifest: &Manifest) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash(&Value::Object(manifest.fields().clone()), &mut hasher);
    hasher.finish()
}

fn hash(value: &Value, hasher: &mut DefaultHasher) {
    value.to_string().hash(hasher);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_people_declare_is_compared_and_nothing_else() {
        let live = json!({
            "apiVersion": "v1", "kind": "Service", "status": { "a": 1 }, "spec": { "type": "ClusterIP", "ports": [80] },
            "metadata": { "name": "a", "labels": { "x": "y" }, "resourceVersion": "1", "managedFields": [] },
        });
        let change = |pointer: &str, value: Value| {
            let mut changed = live.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            Manifest::new(changed).unwrap()
        };
        let live_manifest = Manifest::new(live.clone()).unwrap();
        for (pointer, value, expected) in [
            ("/status", json!({ "a": 2 }), true),
            ("/metadata/resourceVersion", json!("2"), true),
            ("/metadata/labels", json!({ "x": "z" }), false),
            ("/metadata/labels", json!({}), false),
            ("/spec/ports", json!([80, 81]), false),
        ] {
            assert_eq!(same(&live_manifest, &change(pointer, value)), expected, "{pointer}");
        }
        assert_eq!(fingerprint(&live_manifest), fingerprint(&Manifest::new(live).unwrap()));
    }
}
