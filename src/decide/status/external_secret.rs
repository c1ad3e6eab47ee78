//! The status of ExternalSecrets.

use jiff::Timestamp;

use super::time;
use crate::api::ExternalSecret;
use crate::api::external_secret::{
    Binding, Condition, ExternalSecretRecord, ExternalSecretStatus, READY, SourceRecord,
};
use crate::api::sealed_secret::TargetRecord;
use crate::decide::external_secret::{self, synced_resource_version, target};
use crate::error::Retry;
use crate::plan::Next;

/// What a sync came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The Secret is as the store says.
    Synced,
    /// The store has nothing, and everything stays.
    Retained,
    /// The store has nothing left, and the Secret is gone.
    Deleted,
    /// There is no Secret to merge into.
    Missing,
}

impl Ending {
    /// Upstream's reason and message.
    fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::Synced => ("SecretSynced", "secret synced"),
            Self::Retained => ("SecretSynced", "secret retained due to DeletionPolicy=Retain"),
            Self::Deleted => ("SecretDeleted", "secret deleted due to DeletionPolicy=Delete"),
            Self::Missing => ("SecretMissing", "secret will not be created due to CreationPolicy=Merge"),
        }
    }
}

/// What was written, and from where.
#[derive(Clone, Debug)]
pub struct Synced {
    /// What it came to.
    pub ending: Ending,
    /// The Secret as it stands; none when there is none.
    pub target: Option<TargetRecord>,
    /// Keyed digest of it.
    pub outputs: String,
    /// It stands as upstream left it.
    pub handed_over: bool,
    /// Where each value came from.
    pub sources: Vec<SourceRecord>,
    /// When the values were read.
    pub refreshed: Timestamp,
}

/// Everything was read, and what follows from it is done.
pub fn synced(object: &ExternalSecret, synced: Synced, next: Next, now: Timestamp) -> ExternalSecretStatus {
    let (reason, message) = synced.ending.told();
    let known = object.status.as_ref().and_then(|status| status.binding.clone());
    let binding = match synced.ending {
        Ending::Synced if synced.target.is_some() => Some(Binding { name: target(object).name }),
        _ => known,
    };
    ExternalSecretStatus {
        refresh_time: Some(time(synced.refreshed)),
        synced_resource_version: Some(synced_resource_version(&object.metadata)),
        conditions: vec![condition(conditions(object), "True", reason, message, now)],
        binding,
        chancery: Some(ExternalSecretRecord {
            observed_generation: object.metadata.generation,
            cause: None,
            target: synced.target,
            outputs: synced.outputs,
            handed_over: synced.handed_over,
            next: Some(next_words(next, synced.refreshed)),
            sources: synced.sources,
        }),
    }
}

/// The object stands as upstream left it; what we need to know is added.
pub fn handed_over(object: &ExternalSecret, target: TargetRecord, outputs: String) -> ExternalSecretStatus {
    let record = ExternalSecretRecord {
        observed_generation: object.metadata.generation,
        target: Some(target),
        outputs,
        handed_over: true,
        ..ExternalSecretRecord::default()
    };
    ExternalSecretStatus { chancery: Some(record), ..object.status.clone().unwrap_or_default() }
}

/// When it is looked at again, by itself.
fn next_words(next: Next, from: Timestamp) -> String {
    match next {
        Next::OnChange => "when it, its store or its Secret changes".to_owned(),
        Next::After(pause) => from.checked_add(pause).map_or_else(|_| String::new(), time),
        Next::Backoff => "soon, with pauses that grow to five minutes".to_owned(),
    }
}

/// It is not synced; what is known of the last good Secret is kept.
pub fn failed(
    object: &ExternalSecret,
    cause: &str,
    message: &str,
    retry: Retry,
    now: Timestamp,
) -> ExternalSecretStatus {
    let known = object.status.clone().unwrap_or_default();
    let record = known.chancery.clone().unwrap_or_default();
    let next = match retry {
        Retry::Backoff | Retry::Overtaken => next_words(Next::Backoff, now),
        Retry::OnChange => next_words(Next::OnChange, now),
        Retry::After(pause) | Retry::Later(pause) => format!("within {} s", pause.as_secs()),
    };
    let binding = if external_secret::Error::is_about_target(cause) {
        Some(Binding { name: target(object).name })
    } else {
        known.binding.clone()
    };
    ExternalSecretStatus {
        conditions: vec![condition(&known.conditions, "False", "SecretSyncedError", message, now)],
        binding,
        chancery: Some(ExternalSecretRecord {
            observed_generation: object.metadata.generation,
            cause: Some(cause.to_owned()),
            next: Some(next),
            ..record
        }),
        ..known
    }
}

/// The object cannot even be read.
pub fn broken(cause: &str, message: &str, now: Timestamp) -> ExternalSecretStatus {
    failed(&ExternalSecret::default(), cause, message, Retry::OnChange, now)
}

fn conditions(object: &ExternalSecret) -> &[Condition] {
    object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
}

pub(in crate::decide) fn condition(
    before: &[Condition],
    status: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Condition {
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
        let written = Synced {
            ending: Ending::Synced,
            target: Some(TargetRecord::default()),
            outputs: "o".to_owned(),
            handed_over: false,
            sources: Vec::new(),
            refreshed: Timestamp::UNIX_EPOCH,
        };
        object.status = Some(synced(&object, written, Next::OnChange, Timestamp::UNIX_EPOCH));
        let later = Timestamp::from_second(9).unwrap();
        let told = failed(&object, "Sealed", "the store is sealed", Retry::Backoff, later);
        assert_eq!(told.refresh_time.as_deref(), Some("1970-01-01T00:00:00Z"));
        let record = told.chancery.unwrap();
        assert_eq!((record.outputs.as_str(), record.cause.as_deref()), ("o", Some("Sealed")));
        assert_eq!(told.conditions[0].reason.as_deref(), Some("SecretSyncedError"));
        assert_eq!(told.conditions[0].last_transition_time.as_deref(), Some("1970-01-01T00:00:09Z"));
    }
}
