//! The status of PushSecrets.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::external_secret::condition;
use super::time;
use crate::api::PushSecret;
use crate::api::push_secret::{PushData, PushSecretStatus};
use crate::decide::external_secret::synced_resource_version;
use crate::decide::push_secret::leaves_existing;

/// The reason that tells that the Secret is gone.
const SOURCE_DELETED: &str = "SourceDeleted";

/// What lies where: by store, then by the place within.
pub type Pushed = BTreeMap<String, BTreeMap<String, PushData>>;

/// Everything is where it should be.
pub fn synced(object: &PushSecret, pushed: Pushed, now: Timestamp) -> PushSecretStatus {
    let message = if leaves_existing(&object.spec) {
        "PushSecret synced successfully. Existing secrets in providers unchanged."
    } else {
        "PushSecret synced successfully"
    };
    told(object, pushed, ("True", "Synced", message), Some(now), now)
}

/// The Secret is gone, and with it what was made of it.
pub fn source_deleted(object: &PushSecret, now: Timestamp) -> PushSecretStatus {
    let message = "source secret deleted; provider secrets cleaned up";
    told(object, Pushed::new(), ("False", SOURCE_DELETED, message), Some(now), now)
}

/// Whether that was told already: it holds until the Secret is back.
pub fn is_source_deleted(object: &PushSecret) -> bool {
    let conditions = object.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| condition.reason.as_deref() == Some(SOURCE_DELETED))
}

/// Something could not be pushed; what lies somewhere already is not forgotten.
pub fn failed(object: &PushSecret, pushed: Pushed, message: &str, now: Timestamp) -> PushSecretStatus {
    told(object, pushed, ("False", "Errored", message), None, now)
}

/// The object cannot even be read.
pub fn broken(message: &str, now: Timestamp) -> PushSecretStatus {
    failed(&PushSecret::new("", Default::default()), Pushed::new(), message, now)
}

fn told(
    object: &PushSecret,
    pushed: Pushed,
    (ready, reason, message): (&str, &str, &str),
    refreshed: Option<Timestamp>,
    now: Timestamp,
) -> PushSecretStatus {
    let known = object.status.clone().unwrap_or_default();
    let handled = refreshed.map(|_| synced_resource_version(&object.metadata));
    PushSecretStatus {
        refresh_time: refreshed.map(time).or(known.refresh_time),
        synced_resource_version: handled.or(known.synced_resource_version),
        synced_push_secrets: pushed,
        conditions: vec![condition(&known.conditions, ready, reason, message, now)],
    }
}
