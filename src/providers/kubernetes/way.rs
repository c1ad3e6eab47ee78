//! What leads to an API server: what the store says, or a kubeconfig in a Secret.

use kube::config::Kubeconfig;
use seal::SecretBytes;

use crate::api::secret_store::{Kubernetes, KubernetesStoreAuth};
use crate::plan::{AccountToken, Credentials};
use crate::providers::{Endpoints, Error};

/// Addresses that mean the cluster we run in.
const OWN: [&str; 4] = ["", "kubernetes.default", "https://kubernetes.default", "https://kubernetes.default.svc"];

/// Who we are there.
pub(super) enum Login {
    /// By the connection's certificate, or not at all.
    Connection,
    Token(SecretBytes),
    Account(AccountToken),
}

/// What leads to an API server.
pub(super) struct Way {
    pub(super) url: String,
    pub(super) authority: Option<String>,
    pub(super) login: Login,
    pub(super) certificate: Certificate,
}

impl Way {
    /// That of a store.
    pub(super) fn new(spec: &Kubernetes, credentials: &Credentials, endpoints: &Endpoints) -> Result<Self, Error> {
        match &spec.auth_ref {
            Some(reference) => of_kubeconfig(credentials.secret(reference)?),
            None => of_settings(spec, credentials, endpoints),
        }
    }
}

fn of_settings(spec: &Kubernetes, credentials: &Credentials, endpoints: &Endpoints) -> Result<Way, Error> {
    let server = spec.server.clone().unwrap_or_default();
    let authority = credentials.authority_of(server.ca_bundle.as_deref(), server.ca_provider.as_ref())?;
    let url = server.url.clone().unwrap_or_default();
    let (url, authority) = if OWN.contains(&url.trim_end_matches('/')) {
        (endpoints.own_cluster.clone().unwrap_or_default(), authority.or_else(|| endpoints.own_authority.clone()))
    } else if url.contains("://") {
        (url, authority)
    } else {
        (format!("https://{url}"), authority)
    };
    let auth = spec.auth.clone().unwrap_or_default();
    let (login, certificate) = login(&auth, credentials)?;
    Ok(Way { url, authority, login, certificate })
}

type Certificate = Option<(SecretBytes, SecretBytes)>;

fn login(auth: &KubernetesStoreAuth, credentials: &Credentials) -> Result<(Login, Certificate), Error> {
    if let Some(cert) = &auth.cert {
        let pair = (credentials.secret(&cert.client_cert)?.clone(), credentials.secret(&cert.client_key)?.clone());
        return Ok((Login::Connection, Some(pair)));
    }
    if let Some(token) = &auth.token {
        return Ok((Login::Token(credentials.secret(&token.bearer_token)?.clone()), None));
    }
    if let Some(account) = &auth.service_account {
        return Ok((Login::Account(credentials.account(account)?.token.clone()), None));
    }
    Err(Error::Configuration("auth names neither a serviceAccount, a token nor a cert".to_owned()))
}

/// A kubeconfig in a Secret. What would read a file or run a program of ours is refused: it was written by a tenant.
fn of_kubeconfig(text: &SecretBytes) -> Result<Way, Error> {
    let wrong = |what: &str| Error::Configuration(format!("authRef: the kubeconfig {what}"));
    let text = std::str::from_utf8(text.expose()).map_err(|_| wrong("is no text"))?;
    let config = Kubeconfig::from_yaml(text).map_err(|_| wrong("cannot be read"))?;
    let current = config.current_context.clone().unwrap_or_default();
    let context =
        config.contexts.iter().find(|context| context.name == current).and_then(|named| named.context.clone());
    let context = context.ok_or_else(|| wrong("has no current-context"))?;
    let cluster = config.clusters.iter().find(|cluster| cluster.name == context.cluster);
    let cluster = cluster.and_then(|named| named.cluster.clone()).ok_or_else(|| wrong("lacks its cluster"))?;
    let user = context.user.clone().unwrap_or_default();
    let user = config.auth_infos.iter().find(|info| info.name == user).and_then(|named| named.auth_info.clone());
    let user = user.ok_or_else(|| wrong("lacks its user"))?;
    let names_files = cluster.certificate_authority.is_some()
        || user.token_file.is_some()
        || user.client_certificate.is_some()
        || user.client_key.is_some();
    if names_files || user.exec.is_some() || user.auth_provider.is_some() {
        return Err(wrong("names files or programs; only data within it are used"));
    }
    if cluster.insecure_skip_tls_verify == Some(true) {
        return Err(wrong("turns off the check of certificates"));
    }
    let decoded = |text: Option<&str>| {
        text.map(|text| seal::wire::decode(text).map_err(|_| wrong("holds broken base64"))).transpose()
    };
    let authority = decoded(cluster.certificate_authority_data.as_deref())?;
    let authority = authority.map(String::from_utf8).transpose().map_err(|_| wrong("holds a broken authority"))?;
    let certificate = decoded(user.client_certificate_data.as_deref())?;
    let key = user.client_key_data.as_ref().map(secrecy_text);
    let key = decoded(key.as_deref())?;
    let token = user.token.as_ref().map(secrecy_text);
    Ok(Way {
        url: cluster.server.unwrap_or_default(),
        authority,
        login: token.map_or(Login::Connection, |token| Login::Token(token.into())),
        certificate: certificate.zip(key).map(|(certificate, key)| (certificate.into(), key.into())),
    })
}

/// kube keeps secrets in a wrapper of its own.
fn secrecy_text(secret: &secrecy::SecretString) -> String {
    use secrecy::ExposeSecret;
    secret.expose_secret().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_kubeconfig_that_runs_programs_or_reads_files_is_refused() {
        let config = |cluster: Value, user: Value| {
            json!({
                "current-context": "c",
                "contexts": [{ "name": "c", "context": { "cluster": "k", "user": "u" } }],
                "clusters": [{ "name": "k", "cluster": cluster }], "users": [{ "name": "u", "user": user }],
            })
            .to_string()
        };
        let server = || json!({ "server": "https://k" });
        for (cluster, user) in [
            (server(), json!({ "exec": { "command": "/bin/true", "apiVersion": "client.authentication.k8s.io/v1" } })),
            (server(), json!({ "tokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token" })),
            (server(), json!({ "client-certificate": "/etc/passwd", "client-key": "/etc/passwd" })),
            (json!({ "server": "https://k", "certificate-authority": "/etc/passwd" }), json!({ "token": "t" })),
            (json!({ "server": "https://k", "insecure-skip-tls-verify": true }), json!({ "token": "t" })),
        ] {
            let text = config(cluster, user);
            assert!(matches!(of_kubeconfig(&text.clone().into()), Err(Error::Configuration(_))), "{text}");
        }
        let way = of_kubeconfig(&config(server(), json!({ "token": "t" })).into()).unwrap();
        assert_eq!(way.url, "https://k");
        assert!(matches!(way.login, Login::Token(_)));
    }
}
