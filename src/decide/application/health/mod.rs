//! Whether an object works, by its status. Argo CD's rules, and those for secrets made to look at generations.

use crate::api::application::HealthStatus;
use crate::plan::{Manifest, ObjectRef};
use rules::{Fields, rule_of};

mod rules;

/// From best to worst, as Argo CD has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// It works.
    Healthy,
    /// Somebody has halted it.
    Suspended,
    /// It will work, perhaps.
    Progressing,
    /// It is not there.
    Missing,
    /// It does not work.
    Degraded,
    /// Nobody can tell.
    Unknown,
}

impl Code {
    /// As the status writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Suspended => "Suspended",
            Self::Progressing => "Progressing",
            Self::Missing => "Missing",
            Self::Degraded => "Degraded",
            Self::Unknown => "Unknown",
        }
    }
}

/// Whether an object works, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether.
    pub code: Code,
    /// Why not; never a value.
    pub message: String,
}

impl Health {
    /// Without a reason.
    pub fn new(code: Code) -> Self {
        Self { code, message: String::new() }
    }

    fn because(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// As the status writes it, without the time.
    pub fn to_status(&self) -> HealthStatus {
        HealthStatus {
            status: self.code.as_str().to_owned(),
            message: self.message.clone(),
            last_transition_time: None,
        }
    }
}

/// Whether there is a rule for this kind.
pub fn has_rule(object: &ObjectRef) -> bool {
    rule_of(object.group(), &object.kind).is_some()
}

/// The health of a live object; none for kinds without a rule.
pub fn of(live: &Manifest) -> Option<Health> {
    let rule = rule_of(live.object_ref().group(), live.kind())?;
    let object = Fields(live);
    if object.text("/metadata/deletionTimestamp").is_some() {
        return Some(Health::because(Code::Progressing, "Pending deletion"));
    }
    Some(rule(&object))
}

/// The health of the whole: the worst of what is managed, where objects that are not there count only when none is.
pub fn aggregate<'a>(objects: impl IntoIterator<Item = (bool, Option<&'a Health>)>) -> Health {
    let mut worst = Health::new(Code::Healthy);
    let (mut missing, mut present) = (0, 0);
    for (is_missing, health) in objects {
        if is_missing {
            missing += 1;
            continue;
        }
        present += 1;
        if let Some(health) = health
            && health.code > worst.code
        {
            worst = health.clone();
        }
    }
    if missing > 0 && present == 0 { Health::new(Code::Missing) } else { Health::new(worst.code) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn health(api_version: &str, kind: &str, rest: &Value) -> Option<Code> {
        let mut object =
            json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "a", "generation": 2 } });
        json_patch::merge(&mut object, rest);
        of(&Manifest::new(object).unwrap()).map(|health| health.code)
    }

    #[test]
    fn objects_work_by_argo_cds_rules() {
        use Code::{Degraded, Healthy, Missing, Progressing, Suspended};
        let conditions = |kind: &str, status: &str, reason: &str| json!({ "status": { "observedGeneration": 2, "conditions": [{ "type": kind, "status": status, "reason": reason }] } });
        for (api_version, kind, rest, expected) in [
            ("v1", "ConfigMap", json!({}), None),
            ("argoproj.io/v1alpha1", "Application", json!({}), None),
            ("apps/v1", "Deployment", json!({ "spec": { "paused": true } }), Some(Suspended)),
            ("apps/v1", "Deployment", json!({ "status": { "observedGeneration": 1 } }), Some(Progressing)),
            ("apps/v1", "Deployment", conditions("Progressing", "False", "ProgressDeadlineExceeded"), Some(Degraded)),
            (
                "apps/v1",
                "Deployment",
                json!({ "spec": { "replicas": 0 }, "status": { "observedGeneration": 2 } }),
                Some(Healthy),
            ),
            (
                "apps/v1",
                "Deployment",
                json!({ "status": { "observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1 } }),
                Some(Healthy),
            ),
            (
                "apps/v1",
                "Deployment",
                json!({ "status": { "observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 1 } }),
                Some(Progressing),
            ),
            (
                "apps/v1",
                "StatefulSet",
                json!({ "status": { "observedGeneration": 2, "readyReplicas": 1 } }),
                Some(Healthy),
            ),
            ("apps/v1", "StatefulSet", json!({ "status": { "observedGeneration": 2 } }), Some(Progressing)),
            (
                "apps/v1",
                "DaemonSet",
                json!({ "status": { "observedGeneration": 2, "desiredNumberScheduled": 1 } }),
                Some(Progressing),
            ),
            ("v1", "Pod", json!({ "status": { "phase": "Pending" } }), Some(Progressing)),
            (
                "v1",
                "Pod",
                json!({ "status": { "phase": "Pending", "containerStatuses": [{ "state": { "waiting": { "reason": "ImagePullBackOff" } } }] } }),
                Some(Degraded),
            ),
            ("batch/v1", "Job", conditions("Failed", "True", ""), Some(Degraded)),
            ("batch/v1", "Job", conditions("Complete", "True", ""), Some(Healthy)),
            ("v1", "Service", json!({ "spec": { "type": "LoadBalancer" } }), Some(Progressing)),
            ("v1", "Service", json!({}), Some(Healthy)),
            ("bitnami.com/v1alpha1", "SealedSecret", conditions("Synced", "True", ""), Some(Healthy)),
            ("bitnami.com/v1alpha1", "SealedSecret", conditions("Synced", "False", ""), Some(Degraded)),
            (
                "bitnami.com/v1alpha1",
                "SealedSecret",
                json!({ "status": { "observedGeneration": 1, "conditions": [{ "type": "Synced", "status": "True" }] } }),
                Some(Progressing),
            ),
            ("external-secrets.io/v1", "ExternalSecret", conditions("Ready", "False", ""), Some(Degraded)),
            ("external-secrets.io/v1", "ExternalSecret", json!({}), Some(Progressing)),
            (
                "apps/v1",
                "Deployment",
                json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } }),
                Some(Progressing),
            ),
        ] {
            assert_eq!(health(api_version, kind, &rest), expected, "{kind} {rest}");
        }
        let (bad, good) = (Health::new(Degraded), Health::new(Healthy));
        assert_eq!(aggregate([(false, Some(&good)), (false, None), (true, None)]).code, Healthy);
        assert_eq!(aggregate([(false, Some(&good)), (false, Some(&bad))]).code, Degraded);
        assert_eq!(aggregate([(true, None)]).code, Missing);
        assert_eq!(aggregate([]).code, Healthy);
    }
}
