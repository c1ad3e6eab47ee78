//! The control plane: one CA, etcd, kube-apiserver with an audit log, kube-controller-manager.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};

use crate::cache::Cache;
use crate::process::{Process, free_port};

/// From start to `/readyz` takes five seconds on a quiet machine.
const START: Duration = Duration::from_secs(120);

/// A running control plane.
#[derive(Debug)]
pub struct Plane {
    /// `https://127.0.0.1:PORT`.
    pub url: String,
    /// Certificate authority, PEM.
    pub ca: String,
    /// Kubeconfig of the administrator.
    pub kubeconfig: PathBuf,
    /// One JSON object a call.
    pub audit_log: PathBuf,
    // In the order in which they are ended.
    _controller_manager: Process,
    _apiserver: Process,
    _etcd: Process,
}

const CONTROLLERS: &str = "garbage-collector-controller,namespace-controller,serviceaccount-controller,\
serviceaccount-token-controller,root-ca-certificate-publisher-controller,clusterrole-aggregation-controller,\
deployment-controller,replicaset-controller,statefulset-controller,daemonset-controller,job-controller,\
cronjob-controller,pod-garbage-collector-controller,resourcequota-controller,ttl-after-finished-controller,\
validatingadmissionpolicy-status-controller,endpoints-controller,endpointslice-controller";

const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: [\"system:apiserver\", \"system:kube-controller-manager\"]
- level: None
  userGroups: [\"system:serviceaccounts:kube-system\"]
- level: Metadata
";

impl Plane {
    /// Starts a control plane with its data in `folder` and waits until it is ready.
    ///
    /// # Errors
    ///
    /// A tool cannot be built, or a server does not become ready: with the last lines of its log.
    pub fn start(cache: &Cache, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let authority = Authority::new("chancery bed")?;
        let file = |name: &str| folder.join(name);
        authority.serving(&file("apiserver"))?;
        authority.client(&file("admin"), "bed-admin", Some("system:masters"))?;
        authority.client(&file("manager"), "system:kube-controller-manager", None)?;
        fs::write(file("ca.crt"), &authority.pem)?;
        let account_key = KeyPair::generate()?;
        fs::write(file("sa.key"), account_key.serialize_pem())?;
        fs::write(file("sa.pub"), account_key.public_key_pem())?;
        fs::write(file("audit.yaml"), AUDIT_POLICY)?;

        let etcd_url = format!("http://127.0.0.1:{}", free_port()?);
        let etcd = start_etcd(cache, folder, &etcd_url)?;
        let port = free_port()?;
        let url = format!("https://127.0.0.1:{port}");
        let kubeconfig = file("admin.kubeconfig");
        fs::write(&kubeconfig, client_kubeconfig(&url, &authority.pem, folder, "admin")?)?;
        fs::write(file("manager.kubeconfig"), client_kubeconfig(&url, &authority.pem, folder, "manager")?)?;
        let apiserver = start_apiserver(cache, folder, &etcd_url, port, &url, &authority.pem)?;
        let manager = start_controller_manager(cache, folder)?;
        Ok(Self {
            audit_log: file("audit.log"),
            ca: authority.pem,
            url,
            kubeconfig,
            _controller_manager: manager,
            _apiserver: apiserver,
            _etcd: etcd,
        })
    }
}

fn start_etcd(cache: &Cache, folder: &Path, url: &str) -> Result<Process> {
    let peer = format!("http://127.0.0.1:{}", free_port()?);
    let mut command = Process::command(cache.etcd()?);
    command
        .args(["--name", "bed", "--unsafe-no-fsync", "--log-level", "warn"])
        .arg("--data-dir")
        .arg(folder.join("etcd"))
        .args(["--listen-client-urls", url, "--advertise-client-urls", url])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("bed={peer}")]);
    Process::start("etcd", command, &folder.join("etcd.log"))
}

fn start_apiserver(cache: &Cache, folder: &Path, etcd: &str, port: u16, url: &str, ca: &str) -> Result<Process> {
    let path = |name: &str| folder.join(name).display().to_string();
    let mut command = Process::command(cache.kube_apiserver()?);
    command
        .args(["--etcd-servers", etcd])
        .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", &format!("--secure-port={port}")])
        .args(["--tls-cert-file", &path("apiserver.crt"), "--tls-private-key-file", &path("apiserver.key")])
        .args(["--client-ca-file", &path("ca.crt")])
        .args(["--authorization-mode=RBAC", "--anonymous-auth=true", "--allow-privileged=true"])
        .args(["--service-cluster-ip-range=10.0.0.0/24", "--endpoint-reconciler-type=none", "--profiling=false"])
        .args(["--service-account-issuer=https://kubernetes.default.svc"])
        .args(["--service-account-key-file", &path("sa.pub"), "--service-account-signing-key-file", &path("sa.key")])
        .args(["--audit-policy-file", &path("audit.yaml"), "--audit-log-path", &path("audit.log")]);
    let mut process = Process::start("kube-apiserver", command, &folder.join("apiserver.log"))?;
    let client = crate::cluster::plain_client(ca)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let address = format!("{url}/readyz");
    process.wait_until(START, || {
        runtime.block_on(async { client.get(&address).send().await.is_ok_and(|answer| answer.status().is_success()) })
    })?;
    Ok(process)
}

fn start_controller_manager(cache: &Cache, folder: &Path) -> Result<Process> {
    let path = |name: &str| folder.join(name).display().to_string();
    let program = cache.kube_apiserver()?.with_file_name("kube-controller-manager");
    let mut command = Process::command(program);
    command
        .args(["--kubeconfig", &path("manager.kubeconfig")])
        .args(["--authentication-kubeconfig", &path("manager.kubeconfig")])
        .args(["--authorization-kubeconfig", &path("manager.kubeconfig")])
        .args(["--bind-address=127.0.0.1", &format!("--secure-port={}", free_port()?)])
        .args(["--leader-elect=false", "--use-service-account-credentials=true"])
        .args(["--root-ca-file", &path("ca.crt"), "--service-account-private-key-file", &path("sa.key")])
        .args(["--controllers", CONTROLLERS]);
    Process::start("kube-controller-manager", command, &folder.join("manager.log"))
}

/// A certificate authority of the bed's own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub pem: String,
}

impl Authority {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// The system gives no random numbers.
    pub fn new(name: &str) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// Writes `PATH.crt` and `PATH.key` for a server on loopback.
    ///
    /// # Errors
    ///
    /// The files cannot be written.
    pub fn serving(&self, path: &Path) -> Result<()> {
        self.issue(server_of(&["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"], true)?, path)
    }

    /// The same, but nobody should trust it: it ran out long ago.
    ///
    /// # Errors
    ///
    /// The files cannot be written.
    pub fn expired(&self, path: &Path) -> Result<()> {
        let mut params = server_of(&["localhost"], true)?;
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
        self.issue(params, path)
    }

    /// The same, but for a server of another name.
    ///
    /// # Errors
    ///
    /// The files cannot be written.
    pub fn for_another_host(&self, path: &Path) -> Result<()> {
        self.issue(server_of(&["elsewhere.example"], false)?, path)
    }

    /// Writes `PATH.crt` and `PATH.key` for a client.
    ///
    /// # Errors
    ///
    /// The files cannot be written.
    pub fn client(&self, path: &Path, user: &str, group: Option<&str>) -> Result<()> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params, path)
    }

    fn issue(&self, params: CertificateParams, path: &Path) -> Result<()> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        fs::write(path.with_extension("crt"), certificate.pem())?;
        fs::write(path.with_extension("key"), key.serialize_pem())?;
        Ok(())
    }
}

/// What a certificate of a server says.
fn server_of(names: &[&str], on_loopback: bool) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())?;
    for address in ["127.0.0.1", crate::namespaces::OWN_ADDRESS].iter().filter(|_| on_loopback) {
        params.subject_alt_names.push(SanType::IpAddress(address.parse()?));
    }
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn client_kubeconfig(url: &str, ca: &str, folder: &Path, user: &str) -> Result<String> {
    let read = |extension: &str| -> Result<String> {
        let file = folder.join(user).with_extension(extension);
        Ok(base64(fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?))
    };
    kubeconfig(
        url,
        ca,
        &serde_json::json!({ "client-certificate-data": read("crt")?, "client-key-data": read("key")? }),
    )
}

/// A kubeconfig for one user, as JSON (which is YAML).
///
/// # Errors
///
/// It cannot be written; it always can.
pub fn kubeconfig(url: &str, ca: &str, user: &serde_json::Value) -> Result<String> {
    Ok(serde_json::to_string_pretty(&serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "bed", "cluster": { "server": url, "certificate-authority-data": base64(ca) } }],
        "users": [{ "name": "bed", "user": user }],
        "contexts": [{ "name": "bed", "context": { "cluster": "bed", "user": "bed" } }],
        "current-context": "bed",
    }))?)
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
