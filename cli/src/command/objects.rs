//! Objects among plain values: documents, and what Lists hold.

use serde_json::Value;

/// All objects of this kind.
pub(crate) fn of_kind<'v>(documents: &'v [Value], kind: &'v str) -> impl Iterator<Item = &'v Value> {
    documents
        .iter()
        .flat_map(|document| match (&document["items"], document["kind"].as_str()) {
            (Value::Array(items), Some(list)) if list.ends_with("List") => items.iter().collect(),
            _ => vec![document],
        })
        .filter(move |object| object["kind"] == kind)
}
