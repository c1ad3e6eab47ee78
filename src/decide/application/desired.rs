//! Manifests as this Application would apply them.

use std::collections::HashMap;

use base64::Engine;
use serde_json::{Map, Value};

use super::{Finding, INVALID_SPEC, REPEATED, tracking};
use crate::api::application::{HOOK, SYNC_WAVE, TRACKING_ID};
use crate::plan::{Manifest, ObjectRef};

/// An object as it should stand.
#[derive(Clone, Debug)]
pub struct Desired {
    /// What is applied.
    pub manifest: Manifest,
    /// Which object it is.
    pub object: ObjectRef,
    /// Whether it lives in a namespace.
    pub namespaced: bool,
    /// File it comes from.
    pub file: String,
    /// Its wave.
    pub wave: i64,
    /// Hash of the manifest, to know it again within this process.
    pub hash: u64,
}

/// What Git declares, and what is to be said about it.
#[derive(Clone, Debug, Default)]
pub struct Desire {
    /// Each object once.
    pub objects: Vec<Desired>,
    /// Hooks: not compared, and not run yet.
    pub hooks: Vec<ObjectRef>,
    /// Objects marked to be left out.
    pub skipped: Vec<ObjectRef>,
    /// What is to be said.
    pub findings: Vec<Finding>,
}

/// What the objects become part of.
#[derive(Clone, Copy, Debug)]
pub struct Belonging<'a> {
    /// The Application's name in tracking ids.
    pub instance: &'a str,
    /// Namespace of objects that name none.
    pub namespace: &'a str,
}

/// Gives manifests their namespace and their mark, leaves out what the API server makes, and keeps the last of several
/// that are the same object.
///
/// `namespaced` says of a kind whether it lives in namespaces; none when the cluster does not know it (yet).
pub fn desire<'a>(
    manifests: impl IntoIterator<Item = (&'a str, &'a Manifest)>,
    belonging: Belonging<'_>,
    namespaced: impl Fn(&str, &str) -> Option<bool>,
) -> Desire {
    let mut desire = Desire::default();
    let mut places: HashMap<(String, ObjectRef), (usize, usize)> = HashMap::new();
    for (file, manifest) in manifests {
        let known = namespaced(manifest.api_version(), manifest.kind());
        // As upstream guesses.
        let namespaced = known.unwrap_or(!manifest.namespace().is_empty() || !belonging.namespace.is_empty());
        let mut manifest = cleaned(manifest.clone());
        place(&mut manifest, namespaced, belonging.namespace);
        let object = manifest.object_ref();
        match manifest.annotation(HOOK).or_else(|| manifest.annotation("helm.sh/hook")) {
            Some("Skip") => {
                desire.skipped.push(object);
                continue;
            }
            Some("crd-install") | None => {}
            Some(_) => {
                desire.hooks.push(object);
                continue;
            }
        }
        if namespaced && object.key.namespace.is_empty() {
            let message = format!("Namespace for {} {} is missing.", object.key.name, object.kind);
            desire.findings.push(Finding::new(INVALID_SPEC, message));
        }
        // The API server does not let a CustomResourceDefinition say whose it is: several Applications may bring it.
        if !(object.kind == "CustomResourceDefinition" && object.group() == "apiextensions.k8s.io") {
            let id = tracking::id(belonging.instance, &object, belonging.namespace);
            annotate(&mut manifest, TRACKING_ID, &id);
        }
        let wave = manifest.annotation(SYNC_WAVE).and_then(|wave| wave.trim().parse().ok()).unwrap_or(0);
        let desired = Desired {
            hash: super::diff::fingerprint(&manifest),
            namespaced,
            file: file.to_owned(),
            wave,
            manifest,
            object,
        };
        let identity =
            (desired.object.group().to_owned(), ObjectRef { api_version: String::new(), ..desired.object.clone() });
        match places.get_mut(&identity) {
            Some((index, count)) => {
                *count += 1;
                desire.objects[*index] = desired;
            }
            None => {
                places.insert(identity, (desire.objects.len(), 1));
                desire.objects.push(desired);
            }
        }
    }
    let mut repeated: Vec<_> = places.into_values().filter(|(_, count)| *count > 1).collect();
    repeated.sort_unstable();
    desire.findings.extend(repeated.into_iter().map(|(index, count)| {
        let object = &desire.objects[index].object;
        let message = format!(
            "Resource {}/{}/{}/{} appeared {count} times among application resources.",
            object.group(),
            object.kind,
            object.key.namespace,
            object.key.name
        );
        Finding::new(REPEATED, message)
    }));
    desire
}

/// The kinds that a CustomResourceDefinition defines, and whether their objects live in namespaces: they may come with
/// the same commit.
pub fn defined(manifest: &Manifest) -> Vec<((String, String), bool)> {
    let Some(spec) = manifest.fields().get("spec").filter(|_| manifest.kind() == "CustomResourceDefinition") else {
        return Vec::new();
    };
    let text = |pointer: &str| spec.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let versions = spec.get("versions").and_then(Value::as_array).into_iter().flatten();
    versions
        .filter_map(|version| version.get("name")?.as_str())
        .map(|version| {
            let api_version = format!("{}/{version}", text("/group"));
            ((api_version, text("/names/kind").to_owned()), text("/scope") == "Namespaced")
        })
        .collect()
}

/// An option in an object's own annotation, such as `Prune=false`.
pub fn has_option(annotations: Option<&str>, option: &str) -> bool {
    annotations.is_some_and(|options| options.split(',').any(|written| written.trim() == option))
}

/// Takes out what the API server makes, and what it would not let us own.
fn cleaned(mut manifest: Manifest) -> Manifest {
    let is_secret = manifest.kind() == "Secret" && manifest.api_version() == "v1";
    let fields = manifest.fields_mut();
    fields.remove("status");
    if is_secret {
        fold_string_data(fields);
    }
    let metadata = manifest.metadata_mut();
    for made in ["creationTimestamp", "resourceVersion", "uid", "generation", "managedFields", "selfLink"] {
        metadata.remove(made);
    }
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    manifest
}

/// `stringData` is only ever written: what stands is `data`.
fn fold_string_data(fields: &mut Map<String, Value>) {
    let Some(Value::Object(texts)) = fields.remove("stringData") else { return };
    let data = fields.entry("data").or_insert_with(|| Value::Object(Map::new()));
    if !data.is_object() {
        *data = Value::Object(Map::new());
    }
    for (key, text) in texts {
        let text = match text {
            Value::String(text) => Value::String(base64::engine::general_purpose::STANDARD.encode(text)),
            // The API server will say what is wrong with it.
            other => other,
        };
        data[key] = text;
    }
}

fn place(manifest: &mut Manifest, namespaced: bool, namespace: &str) {
    let own = manifest.namespace().to_owned();
    let metadata = manifest.metadata_mut();
    if !namespaced {
        metadata.remove("namespace");
    } else if own.is_empty() && !namespace.is_empty() {
        metadata.insert("namespace".to_owned(), namespace.into());
    }
}

fn annotate(manifest: &mut Manifest, name: &str, value: &str) {
    let annotations = manifest.metadata_mut().entry("annotations").or_insert_with(|| Value::Object(Map::new()));
    if !annotations.is_object() {
        *annotations = Value::Object(Map::new());
    }
    annotations[name] = value.into();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest(value: Value) -> Manifest {
        Manifest::new(value).unwrap()
    }

    fn of(manifests: &[Manifest]) -> Desire {
        let namespaced = |_: &str, kind: &str| match kind {
            "ConfigMap" | "Secret" => Some(true),
            "ClusterRole" | "CustomResourceDefinition" => Some(false),
            _ => None,
        };
        desire(
            manifests.iter().map(|manifest| ("f.yaml", manifest)),
            Belonging { instance: "app", namespace: "shop" },
            namespaced,
        )
    }

    #[test]
    fn objects_get_namespace_and_mark_and_lose_what_is_not_theirs() {
        let desire = of(&[
            manifest(json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": { "name": "a", "creationTimestamp": null, "uid": "1" }, "status": {},
            })),
            manifest(json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
                "metadata": { "name": "r", "namespace": "ignored" },
            })),
            manifest(json!({
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": { "name": "c" },
            })),
            manifest(json!({ "apiVersion": "x/v1", "kind": "New", "metadata": { "name": "n", "namespace": "own" } })),
        ]);
        let json: Vec<_> = desire.objects.iter().map(|desired| desired.manifest.clone().into_value()).collect();
        assert_eq!(
            json[0]["metadata"],
            json!({
                "name": "a", "namespace": "shop",
                "annotations": { TRACKING_ID: "app:/ConfigMap:shop/a" },
            })
        );
        assert_eq!(json[0].get("status"), None);
        assert_eq!(json[1]["metadata"]["annotations"][TRACKING_ID], "app:rbac.authorization.k8s.io/ClusterRole:shop/r");
        assert_eq!(json[1]["metadata"].get("namespace"), None);
        assert_eq!(json[2]["metadata"], json!({ "name": "c" }));
        assert_eq!(json[3]["metadata"]["namespace"], "own");
        assert_eq!(desire.findings, []);
    }

    #[test]
    fn the_last_of_several_counts_and_is_told() {
        let map = |value: &str| {
            manifest(json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" }, "data": { "k": value },
            }))
        };
        let desire = of(&[map("1"), map("2")]);
        assert_eq!(desire.objects.len(), 1);
        assert_eq!(desire.objects[0].manifest.fields()["data"]["k"], "2");
        assert_eq!(
            desire.findings[0].message,
            "Resource /ConfigMap/shop/a appeared 2 times among application resources."
        );
    }

    #[test]
    fn hooks_are_no_objects_and_string_data_is_data() {
        let desire = of(&[
            manifest(json!({
                "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "j", "annotations": { HOOK: "PreSync" } },
            })),
            manifest(json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "s", "annotations": { HOOK: "Skip" } },
            })),
            manifest(json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "a" },
                "data": { "b": "Yg==" }, "stringData": { "a": "a" },
            })),
        ]);
        assert_eq!((desire.hooks.len(), desire.skipped.len(), desire.objects.len()), (1, 1, 1));
        assert_eq!(desire.objects[0].manifest.fields()["data"], json!({ "b": "Yg==", "a": "YQ==" }));
    }
}
