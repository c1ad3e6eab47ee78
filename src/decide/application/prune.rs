//! What left Git.

use kube::api::ObjectMeta;

use super::desired::has_option;
use super::tracking;
use crate::api::application::{COMPARE_OPTIONS, SYNC_OPTIONS, TRACKING_ID};
use crate::plan::ObjectRef;

/// What a live object is to this Application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is this Application's, and goes when it leaves Git.
    Managed {
        /// It asks to stay when it leaves Git.
        keeps: bool,
        /// It asks to stay when the Application goes.
        outlives: bool,
        /// It asks that its absence from Git be no difference.
        extraneous: bool,
    },
    /// It bears a copy of some other object's mark: shown, and left alone.
    Copied,
    /// It is somebody else's.
    Foreign,
}

/// What a live object is to the Application of this name in tracking ids.
///
/// An object with an owner is its owner's: it goes with it, and never by us.
pub fn claim(object: &ObjectRef, metadata: &ObjectMeta, instance: &str) -> Claim {
    let annotation = |name: &str| metadata.annotations.as_ref().and_then(|annotations| annotations.get(name));
    let Some((theirs, own)) = annotation(TRACKING_ID).and_then(|id| tracking::read(id, object)) else {
        return Claim::Foreign;
    };
    if theirs != instance || metadata.owner_references.as_ref().is_some_and(|owners| !owners.is_empty()) {
        return Claim::Foreign;
    }
    if !own {
        return Claim::Copied;
    }
    let options = annotation(SYNC_OPTIONS).map(String::as_str);
    let kept_by_helm = annotation("helm.sh/resource-policy").is_some_and(|policy| policy == "keep");
    let compared = annotation(COMPARE_OPTIONS).map(String::as_str);
    Claim::Managed {
        extraneous: has_option(compared, "IgnoreExtraneous"),
        keeps: has_option(options, "Prune=false") || has_option(options, "Prune=confirm"),
        outlives: has_option(options, "Delete=false") || has_option(options, "Delete=confirm") || kept_by_helm,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::ObjectKey;

    #[test]
    fn only_what_is_ours_goes() {
        let object =
            ObjectRef { api_version: "v1".to_owned(), kind: "ConfigMap".to_owned(), key: ObjectKey::new("shop", "a") };
        let managed = |keeps, outlives| Claim::Managed { keeps, outlives, extraneous: false };
        let owner = json!([{ "apiVersion": "v1", "kind": "X", "name": "x", "uid": "1" }]);
        for (annotations, owners, expected) in [
            (json!({ TRACKING_ID: "app:/ConfigMap:shop/a" }), Value::Null, managed(false, false)),
            (
                json!({ TRACKING_ID: "app:/ConfigMap:shop/a", SYNC_OPTIONS: "Prune=false" }),
                Value::Null,
                managed(true, false),
            ),
            (
                json!({ TRACKING_ID: "app:/ConfigMap:shop/a", SYNC_OPTIONS: "A=b, Delete=false" }),
                Value::Null,
                managed(false, true),
            ),
            (json!({ TRACKING_ID: "app:/ConfigMap:shop/a" }), owner, Claim::Foreign),
            (json!({ TRACKING_ID: "app:/ConfigMap:shop/b" }), Value::Null, Claim::Copied),
            (json!({ TRACKING_ID: "other:/ConfigMap:shop/a" }), Value::Null, Claim::Foreign),
            (json!({}), Value::Null, Claim::Foreign),
        ] {
            let metadata: ObjectMeta =
                serde_json::from_value(json!({ "annotations": annotations, "ownerReferences": owners })).unwrap();
            assert_eq!(claim(&object, &metadata, "app"), expected, "{annotations}");
        }
    }
}
