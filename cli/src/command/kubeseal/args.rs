//! kubeseal's flags, environment and defaults.

use std::path::{Path, PathBuf};

use clap::builder::ArgPredicate;
use clap::parser::ValueSource;
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser};
use seal::Scope;

use crate::command::certificate::Source;
use crate::command::cluster::ClusterArgs;
use crate::command::error::CommandError;

/// Seals Kubernetes Secrets so that only the cluster can read them: safe to commit.
///
/// Without a verb it does what kubeseal does, with kubeseal's flags: Secrets in, SealedSecrets out.
///
///     kubectl create secret generic db --from-literal=password=… --dry-run=client -o yaml \
///       | seal --cert prod.pem --format yaml > db.sealed.yaml
///
/// The verbs (`seal new`, `set`, `edit`, `check`, …) are told by `seal help`.
#[derive(Debug, Parser)]
#[command(
    name = "kubeseal",
    verbatim_doc_comment,
    disable_version_flag = true,
    args_override_self = true,
    max_term_width = 110
)]
pub(crate) struct Args {
    /// Certificate to seal with: a PEM file or an http(s) or file URL; without it the cluster is asked
    #[arg(long, env = "SEALED_SECRETS_CERT", value_name = "FILE|URL")]
    pub(crate) cert: Option<String>,

    /// Print the certificate instead of sealing
    #[arg(long, env = "SEALED_SECRETS_FETCH_CERT", action = ArgAction::Set, value_parser = go_bool,
        num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", hide_default_value = true, value_name = "BOOL", hide_possible_values = true)]
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

    /// Name, in place of the input's; needed by --raw with strict scope
    #[arg(long, env = "SEALED_SECRETS_NAME", value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Seal a Secret without any value
    #[arg(long, env = "SEALED_SECRETS_ALLOW_EMPTY_DATA", action = ArgAction::Set, value_parser = go_bool,
        num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", hide_default_value = true, value_name = "BOOL")]
    pub(crate) allow_empty_data: bool,

    /// Seal one value and print it without a newline
    #[arg(long, env = "SEALED_SECRETS_RAW", action = ArgAction::Set, value_parser = go_bool,
        num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", hide_default_value = true, value_name = "BOOL")]
    pub(crate) raw: bool,

    /// With --raw: the file that holds the value (a `key=` in front is ignored)
    #[arg(long, env = "SEALED_SECRETS_FROM_FILE", value_delimiter = ',', value_name = "FILE", action = ArgAction::Append)]
    pub(crate) from_file: Vec<String>,

    /// Merge the sealed values into this file
    #[arg(long, env = "SEALED_SECRETS_MERGE_INTO", value_name = "FILE")]
    pub(crate) merge_into: Option<PathBuf>,

    /// Ask the cluster whether it can open the input
    #[arg(long, env = "SEALED_SECRETS_VALIDATE", action = ArgAction::Set, value_parser = go_bool,
        num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", hide_default_value = true, value_name = "BOOL")]
    pub(crate) validate: bool,

    /// Let the cluster seal the input anew with its newest key; with -f and without -w the file is changed in place
    #[arg(long, env = "SEALED_SECRETS_RE_ENCRYPT", action = ArgAction::Set, value_parser = go_bool,
        num_args = 0..=1, require_equals = true, default_value_if("rotate", ArgPredicate::Equals("true".into()), Some("true")),
        default_value = "false", default_missing_value = "true", hide_default_value = true, value_name = "BOOL")]
    pub(crate) re_encrypt: bool,

    /// The old name of --re-encrypt
    #[arg(long, env = "SEALED_SECRETS_ROTATE", action = ArgAction::Set, value_parser = go_bool, hide = true,
        num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_name = "BOOL")]
    pub(crate) rotate: bool,

    /// Open the input with private keys: for emergencies
    #[arg(long, env = "SEALED_SECRETS_RECOVERY_UNSEAL", action = ArgAction::Set, value_parser = go_bool,
        num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", hide_default_value = true, value_name = "BOOL")]
    pub(crate) recovery_unseal: bool,

    /// Files with private keys for --recovery-unseal: PEM, key Secrets, Lists of them
    #[arg(long, value_delimiter = ',', env = "SEALED_SECRETS_RECOVERY_PRIVATE_KEY", value_name = "FILE", action = ArgAction::Append)]
    pub(crate) recovery_private_key: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,

    /// Print versions
    #[arg(long, action = ArgAction::Set, value_parser = go_bool,
        num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", hide_default_value = true, value_name = "BOOL")]
    pub(crate) version: bool,

    #[command(flatten)]
    klog: Klog,

    /// Words that are no flags; kubeseal lets them pass
    #[arg(hide = true)]
    pub(crate) rest: Vec<String>,

    /// Whether --format was asked for.
    #[arg(skip)]
    pub(crate) format_asked: bool,
}

/// The log library's flags, which kubeseal takes; there is nothing to log.
#[derive(Debug, clap::Args)]
struct Klog {
    #[arg(short = 'v', long = "v", action = ArgAction::Append, hide = true)]
    verbosity: Vec<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Append)]
    logtostderr: Vec<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Append)]
    alsologtostderr: Vec<String>,
    #[arg(long, hide = true, action = ArgAction::Append)]
    vmodule: Vec<String>,
    #[arg(long, hide = true, action = ArgAction::Append)]
    stderrthreshold: Vec<String>,
    #[arg(long = "log_backtrace_at", hide = true, action = ArgAction::Append)]
    log_backtrace_at: Vec<String>,
    #[arg(long = "log_dir", hide = true, action = ArgAction::Append)]
    log_dir: Vec<String>,
    #[arg(long = "log_file", hide = true, action = ArgAction::Append)]
    log_file: Vec<String>,
}

/// How SealedSecrets are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Yaml,
}

impl Args {
    /// Reads the command line; usage and mistakes end the process, as kubeseal does it.
    pub(crate) fn from_command_line() -> Self {
        let matches = Self::command().get_matches();
        let mut args = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        args.format_asked = matches.value_source("format").is_some_and(|source| source != ValueSource::DefaultValue);
        args
    }

    /// The output format: a file's extension counts before the flag.
    pub(crate) fn output_format(&self) -> Result<Format, CommandError> {
        let asked = self.asked_format()?;
        Ok(self.sealed_secret_file.as_deref().and_then(yaml_by_name).unwrap_or(asked))
    }

    /// What `--format` says.
    pub(crate) fn asked_format(&self) -> Result<Format, CommandError> {
        match self.format.to_ascii_lowercase().as_str() {
            "" | "json" => Ok(Format::Json),
            "yaml" => Ok(Format::Yaml),
            _ => Err(CommandError::new(format!("unsupported output format {:?}", self.format))
                .help("use --format json or --format yaml")),
        }
    }

    /// Where the certificate comes from.
    pub(crate) fn certificate(&self) -> Source<'_> {
        match self.cert.as_deref() {
            None | Some("") => Source::Cluster(&self.cluster),
            Some(place) => Source::Place(place),
        }
    }
}

fn yaml_by_name(file: &Path) -> Option<Format> {
    matches!(file.extension()?.to_str()?, "yaml" | "yml").then_some(Format::Yaml)
}

/// A boolean as Go's flags write it.
fn go_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        other => Err(format!("{other:?} is neither true nor false")),
    }
}
