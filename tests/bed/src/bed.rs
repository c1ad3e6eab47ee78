//! Everything together: the servers of one run, and a tenant for each test.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::audit::Mark;
use crate::cache::Cache;
use crate::cluster::{Cluster, documents};
use crate::git::{GitServer, PASSWORD, Repository, USER};
use crate::moto::Moto;
use crate::operator::Operator;
use crate::plane::Plane;
use crate::process::run;
use crate::vault::{Vault, VaultClient};

/// Set for test binaries: where the description of the running bed is.
const VARIABLE: &str = "CHANCERY_BED";

/// What runs, as one process tells another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bed {
    /// Temporary folder of the run.
    pub folder: PathBuf,
    /// The checkout.
    pub checkout: PathBuf,
    /// API server.
    pub url: String,
    /// Its certificate authority, PEM.
    pub ca: String,
    /// Kubeconfig of its administrator.
    pub kubeconfig: PathBuf,
    /// Its audit log.
    pub audit_log: PathBuf,
    /// OpenBao.
    pub vault_url: String,
    /// Its audit log.
    pub vault_audit_log: PathBuf,
    /// Its program.
    pub bao: PathBuf,
    /// moto, which plays AWS.
    pub aws_url: String,
    /// The operator's program.
    pub operator: PathBuf,
    /// The `seal` command.
    pub seal: PathBuf,
    /// kubectl.
    pub kubectl: PathBuf,
    /// The real kubeseal; the real controller lies beside it.
    pub kubeseal: PathBuf,
}

/// The running servers.
pub struct Parts {
    /// How to reach them.
    pub bed: Bed,
    _moto: Moto,
    _vault: Vault,
    _plane: Plane,
}

impl Bed {
    /// Starts control plane, OpenBao and moto with their data in `folder`.
    ///
    /// # Errors
    ///
    /// A tool cannot be made, or a server does not start.
    pub fn start(cache: &Cache, folder: &Path, checkout: &Path, programs: &Path) -> Result<Parts> {
        // It takes longest to answer, and nobody waits for it who does not need it.
        let moto = Moto::start(cache, &folder.join("moto"))?;
        let plane = Plane::start(cache, &folder.join("plane"))?;
        let vault = Vault::start(cache, &folder.join("vault"))?;
        let bed = Self {
            folder: folder.to_owned(),
            checkout: checkout.to_owned(),
            url: plane.url.clone(),
            ca: plane.ca.clone(),
            kubeconfig: plane.kubeconfig.clone(),
            audit_log: plane.audit_log.clone(),
            vault_url: vault.url.clone(),
            vault_audit_log: vault.audit_log.clone(),
            bao: cache.bao()?,
            aws_url: moto.url.clone(),
            operator: programs.join("chancery"),
            seal: programs.join("seal"),
            kubectl: cache.kubectl()?,
            kubeseal: cache.kubeseal()?,
        };
        Ok(Parts { bed, _moto: moto, _vault: vault, _plane: plane })
    }

    /// Starts the stand-in kubelet: Pods become Ready and Jobs finish from now on.
    ///
    /// # Errors
    ///
    /// No thread for it.
    pub fn play_kubelet(&self) -> Result<()> {
        crate::kubelet::start(self.kubeconfig.clone())
    }

    /// The bed that `cargo bed test` started for this test binary.
    ///
    /// # Errors
    ///
    /// There is none: the test was not started by `cargo bed test`.
    pub fn attach() -> Result<Self> {
        let file = std::env::var_os(VARIABLE).context("no bed: run this test with `cargo bed test`")?;
        Ok(serde_json::from_slice(&std::fs::read(file)?)?)
    }

    /// Writes the description down and returns the environment variable that names it.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn describe(&self) -> Result<(&'static str, PathBuf)> {
        let file = self.folder.join("bed.json");
        std::fs::write(&file, serde_json::to_vec_pretty(self)?)?;
        Ok((VARIABLE, file))
    }

    /// The API server as its administrator.
    ///
    /// # Errors
    ///
    /// The kubeconfig is gone.
    pub async fn cluster(&self) -> Result<Cluster> {
        Cluster::connect(&self.kubeconfig).await
    }

    /// OpenBao as its administrator.
    ///
    /// # Errors
    ///
    /// It is not ready within a minute.
    pub async fn vault(&self) -> Result<VaultClient> {
        let client = VaultClient::new(&self.vault_url)?;
        client.ready().await?;
        Ok(client)
    }

    /// moto's address, once it answers.
    ///
    /// # Errors
    ///
    /// It does not within a minute.
    pub async fn aws(&self) -> Result<&str> {
        crate::cluster::install_tls();
        crate::moto::ready(&self.aws_url).await?;
        Ok(&self.aws_url)
    }

    /// Counts calls to the API server from now on.
    ///
    /// # Errors
    ///
    /// The audit log cannot be read.
    pub fn mark(&self) -> Result<Mark> {
        Mark::now(&self.audit_log)
    }

    /// What `kubectl kustomize` makes of a folder below `deploy/`.
    ///
    /// # Errors
    ///
    /// The folder is no kustomization.
    pub fn kustomize(&self, folder: &str) -> Result<String> {
        run(std::process::Command::new(&self.kubectl).arg("kustomize").arg(self.checkout.join("deploy").join(folder)))
    }

    /// Runs kubectl as the administrator and returns what it says.
    ///
    /// # Errors
    ///
    /// It fails: with its words.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        run(std::process::Command::new(&self.kubectl).arg("--kubeconfig").arg(&self.kubeconfig).args(arguments))
    }

    /// Installs the CustomResourceDefinitions.
    ///
    /// # Errors
    ///
    /// The API server refuses one.
    pub async fn install_crds(&self, cluster: &Cluster) -> Result<()> {
        let mut files: Vec<_> = std::fs::read_dir(self.checkout.join("crds"))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.file_name().is_some_and(|name| name != "kustomization.yaml"))
            .collect();
        files.sort();
        for file in files {
            cluster.apply(&std::fs::read_to_string(&file)?).await.with_context(|| file.display().to_string())?;
        }
        Ok(())
    }

    /// A tenant for one test: namespaces of its own, and the rights from `deploy/base` in them.
    ///
    /// # Errors
    ///
    /// Trouble with the API server.
    pub async fn tenant(&self, name: &str) -> Result<Tenant> {
        self.tenant_from(name, "base").await
    }

    /// A tenant with the rights from another folder below `deploy/`; `team-a` there is its namespace to work in.
    ///
    /// # Errors
    ///
    /// Trouble with the API server.
    pub async fn tenant_from(&self, name: &str, folder: &str) -> Result<Tenant> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let cluster = self.cluster().await?;
        let (keys, apps, work) = (format!("{id}-keys"), format!("{id}-apps"), format!("{id}-work"));
        for namespace in [&keys, &apps, &work] {
            cluster.namespace(namespace).await?;
        }
        for mut object in documents(&self.kustomize(folder)?)? {
            let kind = object["kind"].as_str().unwrap_or_default();
            if matches!(kind, "ServiceAccount" | "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding") {
                if kind == "ClusterRoleBinding" {
                    object["metadata"]["name"] =
                        format!("{id}-{}", object["metadata"]["name"].as_str().unwrap_or("")).into();
                }
                let text = object.to_string().replace("\"chancery-system\"", &format!("\"{keys}\""));
                let text = text.replace("\"argocd\"", &format!("\"{apps}\""));
                let text = text.replace("\"team-a\"", &format!("\"{work}\""));
                cluster.apply_object(&serde_json::from_str(&text)?).await?;
            }
        }
        let folder = self.folder.join("tenants").join(id);
        Ok(Tenant { bed: self.clone(), cluster: cluster.with_logs(&folder), keys, apps, work, folder })
    }
}

/// Namespaces and an operator for one test.
#[derive(Clone)]
pub struct Tenant {
    /// The servers.
    pub bed: Bed,
    /// The API server as its administrator.
    pub cluster: Cluster,
    /// The operator's own namespace.
    pub keys: String,
    /// Namespace of Applications.
    pub apps: String,
    /// Namespace to work in.
    pub work: String,
    /// Folder of its own.
    pub folder: PathBuf,
}

impl Tenant {
    /// An operator that looks at this tenant's namespaces only, with fast polling and further arguments.
    ///
    /// # Errors
    ///
    /// The service account is not there.
    pub async fn operator(&self, arguments: &[&str]) -> Result<Operator> {
        let token = self.cluster.token(&self.keys, "chancery").await?;
        let namespaces = format!("--namespaces={},{},{}", self.work, self.keys, self.apps);
        let applications = format!("--application-namespaces={}", self.apps);
        let all =
            [&[namespaces.as_str(), &applications, "--git-poll=2s", "--lease-duration=6s"][..], arguments].concat();
        Operator::new(&self.bed.operator, &self.folder, &self.keys, (&self.bed.url, &self.bed.ca, &token), &all)
    }

    /// An operator that looks at the whole cluster: for a plane of its own.
    ///
    /// # Errors
    ///
    /// The service account is not there.
    pub async fn operator_everywhere(&self, arguments: &[&str]) -> Result<Operator> {
        let token = self.cluster.token(&self.keys, "chancery").await?;
        let all = [&["--lease-duration=6s"][..], arguments].concat();
        Operator::new(&self.bed.operator, &self.folder, &self.keys, (&self.bed.url, &self.bed.ca, &token), &all)
    }

    /// An operator for Applications in this tenant's namespaces, which may deploy anywhere in the cluster.
    ///
    /// # Errors
    ///
    /// The service account is not there.
    pub async fn deployer(&self, arguments: &[&str]) -> Result<Operator> {
        let token = self.cluster.token(&self.keys, "chancery").await?;
        let applications = format!("--application-namespaces={}", self.apps);
        let mut all = vec!["--controllers=applications", &applications, "--lease-duration=6s"];
        if !arguments.iter().any(|argument| argument.starts_with("--git-poll")) {
            all.push("--git-poll=2s");
        }
        all.extend(arguments);
        Operator::new(&self.bed.operator, &self.folder, &self.keys, (&self.bed.url, &self.bed.ca, &token), &all)
    }

    /// Puts a Service before an operator in its own namespace, so that the API server's Service proxy leads to it: a
    /// stand-in Pod with our address, and Endpoints.
    ///
    /// # Errors
    ///
    /// Trouble with the API server.
    pub async fn expose(&self, operator: &Operator, service: &str) -> Result<()> {
        self.expose_url(&operator.url, &self.keys, service).await
    }

    /// The same for whatever listens at a URL, in any namespace of this tenant.
    ///
    /// # Errors
    ///
    /// Trouble with the API server.
    pub async fn expose_url(&self, url: &str, namespace: &str, service: &str) -> Result<()> {
        use serde_json::json;
        let (address, port) = url.trim_start_matches("http://").rsplit_once(':').context("no port")?;
        let port: u16 = port.parse()?;
        let metadata = json!({ "name": service, "namespace": namespace });
        let account = if namespace == self.keys { "chancery" } else { "default" };
        // By this label the stand-in kubelet leaves the Pod to us.
        let labels = json!({ "app.kubernetes.io/name": "chancery" });
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": service, "namespace": namespace, "labels": labels },
            "spec": { "serviceAccountName": account, "containers": [{ "name": "operator", "image": "stand-in" }] },
        });
        self.cluster.apply_object(&pod).await?;
        let status = json!({ "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }] });
        self.cluster.patch_status("v1 Pod", namespace, service, &status).await?;
        let ports = json!([{ "name": "http", "port": port }]);
        let object = json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": { "ports": ports } });
        self.cluster.apply_object(&object).await?;
        let target = json!({ "kind": "Pod", "name": service, "namespace": namespace });
        let endpoints = json!({
            "apiVersion": "v1", "kind": "Endpoints", "metadata": metadata,
            "subsets": [{ "addresses": [{ "ip": address, "targetRef": target }], "ports": ports }],
        });
        self.cluster.apply_object(&endpoints).await.map(drop)
    }

    /// A Git server of its own.
    ///
    /// # Errors
    ///
    /// No free port.
    pub fn git(&self) -> Result<GitServer> {
        GitServer::start(&self.folder.join("git"))
    }

    /// Gives the operator the password of a repository and the certificate authority of its server.
    ///
    /// # Errors
    ///
    /// Trouble with the API server.
    pub async fn connect_repository(&self, server: &GitServer, repository: &Repository) -> Result<()> {
        let name = repository.bare.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        self.cluster
            .apply_object(&serde_json::json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": {
                    "name": format!("repo-{name}"), "namespace": self.apps,
                    "labels": { "argocd.argoproj.io/secret-type": "repository" },
                },
                "stringData": { "type": "git", "url": repository.url, "username": USER, "password": PASSWORD },
            }))
            .await?;
        self.cluster
            .apply_object(&serde_json::json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": { "name": "argocd-tls-certs-cm", "namespace": self.apps },
                "data": { "127.0.0.1": server.ca },
            }))
            .await?;
        Ok(())
    }
}
