//! Where the certificate comes from.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use seal::Certificate;

use super::args::Args;
use super::error::CommandError;
use super::{cluster, io};

/// A certificate over HTTP is a few kilobytes away.
const TIMEOUT: Duration = Duration::from_secs(30);

/// `--fetch-cert`: prints the certificate as it came.
pub(crate) fn fetch(args: &Args) -> Result<(), CommandError> {
    let pem = pem(args)?;
    Certificate::from_pem(&pem).map_err(|error| unusable(args, &error))?;
    io::write(args.sealed_secret_file.as_deref(), pem.as_bytes())
}

/// The certificate to seal with; an expired one is refused.
pub(crate) fn to_seal_with(args: &Args) -> Result<Certificate, CommandError> {
    let certificate = Certificate::from_pem(&pem(args)?).map_err(|error| unusable(args, &error))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    certificate.check_not_expired(i64::try_from(now).unwrap_or(i64::MAX)).map_err(|error| {
        CommandError::new(error.to_string())
            .help("fetch the cluster's newest certificate: seal --fetch-cert > cert.pem")
    })?;
    Ok(certificate)
}

fn unusable(args: &Args, error: &seal::CertificateError) -> CommandError {
    let place = args.cert.as_deref().unwrap_or("the cluster's answer");
    CommandError::new(format!("cannot use {place} as a certificate: {error}"))
        .help("a certificate begins with -----BEGIN CERTIFICATE-----; get the cluster's with: seal --fetch-cert")
}

fn pem(args: &Args) -> Result<String, CommandError> {
    match args.cert.as_deref() {
        None | Some("") => cluster::certificate(args),
        Some(place) if place.starts_with("http://") || place.starts_with("https://") => download(place),
        Some(place) => io::read(Some(Path::new(place.strip_prefix("file://").unwrap_or(place)))),
    }
}

fn download(url: &str) -> Result<String, CommandError> {
    let failed = |why: String| {
        CommandError::new(format!("cannot fetch certificate from {}: {why}", without_query(url)))
            .help("keep it in a file: --cert FILE")
    };
    cluster::runtime()?.block_on(async {
        let client = reqwest::Client::builder().timeout(TIMEOUT).build().map_err(|error| failed(error.to_string()))?;
        let answer = client.get(url).send().await.map_err(|error| failed(error.without_url().to_string()))?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(failed(format!("the server answers {}", answer.status())));
        }
        answer.text().await.map_err(|error| failed(error.without_url().to_string()))
    })
}

fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}
