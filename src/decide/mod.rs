//! What should happen: pure functions of what was observed and the time. No client, no clock, no chance.

/// From an Application to what is applied, pruned and told.
pub mod application;
/// Digests that may leave the process.
pub mod digest;
/// From an ExternalSecret to the Secret that it means.
pub mod external_secret;
pub mod fan_out;
/// Whose a Secret is.
pub mod ownership;
/// From a PushSecret to what goes into which store.
pub mod push_secret;
/// From a SealedSecret to the Secret that it means.
pub mod sealed_secret;
/// When a sealing key is due, and what to say of those that there are.
pub mod sealing_keys;
/// Who may use a store.
pub mod secret_store;
/// Label selectors.
pub mod selector;
/// Conditions, made here and nowhere else.
pub mod status;
/// What templates make of values.
pub mod target_template;
