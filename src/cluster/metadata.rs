//! Metadata of objects whose bodies we do not keep: Secrets, and everything that Applications manage.
//!
//! Secrets that nobody refers to are dropped before they are kept (D12), so *absent here* means *unknown*.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ObjectMeta, PartialObjectMeta};
use kube::runtime::watcher::{self, Event};
use tokio_util::sync::CancellationToken;

use super::stores::{Complaints, Seen};
use super::{Cluster, Error, Scope};
use crate::plan::ObjectKey;

type Filter = Box<dyn Fn(&ObjectKey, &ObjectMeta) -> bool + Send + Sync>;
type Listener = Box<dyn Fn(Seen, &ObjectKey, &Arc<ObjectMeta>) + Send + Sync>;

/// Metadata of one kind, filtered. Cheap to clone.
#[derive(Clone)]
pub struct Metadata {
    inner: Arc<Inner>,
}

struct Inner {
    api_version: String,
    kind: String,
    entries: Mutex<HashMap<ObjectKey, Entry>>,
    /// An object is kept when one of these wants it; without any, all are kept.
    filters: Mutex<Vec<(Filter, Extent)>>,
    listeners: Mutex<Vec<Listener>>,
    unlisted: AtomicUsize,
}

/// How much of an object's metadata is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Extent {
    /// Which one it is, in which version.
    Version,
    /// All but what nobody reads.
    Whole,
}

struct Entry {
    metadata: Arc<ObjectMeta>,
    /// Not seen again yet in the list that is under way.
    doubtful: bool,
}

impl Cluster {
    /// Prepares the watch of all Secrets' metadata; [`Metadata::start`] begins it.
    pub fn secret_metadata(&self) -> Metadata {
        Metadata::new("v1", "Secret")
    }

    /// Prepares the watch of any kind's metadata; [`Metadata::start`] begins it.
    pub fn metadata_of(&self, api_version: &str, kind: &str) -> Metadata {
        Metadata::new(api_version, kind)
    }
}

impl Metadata {
    fn new(api_version: &str, kind: &str) -> Self {
        Self {
            inner: Arc::new(Inner {
                api_version: api_version.to_owned(),
                kind: kind.to_owned(),
                entries: Mutex::default(),
                filters: Mutex::default(),
                listeners: Mutex::default(),
                unlisted: AtomicUsize::new(1),
            }),
        }
    }

    /// Keeps objects that `wanted` wants, too. Register before [`Metadata::start`].
    pub fn keep(&self, wanted: impl Fn(&ObjectKey, &ObjectMeta) -> bool + Send + Sync + 'static) {
        lock(&self.inner.filters).push((Box::new(wanted), Extent::Whole));
    }

    /// The same, of which only uid and resourceVersion are kept: labels of thousands of objects cost more than all else.
    pub fn keep_version(&self, wanted: impl Fn(&ObjectKey, &ObjectMeta) -> bool + Send + Sync + 'static) {
        lock(&self.inner.filters).push((Box::new(wanted), Extent::Version));
    }

    /// Calls `listener` for each kept object that is seen. Register before [`Metadata::start`].
    pub fn on_seen(&self, listener: impl Fn(Seen, &ObjectKey, &Arc<ObjectMeta>) + Send + Sync + 'static) {
        lock(&self.inner.listeners).push(Box::new(listener));
    }

    /// Whether everything has been listed once.
    pub fn is_ready(&self) -> bool {
        self.inner.unlisted.load(Ordering::Acquire) == 0
    }

    /// One object's metadata. Absent means unknown for filtered kinds.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<ObjectMeta>> {
        lock(&self.inner.entries).get(key).map(|entry| Arc::clone(&entry.metadata))
    }

    /// What is kept and `wanted` wants.
    pub fn select(&self, wanted: impl Fn(&ObjectMeta) -> bool) -> Vec<(ObjectKey, Arc<ObjectMeta>)> {
        let entries = lock(&self.inner.entries);
        let selected = entries.iter().filter(|(_, entry)| wanted(&entry.metadata));
        selected.map(|(key, entry)| (key.clone(), Arc::clone(&entry.metadata))).collect()
    }

    /// Runs the watch until `stop`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownKind`] when the API server does not serve the kind.
    pub async fn start(&self, cluster: &Cluster, stop: CancellationToken) -> Result<(), Error> {
        let resource = if self.inner.kind == "Secret" && self.inner.api_version == "v1" {
            super::discovery::Kind { resource: ApiResource::erase::<Secret>(&()), namespaced: true }
        } else {
            cluster.kind(&self.inner.api_version, &self.inner.kind).await?
        };
        let namespaces: Vec<Option<String>> = match cluster.scope() {
            Scope::Namespaces(names) if resource.namespaced => names.iter().cloned().map(Some).collect(),
            _ => vec![None],
        };
        self.inner.unlisted.store(namespaces.len(), Ordering::Release);
        let watches = namespaces.into_iter().map(|namespace| {
            let api: Api<PartialObjectMeta<DynamicObject>> = match &namespace {
                Some(name) => Api::namespaced_with(cluster.client.clone(), name, &resource.resource),
                None => Api::all_with(cluster.client.clone(), &resource.resource),
            };
            self.follow(api, namespace, stop.clone())
        });
        futures::future::join_all(watches).await;
        Ok(())
    }

    async fn follow(
        &self,
        api: Api<PartialObjectMeta<DynamicObject>>,
        namespace: Option<String>,
        stop: CancellationToken,
    ) {
        let mut complaints = Complaints::default();
        let mut listed_once = false;
        let mut events = watcher::watcher(api, watcher::Config::default()).boxed();
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                event = events.next() => event,
            };
            match event {
                None => return,
                Some(Err(error)) => {
                    complaints.hear(&self.inner.kind, &error);
                    tokio::time::sleep(complaints.pause()).await;
                    continue;
                }
                Some(Ok(Event::Init)) => self.doubt(namespace.as_deref()),
                Some(Ok(Event::InitApply(object))) => self.see(Seen::Listed, object.metadata),
                Some(Ok(Event::Apply(object))) => self.see(Seen::Changed, object.metadata),
                Some(Ok(Event::Delete(object))) => self.lose_wanted(object.metadata),
                Some(Ok(Event::InitDone)) => {
                    self.drop_doubtful(namespace.as_deref());
                    if !listed_once {
                        listed_once = true;
                        self.inner.unlisted.fetch_sub(1, Ordering::AcqRel);
                    }
                }
            }
            complaints.end();
        }
    }

    fn see(&self, seen: Seen, mut metadata: ObjectMeta) {
        let key = key_of(&metadata);
        metadata.managed_fields = None;
        if let Some(annotations) = &mut metadata.annotations {
            // kubectl's copy of the whole object, values included.
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
        let Some(extent) = self.wanted(&key, &metadata) else {
            // It may have been wanted until somebody took its mark away.
            self.lose(&key);
            return;
        };
        let metadata = Arc::new(if extent == Extent::Whole { metadata } else { version_of(metadata) });
        let before =
            lock(&self.inner.entries).insert(key.clone(), Entry { metadata: Arc::clone(&metadata), doubtful: false });
        let seen = match before {
            None if seen == Seen::Changed => Seen::Made,
            Some(before) if before.metadata.resource_version == metadata.resource_version => Seen::Listed,
            Some(_) => Seen::Changed,
            None => seen,
        };
        self.tell(seen, &key, &metadata);
    }

    fn wanted(&self, key: &ObjectKey, metadata: &ObjectMeta) -> Option<Extent> {
        let filters = lock(&self.inner.filters);
        if filters.is_empty() {
            return Some(Extent::Whole);
        }
        filters.iter().filter(|(wants, _)| wants(key, metadata)).map(|(_, extent)| *extent).max()
    }

    /// It was deleted. Somebody may want it by now although nobody did when it was seen.
    fn lose_wanted(&self, metadata: ObjectMeta) {
        let key = key_of(&metadata);
        let known = lock(&self.inner.entries).contains_key(&key);
        if known {
            self.lose(&key);
        } else if self.wanted(&key, &metadata).is_some() {
            self.tell(Seen::Gone, &key, &Arc::new(metadata));
        }
    }

    fn lose(&self, key: &ObjectKey) {
        let gone = lock(&self.inner.entries).remove(key);
        if let Some(gone) = gone {
            self.tell(Seen::Gone, key, &gone.metadata);
        }
    }

    fn doubt(&self, namespace: Option<&str>) {
        // Those of another namespace may be in doubt for their own list.
        for (key, entry) in lock(&self.inner.entries).iter_mut() {
            entry.doubtful |= namespace.is_none_or(|namespace| key.namespace == namespace);
        }
    }

    fn drop_doubtful(&self, namespace: Option<&str>) {
        let gone: Vec<ObjectKey> = lock(&self.inner.entries)
            .iter()
            .filter(|(key, entry)| entry.doubtful && namespace.is_none_or(|namespace| key.namespace == namespace))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            self.lose(&key);
        }
    }

    fn tell(&self, seen: Seen, key: &ObjectKey, metadata: &Arc<ObjectMeta>) {
        for listener in lock(&self.inner.listeners).iter() {
            listener(seen, key, metadata);
        }
    }
}

fn version_of(metadata: ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        resource_version: metadata.resource_version,
        ..ObjectMeta::default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key_of(metadata: &ObjectMeta) -> ObjectKey {
    ObjectKey::new(metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_two_namespaces_at_once_forget_what_is_gone_from_either() {
        let metadata = Metadata::new("v1", "Secret");
        let object = |namespace: &str| ObjectMeta {
            name: Some("x".to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        };
        for namespace in ["a", "b"] {
            metadata.see(Seen::Listed, object(namespace));
        }
        metadata.doubt(Some("a"));
        metadata.doubt(Some("b"));
        metadata.see(Seen::Listed, object("b"));
        metadata.drop_doubtful(Some("a"));
        metadata.drop_doubtful(Some("b"));
        assert!(metadata.get(&ObjectKey::new("a", "x")).is_none());
        assert!(metadata.get(&ObjectKey::new("b", "x")).is_some());
    }

    #[test]
    fn what_nobody_asks_for_is_not_kept() {
        let metadata = Metadata::new("v1", "Secret");
        metadata.keep(|key, _| key.name == "whole" || key.name == "both");
        metadata.keep_version(|key, _| key.name == "version" || key.name == "both");
        for name in ["whole", "version", "both", "unwanted"] {
            let labels = std::collections::BTreeMap::from([("a".to_owned(), "b".to_owned())]);
            let seen = ObjectMeta {
                name: Some(name.to_owned()),
                uid: Some("u".to_owned()),
                resource_version: Some("7".to_owned()),
                labels: Some(labels),
                ..ObjectMeta::default()
            };
            metadata.see(Seen::Changed, seen);
        }
        let kept = |name: &str| metadata.get(&ObjectKey::new("", name));
        for (name, labelled) in [("whole", true), ("version", false), ("both", true)] {
            let kept = kept(name).unwrap();
            assert_eq!((kept.uid.as_deref(), kept.resource_version.as_deref()), (Some("u"), Some("7")), "{name}");
            assert_eq!(kept.labels.is_some(), labelled, "{name}");
        }
        assert_eq!(kept("unwanted"), None);
    }
}
