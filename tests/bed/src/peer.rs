//! The reference's own controller beside us: it must open what `seal` seals.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::bed::Tenant;
use crate::namespaces::OWN_ADDRESS;
use crate::process::{Process, free_port};

/// Where a pod finds its account; the reference looks nowhere else. Only one can run at a time.
const ACCOUNT: &str = "/run/secrets/kubernetes.io/serviceaccount";

/// A running Sealed Secrets controller.
#[derive(Debug)]
pub struct SealedSecretsController {
    /// Its endpoints.
    pub url: String,
    process: Process,
}

impl SealedSecretsController {
    /// Starts it for one namespace, as this service account of that namespace.
    ///
    /// # Errors
    ///
    /// It needs the bed's namespaces, and it does not come up within half a minute: with the last lines of its log.
    pub async fn start(tenant: &Tenant, account: &str) -> Result<Self> {
        ensure!(crate::namespaces::inside(), "the reference controller needs the bed's namespaces");
        let folder = Path::new(ACCOUNT);
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("token"), tenant.cluster.token(&tenant.work, account).await?)?;
        std::fs::write(folder.join("ca.crt"), &tenant.bed.ca)?;
        std::fs::write(folder.join("namespace"), &tenant.work)?;
        let program = tenant.bed.kubeseal.with_file_name("controller");
        let address = format!("{OWN_ADDRESS}:{}", free_port()?);
        let (host, port) = tenant.bed.url.trim_start_matches("https://").rsplit_once(':').context("no port")?;
        let mut command = Process::command(program);
        command
            .args(["--all-namespaces=false", "--update-status", "--listen-addr", &address])
            .args(["--listen-metrics-addr", &format!("{OWN_ADDRESS}:{}", free_port()?)])
            .env("KUBERNETES_SERVICE_HOST", host)
            .env("KUBERNETES_SERVICE_PORT", port)
            .env("POD_NAMESPACE", &tenant.work);
        std::fs::create_dir_all(&tenant.folder)?;
        let mut process = Process::start("the reference controller", command, &tenant.folder.join("reference.log"))?;
        process.wait_until(Duration::from_secs(30), || std::net::TcpStream::connect(&address).is_ok())?;
        Ok(Self { url: format!("http://{address}"), process })
    }

    /// The last lines that it logged.
    pub fn tail(&self, lines: usize) -> String {
        self.process.tail(lines)
    }
}
