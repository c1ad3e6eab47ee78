//! Providers in use: one client a store and identity, one deadline a call, equal reads joined.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;

use super::fake::Memory;
use super::guard::Guard;
use super::share::{Shares, Wanted};
use super::{
    DEADLINE, Endpoints, Error, Fetched, FetchedMap, Payload, Provider, PushRef, PushValue, Writer, make, name,
};
use crate::api::external_secret::{Find, RemoteRef};
use crate::error::Classify;
use crate::plan::{StoreAccess, StoreId};
use crate::telemetry::{Metrics, ProviderLabel, ProviderLabels, StoreLabel};

/// Providers in use: one client a store and identity. Cheap to clone.
#[derive(Clone)]
pub struct Providers {
    shared: Arc<Shared>,
}

struct Shared {
    open: Mutex<HashMap<StoreId, Open>>,
    memory: Memory,
    shares: Shares,
    metrics: Arc<Metrics>,
    endpoints: Endpoints,
    calls_per_second: u32,
}

#[derive(Clone)]
struct Open {
    access: StoreAccess,
    /// Other settings or credentials are another number: nothing that was fetched with the old ones is handed out.
    number: u64,
    provider: Arc<dyn Provider>,
    guard: Arc<Guard>,
    told: Arc<Mutex<Told>>,
}

/// What metrics have been told of a store.
#[derive(Default)]
struct Told {
    calls: HashSet<ProviderLabels>,
    /// When our login ends.
    lease_ends: Option<Instant>,
}

impl Providers {
    /// None yet. `calls_per_second` is the budget of each store.
    pub fn new(metrics: Arc<Metrics>, endpoints: Endpoints, calls_per_second: u32) -> Self {
        let (open, memory, shares) = (Mutex::default(), Memory::default(), Shares::default());
        let shared = Arc::new(Shared { open, memory, shares, metrics, endpoints, calls_per_second });
        let observed = Arc::downgrade(&shared);
        shared.metrics.at_scrape(move |metrics| {
            if let Some(shared) = observed.upgrade() {
                Self { shared }.observe(metrics);
            }
        });
        Self { shared }
    }

    /// The provider of a store, made when its settings or credentials are new.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`].
    pub fn open(&self, access: &StoreAccess) -> Result<Session, Error> {
        let mut open = self.lock();
        let known = open.get_mut(&access.id).filter(|known| known.access == *access);
        let entry = match known {
            Some(entry) => {
                // Tokens of service accounts are others every few minutes, for the next login.
                entry.access.credentials.renew(&access.credentials);
                entry.clone()
            }
            None => {
                let provider = make(access, &self.shared.endpoints, &self.shared.memory)?;
                let number = open.get(&access.id).map_or(0, |before| before.number + 1);
                let guard = Arc::new(Guard::new(self.shared.calls_per_second));
                let told = open.get(&access.id).map(|before| Arc::clone(&before.told)).unwrap_or_default();
                let entry = Open { access: access.clone(), number, provider, guard, told };
                open.insert(access.id.clone(), entry.clone());
                entry
            }
        };
        Ok(Session {
            name: name(access),
            entry,
            providers: self.clone(),
            read: Mutex::default(),
            max_age: Duration::ZERO,
        })
    }

    /// Forgets stores that are gone, and what metrics said of them.
    pub fn forget(&self, gone: impl Fn(&StoreId) -> bool) {
        let metrics = &self.shared.metrics;
        self.lock().retain(|id, open| {
            let goes = gone(id);
            if goes {
                for labels in open.told().calls.drain() {
                    metrics.provider_calls.remove(&labels);
                    metrics.provider_seconds.remove(&ProviderLabel { provider: labels.provider, store: labels.store });
                }
            }
            !goes
        });
    }

    /// What changes by itself: a budget fills up, a login comes to its end. Of those who share a store's name the worst.
    fn observe(&self, metrics: &Metrics) {
        let (mut budgets, mut leases) = (BTreeMap::new(), BTreeMap::new());
        for (id, open) in self.lock().iter() {
            let budget = budgets.entry(id.to_string()).or_insert(i64::MAX);
            *budget = open.guard.budget().min(*budget);
            if let Some(ends) = open.told().lease_ends {
                let left = i64::try_from(ends.saturating_duration_since(Instant::now()).as_secs()).unwrap_or(i64::MAX);
                let least = leases.entry(id.to_string()).or_insert(left);
                *least = left.min(*least);
            }
        }
        for (family, values) in [(&metrics.store_budget, budgets), (&metrics.lease_seconds, leases)] {
            family.clear();
            for (store, value) in values {
                family.get_or_create(&StoreLabel { store }).set(value);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StoreId, Open>> {
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A store, opened for the work on one object: what it reads twice is fetched once.
pub struct Session {
    name: &'static str,
    entry: Open,
    providers: Providers,
    read: Mutex<HashMap<RemoteRef, Arc<Payload>>>,
    max_age: Duration,
}

impl Session {
    /// Values that another read has brought are taken when they are no older, and never when older than 30 s. Unless this
    /// is said, each read is the store's own answer.
    #[must_use]
    pub fn no_older_than(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Fetches what will be read in one call, where the service has such a call. Failures are told by the reads themselves.
    pub async fn prefetch(&self, references: &[RemoteRef]) {
        let provider = &self.entry.provider;
        if !provider.has_batches() {
            return;
        }
        let shares = &self.providers.shared.shares;
        let mut missing = Vec::new();
        for part in references.iter().map(|reference| provider.part(reference)) {
            if !missing.contains(&part) && !shares.has(&self.wanted(&part), self.max_age) {
                missing.push(part);
            }
        }
        if missing.len() < 2 {
            return;
        }
        let fetched = self.within("batch", || async { Ok(provider.fetch_all(&missing).await) }).await;
        for (part, payload) in missing.into_iter().zip(fetched.unwrap_or_default()) {
            if let Ok(payload) = payload {
                let payload = Arc::new(payload);
                shares.put(self.wanted(&part), Arc::clone(&payload));
                self.remembered().insert(part, payload);
            }
        }
    }

    /// One value.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn read(&self, reference: &RemoteRef) -> Result<Fetched, Error> {
        let payload = self.payload(reference).await.map_err(|error| match error {
            Error::NotFound { key } if self.entry.provider.absence_is_an_error() => Error::Absent { key },
            other => other,
        })?;
        let value = self.entry.provider.value(&payload, reference)?;
        Ok(Fetched { value, version: payload.version.clone() })
    }

    /// Everything under one key, as a map.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn read_map(&self, reference: &RemoteRef) -> Result<FetchedMap, Error> {
        let payload = self.payload(reference).await?;
        let values = self.entry.provider.map(&payload, reference)?;
        Ok(FetchedMap { values, version: payload.version.clone() })
    }

    /// See [`Provider::find`].
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn find(&self, find: &Find) -> Result<FetchedMap, Error> {
        self.within("find", || self.entry.provider.find(find)).await
    }

    /// See [`Provider::validate`].
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn validate(&self) -> Result<(), Error> {
        self.within("validate", || self.entry.provider.validate()).await
    }

    /// See [`Writer::exists`].
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn exists(&self, reference: &PushRef) -> Result<bool, Error> {
        let writer = self.writer()?;
        self.within("exists", || writer.exists(reference)).await
    }

    /// See [`Writer::push`].
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn push(&self, reference: &PushRef, value: PushValue<'_>) -> Result<(), Error> {
        let writer = self.writer()?;
        let pushed = self.within("push", || writer.push(reference, value)).await;
        self.forget_reads();
        pushed
    }

    /// See [`Writer::delete`].
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn delete(&self, reference: &PushRef) -> Result<(), Error> {
        let writer = self.writer()?;
        let deleted = self.within("delete", || writer.delete(reference)).await;
        self.forget_reads();
        deleted
    }

    /// `ReadOnly` or `ReadWrite`, as a store's status tells it.
    pub fn capabilities(&self) -> &'static str {
        if self.entry.provider.writer().is_some() { "ReadWrite" } else { "ReadOnly" }
    }

    fn writer(&self) -> Result<&dyn Writer, Error> {
        let id = &self.entry.access.id;
        self.entry.provider.writer().ok_or_else(|| Error::Configuration(format!("{id} takes no values")))
    }

    /// What was read before a write of ours, even one that seems to have failed, is handed to nobody after it.
    fn forget_reads(&self) {
        self.providers.shared.shares.forget(&self.entry.access.id);
        self.remembered().clear();
    }

    async fn payload(&self, reference: &RemoteRef) -> Result<Arc<Payload>, Error> {
        let part = self.entry.provider.part(reference);
        if let Some(known) = self.remembered().get(&part) {
            return Ok(Arc::clone(known));
        }
        let fetch = self.within("read", || self.entry.provider.fetch(&part));
        let payload = self.providers.shared.shares.get(self.wanted(&part), self.max_age, fetch).await?;
        self.remembered().insert(part, Arc::clone(&payload));
        Ok(payload)
    }

    fn wanted(&self, part: &RemoteRef) -> Wanted {
        (self.entry.access.id.clone(), self.entry.number, part.clone())
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<RemoteRef, Arc<Payload>>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call under the store's guard and the deadline, counted.
    async fn within<T, W>(&self, call: &'static str, work: impl Fn() -> W) -> Result<T, Error>
    where
        W: Future<Output = Result<T, Error>>,
    {
        let entered = self.entry.guard.enter().await?;
        let started = Instant::now();
        let answer = tokio::time::timeout(DEADLINE, self.repeated(work)).await.unwrap_or_else(|_| {
            Err(Error::Unreachable {
                server: self.entry.access.id.to_string(),
                why: format!("no answer within {} s", DEADLINE.as_secs()),
            })
        });
        drop(entered);
        self.entry.guard.hear(answer.as_ref().map(|_| ()));
        let metrics = &self.providers.shared.metrics;
        let result = answer.as_ref().err().map_or("ok", Classify::reason);
        let store = self.entry.access.id.to_string();
        let by_store = ProviderLabel { provider: self.name, store: store.clone() };
        metrics.provider_seconds.get_or_create(&by_store).observe(started.elapsed().as_secs_f64());
        let labels = ProviderLabels { provider: self.name, store, call, result };
        metrics.provider_calls.get_or_create(&labels).inc();
        metrics.external_reference.called(self.name, call, answer.is_err());
        // Whoever is just logging in knows no end; what was known stays.
        let ends = self.entry.provider.lease_ends().now_or_never().flatten();
        let mut told = self.entry.told();
        told.calls.insert(labels);
        told.lease_ends = ends.or(told.lease_ends);
        drop(told);
        answer
    }

    /// As often as the store says, while it may help.
    async fn repeated<T, W>(&self, work: impl Fn() -> W) -> Result<T, Error>
    where
        W: Future<Output = Result<T, Error>>,
    {
        let (mut left, pause) = self.entry.access.retries;
        loop {
            match work().await {
                Err(error) if left > 0 && error.is_passing() => {
                    left -= 1;
                    tokio::time::sleep(pause).await;
                }
                answer => return answer,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::share::LONGEST;
    use super::*;
    use crate::plan::SecretManifest;

    #[tokio::test]
    async fn what_we_have_written_is_read_anew_at_once() {
        let providers = Providers::new(Arc::default(), Endpoints::default(), 100);
        let access = StoreAccess {
            id: StoreId::default(),
            provider: serde_json::from_value(json!({ "fake": { "data": [] } })).unwrap(),
            credentials: crate::plan::Credentials::default(),
            retries: (0, Duration::ZERO),
        };
        let open = || providers.open(&access).unwrap().no_older_than(LONGEST);
        let (ours, place) = (open(), PushRef { remote_key: "a".to_owned(), property: None, metadata: None });
        let wanted: RemoteRef = serde_json::from_value(json!({ "key": "a" })).unwrap();
        for text in ["first", "second"] {
            let data = [("k".to_owned(), text.to_owned().into())].into();
            let source = SecretManifest { data, ..SecretManifest::default() };
            ours.push(&place, PushValue { source: &source, key: Some("k") }).await.unwrap();
            for session in [&ours, &open()] {
                assert_eq!(session.read(&wanted).await.unwrap().value.expose(), text.as_bytes());
            }
        }
        ours.delete(&place).await.unwrap();
        assert!(open().read(&wanted).await.is_err());
    }
}
