//! The status of stores.

use jiff::Timestamp;

use super::external_secret::condition;
use super::time;
use crate::api::UNSUPPORTED_FIELD;
use crate::api::external_secret::Condition;
use crate::api::secret_store::{SecretStoreStatus, StoreRecord};

/// How a trial of a store ended.
#[derive(Clone, Debug)]
pub struct Trial<'a> {
    /// Upstream's reason.
    pub reason: &'a str,
    /// For people.
    pub message: &'a str,
    /// Our own word for what is wrong; none when nothing is.
    pub cause: Option<&'a str>,
    /// What the store can do, where it is known.
    pub capabilities: Option<&'a str>,
    /// The generation that was tried.
    pub generation: Option<i64>,
}

/// The status of a store; `unsupported` names fields that were read and are not honoured. What it could do before it
/// failed is remembered, as upstream has it.
pub fn tried(
    before: Option<&SecretStoreStatus>,
    trial: &Trial<'_>,
    unsupported: &[String],
    now: Timestamp,
) -> SecretStoreStatus {
    let known = before.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let ready = if trial.cause.is_none() { "True" } else { "False" };
    let mut conditions = vec![condition(known, ready, trial.reason, trial.message, now)];
    if !unsupported.is_empty() {
        let known = known.iter().find(|condition| condition.type_ == UNSUPPORTED_FIELD);
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
    let capabilities = trial.capabilities.map(ToOwned::to_owned);
    SecretStoreStatus {
        conditions,
        capabilities: capabilities.or_else(|| before.and_then(|before| before.capabilities.clone())),
        chancery: Some(StoreRecord {
            observed_generation: trial.generation,
            cause: trial.cause.map(ToOwned::to_owned),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial<'a>(cause: Option<&'a str>, capabilities: Option<&'a str>) -> Trial<'a> {
        Trial { reason: "r", message: "m", cause, capabilities, generation: Some(3) }
    }

    #[test]
    fn a_store_that_fails_keeps_what_it_could_do() {
        let good = tried(None, &trial(None, Some("ReadWrite")), &[], Timestamp::UNIX_EPOCH);
        assert_eq!((good.conditions[0].status.as_str(), good.capabilities.as_deref()), ("True", Some("ReadWrite")));
        let later = Timestamp::from_second(9).unwrap();
        let failed = tried(Some(&good), &trial(Some("Sealed"), None), &["spec.x".to_owned()], later);
        assert_eq!(
            (failed.conditions[0].status.as_str(), failed.capabilities.as_deref()),
            ("False", Some("ReadWrite"))
        );
        assert_eq!(failed.conditions[1].type_, UNSUPPORTED_FIELD);
        let record = failed.chancery.unwrap();
        assert_eq!((record.observed_generation, record.cause.as_deref()), (Some(3), Some("Sealed")));
        assert_eq!(tried(None, &trial(Some("Sealed"), None), &[], later).capabilities, None);
    }
}
