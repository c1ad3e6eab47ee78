//! The words that rules and hands share: what to write (`Change`) and what to say (`Verdict`). No logic.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::api::ObjectMeta;
use seal::SecretBytes;
use serde_json::{Map, Value, json};

use crate::api::external_secret::StoreKind;
use crate::api::secret_store::{CaProvider, ConfigMapRef, Provider, SecretKeyRef, ServiceAccountRef, WholeSecretRef};

/// Which object of a kind: its namespace (empty for cluster-scoped kinds) and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl ObjectKey {
    /// A key from its two parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// Which object of any kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// `group/version`, or `v1`.
    pub api_version: String,
    /// CamelCase kind.
    pub kind: String,
    /// Namespace and name.
    pub key: ObjectKey,
}

impl ObjectRef {
    /// The API group, empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// The version within the group.
    pub fn version(&self) -> &str {
        self.api_version.split_once('/').map_or(self.api_version.as_str(), |(_, version)| version)
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.key)
    }
}

/// A whole object as JSON on its way to or from the API server.
///
/// It may be a Secret, so `Debug` shows which object it is and nothing else.
#[derive(Clone, PartialEq)]
pub struct Manifest(Map<String, Value>);

impl Manifest {
    /// Takes a JSON object; anything else is handed back.
    ///
    /// # Errors
    ///
    /// The value itself, when it is not a JSON object.
    pub fn new(value: Value) -> Result<Self, Value> {
        match value {
            Value::Object(fields) => Ok(Self(fields)),
            other => Err(other),
        }
    }

    /// All fields.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }

    /// All fields, to change.
    pub fn fields_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.0
    }

    /// The plain JSON.
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// `apiVersion`, empty when absent.
    pub fn api_version(&self) -> &str {
        self.text("apiVersion")
    }

    /// `kind`, empty when absent.
    pub fn kind(&self) -> &str {
        self.text("kind")
    }

    /// `metadata.name`, empty when absent.
    pub fn name(&self) -> &str {
        self.metadata_text("name")
    }

    /// `metadata.namespace`, empty when absent.
    pub fn namespace(&self) -> &str {
        self.metadata_text("namespace")
    }

    /// Which object this is.
    pub fn object_ref(&self) -> ObjectRef {
        ObjectRef {
            api_version: self.api_version().to_owned(),
            kind: self.kind().to_owned(),
            key: ObjectKey::new(self.namespace(), self.name()),
        }
    }

    /// `metadata`, made when absent. Replaces a `metadata` that is no object.
    pub fn metadata_mut(&mut self) -> &mut Map<String, Value> {
        let slot = self.0.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        if !slot.is_object() {
            *slot = Value::Object(Map::new());
        }
        match slot {
            Value::Object(fields) => fields,
            _ => unreachable!("made an object above"),
        }
    }

    /// One annotation.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.0.get("metadata")?.get("annotations")?.get(name)?.as_str()
    }

    /// One label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.0.get("metadata")?.get("labels")?.get(name)?.as_str()
    }

    /// `metadata.uid`, empty when absent.
    pub fn uid(&self) -> &str {
        self.metadata_text("uid")
    }

    /// `metadata.resourceVersion`, empty when absent.
    pub fn resource_version(&self) -> &str {
        self.metadata_text("resourceVersion")
    }

    fn text(&self, field: &str) -> &str {
        self.0.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    fn metadata_text(&self, field: &str) -> &str {
        self.0.get("metadata").and_then(|metadata| metadata.get(field)).and_then(Value::as_str).unwrap_or_default()
    }
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Manifest({})", self.object_ref())
    }
}

/// A Secret with its values, as it was read.
#[derive(Clone, Debug)]
pub struct SecretValues {
    /// Name, labels, owners, version.
    pub metadata: ObjectMeta,
    /// `type`.
    pub type_: String,
    /// `immutable`.
    pub immutable: bool,
    /// `data`, decoded.
    pub data: BTreeMap<String, SecretBytes>,
}

/// Which store, and for whom it was opened. Whatever is kept for a store (clients, tokens, values) is kept under this
/// key, so that nothing of one tenant is ever handed to another.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId {
    /// The kind.
    pub kind: StoreKind,
    /// Namespace (empty for a ClusterSecretStore) and name.
    pub key: ObjectKey,
    /// Namespace of the object that uses a ClusterSecretStore; empty when the store itself is tried.
    pub asker: String,
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind, self.key)
    }
}

/// A store as its provider gets it: the settings as they were written, and what they refer to, resolved under the
/// namespace rules. It needs no cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreAccess {
    /// Which store, for whom.
    pub id: StoreId,
    /// The settings.
    pub provider: Provider,
    /// What they refer to.
    pub credentials: Credentials,
    /// How often a call that failed is repeated, and after which pause.
    pub retries: (u32, Duration),
}

/// What a store's settings refer to, resolved: each by the reference as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Keys of Secrets.
    pub secrets: BTreeMap<SecretKeyRef, SecretBytes>,
    /// Whole Secrets.
    pub whole_secrets: BTreeMap<WholeSecretRef, BTreeMap<String, SecretBytes>>,
    /// Keys of ConfigMaps.
    pub config_maps: BTreeMap<ConfigMapRef, String>,
    /// Service accounts.
    pub accounts: BTreeMap<ServiceAccountRef, Account>,
    /// Certificate authorities, as PEM.
    pub authorities: BTreeMap<CaProvider, String>,
    /// Whether the identity of our own pod may be used.
    pub ambient: bool,
}

impl Credentials {
    /// Takes over the tokens of accounts: whoever holds one of these sees the new one.
    pub fn renew(&self, newer: &Self) {
        for (reference, account) in &self.accounts {
            if let Some(newer) = newer.accounts.get(reference) {
                account.token.set(newer.token.get());
            }
        }
    }
}

/// A service account and a token of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Its annotations: clouds keep there which role it stands for.
    pub annotations: BTreeMap<String, String>,
    /// A token that is good for a few minutes.
    pub token: AccountToken,
}

/// A service account's token. It is another one every few minutes, which makes no other account: all are equal, and a
/// clone sees what is set.
#[derive(Clone, Debug, Default)]
pub struct AccountToken(Arc<Mutex<SecretBytes>>);

impl AccountToken {
    /// As it is now.
    pub fn get(&self) -> SecretBytes {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on.
    pub fn set(&self, token: SecretBytes) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }
}

impl From<SecretBytes> for AccountToken {
    fn from(token: SecretBytes) -> Self {
        Self(Arc::new(Mutex::new(token)))
    }
}

impl PartialEq for AccountToken {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for AccountToken {}

/// A reference in a store's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference<'a> {
    /// Path of its field, for people.
    pub field: &'static str,
    /// What it refers to.
    pub to: Referent<'a>,
}

/// What a reference refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Referent<'a> {
    /// A key of a Secret; the second is the key when none is named.
    Secret(&'a SecretKeyRef, Option<&'static str>),
    /// A whole Secret: namespace and name; the second is a label that it must bear.
    WholeSecret(WholeSecretRef, Option<(&'static str, &'static str)>),
    /// A service account, and for whom its token is to be.
    Account(&'a ServiceAccountRef, Audience<'a>),
    /// A key of a ConfigMap.
    ConfigMap(&'a ConfigMapRef),
    /// A certificate authority.
    Authority(&'a CaProvider),
}

impl Referent<'_> {
    /// The namespace that it names.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Secret(reference, _) => reference.namespace.as_deref(),
            Self::WholeSecret(reference, _) => reference.namespace.as_deref(),
            Self::Account(reference, _) => reference.namespace.as_deref(),
            Self::ConfigMap(reference) => reference.namespace.as_deref(),
            Self::Authority(provider) => provider.namespace.as_deref(),
        }
    }
}

/// For whom a service account's token is to be: these, and those that the reference itself names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audience<'a> {
    /// Named by the provider; none of any kind means the API server's own.
    pub names: Vec<Cow<'a, str>>,
    /// Annotation of the account that takes the place of `names`.
    pub annotation: Option<&'static str>,
    /// Whether the account's annotations are of interest.
    pub reads_annotations: bool,
    /// How long it is good, in seconds.
    pub seconds: Option<i64>,
}

/// A Secret as it should be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SecretManifest {
    /// Which one.
    pub key: ObjectKey,
    /// Labels that we set.
    pub labels: BTreeMap<String, String>,
    /// Annotations that we set.
    pub annotations: BTreeMap<String, String>,
    /// Finalizers that we set.
    pub finalizers: Vec<String>,
    /// Who owns it, as JSON; none when nobody does.
    pub owner: Option<Value>,
    /// Further owners that its author asked for.
    pub further_owners: Vec<Value>,
    /// `type`; empty means the API server's default.
    pub type_: String,
    /// `immutable`, when it is to be set.
    pub immutable: Option<bool>,
    /// `data`.
    pub data: BTreeMap<String, SecretBytes>,
}

impl SecretManifest {
    /// The object to send: from here on it is JSON, whose `Debug` shows nothing.
    pub fn to_manifest(&self) -> Manifest {
        let mut metadata = json!({ "namespace": self.key.namespace, "name": self.key.name });
        if !self.labels.is_empty() {
            metadata["labels"] = json!(self.labels);
        }
        if !self.annotations.is_empty() {
            metadata["annotations"] = json!(self.annotations);
        }
        if !self.finalizers.is_empty() {
            metadata["finalizers"] = json!(self.finalizers);
        }
        let owners: Vec<&Value> = self.owner.iter().chain(&self.further_owners).collect();
        if !owners.is_empty() {
            metadata["ownerReferences"] = json!(owners);
        }
        let data: Map<String, Value> =
            self.data.iter().map(|(key, value)| (key.clone(), seal::wire::encode(value.expose()).into())).collect();
        let mut fields = Map::new();
        fields.insert("apiVersion".to_owned(), "v1".into());
        fields.insert("kind".to_owned(), "Secret".into());
        fields.insert("metadata".to_owned(), metadata);
        if !self.type_.is_empty() {
            fields.insert("type".to_owned(), self.type_.clone().into());
        }
        if let Some(immutable) = self.immutable {
            fields.insert("immutable".to_owned(), immutable.into());
        }
        fields.insert("data".to_owned(), Value::Object(data));
        Manifest(fields)
    }
}

/// One sealing key, as reports tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFacts {
    /// Its Secret.
    pub secret: String,
    /// `SHA256:…` of its public key.
    pub fingerprint: String,
    /// `Sealing`, `Opening` or `Deleted`.
    pub state: &'static str,
    /// From when its certificate counts, seconds since 1970.
    pub not_before: i64,
    /// Until when.
    pub not_after: i64,
    /// Whether its certificate is of another key.
    pub mismatched: bool,
}

/// The version of an object that a decision was made on: a write under this guard fails with a conflict when the
/// object has changed or has been made anew since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
}

/// One write to the cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Make it; fails with `AlreadyExists` when it is there. The first write of everything whose absence is not certain (D12).
    Create {
        /// The whole object.
        manifest: Manifest,
        /// Field manager.
        manager: String,
    },
    /// Server-side apply, forced: our fields are as written here, other managers' fields stay.
    Apply {
        /// Only the fields that we own.
        manifest: Manifest,
        /// Field manager.
        manager: String,
        /// The version that the decision was made on; `None` applies over anything.
        guard: Option<Guard>,
    },
    /// Change what the merge patch holds and nothing else (null takes away): one request where several managers write.
    Amend {
        /// Which object, and the fields.
        patch: Manifest,
        /// Field manager.
        manager: String,
        /// The version that the patch was computed on.
        guard: Guard,
    },
    /// Take away fields that apply cannot, because another manager owns them.
    RemoveFields {
        /// Which object.
        object: ObjectRef,
        /// JSON pointers.
        pointers: Vec<String>,
        /// Field manager.
        manager: String,
        /// The version that the pointers were computed on.
        guard: Guard,
    },
    /// Delete it.
    Delete {
        /// Which object.
        object: ObjectRef,
        /// Only this incarnation; `None` deletes whatever bears the name.
        uid: Option<String>,
        /// Whether dependents go first, later, or not at all.
        propagation: Propagation,
    },
}

/// What becomes of dependents when an object is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// Dependents first.
    #[default]
    Foreground,
    /// The object first.
    Background,
    /// Dependents stay.
    Orphan,
}

/// What a reconcile ends with: what to say about the object, and when to look again.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The complete status as it should stand; `None` leaves it alone. `drive` writes it only when it differs by more
    /// than its timestamps.
    pub status: Option<Value>,
    /// What people should hear of, once.
    pub notes: Vec<Note>,
    /// When to look again without a change.
    pub next: Next,
    /// Other fields of the object that go with the status, as one merge patch: a request that was handled, a finalizer
    /// that has done its work. It names the `resourceVersion` that the decision was made on.
    pub also: Option<Value>,
    /// The status as this very decision has written it on its way; none when it stands as it was found.
    pub written: Option<Value>,
}

impl Verdict {
    /// Nothing to say.
    pub fn silent(next: Next) -> Self {
        Self { status: None, notes: Vec::new(), next, also: None, written: None }
    }

    /// This is the status now.
    pub fn told(status: Option<Value>, notes: impl IntoIterator<Item = Note>, next: Next) -> Self {
        Self { status, notes: notes.into_iter().collect(), next, also: None, written: None }
    }

    /// Whether there is nothing to write and nobody to tell.
    pub fn says_nothing(&self) -> bool {
        self.status.is_none() && self.also.is_none() && self.notes.is_empty()
    }
}

/// A Kubernetes Event to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// A Warning, or Normal.
    pub warning: bool,
    /// CamelCase reason.
    pub reason: String,
    /// For people; never a value.
    pub message: String,
}

/// When to look again although nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Not before something changes.
    OnChange,
    /// After this time.
    After(Duration),
    /// After a pause that grows with each failure in a row.
    Backoff,
}
