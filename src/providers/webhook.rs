//! Any HTTP service: address, headers and body are templates over the reference and the Secrets that the store names.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::{Client, Method, Url};
use seal::SecretBytes;
use serde_json::Value;

use super::{Error, FetchedMap, Payload, Provider, PushRef, PushValue, Writer, http};
use crate::api::external_secret::{Find, RemoteRef};
use crate::api::secret_store::{Webhook, WholeSecretRef};
use crate::plan::StoreAccess;
use crate::template::{Chance, Dialect, Template};
use crate::values::{self, ValueError};

/// What the reference is called in the templates.
const REFERENCE: &str = "remoteRef";

pub(super) struct WebhookProvider {
    spec: Webhook,
    http: Client,
    /// The Secrets, by their names in the templates.
    secrets: Groups,
    namespace: String,
}

type Groups = BTreeMap<String, BTreeMap<String, SecretBytes>>;

impl WebhookProvider {
    pub(super) fn new(spec: &Webhook, access: &StoreAccess) -> Result<Self, Error> {
        let credentials = &access.credentials;
        let authority = credentials.authority_of(spec.ca_bundle.as_deref(), spec.ca_provider.as_ref())?;
        let mut builder = http::builder(authority.as_deref())?;
        if let Some(timeout) = spec.timeout.as_deref().filter(|text| !text.is_empty()) {
            let signed: Option<jiff::SignedDuration> = timeout.parse().ok();
            let timeout = signed.and_then(|signed| Duration::try_from(signed).ok());
            let timeout =
                timeout.ok_or_else(|| Error::Configuration(format!("timeout: {:?} is no duration", spec.timeout)))?;
            builder = builder.timeout(timeout.min(super::DEADLINE));
        }
        let mut secrets = Groups::new();
        for secret in &spec.secrets {
            let reference = &secret.secret_ref;
            let whole = WholeSecretRef {
                name: reference.name.clone().unwrap_or_default(),
                namespace: reference.namespace.clone(),
            };
            let values = credentials.whole_secrets.get(&whole).ok_or_else(|| super::unresolved("Secret"))?;
            secrets.insert(secret.name.clone(), values.clone());
        }
        let namespace = if access.id.asker.is_empty() { &access.id.key.namespace } else { &access.id.asker };
        Ok(Self { spec: spec.clone(), http: http::build(builder)?, secrets, namespace: namespace.clone() })
    }

    /// One call; the body of its answer.
    async fn call(&self, reference: BTreeMap<String, SecretBytes>, key: &str) -> Result<Vec<u8>, Error> {
        let mut groups = self.secrets.clone();
        groups.insert(REFERENCE.to_owned(), reference);
        let url = http::address(&text("url", &self.spec.url, &escaped(&groups))?)?;
        let server = server_of(&url);
        let method = self.spec.method.as_deref().filter(|method| !method.is_empty()).unwrap_or("GET");
        let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes())
            .map_err(|_| Error::Configuration(format!("{method:?} is no method of HTTP")))?;
        let mut request = self.http.request(method, url);
        for (name, value) in &self.spec.headers {
            request = request.header(text("headers", name, &groups)?, text("headers", value, &groups)?);
        }
        if let Some(body) = &self.spec.body {
            request = request.body(render("body", body, &groups)?.expose().to_vec());
        }
        let request = request.build().map_err(|_| Error::Configuration("the request cannot be made".to_owned()))?;
        let answer = self.http.execute(request).await.map_err(|error| http::unreachable(&server, &error))?;
        let (status, pause) = (answer.status().as_u16(), http::asked_to_wait(answer.headers()));
        let body = http::body(answer, &server, key).await?;
        match status {
            200..=299 => Ok(body),
            404 => Err(Error::NotFound { key: key.to_owned() }),
            401 | 403 => Err(Error::PermissionDenied { path: key.to_owned(), role: None }),
            429 => Err(Error::Throttled(pause)),
            300..=399 => Err(Error::Malformed { key: key.to_owned(), why: http::REDIRECT }),
            other => Err(Error::Other(other)),
        }
    }

    /// What of an answer is the value.
    fn picked(&self, payload: &Payload, reference: &RemoteRef) -> Result<Value, Error> {
        let wrong = |why| Error::Malformed { key: reference.key.clone(), why };
        let document: Value =
            serde_json::from_str(payload.text(&reference.key)?).map_err(|_| wrong("it is no JSON"))?;
        let Some(path) = self.path(reference)? else { return Ok(document) };
        let found = super::json_path::pick(&document, &path)
            .map_err(|()| Error::Configuration(format!("result.jsonPath {path:?} cannot be read")))?;
        found.ok_or_else(|| Error::Value { key: reference.key.clone(), error: ValueError::NoProperty(path) })
    }

    fn path(&self, reference: &RemoteRef) -> Result<Option<String>, Error> {
        let path = self.spec.result.as_ref().and_then(|result| result.json_path.as_deref());
        let path = path.filter(|path| !path.is_empty());
        path.map(|path| text("result.jsonPath", path, &self.groups(reference))).transpose()
    }

    fn groups(&self, reference: &RemoteRef) -> Groups {
        let mut groups = self.secrets.clone();
        groups.insert(REFERENCE.to_owned(), self.variables(reference));
        groups
    }

    fn variables(&self, reference: &RemoteRef) -> BTreeMap<String, SecretBytes> {
        let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
        [
            ("key", reference.key.clone()),
            ("version", or_empty(&reference.version)),
            ("property", or_empty(&reference.property)),
            ("namespace", self.namespace.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value.into()))
        .into()
    }
}

fn render(field: &'static str, template: &str, groups: &Groups) -> Result<SecretBytes, Error> {
    let told = |error| Error::Configuration(format!("{field}: {error}"));
    let template = Template::parse(field, template, Dialect::ExternalSecrets).map_err(told)?;
    let mut seed = [0; 32];
    aws_lc_rs::rand::fill(&mut seed).map_err(|_| Error::Configuration("no randomness".to_owned()))?;
    template.render_groups(groups, Chance::new(Timestamp::now(), seed)).map_err(told)
}

fn text(field: &'static str, template: &str, groups: &Groups) -> Result<String, Error> {
    let rendered = render(field, template, groups)?;
    String::from_utf8(rendered.expose().to_vec()).map_err(|_| Error::Configuration(format!("{field}: it is no text")))
}

/// As Go escapes for a query: what a key holds never leads to another place of the service.
fn escaped(groups: &Groups) -> Groups {
    let escape = |value: &SecretBytes| -> SecretBytes {
        let escaped: String = value
            .expose()
            .iter()
            .map(|&byte| match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
                b' ' => "+".to_owned(),
                other => format!("%{other:02X}"),
            })
            .collect();
        escaped.into()
    };
    let group = |values: &BTreeMap<String, SecretBytes>| {
        values.iter().map(|(key, value)| (key.clone(), escape(value))).collect()
    };
    groups.iter().map(|(name, values)| (name.clone(), group(values))).collect()
}

/// Scheme, host and port: a path or query may hold a value.
fn server_of(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// A picked value as text; of a list its first entry, as upstream has it.
fn value_text(value: &Value) -> Option<String> {
    match value {
        Value::Array(items) => value_text(items.first()?),
        other => Some(values::text(other)),
    }
}

#[async_trait]
impl Provider for WebhookProvider {
    async fn fetch(&self, reference: &RemoteRef) -> Result<Payload, Error> {
        let body = self.call(self.variables(reference), &reference.key).await?;
        Ok(Payload::bytes(body, None))
    }

    fn value(&self, payload: &Payload, reference: &RemoteRef) -> Result<SecretBytes, Error> {
        if self.path(reference)?.is_none() {
            return Ok(payload.whole());
        }
        let picked = value_text(&self.picked(payload, reference)?);
        let error = || ValueError::NoProperty("result.jsonPath".to_owned());
        picked.map(Into::into).ok_or_else(|| Error::Value { key: reference.key.clone(), error: error() })
    }

    fn map(&self, payload: &Payload, reference: &RemoteRef) -> Result<Vec<(String, SecretBytes)>, Error> {
        let picked = self.picked(payload, reference)?;
        // A path may lead to a map, or to a text that holds one.
        let picked = match &picked {
            Value::String(text) => serde_json::from_str(text).unwrap_or(picked),
            _ => picked,
        };
        let fields = values::map(&picked).map_err(|error| Error::Value { key: reference.key.clone(), error })?;
        Ok(fields.iter().map(|(key, value)| (key.clone(), values::text(value).into())).collect())
    }

    async fn find(&self, _: &Find) -> Result<FetchedMap, Error> {
        Err(Error::Configuration("a webhook store cannot find".to_owned()))
    }

    /// Whether somebody listens, where the address says who without a template.
    async fn validate(&self) -> Result<(), Error> {
        let Ok(url) = http::address(&self.spec.url) else { return Err(Error::Unknown) };
        let server = server_of(&url);
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(Error::Unknown);
        };
        if host.contains('{') || host.contains("%7B") {
            return Err(Error::Unknown);
        }
        let host = host.trim_matches(['[', ']']);
        tokio::net::TcpStream::connect((host, port)).await.map(drop).map_err(|error| http::unreachable(&server, &error))
    }

    fn writer(&self) -> Option<&dyn Writer> {
        Some(self)
    }

    /// The property is a variable of the templates: another one may be another answer.
    fn part(&self, reference: &RemoteRef) -> RemoteRef {
        RemoteRef {
            key: reference.key.clone(),
            version: reference.version.clone(),
            property: reference.property.clone(),
            ..RemoteRef::default()
        }
    }
}

#[async_trait]
impl Writer for WebhookProvider {
    async fn exists(&self, _: &PushRef) -> Result<bool, Error> {
        Err(Error::Configuration("a webhook store cannot tell what exists; use updatePolicy Replace".to_owned()))
    }

    async fn push(&self, reference: &PushRef, value: PushValue<'_>) -> Result<(), Error> {
        let mut variables = self.variables(&RemoteRef { key: reference.remote_key.clone(), ..RemoteRef::default() });
        variables.insert("remoteKey".to_owned(), reference.remote_key.clone().into());
        variables.insert("property".to_owned(), reference.property.clone().unwrap_or_default().into());
        variables.insert("value".to_owned(), value.bytes()?);
        self.call(variables, &reference.remote_key).await.map(drop)
    }

    async fn delete(&self, _: &PushRef) -> Result<(), Error> {
        Err(Error::Configuration("a webhook store cannot delete; use deletionPolicy None".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_key_holds_stays_a_part_of_the_address() {
        let groups: Groups =
            [(REFERENCE.to_owned(), [("key".to_owned(), "../admin?x=1&y #%".to_owned().into())].into())].into();
        let url = text("url", "https://s/v/{{ .remoteRef.key }}/end", &escaped(&groups)).unwrap();
        assert_eq!(url, "https://s/v/..%2Fadmin%3Fx%3D1%26y+%23%25/end");
        assert!(text("url", "{{ .remoteRef.none }}", &groups).is_err());
    }

    #[test]
    fn picked_values_become_text_as_upstream_has_it() {
        for (value, expected) in [
            (serde_json::json!("a"), Some("a")),
            (serde_json::json!(["first", "second"]), Some("first")),
            (serde_json::json!([]), None),
            (serde_json::json!({ "b": 1 }), Some(r#"{"b":1}"#)),
            (serde_json::json!(null), Some("")),
            (serde_json::json!(true), Some("true")),
        ] {
            assert_eq!(value_text(&value).as_deref(), expected, "{value}");
        }
    }
}
