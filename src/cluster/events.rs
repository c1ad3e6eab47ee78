//! Kubernetes Events.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;

use super::{Cluster, Error};
use crate::plan::{Note, ObjectRef};

/// The API server's bound on an event's message, in bytes.
const LONGEST_NOTE: usize = 1000;
/// Who reports.
const REPORTER: &str = "chancery";
/// A repeat within this time is counted on the same Event, as client-go has it.
const REPEAT: Duration = Duration::from_secs(6 * 60);

/// Which Events we have made of late. kube's recorder keeps each whole, twice, and looks through all at every
/// publication: 25 MiB after a first sync of 10 000 objects.
pub(super) struct Recorder {
    instance: String,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    by_note: HashMap<u64, Made>,
    swept: Option<Instant>,
}

/// An Event, and how many times it has been told.
#[derive(Clone, Debug, PartialEq)]
struct Made {
    name: String,
    count: i32,
    last: Instant,
}

impl Recorder {
    /// `instance` is our own name among replicas.
    pub(super) fn new(instance: &str) -> Self {
        Self { instance: instance.to_owned(), known: Mutex::default() }
    }

    /// The Event that already tells the same, with this time counted.
    fn repeated(&self, note: u64, now: Instant) -> Option<Made> {
        let mut known = self.lock();
        if known.swept.is_none_or(|swept| now.duration_since(swept) > REPEAT) {
            known.by_note.retain(|_, made| now.duration_since(made.last) <= REPEAT);
            known.swept = Some(now);
        }
        let made = known.by_note.get_mut(&note).filter(|made| now.duration_since(made.last) <= REPEAT)?;
        made.count = made.count.saturating_add(1);
        made.last = now;
        Some(made.clone())
    }

    fn remember(&self, note: u64, name: String, now: Instant) {
        self.lock().by_note.insert(note, Made { name, count: 1, last: now });
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cluster {
    /// Publishes an event about an object; repeats within minutes are counted on the same Event.
    ///
    /// # Errors
    ///
    /// Trouble with the API server. Nothing depends on an event: callers log it and go on.
    pub async fn publish(&self, object: &ObjectRef, uid: &str, note: &Note) -> Result<(), Error> {
        let namespace = Some(object.key.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace.unwrap_or("default"));
        let (number, now) = (number_of(object, uid, note), Instant::now());
        if let Some(made) = self.recorder.repeated(number, now) {
            let time = MicroTime(Timestamp::now());
            let series = Patch::Merge(json!({ "series": { "count": made.count, "lastObservedTime": time } }));
            let params = PatchParams::default();
            match self.within(object, events.patch(&made.name, &params, &series)).await {
                // Somebody, or its time to live, has taken it away.
                Err(Error::NotFound(_)) => {}
                counted => return counted.map(drop),
            }
        }
        let event = self.event(object, namespace, uid, note);
        let name = event.metadata.name.clone().unwrap_or_default();
        self.within(object, events.create(&PostParams::default(), &event)).await?;
        self.recorder.remember(number, name, now);
        Ok(())
    }

    fn event(&self, object: &ObjectRef, namespace: Option<&str>, uid: &str, note: &Note) -> Event {
        let now = Timestamp::now();
        Event {
            type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
            reason: Some(note.reason.clone()),
            note: Some(clipped(&note.message)),
            action: Some("Reconcile".to_owned()),
            event_time: Some(MicroTime(now)),
            regarding: Some(ObjectReference {
                api_version: Some(object.api_version.clone()),
                kind: Some(object.kind.clone()),
                namespace: namespace.map(str::to_owned),
                name: Some(object.key.name.clone()),
                uid: Some(uid.to_owned()),
                ..ObjectReference::default()
            }),
            metadata: ObjectMeta {
                namespace: namespace.map(str::to_owned),
                name: Some(format!("{}.{:x}", object.key.name, now.as_nanosecond())),
                ..ObjectMeta::default()
            },
            reporting_controller: Some(REPORTER.to_owned()),
            reporting_instance: Some(self.recorder.instance.clone()),
            ..Event::default()
        }
    }
}

/// What is told of what, as a number.
fn number_of(object: &ObjectRef, uid: &str, note: &Note) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&object.kind, &object.key, uid, note.warning, &note.reason, &note.message).hash(&mut hasher);
    hasher.finish()
}

fn clipped(message: &str) -> String {
    if message.len() <= LONGEST_NOTE {
        return message.to_owned();
    }
    let end = (0..=LONGEST_NOTE - 4).rev().find(|&end| message.is_char_boundary(end)).unwrap_or(0);
    format!("{}…", &message[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_is_counted_for_some_minutes_and_then_forgotten() {
        let (recorder, begun) = (Recorder::new("one"), Instant::now());
        assert_eq!(recorder.repeated(1, begun), None);
        recorder.remember(1, "a.1".to_owned(), begun);
        recorder.remember(2, "b.1".to_owned(), begun);
        let later = |minutes: u64| begun + Duration::from_secs(minutes * 60);
        let told = |made: Option<Made>| made.map(|made| (made.name, made.count));
        assert_eq!(told(recorder.repeated(1, later(5))), Some(("a.1".to_owned(), 2)));
        assert_eq!(told(recorder.repeated(1, later(10))), Some(("a.1".to_owned(), 3)));
        assert_eq!(told(recorder.repeated(2, later(10))), None, "told ten minutes ago");
        assert_eq!(recorder.lock().by_note.len(), 1, "nothing is kept for longer");
    }
}
