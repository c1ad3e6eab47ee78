//! Metrics under the names of External Secrets Operator, for dashboards and alerts that read them.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::Value;

/// Our controllers, and the reference's prefix for the kind of each.
const KINDS: [(&str, &str); 6] = [
    ("external-secrets", "externalsecret"),
    ("cluster-external-secrets", "clusterexternalsecret"),
    ("push-secrets", "pushsecret"),
    ("cluster-push-secrets", "clusterpushsecret"),
    ("secret-stores", "secretstore"),
    ("cluster-secret-stores", "clustersecretstore"),
];
/// Our providers, and the reference's names.
const PROVIDERS: [(&str, &str); 7] = [
    ("vault", "HashiCorp/Vault"),
    ("aws", "AWS"),
    ("azurekv", "Azure/KeyVault"),
    ("gcpsm", "GCP/SecretManager"),
    ("kubernetes", "Kubernetes"),
    ("webhook", "Webhook"),
    ("fake", "Fake"),
];

/// The reference's metrics.
#[derive(Debug)]
pub struct ReferenceMetrics {
    pub(super) registry: Registry,
    kinds: Vec<(&'static str, KindMetrics)>,
    calls: Family<CallLabels, Gauge>,
}

/// What is said of each object of one kind.
#[derive(Clone, Debug, Default)]
struct KindMetrics {
    conditions: Family<ConditionLabels, Gauge>,
    nanoseconds: Family<ObjectLabels, Gauge>,
    syncs: Family<ObjectLabels, Counter>,
    /// A gauge, because a counter's name would end in `_total`.
    failures: Family<ObjectLabels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ObjectLabels {
    name: String,
    namespace: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConditionLabels {
    name: String,
    namespace: String,
    condition: String,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    provider: &'static str,
    call: &'static str,
    status: &'static str,
}

impl Default for ReferenceMetrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let (mut kinds, calls) = (Vec::new(), Family::default());
        for (controller, prefix) in KINDS {
            let metrics = KindMetrics::default();
            let own = registry.sub_registry_with_prefix(prefix);
            own.register("status_condition", "The status condition of an object", metrics.conditions.clone());
            own.register(
                "reconcile_duration",
                "Time of the last reconcile of an object, in nanoseconds",
                metrics.nanoseconds.clone(),
            );
            if prefix == "externalsecret" {
                own.register("sync_calls", "Reconciles of an object", metrics.syncs.clone());
                own.register("sync_calls_error", "Failed reconciles of an object", metrics.failures.clone());
                own.register("provider_api_calls_count", "Calls of providers", Family::clone(&calls));
            }
            kinds.push((controller, metrics));
        }
        Self { registry, kinds, calls }
    }
}

impl ReferenceMetrics {
    /// An object has been looked at.
    pub fn reconciled(&self, controller: &str, (namespace, name): (&str, &str), took: Duration, failed: bool) {
        let Some(kind) = self.kind(controller) else { return };
        let labels = ObjectLabels { name: name.to_owned(), namespace: namespace.to_owned() };
        let nanoseconds = i64::try_from(took.as_nanos()).unwrap_or(i64::MAX);
        kind.nanoseconds.get_or_create(&labels).set(nanoseconds);
        kind.syncs.get_or_create(&labels).inc();
        kind.failures.get_or_create(&labels).inc_by(i64::from(failed));
    }

    /// What an object's status says.
    pub fn told(&self, controller: &str, (namespace, name): (&str, &str), status: &Value) {
        let Some(kind) = self.kind(controller) else { return };
        for condition in status["conditions"].as_array().into_iter().flatten() {
            for possible in ["True", "False"] {
                let labels = ConditionLabels {
                    name: name.to_owned(),
                    namespace: namespace.to_owned(),
                    condition: condition["type"].as_str().unwrap_or_default().to_owned(),
                    status: possible,
                };
                kind.conditions.get_or_create(&labels).set(i64::from(condition["status"] == possible));
            }
        }
    }

    /// An object is gone, and what was said of it goes.
    pub fn forget(&self, controller: &str, (namespace, name): (&str, &str)) {
        let Some(kind) = self.kind(controller) else { return };
        let labels = ObjectLabels { name: name.to_owned(), namespace: namespace.to_owned() };
        kind.nanoseconds.remove(&labels);
        kind.syncs.remove(&labels);
        kind.failures.remove(&labels);
        for condition in ["Ready", "Deleted", "UnsupportedField"] {
            for status in ["True", "False"] {
                let ObjectLabels { name, namespace } = labels.clone();
                let condition = condition.to_owned();
                kind.conditions.remove(&ConditionLabels { name, namespace, condition, status });
            }
        }
    }

    /// A provider has been called.
    pub fn called(&self, provider: &str, call: &'static str, failed: bool) {
        let name = PROVIDERS.iter().find(|(ours, _)| *ours == provider).map_or("unknown", |(_, theirs)| theirs);
        let status = if failed { "error" } else { "success" };
        self.calls.get_or_create(&CallLabels { provider: name, call, status }).inc();
    }

    fn kind(&self, controller: &str) -> Option<&KindMetrics> {
        self.kinds.iter().find(|(known, _)| *known == controller).map(|(_, metrics)| metrics)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode_registry;
    use serde_json::json;

    use super::*;

    fn rendered(metrics: &ReferenceMetrics) -> String {
        let mut text = String::new();
        encode_registry(&mut text, &metrics.registry).unwrap();
        text
    }

    #[test]
    fn the_references_names_are_said_and_taken_back() {
        let metrics = ReferenceMetrics::default();
        let (object, other) = (("shop", "db"), ("shop", "other"));
        metrics.reconciled("external-secrets", object, Duration::from_millis(2), true);
        metrics.reconciled("external-secrets", object, Duration::from_millis(3), false);
        metrics.told("external-secrets", object, &json!({ "conditions": [{ "type": "Ready", "status": "False" }] }));
        metrics.told("external-secrets", object, &json!({ "conditions": [{ "type": "Ready", "status": "True" }] }));
        metrics.told("secret-stores", other, &json!({ "conditions": [{ "type": "Ready", "status": "True" }] }));
        metrics.reconciled("applications", object, Duration::ZERO, false);
        metrics.called("vault", "read", false);
        let text = rendered(&metrics);
        for line in [
            r#"externalsecret_sync_calls_total{name="db",namespace="shop"} 2"#,
            r#"externalsecret_sync_calls_error{name="db",namespace="shop"} 1"#,
            r#"externalsecret_reconcile_duration{name="db",namespace="shop"} 3000000"#,
            r#"externalsecret_status_condition{name="db",namespace="shop",condition="Ready",status="True"} 1"#,
            r#"externalsecret_status_condition{name="db",namespace="shop",condition="Ready",status="False"} 0"#,
            r#"secretstore_status_condition{name="other",namespace="shop",condition="Ready",status="True"} 1"#,
            r#"externalsecret_provider_api_calls_count{provider="HashiCorp/Vault",call="read",status="success"} 1"#,
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
        metrics.forget("external-secrets", object);
        assert!(!rendered(&metrics).contains("\"db\""), "a series of an object that is gone stays");
    }
}
