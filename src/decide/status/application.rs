//! The status of an Application, field by field as Argo CD's readers expect it. There is no subresource, so nothing here
//! speaks of generations (D2a).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::time;
use crate::api::Carried;
use crate::api::application::{
    Application, ApplicationCondition, ApplicationRecord, ApplicationStatus, HealthStatus, HistoryEntry, Operation,
    OperationState, ResourceResult, ResourceStatus, SyncResult, SyncStatus,
};
use crate::decide::application::health::{Code, Health, aggregate};
use crate::decide::application::sync::Request;
use crate::decide::application::{COMPARISON, Finding, INVALID_SPEC, Observed, SYNC, SyncCode, sync_status};
use crate::plan::ObjectRef;

/// Entries of `status.history` where the spec says nothing.
const HISTORY: i64 = 10;
/// Longest message in a status, in bytes: an object has room for many of them.
const LONGEST: usize = 4096;

/// Results of one operation that a status holds.
const MOST_RESULTS: usize = 1000;
/// The phase of an operation that has not ended.
pub const RUNNING: &str = "Running";
/// How the message of an object ends that a sync found as it should be.
pub const UNCHANGED: &str = "unchanged";

/// How a sync ended, or stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// `Running` (it will be tried again), `Succeeded`, `Failed` or `Error`.
    pub phase: &'static str,
    /// For people; never a value.
    pub message: String,
    /// Every object that was touched.
    pub results: Vec<ResourceResult>,
    /// When it began.
    pub started: Timestamp,
    /// Failed attempts before this one.
    pub retries: i64,
}

/// What was compared.
#[derive(Clone, Debug)]
pub struct Comparison<'a> {
    /// The commit.
    pub revision: &'a str,
    /// Every object.
    pub observed: &'a [Observed],
    /// Objects that are listed and not compared: hooks, copies.
    pub listed: &'a [ObjectRef],
    /// What is to be said.
    pub findings: &'a [Finding],
}

/// Git and cluster were compared.
pub fn compared(application: &Application, comparison: &Comparison<'_>, now: Timestamp) -> ApplicationStatus {
    let known = application.status.clone().unwrap_or_default();
    let whole = comparison.observed.iter().filter(|object| !is_self(application, &object.object));
    let health = aggregate(whole.map(|object| (object.is_missing(), object.health.as_ref())));
    let mut resources: Vec<_> = comparison.observed.iter().map(|object| resource(object, &known)).collect();
    resources.extend(comparison.listed.iter().map(resource_of));
    resources.sort_by(|a, b| place(a).cmp(&place(b)));
    ApplicationStatus {
        sync: Some(SyncStatus {
            status: sync_status(comparison.observed).as_str().to_owned(),
            compared_to: Some(compared_to(application)),
            revision: comparison.revision.to_owned(),
            revisions: Vec::new(),
        }),
        health: Some(health_status(&health, known.health.as_ref(), now)),
        resources,
        conditions: conditions(&known.conditions, comparison.findings.to_vec(), now),
        reconciled_at: Some(time(now)),
        source_type: Some("Directory".to_owned()),
        resource_health_source: None,
        ..known
    }
}

/// Git or the cluster could not be read: nothing is known to be right, and nothing that was known is forgotten.
pub fn uncomparable(application: &Application, finding: Finding, now: Timestamp) -> ApplicationStatus {
    let known = application.status.clone().unwrap_or_default();
    let revision = application.spec.source.as_ref().map(|source| source.target_revision.clone()).unwrap_or_default();
    let unknown = |resource: &ResourceStatus| ResourceStatus {
        status: if resource.status.is_empty() { String::new() } else { SyncCode::Unknown.as_str().to_owned() },
        // As Argo CD tells it. It is not pruned.
        requires_pruning: !resource.status.is_empty(),
        ..resource.clone()
    };
    let health = known.health.clone().unwrap_or_else(|| health_status(&Health::new(Code::Unknown), None, now));
    ApplicationStatus {
        sync: Some(SyncStatus {
            status: SyncCode::Unknown.as_str().to_owned(),
            compared_to: Some(compared_to(application)),
            revision,
            revisions: Vec::new(),
        }),
        health: Some(health),
        resources: known.resources.iter().map(unknown).collect(),
        conditions: conditions(&known.conditions, vec![finding], now),
        reconciled_at: Some(time(now)),
        ..known
    }
}

/// The spec cannot be; what ran goes on running, and is listed as it was.
pub fn invalid(application: &Application, findings: Vec<Finding>, now: Timestamp) -> ApplicationStatus {
    let known = application.status.clone().unwrap_or_default();
    let old = known.conditions.iter().filter(|condition| condition.type_ == SYNC);
    let old = old.map(|condition| Finding { kind: SYNC, message: condition.message.clone() });
    let findings = findings.into_iter().chain(old).collect();
    ApplicationStatus {
        sync: Some(SyncStatus {
            status: SyncCode::Unknown.as_str().to_owned(),
            compared_to: Some(compared_to(application)),
            ..known.sync.clone().unwrap_or_default()
        }),
        health: Some(health_status(&Health::new(Code::Unknown), known.health.as_ref(), now)),
        conditions: conditions(&known.conditions, findings, now),
        reconciled_at: Some(time(now)),
        ..known
    }
}

/// The object cannot even be read.
pub fn broken(message: &str, now: Timestamp) -> ApplicationStatus {
    invalid(&Application::default(), vec![Finding::new(INVALID_SPEC, message)], now)
}

/// Something was in the way that is neither Git's nor the spec's fault.
pub fn failed(application: &Application, message: &str, now: Timestamp) -> ApplicationStatus {
    uncomparable(application, Finding::new(COMPARISON, message), now)
}

/// Adds that a sync runs. It is written before anything is applied or deleted: the list of objects is the inventory by which
/// they are found again, should this process end in the middle.
pub fn running(status: ApplicationStatus, request: &Request, revision: &str, now: Timestamp) -> ApplicationStatus {
    ApplicationStatus {
        operation_state: Some(OperationState {
            operation: request.operation.clone(),
            phase: RUNNING.to_owned(),
            message: format!("syncing to {revision}"),
            started_at: time(now),
            ..OperationState::default()
        }),
        ..status
    }
}

/// Adds how a sync ended, and an entry to the history when it brought something new to run.
pub fn synced(
    status: ApplicationStatus,
    application: &Application,
    request: &Request,
    outcome: &Outcome,
    revision: &str,
    now: Timestamp,
) -> ApplicationStatus {
    let source = application.spec.source.as_ref().and_then(|source| serde_json::to_value(source).ok()).map(Carried);
    let mut history = status.history.clone();
    let last = history.last();
    let is_new = last.is_none_or(|last| last.revision != revision || last.source != source) || !request.heals;
    if outcome.phase == "Succeeded" && !request.dry_run && is_new {
        history.push(HistoryEntry {
            id: last.map_or(0, |last| last.id + 1),
            revision: revision.to_owned(),
            source: source.clone(),
            deploy_started_at: Some(time(outcome.started)),
            deployed_at: time(now),
            initiated_by: Some(request.operation.initiated_by.clone().unwrap_or_default()),
            ..HistoryEntry::default()
        });
    }
    let most = application.spec.revision_history_limit.unwrap_or(HISTORY).max(0);
    let surplus = history.len().saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
    history.drain(..surplus);
    let result = SyncResult {
        revision: revision.to_owned(),
        source,
        resources: told_results(&outcome.results),
        ..SyncResult::default()
    };
    ApplicationStatus {
        history,
        operation_state: Some(OperationState {
            operation: request.operation.clone(),
            phase: outcome.phase.to_owned(),
            message: clipped(&outcome.message),
            sync_result: Some(result),
            started_at: time(outcome.started),
            finished_at: (outcome.phase != RUNNING).then(|| time(now)),
            retry_count: (outcome.retries > 0).then_some(outcome.retries),
        }),
        ..status
    }
}

/// The results that fit: an object has room for a megabyte, and Git may declare thousands. What did not change is left out
/// first; failures stay longest.
fn told_results(results: &[ResourceResult]) -> Vec<ResourceResult> {
    let mut told = results.to_vec();
    if told.len() > MOST_RESULTS {
        told.retain(|result| !result.message.ends_with(UNCHANGED));
        told.sort_by_key(|result| result.status != "SyncFailed");
        told.truncate(MOST_RESULTS);
    }
    told
}

/// Adds that an operation was refused before it began.
pub fn refused(status: ApplicationStatus, operation: &Operation, message: &str, now: Timestamp) -> ApplicationStatus {
    ApplicationStatus {
        operation_state: Some(OperationState {
            operation: operation.clone(),
            phase: "Error".to_owned(),
            message: clipped(message),
            started_at: time(now),
            finished_at: Some(time(now)),
            ..OperationState::default()
        }),
        ..status
    }
}

/// Adds what Chancery remembers.
pub fn recorded(status: ApplicationStatus, observed_spec: String, controller_namespace: &str) -> ApplicationStatus {
    ApplicationStatus {
        controller_namespace: Some(controller_namespace.to_owned()),
        chancery: Some(ApplicationRecord { observed_spec }),
        ..status
    }
}

/// What became of one object.
pub fn result(object: &ObjectRef, status: &str, message: impl Into<String>) -> ResourceResult {
    ResourceResult {
        group: object.group().to_owned(),
        version: object.version().to_owned(),
        kind: object.kind.clone(),
        namespace: object.key.namespace.clone(),
        name: object.key.name.clone(),
        status: status.to_owned(),
        message: clipped(&message.into()),
        hook_phase: match status {
            "Synced" | "Pruned" | "PruneSkipped" => "Succeeded",
            _ => "Failed",
        }
        .to_owned(),
        sync_phase: "Sync".to_owned(),
        ..ResourceResult::default()
    }
}

/// Which kinds an Application has had objects of, so that they are found after a restart.
pub fn kinds(application: &Application) -> Vec<(String, String)> {
    let resources = application.status.iter().flat_map(|status| &status.resources);
    let mut kinds: Vec<_> = resources
        .map(|resource| {
            let api_version = if resource.group.is_empty() {
                resource.version.clone()
            } else {
                format!("{}/{}", resource.group, resource.version)
            };
            (api_version, resource.kind.clone())
        })
        .collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

fn resource(object: &Observed, known: &ApplicationStatus) -> ResourceStatus {
    let mut resource = resource_of(&object.object);
    resource.status = object.sync.map(SyncCode::as_str).unwrap_or_default().to_owned();
    resource.requires_pruning = object.requires_pruning;
    resource.sync_wave = (object.wave != 0).then_some(object.wave);
    let health = if object.is_missing() { Some(Health::new(Code::Missing)) } else { object.health.clone() };
    resource.health = health.map(|health| {
        let before = known.resources.iter().find(|before| place(before) == place(&resource));
        let mut status = health.to_status();
        let same = before.and_then(|before| before.health.as_ref()).filter(|before| before.status == status.status);
        status.last_transition_time = same.and_then(|same| same.last_transition_time.clone());
        status.message = clipped(&status.message);
        status
    });
    resource
}

fn resource_of(object: &ObjectRef) -> ResourceStatus {
    ResourceStatus {
        group: object.group().to_owned(),
        version: object.version().to_owned(),
        kind: object.kind.clone(),
        namespace: object.key.namespace.clone(),
        name: object.key.name.clone(),
        ..ResourceStatus::default()
    }
}

fn place(resource: &ResourceStatus) -> (&str, &str, &str, &str) {
    (&resource.group, &resource.kind, &resource.namespace, &resource.name)
}

fn is_self(application: &Application, object: &ObjectRef) -> bool {
    object.kind == "Application"
        && object.group() == "argoproj.io"
        && Some(&object.key.name) == application.metadata.name.as_ref()
        && Some(&object.key.namespace) == application.metadata.namespace.as_ref()
}

fn compared_to(application: &Application) -> Carried {
    let mut compared = json!({ "destination": application.spec.destination });
    if let Some(source) = &application.spec.source {
        compared["source"] = serde_json::to_value(source).unwrap_or(Value::Null);
    }
    Carried(compared)
}

fn health_status(health: &Health, before: Option<&HealthStatus>, now: Timestamp) -> HealthStatus {
    let mut status = health.to_status();
    let same = before.filter(|before| before.status == status.status);
    status.last_transition_time = same.and_then(|same| same.last_transition_time.clone()).or_else(|| Some(time(now)));
    status
}

/// Conditions in Argo CD's way: present or absent, each with the time since when it says what it says.
fn conditions(before: &[ApplicationCondition], findings: Vec<Finding>, now: Timestamp) -> Vec<ApplicationCondition> {
    let mut conditions: Vec<_> = findings
        .into_iter()
        .map(|finding| {
            let message = clipped(&finding.message);
            let same = before.iter().find(|before| before.type_ == finding.kind && before.message == message);
            ApplicationCondition {
                type_: finding.kind.to_owned(),
                last_transition_time: same
                    .and_then(|same| same.last_transition_time.clone())
                    .or_else(|| Some(time(now))),
                message,
            }
        })
        .collect();
    conditions.sort_by(|a, b| (&a.type_, &a.message).cmp(&(&b.type_, &b.message)));
    conditions.dedup_by(|a, b| a.type_ == b.type_ && a.message == b.message);
    conditions
}

fn clipped(message: &str) -> String {
    if message.len() <= LONGEST {
        return message.to_owned();
    }
    let end = (0..=LONGEST).rev().find(|&end| message.is_char_boundary(end)).unwrap_or(0);
    format!("{}…", &message[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::application::spec::Options;
    use crate::plan::ObjectKey;

    fn application() -> Application {
        serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": { "name": "a", "namespace": "argocd" },
            "spec": {
                "source": { "repoURL": "https://h/a", "path": ".", "targetRevision": "main" },
                "destination": { "server": "https://kubernetes.default.svc" },
                "revisionHistoryLimit": 2,
            },
        }))
        .unwrap()
    }

    fn observed(sync: SyncCode) -> Observed {
        Observed {
            object: ObjectRef {
                api_version: "v1".to_owned(),
                kind: "ConfigMap".to_owned(),
                key: ObjectKey::new("shop", "m"),
            },
            desired: Some(0),
            uid: Some("1".to_owned()),
            sync: Some(sync),
            health: None,
            forbidden: None,
            shared_with: None,
            requires_pruning: false,
            extraneous: false,
            keeps: false,
            foreign: None,
            wave: 0,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_could_not_be_compared_is_unknown_and_nothing_is_forgotten() {
        let mut application = application();
        let objects = [observed(SyncCode::Synced)];
        let comparison = Comparison { revision: "c1", observed: &objects, listed: &[], findings: &[] };
        let good = compared(&application, &comparison, at(1));
        assert_eq!(good.sync.as_ref().unwrap().status, "Synced");
        application.status = Some(good);
        let bad = uncomparable(&application, Finding::new(COMPARISON, "the server is down"), at(2));
        assert_eq!(bad.sync.as_ref().unwrap().status, "Unknown");
        assert_eq!(bad.sync.as_ref().unwrap().revision, "main");
        assert_eq!(bad.health.as_ref().unwrap().status, "Healthy");
        assert_eq!((bad.resources[0].status.as_str(), bad.resources[0].requires_pruning), ("Unknown", true));
        application.status = Some(bad);
        let again = uncomparable(&application, Finding::new(COMPARISON, "the server is down"), at(9));
        assert_eq!(again.conditions[0].last_transition_time.as_deref(), Some("1970-01-01T00:00:02Z"));
    }

    #[test]
    fn history_holds_what_was_new_and_not_more_than_asked() {
        let mut application = application();
        let request = |heals| Request {
            operation: Operation::default(),
            heals,
            prune: false,
            dry_run: false,
            options: Options::default(),
        };
        let outcome =
            Outcome { phase: "Succeeded", message: String::new(), results: Vec::new(), started: at(1), retries: 0 };
        for (revision, heals) in [("c1", false), ("c1", true), ("c2", false), ("c3", true)] {
            let status = application.status.clone().unwrap_or_default();
            application.status = Some(synced(status, &application, &request(heals), &outcome, revision, at(2)));
        }
        let history = application.status.unwrap().history;
        let told: Vec<_> = history.iter().map(|entry| (entry.id, entry.revision.as_str())).collect();
        assert_eq!(told, [(1, "c2"), (2, "c3")]);
    }
}
