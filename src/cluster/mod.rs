//! The only room that speaks to Kubernetes: watches, writes, values, tokens, events, the Lease.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Config, Resource};

use crate::telemetry::Metrics;

mod access;
mod apply;
mod credentials;
mod definitions;
mod discovery;
mod doorbell;
mod error;
mod events;
mod guarded;
mod install_key;
mod keys;
mod lease;
mod live;
mod metadata;
mod peers;
mod repositories;
mod secrets;
mod stores;
mod tokens;

pub use access::Caller;
pub use apply::Written;
pub use credentials::{Asker, CredentialError};
pub use discovery::Kind;
pub use error::Error;
pub use guarded::Guarded;
pub use install_key::INSTALL_KEY;
pub use keys::{Birth, KEY_BIRTH, KeyPolicy, KeyRing, Keys, PUBLIC_KEYS};
pub use lease::Leadership;
pub use live::Live;
pub use metadata::Metadata;
pub use repositories::RepositorySecret;
pub use stores::{Seen, Watchable, Watched, invalid_object_message};

/// One request waits this long for the API server: longer than its own request timeout for writes, short enough that a
/// dead connection is noticed before the Lease runs out.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Our cluster, as one identity sees it. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    kinds: Arc<discovery::Kinds>,
    recorder: Arc<events::Recorder>,
    metrics: Arc<Metrics>,
    namespace: String,
    scope: Scope,
    tokens: Arc<credentials::Tokens>,
    address: Address,
}

/// Where our cluster's API server is: what anyone may know of it, without an identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// `https://…`.
    pub url: String,
    /// Certificate authorities, PEM; none means the system's.
    pub authority: Option<String>,
}

/// Which namespaces are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All, by ClusterRole.
    All,
    /// These, by a Role in each.
    Namespaces(Vec<String>),
}

impl Cluster {
    /// Connects with a kubeconfig file, or as the pod that we run in.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] when neither leads to a usable client. Whether the API server answers is not tried.
    pub async fn connect(
        kubeconfig: Option<&Path>,
        namespace: &str,
        scope: Scope,
        identity: &str,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Error> {
        let mut config = match kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(|error| {
                    Error::Configuration(format!("cannot read kubeconfig {}: {error}", path.display()))
                })?;
                Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                    .await
                    .map_err(|error| Error::Configuration(format!("kubeconfig {}: {error}", path.display())))?
            }
            None => Config::incluster().map_err(|error| {
                Error::Configuration(format!("not running in a pod ({error}); name a file with --kubeconfig"))
            })?,
        };
        config.connect_timeout = Some(Duration::from_secs(5));
        // Our scheduler retries whole decisions; a retry below it would hold a worker for minutes on stale data.
        config.default_retry = false;
        let address = Address {
            url: config.cluster_url.to_string(),
            authority: config.root_cert.as_ref().map(|authorities| pem(authorities)),
        };
        let client = Client::try_from(config).map_err(|error| Error::Configuration(error.to_string()))?;
        Ok(Self {
            recorder: Arc::new(events::Recorder::new(identity)),
            kinds: Arc::default(),
            tokens: Arc::default(),
            address,
            client,
            metrics,
            namespace: namespace.to_owned(),
            scope,
        })
    }

    /// The operator's own namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Where its API server is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Which namespaces are watched.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// One API for the whole cluster, or one a watched namespace.
    fn scoped<K>(&self) -> Vec<Api<K>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match &self.scope {
            Scope::All => vec![Api::all(self.client.clone())],
            Scope::Namespaces(names) => names.iter().map(|name| Api::namespaced(self.client.clone(), name)).collect(),
        }
    }
}

/// Certificates as text.
fn pem(certificates: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for certificate in certificates {
        let encoded = seal::wire::encode(certificate);
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in encoded.as_bytes().chunks(64) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}
