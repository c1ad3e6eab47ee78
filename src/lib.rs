//! The Chancery operator. One line a room; `ARCHITECTURE.md` says what may enter each.

/// How failures are classified.
pub mod error;
/// The words that rules and hands share.
pub mod plan;
/// The queue under every controller.
pub mod scheduler;
