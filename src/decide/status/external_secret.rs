//! The status of ExternalSecrets and stores.

use jiff::Timestamp;

use super::time;
use crate::api::external_secret::{
    Binding, Condition, ExternalSecretRecord, ExternalSecretStatus, READY, SourceRecord,
};
use crate::api::sealed_secret::TargetRecord;
use crate::api::secret_store::SecretStoreStatus;
use crate::api::{ExternalSecret, UNSUPPORTED_FIELD};
use crate::decide::external_secret::{synced_resource_version, target};

/// What was written, and from where.
#[derive(Clone, Debug, Default)]
pub struct Synced {
    /// The Secret as it was written.
    pub target: TargetRecord,
    /// Keyed digest of what was written.
    pub outputs: String,
    /// Where each value came from.
    pub sources: Vec<SourceRecord>,
}

/// The Secret is as the store says.
pub fn synced(object: &ExternalSecret, written: Synced, now: Timestamp) -> ExternalSecretStatus {
    let before = conditions(object);
    ExternalSecretStatus {
        refresh_time: Some(time(now)),
        synced_resource_version: Some(synced_resource_version(object)),
        conditions: vec![condition(before, "True", "SecretSynced", "secret synced", now)],
        binding: Some(Binding { name: target(object).name }),
        chancery: Some(ExternalSecretRecord {
            observed_generation: object.metadata.generation,
            cause: None,
            target: Some(written.target),
            outputs: written.outputs,
            sources: written.sources,
            next: None,
        }),
    }
}

/// It is not; what is known of the last good Secret is kept.
pub fn failed(object: &ExternalSecret, cause: &str, message: &str, now: Timestamp) -> ExternalSecretStatus {
    let known = object.status.clone().unwrap_or_default();
    let record = known.chancery.clone().unwrap_or_default();
    ExternalSecretStatus {
        conditions: vec![condition(&known.conditions, "False", "SecretSyncedError", message, now)],
        chancery: Some(ExternalSecretRecord {
            observed_generation: object.metadata.generation,
            cause: Some(cause.to_owned()),
            ..record
        }),
        ..known
    }
}

/// The object cannot even be read.
pub fn broken(cause: &str, message: &str, now: Timestamp) -> ExternalSecretStatus {
    failed(&ExternalSecret::default(), cause, message, now)
}

/// The status of a store; `unsupported` names fields that were read and are not honoured.
pub fn store(
    before: Option<&SecretStoreStatus>,
    ready: bool,
    reason: &str,
    message: &str,
    unsupported: &[String],
    now: Timestamp,
) -> SecretStoreStatus {
    let before = before.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let mut conditions = vec![condition(before, if ready { "True" } else { "False" }, reason, message, now)];
    if !unsupported.is_empty() {
        let known = before.iter().find(|condition| condition.type_ == UNSUPPORTED_FIELD);
        conditions.push(Condition {
            type_: UNSUPPORTED_FIELD.to_owned(),
            status: "True".to_owned(),
            reason: Some("NotHonoured".to_owned()),
            message: Some(format!("not honoured by this version: {}", unsupported.join(", "))),
            last_transition_time: known
                .and_then(|known| known.last_transition_time.clone())
                .or_else(|| Some(time(now))),
        });
    }
    SecretStoreStatus { conditions, capabilities: Some("ReadOnly".to_owned()) }
}

fn conditions(object: &ExternalSecret) -> &[Condition] {
    object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
}

fn condition(before: &[Condition], status: &str, reason: &str, message: &str, now: Timestamp) -> Condition {
    let same = before.iter().find(|condition| condition.type_ == READY && condition.status == status);
    Condition {
        type_: READY.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: same.and_then(|same| same.last_transition_time.clone()).or_else(|| Some(time(now))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_what_was_known_of_the_last_good_secret() {
        let mut object = ExternalSecret::default();
        let written = Synced { outputs: "o".to_owned(), ..Synced::default() };
        object.status = Some(synced(&object, written, Timestamp::UNIX_EPOCH));
        let told = failed(&object, "Sealed", "the store is sealed", Timestamp::from_second(9).unwrap());
        assert_eq!(told.refresh_time.as_deref(), Some("1970-01-01T00:00:00Z"));
        let record = told.chancery.unwrap();
        assert_eq!((record.outputs.as_str(), record.cause.as_deref()), ("o", Some("Sealed")));
        assert_eq!(told.conditions[0].reason.as_deref(), Some("SecretSyncedError"));
        assert_eq!(told.conditions[0].last_transition_time.as_deref(), Some("1970-01-01T00:00:09Z"));
    }
}
