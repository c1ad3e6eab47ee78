//! What the API server says when it says no, without what it must not repeat.

use std::time::Duration;

use crate::error::{Classify, Retry};

/// Everything that can go wrong between us and the API server.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No usable client.
    #[error("{0}")]
    Configuration(String),
    /// No answer in time, or no connection.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
    /// The API server does not serve this kind (yet).
    #[error("the cluster does not know {kind} in {api_version}: is its CustomResourceDefinition installed?")]
    UnknownKind {
        /// `group/version`.
        api_version: String,
        /// The kind.
        kind: String,
    },
    /// It is not there.
    #[error("{0} not found")]
    NotFound(String),
    /// It is there already.
    #[error("{0} exists already")]
    AlreadyExists(String),
    /// It changed under us.
    #[error("{0} changed meanwhile")]
    Conflict(String),
    /// Our identity may not do that.
    #[error("{0}")]
    Forbidden(String),
    /// The API server refuses the content.
    #[error("{object} is refused: {detail}")]
    Invalid {
        /// Which object.
        object: String,
        /// Why; for Secrets only field names and reasons.
        detail: String,
    },
    /// Its namespace is going away.
    #[error("namespace of {0} is being deleted")]
    NamespaceTerminating(String),
    /// The API server asks us to slow down.
    #[error("the API server asks to wait {} s", .0.as_secs())]
    Throttled(Duration),
    /// Anything else.
    #[error("{object}: the API server answers {code} {reason}")]
    Other {
        /// Which object.
        object: String,
        /// HTTP status.
        code: u16,
        /// Its reason word.
        reason: String,
    },
    /// An answer that cannot be read.
    #[error("{0}: the API server's answer cannot be read")]
    Unreadable(String),
}

impl Error {
    /// Translates kube's error about `object`. `secret` says that the object holds values: then nothing of the API
    /// server's message is passed on, because validation errors repeat what they refuse (CVE-2025-23216).
    pub(super) fn from_kube(object: impl std::fmt::Display, secret: bool, error: kube::Error) -> Self {
        let object = object.to_string();
        let status = match error {
            kube::Error::Api(status) => status,
            kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => {
                return Self::Unreadable(object);
            }
            // Its text names addresses and TLS trouble, never a body.
            other => return Self::Unreachable(innermost(&other)),
        };
        let details = status.details.as_ref();
        let causes = details.map(|details| details.causes.as_slice()).unwrap_or_default();
        if causes.iter().any(|cause| cause.reason == "NamespaceTerminating") {
            return Self::NamespaceTerminating(object);
        }
        match (status.code, status.reason.as_str()) {
            (404, _) => Self::NotFound(object),
            (409, "AlreadyExists") => Self::AlreadyExists(object),
            (409, _) => Self::Conflict(object),
            // A JSON Patch whose `test` on the version fails is answered 422 without any cause.
            (422, _) if causes.is_empty() => Self::Conflict(object),
            (403, _) if secret => Self::Forbidden(format!("{object}: our service account may not do that")),
            (401 | 403, _) => Self::Forbidden(status.message.clone()),
            (429, _) | (503 | 504, _) => {
                let seconds = details.map_or(0, |details| details.retry_after_seconds);
                Self::Throttled(Duration::from_secs(u64::from(seconds.max(1))))
            }
            (400 | 415 | 422, _) => {
                let detail = if secret {
                    let fields: Vec<_> =
                        causes.iter().map(|cause| format!("{} ({})", cause.field, cause.reason)).collect();
                    if fields.is_empty() { "the server gives no field".to_owned() } else { fields.join(", ") }
                } else {
                    status.message.clone()
                };
                Self::Invalid { object, detail }
            }
            (code, reason) => Self::Other { object, code, reason: reason.to_owned() },
        }
    }
}

/// The deepest cause: hyper and tower wrap the one sentence that helps in three that do not.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

impl Classify for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Configuration(_) => "InvalidConfiguration",
            Self::Unreachable(_) => "ApiServerUnreachable",
            Self::UnknownKind { .. } => "UnknownKind",
            Self::NotFound(_) => "NotFound",
            Self::AlreadyExists(_) => "AlreadyExists",
            Self::Conflict(_) => "Conflict",
            Self::Forbidden(_) => "Forbidden",
            Self::Invalid { .. } => "Invalid",
            Self::NamespaceTerminating(_) => "NamespaceTerminating",
            Self::Throttled(_) => "Throttled",
            Self::Other { .. } | Self::Unreadable(_) => "ApiServerError",
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Throttled(pause) => Retry::After(*pause),
            Self::Conflict(_) => Retry::Overtaken,
            Self::Configuration(_) | Self::NamespaceTerminating(_) => Retry::OnChange,
            _ => Retry::Backoff,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: u16, reason: &str, message: &str, causes: serde_json::Value) -> kube::Error {
        let status = serde_json::json!({
            "status": "Failure", "code": code, "reason": reason, "message": message, "details": {"causes": causes},
        });
        kube::Error::Api(Box::new(serde_json::from_value(status).unwrap()))
    }

    #[test]
    fn a_refused_secret_is_told_by_field_and_never_by_the_servers_words() {
        let error = refusal(
            422,
            "Invalid",
            "Secret \"x\" is invalid: data: Invalid value: \"canary\"",
            serde_json::json!([{"field": "data[a]", "reason": "FieldValueInvalid", "message": "canary"}]),
        );
        let told = Error::from_kube("Secret a/x", true, error);
        assert_eq!(told.to_string(), "Secret a/x is refused: data[a] (FieldValueInvalid)");
        assert!(!format!("{told:?}").contains("canary"));
    }

    #[test]
    fn answers_are_classified() {
        let none = serde_json::json!([]);
        let terminating = serde_json::json!([{"reason": "NamespaceTerminating"}]);
        for (code, reason, causes, expected) in [
            (409, "AlreadyExists", &none, "AlreadyExists"),
            (409, "Conflict", &none, "Conflict"),
            (422, "Invalid", &none, "Conflict"),
            (403, "Forbidden", &terminating, "NamespaceTerminating"),
            (403, "Forbidden", &none, "Forbidden"),
            (404, "NotFound", &none, "NotFound"),
            (429, "TooManyRequests", &none, "Throttled"),
            (500, "InternalError", &none, "ApiServerError"),
        ] {
            let error = Error::from_kube("x", false, refusal(code, reason, "", causes.clone()));
            assert_eq!(error.reason(), expected, "{code} {reason}");
        }
    }
}
