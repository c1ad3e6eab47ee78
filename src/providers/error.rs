//! What a store says when it says no.

use std::time::Duration;

use crate::error::{Classify, Retry};
use crate::values::ValueError;

/// What a store says when it says no. Never holds a value, a token, or a query string.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No connection, or no answer in time.
    #[error("the store at {server} cannot be reached: {why}")]
    Unreachable {
        /// Its address.
        server: String,
        /// One sentence.
        why: String,
    },
    /// Its certificate is not trusted.
    #[error(
        "the certificate of the store at {server} is not trusted: {why}; name its authority in caBundle or caProvider"
    )]
    CertificateInvalid {
        /// Its address.
        server: String,
        /// One sentence.
        why: String,
    },
    /// Its certificate has run out.
    #[error("the certificate of the store at {server} has expired")]
    CertificateExpired {
        /// Its address.
        server: String,
    },
    /// It is there and does not serve.
    #[error("the store is sealed or in standby")]
    Sealed,
    /// Not with these credentials.
    #[error("permission denied on {path}{}", .role.as_ref().map(|role| format!(" with role {role:?}")).unwrap_or_default())]
    PermissionDenied {
        /// What was asked for.
        path: String,
        /// As whom.
        role: Option<String>,
    },
    /// Nothing under that key.
    #[error("{key} does not exist in the store")]
    NotFound {
        /// The key.
        key: String,
    },
    /// The key is there; the version that is asked for cannot be read.
    #[error("the version of {key} is disabled or destroyed")]
    Unavailable {
        /// The key.
        key: String,
    },
    /// Nothing under that key, where that is an error like any other.
    #[error("{key} does not exist in the store")]
    Absent {
        /// The key.
        key: String,
    },
    /// No folder of that name: says nothing about entries that were once in it.
    #[error("nothing lies below {path:?} in the store")]
    NothingBelow {
        /// The folder.
        path: String,
    },
    /// No such mount or engine: says nothing about the key.
    #[error("the store has no engine at {path}; check `path` and `version` of the store")]
    NoEngine {
        /// The mount.
        path: String,
    },
    /// It asks us to slow down, and may say how long.
    #[error("the store asks to wait{}", .0.map(|pause| format!(" for {} s", pause.as_secs())).unwrap_or_default())]
    Throttled(Option<Duration>),
    /// Enough calls of this store are under way, or its budget is spent: no failure, only not now.
    #[error("the store is busy")]
    Busy {
        /// When to come again.
        after: Duration,
    },
    /// Somebody else wrote meanwhile.
    #[error("{key} was changed in the store while we were writing")]
    Conflict {
        /// The key.
        key: String,
    },
    /// A push onto something that somebody else made.
    #[error("{key} in the store is not managed by external-secrets")]
    NotManaged {
        /// The key.
        key: String,
    },
    /// What was deleted, and is not forgotten yet.
    #[error("{key} was deleted in the store and still holds its name: recover it there, or purge it")]
    Leaving {
        /// The key.
        key: String,
    },
    /// An answer that cannot be used.
    #[error("the store's answer to {key} cannot be used: {why}")]
    Malformed {
        /// The key.
        key: String,
        /// One sentence.
        why: &'static str,
    },
    /// The store's settings cannot work.
    #[error("{0}")]
    Configuration(String),
    /// What was read is not what is wanted.
    #[error("{key}: {error}")]
    Value {
        /// The key.
        key: String,
        /// Why.
        error: ValueError,
    },
    /// Whether it would let us in cannot be told without an object that uses it.
    #[error("the store is tried by each object that uses it")]
    Unknown,
    /// Anything else.
    #[error("the store answers {0}")]
    Other(u16),
}

impl Error {
    /// Whether the very next call may fare better.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Throttled(_) | Self::Conflict { .. } | Self::Other(500..))
    }

    /// Whether it says something of the store as a whole, so that it is left alone for a while.
    pub(super) fn is_of_the_store(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Sealed
                | Self::CertificateInvalid { .. }
                | Self::CertificateExpired { .. }
                | Self::Throttled(_)
        )
    }
}

impl Classify for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "Unreachable",
            Self::CertificateInvalid { .. } => "CertificateInvalid",
            Self::CertificateExpired { .. } => "CertificateExpired",
            Self::Sealed => "Sealed",
            Self::PermissionDenied { .. } => "PermissionDenied",
            Self::NotFound { .. } | Self::Absent { .. } | Self::NothingBelow { .. } => "NotFound",
            Self::Unavailable { .. } => "VersionUnavailable",
            Self::NoEngine { .. } => "NoEngine",
            Self::Throttled(_) => "Throttled",
            Self::Busy { .. } => "Busy",
            Self::Conflict { .. } => "Conflict",
            Self::NotManaged { .. } => "NotManaged",
            Self::Leaving { .. } => "NameTaken",
            Self::Malformed { .. } => "Malformed",
            Self::Configuration(_) => "InvalidConfiguration",
            Self::Value { .. } => "InvalidValue",
            Self::Unknown => "ValidationUnknown",
            Self::Other(_) => "StoreError",
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Configuration(_) => Retry::OnChange,
            Self::Busy { after } => Retry::Later(*after),
            Self::Throttled(Some(pause)) => Retry::After(*pause),
            // The store does not tell when this changes: look again, not often.
            _ => Retry::Backoff,
        }
    }
}
