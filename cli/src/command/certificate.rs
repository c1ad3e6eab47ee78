//! Where the certificate comes from.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use seal::{Certificate, CertificateError, Fingerprint};

use super::cluster::{self, ClusterArgs, Controller};
use super::codes::Code;
use super::error::CommandError;
use super::io;

/// A certificate over HTTP is a few kilobytes away.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer that is taken for a certificate.
const LARGEST: usize = 1 << 20;
/// Seconds of a day.
pub(crate) const DAY: i64 = 86_400;

/// A place to take a certificate from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// A file, or an http, https or file URL.
    Place(&'a str),
    /// The controller, through the API server.
    Cluster(&'a ClusterArgs),
}

impl Source<'_> {
    /// The PEM text as it came.
    pub(crate) fn pem(self) -> Result<String, CommandError> {
        match self {
            Self::Place(place) if place.starts_with("http://") || place.starts_with("https://") => download(place),
            Self::Place(place) => io::read(Some(Path::new(place.strip_prefix("file://").unwrap_or(place)))),
            Self::Cluster(cluster) => {
                cluster.converse(async |client| Controller::find(client, cluster).await?.certificate().await)
            }
        }
    }

    /// The certificate, not judged by its dates.
    pub(crate) fn certificate(self) -> Result<Certificate, CommandError> {
        Certificate::from_pem(&self.pem()?).map_err(|error| self.unusable(&error))
    }

    /// The certificate to seal with; an expired one is refused.
    pub(crate) fn to_seal_with(self) -> Result<Certificate, CommandError> {
        self.read(&self.pem()?)
    }

    /// The same, of a text that came from here.
    pub(crate) fn read(self, pem: &str) -> Result<Certificate, CommandError> {
        let certificate = Certificate::from_pem(pem).map_err(|error| self.unusable(&error))?;
        certificate.check_not_expired(now()).map_err(|error| {
            CommandError::coded(Code::Expired, error.to_string())
                .help("fetch the cluster's newest certificate: seal cert fetch > cert.pem")
        })?;
        Ok(certificate)
    }

    /// Why a text from here is no certificate.
    pub(crate) fn unusable(self, error: &CertificateError) -> CommandError {
        let place = match self {
            Self::Place(place) => without_query(place),
            Self::Cluster(_) => "the cluster's answer",
        };
        CommandError::coded(Code::NotACertificate, format!("cannot use {place} as a certificate: {error}"))
            .help("a certificate begins with -----BEGIN CERTIFICATE-----; get the cluster's with: seal cert fetch")
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(now).unwrap_or(i64::MAX)
}

fn download(url: &str) -> Result<String, CommandError> {
    let failed = |why: String| {
        CommandError::coded(Code::Unreachable, format!("cannot fetch certificate from {}: {why}", without_query(url)))
            .help("keep it in a file: --cert FILE")
    };
    cluster::runtime()?.block_on(async {
        let client = reqwest::Client::builder().timeout(TIMEOUT).build().map_err(|error| failed(error.to_string()))?;
        let mut answer = client.get(url).send().await.map_err(|error| failed(error.without_url().to_string()))?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(failed(format!("the server answers {}", answer.status())));
        }
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|error| failed(error.without_url().to_string()))? {
            body.extend_from_slice(&part);
            if body.len() > LARGEST {
                return Err(failed("the answer is too large for a certificate".to_owned()));
            }
        }
        String::from_utf8(body).map_err(|_| failed("the answer is not text".to_owned()))
    })
}

fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}

/// What a cluster publishes: the certificate that seals, and where it can be had, all others.
pub(crate) struct Published {
    /// The certificate that seals.
    pub(crate) pem: String,
    all: Vec<Certificate>,
    all_pem: String,
}

/// The ConfigMap with the public certificates, beside the keys; the operator writes it.
const PUBLIC_KEYS: &str = "chancery-public-keys";

impl Published {
    /// A certificate that nothing more is known about.
    pub(crate) fn alone(pem: String) -> Self {
        let all = Certificate::all_from_pem(&pem).unwrap_or_default();
        Self { all, all_pem: pem.clone(), pem }
    }

    /// Asks the controller, and where that cannot be reached, reads what the operator published in a ConfigMap.
    pub(crate) fn fetch(cluster: &ClusterArgs, tell: impl Fn(&str)) -> Result<Self, CommandError> {
        cluster.converse(async |client| {
            let namespace = cluster.key_namespace(&client).await;
            let maps = Api::<ConfigMap>::namespaced(client.clone(), &namespace);
            let map = maps.get_opt(PUBLIC_KEYS).await.ok().flatten().and_then(|map| map.data).unwrap_or_default();
            let asked = match Controller::find(client, cluster).await {
                Ok(controller) => controller.certificate().await,
                Err(error) => Err(error),
            };
            let pem = match (asked, map.get("cert.pem")) {
                (Ok(pem), _) => pem,
                (Err(error), None) => return Err(error),
                (Err(error), Some(pem)) => {
                    tell(error.message());
                    tell(&format!("read the certificate from ConfigMap {namespace}/{PUBLIC_KEYS} instead"));
                    pem.clone()
                }
            };
            let all_pem =
                map.get("all.pem").filter(|all| !all.trim().is_empty()).cloned().unwrap_or_else(|| pem.clone());
            Ok(Self { all: Certificate::all_from_pem(&all_pem).unwrap_or_default(), all_pem, pem })
        })
    }

    /// Whether the cluster has this key.
    pub(crate) fn knows(&self, key: &Fingerprint) -> bool {
        self.all.iter().any(|certificate| certificate.fingerprint == *key)
    }

    /// All certificates, newest first.
    pub(crate) fn all(&self) -> &[Certificate] {
        &self.all
    }

    /// The one that seals, and the others behind it.
    pub(crate) fn bundle(&self) -> String {
        let first = self.pem.trim_end();
        let others = self.all_pem.replace(first, "");
        format!("{first}\n{}", others.trim_start())
    }
}

/// A date, for people.
pub(crate) fn day(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| seconds.to_string(), |time| time.strftime("%Y-%m-%d").to_string())
}
