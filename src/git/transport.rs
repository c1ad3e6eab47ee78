//! HTTP as Git speaks it: which addresses are read, with what they are asked, and what went wrong.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use gix::protocol::transport::client::blocking_io::http;

use super::{Credentials, Error, Remote};
use crate::address::redacted;

/// An address that we read.
pub(super) struct Address {
    /// Without user and password.
    pub(super) url: String,
    /// The same for people.
    pub(super) told: String,
    /// What stood in the address.
    user: Option<(String, String)>,
}

impl Address {
    pub(super) fn of(remote: &Remote) -> Result<Self, Error> {
        let told = redacted(&remote.url);
        let unsupported = |why| Error::UnsupportedUrl { url: told.clone(), why };
        let parsed = reqwest::Url::parse(remote.url.trim()).map_err(|_| {
            unsupported("only https:// repositories are read; ssh is not supported yet, use an access token over https")
        })?;
        let password = parsed.password().map(str::to_owned);
        let user = password.map(|password| (decoded(parsed.username()), decoded(&password)));
        let secret = user.is_some() || !remote.credentials.is_anonymous();
        match parsed.scheme() {
            "https" => {}
            "http" if !secret => {}
            "http" => return Err(unsupported("credentials are not sent over http; use https")),
            "ssh" => {
                return Err(unsupported("ssh is not supported yet; use an access token over https"));
            }
            _ => return Err(unsupported("only https:// repositories are read")),
        }
        let mut bare = parsed;
        // Both cannot fail for a URL with a host.
        let _ = bare.set_username("");
        let _ = bare.set_password(None);
        Ok(Self { url: bare.to_string(), told, user })
    }
}

/// Undoes percent-encoding, as it stands in the user part of an address.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, later @ ..] = rest {
        let escaped = later
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &later[2..];
            }
            None => {
                bytes.push(*first);
                rest = later;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// HTTP as we want it: our credentials with the first request, our authorities, a deadline, no redirects.
pub(super) fn transport(address: &Address, credentials: &Credentials, deadline: Duration) -> http::Options {
    let mut headers = Vec::new();
    if let Some(token) = &credentials.bearer_token {
        headers.push(format!("Authorization: Bearer {}", String::from_utf8_lossy(token.expose())));
    } else if let Some(password) = &credentials.password {
        headers.push(basic(&credentials.username, password.expose()));
    } else if let Some((user, password)) = &address.user {
        headers.push(basic(user, password.as_bytes()));
    }
    let (authorities, insecure) = (credentials.authorities.clone(), credentials.insecure);
    let configure = move |mut builder: reqwest::blocking::ClientBuilder| {
        builder = builder.timeout(deadline).connect_timeout(Duration::from_secs(5).min(deadline));
        if let Some(bundle) = &authorities {
            let bundle = reqwest::Certificate::from_pem_bundle(bundle.as_bytes()).map_err(gix::Error::from_error)?;
            builder = builder.tls_certs_only(bundle);
        }
        Ok(builder.tls_danger_accept_invalid_certs(insecure))
    };
    let backend = http::reqwest::Options { configure_client: Some(Box::new(configure)), configure_request: None };
    http::Options {
        extra_headers: headers,
        follow_redirects: http::options::FollowRedirects::None,
        user_agent: Some(concat!("git/chancery-", env!("CARGO_PKG_VERSION")).to_owned()),
        backend: Some(Arc::new(Mutex::new(backend))),
        ..http::Options::default()
    }
}

fn basic(user: &str, password: &[u8]) -> String {
    let pair = [user.as_bytes(), b":", password].concat();
    format!("Authorization: Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

/// Sorts gix's error by what a person can do about it. Words of the server are not passed on.
pub(super) fn classified(url: &str, error: &gix::Error, deadline: Duration) -> Error {
    let url = url.to_owned();
    let mut causes = Vec::new();
    for error in error.iter_errors() {
        let mut cause: Option<&dyn std::error::Error> = Some(error);
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
    }
    let find = |words: &str| causes.iter().find(|cause| cause.to_lowercase().contains(words));
    let status = find("received http status")
        .and_then(|cause| cause.split_whitespace().rev().find_map(|word| word.parse::<u16>().ok()));
    let refused =
        ["credentials", "authentication", "permission denied", "unauthorized"].iter().any(|word| find(word).is_some());
    match status {
        Some(401 | 403) => return Error::AuthenticationFailed { url },
        Some(404 | 410) => return Error::RepositoryNotFound { url },
        Some(status @ (429 | 500..)) => {
            return Error::Unreachable { url, detail: format!("it answers {status}") };
        }
        Some(status @ 300..=399) => {
            return Error::Protocol { url, detail: format!(": it redirects ({status}); write the final address") };
        }
        Some(status) => return Error::Protocol { url, detail: format!(": it answers {status}") },
        None => {}
    }
    if let Some(detail) = find("certificate") {
        return Error::CertificateInvalid { url, detail: clipped(detail) };
    }
    if find("timed out").is_some() {
        return Error::Timeout { url, seconds: deadline.as_secs() };
    }
    let connection = ["connection", "connect", "dns", "lookup address", "reset", "unreachable"];
    if let Some(detail) = causes.iter().rev().find(|cause| {
        let cause = cause.to_lowercase();
        connection.iter().any(|word| cause.contains(word)) && !cause.contains("http")
    }) {
        return Error::Unreachable { url, detail: clipped(detail) };
    }
    if refused {
        return Error::AuthenticationFailed { url };
    }
    tracing::debug!(?causes, "git failed");
    Error::Protocol { url, detail: String::new() }
}

fn clipped(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use seal::SecretBytes;

    use super::*;

    fn remote(url: &str, password: Option<&str>) -> Remote {
        let password = password.map(|password| SecretBytes::from(password.as_bytes().to_vec()));
        Remote {
            url: url.to_owned(),
            credentials: Credentials { password, ..Credentials::default() },
            ..Remote::default()
        }
    }

    #[test]
    fn only_safe_addresses_are_read() {
        assert!(Address::of(&remote("https://h/a.git", Some("p"))).is_ok());
        assert!(Address::of(&remote("http://h/a.git", None)).is_ok());
        for (url, password) in [
            ("http://h/a.git", Some("p")),
            ("http://user:secret@h/a.git", None),
            ("ssh://git@h/a.git", None),
            ("git@h:a.git", None),
            ("file:///etc", None),
            ("/etc", None),
        ] {
            let error = Address::of(&remote(url, password)).err().unwrap();
            assert!(matches!(error, Error::UnsupportedUrl { .. }), "{url}");
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[test]
    fn credentials_in_the_address_are_used_and_taken_out_of_it() {
        let address = Address::of(&remote("https://oauth2:t%2Fk@h/a.git", None)).unwrap();
        assert_eq!(address.url, "https://h/a.git");
        assert_eq!(address.user, Some(("oauth2".to_owned(), "t/k".to_owned())));
    }
}
