//! What wakes an ExternalSecret beside its own change: its Secret, its stores, a hint from outside.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;

use super::{is_handled, is_ready};
use crate::api::ExternalSecret;
use crate::api::external_secret::{StoreKind, StoreRef};
use crate::cluster::Seen;
use crate::controllers::index::Index;
use crate::controllers::{Stores, doorbell};
use crate::decide::external_secret::{self as decide, Origin};
use crate::plan::ObjectKey;
use crate::scheduler::{Class, Scheduler};

/// Objects for which the doorbell rang: their store has something new before their time.
pub(super) type Rung = Arc<Mutex<HashSet<ObjectKey>>>;

/// What is known of all objects. Cheap to clone.
#[derive(Clone, Default)]
struct Known {
    /// By the Secret that they make.
    by_target: Arc<Mutex<Index<ObjectKey>>>,
    /// By the stores that they read from.
    by_store: Arc<Mutex<Index<(StoreKind, ObjectKey)>>>,
}

/// Registers everything that wakes; `queue` gets the keys.
pub(super) fn register(stores: &Stores, queue: &Scheduler) -> Rung {
    let known = Known::default();
    wake_by_object_and_secret(stores, queue, &known);
    wake_by_stores(stores, queue, &known);
    wake_by_doorbell(stores, queue, &known)
}

fn wake_by_object_and_secret(stores: &Stores, queue: &Scheduler, known: &Known) {
    stores.external_secrets.on_seen({
        let (queue, known) = (queue.clone(), known.clone());
        move |seen, key, object| {
            let object = object.0.as_ref().ok();
            let there = object.filter(|_| seen != Seen::Gone);
            lock(&known.by_target).set(key, there.map(decide::target).into_iter().collect());
            lock(&known.by_store).set(key, there.map(store_keys).unwrap_or_default());
            match seen {
                Seen::Listed => {
                    let handled = object.is_some_and(is_handled);
                    queue.push(key.clone(), if handled { Class::Backlog } else { Class::Changed });
                }
                Seen::Made => queue.push(key.clone(), Class::New),
                Seen::Changed | Seen::Gone => queue.push(key.clone(), Class::Changed),
                Seen::Touched => {}
            }
        }
    });
    let by_target = Arc::clone(&known.by_target);
    stores.secrets.keep_version(move |secret, _| lock(&by_target).has(secret));
    let (queue, by_target) = (queue.clone(), Arc::clone(&known.by_target));
    stores.secrets.on_seen(move |seen, secret, _| {
        if seen != Seen::Listed {
            let woken = lock(&by_target).of(secret);
            woken.into_iter().for_each(|key| queue.push(key, Class::Changed));
        }
    });
}

/// A store that changed, or became ready, wakes the objects of it that are not ready.
fn wake_by_stores(stores: &Stores, queue: &Scheduler, known: &Known) {
    let wake = |kind: StoreKind| {
        let (objects, queue, by_store) = (stores.external_secrets.clone(), queue.clone(), Arc::clone(&known.by_store));
        move |seen: Seen, store: &ObjectKey| {
            if seen == Seen::Listed {
                return;
            }
            let users = lock(&by_store).of(&(kind, store.clone()));
            let waits =
                |key: &ObjectKey| objects.get(key).is_some_and(|it| it.0.as_ref().is_ok_and(|it| !is_ready(it)));
            users.into_iter().filter(waits).for_each(|key| queue.push(key, Class::Woken));
        }
    };
    let namespaced = wake(StoreKind::SecretStore);
    stores.secret_stores.on_seen(move |seen, key, _| namespaced(seen, key));
    let cluster_wide = wake(StoreKind::ClusterSecretStore);
    stores.cluster_secret_stores.on_seen(move |seen, key, _| cluster_wide(seen, key));
}

/// A hint about a store wakes its objects, or those that read the key that the hint names; they read before their time.
fn wake_by_doorbell(stores: &Stores, queue: &Scheduler, known: &Known) -> Rung {
    let rung = Rung::default();
    let (objects, queue, ring) = (stores.external_secrets.clone(), queue.clone(), Arc::clone(&rung));
    let by_store = Arc::clone(&known.by_store);
    doorbell::on_hint(&stores.doorbells, move |hint| {
        let parts: Vec<&str> = hint.store.as_deref().unwrap_or_default().split('/').collect();
        let store = match parts.as_slice() {
            ["SecretStore", namespace, name] => (StoreKind::SecretStore, ObjectKey::new(*namespace, *name)),
            ["ClusterSecretStore", name] => (StoreKind::ClusterSecretStore, ObjectKey::new("", *name)),
            _ => return,
        };
        let is_meant = |key: &ObjectKey| {
            let Some(object) = objects.get(key) else { return false };
            let reads = |wanted: &String, object| decide::reads(object).iter().any(|read| read.key() == *wanted);
            object.0.as_ref().is_ok_and(|object| hint.key.as_ref().is_none_or(|wanted| reads(wanted, object)))
        };
        let users = lock(&by_store).of(&store);
        for key in users.into_iter().filter(is_meant) {
            lock(&ring).insert(key.clone());
            queue.push(key, Class::Woken);
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

/// The same as keys of the objects that stores are.
pub(super) fn store_keys(object: &ExternalSecret) -> Vec<(StoreKind, ObjectKey)> {
    let key = |store: StoreRef| {
        let kind = store.kind.unwrap_or_default();
        let namespace = match kind {
            StoreKind::SecretStore => object.namespace().unwrap_or_default(),
            StoreKind::ClusterSecretStore => String::new(),
        };
        (kind, ObjectKey::new(namespace, store.name.unwrap_or_default()))
    };
    stores_of(object).into_iter().map(key).collect()
}
