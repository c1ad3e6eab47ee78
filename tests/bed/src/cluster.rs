//! Talking to the API server the way kubectl does: apply YAML, read, wait with a deadline that explains itself.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::discovery::{Scope, pinned_kind};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

/// How long anything may take unless said otherwise: the machines are shared and slow, and a failure should be a failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A client for the API server with helpers.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    /// Where the operators that work on this cluster for us log, to quote their last lines.
    logs: Option<PathBuf>,
}

impl Cluster {
    /// Connects with a kubeconfig file.
    ///
    /// # Errors
    ///
    /// The file cannot be used.
    pub async fn connect(kubeconfig: &Path) -> Result<Self> {
        install_tls();
        let file = Kubeconfig::read_from(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        Ok(Self { client: Client::try_from(config)?, logs: None })
    }

    /// The same, which quotes the logs in this folder when something does not come in time.
    #[must_use]
    pub fn with_logs(mut self, folder: &Path) -> Self {
        self.logs = Some(folder.to_owned());
        self
    }

    /// The plain client.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Applies every document of a YAML text, server-side, as `kubectl apply --server-side` does.
    ///
    /// # Errors
    ///
    /// The text is no YAML, or the API server refuses.
    pub async fn apply(&self, yaml: &str) -> Result<()> {
        for document in documents(yaml)? {
            self.apply_object(&document).await?;
        }
        Ok(())
    }

    /// Applies one object.
    ///
    /// # Errors
    ///
    /// The API server refuses.
    pub async fn apply_object(&self, object: &Value) -> Result<Value> {
        let (api, name) = self.api_for(object).await?;
        let params = PatchParams::apply("bed").force();
        let stored = api
            .patch(&name, &params, &Patch::Apply(object))
            .await
            .with_context(|| format!("cannot apply {} {name}", object["kind"]))?;
        Ok(serde_json::to_value(stored)?)
    }

    /// One object; nothing when it is not there.
    ///
    /// # Errors
    ///
    /// Trouble with the API server.
    pub async fn find(&self, kind: &str, namespace: &str, name: &str) -> Result<Option<Value>> {
        let api = self.api(kind, namespace).await?;
        Ok(api.get_opt(name).await?.map(serde_json::to_value).transpose()?)
    }

    /// One object.
    ///
    /// # Errors
    ///
    /// It is not there.
    pub async fn get(&self, kind: &str, namespace: &str, name: &str) -> Result<Value> {
        self.find(kind, namespace, name).await?.with_context(|| format!("{kind} {namespace}/{name} is not there"))
    }

    /// All objects of a kind in a namespace (all namespaces when empty).
    ///
    /// # Errors
    ///
    /// Trouble with the API server.
    pub async fn list(&self, kind: &str, namespace: &str) -> Result<Vec<Value>> {
        let found = self.api(kind, namespace).await?.list(&ListParams::default()).await?;
        found.items.into_iter().map(|item| Ok(serde_json::to_value(item)?)).collect()
    }

    /// Merge-patches one object, as a person with kubectl would.
    ///
    /// # Errors
    ///
    /// The API server refuses.
    pub async fn patch(&self, kind: &str, namespace: &str, name: &str, patch: &Value) -> Result<Value> {
        let params = PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..PatchParams::default() };
        let stored = self.api(kind, namespace).await?.patch(name, &params, &Patch::Merge(patch)).await?;
        Ok(serde_json::to_value(stored)?)
    }

    /// Merge-patches the status.
    ///
    /// # Errors
    ///
    /// The API server refuses.
    pub async fn patch_status(&self, kind: &str, namespace: &str, name: &str, status: &Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "status": status }));
        self.api(kind, namespace).await?.patch_status(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Deletes one object; that it is not there is fine.
    ///
    /// # Errors
    ///
    /// Trouble with the API server.
    pub async fn delete(&self, kind: &str, namespace: &str, name: &str) -> Result<()> {
        match self.api(kind, namespace).await?.delete(name, &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until an object is as wanted and returns it.
    ///
    /// # Errors
    ///
    /// The time ran out: with the object's status, its events, and the operators' last lines.
    pub async fn wait_for(
        &self,
        what: &str,
        (kind, namespace, name): (&str, &str, &str),
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let started = Instant::now();
        loop {
            let found = self.find(kind, namespace, name).await.ok().flatten();
            if let Some(object) = found.as_ref().filter(|object| wanted(object)) {
                return Ok(object.clone());
            }
            if started.elapsed() > limit {
                let state = match &found {
                    None => "it is not there".to_owned(),
                    Some(object) => serde_json::to_string_pretty(&without_values(object))?,
                };
                let events = self.events(namespace, name).await.unwrap_or_default().join("\n  ");
                bail!(
                    "not within {} s: {what}\n{kind} {namespace}/{name}: {state}\nevents:\n  {events}\n{}",
                    limit.as_secs(),
                    self.last_lines()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until an object is gone.
    ///
    /// # Errors
    ///
    /// The time ran out.
    pub async fn wait_gone(&self, kind: &str, namespace: &str, name: &str, limit: Duration) -> Result<()> {
        let started = Instant::now();
        while self.find(kind, namespace, name).await?.is_some() {
            if started.elapsed() > limit {
                bail!("{kind} {namespace}/{name} is still there after {} s\n{}", limit.as_secs(), self.last_lines());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// What operators logged last.
    fn last_lines(&self) -> String {
        const LINES: usize = 15;
        let logs = self.logs.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
        let logs = logs.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|kind| kind == "log"));
        let quote = |path: PathBuf| {
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned();
            let lines: Vec<_> = text.lines().collect();
            let name = path.file_name().unwrap_or_default().display().to_string();
            format!("{name} ends:\n  {}", lines[lines.len().saturating_sub(LINES)..].join("\n  "))
        };
        logs.map(quote).collect::<Vec<_>>().join("\n")
    }

    /// Events about an object, as `TYPE REASON MESSAGE`.
    ///
    /// # Errors
    ///
    /// Trouble with the API server.
    pub async fn events(&self, namespace: &str, name: &str) -> Result<Vec<String>> {
        let all = self.list("v1 Event", namespace).await?;
        Ok(all
            .iter()
            .filter(|event| event["involvedObject"]["name"] == name)
            .map(|event| {
                let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
                format!("{} {} {}", text("type"), text("reason"), text("message"))
            })
            .collect())
    }

    /// Makes a namespace and waits for its default service account.
    ///
    /// # Errors
    ///
    /// Trouble with the API server.
    pub async fn namespace(&self, name: &str) -> Result<()> {
        self.apply_object(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })).await?;
        self.wait_for("the default service account", ("v1 ServiceAccount", name, "default"), PATIENCE, |_| true)
            .await?;
        Ok(())
    }

    /// A token of a service account.
    ///
    /// # Errors
    ///
    /// The account is not there.
    pub async fn token(&self, namespace: &str, account: &str) -> Result<String> {
        let api: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let request = serde_json::from_value(json!({ "spec": { "audiences": [], "expirationSeconds": 86400 } }))?;
        let granted = api.create_token_request(account, &kube::api::PostParams::default(), &request).await?;
        granted.status.map(|status| status.token).context("no token in the answer")
    }

    async fn api(&self, kind: &str, namespace: &str) -> Result<Api<DynamicObject>> {
        let (resource, namespaced) = self.resource(kind).await?;
        Ok(if namespaced && !namespace.is_empty() {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        })
    }

    async fn api_for(&self, object: &Value) -> Result<(Api<DynamicObject>, String)> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let name = text("/metadata/name").to_owned();
        let kind = format!("{} {}", text("/apiVersion"), text("/kind"));
        let (resource, namespaced) = self.resource(&kind).await?;
        let namespace =
            Some(text("/metadata/namespace")).filter(|namespace| !namespace.is_empty()).unwrap_or("default");
        let api = if namespaced {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        };
        Ok((api, name))
    }

    /// `kind` is `VERSION KIND`, as in `v1 Secret` or `apps/v1 Deployment`.
    async fn resource(&self, kind: &str) -> Result<(ApiResource, bool)> {
        let (version, kind) = kind.split_once(' ').ok_or_else(|| anyhow!("{kind:?} is not `VERSION KIND`"))?;
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let wanted = GroupVersionKind::gvk(group, version, kind);
        let started = Instant::now();
        loop {
            match pinned_kind(&self.client, &wanted).await {
                Ok((resource, capabilities)) => return Ok((resource, capabilities.scope == Scope::Namespaced)),
                // A new CustomResourceDefinition takes a moment.
                Err(_) if started.elapsed() < Duration::from_secs(10) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => return Err(anyhow!(error).context(format!("the API server does not know {kind}"))),
            }
        }
    }
}

/// All documents of a YAML text.
///
/// # Errors
///
/// It is no YAML.
pub fn documents(yaml: &str) -> Result<Vec<Value>> {
    let all: Vec<Value> = serde_yaml::from_multiple(yaml).map_err(|error| anyhow!("{error}"))?;
    Ok(all.into_iter().filter(|document| !document.is_null()).collect())
}

/// An HTTP client that trusts one more authority.
///
/// # Errors
///
/// The authority is no PEM.
pub fn plain_client(ca: &str) -> Result<reqwest::Client> {
    install_tls();
    let authority = reqwest::Certificate::from_pem(ca.as_bytes())?;
    Ok(reqwest::Client::builder().tls_certs_only([authority]).no_proxy().timeout(Duration::from_secs(5)).build()?)
}

/// Installs the one TLS provider; a second call does nothing.
pub fn install_tls() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// An object as it may be printed: a failed test's output is a log, too.
fn without_values(object: &Value) -> Value {
    let mut shown = object.clone();
    if shown["kind"] == "Secret" {
        for field in ["data", "stringData"] {
            if let Some(Value::Object(values)) = shown.get_mut(field) {
                values.values_mut().for_each(|value| *value = json!("<redacted>"));
            }
        }
    }
    if let Some(Value::Object(metadata)) = shown.get_mut("metadata") {
        metadata.remove("managedFields");
    }
    shown
}
