//! What can go wrong on the way from a store to a Secret.

use crate::cluster;
use crate::controllers::secret_store::StoreError;
use crate::decide::external_secret as decide;
use crate::error::{Classify, Retry};
use crate::providers;

/// Why an ExternalSecret is not synced.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Rule(#[from] decide::Error),
    #[error("{error} (spec.{entry})")]
    Store { entry: String, error: StoreError },
    #[error("{error} (spec.{entry})")]
    Provider { entry: String, error: providers::Error },
    #[error("generator {generator} does not exist (spec.{entry})")]
    NoGenerator { entry: String, generator: String },
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
}

impl Classify for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Rule(error) => error.reason(),
            Self::Store { error, .. } => error.reason(),
            Self::Provider { error, .. } => error.reason(),
            Self::NoGenerator { .. } => "GeneratorNotFound",
            Self::Cluster(error) => error.reason(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Rule(error) => error.retry(),
            Self::Store { error, .. } => error.retry(),
            Self::Provider { error, .. } => error.retry(),
            // Generators are not watched.
            Self::NoGenerator { .. } => Retry::Backoff,
            Self::Cluster(error) => error.retry(),
        }
    }
}
