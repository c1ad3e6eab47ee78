//! Who we are to Google: a key, an account of GKE, an exchanged token, or our own pod.

use std::time::{SystemTime, UNIX_EPOCH};

use google_cloud_auth::credentials::{Credentials, external_account, service_account, subject_token};
use google_cloud_auth::errors::SubjectTokenProviderError;
use seal::SecretBytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::secret_store::{GcpAuth, GcpFederation, GcpSecretRef, GcpWorkloadIdentity};
use crate::plan::{AccountToken, Credentials as Resolved};
use crate::providers::{Endpoints, Error, http, jwt, unresolved};

/// What our logins may do.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Where Google exchanges tokens.
const EXCHANGE: &str = "https://sts.googleapis.com/v1/token";
/// The kind of a service account's token.
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// Where GKE notes which account of Google's a service account stands for.
const EMAIL: &str = "iam.gke.io/gcp-service-account";
/// Vault takes tokens that are good for a quarter of an hour at most.
const SECONDS: u64 = 600;

/// Who we are to Google.
pub(in crate::providers) async fn login(
    auth: Option<&GcpAuth>,
    project: Option<&str>,
    resolved: &Resolved,
    endpoints: &Endpoints,
) -> Result<Credentials, Error> {
    let auth = auth.cloned().unwrap_or_default();
    let wrong = |what: &str| Error::Configuration(format!("auth: {what}"));
    if let Some(reference) = auth.secret_ref.as_ref().and_then(|key| key.secret_access_key_secret_ref.as_ref()) {
        let key: Value = serde_json::from_slice(resolved.secret(reference)?.expose())
            .map_err(|_| wrong("the service account's key is no JSON"))?;
        let scopes = service_account::AccessSpecifier::from_scopes([SCOPE]);
        return service_account::Builder::new(key)
            .with_access_specifier(scopes)
            .build()
            .map_err(|_| wrong("the Secret holds no key of a service account"));
    }
    if let Some(identity) = &auth.workload_identity {
        return of_gke(identity, project, resolved, endpoints).await;
    }
    if let Some(federation) = &auth.workload_identity_federation {
        return of_federation(federation, resolved, endpoints);
    }
    resolved.may_be_ambient()?;
    google_cloud_auth::credentials::Builder::default()
        .with_scopes([SCOPE])
        .build()
        .map_err(|_| wrong("our own pod has no identity of Google"))
}

/// What the store does not say of the cluster, its metadata server does: then it is the one that we run in.
async fn of_gke(
    identity: &GcpWorkloadIdentity,
    project: Option<&str>,
    resolved: &Resolved,
    endpoints: &Endpoints,
) -> Result<Credentials, Error> {
    let account = resolved.account(&identity.service_account_ref)?;
    let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    // The token is for this project, so it must be known before there is one.
    let project = identity.cluster_project_id.as_deref().or(project).filter(|project| !project.is_empty());
    let project = project.ok_or_else(|| {
        Error::Configuration("auth.workloadIdentity needs a clusterProjectID, or a projectID of the store".to_owned())
    })?;
    let location = match said(&identity.cluster_location) {
        Some(location) => location,
        None => metadata("instance/attributes/cluster-location").await?,
    };
    let name = match said(&identity.cluster_name) {
        Some(name) => name,
        None => metadata("instance/attributes/cluster-name").await?,
    };
    let cluster =
        format!("https://container.googleapis.com/v1/projects/{project}/locations/{location}/clusters/{name}");
    let audience = format!("identitynamespace:{project}.svc.id.goog:{cluster}");
    exchange(account.token.clone(), audience, exchange_url(endpoints), account.annotations.get(EMAIL).cloned())
}

/// What the metadata server says of where we run. It may only be late: a node's is not always there first.
pub(super) async fn metadata(path: &str) -> Result<String, Error> {
    let host = std::env::var("GCE_METADATA_HOST").ok().filter(|host| !host.is_empty());
    let host = host.unwrap_or_else(|| "metadata.google.internal".to_owned());
    let server = "Google's metadata server";
    let nowhere = || Error::Unreachable {
        server: server.to_owned(),
        why: "it does not answer; elsewhere the store must name its project, and its cluster".to_owned(),
    };
    let client = http::build(http::unguarded(None)?.no_proxy())?;
    let request = client.get(format!("http://{host}/computeMetadata/v1/{path}")).header("metadata-flavor", "Google");
    let answer = request.send().await.map_err(|_| nowhere())?;
    if !answer.status().is_success() {
        return Err(nowhere());
    }
    let body = http::body(answer, server, path).await?;
    let text = String::from_utf8(body).map(|text| text.trim().to_owned()).ok().filter(|text| !text.is_empty());
    text.ok_or_else(|| Error::Malformed { key: path.to_owned(), why: "it is no text" })
}

fn of_federation(federation: &GcpFederation, resolved: &Resolved, endpoints: &Endpoints) -> Result<Credentials, Error> {
    let wrong = |what: &str| Error::Configuration(format!("auth.workloadIdentityFederation: {what}"));
    /// Of a configuration as Google hands it out, what says whom we ask; where its token comes from is ours to say.
    #[derive(Default, Deserialize)]
    struct Configuration {
        audience: Option<String>,
        token_url: Option<String>,
        service_account_impersonation_url: Option<String>,
    }
    let configuration = match &federation.cred_config {
        None => Configuration::default(),
        Some(reference) => {
            let text = resolved.config_maps.get(reference).ok_or_else(|| unresolved("ConfigMap"))?;
            serde_json::from_str(text).map_err(|_| wrong("credConfig is no JSON"))?
        }
    };
    let Some(account) = &federation.service_account_ref else {
        return Err(wrong("this version exchanges the token of a serviceAccountRef only"));
    };
    let audience =
        federation.audience.clone().or(configuration.audience).ok_or_else(|| wrong("it names no audience"))?;
    let token_url = configuration.token_url.unwrap_or_else(|| exchange_url(endpoints));
    http::address(&token_url)?;
    let of_url = configuration.service_account_impersonation_url.as_deref().and_then(|url| {
        let (_, name) = url.rsplit_once('/')?;
        name.strip_suffix(":generateAccessToken").map(ToOwned::to_owned)
    });
    let email = federation.gcp_service_account_email.clone().or(of_url);
    exchange(resolved.account(account)?.token.clone(), audience, token_url, email)
}

fn exchange_url(endpoints: &Endpoints) -> String {
    endpoints.google_sts.clone().unwrap_or_else(|| EXCHANGE.to_owned())
}

/// A service account's token, exchanged for one of Google's.
fn exchange(
    token: AccountToken,
    audience: String,
    token_url: String,
    email: Option<String>,
) -> Result<Credentials, Error> {
    let mut builder = external_account::ProgrammaticBuilder::new(std::sync::Arc::new(Subject(token)))
        .with_audience(audience)
        .with_subject_token_type(JWT)
        .with_token_url(token_url)
        .with_scopes([SCOPE]);
    if let Some(email) = email {
        builder = builder.with_target_principal(email);
    }
    builder.build().map_err(|_| Error::Configuration("auth: the exchange of tokens cannot be set up".to_owned()))
}

/// A service account's token, as Google's library asks for it.
#[derive(Debug)]
struct Subject(AccountToken);

#[derive(Debug, thiserror::Error)]
#[error("there is no token")]
struct NoToken;

impl SubjectTokenProviderError for NoToken {
    fn is_transient(&self) -> bool {
        false
    }
}

impl subject_token::SubjectTokenProvider for Subject {
    type Error = NoToken;

    async fn subject_token(&self) -> Result<subject_token::SubjectToken, NoToken> {
        let token = String::from_utf8(self.0.get().expose().to_vec()).map_err(|_| NoToken)?;
        Ok(subject_token::Builder::new(token).build())
    }
}

/// Who we are to a Vault that trusts Google.
pub(in crate::providers) enum VaultIdentity {
    /// A service account's key, with which we sign (roles of type `iam`).
    Key(SecretBytes),
    /// Our own machine, for which its metadata server signs (roles of type `gce`).
    Machine,
}

impl VaultIdentity {
    pub(in crate::providers) fn new(key: Option<&GcpSecretRef>, resolved: &Resolved) -> Result<Self, Error> {
        if let Some(reference) = key.and_then(|key| key.secret_access_key_secret_ref.as_ref()) {
            return Ok(Self::Key(resolved.secret(reference)?.clone()));
        }
        resolved.may_be_ambient()?;
        Ok(Self::Machine)
    }

    /// A token that says so to this role of Vault.
    pub(in crate::providers) async fn token(&self, role: &str) -> Result<SecretBytes, Error> {
        match self {
            Self::Key(key) => self_signed(key, role).map(Into::into),
            Self::Machine => {
                let mut url = reqwest::Url::parse("http://q/").map_err(|_| unusable())?;
                let audience = format!("http://vault/{role}");
                url.query_pairs_mut().append_pair("audience", &audience).append_pair("format", "full");
                let query = url.query().unwrap_or_default();
                metadata(&format!("instance/service-accounts/default/identity?{query}")).await.map(Into::into)
            }
        }
    }
}

fn self_signed(key: &SecretBytes, role: &str) -> Result<String, Error> {
    /// Of a key as Google hands it out.
    #[derive(Deserialize)]
    struct Key {
        client_email: String,
        private_key: String,
        private_key_id: String,
    }
    let key: Key = serde_json::from_slice(key.expose()).map_err(|_| unusable())?;
    let private = SecretBytes::from(key.private_key);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = json!({ "sub": key.client_email, "aud": format!("vault/{role}"), "iat": now, "exp": now + SECONDS });
    jwt::rs256(private.expose(), Some(&key.private_key_id), &claims)
}

fn unusable() -> Error {
    Error::Configuration("auth.gcp: the Secret holds no key of a service account".to_owned())
}
