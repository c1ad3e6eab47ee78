//! What a Vault store's settings say, with what they refer to; and how a token is come by.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use seal::SecretBytes;
use vaultrs::api::{AuthInfo, EndpointMiddleware};
use vaultrs::auth;
use vaultrs::client::{VaultClient, VaultClientSettingsBuilder};
use vaultrs::error::ClientError;

use super::call::Wire;
use crate::api::secret_store::{KvVersion, Vault, VaultAuth};
use crate::plan::{AccountToken, Credentials, StoreAccess};
use crate::providers::aws::{self, Identity};
use crate::providers::gcpsm::VaultIdentity;
use crate::providers::{Endpoints, Error, http};

/// A token is left to run out this long before its end, or a third of its life before it.
const EARLY: Duration = Duration::from_secs(30);
/// Where a pod finds its own token.
const OWN_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// What the store's settings say.
pub(super) struct Access {
    pub(super) mount: Option<String>,
    pub(super) version: KvVersion,
    pub(super) namespace: Option<String>,
    pub(super) login_namespace: Option<String>,
    pub(super) login: Login,
}

/// Who we are to a Vault: a token, or how one is got.
pub(super) enum Login {
    /// Nobody.
    None,
    Token(SecretBytes),
    AppRole {
        mount: String,
        role: SecretBytes,
        secret: SecretBytes,
    },
    Kubernetes {
        mount: String,
        role: String,
        jwt: Jwt,
    },
    Jwt {
        mount: String,
        role: Option<String>,
        jwt: Jwt,
    },
    /// `userpass` and `ldap` ask alike.
    Password {
        mount: String,
        user: String,
        password: SecretBytes,
    },
    Certificate {
        mount: String,
        role: String,
    },
    Aws {
        mount: String,
        role: String,
        server_id: Option<String>,
        identity: Identity,
    },
    Google {
        mount: String,
        role: String,
        identity: VaultIdentity,
    },
}

/// A service account's token, or one that stands in a Secret.
pub(super) enum Jwt {
    Fixed(SecretBytes),
    Account(AccountToken),
    /// That of our own pod, which the kubelet writes anew.
    Own,
}

impl Jwt {
    fn get(&self) -> Result<SecretBytes, Error> {
        match self {
            Self::Fixed(token) => Ok(token.clone()),
            Self::Account(token) => Ok(token.get()),
            Self::Own => std::fs::read(OWN_TOKEN)
                .map(SecretBytes::from)
                .map_err(|_| Error::Configuration(format!("there is no token of our own at {OWN_TOKEN}"))),
        }
    }
}

/// A token and how long it is good.
pub(super) struct Token {
    pub(super) value: SecretBytes,
    /// None: it is not ours to renew.
    pub(super) good_until: Option<Instant>,
    /// When the server takes it back; for the metric.
    pub(super) ends: Option<Instant>,
}

/// Settings and connection of a store.
pub(super) fn open(vault: &Vault, access: &StoreAccess, endpoints: &Endpoints) -> Result<(Access, Wire), Error> {
    http::address(&vault.server)?;
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let auth = vault.auth.clone().unwrap_or_default();
    let pem = access.credentials.authority_of(vault.ca_bundle.as_deref(), vault.ca_provider.as_ref())?;
    let mut builder = http::builder(pem.as_deref())?;
    if let Some((certificate, key)) = client_certificate(vault, &auth, &access.credentials)? {
        builder = builder.identity(http::identity(certificate, key)?);
    }
    let mut headers = vault.headers.clone();
    if vault.forward_inconsistent && vault.read_your_writes {
        headers.insert("X-Vault-Inconsistent".to_owned(), "forward-active-node".to_owned());
    }
    let wire = Wire {
        server: vault.server.clone(),
        http: http::build(builder)?,
        headers,
        index: vault.read_your_writes.then(|| Mutex::new(None)),
    };
    let settings = Access {
        mount: given(&vault.path),
        version: vault.version,
        namespace: header(given(&vault.namespace))?,
        login_namespace: header(given(&auth.namespace).or(given(&vault.namespace)))?,
        login: login(&auth, access, endpoints)?,
    };
    Ok((settings, wire))
}

fn header(namespace: Option<String>) -> Result<Option<String>, Error> {
    namespace.map(|name| header_text(&name.into(), "the namespace")).transpose()
}

fn client_certificate<'a>(
    vault: &Vault,
    auth: &VaultAuth,
    credentials: &'a Credentials,
) -> Result<Option<(&'a SecretBytes, &'a SecretBytes)>, Error> {
    let tls = vault.tls.as_ref().map(|tls| (&tls.cert_secret_ref, &tls.key_secret_ref));
    let cert = auth.cert.as_ref().map(|cert| (&cert.client_cert, &cert.secret_ref));
    let Some((certificate, key)) = cert.or(tls) else { return Ok(None) };
    let (Some(certificate), Some(key)) = (certificate, key) else {
        return Err(Error::Configuration("a client certificate needs a certificate and its key".to_owned()));
    };
    Ok(Some((credentials.secret(certificate)?, credentials.secret(key)?)))
}

/// The first method that is there, in upstream's order.
fn login(auth: &VaultAuth, access: &StoreAccess, endpoints: &Endpoints) -> Result<Login, Error> {
    let credentials = &access.credentials;
    let mount = |path: &str| path.trim_matches('/').to_owned();
    if let Some(reference) = &auth.token_secret_ref {
        return Ok(Login::Token(credentials.secret(reference)?.clone()));
    }
    if let Some(role) = &auth.app_role {
        let id = match (&role.role_ref, &role.role_id) {
            (Some(reference), _) => credentials.secret(reference)?.clone(),
            (None, Some(id)) => id.clone().into(),
            (None, None) => return Err(incomplete("auth.appRole needs a roleId or a roleRef")),
        };
        let secret = credentials.secret(&role.secret_ref)?.clone();
        return Ok(Login::AppRole { mount: mount(&role.path), role: id, secret });
    }
    if let Some(kubernetes) = &auth.kubernetes {
        let jwt = match (&kubernetes.service_account_ref, &kubernetes.secret_ref) {
            (Some(account), _) => Jwt::Account(credentials.account(account)?.token.clone()),
            (None, Some(reference)) => Jwt::Fixed(credentials.secret(reference)?.clone()),
            (None, None) => {
                credentials.may_be_ambient()?;
                Jwt::Own
            }
        };
        return Ok(Login::Kubernetes { mount: mount(&kubernetes.mount_path), role: kubernetes.role.clone(), jwt });
    }
    let user = auth.ldap.as_ref().map(|ldap| (&ldap.path, &ldap.username, &ldap.secret_ref));
    let user = user.or(auth.user_pass.as_ref().map(|user| (&user.path, &user.username, &user.secret_ref)));
    if let Some((path, user, reference)) = user {
        let reference = reference.as_ref().ok_or_else(|| incomplete("the login needs a secretRef"))?;
        let password = credentials.secret(reference)?.clone();
        return Ok(Login::Password { mount: mount(path), user: user.clone(), password });
    }
    if let Some(jwt) = &auth.jwt {
        let token = match (&jwt.kubernetes_service_account_token, &jwt.secret_ref) {
            (Some(account), _) => Jwt::Account(credentials.account(&account.service_account_ref)?.token.clone()),
            (None, Some(reference)) => Jwt::Fixed(credentials.secret(reference)?.clone()),
            (None, None) => {
                return Err(incomplete("auth.jwt needs a secretRef or a kubernetesServiceAccountToken"));
            }
        };
        return Ok(Login::Jwt { mount: mount(&jwt.path), role: jwt.role.clone(), jwt: token });
    }
    if let Some(cert) = &auth.cert {
        let path = mount(cert.path.as_deref().unwrap_or("cert"));
        return Ok(Login::Certificate { mount: path, role: cert.vault_role.clone().unwrap_or_default() });
    }
    if let Some(iam) = &auth.iam {
        return Ok(Login::Aws {
            mount: mount(iam.path.as_deref().unwrap_or("aws")),
            role: iam.vault_role.clone(),
            server_id: iam.vault_aws_iam_server_id.clone(),
            identity: Identity::of_vault(iam, access, endpoints)?,
        });
    }
    if let Some(gcp) = &auth.gcp {
        return Ok(Login::Google {
            mount: mount(gcp.path.as_deref().unwrap_or("gcp")),
            role: gcp.role.clone(),
            identity: VaultIdentity::new(gcp.secret_ref.as_ref(), credentials)?,
        });
    }
    Ok(Login::None)
}

fn incomplete(what: &str) -> Error {
    Error::Configuration(what.to_owned())
}

impl Login {
    /// The role that is asked for, for errors.
    pub(super) fn role(&self) -> Option<String> {
        match self {
            Self::Kubernetes { role, .. }
            | Self::Certificate { role, .. }
            | Self::Aws { role, .. }
            | Self::Google { role, .. } => Some(role.clone()),
            Self::Jwt { role, .. } => role.clone(),
            Self::Password { user, .. } => Some(user.clone()),
            Self::None | Self::Token(_) | Self::AppRole { .. } => None,
        }
    }

    /// Where the login is sent, for errors.
    pub(super) fn path(&self) -> String {
        match self {
            Self::AppRole { mount, .. }
            | Self::Kubernetes { mount, .. }
            | Self::Jwt { mount, .. }
            | Self::Password { mount, .. }
            | Self::Certificate { mount, .. }
            | Self::Aws { mount, .. }
            | Self::Google { mount, .. } => format!("auth/{mount}/login"),
            Self::None | Self::Token(_) => "auth/token".to_owned(),
        }
    }

    pub(super) async fn token(&self, client: &VaultClient) -> Result<Token, LoginError> {
        let granted = match self {
            Self::None => return Ok(Token { value: SecretBytes::default(), good_until: None, ends: None }),
            Self::Token(token) => return Ok(Token { value: token.clone(), good_until: None, ends: None }),
            Self::AppRole { mount, role, secret } => {
                let (role, secret) = (line(role, "the role id")?, line(secret, "the secret id")?);
                auth::approle::login(client, mount, &role, &secret).await?
            }
            Self::Kubernetes { mount, role, jwt } => {
                auth::kubernetes::login(
                    client,
                    mount,
                    role,
                    &line(&jwt.get().map_err(LoginError::Ours)?, "the service account's token")?,
                )
                .await?
            }
            Self::Jwt { mount, role, jwt } => {
                auth::oidc::login(
                    client,
                    mount,
                    &line(&jwt.get().map_err(LoginError::Ours)?, "the token")?,
                    role.clone(),
                )
                .await?
            }
            Self::Password { mount, user, password } => {
                auth::userpass::login(client, mount, user, &line(password, "the password")?).await?
            }
            Self::Certificate { mount, role } => auth::cert::login(client, mount, role).await?,
            Self::Aws { mount, role, server_id, identity } => {
                let signed = aws::signed_identity(identity, server_id.as_deref()).await.map_err(LoginError::Ours)?;
                let (url, headers, body) = (&signed.url, &signed.headers, &signed.body);
                auth::aws::iam_login(client, mount, "POST", url, headers, body, Some(role)).await?
            }
            // Asked as with Kubernetes: a role and a token.
            Self::Google { mount, role, identity } => {
                let token = identity.token(role).await.map_err(LoginError::Ours)?;
                auth::kubernetes::login(client, mount, role, &line(&token, "the token")?).await?
            }
        };
        Ok(granted_token(granted))
    }
}

fn granted_token(granted: AuthInfo) -> Token {
    let lease = Duration::from_secs(granted.lease_duration);
    let ends = (granted.lease_duration > 0).then(|| Instant::now() + lease);
    let early = EARLY.min(lease / 3);
    let good_until = ends.map(|end| end - early);
    Token { value: granted.client_token.into_bytes().into(), good_until, ends }
}

/// Why there is no token.
pub(super) enum LoginError {
    Ours(Error),
    Theirs(Box<ClientError>),
}

impl From<ClientError> for LoginError {
    fn from(error: ClientError) -> Self {
        Self::Theirs(Box::new(error))
    }
}

/// vaultrs' own client, for its logins.
pub(super) fn client(wire: &Wire, middle: EndpointMiddleware) -> Result<VaultClient, Error> {
    let settings = VaultClientSettingsBuilder::default()
        .address(&wire.server)
        .token(middle.token.clone())
        .ca_certs(Vec::new())
        .verify(true)
        .build()
        .map_err(|_| Error::Configuration("the store's settings cannot be used".to_owned()))?;
    let http = rustify::clients::reqwest::Client::new(settings.address.as_str(), wire.http.clone());
    Ok(VaultClient { http, middle, settings })
}

/// What goes with every call.
pub(super) fn middle(token: &SecretBytes, namespace: Option<&str>) -> Result<EndpointMiddleware, Error> {
    // vaultrs panics over what is no header value, a trailing newline for instance.
    let token = if token.is_empty() { String::new() } else { header_text(token, "the token")? };
    Ok(EndpointMiddleware { token, version: "v1".to_owned(), wrap: None, namespace: namespace.map(ToOwned::to_owned) })
}

fn line(value: &SecretBytes, what: &'static str) -> Result<String, LoginError> {
    let text = std::str::from_utf8(value.expose()).map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
    text.map_err(|_| LoginError::Ours(Error::Configuration(format!("{what} is no text"))))
}

/// A text that can stand in a header.
pub(super) fn header_text(value: &SecretBytes, what: &'static str) -> Result<String, Error> {
    let text = std::str::from_utf8(value.expose()).map(str::trim).ok();
    text.filter(|text| text.bytes().all(|byte| (0x21..0x7f).contains(&byte)))
        .map(ToOwned::to_owned)
        .ok_or_else(|| Error::Configuration(format!("{what} holds characters that cannot be sent")))
}

/// The headers that the store asks for, without those that are ours to set.
pub(super) fn allowed_headers(headers: &BTreeMap<String, String>) -> Result<(), Error> {
    const OURS: [&str; 3] = ["x-vault-token", "x-vault-namespace", "authorization"];
    let wrong = headers.keys().find(|name| OURS.contains(&name.to_ascii_lowercase().as_str()));
    wrong.map_or(Ok(()), |name| Err(Error::Configuration(format!("headers must not set {name}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_with_a_newline_is_trimmed_and_one_with_a_control_character_refused() {
        assert_eq!(header_text(&b"abc\n".to_vec().into(), "the token").unwrap(), "abc");
        let error = header_text(&b"a\x01canary".to_vec().into(), "the token").unwrap_err();
        assert!(!error.to_string().contains("canary"));
    }

    #[test]
    fn a_token_of_a_short_life_is_used_for_two_thirds_of_it() {
        let granted = |lease_duration| AuthInfo {
            client_token: "t".to_owned(),
            accessor: String::new(),
            policies: Vec::new(),
            token_policies: Vec::new(),
            metadata: None,
            lease_duration,
            renewable: true,
            entity_id: String::new(),
            token_type: String::new(),
            orphan: false,
        };
        let left = |lease| granted_token(granted(lease)).good_until.map(|until| (until - Instant::now()).as_secs_f64());
        assert!((left(3600).unwrap() - 3570.0).abs() < 1.0);
        assert!((left(6).unwrap() - 4.0).abs() < 1.0);
        assert_eq!(left(0), None);
    }
}
