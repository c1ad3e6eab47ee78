//! What a ClusterExternalSecret and a ClusterPushSecret have in common: one object of a kind in every namespace that is
//! selected, and none where it is not.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ObjectMeta;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use super::external_secret::Error;
use super::selector;
use super::status::external_secret::condition;
use crate::api::cluster_external_secret::{
    ClusterExternalSecret, ClusterExternalSecretStatus, FORCE_SYNC, NAMESPACE_FINALIZER,
};
use crate::api::external_secret::Condition;
use crate::api::push_secret::{ChildMetadata, ClusterPushSecret, ClusterPushSecretStatus, FailedNamespace};
use crate::api::{ExternalSecret, PushSecret};
use crate::plan::Manifest;

const NOT_ALL: &str = "one or more namespaces failed";
const NOT_OURS: &str = "external secret already exists in namespace";

/// A kind whose objects make objects of another kind.
pub trait Parent: Resource<DynamicType = ()> {
    /// What is made.
    type Child: Resource<DynamicType = ()>;
    /// What the reference left on it, and comes off when it goes.
    const FINALIZER: Option<&'static str>;
    /// Name of the children; the object's own when absent.
    fn child_name(&self) -> Option<&str>;
    /// Labels and annotations of the children.
    fn child_metadata(&self) -> ChildMetadata;
    /// What the children say.
    fn child_spec(&self) -> Value;
    /// What a child says.
    fn spec_of(child: &Self::Child) -> Value;
    /// One of them must match. With where each stands.
    fn selectors(&self) -> Vec<(String, &LabelSelector)>;
    /// In these as well.
    fn namespaces(&self) -> &[String];
    /// How often to look again.
    fn refresh_time(&self) -> Option<&str>;
    /// The namespaces in which it said that it has a child.
    fn provisioned(&self) -> &[String];
    /// The name that the children had before.
    fn name_before(&self) -> Option<&str>;
    /// The conditions that are known.
    fn conditions(&self) -> &[Condition];
    /// A complete status.
    fn status(
        name: String,
        provisioned: Vec<String>,
        failed: Vec<FailedNamespace>,
        conditions: Vec<Condition>,
    ) -> Value;
}

impl Parent for ClusterExternalSecret {
    type Child = ExternalSecret;
    const FINALIZER: Option<&'static str> = Some(crate::api::cluster_external_secret::FINALIZER);

    fn child_name(&self) -> Option<&str> {
        self.spec.external_secret_name.as_deref()
    }

    fn child_metadata(&self) -> ChildMetadata {
        self.spec.external_secret_metadata.clone().unwrap_or_default()
    }

    fn child_spec(&self) -> Value {
        serde_json::to_value(&self.spec.external_secret_spec).unwrap_or_default()
    }

    fn spec_of(child: &ExternalSecret) -> Value {
        serde_json::to_value(&child.spec).unwrap_or_default()
    }

    fn selectors(&self) -> Vec<(String, &LabelSelector)> {
        let old = self.spec.namespace_selector.iter().map(|selector| ("spec.namespaceSelector".to_owned(), selector));
        numbered(&self.spec.namespace_selectors).chain(old).collect()
    }

    fn namespaces(&self) -> &[String] {
        &self.spec.namespaces
    }

    fn refresh_time(&self) -> Option<&str> {
        self.spec.refresh_time.as_deref()
    }

    fn provisioned(&self) -> &[String] {
        self.status.as_ref().map(|status| status.provisioned_namespaces.as_slice()).unwrap_or_default()
    }

    fn name_before(&self) -> Option<&str> {
        self.status.as_ref()?.external_secret_name.as_deref()
    }

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
    }

    fn status(
        name: String,
        provisioned_namespaces: Vec<String>,
        failed_namespaces: Vec<FailedNamespace>,
        conditions: Vec<Condition>,
    ) -> Value {
        let external_secret_name = Some(name).filter(|name| !name.is_empty());
        let status =
            ClusterExternalSecretStatus { external_secret_name, provisioned_namespaces, failed_namespaces, conditions };
        serde_json::to_value(status).unwrap_or_default()
    }
}

impl Parent for ClusterPushSecret {
    type Child = PushSecret;
    const FINALIZER: Option<&'static str> = None;

    fn child_name(&self) -> Option<&str> {
        self.spec.push_secret_name.as_deref()
    }

    fn child_metadata(&self) -> ChildMetadata {
        self.spec.push_secret_metadata.clone().unwrap_or_default()
    }

    fn child_spec(&self) -> Value {
        serde_json::to_value(&self.spec.push_secret_spec).unwrap_or_default()
    }

    fn spec_of(child: &PushSecret) -> Value {
        serde_json::to_value(&child.spec).unwrap_or_default()
    }

    fn selectors(&self) -> Vec<(String, &LabelSelector)> {
        numbered(&self.spec.namespace_selectors).collect()
    }

    fn namespaces(&self) -> &[String] {
        &[]
    }

    fn refresh_time(&self) -> Option<&str> {
        self.spec.refresh_time.as_deref()
    }

    fn provisioned(&self) -> &[String] {
        self.status.as_ref().map(|status| status.provisioned_namespaces.as_slice()).unwrap_or_default()
    }

    fn name_before(&self) -> Option<&str> {
        self.status.as_ref()?.push_secret_name.as_deref()
    }

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
    }

    fn status(
        name: String,
        provisioned_namespaces: Vec<String>,
        failed_namespaces: Vec<FailedNamespace>,
        conditions: Vec<Condition>,
    ) -> Value {
        let push_secret_name = Some(name).filter(|name| !name.is_empty());
        let status =
            ClusterPushSecretStatus { push_secret_name, provisioned_namespaces, failed_namespaces, conditions };
        serde_json::to_value(status).unwrap_or_default()
    }
}

fn numbered(selectors: &[LabelSelector]) -> impl Iterator<Item = (String, &LabelSelector)> {
    let field = |index| format!("spec.namespaceSelectors[{index}]");
    selectors.iter().enumerate().map(move |(index, selector)| (field(index), selector))
}

/// Refuses selectors that mean nothing: whatever they do not select would be deleted.
///
/// # Errors
///
/// [`Error::Selector`].
pub fn check<P: Parent>(parent: &P) -> Result<(), Error> {
    parent.selectors().into_iter().try_for_each(|(field, selector)| Error::check_selector(field, selector))
}

/// Name of an object's children.
pub fn name_of<P: Parent>(parent: &P) -> String {
    parent.child_name().filter(|name| !name.is_empty()).map_or_else(|| parent.name_any(), str::to_owned)
}

/// Whether an object is to have a child in a namespace. One that is going takes no more objects.
pub fn selects<P: Parent>(parent: &P, namespace: &ObjectMeta) -> bool {
    let none = BTreeMap::new();
    let labels = namespace.labels.as_ref().unwrap_or(&none);
    namespace.deletion_timestamp.is_none()
        && (parent.selectors().iter().any(|(_, wanted)| selector::matches(wanted, labels))
            || parent.namespaces().iter().any(|name| namespace.name.as_ref() == Some(name)))
}

/// Name of the object whose child another is.
pub fn owner_of<P: Parent>(child: &P::Child) -> Option<String> {
    let mut owners = child.owner_references().iter();
    let owner = owners.find(|owner| owner.kind == P::kind(&()) && owner.controller.unwrap_or_default())?;
    Some(owner.name.clone())
}

/// Whether an object is this one's child.
pub fn is_child<P: Parent>(parent: &P, child: &P::Child) -> bool {
    owner_of::<P>(child).is_some_and(|owner| owner == parent.name_any())
}

/// What is to be done in one namespace that is selected.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// There is none.
    Make,
    /// It says something else.
    Mend,
    /// It is as it should be.
    Keep,
    /// There is one of that name which is not ours.
    Foreign,
}

/// Compares a child with what it should be. Labels and annotations of others are theirs.
pub fn step<P: Parent>(parent: &P, child: Option<&P::Child>) -> Step {
    let Some(child) = child else { return Step::Make };
    if !is_child(parent, child) {
        return Step::Foreign;
    }
    let ChildMetadata { labels, annotations } = metadata(parent);
    let has_all = labels.iter().all(|(name, value)| child.labels().get(name) == Some(value))
        && annotations.iter().all(|(name, value)| child.annotations().get(name) == Some(value))
        && annotations.contains_key(FORCE_SYNC) == child.annotations().contains_key(FORCE_SYNC);
    if has_all && P::spec_of(child) == parent.child_spec() { Step::Keep } else { Step::Mend }
}

/// The child as it should be.
pub fn child<P: Parent>(parent: &P, namespace: &str) -> Option<Manifest> {
    let ChildMetadata { labels, annotations } = metadata(parent);
    let mut fields = json!({
        "name": name_of(parent), "namespace": namespace, "ownerReferences": [{
            "apiVersion": P::api_version(&()), "kind": P::kind(&()), "name": parent.name_any(), "uid": parent.uid(),
            "controller": true, "blockOwnerDeletion": true,
        }],
    });
    for (name, values) in [("labels", labels), ("annotations", annotations)] {
        if !values.is_empty() {
            fields[name] = json!(values);
        }
    }
    let manifest = json!({
        "apiVersion": P::Child::api_version(&()), "kind": P::Child::kind(&()), "metadata": fields,
        "spec": parent.child_spec(),
    });
    Manifest::new(manifest).ok()
}

/// A merge patch that makes one value of another; `None` when there is nothing to do.
pub fn merge_patch(from: &Value, to: &Value) -> Option<Value> {
    match (from, to) {
        (Value::Object(from), Value::Object(to)) => {
            let gone = from.keys().filter(|name| !to.contains_key(*name)).map(|name| (name.clone(), Value::Null));
            let other = to.iter().filter_map(|(name, to)| {
                let from = from.get(name).unwrap_or(&Value::Null);
                Some((name.clone(), merge_patch(from, to)?))
            });
            let patch: serde_json::Map<_, _> = gone.chain(other).collect();
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        (from, to) => (from != to).then(|| to.clone()),
    }
}

fn metadata<P: Parent>(parent: &P) -> ChildMetadata {
    let mut metadata = parent.child_metadata();
    // Whether a sync is forced is said on the parent.
    metadata.annotations.remove(FORCE_SYNC);
    if let Some(value) = parent.annotations().get(FORCE_SYNC) {
        metadata.annotations.insert(FORCE_SYNC.to_owned(), value.clone());
    }
    metadata
}

/// Why there is a foreign object of that name.
pub fn foreign(namespace: &str) -> FailedNamespace {
    FailedNamespace { namespace: namespace.to_owned(), reason: Some(NOT_OURS.to_owned()) }
}

/// What became of it, namespace by namespace.
pub fn told<P: Parent>(
    parent: &P,
    mut provisioned: Vec<String>,
    mut failed: Vec<FailedNamespace>,
    now: Timestamp,
) -> Value {
    provisioned.sort();
    failed.sort_by(|a, b| a.namespace.cmp(&b.namespace));
    let (status, message) = if failed.is_empty() { ("True", "") } else { ("False", NOT_ALL) };
    let condition = condition(parent.conditions(), status, "", message, now);
    P::status(name_of(parent), provisioned, failed, vec![condition])
}

/// The status of one that could not be worked on at all.
pub fn not_done(known: &[Condition], mut status: Value, reason: &str, message: &str, now: Timestamp) -> Value {
    status["conditions"] = json!([condition(known, "False", reason, message, now)]);
    status
}

/// Whether a Namespace bears what the reference leaves there for this object, and it must come off.
pub fn leftover<P: Parent>(parent: &P, namespace: &ObjectMeta) -> Option<Vec<String>> {
    P::FINALIZER?;
    let is_over = parent.meta().deletion_timestamp.is_some() || namespace.deletion_timestamp.is_some();
    let theirs = format!("{NAMESPACE_FINALIZER}{}", parent.name_any());
    let finalizers = namespace.finalizers.as_deref().unwrap_or_default();
    (is_over && finalizers.contains(&theirs))
        .then(|| finalizers.iter().filter(|name| **name != theirs).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(fields: Value) -> ClusterExternalSecret {
        let mut object = json!({
            "apiVersion": "external-secrets.io/v1", "kind": "ClusterExternalSecret",
            "metadata": { "name": "ces", "uid": "u" },
            "spec": { "externalSecretSpec": { "refreshInterval": "1h", "target": { "name": "t" } } },
        });
        merge(&mut object, fields);
        serde_json::from_value(object).unwrap()
    }

    fn merge(onto: &mut Value, fields: Value) {
        match (onto, fields) {
            (Value::Object(onto), Value::Object(fields)) => {
                for (name, value) in fields {
                    merge(onto.entry(name).or_insert(Value::Null), value);
                }
            }
            (onto, value) => *onto = value,
        }
    }

    fn namespace(name: &str, label: &str) -> ObjectMeta {
        serde_json::from_value(json!({ "name": name, "labels": { "team": label } })).unwrap()
    }

    #[test]
    fn a_namespace_is_selected_by_any_selector_or_by_name() {
        let selector = |label: &str| json!({ "matchLabels": { "team": label } });
        let rows = [
            (json!({}), vec![]),
            (json!({ "namespaceSelectors": [selector("a")] }), vec!["one"]),
            (json!({ "namespaceSelectors": [selector("a"), selector("b")] }), vec!["one", "two"]),
            (json!({ "namespaceSelector": selector("b") }), vec!["two"]),
            (json!({ "namespaces": ["three", "absent"] }), vec!["three"]),
            (json!({ "namespaces": ["three"], "namespaceSelector": selector("a") }), vec!["one", "three"]),
            (json!({ "namespaceSelectors": [{}] }), vec!["one", "two", "three"]),
        ];
        let all = [namespace("one", "a"), namespace("two", "b"), namespace("three", "c")];
        for (spec, expected) in rows {
            let parent = parent(json!({ "spec": spec }));
            let found: Vec<_> =
                all.iter().filter(|it| selects(&parent, it)).map(|it| it.name.as_deref().unwrap()).collect();
            assert_eq!(found, expected, "{spec}");
        }
        let mut going = namespace("one", "a");
        going.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        assert!(!selects(&parent(json!({ "spec": { "namespaces": ["one"] } })), &going));
    }

    #[test]
    fn a_child_is_made_kept_mended_or_left_to_others() {
        let force = json!({ "metadata": { "annotations": { FORCE_SYNC: "7" } } });
        let labelled = json!({ "spec": { "externalSecretMetadata": { "labels": { "l": "v" } } } });
        let renamed = json!({ "spec": { "externalSecretName": "child" } });
        let respelt = json!({ "spec": { "externalSecretSpec": { "refreshInterval": "2h" } } });
        let as_made = |by: &Value| -> ExternalSecret {
            let made = child(&parent(by.clone()), "ns").unwrap();
            serde_json::from_value(made.into_value()).unwrap()
        };
        let plain = json!({});
        let mut foreign = as_made(&plain);
        foreign.metadata.owner_references = None;
        let rows = [
            (&plain, None, Step::Make),
            (&plain, Some(as_made(&plain)), Step::Keep),
            (&plain, Some(foreign), Step::Foreign),
            (&respelt, Some(as_made(&plain)), Step::Mend),
            (&labelled, Some(as_made(&plain)), Step::Mend),
            (&plain, Some(as_made(&labelled)), Step::Keep),
            (&force, Some(as_made(&plain)), Step::Mend),
            (&plain, Some(as_made(&force)), Step::Mend),
            (&force, Some(as_made(&force)), Step::Keep),
        ];
        for (parent_fields, live, expected) in rows {
            assert_eq!(step(&parent(parent_fields.clone()), live.as_ref()), expected, "{parent_fields}");
        }
        assert_eq!(name_of(&parent(renamed)), "child");
    }

    #[test]
    fn a_merge_patch_takes_away_what_is_no_longer_said() {
        let rows = [
            (json!({ "a": 1 }), json!({ "a": 1 }), None),
            (
                json!({ "a": 1, "b": { "c": 1, "d": 2 } }),
                json!({ "b": { "c": 3 } }),
                Some(json!({ "a": null, "b": { "c": 3, "d": null } })),
            ),
            (json!({}), json!({ "l": [1] }), Some(json!({ "l": [1] }))),
        ];
        for (from, to, patch) in rows {
            assert_eq!(merge_patch(&from, &to), patch);
        }
    }

    #[test]
    fn what_the_reference_left_on_a_namespace_comes_off_when_either_goes() {
        let theirs = format!("{NAMESPACE_FINALIZER}ces");
        let gone = json!("2026-01-01T00:00:00Z");
        let rows = [(false, false, None), (true, false, Some(vec!["other"])), (false, true, Some(vec!["other"]))];
        for (parent_goes, namespace_goes, expected) in rows {
            let mut object = parent(json!({}));
            let mut place = namespace("one", "a");
            place.finalizers = Some(vec![theirs.clone(), "other".to_owned()]);
            if parent_goes {
                object.metadata.deletion_timestamp = serde_json::from_value(gone.clone()).unwrap();
            }
            if namespace_goes {
                place.deletion_timestamp = serde_json::from_value(gone.clone()).unwrap();
            }
            let left = leftover(&object, &place);
            assert_eq!(left, expected.map(|names| names.into_iter().map(str::to_owned).collect()));
        }
    }
}
