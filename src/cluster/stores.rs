//! What the API server holds, as last heard: one reflector a kind and watched namespace, guarded so that a broken
//! object becomes a condition and not a broken watch.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::runtime::reflector::{self, ObjectRef as StoreRef, Store};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Cluster, Scope};
use crate::plan::ObjectKey;

/// An object, or why it cannot be read.
pub type Guarded<K> = DeserializeGuard<K>;

/// What a kind needs to be watched.
pub trait Watchable:
    Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static
{
}

impl<K> Watchable for K where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static
{
}

/// What was seen of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It was there when the watch began (or began anew, and nobody had changed it meanwhile).
    Listed,
    /// It has been made.
    Made,
    /// Somebody changed what people write: spec, labels, annotations, `operation`, deletion.
    Changed,
    /// Only its status or bookkeeping moved.
    Touched,
    /// It is gone.
    Gone,
}

type Shrink<K> = Box<dyn Fn(&mut K) + Send + Sync>;
type Listener<K> = Box<dyn Fn(Seen, &ObjectKey, &Arc<Guarded<K>>) + Send + Sync>;

/// All objects of one kind in the watched namespaces. Cheap to clone.
pub struct Watched<K: Watchable> {
    inner: Arc<Inner<K>>,
}

impl<K: Watchable> Clone for Watched<K> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

struct Inner<K: Watchable> {
    sources: Vec<Source<K>>,
    listeners: Mutex<Vec<Listener<K>>>,
    /// What is left out of an object before it is kept.
    shrink: OnceLock<Shrink<K>>,
    /// Sources that have not been listed completely yet.
    unlisted: AtomicUsize,
    /// A list that we are not allowed counts as an empty one.
    may_be_forbidden: bool,
}

struct Source<K: Watchable> {
    api: Api<Guarded<K>>,
    reader: Store<Guarded<K>>,
    writer: Mutex<Option<reflector::store::Writer<Guarded<K>>>>,
}

impl Cluster {
    /// Prepares the watch of a namespaced kind in all watched namespaces; [`Watched::start`] begins it.
    pub fn watched<K>(&self) -> Watched<K>
    where
        K: Watchable + Resource<Scope = NamespaceResourceScope>,
    {
        Watched::new(self.scoped::<Guarded<K>>())
    }

    /// Prepares the watch of a namespaced kind in the given namespaces only.
    pub fn watched_in<K>(&self, namespaces: &[String]) -> Watched<K>
    where
        K: Watchable + Resource<Scope = NamespaceResourceScope>,
    {
        Watched::new(namespaces.iter().map(|name| Api::namespaced(self.client.clone(), name)).collect())
    }

    /// Prepares the watch of a cluster-scoped kind. Where only some namespaces are ours, we may not be allowed to: then
    /// there are none, and the log says so once in a while.
    pub fn watched_cluster<K>(&self) -> Watched<K>
    where
        K: Watchable,
    {
        let mut watched = Watched::new(vec![Api::all(self.client.clone())]);
        if let (Scope::Namespaces(_), Some(inner)) = (self.scope(), Arc::get_mut(&mut watched.inner)) {
            inner.may_be_forbidden = true;
        }
        watched
    }
}

impl<K: Watchable> Watched<K> {
    fn new(apis: Vec<Api<Guarded<K>>>) -> Self {
        let unlisted = AtomicUsize::new(apis.len());
        let sources = apis
            .into_iter()
            .map(|api| {
                let (reader, writer) = reflector::store();
                Source { api, reader, writer: Mutex::new(Some(writer)) }
            })
            .collect();
        let (listeners, shrink) = (Mutex::default(), OnceLock::new());
        Self { inner: Arc::new(Inner { sources, listeners, shrink, unlisted, may_be_forbidden: false }) }
    }

    /// Calls `listener` for everything seen from now on. Register before [`Watched::start`].
    pub fn on_seen(&self, listener: impl Fn(Seen, &ObjectKey, &Arc<Guarded<K>>) + Send + Sync + 'static) {
        self.listeners().push(Box::new(listener));
    }

    /// Leaves out of each object what `shrink` takes away, before it is kept and shown to anyone; what changed in it is
    /// still noticed. Register before [`Watched::start`], once.
    pub fn keep_only(&self, shrink: impl Fn(&mut K) + Send + Sync + 'static) {
        let _ = self.inner.shrink.set(Box::new(shrink));
    }

    /// Runs the watches until `stop`; a second call does nothing.
    pub async fn start(&self, stop: CancellationToken) {
        let watches = self.inner.sources.iter().filter_map(|source| {
            let writer = source.writer.lock().unwrap_or_else(PoisonError::into_inner).take()?;
            Some(self.follow(source, writer, stop.clone()))
        });
        futures::future::join_all(watches).await;
    }

    /// Whether everything has been listed once: before that, *absent* means *unknown*.
    pub fn is_ready(&self) -> bool {
        self.inner.unlisted.load(Ordering::Acquire) == 0
    }

    /// One object, as last seen.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<Guarded<K>>> {
        let wanted = StoreRef::new(&key.name);
        let wanted = if key.namespace.is_empty() { wanted } else { wanted.within(&key.namespace) };
        self.inner.sources.iter().find_map(|source| source.reader.get(&wanted))
    }

    /// One object that can be read.
    pub fn find(&self, key: &ObjectKey) -> Option<K> {
        self.get(key).and_then(|object| object.0.as_ref().ok().cloned())
    }

    /// All objects, as last seen.
    pub fn all(&self) -> Vec<Arc<Guarded<K>>> {
        self.inner.sources.iter().flat_map(|source| source.reader.state()).collect()
    }

    fn listeners(&self) -> std::sync::MutexGuard<'_, Vec<Listener<K>>> {
        self.inner.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, seen: Seen, object: &Arc<Guarded<K>>) {
        let key = key_of(&**object);
        for listener in self.listeners().iter() {
            listener(seen, &key, object);
        }
    }

    async fn follow(
        &self,
        source: &Source<K>,
        mut writer: reflector::store::Writer<Guarded<K>>,
        stop: CancellationToken,
    ) {
        // What people wrote in each object, as a hash: the reader forgets the old version before we can compare.
        let mut authored: HashMap<ObjectKey, u64> = HashMap::new();
        let mut relisted: HashMap<ObjectKey, u64> = HashMap::new();
        let mut listed_once = false;
        let mut complaints = Complaints::default();
        let config = watcher::Config::default();
        let mut events = watcher::watcher(source.api.clone(), config).boxed();
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                event = events.next() => event,
            };
            let event = match event {
                None => return,
                Some(Err(error)) => {
                    complaints.hear(K::kind(&()).as_ref(), &error);
                    if self.inner.may_be_forbidden && is_forbidden(&error) && !listed_once {
                        listed_once = true;
                        self.inner.unlisted.fetch_sub(1, Ordering::AcqRel);
                    }
                    tokio::time::sleep(complaints.pause()).await;
                    continue;
                }
                Some(Ok(event)) => event,
            };
            complaints.end();
            let (event, hash) = self.trimmed(event);
            match &event {
                Event::Init => relisted.clear(),
                Event::InitApply(object) => {
                    relisted.insert(key_of(object), hash);
                }
                Event::Apply(_) | Event::Delete(_) | Event::InitDone => {}
            }
            let before = if matches!(event, Event::InitDone) { source.reader.state() } else { Vec::new() };
            writer.apply_watcher_event(&event);
            match event {
                Event::Init | Event::InitApply(_) => {}
                Event::Apply(object) => {
                    let seen = match authored.insert(key_of(&object), hash) {
                        None => Seen::Made,
                        Some(known) if known == hash => Seen::Touched,
                        Some(_) => Seen::Changed,
                    };
                    self.tell(seen, &Arc::new(object));
                }
                Event::Delete(object) => {
                    authored.remove(&key_of(&object));
                    self.tell(Seen::Gone, &Arc::new(object));
                }
                Event::InitDone => {
                    for gone in before.iter().filter(|object| !relisted.contains_key(&key_of(&***object))) {
                        self.tell(Seen::Gone, gone);
                    }
                    if !listed_once {
                        listed_once = true;
                        self.inner.unlisted.fetch_sub(1, Ordering::AcqRel);
                    }
                    for object in source.reader.state() {
                        let key = key_of(&*object);
                        let seen = match (authored.get(&key), relisted.get(&key)) {
                            (Some(known), Some(now)) if known != now => Seen::Changed,
                            _ => Seen::Listed,
                        };
                        self.tell(seen, &object);
                    }
                    authored = std::mem::take(&mut relisted);
                }
            }
        }
    }
}

impl<K: Watchable> Watched<K> {
    /// Drops what nobody here reads and what may hold values of others. Returns the hash of what people wrote, too, taken
    /// before that.
    fn trimmed(&self, event: Event<Guarded<K>>) -> (Event<Guarded<K>>, u64) {
        let trim = |mut object: Guarded<K>| {
            let hash = authored_hash(&object);
            object.meta_mut().managed_fields = None;
            if let (Ok(object), Some(shrink)) = (&mut object.0, self.inner.shrink.get()) {
                shrink(object);
            }
            (object, hash)
        };
        match event {
            Event::Apply(object) => {
                let (object, hash) = trim(object);
                (Event::Apply(object), hash)
            }
            Event::InitApply(object) => {
                let (object, hash) = trim(object);
                (Event::InitApply(object), hash)
            }
            other => (other, 0),
        }
    }
}

fn is_forbidden(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(kube::Error::Api(status))
    | watcher::Error::WatchStartFailed(kube::Error::Api(status))) = error
    else {
        return false;
    };
    status.code == 403
}

/// Says that a watch is broken once, and then once in a while.
#[derive(Default)]
pub(super) struct Complaints {
    last: Option<Instant>,
    in_a_row: u32,
}

impl Complaints {
    const EVERY: Duration = Duration::from_secs(30);

    pub(super) fn hear(&mut self, what: &str, error: &watcher::Error) {
        self.in_a_row += 1;
        if self.last.is_none_or(|last| last.elapsed() >= Self::EVERY) {
            self.last = Some(Instant::now());
            tracing::warn!(kind = what, %error, "the watch is interrupted and will be taken up again");
        }
    }

    /// Half a second, doubling, up to half a minute.
    pub(super) fn pause(&self) -> Duration {
        Duration::from_millis(500 << self.in_a_row.saturating_sub(1).min(6))
    }

    pub(super) fn end(&mut self) {
        self.in_a_row = 0;
    }
}

fn key_of<K: Resource>(object: &K) -> ObjectKey {
    let metadata = object.meta();
    ObjectKey::new(metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

/// A hash of what people write: all but the status and the API server's bookkeeping.
fn authored_hash<K: Watchable>(object: &Guarded<K>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match object.0.as_ref().map(serde_json::to_value) {
        Ok(Ok(mut value)) => {
            if let Value::Object(fields) = &mut value {
                fields.remove("status");
                if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
                    for bookkeeping in ["resourceVersion", "generation", "managedFields"] {
                        metadata.remove(bookkeeping);
                    }
                }
            }
            value.to_string().hash(&mut hasher);
        }
        // A broken object: any new version of it is worth a look.
        _ => object.meta().resource_version.hash(&mut hasher),
    }
    hasher.finish()
}

/// Why an object cannot be read, without the text that serde quotes from it: a template in a SealedSecret may hold a
/// value that somebody forgot to seal.
pub fn invalid_object_message(error: &str) -> String {
    let mut told = String::with_capacity(error.len());
    let mut quoted = false;
    for character in error.chars() {
        match (character, quoted) {
            ('"', false) => {
                quoted = true;
                told.push_str("\"…\"");
            }
            ('"', true) => quoted = false,
            (_, true) => {}
            (character, false) => told.push(character),
        }
    }
    format!("the object does not have the shape of its kind: {told}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_object_is_told_without_its_text() {
        let told = invalid_object_message("invalid type: string \"hunter2\", expected a map at line 1");
        assert!(!told.contains("hunter2"));
        assert!(told.contains("expected a map"), "{told}");
    }

    #[test]
    fn pauses_between_watches_grow_and_end_at_half_a_minute() {
        let pauses: Vec<_> =
            [1, 2, 7, 40].map(|in_a_row| Complaints { last: None, in_a_row }.pause().as_millis()).to_vec();
        assert_eq!(pauses, [500, 1000, 32_000, 32_000]);
    }
}
