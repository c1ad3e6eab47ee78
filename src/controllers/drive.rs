//! One place turns the end of a reconcile into span, metric, status, event and requeue, so that no reconcile body
//! holds any of them.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use kube::Resource;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tracing::Instrument;

use super::Context;
use crate::cluster::{self, Guarded, Watchable, Watched, invalid_object_message};
use crate::error::{Classify, Retry};
use crate::plan::{Next, Note, ObjectKey, ObjectRef, Verdict};
use crate::scheduler::{Class, Scheduler};
use crate::telemetry::external_secrets::ReferenceMetrics;
use crate::telemetry::{ControllerLabel, ReconcileLabels};

/// How long the watch may take to tell us of our own write; after that we go on all the same.
const OWN_WRITE: Duration = Duration::from_secs(3);
/// How soon we look anew at what changed while we were about to write it.
const OVERTAKEN: Duration = Duration::from_millis(300);
/// Whoever is first so many times in a row writes over and over, and that is told.
const OVERTAKEN_TIMES: u32 = 8;
/// How long an object waits for room, at a store for instance, before that is told.
const NO_ROOM: Duration = Duration::from_secs(60);
/// Events that wait to be published; beyond that, the work waits for them.
const ANNOUNCEMENTS: usize = 4096;
/// Statuses that wait while objects do.
const STATUSES: usize = 256;
/// The pause between two events, or two such statuses, while objects wait.
const ASIDE: Duration = Duration::from_millis(20);
/// How long events are still published when we end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// One controller: how to bring one object up to date, and how to say that it could not be done.
pub trait Reconcile: Send + Sync + 'static {
    /// What users write.
    type Kind: Watchable;
    /// What can go wrong.
    type Error: Classify + Send + Sync + 'static;
    /// Its name in logs and metrics.
    const NAME: &'static str;
    /// Whether a status may wait while other objects do: what people wait for is a Secret, which is written before.
    const STATUS_MAY_WAIT: bool = false;
    /// Whether the status is a subresource. Argo CD's Application has none.
    const STATUS_SUBRESOURCE: bool = true;

    /// Where the objects are.
    fn store(&self) -> &Watched<Self::Kind>;

    /// Brings one object up to date.
    fn reconcile(&self, object: &Self::Kind, class: Class)
    -> impl Future<Output = Result<Verdict, Self::Error>> + Send;

    /// The complete status of an object that could not be brought up to date, with what was known of it kept, and the
    /// event that says so.
    fn failed(&self, object: &Self::Kind, failure: &Failure) -> (Value, Option<Note>);

    /// The complete status of an object that cannot even be read.
    fn broken(failure: &Failure) -> Value;

    /// Called when an object is gone.
    fn gone(&self, _key: &ObjectKey) {}
}

/// A failure, as statuses and events tell it.
#[derive(Clone, Debug)]
pub struct Failure {
    /// CamelCase.
    pub reason: &'static str,
    /// For people; never a value.
    pub message: String,
    /// What can help.
    pub retry: Retry,
    /// Names of the parts that fail, where an object has parts.
    pub items: Vec<String>,
}

impl Failure {
    fn of(error: &dyn Classify) -> Self {
        Self { reason: error.reason(), message: error.to_string(), retry: error.retry(), items: error.items() }
    }
}

/// Works on the queue of one controller until told to stop, several objects at a time; then lets what runs end.
pub async fn drive<R: Reconcile>(context: Context, reconciler: Arc<R>, queue: Scheduler) {
    let (announcements, heard) = mpsc::channel(ANNOUNCEMENTS);
    let announcing = announce(context.clone(), queue.clone(), heard);
    let (warned, untold) = (Mutex::default(), Untold::default());
    let slots = Arc::new(Semaphore::new(context.settings.concurrency.max(1)));
    let aside = Aside { places: Semaphore::new(STATUSES), turn: tokio::sync::Mutex::default() };
    let driver = Driver { context, reconciler, queue, slots, aside, warned, untold, announcements };
    futures::join!(work(Arc::new(driver)), announcing);
}

async fn work<R: Reconcile>(driver: Arc<Driver<R>>) {
    let mut running = JoinSet::new();
    loop {
        let slot = tokio::select! {
            () = driver.context.stop.cancelled() => break,
            slot = Arc::clone(&driver.slots).acquire_owned() => slot.ok(),
        };
        let (key, class) = tokio::select! {
            () = driver.context.stop.cancelled() => break,
            ticket = driver.queue.next() => ticket,
        };
        let worker = Arc::clone(&driver);
        running.spawn(async move {
            let mut slot = slot;
            let next = worker.run(&key, class, &mut slot).await;
            worker.queue.done(&key, next);
        });
        while running.try_join_next().is_some() {}
    }
    running.join_all().await;
}

/// An event that is to be published: of which object, with its uid, and what.
type Announcement = (ObjectRef, String, Note);

/// Publishes events one after the other, beside the work: they are told of Secrets and must not hold up others.
async fn announce(context: Context, queue: Scheduler, mut heard: mpsc::Receiver<Announcement>) {
    let all = async {
        while let Some((object, uid, note)) = heard.recv().await {
            // While objects wait, the API server is theirs, as long as there is room for more events.
            if queue.depth() > 0 && heard.len() < ANNOUNCEMENTS / 2 {
                tokio::time::sleep(ASIDE).await;
            }
            if let Err(error) = context.cluster.publish(&object, &uid, &note).await {
                tracing::debug!(%error, "the event could not be published");
            }
        }
    };
    let the_end = async {
        context.stop.cancelled().await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    tokio::select! {
        () = all => {}
        () = the_end => tracing::debug!("the last events are not published"),
    }
}

struct Driver<R: Reconcile> {
    context: Context,
    reconciler: Arc<R>,
    queue: Scheduler,
    /// As many as objects are worked on at a time.
    slots: Arc<Semaphore>,
    aside: Aside,
    /// The last warning published for an object: a cause that lasts is one event, not one a retry.
    warned: Mutex<HashMap<ObjectKey, Note>>,
    untold: Untold,
    announcements: mpsc::Sender<Announcement>,
}

/// Where statuses wait while objects do.
struct Aside {
    /// For so many: who finds none writes at once.
    places: Semaphore,
    /// One after the other leaves.
    turn: tokio::sync::Mutex<()>,
}

/// The right to be one of those at work.
type Slot = Option<OwnedSemaphorePermit>;

/// What is not told yet of an object because it may pass by itself: since when, and how many times in a row.
#[derive(Default)]
struct Untold(Mutex<HashMap<ObjectKey, (Instant, u32)>>);

impl Untold {
    /// What follows a failure: a pause of which nothing is told, or the failure itself. What does not pass by itself is
    /// told, and tried again as before, or with growing pauses where somebody else is first over and over.
    fn judge(&self, key: &ObjectKey, failure: &mut Failure, now: Instant) -> Option<Duration> {
        let mut untold = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(failure.retry, Retry::Later(_) | Retry::Overtaken) {
            untold.remove(key);
            return None;
        }
        let (since, times) = untold.entry(key.clone()).or_insert((now, 0));
        *times += 1;
        match failure.retry {
            Retry::Later(pause) if now.duration_since(*since) < NO_ROOM => return Some(pause),
            Retry::Later(pause) => {
                failure.retry = Retry::After(pause);
                failure.message += ", for more than a minute now";
            }
            Retry::Overtaken if *times < OVERTAKEN_TIMES => return Some(OVERTAKEN),
            _ => {
                failure.retry = Retry::Backoff;
                failure.message += ", time after time: somebody else goes on writing it";
            }
        }
        None
    }

    fn forget(&self, key: &ObjectKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

impl<R: Reconcile> Driver<R> {
    async fn run(&self, key: &ObjectKey, class: Class, slot: &mut Slot) -> Next {
        let span = tracing::info_span!("reconcile", controller = R::NAME, namespace = key.namespace, object = key.name);
        let started = Instant::now();
        let (next, result) = async {
            let Some(object) = self.reconciler.store().get(key) else {
                self.warned().remove(key);
                self.untold.forget(key);
                self.queue.forget(key);
                if let Some(reference) = self.reference() {
                    reference.forget(R::NAME, (&key.namespace, &key.name));
                }
                self.reconciler.gone(key);
                return (Next::OnChange, "gone");
            };
            tracing::debug!(?class, "begins");
            match &object.0 {
                Err(invalid) => self.tell_broken(key, &object, &invalid.error).await,
                Ok(_) => self.bring_up_to_date(key, object, class, slot).await,
            }
        }
        .instrument(span)
        .await;
        let metrics = &self.context.metrics;
        metrics.reconciles.get_or_create(&ReconcileLabels { controller: R::NAME, result }).inc();
        let label = ControllerLabel { controller: R::NAME };
        metrics.reconcile_seconds.get_or_create(&label).observe(started.elapsed().as_secs_f64());
        if let Some(reference) = self.reference().filter(|_| result != "gone") {
            reference.reconciled(R::NAME, (&key.namespace, &key.name), started.elapsed(), result != "ok");
        }
        metrics.queue_depth.get_or_create(&label).set(i64::try_from(self.queue.depth()).unwrap_or(i64::MAX));
        next
    }

    /// The reference's metrics, where they are wanted.
    fn reference(&self) -> Option<&ReferenceMetrics> {
        self.context.settings.external.metrics.then(|| &self.context.metrics.external_reference)
    }

    async fn bring_up_to_date(
        &self,
        key: &ObjectKey,
        whole: Arc<Guarded<R::Kind>>,
        class: Class,
        slot: &mut Slot,
    ) -> (Next, &'static str) {
        let Ok(object) = &whole.0 else { return (Next::OnChange, "InvalidObject") };
        // A panic over one object must not end the work on the others. Boxed, so that its room is given back before the
        // status waits.
        let outcome = AssertUnwindSafe(Box::pin(self.reconciler.reconcile(object, class))).catch_unwind().await;
        let (verdict, result) = match outcome {
            Ok(Ok(verdict)) => {
                self.untold.forget(key);
                (verdict, "ok")
            }
            Ok(Err(error)) => {
                let mut failure = Failure::of(&error);
                if let Some(pause) = self.untold.judge(key, &mut failure, Instant::now()) {
                    return (Next::After(pause), failure.reason);
                }
                (self.verdict_of(object, &failure), failure.reason)
            }
            Err(_) => {
                let failure = Failure {
                    reason: "InternalError",
                    message: "the operator failed on this object; this is a bug, please report it".to_owned(),
                    retry: Retry::Backoff,
                    items: Vec::new(),
                };
                (self.verdict_of(object, &failure), failure.reason)
            }
        };
        if verdict.says_nothing() && self.reference().is_none() {
            // Thousands of unchanged objects at a start are not worth a copy each.
            self.warned().remove(key);
            return (verdict.next, result);
        }
        let decided = Instant::now();
        // While a status waits, no more of the object is kept than it needs.
        let uid = object.meta().uid.clone();
        let mut handled = serde_json::to_value(object).unwrap_or_default();
        if verdict.also.is_none() {
            handled = serde_json::json!({ "status": handled.get_mut("status").map(Value::take) });
        }
        drop(whole);
        if R::STATUS_MAY_WAIT {
            self.stand_aside(slot).await;
        }
        let next = match Box::pin(self.conclude(key, uid.as_deref(), &handled, verdict)).await {
            // From when it was decided: the next look is not late because the telling took its time.
            Next::After(pause) => Next::After(pause.saturating_sub(decided.elapsed())),
            next => next,
        };
        (next, result)
    }

    /// Lets the objects that wait go before a status: a thousand of both at once take the API server twice as long to
    /// the last Secret. Whoever is killed meanwhile does again what no status tells of, to no harm.
    async fn stand_aside(&self, slot: &mut Slot) {
        if self.queue.depth() == 0 {
            return;
        }
        let Ok(_place) = self.aside.places.try_acquire() else { return };
        slot.take();
        {
            let _turn = self.aside.turn.lock().await;
            if self.queue.depth() > 0 {
                let _ = self.context.stop.run_until_cancelled(tokio::time::sleep(ASIDE)).await;
            }
        }
        *slot = Arc::clone(&self.slots).acquire_owned().await.ok();
    }

    async fn tell_broken(&self, key: &ObjectKey, object: &Guarded<R::Kind>, error: &str) -> (Next, &'static str) {
        let failure = Failure {
            reason: "InvalidObject",
            message: invalid_object_message(error),
            retry: Retry::OnChange,
            items: Vec::new(),
        };
        let verdict = Verdict {
            status: Some(R::broken(&failure)),
            notes: vec![Note { warning: true, reason: failure.reason.to_owned(), message: failure.message }],
            next: Next::OnChange,
            also: None,
            written: None,
        };
        // What its status holds is unknown: it is written over, whatever it is.
        let next = self.conclude(key, object.meta().uid.as_deref(), &Value::Null, verdict).await;
        (next, "InvalidObject")
    }

    fn verdict_of(&self, object: &R::Kind, failure: &Failure) -> Verdict {
        let (status, note) = self.reconciler.failed(object, failure);
        Verdict::told(Some(status), note, next_of(failure.retry))
    }

    /// Writes the status if it differs, publishes the note, and says when to go on.
    /// `handled` is the object as the decision was made on it.
    async fn conclude(&self, key: &ObjectKey, uid: Option<&str>, handled: &Value, verdict: Verdict) -> Next {
        let object = ObjectRef {
            api_version: R::Kind::api_version(&()).into_owned(),
            kind: R::Kind::kind(&()).into_owned(),
            key: key.clone(),
        };
        let uid = uid.unwrap_or_default();
        let current = verdict.written.or_else(|| handled.get("status").cloned()).unwrap_or_default();
        let changed = verdict.status.as_ref().is_some_and(|desired| !same_but_for_times(&current, desired));
        if let Some(reference) = self.reference() {
            reference.told(R::NAME, (&key.namespace, &key.name), verdict.status.as_ref().unwrap_or(&current));
        }
        self.publish(&object, uid, verdict.notes, changed).await;
        if !changed && verdict.also.is_none() {
            return verdict.next;
        }
        let desired = verdict.status.filter(|_| changed).unwrap_or_else(|| current.clone());
        let api = &self.context.cluster;
        let write = api.write_status(&object, uid, (&current, &desired), verdict.also.as_ref(), R::STATUS_SUBRESOURCE);
        let written = match write.await {
            // Somebody changed the object meanwhile: what was done is told all the same, and the change is looked at next.
            Err(cluster::Error::Conflict(_)) if verdict.also.is_some() => {
                let also = self.still_true(&object, handled, verdict.also.as_ref()).await;
                let told =
                    api.write_status(&object, uid, (&current, &desired), also.as_ref(), R::STATUS_SUBRESOURCE).await;
                told.and(Err(cluster::Error::Conflict(object.to_string())))
            }
            written => written,
        };
        match written {
            Ok(written) => {
                self.until_seen(key, &written.resource_version).await;
                verdict.next
            }
            Err(cluster::Error::NotFound(_) | cluster::Error::NamespaceTerminating(_)) => Next::OnChange,
            Err(error) => {
                tracing::warn!(%error, "the status could not be written and will be");
                Next::Backoff
            }
        }
    }

    /// Waits until the watch has told us of our own write: the next look at the object must not be at an older version,
    /// or it would do again what was just done.
    async fn until_seen(&self, key: &ObjectKey, version: &str) {
        let number = |version: &str| version.parse::<u64>().ok();
        let started = Instant::now();
        while started.elapsed() < OWN_WRITE {
            let Some(seen) = self.reconciler.store().version(key) else { return };
            // Versions are numbers that grow; where they are not, only the same one is known to be as new.
            if seen == version || number(&seen) > number(version) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// What of `also` still holds for the object as it stands now: fields that nobody has changed since they were
    /// handled. Annotations and finalizers are left for the next look.
    async fn still_true(&self, object: &ObjectRef, handled: &Value, also: Option<&Value>) -> Option<Value> {
        let now = self.context.cluster.get(object).await.ok()??;
        let version = now.resource_version().to_owned();
        // Read as `handled` was, so that both leave out what is empty.
        let now: R::Kind = serde_json::from_value(now.into_value()).ok()?;
        let now = serde_json::to_value(now).ok()?;
        let mut kept: serde_json::Map<String, Value> = also?.as_object()?.clone();
        kept.retain(|field, _| field != "metadata" && now.get(field) == handled.get(field));
        if kept.is_empty() {
            return None;
        }
        kept.insert("metadata".to_owned(), serde_json::json!({ "resourceVersion": version }));
        Some(Value::Object(kept))
    }

    async fn publish(&self, object: &ObjectRef, uid: &str, notes: Vec<Note>, changed: bool) {
        if !notes.iter().any(|note| note.warning) {
            self.warned().remove(&object.key);
        }
        for note in notes {
            if note.warning {
                let known = self.warned().insert(object.key.clone(), note.clone());
                if known.as_ref() == Some(&note) || (known.is_none() && !changed) {
                    continue;
                }
                tracing::warn!(reason = note.reason, detail = note.message, "failed");
            } else {
                tracing::info!(reason = note.reason, detail = note.message, "done");
            }
            // It ends before us only when there is no time left.
            let _ = self.announcements.send((object.clone(), uid.to_owned(), note)).await;
        }
    }

    fn warned(&self) -> std::sync::MutexGuard<'_, HashMap<ObjectKey, Note>> {
        self.warned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When an object is looked at again after a failure that has been told.
pub(super) fn next_of(retry: Retry) -> Next {
    match retry {
        Retry::Backoff | Retry::Overtaken => Next::Backoff,
        Retry::OnChange => Next::OnChange,
        Retry::After(pause) | Retry::Later(pause) => Next::After(pause),
    }
}

/// Fields that say when, not what: a status that differs only there is not written.
const TIMES: [&str; 4] = ["lastTransitionTime", "lastUpdateTime", "reconciledAt", "observedAt"];

fn same_but_for_times(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let substance = |fields: &serde_json::Map<String, Value>| {
                fields.iter().filter(|(name, value)| !TIMES.contains(&name.as_str()) && !value.is_null()).count()
            };
            substance(a) == substance(b)
                && a.iter()
                    .filter(|(name, value)| !TIMES.contains(&name.as_str()) && !value.is_null())
                    .all(|(name, value)| b.get(name).is_some_and(|other| same_but_for_times(value, other)))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_but_for_times(a, b))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn failure(retry: Retry) -> Failure {
        Failure { reason: "Conflict", message: "Secret a/b changed meanwhile".to_owned(), retry, items: Vec::new() }
    }

    #[test]
    fn whoever_is_first_again_and_again_is_told_of() {
        let (untold, one, other) = (Untold::default(), ObjectKey::new("a", "b"), ObjectKey::new("a", "c"));
        let judge = |key, failure: &mut Failure| untold.judge(key, failure, Instant::now());
        for time in 1..OVERTAKEN_TIMES {
            assert_eq!(judge(&one, &mut failure(Retry::Overtaken)), Some(OVERTAKEN), "{time}");
        }
        assert_eq!(judge(&other, &mut failure(Retry::Overtaken)), Some(OVERTAKEN), "each for itself");
        for _ in 0..2 {
            let mut told = failure(Retry::Overtaken);
            assert_eq!(judge(&one, &mut told), None);
            assert_eq!((told.retry, next_of(told.retry)), (Retry::Backoff, Next::Backoff));
            assert_eq!(told.message, "Secret a/b changed meanwhile, time after time: somebody else goes on writing it");
        }
        untold.forget(&one);
        assert_eq!(judge(&one, &mut failure(Retry::Overtaken)), Some(OVERTAKEN), "a success ends the row");
    }

    #[test]
    fn whoever_finds_no_room_is_told_of_after_a_minute() {
        let (untold, key, pause, begun) =
            (Untold::default(), ObjectKey::new("a", "b"), Duration::from_secs(7), Instant::now());
        for seconds in [0, 7, 59] {
            let now = begun + Duration::from_secs(seconds);
            assert_eq!(untold.judge(&key, &mut failure(Retry::Later(pause)), now), Some(pause), "{seconds}");
        }
        for seconds in [60, 67] {
            let mut told = failure(Retry::Later(pause));
            assert_eq!(untold.judge(&key, &mut told, begun + Duration::from_secs(seconds)), None);
            assert_eq!((told.retry, next_of(told.retry)), (Retry::After(pause), Next::After(pause)));
            assert_eq!(told.message, "Secret a/b changed meanwhile, for more than a minute now");
        }
        untold.forget(&key);
        let later = untold.judge(&key, &mut failure(Retry::Later(pause)), begun + Duration::from_secs(70));
        assert_eq!(later, Some(pause), "a success ends the wait");
    }

    #[test]
    fn what_will_not_pass_by_itself_is_told_at_once() {
        let (untold, key, pause) = (Untold::default(), ObjectKey::new("a", "b"), Duration::from_secs(7));
        let judge = |failure: &mut Failure| untold.judge(&key, failure, Instant::now());
        let rows = [
            (Retry::Backoff, Next::Backoff),
            (Retry::OnChange, Next::OnChange),
            (Retry::After(pause), Next::After(pause)),
        ];
        for (retry, next) in rows {
            let mut told = failure(retry);
            assert_eq!((judge(&mut told), next_of(retry)), (None, next), "{retry:?}");
            assert_eq!(told.message, failure(retry).message);
        }
        for _ in 1..OVERTAKEN_TIMES {
            judge(&mut failure(Retry::Overtaken));
        }
        judge(&mut failure(Retry::Backoff));
        assert_eq!(judge(&mut failure(Retry::Overtaken)), Some(OVERTAKEN), "another failure ends the row");
    }

    #[test]
    fn a_status_that_differs_only_in_its_times_is_the_same() {
        let old =
            json!({ "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "1" }], "a": null });
        let new = json!({ "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2" }] });
        assert!(same_but_for_times(&old, &new));
        let flipped = json!({ "conditions": [{ "type": "Ready", "status": "False", "lastTransitionTime": "1" }] });
        assert!(!same_but_for_times(&old, &flipped));
        assert!(!same_but_for_times(&Value::Null, &new));
        assert!(!same_but_for_times(&json!({ "a": 1 }), &json!({ "b": 1 })));
    }
}
