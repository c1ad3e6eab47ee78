//! HashiCorp Vault and OpenBao: the key-value engine, version 1 and 2.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use rustify::Endpoint;
use rustify::errors::ClientError as RestError;
use seal::SecretBytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use vaultrs::error::ClientError;

use super::{Endpoints, Error, FetchedMap, Payload, Provider, Writer};
use crate::api::external_secret::{Find, MetadataPolicy, RemoteRef};
use crate::api::secret_store::{KvVersion, Vault};
use crate::plan::StoreAccess;
use crate::values::go_json::{Numbers, float_in_full, rewrite};
use crate::values::{self, ValueError};

mod access;
mod call;
mod find;
mod push;

use access::{Access, LoginError, Token};
use call::Wire;
pub(super) use call::{Answer, Call};

/// One Vault and one identity.
pub(super) struct VaultProvider {
    access: Access,
    wire: Wire,
    token: Mutex<Option<Arc<Token>>>,
}

/// A secret as the engine keeps it: JSON as it was sent.
struct Secret {
    data: Box<RawValue>,
    version: Option<String>,
}

impl VaultProvider {
    pub(super) fn new(vault: &Vault, access: &StoreAccess, endpoints: &Endpoints) -> Result<Self, Error> {
        access::allowed_headers(&vault.headers)?;
        let (access, wire) = access::open(vault, access, endpoints)?;
        Ok(Self { access, wire, token: Mutex::default() })
    }

    /// Sends a call with a token that is good for a while. A token that was taken back before its time is got anew, once.
    pub(super) async fn send(&self, call: Call) -> Result<Answer, Error> {
        self.send_within(self.access.namespace.as_deref(), call).await
    }

    async fn send_within(&self, namespace: Option<&str>, call: Call) -> Result<Answer, Error> {
        let path = call.path.clone();
        let (token, is_new) = self.token().await?;
        match self.send_as(&token, namespace, call.clone()).await {
            Err(error) => {
                let told = self.told(&path, error);
                let may_be_stale = !is_new && token.good_until.is_some();
                if !matches!(told, Error::PermissionDenied { .. }) || !may_be_stale {
                    return Err(told);
                }
                self.forget(&token).await;
                let (token, _) = self.token().await?;
                self.send_as(&token, namespace, call).await.map_err(|error| self.told(&path, error))
            }
            Ok(answer) => Ok(answer),
        }
    }

    async fn send_as(&self, token: &Token, namespace: Option<&str>, call: Call) -> Result<Answer, RestError> {
        let wrong = |error: Error| RestError::GenericError { source: error.into() };
        let middle = access::middle(&token.value, namespace).map_err(wrong)?;
        let answer = call.with_middleware(&middle).exec(&self.wire).await?;
        // Writes answer with nothing.
        if answer.response.body().is_empty() { Ok(Answer::default()) } else { answer.parse() }
    }

    async fn token(&self) -> Result<(Arc<Token>, bool), Error> {
        let mut slot = self.token.lock().await;
        if let Some(token) = &*slot
            && token.good_until.is_none_or(|end| Instant::now() < end)
        {
            return Ok((Arc::clone(token), false));
        }
        let middle = access::middle(&SecretBytes::default(), self.access.login_namespace.as_deref())?;
        let client = access::client(&self.wire, middle)?;
        let token = self.access.login.token(&client).await.map_err(|error| match error {
            LoginError::Ours(error) => error,
            LoginError::Theirs(error) => self.told_of_login(*error),
        })?;
        let token = Arc::new(token);
        *slot = Some(Arc::clone(&token));
        Ok((token, true))
    }

    async fn forget(&self, token: &Arc<Token>) {
        let mut slot = self.token.lock().await;
        if slot.as_ref().is_some_and(|known| Arc::ptr_eq(known, token)) {
            *slot = None;
        }
    }

    /// Mount and path of a key: without a mount in the store it is the key's first segment.
    fn place(&self, key: &str) -> Result<(String, String), Error> {
        let key = key.trim_start_matches('/');
        let (mount, path) = match self.access.mount.as_deref().map(|mount| mount.trim_matches('/')) {
            Some(mount) => (mount, key.strip_prefix(mount).and_then(|rest| rest.strip_prefix('/')).unwrap_or(key)),
            None => key.split_once('/').ok_or_else(|| {
                Error::Configuration(format!("the store has no path, so the key {key:?} must begin with the mount"))
            })?,
        };
        let path = match self.access.version {
            KvVersion::V2 => path.strip_prefix("data/").unwrap_or(path),
            KvVersion::V1 => path,
        };
        // It becomes a URL: what could lead elsewhere is refused.
        if path.is_empty() || !is_straight(path) {
            return Err(Error::Configuration(format!("{key:?} is no path of a secret")));
        }
        Ok((mount.to_owned(), path.to_owned()))
    }

    async fn secret(&self, key: &str, version: Option<&str>) -> Result<Secret, Error> {
        let (mount, path) = self.place(key)?;
        let missing = || Error::NotFound { key: key.to_owned() };
        if self.access.version == KvVersion::V1 {
            let answer = self.send(Call::get(format!("{mount}/{path}"))).await.map_err(|error| named(error, key))?;
            return Ok(Secret { data: answer.data.ok_or_else(missing)?, version: None });
        }
        let version = version.filter(|version| !version.is_empty());
        if version.is_some_and(|version| version.parse::<u64>().is_err()) {
            return Err(Error::Configuration(format!("{key}: a version of this store is a number")));
        }
        let mut call = Call::get(format!("{mount}/data/{path}"));
        call.query = version.map(|version| format!("version={version}"));
        let answer = self.send(call).await.map_err(|error| named(error, key))?;
        let answer: Versioned = part(answer.data.as_deref(), key)?;
        // A version that was deleted is there, without data.
        let data = answer.data.filter(|data| data.get() != "null").ok_or_else(missing)?;
        Ok(Secret { data, version: Some(answer.metadata.version.to_string()) })
    }

    /// What is known of a secret beside its values; none when there is nothing at all.
    async fn metadata(&self, key: &str) -> Result<Option<Metadata>, Error> {
        let (mount, path) = self.place(key)?;
        match self.send(Call::get(format!("{mount}/metadata/{path}"))).await {
            Ok(answer) => part(answer.data.as_deref(), key).map(Some),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(named(error, key)),
        }
    }

    async fn look_up(&self, reference: &RemoteRef) -> Result<Secret, Error> {
        let key = &reference.key;
        if reference.metadata_policy != Some(MetadataPolicy::Fetch) {
            return self.secret(key, reference.version.as_deref()).await;
        }
        if self.access.version == KvVersion::V1 {
            return Err(Error::Configuration("metadataPolicy Fetch needs version v2 of the engine".to_owned()));
        }
        let metadata = self.metadata(key).await?.ok_or_else(|| Error::NotFound { key: key.clone() })?;
        let data = serde_json::value::to_raw_value(&metadata.texts());
        let data = data.map_err(|_| Error::Malformed { key: key.clone(), why: "its metadata is no map" })?;
        Ok(Secret { data, version: None })
    }

    /// rustify's error, without what it may carry. `path` is what was asked for.
    fn told(&self, path: &str, error: RestError) -> Error {
        match error {
            RestError::GenericError { source } => {
                source.downcast().unwrap_or_else(|_| Error::Malformed { key: path.to_owned(), why: "it is no answer" })
            }
            RestError::ServerResponseError { code, content } => {
                self.refused(path, code, words(content.as_deref().unwrap_or_default()).as_deref())
            }
            RestError::RequestError { source, .. } | RestError::ResponseError { source } => {
                super::http::unreachable(&self.wire.server, source.as_ref())
            }
            _ => Error::Malformed { key: path.to_owned(), why: "it is not what Vault's API defines" },
        }
    }

    fn told_of_login(&self, error: ClientError) -> Error {
        let path = self.access.login.path();
        match error {
            // A login that is refused says so in many ways.
            ClientError::APIError { code: 400..=404, .. } => {
                Error::PermissionDenied { path, role: self.access.login.role() }
            }
            ClientError::APIError { code, errors } => self.refused(&path, code, Some(&errors)),
            ClientError::RestClientError { source } => self.told(&path, source),
            _ => Error::Malformed { key: path, why: "it is not what Vault's API defines" },
        }
    }

    /// `words` is none when the answer is not Vault's own.
    fn refused(&self, path: &str, code: u16, words: Option<&[String]>) -> Error {
        let path = path.to_owned();
        match code {
            403 => Error::PermissionDenied { path, role: self.access.login.role() },
            // Of a key: no words. Of a mount that is not there: some.
            404 if words.is_some_and(<[String]>::is_empty) => Error::NotFound { key: path },
            404 => Error::NoEngine { path },
            400 if words.is_some_and(|words| words.iter().any(|word| word.contains("check-and-set"))) => {
                Error::Conflict { key: path }
            }
            429 => Error::Throttled(None),
            472 | 473 | 501 | 503 => Error::Sealed,
            code => Error::Other(code),
        }
    }
}

/// Whether a path stays below where it begins.
fn is_straight(path: &str) -> bool {
    !path.split('/').any(|part| part == ".." || part == ".")
}

/// What the engine asked for is a path of its own; people know their key.
fn named(error: Error, key: &str) -> Error {
    match error {
        Error::NotFound { .. } => Error::NotFound { key: key.to_owned() },
        other => other,
    }
}

/// The server's words, which tell a mount that is not there from a key that is not. Of a version that was deleted it says
/// what it knows instead. Anything else is not its own answer, but that of something in between: it says nothing of keys.
fn words(content: &str) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Words {
        errors: Option<Vec<String>>,
        data: Option<Value>,
    }
    let words: Words = serde_json::from_str(content).ok()?;
    words.errors.or(words.data.map(|_| Vec::new()))
}

fn part<T: for<'a> Deserialize<'a>>(data: Option<&RawValue>, key: &str) -> Result<T, Error> {
    let wrong = || Error::Malformed { key: key.to_owned(), why: "it is not what Vault's API defines" };
    serde_json::from_str(data.ok_or_else(wrong)?.get()).map_err(|_| wrong())
}

#[derive(Deserialize)]
struct Versioned {
    data: Option<Box<RawValue>>,
    metadata: VersionMetadata,
}

#[derive(Deserialize)]
struct VersionMetadata {
    version: u64,
}

/// Metadata of a secret, version 2.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    custom_metadata: Option<BTreeMap<String, String>>,
    current_version: u64,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Metadata {
    fn custom(&self) -> BTreeMap<String, String> {
        self.custom_metadata.clone().unwrap_or_default()
    }

    /// Everything as text, custom entries beside those of the engine.
    fn texts(&self) -> BTreeMap<String, String> {
        let plain = |value: &Value| !value.is_object() && !value.is_null();
        let others = self.others.iter().filter(|(_, value)| plain(value));
        let mut texts: BTreeMap<_, _> = others.map(|(key, value)| (key.clone(), values::text(value))).collect();
        texts.insert("current_version".to_owned(), self.current_version.to_string());
        texts.extend(self.custom());
        texts
    }
}

/// One value of a secret: the key of that very name first, then a path; without a property all of it.
fn property(secret: &str, property: Option<&str>) -> Result<SecretBytes, ValueError> {
    let whole = || rewrite(secret, Numbers::Verbatim);
    let Some(property) = property.filter(|property| !property.is_empty()) else { return Ok(whole().into()) };
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(secret).map_err(|_| ValueError::NotAMap)?;
    if let Some(exact) = fields.get(property) {
        return Ok(text(exact, Numbers::Verbatim).into());
    }
    let found = values::pick(&whole(), property).map(SecretBytes::from);
    found.ok_or_else(|| ValueError::NoProperty(property.to_owned()))
}

pub(super) fn text(value: &RawValue, numbers: Numbers) -> String {
    match value.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str(value.get()).unwrap_or_default(),
        Some(b'n') => String::new(),
        Some(b'-' | b'0'..=b'9') if numbers == Numbers::Floats => float_in_full(value.get()),
        _ => rewrite(value.get(), numbers),
    }
}

#[async_trait]
impl Provider for VaultProvider {
    async fn fetch(&self, reference: &RemoteRef) -> Result<Payload, Error> {
        let secret = self.look_up(reference).await?;
        Ok(Payload::bytes(secret.data.get().to_owned(), secret.version))
    }

    fn value(&self, payload: &Payload, reference: &RemoteRef) -> Result<SecretBytes, Error> {
        let value = property(payload.text(&reference.key)?, reference.property.as_deref());
        value.map_err(|error| Error::Value { key: reference.key.clone(), error })
    }

    /// Numbers go through a float, as upstream's do on this way.
    fn map(&self, payload: &Payload, reference: &RemoteRef) -> Result<Vec<(String, SecretBytes)>, Error> {
        let value = self.value(payload, reference)?;
        let fields: Result<BTreeMap<String, &RawValue>, _> = serde_json::from_slice(value.expose());
        let fields = fields.map_err(|_| Error::Value { key: reference.key.clone(), error: ValueError::NotAMap })?;
        Ok(fields.into_iter().map(|(key, value)| (key, text(value, Numbers::Floats).into())).collect())
    }

    async fn find(&self, find: &Find) -> Result<FetchedMap, Error> {
        self.search(find).await
    }

    /// Whether the token is good, where it was got: its policies say nothing of that in the namespace that is read.
    async fn validate(&self) -> Result<(), Error> {
        let namespace = self.access.login_namespace.as_deref();
        self.send_within(namespace, Call::get("auth/token/lookup-self".to_owned())).await.map(drop)
    }

    fn writer(&self) -> Option<&dyn Writer> {
        Some(self)
    }

    async fn lease_ends(&self) -> Option<Instant> {
        self.token.lock().await.as_ref().and_then(|token| token.ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::secret_store::{Provider as Settings, SecretKeyRef, VaultAuth};
    use crate::plan::{Credentials, StoreId};

    fn provider(mount: Option<&str>, version: KvVersion) -> VaultProvider {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let token = SecretKeyRef { name: Some("t".to_owned()), ..SecretKeyRef::default() };
        let vault = Vault {
            server: "http://127.0.0.1:1".to_owned(),
            path: mount.map(ToOwned::to_owned),
            version,
            auth: Some(VaultAuth { token_secret_ref: Some(token.clone()), ..VaultAuth::default() }),
            ..Vault::default()
        };
        let secrets = [(token, b"t".to_vec().into())].into();
        let credentials = Credentials { secrets, ..Credentials::default() };
        let access = StoreAccess {
            id: StoreId::default(),
            provider: Settings::default(),
            credentials,
            retries: Default::default(),
        };
        VaultProvider::new(&vault, &access, &Endpoints::default()).unwrap()
    }

    #[test]
    fn keys_are_placed_as_the_reference_places_them() {
        let cases = [
            (Some("secret"), KvVersion::V2, "app/db", Some(("secret", "app/db"))),
            (Some("secret"), KvVersion::V2, "secret/app/db", Some(("secret", "app/db"))),
            (Some("secret"), KvVersion::V2, "secret/data/app/db", Some(("secret", "app/db"))),
            (Some("secret"), KvVersion::V1, "data/app", Some(("secret", "data/app"))),
            (None, KvVersion::V2, "team/app", Some(("team", "app"))),
            (None, KvVersion::V2, "app", None),
            (Some("secret"), KvVersion::V2, "../sys/seal", None),
        ];
        for (mount, version, key, expected) in cases {
            let placed = provider(mount, version).place(key).ok();
            let placed = placed.as_ref().map(|(mount, path)| (mount.as_str(), path.as_str()));
            assert_eq!(placed, expected, "{mount:?} {key}");
        }
    }

    #[tokio::test]
    async fn a_store_that_is_not_there_is_told_as_such() {
        let reference = RemoteRef { key: "app/db".to_owned(), ..RemoteRef::default() };
        let error = provider(Some("secret"), KvVersion::V2).fetch(&reference).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    }

    #[test]
    fn only_the_servers_own_word_counts_as_absence() {
        let provider = provider(Some("secret"), KvVersion::V2);
        let told = |content: &str| provider.refused("p", 404, words(content).as_deref());
        for absent in [r#"{"errors":[]}"#, r#"{"data":{"data":null,"metadata":{"version":1}}}"#] {
            assert!(matches!(told(absent), Error::NotFound { .. }), "{absent}");
        }
        for other in ["", "<html>Not Found</html>", "{}", r#"{"errors":["no handler for route"]}"#] {
            assert!(matches!(told(other), Error::NoEngine { .. }), "{other}");
        }
    }

    #[test]
    fn properties_keep_digits_and_the_exact_key_wins() {
        let secret = r#"{"a.b":"exact","a":{"b":"path","c":"<v>"},"big":9007199254740993,"exp":1e+21,"nil":null}"#;
        for (path, expected) in [
            ("a.b", Some("exact")),
            ("big", Some("9007199254740993")),
            ("exp", Some("1e+21")),
            ("nil", Some("")),
            ("a", Some(r#"{"b":"path","c":"\u003cv\u003e"}"#)),
            ("none", None),
        ] {
            let found =
                property(secret, Some(path)).ok().map(|value| String::from_utf8(value.expose().to_vec()).unwrap());
            assert_eq!(found.as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn maps_take_numbers_through_a_float() {
        let raw = |json: &'static str| serde_json::from_str::<&RawValue>(json).unwrap();
        assert_eq!(text(raw("1e+21"), Numbers::Floats), "1000000000000000000000");
        assert_eq!(
            text(raw(r#"{"z":1,"a":[1,{"k":"<v>"}]}"#), Numbers::Floats),
            r#"{"a":[1,{"k":"\u003cv\u003e"}],"z":1}"#
        );
        assert_eq!(text(raw("true"), Numbers::Floats), "true");
    }
}
