//! Which fields of a Secret are whose: read from `metadata.managedFields`, where every writer is recorded.

use std::collections::BTreeSet;

use kube::api::ObjectMeta;
use serde_json::Value;

/// What one manager has written, by server-side apply or otherwise, and nobody has written over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) data: BTreeSet<String>,
    pub(super) labels: BTreeSet<String>,
    pub(super) annotations: BTreeSet<String>,
}

impl Owned {
    /// What `manager` has written.
    pub(super) fn by(metadata: &ObjectMeta, manager: &str) -> Self {
        let mut owned = Self::default();
        for entry in metadata.managed_fields.iter().flatten() {
            if entry.manager.as_deref() != Some(manager)
                || entry.subresource.as_deref().is_some_and(|name| !name.is_empty())
            {
                continue;
            }
            let Some(fields) = &entry.fields_v1 else { continue };
            let below = |path: &[&str]| {
                let place = path.iter().try_fold(&fields.0, |place, name| place.get(name));
                let names = place.and_then(Value::as_object).into_iter().flat_map(|fields| fields.keys());
                names.filter_map(|name| name.strip_prefix("f:").map(str::to_owned)).collect::<Vec<_>>()
            };
            owned.data.extend(below(&["f:data"]));
            owned.labels.extend(below(&["f:metadata", "f:labels"]));
            owned.annotations.extend(below(&["f:metadata", "f:annotations"]));
        }
        owned
    }

    pub(super) fn is_empty(&self) -> bool {
        self.data.is_empty() && self.labels.is_empty() && self.annotations.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_told_apart_by_their_manager() {
        let entry = |manager: &str, operation: &str, fields: Value| json!({ "manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields });
        let metadata: ObjectMeta = serde_json::from_value(json!({ "managedFields": [
            entry("m", "Update", json!({ "f:data": { ".": {}, "f:a": {} }, "f:metadata": { "f:labels": { "f:l": {} } } })),
            entry("m", "Apply", json!({ "f:data": { "f:b": {} }, "f:metadata": { "f:annotations": { "f:x/y": {} } } })),
            entry("other", "Update", json!({ "f:data": { "f:c": {} } })),
        ] }))
        .unwrap();
        let owned = Owned::by(&metadata, "m");
        assert_eq!(owned.data.into_iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(owned.labels.into_iter().collect::<Vec<_>>(), ["l"]);
        assert_eq!(owned.annotations.into_iter().collect::<Vec<_>>(), ["x/y"]);
        assert!(Owned::by(&metadata, "nobody").is_empty());
    }
}
