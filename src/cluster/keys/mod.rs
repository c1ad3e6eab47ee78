//! Sealing keys: Secrets with the reference's label in the operator's namespace, followed live, opened once.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use seal::api::{KEY_ACTIVE, KEY_LABEL};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::stores::Complaints;
use super::{Cluster, Error};
use crate::plan::{KeyFacts, Note, ObjectKey, ObjectRef};
use crate::telemetry::{HeldKeyLabels, Metrics};

mod forms;
mod making;
mod publishing;
mod ring;

pub use making::Birth;
pub use publishing::PUBLIC_KEYS;
pub use ring::KeyRing;
use ring::SealingKey;

/// The one object that guards the birth of a key: it names the Secret that the key will be, so that two processes, or
/// one that was killed in between, make the same Secret and not two.
pub const KEY_BIRTH: &str = "chancery-sealing-key";
/// How soon it is asked again whether a key that went was deleted or disowned, when the API server did not say.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// What new keys are like, and which key is the newest.
#[derive(Clone, Debug)]
pub struct KeyPolicy {
    /// Names of key Secrets begin with this; one of exactly this name is a key without a label, too.
    pub prefix: String,
    /// 2048, 3072, 4096 or 8192.
    pub bits: usize,
    /// How long the certificate counts.
    pub ttl: Duration,
    /// Common name in the certificate.
    pub common_name: String,
    /// Labels of the Secret.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the Secret.
    pub annotations: BTreeMap<String, String>,
    /// The newest is the one whose Secret, not whose certificate, is.
    pub by_creation: bool,
    /// The first key is never made.
    pub require_existing: bool,
}

impl Default for KeyPolicy {
    fn default() -> Self {
        Self {
            prefix: "sealed-secrets-key".to_owned(),
            bits: 4096,
            ttl: Duration::from_secs(3650 * 86_400),
            common_name: String::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            by_creation: false,
            require_existing: false,
        }
    }
}

/// The keys as they come and go. Cheap to clone.
#[derive(Clone)]
pub struct Keys {
    shared: Arc<Shared>,
}

struct Shared {
    policy: KeyPolicy,
    known: Mutex<Known>,
    ring: RwLock<Arc<KeyRing>>,
    changes: watch::Sender<u64>,
    /// Watches that have not been listed yet.
    unlisted: watch::Sender<usize>,
    /// Why no key is made, for whoever asks for the certificate.
    refusal: Mutex<Option<String>>,
    /// Somebody asks for a new key.
    asked: Notify,
    recent: Mutex<Option<String>>,
    metrics: Arc<Metrics>,
    cores: Semaphore,
}

/// Every Secret that is, or was, a key, by name.
#[derive(Default)]
struct Known {
    keys: HashMap<String, Arc<SealingKey>>,
    deleted: Vec<Arc<SealingKey>>,
    unusable: BTreeMap<String, String>,
}

/// What became of a Secret that is no longer among the keys.
enum Gone {
    /// It is deleted.
    Deleted,
    /// It is there and nobody calls it a key any more.
    Disowned,
    /// It is a key again.
    Back,
}

impl Keys {
    /// No keys yet.
    pub fn new(policy: KeyPolicy, metrics: Arc<Metrics>) -> Self {
        Self {
            shared: Arc::new(Shared {
                policy,
                known: Mutex::default(),
                ring: RwLock::default(),
                changes: watch::Sender::new(0),
                unlisted: watch::Sender::new(2),
                refusal: Mutex::default(),
                asked: Notify::new(),
                recent: Mutex::default(),
                metrics,
                cores: Semaphore::new(std::thread::available_parallelism().map_or(1, NonZero::get)),
            }),
        }
    }

    /// The keys that there are now.
    pub fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.shared.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What new keys are like.
    pub fn policy(&self) -> &KeyPolicy {
        &self.shared.policy
    }

    /// When the key that seals was the newest for the first time, by the order that was chosen; seconds since 1970.
    pub fn newest_since(&self) -> Option<i64> {
        let ring = self.ring();
        let sealing = ring.keys.iter().find(|key| key.certificate.is_some())?;
        Some(self.order_of(sealing))
    }

    /// Whether they have been listed once.
    pub fn is_ready(&self) -> bool {
        *self.shared.unlisted.borrow() == 0
    }

    /// Tells of every change of the ring.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Why there is no key, in words for whoever needs one.
    pub fn refusal(&self) -> Option<String> {
        self.lock_refusal().clone()
    }

    /// Asks for a new key.
    pub fn ask_for_a_new_one(&self) {
        self.shared.asked.notify_one();
    }

    /// Waits until somebody asks for a new key.
    pub async fn asked_for_a_new_one(&self) {
        self.shared.asked.notified().await;
    }

    /// The fingerprint of the key that opened an object last: a backlog is mostly of one key.
    pub fn recent(&self) -> Option<String> {
        self.shared.recent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers it.
    pub fn has_fitted(&self, fingerprint: &str) {
        let mut recent = self.shared.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.as_deref() != Some(fingerprint) {
            *recent = Some(fingerprint.to_owned());
        }
    }

    /// Does work that keeps a core busy, no more of it at a time than there are cores. `None` when it was interrupted.
    pub async fn at_work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let _core = self.shared.cores.acquire().await.ok()?;
        tokio::task::spawn_blocking(work).await.ok()
    }

    /// Follows the key Secrets until `stop`: those with the label, and the one of before 2020 that has its name only.
    pub async fn follow(&self, cluster: &Cluster, stop: CancellationToken) {
        let labelled = watcher::Config::default().labels(&format!("{KEY_LABEL}={KEY_ACTIVE}"));
        let named = watcher::Config::default().fields(&format!("metadata.name={}", self.policy().prefix));
        futures::join!(self.follow_some(cluster, labelled, &stop), self.follow_some(cluster, named, &stop));
    }

    async fn follow_some(&self, cluster: &Cluster, config: watcher::Config, stop: &CancellationToken) {
        let api: Api<Secret> = Api::namespaced(cluster.client.clone(), cluster.namespace());
        let mut mine: Vec<String> = Vec::new();
        let mut listed: Option<Vec<String>> = None;
        let mut listed_once = false;
        let mut complaints = Complaints::default();
        let mut events = watcher::watcher(api, config).boxed();
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                event = events.next() => event,
            };
            match event {
                None => return,
                Some(Err(error)) => {
                    complaints.hear("sealing key", &error);
                    tokio::time::sleep(complaints.pause()).await;
                    continue;
                }
                Some(Ok(Event::Init)) => listed = Some(Vec::new()),
                Some(Ok(Event::InitApply(secret))) => {
                    listed.get_or_insert_default().push(secret.name_any());
                    self.read(cluster, &secret).await;
                }
                Some(Ok(Event::InitDone)) => {
                    let now = listed.take().unwrap_or_default();
                    for gone in mine.iter().filter(|name| !now.contains(name)) {
                        self.lose(cluster, gone, stop).await;
                    }
                    mine = now;
                    self.publish();
                    if !listed_once {
                        listed_once = true;
                        self.shared.unlisted.send_modify(|left| *left -= 1);
                    }
                }
                Some(Ok(Event::Apply(secret))) => {
                    mine.push(secret.name_any());
                    self.read(cluster, &secret).await;
                    self.publish();
                }
                Some(Ok(Event::Delete(secret))) => {
                    let name = secret.name_any();
                    mine.retain(|known| *known != name);
                    self.lose(cluster, &name, stop).await;
                    self.publish();
                }
            }
            complaints.end();
        }
    }

    /// Takes a Secret for a key, or says why it is none.
    async fn read(&self, cluster: &Cluster, secret: &Secret) {
        let name = secret.name_any();
        if secret.labels().get(KEY_LABEL).is_some_and(|value| value != KEY_ACTIVE) {
            // The one that is known by its name, and somebody says that it is not to be used.
            self.disown(&name);
            return;
        }
        let read = SealingKey::of(secret, &self.shared.metrics);
        let problem = {
            let mut known = self.lock_known();
            let before = known.keys.remove(&name);
            let same = |key: &SealingKey| before.as_ref().is_some_and(|before| before.fingerprint == key.fingerprint);
            match read {
                Ok(key) => {
                    let stays = same(&key);
                    known.deleted.retain(|gone| gone.fingerprint != key.fingerprint);
                    known.unusable.remove(&name);
                    known.keys.insert(name.clone(), Arc::new(key));
                    if !stays {
                        known.deleted.extend(before);
                    }
                    None
                }
                Err(problem) => {
                    // What it opened until now goes on being opened.
                    known.deleted.extend(before);
                    let told = known.unusable.insert(name.clone(), problem.clone());
                    (told.as_ref() != Some(&problem)).then_some(problem)
                }
            }
        };
        let Some(problem) = problem else { return };
        tracing::warn!(secret = name, problem, "a Secret is labelled as sealing key and is none");
        let message = format!("it is labelled as sealing key and cannot be used: {problem}");
        let note = Note { warning: true, reason: "InvalidKey".to_owned(), message };
        let object = object_ref(cluster, "Secret", &name);
        if let Err(error) = cluster.publish(&object, &secret.uid().unwrap_or_default(), &note).await {
            tracing::debug!(%error, "the event could not be published");
        }
    }

    /// A Secret went from the list. The watch does not say whether it was deleted or lost its label, and the difference
    /// matters: the latter is how a compromised key is taken out of use, at once.
    async fn lose(&self, cluster: &Cluster, name: &str, stop: &CancellationToken) {
        self.delete(name);
        self.publish();
        loop {
            match what_became_of(cluster, name).await {
                Ok(Gone::Deleted) => {
                    tracing::warn!(
                        secret = name,
                        reason = "KeyDeleted",
                        "a sealing key was deleted: it seals nothing any more, and opens what still needs it until this \
                         process ends. Restore it from a backup, or seal those objects anew"
                    );
                    return;
                }
                Ok(Gone::Disowned) => {
                    tracing::warn!(secret = name, "a sealing key has lost its label: it opens nothing any more");
                    self.disown(name);
                    return;
                }
                Ok(Gone::Back) => return,
                Err(error) => tracing::debug!(%error, secret = name, "it is not known what became of a sealing key"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(ASK_AGAIN) => {}
            }
        }
    }

    fn delete(&self, name: &str) {
        let mut known = self.lock_known();
        known.unusable.remove(name);
        let gone = known.keys.remove(name);
        known.deleted.extend(gone);
    }

    fn disown(&self, name: &str) {
        let mut known = self.lock_known();
        known.keys.remove(name);
        known.unusable.remove(name);
        known.deleted.retain(|key| key.secret != name);
    }

    fn publish(&self) {
        let ring = {
            let known = self.lock_known();
            let mut keys: Vec<_> = known.keys.values().cloned().collect();
            // Of two that are as new, the one that was there first seals; all replicas agree.
            let order = |key: &SealingKey| (std::cmp::Reverse(self.order_of(key)), key.created, key.secret.clone());
            keys.sort_by_cached_key(|key| order(key));
            KeyRing { keys, deleted: known.deleted.clone(), unusable: known.unusable.clone() }
        };
        if !ring.seals_nothing() {
            *self.lock_refusal() = None;
        }
        tracing::info!(
            keys = ring.keys.len(),
            deleted = ring.deleted.len(),
            unusable = ring.unusable.len(),
            "sealing keys"
        );
        let held = &self.shared.metrics.keys_held;
        held.clear();
        for KeyFacts { secret, fingerprint, state, .. } in ring.facts() {
            held.get_or_create(&HeldKeyLabels { secret, fingerprint, state }).set(1);
        }
        *self.shared.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
        self.shared.changes.send_modify(|count| *count += 1);
    }

    fn order_of(&self, key: &SealingKey) -> i64 {
        if self.policy().by_creation { key.created } else { key.not_before }
    }

    fn lock_known(&self) -> MutexGuard<'_, Known> {
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_refusal(&self) -> MutexGuard<'_, Option<String>> {
        self.shared.refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn what_became_of(cluster: &Cluster, name: &str) -> Result<Gone, Error> {
    let api: Api<Secret> = Api::namespaced(cluster.client.clone(), cluster.namespace());
    let found = cluster.within(&object_ref(cluster, "Secret", name), api.get_metadata_opt(name)).await?;
    Ok(match found {
        None => Gone::Deleted,
        Some(secret) if secret.labels().get(KEY_LABEL).is_some_and(|value| value == KEY_ACTIVE) => Gone::Back,
        Some(_) => Gone::Disowned,
    })
}

fn object_ref(cluster: &Cluster, kind: &str, name: &str) -> ObjectRef {
    ObjectRef { api_version: "v1".to_owned(), kind: kind.to_owned(), key: ObjectKey::new(cluster.namespace(), name) }
}
