//! What the cluster and the kubeconfig are asked for.

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use super::args::Args;
use super::error::CommandError;

/// Fetches the certificate through the API server's Service proxy, as kubeseal does.
pub(crate) fn certificate(args: &Args) -> Result<String, CommandError> {
    let (namespace, name) = (&args.controller_namespace, &args.controller_name);
    let failed = |why: String| {
        CommandError::new(format!("cannot fetch certificate: {why}")).help(format!(
            "looked for Service {namespace}/{name}; name it with --controller-namespace and --controller-name, \
             or use a file: --cert FILE"
        ))
    };
    let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
    let kubeconfig = kubeconfig(args)?.ok_or_else(|| {
        CommandError::new("cannot fetch certificate: no cluster is configured (no kubeconfig)")
            .help("use a file: --cert FILE; or name a cluster with --kubeconfig FILE")
    })?;
    runtime()?.block_on(async {
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(|error| failed(format!("the kubeconfig cannot be used: {error}")))?;
        config.connect_timeout = Some(std::time::Duration::from_secs(10));
        config.default_retry = false;
        let client = Client::try_from(config).map_err(|error| failed(error.to_string()))?;
        let services: Api<k8s_openapi::api::core::v1::Service> = Api::namespaced(client.clone(), namespace);
        let service = services.get(name).await.map_err(|error| failed(told(&error)))?;
        let port = service.spec.and_then(|spec| spec.ports?.into_iter().next()?.name).unwrap_or_default();
        let path = format!("/api/v1/namespaces/{namespace}/services/http:{name}:{port}/proxy/v1/cert.pem");
        let request = http::Request::get(path).body(Vec::new()).map_err(|error| failed(error.to_string()))?;
        client.request_text(request).await.map_err(|error| failed(told(&error)))
    })
}

/// The namespace of the kubeconfig's context, `default` when it names none; nothing without a kubeconfig.
pub(crate) fn context_namespace(args: &Args) -> Result<Option<String>, CommandError> {
    let Some(kubeconfig) = kubeconfig(args)? else { return Ok(None) };
    let current = args.context.as_ref().or(kubeconfig.current_context.as_ref());
    let context = kubeconfig.contexts.iter().find(|context| Some(&context.name) == current);
    let namespace = context.and_then(|context| context.context.as_ref()?.namespace.clone());
    Ok(Some(namespace.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned())))
}

/// The runtime for the few calls that go over a network.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    // Fails only when it was done before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::new(format!("cannot start: {error}")))
}

fn kubeconfig(args: &Args) -> Result<Option<Kubeconfig>, CommandError> {
    let broken =
        |error: kube::config::KubeconfigError| CommandError::new(format!("cannot read the kubeconfig: {error}"));
    if let Some(path) = &args.kubeconfig {
        return Kubeconfig::read_from(path).map(Some).map_err(broken);
    }
    let home = std::env::home_dir().map(|home| home.join(".kube/config"));
    if std::env::var_os("KUBECONFIG").is_none() && !home.is_some_and(|file| file.exists()) {
        return Ok(None);
    }
    Kubeconfig::read().map(Some).map_err(broken)
}

/// kube's error in one sentence.
fn told(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => {
            let mut cause: &dyn std::error::Error = other;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            format!("the cluster cannot be reached: {cause}")
        }
    }
}
