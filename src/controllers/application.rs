//! Application: from a commit to objects, and back to what Git says when somebody changes them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use kube::api::ObjectMeta;
use serde_json::{Value, json};

use super::repositories::{self, Repositories, Target};
use super::{Armed, Context, Failure, Reconcile, Stores, drive};
use crate::address::normalise;
use crate::api::app_project::DEFAULT;
use crate::api::application::{
    Application, FINALIZER, HistoryEntry, OperationState, REFRESH, SKIP_RECONCILE, TRACKING_ID,
};
use crate::api::doorbell;
use crate::cluster::{self, Live, Scope, Seen, Watched};
use crate::decide::application::desired::{self, Belonging, Desire, Desired};
use crate::decide::application::health::{self, Health};
use crate::decide::application::prune::{self, Claim};
use crate::decide::application::spec::{self, Bounds, Spec};
use crate::decide::application::sync::{self, Due, Request};
use crate::decide::application::{
    COMPARISON, DELETION, Finding, INVALID_SPEC, Observed, SHARED, SYNC, SyncCode, UNSUPPORTED, diff, foreign, order,
    project, tracking,
};
use crate::decide::status::application::{self as status, Comparison, Outcome};
use crate::error::{Classify, Retry};
use crate::plan::{Change, Manifest, Next, Note, ObjectKey, ObjectRef, Propagation, Verdict};
use crate::scheduler::{Class, Scheduler};

mod syncing;

/// Field manager of what Applications apply: Argo CD's, so that a hand-over moves no field (D9).
const MANAGER: &str = "argocd-controller";
/// Objects of one Application that are looked at, or written, at a time.
const AT_A_TIME: usize = 16;
/// An object that changes this often while it is compared is told as out of sync.
const VERSIONS: usize = 5;
/// Without any event an Application is looked at again after this time: watches tell everything else.
const RESYNC: Duration = Duration::from_secs(600);
/// How long a deletion waits before it looks whether everything is gone, without an event.
const DELETION_PAUSE: Duration = Duration::from_secs(2);

struct Applications {
    context: Context,
    stores: Stores,
    repositories: Arc<Repositories>,
    live: Live,
    memory: Mutex<HashMap<ObjectKey, Memory>>,
}

/// What this process knows of one Application beyond its status.
#[derive(Default)]
struct Memory {
    sync: sync::Memory,
    verified: HashMap<ObjectRef, Verified>,
    /// How the last sync ended, in case its status could not be written.
    concluded: Option<(OperationState, Vec<HistoryEntry>)>,
}

/// An object as it was compared: it holds for this version of it and this manifest.
#[derive(Clone)]
struct Verified {
    desired: u64,
    uid: String,
    resource_version: String,
    sync: SyncCode,
    health: Option<Health>,
    foreign: Option<(Vec<String>, String)>,
}

/// What Git declares, beside what runs.
struct Compared {
    desire: Desire,
    observed: Vec<Observed>,
    listed: Vec<ObjectRef>,
    findings: Vec<Finding>,
}

/// What can go wrong that is neither Git's nor the spec's fault.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
}

impl Classify for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Cluster(error) => error.reason(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Cluster(error) => error.retry(),
        }
    }
}

/// Registers the watches and hands back the work: reconciles, and the poll of all remotes.
pub(super) fn arm(context: &Context, stores: &Stores) -> Armed {
    context.need(&stores.applications);
    context.need(&stores.projects);
    context.need(&stores.doorbells);
    let queue = Scheduler::default();
    let (hints, rung) = tokio::sync::mpsc::unbounded_channel();
    wake_by_applications(stores, &queue);
    wake_by_projects(stores, &queue);
    wake_by_doorbell(stores, hints);
    let settings = &context.settings;
    let control_namespace = control_namespace(context);
    let repositories = Arc::new(Repositories::new(&context.cluster, &control_namespace, &settings.cache_dir));
    let live = Live::new(&context.cluster, context.stop.clone(), {
        let (queue, applications) = (queue.clone(), stores.applications.clone());
        move |seen, object, metadata| wake_by_object(&queue, &applications, &control_namespace, seen, object, metadata)
    });
    let controller = Arc::new(Applications {
        context: context.clone(),
        stores: stores.clone(),
        repositories: Arc::clone(&repositories),
        live,
        memory: Mutex::default(),
    });
    let (context, applications) = (context.clone(), stores.applications.clone());
    Box::pin(async move {
        controller.prepare(&queue).await;
        let polling = poll(context.clone(), applications, repositories, queue.clone(), rung);
        futures::join!(drive(context, controller, queue), polling);
    })
}

/// Namespace of projects and repository Secrets.
fn control_namespace(context: &Context) -> String {
    context.settings.application_namespaces.first().cloned().unwrap_or_else(|| "argocd".to_owned())
}

fn wake_by_applications(stores: &Stores, queue: &Scheduler) {
    let (queue, all) = (queue.clone(), stores.applications.clone());
    stores.applications.on_seen(move |seen, key, object| match seen {
        Seen::Listed => {
            let asks = object
                .0
                .as_ref()
                .is_ok_and(|application| application.operation.is_some() || application.status.is_none());
            queue.push(key.clone(), if asks { Class::Changed } else { Class::Backlog });
        }
        Seen::Made => queue.push(key.clone(), Class::New),
        Seen::Changed => queue.push(key.clone(), Class::Changed),
        Seen::Gone => {
            queue.push(key.clone(), Class::Changed);
            wake_sharers(&queue, &all);
        }
        Seen::Touched => {}
    });
}

/// What another Application held may be free now.
fn wake_sharers(queue: &Scheduler, applications: &Watched<Application>) {
    for object in applications.all() {
        let Ok(application) = &object.0 else { continue };
        let conditions = application.status.iter().flat_map(|status| &status.conditions);
        if conditions.into_iter().any(|condition| condition.type_ == SHARED) {
            queue.push(key_of(application), Class::Woken);
        }
    }
}

fn wake_by_projects(stores: &Stores, queue: &Scheduler) {
    let (queue, applications) = (queue.clone(), stores.applications.clone());
    stores.projects.on_seen(move |seen, key, _| {
        if matches!(seen, Seen::Listed | Seen::Touched) {
            return;
        }
        for object in applications.all() {
            if let Ok(application) = &object.0
                && spec::project_name(application) == key.name
            {
                queue.push(key_of(application), Class::Woken);
            }
        }
    });
}

fn wake_by_doorbell(stores: &Stores, hints: tokio::sync::mpsc::UnboundedSender<String>) {
    let heard = Mutex::new(HashSet::new());
    stores.doorbells.on_seen(move |seen, _, object| {
        let Ok(doorbell) = &object.0 else { return };
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        let now: HashSet<_> = doorbell.spec.hints.iter().cloned().collect();
        for hint in now.difference(&heard).filter(|_| seen != Seen::Listed) {
            if let Some(repository) = &hint.repository {
                // Nobody listens while another replica leads.
                let _ = hints.send(repository.clone());
            }
        }
        *heard = now;
    });
}

fn wake_by_object(
    queue: &Scheduler,
    applications: &Watched<Application>,
    control_namespace: &str,
    seen: Seen,
    object: &ObjectRef,
    metadata: &ObjectMeta,
) {
    if seen == Seen::Listed {
        return;
    }
    let id = metadata.annotations.as_ref().and_then(|annotations| annotations.get(TRACKING_ID));
    let Some((instance, _)) = id.and_then(|id| tracking::read(id, object)) else { return };
    let key = tracking::application(instance, control_namespace);
    if applications.get(&key).is_some() {
        queue.push(key, Class::Woken);
    }
    if seen == Seen::Gone {
        wake_sharers(queue, applications);
    }
}

/// Asks all remotes now and then, and one at once when the doorbell rings for it.
async fn poll(
    context: Context,
    applications: Watched<Application>,
    repositories: Arc<Repositories>,
    queue: Scheduler,
    mut rung: tokio::sync::mpsc::UnboundedReceiver<String>,
) {
    loop {
        let only = tokio::select! {
            () = context.stop.cancelled() => return,
            hint = rung.recv() => match hint {
                Some(repository) => Some(normalise(&repository)),
                None => return,
            },
            () = tokio::time::sleep(context.settings.git_poll) => None,
        };
        let all: Vec<Application> =
            applications.all().iter().filter_map(|object| object.0.as_ref().ok().cloned()).collect();
        let Some(moved) = context.stop.run_until_cancelled(repositories.poll(&all, only.as_deref())).await else {
            return;
        };
        for key in moved {
            queue.push(key, Class::Woken);
        }
    }
}

impl Reconcile for Applications {
    type Kind = Application;
    type Error = Error;
    const NAME: &'static str = "applications";
    const STATUS_SUBRESOURCE: bool = false;

    fn store(&self) -> &Watched<Application> {
        &self.stores.applications
    }

    async fn reconcile(&self, application: &Application, _: Class) -> Result<Verdict, Error> {
        let annotation = |name: &str| application.metadata.annotations.as_ref().and_then(|all| all.get(name));
        if annotation(SKIP_RECONCILE).is_some_and(|skip| skip == "true") {
            return Ok(Verdict::silent(Next::OnChange));
        }
        let mut memory = self.take_memory(application);
        let application = &with_concluded(application, &memory);
        let verdict = if application.metadata.deletion_timestamp.is_some() {
            self.take_down(application).await
        } else {
            self.bring_up(application, &mut memory).await
        };
        self.lock_memory().insert(key_of(application), memory);
        verdict
    }

    fn failed(&self, application: &Application, failure: &Failure) -> (Value, Option<Note>) {
        let status = status::failed(application, &failure.message, Timestamp::now());
        (serde_json::to_value(status).unwrap_or_default(), Some(warning(COMPARISON, &failure.message)))
    }

    fn broken(failure: &Failure) -> Value {
        serde_json::to_value(status::broken(&failure.message, Timestamp::now())).unwrap_or_default()
    }

    fn gone(&self, key: &ObjectKey) {
        self.lock_memory().remove(key);
        self.repositories.forget(key);
    }
}

impl Applications {
    /// What the holder of the Lease sees to before anything else.
    async fn prepare(&self, queue: &Scheduler) {
        let cluster = &self.context.cluster;
        let control_namespace = control_namespace(&self.context);
        let default_project = ObjectKey::new(&control_namespace, DEFAULT);
        let doorbell = ObjectKey::new(cluster.namespace(), doorbell::NAME);
        let mut made = Vec::new();
        if self.stores.projects.get(&default_project).is_none() {
            made.push(cluster.make_default_project(&control_namespace).await);
        }
        if self.stores.doorbells.get(&doorbell).is_none() {
            made.push(cluster.make_doorbell().await);
        }
        for error in made.into_iter().filter_map(Result::err) {
            tracing::warn!(%error, "something that should stand could not be made");
        }
        // Specs that nobody has handled go before the backlog (D14).
        for object in self.stores.applications.all() {
            let Ok(application) = &object.0 else { continue };
            let record = application.status.as_ref().and_then(|status| status.chancery.as_ref());
            if let Ok(now) = self.spec_digest(application).await
                && record.is_none_or(|record| record.observed_spec != now)
            {
                queue.push(key_of(application), Class::Changed);
            }
        }
    }

    /// Brings an Application up to date.
    async fn bring_up(&self, application: &Application, memory: &mut Memory) -> Result<Verdict, Error> {
        let control_namespace = control_namespace(&self.context);
        let project_key = ObjectKey::new(&control_namespace, spec::project_name(application));
        let project = self.stores.projects.find(&project_key);
        let namespaces = match self.context.cluster.scope() {
            Scope::All => None,
            Scope::Namespaces(names) => Some(names.as_slice()),
        };
        let bounds = Bounds { control_namespace: &control_namespace, namespaces };
        let spec = match spec::read(application, project.as_ref(), bounds) {
            Ok(spec) => spec,
            Err(findings) => {
                let note = findings.first().map(|finding| warning(finding.kind, &finding.message));
                let status = status::invalid(application, findings, Timestamp::now());
                return self.conclude(application, status, note, Next::OnChange, true).await;
            }
        };
        let asked = sync::asked(application);
        if asked.is_some() && !self.is_still_asked(application).await? {
            // The watch has not told us yet that it was done, or taken back.
            return Ok(Verdict::silent(Next::OnChange));
        }
        let fresh = asked.is_some() || is_refreshed(application);
        let target = match self.repositories.read(application, spec.source, None, fresh).await {
            Ok(target) => target,
            Err(error) => return self.uncomparable(application, error).await,
        };
        let mut compared = self.compare(&spec, &target, memory, false).await?;

        let fingerprint = fingerprint(&target.revision, application, &spec);
        let due = match asked {
            Some(Ok(request)) => match sync::asked_pause(&memory.sync, fingerprint, Timestamp::now()) {
                Some(pause) => Due::Later(pause),
                None => Due::Now(Box::new(request)),
            },
            Some(Err(why)) => {
                let status = self.status_of(application, &target, &compared);
                let operation = application.operation.clone().unwrap_or_default();
                let status = status::refused(status, &operation, &why, Timestamp::now());
                let note = Some(warning("OperationCompleted", &why));
                return self.conclude(application, status, note, Next::After(RESYNC), true).await;
            }
            None if !compared.may_be_synced() => Due::Nothing,
            None => {
                let now = Timestamp::now();
                sync::automated(
                    application,
                    &spec,
                    &target.revision,
                    &compared.observed,
                    &memory.sync,
                    fingerprint,
                    now,
                )
            }
        };
        match due {
            Due::Nothing | Due::Later(_) | Due::Refused(_) => {
                let next = match &due {
                    Due::Later(pause) => Next::After(*pause),
                    _ => Next::After(RESYNC),
                };
                let note = match due {
                    Due::Refused(finding) => {
                        let note = warning("OperationCompleted", &finding.message);
                        compared.findings.push(finding);
                        Some(note)
                    }
                    _ => None,
                };
                let status = self.status_of(application, &target, &compared);
                let handled = application.operation.is_none();
                self.conclude(application, status, note, next, handled).await
            }
            Due::Now(request) => {
                self.sync_and_tell(application, &spec, target, compared, &request, fingerprint, memory).await
            }
        }
    }

    /// Whether the operation that the watch told us of still stands: it is run once, and the watch may lag behind our
    /// own write that took it away.
    async fn is_still_asked(&self, application: &Application) -> Result<bool, Error> {
        let object = ObjectRef {
            api_version: "argoproj.io/v1alpha1".to_owned(),
            kind: "Application".to_owned(),
            key: key_of(application),
        };
        let now = self.context.cluster.get(&object).await?;
        Ok(now.is_some_and(|now| now.fields().get("operation").is_some_and(|operation| !operation.is_null())))
    }

    /// Syncs, compares again, and tells both.
    #[expect(clippy::too_many_arguments, reason = "the parts of one reconcile, each made by a step of it")]
    async fn sync_and_tell(
        &self,
        application: &Application,
        spec: &Spec<'_>,
        target: Target,
        compared: Compared,
        request: &Request,
        fingerprint: u64,
        memory: &mut Memory,
    ) -> Result<Verdict, Error> {
        let wanted =
            request.operation.sync.as_ref().map(|sync| sync.revision.as_str()).filter(|revision| !revision.is_empty());
        let elsewhere = wanted.filter(|wanted| *wanted != target.revision);
        let (revision, outcome) = match elsewhere {
            None => (target.revision.clone(), self.sync(spec, &compared, request, memory).await),
            Some(revision) => match self.repositories.read(application, spec.source, Some(revision), false).await {
                Ok(other) => {
                    let compared = self.compare(spec, &other, memory, false).await?;
                    (other.revision.clone(), self.sync(spec, &compared, request, memory).await)
                }
                Err(error) => (revision.to_owned(), Outcome::error(error.to_string())),
            },
        };
        let succeeded = outcome.phase == "Succeeded";
        let pause = sync::remember(&mut memory.sync, fingerprint, request, succeeded, Timestamp::now());
        let retries = memory.sync.failures.saturating_sub(1);
        let outcome = match pause {
            Some(pause) => Outcome {
                phase: "Running",
                message: format!(
                    "{} Retrying attempt #{} in {} s.",
                    outcome.message,
                    memory.sync.failures,
                    pause.as_secs()
                ),
                retries,
                ..outcome
            },
            None => Outcome { retries, ..outcome },
        };

        let target = self.repositories.read(application, spec.source, None, false).await.unwrap_or(target);
        let mut compared = self.compare(spec, &target, memory, true).await?;
        let is_automated = application.operation.is_none();
        if outcome.phase == "Failed" && is_automated {
            let message = format!("Failed last sync attempt to {revision}: {}", outcome.message);
            compared.findings.push(Finding::new(SYNC, message));
        }
        let now = Timestamp::now();
        let status = self.status_of(application, &target, &compared);
        let status = status::synced(status, application, request, &outcome, &revision, now);
        memory.concluded = status.operation_state.clone().map(|state| (state, status.history.clone()));
        let note = Note {
            warning: !succeeded,
            reason: "OperationCompleted".to_owned(),
            message: format!("Sync operation to {revision}: {}", outcome.message),
        };
        let next = Next::After(pause.unwrap_or(RESYNC));
        self.conclude(application, status, Some(note), next, pause.is_none()).await
    }

    /// Compares what Git declares with what runs.
    ///
    /// `trusted` says that what was written a moment ago is taken as it was written: the watch will tell of anything later.
    async fn compare(
        &self,
        spec: &Spec<'_>,
        target: &Target,
        memory: &mut Memory,
        trusted: bool,
    ) -> Result<Compared, Error> {
        let rendered = &target.rendered.objects;
        let mut kinds: BTreeSet<(String, String)> = rendered
            .iter()
            .map(|located| (located.manifest.api_version().to_owned(), located.manifest.kind().to_owned()))
            .collect();
        let mut scopes = HashMap::new();
        for (api_version, kind) in &kinds {
            match self.context.cluster.kind(api_version, kind).await {
                Ok(known) => drop(scopes.insert((api_version.clone(), kind.clone()), known.namespaced)),
                Err(cluster::Error::UnknownKind { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut coming = scopes.clone();
        coming.extend(rendered.iter().flat_map(|located| desired::defined(&located.manifest)));
        let instance = tracking::instance(&spec.key, &control_namespace(&self.context));
        let mut desire = desired::desire(
            rendered.iter().map(|located| (located.file.as_str(), &located.manifest)),
            Belonging { instance: &instance, namespace: spec.namespace },
            |api_version, kind| coming.get(&(api_version.to_owned(), kind.to_owned())).copied(),
        );
        if let Some(application) = self.stores.applications.find(&spec.key) {
            kinds.extend(status::kinds(&application));
        }
        for (api_version, kind) in &kinds {
            match self.live.follow(api_version, kind).await {
                Ok(()) | Err(cluster::Error::UnknownKind { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let known = std::mem::take(&mut memory.verified);
        let looks = desire.objects.iter().enumerate().map(|(index, desired)| {
            let is_known = scopes.contains_key(&(desired.object.api_version.clone(), desired.object.kind.clone()));
            let before = known.get(&desired.object);
            self.observe(spec, desired, index, &instance, is_known, before, trusted).boxed()
        });
        let mut observed = Vec::with_capacity(desire.objects.len());
        for look in several(looks.collect()).await {
            let (object, verified) = look?;
            if let Some(verified) = verified {
                memory.verified.insert(object.object.clone(), verified);
            }
            observed.push(object);
        }
        let mut findings = std::mem::take(&mut desire.findings);
        findings.extend(observed.iter().filter_map(|object| {
            let theirs = object.shared_with.as_ref()?;
            let message = format!(
                "{}/{} is part of applications {} and {theirs}",
                object.object.kind, object.object.key.name, instance
            );
            Some(Finding::new(SHARED, message))
        }));
        if !spec.unsupported.is_empty() {
            let message = format!("not honoured by this version: {}", spec.unsupported.join(", "));
            findings.push(Finding::new(UNSUPPORTED, message));
        }
        if !desire.hooks.is_empty() {
            let hooks: Vec<_> = desire.hooks.iter().take(10).map(ToString::to_string).collect();
            let message = format!("hooks are not run by this version, so nothing is synced: {}", hooks.join(", "));
            findings.push(Finding::new(UNSUPPORTED, message));
        }
        let mut listed: Vec<ObjectRef> = desire.hooks.iter().chain(&desire.skipped).cloned().collect();
        self.find_what_left(spec, &desire, &instance, &mut observed, &mut listed).await?;
        Ok(Compared { desire, observed, listed, findings })
    }

    /// Looks at one desired object: at what the watch says when that is enough, at the object itself otherwise.
    #[expect(clippy::too_many_arguments, reason = "one look, and all that it depends on")]
    async fn observe(
        &self,
        spec: &Spec<'_>,
        desired: &Desired,
        index: usize,
        instance: &str,
        is_known: bool,
        before: Option<&Verified>,
        trusted: bool,
    ) -> Result<(Observed, Option<Verified>), Error> {
        let mut object = Observed {
            object: desired.object.clone(),
            desired: Some(index),
            uid: None,
            sync: Some(SyncCode::OutOfSync),
            health: None,
            forbidden: None,
            shared_with: None,
            requires_pruning: false,
            extraneous: false,
            keeps: false,
            foreign: None,
            wave: desired.wave,
        };
        let refusal = project::refusal(spec.project, &desired.object, desired.namespaced);
        let refusal = refusal.or_else(|| {
            let settings = &self.context.settings;
            project::privilege(&desired.manifest, self.context.cluster.namespace(), &settings.application_namespaces)
                .map(|message| (SyncCode::Unknown, message))
        });
        if let Some((sync, message)) = refusal {
            object.sync = Some(sync);
            object.forbidden = Some(message);
            return Ok((object, None));
        }
        let is_placed = !desired.namespaced || !desired.object.key.namespace.is_empty();
        if !is_known || !is_placed || desired.object.key.name.is_empty() {
            return Ok((object, None));
        }
        let seen = self.live.get(&desired.object).and_then(|metadata| metadata.resource_version.clone());
        if let Some(verified) = before
            && verified.desired == desired.hash
            && (trusted || seen.as_ref() == Some(&verified.resource_version))
        {
            object.take(verified);
            return Ok((object, Some(verified.clone())));
        }
        let Some(live) = self.context.cluster.get(&desired.object).await? else {
            return Ok((object, None));
        };
        if let Some(theirs) = self.other_application(&live, &desired.object, instance) {
            object.uid = Some(live.uid().to_owned());
            object.health = health::of(&live);
            object.shared_with = Some(theirs);
            return Ok((object, None));
        }
        let Some((live, sync)) = self.tried(desired, live).await? else { return Ok((object, None)) };
        let verified = Verified::of(desired, &live, sync, heals(spec));
        object.take(&verified);
        Ok((object, Some(verified)))
    }

    /// Compares an object with what an apply would make of it: of this very version, because somebody else may write
    /// between the two requests. None when it went meanwhile.
    async fn tried(&self, desired: &Desired, mut live: Manifest) -> Result<Option<(Manifest, SyncCode)>, Error> {
        for _ in 0..VERSIONS {
            let predicted = match self.context.cluster.dry_run(&desired.manifest, MANAGER).await {
                Ok(predicted) => predicted,
                // The sync will tell it.
                Err(
                    cluster::Error::Invalid { .. }
                    | cluster::Error::Forbidden(_)
                    | cluster::Error::NamespaceTerminating(_)
                    | cluster::Error::NotFound(_),
                ) => return Ok(Some((live, SyncCode::OutOfSync))),
                Err(error) => return Err(error.into()),
            };
            if diff::same(&live, &predicted) {
                return Ok(Some((live, SyncCode::Synced)));
            }
            match self.context.cluster.get(&desired.object).await? {
                Some(now) if now.resource_version() == live.resource_version() => break,
                Some(now) => live = now,
                None => return Ok(None),
            }
        }
        Ok(Some((live, SyncCode::OutOfSync)))
    }

    /// Adds what is ours and no longer in Git, and lists copies.
    async fn find_what_left(
        &self,
        spec: &Spec<'_>,
        desire: &Desire,
        instance: &str,
        observed: &mut Vec<Observed>,
        listed: &mut Vec<ObjectRef>,
    ) -> Result<(), Error> {
        let identity = |object: &ObjectRef| (object.group().to_owned(), object.kind.clone(), object.key.clone());
        let declared: HashSet<_> = desire
            .objects
            .iter()
            .map(|desired| &desired.object)
            .chain(&desire.hooks)
            .chain(&desire.skipped)
            .map(identity)
            .collect();
        for (object, metadata) in self.live.all() {
            if declared.contains(&identity(&object)) {
                continue;
            }
            match prune::claim(&object, &metadata, instance) {
                Claim::Foreign => {}
                Claim::Copied => listed.push(object),
                Claim::Managed { keeps, extraneous, .. } => {
                    let namespaced = !object.key.namespace.is_empty();
                    // What the project does not permit is not this Application's to delete.
                    if project::refusal(spec.project, &object, namespaced).is_some() {
                        continue;
                    }
                    let live = if health::has_rule(&object) { self.context.cluster.get(&object).await? } else { None };
                    observed.push(Observed {
                        health: live.as_ref().and_then(health::of),
                        uid: metadata.uid.clone(),
                        desired: None,
                        sync: Some(SyncCode::OutOfSync),
                        forbidden: None,
                        shared_with: None,
                        requires_pruning: true,
                        extraneous,
                        keeps,
                        foreign: None,
                        wave: 0,
                        object,
                    });
                }
            }
        }
        Ok(())
    }

    /// The other Application that an object belongs to, if that one is there and stays.
    fn other_application(&self, live: &Manifest, object: &ObjectRef, instance: &str) -> Option<String> {
        let (theirs, own) = tracking::read(live.annotation(TRACKING_ID)?, object)?;
        if theirs == instance || !own {
            return None;
        }
        let other = self.stores.applications.find(&tracking::application(theirs, &control_namespace(&self.context)))?;
        other.metadata.deletion_timestamp.is_none().then(|| theirs.to_owned())
    }

    /// Deletes what an Application manages when it is to go with it, and lets the Application go then.
    async fn take_down(&self, application: &Application) -> Result<Verdict, Error> {
        let finalizers = application.metadata.finalizers.clone().unwrap_or_default();
        let Some(finalizer) = finalizers
            .iter()
            .find(|finalizer| finalizer.split("/").next() == Some(FINALIZER) || finalizer.starts_with(FINALIZER))
        else {
            return Ok(Verdict::silent(Next::OnChange));
        };
        let propagation =
            if finalizer.ends_with("/background") { Propagation::Background } else { Propagation::Foreground };
        for (api_version, kind) in status::kinds(application) {
            match self.live.follow(&api_version, &kind).await {
                Ok(()) | Err(cluster::Error::UnknownKind { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let instance = tracking::instance(&key_of(application), &control_namespace(&self.context));
        let project = self
            .stores
            .projects
            .find(&ObjectKey::new(control_namespace(&self.context), spec::project_name(application)));
        let permitted = |object: &ObjectRef| {
            project
                .as_ref()
                .is_some_and(|project| project::refusal(project, object, !object.key.namespace.is_empty()).is_none())
        };
        let mut left: Vec<_> = self
            .live
            .all()
            .into_iter()
            .filter(|(object, metadata)| {
                matches!(prune::claim(object, metadata, &instance), Claim::Managed { outlives: false, .. })
                    && permitted(object)
            })
            .collect();
        if left.is_empty() {
            let rest: Vec<_> = finalizers.iter().filter(|known| *known != finalizer).collect();
            let also =
                json!({ "metadata": { "finalizers": rest, "resourceVersion": application.metadata.resource_version } });
            return Ok(Verdict { also: Some(also), ..Verdict::silent(Next::OnChange) });
        }
        left.sort_by_cached_key(|(object, _)| std::cmp::Reverse(order::key(0, object)));
        let mut findings = Vec::new();
        for (object, metadata) in left.iter().filter(|(_, metadata)| metadata.deletion_timestamp.is_none()) {
            let change = Change::Delete { object: object.clone(), uid: metadata.uid.clone(), propagation };
            if let Err(error) = self.context.cluster.carry_out(&change).await {
                findings.push(Finding::new(DELETION, error.to_string()));
            }
        }
        if findings.is_empty() {
            return Ok(Verdict::silent(Next::After(DELETION_PAUSE)));
        }
        let note = findings.first().map(|finding| warning(finding.kind, &finding.message));
        let status = status::invalid(application, findings, Timestamp::now());
        Ok(Verdict::told(serde_json::to_value(status).ok(), note, Next::Backoff))
    }

    async fn uncomparable(&self, application: &Application, error: repositories::Error) -> Result<Verdict, Error> {
        let retry = match &error {
            repositories::Error::Cluster(error) => return Err(error.clone().into()),
            repositories::Error::Git(error) => error.retry(),
            repositories::Error::Interrupted => Retry::Backoff,
        };
        let next = match retry {
            // The poll asks again, and wakes us when the answer is another one.
            Retry::Backoff | Retry::OnChange => Next::After(RESYNC),
            Retry::After(pause) => Next::After(pause),
        };
        let message = format!("Failed to load target state: failed to generate manifest for source 1 of 1: {error}");
        let note = Some(warning(COMPARISON, &message));
        let now = Timestamp::now();
        let mut status = status::uncomparable(application, Finding::new(COMPARISON, &message), now);
        if let Some(operation) = &application.operation {
            status = status::refused(status, operation, &message, now);
        }
        self.conclude(application, status, note, next, true).await
    }

    fn status_of(
        &self,
        application: &Application,
        target: &Target,
        compared: &Compared,
    ) -> crate::api::application::ApplicationStatus {
        let comparison = Comparison {
            revision: &target.revision,
            observed: &compared.observed,
            listed: &compared.listed,
            findings: &compared.findings,
        };
        status::compared(application, &comparison, Timestamp::now())
    }

    /// The verdict with everything that belongs to it: our record, and the requests that were handled.
    async fn conclude(
        &self,
        application: &Application,
        status: crate::api::application::ApplicationStatus,
        note: Option<Note>,
        next: Next,
        operation_is_done: bool,
    ) -> Result<Verdict, Error> {
        let digest = self.spec_digest(application).await?;
        let status = status::recorded(status, digest, self.context.cluster.namespace());
        let mut also = json!({});
        if is_refreshed(application) {
            also["metadata"] = json!({ "annotations": { REFRESH: null } });
        }
        if application.operation.is_some() && operation_is_done {
            also["operation"] = Value::Null;
        }
        let also = also.as_object().is_some_and(|fields| !fields.is_empty()).then(|| {
            also["metadata"]["resourceVersion"] = json!(application.metadata.resource_version);
            also
        });
        Ok(Verdict { also, ..Verdict::told(serde_json::to_value(status).ok(), note, next) })
    }

    async fn spec_digest(&self, application: &Application) -> Result<String, Error> {
        let spec = serde_json::to_vec(&application.spec).unwrap_or_default();
        Ok(self.context.digester().await?.digest("application-spec", [spec]))
    }

    fn take_memory(&self, application: &Application) -> Memory {
        self.lock_memory().remove(&key_of(application)).unwrap_or_default()
    }

    fn lock_memory(&self) -> std::sync::MutexGuard<'_, HashMap<ObjectKey, Memory>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Compared {
    /// Whether automation may go on: what Git declares is complete, and all of it is understood.
    fn may_be_synced(&self) -> bool {
        self.desire.hooks.is_empty() && !self.findings.iter().any(|finding| finding.kind == INVALID_SPEC)
    }
}

impl Verified {
    fn of(desired: &Desired, live: &Manifest, sync: SyncCode, heals: bool) -> Self {
        let pointers = if heals { foreign::pointers(live) } else { Vec::new() };
        let foreign = (!pointers.is_empty()).then(|| (pointers, live.resource_version().to_owned()));
        Self {
            desired: desired.hash,
            uid: live.uid().to_owned(),
            resource_version: live.resource_version().to_owned(),
            sync: if foreign.is_some() { SyncCode::OutOfSync } else { sync },
            health: health::of(live),
            foreign,
        }
    }
}

impl Observed {
    fn take(&mut self, verified: &Verified) {
        self.uid = Some(verified.uid.clone());
        self.sync = Some(verified.sync);
        self.health = verified.health.clone();
        self.foreign = verified.foreign.clone();
    }
}

/// Several requests at a time, their answers in the order of the requests.
async fn several<T>(requests: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    futures::stream::iter(requests).buffered(AT_A_TIME).collect().await
}

/// Whether what hands added is taken away.
fn heals(spec: &Spec<'_>) -> bool {
    spec.automated.is_some_and(|policy| policy.self_heal)
}

/// An Application as it would stand had its last status been written.
fn with_concluded(application: &Application, memory: &Memory) -> Application {
    let mut application = application.clone();
    if let Some((state, history)) = &memory.concluded {
        let status = application.status.get_or_insert_default();
        let known = status.operation_state.as_ref();
        // Times are RFC 3339 in UTC: they compare as text.
        if known.is_none_or(|known| known.started_at < state.started_at) {
            status.operation_state = Some(state.clone());
            status.history.clone_from(history);
        }
    }
    application
}

fn is_refreshed(application: &Application) -> bool {
    application.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(REFRESH))
}

/// What a sync is made of: another one of these is worth another try.
fn fingerprint(revision: &str, application: &Application, spec: &Spec<'_>) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    revision.hash(&mut hasher);
    serde_json::to_string(&application.spec).unwrap_or_default().hash(&mut hasher);
    serde_json::to_string(&application.operation).unwrap_or_default().hash(&mut hasher);
    serde_json::to_string(&spec.project.spec).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

fn warning(reason: &str, message: &str) -> Note {
    Note { warning: true, reason: reason.to_owned(), message: message.to_owned() }
}

fn key_of(application: &Application) -> ObjectKey {
    let metadata = &application.metadata;
    ObjectKey::new(metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}
