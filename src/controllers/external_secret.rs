//! ExternalSecret → Secret.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

use super::secret_store::{StoreError, open_store};
use super::target::{self, Targets};
use super::{Armed, Context, Failure, Reconcile, Stores, doorbell, drive};
use crate::api::external_secret::{READY, SourceRecord, StoreKind};
use crate::api::{ExternalSecret, unsupported_fields};
use crate::cluster::{self, Seen, Watched};
use crate::decide::external_secret::{self as decide, Answer, Due};
use crate::decide::ownership;
use crate::decide::sealed_secret::{outputs, outputs_of_live};
use crate::decide::status::external_secret as status;
use crate::error::{Classify, Retry};
use crate::plan::{Next, Note, ObjectKey, Verdict};
use crate::providers;
use crate::scheduler::{Class, Scheduler};

struct ExternalSecrets {
    context: Context,
    stores: Stores,
    targets: Targets,
    /// Objects for which the doorbell rang: their store has something new before their time.
    rung: Rung,
}

type Rung = Arc<Mutex<HashSet<ObjectKey>>>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Rule(#[from] decide::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Provider(#[from] providers::Error),
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    #[error("Secret {0} already exists and is not ours; to take it over: kubectl annotate secret {name} -n {namespace} chancery.dev/adopt=true", name = .0.name, namespace = .0.namespace)]
    Foreign(ObjectKey),
    #[error(transparent)]
    Target(target::Error),
}

impl From<target::Error> for Error {
    fn from(error: target::Error) -> Self {
        match error {
            target::Error::Foreign(key) => Self::Foreign(key),
            other => Self::Target(other),
        }
    }
}

impl Classify for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Rule(error) => error.reason(),
            Self::Store(error) => error.reason(),
            Self::Provider(error) => error.reason(),
            Self::Cluster(error) => error.reason(),
            Self::Foreign(_) => "Unmanaged",
            Self::Target(error) => error.reason(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Rule(error) => error.retry(),
            Self::Store(error) => error.retry(),
            Self::Provider(error) => error.retry(),
            Self::Cluster(error) => error.retry(),
            Self::Foreign(_) => Retry::OnChange,
            Self::Target(error) => error.retry(),
        }
    }
}

/// Registers the watches and hands back the work.
pub(super) fn arm(context: &Context, stores: &Stores) -> Armed {
    context.need(&stores.external_secrets);
    context.need_secret_metadata(&stores.secrets);
    let queue = Scheduler::default();
    stores.external_secrets.on_seen({
        let queue = queue.clone();
        move |seen, key, object| match seen {
            Seen::Listed => {
                let handled = object.0.as_ref().is_ok_and(is_handled);
                queue.push(key.clone(), if handled { Class::Backlog } else { Class::Changed });
            }
            Seen::Made => queue.push(key.clone(), Class::New),
            Seen::Changed | Seen::Gone => queue.push(key.clone(), Class::Changed),
            Seen::Touched => {}
        }
    });
    let owners = stores.external_secrets.clone();
    let by_target = move |secret: &ObjectKey| -> Vec<ObjectKey> {
        let all = owners.all();
        let readable = all.iter().filter_map(|object| object.0.as_ref().ok());
        readable.filter(|object| decide::target(object) == *secret).map(key_of).collect()
    };
    let makers = by_target.clone();
    stores.secrets.keep(move |secret, _| !makers(secret).is_empty());
    let wake = queue.clone();
    stores.secrets.on_seen(move |seen, secret, _| {
        if seen != Seen::Listed {
            by_target(secret).into_iter().for_each(|key| wake.push(key, Class::Changed));
        }
    });
    wake_by_stores(stores, &queue);
    context.need(&stores.doorbells);
    let rung = wake_by_doorbell(stores, &queue);
    let controller = Arc::new(ExternalSecrets {
        context: context.clone(),
        stores: stores.clone(),
        targets: Targets::new(&context.cluster, &stores.secrets),
        rung,
    });
    let context = context.clone();
    Box::pin(async move { drive(context, controller, queue).await })
}

/// A store that changed, or became ready, wakes the objects of it that are not ready, or all when it was changed.
fn wake_by_stores(stores: &Stores, queue: &Scheduler) {
    let wake = |kind: StoreKind| {
        let (objects, queue) = (stores.external_secrets.clone(), queue.clone());
        move |seen: Seen, store: &ObjectKey| {
            if seen == Seen::Listed {
                return;
            }
            for object in objects.all() {
                let Ok(object) = &object.0 else { continue };
                let uses = uses_store(object, kind, store);
                if uses && (seen != Seen::Touched || !is_ready(object)) {
                    queue.push(key_of(object), Class::Woken);
                }
            }
        }
    };
    let namespaced = wake(StoreKind::SecretStore);
    stores.secret_stores.on_seen(move |seen, key, _| namespaced(seen, key));
    let cluster_wide = wake(StoreKind::ClusterSecretStore);
    stores.cluster_secret_stores.on_seen(move |seen, key, _| cluster_wide(seen, key));
}

/// A hint about a store wakes its objects, or those that read the key that the hint names; they read before their time.
fn wake_by_doorbell(stores: &Stores, queue: &Scheduler) -> Rung {
    let rung = Rung::default();
    let (objects, queue, ring) = (stores.external_secrets.clone(), queue.clone(), Arc::clone(&rung));
    doorbell::on_hint(&stores.doorbells, move |hint| {
        let parts: Vec<&str> = hint.store.as_deref().unwrap_or_default().split('/').collect();
        let (kind, store) = match parts.as_slice() {
            ["SecretStore", namespace, name] => (StoreKind::SecretStore, ObjectKey::new(*namespace, *name)),
            ["ClusterSecretStore", name] => (StoreKind::ClusterSecretStore, ObjectKey::new("", *name)),
            _ => return,
        };
        for object in objects.all() {
            let Ok(object) = &object.0 else { continue };
            let reads =
                |wanted: &String| decide::references(object).iter().any(|(reference, _)| reference.key == *wanted);
            if uses_store(object, kind, &store) && hint.key.as_ref().is_none_or(reads) {
                lock(&ring).insert(key_of(object));
                queue.push(key_of(object), Class::Woken);
            }
        }
    });
    rung
}

fn lock(rung: &Rung) -> std::sync::MutexGuard<'_, HashSet<ObjectKey>> {
    rung.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reconcile for ExternalSecrets {
    type Kind = ExternalSecret;
    type Error = Error;
    const NAME: &'static str = "external-secrets";

    fn store(&self) -> &Watched<ExternalSecret> {
        &self.stores.external_secrets
    }

    /// Order matters: whether to fetch is decided before a provider is touched, because a provider call can cost money
    /// and count against a quota.
    async fn reconcile(&self, object: &ExternalSecret, _: Class) -> Result<Verdict, Error> {
        decide::check(object, unsupported_fields(object))?;
        let is_rung = lock(&self.rung).remove(&key_of(object));
        if is_ready(object) && self.is_intact(object).await? {
            match decide::due(object, Timestamp::now())? {
                Due::Now => {}
                Due::Later(_) if is_rung => {}
                Due::Later(left) => return Ok(unchanged(Next::After(left))),
                Due::Never => return Ok(unchanged(Next::OnChange)),
            }
        }

        let reference = object.spec.secret_store_ref.clone().unwrap_or_default();
        let namespace = object.namespace().unwrap_or_default();
        let session = open_store(&self.context, &self.stores, &reference, &namespace).await?.fresh(is_rung);
        let (mut answers, mut sources) = (Vec::new(), Vec::new());
        for (reference, whole_map) in decide::references(object) {
            let version = if whole_map {
                let fetched = session.read_map(&reference).await?;
                answers.push(Answer::Map(fetched.values));
                fetched.version
            } else {
                let fetched = session.read(&reference).await?;
                answers.push(Answer::Value(fetched.value));
                fetched.version
            };
            sources.push(SourceRecord { key: reference.key, version, ..SourceRecord::default() });
        }

        let wanted = decide::assemble(object, answers)?;
        let digester = self.context.digester().await?;
        let digest = outputs(&wanted, digester);
        let record = object.status.as_ref().and_then(|status| status.chancery.as_ref());
        let same = record.is_some_and(|record| record.outputs == digest) && self.is_intact(object).await?;
        let (target, note) = match record.and_then(|record| record.target.clone()).filter(|_| same) {
            // The values are what they were: nothing is written, and nobody's pods see a new version.
            Some(target) => (target, None),
            None => {
                let uid = object.uid().unwrap_or_default();
                let manager = decide::field_manager(object);
                let whose = |live: &_| ownership::of(live, &uid, None, None);
                let (target, _) = self.targets.write(&wanted, &manager, whose).await?;
                let reason = if record.is_some() { "Updated" } else { "Created" };
                let message = format!("Secret {} written from the store", wanted.key.name);
                (target, Some(Note { warning: false, reason: reason.to_owned(), message }))
            }
        };
        let synced = status::Synced { target, outputs: digest, sources };
        let status = status::synced(object, synced, Timestamp::now());
        let every = decide::interval(object)?;
        let next = if every.is_zero() { Next::OnChange } else { Next::After(every) };
        Ok(Verdict::told(serde_json::to_value(status).ok(), note, next))
    }

    fn failed(&self, object: &ExternalSecret, failure: &Failure) -> (Value, Option<Note>) {
        let status = status::failed(object, failure.reason, &failure.message, Timestamp::now());
        let note = Note { warning: true, reason: "UpdateFailed".to_owned(), message: failure.message.clone() };
        (serde_json::to_value(status).unwrap_or_default(), Some(note))
    }

    fn broken(failure: &Failure) -> Value {
        serde_json::to_value(status::broken(failure.reason, &failure.message, Timestamp::now())).unwrap_or_default()
    }
}

impl ExternalSecrets {
    /// Whether the Secret is as it was written last.
    async fn is_intact(&self, object: &ExternalSecret) -> Result<bool, Error> {
        let Some(record) = object.status.as_ref().and_then(|status| status.chancery.as_ref()) else { return Ok(false) };
        let Some(target) = &record.target else { return Ok(false) };
        let digester = self.context.digester().await?;
        let shape = decide::shape(object);
        let as_written = |live: &_| outputs_of_live(live, &shape, digester) == record.outputs;
        Ok(self.targets.is_intact(&decide::target(object), target, as_written).await?)
    }
}

fn unchanged(next: Next) -> Verdict {
    Verdict::silent(next)
}

fn is_ready(object: &ExternalSecret) -> bool {
    let conditions = object.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| condition.type_ == READY && condition.status == "True")
}

fn is_handled(object: &ExternalSecret) -> bool {
    let status = object.status.as_ref();
    is_ready(object)
        && status.is_some_and(|status| {
            status.synced_resource_version.as_deref() == Some(decide::synced_resource_version(object).as_str())
        })
}

fn uses_store(object: &ExternalSecret, kind: StoreKind, store: &ObjectKey) -> bool {
    let Some(reference) = &object.spec.secret_store_ref else { return false };
    reference.kind.unwrap_or_default() == kind
        && reference.name.as_deref() == Some(store.name.as_str())
        && (kind == StoreKind::ClusterSecretStore || object.namespace().as_deref() == Some(store.namespace.as_str()))
}

fn key_of(object: &ExternalSecret) -> ObjectKey {
    ObjectKey::new(object.namespace().unwrap_or_default(), object.name_any())
}
