//! Small stand-ins for services that cannot run here (clouds' APIs and token endpoints, web services): they answer as
//! the services' published references say, and remember what they were asked. Said to be fakes wherever they are used.

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::plane::Authority;

/// A request, as it was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `GET`, …
    pub method: String,
    /// Path and query.
    pub target: String,
    /// `Authorization`, empty when absent.
    pub authorization: String,
    /// All headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

impl Asked {
    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// A header as text, empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A value of the query, or of a body that is a form; empty when absent.
    pub fn value(&self, name: &str) -> String {
        let query = self.target.split_once('?').map(|(_, query)| query).unwrap_or_default();
        let url = reqwest::Url::parse(&format!("http://fake/?{query}&{}", self.body)).ok();
        let found =
            url.and_then(|url| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned()));
        found.unwrap_or_default()
    }

    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// What is answered.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The status; 0 means 200.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl Reply {
    /// A JSON document.
    pub fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: vec![("content-type", "application/json".to_owned())], body: body.to_string() }
    }

    /// A text.
    pub fn text(body: impl Into<String>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }
}

/// A running stand-in; it ends with the runtime of its test.
pub struct Fake {
    /// `http://127.0.0.1:PORT`, or `https://…`.
    pub url: String,
    /// Certificate authority, PEM; empty without TLS.
    pub ca: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    /// Starts one without TLS.
    ///
    /// # Errors
    ///
    /// No free port.
    pub async fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Result<Self> {
        Self::start_at("127.0.0.1:0", answer).await
    }

    /// The same at an address of one's choice, as clouds' metadata services have theirs.
    ///
    /// # Errors
    ///
    /// Somebody else is there, or the address is not ours.
    pub async fn start_at(address: &str, answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let url = format!("http://{}", listener.local_addr()?);
        Ok(Self { url, ca: String::new(), asked: serve(listener, None, answer) })
    }

    /// Starts one with TLS and an authority of its own, whose files it keeps in `folder`.
    ///
    /// # Errors
    ///
    /// No free port, no folder.
    pub async fn start_tls(folder: &Path, answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let authority = Authority::new("chancery bed fake")?;
        authority.serving(&folder.join("fake"))?;
        Ok(Self { ca: authority.pem, ..Self::start_with(&folder.join("fake"), answer).await? })
    }

    /// Starts one with the certificate in `PATH.crt` and its key in `PATH.key`, good or bad.
    ///
    /// # Errors
    ///
    /// No free port, no such files.
    pub async fn start_with(path: &Path, answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Result<Self> {
        crate::cluster::install_tls();
        let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(
            vec![CertificateDer::from_pem_file(path.with_extension("crt"))?],
            PrivateKeyDer::from_pem_file(path.with_extension("key"))?,
        )?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://127.0.0.1:{}", listener.local_addr()?.port());
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Self { url, ca: String::new(), asked: serve(listener, Some(acceptor), answer) })
    }

    /// Everything that it was asked.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
) -> Arc<Mutex<Vec<Asked>>> {
    let (asked, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, answer, seen) = (acceptor.clone(), Arc::clone(&answer), Arc::clone(&seen));
            tokio::spawn(async move {
                match acceptor {
                    None => connection(stream, answer, seen).await,
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            connection(stream, answer, seen).await;
                        }
                    }
                }
            });
        }
    });
    asked
}

async fn connection<S, F>(stream: S, answer: Arc<F>, seen: Arc<Mutex<Vec<Asked>>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(&Asked) -> Reply + Send + Sync + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
        async move {
            let asked = read(request).await;
            let reply = answer(&asked);
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
            let mut response = Response::builder().status(if reply.status == 0 { 200 } else { reply.status });
            for (name, value) in reply.headers {
                response = response.header(name, value);
            }
            Ok::<_, Infallible>(response.body(Full::new(Bytes::from(reply.body))).unwrap_or_default())
        }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn read(request: Request<Incoming>) -> Asked {
    let headers = request.headers().clone();
    let header = headers.get("authorization").and_then(|value| value.to_str().ok());
    let authorization = header.unwrap_or_default().to_owned();
    let (method, target) = (request.method().to_string(), request.uri().to_string());
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    Asked { method, target, authorization, headers, body: String::from_utf8_lossy(&body).into_owned() }
}

/// A fresh RSA key and a certificate of it, PEM.
///
/// # Errors
///
/// No key can be made.
pub fn rsa_identity() -> Result<(String, String)> {
    let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)?;
    let certificate = CertificateParams::new(vec!["bed".to_owned()])?.self_signed(&key)?;
    Ok((key.serialize_pem(), certificate.pem()))
}
