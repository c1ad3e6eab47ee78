//! What should happen to an Application: from its spec, its project, what Git declares and what runs.
//!
//! In the order of a reconcile: `spec` reads what is wanted, `desired` turns manifests into objects of this
//! Application, `project` says which of them are permitted, `diff` compares, `prune` finds what left Git, `health`
//! tells whether it works, `sync` whether something is to be done, `order` in which order.

/// Manifests as this Application would apply them.
pub mod desired;
/// Whether two versions of an object are the same.
pub mod diff;
/// Fields that people added by hand.
pub mod foreign;
/// Whether an object works.
pub mod health;
/// Which objects go first.
pub mod order;
/// What a project permits.
pub mod project;
/// What left Git.
pub mod prune;
/// What is wanted.
pub mod spec;
/// Whether to sync now.
pub mod sync;
/// Whose an object is.
pub mod tracking;

use crate::plan::ObjectRef;
use health::Health;

/// Something to tell in a condition of the Application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Argo CD's condition type.
    pub kind: &'static str,
    /// For people; never a value.
    pub message: String,
}

impl Finding {
    /// A finding of this type.
    pub fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// The spec cannot be.
pub const INVALID_SPEC: &str = "InvalidSpecError";
/// Git or the cluster cannot be read.
pub const COMPARISON: &str = "ComparisonError";
/// A sync failed or is not tried.
pub const SYNC: &str = "SyncError";
/// Deleting what the Application manages failed.
pub const DELETION: &str = "DeletionError";
/// Another Application manages an object, too.
pub const SHARED: &str = "SharedResourceWarning";
/// An object stands twice in Git.
pub const REPEATED: &str = "RepeatedResourceWarning";
/// A field that is read and not honoured.
pub const UNSUPPORTED: &str = "UnsupportedFieldWarning";

/// Whether an object is as Git says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SyncCode {
    /// It is.
    Synced,
    /// It is not.
    OutOfSync,
    /// Nobody can tell.
    Unknown,
}

impl SyncCode {
    /// As the status writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "Synced",
            Self::OutOfSync => "OutOfSync",
            Self::Unknown => "Unknown",
        }
    }
}

/// One object of an Application, as compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// Which one.
    pub object: ObjectRef,
    /// Index among the desired objects; none for one that left Git.
    pub desired: Option<usize>,
    /// Its uid, when it is there.
    pub uid: Option<String>,
    /// Whether it is as Git says; none for what is not compared.
    pub sync: Option<SyncCode>,
    /// Of kinds that have a rule; `Missing` when it is not there.
    pub health: Option<Health>,
    /// It is not to be applied, and why: the project forbids it.
    pub forbidden: Option<String>,
    /// Another Application manages it.
    pub shared_with: Option<String>,
    /// It left Git.
    pub requires_pruning: bool,
    /// It left Git, and asks that nobody minds.
    pub extraneous: bool,
    /// It left Git, and asks to stay.
    pub keeps: bool,
    /// Fields that people added, as JSON pointers, with the version that they were seen in.
    pub foreign: Option<(Vec<String>, String)>,
    /// Its wave.
    pub wave: i64,
}

impl Observed {
    /// Whether a sync would touch it. What another Application manages is left to it.
    pub fn is_to_be_applied(&self) -> bool {
        self.desired.is_some() && self.shared_with.is_none() && self.sync != Some(SyncCode::Synced)
    }

    /// Whether it is not there.
    pub fn is_missing(&self) -> bool {
        self.uid.is_none()
    }
}

/// The sync status of the whole.
pub fn sync_status(observed: &[Observed]) -> SyncCode {
    let differs = |object: &Observed| !object.extraneous && object.sync.is_some_and(|sync| sync != SyncCode::Synced);
    if observed.iter().any(differs) { SyncCode::OutOfSync } else { SyncCode::Synced }
}
