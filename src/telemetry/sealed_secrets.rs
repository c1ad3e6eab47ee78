//! Metrics under the names of Sealed Secrets' controller, for dashboards and alerts that read them.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// The reference's metrics.
#[derive(Debug)]
pub struct ReferenceMetrics {
    pub(super) registry: Registry,
    /// Objects that were looked at.
    pub unseal_requests: Counter,
    /// Those that failed.
    pub unseal_errors: Family<UnsealErrorLabels, Counter>,
    /// 1 for a SealedSecret whose condition is True, -1 for False, 0 for unknown.
    pub conditions: Family<ConditionLabels, Gauge>,
    /// Answers of the kubeseal endpoints.
    pub http_requests: Family<HttpLabels, Counter>,
    /// How long they took.
    pub http_seconds: Family<HttpTimeLabels, Histogram, fn() -> Histogram>,
}

/// What failed, and where.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UnsealErrorLabels {
    /// `unseal`, `unmanaged`, `update`, `status` or `fetch`.
    pub reason: &'static str,
    /// The object's.
    pub namespace: String,
}

/// Which object's condition.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ConditionLabels {
    /// The object's.
    pub namespace: String,
    /// The object's.
    pub name: String,
    /// Always `Synced`.
    pub condition: &'static str,
    /// The object's label `app.kubernetes.io/instance`.
    pub ss_app_kubernetes_io_instance: String,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HttpLabels {
    /// As it was routed.
    pub path: String,
    /// Status code.
    pub code: String,
    /// In small letters.
    pub method: String,
}

/// Whose time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HttpTimeLabels {
    /// As it was routed.
    pub path: String,
    /// In small letters.
    pub method: String,
}

/// Which build.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    revision: &'static str,
}

impl Default for ReferenceMetrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("sealed_secrets_controller");
        let metrics = Self {
            unseal_requests: Counter::<u64, AtomicU64>::default(),
            unseal_errors: Family::default(),
            conditions: Family::default(),
            http_requests: Family::default(),
            http_seconds: Family::new_with_constructor(|| {
                Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
            }),
            registry: Registry::default(),
        };
        let build = Family::<BuildLabels, Gauge>::default();
        let _ = build.get_or_create(&BuildLabels { revision: env!("CARGO_PKG_VERSION") });
        registry.register("build_info", "Build information", build);
        registry.register(
            "unseal_requests",
            "Total number of sealed secret unseal requests",
            metrics.unseal_requests.clone(),
        );
        registry.register(
            "unseal_errors",
            "Total number of sealed secret unseal errors by reason",
            metrics.unseal_errors.clone(),
        );
        registry.register("condition_info", "Current SealedSecret condition values", metrics.conditions.clone());
        registry.register("http_requests", "Answers by path, code and method", metrics.http_requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time of an answer",
            Unit::Seconds,
            metrics.http_seconds.clone(),
        );
        Self { registry, ..metrics }
    }
}
