//! The flags of Sealed Secrets' controller, under its names and variables: understood, or refused by name with the flag
//! that does the job here. A command line or a Deployment written for it can be kept.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};

use super::duration;

/// Smallest and largest key that may be asked for, in bits.
const KEY_SIZES: [usize; 4] = [2048, 3072, 4096, 8192];
/// What a flag of `--permit` may name after the namespace.
pub const PERMITS: [&str; 3] = ["sealing-key", "repository-credential", "token"];

/// What concerns SealedSecrets and their keys.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Sealed Secrets")]
pub struct SealedSecrets {
    /// Beginning of the names of new key Secrets; a Secret of exactly this name is a key, too
    #[arg(long, env = "SEALED_SECRETS_KEY_PREFIX", default_value = "sealed-secrets-key", value_parser = key_prefix)]
    pub key_prefix: String,

    /// Bits of new keys
    #[arg(long, env = "SEALED_SECRETS_KEY_SIZE", default_value_t = 4096, value_parser = key_size, value_name = "BITS")]
    pub key_size: usize,

    /// How long the certificate of a new key counts
    #[arg(long, env = "SEALED_SECRETS_KEY_TTL", default_value = "87600h", value_parser = duration, value_name = "DURATION")]
    pub key_ttl: Duration,

    /// Common name in the certificate of a new key
    #[arg(long, env = "SEALED_SECRETS_MY_CN", default_value = "", hide_default_value = true, value_name = "NAME")]
    pub my_cn: String,

    /// A new key is made when the newest is as old as this; 0 switches that off
    #[arg(
        long,
        alias = "rotate-period",
        env = "SEALED_SECRETS_KEY_RENEW_PERIOD",
        default_value = "720h",
        value_parser = period,
        value_name = "DURATION"
    )]
    pub key_renew_period: Duration,

    /// A new key is made at start when the newest is older than this time
    #[arg(long, env = "SEALED_SECRETS_KEY_CUTOFF_TIME", value_parser = cutoff, value_name = "RFC1123")]
    pub key_cutoff_time: Option<Cutoff>,

    /// Which key is the newest: the one whose certificate, or whose Secret, is
    #[arg(
        long,
        value_enum,
        env = "SEALED_SECRETS_KEY_ORDER_PRIORITY",
        default_value = "CertNotBefore",
        value_name = "ORDER"
    )]
    pub key_order_priority: KeyOrder,

    /// Labels of new key Secrets, as in `team=a,tier=b`
    #[arg(long, env = "SEALED_SECRETS_PRIVATEKEY_LABELS", value_delimiter = ',', value_parser = pair, value_name = "K=V,…")]
    pub privatekey_labels: Vec<(String, String)>,

    /// Annotations of new key Secrets, as in `team=a,tier=b`
    #[arg(
        long,
        env = "SEALED_SECRETS_PRIVATEKEY_ANNOTATIONS",
        value_delimiter = ',',
        value_parser = pair,
        value_name = "K=V,…"
    )]
    pub privatekey_annotations: Vec<(String, String)>,

    /// Never make the first key: one must be restored or brought
    #[arg(long, env = "CHANCERY_REQUIRE_EXISTING_KEY")]
    pub require_existing_key: bool,

    /// Read `spec.data`, the format of before 2019
    #[arg(
        long,
        env = "SEALED_SECRETS_ACCEPT_DEPRECATED_V1_DATA",
        default_value_t = true,
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub accept_deprecated_v1_data: bool,

    /// Requests a second to `/v1/verify` and `/v1/rotate` on the plain port, from one address
    #[arg(long, env = "SEALED_SECRETS_RATE_LIMIT", default_value_t = 2, value_name = "N")]
    pub rate_limit: u32,

    /// How many of them may come at once
    #[arg(long, env = "SEALED_SECRETS_RATE_LIMIT_BURST", default_value_t = 2, value_name = "N")]
    pub rate_limit_burst: u32,

    /// Address of the kubeseal endpoints with TLS, for callers whose token the API server knows
    #[arg(long, env = "CHANCERY_LISTEN_TLS", requires_all = ["tls_cert", "tls_key"], value_name = "ADDRESS")]
    pub listen_tls: Option<SocketAddr>,

    /// Certificate of that address, PEM; read again when it changes
    #[arg(long, env = "CHANCERY_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// Its private key, PEM
    #[arg(long, env = "CHANCERY_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// Requests a second that one authenticated caller may send there
    #[arg(long, env = "CHANCERY_CALLER_RATE_LIMIT", default_value_t = 50, value_name = "N")]
    pub caller_rate_limit: u32,

    /// Secrets that SealedSecrets may make although they are more than values, as in `argocd/repository-credential`
    /// (others: `sealing-key`, `token`)
    #[arg(long, env = "CHANCERY_PERMIT", value_delimiter = ',', value_parser = permit, value_name = "NAMESPACE/WHAT,…")]
    pub permit: Vec<(String, String)>,

    /// Work although another Sealed Secrets controller works on the same objects
    #[arg(long, env = "CHANCERY_BESIDE_SEALED_SECRETS")]
    pub beside_sealed_secrets: bool,

    /// Serve metrics under the names of Sealed Secrets' controller as well
    #[arg(long, env = "CHANCERY_SEALED_SECRETS_METRICS")]
    pub sealed_secrets_metrics: bool,

    /// Leave out the metric that names every SealedSecret
    #[arg(
        long,
        env = "SEALED_SECRETS_METRICS_OMIT_SECRET_LABELS",
        default_value_t = false,
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub metrics_omit_secret_labels: bool,

    /// The reference's way to watch its own namespace only
    #[arg(
        long,
        hide = true,
        env = "SEALED_SECRETS_ALL_NAMESPACES",
        default_value_t = true,
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub all_namespaces: bool,

    /// The reference's way to watch its own namespace and these
    #[arg(long, hide = true, value_delimiter = ',', env = "SEALED_SECRETS_ADDITIONAL_NAMESPACES")]
    pub additional_namespaces: Vec<String>,

    /// What has no use here, or another name
    #[command(flatten)]
    pub elsewhere: Elsewhere,
}

/// Flags of the reference that ask for nothing here, or must not be set: each says so.
#[derive(Clone, Debug, Args)]
pub struct Elsewhere {
    #[arg(long, hide = true, env = "SEALED_SECRETS_WATCH_FOR_SECRETS", value_parser = always, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    watch_for_secrets: Option<bool>,
    #[arg(long, hide = true, env = "SEALED_SECRETS_UPDATE_STATUS", value_parser = always, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    update_status: Option<bool>,
    #[arg(long, hide = true, env = "SEALED_SECRETS_SKIP_RECREATE", value_parser = never, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    skip_recreate: Option<bool>,
    #[arg(long, hide = true, env = "SEALED_SECRETS_OLD_GC_BEHAVIOR", value_parser = never, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    old_gc_behavior: Option<bool>,
    #[arg(long, hide = true, env = "SEALED_SECRETS_MAX_UNSEAL_RETRIES")]
    max_unseal_retries: Option<i64>,
    #[arg(long, hide = true, env = "SEALED_SECRETS_KUBECLIENT_QPS")]
    kubeclient_qps: Option<f64>,
    #[arg(long, hide = true, env = "SEALED_SECRETS_KUBECLIENT_BURST")]
    kubeclient_burst: Option<i64>,
    #[arg(long, hide = true, env = "SEALED_SECRETS_LOG_INFO_STDOUT", value_parser = never, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    log_info_stdout: Option<bool>,
    #[arg(long, hide = true, env = "SEALED_SECRETS_READ_TIMEOUT", value_parser = duration)]
    read_timeout: Option<Duration>,
    #[arg(long, hide = true, env = "SEALED_SECRETS_WRITE_TIMEOUT", value_parser = duration)]
    write_timeout: Option<Duration>,
    #[arg(long, hide = true, env = "SEALED_SECRETS_LABEL_SELECTOR", value_parser = refused("watch fewer namespaces with --namespaces"))]
    label_selector: Option<String>,
    #[arg(long, hide = true, env = "SEALED_SECRETS_LISTEN_ADDR", value_parser = refused("use --listen=0.0.0.0:8080"))]
    listen_addr: Option<String>,
    #[arg(long, hide = true, env = "SEALED_SECRETS_LISTEN_METRICS_ADDR", value_parser = refused("use --listen-metrics=0.0.0.0:8081"))]
    listen_metrics_addr: Option<String>,
    #[arg(long, hide = true, env = "SEALED_SECRETS_LOG_LEVEL", value_parser = refused("use --log=info, warn, error or debug"))]
    log_level: Option<String>,
}

impl Elsewhere {
    /// What was set and changes nothing, with the reason.
    pub fn without_effect(&self) -> Vec<&'static str> {
        [
            (self.max_unseal_retries.is_some(), "--max-unseal-retries: tries go on, with pauses of up to five minutes"),
            (self.kubeclient_qps.is_some(), "--kubeclient-qps: there is no limit of ours; the API server's counts"),
            (self.kubeclient_burst.is_some(), "--kubeclient-burst: there is no limit of ours; the API server's counts"),
            (self.read_timeout.is_some(), "--read-timeout: a request has ten seconds"),
            (self.write_timeout.is_some(), "--write-timeout: a request has ten seconds"),
        ]
        .into_iter()
        .filter_map(|(set, words)| set.then_some(words))
        .collect()
    }
}

impl SealedSecrets {
    /// The namespaces that the reference's flags name; empty means all.
    pub fn namespaces(&self, own: &str) -> Vec<String> {
        let named = self.additional_namespaces.iter().filter(|name| !name.is_empty());
        let named: Vec<String> = std::iter::once(own.to_owned()).chain(named.cloned()).collect();
        if self.all_namespaces && named.len() == 1 { Vec::new() } else { named }
    }
}

/// Which key is the newest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum KeyOrder {
    /// By its certificate's first day
    #[default]
    #[value(name = "CertNotBefore")]
    CertNotBefore,
    /// By its Secret's creation
    #[value(name = "SecretCreationTimestamp")]
    SecretCreationTimestamp,
}

/// A time before which keys are too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cutoff(pub jiff::Timestamp);

fn key_prefix(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !text.is_empty() && text.len() <= 245 && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err("it is the beginning of a name: up to 245 of a-z, 0-9 and -".to_owned())
}

fn key_size(text: &str) -> Result<usize, String> {
    let bits = text.parse().ok().filter(|bits| KEY_SIZES.contains(bits));
    bits.ok_or_else(|| "use 2048, 3072, 4096 or 8192".to_owned())
}

/// As [`duration`], with the bare `0` that means never.
fn period(text: &str) -> Result<Duration, String> {
    if text == "0" { Ok(Duration::ZERO) } else { duration(text) }
}

fn cutoff(text: &str) -> Result<Cutoff, String> {
    let time = jiff::fmt::rfc2822::parse(text).map(|zoned| zoned.timestamp());
    time.map(Cutoff).map_err(|_| "write it as in `Mon, 02 Jan 2006 15:04:05 +0000`".to_owned())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    parts.map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(|| "write it as NAME=VALUE".to_owned())
}

fn permit(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('/').filter(|(namespace, what)| !namespace.is_empty() && PERMITS.contains(what));
    let owned = parts.map(|(namespace, what)| (namespace.to_owned(), what.to_owned()));
    owned.ok_or_else(|| format!("write it as NAMESPACE/WHAT, where WHAT is one of {}", PERMITS.join(", ")))
}

fn boolean(text: &str) -> Result<bool, String> {
    // As Go reads them.
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("write true or false".to_owned()),
    }
}

fn always(text: &str) -> Result<bool, String> {
    if boolean(text)? { Ok(true) } else { Err("this cannot be switched off here; leave the flag out".to_owned()) }
}

fn never(text: &str) -> Result<bool, String> {
    if boolean(text)? { Err("this is not done here; leave the flag out".to_owned()) } else { Ok(false) }
}

fn refused(instead: &'static str) -> impl Fn(&str) -> Result<String, String> + Clone {
    move |_| Err(format!("this flag of Sealed Secrets has another name here: {instead}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::args::Settings;

    fn parse(flags: &[&str]) -> Result<Settings, String> {
        Settings::try_parse_from([&["chancery"], flags].concat()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_command_line_of_the_reference_is_understood() {
        let settings = parse(&[
            "--key-prefix=k",
            "--key-size=2048",
            "--key-ttl=24h",
            "--my-cn=here",
            "--rotate-period=0",
            "--key-order-priority=SecretCreationTimestamp",
            "--key-cutoff-time=Mon, 02 Jan 2006 15:04:05 +0000",
            "--accept-deprecated-v1-data=false",
            "--privatekey-labels=a=b,c=d",
            "--rate-limit=7",
            "--update-status",
            "--watch-for-secrets",
            "--skip-recreate=false",
            "--kubeclient-qps=-1",
            "--max-unseal-retries=5",
            "--additional-namespaces=one,two",
        ])
        .unwrap();
        let sealed = &settings.sealed;
        assert_eq!((sealed.key_size, sealed.key_renew_period.as_secs(), sealed.rate_limit), (2048, 0, 7));
        assert_eq!(sealed.key_cutoff_time.unwrap().0.as_second(), 1_136_214_245);
        assert!(!sealed.accept_deprecated_v1_data);
        assert_eq!(sealed.privatekey_labels.len(), 2);
        assert_eq!(sealed.namespaces("kube-system"), ["kube-system", "one", "two"]);
        assert_eq!(sealed.elsewhere.without_effect().len(), 2);
        assert!(parse(&[]).unwrap().sealed.namespaces("kube-system").is_empty());
    }

    #[test]
    fn what_is_not_understood_is_refused_with_the_way_on() {
        for (flag, words) in [
            ("--listen-addr=:8080", "--listen=0.0.0.0:8080"),
            ("--log-level=INFO", "use --log=info"),
            ("--skip-recreate", "not done here"),
            ("--update-status=false", "cannot be switched off"),
            ("--label-selector=a=b", "--namespaces"),
            ("--privatekey-labels=a", "NAME=VALUE"),
            ("--key-size=1024", "2048"),
            ("--key-prefix=A", "a-z"),
            ("--permit=argocd", "NAMESPACE/WHAT"),
            ("--permit=argocd/all", "repository-credential"),
            ("--listen-tls=0.0.0.0:8443", "--tls-cert"),
        ] {
            let error = parse(&[flag]).unwrap_err();
            assert!(error.contains(words), "{flag}: {error}");
        }
    }
}
