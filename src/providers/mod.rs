//! Where values come from: one small trait, one file a backend. A provider gets credentials that were resolved under
//! the namespace rules, never our cluster's client (D6).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use seal::SecretBytes;
use serde_json::{Map, Value};

use crate::api::external_secret::{Find, RemoteRef};
use crate::api::secret_store::{CaProvider, SecretKeyRef, ServiceAccountRef};
use crate::plan::{Account, Credentials, SecretManifest, StoreAccess};

mod error;
mod fake;
pub mod generators;
mod session;
mod vault;

pub use error::Error;
pub use session::{Providers, Session};

/// One read may take this long, everything included.
const DEADLINE: Duration = Duration::from_secs(10);
/// Largest answer, in bytes: a Secret holds half of it.
const LARGEST_ANSWER: usize = 2 << 20;

/// A store of values.
#[async_trait]
pub trait Provider: Send + Sync {
    /// One value.
    async fn read(&self, reference: &RemoteRef) -> Result<Fetched, Error>;

    /// Everything under one key, as a map.
    async fn read_map(&self, reference: &RemoteRef) -> Result<FetchedMap, Error>;

    /// Every entry that matches. What it cannot search for is an error, never an empty answer.
    async fn find(&self, find: &Find) -> Result<FetchedMap, Error>;

    /// Whether the store lets us in.
    async fn validate(&self) -> Result<(), Error>;

    /// The other direction, where the store has it.
    fn writer(&self) -> Option<&dyn Writer> {
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
        let Some(key) = self.key else {
            let text = |value: &SecretBytes| String::from_utf8_lossy(value.expose()).into_owned();
            let all: Map<String, Value> =
                self.source.data.iter().map(|(key, value)| (key.clone(), text(value).into())).collect();
            return Ok(Value::Object(all).to_string().into());
        };
        let value = self.source.data.get(key).cloned();
        value.ok_or_else(|| Error::Configuration(format!("the Secret {} has no key {key:?}", self.source.key)))
    }
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

impl Credentials {
    fn secret(&self, reference: &SecretKeyRef) -> Result<&SecretBytes, Error> {
        self.secrets.get(reference).ok_or_else(|| unresolved("Secret"))
    }

    fn account(&self, reference: &ServiceAccountRef) -> Result<&Account, Error> {
        self.accounts.get(reference).ok_or_else(|| unresolved("ServiceAccount"))
    }

    fn authority(&self, provider: &CaProvider) -> Result<&str, Error> {
        self.authorities.get(provider).map(String::as_str).ok_or_else(|| unresolved("certificate authority"))
    }
}

/// A provider reads a reference that `decide::secret_store::references` does not list.
fn unresolved(what: &str) -> Error {
    Error::Configuration(format!("the store refers to a {what} that was not read"))
}

/// Makes the provider of a store.
fn make(access: &StoreAccess, memory: &fake::Memory) -> Result<Arc<dyn Provider>, Error> {
    let provider = &access.provider;
    if let Some(vault) = provider.vault.as_ref().or(provider.open_bao.as_ref()) {
        return Ok(Arc::new(vault::VaultProvider::new(vault, access)?));
    }
    if let Some(fake) = &provider.fake {
        return Ok(Arc::new(fake::FakeProvider::new(fake, memory.of(&access.id))));
    }
    Err(Error::Configuration("the store names no provider that this version knows".to_owned()))
}

/// What metrics call a store's provider.
fn name(access: &StoreAccess) -> &'static str {
    let provider = &access.provider;
    let names = [(provider.vault.is_some() || provider.open_bao.is_some(), "vault"), (provider.fake.is_some(), "fake")];
    names.into_iter().find_map(|(is, name)| is.then_some(name)).unwrap_or("unknown")
}

/// Refuses what is larger than any Secret.
fn within_size(key: &str, length: usize) -> Result<(), Error> {
    if length > LARGEST_ANSWER {
        return Err(Error::Malformed { key: key.to_owned(), why: "it is larger than 2 MiB" });
    }
    Ok(())
}
