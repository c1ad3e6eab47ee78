//! Secrets of another namespace or cluster. The client is made from what the store says, never from our own.

use std::collections::BTreeMap;

use async_trait::async_trait;
use k8s_openapi::api::authorization::v1::SelfSubjectRulesReview;
use k8s_openapi::api::core::v1::Secret;
use reqwest::{Client, Method, Url};
use seal::SecretBytes;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Content, Endpoints, Error, FetchedMap, Payload, Provider, Writer, http, json_of, pattern};
use crate::api::external_secret::{Find, MetadataPolicy, RemoteRef, StoreKind};
use crate::api::secret_store::Kubernetes;
use crate::plan::StoreAccess;
use crate::values::{self, ValueError};

mod push;
mod way;

use way::{Login, Way};

/// Secrets that one page of a list holds, and that a search may look at.
const PAGE: usize = 50;
const MOST: usize = 5000;
/// Annotations travel with the values under this name, labels under the next: a Secret has no such keys.
const ANNOTATIONS: &str = "/annotations";
const LABELS: &str = "/labels";

pub(super) struct KubernetesProvider {
    server: Url,
    namespace: String,
    http: Client,
    login: Login,
    is_cluster_store: bool,
}

impl KubernetesProvider {
    pub(super) fn new(spec: &Kubernetes, access: &StoreAccess, endpoints: &Endpoints) -> Result<Self, Error> {
        let way = Way::new(spec, &access.credentials, endpoints)?;
        let server = http::address(&way.url)?;
        let mut builder = http::builder(way.authority.as_deref())?;
        if let Some((certificate, key)) = &way.certificate {
            builder = builder.identity(http::identity(certificate, key)?);
        }
        Ok(Self {
            server,
            namespace: spec.remote_namespace.clone(),
            http: http::build(builder)?,
            login: way.login,
            is_cluster_store: access.id.kind == StoreKind::ClusterSecretStore,
        })
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<T, Error> {
        let key = path.last().copied().unwrap_or_default();
        let mut url = self.server.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let mut request = self.http.request(method, url).query(query);
        request = match &self.login {
            Login::Connection => request,
            Login::Token(token) => request.bearer_auth(String::from_utf8_lossy(token.expose()).trim()),
            Login::Account(token) => request.bearer_auth(String::from_utf8_lossy(token.get().expose()).trim()),
        };
        if let Some(body) = body {
            request = request.json(&body);
        }
        let server = self.server.as_str();
        let answer = request.send().await.map_err(|error| http::unreachable(server, &error))?;
        let (status, pause) = (answer.status().as_u16(), http::asked_to_wait(answer.headers()));
        let body = http::body(answer, server, key).await?;
        match status {
            200..=299 => serde_json::from_slice(&body).map_err(|_| Error::Malformed {
                key: key.to_owned(),
                why: "it is not what the Kubernetes API defines",
            }),
            401 | 403 => Err(Error::PermissionDenied { path: path.join("/"), role: None }),
            // Of anything else but an object of that name it says nothing.
            404 if path.len() > 5 && says_not_found(&body) => Err(Error::NotFound { key: key.to_owned() }),
            404 => Err(Error::NoEngine { path: path.join("/") }),
            409 => Err(Error::Conflict { key: key.to_owned() }),
            422 => Err(Error::Configuration(format!(
                "the Secret {key} is refused: it may be immutable, of another type, or hold a key that is none"
            ))),
            429 => Err(Error::Throttled(pause)),
            503 => Err(Error::Unreachable { server: server.to_owned(), why: "it answers 503".to_owned() }),
            other => Err(Error::Other(other)),
        }
    }

    fn path<'a>(namespace: &'a str, name: Option<&'a str>) -> Result<Vec<&'a str>, Error> {
        if let Some(name) = name.filter(|name| name.is_empty() || name.contains('/') || *name == "..") {
            return Err(Error::Configuration(format!("{name:?} is no name of a Secret")));
        }
        Ok(["api", "v1", "namespaces", namespace, "secrets"].into_iter().chain(name).collect())
    }

    async fn secret(&self, namespace: &str, name: &str) -> Result<Secret, Error> {
        self.call(Method::GET, &Self::path(namespace, Some(name))?, &[], None).await
    }

    async fn standing(&self, namespace: &str, name: &str) -> Result<Option<Secret>, Error> {
        match self.secret(namespace, name).await {
            Ok(secret) => Ok(Some(secret)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The API server's own word for an object that is not there; a proxy's 404 has no such body.
fn says_not_found(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|status| status["reason"] == "NotFound")
}

/// The values, and labels and annotations beside them.
fn payload(secret: Secret) -> Payload {
    let version = secret.metadata.resource_version.clone();
    let mut values: BTreeMap<String, SecretBytes> =
        secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0.into())).collect();
    let as_json = |texts: Option<BTreeMap<String, String>>| json!(texts.unwrap_or_default()).to_string();
    values.insert(LABELS.to_owned(), as_json(secret.metadata.labels).into());
    values.insert(ANNOTATIONS.to_owned(), as_json(secret.metadata.annotations).into());
    Payload { content: Content::Map(values), version }
}

/// The part of a payload that is meant: its data, or labels and annotations.
fn meant(payload: &Payload, reference: &RemoteRef) -> BTreeMap<String, SecretBytes> {
    let Content::Map(values) = &payload.content else { return BTreeMap::new() };
    let is_metadata = |key: &String| key == LABELS || key == ANNOTATIONS;
    let wants_metadata = reference.metadata_policy == Some(MetadataPolicy::Fetch);
    values
        .iter()
        .filter(|(key, _)| is_metadata(key) == wants_metadata)
        .map(|(key, value)| (key.trim_start_matches('/').to_owned(), value.clone()))
        .collect()
}

fn text(bytes: &SecretBytes) -> &str {
    std::str::from_utf8(bytes.expose()).unwrap_or_default()
}

/// A key of that very name, else the value of its first part and a path into it.
fn property(values: &BTreeMap<String, SecretBytes>, property: &str, is_metadata: bool) -> Option<SecretBytes> {
    if let Some(exact) = values.get(property) {
        return Some(exact.clone());
    }
    let (name, path) = property.split_once('.').filter(|(name, _)| !name.is_empty())?;
    let inner = text(values.get(name)?);
    if is_metadata {
        // Names of labels hold dots.
        let labels: BTreeMap<String, String> = serde_json::from_str(inner).ok()?;
        return labels.get(path).map(|value| value.clone().into());
    }
    values::pick(inner, path).map(Into::into)
}

#[async_trait]
impl Provider for KubernetesProvider {
    async fn fetch(&self, reference: &RemoteRef) -> Result<Payload, Error> {
        self.secret(&self.namespace, &reference.key).await.map(payload)
    }

    fn value(&self, payload: &Payload, reference: &RemoteRef) -> Result<SecretBytes, Error> {
        let values = meant(payload, reference);
        let is_metadata = reference.metadata_policy == Some(MetadataPolicy::Fetch);
        let Some(path) = reference.property.as_deref().filter(|path| !path.is_empty()) else {
            if !is_metadata {
                return Ok(json_of(&values));
            }
            let parts: serde_json::Map<String, Value> = values
                .iter()
                .map(|(key, value)| (key.clone(), serde_json::from_str(text(value)).unwrap_or_default()))
                .collect();
            return Ok(Value::Object(parts).to_string().into());
        };
        property(&values, path, is_metadata)
            .ok_or_else(|| Error::Value { key: reference.key.clone(), error: ValueError::NoProperty(path.to_owned()) })
    }

    /// Below a property the values are JSON texts, quotes included, as upstream leaves them.
    fn map(&self, payload: &Payload, reference: &RemoteRef) -> Result<Vec<(String, SecretBytes)>, Error> {
        let Some(path) = reference.property.as_deref().filter(|path| !path.is_empty()) else {
            return Ok(meant(payload, reference).into_iter().collect());
        };
        let value = property(&meant(payload, reference), path, false);
        let wrong = |error| Error::Value { key: reference.key.clone(), error };
        let value = value.ok_or_else(|| wrong(ValueError::NoProperty(path.to_owned())))?;
        let fields: BTreeMap<String, Value> =
            serde_json::from_slice(value.expose()).map_err(|_| wrong(ValueError::NotAMap))?;
        Ok(fields.into_iter().map(|(key, value)| (key, values::json(&value).into())).collect())
    }

    async fn find(&self, find: &Find) -> Result<FetchedMap, Error> {
        let pattern = pattern(find)?;
        let tags = find.tags.clone().unwrap_or_default();
        if pattern.is_none() && tags.is_empty() {
            return Err(Error::Configuration("find needs a name or tags".to_owned()));
        }
        let selector: Vec<_> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let selector = selector.join(",");
        let strategy = find.conversion_strategy.unwrap_or_default();
        let (mut values, mut next, mut seen) = (BTreeMap::new(), String::new(), 0);
        loop {
            let limit = PAGE.to_string();
            let query = [("labelSelector", selector.as_str()), ("limit", &limit), ("continue", &next)];
            let page: k8s_openapi::List<Secret> =
                self.call(Method::GET, &Self::path(&self.namespace, None)?, &query, None).await?;
            seen += page.items.len();
            for secret in page.items {
                let name = secret.metadata.name.clone().unwrap_or_default();
                if pattern.as_ref().is_none_or(|pattern| pattern.matches(&name)) {
                    let whole = json_of(&meant(&payload(secret), &RemoteRef::default()));
                    let key = values::convert_key(&name, strategy);
                    if values.insert(key.clone(), whole).is_some() {
                        return Err(Error::Value { key: name, error: ValueError::Collision(key) });
                    }
                }
            }
            next = page.metadata.continue_.unwrap_or_default();
            if next.is_empty() {
                return Ok(FetchedMap { values: values.into_iter().collect(), version: None });
            }
            if seen >= MOST {
                return Err(Error::Configuration(format!("find looks at more than {MOST} Secrets; name tags")));
            }
        }
    }

    /// Whether Secrets of the namespace may be read.
    async fn validate(&self) -> Result<(), Error> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
            "spec": { "namespace": self.namespace },
        });
        let path = ["apis", "authorization.k8s.io", "v1", "selfsubjectrulesreviews"];
        let review: SelfSubjectRulesReview = self.call(Method::POST, &path, &[], Some(review)).await?;
        let has = |list: Option<&Vec<String>>, what: &str| {
            list.is_some_and(|list| list.iter().any(|entry| entry == what || entry == "*"))
        };
        let may = review.status.unwrap_or_default().resource_rules.iter().any(|rule| {
            has(rule.resources.as_ref(), "secrets")
                && has(rule.api_groups.as_ref(), "")
                && has(Some(&rule.verbs), "get")
        });
        let path = || format!("secrets of namespace {}", self.namespace);
        if may { Ok(()) } else { Err(Error::PermissionDenied { path: path(), role: None }) }
    }

    fn writer(&self) -> Option<&dyn Writer> {
        Some(self)
    }

    fn absence_is_an_error(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> BTreeMap<String, SecretBytes> {
        [("user", "orla"), ("a.b", "exact"), ("json", r#"{"a":{"b":[1,2]}}"#)]
            .map(|(key, value)| (key.to_owned(), value.to_owned().into()))
            .into()
    }

    #[test]
    fn a_property_is_a_key_or_a_path_into_one() {
        for (path, expected) in
            [("user", Some("orla")), ("a.b", Some("exact")), ("json.a.b.1", Some("2")), ("none.x", None), (".x", None)]
        {
            let found = property(&values(), path, false);
            assert_eq!(found.as_ref().map(text), expected, "{path}");
        }
        let metadata = [("labels".to_owned(), SecretBytes::from(r#"{"a.b/c":"v"}"#.to_owned()))].into();
        assert_eq!(property(&metadata, "labels.a.b/c", true).as_ref().map(text), Some("v"));
    }
}
