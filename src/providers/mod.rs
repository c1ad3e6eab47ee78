//! Where values come from: one small trait, one file a backend. A provider gets credentials that were resolved under
//! the namespace rules, never our cluster's client (D6).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use seal::SecretBytes;
use serde_json::Value;

use crate::api::external_secret::RemoteRef;
use crate::error::{Classify, Retry};
use crate::plan::StoreAccess;
use crate::telemetry::{Metrics, ProviderLabels};
use crate::values::ValueError;

mod vault;

/// One read may take this long, everything included.
const DEADLINE: Duration = Duration::from_secs(10);
/// Largest answer, in bytes: a Secret holds half of it.
const LARGEST_ANSWER: usize = 2 << 20;
/// After a store could not be reached it is left alone for this long, so that the objects of a dead store do not hold up
/// those of others.
const DEAD_FOR: Duration = Duration::from_secs(5);

/// A store of values.
#[async_trait]
pub trait Provider: Send + Sync {
    /// One value.
    async fn read(&self, reference: &RemoteRef) -> Result<Fetched, Error>;

    /// Everything under one key, as a map.
    async fn read_map(&self, reference: &RemoteRef) -> Result<FetchedMap, Error>;

    /// Whether the store lets us in.
    async fn validate(&self) -> Result<(), Error>;
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
#[derive(Clone, Debug)]
pub struct FetchedMap {
    /// The values, in the order of the store.
    pub values: Vec<(String, SecretBytes)>,
    /// Where the store has versions.
    pub version: Option<String>,
}

/// What a store says when it says no. Never holds a value, a token, or a query string.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No connection, or no answer in time.
    #[error("the store at {server} cannot be reached: {why}")]
    Unreachable {
        /// Its address.
        server: String,
        /// One sentence.
        why: String,
    },
    /// Its certificate is not trusted.
    #[error(
        "the certificate of the store at {server} is not trusted: {why}; name its authority in caBundle or caProvider"
    )]
    CertificateInvalid {
        /// Its address.
        server: String,
        /// One sentence.
        why: String,
    },
    /// It is there and does not serve.
    #[error("the store is sealed or in standby")]
    Sealed,
    /// Not with these credentials.
    #[error("permission denied on {path}{}", .role.as_ref().map(|role| format!(" with role {role:?}")).unwrap_or_default())]
    PermissionDenied {
        /// What was asked for.
        path: String,
        /// As whom.
        role: Option<String>,
    },
    /// Nothing under that key.
    #[error("{key} does not exist in the store")]
    NotFound {
        /// The key.
        key: String,
    },
    /// No such mount or engine: says nothing about the key.
    #[error("the store has no engine at {path}; check `path` and `version` of the store")]
    NoEngine {
        /// The mount.
        path: String,
    },
    /// It asks us to slow down.
    #[error("the store asks to wait")]
    Throttled,
    /// An answer that cannot be used.
    #[error("the store's answer to {key} cannot be used: {why}")]
    Malformed {
        /// The key.
        key: String,
        /// One sentence.
        why: &'static str,
    },
    /// The store's settings cannot work.
    #[error("{0}")]
    Configuration(String),
    /// What was read is not what is wanted.
    #[error("{key}: {error}")]
    Value {
        /// The key.
        key: String,
        /// Why.
        error: ValueError,
    },
    /// Anything else.
    #[error("the store answers {0}")]
    Other(u16),
}

impl Classify for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "Unreachable",
            Self::CertificateInvalid { .. } => "CertificateInvalid",
            Self::Sealed => "Sealed",
            Self::PermissionDenied { .. } => "PermissionDenied",
            Self::NotFound { .. } => "NotFound",
            Self::NoEngine { .. } => "NoEngine",
            Self::Throttled => "Throttled",
            Self::Malformed { .. } => "Malformed",
            Self::Configuration(_) => "InvalidConfiguration",
            Self::Value { .. } => "InvalidValue",
            Self::Other(_) => "StoreError",
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Configuration(_) => Retry::OnChange,
            // The store does not tell when this changes: look again, not often.
            _ => Retry::Backoff,
        }
    }
}

/// Providers in use: one client a store and identity. Cheap to clone.
#[derive(Clone)]
pub struct Providers {
    shared: Arc<Shared>,
}

struct Shared {
    open: Mutex<HashMap<String, Open>>,
    metrics: Arc<Metrics>,
}

#[derive(Clone)]
struct Open {
    access: StoreAccess,
    provider: Arc<dyn Provider>,
    dead_since: Option<(Instant, Error)>,
}

impl Providers {
    /// None yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { shared: Arc::new(Shared { open: Mutex::default(), metrics }) }
    }

    /// The provider of a store, made when its credentials are new. `identity` names the store and who asks.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`]; or why the store could not be reached a moment ago.
    pub fn open(&self, identity: &str, access: &StoreAccess) -> Result<Session, Error> {
        let mut open = self.lock();
        let known = open.get(identity).filter(|known| known.access == *access).cloned();
        let entry = match known {
            Some(Open { dead_since: Some((since, error)), .. }) if since.elapsed() < DEAD_FOR => return Err(error),
            Some(entry) => entry,
            None => {
                let provider: Arc<dyn Provider> = Arc::new(vault::VaultProvider::new(access)?);
                let entry = Open { access: access.clone(), provider, dead_since: None };
                open.insert(identity.to_owned(), entry.clone());
                entry
            }
        };
        Ok(Session { identity: identity.to_owned(), provider: entry.provider, providers: self.clone() })
    }

    fn tell(&self, identity: &str, outcome: Result<(), &Error>) {
        let result = outcome.map_or_else(Classify::reason, |()| "ok");
        let label = ProviderLabels { provider: "vault", result };
        self.shared.metrics.provider_reads.get_or_create(&label).inc();
        if let Some(entry) = self.lock().get_mut(identity) {
            entry.dead_since = match outcome {
                Err(error @ (Error::Unreachable { .. } | Error::Sealed | Error::CertificateInvalid { .. })) => {
                    Some((Instant::now(), error.clone()))
                }
                _ => None,
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A provider under one deadline a read, whose failures are remembered.
pub struct Session {
    identity: String,
    provider: Arc<dyn Provider>,
    providers: Providers,
}

impl Session {
    /// See [`Provider::read`].
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn read(&self, reference: &RemoteRef) -> Result<Fetched, Error> {
        self.within(self.provider.read(reference)).await
    }

    /// See [`Provider::read_map`].
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn read_map(&self, reference: &RemoteRef) -> Result<FetchedMap, Error> {
        self.within(self.provider.read_map(reference)).await
    }

    /// See [`Provider::validate`].
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn validate(&self) -> Result<(), Error> {
        self.within(self.provider.validate()).await
    }

    async fn within<T>(&self, read: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let answer = tokio::time::timeout(DEADLINE, read).await.unwrap_or_else(|_| {
            Err(Error::Unreachable {
                server: self.identity.clone(),
                why: format!("no answer within {} s", DEADLINE.as_secs()),
            })
        });
        self.providers.tell(&self.identity, answer.as_ref().map(|_| ()));
        answer
    }
}

/// Refuses what is larger than any Secret.
fn within_size(key: &str, value: &Value) -> Result<(), Error> {
    if value.to_string().len() > LARGEST_ANSWER {
        return Err(Error::Malformed { key: key.to_owned(), why: "it is larger than 2 MiB" });
    }
    Ok(())
}
