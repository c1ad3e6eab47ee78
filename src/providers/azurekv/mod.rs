//! Azure Key Vault: secrets, and the public halves of keys and certificates.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::TokenCredential;
use azure_core::error::ErrorKind;
use azure_core::http::headers::RETRY_AFTER;
use azure_security_keyvault_secrets::models::{SecretClientGetSecretOptions, SecretProperties, SetSecretParameters};
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::TryStreamExt;
use seal::SecretBytes;
use serde::Deserialize;
use serde_json::Value;

use super::{
    Error, FetchedMap, MANAGED_BY, MANAGER, Payload, Provider, PushRef, PushValue, Writer, http, json_of, pattern,
};
use crate::api::external_secret::{Find, MetadataPolicy, RemoteRef};
use crate::api::secret_store::{AzureEnvironment, AzureKv};
use crate::plan::StoreAccess;
use crate::values::{self, Dots, ValueError};

mod bounded;
mod login;

pub(super) use login::management_token;
use login::{credential, options, scope};

/// Version of the API of keys and certificates.
const API_VERSION: &str = "7.4";

pub(super) struct AzureKvProvider {
    vault: reqwest::Url,
    scope: String,
    secrets: SecretClient,
    credential: Arc<dyn TokenCredential>,
    http: reqwest::Client,
}

type Tags = BTreeMap<String, String>;

/// What a key names.
enum Kind {
    Secret,
    Certificate,
    Key,
}

impl AzureKvProvider {
    pub(super) fn new(spec: &AzureKv, access: &StoreAccess) -> Result<Self, Error> {
        let vault = http::address(&spec.vault_url)?;
        if vault.scheme() != "https" {
            return Err(Error::Configuration("vaultUrl must begin with https://".to_owned()));
        }
        let client = http::build(http::builder(None)?)?;
        let credential = credential(spec, &access.credentials, &options(&client, spec)?)?;
        let mut secret_options = SecretClientOptions { client_options: options(&client, spec)?, ..Default::default() };
        // A cloud of one's own has names of its own.
        secret_options.verify_challenge_resource = Some(spec.environment_type != AzureEnvironment::AzureStackCloud);
        let secrets = SecretClient::new(&spec.vault_url, Arc::clone(&credential), Some(secret_options))
            .map_err(|_| Error::Configuration("vaultUrl cannot be used".to_owned()))?;
        Ok(Self { vault, scope: scope(spec), secrets, credential, http: client })
    }

    async fn secret(&self, name: &str, version: Option<&str>) -> Result<(Payload, Tags), Error> {
        let options = SecretClientGetSecretOptions {
            secret_version: version.map(ToOwned::to_owned),
            ..SecretClientGetSecretOptions::default()
        };
        let answer = self.secrets.get_secret(name, Some(options)).await.map_err(|error| told(&error, name))?;
        let secret = answer.into_model().map_err(|error| told(&error, name))?;
        let version = secret.id.as_deref().and_then(|id| id.rsplit('/').next()).map(ToOwned::to_owned);
        let tags = secret.tags.unwrap_or_default().into_iter().collect();
        Ok((Payload::bytes(secret.value.unwrap_or_default(), version), tags))
    }

    /// A key or certificate, whose clients of their own would be for two calls.
    async fn object(&self, kind: &'static str, name: &str, version: Option<&str>) -> Result<Object, Error> {
        let token = self.credential.get_token(&[&self.scope], None).await.map_err(|error| told(&error, name))?;
        let mut url = self.vault.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend([kind, name]).extend(version);
        }
        let request = self.http.get(url).query(&[("api-version", API_VERSION)]).bearer_auth(token.token.secret());
        let server = self.vault.as_str();
        let answer = request.send().await.map_err(|error| http::unreachable(server, &error))?;
        let (status, pause) = (answer.status().as_u16(), http::asked_to_wait(answer.headers()));
        let body = http::body(answer, server, name).await?;
        if status != 200 {
            let code = serde_json::from_slice::<Value>(&body).ok();
            let code = code.as_ref().and_then(|body| body.pointer("/error/code")?.as_str()).unwrap_or_default();
            return Err(refused(status, code, name, pause));
        }
        serde_json::from_slice(&body)
            .map_err(|_| Error::Malformed { key: name.to_owned(), why: "it is not what Azure's API defines" })
    }

    async fn standing(&self, name: &str) -> Result<Option<(SecretBytes, Tags)>, Error> {
        match self.secret(name, None).await {
            Ok((payload, tags)) => Ok(Some((payload.whole(), tags))),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn set(&self, name: &str, value: &SecretBytes, tags: HashMap<String, String>) -> Result<(), Error> {
        let text = String::from_utf8(value.expose().to_vec())
            .map_err(|_| Error::Configuration(format!("{name}: a secret is text, and the value is none")))?;
        let parameters = SetSecretParameters { value: Some(text), tags: Some(tags), ..SetSecretParameters::default() };
        let body = parameters.try_into().map_err(|error| told(&error, name))?;
        self.secrets.set_secret(name, body, None).await.map(drop).map_err(|error| told(&error, name))
    }
}

#[derive(Deserialize)]
struct Object {
    cer: Option<String>,
    key: Option<Value>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

/// Azure's error, without what it may carry.
fn told(error: &azure_core::Error, key: &str) -> Error {
    match error.kind() {
        ErrorKind::HttpResponse { status, error_code, raw_response } => {
            let said = raw_response.as_ref().and_then(|answer| answer.headers().get_optional_str(&RETRY_AFTER));
            refused(u16::from(*status), error_code.as_deref().unwrap_or_default(), key, said.and_then(http::pause))
        }
        ErrorKind::Credential => {
            // Our own word, where it is ours; else that we were not let in.
            let ours = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Error>()).cloned();
            ours.unwrap_or_else(|| Error::PermissionDenied { path: "a token of Azure".to_owned(), role: None })
        }
        ErrorKind::Connection | ErrorKind::Io => http::unreachable("Azure Key Vault", error),
        _ => Error::Malformed { key: key.to_owned(), why: "it is not what Azure's API defines" },
    }
}

fn refused(status: u16, code: &str, key: &str, pause: Option<Duration>) -> Error {
    match (status, code) {
        (404, "SecretNotFound" | "CertificateNotFound" | "KeyNotFound") => Error::NotFound { key: key.to_owned() },
        // Not the service's own word: says nothing about the key.
        (404, _) => Error::NoEngine { path: key.to_owned() },
        (401 | 403, _) => Error::PermissionDenied { path: key.to_owned(), role: None },
        (409, _) => Error::Conflict { key: key.to_owned() },
        (429, _) => Error::Throttled(pause),
        (status, _) => Error::Other(status),
    }
}

/// Kind and name of a key.
fn parse(key: &str) -> Result<(Kind, &str), Error> {
    let (kind, name) = match key.split_once('/') {
        None => (Kind::Secret, key),
        Some(("secret", name)) => (Kind::Secret, name),
        Some(("cert", name)) => (Kind::Certificate, name),
        Some(("key", name)) => (Kind::Key, name),
        Some(_) => return Err(Error::Configuration(format!("{key:?} begins with neither secret/, cert/ nor key/"))),
    };
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_name {
        Ok((kind, name))
    } else {
        Err(Error::Configuration(format!("{key:?} is no name of a vault's object")))
    }
}

/// Tags as an `extract` hands them out: `NAME_TAG`, and for a tag that is a JSON object one for each of its fields.
fn fanned_out(name: &str, tags: &BTreeMap<String, SecretBytes>) -> BTreeMap<String, SecretBytes> {
    let mut out = BTreeMap::new();
    for (tag, value) in tags {
        match serde_json::from_slice::<BTreeMap<String, String>>(value.expose()) {
            Ok(fields) => {
                out.extend(fields.into_iter().map(|(field, value)| (format!("{name}_{tag}_{field}"), value.into())));
            }
            Err(_) => {
                out.insert(format!("{name}_{tag}"), value.clone());
            }
        }
    }
    out
}

fn wants_tags(reference: &RemoteRef) -> bool {
    reference.metadata_policy == Some(MetadataPolicy::Fetch)
}

#[async_trait]
impl Provider for AzureKvProvider {
    async fn fetch(&self, reference: &RemoteRef) -> Result<Payload, Error> {
        let (kind, name) = parse(&reference.key)?;
        let version = reference.version.as_deref().filter(|version| !version.is_empty());
        if version.is_some_and(|version| !version.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
            return Err(Error::Configuration(format!("{}: a version is letters and digits", reference.key)));
        }
        let wrong = || Error::Malformed { key: reference.key.clone(), why: "it is not what Azure's API defines" };
        let (content, tags) = match kind {
            Kind::Secret => {
                let (payload, tags) = self.secret(name, version).await?;
                if !wants_tags(reference) {
                    return Ok(payload);
                }
                (SecretBytes::default(), tags)
            }
            Kind::Certificate => {
                let object = self.object("certificates", name, version).await?;
                let der = object.cer.and_then(|text| STANDARD.decode(text).ok()).ok_or_else(wrong)?;
                (der.into(), object.tags)
            }
            Kind::Key => {
                let object = self.object("keys", name, version).await?;
                (object.key.ok_or_else(wrong)?.to_string().into(), object.tags)
            }
        };
        if wants_tags(reference) {
            let tags = tags.into_iter().map(|(key, value)| (key, value.into())).collect();
            return Ok(Payload::bytes(json_of(&tags), None));
        }
        Ok(Payload::bytes(content, None))
    }

    /// A path first, then a name with dots: the other way round than elsewhere.
    fn value(&self, payload: &Payload, reference: &RemoteRef) -> Result<SecretBytes, Error> {
        let Some(property) = reference.property.as_deref().filter(|property| !property.is_empty()) else {
            return Ok(payload.whole());
        };
        let wrong = |error| Error::Value { key: reference.key.clone(), error };
        let text = payload.text(&reference.key)?;
        if wants_tags(reference) {
            let tags: BTreeMap<String, String> = serde_json::from_str(text).unwrap_or_default();
            if let Some(value) = tags.get(property) {
                return Ok(value.clone().into());
            }
            let inner = property.split_once('.').and_then(|(tag, path)| values::pick(tags.get(tag)?, path));
            return inner.map(Into::into).ok_or_else(|| wrong(ValueError::NoProperty(property.to_owned())));
        }
        values::property_of_text(text, property, Dots::BetweenNamesFirst).map_err(wrong)
    }

    fn map(&self, payload: &Payload, reference: &RemoteRef) -> Result<Vec<(String, SecretBytes)>, Error> {
        let wrong = |error| Error::Value { key: reference.key.clone(), error };
        let (kind, name) = parse(&reference.key)?;
        if wants_tags(reference) {
            let tags = values::entries(payload.text(&reference.key)?.as_bytes()).map_err(wrong)?.into_iter().collect();
            let wanted = reference.property.as_deref().filter(|property| !property.is_empty());
            let wanted = wanted.map(|property| format!("{name}_{property}"));
            let all = fanned_out(name, &tags).into_iter();
            return Ok(all.filter(|(key, _)| wanted.as_ref().is_none_or(|wanted| key == wanted)).collect());
        }
        if !matches!(kind, Kind::Secret) {
            return Err(Error::Configuration(format!("{}: keys and certificates are no maps", reference.key)));
        }
        values::entries(self.value(payload, reference)?.expose()).map_err(wrong)
    }

    /// Over all enabled secrets; a path counts for nothing, as upstream.
    async fn find(&self, find: &Find) -> Result<FetchedMap, Error> {
        let pattern = pattern(find)?;
        let tags = find.tags.clone().unwrap_or_default();
        if pattern.is_none() && tags.is_empty() {
            return Err(Error::Configuration("find needs a name or tags".to_owned()));
        }
        let is_wanted = |properties: &SecretProperties, name: &str| {
            let enabled = properties.attributes.as_ref().and_then(|attributes| attributes.enabled).unwrap_or(true);
            let has = properties.tags.clone().unwrap_or_default();
            enabled
                && tags.iter().all(|(key, value)| has.get(key) == Some(value))
                && pattern.as_ref().is_none_or(|pattern| pattern.matches(name))
        };
        let listed = self.secrets.list_secret_properties(None).map_err(|error| told(&error, "secrets/list"))?;
        let listed: Vec<SecretProperties> = listed.try_collect().await.map_err(|error| told(&error, "secrets/list"))?;
        let mut values = BTreeMap::new();
        for properties in listed {
            let name = properties.id.as_deref().and_then(|id| id.rsplit('/').next()).unwrap_or_default();
            if !is_wanted(&properties, name) {
                continue;
            }
            match self.secret(name, None).await {
                Ok((payload, _)) => {
                    values.insert(name.to_owned(), payload.whole());
                }
                // Listed, and gone since.
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(FetchedMap { values: values.into_iter().collect(), version: None })
    }

    /// That Azure knows us.
    async fn validate(&self) -> Result<(), Error> {
        let token = self.credential.get_token(&[&self.scope], None).await;
        token.map(drop).map_err(|error| told(&error, "a token of Azure"))
    }

    fn writer(&self) -> Option<&dyn Writer> {
        Some(self)
    }
}

/// `metadata.spec` of a pushed entry.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct PushSettings {
    tags: HashMap<String, String>,
}

fn is_ours(tags: &Tags) -> bool {
    tags.get(MANAGED_BY).is_some_and(|manager| manager == MANAGER)
}

/// The name of a secret that may be written.
fn writable(reference: &PushRef) -> Result<&str, Error> {
    match parse(&reference.remote_key)? {
        (Kind::Secret, name) => Ok(name),
        _ => Err(Error::Configuration(format!("{}: this version writes secrets only", reference.remote_key))),
    }
}

#[async_trait]
impl Writer for AzureKvProvider {
    async fn exists(&self, reference: &PushRef) -> Result<bool, Error> {
        Ok(self.standing(writable(reference)?).await?.is_some())
    }

    async fn push(&self, reference: &PushRef, value: PushValue<'_>) -> Result<(), Error> {
        let name = writable(reference)?;
        let PushSettings { mut tags } = reference.settings()?;
        tags.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
        let standing = self.standing(name).await?;
        if standing.as_ref().is_some_and(|(_, tags)| !is_ours(tags)) {
            return Err(Error::NotManaged { key: name.to_owned() });
        }
        let before = standing.map(|(value, _)| value);
        let wanted = value.merged(before.as_ref(), reference)?;
        if before.as_ref() == Some(&wanted) {
            return Ok(());
        }
        match self.set(name, &wanted, tags).await {
            // Not to be found, and not free either.
            Err(Error::Conflict { key }) if before.is_none() => Err(Error::Leaving { key }),
            outcome => outcome,
        }
    }

    async fn delete(&self, reference: &PushRef) -> Result<(), Error> {
        let name = writable(reference)?;
        let Some((before, tags)) = self.standing(name).await?.filter(|(_, tags)| is_ours(tags)) else { return Ok(()) };
        // Of a secret that several entries make up, only ours goes: upstream deletes it all.
        if let Some(rest) = reference.without(&before)? {
            return if rest == before { Ok(()) } else { self.set(name, &rest, tags.into_iter().collect()).await };
        }
        match self.secrets.delete_secret(name, None).await.map_err(|error| told(&error, name)) {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_secrets_certificates_and_keys() {
        assert!(matches!(parse("db"), Ok((Kind::Secret, "db"))));
        assert!(matches!(parse("secret/db"), Ok((Kind::Secret, "db"))));
        assert!(matches!(parse("cert/tls"), Ok((Kind::Certificate, "tls"))));
        assert!(matches!(parse("key/sign"), Ok((Kind::Key, "sign"))));
        for wrong in ["", "secret/", "other/x", "a/../b", "a?b", "secret/a/b"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn tags_fan_out() {
        let tags = [("team", "kelp"), ("meta", r#"{"a":"1","b":"2"}"#)];
        let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned().into())).into();
        let names: Vec<_> = fanned_out("db", &tags).into_keys().collect();
        assert_eq!(names, ["db_meta_a", "db_meta_b", "db_team"]);
    }

    #[test]
    fn only_azures_own_word_for_absence_counts_as_absence() {
        assert!(matches!(refused(404, "SecretNotFound", "k", None), Error::NotFound { .. }));
        assert!(matches!(refused(404, "", "k", None), Error::NoEngine { .. }));
        assert!(matches!(refused(403, "Forbidden", "k", None), Error::PermissionDenied { .. }));
    }
}
