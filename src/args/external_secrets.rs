//! Flags of the ExternalSecret controllers.

use clap::Args;

/// How ExternalSecrets are treated.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "ExternalSecrets")]
pub struct ExternalSecrets {
    /// Work only on stores and generators whose `spec.controller` is this or empty, and on the objects that use them
    #[arg(long, env = "CHANCERY_CONTROLLER_CLASS", default_value = "default", value_name = "CLASS")]
    pub controller_class: String,

    /// Keep External Secrets Operator's unkeyed hash of the data in its annotation, for when it runs beside us
    #[arg(long = "external-secrets-data-hash", env = "CHANCERY_EXTERNAL_SECRETS_DATA_HASH")]
    pub data_hash: bool,

    /// Take over Secrets that nobody owns without being asked, as External Secrets Operator does
    #[arg(long = "external-secrets-take-over", env = "CHANCERY_EXTERNAL_SECRETS_TAKE_OVER")]
    pub take_over: bool,

    /// Serve metrics of each object under External Secrets Operator's names as well
    #[arg(long = "external-secrets-metrics", env = "CHANCERY_EXTERNAL_SECRETS_METRICS")]
    pub metrics: bool,

    /// Work although External Secrets Operator works on the same objects
    #[arg(long = "beside-external-secrets", env = "CHANCERY_BESIDE_EXTERNAL_SECRETS")]
    pub beside: bool,
}
