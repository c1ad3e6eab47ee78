//! Amazon Web Services: Secrets Manager by its SDK, Parameter Store by a few signed calls.

use std::sync::Arc;

use super::{Endpoints, Error, Provider};
use crate::api::secret_store::{Aws, AwsService};
use crate::plan::StoreAccess;

mod bounded;
mod identity;
mod parameter_store;
mod secrets_manager;
mod sign;

pub(super) use identity::{Identity, told};
pub(super) use sign::{Caller, signed_identity};

/// The provider of the service that the store names.
pub(super) fn make(aws: &Aws, access: &StoreAccess, endpoints: &Endpoints) -> Result<Arc<dyn Provider>, Error> {
    let identity = || Identity::of_store(aws, access, endpoints);
    Ok(match aws.service {
        AwsService::SecretsManager => Arc::new(secrets_manager::SecretsManager::new(aws, identity()?, endpoints)),
        AwsService::ParameterStore => Arc::new(parameter_store::ParameterStore::new(aws, identity()?, endpoints)?),
        AwsService::CertificateManager => {
            return Err(Error::Configuration("service CertificateManager is not supported by this version".to_owned()));
        }
    })
}

/// A key as the service knows it: the prefix goes in front, except of a full name.
fn prefixed(prefix: Option<&str>, key: &str) -> String {
    match prefix {
        Some(prefix) if !key.starts_with("arn:") => format!("{prefix}{key}"),
        _ => key.to_owned(),
    }
}

/// What a refusal means. `code` is AWS's own word.
fn refused(code: &str, status: u16, key: &str, role: Option<&str>) -> Error {
    let denied = || Error::PermissionDenied { path: key.to_owned(), role: role.map(ToOwned::to_owned) };
    match code {
        "ResourceNotFoundException" | "ParameterNotFound" | "ParameterVersionNotFound" | "InvalidResourceId" => {
            Error::NotFound { key: key.to_owned() }
        }
        "ResourceExistsException" | "ParameterAlreadyExists" => Error::Conflict { key: key.to_owned() },
        "AccessDeniedException"
        | "AccessDenied"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "InvalidIdentityToken"
        | "IDPRejectedClaim"
        | "DecryptionFailure" => denied(),
        "ThrottlingException"
        | "Throttling"
        | "TooManyRequestsException"
        | "LimitExceededException"
        | "RequestLimitExceeded"
        | "TooManyUpdates" => Error::Throttled(None),
        _ => match status {
            401 | 403 => denied(),
            429 => Error::Throttled(None),
            200..=299 => Error::Malformed { key: key.to_owned(), why: "it is not what AWS's API defines" },
            status => Error::Other(status),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_goes_in_front_of_names_only() {
        assert_eq!(prefixed(Some("team/"), "db"), "team/db");
        assert_eq!(prefixed(None, "db"), "db");
        let full = "arn:aws:secretsmanager:us-east-1:1:secret:db-a";
        assert_eq!(prefixed(Some("team/"), full), full);
    }

    #[test]
    fn only_aws_own_word_for_absence_counts_as_absence() {
        for (code, status, reason) in [
            ("ResourceNotFoundException", 400, "NotFound"),
            ("", 404, "StoreError"),
            ("ResourceExistsException", 400, "Conflict"),
            ("AccessDeniedException", 400, "PermissionDenied"),
            ("", 403, "PermissionDenied"),
            ("ThrottlingException", 400, "Throttled"),
            ("InternalServiceError", 500, "StoreError"),
            ("", 200, "Malformed"),
        ] {
            use crate::error::Classify;
            assert_eq!(refused(code, status, "k", None).reason(), reason, "{code} {status}");
        }
    }
}
