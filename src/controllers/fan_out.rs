//! ClusterExternalSecrets and ClusterPushSecrets: an object in every namespace that is selected.

use std::collections::{BTreeSet, HashMap};
use std::iter;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use super::external_secret::ExternalSecretsPeer;
use super::index::Index;
use super::{Armed, Context, Failure, Reconcile, Stores, drive};
use crate::api::push_secret::FailedNamespace;
use crate::api::{ClusterExternalSecret, ClusterPushSecret};
use crate::cluster::{self, Metadata, Scope, Seen, Watchable, Watched};
use crate::decide::external_secret::{self, duration};
use crate::decide::fan_out::{self as decide, Parent, Step};
use crate::error::{Classify, Retry};
use crate::plan::{Change, Guard, Manifest, Next, Note, ObjectKey, ObjectRef, Propagation, Verdict};
use crate::scheduler::{Class, Scheduler};

const MANAGER: &str = "chancery";
/// Where the object does not say: a change of a Namespace or of a child wakes us at once anyway.
const REFRESH: Duration = Duration::from_secs(3600);

/// A parent, with what the controller needs to know of its kind.
pub(super) trait Kind: Parent<Child: Watchable> + Watchable {
    const NAME: &'static str;
    fn parents(stores: &Stores) -> &Watched<Self>;
    fn children(stores: &Stores) -> &Watched<Self::Child>;
}

impl Kind for ClusterExternalSecret {
    const NAME: &'static str = "cluster-external-secrets";

    fn parents(stores: &Stores) -> &Watched<Self> {
        &stores.cluster_external_secrets
    }

    fn children(stores: &Stores) -> &Watched<Self::Child> {
        &stores.external_secrets
    }
}

impl Kind for ClusterPushSecret {
    const NAME: &'static str = "cluster-push-secrets";

    fn parents(stores: &Stores) -> &Watched<Self> {
        &stores.cluster_push_secrets
    }

    fn children(stores: &Stores) -> &Watched<Self::Child> {
        &stores.push_secrets
    }
}

struct FanOut<P: Kind> {
    context: Context,
    parents: Watched<P>,
    children: Watched<P::Child>,
    namespaces: Metadata,
    peer: ExternalSecretsPeer,
    /// The children of each parent, by its name.
    by_owner: Arc<Mutex<Index<String>>>,
    /// The versions of children that are as they should be although they look otherwise.
    verified: Mutex<HashMap<ObjectKey, (String, i64)>>,
}

/// What can go wrong with all of an object.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Rule(#[from] external_secret::Error),
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
}

impl Classify for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Rule(error) => error.reason(),
            Self::Cluster(error) => error.reason(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Rule(error) => error.retry(),
            Self::Cluster(error) => error.retry(),
        }
    }
}

/// Registers the watches and hands back the work. Where only some namespaces are watched there is none.
pub(super) fn arm<P: Kind>(context: &Context, stores: &Stores) -> Armed {
    if matches!(context.cluster.scope(), Scope::Namespaces(_)) {
        return Box::pin(std::future::ready(()));
    }
    let (parents, children, namespaces) = (P::parents(stores), P::children(stores), &stores.namespaces);
    context.need(parents);
    context.need(children);
    context.need_metadata("Namespace", namespaces);
    let queue = Scheduler::default();
    let by_owner = wake_by_children::<P>(stores, &queue);
    wake_by_namespaces::<P>(stores, &queue);
    let controller = Arc::new(FanOut {
        context: context.clone(),
        parents: parents.clone(),
        children: children.clone(),
        namespaces: namespaces.clone(),
        peer: stores.external_secrets_peer.clone(),
        by_owner,
        verified: Mutex::default(),
    });
    let context = context.clone();
    Box::pin(async move { drive(context, controller, queue).await })
}

/// A parent is woken by its own change and by objects that bear the name of its children, now or before. Hands back which
/// children each has.
fn wake_by_children<P: Kind>(stores: &Stores, queue: &Scheduler) -> Arc<Mutex<Index<String>>> {
    let by_child_name = Arc::new(Mutex::new(Index::default()));
    P::parents(stores).on_seen({
        let (queue, by_child_name) = (queue.clone(), Arc::clone(&by_child_name));
        move |seen, key, parent| {
            let parent = parent.0.as_ref().ok().filter(|_| seen != Seen::Gone);
            let names = |parent: &P| iter::once(decide::name_of(parent)).chain(parent.name_before().map(str::to_owned));
            lock(&by_child_name).set(key, parent.into_iter().flat_map(names).collect());
            match seen {
                Seen::Listed => queue.push(key.clone(), Class::Backlog),
                Seen::Made => queue.push(key.clone(), Class::New),
                Seen::Changed | Seen::Gone => queue.push(key.clone(), Class::Changed),
                Seen::Touched => {}
            }
        }
    });
    let by_owner = Arc::new(Mutex::new(Index::default()));
    P::children(stores).on_seen({
        let (queue, by_owner) = (queue.clone(), Arc::clone(&by_owner));
        move |seen, key, child| {
            let owner = child.0.as_ref().ok().filter(|_| seen != Seen::Gone).and_then(decide::owner_of::<P>);
            lock(&by_owner).set(key, owner.into_iter().collect());
            if !matches!(seen, Seen::Listed | Seen::Touched) {
                let woken = lock(&by_child_name).of(&key.name);
                woken.into_iter().for_each(|parent| queue.push(parent, Class::Changed));
            }
        }
    });
    by_owner
}

/// A Namespace wakes those of which it should have a child and has none, or the other way round.
fn wake_by_namespaces<P: Kind>(stores: &Stores, queue: &Scheduler) {
    let (queue, parents) = (queue.clone(), P::parents(stores).clone());
    stores.namespaces.on_seen(move |seen, key, namespace| {
        if seen == Seen::Listed {
            return;
        }
        for parent in parents.all() {
            let Ok(parent) = &parent.0 else { continue };
            let is_selected = seen != Seen::Gone && decide::selects(parent, namespace);
            let is_provisioned = parent.provisioned().contains(&key.name);
            if is_selected != is_provisioned || decide::leftover(parent, namespace).is_some() {
                queue.push(ObjectKey::new("", parent.name_any()), Class::Changed);
            }
        }
    });
}

impl<P: Kind> Reconcile for FanOut<P> {
    type Kind = P;
    type Error = Error;
    const NAME: &'static str = P::NAME;

    fn store(&self) -> &Watched<P> {
        &self.parents
    }

    async fn reconcile(&self, parent: &P, _: Class) -> Result<Verdict, Error> {
        if let Some(pause) = self.peer.stands_in_for() {
            return Ok(Verdict::silent(Next::After(pause)));
        }
        self.take_leftovers(parent).await?;
        if parent.meta().deletion_timestamp.is_some() {
            self.let_go(parent).await?;
            return Ok(Verdict::silent(Next::OnChange));
        }
        let every = match parent.refresh_time() {
            None | Some("") => REFRESH,
            Some(text) => duration("refreshTime", text)?,
        };
        decide::check(parent)?;
        let name = decide::name_of(parent);
        let selected: BTreeSet<ObjectKey> = self
            .namespaces
            .select(|namespace| decide::selects(parent, namespace))
            .into_iter()
            .map(|(namespace, _)| ObjectKey::new(namespace.name, &name))
            .collect();
        let (mut provisioned, mut failed, mut is_retried) = (Vec::new(), Vec::new(), false);
        for key in &selected {
            match self.bring_about(parent, key).await {
                Ok(true) => provisioned.push(key.namespace.clone()),
                Ok(false) => failed.push(decide::foreign(&key.namespace)),
                Err(error) => {
                    is_retried |= error.retry() != Retry::OnChange;
                    failed.push(FailedNamespace { namespace: key.namespace.clone(), reason: Some(error.to_string()) });
                }
            }
        }
        let children = lock(&self.by_owner).of(&parent.name_any());
        for key in children.iter().filter(|key| !selected.contains(key)) {
            let Some(child) = self.children.find(key).filter(|child| decide::is_child(parent, child)) else { continue };
            if let Err(error) = self.remove(&child).await {
                is_retried = true;
                failed.push(FailedNamespace { namespace: key.namespace.clone(), reason: Some(error.to_string()) });
            }
        }
        let next = match (is_retried, every.is_zero()) {
            (true, _) => Next::Backoff,
            (false, true) => Next::OnChange,
            (false, false) => Next::After(every),
        };
        let status = decide::told(parent, provisioned, failed, Timestamp::now());
        Ok(Verdict::told(Some(status), None, next))
    }

    fn failed(&self, parent: &P, failure: &Failure) -> (Value, Option<Note>) {
        let known = serde_json::to_value(parent).unwrap_or_default();
        let known = known.get("status").cloned().filter(Value::is_object).unwrap_or_else(|| json!({}));
        let status = decide::not_done(parent.conditions(), known, failure.reason, &failure.message, Timestamp::now());
        let note = Note { warning: true, reason: failure.reason.to_owned(), message: failure.message.clone() };
        (status, Some(note))
    }

    fn broken(failure: &Failure) -> Value {
        decide::not_done(&[], json!({}), failure.reason, &failure.message, Timestamp::now())
    }
}

impl<P: Kind> FanOut<P> {
    /// Makes or mends one child; `false` where an object of that name is somebody else's.
    async fn bring_about(&self, parent: &P, key: &ObjectKey) -> Result<bool, cluster::Error> {
        let live = self.children.get(key);
        let live = live.as_ref().and_then(|child| child.0.as_ref().ok());
        let generation = parent.meta().generation.unwrap_or_default();
        match decide::step(parent, live) {
            Step::Foreign => return Ok(false),
            Step::Keep => return Ok(true),
            Step::Make => {
                let Some(manifest) = decide::child(parent, &key.namespace) else { return Ok(true) };
                match self.carry_out(&Change::Create { manifest, manager: MANAGER.to_owned() }).await {
                    // It cannot be read, or was made a moment ago: the watch tells.
                    Err(cluster::Error::AlreadyExists(_)) => return Ok(false),
                    made => made?,
                };
            }
            Step::Mend => {
                let (Some(live), Some(manifest)) = (live, decide::child(parent, &key.namespace)) else {
                    return Ok(true);
                };
                let seen = (live.resource_version().unwrap_or_default(), generation);
                if self.verified().get(key) == Some(&seen) {
                    return Ok(true);
                }
                let guard = guard_of(live.meta());
                let apply = Change::Apply { manifest, manager: MANAGER.to_owned(), guard: Some(guard) };
                let written = self.carry_out(&apply).await?;
                let version = self.take_away(parent, written).await?;
                self.verified().insert(key.clone(), (version, generation));
            }
        }
        Ok(true)
    }

    /// Takes away of a spec what apply leaves because the reference wrote it.
    async fn take_away(&self, parent: &P, written: cluster::Written) -> Result<String, cluster::Error> {
        let Some(stored) = &written.stored else { return Ok(written.resource_version) };
        let read: Option<P::Child> = serde_json::from_value(Value::Object(stored.fields().clone())).ok();
        let patch = read.and_then(|child| decide::merge_patch(&P::spec_of(&child), &parent.child_spec()));
        let Some(spec) = patch else { return Ok(written.resource_version) };
        let patch = json!({
            "apiVersion": stored.api_version(), "kind": stored.kind(),
            "metadata": { "name": stored.name(), "namespace": stored.namespace() }, "spec": spec,
        });
        let Ok(patch) = Manifest::new(patch) else { return Ok(written.resource_version) };
        let guard = Guard { uid: written.uid, resource_version: written.resource_version };
        let amended = self.carry_out(&Change::Amend { patch, manager: MANAGER.to_owned(), guard }).await?;
        Ok(amended.resource_version)
    }

    async fn remove(&self, child: &P::Child) -> Result<(), cluster::Error> {
        let key = key_of(child);
        self.verified().remove(&key);
        let object = ObjectRef {
            api_version: P::Child::api_version(&()).into_owned(),
            kind: P::Child::kind(&()).into_owned(),
            key,
        };
        let change = Change::Delete { object, uid: child.uid(), propagation: Propagation::Background };
        self.carry_out(&change).await.map(drop)
    }

    /// What the reference left on Namespaces keeps them from going.
    async fn take_leftovers(&self, parent: &P) -> Result<(), cluster::Error> {
        for (key, namespace) in self.namespaces.select(|namespace| decide::leftover(parent, namespace).is_some()) {
            let finalizers = decide::leftover(parent, &namespace);
            let patch = json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": key.name, "finalizers": finalizers },
            });
            let Ok(patch) = Manifest::new(patch) else { continue };
            let guard = guard_of(&namespace);
            self.carry_out(&Change::Amend { patch, manager: MANAGER.to_owned(), guard }).await?;
        }
        Ok(())
    }

    /// The children go with their owner; only what the reference left holds it.
    async fn let_go(&self, parent: &P) -> Result<(), cluster::Error> {
        let Some(theirs) = P::FINALIZER.filter(|theirs| parent.finalizers().iter().any(|name| name == theirs)) else {
            return Ok(());
        };
        let finalizers: Vec<_> = parent.finalizers().iter().filter(|name| *name != theirs).collect();
        let patch = json!({
            "apiVersion": P::api_version(&()), "kind": P::kind(&()),
            "metadata": { "name": parent.name_any(), "finalizers": finalizers },
        });
        let Ok(patch) = Manifest::new(patch) else { return Ok(()) };
        let guard = guard_of(parent.meta());
        self.carry_out(&Change::Amend { patch, manager: MANAGER.to_owned(), guard }).await.map(drop)
    }

    async fn carry_out(&self, change: &Change) -> Result<cluster::Written, cluster::Error> {
        self.context.cluster.carry_out(change).await
    }

    fn verified(&self) -> MutexGuard<'_, HashMap<ObjectKey, (String, i64)>> {
        lock(&self.verified)
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key_of(object: &impl ResourceExt) -> ObjectKey {
    ObjectKey::new(object.namespace().unwrap_or_default(), object.name_any())
}

fn guard_of(metadata: &kube::api::ObjectMeta) -> Guard {
    Guard {
        uid: metadata.uid.clone().unwrap_or_default(),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
    }
}
