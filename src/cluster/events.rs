//! Kubernetes Events.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType};

use super::{Cluster, Error};
use crate::plan::{Note, ObjectRef};

/// The API server's bound on an event's message, in bytes.
const LONGEST_NOTE: usize = 1000;

impl Cluster {
    /// Publishes an event about an object; repeats within minutes are counted on the same Event.
    ///
    /// # Errors
    ///
    /// Trouble with the API server. Nothing depends on an event: callers log it and go on.
    pub async fn publish(&self, object: &ObjectRef, uid: &str, note: &Note) -> Result<(), Error> {
        let regarding = ObjectReference {
            api_version: Some(object.api_version.clone()),
            kind: Some(object.kind.clone()),
            namespace: Some(object.key.namespace.clone()).filter(|namespace| !namespace.is_empty()),
            name: Some(object.key.name.clone()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        };
        let event = Event {
            type_: if note.warning { EventType::Warning } else { EventType::Normal },
            reason: note.reason.clone(),
            note: Some(clipped(&note.message)),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        self.within(object, self.recorder.publish(&event, &regarding)).await
    }
}

fn clipped(message: &str) -> String {
    if message.len() <= LONGEST_NOTE {
        return message.to_owned();
    }
    let end = (0..=LONGEST_NOTE - 4).rev().find(|&end| message.is_char_boundary(end)).unwrap_or(0);
    format!("{}…", &message[..end])
}
