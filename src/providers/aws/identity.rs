//! Who we are to AWS: keys, a service account that AWS trusts, or our own pod; then one role after another. Never
//! through the process's environment, which all tenants would share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::types::Tag;
use seal::SecretBytes;
use tokio::sync::{Mutex, OnceCell};

use super::refused;
use crate::api::secret_store::{Aws, AwsJwtAuth, AwsSecretRef, IamAuth, SessionTagsPolicy};
use crate::plan::{AccountToken, StoreAccess};
use crate::providers::{Endpoints, Error};

/// How sessions are called in AWS's audit log; upstream's name.
const SESSION: &str = "external-secrets-provider-aws";
/// Credentials are got anew this long before their end.
const EARLY: Duration = Duration::from_secs(120);
/// Where EKS notes the role of a service account.
const ROLE: &str = "eks.amazonaws.com/role-arn";

/// Who we are. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::providers) struct Identity(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    base: Base,
    roles: Vec<Role>,
    region: String,
    sts: Option<String>,
    cached: Mutex<Option<Credentials>>,
}

#[derive(Debug)]
enum Base {
    Keys(Credentials),
    WebIdentity { role: String, token: WebToken },
    Ambient(OnceCell<DefaultCredentialsChain>),
}

/// A token that AWS trusts: of a service account, or the one that EKS writes into our own pod and renews.
#[derive(Debug)]
enum WebToken {
    Account(AccountToken),
    File(PathBuf),
}

impl WebToken {
    async fn get(&self) -> Result<String, Error> {
        let bytes = match self {
            Self::Account(token) => token.get(),
            Self::File(file) => tokio::fs::read(file).await.map(SecretBytes::from).map_err(|_| {
                Error::Configuration(format!("the token of our own pod cannot be read from {}", file.display()))
            })?,
        };
        Ok(String::from_utf8_lossy(bytes.expose()).trim().to_owned())
    }
}

/// A role to take on.
#[derive(Clone, Debug, Default)]
struct Role {
    name: String,
    external_id: Option<String>,
    tags: Vec<(String, String)>,
    transitive: Vec<String>,
}

impl Identity {
    pub(super) fn of_store(aws: &Aws, access: &StoreAccess, endpoints: &Endpoints) -> Result<Self, Error> {
        let auth = aws.auth.clone().unwrap_or_default();
        let base = base(auth.secret_ref.as_ref(), auth.jwt.as_ref(), access)?;
        let mut roles: Vec<_> =
            aws.additional_roles.iter().map(|name| Role { name: name.clone(), ..Role::default() }).collect();
        if let Some(name) = &aws.role {
            roles.push(Role {
                name: name.clone(),
                external_id: aws.external_id.clone(),
                tags: session_tags(aws, access),
                transitive: aws.transitive_tag_keys.clone(),
            });
        }
        Ok(Self::new(base, roles, aws.region.clone(), endpoints))
    }

    pub(in crate::providers) fn of_vault(
        iam: &IamAuth,
        access: &StoreAccess,
        endpoints: &Endpoints,
    ) -> Result<Self, Error> {
        let base = base(iam.secret_ref.as_ref(), iam.jwt.as_ref(), access)?;
        let role = iam.role.clone().map(|name| Role { name, external_id: iam.external_id.clone(), ..Role::default() });
        let region = iam.region.clone().unwrap_or_else(|| "us-east-1".to_owned());
        Ok(Self::new(base, role.into_iter().collect(), region, endpoints))
    }

    /// For a generator: keys or a service account, and perhaps a role.
    pub(in crate::providers) fn of_generator(
        auth: (Option<&AwsSecretRef>, Option<&AwsJwtAuth>),
        role: Option<&str>,
        region: &str,
        access: &StoreAccess,
        endpoints: &Endpoints,
    ) -> Result<Self, Error> {
        let role = role.map(|name| Role { name: name.to_owned(), ..Role::default() });
        let base = base(auth.0, auth.1, access)?;
        Ok(Self::new(base, role.into_iter().collect(), region.to_owned(), endpoints))
    }

    fn new(base: Base, roles: Vec<Role>, region: String, endpoints: &Endpoints) -> Self {
        Self(Arc::new(Inner { base, roles, region, sts: endpoints.sts.clone(), cached: Mutex::default() }))
    }

    pub(in crate::providers) fn region(&self) -> &str {
        &self.0.region
    }

    /// The last role that is taken on, for errors.
    pub(super) fn role(&self) -> Option<&str> {
        let base = match &self.0.base {
            Base::WebIdentity { role, .. } => Some(role.as_str()),
            Base::Keys(_) | Base::Ambient(_) => None,
        };
        self.0.roles.last().map(|role| role.name.as_str()).or(base)
    }

    /// Credentials that are good for a while.
    pub(in crate::providers) async fn credentials(&self) -> Result<Credentials, Error> {
        let mut cached = self.0.cached.lock().await;
        let is_good = |known: &Credentials| known.expiry().is_none_or(|end| SystemTime::now() + EARLY < end);
        if let Some(known) = cached.as_ref().filter(|known| is_good(known)) {
            return Ok(known.clone());
        }
        let mut credentials = self.base().await?;
        for role in &self.0.roles {
            credentials = self.take_on(role, credentials).await?;
        }
        *cached = Some(credentials.clone());
        Ok(credentials)
    }

    async fn base(&self) -> Result<Credentials, Error> {
        match &self.0.base {
            Base::Keys(keys) => Ok(keys.clone()),
            Base::Ambient(chain) => {
                let region = Region::new(self.0.region.clone());
                let chain = chain.get_or_init(|| DefaultCredentialsChain::builder().region(region).build()).await;
                // It may only be late: a machine's metadata service is not always there first.
                chain.provide_credentials().await.map_err(|_| Error::Unreachable {
                    server: "AWS".to_owned(),
                    why: "our own pod is given no identity (IRSA, Pod Identity or instance)".to_owned(),
                })
            }
            Base::WebIdentity { role, token } => {
                let call = self.sts(None).assume_role_with_web_identity();
                let call = call.role_arn(role).role_session_name(SESSION).web_identity_token(token.get().await?);
                let granted =
                    call.send().await.map_err(|error| told(&error, "sts:AssumeRoleWithWebIdentity", Some(role)))?;
                session(granted.credentials())
            }
        }
    }

    async fn take_on(&self, role: &Role, credentials: Credentials) -> Result<Credentials, Error> {
        let tags = role.tags.iter().filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok());
        let granted = self
            .sts(Some(credentials))
            .assume_role()
            .role_arn(&role.name)
            .role_session_name(SESSION)
            .set_external_id(role.external_id.clone())
            .set_tags(Some(tags.collect::<Vec<_>>()).filter(|tags| !tags.is_empty()))
            .set_transitive_tag_keys(Some(role.transitive.clone()).filter(|keys| !keys.is_empty()))
            .send()
            .await
            .map_err(|error| told(&error, "sts:AssumeRole", Some(&role.name)))?;
        session(granted.credentials())
    }

    /// A client of the token service.
    pub(in crate::providers) fn sts(&self, credentials: Option<Credentials>) -> aws_sdk_sts::Client {
        let mut config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.0.region.clone()));
        config.set_endpoint_url(self.0.sts.clone());
        if let Some(credentials) = credentials {
            config = config.credentials_provider(credentials);
        }
        aws_sdk_sts::Client::from_conf(config.build())
    }
}

impl ProvideCredentials for Identity {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async { self.credentials().await.map_err(CredentialsError::provider_error) })
    }
}

fn base(keys: Option<&AwsSecretRef>, jwt: Option<&AwsJwtAuth>, access: &StoreAccess) -> Result<Base, Error> {
    let credentials = &access.credentials;
    if let Some(keys) = keys {
        let (Some(id), Some(key)) = (&keys.access_key_id, &keys.secret_access_key) else {
            return Err(Error::Configuration(
                "auth.secretRef needs an accessKeyIDSecretRef and a secretAccessKeySecretRef".to_owned(),
            ));
        };
        let session = keys.session_token.as_ref().map(|token| credentials.word(token)).transpose()?;
        return Ok(Base::Keys(Credentials::new(credentials.word(id)?, credentials.word(key)?, session, None, "store")));
    }
    if let Some(reference) = jwt.and_then(|jwt| jwt.service_account_ref.as_ref()) {
        let account = credentials.account(reference)?;
        let role = account.annotations.get(ROLE).cloned();
        let role = role.ok_or_else(|| {
            Error::Configuration(format!("ServiceAccount {:?} has no annotation {ROLE}", reference.name))
        })?;
        return Ok(Base::WebIdentity { role, token: WebToken::Account(account.token.clone()) });
    }
    credentials.may_be_ambient()?;
    Ok(of_our_own_pod(|name| std::env::var(name).ok().filter(|value| !value.is_empty())))
}

/// IRSA is ours to do, so that it goes where our settings say and its refusals are told; the rest is AWS's own chain, in
/// whose order it stands: keys in the environment come first, Pod Identity and the instance after it.
fn of_our_own_pod(variable: impl Fn(&str) -> Option<String>) -> Base {
    match (variable("AWS_ROLE_ARN"), variable("AWS_WEB_IDENTITY_TOKEN_FILE"), variable("AWS_ACCESS_KEY_ID")) {
        (Some(role), Some(file), None) => Base::WebIdentity { role, token: WebToken::File(file.into()) },
        _ => Base::Ambient(OnceCell::new()),
    }
}

/// What the session says of itself, so that AWS's policies can tell namespaces apart.
fn session_tags(aws: &Aws, access: &StoreAccess) -> Vec<(String, String)> {
    let mut tags: Vec<_> = aws.session_tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect();
    if aws.session_tags_policy == SessionTagsPolicy::None {
        return tags;
    }
    let id = &access.id;
    let namespace = if id.asker.is_empty() { &id.key.namespace } else { &id.asker };
    let of_store = [
        ("esoNamespace", namespace.clone()),
        ("esoStoreName", id.key.name.clone()),
        ("esoStoreKind", format!("{:?}", id.kind)),
    ];
    if aws.session_tags_policy == SessionTagsPolicy::Custom {
        tags.extend(aws.custom_session_tags.clone());
    }
    tags.extend(of_store.map(|(key, value)| (key.to_owned(), value)));
    tags
}

fn session(granted: Option<&aws_sdk_sts::types::Credentials>) -> Result<Credentials, Error> {
    let granted = granted.ok_or_else(|| Error::Malformed { key: "sts".to_owned(), why: "it grants no credentials" })?;
    let ends = SystemTime::try_from(*granted.expiration()).ok();
    Ok(Credentials::new(
        granted.access_key_id(),
        granted.secret_access_key(),
        Some(granted.session_token().to_owned()),
        ends,
        "sts",
    ))
}

/// The SDK's error, without what it may carry.
pub(in crate::providers) fn told<E, R>(error: &SdkError<E, R>, key: &str, role: Option<&str>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + HttpStatus,
{
    match error {
        SdkError::ServiceError(refusal) => {
            let code = refusal.err().code().unwrap_or_default();
            let of_deletion = refusal.err().message().and_then(|message| of_deletion(message, key));
            of_deletion.unwrap_or_else(|| refused(code, refusal.raw().status(), key, role))
        }
        SdkError::DispatchFailure(failure) => {
            let cause = failure.as_connector_error();
            match cause {
                Some(cause) => crate::providers::http::unreachable("AWS", cause),
                None => Error::Unreachable { server: "AWS".to_owned(), why: "no connection".to_owned() },
            }
        }
        SdkError::TimeoutError(_) => {
            Error::Unreachable { server: "AWS".to_owned(), why: "no answer in time".to_owned() }
        }
        _ => Error::Malformed { key: key.to_owned(), why: "it is not what AWS's API defines" },
    }
}

/// Of a secret that is being deleted Secrets Manager speaks in its words only: it is read no more, and its name is not free.
fn of_deletion(message: &str, key: &str) -> Option<Error> {
    let key = key.to_owned();
    if message.contains("scheduled for deletion") {
        return Some(Error::Leaving { key });
    }
    ["marked for deletion", "marked deleted"]
        .iter()
        .any(|words| message.contains(words))
        .then_some(Error::NotFound { key })
}

/// The status of a raw answer.
pub(in crate::providers) trait HttpStatus {
    /// As a number.
    fn status(&self) -> u16;
}

impl HttpStatus for aws_smithy_runtime_api::client::orchestrator::HttpResponse {
    fn status(&self) -> u16 {
        Self::status(self).as_u16()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::external_secret::StoreKind;
    use crate::plan::{ObjectKey, StoreId};

    #[test]
    fn a_session_says_for_whom_it_is() {
        let aws: Aws = serde_json::from_value(json!({
            "service": "SecretsManager", "region": "r", "role": "arn", "sessionTagsPolicy": "Custom",
            "customSessionTags": { "team": "kelp" },
        }))
        .unwrap();
        let id =
            StoreId { kind: StoreKind::ClusterSecretStore, key: ObjectKey::new("", "s"), asker: "shop".to_owned() };
        let access = StoreAccess {
            id,
            provider: Default::default(),
            credentials: Default::default(),
            retries: Default::default(),
        };
        let tags = session_tags(&aws, &access);
        let expected =
            [("team", "kelp"), ("esoNamespace", "shop"), ("esoStoreName", "s"), ("esoStoreKind", "ClusterSecretStore")];
        assert_eq!(tags, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_secret_that_is_being_deleted_is_gone_and_holds_its_name() {
        use crate::error::Classify;
        for (message, reason) in [
            ("You can't perform this operation on the secret because it was marked for deletion.", Some("NotFound")),
            ("You tried to perform the operation on a secret that's currently marked deleted.", Some("NotFound")),
            (
                "You can't create this secret because a secret with this name is already scheduled for deletion.",
                Some("NameTaken"),
            ),
            ("The parameter is wrong.", None),
        ] {
            assert_eq!(of_deletion(message, "k").as_ref().map(Classify::reason), reason, "{message}");
        }
    }

    #[test]
    fn our_own_identity_is_not_for_everyone() {
        let mut access = StoreAccess {
            id: StoreId::default(),
            provider: Default::default(),
            credentials: Default::default(),
            retries: Default::default(),
        };
        assert!(matches!(base(None, None, &access), Err(Error::Configuration(_))));
        access.credentials.ambient = true;
        assert!(base(None, None, &access).is_ok());
        let irsa = ["AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ACCESS_KEY_ID"];
        for (set, is_irsa) in
            [(&irsa[..2], true), (&irsa[..1], false), (&irsa[1..2], false), (&irsa[..], false), (&[][..], false)]
        {
            let base = of_our_own_pod(|name| set.contains(&name).then(|| "value".to_owned()));
            assert_eq!(matches!(base, Base::WebIdentity { .. }), is_irsa, "{set:?}");
        }
    }
}
