//! What the API server holds, as last heard: one watch a kind and watched namespace, guarded so that a broken object
//! becomes a condition and not a broken watch.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::api::ObjectMeta;
use kube::core::NamespaceResourceScope;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::guarded::{Guarded, InvalidObject};
use super::{Cluster, Scope};
use crate::plan::ObjectKey;

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

/// Objects that a list brings at a time: what is not kept of them is memory that nobody needs afterwards.
const PAGE: u32 = 200;

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
    /// One a watched namespace, or one for all.
    apis: Vec<Api<Guarded<K>>>,
    entries: RwLock<HashMap<ObjectKey, Entry<K>>>,
    listeners: Mutex<Vec<Listener<K>>>,
    /// What is left out of an object before it is kept.
    shrink: OnceLock<Shrink<K>>,
    /// Whether objects are kept as their JSON.
    is_packed: bool,
    is_started: AtomicBool,
    /// Watches that have not been listed completely yet.
    unlisted: AtomicUsize,
    /// A list that we are not allowed counts as an empty one.
    may_be_forbidden: bool,
}

struct Entry<K: Watchable> {
    object: Kept<K>,
    /// What people wrote in it, as a hash.
    authored: u64,
    /// Not seen again yet in the list that is under way.
    is_doubtful: bool,
}

impl Cluster {
    /// Prepares the watch of a namespaced kind in all watched namespaces; [`Watched::start`] begins it.
    pub fn watched<K>(&self) -> Watched<K>
    where
        K: Watchable + Resource<Scope = NamespaceResourceScope>,
    {
        Watched::new(self.scoped::<Guarded<K>>())
    }

    /// The same for a kind of which there are thousands: they are kept small, and made anew for each look.
    pub fn watched_packed<K>(&self) -> Watched<K>
    where
        K: Watchable + Resource<Scope = NamespaceResourceScope>,
    {
        self.watched().with(|inner| inner.is_packed = true)
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
        let is_narrow = matches!(self.scope(), Scope::Namespaces(_));
        Watched::new(vec![Api::all(self.client.clone())]).with(|inner| inner.may_be_forbidden = is_narrow)
    }
}

impl<K: Watchable> Watched<K> {
    fn new(apis: Vec<Api<Guarded<K>>>) -> Self {
        let inner = Inner {
            unlisted: AtomicUsize::new(apis.len()),
            apis,
            entries: RwLock::default(),
            listeners: Mutex::default(),
            shrink: OnceLock::new(),
            is_packed: false,
            is_started: AtomicBool::new(false),
            may_be_forbidden: false,
        };
        Self { inner: Arc::new(inner) }
    }

    fn with(mut self, set: impl FnOnce(&mut Inner<K>)) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            set(inner);
        }
        self
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
        if !self.inner.is_started.swap(true, Ordering::AcqRel) {
            let watches = self.inner.apis.iter().map(|api| self.follow(api, stop.clone()));
            futures::future::join_all(watches).await;
        }
    }

    /// Whether everything has been listed once: before that, *absent* means *unknown*.
    pub fn is_ready(&self) -> bool {
        self.inner.unlisted.load(Ordering::Acquire) == 0
    }

    /// One object, as last seen.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<Guarded<K>>> {
        let kept = self.entries().get(key).map(|entry| entry.object.clone());
        kept.map(|kept| kept.unpacked())
    }

    /// One object that can be read.
    pub fn find(&self, key: &ObjectKey) -> Option<K> {
        self.get(key).and_then(readable)
    }

    /// Whether there is such an object.
    pub fn has(&self, key: &ObjectKey) -> bool {
        self.entries().contains_key(key)
    }

    /// The version of an object, as last seen; empty where it has none.
    pub fn version(&self, key: &ObjectKey) -> Option<String> {
        self.entries().get(key).map(|entry| entry.object.version())
    }

    /// All objects, as last seen, one after the other.
    pub fn all(&self) -> impl Iterator<Item = Arc<Guarded<K>>> + use<K> {
        let kept: Vec<_> = self.entries().values().map(|entry| entry.object.clone()).collect();
        kept.into_iter().map(|kept| kept.unpacked())
    }

    /// Those that can be read.
    pub fn readable(&self) -> impl Iterator<Item = K> + use<K> {
        self.all().filter_map(readable)
    }

    fn entries(&self) -> RwLockReadGuard<'_, HashMap<ObjectKey, Entry<K>>> {
        self.inner.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn entries_mut(&self) -> RwLockWriteGuard<'_, HashMap<ObjectKey, Entry<K>>> {
        self.inner.entries.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<Listener<K>>> {
        self.inner.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, seen: Seen, key: &ObjectKey, object: &Arc<Guarded<K>>) {
        for listener in self.listeners().iter() {
            listener(seen, key, object);
        }
    }

    async fn follow(&self, api: &Api<Guarded<K>>, stop: CancellationToken) {
        let mut listed_once = false;
        let mut complaints = Complaints::default();
        let mut events = watcher::watcher(api.clone(), watcher::Config::default().page_size(PAGE)).boxed();
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                event = events.next() => event,
            };
            let event = match event {
                None => return,
                Some(Err(error)) => {
                    complaints.hear(K::kind(&()).as_ref(), &error);
                    if self.inner.may_be_forbidden && is_forbidden(&error) {
                        self.is_listed(&mut listed_once);
                    }
                    tokio::time::sleep(complaints.pause()).await;
                    continue;
                }
                Some(Ok(event)) => event,
            };
            complaints.end();
            match event {
                Event::Init => self.doubt(api.namespace()),
                Event::InitApply(object) => self.see(true, object),
                Event::Apply(object) => self.see(false, object),
                Event::Delete(object) => {
                    let key = key_of(&object);
                    self.entries_mut().remove(&key);
                    self.tell(Seen::Gone, &key, &Arc::new(self.trimmed(object)));
                }
                Event::InitDone => {
                    self.drop_doubtful(api.namespace());
                    self.is_listed(&mut listed_once);
                }
            }
        }
    }

    fn is_listed(&self, listed_once: &mut bool) {
        if !std::mem::replace(listed_once, true) {
            self.inner.unlisted.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// A list begins: what it does not hold is gone.
    fn doubt(&self, namespace: Option<&str>) {
        for (key, entry) in self.entries_mut().iter_mut() {
            entry.is_doubtful |= namespace.is_none_or(|namespace| key.namespace == namespace);
        }
    }

    fn drop_doubtful(&self, namespace: Option<&str>) {
        let is_of = |key: &ObjectKey| namespace.is_none_or(|namespace| key.namespace == namespace);
        let gone: Vec<_> = self.entries_mut().extract_if(|key, entry| entry.is_doubtful && is_of(key)).collect();
        for (key, entry) in gone {
            self.tell(Seen::Gone, &key, &entry.object.unpacked());
        }
    }

    /// Keeps an object and tells of it. The hash is taken of all of it, also of what is not kept.
    fn see(&self, is_list: bool, mut object: Guarded<K>) {
        object.meta_mut().managed_fields = None;
        let (key, authored) = (key_of(&object), authored_hash(&object));
        let object = Arc::new(self.trimmed(object));
        let kept = if self.inner.is_packed { Kept::packed(&object) } else { Kept::Whole(Arc::clone(&object)) };
        let entry = Entry { object: kept, authored, is_doubtful: false };
        let before = self.entries_mut().insert(key.clone(), entry).map(|before| before.authored);
        let seen = match before {
            Some(before) if before != authored => Seen::Changed,
            _ if is_list => Seen::Listed,
            Some(_) => Seen::Touched,
            None => Seen::Made,
        };
        self.tell(seen, &key, &object);
    }

    /// Drops what nobody here reads and what may hold values of others.
    fn trimmed(&self, mut object: Guarded<K>) -> Guarded<K> {
        object.meta_mut().managed_fields = None;
        if let (Ok(object), Some(shrink)) = (&mut object.0, self.inner.shrink.get()) {
            shrink(object);
        }
        object
    }
}

fn readable<K: Watchable>(object: Arc<Guarded<K>>) -> Option<K> {
    match Arc::try_unwrap(object) {
        Ok(Guarded(object)) => object.ok(),
        Err(shared) => shared.0.as_ref().ok().cloned(),
    }
}

/// An object as it is kept.
enum Kept<K: Watchable> {
    Whole(Arc<Guarded<K>>),
    /// Its JSON: a third of what its fields take, each with an allocation of its own.
    Packed(Arc<str>),
}

impl<K: Watchable> Clone for Kept<K> {
    fn clone(&self) -> Self {
        match self {
            Self::Whole(object) => Self::Whole(Arc::clone(object)),
            Self::Packed(json) => Self::Packed(Arc::clone(json)),
        }
    }
}

impl<K: Watchable> Kept<K> {
    /// Packs an object; one that cannot be read stays as it is.
    fn packed(object: &Arc<Guarded<K>>) -> Self {
        let json = object.0.as_ref().ok().and_then(|object| serde_json::to_string(object).ok());
        json.map_or_else(|| Self::Whole(Arc::clone(object)), |json| Self::Packed(json.into()))
    }

    fn unpacked(&self) -> Arc<Guarded<K>> {
        match self {
            Self::Whole(object) => Arc::clone(object),
            Self::Packed(json) => {
                let read = Guarded::read(json);
                debug_assert!(read.as_ref().is_ok_and(|read| read.0.is_ok()), "{}: is read as written", K::kind(&()));
                // Told as an object that cannot be read, with which nothing is done.
                let broken = |error: serde_json::Error| {
                    Guarded(Err(InvalidObject { error: error.to_string(), metadata: ObjectMeta::default() }))
                };
                Arc::new(read.unwrap_or_else(broken))
            }
        }
    }

    fn version(&self) -> String {
        let version = match self {
            Self::Whole(object) => object.meta().resource_version.clone(),
            Self::Packed(json) => {
                serde_json::from_str(json).ok().and_then(|Versioned { metadata }| metadata.resource_version)
            }
        };
        version.unwrap_or_default()
    }
}

/// Of an object's JSON only this, without an allocation for all else.
#[derive(Deserialize)]
struct Versioned {
    metadata: Version,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    resource_version: Option<String>,
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
    let json = object.0.as_ref().ok().and_then(|object| serde_json::to_vec(object).ok());
    // A broken object: any new version of it is worth a look.
    if json.is_none_or(|json| hash_authored(&json, &mut hasher).is_err()) {
        object.meta().resource_version.hash(&mut hasher);
    }
    hasher.finish()
}

fn hash_authored(json: &[u8], hasher: &mut impl Hasher) -> serde_json::Result<()> {
    for (name, value) in serde_json::from_slice::<BTreeMap<String, &RawValue>>(json)? {
        match name.as_str() {
            "status" => {}
            "metadata" => {
                let mut metadata: BTreeMap<String, &RawValue> = serde_json::from_str(value.get())?;
                metadata.retain(|name, _| !matches!(name.as_str(), "resourceVersion" | "generation" | "managedFields"));
                metadata.iter().for_each(|(name, value)| (name, value.get()).hash(hasher));
            }
            _ => (name, value.get()).hash(hasher),
        }
    }
    Ok(())
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
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;

    fn watched(is_packed: bool) -> Watched<ConfigMap> {
        Watched::new(Vec::new()).with(|inner| inner.is_packed = is_packed)
    }

    fn object(name: &str, version: &str, value: &str) -> Guarded<ConfigMap> {
        let json = json!({
            "metadata": {
                "namespace": "a", "name": name, "resourceVersion": version,
                "managedFields": [{ "manager": "m" }], "annotations": { "a\"": value },
            },
            "data": { "k": value },
        });
        Guarded(Ok(serde_json::from_value(json).unwrap()))
    }

    fn broken(name: &str) -> Guarded<ConfigMap> {
        let Guarded(Ok(ConfigMap { metadata, .. })) = object(name, "1", "v") else { panic!("it can be read") };
        Guarded(Err(InvalidObject { error: "no".to_owned(), metadata }))
    }

    #[test]
    fn what_is_packed_is_as_it_was() {
        let (packed, whole) = (watched(true), watched(false));
        for watched in [&packed, &whole] {
            watched.keep_only(|object| object.data.iter_mut().for_each(|data| drop(data.remove("left out"))));
            watched.see(true, object("one", "7", "b\u{1f511}\"\\"));
            watched.see(true, broken("two"));
        }
        let key = ObjectKey::new("a", "one");
        assert_eq!(packed.find(&key), whole.find(&key));
        assert_eq!(packed.find(&key).unwrap().data.unwrap()["k"], "b\u{1f511}\"\\");
        for watched in [&packed, &whole] {
            assert_eq!(watched.version(&key).as_deref(), Some("7"));
            assert!(watched.find(&key).unwrap().metadata.managed_fields.is_none());
            let two = ObjectKey::new("a", "two");
            assert!(watched.has(&two) && watched.find(&two).is_none());
            assert_eq!(watched.get(&two).unwrap().meta().name.as_deref(), Some("two"));
            assert_eq!((watched.all().count(), watched.readable().count()), (2, 1));
        }
    }

    #[test]
    fn what_is_seen_is_told_apart() {
        let watched = watched(true);
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = Arc::clone(&told);
        watched.on_seen(move |seen, key, _| telling.lock().unwrap().push((seen, key.name.clone())));
        let say = || std::mem::take(&mut *told.lock().unwrap());
        watched.see(true, object("a", "1", "v"));
        watched.see(true, object("b", "1", "v"));
        watched.see(false, object("a", "2", "v"));
        watched.see(false, object("a", "3", "w"));
        watched.see(false, object("c", "1", "v"));
        let named = |seen: Seen, name: &str| (seen, name.to_owned());
        let expected =
            [(Seen::Listed, "a"), (Seen::Listed, "b"), (Seen::Touched, "a"), (Seen::Changed, "a"), (Seen::Made, "c")];
        assert_eq!(say(), expected.map(|(seen, name)| named(seen, name)));
        // A further list: b is gone, c was changed meanwhile, and another namespace has not been listed.
        watched.doubt(Some("a"));
        watched.see(true, object("a", "4", "w"));
        watched.see(true, object("c", "2", "w"));
        watched.drop_doubtful(Some("elsewhere"));
        assert_eq!(say(), [named(Seen::Listed, "a"), named(Seen::Changed, "c")]);
        assert!(watched.has(&ObjectKey::new("a", "b")), "until the list is complete");
        watched.drop_doubtful(Some("a"));
        assert_eq!(say(), [named(Seen::Gone, "b")]);
        assert!(!watched.has(&ObjectKey::new("a", "b")));
    }

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
