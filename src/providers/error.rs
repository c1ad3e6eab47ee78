//! What a store says when it says no.

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
    /// No such mount or engine: says nothing about the key.
    #[error("the store has no engine at {path}; check `path` and `version` of the store")]
    NoEngine {
        /// The mount.
        path: String,
    },
    /// It asks us to slow down.
    #[error("the store asks to wait")]
    Throttled,
    /// A push onto something that somebody else made.
    #[error("{key} in the store is not managed by external-secrets")]
    NotManaged {
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

impl Classify for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "Unreachable",
            Self::CertificateInvalid { .. } => "CertificateInvalid",
            Self::Sealed => "Sealed",
            Self::PermissionDenied { .. } => "PermissionDenied",
            Self::NotFound { .. } => "NotFound",
            Self::NoEngine { .. } => "NoEngine",
            Self::Throttled => "Throttled",
            Self::NotManaged { .. } => "NotManaged",
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
            // The store does not tell when this changes: look again, not often.
            _ => Retry::Backoff,
        }
    }
}
