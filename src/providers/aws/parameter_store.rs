//! AWS Systems Manager Parameter Store.

use std::collections::BTreeMap;

use async_trait::async_trait;
use seal::SecretBytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::secrets_manager::{map, value};
use super::{Caller, Identity, prefixed};
use crate::api::external_secret::{Find, MetadataPolicy, RemoteRef};
use crate::api::secret_store::Aws;
use crate::providers::{
    Endpoints, Error, FetchedMap, MANAGED_BY, MANAGER, Payload, Provider, PushRef, PushValue, Writer, json_of, pattern,
};
use crate::values::Pattern;

/// Parameters that one call may name.
const BATCH: usize = 10;

pub(super) struct ParameterStore {
    caller: Caller,
    prefix: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    name: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    version: u64,
    #[serde(default, rename = "ARN")]
    arn: String,
    #[serde(default)]
    r#type: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    parameters: Vec<Parameter>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: String,
}

impl From<Parameter> for Payload {
    fn from(parameter: Parameter) -> Self {
        Self::bytes(parameter.value, Some(parameter.version.to_string()))
    }
}

impl ParameterStore {
    pub(super) fn new(aws: &Aws, identity: Identity, endpoints: &Endpoints) -> Result<Self, Error> {
        let caller = Caller::new(identity, "ssm", "AmazonSSM", endpoints.ssm.as_deref())?;
        Ok(Self { caller, prefix: aws.prefix.clone() })
    }

    fn name(&self, key: &str) -> String {
        prefixed(self.prefix.as_deref(), key)
    }

    async fn parameter(&self, key: &str, version: Option<&str>) -> Result<Parameter, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            parameter: Parameter,
        }
        let name = match version.filter(|version| !version.is_empty()) {
            Some(version) => format!("{}:{version}", self.name(key)),
            None => self.name(key),
        };
        let body = json!({ "Name": name, "WithDecryption": true });
        let answer: Answer = self.caller.call("GetParameter", &body, key).await?;
        Ok(answer.parameter)
    }

    async fn tags(&self, key: &str) -> Result<BTreeMap<String, String>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            #[serde(default)]
            tag_list: Vec<Tag>,
        }
        let body = json!({ "ResourceType": "Parameter", "ResourceId": self.name(key) });
        let answer: Answer = self.caller.call("ListTagsForResource", &body, key).await?;
        Ok(answer.tag_list.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    /// Values of several parameters by full name, for those that are there.
    async fn batch(&self, names: &[String]) -> Result<Vec<Parameter>, Error> {
        let mut found = Vec::new();
        for names in names.chunks(BATCH) {
            let body = json!({ "Names": names, "WithDecryption": true });
            let page: Page = self.caller.call("GetParameters", &body, "a batch").await?;
            found.extend(page.parameters);
        }
        Ok(found)
    }

    async fn pages(&self, operation: &str, mut body: Value) -> Result<Vec<Parameter>, Error> {
        let mut found = Vec::new();
        loop {
            let page: Page = self.caller.call(operation, &body, &format!("ssm:{operation}")).await?;
            found.extend(page.parameters);
            match page.next_token {
                Some(next) => body["NextToken"] = next.into(),
                None => return Ok(found),
            }
        }
    }

    async fn find_by_name(&self, pattern: &Pattern, path: &str) -> Result<Vec<Parameter>, Error> {
        let body = json!({ "Path": path, "Recursive": true, "WithDecryption": true, "MaxResults": BATCH });
        match self.pages("GetParametersByPath", body).await {
            Ok(mut found) => {
                found.retain(|parameter| pattern.matches(&parameter.name));
                Ok(found)
            }
            // Some policies allow each parameter, and not their hierarchy.
            Err(Error::PermissionDenied { .. }) => {
                let filters = if path == "/" { json!([]) } else { by_path(path) };
                let listed = self.pages("DescribeParameters", json!({ "ParameterFilters": filters })).await?;
                let names: Vec<_> =
                    listed.into_iter().map(|parameter| parameter.name).filter(|name| pattern.matches(name)).collect();
                self.batch(&names).await
            }
            Err(error) => Err(error),
        }
    }

    async fn find_by_tags(&self, tags: &BTreeMap<String, String>, path: Option<&str>) -> Result<Vec<Parameter>, Error> {
        let mut filters: Vec<Value> =
            tags.iter().map(|(key, value)| json!({ "Key": format!("tag:{key}"), "Values": [value] })).collect();
        if let Some(path) = path {
            filters.extend(by_path(path).as_array().cloned().unwrap_or_default());
        }
        let listed = self.pages("DescribeParameters", json!({ "ParameterFilters": filters })).await?;
        let names: Vec<_> = listed.into_iter().map(|parameter| parameter.name).collect();
        self.batch(&names).await
    }

    async fn standing(&self, key: &str) -> Result<Option<Parameter>, Error> {
        match self.parameter(key, None).await {
            Ok(parameter) => Ok(Some(parameter)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn is_ours(&self, key: &str) -> Result<bool, Error> {
        Ok(self.tags(key).await?.get(MANAGED_BY).is_some_and(|manager| manager == MANAGER))
    }

    async fn put(&self, key: &str, value: &SecretBytes, kind: &str, more: Value) -> Result<(), Error> {
        let text = std::str::from_utf8(value.expose())
            .map_err(|_| Error::Configuration(format!("{key}: a parameter is text, and the value is none")))?;
        let mut body = json!({ "Name": self.name(key), "Value": text, "Type": kind });
        if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
            body.extend(more.clone());
        }
        self.caller.call::<Value>("PutParameter", &body, key).await.map(drop)
    }
}

fn by_path(path: &str) -> Value {
    json!([{ "Key": "Path", "Option": "Recursive", "Values": [path] }])
}

/// `metadata.spec` of a pushed entry.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct PushSettings {
    #[serde(alias = "parameterStoreType")]
    secret_type: Option<String>,
    #[serde(alias = "kmsKeyId", rename = "kmsKeyID", alias = "parameterStoreKeyID")]
    kms_key_id: Option<String>,
    description: Option<String>,
    tags: BTreeMap<String, String>,
}

#[async_trait]
impl Provider for ParameterStore {
    async fn fetch(&self, reference: &RemoteRef) -> Result<Payload, Error> {
        if reference.metadata_policy == Some(MetadataPolicy::Fetch) {
            let tags = self.tags(&reference.key).await?.into_iter().map(|(key, value)| (key, value.into())).collect();
            return Ok(Payload::bytes(json_of(&tags), None));
        }
        self.parameter(&reference.key, reference.version.as_deref()).await.map(Payload::from)
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
        // What the batch does not bring is asked for by itself, and tells why.
        let found = if names.len() > 1 { self.batch(&names).await.unwrap_or_default() } else { Vec::new() };
        let one = async |reference: &RemoteRef| {
            let name = self.name(&reference.key);
            let known = found.iter().find(|parameter| parameter.name == name || parameter.arn == name);
            match known.filter(|_| is_plain(&reference)) {
                Some(known) => Ok(Payload::bytes(known.value.clone(), Some(known.version.to_string()))),
                None => self.fetch(reference).await,
            }
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
        let tags = find.tags.as_ref().filter(|tags| !tags.is_empty());
        let found = match (pattern(find)?, tags) {
            (Some(pattern), _) => self.find_by_name(&pattern, find.path.as_deref().unwrap_or("/")).await?,
            (None, Some(tags)) => self.find_by_tags(tags, find.path.as_deref()).await?,
            (None, None) => return Err(Error::Configuration("find needs a name or tags".to_owned())),
        };
        let values: BTreeMap<_, _> =
            found.into_iter().map(|parameter| (parameter.name, parameter.value.into())).collect();
        Ok(FetchedMap { values: values.into_iter().collect(), version: None })
    }

    /// As upstream: that we are somebody. What we may read, AWS does not tell.
    async fn validate(&self) -> Result<(), Error> {
        self.caller.identity.credentials().await.map(drop)
    }

    fn writer(&self) -> Option<&dyn Writer> {
        Some(self)
    }
}

#[async_trait]
impl Writer for ParameterStore {
    async fn exists(&self, reference: &PushRef) -> Result<bool, Error> {
        Ok(self.standing(&reference.remote_key).await?.is_some())
    }

    async fn push(&self, reference: &PushRef, value: PushValue<'_>) -> Result<(), Error> {
        let key = &reference.remote_key;
        let settings: PushSettings = reference.settings()?;
        let kind = settings.secret_type.clone().unwrap_or_else(|| "String".to_owned());
        let mut more = json!({});
        if let Some(id) = settings.kms_key_id.filter(|_| kind == "SecureString") {
            more["KeyId"] = id.into();
        }
        if let Some(text) = settings.description {
            more["Description"] = text.into();
        }
        let Some(standing) = self.standing(key).await? else {
            let mut tags = settings.tags;
            tags.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
            let tag = |(key, value): (String, String)| json!({ "Key": key, "Value": value });
            more["Tags"] = tags.into_iter().map(tag).collect();
            return self.put(key, &value.merged(None, reference)?, &kind, more).await;
        };
        if !self.is_ours(key).await? {
            return Err(Error::NotManaged { key: key.clone() });
        }
        let before = SecretBytes::from(standing.value);
        let wanted = value.merged(Some(&before), reference)?;
        if wanted == before && standing.r#type == kind {
            return Ok(());
        }
        more["Overwrite"] = true.into();
        self.put(key, &wanted, &kind, more).await
    }

    async fn delete(&self, reference: &PushRef) -> Result<(), Error> {
        let key = &reference.remote_key;
        let Some(standing) = self.standing(key).await? else { return Ok(()) };
        if !self.is_ours(key).await? {
            return Ok(());
        }
        let before = SecretBytes::from(standing.value);
        if let Some(rest) = reference.without(&before)? {
            let more = json!({ "Overwrite": true });
            return if rest == before { Ok(()) } else { self.put(key, &rest, &standing.r#type, more).await };
        }
        match self.caller.call::<Value>("DeleteParameter", &json!({ "Name": self.name(key) }), key).await {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
