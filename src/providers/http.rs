//! One way to speak HTTP for all providers: no redirects, no addresses that only this machine or its cloud should hear
//! from, a limit in time and size, and errors that hold neither a query nor a body.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderMap;
use ::http::header::RETRY_AFTER;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, ClientBuilder, Response, Url};
use seal::SecretBytes;

use super::{DEADLINE, Error, LARGEST_ANSWER};

/// What is wrong with an answer that leads elsewhere.
pub(super) const REDIRECT: &str = "it is a redirect, which is not followed";
const CONNECT: Duration = Duration::from_secs(5);
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A client with the guards that every provider wants. `authority` is PEM that takes the place of the public ones.
pub(super) fn builder(authority: Option<&str>) -> Result<ClientBuilder, Error> {
    let builder = unguarded(authority)?;
    Ok(builder.dns_resolver(Arc::new(Guarded)))
}

/// The same for servers that are told by an administrator and may live at a link-local address.
pub(super) fn unguarded(authority: Option<&str>) -> Result<ClientBuilder, Error> {
    let builder = Client::builder()
        .timeout(DEADLINE)
        .connect_timeout(CONNECT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("chancery/", env!("CARGO_PKG_VERSION")));
    let Some(pem) = authority else { return Ok(builder) };
    let authorities = Certificate::from_pem_bundle(pem.as_bytes()).ok().filter(|found| !found.is_empty());
    let authorities = authorities
        .ok_or_else(|| Error::Configuration("caBundle or caProvider holds no certificate in PEM".to_owned()))?;
    Ok(builder.tls_certs_only(authorities))
}

/// Finishes a client.
pub(super) fn build(builder: ClientBuilder) -> Result<Client, Error> {
    builder.build().map_err(|_| Error::Configuration("the certificates in the store cannot be used".to_owned()))
}

/// A client's own certificate and key, PEM.
pub(super) fn identity(certificate: &SecretBytes, key: &SecretBytes) -> Result<reqwest::Identity, Error> {
    let pem = [key.expose(), b"\n", certificate.expose()].concat();
    reqwest::Identity::from_pem(&pem)
        .map_err(|_| Error::Configuration("the client certificate and its key are no PEM of a pair".to_owned()))
}

/// An address of a server that may be asked.
pub(super) fn address(text: &str) -> Result<Url, Error> {
    let url = Url::parse(text).map_err(|_| Error::Configuration(format!("{text:?} is no address of a server")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(Error::Configuration("the server's address must begin with http:// or https://".to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::Configuration("the server's address must not hold a password".to_owned()));
    }
    let literal = url.host_str().map(|host| host.trim_matches(['[', ']'])).and_then(|host| host.parse().ok());
    if literal.is_some_and(is_refused) {
        return Err(refused());
    }
    Ok(url)
}

fn refused() -> Error {
    Error::Configuration("link-local and metadata addresses are not asked".to_owned())
}

/// Where clouds keep credentials of the machine, and what no router carries.
fn is_refused(address: IpAddr) -> bool {
    const METADATA: [IpAddr; 3] = [
        IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
        IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    ];
    let address = address.to_canonical();
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_unspecified(),
        IpAddr::V6(address) => address.is_unicast_link_local() || address.is_unspecified(),
    };
    is_link_local || METADATA.contains(&address)
}

/// The system's resolver, without the addresses that are refused: a name may lead there too.
struct Guarded;

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<_> = found.iter().copied().filter(|address| !is_refused(address.ip())).collect();
            if allowed.is_empty() && !found.is_empty() {
                return Err("link-local and metadata addresses are not asked".into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// An answer's body, as long as it is no larger than any Secret.
pub(super) async fn body(mut response: Response, server: &str, key: &str) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(server, key, &error))? {
        super::within_size(key, body.len() + chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    debug_assert!(body.len() <= LARGEST_ANSWER);
    Ok(body)
}

/// How long an answer asks to wait.
pub(super) fn asked_to_wait(headers: &HeaderMap) -> Option<Duration> {
    pause(headers.get(RETRY_AFTER)?.to_str().ok()?)
}

/// A `Retry-After` in seconds; nobody is believed more than a few minutes.
pub(super) fn pause(said: &str) -> Option<Duration> {
    said.trim().parse().ok().map(|seconds| Duration::from_secs(seconds).clamp(SHORTEST_PAUSE, LONGEST_PAUSE))
}

/// Why no answer came. The error's own text would hold the whole address, query included.
pub(super) fn unreachable(server: &str, error: &dyn std::error::Error) -> Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let (server, why) = (server.to_owned(), cause.to_string());
    if why.contains("certificate expired") || why.contains("Expired") {
        Error::CertificateExpired { server }
    } else if why.contains("certificate") || why.contains("UnknownIssuer") {
        Error::CertificateInvalid { server, why }
    } else if why.contains("http") && why.contains("://") {
        Error::Unreachable { server, why: "no connection".to_owned() }
    } else {
        Error::Unreachable { server, why }
    }
}

fn broken(server: &str, key: &str, error: &reqwest::Error) -> Error {
    if error.is_timeout() {
        return unreachable(server, error);
    }
    Error::Malformed { key: key.to_owned(), why: "it ends before it is complete" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_machines_and_clouds_are_refused() {
        for text in [
            "http://169.254.169.254/latest",
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
            "http://[::ffff:169.254.169.254]/",
            "http://168.63.129.16",
            "http://100.100.100.200/",
            "http://0.0.0.0/",
            "http://2852039166/",
            "ftp://vault",
            "vault",
            "https://user:word@vault",
        ] {
            assert!(matches!(address(text), Err(Error::Configuration(_))), "{text}");
        }
        for text in
            ["https://vault.internal:8200", "http://127.0.0.1:8200", "http://10.0.0.1", "https://[2001:db8::1]/"]
        {
            assert!(address(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn pauses_are_believed_within_reason() {
        for (said, seconds) in [
            ("7", Some(7)),
            (" 0 ", Some(1)),
            ("999999", Some(300)),
            ("-1", None),
            ("Thu, 26 Nov 2026 14:00:00 GMT", None),
        ] {
            assert_eq!(pause(said).map(|pause| pause.as_secs()), seconds, "{said}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_there_is_refused_too() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = build(builder(None).unwrap()).unwrap();
        // Resolves to itself on every system.
        let error = client.get("http://0.0.0.0.:1/").send().await.err();
        assert!(error.is_some());
    }
}
