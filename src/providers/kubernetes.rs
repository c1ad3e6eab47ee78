//! Secrets of another namespace or cluster. The client is made from what the store says, never from our own.

use std::collections::BTreeMap;

use async_trait::async_trait;
use k8s_openapi::ByteString;
use k8s_openapi::api::authorization::v1::SelfSubjectRulesReview;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::config::Kubeconfig;
use reqwest::{Client, Method, Url};
use seal::SecretBytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Content, Endpoints, Error, FetchedMap, Payload, Provider, PushRef, PushValue, Writer, http, json_of};
use crate::api::external_secret::{Find, MetadataPolicy, RemoteRef, StoreKind};
use crate::api::secret_store::{Kubernetes, KubernetesStoreAuth};
use crate::plan::{AccountToken, Credentials, StoreAccess};
use crate::values::{self, Pattern, ValueError};

/// Secrets that one page of a list holds, and that a search may look at.
const PAGE: usize = 50;
const MOST: usize = 5000;
/// Addresses that mean the cluster we run in.
const OWN: [&str; 4] = ["", "kubernetes.default", "https://kubernetes.default", "https://kubernetes.default.svc"];
/// kubectl's copy of the whole object, values included.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
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

enum Login {
    /// By the connection's certificate, or not at all.
    Connection,
    Token(SecretBytes),
    Account(AccountToken),
}

/// What leads to an API server.
struct Way {
    url: String,
    authority: Option<String>,
    login: Login,
    certificate: Option<(SecretBytes, SecretBytes)>,
}

impl KubernetesProvider {
    pub(super) fn new(spec: &Kubernetes, access: &StoreAccess, endpoints: &Endpoints) -> Result<Self, Error> {
        let credentials = &access.credentials;
        let way = match &spec.auth_ref {
            Some(reference) => of_kubeconfig(credentials.secret(reference)?)?,
            None => of_settings(spec, credentials, endpoints)?,
        };
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
        let status = answer.status().as_u16();
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
            429 => Err(Error::Throttled),
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

    fn remote_namespace<'a>(&'a self, settings: &'a PushSettings) -> Result<&'a str, Error> {
        match settings.remote_namespace.as_deref() {
            None => Ok(&self.namespace),
            Some(named) if self.is_cluster_store => Ok(named),
            Some(_) => Err(Error::Configuration(
                "remoteNamespace override is only supported with ClusterSecretStore".to_owned(),
            )),
        }
    }

    async fn delete_whole(&self, namespace: &str, name: &str, standing: &Secret) -> Result<(), Error> {
        let guard = json!({ "preconditions": { "uid": standing.metadata.uid } });
        match self.call::<Value>(Method::DELETE, &Self::path(namespace, Some(name))?, &[], Some(guard)).await {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The API server's own word for an object that is not there; a proxy's 404 has no such body.
fn says_not_found(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|status| status["reason"] == "NotFound")
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
        let pattern = find.name.as_ref().map(|name| Pattern::new(name.regexp.as_deref().unwrap_or_default()));
        let pattern =
            pattern.transpose().map_err(|error| Error::Configuration(format!("find.name.regexp: {error}")))?;
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

/// `metadata.spec` of a pushed entry.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct PushSettings {
    source_merge_policy: MergePolicy,
    target_merge_policy: MergePolicy,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    remote_namespace: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
enum MergePolicy {
    #[default]
    Merge,
    Replace,
    Ignore,
}

impl PushSettings {
    /// Labels or annotations as they are to be: the source's and the settings', with what stands there.
    fn texts(
        &self,
        source: &BTreeMap<String, String>,
        own: &BTreeMap<String, String>,
        standing: Option<&BTreeMap<String, String>>,
    ) -> BTreeMap<String, String> {
        if let (Some(standing), MergePolicy::Ignore) = (standing, self.target_merge_policy) {
            return standing.clone();
        }
        let mut wanted = match self.source_merge_policy {
            MergePolicy::Replace => BTreeMap::new(),
            MergePolicy::Merge | MergePolicy::Ignore => source.clone(),
        };
        wanted.extend(own.clone());
        wanted.remove(LAST_APPLIED);
        match (self.target_merge_policy, standing) {
            (MergePolicy::Merge, Some(standing)) => standing.clone().into_iter().chain(wanted).collect(),
            _ => wanted,
        }
    }
}

#[async_trait]
impl Writer for KubernetesProvider {
    async fn exists(&self, reference: &PushRef) -> Result<bool, Error> {
        let settings: PushSettings = reference.settings()?;
        let standing = self.standing(self.remote_namespace(&settings)?, &reference.remote_key).await?;
        let data = standing.map(|secret| secret.data.unwrap_or_default());
        Ok(data.is_some_and(|data| reference.property().is_none_or(|property| data.contains_key(property))))
    }

    async fn push(&self, reference: &PushRef, value: PushValue<'_>) -> Result<(), Error> {
        let settings: PushSettings = reference.settings()?;
        let (namespace, name) = (self.remote_namespace(&settings)?, &reference.remote_key);
        let source = value.source;
        let pushed: BTreeMap<String, ByteString> = match (value.key, reference.property()) {
            (None, None) => {
                source.data.iter().map(|(key, value)| (key.clone(), ByteString(value.expose().to_vec()))).collect()
            }
            (_, Some(property)) => [(property.to_owned(), ByteString(value.bytes()?.expose().to_vec()))].into(),
            (Some(_), None) => {
                return Err(Error::Configuration(
                    "requires property in RemoteRef to push secret value if secret key is defined".to_owned(),
                ));
            }
        };
        let standing = self.standing(namespace, name).await?;
        let before = standing.clone().unwrap_or_default();
        let known = standing.as_ref().map(|secret| &secret.metadata);
        let empty = BTreeMap::new();
        let labels = known.map(|metadata| metadata.labels.as_ref().unwrap_or(&empty));
        let annotations = known.map(|metadata| metadata.annotations.as_ref().unwrap_or(&empty));
        let mut data = before.data.clone().unwrap_or_default();
        data.extend(pushed);
        let wanted = Secret {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(namespace.to_owned()),
                labels: Some(settings.texts(&source.labels, &settings.labels, labels)),
                annotations: Some(settings.texts(&source.annotations, &settings.annotations, annotations)),
                ..before.metadata.clone()
            },
            data: Some(data),
            type_: standing.as_ref().map_or_else(
                || Some(source.type_.clone()).filter(|kind| !kind.is_empty()),
                |secret| secret.type_.clone(),
            ),
            ..before.clone()
        };
        let same = |a: &Option<BTreeMap<String, String>>, b: &Option<BTreeMap<String, String>>| {
            a.clone().unwrap_or_default() == b.clone().unwrap_or_default()
        };
        let is_same = wanted.data == before.data
            && same(&wanted.metadata.labels, &before.metadata.labels)
            && same(&wanted.metadata.annotations, &before.metadata.annotations);
        if standing.is_some() && is_same {
            return Ok(());
        }
        let body = serde_json::to_value(&wanted).ok();
        let sent = match standing {
            None => self.call::<Value>(Method::POST, &Self::path(namespace, None)?, &[], body).await,
            // With the version that was read: nobody's newer write is lost.
            Some(_) => self.call::<Value>(Method::PUT, &Self::path(namespace, Some(name))?, &[], body).await,
        };
        sent.map(drop)
    }

    async fn delete(&self, reference: &PushRef) -> Result<(), Error> {
        let settings: PushSettings = reference.settings()?;
        let (namespace, name) = (self.remote_namespace(&settings)?, &reference.remote_key);
        let Some(standing) = self.standing(namespace, name).await? else { return Ok(()) };
        if let Some(property) = reference.property() {
            let mut rest = standing.clone();
            let data = rest.data.get_or_insert_default();
            if data.remove(property).is_none() {
                return Ok(());
            }
            if !data.is_empty() {
                let body = serde_json::to_value(&rest).ok();
                return self.call::<Value>(Method::PUT, &Self::path(namespace, Some(name))?, &[], body).await.map(drop);
            }
        }
        self.delete_whole(namespace, name, &standing).await
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

    #[test]
    fn labels_are_merged_as_the_settings_say() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let settings = |fields: Value| -> PushSettings { serde_json::from_value(fields).unwrap() };
        let (source, standing) = (map(&[("sl", "1"), (LAST_APPLIED, "{}")]), map(&[("theirs", "1")]));
        let own = map(&[("l", "v")]);
        let cases = [
            (json!({}), map(&[("l", "v"), ("sl", "1"), ("theirs", "1")])),
            (json!({ "sourceMergePolicy": "Replace" }), map(&[("l", "v"), ("theirs", "1")])),
            (json!({ "targetMergePolicy": "Replace" }), map(&[("l", "v"), ("sl", "1")])),
            (json!({ "targetMergePolicy": "Ignore" }), map(&[("theirs", "1")])),
        ];
        for (fields, expected) in cases {
            assert_eq!(settings(fields.clone()).texts(&source, &own, Some(&standing)), expected, "{fields}");
        }
    }
}
