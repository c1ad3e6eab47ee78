//! Everything that Applications manage, as metadata: one watch a kind in use, begun when the kind is first needed.
//!
//! Only objects that bear a tracking id are kept, so a cluster full of other people's objects costs nothing but the stream.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::api::ObjectMeta;
use tokio_util::sync::CancellationToken;

use super::{Cluster, Error, Metadata, Seen};
use crate::api::application::TRACKING_ID;
use crate::plan::{ObjectKey, ObjectRef};

/// How long the first list of a kind is waited for.
const FIRST_LIST: Duration = Duration::from_secs(10);

type Listener = Arc<dyn Fn(Seen, &ObjectRef, &ObjectMeta) + Send + Sync>;

/// The watches of all kinds in use. Cheap to clone.
#[derive(Clone)]
pub struct Live {
    cluster: Cluster,
    stop: CancellationToken,
    on_seen: Listener,
    kinds: Arc<Mutex<HashMap<GroupKind, Followed>>>,
}

/// Versions of a kind are views of the same objects.
type GroupKind = (String, String);

#[derive(Clone)]
struct Followed {
    api_version: String,
    metadata: Metadata,
    since: Instant,
}

impl Live {
    /// Without any kind yet; `on_seen` hears of each tracked object.
    pub fn new(
        cluster: &Cluster,
        stop: CancellationToken,
        on_seen: impl Fn(Seen, &ObjectRef, &ObjectMeta) + Send + Sync + 'static,
    ) -> Self {
        Self { cluster: cluster.clone(), stop, on_seen: Arc::new(on_seen), kinds: Arc::default() }
    }

    /// Watches a kind from now on, and waits until all its objects are known.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownKind`]; [`Error::Forbidden`] when the list does not come, which is what a missing right looks like.
    pub async fn follow(&self, api_version: &str, kind: &str) -> Result<(), Error> {
        self.cluster.kind(api_version, kind).await?;
        let followed = self.begin(api_version, kind);
        while !followed.metadata.is_ready() {
            if followed.since.elapsed() > FIRST_LIST {
                let message = format!(
                    "objects of kind {kind} in {api_version} cannot be listed; may our service account do that?"
                );
                return Err(Error::Forbidden(message));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// What is known of one tracked object. Absent means untracked or not there.
    pub fn get(&self, object: &ObjectRef) -> Option<Arc<ObjectMeta>> {
        self.followed(object)?.metadata.get(&object.key)
    }

    /// Everything whose tracking id begins with the name of this Application.
    pub fn tracked_by(&self, instance: &str) -> Vec<(ObjectRef, Arc<ObjectMeta>)> {
        let is_tracked = |metadata: &ObjectMeta| {
            let id = metadata.annotations.as_ref().and_then(|annotations| annotations.get(TRACKING_ID));
            id.is_some_and(|id| id.strip_prefix(instance).is_some_and(|rest| rest.starts_with(':')))
        };
        let followed: Vec<(GroupKind, Followed)> =
            self.lock().iter().map(|(kind, followed)| (kind.clone(), followed.clone())).collect();
        let objects = followed.into_iter().flat_map(|((_, kind), followed)| {
            let api_version = followed.api_version;
            followed.metadata.select(is_tracked).into_iter().map(move |(key, metadata)| {
                (ObjectRef { api_version: api_version.clone(), kind: kind.clone(), key }, metadata)
            })
        });
        objects.collect()
    }

    fn begin(&self, api_version: &str, kind: &str) -> Followed {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let mut kinds = self.lock();
        if let Some(known) = kinds.get(&(group.to_owned(), kind.to_owned())) {
            return known.clone();
        }
        let metadata = self.cluster.metadata_of(api_version, kind);
        metadata.keep(|_: &ObjectKey, metadata| {
            metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(TRACKING_ID))
        });
        let (on_seen, reference) = (Arc::clone(&self.on_seen), (api_version.to_owned(), kind.to_owned()));
        metadata.on_seen(move |seen, key, metadata| {
            let (api_version, kind) = reference.clone();
            on_seen(seen, &ObjectRef { api_version, kind, key: key.clone() }, metadata);
        });
        let followed =
            Followed { api_version: api_version.to_owned(), metadata: metadata.clone(), since: Instant::now() };
        kinds.insert((group.to_owned(), kind.to_owned()), followed.clone());
        let (live, slot, stop) = (self.clone(), (group.to_owned(), kind.to_owned()), self.stop.clone());
        tokio::spawn(async move {
            if let Err(error) = metadata.start(&live.cluster, stop).await {
                tracing::debug!(%error, kind = slot.1, "the kind cannot be watched");
                live.lock().remove(&slot);
            }
        });
        followed
    }

    fn followed(&self, object: &ObjectRef) -> Option<Followed> {
        self.lock().get(&(object.group().to_owned(), object.kind.clone())).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<GroupKind, Followed>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
