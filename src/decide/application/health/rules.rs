//! The rules, one a kind, in Argo CD's words.

use serde_json::Value;

use super::{Code, Health};
use crate::plan::Manifest;

pub(super) type Rule = fn(&Fields<'_>) -> Health;

/// The rule of a kind, if there is one.
pub(super) fn rule_of(group: &str, kind: &str) -> Option<Rule> {
    let rule: Rule = match (group, kind) {
        ("apps", "Deployment") => deployment,
        ("apps", "StatefulSet") => stateful_set,
        ("apps", "DaemonSet") => daemon_set,
        ("apps", "ReplicaSet") => replica_set,
        ("", "Pod") => pod,
        ("", "Service") => service,
        ("", "PersistentVolumeClaim") => volume_claim,
        ("batch", "Job") => job,
        ("batch", "CronJob") => cron_job,
        ("networking.k8s.io" | "extensions", "Ingress") => ingress,
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaler,
        ("apiregistration.k8s.io", "APIService") => |object| match object.condition("Available") {
            Some(available) if available.is_true() => Health::because(Code::Healthy, available.told()),
            Some(available) => Health::because(Code::Progressing, available.told()),
            None => Health::because(Code::Progressing, "Waiting to be processed"),
        },
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition,
        ("policy", "PodDisruptionBudget") => disruption_budget,
        ("bitnami.com", "SealedSecret") => sealed_secret,
        ("external-secrets.io", "ExternalSecret" | "SecretStore" | "ClusterSecretStore" | "PushSecret") => ready,
        _ => return None,
    };
    Some(rule)
}

/// Fields of an object of which nothing is certain.
pub(super) struct Fields<'a>(pub(super) &'a Manifest);

struct Condition<'a>(&'a Value);

impl Condition<'_> {
    fn text(&self, field: &str) -> &str {
        self.0.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    fn is_true(&self) -> bool {
        self.text("status") == "True"
    }

    fn is_false(&self) -> bool {
        self.text("status") == "False"
    }

    fn told(&self) -> String {
        [self.text("reason"), self.text("message")]
            .iter()
            .filter(|part| !part.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join(": ")
    }
}

impl<'a> Fields<'a> {
    fn get(&self, pointer: &str) -> Option<&'a Value> {
        let (first, rest) =
            pointer.trim_start_matches('/').split_once('/').unwrap_or((pointer.trim_start_matches('/'), ""));
        let field = self.0.fields().get(first)?;
        if rest.is_empty() { Some(field) } else { field.pointer(&format!("/{rest}")) }
    }

    pub(super) fn text(&self, pointer: &str) -> Option<&'a str> {
        self.get(pointer)?.as_str()
    }

    fn number(&self, pointer: &str) -> i64 {
        self.get(pointer).and_then(Value::as_i64).unwrap_or(0)
    }

    fn replicas(&self) -> i64 {
        self.get("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
    }

    fn list(&self, pointer: &str) -> &'a [Value] {
        self.get(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    fn conditions(&self) -> impl Iterator<Item = Condition<'a>> {
        self.list("/status/conditions").iter().map(Condition)
    }

    fn condition(&self, kind: &str) -> Option<Condition<'a>> {
        self.conditions().find(|condition| condition.text("type") == kind)
    }

    fn lags(&self) -> bool {
        self.number("/status/observedGeneration") < self.number("/metadata/generation")
    }
}

fn waiting(message: impl Into<String>) -> Health {
    Health::because(Code::Progressing, message)
}

fn healthy() -> Health {
    Health::new(Code::Healthy)
}

const NOT_OBSERVED: &str = "Waiting for rollout to finish: observed generation less than desired generation";

fn deployment(object: &Fields<'_>) -> Health {
    if object.get("/spec/paused") == Some(&Value::Bool(true)) {
        return Health::because(Code::Suspended, "Deployment is paused");
    }
    if object.lags() {
        return waiting(NOT_OBSERVED);
    }
    let late = object.condition("Progressing").filter(|progress| progress.text("reason") == "ProgressDeadlineExceeded");
    if late.is_some() {
        let name = object.0.name();
        return Health::because(Code::Degraded, format!("Deployment {name:?} exceeded its progress deadline"));
    }
    let (updated, all, available) = (
        object.number("/status/updatedReplicas"),
        object.number("/status/replicas"),
        object.number("/status/availableReplicas"),
    );
    if updated < object.replicas() {
        return waiting(format!(
            "Waiting for rollout to finish: {updated} out of {} new replicas have been updated...",
            object.replicas()
        ));
    }
    if all > updated {
        return waiting(format!(
            "Waiting for rollout to finish: {} old replicas are pending termination...",
            all - updated
        ));
    }
    if available < updated {
        return waiting(format!(
            "Waiting for rollout to finish: {available} of {updated} updated replicas are available..."
        ));
    }
    healthy()
}

fn stateful_set(object: &Fields<'_>) -> Health {
    if object.number("/status/observedGeneration") == 0 || object.lags() {
        return waiting("Waiting for statefulset spec update to be observed...");
    }
    let (ready, wanted) = (object.number("/status/readyReplicas"), object.replicas());
    if ready < wanted {
        return waiting(format!("Waiting for {} pods to be ready...", wanted - ready));
    }
    let strategy = object.text("/spec/updateStrategy/type").unwrap_or("RollingUpdate");
    if strategy == "RollingUpdate" && object.get("/spec/updateStrategy/rollingUpdate").is_some() {
        if let Some(partition) = object.get("/spec/updateStrategy/rollingUpdate/partition").and_then(Value::as_i64)
            && object.number("/status/updatedReplicas") < wanted - partition
        {
            let updated = object.number("/status/updatedReplicas");
            return waiting(format!(
                "Waiting for partitioned roll out to finish: {updated} out of {} new pods have been updated...",
                wanted - partition
            ));
        }
        return healthy();
    }
    if strategy != "OnDelete" && object.text("/status/updateRevision") != object.text("/status/currentRevision") {
        return waiting("waiting for statefulset rolling update to complete");
    }
    healthy()
}

fn daemon_set(object: &Fields<'_>) -> Health {
    if object.lags() {
        return waiting(NOT_OBSERVED);
    }
    if object.text("/spec/updateStrategy/type") == Some("OnDelete") {
        return healthy();
    }
    let wanted = object.number("/status/desiredNumberScheduled");
    let (updated, available) =
        (object.number("/status/updatedNumberScheduled"), object.number("/status/numberAvailable"));
    if updated < wanted {
        return waiting(format!(
            "Waiting for daemon set rollout to finish: {updated} out of {wanted} new pods have been updated..."
        ));
    }
    if available < wanted {
        return waiting(format!(
            "Waiting for daemon set rollout to finish: {available} of {wanted} updated pods are available..."
        ));
    }
    healthy()
}

fn replica_set(object: &Fields<'_>) -> Health {
    if object.lags() {
        return waiting(NOT_OBSERVED);
    }
    if let Some(failure) = object.condition("ReplicaFailure").filter(Condition::is_true) {
        return Health::because(Code::Degraded, failure.told());
    }
    let (available, wanted) = (object.number("/status/availableReplicas"), object.replicas());
    if available < wanted {
        return waiting(format!(
            "Waiting for rollout to finish: {available} out of {wanted} new replicas are available..."
        ));
    }
    healthy()
}

fn pod(object: &Fields<'_>) -> Health {
    let restarts_always = object.text("/spec/restartPolicy").unwrap_or("Always") == "Always";
    let containers = object.list("/status/containerStatuses");
    if restarts_always {
        let reasons = containers.iter().filter_map(|container| container.pointer("/state/waiting/reason")?.as_str());
        for reason in reasons {
            if reason.starts_with("Err") || reason.ends_with("Error") || reason.ends_with("BackOff") {
                return Health::because(Code::Degraded, reason);
            }
        }
    }
    match object.text("/status/phase") {
        Some("Pending") | None => waiting(""),
        Some("Succeeded") => healthy(),
        Some("Failed") => Health::because(Code::Degraded, object.text("/status/message").unwrap_or_default()),
        Some("Running") if restarts_always => {
            if object.condition("Ready").is_some_and(|ready| ready.is_true()) {
                healthy()
            } else if containers.iter().any(|container| container.pointer("/lastState/terminated").is_some()) {
                Health::new(Code::Degraded)
            } else {
                waiting("")
            }
        }
        Some("Running") => waiting(""),
        Some(_) => Health::new(Code::Unknown),
    }
}

fn service(object: &Fields<'_>) -> Health {
    let balanced = object.text("/spec/type") == Some("LoadBalancer");
    if balanced && object.list("/status/loadBalancer/ingress").is_empty() { waiting("") } else { healthy() }
}

fn ingress(object: &Fields<'_>) -> Health {
    if object.list("/status/loadBalancer/ingress").is_empty() { waiting("") } else { healthy() }
}

fn volume_claim(object: &Fields<'_>) -> Health {
    match object.text("/status/phase") {
        Some("Lost") => Health::new(Code::Degraded),
        Some("Pending") => waiting(""),
        Some("Bound") => healthy(),
        _ => Health::new(Code::Unknown),
    }
}

fn job(object: &Fields<'_>) -> Health {
    for (kind, code) in [("Failed", Code::Degraded), ("Complete", Code::Healthy), ("Suspended", Code::Suspended)] {
        if let Some(condition) = object.condition(kind).filter(Condition::is_true) {
            return Health::because(code, condition.text("message"));
        }
    }
    waiting("")
}

fn cron_job(object: &Fields<'_>) -> Health {
    if object.get("/spec/suspend") == Some(&Value::Bool(true)) {
        return Health::because(Code::Healthy, "CronJob is Suspended");
    }
    if object.get("/status").is_none() {
        return waiting("");
    }
    let active = !object.list("/status/active").is_empty();
    match (object.text("/status/lastScheduleTime"), object.text("/status/lastSuccessfulTime")) {
        // Both are RFC 3339 in UTC: they compare as text.
        (Some(scheduled), Some(succeeded)) if !active && succeeded < scheduled => {
            Health::because(Code::Degraded, "CronJob has not completed its last execution successfully")
        }
        _ => healthy(),
    }
}

fn autoscaler(object: &Fields<'_>) -> Health {
    const FAILURES: [(&str, &str); 8] = [
        ("AbleToScale", "FailedGetScale"),
        ("AbleToScale", "FailedUpdateScale"),
        ("ScalingActive", "FailedGetResourceMetric"),
        ("ScalingActive", "FailedGetObjectMetric"),
        ("ScalingActive", "FailedGetPodsMetric"),
        ("ScalingActive", "FailedGetExternalMetric"),
        ("ScalingActive", "FailedComputeMetricsReplicas"),
        ("ScalingActive", "InvalidSelector"),
    ];
    for condition in object.conditions() {
        if FAILURES.contains(&(condition.text("type"), condition.text("reason"))) {
            return Health::because(Code::Degraded, condition.text("message"));
        }
    }
    for condition in object.conditions() {
        if matches!(condition.text("type"), "AbleToScale" | "ScalingLimited") && condition.is_true() {
            return Health::because(Code::Healthy, condition.text("message"));
        }
    }
    waiting("Waiting to Autoscale")
}

fn definition(object: &Fields<'_>) -> Health {
    if let Some(refused) = object.condition("NamesAccepted").filter(Condition::is_false) {
        return Health::because(Code::Degraded, refused.told());
    }
    if let Some(shapeless) = object.condition("NonStructuralSchema").filter(Condition::is_true) {
        return Health::because(Code::Degraded, shapeless.told());
    }
    if object.condition("Established").is_some_and(|established| established.is_true()) {
        return Health::because(Code::Healthy, "CRD is healthy");
    }
    waiting("CRD is not established")
}

fn disruption_budget(object: &Fields<'_>) -> Health {
    let mut some = false;
    for condition in object.conditions() {
        some = true;
        if condition.is_false() && condition.text("reason") != "InsufficientPods" {
            return Health::because(Code::Degraded, condition.told());
        }
    }
    if some { healthy() } else { waiting("Waiting for status") }
}

/// Argo CD's rule, and one more: a verdict on an older generation is none.
fn sealed_secret(object: &Fields<'_>) -> Health {
    match object.condition("Synced") {
        _ if object.get("/status/observedGeneration").is_some() && object.lags() => {
            waiting("Waiting for the change to be decrypted")
        }
        Some(synced) if synced.is_false() => Health::because(Code::Degraded, synced.text("message")),
        Some(synced) if synced.is_true() => healthy(),
        _ => waiting("Waiting for Sealed Secret to be decrypted"),
    }
}

fn ready(object: &Fields<'_>) -> Health {
    let record = object.get("/status/chancery/observedGeneration").and_then(Value::as_i64);
    match object.condition("Ready") {
        _ if record.is_some_and(|seen| seen < object.number("/metadata/generation")) => {
            waiting("Waiting for the change to be synced")
        }
        Some(ready) if ready.is_true() => Health::because(Code::Healthy, ready.text("message")),
        Some(ready) if ready.is_false() => Health::because(Code::Degraded, ready.text("message")),
        _ => waiting("Waiting for the first sync"),
    }
}
