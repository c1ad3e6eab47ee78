//! Where values come from: one small trait, one file a backend. A provider gets credentials that were resolved under
//! the namespace rules, never our cluster's client (D6).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use seal::SecretBytes;
use serde_json::{Map, Value};

use crate::api::external_secret::{Find, RemoteRef};
use crate::api::secret_store::{CaProvider, SecretKeyRef, ServiceAccountRef};
use crate::plan::{Account, Credentials, SecretManifest, StoreAccess};
use crate::values::{Pattern, ValueError};

mod aws;
mod azurekv;
mod error;
mod fake;
mod gcpsm;
/// Values that are made, not kept.
pub mod generators;
mod guard;
mod http;
mod json_path;
mod jwt;
mod kubernetes;
mod references;
mod session;
mod share;
mod vault;
mod webhook;

pub use error::Error;
pub use references::{depends_on_asker, references};
pub use session::{Providers, Session};

/// One read may take this long, everything included.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// Largest answer, in bytes: a Secret holds half of it.
const LARGEST_ANSWER: usize = 2 << 20;
/// The mark of what was pushed, where a store has tags or labels; upstream's.
const MANAGED_BY: &str = "managed-by";
/// Its value.
const MANAGER: &str = "external-secrets";

/// A store of values.
///
/// What stands under a key is fetched whole and then looked into, so that ten properties of one secret are one call.
///
/// There is no look at a version before a payload, because it pays nowhere. Vault's metadata lies under another path, which
/// policies for readers do not name, and costs a request as the payload does. AWS counts and bills DescribeSecret with
/// GetSecretValue, and its describing calls for parameters are throttled sooner than reads. Azure bills and throttles each
/// transaction alike. Google's metadata is free, but of metadata 600 a minute are allowed and of payloads 90 000, and an
/// accessor may not read it. What changes less often than it is read is the same bytes again: no Secret is written for it.
#[async_trait]
pub trait Provider: Send + Sync {
    /// What stands under a key, in the version that is asked for; its property is not looked at.
    async fn fetch(&self, reference: &RemoteRef) -> Result<Payload, Error>;

    /// Whether the service brings several in one call.
    fn has_batches(&self) -> bool {
        false
    }

    /// Several at a time, in their order.
    async fn fetch_all(&self, references: &[RemoteRef]) -> Vec<Result<Payload, Error>> {
        futures::future::join_all(references.iter().map(|reference| self.fetch(reference))).await
    }

    /// The value that is meant: by property, in the order and with the escapes of upstream's provider.
    fn value(&self, payload: &Payload, reference: &RemoteRef) -> Result<SecretBytes, Error>;

    /// The same as a map.
    fn map(&self, payload: &Payload, reference: &RemoteRef) -> Result<Vec<(String, SecretBytes)>, Error>;

    /// Every entry that matches. What it cannot search for is an error, never an empty answer.
    async fn find(&self, find: &Find) -> Result<FetchedMap, Error>;

    /// Whether the store lets us in.
    async fn validate(&self) -> Result<(), Error>;

    /// The other direction, where the store has it.
    fn writer(&self) -> Option<&dyn Writer> {
        None
    }

    /// What of a reference tells one payload from another.
    fn part(&self, reference: &RemoteRef) -> RemoteRef {
        RemoteRef {
            key: reference.key.clone(),
            version: reference.version.clone(),
            metadata_policy: reference.metadata_policy,
            ..RemoteRef::default()
        }
    }

    /// Whether an entry of `data` that is not there is an error like any other, and no deletion: upstream's word differs
    /// from provider to provider.
    fn absence_is_an_error(&self) -> bool {
        false
    }

    /// When our login ends.
    async fn lease_ends(&self) -> Option<Instant> {
        None
    }
}

/// A store that takes values.
#[async_trait]
pub trait Writer: Send + Sync {
    /// Whether there is something, whoever made it.
    async fn exists(&self, reference: &PushRef) -> Result<bool, Error>;

    /// Writes unless it stands there already. What somebody else made is refused.
    async fn push(&self, reference: &PushRef, value: PushValue<'_>) -> Result<(), Error>;

    /// Takes away what we made; what is not there, or not ours, is left alone without an error.
    async fn delete(&self, reference: &PushRef) -> Result<(), Error>;
}

/// What stands under a key.
#[derive(Clone, Debug)]
pub struct Payload {
    /// The value or values.
    pub content: Content,
    /// Where the store has versions.
    pub version: Option<String>,
}

/// A value, or several by name.
#[derive(Clone, Debug)]
pub enum Content {
    /// One, as it was sent.
    Bytes(SecretBytes),
    /// Several.
    Map(BTreeMap<String, SecretBytes>),
}

impl Payload {
    fn bytes(value: impl Into<SecretBytes>, version: Option<String>) -> Self {
        Self { content: Content::Bytes(value.into()), version }
    }

    fn text(&self, key: &str) -> Result<&str, Error> {
        let wrong = || Error::Malformed { key: key.to_owned(), why: "it is no text" };
        match &self.content {
            Content::Bytes(bytes) => std::str::from_utf8(bytes.expose()).map_err(|_| wrong()),
            Content::Map(_) => Err(wrong()),
        }
    }

    fn whole(&self) -> SecretBytes {
        match &self.content {
            Content::Bytes(bytes) => bytes.clone(),
            Content::Map(values) => json_of(values),
        }
    }
}

/// Several values as a JSON object of texts, without Go's escapes.
fn json_of(values: &BTreeMap<String, SecretBytes>) -> SecretBytes {
    let text = |value: &SecretBytes| String::from_utf8_lossy(value.expose()).into_owned();
    let all: Map<String, Value> = values.iter().map(|(key, value)| (key.clone(), text(value).into())).collect();
    Value::Object(all).to_string().into()
}

/// A value and which version of it.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The value.
    pub value: SecretBytes,
    /// Where the store has versions.
    pub version: Option<String>,
}

/// A map of values and which version of it.
#[derive(Clone, Debug, Default)]
pub struct FetchedMap {
    /// The values, in the order of the store.
    pub values: Vec<(String, SecretBytes)>,
    /// Where the store has versions.
    pub version: Option<String>,
}

/// Where a value is to be put.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PushRef {
    /// Path or name within the store.
    pub remote_key: String,
    /// A part of it.
    pub property: Option<String>,
    /// `metadata` of the entry: each provider has its own.
    pub metadata: Option<Value>,
}

impl PushRef {
    fn property(&self) -> Option<&str> {
        self.property.as_deref().filter(|property| !property.is_empty())
    }

    /// What is left of an entry that is a JSON object without our property; none when nothing is, or the whole is meant.
    fn without(&self, standing: &SecretBytes) -> Result<Option<SecretBytes>, Error> {
        let Some(property) = self.property() else { return Ok(None) };
        let wrong = |_| Error::Value { key: self.remote_key.clone(), error: ValueError::NotAMap };
        let mut object: Map<String, Value> = serde_json::from_slice(standing.expose()).map_err(wrong)?;
        if object.shift_remove(property).is_none() {
            return Ok(Some(standing.clone()));
        }
        Ok((!object.is_empty()).then(|| Value::Object(object).to_string().into()))
    }

    /// `metadata.spec`, where providers keep their settings.
    fn settings<T: serde::de::DeserializeOwned + Default>(&self) -> Result<T, Error> {
        let Some(spec) = self.metadata.as_ref().and_then(|metadata| metadata.get("spec")) else {
            return Ok(T::default());
        };
        serde_json::from_value(spec.clone()).map_err(|_| {
            Error::Configuration(format!("{}: metadata.spec is not what this store takes", self.remote_key))
        })
    }
}

/// What is pushed: one key of a Secret, or all of them.
#[derive(Clone, Copy, Debug)]
pub struct PushValue<'a> {
    /// The Secret: some stores also keep its type, labels and annotations.
    pub source: &'a SecretManifest,
    /// The key; none means the whole Secret.
    pub key: Option<&'a str>,
}

impl PushValue<'_> {
    /// What a store that keeps one value an entry is given: the key's value, or a JSON object of all of them.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] when the Secret has no such key.
    pub fn bytes(&self) -> Result<SecretBytes, Error> {
        let Some(key) = self.key else { return Ok(json_of(&self.source.data)) };
        let value = self.source.data.get(key).cloned();
        value.ok_or_else(|| Error::Configuration(format!("the Secret {} has no key {key:?}", self.source.key)))
    }

    /// What an entry that is a JSON object becomes: the value put in at a property, everything else as it was.
    fn merged(&self, standing: Option<&SecretBytes>, reference: &PushRef) -> Result<SecretBytes, Error> {
        let bytes = self.bytes()?;
        let Some(property) = reference.property() else { return Ok(bytes) };
        let wrong = |what: &str| Error::Configuration(format!("{}: {what}", reference.remote_key));
        let mut object: Map<String, Value> = match standing {
            None => Map::new(),
            Some(standing) => serde_json::from_slice(standing.expose())
                .map_err(|_| wrong("what stands there is no JSON object, so nothing can be put in at a property"))?,
        };
        let text = String::from_utf8(bytes.expose().to_vec()).map_err(|_| wrong("a property takes text only"))?;
        object.insert(property.to_owned(), text.into());
        Ok(Value::Object(object).to_string().into())
    }
}

/// Where services are asked when not at their usual place: an administrator's word, never a tenant's.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    /// AWS Secrets Manager.
    pub secrets_manager: Option<String>,
    /// AWS Systems Manager, whose Parameter Store is meant.
    pub ssm: Option<String>,
    /// AWS Security Token Service.
    pub sts: Option<String>,
    /// AWS Elastic Container Registry.
    pub ecr: Option<String>,
    /// Google Secret Manager.
    pub secret_manager: Option<String>,
    /// Google's exchange of tokens.
    pub google_sts: Option<String>,
    /// Our own cluster's API server, without any identity of ours.
    pub own_cluster: Option<String>,
    /// Its certificate authority, PEM.
    pub own_authority: Option<String>,
}

impl Credentials {
    fn secret(&self, reference: &SecretKeyRef) -> Result<&SecretBytes, Error> {
        self.secrets.get(reference).ok_or_else(|| unresolved("Secret"))
    }

    /// A value that is a word: an id, a name.
    fn word(&self, reference: &SecretKeyRef) -> Result<String, Error> {
        let text = std::str::from_utf8(self.secret(reference)?.expose()).map(|text| text.trim().to_owned());
        text.map_err(|_| Error::Configuration("a Secret that the store refers to holds no text".to_owned()))
    }

    fn account(&self, reference: &ServiceAccountRef) -> Result<&Account, Error> {
        self.accounts.get(reference).ok_or_else(|| unresolved("ServiceAccount"))
    }

    /// The certificate authority of a store, as PEM.
    fn authority_of(&self, bundle: Option<&str>, provider: Option<&CaProvider>) -> Result<Option<String>, Error> {
        let unreadable = || Error::Configuration("caBundle is not PEM in base64".to_owned());
        if let Some(bundle) = bundle.filter(|bundle| !bundle.is_empty()) {
            let bytes = seal::wire::decode(bundle).map_err(|_| unreadable())?;
            return String::from_utf8(bytes).map(Some).map_err(|_| unreadable());
        }
        let Some(provider) = provider else { return Ok(None) };
        let found = self.authorities.get(provider).cloned();
        found.map(Some).ok_or_else(|| unresolved("certificate authority"))
    }

    /// Whether the identity of our own pod may be used.
    fn may_be_ambient(&self) -> Result<(), Error> {
        if self.ambient {
            return Ok(());
        }
        Err(Error::Configuration(
            "without auth the operator's own identity would be used; that is for ClusterSecretStores and for namespaces in --ambient-namespaces".to_owned(),
        ))
    }
}

/// A provider reads a reference that `references` does not list.
fn unresolved(what: &str) -> Error {
    Error::Configuration(format!("the store refers to a {what} that was not read"))
}

/// Makes the provider of a store.
fn make(access: &StoreAccess, endpoints: &Endpoints, memory: &fake::Memory) -> Result<Arc<dyn Provider>, Error> {
    let provider = &access.provider;
    if let Some(vault) = provider.vault.as_ref().or(provider.open_bao.as_ref()) {
        return Ok(Arc::new(vault::VaultProvider::new(vault, access, endpoints)?));
    }
    if let Some(aws) = &provider.aws {
        return aws::make(aws, access, endpoints);
    }
    if let Some(azure) = &provider.azurekv {
        return Ok(Arc::new(azurekv::AzureKvProvider::new(azure, access)?));
    }
    if let Some(gcp) = &provider.gcpsm {
        return Ok(Arc::new(gcpsm::GcpSmProvider::new(gcp, access, endpoints)?));
    }
    if let Some(kubernetes) = &provider.kubernetes {
        return Ok(Arc::new(kubernetes::KubernetesProvider::new(kubernetes, access, endpoints)?));
    }
    if let Some(webhook) = &provider.webhook {
        return Ok(Arc::new(webhook::WebhookProvider::new(webhook, access)?));
    }
    if let Some(fake) = &provider.fake {
        return Ok(Arc::new(fake::FakeProvider::new(fake, memory.of(&access.id))));
    }
    Err(Error::Configuration("the store names no provider that this version knows".to_owned()))
}

/// What names must look like to be found; none when any will do.
fn pattern(find: &Find) -> Result<Option<Pattern>, Error> {
    let pattern = find.name.as_ref().map(|name| Pattern::new(name.regexp.as_deref().unwrap_or_default()));
    pattern.transpose().map_err(|error| Error::Configuration(format!("find.name.regexp: {error}")))
}

/// What a store can do, before it can be opened: `ReadOnly` or `ReadWrite`.
pub fn capabilities(provider: &crate::api::secret_store::Provider) -> &'static str {
    let writes = provider.vault.is_some()
        || provider.open_bao.is_some()
        || provider.aws.is_some()
        || provider.azurekv.is_some()
        || provider.gcpsm.is_some()
        || provider.kubernetes.is_some()
        || provider.webhook.is_some()
        || provider.fake.is_some();
    if writes { "ReadWrite" } else { "ReadOnly" }
}

/// What metrics call a store's provider.
fn name(access: &StoreAccess) -> &'static str {
    let provider = &access.provider;
    let names = [
        (provider.vault.is_some() || provider.open_bao.is_some(), "vault"),
        (provider.aws.is_some(), "aws"),
        (provider.azurekv.is_some(), "azurekv"),
        (provider.gcpsm.is_some(), "gcpsm"),
        (provider.kubernetes.is_some(), "kubernetes"),
        (provider.webhook.is_some(), "webhook"),
        (provider.fake.is_some(), "fake"),
    ];
    names.into_iter().find_map(|(is, name)| is.then_some(name)).unwrap_or("unknown")
}

/// Refuses what is larger than any Secret.
fn within_size(key: &str, length: usize) -> Result<(), Error> {
    if length > LARGEST_ANSWER {
        return Err(Error::Malformed { key: key.to_owned(), why: "it is larger than 2 MiB" });
    }
    Ok(())
}
