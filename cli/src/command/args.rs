//! Flags and environment: kubeseal's names and defaults.

use std::path::PathBuf;

use clap::{ArgAction, Parser};
use seal::Scope;

use super::error::CommandError;

/// Seals Kubernetes Secrets so that only the cluster can read them: safe to commit.
///
/// Reads Secrets from standard input or a file and writes SealedSecrets:
///
///     kubectl create secret generic db --from-literal=password=… --dry-run=client -o yaml \
///       | seal --cert prod.pem --format yaml > db.sealed.yaml
#[derive(Debug, Parser)]
#[command(name = "seal", verbatim_doc_comment, disable_version_flag = true, max_term_width = 110)]
pub(crate) struct Args {
    /// Certificate to seal with: a PEM file or an http(s) or file URL; without it the cluster is asked
    #[arg(long, env = "SEALED_SECRETS_CERT", value_name = "FILE|URL")]
    pub(crate) cert: Option<String>,

    /// Print the certificate instead of sealing
    #[arg(long, env = "SEALED_SECRETS_FETCH_CERT")]
    pub(crate) fetch_cert: bool,

    /// Read the Secret from this file instead of standard input
    #[arg(short = 'f', long, env = "SEALED_SECRETS_SECRET_FILE", value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,

    /// Write to this file instead of standard output, only on success; .yaml and .yml mean YAML
    #[arg(short = 'w', long, env = "SEALED_SECRETS_SEALED_SECRET_FILE", value_name = "FILE")]
    pub(crate) sealed_secret_file: Option<PathBuf>,

    /// json or yaml
    #[arg(short = 'o', long, env = "SEALED_SECRETS_FORMAT", default_value = "json", value_name = "FORMAT")]
    pub(crate) format: String,

    /// Where the values may be opened: strict (this name and namespace), namespace-wide or cluster-wide
    #[arg(long, env = "SEALED_SECRETS_SCOPE", default_value = "strict", value_name = "SCOPE")]
    pub(crate) scope: Scope,

    /// Namespace, for input that names none
    #[arg(short = 'n', long, env = "SEALED_SECRETS_NAMESPACE", value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,

    /// Name, in place of the input's; needed by --raw with strict scope
    #[arg(long, env = "SEALED_SECRETS_NAME", value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Seal a Secret without any value
    #[arg(long, env = "SEALED_SECRETS_ALLOW_EMPTY_DATA")]
    pub(crate) allow_empty_data: bool,

    /// Seal one value and print it without a newline
    #[arg(long, env = "SEALED_SECRETS_RAW")]
    pub(crate) raw: bool,

    /// With --raw: the file that holds the value (a `key=` in front is ignored)
    #[arg(long, env = "SEALED_SECRETS_FROM_FILE", value_name = "FILE")]
    pub(crate) from_file: Vec<String>,

    /// Name of the Service that gives the certificate
    #[arg(
        long,
        env = "SEALED_SECRETS_CONTROLLER_NAME",
        default_value = "sealed-secrets-controller",
        value_name = "NAME"
    )]
    pub(crate) controller_name: String,

    /// Namespace of that Service
    #[arg(long, env = "SEALED_SECRETS_CONTROLLER_NAMESPACE", default_value = "kube-system", value_name = "NAMESPACE")]
    pub(crate) controller_namespace: String,

    /// Kubeconfig file
    #[arg(long, env = "SEALED_SECRETS_KUBECONFIG", value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig
    #[arg(long, env = "SEALED_SECRETS_CONTEXT", value_name = "CONTEXT")]
    pub(crate) context: Option<String>,

    /// Print versions
    #[arg(long)]
    pub(crate) version: bool,

    /// Merge the sealed values into this file
    #[arg(long, env = "SEALED_SECRETS_MERGE_INTO", value_name = "FILE", hide = true)]
    pub(crate) merge_into: Option<PathBuf>,

    /// Ask the cluster whether it can open the input
    #[arg(long, env = "SEALED_SECRETS_VALIDATE", hide = true)]
    pub(crate) validate: bool,

    /// Ask the cluster to seal the input anew
    #[arg(long, alias = "rotate", env = "SEALED_SECRETS_RE_ENCRYPT", hide = true)]
    pub(crate) re_encrypt: bool,

    /// Open the input with private keys
    #[arg(long, env = "SEALED_SECRETS_RECOVERY_UNSEAL", hide = true)]
    pub(crate) recovery_unseal: bool,

    /// Private keys for --recovery-unseal
    #[arg(long, value_delimiter = ',', env = "SEALED_SECRETS_RECOVERY_PRIVATE_KEY", hide = true)]
    pub(crate) recovery_private_key: Vec<String>,

    /// kubeseal's log level; taken and not used
    #[arg(short = 'v', action = ArgAction::Append, hide = true)]
    pub(crate) verbosity: Vec<String>,

    /// Words that are no flags; kubeseal lets them pass
    #[arg(hide = true)]
    pub(crate) rest: Vec<String>,
}

/// How SealedSecrets are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Yaml,
}

impl Args {
    /// The output format: a file's extension counts before the flag.
    pub(crate) fn output_format(&self) -> Result<Format, CommandError> {
        let extension = self.sealed_secret_file.as_ref().and_then(|file| file.extension()?.to_str());
        if matches!(extension, Some("yaml" | "yml")) {
            return Ok(Format::Yaml);
        }
        match self.format.to_ascii_lowercase().as_str() {
            "" | "json" => Ok(Format::Json),
            "yaml" => Ok(Format::Yaml),
            _ => Err(CommandError::new(format!("unsupported output format {:?}", self.format))
                .help("use --format json or --format yaml")),
        }
    }

    /// Flags of kubeseal that this version knows by name only.
    pub(crate) fn refuse_what_is_not_here_yet(&self) -> Result<(), CommandError> {
        let asked = [
            (self.merge_into.is_some(), "--merge-into"),
            (self.validate, "--validate"),
            (self.re_encrypt, "--re-encrypt"),
            (self.recovery_unseal || !self.recovery_private_key.is_empty(), "--recovery-unseal"),
        ];
        match asked.into_iter().find(|(is_asked, _)| *is_asked) {
            None => Ok(()),
            Some((_, flag)) => Err(CommandError::new(format!("this version of seal does not have {flag}"))
                .help("kubeseal 0.36 works against the same keys and files; use it for this step")),
        }
    }
}
