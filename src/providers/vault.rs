//! HashiCorp Vault and OpenBao: the key-value engine, version 1 and 2.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use rustify::errors::ClientError as RestError;
use seal::SecretBytes;
use serde_json::Value;
use tokio::sync::Mutex;
use vaultrs::api;
use vaultrs::api::kv2::requests::ReadSecretRequest;
use vaultrs::client::{VaultClient, VaultClientSettingsBuilder};
use vaultrs::error::ClientError;

use super::{Error, Fetched, FetchedMap, Provider, within_size};
use crate::api::external_secret::{Find, MetadataPolicy, RemoteRef};
use crate::api::secret_store::{KvVersion, Vault, VaultAuth};
use crate::plan::StoreAccess;
use crate::values;

/// A token is left to run out this long before its end.
const EARLY: Duration = Duration::from_secs(30);

/// One Vault and one identity.
pub(super) struct VaultProvider {
    access: Access,
    http: reqwest::Client,
    token: Mutex<Option<Token>>,
}

/// What the store's settings say, with what they refer to.
struct Access {
    server: String,
    mount: Option<String>,
    version: KvVersion,
    namespace: Option<String>,
    login: VaultLogin,
}

/// Who we are to a Vault.
enum VaultLogin {
    /// With a token.
    Token(SecretBytes),
    /// With a service account's token.
    Kubernetes { mount: String, role: String, jwt: SecretBytes, namespace: Option<String> },
}

struct Token {
    value: SecretBytes,
    /// None: it is not ours to renew.
    good_until: Option<Instant>,
}

impl VaultProvider {
    pub(super) fn new(vault: &Vault, access: &StoreAccess) -> Result<Self, Error> {
        let address = reqwest::Url::parse(&vault.server)
            .map_err(|_| Error::Configuration(format!("{:?} is no address of a server", vault.server)))?;
        if !matches!(address.scheme(), "http" | "https") {
            return Err(Error::Configuration("the server's address must begin with http:// or https://".to_owned()));
        }
        let mut builder = reqwest::Client::builder()
            .timeout(super::DEADLINE)
            .connect_timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none());
        if let Some(pem) = authority(vault, access)? {
            let authorities = reqwest::Certificate::from_pem_bundle(pem.as_bytes())
                .map_err(|_| Error::Configuration("caBundle or caProvider holds no certificate in PEM".to_owned()))?;
            builder = builder.tls_certs_only(authorities);
        }
        let http = builder.build().map_err(|_| Error::Configuration("no HTTP client can be made".to_owned()))?;
        let access = Access {
            server: vault.server.clone(),
            mount: vault.path.clone().filter(|path| !path.is_empty()),
            version: vault.version,
            namespace: vault.namespace.clone().filter(|namespace| !namespace.is_empty()),
            login: login(vault.auth.as_ref(), access)?,
        };
        Ok(Self { access, http, token: Mutex::default() })
    }

    /// A client with a token that is good for a while.
    async fn client(&self) -> Result<VaultClient, Error> {
        let mut token = self.token.lock().await;
        let usable = token.as_ref().is_some_and(|token| token.good_until.is_none_or(|end| Instant::now() < end));
        if !usable {
            *token = Some(self.log_in().await?);
        }
        let value = token.as_ref().map(|token| token.value.clone()).unwrap_or_default();
        self.with_token(&value, self.access.namespace.as_deref())
    }

    async fn log_in(&self) -> Result<Token, Error> {
        match &self.access.login {
            VaultLogin::Token(token) => Ok(Token { value: token.clone(), good_until: None }),
            VaultLogin::Kubernetes { mount, role, jwt, namespace } => {
                let namespace = namespace.as_deref().or(self.access.namespace.as_deref());
                let client = self.with_token(&SecretBytes::default(), namespace)?;
                let jwt = header_text(jwt, "the service account's token")?;
                let path = format!("auth/{mount}/login");
                let granted = vaultrs::auth::kubernetes::login(&client, mount, role, &jwt)
                    .await
                    .map_err(|error| self.told(&path, error))?;
                let lease = Duration::from_secs(granted.lease_duration);
                let good_until = (granted.lease_duration > 0).then(|| Instant::now() + lease.saturating_sub(EARLY));
                Ok(Token { value: granted.client_token.into_bytes().into(), good_until })
            }
        }
    }

    fn with_token(&self, token: &SecretBytes, namespace: Option<&str>) -> Result<VaultClient, Error> {
        // vaultrs panics over what is no header value, a trailing newline for instance.
        let token = header_text(token, "the token")?;
        let namespace = namespace.map(|name| header_text(&name.to_owned().into(), "the namespace")).transpose()?;
        let settings = VaultClientSettingsBuilder::default()
            .address(&self.access.server)
            .token(token.clone())
            .ca_certs(Vec::new())
            .verify(true)
            .build()
            .map_err(|_| Error::Configuration("the store's settings cannot be used".to_owned()))?;
        Ok(VaultClient {
            http: rustify::Client::new(settings.address.as_str(), self.http.clone()),
            middle: api::EndpointMiddleware { token, version: "v1".to_owned(), wrap: None, namespace },
            settings,
        })
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
        if path.is_empty() || path.split('/').any(|part| part == ".." || part == ".") || path.contains(['?', '#']) {
            return Err(Error::Configuration(format!("{key:?} is no path of a secret")));
        }
        Ok((mount.to_owned(), path.to_owned()))
    }

    /// The map under a key, and its version.
    async fn map(&self, reference: &RemoteRef) -> Result<(Value, Option<String>), Error> {
        if reference.metadata_policy == Some(MetadataPolicy::Fetch) {
            return Err(Error::Configuration("metadataPolicy Fetch is not supported by this version".to_owned()));
        }
        let (mount, path) = self.place(&reference.key)?;
        let client = self.client().await?;
        let read = match self.access.version {
            KvVersion::V1 => self.map_v1(&client, &mount, &path, &reference.key).await,
            KvVersion::V2 => self.map_v2(&client, &mount, &path, reference).await,
        };
        if matches!(read, Err(Error::PermissionDenied { .. })) {
            // The token may have been revoked: the next try logs in anew.
            *self.token.lock().await = None;
        }
        let (data, version) = read?;
        within_size(&reference.key, data.to_string().len())?;
        Ok((data, version))
    }

    async fn map_v1(
        &self,
        client: &VaultClient,
        mount: &str,
        path: &str,
        key: &str,
    ) -> Result<(Value, Option<String>), Error> {
        let data: Value = vaultrs::kv1::get(client, mount, path).await.map_err(|error| self.told(key, error))?;
        Ok((data, None))
    }

    async fn map_v2(
        &self,
        client: &VaultClient,
        mount: &str,
        path: &str,
        reference: &RemoteRef,
    ) -> Result<(Value, Option<String>), Error> {
        let key = &reference.key;
        let version = reference.version.as_deref().filter(|version| !version.is_empty());
        let version = version
            .map(|version| version.parse::<u64>())
            .transpose()
            .map_err(|_| Error::Configuration(format!("{key}: a version of this store is a number")))?;
        let request = ReadSecretRequest::builder()
            .mount(mount)
            .path(path)
            .version(version)
            .build()
            .map_err(|_| Error::Configuration(format!("{key:?} is no path of a secret")))?;
        let answer = api::exec_with_result(client, request).await.map_err(|error| self.told(key, error))?;
        if answer.data.is_null() {
            return Err(Error::NotFound { key: key.clone() });
        }
        Ok((answer.data, Some(answer.metadata.version.to_string())))
    }

    /// vaultrs' error, without what it may carry.
    fn told(&self, path: &str, error: ClientError) -> Error {
        let role = match &self.access.login {
            VaultLogin::Kubernetes { role, .. } => Some(role.clone()),
            VaultLogin::Token(_) => None,
        };
        let by_code = |code: u16, words: &[String]| match code {
            403 => Error::PermissionDenied { path: path.to_owned(), role: role.clone() },
            // Of a key: no words. Of a mount that is not there: some.
            404 if words.is_empty() => Error::NotFound { key: path.to_owned() },
            404 => Error::NoEngine { path: path.to_owned() },
            429 => Error::Throttled,
            472 | 473 | 501 | 503 => Error::Sealed,
            400 if path.starts_with("auth/") => Error::PermissionDenied { path: path.to_owned(), role: role.clone() },
            code => Error::Other(code),
        };
        match error {
            ClientError::APIError { code, errors } => by_code(code, &errors),
            ClientError::RestClientError { source: RestError::ServerResponseError { code, .. } } => by_code(code, &[]),
            ClientError::RestClientError { source: RestError::RequestError { source, .. } } => {
                self.unreachable(source.root_cause())
            }
            ClientError::ResponseEmptyError | ClientError::ResponseDataEmptyError => {
                Error::Malformed { key: path.to_owned(), why: "it is empty" }
            }
            _ => Error::Malformed { key: path.to_owned(), why: "it is not what Vault's API defines" },
        }
    }

    fn unreachable(&self, cause: &dyn std::error::Error) -> Error {
        let (server, why) = (self.access.server.clone(), cause.to_string());
        if why.contains("certificate") || why.contains("UnknownIssuer") {
            Error::CertificateInvalid { server, why }
        } else {
            Error::Unreachable { server, why }
        }
    }
}

#[async_trait]
impl Provider for VaultProvider {
    async fn read(&self, reference: &RemoteRef) -> Result<Fetched, Error> {
        let (data, version) = self.map(reference).await?;
        let value = match reference.property.as_deref().filter(|property| !property.is_empty()) {
            None => values::json(&data).into(),
            Some(property) => {
                values::property(&data, property).map_err(|error| Error::Value { key: reference.key.clone(), error })?
            }
        };
        Ok(Fetched { value, version })
    }

    async fn read_map(&self, reference: &RemoteRef) -> Result<FetchedMap, Error> {
        let (data, version) = self.map(reference).await?;
        let wrong = |error| Error::Value { key: reference.key.clone(), error };
        let inner;
        let map = match reference.property.as_deref().filter(|property| !property.is_empty()) {
            None => values::map(&data).map_err(wrong)?,
            Some(property) => {
                let text = values::property(&data, property).map_err(wrong)?;
                inner =
                    serde_json::from_slice::<Value>(text.expose()).map_err(|_| wrong(values::ValueError::NotAMap))?;
                values::map(&inner).map_err(wrong)?
            }
        };
        let values = map.iter().map(|(key, value)| (key.clone(), values::text(value).into())).collect();
        Ok(FetchedMap { values, version })
    }

    async fn find(&self, _: &Find) -> Result<FetchedMap, Error> {
        Err(Error::Configuration("find is not supported by this version".to_owned()))
    }

    async fn validate(&self) -> Result<(), Error> {
        let client = self.client().await?;
        vaultrs::token::lookup_self(&client).await.map(drop).map_err(|error| self.told("auth/token/lookup-self", error))
    }
}

fn authority(vault: &Vault, access: &StoreAccess) -> Result<Option<String>, Error> {
    let unreadable = || Error::Configuration("caBundle is not PEM in base64".to_owned());
    if let Some(bundle) = &vault.ca_bundle {
        let bytes = seal::wire::decode(bundle).map_err(|_| unreadable())?;
        return String::from_utf8(bytes).map(Some).map_err(|_| unreadable());
    }
    vault.ca_provider.as_ref().map(|provider| access.credentials.authority(provider).map(ToOwned::to_owned)).transpose()
}

fn login(auth: Option<&VaultAuth>, access: &StoreAccess) -> Result<VaultLogin, Error> {
    let auth = auth.ok_or_else(|| Error::Configuration("the store has no auth".to_owned()))?;
    let credentials = &access.credentials;
    if let Some(reference) = &auth.token_secret_ref {
        return Ok(VaultLogin::Token(credentials.secret(reference)?.clone()));
    }
    let Some(kubernetes) = &auth.kubernetes else {
        return Err(Error::Configuration("the store's auth names no method that this version knows".to_owned()));
    };
    let jwt = match (&kubernetes.service_account_ref, &kubernetes.secret_ref) {
        (Some(account), _) => credentials.account(account)?.token.clone(),
        (None, Some(reference)) => credentials.secret(reference)?.clone(),
        (None, None) => {
            return Err(Error::Configuration("auth.kubernetes needs a serviceAccountRef or a secretRef".to_owned()));
        }
    };
    Ok(VaultLogin::Kubernetes {
        mount: kubernetes.mount_path.trim_matches('/').to_owned(),
        role: kubernetes.role.clone(),
        jwt,
        namespace: auth.namespace.clone().filter(|namespace| !namespace.is_empty()),
    })
}

/// A text that can stand in a header.
fn header_text(value: &SecretBytes, what: &'static str) -> Result<String, Error> {
    let text = std::str::from_utf8(value.expose()).map(str::trim).ok();
    text.filter(|text| text.bytes().all(|byte| (0x21..0x7f).contains(&byte)))
        .map(ToOwned::to_owned)
        .ok_or_else(|| Error::Configuration(format!("{what} holds characters that cannot be sent")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::secret_store::{Provider as Settings, SecretKeyRef};
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
        let access = StoreAccess { id: StoreId::default(), provider: Settings::default(), credentials };
        VaultProvider::new(&vault, &access).unwrap()
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
            (Some("secret"), KvVersion::V2, "a?list=true", None),
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
        let error = provider(Some("secret"), KvVersion::V2).read(&reference).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    }

    #[test]
    fn a_token_with_a_newline_is_trimmed_and_one_with_a_control_character_refused() {
        assert_eq!(header_text(&b"abc\n".to_vec().into(), "the token").unwrap(), "abc");
        let error = header_text(&b"a\x01canary".to_vec().into(), "the token").unwrap_err();
        assert!(!error.to_string().contains("canary"));
    }
}
