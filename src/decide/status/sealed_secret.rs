//! The status of a SealedSecret: `Synced` first, because its users read by position (D2a).

use jiff::Timestamp;

use crate::api::SealedSecret;
use crate::api::sealed_secret::{READY, SYNCED, SealedSecretCondition, SealedSecretRecord, SealedSecretStatus};
use crate::decide::sealed_secret::{Error, Notice};
use crate::error::Classify;

/// The Secret is as the object says.
pub fn synced(
    object: &SealedSecret,
    record: SealedSecretRecord,
    notices: &[Notice],
    now: Timestamp,
) -> SealedSecretStatus {
    status(object, ("True", "Unsealed", ""), notices, Some(record), now)
}

/// What could be had is written, and the rest is as it was; the object is not Synced for that.
pub fn partly(
    object: &SealedSecret,
    record: SealedSecretRecord,
    short: &Error,
    notices: &[Notice],
    now: Timestamp,
) -> SealedSecretStatus {
    // The inputs were not handled: the next pass must not take them for done.
    let record = SealedSecretRecord { inputs: String::new(), failing: short.items(), ..record };
    status(object, ("False", "PartlyUnsealed", &short.to_string()), notices, Some(record), now)
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
    status(object, ("False", reason, message), &[], record, now)
}

/// The object cannot even be read.
pub fn broken(reason: &str, message: &str, now: Timestamp) -> SealedSecretStatus {
    status(&SealedSecret::default(), ("False", reason, message), &[], None, now)
}

fn status(
    object: &SealedSecret,
    (value, reason, message): (&str, &str, &str),
    notices: &[Notice],
    record: Option<SealedSecretRecord>,
    now: Timestamp,
) -> SealedSecretStatus {
    let mut conditions = vec![
        condition(object, SYNCED, (value, reason, message), now),
        condition(object, READY, (value, reason, message), now),
    ];
    conditions.extend(notices.iter().map(|notice| {
        let (type_, reason, message) = words(notice);
        condition(object, type_, ("True", reason, &message), now)
    }));
    SealedSecretStatus { observed_generation: object.metadata.generation, conditions, chancery: record }
}

/// Type, reason and message of the condition that tells a notice.
fn words(notice: &Notice) -> (&'static str, &'static str, String) {
    match notice {
        Notice::OldRules => (
            "OldTemplateRules",
            "KeptAsFound",
            "its templates follow the rules of Sealed Secrets 0.36, because the Secret was found so and the rules of 0.40 \
             would change it; annotate this SealedSecret with chancery.dev/template-rules=0.40 to move it"
                .to_owned(),
        ),
        Notice::UnknownRules => (
            "OldTemplateRules",
            "Unknown",
            "chancery.dev/template-rules is neither 0.36 nor 0.40; the rules of 0.40 are followed".to_owned(),
        ),
        Notice::NotImmutable => (
            "NotImmutable",
            "CountsWhenMade",
            "spec.template.immutable counts when a Secret is made, and this one stood before; delete the Secret and it is \
             made anew, immutable"
                .to_owned(),
        ),
        Notice::Stands(danger) => (
            "MoreThanValues",
            "StoodBefore",
            format!(
                "the Secret is {}; it stood before and is kept, and would not be made now without --permit",
                danger.words()
            ),
        ),
        Notice::TemplateIgnored => (
            "TemplateIgnored",
            "OldForm",
            "spec.data is a whole Secret: spec.template.data beside it is not rendered".to_owned(),
        ),
    }
}

fn condition(
    object: &SealedSecret,
    type_: &str,
    (value, reason, message): (&str, &str, &str),
    now: Timestamp,
) -> SealedSecretCondition {
    let now = crate::decide::status::time(now);
    let before = object.status.iter().flat_map(|status| &status.conditions).find(|condition| condition.type_ == type_);
    let since = before.filter(|before| before.status == value).and_then(|before| before.last_transition_time.clone());
    SealedSecretCondition {
        type_: type_.to_owned(),
        status: value.to_owned(),
        last_transition_time: Some(since.unwrap_or_else(|| now.clone())),
        last_update_time: Some(now),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()).filter(|message| !message.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_transition_stays_while_nothing_turns() {
        let (early, late) = (Timestamp::from_second(1).unwrap(), Timestamp::from_second(9).unwrap());
        let mut object = SealedSecret::default();
        object.status = Some(synced(&object, SealedSecretRecord::default(), &[], early));
        let again = &synced(&object, SealedSecretRecord::default(), &[], late).conditions[0];
        assert_eq!(again.last_transition_time.as_deref(), Some("1970-01-01T00:00:01Z"));
        assert_eq!(again.last_update_time.as_deref(), Some("1970-01-01T00:00:09Z"));
        let turned = &failed(&object, "NoKey", "m", vec![], late).conditions[0];
        assert_eq!(turned.last_transition_time, turned.last_update_time);
    }

    #[test]
    fn synced_stays_first_and_notices_last() {
        let status =
            synced(&SealedSecret::default(), SealedSecretRecord::default(), &[Notice::OldRules], Timestamp::UNIX_EPOCH);
        let types: Vec<_> = status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
        assert_eq!(types, ["Synced", "Ready", "OldTemplateRules"]);
        assert_eq!(status.conditions[0].message, None, "upstream's column shows the message, and all is well");
    }

    #[test]
    fn a_failure_keeps_the_target_and_forgets_that_the_inputs_were_handled() {
        let record =
            SealedSecretRecord { inputs: "i".to_owned(), outputs: "o".to_owned(), ..SealedSecretRecord::default() };
        let mut object = SealedSecret::default();
        object.status = Some(synced(&object, record, &[], Timestamp::UNIX_EPOCH));
        let kept = failed(&object, "NoKey", "m", vec!["a".to_owned()], Timestamp::UNIX_EPOCH).chancery.unwrap();
        assert_eq!((kept.inputs.as_str(), kept.outputs.as_str(), kept.failing.len()), ("", "o", 1));
    }
}
