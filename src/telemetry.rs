//! Logs, and the definitions of the metrics.
//!
//! Levels in words: `error` needs a person; `warn` will need one if it goes on; `info` is a change of state, one line
//! each; `debug` is every decision; `trace` every call. Secret values occur at no level.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tracing_subscriber::EnvFilter;

use crate::args::LogFormat;

/// Metrics under the names of External Secrets Operator.
pub mod external_secrets;
/// Metrics under the names of Sealed Secrets' controller.
pub mod sealed_secrets;

/// Crates below us that log requests, headers or bodies: capped so that no filter a user sets can bring a value into the log.
const QUIET: &str = "rustify=off,vaultrs=off,hyper=info,hyper_util=info,h2=info,reqwest=info,rustls=info,tower=info,\
kube_client=info,aws_config=info,aws_runtime=info,aws_sigv4=info,aws_smithy_http_client=info,aws_smithy_runtime=info,\
aws_smithy_runtime_api=info,aws_sdk_secretsmanager=info,aws_sdk_sts=info,azure_core=info,azure_identity=info,\
azure_security_keyvault_secrets=info,typespec_client_core=info,google_cloud_auth=info,google_cloud_gax_internal=info,\
google_cloud_secretmanager_v1=info";

/// Starts logging to stderr.
///
/// # Errors
///
/// A filter that cannot be parsed, or a logger that is set already.
pub fn start_logging(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(format!("{filter},{QUIET}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    let started = match format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
        LogFormat::Text => builder.try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}

/// Every metric of the operator. Few labels: a controller and a result or reason, never an object.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    observers: Observers,
    /// Finished reconciles.
    pub reconciles: Family<ReconcileLabels, Counter>,
    /// How long a reconcile took.
    pub reconcile_seconds: Family<ControllerLabel, Histogram, fn() -> Histogram>,
    /// Objects waiting to be worked on.
    pub queue_depth: Family<ControllerLabel, Gauge>,
    /// 1 on the replica that writes.
    pub leader: Gauge,
    /// Writes to the API server.
    pub writes: Family<WriteLabels, Counter>,
    /// RSA private key operations.
    pub unwraps: Counter,
    /// 1 for each sealing key that this replica holds.
    pub keys_held: Family<HeldKeyLabels, Gauge>,
    /// SealedSecrets that each key opened last time.
    pub key_objects: Family<KeyLabel, Gauge>,
    /// Items that each key opened last time.
    pub key_items: Family<KeyLabel, Gauge>,
    /// From when each key's certificate counts, seconds since 1970.
    pub key_not_before: Family<KeyLabel, Gauge>,
    /// The same and more under the reference's names.
    pub reference: sealed_secrets::ReferenceMetrics,
    /// Those of External Secrets Operator under its names.
    pub external_reference: external_secrets::ReferenceMetrics,
    /// 1 while another controller works on the same objects and we stand aside.
    pub peers: Family<PeerLabel, Gauge>,
    /// ExternalSecrets by what their `Ready` says.
    pub external_secrets: Family<ReadyLabel, Gauge>,
    /// By how much the values of the most belated ExternalSecret of a store are older than they should be.
    pub staleness_seconds: Family<StoreLabel, Gauge>,
    /// Calls of secret stores.
    pub provider_calls: Family<ProviderLabels, Counter>,
    /// How long a call of a secret store took.
    pub provider_seconds: Family<ProviderLabel, Histogram, fn() -> Histogram>,
    /// Calls that a store's budget still allows at once.
    pub store_budget: Family<StoreLabel, Gauge>,
    /// How long our login to a store is still good.
    pub lease_seconds: Family<StoreLabel, Gauge>,
    /// Round trips to Git remotes.
    pub git_requests: Family<GitLabels, Counter>,
}

/// Which controller, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReconcileLabels {
    /// As `--controllers` and the logs name it.
    pub controller: &'static str,
    /// `ok`, or the reason of the failure.
    pub result: &'static str,
}

/// Which controller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ControllerLabel {
    /// As `--controllers` and the logs name it.
    pub controller: &'static str,
}

/// What kind of write.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WriteLabels {
    /// `create`, `apply`, `patch`, `delete`, `status`.
    pub verb: &'static str,
}

/// Which sealing key a replica holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HeldKeyLabels {
    /// Its Secret.
    pub secret: String,
    /// `SHA256:…` of its public key.
    pub fingerprint: String,
    /// `Sealing`, `Opening` or `Deleted`.
    pub state: &'static str,
}

/// Which sealing key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KeyLabel {
    /// Its Secret.
    pub secret: String,
}

/// Which controller of another project.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PeerLabel {
    /// Its project.
    pub peer: &'static str,
}

/// What the condition `Ready` says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReadyLabel {
    /// `True`, `False`, or `Unknown` where there is none yet.
    pub ready: &'static str,
}

/// Which provider and store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ProviderLabel {
    /// `vault`, …
    pub provider: &'static str,
    /// As in [`StoreLabel`].
    pub store: String,
}

/// Which store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StoreLabel {
    /// `SecretStore NAMESPACE/NAME` or `ClusterSecretStore NAME`.
    pub store: String,
}

/// Which provider and store, what was asked, and how it answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ProviderLabels {
    /// `vault`, …
    pub provider: &'static str,
    /// As in [`StoreLabel`].
    pub store: String,
    /// `read`, `batch`, `find`, `validate`, `push`, `exists`, `delete`, `generate`.
    pub call: &'static str,
    /// `ok`, or the cause.
    pub result: &'static str,
}

/// Which Git request, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct GitLabels {
    /// `ls-refs` or `fetch`.
    pub request: &'static str,
    /// `ok`, or the reason.
    pub result: &'static str,
}

type Observer = Box<dyn Fn(&Metrics) + Send + Sync>;

/// What is asked for each scrape.
#[derive(Default)]
struct Observers(Mutex<Vec<Observer>>);

impl std::fmt::Debug for Observers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observers")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("chancery");
        let metrics = Self {
            reconciles: Family::default(),
            reconcile_seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 16))),
            queue_depth: Family::default(),
            leader: Gauge::<i64, AtomicI64>::default(),
            writes: Family::default(),
            unwraps: Counter::<u64, AtomicU64>::default(),
            keys_held: Family::default(),
            key_objects: Family::default(),
            key_items: Family::default(),
            key_not_before: Family::default(),
            reference: sealed_secrets::ReferenceMetrics::default(),
            external_reference: external_secrets::ReferenceMetrics::default(),
            peers: Family::default(),
            external_secrets: Family::default(),
            staleness_seconds: Family::default(),
            provider_calls: Family::default(),
            provider_seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 15))),
            store_budget: Family::default(),
            lease_seconds: Family::default(),
            git_requests: Family::default(),
            registry: Registry::default(),
            observers: Observers::default(),
        };
        registry.register("reconciles", "Finished reconciles by controller and result", metrics.reconciles.clone());
        registry.register_with_unit(
            "reconcile_duration",
            "Time of a reconcile",
            Unit::Seconds,
            metrics.reconcile_seconds.clone(),
        );
        registry.register("queue_depth", "Objects waiting to be worked on", metrics.queue_depth.clone());
        registry.register("leader", "1 on the replica that writes", metrics.leader.clone());
        registry.register("api_writes", "Writes to the API server by verb", metrics.writes.clone());
        registry.register("key_unwraps", "RSA private key operations", metrics.unwraps.clone());
        registry.register("sealing_key_held", "Sealing keys that this replica holds", metrics.keys_held.clone());
        registry.register(
            "sealing_key_objects",
            "SealedSecrets by the key that opens them",
            metrics.key_objects.clone(),
        );
        registry.register("sealing_key_items", "Sealed items by the key that opens them", metrics.key_items.clone());
        registry.register_with_unit(
            "sealing_key_not_before",
            "From when the certificate of a sealing key counts, since 1970",
            Unit::Seconds,
            metrics.key_not_before.clone(),
        );
        registry.register(
            "peer_running",
            "1 while another controller works on the same objects",
            metrics.peers.clone(),
        );
        metrics.register_stores(&mut registry);
        registry.register("git_requests", "Round trips to Git remotes", metrics.git_requests.clone());
        registry.register("build", "The running version", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
        Self { registry, ..metrics }
    }
}

/// Under whose names metrics are said, too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Also {
    /// Sealed Secrets' controller.
    pub sealed_secrets: bool,
    /// External Secrets Operator.
    pub external_secrets: bool,
}

impl Metrics {
    fn register_stores(&self, registry: &mut Registry) {
        registry.register(
            "external_secrets",
            "ExternalSecrets by what their condition Ready says",
            self.external_secrets.clone(),
        );
        registry.register_with_unit(
            "store_staleness",
            "By how much the values of the most belated ExternalSecret of a store are older than its refreshInterval",
            Unit::Seconds,
            self.staleness_seconds.clone(),
        );
        registry.register("provider_calls", "Calls of secret stores", self.provider_calls.clone());
        registry.register_with_unit(
            "provider_duration",
            "Time of a call of a secret store",
            Unit::Seconds,
            self.provider_seconds.clone(),
        );
        registry.register(
            "store_budget",
            "Calls that a store's budget still allows at once",
            self.store_budget.clone(),
        );
        registry.register_with_unit(
            "store_lease",
            "Time for which our login to a store is still good",
            Unit::Seconds,
            self.lease_seconds.clone(),
        );
    }

    /// Calls `observer` before each scrape, for what is looked up and not counted.
    pub fn at_scrape(&self, observer: impl Fn(&Self) + Send + Sync + 'static) {
        self.observers.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(observer));
    }

    /// All metrics in the OpenMetrics text format, on demand with those under the names of the references.
    ///
    /// # Errors
    ///
    /// Formatting failed; it does not for the types used here.
    pub fn render(&self, also: Also) -> Result<String, std::fmt::Error> {
        self.observers.0.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|observer| observer(self));
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        if also.sealed_secrets {
            encode_registry(&mut text, &self.reference.registry)?;
        }
        if also.external_secrets {
            encode_registry(&mut text, &self.external_reference.registry)?;
        }
        encode_eof(&mut text)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_lists_every_metric() {
        let page = include_str!("../docs/metrics.md");
        // Those that count nothing yet are not rendered, but the registry knows them.
        let known = format!("{:?}", Metrics::default().registry);
        let names: Vec<&str> = known.split("name: \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(names.len() > 15, "{names:?}");
        let missing: Vec<_> = names.iter().filter(|name| !page.contains(&format!("`chancery_{name}"))).collect();
        assert!(missing.is_empty(), "docs/metrics.md does not list {missing:?}");
    }

    #[test]
    fn the_exposition_names_what_was_counted() {
        let metrics = Metrics::default();
        metrics.writes.get_or_create(&WriteLabels { verb: "apply" }).inc();
        metrics.at_scrape(|metrics| {
            metrics.store_budget.get_or_create(&StoreLabel { store: "SecretStore a/b".to_owned() }).inc();
        });
        metrics.external_reference.called("vault", "read", false);
        let both = Also { sealed_secrets: true, external_secrets: true };
        let text = metrics.render(both).unwrap();
        assert!(text.contains("chancery_api_writes_total{verb=\"apply\"} 1"), "{text}");
        assert!(text.contains("sealed_secrets_controller_unseal_requests_total 0"), "{text}");
        assert!(text.contains("chancery_store_budget{store=\"SecretStore a/b\"} 1"), "{text}");
        assert!(text.contains("# TYPE externalsecret_provider_api_calls_count gauge"), "{text}");
        assert_eq!(text.matches("# EOF\n").count(), 1);
        let text = metrics.render(Also::default()).unwrap();
        assert!(!text.contains("sealed_secrets_controller") && !text.contains("externalsecret_"), "{text}");
        assert!(text.contains("chancery_store_budget{store=\"SecretStore a/b\"} 2"), "observed for each scrape");
    }
}
