//! A Git server: `git http-backend` behind TLS and basic auth, with helpers to commit as a developer would.

use std::convert::Infallible;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;

use crate::plane::Authority;
use crate::process::run;

/// User that may read and push.
pub const USER: &str = "git";
/// Their password.
pub const PASSWORD: &str = "bed-git-password";

/// A running Git server.
pub struct GitServer {
    /// `https://127.0.0.1:PORT`.
    pub url: String,
    /// Certificate authority, PEM.
    pub ca: String,
    folder: PathBuf,
    down: Arc<AtomicBool>,
    requests: Arc<AtomicU64>,
    /// Its own: tests have one that serves one test.
    runtime: Option<tokio::runtime::Runtime>,
}

impl GitServer {
    /// Starts it with its repositories in `folder`.
    ///
    /// # Errors
    ///
    /// No free port.
    pub fn start(folder: &Path) -> Result<Self> {
        crate::cluster::install_tls();
        fs::create_dir_all(folder.join("repositories"))?;
        let authority = Authority::new("chancery bed git")?;
        authority.serving(&folder.join("git"))?;
        let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(
            vec![CertificateDer::from_pem_file(folder.join("git.crt"))?],
            PrivateKeyDer::from_pem_file(folder.join("git.key"))?,
        )?;
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let url = format!("https://127.0.0.1:{}", listener.local_addr()?.port());
        let (down, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let front =
            Front { root: folder.join("repositories"), down: Arc::clone(&down), requests: Arc::clone(&requests) };
        runtime.spawn(async move {
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, front) = (acceptor.clone(), front.clone());
                tokio::spawn(async move {
                    if front.down.load(Ordering::Relaxed) {
                        return;
                    }
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| {
                        let front = front.clone();
                        async move { Ok::<_, Infallible>(front.answer(request).await) }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Ok(Self { url, ca: authority.pem, folder: folder.to_owned(), down, requests, runtime: Some(runtime) })
    }

    /// Makes an empty repository and returns its address.
    ///
    /// # Errors
    ///
    /// `git` fails; the same for all below.
    pub fn create(&self, name: &str) -> Result<Repository> {
        let bare = self.folder.join("repositories").join(format!("{name}.git"));
        fs::create_dir_all(&bare)?;
        git(&bare, &["init", "--quiet", "--bare", "--initial-branch=main", "."])?;
        git(&bare, &["config", "http.receivepack", "true"])?;
        git(&bare, &["config", "uploadpack.allowReachableSHA1InWant", "true"])?;
        let work = self.folder.join("work").join(name);
        fs::create_dir_all(&work)?;
        git(&work, &["init", "--quiet", "--initial-branch=main", "."])?;
        git(&work, &["remote", "add", "origin", &bare.display().to_string()])?;
        Ok(Repository { url: format!("{}/{name}.git", self.url), bare, work })
    }

    /// Plays dead, or comes back.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }

    /// HTTP requests answered so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Tests drop it within a runtime of their own, where waiting for this one is not allowed.
            runtime.shutdown_background();
        }
    }
}

/// A repository on the server, with a work tree of a developer.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Its address.
    pub url: String,
    /// The bare repository on disk.
    pub bare: PathBuf,
    /// The developer's work tree.
    pub work: PathBuf,
}

impl Repository {
    /// Writes files (an empty text deletes one), commits and pushes; returns the commit.
    ///
    /// # Errors
    ///
    /// `git` fails.
    pub fn commit(&self, message: &str, files: &[(&str, &str)]) -> Result<String> {
        for (path, text) in files {
            let file = self.work.join(path);
            if text.is_empty() {
                fs::remove_file(&file).with_context(|| format!("{path} is not there"))?;
                continue;
            }
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&file, text)?;
        }
        git(&self.work, &["add", "--all"])?;
        git(&self.work, &["commit", "--quiet", "--allow-empty", "-m", message])?;
        self.push(&[])?;
        self.head()
    }

    /// Pushes `main`.
    ///
    /// # Errors
    ///
    /// `git` fails.
    pub fn push(&self, options: &[&str]) -> Result<()> {
        git(&self.work, &[&["push", "--quiet"], options, &["origin", "HEAD:main"]].concat()).map(drop)
    }

    /// The commit of the work tree.
    ///
    /// # Errors
    ///
    /// `git` fails.
    pub fn head(&self) -> Result<String> {
        Ok(git(&self.work, &["rev-parse", "HEAD"])?.trim().to_owned())
    }

    /// Reverts the last commit, as a person would to roll back, and pushes.
    ///
    /// # Errors
    ///
    /// `git` fails.
    pub fn revert(&self) -> Result<String> {
        git(&self.work, &["revert", "--no-edit", "HEAD"])?;
        self.push(&[])?;
        self.head()
    }

    /// Runs git in the work tree.
    ///
    /// # Errors
    ///
    /// `git` fails.
    pub fn git(&self, arguments: &[&str]) -> Result<String> {
        git(&self.work, arguments)
    }
}

/// Runs git as a fixed person without any configuration of the machine.
///
/// # Errors
///
/// `git` fails: with its words.
pub fn git(folder: &Path, arguments: &[&str]) -> Result<String> {
    run(Command::new("git")
        .args(["-c", "user.name=Dana Developer", "-c", "user.email=dana@example.com", "-c", "commit.gpgsign=false"])
        .args(["-c", "safe.directory=*", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env_remove("GIT_SSL_CAINFO")
        .env_remove("GIT_DIR"))
}

#[derive(Clone)]
struct Front {
    root: PathBuf,
    down: Arc<AtomicBool>,
    requests: Arc<AtomicU64>,
}

impl Front {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if self.down.load(Ordering::Relaxed) {
            return plain(StatusCode::SERVICE_UNAVAILABLE);
        }
        let expected = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
        let given = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        if given != Some(&format!("Basic {expected}")) {
            let mut refused = plain(StatusCode::UNAUTHORIZED);
            refused.headers_mut().insert("www-authenticate", http::HeaderValue::from_static("Basic realm=\"bed\""));
            return refused;
        }
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
            return plain(StatusCode::BAD_REQUEST);
        };
        let root = self.root.clone();
        let answered = tokio::task::spawn_blocking(move || cgi(&root, &head, &body)).await;
        match answered {
            Ok(Ok(answer)) => answer,
            _ => plain(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

/// One run of `git http-backend`.
fn cgi(root: &Path, head: &http::request::Parts, body: &[u8]) -> Result<Response<Full<Bytes>>> {
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut child = Command::new("git")
        .arg("-c")
        .arg("safe.directory=*")
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", USER)
        .env("REQUEST_METHOD", head.method.as_str())
        .env("PATH_INFO", head.uri.path())
        .env("QUERY_STRING", head.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut input = child.stdin.take().context("no standard input")?;
    let bytes = body.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output()?;
    let _ = writer.join();
    let split = output.stdout.windows(4).position(|window| window == b"\r\n\r\n").context("no headers")?;
    let mut answer = Response::builder();
    for line in std::str::from_utf8(&output.stdout[..split])?.lines() {
        let (name, value) = line.split_once(": ").context("a bad header")?;
        answer = match name {
            "Status" => answer.status(value.get(..3).unwrap_or("500")),
            _ => answer.header(name, value),
        };
    }
    ensure!(output.status.success() || split > 0, "git http-backend failed");
    Ok(answer.body(Full::new(Bytes::copy_from_slice(&output.stdout[split + 4..])))?)
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}
