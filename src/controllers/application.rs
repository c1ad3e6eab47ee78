//! Application: from a commit to objects, and back to what Git says when somebody changes them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::repositories::{self, Repositories, Target};
use super::{Armed, Context, Failure, Reconcile, Stores, doorbell, drive};
use crate::api::app_project::DEFAULT;
use crate::api::application::{Application, ApplicationStatus, HistoryEntry, OperationState, REFRESH, SKIP_RECONCILE};
use crate::cluster::{self, Live, Scope, Watched};
use crate::decide::application::desired::Desire;
use crate::decide::application::health::Health;
use crate::decide::application::spec::{self, Bounds, Spec};
use crate::decide::application::sync::{self, Due, Request};
use crate::decide::application::{COMPARISON, Finding, INVALID_SPEC, Observed, SYNC, SyncCode};
use crate::decide::status::application::{self as status, Comparison, Outcome};
use crate::error::{Classify, Retry};
use crate::plan::{Next, Note, ObjectKey, ObjectRef, Verdict};
use crate::scheduler::{Class, Scheduler};

mod comparing;
mod deletion;
mod syncing;
mod waking;

/// Field manager of what Applications apply: Argo CD's, so that a hand-over moves no field (D9).
const MANAGER: &str = "argocd-controller";
/// Objects of one Application that are looked at, or written, at a time.
const AT_A_TIME: usize = 16;
/// How soon an Application is looked at again that somebody changed while a sync was about to begin.
const CHANGED_MEANWHILE: Duration = Duration::from_millis(200);
/// Without any event an Application is looked at again after this time: watches tell everything else.
const RESYNC: Duration = Duration::from_secs(600);

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
    waking::wake_by_applications(stores, &queue);
    waking::wake_by_projects(stores, &queue);
    waking::wake_by_doorbell(stores, hints);
    let settings = &context.settings;
    let control_namespace = control_namespace(context);
    let repositories =
        Arc::new(Repositories::new(&context.cluster, &context.metrics, &control_namespace, &settings.cache_dir));
    let live = Live::new(&context.cluster, context.stop.clone(), {
        let (queue, applications) = (queue.clone(), stores.applications.clone());
        move |seen, object, metadata| {
            waking::wake_by_object(&queue, &applications, &control_namespace, seen, object, metadata)
        }
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
        let polling = waking::poll(context.clone(), applications, repositories, queue.clone(), rung);
        futures::join!(drive(context, controller, queue), polling);
    })
}

/// Namespace of projects and repository Secrets.
fn control_namespace(context: &Context) -> String {
    context.settings.application_namespaces.first().cloned().unwrap_or_else(|| "argocd".to_owned())
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
        if !self.stores.projects.has(&default_project)
            && let Err(error) = cluster.make_default_project(&control_namespace).await
        {
            tracing::warn!(%error, "the project `default` could not be made");
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
            Err(error) => return self.uncomparable(application, error, memory).await,
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
                memory.keep(&status);
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
        let now = self.context.cluster.get(&reference(application)).await?;
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
        let Some(application) = &self.announce(application, &target, &compared, request).await? else {
            return Ok(Verdict::silent(Next::After(CHANGED_MEANWHILE)));
        };
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
                phase: status::RUNNING,
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

        let before = application.status.clone().unwrap_or_default();
        let ended = status::synced(before, application, request, &outcome, &revision, Timestamp::now());
        memory.keep(&ended);

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
        let note = Note {
            warning: !succeeded,
            reason: "OperationCompleted".to_owned(),
            message: format!("Sync operation to {revision}: {}", outcome.message),
        };
        let next = Next::After(pause.unwrap_or(RESYNC));
        let verdict = self.conclude(application, status, Some(note), next, pause.is_none()).await?;
        let written = application.status.as_ref().and_then(|status| serde_json::to_value(status).ok());
        Ok(Verdict { written, ..verdict })
    }

    /// Writes that a sync runs, and which objects there will be; none when somebody changed the Application meanwhile.
    async fn announce(
        &self,
        application: &Application,
        target: &Target,
        compared: &Compared,
        request: &Request,
    ) -> Result<Option<Application>, Error> {
        let status = self.status_of(application, target, compared);
        let status = status::running(status, request, &target.revision, Timestamp::now());
        let current = serde_json::to_value(&application.status).unwrap_or_default();
        let desired = serde_json::to_value(&status).unwrap_or_default();
        let uid = application.metadata.uid.clone().unwrap_or_default();
        let guard = json!({ "metadata": { "resourceVersion": application.metadata.resource_version } });
        let cluster = &self.context.cluster;
        match cluster.write_status(&reference(application), &uid, (&current, &desired), Some(&guard), false).await {
            Ok(written) => {
                let mut application = application.clone();
                application.status = Some(status);
                application.metadata.resource_version = Some(written.resource_version);
                Ok(Some(application))
            }
            Err(cluster::Error::Conflict(_) | cluster::Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn uncomparable(
        &self,
        application: &Application,
        error: repositories::Error,
        memory: &mut Memory,
    ) -> Result<Verdict, Error> {
        let retry = match &error {
            repositories::Error::Cluster(error) => return Err(error.clone().into()),
            repositories::Error::Git(error) => error.retry(),
            repositories::Error::Interrupted => Retry::Backoff,
        };
        let next = match retry {
            // The poll asks again, and wakes us when the answer is another one.
            Retry::Backoff | Retry::OnChange | Retry::Overtaken => Next::After(RESYNC),
            Retry::After(pause) | Retry::Later(pause) => Next::After(pause),
        };
        let message = format!("Failed to load target state: failed to generate manifest for source 1 of 1: {error}");
        let note = Some(warning(COMPARISON, &message));
        let now = Timestamp::now();
        let mut status = status::uncomparable(application, Finding::new(COMPARISON, &message), now);
        if let Some(operation) = &application.operation {
            status = status::refused(status, operation, &message, now);
            memory.keep(&status);
        }
        self.conclude(application, status, note, next, true).await
    }

    fn status_of(&self, application: &Application, target: &Target, compared: &Compared) -> ApplicationStatus {
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
        status: ApplicationStatus,
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

impl Memory {
    /// Keeps how an operation ended, in case its status cannot be written.
    fn keep(&mut self, status: &ApplicationStatus) {
        self.concluded = status.operation_state.clone().map(|state| (state, status.history.clone()));
    }
}

impl Compared {
    /// Whether automation may go on: what Git declares is complete, and all of it is understood.
    fn may_be_synced(&self) -> bool {
        self.desire.hooks.is_empty() && !self.findings.iter().any(|finding| finding.kind == INVALID_SPEC)
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
        if known.is_none_or(|known| known.started_at <= state.started_at) {
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

fn reference(application: &Application) -> ObjectRef {
    ObjectRef {
        api_version: "argoproj.io/v1alpha1".to_owned(),
        kind: "Application".to_owned(),
        key: key_of(application),
    }
}

fn key_of(application: &Application) -> ObjectKey {
    let metadata = &application.metadata;
    ObjectKey::new(metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}
