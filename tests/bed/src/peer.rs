//! What looks for its service account where a pod finds it: the reference's own controller beside us, which must open
//! what `seal` seals, and our operator without a kubeconfig.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::bed::Tenant;
use crate::namespaces::OWN_ADDRESS;
use crate::process::{Process, free_port};

/// Where a pod finds its account (`/var/run` is a link to `/run`).
const ACCOUNT: &str = "/run/secrets/kubernetes.io/serviceaccount";
/// There is one such folder, so one process at a time has it.
static TAKEN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A service account as a pod has it, for as long as this is held.
#[derive(Debug)]
pub struct PodAccount {
    /// Where the API server is, as a pod is told.
    pub environment: Vec<(&'static str, String)>,
    _alone: tokio::sync::MutexGuard<'static, ()>,
}

impl PodAccount {
    /// Puts this account's token, the API server's authority and the namespace where a pod finds them.
    ///
    /// # Errors
    ///
    /// It needs the bed's namespaces; trouble with the API server.
    pub async fn mount(tenant: &Tenant, namespace: &str, account: &str) -> Result<Self> {
        ensure!(crate::namespaces::inside(), "a pod's account needs the bed's namespaces");
        let alone = TAKEN.lock().await;
        let folder = Path::new(ACCOUNT);
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("token"), tenant.cluster.token(namespace, account).await?)?;
        std::fs::write(folder.join("ca.crt"), &tenant.bed.ca)?;
        std::fs::write(folder.join("namespace"), namespace)?;
        let (host, port) = tenant.bed.url.trim_start_matches("https://").rsplit_once(':').context("no port")?;
        let environment = vec![
            ("KUBERNETES_SERVICE_HOST", host.to_owned()),
            ("KUBERNETES_SERVICE_PORT", port.to_owned()),
            ("POD_NAMESPACE", namespace.to_owned()),
        ];
        Ok(Self { environment, _alone: alone })
    }
}

/// A running Sealed Secrets controller.
#[derive(Debug)]
pub struct SealedSecretsController {
    /// Its endpoints.
    pub url: String,
    process: Process,
    _account: PodAccount,
}

impl SealedSecretsController {
    /// Starts it for one namespace, as this service account of that namespace.
    ///
    /// # Errors
    ///
    /// It needs the bed's namespaces, and it does not come up within half a minute: with the last lines of its log.
    pub async fn start(tenant: &Tenant, account: &str) -> Result<Self> {
        Self::start_with(tenant, account, &[]).await
    }

    /// The same with further arguments.
    ///
    /// # Errors
    ///
    /// As [`SealedSecretsController::start`].
    pub async fn start_with(tenant: &Tenant, account: &str, arguments: &[&str]) -> Result<Self> {
        let account = PodAccount::mount(tenant, &tenant.work, account).await?;
        let program = tenant.bed.kubeseal.with_file_name("controller");
        let address = format!("{OWN_ADDRESS}:{}", free_port()?);
        let mut command = Process::command(program);
        command
            .args(["--all-namespaces=false", "--update-status", "--key-renew-period=0", "--listen-addr", &address])
            .args(["--listen-metrics-addr", &format!("{OWN_ADDRESS}:{}", free_port()?)])
            .args(arguments)
            .envs(account.environment.iter().cloned());
        std::fs::create_dir_all(&tenant.folder)?;
        let mut process = Process::start("the reference controller", command, &tenant.folder.join("reference.log"))?;
        process.wait_until(Duration::from_secs(30), || std::net::TcpStream::connect(&address).is_ok())?;
        Ok(Self { url: format!("http://{address}"), process, _account: account })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The last lines that it logged.
    pub fn tail(&self, lines: usize) -> String {
        self.process.tail(lines)
    }
}
