//! Providers in use: one client a store and asker, one deadline a call, and a rest for a store that is dead.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::fake::Memory;
use super::{DEADLINE, Error, Fetched, FetchedMap, Provider, PushRef, PushValue, Writer, make, name};
use crate::api::external_secret::{Find, RemoteRef};
use crate::error::Classify;
use crate::plan::{StoreAccess, StoreId};
use crate::telemetry::{Metrics, ProviderLabels};

/// After a store could not be reached it is left alone for this long, so that the objects of a dead store do not hold up
/// those of others.
const DEAD_FOR: Duration = Duration::from_secs(5);

/// Providers in use: one client a store and identity. Cheap to clone.
#[derive(Clone)]
pub struct Providers {
    shared: Arc<Shared>,
}

struct Shared {
    open: Mutex<HashMap<StoreId, Open>>,
    memory: Memory,
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
        Self { shared: Arc::new(Shared { open: Mutex::default(), memory: Memory::default(), metrics }) }
    }

    /// The provider of a store, made when its settings or credentials are new.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`]; or why the store could not be reached a moment ago.
    pub fn open(&self, access: &StoreAccess) -> Result<Session, Error> {
        let mut open = self.lock();
        let known = open.get(&access.id).filter(|known| known.access == *access).cloned();
        let entry = match known {
            Some(Open { dead_since: Some((since, error)), .. }) if since.elapsed() < DEAD_FOR => return Err(error),
            Some(entry) => entry,
            None => {
                let provider = make(access, &self.shared.memory)?;
                let entry = Open { access: access.clone(), provider, dead_since: None };
                open.insert(access.id.clone(), entry.clone());
                entry
            }
        };
        let name = name(access);
        Ok(Session { id: access.id.clone(), name, provider: entry.provider, providers: self.clone(), fresh: false })
    }

    fn tell(&self, session: &Session, outcome: Result<(), &Error>) {
        let result = outcome.map_or_else(Classify::reason, |()| "ok");
        let label = ProviderLabels { provider: session.name, result };
        self.shared.metrics.provider_reads.get_or_create(&label).inc();
        if let Some(entry) = self.lock().get_mut(&session.id) {
            entry.dead_since = match outcome {
                Err(error @ (Error::Unreachable { .. } | Error::Sealed | Error::CertificateInvalid { .. })) => {
                    Some((Instant::now(), error.clone()))
                }
                _ => None,
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StoreId, Open>> {
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A provider under one deadline a call, whose failures are remembered.
pub struct Session {
    id: StoreId,
    name: &'static str,
    provider: Arc<dyn Provider>,
    providers: Providers,
    fresh: bool,
}

impl Session {
    /// Reads of this session are not answered with what another read has just brought: somebody asked for them.
    #[must_use]
    pub fn fresh(mut self, fresh: bool) -> Self {
        self.fresh = fresh;
        self
    }

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

    /// See [`Provider::find`].
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn find(&self, find: &Find) -> Result<FetchedMap, Error> {
        self.within(self.provider.find(find)).await
    }

    /// See [`Provider::validate`].
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn validate(&self) -> Result<(), Error> {
        self.within(self.provider.validate()).await
    }

    /// See [`Writer::exists`].
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn exists(&self, reference: &PushRef) -> Result<bool, Error> {
        self.within(self.writer()?.exists(reference)).await
    }

    /// See [`Writer::push`].
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn push(&self, reference: &PushRef, value: PushValue<'_>) -> Result<(), Error> {
        self.within(self.writer()?.push(reference, value)).await
    }

    /// See [`Writer::delete`].
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn delete(&self, reference: &PushRef) -> Result<(), Error> {
        self.within(self.writer()?.delete(reference)).await
    }

    /// `ReadOnly` or `ReadWrite`, as a store's status tells it.
    pub fn capabilities(&self) -> &'static str {
        if self.provider.writer().is_some() { "ReadWrite" } else { "ReadOnly" }
    }

    fn writer(&self) -> Result<&dyn Writer, Error> {
        self.provider.writer().ok_or_else(|| Error::Configuration(format!("{} takes no values", self.id)))
    }

    async fn within<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let answer = tokio::time::timeout(DEADLINE, call).await.unwrap_or_else(|_| {
            Err(Error::Unreachable {
                server: self.id.to_string(),
                why: format!("no answer within {} s", DEADLINE.as_secs()),
            })
        });
        self.providers.tell(self, answer.as_ref().map(|_| ()));
        answer
    }
}
