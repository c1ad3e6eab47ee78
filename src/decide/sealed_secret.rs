//! From a SealedSecret to the Secret that it means.

use std::collections::BTreeMap;

use kube::ResourceExt;
use seal::{OpenError, Scope, SecretBytes, UnwrapKey, open_item};
use serde_json::json;

use super::digest::Digester;
use super::ownership::mints_credentials;
use crate::api::SealedSecret;
use crate::api::application::SECRET_TYPE;
use crate::api::sealed_secret::{KEY_LABEL, SKIP_SET_OWNER_REFERENCES};
use crate::error::{Classify, Retry};
use crate::plan::{ObjectKey, SecretManifest, SecretValues};

/// How many failing items a message and the status name.
const NAMED_ITEMS: usize = 20;

/// What the Secret of one object may be (D16).
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// It lies where sealing keys lie.
    pub key_namespace: bool,
    /// It lies where repository credentials lie.
    pub application_namespace: bool,
}

/// Why a SealedSecret does not become a Secret. Its text holds names only, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Items that no key opens. The words are the reference's, because people search for them.
    #[error("no key could decrypt secret ({})", capped(.items))]
    NoKey {
        /// Their names, sorted.
        items: Vec<String>,
    },
    /// Items that are no sealed values.
    #[error("{} cannot be read: {problem}", capped(.items))]
    Malformed {
        /// Their names, sorted.
        items: Vec<String>,
        /// What is wrong with the first.
        problem: String,
    },
    /// No key at all.
    #[error("no key could decrypt secret: there is no sealing key in the operator's namespace")]
    NoKeyAtAll,
    /// Both forms at once.
    #[error("spec.data and spec.encryptedData are both set; use encryptedData only")]
    BothForms,
    /// The old form does not hold a Secret.
    #[error("spec.data does not hold a Secret")]
    OldForm,
    /// A field that is not honoured and without which the Secret would be wrong.
    #[error("{0} is not supported by this version; the Secret is left as it is")]
    Unsupported(&'static str),
    /// A Secret that an object may not make.
    #[error("{0}")]
    Refused(String),
}

impl Classify for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::NoKey { .. } | Self::NoKeyAtAll => "NoKey",
            Self::Malformed { .. } => "MalformedItem",
            Self::BothForms | Self::OldForm => "InvalidSpec",
            Self::Unsupported(_) => "UnsupportedField",
            Self::Refused(_) => "Refused",
        }
    }

    fn retry(&self) -> Retry {
        // A new key wakes what waits for one; nothing else but a change of the object can help.
        Retry::OnChange
    }

    fn items(&self) -> Vec<String> {
        match self {
            Self::NoKey { items } | Self::Malformed { items, .. } => items.iter().take(NAMED_ITEMS).cloned().collect(),
            _ => Vec::new(),
        }
    }
}

/// What was opened.
#[derive(Clone, Debug)]
pub struct Unsealed {
    /// The Secret as it should be, its owner left out.
    pub secret: SecretManifest,
    /// Keys that opened the items, with how many each.
    pub keys: BTreeMap<String, i64>,
}

/// Opens all items, or none: one that fails fails the object, and the last good Secret stays.
///
/// # Errors
///
/// [`Error`].
pub fn unseal(object: &SealedSecret, keys: &[&dyn UnwrapKey], bounds: Bounds) -> Result<Unsealed, Error> {
    let spec = &object.spec;
    let template = spec.template.clone().unwrap_or_default();
    if template.data.is_some_and(|data| !data.is_empty()) {
        return Err(Error::Unsupported("spec.template.data"));
    }
    if spec.data.is_some() && !spec.encrypted_data.is_empty() {
        return Err(Error::BothForms);
    }
    let namespace = object.namespace().unwrap_or_default();
    let name = object.name_any();
    let label = Scope::of(object.annotations()).label(&namespace, &name);
    let metadata = template.metadata.unwrap_or_default();
    let mut secret = SecretManifest {
        key: ObjectKey::new(&namespace, &name),
        labels: metadata.labels,
        annotations: metadata.annotations,
        finalizers: metadata.finalizers,
        owner: None,
        type_: template.type_.unwrap_or_default(),
        immutable: template.immutable.filter(|immutable| *immutable),
        data: BTreeMap::new(),
    };
    let mut used = BTreeMap::new();
    match &spec.data {
        Some(whole) => open_old_form(whole, &label, keys, &mut secret, &mut used)?,
        None => secret.data = open_items(&spec.encrypted_data, &label, keys, &mut used)?,
    }
    within_bounds(&secret, bounds)?;
    Ok(Unsealed { secret, keys: used })
}

/// The owner reference of the Secret; none when the template asks for none.
pub fn owner(object: &SealedSecret) -> Option<serde_json::Value> {
    let annotations = object.spec.template.as_ref()?.metadata.as_ref().map(|metadata| &metadata.annotations);
    if annotations.is_some_and(|all| all.get(SKIP_SET_OWNER_REFERENCES).is_some_and(|value| value == "true")) {
        return None;
    }
    Some(owner_reference(object))
}

/// The owner reference that every Secret of this object has unless its template asks for none.
pub fn owner_reference(object: &SealedSecret) -> serde_json::Value {
    json!({
        "apiVersion": "bitnami.com/v1alpha1",
        "kind": "SealedSecret",
        "name": object.name_any(),
        "uid": object.uid().unwrap_or_default(),
        "controller": true,
    })
}

/// The Secret without its values: which labels and annotations are ours, its type, and who owns it.
pub fn shape(object: &SealedSecret) -> SecretManifest {
    let template = object.spec.template.clone().unwrap_or_default();
    let metadata = template.metadata.unwrap_or_default();
    SecretManifest {
        labels: metadata.labels,
        annotations: metadata.annotations,
        type_: template.type_.unwrap_or_default(),
        owner: owner(object),
        ..SecretManifest::default()
    }
}

/// A keyed digest of everything that the Secret is made from.
pub fn inputs(object: &SealedSecret, digester: &Digester) -> String {
    let spec = serde_json::to_vec(&object.spec).unwrap_or_default();
    let scope = Scope::of(object.annotations()).to_string();
    let (namespace, name, uid) =
        (object.namespace().unwrap_or_default(), object.name_any(), object.uid().unwrap_or_default());
    digester.digest(
        "sealed-secret-inputs",
        [namespace.as_bytes(), name.as_bytes(), uid.as_bytes(), scope.as_bytes(), &spec],
    )
}

/// A keyed digest of the Secret as it should be.
pub fn outputs(secret: &SecretManifest, digester: &Digester) -> String {
    let owner = secret.owner.as_ref().and_then(|owner| owner["uid"].as_str()).unwrap_or_default();
    digest_of(&secret.type_, &secret.data, &secret.labels, &secret.annotations, owner, digester)
}

/// The same digest of the Secret as it stands, over the labels and annotations that we set: other people's do not count.
pub fn outputs_of_live(live: &SecretValues, wanted: &SecretManifest, digester: &Digester) -> String {
    let ours =
        |all: Option<&BTreeMap<String, String>>, wanted: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            let pick = |name: &String| Some((name.clone(), all?.get(name)?.clone()));
            wanted.keys().filter_map(pick).collect()
        };
    let owner = live.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    let owner = owner.filter(|_| wanted.owner.is_some()).map(|owner| owner.uid.as_str()).unwrap_or_default();
    // An empty type means what the API server made of it.
    let type_ = if wanted.type_.is_empty() { "" } else { &live.type_ };
    digest_of(
        type_,
        &live.data,
        &ours(live.metadata.labels.as_ref(), &wanted.labels),
        &ours(live.metadata.annotations.as_ref(), &wanted.annotations),
        owner,
        digester,
    )
}

fn digest_of(
    type_: &str,
    data: &BTreeMap<String, SecretBytes>,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
    owner: &str,
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
    digester.digest("secret-outputs", parts)
}

fn open_items(
    items: &BTreeMap<String, String>,
    label: &[u8],
    keys: &[&dyn UnwrapKey],
    used: &mut BTreeMap<String, i64>,
) -> Result<BTreeMap<String, SecretBytes>, Error> {
    let mut opened = BTreeMap::new();
    let (mut closed, mut malformed) = (Vec::new(), Vec::new());
    let mut problem = String::new();
    for (name, item) in items {
        match open_item(item, label, keys.iter().copied()) {
            Ok(found) => {
                *used.entry(found.key.as_str().to_owned()).or_insert(0) += 1;
                opened.insert(name.clone(), found.value);
            }
            Err(OpenError::NoKey) => closed.push(name.clone()),
            Err(OpenError::Wire(wire)) => {
                malformed.push(name.clone());
                problem = wire.to_string();
            }
        }
    }
    if !closed.is_empty() && keys.is_empty() {
        return Err(Error::NoKeyAtAll);
    }
    if !closed.is_empty() {
        return Err(Error::NoKey { items: closed });
    }
    if !malformed.is_empty() {
        return Err(Error::Malformed { items: malformed, problem });
    }
    Ok(opened)
}

/// The format before 2019: one item that holds a whole Secret as JSON.
fn open_old_form(
    whole: &str,
    label: &[u8],
    keys: &[&dyn UnwrapKey],
    secret: &mut SecretManifest,
    used: &mut BTreeMap<String, i64>,
) -> Result<(), Error> {
    let items = BTreeMap::from([("data".to_owned(), whole.to_owned())]);
    let opened = open_items(&items, label, keys, used)?;
    let text = opened.get("data").and_then(|value| std::str::from_utf8(value.expose()).ok()).ok_or(Error::OldForm)?;
    let inner = seal::manifest::read_secret(text).map_err(|_| Error::OldForm)?;
    secret.data = inner.data;
    secret.labels.extend(inner.labels);
    secret.annotations.extend(inner.annotations);
    if secret.type_.is_empty() {
        secret.type_ = inner.type_.unwrap_or_default();
    }
    Ok(())
}

fn within_bounds(secret: &SecretManifest, bounds: Bounds) -> Result<(), Error> {
    if mints_credentials(&secret.type_) {
        return Err(Error::Refused(format!(
            "a Secret of type {} mints credentials and is not made from a SealedSecret",
            secret.type_
        )));
    }
    if bounds.key_namespace && secret.labels.contains_key(KEY_LABEL) {
        return Err(Error::Refused(format!("the label {KEY_LABEL} would make this Secret a sealing key")));
    }
    if bounds.application_namespace && secret.labels.contains_key(SECRET_TYPE) {
        return Err(Error::Refused(format!(
            "the label {SECRET_TYPE} would make this Secret a repository's or cluster's credential"
        )));
    }
    Ok(())
}

fn capped(items: &[String]) -> String {
    let shown = items.iter().take(NAMED_ITEMS).cloned().collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(NAMED_ITEMS) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use seal::{Certificate, RsaUnwrapKey, seal_item};

    use super::*;

    fn read(file: &str) -> String {
        std::fs::read_to_string(format!("{}/cli/tests/vectors/keys/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn key() -> RsaUnwrapKey {
        RsaUnwrapKey::from_pem(&read("k2048.key")).unwrap()
    }

    /// A SealedSecret `ns/x` with the values `a=1`, `b=2`, changed by `edit`.
    fn sealed(edit: impl FnOnce(&mut serde_json::Value)) -> SealedSecret {
        let certificate = Certificate::from_pem(&read("k2048.crt")).unwrap();
        let item =
            |text: &str| seal_item(&mut rand::rng(), &certificate, b"ns/x", &text.as_bytes().to_vec().into()).unwrap();
        let mut object = json!({
            "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
            "metadata": { "name": "x", "namespace": "ns", "uid": "u" },
            "spec": {
                "encryptedData": { "a": item("1"), "b": item("2") },
                "template": { "metadata": { "labels": { "app": "shop" } }, "type": "Opaque" },
            },
        });
        edit(&mut object);
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn items_and_template_become_a_secret() {
        let key = key();
        let unsealed = unseal(&sealed(|_| {}), &[&key], Bounds::default()).unwrap();
        let values: Vec<_> = unsealed.secret.data.iter().map(|(key, value)| (key.as_str(), value.expose())).collect();
        assert_eq!(values, [("a", &b"1"[..]), ("b", b"2")]);
        assert_eq!(unsealed.secret.labels["app"], "shop");
        assert_eq!(unsealed.keys[seal::UnwrapKey::fingerprint(&key).as_str()], 2);
    }

    #[test]
    fn what_is_wrong_is_named() {
        type Edit = fn(&mut serde_json::Value);
        let cases: [(&str, Edit, &str); 8] = [
            ("moved", |o| o["metadata"]["name"] = "y".into(), "no key could decrypt secret (a, b)"),
            (
                "not base64",
                |o| o["spec"]["encryptedData"]["b"] = "***".into(),
                "b cannot be read: it is not standard base64",
            ),
            (
                "not a text",
                |o| o["spec"]["encryptedData"]["b"] = 7.into(),
                "b cannot be read: it is too short to be a sealed value: part of it is missing",
            ),
            (
                "scope widened",
                |o| o["metadata"]["annotations"] = json!({ seal::CLUSTER_WIDE: "true" }),
                "no key could decrypt secret (a, b)",
            ),
            (
                "both forms",
                |o| o["spec"]["data"] = "AA==".into(),
                "spec.data and spec.encryptedData are both set; use encryptedData only",
            ),
            (
                "templates",
                |o| o["spec"]["template"]["data"] = json!({ "c": "{{ .a }}" }),
                "spec.template.data is not supported by this version; the Secret is left as it is",
            ),
            (
                "a token",
                |o| o["spec"]["template"]["type"] = "kubernetes.io/service-account-token".into(),
                "a Secret of type kubernetes.io/service-account-token mints credentials and is not made from a SealedSecret",
            ),
            (
                "a key",
                |o| o["spec"]["template"]["metadata"]["labels"] = json!({ KEY_LABEL: "active" }),
                "the label sealedsecrets.bitnami.com/sealed-secrets-key would make this Secret a sealing key",
            ),
        ];
        let bounds = Bounds { key_namespace: true, application_namespace: false };
        for (name, edit, expected) in cases {
            let error = unseal(&sealed(edit), &[&key()], bounds).unwrap_err();
            assert_eq!(error.to_string(), expected, "{name}");
        }
    }

    #[test]
    fn the_old_form_is_read() {
        let certificate = Certificate::from_pem(&read("k2048.crt")).unwrap();
        let inner = br#"{"kind":"Secret","apiVersion":"v1","metadata":{"labels":{"l":"1"}},"data":{"k":"djE="},"type":"Opaque"}"#;
        let blob = seal_item(&mut rand::rng(), &certificate, b"ns/x", &inner.to_vec().into()).unwrap();
        let object = sealed(|o| {
            o["spec"]["encryptedData"] = json!({});
            o["spec"]["data"] = blob.into();
        });
        let unsealed = unseal(&object, &[&key()], Bounds::default()).unwrap();
        assert_eq!(unsealed.secret.data["k"].expose(), b"v1");
        assert_eq!(unsealed.secret.labels["l"], "1");
    }

    #[test]
    fn digests_follow_what_counts_and_nothing_else() {
        let digester = Digester::new(&vec![7; 32].into());
        let object = sealed(|_| {});
        let known = inputs(&object, &digester);
        let mut touched = object.clone();
        touched.metadata.labels = Some([("x".to_owned(), "y".to_owned())].into());
        assert_eq!(inputs(&touched, &digester), known, "labels of the object itself do not count");
        touched.metadata.annotations = Some([(seal::NAMESPACE_WIDE.to_owned(), "true".to_owned())].into());
        assert_ne!(inputs(&touched, &digester), known, "the scope counts");

        let mut wanted = unseal(&object, &[&key()], Bounds::default()).unwrap().secret;
        wanted.owner = owner(&object);
        let mut live: SecretValues = SecretValues {
            metadata: serde_json::from_value(json!({
                "labels": { "app": "shop", "theirs": "1" },
                "ownerReferences": [owner_reference(&object)],
            }))
            .unwrap(),
            type_: "Opaque".to_owned(),
            immutable: false,
            data: wanted.data.clone(),
        };
        let intact = outputs(&wanted, &digester);
        assert_eq!(outputs_of_live(&live, &wanted, &digester), intact, "other people's labels do not count");
        live.data.insert("extra".to_owned(), b"x".to_vec().into());
        assert_ne!(outputs_of_live(&live, &wanted, &digester), intact, "a key that somebody added counts");
    }
}
