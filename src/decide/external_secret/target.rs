//! The Secret as it should be, and the one write that takes it there from how it stands.
//!
//! A write is a JSON merge patch under upstream's field manager, guarded by the version that it was decided on: one
//! request, no state between old and new keys, and the record of who wrote which key reads the same to upstream, which
//! updates under that manager too. A hand-over in either direction finds nothing to write.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use seal::SecretBytes;
use serde_json::{Map, Value, json};

use super::fields::Owned;
use super::hash::{created_by, data_hash, field_manager};
use super::{Error, owner, target};
use crate::api::external_secret::{CREATED_BY_LABEL, CreationPolicy, DATA_HASH, MANAGED_LABEL};
use crate::api::{ADOPT, ExternalSecret, RECREATE};
use crate::decide::digest::Digester;
use crate::decide::sealed_secret::Bounds;
use crate::decide::target_template::Rendered;
use crate::plan::{Guard, Manifest, SecretManifest, SecretValues};

/// kubectl's copy of the whole object; upstream copies it to the Secret, which helps nobody.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Annotations that are not ours to judge: they neither make a write necessary nor count in digests.
const UNJUDGED: [&str; 2] = [DATA_HASH, LAST_APPLIED];

/// What is done for the sake of those who come from the reference, or run it beside us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compatibility {
    /// The reference's unkeyed hash of the data is kept right in its annotation.
    pub data_hash: bool,
    /// A Secret that nobody owns is taken over without being asked.
    pub take_over: bool,
}

/// The one write that is needed.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// None: it is as it should be.
    Nothing,
    /// There is none, and only somebody else may make one.
    Missing,
    /// Make it.
    Create(Manifest),
    /// Change it.
    Amend(Manifest, Guard),
    /// Delete it and make it anew: something of it cannot be changed in place, and the object says that this may be done.
    Recreate(Guard, Manifest),
}

/// The Secret as it should be, the reference's hash left out.
///
/// # Errors
///
/// [`Error::Refused`] for a Secret that an object may not make.
pub fn draft(object: &ExternalSecret, rendered: Rendered, bounds: &Bounds) -> Result<SecretManifest, Error> {
    let spec = &object.spec.target;
    let is_owner = spec.creation_policy == CreationPolicy::Owner;
    let mut secret = SecretManifest {
        key: target(object),
        owner: is_owner.then(|| owner(object)),
        immutable: spec.immutable.filter(|immutable| *immutable),
        data: rendered.data,
        ..SecretManifest::default()
    };
    match &spec.template {
        Some(template) => {
            (secret.labels, secret.annotations) = (rendered.labels, rendered.annotations);
            secret.type_ = template.type_.clone().unwrap_or_default();
            secret.finalizers =
                template.metadata.as_ref().map(|metadata| metadata.finalizers.clone()).unwrap_or_default();
        }
        None => (secret.labels, secret.annotations) = (object.labels().clone(), object.annotations().clone()),
    }
    UNJUDGED.iter().for_each(|name| drop(secret.annotations.remove(*name)));
    secret.labels.insert(MANAGED_LABEL.to_owned(), "true".to_owned());
    if is_owner {
        secret.labels.insert(CREATED_BY_LABEL.to_owned(), created_by(object));
    } else {
        secret.labels.remove(CREATED_BY_LABEL);
    }
    match bounds.danger(&secret) {
        Some(danger) => Err(Error::Refused(danger)),
        None => Ok(secret),
    }
}

/// The write that takes a Secret from how it stands to how it should be.
///
/// At `first_contact` there is no record of ours: leftovers that upstream forgot make no write necessary by themselves.
///
/// # Errors
///
/// [`Error::Foreign`], [`Error::OwnedByAnother`], [`Error::OwnedByController`]: it is not ours to change;
/// [`Error::Immutable`], [`Error::TypeFixed`]: it cannot be changed.
pub fn step(
    object: &ExternalSecret,
    live: Option<&SecretValues>,
    wanted: &SecretManifest,
    compatibility: Compatibility,
    first_contact: bool,
) -> Result<Step, Error> {
    let policy = object.spec.target.creation_policy;
    let Some(live) = live else {
        return Ok(match policy {
            CreationPolicy::None => Step::Nothing,
            CreationPolicy::Merge => Step::Missing,
            _ => Step::Create(whole(wanted, compatibility)),
        });
    };
    if policy == CreationPolicy::None {
        return Ok(Step::Nothing);
    }
    may_write(object, live, compatibility)?;
    let stays = wanted.immutable == Some(true);
    let has_type = wanted.type_.is_empty() || wanted.type_ == live.type_ || stays;
    let data = if stays { live.data.clone() } else { final_data(object, live, wanted) };
    let guard = Guard {
        uid: live.metadata.uid.clone().unwrap_or_default(),
        resource_version: live.metadata.resource_version.clone().unwrap_or_default(),
    };
    if !has_type || (live.immutable && data != live.data) {
        if object.annotations().get(RECREATE).is_some_and(|value| value == "true") {
            return Ok(Step::Recreate(guard, whole(wanted, compatibility)));
        }
        return Err(if has_type {
            Error::Immutable(wanted.key.clone())
        } else {
            Error::TypeFixed { secret: wanted.key.clone(), from: live.type_.clone(), to: wanted.type_.clone() }
        });
    }
    let patch = patch(object, live, wanted, &data, compatibility, first_contact);
    Ok(patch.map_or(Step::Nothing, |patch| Step::Amend(patch, guard)))
}

/// Whether a Secret may be deleted because its store has nothing left: only one that is ours.
pub fn may_delete(object: &ExternalSecret, live: &ObjectMeta) -> bool {
    object.spec.target.creation_policy == CreationPolicy::Owner
        && controller_of(live).is_some_and(|owner| is_self(object, owner))
}

/// Whether a Secret of another name was made by this object, and is left behind now.
pub fn left_behind(object: &ExternalSecret, live: &ObjectMeta) -> bool {
    let label = live.labels.as_ref().and_then(|labels| labels.get(CREATED_BY_LABEL));
    label == Some(&created_by(object))
        && live.name.as_deref() != Some(target(object).name.as_str())
        && may_delete(object, live)
}

/// Whether a Secret is as the reference left it when it last synced: then nothing needs to be read to go on from there.
pub fn is_as_the_reference_left_it(object: &ExternalSecret, live: &SecretValues) -> bool {
    if object.spec.target.creation_policy == CreationPolicy::Orphan {
        return true;
    }
    let is = |all: Option<&BTreeMap<String, String>>, name: &str, value: &str| {
        all.and_then(|all| all.get(name)).is_some_and(|found| found == value)
    };
    is(live.metadata.labels.as_ref(), MANAGED_LABEL, "true")
        && is(live.metadata.annotations.as_ref(), DATA_HASH, &data_hash(&live.data))
}

/// A keyed digest of the Secret as it should be.
pub fn outputs(object: &ExternalSecret, wanted: &SecretManifest, digester: &Digester) -> String {
    let owner = if wanted.owner.is_some() { object.uid().unwrap_or_default() } else { String::new() };
    digest(&wanted.type_, &owner, &wanted.data, &wanted.labels, &wanted.annotations, digester)
}

/// The same digest of the Secret as it stands, over what we wrote of it: other people's labels, annotations, and where we
/// merge, keys, do not count.
pub fn outputs_of_live(
    object: &ExternalSecret,
    live: &SecretValues,
    compatibility: Compatibility,
    digester: &Digester,
) -> String {
    let hash = live.metadata.annotations.as_ref().and_then(|all| all.get(DATA_HASH));
    if compatibility.data_hash && hash.is_none_or(|hash| *hash != data_hash(&live.data)) {
        return String::new();
    }
    let owned = Owned::by(&live.metadata, &field_manager(&object.name_any()));
    let ours = |all: Option<&BTreeMap<String, String>>, names: &std::collections::BTreeSet<String>| {
        let mut ours = all.cloned().unwrap_or_default();
        ours.retain(|name, _| names.contains(name) && !UNJUDGED.contains(&name.as_str()));
        ours
    };
    let mut data = live.data.clone();
    if merges(object) {
        data.retain(|key, _| owned.data.contains(key));
    }
    let asked = object.spec.target.template.as_ref().and_then(|template| template.type_.as_deref());
    let type_ = if asked.is_some_and(|type_| !type_.is_empty()) { live.type_.as_str() } else { "" };
    let is_owner = object.spec.target.creation_policy == CreationPolicy::Owner;
    let owner = live.metadata.owner_references.iter().flatten().find(|owner| is_self(object, owner));
    let owner = owner.filter(|_| is_owner).map(|owner| owner.uid.clone()).unwrap_or_default();
    let labels = ours(live.metadata.labels.as_ref(), &owned.labels);
    let annotations = ours(live.metadata.annotations.as_ref(), &owned.annotations);
    digest(type_, &owner, &data, &labels, &annotations, digester)
}

fn digest(
    type_: &str,
    owner: &str,
    data: &BTreeMap<String, SecretBytes>,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
    digester: &Digester,
) -> String {
    let mut parts: Vec<&[u8]> = vec![type_.as_bytes(), owner.as_bytes()];
    for (key, value) in data {
        parts.extend([b"data", key.as_bytes(), value.expose()]);
    }
    for (key, value) in labels {
        parts.extend([b"label", key.as_bytes(), value.as_bytes()]);
    }
    for (key, value) in annotations {
        parts.extend([&b"annotation"[..], key.as_bytes(), value.as_bytes()]);
    }
    digester.digest("external-secret-outputs", parts)
}

/// Whether keys of others stay in the Secret.
fn merges(object: &ExternalSecret) -> bool {
    matches!(object.spec.target.creation_policy, CreationPolicy::Merge | CreationPolicy::CreateOrMerge)
}

fn controller_of(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

fn is_external_secret(owner: &OwnerReference) -> bool {
    owner.kind == "ExternalSecret" && owner.api_version.starts_with("external-secrets.io/")
}

/// By kind and name, as upstream: an object that was made anew is the same owner.
fn is_self(object: &ExternalSecret, owner: &OwnerReference) -> bool {
    is_external_secret(owner) && owner.name == object.name_any()
}

fn may_write(object: &ExternalSecret, live: &SecretValues, compatibility: Compatibility) -> Result<(), Error> {
    let key = target(object);
    let policy = object.spec.target.creation_policy;
    if let Some(owner) = controller_of(&live.metadata) {
        if is_self(object, owner) {
            return Ok(());
        }
        if is_external_secret(owner) {
            return Err(Error::OwnedByAnother { secret: key, owner: owner.name.clone() });
        }
        if policy == CreationPolicy::Owner {
            return Err(Error::OwnedByController { secret: key, kind: owner.kind.clone(), owner: owner.name.clone() });
        }
    }
    // Merging into what others made is what these policies say.
    if merges(object) || compatibility.take_over {
        return Ok(());
    }
    let says = |all: Option<&BTreeMap<String, String>>| {
        all.and_then(|all| all.get(ADOPT)).is_some_and(|value| value == "true")
    };
    let label = live.metadata.labels.as_ref().and_then(|labels| labels.get(CREATED_BY_LABEL));
    let was_ours =
        !Owned::by(&live.metadata, &field_manager(&object.name_any())).is_empty() || label == Some(&created_by(object));
    if was_ours || says(live.metadata.annotations.as_ref()) || says(object.metadata.annotations.as_ref()) {
        return Ok(());
    }
    Err(Error::Foreign(key))
}

/// The data as they should stand: ours alone, or ours beside those of others.
fn final_data(object: &ExternalSecret, live: &SecretValues, wanted: &SecretManifest) -> BTreeMap<String, SecretBytes> {
    if !merges(object) {
        return wanted.data.clone();
    }
    let owned = Owned::by(&live.metadata, &field_manager(&object.name_any()));
    let mut data = live.data.clone();
    data.retain(|key, _| !owned.data.contains(key));
    data.extend(wanted.data.clone());
    data
}

/// The whole object, for its first write.
fn whole(wanted: &SecretManifest, compatibility: Compatibility) -> Manifest {
    let mut wanted = wanted.clone();
    if compatibility.data_hash {
        wanted.annotations.insert(DATA_HASH.to_owned(), data_hash(&wanted.data));
    }
    wanted.to_manifest()
}

/// The merge patch that is needed; none when nothing is.
fn patch(
    object: &ExternalSecret,
    live: &SecretValues,
    wanted: &SecretManifest,
    data: &BTreeMap<String, SecretBytes>,
    compatibility: Compatibility,
    first_contact: bool,
) -> Option<Manifest> {
    let metadata = &live.metadata;
    let owned = Owned::by(metadata, &field_manager(&object.name_any()));
    let none = BTreeMap::new();
    let (labels, annotations) =
        (metadata.labels.as_ref().unwrap_or(&none), metadata.annotations.as_ref().unwrap_or(&none));
    let mut new_labels = changes(labels, &wanted.labels);
    let mut new_annotations = changes(annotations, &wanted.annotations);
    let new_data = data_changes(&live.data, data);
    let owners = owners(object, metadata, wanted.owner.as_ref());
    let finalizers = finalizers(metadata, &wanted.finalizers);
    let sets_immutable = wanted.immutable == Some(true) && !live.immutable;
    if compatibility.data_hash {
        let hash = data_hash(data);
        if annotations.get(DATA_HASH) != Some(&hash) {
            new_annotations.insert(DATA_HASH.to_owned(), hash.into());
        }
    }
    let is_needed = !(new_labels.is_empty() && new_annotations.is_empty() && new_data.is_empty())
        || owners.is_some()
        || finalizers.is_some()
        || sets_immutable;

    // What we wrote once and no longer want.
    let stale_labels: Vec<_> = stale(&owned.labels, labels, &wanted.labels).collect();
    let stale_annotations: Vec<_> = stale(&owned.annotations, annotations, &wanted.annotations).collect();
    let left_over =
        stale_labels.iter().any(|_| true) || stale_annotations.iter().any(|name| !UNJUDGED.contains(&name.as_str()));
    // An owner's mark on what is owned no longer says something false.
    let false_mark = wanted.owner.is_none() && labels.get(CREATED_BY_LABEL) == Some(&created_by(object));
    if !is_needed && !false_mark && (first_contact || !left_over) {
        return None;
    }
    let keep_hash = compatibility.data_hash || (new_data.is_empty() && annotations.contains_key(DATA_HASH));
    new_labels.extend(stale_labels.into_iter().map(|name| (name, Value::Null)));
    new_annotations
        .extend(stale_annotations.into_iter().filter(|name| name != DATA_HASH).map(|name| (name, Value::Null)));
    if !keep_hash && annotations.contains_key(DATA_HASH) {
        new_annotations.insert(DATA_HASH.to_owned(), Value::Null);
    }
    if false_mark {
        new_labels.insert(CREATED_BY_LABEL.to_owned(), Value::Null);
    }
    let mut fields = Map::new();
    for (name, value) in [("labels", new_labels), ("annotations", new_annotations)] {
        if !value.is_empty() {
            fields.insert(name.to_owned(), Value::Object(value));
        }
    }
    fields.extend(owners.map(|owners| ("ownerReferences".to_owned(), owners)));
    fields.extend(finalizers.map(|finalizers| ("finalizers".to_owned(), finalizers)));
    fields.insert("name".to_owned(), wanted.key.name.clone().into());
    fields.insert("namespace".to_owned(), wanted.key.namespace.clone().into());
    let mut patch = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": fields });
    if !new_data.is_empty() {
        patch["data"] = Value::Object(new_data);
    }
    if sets_immutable {
        patch["immutable"] = true.into();
    }
    Manifest::new(patch).ok()
}

/// What is to be set, of what is wanted.
fn changes(live: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> Map<String, Value> {
    let differs = |(name, value): &(&String, &String)| live.get(*name) != Some(*value);
    wanted.iter().filter(differs).map(|(name, value)| (name.clone(), value.clone().into())).collect()
}

fn data_changes(live: &BTreeMap<String, SecretBytes>, wanted: &BTreeMap<String, SecretBytes>) -> Map<String, Value> {
    let set = wanted.iter().filter(|(key, value)| live.get(*key) != Some(*value));
    let set = set.map(|(key, value)| (key.clone(), Value::from(seal::wire::encode(value.expose()))));
    let gone = live.keys().filter(|key| !wanted.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    set.chain(gone).collect()
}

/// What is ours, still there, and no longer wanted.
fn stale<'a>(
    owned: &'a std::collections::BTreeSet<String>,
    live: &'a BTreeMap<String, String>,
    wanted: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = String> + 'a {
    owned.iter().filter(|name| live.contains_key(*name) && !wanted.contains_key(*name)).cloned()
}

/// The owner references as they should stand, when they do not: with ours, or without it.
fn owners(object: &ExternalSecret, live: &ObjectMeta, wanted: Option<&Value>) -> Option<Value> {
    let all: Vec<_> = live.owner_references.iter().flatten().collect();
    let uid = object.uid().unwrap_or_default();
    let others =
        all.iter().filter(|owner| !is_self(object, owner)).filter_map(|owner| serde_json::to_value(owner).ok());
    let is_right = match wanted {
        Some(_) => all.iter().any(|owner| is_self(object, owner) && owner.uid == uid && owner.controller == Some(true)),
        None => !all.iter().any(|owner| is_self(object, owner)),
    };
    (!is_right).then(|| Value::Array(others.chain(wanted.cloned()).collect()))
}

/// The finalizers as they should stand, when one is missing; they are only ever added.
fn finalizers(live: &ObjectMeta, wanted: &[String]) -> Option<Value> {
    let mut all = live.finalizers.clone().unwrap_or_default();
    let missing: Vec<_> = wanted.iter().filter(|name| !all.contains(name)).cloned().collect();
    if missing.is_empty() {
        return None;
    }
    all.extend(missing);
    Some(json!(all))
}

#[cfg(test)]
mod tests;
