//! Google Secret Manager.

use std::collections::BTreeMap;
use std::collections::HashMap;

use async_trait::async_trait;
use google_cloud_auth::credentials::Credentials;
use google_cloud_gax::error::rpc::Code;
use google_cloud_gax::paginator::ItemPaginator;
use google_cloud_secretmanager_v1::client::SecretManagerService;
use google_cloud_secretmanager_v1::model::secret_version::State;
use google_cloud_secretmanager_v1::model::{Replication, Secret, SecretPayload, replication};
use seal::SecretBytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::{
    Endpoints, Error, FetchedMap, MANAGED_BY, MANAGER, Payload, Provider, PushRef, PushValue, Writer, http, pattern,
};
use crate::api::external_secret::{Find, MetadataPolicy, RemoteRef};
use crate::api::secret_store::{GcpSm, VersionSelection};
use crate::plan::{Credentials as Resolved, StoreAccess};
use crate::values::{self, Dots, ValueError};

mod login;

pub(super) use login::{VaultIdentity, login};

pub(super) struct GcpSmProvider {
    spec: GcpSm,
    endpoints: Endpoints,
    resolved: Resolved,
    opened: OnceCell<Opened>,
}

/// What takes a question or two to find out.
struct Opened {
    credentials: Credentials,
    client: SecretManagerService,
    /// Where secrets live.
    parent: String,
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
        let resolved = access.credentials.clone();
        let mut endpoints = endpoints.clone();
        endpoints.secret_manager = endpoints.secret_manager.or(regional);
        Ok(Self { spec: spec.clone(), endpoints, resolved, opened: OnceCell::new() })
    }

    async fn opened(&self) -> Result<&Opened, Error> {
        self.opened
            .get_or_try_init(|| async {
                let parent = self.parent().await?;
                let project = self.spec.project_id.as_deref();
                let credentials = login(self.spec.auth.as_ref(), project, &self.resolved, &self.endpoints).await?;
                let mut builder = SecretManagerService::builder().with_credentials(credentials.clone());
                if let Some(endpoint) = &self.endpoints.secret_manager {
                    builder = builder.with_endpoint(endpoint);
                }
                let built = builder.build().await;
                let client = built.map_err(|_| Error::Configuration("no client of Google can be made".to_owned()))?;
                Ok(Opened { credentials, client, parent })
            })
            .await
    }

    async fn client(&self) -> Result<&SecretManagerService, Error> {
        Ok(&self.opened().await?.client)
    }

    /// Where secrets live: without a project in the store it is the one that we run in.
    async fn parent(&self) -> Result<String, Error> {
        let project = match self.spec.project_id.clone().filter(|project| !project.is_empty()) {
            Some(project) => project,
            None => login::metadata("project/project-id").await?,
        };
        Ok(match self.spec.location.as_deref().filter(|location| !location.is_empty()) {
            Some(location) => format!("projects/{project}/locations/{location}"),
            None => format!("projects/{project}"),
        })
    }

    async fn name(&self, key: &str) -> Result<String, Error> {
        if !is_word(key) {
            return Err(Error::Configuration(format!("{key:?} is no name of a secret: letters, digits, - and _ only")));
        }
        Ok(format!("{}/secrets/{key}", self.opened().await?.parent))
    }

    async fn version(&self, key: &str, version: &str) -> Result<Payload, Error> {
        if !is_word(version) {
            return Err(Error::Configuration(format!("{version:?} is no version of a secret")));
        }
        let name = format!("{}/versions/{version}", self.name(key).await?);
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
            .set_parent(self.name(key).await?)
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
        let answer = self.client().await?.get_secret().set_name(self.name(key).await?).send().await;
        answer.map_err(|error| told(&error, key))
    }

    async fn standing(&self, key: &str) -> Result<Option<Secret>, Error> {
        match self.secret(key).await {
            Ok(secret) => Ok(Some(secret)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn add_version(&self, key: &str, value: &SecretBytes) -> Result<(), Error> {
        let payload = SecretPayload::new().set_data(value.expose().to_vec());
        let payload = payload.set_data_crc32c(i64::from(crc32c(value.expose())));
        let added = self.client().await?.add_secret_version().set_parent(self.name(key).await?).set_payload(payload);
        added.send().await.map(drop).map_err(|error| told(&error, key))
    }

    async fn current(&self, key: &str) -> Result<Option<SecretBytes>, Error> {
        match self.version(key, "latest").await {
            Ok(payload) => Ok(Some(payload.whole())),
            Err(Error::NotFound { .. } | Error::Unavailable { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Letters, digits, dashes and underscores: nothing that leads to another place of the service.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Google's error, without what it may carry.
fn told(error: &google_cloud_gax::error::Error, key: &str) -> Error {
    let denied = || Error::PermissionDenied { path: key.to_owned(), role: None };
    let throttled = || Error::Throttled(error.http_headers().and_then(http::asked_to_wait));
    if error.is_authentication() {
        return denied();
    }
    if let Some(status) = error.status() {
        return match status.code {
            Code::NotFound => Error::NotFound { key: key.to_owned() },
            Code::PermissionDenied | Code::Unauthenticated => denied(),
            Code::ResourceExhausted => throttled(),
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
        Some(429) => throttled(),
        // Not the service's own word: says nothing about the key.
        Some(404) => Error::NoEngine { path: key.to_owned() },
        Some(status @ 300..) => Error::Other(status),
        None if error.is_timeout() || error.is_connect() || error.is_io() || error.is_transport() => {
            http::unreachable("Google Secret Manager", error)
        }
        _ => Error::Malformed { key: key.to_owned(), why: "it is not what Google's API defines" },
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
        let pattern = pattern(find)?;
        let tags = find.tags.clone().unwrap_or_default();
        if pattern.is_none() && tags.is_empty() {
            return Err(Error::Configuration("find needs a name or tags".to_owned()));
        }
        let path = find.path.as_deref().filter(|path| !path.is_empty());
        let mut filters: Vec<String> = tags.iter().map(|(key, value)| format!("labels.{key}={value}")).collect();
        filters.extend(path.map(|path| format!("name:{path}")));
        let mut secrets = self
            .client()
            .await?
            .list_secrets()
            .set_parent(&self.opened().await?.parent)
            .set_filter(filters.join(" AND "))
            .by_item();
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
        let headers = self.opened().await?.credentials.headers(Default::default()).await;
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
                let made = self.client().await?.create_secret().set_parent(&self.opened().await?.parent);
                let made = made.set_secret_id(key).set_secret(secret).send().await;
                made.map_err(|error| told(&error, key))?;
                None
            }
        };
        let wanted = value.merged(before.as_ref(), reference)?;
        if before.as_ref() == Some(&wanted) {
            return Ok(());
        }
        self.add_version(key, &wanted).await
    }

    async fn delete(&self, reference: &PushRef) -> Result<(), Error> {
        let key = &reference.remote_key;
        let Some(_) = self.standing(key).await?.filter(is_ours) else { return Ok(()) };
        // Of a secret that several entries make up, only ours goes: upstream deletes it all.
        if let Some(before) = self.current(key).await?.filter(|_| reference.property().is_some())
            && let Some(rest) = reference.without(&before)?
        {
            return if rest == before { Ok(()) } else { self.add_version(key, &rest).await };
        }
        match self.client().await?.delete_secret().set_name(self.name(key).await?).send().await {
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
