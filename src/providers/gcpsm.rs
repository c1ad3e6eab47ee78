//! Google Secret Manager.

use std::collections::BTreeMap;
use std::collections::HashMap;

use async_trait::async_trait;
use google_cloud_auth::credentials::{Credentials, external_account, service_account, subject_token};
use google_cloud_auth::errors::SubjectTokenProviderError;
use google_cloud_gax::error::rpc::Code;
use google_cloud_gax::paginator::ItemPaginator;
use google_cloud_secretmanager_v1::client::SecretManagerService;
use google_cloud_secretmanager_v1::model::secret_version::State;
use google_cloud_secretmanager_v1::model::{Replication, Secret, SecretPayload, replication};
use seal::SecretBytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::{Endpoints, Error, FetchedMap, MANAGED_BY, MANAGER, Payload, Provider, PushRef, PushValue, Writer, http};
use crate::api::external_secret::{Find, MetadataPolicy, RemoteRef};
use crate::api::secret_store::{GcpAuth, GcpFederation, GcpSm, GcpWorkloadIdentity, VersionSelection};
use crate::plan::{AccountToken, Credentials as Resolved, StoreAccess};
use crate::values::{self, Dots, Pattern, ValueError};

/// What our logins may do.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Where Google exchanges tokens.
const EXCHANGE: &str = "https://sts.googleapis.com/v1/token";
/// The kind of a service account's token.
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// Where GKE notes which account of Google's a service account stands for.
const EMAIL: &str = "iam.gke.io/gcp-service-account";

pub(super) struct GcpSmProvider {
    spec: GcpSm,
    endpoint: Option<String>,
    credentials: Credentials,
    client: OnceCell<SecretManagerService>,
}

impl GcpSmProvider {
    pub(super) fn new(spec: &GcpSm, access: &StoreAccess, endpoints: &Endpoints) -> Result<Self, Error> {
        let regional = match spec.location.as_deref().filter(|location| !location.is_empty()) {
            Some(location) if !is_word(location) => {
                return Err(Error::Configuration(format!("{location:?} is no location of Google")));
            }
            Some(location) => Some(format!("https://secretmanager.{location}.rep.googleapis.com")),
            None => None,
        };
        Ok(Self {
            spec: spec.clone(),
            endpoint: endpoints.secret_manager.clone().or(regional),
            credentials: login(spec.auth.as_ref(), spec.project_id.as_deref(), &access.credentials)?,
            client: OnceCell::new(),
        })
    }

    async fn client(&self) -> Result<&SecretManagerService, Error> {
        self.client
            .get_or_try_init(|| async {
                let mut builder = SecretManagerService::builder().with_credentials(self.credentials.clone());
                if let Some(endpoint) = &self.endpoint {
                    builder = builder.with_endpoint(endpoint);
                }
                let built = builder.build().await;
                built.map_err(|_| Error::Configuration("no client of Google can be made".to_owned()))
            })
            .await
    }

    /// Where secrets live.
    fn parent(&self) -> Result<String, Error> {
        let project = self.spec.project_id.as_deref().filter(|project| !project.is_empty());
        let project = project.ok_or_else(|| Error::Configuration("the store names no projectID".to_owned()))?;
        Ok(match self.spec.location.as_deref().filter(|location| !location.is_empty()) {
            Some(location) => format!("projects/{project}/locations/{location}"),
            None => format!("projects/{project}"),
        })
    }

    fn name(&self, key: &str) -> Result<String, Error> {
        if !is_word(key) {
            return Err(Error::Configuration(format!("{key:?} is no name of a secret: letters, digits, - and _ only")));
        }
        Ok(format!("{}/secrets/{key}", self.parent()?))
    }

    async fn version(&self, key: &str, version: &str) -> Result<Payload, Error> {
        if !is_word(version) {
            return Err(Error::Configuration(format!("{version:?} is no version of a secret")));
        }
        let name = format!("{}/versions/{version}", self.name(key)?);
        let answer = self.client().await?.access_secret_version().set_name(name).send().await;
        let answer = answer.map_err(|error| told(&error, key))?;
        let payload = answer.payload.unwrap_or_default();
        // The library does not look at the checksum that the service sends.
        if payload.data_crc32c.is_some_and(|sum| sum != i64::from(crc32c(&payload.data))) {
            return Err(Error::Malformed { key: key.to_owned(), why: "its checksum is wrong" });
        }
        let version = answer.name.rsplit('/').next().map(ToOwned::to_owned);
        Ok(Payload::bytes(payload.data.to_vec(), version))
    }

    /// The newest version that can be read.
    async fn newest(&self, key: &str) -> Result<Payload, Error> {
        let mut versions = self
            .client()
            .await?
            .list_secret_versions()
            .set_parent(self.name(key)?)
            .set_filter("state:ENABLED")
            .by_item();
        let mut newest: Option<(u64, String)> = None;
        while let Some(version) = versions.next().await {
            let version = version.map_err(|error| told(&error, key))?;
            let number = version.name.rsplit('/').next().and_then(|number| number.parse::<u64>().ok());
            let is_newer = |number: u64| newest.as_ref().is_none_or(|(known, _)| number > *known);
            if let Some(number) = number.filter(|number| version.state == State::Enabled && is_newer(*number)) {
                newest = Some((number, number.to_string()));
            }
        }
        let (_, version) = newest.ok_or_else(|| Error::Unavailable { key: key.to_owned() })?;
        self.version(key, &version).await
    }

    async fn secret(&self, key: &str) -> Result<Secret, Error> {
        let answer = self.client().await?.get_secret().set_name(self.name(key)?).send().await;
        answer.map_err(|error| told(&error, key))
    }

    async fn standing(&self, key: &str) -> Result<Option<Secret>, Error> {
        match self.secret(key).await {
            Ok(secret) => Ok(Some(secret)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn current(&self, key: &str) -> Result<Option<SecretBytes>, Error> {
        match self.version(key, "latest").await {
            Ok(payload) => Ok(Some(payload.whole())),
            Err(Error::NotFound { .. } | Error::Unavailable { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Who we are to Google.
pub(super) fn login(auth: Option<&GcpAuth>, project: Option<&str>, resolved: &Resolved) -> Result<Credentials, Error> {
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
        return of_gke(identity, project, resolved);
    }
    if let Some(federation) = &auth.workload_identity_federation {
        return of_federation(federation, resolved);
    }
    resolved.may_be_ambient()?;
    google_cloud_auth::credentials::Builder::default()
        .with_scopes([SCOPE])
        .build()
        .map_err(|_| wrong("our own pod has no identity of Google"))
}

fn of_gke(identity: &GcpWorkloadIdentity, project: Option<&str>, resolved: &Resolved) -> Result<Credentials, Error> {
    let account = resolved.account(&identity.service_account_ref)?;
    let project = identity.cluster_project_id.as_deref().or(project);
    let (Some(project), Some(location), Some(name)) =
        (project, identity.cluster_location.as_deref(), identity.cluster_name.as_deref())
    else {
        return Err(Error::Configuration(
            "auth.workloadIdentity needs clusterProjectID (or projectID), clusterLocation and clusterName".to_owned(),
        ));
    };
    let cluster =
        format!("https://container.googleapis.com/v1/projects/{project}/locations/{location}/clusters/{name}");
    let audience = format!("identitynamespace:{project}.svc.id.goog:{cluster}");
    exchange(account.token.clone(), audience, EXCHANGE.to_owned(), account.annotations.get(EMAIL).cloned())
}

fn of_federation(federation: &GcpFederation, resolved: &Resolved) -> Result<Credentials, Error> {
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
            let text = resolved.config_maps.get(reference).ok_or_else(|| super::unresolved("ConfigMap"))?;
            serde_json::from_str(text).map_err(|_| wrong("credConfig is no JSON"))?
        }
    };
    let Some(account) = &federation.service_account_ref else {
        return Err(wrong("this version exchanges the token of a serviceAccountRef only"));
    };
    let audience =
        federation.audience.clone().or(configuration.audience).ok_or_else(|| wrong("it names no audience"))?;
    let token_url = configuration.token_url.unwrap_or_else(|| EXCHANGE.to_owned());
    http::address(&token_url)?;
    let of_url = configuration.service_account_impersonation_url.as_deref().and_then(|url| {
        let (_, name) = url.rsplit_once('/')?;
        name.strip_suffix(":generateAccessToken").map(ToOwned::to_owned)
    });
    let email = federation.gcp_service_account_email.clone().or(of_url);
    exchange(resolved.account(account)?.token.clone(), audience, token_url, email)
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

/// Letters, digits, dashes and underscores: nothing that leads to another place of the service.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Google's error, without what it may carry.
fn told(error: &google_cloud_gax::error::Error, key: &str) -> Error {
    let denied = || Error::PermissionDenied { path: key.to_owned(), role: None };
    if error.is_authentication() {
        return denied();
    }
    if let Some(status) = error.status() {
        return match status.code {
            Code::NotFound => Error::NotFound { key: key.to_owned() },
            Code::PermissionDenied | Code::Unauthenticated => denied(),
            Code::ResourceExhausted => Error::Throttled,
            Code::FailedPrecondition => Error::Unavailable { key: key.to_owned() },
            Code::Aborted | Code::AlreadyExists => Error::Conflict { key: key.to_owned() },
            Code::Unavailable | Code::DeadlineExceeded => Error::Unreachable {
                server: "Google Secret Manager".to_owned(),
                why: "it does not serve now".to_owned(),
            },
            _ => Error::Other(error.http_status_code().unwrap_or(500)),
        };
    }
    match error.http_status_code() {
        Some(401 | 403) => denied(),
        Some(429) => Error::Throttled,
        // Not the service's own word: says nothing about the key.
        Some(404) => Error::NoEngine { path: key.to_owned() },
        Some(status) => Error::Other(status),
        None if error.is_timeout() || error.is_connect() || error.is_io() || error.is_transport() => {
            http::unreachable("Google Secret Manager", error)
        }
        None => Error::Malformed { key: key.to_owned(), why: "it is not what Google's API defines" },
    }
}

/// The checksum that Google sends along: CRC-32 of Castagnoli.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 })
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[async_trait]
impl Provider for GcpSmProvider {
    async fn fetch(&self, reference: &RemoteRef) -> Result<Payload, Error> {
        let key = &reference.key;
        if reference.metadata_policy == Some(MetadataPolicy::Fetch) {
            let secret = self.secret(key).await?;
            let sorted = |texts: HashMap<String, String>| texts.into_iter().collect::<BTreeMap<_, _>>();
            let both = json!({ "annotations": sorted(secret.annotations), "labels": sorted(secret.labels) });
            return Ok(Payload::bytes(both.to_string(), None));
        }
        let asked = reference.version.as_deref().filter(|version| !version.is_empty());
        match self.version(key, asked.unwrap_or("latest")).await {
            Err(Error::Unavailable { .. })
                if asked.is_none() && self.spec.secret_version_selection_policy == VersionSelection::LatestOrFetch =>
            {
                self.newest(key).await
            }
            other => other,
        }
    }

    fn value(&self, payload: &Payload, reference: &RemoteRef) -> Result<SecretBytes, Error> {
        let Some(property) = reference.property.as_deref().filter(|property| !property.is_empty()) else {
            return Ok(payload.whole());
        };
        let wrong = |error| Error::Value { key: reference.key.clone(), error };
        let text = payload.text(&reference.key)?;
        if reference.metadata_policy == Some(MetadataPolicy::Fetch) {
            // Names of annotations hold dots.
            let both: Value = serde_json::from_str(text).unwrap_or_default();
            let (part, name) = property.split_once('.').unwrap_or((property, ""));
            let found = if name.is_empty() { both.get(part) } else { both.get(part).and_then(|part| part.get(name)) };
            return found
                .map(|found| values::text(found).into())
                .ok_or_else(|| wrong(ValueError::NoProperty(property.to_owned())));
        }
        if serde_json::from_str::<&serde_json::value::RawValue>(text).is_err() {
            return Err(wrong(ValueError::NotAMap));
        }
        values::property_of_text(text, property, Dots::InNamesFirst).map_err(wrong)
    }

    fn map(&self, payload: &Payload, reference: &RemoteRef) -> Result<Vec<(String, SecretBytes)>, Error> {
        let entries = values::entries(self.value(payload, reference)?.expose());
        entries.map_err(|error| Error::Value { key: reference.key.clone(), error })
    }

    async fn find(&self, find: &Find) -> Result<FetchedMap, Error> {
        let pattern = find.name.as_ref().map(|name| Pattern::new(name.regexp.as_deref().unwrap_or_default()));
        let pattern =
            pattern.transpose().map_err(|error| Error::Configuration(format!("find.name.regexp: {error}")))?;
        let tags = find.tags.clone().unwrap_or_default();
        if pattern.is_none() && tags.is_empty() {
            return Err(Error::Configuration("find needs a name or tags".to_owned()));
        }
        let path = find.path.as_deref().filter(|path| !path.is_empty());
        let mut filters: Vec<String> = tags.iter().map(|(key, value)| format!("labels.{key}={value}")).collect();
        filters.extend(path.map(|path| format!("name:{path}")));
        let mut secrets =
            self.client().await?.list_secrets().set_parent(self.parent()?).set_filter(filters.join(" AND ")).by_item();
        let mut names = Vec::new();
        while let Some(secret) = secrets.next().await {
            let secret = secret.map_err(|error| told(&error, "secretmanager.secrets.list"))?;
            let name = secret.name.rsplit('/').next().unwrap_or_default().to_owned();
            let has_tags = tags.iter().all(|(key, value)| secret.labels.get(key) == Some(value));
            let is_below = path.is_none_or(|path| name.contains(path));
            if has_tags && is_below && pattern.as_ref().is_none_or(|pattern| pattern.matches(&name)) {
                names.push(name);
            }
        }
        let strategy = find.conversion_strategy.unwrap_or_default();
        let mut values = BTreeMap::new();
        for name in names {
            let payload = match self.fetch(&RemoteRef { key: name.clone(), ..RemoteRef::default() }).await {
                Ok(payload) => payload,
                // Listed, and without a version.
                Err(Error::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            };
            let key = values::convert_key(&name, strategy);
            if values.insert(key.clone(), payload.whole()).is_some() {
                return Err(Error::Value { key: name, error: ValueError::Collision(key) });
            }
        }
        Ok(FetchedMap { values: values.into_iter().collect(), version: None })
    }

    /// That we are somebody, and that the client can be made.
    async fn validate(&self) -> Result<(), Error> {
        self.parent()?;
        self.client().await?;
        let headers = self.credentials.headers(Default::default()).await;
        headers.map(drop).map_err(|error| match error.is_transient() {
            true => http::unreachable("Google's login", &error),
            false => Error::PermissionDenied { path: "a token of Google".to_owned(), role: None },
        })
    }

    fn writer(&self) -> Option<&dyn Writer> {
        Some(self)
    }
}

/// `metadata.spec` of a pushed entry.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct PushSettings {
    labels: HashMap<String, String>,
    annotations: HashMap<String, String>,
}

fn is_ours(secret: &Secret) -> bool {
    secret.labels.get(MANAGED_BY).is_some_and(|manager| manager == MANAGER)
}

#[async_trait]
impl Writer for GcpSmProvider {
    async fn exists(&self, reference: &PushRef) -> Result<bool, Error> {
        Ok(self.standing(&reference.remote_key).await?.is_some())
    }

    async fn push(&self, reference: &PushRef, value: PushValue<'_>) -> Result<(), Error> {
        let key = &reference.remote_key;
        let settings: PushSettings = reference.settings()?;
        let before = match self.standing(key).await? {
            Some(secret) if !is_ours(&secret) => return Err(Error::NotManaged { key: key.clone() }),
            Some(_) => self.current(key).await?,
            None => {
                let mut labels = settings.labels;
                labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
                let everywhere = Replication::new().set_automatic(replication::Automatic::new());
                let mut secret = Secret::new().set_labels(labels).set_annotations(settings.annotations);
                if self.spec.location.is_none() {
                    secret = secret.set_replication(everywhere);
                }
                let made = self.client().await?.create_secret().set_parent(self.parent()?);
                let made = made.set_secret_id(key).set_secret(secret).send().await;
                made.map_err(|error| told(&error, key))?;
                None
            }
        };
        let wanted = value.merged(before.as_ref(), reference)?;
        if before.as_ref() == Some(&wanted) {
            return Ok(());
        }
        let payload = SecretPayload::new().set_data(wanted.expose().to_vec());
        let payload = payload.set_data_crc32c(i64::from(crc32c(wanted.expose())));
        let added = self.client().await?.add_secret_version().set_parent(self.name(key)?).set_payload(payload);
        added.send().await.map(drop).map_err(|error| told(&error, key))
    }

    async fn delete(&self, reference: &PushRef) -> Result<(), Error> {
        let key = &reference.remote_key;
        let Some(_) = self.standing(key).await?.filter(is_ours) else { return Ok(()) };
        match self.client().await?.delete_secret().set_name(self.name(key)?).send().await {
            Ok(()) => Ok(()),
            Err(error) => match told(&error, key) {
                Error::NotFound { .. } => Ok(()),
                other => Err(other),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn names_stay_below_their_project() {
        for (name, is) in [("db-password_1", true), ("", false), ("a/b", false), ("../x", false), ("a?b", false)] {
            assert_eq!(is_word(name), is, "{name}");
        }
    }
}
