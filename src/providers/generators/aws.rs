//! Logins to Amazon's container registries, and sessions.

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::{Generator, Making, made};
use crate::api::generators::{EcrAuthorizationTokenSpec, StsSessionTokenSpec};
use crate::api::secret_store::AwsAuth;
use crate::plan::Reference;
use crate::providers::aws::{Caller, Identity, told};
use crate::providers::{Error, FetchedMap};

/// A login to a registry.
pub(super) struct EcrAuthorizationToken {
    spec: EcrAuthorizationTokenSpec,
    auth: AwsAuth,
}

/// A session.
pub(super) struct StsSessionToken {
    spec: StsSessionTokenSpec,
    auth: AwsAuth,
}

impl EcrAuthorizationToken {
    pub(super) fn new(spec: EcrAuthorizationTokenSpec) -> Result<Self, Error> {
        Ok(Self { auth: super::carried(spec.auth.as_ref())?, spec })
    }

    /// What the service hands out: `USER:PASSWORD` in base64, and until when it is good.
    async fn public(&self, identity: Identity, making: &Making) -> Result<(Granted, String), Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            authorization_data: Granted,
        }
        let caller = Caller::new(identity, "ecr-public", "SpencerFrontendService", making.endpoints.ecr.as_deref())?;
        let answer: Answer = caller.call("GetAuthorizationToken", &json!({}), "ecr-public").await?;
        Ok((answer.authorization_data, "public.ecr.aws".to_owned()))
    }

    async fn private(&self, identity: Identity, making: &Making) -> Result<(Granted, String), Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            authorization_data: Vec<Granted>,
        }
        let target = "AmazonEC2ContainerRegistry_V20150921";
        let caller = Caller::new(identity, "ecr", target, making.endpoints.ecr.as_deref())?;
        let answer: Answer = caller.call("GetAuthorizationToken", &json!({}), "ecr").await?;
        let granted = answer.authorization_data.into_iter().next().ok_or_else(malformed)?;
        let endpoint = granted.proxy_endpoint.clone();
        Ok((granted, endpoint))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Granted {
    authorization_token: String,
    #[serde(default)]
    expires_at: f64,
    #[serde(default)]
    proxy_endpoint: String,
}

fn malformed() -> Error {
    Error::Malformed { key: "the registry's login".to_owned(), why: "it is not what AWS's API defines" }
}

#[async_trait]
impl Generator for EcrAuthorizationToken {
    fn references(&self) -> Vec<Reference<'_>> {
        super::aws_references(&self.auth)
    }

    async fn generate(&self, making: Making) -> Result<FetchedMap, Error> {
        let is_public = self.spec.scope.as_deref() == Some("public");
        let region = if is_public { "us-east-1" } else { &self.spec.region };
        let auth = (self.auth.secret_ref.as_ref(), self.auth.jwt.as_ref());
        let identity =
            Identity::of_generator(auth, self.spec.role.as_deref(), region, &making.access(), &making.endpoints)?;
        let (granted, endpoint) =
            if is_public { self.public(identity, &making).await? } else { self.private(identity, &making).await? };
        let login = STANDARD.decode(&granted.authorization_token).map_err(|_| malformed())?;
        let login = String::from_utf8(login).map_err(|_| malformed())?;
        let (user, password) = login.split_once(':').ok_or_else(malformed)?;
        Ok(made([
            ("username", user.to_owned().into()),
            ("password", password.to_owned().into()),
            ("proxy_endpoint", endpoint.into()),
            ("expires_at", format!("{:.0}", granted.expires_at).into()),
        ]))
    }
}

impl StsSessionToken {
    pub(super) fn new(spec: StsSessionTokenSpec) -> Result<Self, Error> {
        Ok(Self { auth: super::carried(spec.auth.as_ref())?, spec })
    }
}

#[async_trait]
impl Generator for StsSessionToken {
    fn references(&self) -> Vec<Reference<'_>> {
        super::aws_references(&self.auth)
    }

    async fn generate(&self, making: Making) -> Result<FetchedMap, Error> {
        let (spec, auth) = (&self.spec, (self.auth.secret_ref.as_ref(), self.auth.jwt.as_ref()));
        let identity =
            Identity::of_generator(auth, spec.role.as_deref(), &spec.region, &making.access(), &making.endpoints)?;
        let asked = spec.request_parameters.clone().unwrap_or_default();
        let seconds = asked.session_duration.and_then(|seconds| i32::try_from(seconds).ok());
        let credentials = identity.credentials().await?;
        let granted = identity
            .sts(Some(credentials))
            .get_session_token()
            .set_duration_seconds(seconds)
            .set_serial_number(asked.serial_number)
            .set_token_code(asked.token_code)
            .send()
            .await
            .map_err(|error| told(&error, "sts:GetSessionToken", spec.role.as_deref()))?;
        let granted = granted.credentials.ok_or_else(malformed)?;
        Ok(made([
            ("access_key_id", granted.access_key_id.into()),
            ("secret_access_key", granted.secret_access_key.into()),
            ("session_token", granted.session_token.into()),
            ("expiration", granted.expiration.secs().to_string().into()),
        ]))
    }
}
