//! Flags and environment, one documented field each.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Flags of the ExternalSecret controllers.
pub mod external_secrets;
/// Flags of Sealed Secrets' controller.
pub mod sealed_secrets;

/// One operator for secrets in GitOps: Applications, SealedSecrets and ExternalSecrets in one process.
#[derive(Clone, Debug, Parser)]
#[command(name = "chancery", version, about, max_term_width = 110)]
pub struct Settings {
    /// Kubeconfig file; without it the pod's own service account is used
    #[arg(long, env = "CHANCERY_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// The operator's own namespace: sealing keys, Lease, doorbell and install key live here
    #[arg(long, env = "POD_NAMESPACE", default_value = "chancery-system", value_name = "NAMESPACE")]
    pub namespace: String,

    /// This replica's name, as it holds the Lease and reports events
    #[arg(long, env = "POD_NAME", default_value_t = default_identity(), value_name = "NAME")]
    pub identity: String,

    /// The controllers to run
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        env = "CHANCERY_CONTROLLERS",
        default_value = "sealed-secrets,external-secrets,applications",
        value_name = "LIST"
    )]
    pub controllers: Vec<Controller>,

    /// Watch only these namespaces, with Roles instead of ClusterRoles; empty means all
    #[arg(long, value_delimiter = ',', env = "CHANCERY_NAMESPACES", value_name = "LIST")]
    pub namespaces: Vec<String>,

    /// Namespaces whose Applications and AppProjects are honoured; the first one holds projects and repository Secrets
    #[arg(
        long,
        value_delimiter = ',',
        env = "CHANCERY_APPLICATION_NAMESPACES",
        default_value = "argocd",
        value_name = "LIST"
    )]
    pub application_namespaces: Vec<String>,

    /// How often each Git remote is asked for its refs
    #[arg(long, value_parser = duration, env = "CHANCERY_GIT_POLL", default_value = "30s", value_name = "DURATION")]
    pub git_poll: Duration,

    /// Folder for bare Git mirrors; it may be lost at any time
    #[arg(long, env = "CHANCERY_CACHE_DIR", default_value = "/tmp/chancery", value_name = "DIR")]
    pub cache_dir: PathBuf,

    /// Make a sealing key although SealedSecrets exist that an absent key once opened
    #[arg(long, env = "CHANCERY_GENERATE_KEY")]
    pub generate_key: bool,

    /// Address of the kubeseal endpoints (`/v1/cert.pem`)
    #[arg(long, env = "CHANCERY_LISTEN", default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Address of `/livez`, `/readyz` and `/metrics`
    #[arg(long, env = "CHANCERY_LISTEN_METRICS", default_value = "0.0.0.0:8081", value_name = "ADDRESS")]
    pub listen_metrics: SocketAddr,

    /// Name of the Lease that the writing replica holds; two parts of one installation need two
    #[arg(long, env = "CHANCERY_LEASE_NAME", default_value = "chancery", value_name = "NAME")]
    pub lease_name: String,

    /// How long the Lease counts without renewal: a killed leader is replaced after at most this time
    #[arg(long, value_parser = duration, env = "CHANCERY_LEASE_DURATION", default_value = "15s", value_name = "DURATION")]
    pub lease_duration: Duration,

    /// Objects of one kind worked on at a time
    #[arg(long, env = "CHANCERY_CONCURRENCY", default_value_t = 16, value_name = "N")]
    pub concurrency: usize,

    /// What concerns SealedSecrets and their keys
    #[command(flatten)]
    pub sealed: sealed_secrets::SealedSecrets,
    /// Namespaces whose stores may go without `auth` and so use the operator's own identity of a cloud;
    /// ClusterSecretStores always may
    #[arg(long, value_delimiter = ',', env = "CHANCERY_AMBIENT_NAMESPACES", value_name = "LIST")]
    pub ambient_namespaces: Vec<String>,

    /// Calls a second that each store may be asked, and as many at once
    #[arg(long, env = "CHANCERY_STORE_CALLS", default_value_t = 100, value_name = "N")]
    pub store_calls: u32,

    /// Where services of clouds are asked when not at their usual place
    #[command(flatten)]
    pub endpoints: CloudEndpoints,

    /// How ExternalSecrets are treated
    #[command(flatten)]
    pub external: external_secrets::ExternalSecrets,

    /// Log lines as JSON or as text
    #[arg(long, value_enum, env = "CHANCERY_LOG_FORMAT", default_value = "json", value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// What is logged, as in `info` or `chancery=debug`
    #[arg(long, env = "CHANCERY_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
}

/// Addresses of services of clouds, for private endpoints and trials. Those of AWS have upstream's names.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct CloudEndpoints {
    /// Address of AWS Secrets Manager
    #[arg(long, env = "AWS_SECRETSMANAGER_ENDPOINT", value_name = "URL", hide = true)]
    pub aws_secrets_manager: Option<String>,
    /// Address of AWS Systems Manager
    #[arg(long, env = "AWS_SSM_ENDPOINT", value_name = "URL", hide = true)]
    pub aws_ssm: Option<String>,
    /// Address of AWS Security Token Service
    #[arg(long, env = "AWS_STS_ENDPOINT", value_name = "URL", hide = true)]
    pub aws_sts: Option<String>,
    /// Address of AWS Elastic Container Registry
    #[arg(long, env = "AWS_ECR_ENDPOINT", value_name = "URL", hide = true)]
    pub aws_ecr: Option<String>,
    /// Address of Google Secret Manager
    #[arg(long, env = "CHANCERY_GOOGLE_SECRET_MANAGER", value_name = "URL", hide = true)]
    pub google_secret_manager: Option<String>,
    /// Address of Google's exchange of tokens
    #[arg(long, env = "CHANCERY_GOOGLE_STS", value_name = "URL", hide = true)]
    pub google_sts: Option<String>,
}

/// One controller, as `--controllers` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Controller {
    /// SealedSecret
    SealedSecrets,
    /// ExternalSecret, SecretStore and ClusterSecretStore
    ExternalSecrets,
    /// Application and AppProject
    Applications,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line
    Json,
    /// For people
    Text,
}

impl Settings {
    /// Whether this controller is to run.
    pub fn runs(&self, controller: Controller) -> bool {
        self.controllers.contains(&controller)
    }
}

/// Reads a duration as Go and Kubernetes write it: `30s`, `1m30s`, `720h`.
fn duration(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration =
        text.parse().map_err(|_| format!("{text:?} is no duration; write it as 30s, 5m or 1h30m"))?;
    Duration::try_from(signed).map_err(|_| "a duration cannot be negative".to_owned())
}

fn default_identity() -> String {
    std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "chancery".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_kubernetes_writes_them() {
        for (text, seconds) in [("30s", 30), ("1m30s", 90), ("720h", 2_592_000), ("1h0m0s", 3600)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "30", "-5s", "soon"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn controllers_can_be_switched_off() {
        let settings = Settings::try_parse_from(["chancery", "--controllers", "sealed-secrets"]).unwrap();
        assert!(settings.runs(Controller::SealedSecrets));
        assert!(!settings.runs(Controller::Applications));
    }
}
