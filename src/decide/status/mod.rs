//! Conditions, made here and nowhere else.

/// Of Applications.
pub mod application;
/// Of ExternalSecrets.
pub mod external_secret;
/// Of PushSecrets.
pub mod push_secret;
/// Of SealedSecrets.
pub mod sealed_secret;
/// Of stores.
pub mod secret_store;

/// A time as Kubernetes writes it: whole seconds, UTC.
pub(crate) fn time(now: jiff::Timestamp) -> String {
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}
