//! A listener that speaks TLS, with a certificate that is read again when its file changes.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// Whoever does not finish the handshake in this time is let go.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Connections whose handshake is done and that nobody has taken yet; more wait before theirs.
const WAITING: usize = 64;
/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// Hands out connections after their handshake, so that a slow one holds up nobody.
pub(super) struct Listener {
    address: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl Listener {
    /// Binds the address and begins to accept.
    ///
    /// # Errors
    ///
    /// The address cannot be bound, or the files hold no certificate with its key.
    pub(super) async fn bind(
        address: SocketAddr,
        certificate: PathBuf,
        key: PathBuf,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let files = Arc::new(Files::read(certificate, key)?);
        let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(files.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        tracing::info!(%address, "serving with TLS");
        let (sender, ready) = mpsc::channel(WAITING);
        tokio::spawn(stop.clone().run_until_cancelled_owned(accept(listener, acceptor, sender)));
        tokio::spawn(stop.run_until_cancelled_owned(async move { files.follow().await }));
        Ok(Self { address, ready })
    }
}

impl axum::serve::Listener for Listener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // No more will come: the server is told to stop elsewhere.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    sender: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of file descriptors, most likely: a moment later there may be some.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // A place first: no more handshakes run than connections can wait.
        let Ok(place) = sender.clone().reserve_owned().await else { return };
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => drop(place.send((stream, peer))),
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        });
    }
}

/// The certificate and its key, as their files hold them now.
#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Files {
    fn read(certificate: PathBuf, key: PathBuf) -> io::Result<Self> {
        let current = RwLock::new(Arc::new(certified(&certificate, &key)?));
        Ok(Self { certificate, key, current })
    }

    async fn follow(&self) {
        let mut seen = self.changed_at();
        loop {
            tokio::time::sleep(LOOK).await;
            let now = self.changed_at();
            if now == seen {
                continue;
            }
            // Half written files are read again at the next look.
            match certified(&self.certificate, &self.key) {
                Ok(read) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(read);
                    seen = now;
                    tracing::info!("the TLS certificate was read again");
                }
                Err(error) => tracing::warn!(%error, "the new TLS certificate cannot be used; the old one stays"),
            }
        }
    }

    fn changed_at(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.key].map(|file| std::fs::metadata(file).and_then(|data| data.modified()).ok())
    }
}

impl ResolvesServerCert for Files {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn certified(certificate: &Path, key: &Path) -> io::Result<CertifiedKey> {
    let wrong = |file: &Path, what: &str| io::Error::other(format!("{}: {what}", file.display()));
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| wrong(certificate, "there is no certificate in PEM"))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|_| wrong(key, "there is no private key in PEM"))?;
    let signing = any_supported_type(&private).map_err(|_| wrong(key, "this kind of key is not supported"))?;
    let certified = CertifiedKey::new(chain, signing);
    certified.keys_match().map_err(|_| wrong(key, "it is not the key of the certificate"))?;
    Ok(certified)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_with_its_key_is_refused_by_file() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let pair = || {
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate =
                rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
            (certificate, key.serialize_pem())
        };
        let (one, other) = (pair(), pair());
        let (cert, key, foreign) = (write("cert", &one.0), write("key", &one.1), write("foreign", &other.1));
        assert!(certified(&cert, &key).is_ok());
        for (certificate, key, expected) in [
            (&key, &key, "key: there is no certificate"),
            (&cert, &cert, "cert: there is no private key"),
            (&cert, &foreign, "foreign: it is not the key of the certificate"),
        ] {
            let error = certified(certificate, key).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
