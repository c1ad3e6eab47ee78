//! The status of a SealedSecret: `Synced` first, because its users read by position (D2a).

use jiff::Timestamp;

use crate::api::SealedSecret;
use crate::api::sealed_secret::{SYNCED, SealedSecretCondition, SealedSecretRecord, SealedSecretStatus};

/// The Secret is as the object says.
pub fn synced(object: &SealedSecret, record: SealedSecretRecord, now: Timestamp) -> SealedSecretStatus {
    status(object, "True", "Unsealed", "", Some(record), now)
}

/// It is not; what is remembered of the last good Secret is kept, except which items fail.
pub fn failed(
    object: &SealedSecret,
    reason: &str,
    message: &str,
    failing: Vec<String>,
    now: Timestamp,
) -> SealedSecretStatus {
    let known = object.status.as_ref().and_then(|status| status.chancery.clone());
    let record = match known {
        // The inputs were not handled: the next pass must not take them for done.
        Some(record) => Some(SealedSecretRecord { inputs: String::new(), failing, ..record }),
        None if failing.is_empty() => None,
        None => Some(SealedSecretRecord { failing, ..SealedSecretRecord::default() }),
    };
    status(object, "False", reason, message, record, now)
}

/// The object cannot even be read.
pub fn broken(reason: &str, message: &str, now: Timestamp) -> SealedSecretStatus {
    status(&SealedSecret::default(), "False", reason, message, None, now)
}

fn status(
    object: &SealedSecret,
    value: &str,
    reason: &str,
    message: &str,
    record: Option<SealedSecretRecord>,
    now: Timestamp,
) -> SealedSecretStatus {
    let now = crate::decide::status::time(now);
    let before = object.status.iter().flat_map(|status| &status.conditions).find(|condition| condition.type_ == SYNCED);
    let since = before.filter(|before| before.status == value).and_then(|before| before.last_transition_time.clone());
    SealedSecretStatus {
        observed_generation: object.metadata.generation,
        conditions: vec![SealedSecretCondition {
            type_: SYNCED.to_owned(),
            status: value.to_owned(),
            last_transition_time: Some(since.unwrap_or_else(|| now.clone())),
            last_update_time: Some(now),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()).filter(|message| !message.is_empty()),
        }],
        chancery: record,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_transition_stays_while_nothing_turns() {
        let (early, late) = (Timestamp::from_second(1).unwrap(), Timestamp::from_second(9).unwrap());
        let mut object = SealedSecret::default();
        object.status = Some(synced(&object, SealedSecretRecord::default(), early));
        let again = &synced(&object, SealedSecretRecord::default(), late).conditions[0];
        assert_eq!(again.last_transition_time.as_deref(), Some("1970-01-01T00:00:01Z"));
        assert_eq!(again.last_update_time.as_deref(), Some("1970-01-01T00:00:09Z"));
        let turned = &failed(&object, "NoKey", "m", vec![], late).conditions[0];
        assert_eq!(turned.last_transition_time, turned.last_update_time);
    }

    #[test]
    fn a_failure_keeps_the_target_and_forgets_that_the_inputs_were_handled() {
        let record =
            SealedSecretRecord { inputs: "i".to_owned(), outputs: "o".to_owned(), ..SealedSecretRecord::default() };
        let mut object = SealedSecret::default();
        object.status = Some(synced(&object, record, Timestamp::UNIX_EPOCH));
        let kept = failed(&object, "NoKey", "m", vec!["a".to_owned()], Timestamp::UNIX_EPOCH).chancery.unwrap();
        assert_eq!((kept.inputs.as_str(), kept.outputs.as_str(), kept.failing.len()), ("", "o", 1));
    }
}
