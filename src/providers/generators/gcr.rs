//! Logins to Google's container registries.

use async_trait::async_trait;
use google_cloud_auth::credentials::CacheableResource;

use super::{Generator, Making, made};
use crate::api::generators::GcrAccessTokenSpec;
use crate::api::secret_store::GcpAuth;
use crate::plan::Reference;
use crate::providers::references::References;
use crate::providers::{Error, FetchedMap, gcpsm};

pub(super) struct GcrAccessToken {
    project: String,
    auth: GcpAuth,
}

impl GcrAccessToken {
    pub(super) fn new(spec: &GcrAccessTokenSpec) -> Result<Self, Error> {
        Ok(Self { auth: super::carried(Some(&spec.auth))?, project: spec.project_id.clone() })
    }
}

#[async_trait]
impl Generator for GcrAccessToken {
    fn references(&self) -> Vec<Reference<'_>> {
        let mut found = References::default();
        found.gcp_auth(&self.auth, Some(&self.project));
        found.0
    }

    async fn generate(&self, making: Making) -> Result<FetchedMap, Error> {
        let credentials =
            gcpsm::login(Some(&self.auth), Some(&self.project), &making.credentials, &making.endpoints).await?;
        let denied = || Error::PermissionDenied { path: "a token of Google".to_owned(), role: None };
        let CacheableResource::New { data, .. } =
            credentials.headers(Default::default()).await.map_err(|_| denied())?
        else {
            return Err(denied());
        };
        let token = data.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let token = token.ok_or_else(denied)?.to_owned();
        Ok(made([("username", "oauth2accesstoken".to_owned().into()), ("password", token.into())]))
    }
}
