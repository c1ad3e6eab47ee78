//! What should happen: pure functions of what was observed and the time. No client, no clock, no chance.

/// Digests that may leave the process.
pub mod digest;
/// Whose a Secret is.
pub mod ownership;
/// From a SealedSecret to the Secret that it means.
pub mod sealed_secret;
/// Conditions, made here and nowhere else.
pub mod status;
