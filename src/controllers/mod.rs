//! Thin glue: observe → decide → act. Here is the table of controllers; `drive` gives each what all need.

use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::api::{
    AppProject, Application, ClusterExternalSecret, ClusterPushSecret, ClusterSecretStore, Doorbell, ExternalSecret,
    KeyReport, PushSecret, SealedSecret, SecretStore,
};
use crate::args::{Controller, Settings};
use crate::cluster::{self, Cluster, Keys, Metadata, Watchable, Watched};
use crate::decide::digest::Digester;
use crate::providers::Providers;
use crate::telemetry::Metrics;

mod application;
mod doorbell;
mod drive;
mod external_secret;
mod fan_out;
mod generator;
mod index;
mod push_secret;
mod repositories;
mod sealed_secret;
mod secret_store;
mod target;

pub use drive::{Failure, Reconcile, drive};
pub use external_secret::ExternalSecretsPeer;

/// What every controller shares. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// Our cluster.
    pub cluster: Cluster,
    /// Flags and environment.
    pub settings: Arc<Settings>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Cancelled when the process is to end, or has lost the Lease.
    pub stop: CancellationToken,
    needed: Arc<Mutex<Vec<Needed>>>,
    digester: Arc<OnceCell<Digester>>,
}

/// A watch that some controller needs.
struct Needed {
    name: String,
    /// In which order: owners before what they own (D12).
    turn: Turn,
    is_ready: Box<dyn Fn() -> bool + Send + Sync>,
    run: Option<BoxFuture<'static, ()>>,
}

/// When a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Owners,
    Owned,
}

impl Context {
    /// A context without watches.
    pub fn new(cluster: Cluster, settings: Arc<Settings>, metrics: Arc<Metrics>, stop: CancellationToken) -> Self {
        Self { cluster, settings, metrics, stop, needed: Arc::default(), digester: Arc::default() }
    }

    /// Digests under the install key, which is read, and made when absent, the first time: only a leader asks.
    ///
    /// # Errors
    ///
    /// As [`Cluster::install_key`].
    pub async fn digester(&self) -> Result<&Digester, cluster::Error> {
        self.digester.get_or_try_init(|| async { Ok(Digester::new(&self.cluster.install_key().await?)) }).await
    }

    /// Says that a controller needs this watch: it is started once, and readiness waits for it.
    pub fn need<K: Watchable>(&self, watched: &Watched<K>) {
        let (name, reader, watch, stop) =
            (K::kind(&()).into_owned(), watched.clone(), watched.clone(), self.stop.clone());
        self.add(Needed {
            name,
            turn: Turn::Owners,
            is_ready: Box::new(move || reader.is_ready()),
            run: Some(Box::pin(async move { watch.start(stop).await })),
        });
    }

    /// The same for metadata of Secrets, whose watch begins when the watches of their owners are complete.
    pub fn need_secret_metadata(&self, metadata: &Metadata) {
        self.follow_metadata("Secret", Turn::Owned, metadata);
    }

    /// The same for metadata of another kind.
    pub fn need_metadata(&self, kind: &str, metadata: &Metadata) {
        self.follow_metadata(kind, Turn::Owners, metadata);
    }

    fn follow_metadata(&self, kind: &str, turn: Turn, metadata: &Metadata) {
        let (reader, watch, cluster, stop) =
            (metadata.clone(), metadata.clone(), self.cluster.clone(), self.stop.clone());
        let name = kind.to_owned();
        self.add(Needed {
            name: name.clone(),
            turn,
            is_ready: Box::new(move || reader.is_ready()),
            run: Some(Box::pin(async move {
                if let Err(error) = watch.start(&cluster, stop).await {
                    tracing::error!(%error, kind = name, "cannot be watched");
                }
            })),
        });
    }

    /// The same for sealing keys.
    pub fn need_keys(&self, keys: &Keys) {
        let (reader, watch, cluster, stop) = (keys.clone(), keys.clone(), self.cluster.clone(), self.stop.clone());
        self.add(Needed {
            name: "sealing keys".to_owned(),
            turn: Turn::Owners,
            is_ready: Box::new(move || reader.is_ready()),
            run: Some(Box::pin(async move { watch.follow(&cluster, stop).await })),
        });
    }

    fn add(&self, needed: Needed) {
        let mut all = self.lock();
        if !all.iter().any(|known| known.name == needed.name) {
            all.push(needed);
        }
    }

    /// Runs all needed watches until the end.
    pub async fn watch(&self) {
        let start = |turn: Turn| -> Vec<BoxFuture<'static, ()>> {
            self.lock().iter_mut().filter(|needed| needed.turn == turn).filter_map(|needed| needed.run.take()).collect()
        };
        let owners = futures::future::join_all(start(Turn::Owners));
        let owned = async {
            self.until_ready(Turn::Owners).await;
            futures::future::join_all(start(Turn::Owned)).await
        };
        futures::join!(owners, owned);
    }

    /// Names of the watches that are not complete yet: `/readyz` waits for them.
    pub fn unready(&self) -> Vec<String> {
        self.lock().iter().filter(|needed| !(needed.is_ready)()).map(|needed| needed.name.clone()).collect()
    }

    /// Waits until every needed watch is complete.
    pub async fn ready(&self) {
        self.until_ready(Turn::Owned).await;
    }

    async fn until_ready(&self, turn: Turn) {
        // Polled: a watch becomes complete once in the life of the process.
        while self.lock().iter().any(|needed| needed.turn <= turn && !(needed.is_ready)()) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Needed>> {
        self.needed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every watch that some controller may need; those that none needs are never started. Cheap to clone.
#[derive(Clone)]
pub struct Stores {
    /// SealedSecrets in the watched namespaces.
    pub sealed_secrets: Watched<SealedSecret>,
    /// Metadata of the Secrets that some controller refers to.
    pub secrets: Metadata,
    /// Sealing keys.
    pub keys: Keys,
    /// The report about them, on which people ask for new ones.
    pub key_reports: Watched<KeyReport>,
    /// ExternalSecrets in the watched namespaces.
    pub external_secrets: Watched<ExternalSecret>,
    /// SecretStores in the watched namespaces.
    pub secret_stores: Watched<SecretStore>,
    /// ClusterSecretStores.
    pub cluster_secret_stores: Watched<ClusterSecretStore>,
    /// PushSecrets in the watched namespaces.
    pub push_secrets: Watched<PushSecret>,
    /// ClusterExternalSecrets.
    pub cluster_external_secrets: Watched<ClusterExternalSecret>,
    /// ClusterPushSecrets.
    pub cluster_push_secrets: Watched<ClusterPushSecret>,
    /// Metadata of all Namespaces.
    pub namespaces: Metadata,
    /// External Secrets Operator, where it runs beside us.
    pub external_secrets_peer: ExternalSecretsPeer,
    /// Clients of stores in use.
    pub providers: Providers,
    /// Credentials that have just been resolved.
    store_accesses: secret_store::Accesses,
    /// Applications in their namespaces.
    pub applications: Watched<Application>,
    /// AppProjects in the first of them.
    pub projects: Watched<AppProject>,
    /// Hints from outside, in our own namespace.
    pub doorbells: Watched<Doorbell>,
}

impl Stores {
    /// Prepares all watches.
    pub fn new(context: &Context) -> Self {
        let cluster = &context.cluster;
        let namespaces = context.settings.application_namespaces.as_slice();
        Self {
            sealed_secrets: cluster.watched_packed(),
            secrets: cluster.secret_metadata(),
            keys: Keys::new(sealed_secret::key_policy(&context.settings.sealed), Arc::clone(&context.metrics)),
            key_reports: cluster.watched_in(&[cluster.namespace().to_owned()]),
            external_secrets: cluster.watched_packed(),
            secret_stores: cluster.watched(),
            cluster_secret_stores: cluster.watched_cluster(),
            push_secrets: cluster.watched(),
            cluster_external_secrets: cluster.watched_cluster(),
            cluster_push_secrets: cluster.watched_cluster(),
            namespaces: cluster.metadata_of("v1", "Namespace"),
            external_secrets_peer: ExternalSecretsPeer::default(),
            providers: Providers::new(
                Arc::clone(&context.metrics),
                secret_store::endpoints(context),
                context.settings.store_calls,
            ),
            store_accesses: secret_store::Accesses::default(),
            applications: cluster.watched_in(namespaces),
            projects: cluster.watched_in(&namespaces[..namespaces.len().min(1)]),
            doorbells: cluster.watched_in(&[cluster.namespace().to_owned()]),
        }
    }
}

/// A controller that has registered what it watches and waits to be let loose: its future works until the end.
pub type Armed = BoxFuture<'static, ()>;

/// The table of controllers: registers the watches of those that `--controllers` names.
pub fn arm(context: &Context, stores: &Stores) -> Vec<Armed> {
    type Arm = fn(&Context, &Stores) -> Armed;
    let table: [(Controller, Arm); 8] = [
        (Controller::SealedSecrets, sealed_secret::arm),
        (Controller::ExternalSecrets, external_secret::arm),
        (Controller::ExternalSecrets, push_secret::arm),
        (Controller::ExternalSecrets, fan_out::arm::<ClusterExternalSecret>),
        (Controller::ExternalSecrets, fan_out::arm::<ClusterPushSecret>),
        (Controller::ExternalSecrets, secret_store::arm::<SecretStore>),
        (Controller::ExternalSecrets, secret_store::arm::<ClusterSecretStore>),
        (Controller::Applications, application::arm),
    ];
    table
        .into_iter()
        .filter(|(controller, _)| context.settings.runs(*controller))
        .map(|(_, arm)| arm(context, stores))
        .collect()
}
