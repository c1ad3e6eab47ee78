//! Whether to sync now, and what.

use std::time::Duration;

use jiff::Timestamp;

use super::spec::{Automated, Spec, options, unsupported_operation};
use super::{Finding, Observed, SYNC};
use crate::api::Carried;
use crate::api::application::{Application, InitiatedBy, Operation, RetryPolicy, SyncOperation};

/// Tries after the first one, where the policy says nothing; upstream's number for automated syncs.
const AUTOMATED_RETRIES: i64 = 5;
/// The first pause, how it grows, and the longest one.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const GROWTH: i64 = 2;
const LONGEST_PAUSE: Duration = Duration::from_secs(180);
/// When all tries have failed, one more is made now and then: what was in the way may be gone, and no commit will say so.
/// A policy without any retry is taken at its word.
const MUCH_LATER: Duration = Duration::from_secs(600);
/// This many heals within [`HEALING_SPAN`] are immediate; more of them look like two controllers that fight.
const HEALS: usize = 5;
const HEALING_SPAN: Duration = Duration::from_secs(60);

/// What this process remembers of one Application's syncs. A restart forgets it, and so tries again.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Of what the last attempt was made of: commit, spec, project.
    pub fingerprint: u64,
    /// Failed attempts in a row.
    pub failures: i64,
    /// When the next one is due.
    pub not_before: Option<Timestamp>,
    /// Recent heals.
    pub heals: Vec<Timestamp>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// Nothing yet.
    Later(Duration),
    /// Nothing, and people should know why.
    Refused(Finding),
    /// This.
    Now(Box<Request>),
}

/// A sync to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// As the status shows it.
    pub operation: Operation,
    /// Nobody asked: the policy did, because something drifted at a revision that had been synced.
    pub heals: bool,
    /// Whether to delete what left Git.
    pub prune: bool,
    /// Only try.
    pub dry_run: bool,
    /// How.
    pub options: super::spec::Options,
}

/// What somebody asked for, if anybody did.
///
/// # Errors
///
/// The fields of the operation that are not honoured: it is refused then.
pub fn asked(application: &Application) -> Option<Result<Request, String>> {
    let operation = application.operation.as_ref()?;
    let Some(sync) = &operation.sync else { return Some(Err("operation holds no sync".to_owned())) };
    let (options, mut unsupported) = options(&sync.sync_options);
    unsupported.extend(unsupported_operation(sync));
    if !unsupported.is_empty() {
        return Some(Err(format!("{} is not supported yet", unsupported.join(", "))));
    }
    let (prune, dry_run) = (sync.prune, sync.dry_run);
    Some(Ok(Request { operation: operation.clone(), heals: false, prune, dry_run, options }))
}

/// How long a sync that somebody asked for, and that failed, waits for its next try.
pub fn asked_pause(memory: &Memory, fingerprint: u64, now: Timestamp) -> Option<Duration> {
    memory.not_before.filter(|_| memory.fingerprint == fingerprint).and_then(|then| later(now, then))
}

/// Whether the policy wants a sync.
pub fn automated(
    application: &Application,
    spec: &Spec<'_>,
    revision: &str,
    observed: &[Observed],
    memory: &Memory,
    fingerprint: u64,
    now: Timestamp,
) -> Due {
    let Some(policy) = spec.automated else { return Due::Nothing };
    if let Some(finding) = would_wipe(policy, revision, observed) {
        return Due::Refused(finding);
    }
    let request = |heals| request(application, policy, spec, revision, heals);
    if memory.failures == 0 && was_left_running(application, revision) {
        return Due::Now(Box::new(request(false)));
    }
    if !observed.iter().any(|object| is_work(object, policy, spec.options.keep_all)) {
        return Due::Nothing;
    }
    if memory.fingerprint == fingerprint && memory.failures > 0 {
        let limit = retries(application.spec.sync_policy.as_ref().and_then(|policy| policy.retry.as_ref()), true);
        let is_over = limit >= 0 && memory.failures > limit;
        let pause = memory.not_before.and_then(|then| later(now, then));
        if is_over && (limit == 0 || pause.is_some()) {
            let message =
                application.status.as_ref().and_then(|status| Some(status.operation_state.as_ref()?.message.clone()));
            let message = format!("Failed last sync attempt to {revision}: {}", message.unwrap_or_default());
            return Due::Refused(Finding::new(SYNC, message));
        }
        if let Some(pause) = pause {
            return Due::Later(pause);
        }
        return Due::Now(Box::new(request(false)));
    }
    if !was_synced(application, revision) {
        return Due::Now(Box::new(request(false)));
    }
    if !policy.self_heal {
        return Due::Nothing;
    }
    let recent: Vec<_> = memory.heals.iter().filter(|heal| later(now, **heal + HEALING_SPAN).is_some()).collect();
    match recent.first() {
        Some(first) if recent.len() >= HEALS => {
            Due::Later(later(now, **first + HEALING_SPAN).unwrap_or(Duration::from_secs(1)))
        }
        _ => Due::Now(Box::new(request(true))),
    }
}

/// Notes how an attempt ended; the pause before the next one, when it failed and there is one.
pub fn remember(
    memory: &mut Memory,
    fingerprint: u64,
    request: &Request,
    succeeded: bool,
    now: Timestamp,
) -> Option<Duration> {
    if memory.fingerprint != fingerprint {
        *memory = Memory { fingerprint, heals: std::mem::take(&mut memory.heals), ..Memory::default() };
    }
    if request.heals {
        memory.heals.retain(|heal| later(now, *heal + HEALING_SPAN).is_some());
        memory.heals.push(now);
    }
    if succeeded {
        memory.failures = 0;
        memory.not_before = None;
        return None;
    }
    memory.failures += 1;
    let is_automated = request.operation.initiated_by.as_ref().is_some_and(|by| by.automated);
    let policy = request.operation.retry.as_ref();
    let limit = retries(policy, is_automated);
    if limit >= 0 && memory.failures > limit {
        memory.not_before = now.checked_add(MUCH_LATER).ok();
        return None;
    }
    let pause = pause(policy, memory.failures);
    memory.not_before = now.checked_add(pause).ok();
    Some(pause)
}

fn retries(policy: Option<&RetryPolicy>, automated: bool) -> i64 {
    policy.and_then(|policy| policy.limit).unwrap_or(if automated { AUTOMATED_RETRIES } else { 0 })
}

fn pause(policy: Option<&RetryPolicy>, failures: i64) -> Duration {
    let backoff = policy.and_then(|policy| policy.backoff.as_ref());
    let written = |text: Option<&String>| {
        let signed: jiff::SignedDuration = text?.parse().ok()?;
        Duration::try_from(signed).ok()
    };
    let first = written(backoff.and_then(|backoff| backoff.duration.as_ref())).unwrap_or(FIRST_PAUSE);
    let longest = written(backoff.and_then(|backoff| backoff.max_duration.as_ref())).unwrap_or(LONGEST_PAUSE);
    let growth = backoff.and_then(|backoff| backoff.factor).unwrap_or(GROWTH).max(1);
    let mut pause = first.min(longest);
    for _ in 1..failures.min(32) {
        pause = (pause * u32::try_from(growth).unwrap_or(2)).min(longest);
    }
    pause
}

/// How long until `then`; none when it is over.
fn later(now: Timestamp, then: Timestamp) -> Option<Duration> {
    Duration::try_from(then.duration_since(now)).ok().filter(|pause| !pause.is_zero())
}

/// Whether a sync could change anything about an object.
fn is_work(object: &Observed, policy: Automated, keep_all: bool) -> bool {
    let prunable = object.requires_pruning && !object.extraneous && policy.prune && !object.keeps && !keep_all;
    object.is_to_be_applied()
        || prunable
        || (policy.self_heal && object.foreign.is_some() && object.shared_with.is_none())
}

/// An empty folder is more often a mistake than a wish.
fn would_wipe(policy: Automated, revision: &str, observed: &[Observed]) -> Option<Finding> {
    let all_go = !observed.is_empty() && observed.iter().all(|object| object.requires_pruning);
    (policy.prune && !policy.allow_empty && all_go).then(|| {
        let message = format!("Skipping sync attempt to {revision}: auto-sync will wipe out all resources");
        Finding::new(SYNC, message)
    })
}

/// Whether the status tells of a sync to this revision that never ended: whoever ran it was stopped in the middle.
fn was_left_running(application: &Application, revision: &str) -> bool {
    let last = application.status.as_ref().and_then(|status| status.operation_state.as_ref());
    last.filter(|last| last.phase == "Running")
        .and_then(|last| last.operation.sync.as_ref())
        .is_some_and(|sync| sync.revision == revision)
}

/// Whether this revision of this source is the one that was synced last.
fn was_synced(application: &Application, revision: &str) -> bool {
    let last = application.status.as_ref().and_then(|status| status.operation_state.as_ref());
    let source = application.spec.source.as_ref().and_then(|source| serde_json::to_value(source).ok()).map(Carried);
    last.filter(|last| last.phase == "Succeeded")
        .and_then(|last| last.sync_result.as_ref())
        .is_some_and(|result| result.revision == revision && result.source == source)
}

fn request(application: &Application, policy: Automated, spec: &Spec<'_>, revision: &str, heals: bool) -> Request {
    let sync_policy = application.spec.sync_policy.as_ref();
    let retry = sync_policy.and_then(|policy| policy.retry.clone());
    let sync = SyncOperation {
        revision: revision.to_owned(),
        prune: policy.prune,
        sync_options: sync_policy.map(|policy| policy.sync_options.clone()).unwrap_or_default(),
        ..SyncOperation::default()
    };
    Request {
        operation: Operation {
            sync: Some(sync),
            initiated_by: Some(InitiatedBy { username: String::new(), automated: true }),
            retry: Some(retry.unwrap_or(RetryPolicy { limit: Some(AUTOMATED_RETRIES), ..RetryPolicy::default() })),
            info: Vec::new(),
        },
        heals,
        prune: policy.prune,
        dry_run: false,
        options: spec.options,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::SyncCode;
    use super::super::spec::{Bounds, read};
    use super::*;
    use crate::api::AppProject;
    use crate::plan::{ObjectKey, ObjectRef};

    fn observed(sync: SyncCode, requires_pruning: bool) -> Observed {
        Observed {
            object: ObjectRef {
                api_version: "v1".to_owned(),
                kind: "ConfigMap".to_owned(),
                key: ObjectKey::new("shop", "a"),
            },
            desired: (!requires_pruning).then_some(0),
            uid: Some("1".to_owned()),
            sync: Some(sync),
            health: None,
            forbidden: None,
            shared_with: None,
            requires_pruning,
            extraneous: false,
            keeps: false,
            foreign: None,
            wave: 0,
        }
    }

    fn due(policy: &Value, status: &Value, objects: &[Observed], memory: &Memory) -> Due {
        let application: Application = serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": { "name": "a", "namespace": "argocd" },
            "spec": {
                "source": { "repoURL": "https://h/a", "path": "." },
                "destination": { "server": "https://kubernetes.default.svc" },
                "syncPolicy": policy,
            },
            "status": status,
        }))
        .unwrap();
        let project: AppProject = serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": { "name": "default" },
            "spec": { "sourceRepos": ["*"], "destinations": [{ "server": "*", "namespace": "*" }] },
        }))
        .unwrap();
        let spec =
            read(&application, Some(&project), Bounds { control_namespace: "argocd", namespaces: None }).unwrap();
        automated(&application, &spec, "c1", objects, memory, 7, Timestamp::from_second(1000).unwrap())
    }

    #[test]
    fn when_a_sync_is_due() {
        let source = json!({ "repoURL": "https://h/a", "path": "." });
        let done = |phase: &str, revision: &str| {
            json!({ "operationState": {
                "operation": {}, "phase": phase, "message": "m", "startedAt": "2026-01-01T00:00:00Z",
                "syncResult": { "revision": revision, "source": source },
            } })
        };
        let all = json!({ "automated": { "prune": true, "selfHeal": true } });
        let plain = json!({ "automated": {} });
        let (drifted, synced) = (observed(SyncCode::OutOfSync, false), observed(SyncCode::Synced, false));
        let gone = observed(SyncCode::OutOfSync, true);
        let shared = Observed { shared_with: Some("b".to_owned()), ..drifted.clone() };
        let kept = Observed { keeps: true, ..gone.clone() };
        let left_running = json!({ "operationState": {
            "operation": { "sync": { "revision": "c1" } }, "phase": "Running", "startedAt": "2026-01-01T00:00:00Z",
        } });
        let fresh = Memory::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        let failed =
            |failures, second| Memory { fingerprint: 7, failures, not_before: Some(at(second)), heals: vec![] };
        let fought = Memory { heals: vec![at(990); HEALS], ..Memory::default() };
        type Case = (&'static str, Value, Value, Vec<Observed>, Memory, &'static str);
        let cases: Vec<Case> = vec![
            ("manual", json!({}), json!({}), vec![drifted.clone()], fresh.clone(), "Nothing"),
            (
                "switched off",
                json!({ "automated": { "enabled": false } }),
                json!({}),
                vec![drifted.clone()],
                fresh.clone(),
                "Nothing",
            ),
            (
                "stopped in the middle",
                all.clone(),
                left_running.clone(),
                vec![synced.clone()],
                fresh.clone(),
                "Now(false)",
            ),
            ("in sync", all.clone(), json!({}), vec![synced.clone()], fresh.clone(), "Nothing"),
            ("never synced", plain.clone(), json!({}), vec![drifted.clone()], fresh.clone(), "Now(false)"),
            (
                "another revision",
                plain.clone(),
                done("Succeeded", "c0"),
                vec![drifted.clone()],
                fresh.clone(),
                "Now(false)",
            ),
            (
                "drift without self-heal",
                plain.clone(),
                done("Succeeded", "c1"),
                vec![drifted.clone()],
                fresh.clone(),
                "Nothing",
            ),
            (
                "drift with self-heal",
                all.clone(),
                done("Succeeded", "c1"),
                vec![drifted.clone()],
                fresh.clone(),
                "Now(true)",
            ),
            ("two that fight", all.clone(), done("Succeeded", "c1"), vec![drifted.clone()], fought.clone(), "Later"),
            (
                "left Git, no prune",
                plain.clone(),
                json!({}),
                vec![synced.clone(), gone.clone()],
                fresh.clone(),
                "Nothing",
            ),
            ("left Git", all.clone(), json!({}), vec![synced.clone(), gone.clone()], fresh.clone(), "Now(false)"),
            ("left Git and stays", all.clone(), json!({}), vec![synced.clone(), kept], fresh.clone(), "Nothing"),
            ("everything left Git", all.clone(), json!({}), vec![gone.clone()], fresh.clone(), "Refused"),
            ("another's object", all.clone(), json!({}), vec![synced.clone(), shared], fresh.clone(), "Nothing"),
            ("failed just now", all.clone(), done("Running", "c1"), vec![drifted.clone()], failed(1, 1003), "Later"),
            (
                "failed a while ago",
                all.clone(),
                done("Running", "c1"),
                vec![drifted.clone()],
                failed(1, 999),
                "Now(false)",
            ),
            ("failed too often", all.clone(), done("Failed", "c1"), vec![drifted.clone()], failed(6, 1200), "Refused"),
            ("failed long ago", all.clone(), done("Failed", "c1"), vec![drifted.clone()], failed(6, 999), "Now(false)"),
            ("failed before a restart", all.clone(), done("Failed", "c1"), vec![drifted], fresh.clone(), "Now(false)"),
        ];
        for (name, policy, status, objects, memory, expected) in cases {
            let told = match due(&policy, &status, &objects, &memory) {
                Due::Nothing => "Nothing".to_owned(),
                Due::Later(_) => "Later".to_owned(),
                Due::Refused(_) => "Refused".to_owned(),
                Due::Now(request) => format!("Now({})", request.heals),
            };
            assert_eq!(told, expected, "{name}");
        }
    }

    #[test]
    fn pauses_grow_and_end() {
        let request = |limit: Option<i64>, automated: bool| Request {
            operation: Operation {
                initiated_by: Some(InitiatedBy { automated, ..InitiatedBy::default() }),
                retry: limit.map(|limit| RetryPolicy { limit: Some(limit), ..RetryPolicy::default() }),
                ..Operation::default()
            },
            heals: false,
            prune: false,
            dry_run: false,
            options: super::super::spec::Options::default(),
        };
        let now = Timestamp::from_second(0).unwrap();
        let mut memory = Memory::default();
        let pauses: Vec<_> = (0..7)
            .map(|_| remember(&mut memory, 1, &request(None, true), false, now).map(|pause| pause.as_secs()))
            .collect();
        assert_eq!(pauses, [Some(5), Some(10), Some(20), Some(40), Some(80), None, None]);
        assert_eq!(
            remember(&mut Memory::default(), 1, &request(None, false), false, now),
            None,
            "a person's sync is tried once"
        );
        assert_eq!(
            remember(&mut memory, 2, &request(Some(-1), true), false, now),
            Some(FIRST_PAUSE),
            "a new commit begins anew"
        );
        assert_eq!(remember(&mut memory, 2, &request(Some(-1), true), true, now), None);
        assert_eq!(memory.failures, 0);
    }
}
