//! AWS Secrets Manager.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::primitives::Blob;
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType, SecretListEntry, Tag};
use seal::SecretBytes;
use serde::Deserialize;

use super::bounded::Bounded;
use super::identity::told;
use super::{Identity, prefixed};
use crate::api::external_secret::{Find, MetadataPolicy, RemoteRef};
use crate::api::secret_store::{Aws, SecretsManagerSettings};
use crate::providers::{
    Endpoints, Error, FetchedMap, MANAGED_BY, MANAGER, Payload, Provider, PushRef, PushValue, Writer, json_of, pattern,
};
use crate::values::{self, Dots};

/// Secrets that one batch may name.
const BATCH: usize = 20;

pub(super) struct SecretsManager {
    client: Client,
    identity: Identity,
    prefix: Option<String>,
    settings: SecretsManagerSettings,
    /// Batches need a permission of their own: without it they are not tried again.
    no_batch: AtomicBool,
}

impl SecretsManager {
    pub(super) fn new(aws: &Aws, identity: Identity, endpoints: &Endpoints) -> Self {
        let mut config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(aws.region.clone()))
            .credentials_provider(identity.clone())
            .interceptor(Bounded);
        config.set_endpoint_url(endpoints.secrets_manager.clone());
        Self {
            client: Client::from_conf(config.build()),
            identity,
            prefix: aws.prefix.clone(),
            settings: aws.secrets_manager.clone().unwrap_or_default(),
            no_batch: AtomicBool::new(false),
        }
    }

    fn name(&self, key: &str) -> String {
        prefixed(self.prefix.as_deref(), key)
    }

    async fn get(&self, key: &str, version: Option<&str>) -> Result<Payload, Error> {
        let mut call = self.client.get_secret_value().secret_id(self.name(key));
        call = match version.filter(|version| !version.is_empty()) {
            None => call.version_stage("AWSCURRENT"),
            Some(version) => match version.strip_prefix("uuid/") {
                Some(id) => call.version_id(id),
                None => call.version_stage(version),
            },
        };
        let answer = call.send().await.map_err(|error| told(&error, key, self.identity.role()))?;
        payload(key, answer.secret_string, answer.secret_binary, answer.version_id)
    }

    async fn tags(&self, key: &str) -> Result<BTreeMap<String, String>, Error> {
        let call = self.client.describe_secret().secret_id(self.name(key));
        let answer = call.send().await.map_err(|error| told(&error, key, self.identity.role()))?;
        Ok(tag_map(answer.tags()))
    }

    /// Values of several secrets by full name, for those that are there.
    async fn batch(&self, names: &[String]) -> Result<BTreeMap<String, Payload>, Error> {
        let mut found = BTreeMap::new();
        for names in names.chunks(BATCH) {
            let mut next = None;
            loop {
                let call = self.client.batch_get_secret_value().set_secret_id_list(Some(names.to_vec()));
                let answer = call.set_next_token(next).send().await;
                let answer = answer.map_err(|error| told(&error, "a batch", self.identity.role()))?;
                for error in answer.errors() {
                    let name = error.secret_id().unwrap_or("a secret");
                    match super::refused(error.error_code().unwrap_or_default(), 400, name, self.identity.role()) {
                        Error::NotFound { .. } => {}
                        other => return Err(other),
                    }
                }
                for value in answer.secret_values.unwrap_or_default() {
                    let name = value.name.unwrap_or_default();
                    let read = payload(&name, value.secret_string, value.secret_binary, value.version_id)?;
                    found.insert(value.arn.unwrap_or_default(), read.clone());
                    found.insert(name, read);
                }
                next = answer.next_token;
                if next.is_none() {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// All secrets that the service itself says match.
    async fn list(&self, filters: Vec<Filter>) -> Result<Vec<SecretListEntry>, Error> {
        let call = self.client.list_secrets().set_filters(Some(filters).filter(|filters| !filters.is_empty()));
        let mut pages = call.max_results(100).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| told(&error, "secretsmanager:ListSecrets", self.identity.role()))?;
            found.extend(page.secret_list.unwrap_or_default());
        }
        Ok(found)
    }

    async fn standing(&self, key: &str) -> Result<Option<SecretBytes>, Error> {
        match self.get(key, None).await {
            Ok(payload) => Ok(Some(payload.whole())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn put(&self, key: &str, value: &SecretBytes, settings: &PushSettings) -> Result<(), Error> {
        let (text, bytes) = settings.form(key, value)?;
        let call = self.client.put_secret_value().secret_id(self.name(key));
        let sent = call.set_secret_string(text).set_secret_binary(bytes).send().await;
        sent.map(drop).map_err(|error| told(&error, key, self.identity.role()))
    }

    async fn create(&self, key: &str, value: &SecretBytes, settings: &PushSettings) -> Result<(), Error> {
        let (text, bytes) = settings.form(key, value)?;
        let mut tags = settings.tags.clone();
        tags.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
        let tags = tags.into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
        let call = self.client.create_secret().name(self.name(key)).set_tags(Some(tags));
        let call = call.set_kms_key_id(settings.kms_key_id.clone()).set_description(settings.description.clone());
        let sent = call.set_secret_string(text).set_secret_binary(bytes).send().await;
        sent.map(drop).map_err(|error| told(&error, key, self.identity.role()))
    }
}

fn payload(key: &str, text: Option<String>, bytes: Option<Blob>, version: Option<String>) -> Result<Payload, Error> {
    let value: SecretBytes = match (text, bytes) {
        (Some(text), _) => text.into(),
        (None, Some(bytes)) => bytes.into_inner().into(),
        (None, None) => return Err(Error::Malformed { key: key.to_owned(), why: "it holds neither text nor bytes" }),
    };
    Ok(Payload::bytes(value, version))
}

fn tag_map(tags: &[Tag]) -> BTreeMap<String, String> {
    let pair = |tag: &Tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()));
    tags.iter().filter_map(pair).collect()
}

fn filter(key: FilterNameStringType, value: &str) -> Filter {
    Filter::builder().key(key).values(value).build()
}

/// `metadata.spec` of a pushed entry.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct PushSettings {
    secret_push_format: Format,
    #[serde(alias = "kmsKeyID")]
    kms_key_id: Option<String>,
    description: Option<String>,
    tags: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Binary,
    String,
}

impl PushSettings {
    fn form(&self, key: &str, value: &SecretBytes) -> Result<(Option<String>, Option<Blob>), Error> {
        match self.secret_push_format {
            Format::Binary => Ok((None, Some(Blob::new(value.expose())))),
            Format::String => String::from_utf8(value.expose().to_vec())
                .map(|text| (Some(text), None))
                .map_err(|_| Error::Configuration(format!("{key}: secretPushFormat string, but the value is no text"))),
        }
    }
}

/// The value by property: a name with dots before a path of them. Also Parameter Store's.
pub(super) fn value(payload: &Payload, reference: &RemoteRef) -> Result<SecretBytes, Error> {
    let Some(property) = reference.property.as_deref().filter(|property| !property.is_empty()) else {
        return Ok(payload.whole());
    };
    let found = values::property_of_text(payload.text(&reference.key)?, property, Dots::InNamesFirst);
    found.map_err(|error| Error::Value { key: reference.key.clone(), error })
}

/// The same as a map. Also Parameter Store's.
pub(super) fn map(payload: &Payload, reference: &RemoteRef) -> Result<Vec<(String, SecretBytes)>, Error> {
    let entries = values::entries(value(payload, reference)?.expose());
    entries.map_err(|error| Error::Value { key: reference.key.clone(), error })
}

#[async_trait]
impl Provider for SecretsManager {
    async fn fetch(&self, reference: &RemoteRef) -> Result<Payload, Error> {
        self.identity.credentials().await?;
        if reference.metadata_policy == Some(MetadataPolicy::Fetch) {
            let tags = self.tags(&reference.key).await?.into_iter().map(|(key, value)| (key, value.into())).collect();
            return Ok(Payload::bytes(json_of(&tags), None));
        }
        self.get(&reference.key, reference.version.as_deref()).await
    }

    fn has_batches(&self) -> bool {
        true
    }

    async fn fetch_all(&self, references: &[RemoteRef]) -> Vec<Result<Payload, Error>> {
        let is_plain = |reference: &&RemoteRef| {
            reference.version.as_deref().is_none_or(str::is_empty)
                && reference.metadata_policy != Some(MetadataPolicy::Fetch)
        };
        let names: Vec<_> = references.iter().filter(is_plain).map(|reference| self.name(&reference.key)).collect();
        let mut found = BTreeMap::new();
        if names.len() > 1 && !self.no_batch.load(Ordering::Relaxed) && self.identity.credentials().await.is_ok() {
            match self.batch(&names).await {
                Ok(values) => found = values,
                Err(Error::PermissionDenied { .. }) => self.no_batch.store(true, Ordering::Relaxed),
                // Each is asked by itself, and tells why.
                Err(_) => {}
            }
        }
        let one = async |reference: &RemoteRef| match found.get(&self.name(&reference.key)) {
            Some(payload) if is_plain(&reference) => Ok(payload.clone()),
            _ => self.fetch(reference).await,
        };
        futures::future::join_all(references.iter().map(one)).await
    }

    fn value(&self, payload: &Payload, reference: &RemoteRef) -> Result<SecretBytes, Error> {
        value(payload, reference)
    }

    fn map(&self, payload: &Payload, reference: &RemoteRef) -> Result<Vec<(String, SecretBytes)>, Error> {
        map(payload, reference)
    }

    async fn find(&self, find: &Find) -> Result<FetchedMap, Error> {
        self.identity.credentials().await?;
        let tags = find.tags.clone().unwrap_or_default();
        let pattern = pattern(find)?;
        if pattern.is_none() && tags.is_empty() && find.path.is_none() {
            return Err(Error::Configuration("find needs a name, tags or a path".to_owned()));
        }
        let mut filters: Vec<_> = find.path.iter().map(|path| filter(FilterNameStringType::Name, path)).collect();
        for (key, value) in &tags {
            filters.push(filter(FilterNameStringType::TagKey, key));
            filters.push(filter(FilterNameStringType::TagValue, value));
        }
        // The service matches keys and values apart from each other, and prefixes; here they must be equal.
        let is_wanted = |entry: &SecretListEntry| {
            let (name, has) = (entry.name().unwrap_or_default(), tag_map(entry.tags()));
            pattern.as_ref().is_none_or(|pattern| pattern.matches(name))
                && find.path.as_ref().is_none_or(|path| name.starts_with(path.as_str()))
                && tags.iter().all(|(key, value)| has.get(key) == Some(value))
        };
        let listed = self.list(filters).await?;
        let names: Vec<_> = listed
            .iter()
            .filter(|entry| is_wanted(entry))
            .filter_map(|entry| entry.name().map(ToOwned::to_owned))
            .collect();
        let mut found = match self.batch(&names).await {
            Ok(found) => found,
            Err(Error::PermissionDenied { .. }) => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        let mut values = Vec::new();
        for name in names {
            let payload = match found.remove(&name) {
                Some(payload) => payload,
                None => match self.client.get_secret_value().secret_id(&name).send().await {
                    Ok(answer) => payload(&name, answer.secret_string, answer.secret_binary, answer.version_id)?,
                    Err(error) => match told(&error, &name, self.identity.role()) {
                        // Listed, and gone since.
                        Error::NotFound { .. } => continue,
                        other => return Err(other),
                    },
                },
            };
            values.push((name, payload.whole()));
        }
        values.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(FetchedMap { values, version: None })
    }

    /// As upstream: that we are somebody. What we may read, AWS does not tell.
    async fn validate(&self) -> Result<(), Error> {
        self.identity.credentials().await.map(drop)
    }

    fn writer(&self) -> Option<&dyn Writer> {
        Some(self)
    }
}

#[async_trait]
impl Writer for SecretsManager {
    async fn exists(&self, reference: &PushRef) -> Result<bool, Error> {
        Ok(self.standing(&reference.remote_key).await?.is_some())
    }

    async fn push(&self, reference: &PushRef, value: PushValue<'_>) -> Result<(), Error> {
        self.identity.credentials().await?;
        let key = &reference.remote_key;
        let settings: PushSettings = reference.settings()?;
        let Some(standing) = self.standing(key).await? else {
            return self.create(key, &value.merged(None, reference)?, &settings).await;
        };
        if self.tags(key).await?.get(MANAGED_BY).is_none_or(|manager| manager != MANAGER) {
            return Err(Error::NotManaged { key: key.clone() });
        }
        let wanted = value.merged(Some(&standing), reference)?;
        if wanted == standing { Ok(()) } else { self.put(key, &wanted, &settings).await }
    }

    async fn delete(&self, reference: &PushRef) -> Result<(), Error> {
        self.identity.credentials().await?;
        let key = &reference.remote_key;
        let Some(standing) = self.standing(key).await? else { return Ok(()) };
        if self.tags(key).await?.get(MANAGED_BY).is_none_or(|manager| manager != MANAGER) {
            return Ok(());
        }
        if let Some(rest) = reference.without(&standing)? {
            return if rest == standing { Ok(()) } else { self.put(key, &rest, &PushSettings::default()).await };
        }
        let call = self.client.delete_secret().secret_id(self.name(key));
        let call = match self.settings.force_delete_without_recovery {
            true => call.force_delete_without_recovery(true),
            false => call.set_recovery_window_in_days(self.settings.recovery_window_in_days),
        };
        match call.send().await.map_err(|error| told(&error, key, self.identity.role())) {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
