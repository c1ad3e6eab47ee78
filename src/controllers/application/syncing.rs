//! One sync: what is forbidden or cannot be stops all of it before anything is done, what is needed goes first, and
//! nothing is pruned unless all of the rest went well.

use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use serde_json::json;

use super::{Applications, Compared, MANAGER, Memory, Verified, heals, several};
use crate::api::application::ResourceResult;
use crate::api::application::SYNC_OPTIONS;
use crate::cluster;
use crate::decide::application::desired::{Desired, has_option};
use crate::decide::application::spec::Spec;
use crate::decide::application::sync::Request;
use crate::decide::application::{Observed, SyncCode, order, project};
use crate::decide::status::application::{Outcome, UNCHANGED, result};
use crate::plan::{Change, Guard, Manifest, ObjectKey, ObjectRef};

/// A kind that was defined a moment ago is served within this time.
const NEW_KIND: Duration = Duration::from_secs(10);
/// How long a sync waits to see its own deletions in the watch.
const DELETIONS: Duration = Duration::from_secs(3);

impl Outcome {
    fn begun() -> Self {
        Self {
            phase: "Succeeded",
            message: "successfully synced (all tasks run)".to_owned(),
            results: Vec::new(),
            started: Timestamp::now(),
            retries: 0,
        }
    }

    /// It could not even begin.
    pub(super) fn error(message: String) -> Self {
        Self { phase: "Error", message, ..Self::begun() }
    }

    fn failed(mut self, message: &str) -> Self {
        let failures = self.results.iter().filter(|result| result.status == "SyncFailed");
        let first: Vec<_> =
            failures.take(3).map(|result| format!("{} {}: {}", result.kind, result.name, result.message)).collect();
        self.message = if first.is_empty() { message.to_owned() } else { format!("{message} ({})", first.join("; ")) };
        self.phase = "Failed";
        self
    }
}

/// What a sync is made of.
struct Work<'a> {
    spec: &'a Spec<'a>,
    request: &'a Request,
    compared: &'a Compared,
    /// To be applied, in order.
    apply: Vec<(&'a Observed, &'a Desired)>,
    /// To be deleted, in order.
    prune: Vec<&'a Observed>,
    /// The namespace that is to be made.
    namespace: Option<ObjectRef>,
}

impl Applications {
    /// Makes the cluster what Git declares.
    pub(super) async fn sync(
        &self,
        spec: &Spec<'_>,
        compared: &Compared,
        request: &Request,
        memory: &mut Memory,
    ) -> Outcome {
        let mut outcome = Outcome::begun();
        if !compared.may_be_synced() {
            let told: Vec<_> = compared.findings.iter().map(|finding| finding.message.as_str()).collect();
            return Outcome::error(told.join("; "));
        }
        outcome.results = refusals(compared, request);
        if !outcome.results.is_empty() {
            return outcome.failed("one or more synchronization tasks are not valid");
        }
        let work = match self.plan(spec, compared, request).await {
            Ok(work) => work,
            Err(results) => {
                outcome.results = results;
                return outcome.failed("one or more synchronization tasks are not valid");
            }
        };
        if request.dry_run {
            outcome.results = self.try_all(&work).await;
            outcome.message = "successfully synced (dry run)".to_owned();
            let failed = outcome.results.iter().any(|result| result.status == "SyncFailed");
            return if failed { outcome.failed("one or more objects failed to apply (dry run)") } else { outcome };
        }
        outcome.results = self.unknown_kinds(&work).await;
        if !outcome.results.is_empty() {
            return outcome.failed("one or more synchronization tasks are not valid");
        }
        outcome.results = self.apply_all(&work, memory).await;
        if outcome.results.iter().any(|result| result.status == "SyncFailed") {
            return outcome.failed("one or more objects failed to apply");
        }
        outcome.results.extend(self.prune_all(&work).await);
        if outcome.results.iter().any(|result| result.status == "SyncFailed") {
            return outcome.failed("one or more objects failed to be pruned");
        }
        outcome
    }

    async fn plan<'a>(
        &self,
        spec: &'a Spec<'a>,
        compared: &'a Compared,
        request: &'a Request,
    ) -> Result<Work<'a>, Vec<ResourceResult>> {
        let takes_over = !request.operation.initiated_by.as_ref().is_some_and(|by| by.automated);
        let mut apply: Vec<(&Observed, &Desired)> = compared
            .observed
            .iter()
            .filter(|object| {
                object.is_to_be_applied() || object.foreign.is_some() || (takes_over && object.shared_with.is_some())
            })
            .filter_map(|object| Some((object, compared.desire.objects.get(object.desired?)?)))
            .collect();
        apply.sort_by_cached_key(|(object, _)| order::key(object.wave, &object.object));
        let mut prune: Vec<&Observed> = compared.observed.iter().filter(|object| object.requires_pruning).collect();
        prune.sort_by_cached_key(|object| std::cmp::Reverse(order::key(object.wave, &object.object)));
        let mut work = Work { spec, request, compared, apply, prune, namespace: None };
        let object = ObjectRef {
            api_version: "v1".to_owned(),
            kind: "Namespace".to_owned(),
            key: ObjectKey::new("", spec.namespace),
        };
        let declared = work.apply.iter().any(|(_, desired)| desired.object == object);
        if request.options.create_namespace && !spec.namespace.is_empty() && !declared {
            match self.context.cluster.get(&object).await {
                Ok(Some(_)) => {}
                Ok(None) => match project::refusal(spec.project, &object, false) {
                    None => work.namespace = Some(object),
                    Some((_, message)) => return Err(vec![result(&object, "SyncFailed", message)]),
                },
                Err(error) => return Err(vec![result(&object, "SyncFailed", error.to_string())]),
            }
        }
        Ok(work)
    }

    /// Asks the API server what it would say. Objects whose namespace or kind comes with this very sync cannot be tried.
    async fn try_all(&self, work: &Work<'_>) -> Vec<ResourceResult> {
        let tries = work.apply.iter().map(|(_, desired)| self.try_one(work, desired).boxed()).collect();
        several(tries).await
    }

    async fn try_one(&self, work: &Work<'_>, desired: &Desired) -> ResourceResult {
        let namespace = &desired.object.key.namespace;
        let is_made = work.namespace.as_ref().is_some_and(|made| made.key.name == *namespace);
        let is_declared = |other: &Desired| other.object.kind == "Namespace" && other.object.key.name == *namespace;
        if is_made || work.apply.iter().any(|(_, other)| is_declared(other)) || defines(work, &desired.object) {
            return result(
                &desired.object,
                "Synced",
                "would be applied; it cannot be tried before what it needs is there",
            );
        }
        match self.context.cluster.dry_run(&desired.manifest, MANAGER).await {
            Ok(_) => result(&desired.object, "Synced", "would be applied (dry run)"),
            Err(error) => result(&desired.object, "SyncFailed", error.to_string()),
        }
    }

    /// Objects of kinds that neither the cluster knows nor this sync defines.
    async fn unknown_kinds(&self, work: &Work<'_>) -> Vec<ResourceResult> {
        let mut unknown = Vec::new();
        let may_fail = |desired: &Desired| {
            let own = desired.manifest.annotation(SYNC_OPTIONS);
            work.request.options.skip_unknown_kinds || has_option(own, "SkipDryRunOnMissingResource=true")
        };
        for (_, desired) in work.apply.iter().filter(|(_, desired)| !may_fail(desired)) {
            let kind = self.context.cluster.kind(&desired.object.api_version, &desired.object.kind).await;
            if let Err(error @ cluster::Error::UnknownKind { .. }) = kind
                && !defines(work, &desired.object)
            {
                unknown.push(result(&desired.object, "SyncFailed", error.to_string()));
            }
        }
        unknown
    }

    async fn apply_all(&self, work: &Work<'_>, memory: &mut Memory) -> Vec<ResourceResult> {
        let mut results = Vec::new();
        if let Some(namespace) = &work.namespace {
            let made = self.make_namespace(namespace).await;
            let failed = made.status == "SyncFailed";
            results.push(made);
            if failed {
                return results;
            }
        }
        if !work.request.heals {
            let unchanged = work.compared.observed.iter().filter(|object| object.sync == Some(SyncCode::Synced));
            results.extend(unchanged.map(|object| result(&object.object, "Synced", told(&object.object, UNCHANGED))));
        }
        // Objects of one rank do not need each other.
        let rank = |object: &Observed| {
            let (wave, rank, _, _) = order::key(object.wave, &object.object);
            (wave, rank)
        };
        let mut failed_in = None;
        for group in work.apply.chunk_by(|(a, _), (b, _)| rank(a) == rank(b)) {
            let wave = group.first().map(|(object, _)| object.wave);
            // A wave goes on without what failed in it; the next one may need it.
            if failed_in.is_some() && failed_in != wave {
                break;
            }
            let writes = group.iter().map(|(object, desired)| self.apply_one(work, object, desired).boxed());
            let written = several(writes.collect()).await;
            for ((_, desired), (result, verified)) in group.iter().zip(written) {
                if result.status == "SyncFailed" {
                    failed_in = wave;
                }
                results.push(result);
                match verified {
                    Some(verified) => drop(memory.verified.insert(desired.object.clone(), verified)),
                    None => drop(memory.verified.remove(&desired.object)),
                }
            }
        }
        results
    }

    async fn make_namespace(&self, namespace: &ObjectRef) -> ResourceResult {
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace.key.name } });
        let Ok(manifest) = Manifest::new(object) else {
            return result(namespace, "SyncFailed", "it has no name");
        };
        match self.context.cluster.carry_out(&Change::Create { manifest, manager: MANAGER.to_owned() }).await {
            Ok(_) | Err(cluster::Error::AlreadyExists(_)) => result(namespace, "Synced", told(namespace, "created")),
            Err(error) => result(namespace, "SyncFailed", error.to_string()),
        }
    }

    async fn apply_one(
        &self,
        work: &Work<'_>,
        object: &Observed,
        desired: &Desired,
    ) -> (ResourceResult, Option<Verified>) {
        let change = Change::Apply { manifest: desired.manifest.clone(), manager: MANAGER.to_owned(), guard: None };
        let started = std::time::Instant::now();
        let mut written = self.context.cluster.carry_out(&change).await;
        while matches!(written, Err(cluster::Error::UnknownKind { .. } | cluster::Error::NotFound(_)))
            && defines(work, &desired.object)
            && started.elapsed() < NEW_KIND
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.context.cluster.forget_kind(&desired.object.api_version, &desired.object.kind);
            written = self.context.cluster.carry_out(&change).await;
        }
        let mut stored = match written {
            Ok(written) => written.stored,
            Err(error) => {
                if matches!(error, cluster::Error::NotFound(_)) {
                    // Its definition may have gone, or come anew with another scope.
                    self.context.cluster.forget_kind(&desired.object.api_version, &desired.object.kind);
                }
                return (result(&desired.object, "SyncFailed", error.to_string()), None);
            }
        };
        if let (Some((pointers, _)), Some(live)) = (&object.foreign, &stored) {
            let guard = Guard { uid: live.uid().to_owned(), resource_version: live.resource_version().to_owned() };
            // The apply may have moved what the pointers named: they are found anew.
            let pointers_now = crate::decide::application::foreign::pointers(live);
            let change = Change::RemoveFields {
                object: desired.object.clone(),
                pointers: pointers_now,
                manager: MANAGER.to_owned(),
                guard,
            };
            match self.context.cluster.carry_out(&change).await {
                Ok(written) => stored = written.stored,
                Err(error) => {
                    let message = format!("{} fields that were added by hand stay: {error}", pointers.len());
                    return (result(&desired.object, "SyncFailed", message), None);
                }
            }
        }
        let verified = stored.map(|live| Verified::of(desired, &live, SyncCode::Synced, heals(work.spec)));
        (result(&desired.object, "Synced", told(&desired.object, "serverside-applied")), verified)
    }

    async fn prune_all(&self, work: &Work<'_>) -> Vec<ResourceResult> {
        let mut results = Vec::new();
        let mut gone = Vec::new();
        for object in &work.prune {
            if !work.request.prune {
                results.push(result(&object.object, "PruneSkipped", "ignored (requires pruning)"));
                continue;
            }
            if object.keeps || work.request.options.keep_all {
                results.push(result(&object.object, "PruneSkipped", "ignored (no prune)"));
                continue;
            }
            let propagation = work.request.options.propagation;
            let change = Change::Delete { object: object.object.clone(), uid: object.uid.clone(), propagation };
            results.push(match self.context.cluster.carry_out(&change).await {
                Ok(_) => {
                    gone.push(&object.object);
                    result(&object.object, "Pruned", "pruned")
                }
                Err(error) => result(&object.object, "SyncFailed", error.to_string()),
            });
        }
        let started = std::time::Instant::now();
        while gone.iter().any(|object| self.live.get(object).is_some()) && started.elapsed() < DELETIONS {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        results
    }
}

/// Objects that stand in the way of the whole: then nothing is applied.
fn refusals(compared: &Compared, request: &Request) -> Vec<ResourceResult> {
    let failed = |object: &Observed, message: &str| result(&object.object, "SyncFailed", message);
    compared
        .observed
        .iter()
        .filter(|object| object.desired.is_some())
        .filter_map(|object| {
            if let Some(message) = &object.forbidden {
                return Some(failed(object, message));
            }
            if object.object.key.name.is_empty() {
                let desired = compared.desire.objects.get(object.desired?)?;
                let written = desired.manifest.fields().get("metadata").and_then(|metadata| metadata.get("name"));
                return Some(match written {
                    Some(name) if !name.is_string() && !name.is_null() => {
                        failed(object, &format!("metadata.name in {} is no text: put it in quotes", desired.file))
                    }
                    _ => failed(object, &format!("resource name may not be empty (in {})", desired.file)),
                });
            }
            match &object.shared_with {
                Some(theirs) if request.options.fail_on_shared => {
                    Some(failed(object, &format!("it is part of Application {theirs}, too")))
                }
                _ => None,
            }
        })
        .collect()
}

/// Whether the same sync brings the CustomResourceDefinition of an object's kind.
fn defines(work: &Work<'_>, object: &ObjectRef) -> bool {
    work.compared.desire.objects.iter().any(|desired| {
        let spec = desired.manifest.fields().get("spec");
        desired.object.kind == "CustomResourceDefinition"
            && spec.is_some_and(|spec| spec["group"] == object.group() && spec["names"]["kind"] == object.kind.as_str())
    })
}

fn told(object: &ObjectRef, verb: &str) -> String {
    format!("{}/{} {verb}", object.kind.to_lowercase(), object.key.name)
}
