//! What the cluster and the kubeconfig are asked for.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};

use super::codes::Code;
use super::error::CommandError;

/// A cluster that does not answer by then is not there.
const PATIENCE: Duration = Duration::from_secs(10);
/// kubeseal's default place of the controller.
const DEFAULT_NAME: &str = "sealed-secrets-controller";
const DEFAULT_NAMESPACE: &str = "kube-system";
/// Where Chancery lives; looked at when nothing is at kubeseal's place and no place was named.
const OUR_NAMESPACE: &str = "chancery-system";
/// Services that say what they are. They are told of, never trusted: anyone can label a Service.
const LABELS: [&str; 2] = ["app.kubernetes.io/component=sealing", "app.kubernetes.io/name=sealed-secrets"];

/// Most namespaces that are looked through one by one.
const MOST_NAMESPACES: usize = 500;
/// What helps where nobody answers.
const IS_IT_UP: &str = "is it up, and the context the right one? kubectl get namespaces; or use a file: --cert FILE";
/// The same, where the cluster answers.
const NAME_IT: &str = "name it: --controller-namespace NAMESPACE --controller-name NAME; or use a file: --cert FILE";

/// Which cluster, as kubectl's flags say it.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ClusterArgs {
    /// Namespace, for input that names none
    #[arg(global = true, short = 'n', long, env = "SEALED_SECRETS_NAMESPACE", value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,

    /// Name of the Service that gives the certificate [default: sealed-secrets-controller]
    #[arg(global = true, long, env = "SEALED_SECRETS_CONTROLLER_NAME", value_name = "NAME")]
    pub(crate) controller_name: Option<String>,

    /// Namespace of that Service [default: kube-system]
    #[arg(global = true, long, env = "SEALED_SECRETS_CONTROLLER_NAMESPACE", value_name = "NAMESPACE")]
    pub(crate) controller_namespace: Option<String>,

    /// Kubeconfig file
    #[arg(global = true, long, env = "SEALED_SECRETS_KUBECONFIG", value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig
    #[arg(global = true, long, env = "SEALED_SECRETS_CONTEXT", value_name = "CONTEXT")]
    pub(crate) context: Option<String>,

    #[command(flatten)]
    rare: Box<RareArgs>,
}

/// The rest of kubectl's connection flags.
#[derive(Clone, Debug, Default, clap::Args)]
struct RareArgs {
    #[arg(global = true, long, env = "SEALED_SECRETS_CLUSTER", hide = true)]
    cluster: Option<String>,
    #[arg(global = true, long, env = "SEALED_SECRETS_USER", hide = true)]
    user: Option<String>,
    #[arg(global = true, short = 's', long, env = "SEALED_SECRETS_SERVER", hide = true)]
    server: Option<String>,
    #[arg(global = true, long, env = "SEALED_SECRETS_TOKEN", hide = true, hide_env_values = true)]
    token: Option<String>,
    #[arg(global = true, long, env = "SEALED_SECRETS_USERNAME", hide = true)]
    username: Option<String>,
    #[arg(global = true, long, env = "SEALED_SECRETS_PASSWORD", hide = true, hide_env_values = true)]
    password: Option<String>,
    #[arg(global = true, long = "as", env = "SEALED_SECRETS_AS", hide = true)]
    act_as: Option<String>,
    #[arg(global = true, long, env = "SEALED_SECRETS_AS_GROUP", hide = true)]
    as_group: Vec<String>,
    #[arg(global = true, long, env = "SEALED_SECRETS_AS_UID", hide = true)]
    as_uid: Option<String>,
    #[arg(global = true, long, env = "SEALED_SECRETS_CERTIFICATE_AUTHORITY", hide = true)]
    certificate_authority: Option<String>,
    #[arg(global = true, long, env = "SEALED_SECRETS_CLIENT_CERTIFICATE", hide = true)]
    client_certificate: Option<String>,
    #[arg(global = true, long, env = "SEALED_SECRETS_CLIENT_KEY", hide = true)]
    client_key: Option<String>,
    #[arg(global = true, long, env = "SEALED_SECRETS_TLS_SERVER_NAME", hide = true)]
    tls_server_name: Option<String>,
    #[arg(global = true, long, env = "SEALED_SECRETS_PROXY_URL", hide = true)]
    proxy_url: Option<String>,
    #[arg(global = true, long, env = "SEALED_SECRETS_REQUEST_TIMEOUT", hide = true)]
    request_timeout: Option<String>,
    #[arg(global = true, long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    insecure_skip_tls_verify: Option<bool>,
    #[arg(global = true, long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    disable_compression: Option<bool>,
}

impl ClusterArgs {
    /// Where the controller's Service may be: what was named, or kubeseal's default and then ours.
    fn places(&self) -> Vec<(&str, &str)> {
        fn given(text: &Option<String>) -> Option<&str> {
            text.as_deref().filter(|text| !text.is_empty())
        }
        let name = given(&self.controller_name).unwrap_or(DEFAULT_NAME);
        match given(&self.controller_namespace) {
            Some(namespace) => vec![(namespace, name)],
            None => vec![(DEFAULT_NAMESPACE, name), (OUR_NAMESPACE, name)],
        }
    }

    /// The namespace of the controller and its keys.
    pub(crate) async fn key_namespace(&self, client: &Client) -> String {
        for (namespace, name) in self.places() {
            if Api::<Service>::namespaced(client.clone(), namespace).get(name).await.is_ok() {
                return namespace.to_owned();
            }
        }
        self.places().first().map_or(DEFAULT_NAMESPACE, |place| place.0).to_owned()
    }

    /// The namespace of the kubeconfig's context, `default` when it names none; nothing without any cluster.
    pub(crate) fn context_namespace(&self) -> Result<Option<String>, CommandError> {
        let Some(kubeconfig) = self.kubeconfig()? else {
            // In a pod the service account tells.
            let file = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
            return Ok(std::fs::read_to_string(file).ok().map(|text| text.trim().to_owned()));
        };
        let current = self.context.as_ref().or(kubeconfig.current_context.as_ref());
        let context = kubeconfig.contexts.iter().find(|context| Some(&context.name) == current);
        let namespace = context.and_then(|context| context.context.as_ref()?.namespace.clone());
        Ok(Some(namespace.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned())))
    }

    /// The context's name, for messages.
    pub(crate) fn context_name(&self) -> String {
        let current = || self.kubeconfig().ok().flatten()?.current_context;
        self.context.clone().or_else(current).unwrap_or_else(|| "the current context".to_owned())
    }

    /// Runs a conversation with the cluster.
    pub(crate) fn converse<T>(
        &self,
        conversation: impl AsyncFnOnce(Client) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        runtime()?.block_on(async {
            let client = Client::try_from(self.config().await?).map_err(|error| {
                CommandError::coded(Code::NoCluster, format!("the kubeconfig cannot be used: {error}"))
            })?;
            conversation(client).await
        })
    }

    async fn config(&self) -> Result<Config, CommandError> {
        let rare = &*self.rare;
        let unusable = |error: &dyn std::fmt::Display| {
            CommandError::coded(Code::NoCluster, format!("the kubeconfig cannot be used: {error}"))
                .help("see what kubectl says: kubectl config view")
        };
        let mut config = match self.kubeconfig()? {
            Some(mut kubeconfig) => {
                for user in kubeconfig.auth_infos.iter_mut().filter_map(|user| user.auth_info.as_mut()) {
                    self.sign_in(user);
                }
                let options = KubeConfigOptions {
                    context: self.context.clone(),
                    cluster: rare.cluster.clone(),
                    user: rare.user.clone(),
                };
                Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| unusable(&error))?
            }
            None if rare.server.is_some() => {
                let mut config = Config::new(http::Uri::from_static("http://localhost"));
                self.sign_in(&mut config.auth_info);
                config
            }
            None => Config::incluster().map_err(|_| {
                CommandError::coded(Code::NoCluster, "no cluster is configured (no kubeconfig)")
                    .help("name a cluster with --kubeconfig FILE")
            })?,
        };
        if let Some(proxy) = &rare.proxy_url {
            config.proxy_url = Some(proxy.parse().map_err(|error: http::uri::InvalidUri| unusable(&error))?);
        }
        if let Some(server) = &rare.server {
            config.cluster_url = server.parse().map_err(|error: http::uri::InvalidUri| unusable(&error))?;
        }
        if let Some(file) = &rare.certificate_authority {
            let pem = super::io::read(Some(file.as_ref()))?;
            config.root_cert = Some(pem_blocks(&pem));
        }
        config.accept_invalid_certs |= rare.insecure_skip_tls_verify.unwrap_or_default();
        config.tls_server_name = rare.tls_server_name.clone().or(config.tls_server_name);
        config.disable_compression |= rare.disable_compression.unwrap_or_default();
        config.connect_timeout = Some(rare.request_timeout.as_deref().and_then(go_duration).unwrap_or(PATIENCE));
        config.default_retry = false;
        Ok(config)
    }

    fn sign_in(&self, user: &mut kube::config::AuthInfo) {
        let rare = &*self.rare;
        if let Some(token) = &rare.token {
            *user = kube::config::AuthInfo { token: Some(token.clone().into()), ..Default::default() };
        }
        if let Some(name) = &rare.username {
            user.username = Some(name.clone());
            user.password = rare.password.clone().map(Into::into);
        }
        user.client_certificate = rare.client_certificate.clone().or(user.client_certificate.take());
        user.client_key = rare.client_key.clone().or(user.client_key.take());
        user.impersonate = rare.act_as.clone().or(user.impersonate.take());
        user.impersonate_uid = rare.as_uid.clone().or(user.impersonate_uid.take());
        if !rare.as_group.is_empty() {
            user.impersonate_groups = Some(rare.as_group.clone());
        }
    }

    fn kubeconfig(&self) -> Result<Option<Kubeconfig>, CommandError> {
        let broken = |error: kube::config::KubeconfigError| {
            CommandError::coded(Code::NoCluster, format!("cannot read the kubeconfig: {error}"))
        };
        if let Some(path) = self.kubeconfig.as_ref().filter(|path| !path.as_os_str().is_empty()) {
            return Kubeconfig::read_from(path).map(Some).map_err(broken);
        }
        let home = std::env::home_dir().map(|home| home.join(".kube/config"));
        let named = std::env::var_os("KUBECONFIG").is_some_and(|files| !files.is_empty());
        if !named && !home.is_some_and(|file| file.exists()) {
            return Ok(None);
        }
        Kubeconfig::read().map(Some).map_err(broken)
    }
}

/// The controller behind the API server's Service proxy, as kubeseal speaks to it.
pub(crate) struct Controller {
    client: Client,
    path: String,
}

impl Controller {
    /// Finds the Service and the name of its first port.
    pub(crate) async fn find(client: Client, cluster: &ClusterArgs) -> Result<Self, CommandError> {
        let mut failure = None;
        for (namespace, name) in cluster.places() {
            match Api::<Service>::namespaced(client.clone(), namespace).get(name).await {
                Ok(service) => {
                    let port = service.spec.and_then(|spec| spec.ports?.into_iter().next()?.name).unwrap_or_default();
                    let path = format!("/api/v1/namespaces/{namespace}/services/http:{name}:{port}/proxy/v1");
                    return Ok(Self { client, path });
                }
                Err(error) => {
                    let told = told(&error);
                    let missing = told.status == Some(404);
                    failure.get_or_insert(told);
                    if !missing {
                        break;
                    }
                }
            }
        }
        Err(not_found(client, cluster, failure).await)
    }

    /// `GET /v1/cert.pem`.
    pub(crate) async fn certificate(&self) -> Result<String, CommandError> {
        let request = http::Request::get(format!("{}/cert.pem", self.path)).body(Vec::new());
        self.send(request).await.map_err(|told| {
            told.into_error("cannot fetch certificate").help(
                "does the controller run? kubectl get pods -A; or use a file that a colleague gives you: --cert FILE",
            )
        })
    }

    /// `POST /v1/verify`.
    pub(crate) async fn verify(&self, object: &str) -> Result<(), CommandError> {
        match self.send(post(format!("{}/verify", self.path), object)).await {
            Ok(_) => Ok(()),
            Err(told) if told.status == Some(409) => {
                Err(CommandError::coded(Code::CannotOpen, "unable to decrypt sealed secret"))
            }
            Err(told) => Err(told.into_error("cannot validate sealed secret")),
        }
    }

    /// `POST /v1/rotate`: the object with every item sealed anew.
    pub(crate) async fn rotate(&self, object: &str) -> Result<String, CommandError> {
        let sent = self.send(post(format!("{}/rotate", self.path), object)).await;
        sent.map_err(|told| told.into_error("cannot re-encrypt secret"))
    }

    async fn send(&self, request: http::Result<http::Request<Vec<u8>>>) -> Result<String, Told> {
        let request = request.map_err(|error| Told::new(Code::NoCluster, error.to_string()))?;
        self.client.request_text(request).await.map_err(|error| match told(&error) {
            // The proxy's own answer: behind a firewall, say, where the API server cannot reach Pods.
            Told { status: Some(status @ 502..=504), words, .. } => Told {
                status: Some(status),
                ..Told::new(
                    Code::Unreachable,
                    format!("the API server could not reach the controller pod (service proxy: {status}): {words}"),
                )
            },
            told => told,
        })
    }
}

/// Why there is no controller, with those that look like one.
async fn not_found(client: Client, cluster: &ClusterArgs, failure: Option<Told>) -> CommandError {
    let told = failure.unwrap_or_else(|| Told::new(Code::NoService, "no place to look".to_owned()));
    let places: Vec<_> = cluster.places().iter().map(|(namespace, name)| format!("{namespace}/{name}")).collect();
    let reference = format!("cannot get sealed secret service: {}", told.words);
    if told.status != Some(404) {
        let help = if told.code == Code::Unreachable { IS_IT_UP } else { NAME_IT };
        return CommandError::coded(told.code, reference)
            .note(format!("looked for Service {} in context {}", places.join(" and "), cluster.context_name()))
            .help(help);
    }
    let found = Labelled::look(&client).await;
    let mut error =
        CommandError::coded(Code::NoService, format!("found no sealing service in context {}", cluster.context_name()))
            .note(reference)
            .note(format!("looked for {}, and for Services labelled {}", places.join(", "), LABELS.join(" or ")));
    if let Some(reach) = found.reach {
        error = error.note(reach);
    }
    for (namespace, name) in found.services {
        error = error.help(format!(
            "Service {namespace}/{name} may be it: --controller-namespace {namespace} --controller-name {name}"
        ));
    }
    error.help(NAME_IT)
}

/// Services that look like a controller's.
#[derive(Default)]
struct Labelled {
    services: BTreeSet<(String, String)>,
    /// How far we could see, when that was not everywhere.
    reach: Option<String>,
}

impl Labelled {
    /// In all namespaces, or where that is forbidden, in each of those that may be listed.
    async fn look(client: &Client) -> Self {
        let mut found = Self::default();
        if found.add(Api::all(client.clone())).await {
            return found;
        }
        let Ok(namespaces) = Api::<Namespace>::all(client.clone()).list(&ListParams::default()).await else {
            found.reach = Some("you may not list Services in all namespaces, nor the namespaces".to_owned());
            return found;
        };
        let mut open = 0;
        for namespace in namespaces.items.iter().take(MOST_NAMESPACES) {
            open += usize::from(found.add(Api::namespaced(client.clone(), &namespace.name_any())).await);
        }
        let all = namespaces.items.len().min(MOST_NAMESPACES);
        found.reach = Some(format!("you may list Services in {open} of {all} namespaces"));
        found
    }

    /// Whether they could be listed.
    async fn add(&mut self, api: Api<Service>) -> bool {
        for label in LABELS {
            let Ok(services) = api.list(&ListParams::default().labels(label)).await else { return false };
            self.services.extend(
                services.into_iter().map(|service| (service.namespace().unwrap_or_default(), service.name_any())),
            );
        }
        true
    }
}

fn post(path: String, object: &str) -> http::Result<http::Request<Vec<u8>>> {
    http::Request::post(path).header("content-type", "application/json").body(object.as_bytes().to_vec())
}

/// The runtime for the few calls that go over a network; whoever seals offline never starts it.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    // Fails only when it was done before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::new(format!("cannot start: {error}")))
}

/// What kube's error says, in one sentence and with a code.
pub(crate) struct Told {
    pub(crate) code: Code,
    pub(crate) words: String,
    /// The HTTP status, when the API server or the controller answered.
    pub(crate) status: Option<u16>,
}

impl Told {
    fn new(code: Code, words: String) -> Self {
        Self { code, words, status: None }
    }

    /// As an error; `doing` says what was tried.
    pub(crate) fn into_error(self, doing: &str) -> CommandError {
        CommandError::coded(self.code, format!("{doing}: {}", self.words))
    }
}

/// kube's error in one sentence.
pub(crate) fn told(error: &kube::Error) -> Told {
    match error {
        kube::Error::Api(status) => {
            let code = match status.code {
                401 | 403 => Code::Forbidden,
                404 => Code::NotInCluster,
                _ => Code::ControllerRefuses,
            };
            Told { status: Some(status.code), ..Told::new(code, status.message.trim().to_owned()) }
        }
        other => {
            let mut cause: &dyn std::error::Error = other;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            Told::new(Code::Unreachable, format!("the cluster cannot be reached: {cause}"))
        }
    }
}

/// DER of the certificates in a PEM text.
fn pem_blocks(pem: &str) -> Vec<Vec<u8>> {
    pem.split("-----BEGIN CERTIFICATE-----")
        .skip(1)
        .filter_map(|block| seal::wire::decode(block.split("-----END").next()?.trim()).ok())
        .collect()
}

/// `30s`, `1m`, `500ms`, or seconds; `0` waits without end, which nothing here does.
fn go_duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok().filter(|number| *number > 0)?;
    match &text[digits.len()..] {
        "ms" => Some(Duration::from_millis(number)),
        "" | "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number * 60)),
        "h" => Some(Duration::from_secs(number * 3600)),
        _ => None,
    }
}
