//! What wakes an ExternalSecret beside its own change: its Secret, its stores, a hint from outside.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;

use super::{is_handled, is_ready, key_of};
use crate::api::ExternalSecret;
use crate::api::external_secret::{StoreKind, StoreRef};
use crate::cluster::Seen;
use crate::controllers::{Stores, doorbell};
use crate::decide::external_secret::{self as decide, Origin};
use crate::plan::ObjectKey;
use crate::scheduler::{Class, Scheduler};

/// Objects for which the doorbell rang: their store has something new before their time.
pub(super) type Rung = Arc<Mutex<HashSet<ObjectKey>>>;

/// Which objects make which Secret: asked for each of thousands of Secrets, so it is kept and not searched.
#[derive(Default)]
struct Makers {
    of: HashMap<ObjectKey, BTreeSet<ObjectKey>>,
    target: HashMap<ObjectKey, ObjectKey>,
}

impl Makers {
    fn set(&mut self, object: &ObjectKey, target: Option<ObjectKey>) {
        let before = match &target {
            Some(target) => self.target.insert(object.clone(), target.clone()),
            None => self.target.remove(object),
        };
        if before == target {
            return;
        }
        if let Some(before) = before {
            let makers = self.of.entry(before.clone()).or_default();
            makers.remove(object);
            if makers.is_empty() {
                self.of.remove(&before);
            }
        }
        if let Some(target) = target {
            self.of.entry(target).or_default().insert(object.clone());
        }
    }
}

/// Registers everything that wakes; `queue` gets the keys.
pub(super) fn register(stores: &Stores, queue: &Scheduler) -> Rung {
    wake_by_object_and_secret(stores, queue);
    wake_by_stores(stores, queue);
    wake_by_doorbell(stores, queue)
}

fn wake_by_object_and_secret(stores: &Stores, queue: &Scheduler) {
    let makers = Arc::new(Mutex::new(Makers::default()));
    stores.external_secrets.on_seen({
        let (queue, makers) = (queue.clone(), Arc::clone(&makers));
        move |seen, key, object| {
            let target = object.0.as_ref().ok().filter(|_| seen != Seen::Gone).map(decide::target);
            lock(&makers).set(key, target);
            match seen {
                Seen::Listed => {
                    let handled = object.0.as_ref().is_ok_and(is_handled);
                    queue.push(key.clone(), if handled { Class::Backlog } else { Class::Changed });
                }
                Seen::Made => queue.push(key.clone(), Class::New),
                Seen::Changed | Seen::Gone => queue.push(key.clone(), Class::Changed),
                Seen::Touched => {}
            }
        }
    });
    let known = Arc::clone(&makers);
    stores.secrets.keep(move |secret, _| lock(&known).of.contains_key(secret));
    let queue = queue.clone();
    stores.secrets.on_seen(move |seen, secret, _| {
        if seen != Seen::Listed {
            let woken = lock(&makers).of.get(secret).cloned().unwrap_or_default();
            woken.into_iter().for_each(|key| queue.push(key, Class::Changed));
        }
    });
}

/// A store that changed, or became ready, wakes the objects of it that are not ready.
fn wake_by_stores(stores: &Stores, queue: &Scheduler) {
    let wake = |kind: StoreKind| {
        let (objects, queue) = (stores.external_secrets.clone(), queue.clone());
        move |seen: Seen, store: &ObjectKey| {
            if seen == Seen::Listed {
                return;
            }
            for object in objects.all() {
                let Ok(object) = &object.0 else { continue };
                if !is_ready(object) && uses_store(object, kind, store) {
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
            let reads = |wanted: &String| decide::reads(object).iter().any(|read| read.key() == *wanted);
            if uses_store(object, kind, &store) && hint.key.as_ref().is_none_or(reads) {
                lock(&ring).insert(key_of(object));
                queue.push(key_of(object), Class::Woken);
            }
        }
    });
    rung
}

pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The stores that an object reads from.
pub(super) fn stores_of(object: &ExternalSecret) -> Vec<StoreRef> {
    let mut all = Vec::new();
    for read in decide::reads(object) {
        match read.from {
            Origin::Store(store) if !all.contains(&store) => all.push(store),
            Origin::Store(_) | Origin::Generator(_) => {}
        }
    }
    all
}

fn uses_store(object: &ExternalSecret, kind: StoreKind, store: &ObjectKey) -> bool {
    let is_within =
        kind == StoreKind::ClusterSecretStore || object.namespace().as_deref() == Some(store.namespace.as_str());
    let names = |reference: &StoreRef| {
        reference.kind.unwrap_or_default() == kind && reference.name.as_deref() == Some(store.name.as_str())
    };
    is_within && stores_of(object).iter().any(names)
}
