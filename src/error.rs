//! How a failure is told and what can be done about it: three kinds of failure, not thirty.

use std::time::Duration;

/// Implemented by the one error enum of each room, so that `drive` can treat all failures alike.
pub trait Classify: std::error::Error {
    /// A stable CamelCase word for conditions, events and metrics.
    fn reason(&self) -> &'static str;

    /// What can help.
    fn retry(&self) -> Retry;

    /// Names of the parts that fail, where an object has parts.
    fn items(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What can help after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Time: try again, with growing pauses.
    Backoff,
    /// Only a change of the object, or of something it refers to.
    OnChange,
    /// Time, and the other side said how long.
    After(Duration),
    /// It is no failure: whatever is needed has no room for us just now. Nothing is told of it unless it lasts.
    Later(Duration),
    /// Somebody else was first: look anew at once. It is no failure unless it happens over and over.
    Overtaken,
}
