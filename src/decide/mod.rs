//! What should happen: pure functions of what was observed and the time. No client, no clock, no chance.

/// Digests that may leave the process.
pub mod digest;
