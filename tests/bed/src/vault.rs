//! OpenBao, which speaks Vault's API: a real server in development mode.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::cache::Cache;
use crate::plane::Authority;
use crate::process::{Process, free_port};

/// Token of the server's administrator.
pub const ROOT_TOKEN: &str = "bed-root-token";

/// A running OpenBao.
#[derive(Debug)]
pub struct Vault {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// `https://127.0.0.1:PORT` of one of a test's own, else empty.
    pub tls_url: String,
    /// One JSON object a request.
    pub audit_log: PathBuf,
    process: Process,
}

impl Vault {
    /// Starts it with key-value version 2 mounted at `secret` and an audit log in `folder`.
    ///
    /// # Errors
    ///
    /// It cannot be installed or does not become ready.
    pub fn start(cache: &Cache, folder: &Path) -> Result<Self> {
        Self::launch(&cache.bao()?, folder, json!({}))
    }

    /// One of a test's own, which may be sealed: it listens with TLS as well, at [`Vault::tls_url`].
    ///
    /// # Errors
    ///
    /// It does not become ready.
    pub fn start_tls(program: &Path, folder: &Path, authority: &Authority) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        authority.serving(&folder.join("server"))?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let file = |name: &str| folder.join(name);
        let tcp = json!({
            "address": address, "tls_cert_file": file("server.crt"), "tls_key_file": file("server.key"),
        });
        let vault = Self::launch(program, folder, json!({ "listener": [{ "tcp": tcp }] }))?;
        Ok(Self { tls_url: format!("https://{address}"), ..vault })
    }

    fn launch(program: &Path, folder: &Path, mut config: Value) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        // It takes the next port as well.
        let port = (0..100)
            .map(|_| free_port())
            .find(|port| matches!(port, Ok(port) if std::net::TcpListener::bind(("127.0.0.1", port + 1)).is_ok()))
            .context("no two free ports in a row")??;
        let audit_log = folder.join("audit.log");
        let file = folder.join("config.json");
        config["audit"] = json!([{ "type": "file", "path": "file", "options": { "file_path": audit_log } }]);
        std::fs::write(&file, config.to_string())?;
        let mut command = Process::command(program);
        command
            .args(["server", "-dev", "-dev-no-store-token", &format!("-dev-root-token-id={ROOT_TOKEN}")])
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .arg(format!("-config={}", file.display()))
            .env("HOME", folder);
        let mut process = Process::start("openbao", command, &folder.join("openbao.log"))?;
        let url = format!("http://127.0.0.1:{port}");
        let address = url.trim_start_matches("http://").to_owned();
        process.wait_until(Duration::from_secs(60), || std::net::TcpStream::connect(&address).is_ok())?;
        Ok(Self { url, tls_url: String::new(), audit_log, process })
    }

    /// The key that opens it again once it is sealed: in development mode it says so itself.
    ///
    /// # Errors
    ///
    /// It said none.
    pub fn unseal_key(&self) -> Result<String> {
        let log = self.process.log();
        let line = log.lines().find_map(|line| line.strip_prefix("Unseal Key: "));
        line.map(|key| key.trim().to_owned()).context("OpenBao told no unseal key")
    }

    /// A client for it.
    ///
    /// # Errors
    ///
    /// No TLS provider.
    pub fn client(&self) -> Result<VaultClient> {
        VaultClient::new(&self.url)
    }
}

/// Talks to OpenBao as its administrator.
#[derive(Clone, Debug)]
pub struct VaultClient {
    url: String,
    http: reqwest::Client,
}

impl VaultClient {
    /// A client for this address.
    ///
    /// # Errors
    ///
    /// No TLS provider.
    pub fn new(url: &str) -> Result<Self> {
        crate::cluster::install_tls();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        Ok(Self { url: url.to_owned(), http })
    }

    /// Waits until it is unsealed and answers.
    ///
    /// # Errors
    ///
    /// It does not within a minute.
    pub async fn ready(&self) -> Result<()> {
        let started = std::time::Instant::now();
        loop {
            if self.call("GET", "sys/mounts", None).await.is_ok_and(|mounts| mounts["data"]["secret/"].is_object()) {
                return Ok(());
            }
            ensure!(started.elapsed() < Duration::from_secs(60), "OpenBao is not ready after a minute");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Writes a key-value secret (version 2, mount `secret`).
    ///
    /// # Errors
    ///
    /// OpenBao refuses; the same for all below.
    pub async fn write(&self, path: &str, values: Value) -> Result<()> {
        self.call("POST", &format!("secret/data/{path}"), Some(json!({ "data": values }))).await.map(drop)
    }

    /// Deletes the newest version of a secret.
    ///
    /// # Errors
    ///
    /// OpenBao refuses.
    pub async fn delete(&self, path: &str) -> Result<()> {
        self.call("DELETE", &format!("secret/data/{path}"), None).await.map(drop)
    }

    /// Mounts a key-value engine of this version in a namespace (empty: the outermost), and waits until it can be written: a new one takes a moment.
    ///
    /// # Errors
    ///
    /// OpenBao refuses, or it cannot be written for ten seconds.
    pub async fn mount_kv(&self, namespace: &str, mount: &str, version: &str) -> Result<()> {
        let engine = json!({ "type": "kv", "options": { "version": version } });
        let inside = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
        self.call("POST", &format!("{inside}sys/mounts/{mount}"), Some(engine)).await?;
        let path = format!("{inside}{mount}");
        let (place, body) = match version {
            "1" => (format!("{path}/ready"), json!({ "k": "v" })),
            _ => (format!("{path}/data/ready"), json!({ "data": { "k": "v" } })),
        };
        let started = std::time::Instant::now();
        while let Err(error) = self.call("POST", &place, Some(body.clone())).await {
            ensure!(started.elapsed() < Duration::from_secs(10), "the engine at {path} is not ready: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let all = if version == "1" { place } else { format!("{path}/metadata/ready") };
        self.call("DELETE", &all, None).await.map(drop)
    }

    /// Lets service accounts of the plane log in at `kubernetes` and read below `secret/PREFIX` with the given role.
    ///
    /// # Errors
    ///
    /// OpenBao refuses.
    pub async fn allow_kubernetes(
        &self,
        plane: &str,
        ca: &str,
        reviewer: &str,
        role: &str,
        prefix: &str,
    ) -> Result<()> {
        let enabled = self.call("GET", "sys/auth", None).await?;
        if !enabled["data"]["kubernetes/"].is_object() {
            self.call("POST", "sys/auth/kubernetes", Some(json!({ "type": "kubernetes" }))).await?;
            let config = json!({
                "kubernetes_host": plane, "kubernetes_ca_cert": ca, "token_reviewer_jwt": reviewer,
                "disable_iss_validation": true,
            });
            self.call("POST", "auth/kubernetes/config", Some(config)).await?;
        }
        self.policy(role, prefix).await?;
        let binding = json!({
            "bound_service_account_names": ["*"], "bound_service_account_namespaces": ["*"],
            "policies": [role], "ttl": "10m",
        });
        self.call("POST", &format!("auth/kubernetes/role/{role}"), Some(binding)).await.map(drop)
    }

    /// A token that may read below `secret/PREFIX`.
    ///
    /// # Errors
    ///
    /// OpenBao refuses.
    pub async fn reader_token(&self, name: &str, prefix: &str) -> Result<String> {
        self.policy(name, prefix).await?;
        let made = self.call("POST", "auth/token/create", Some(json!({ "policies": [name], "ttl": "1h" }))).await?;
        made["auth"]["client_token"].as_str().map(ToOwned::to_owned).context("no token in the answer")
    }

    async fn policy(&self, name: &str, prefix: &str) -> Result<()> {
        let rules = format!("path \"secret/data/{prefix}*\" {{ capabilities = [\"read\"] }}");
        self.call("POST", &format!("sys/policies/acl/{name}"), Some(json!({ "policy": rules }))).await.map(drop)
    }

    /// One call below `/v1/` as administrator.
    ///
    /// # Errors
    ///
    /// OpenBao refuses: with its words.
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value> {
        let mut request =
            self.http.request(method.parse()?, format!("{}/v1/{path}", self.url)).header("X-Vault-Token", ROOT_TOKEN);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "OpenBao answers {status} to {method} {path}: {text}");
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}
