//! Tokens of a GitHub App's installation.

use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Generator, Making, made};
use crate::api::generators::GithubAccessTokenSpec;
use crate::plan::{Reference, Referent};
use crate::providers::{Error, FetchedMap, http, jwt};

/// GitHub's own API.
const GITHUB: &str = "https://api.github.com";

pub(super) struct GithubAccessToken(pub(super) GithubAccessTokenSpec);

#[async_trait]
impl Generator for GithubAccessToken {
    fn references(&self) -> Vec<Reference<'_>> {
        let to = Referent::Secret(&self.0.auth.private_key.secret_ref, None);
        vec![Reference { field: "auth.privateKey.secretRef", to }]
    }

    async fn generate(&self, making: Making) -> Result<FetchedMap, Error> {
        let spec = &self.0;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(&spec.install_id) {
            return Err(Error::Configuration(format!("installID {:?} is no number", spec.install_id)));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        // A minute back, as GitHub advises: clocks differ.
        let claims = json!({ "iat": now.saturating_sub(60), "exp": now + 540, "iss": spec.app_id });
        let key = making.credentials.secret(&spec.auth.private_key.secret_ref)?;
        let jwt = jwt::rs256(key.expose(), None, &claims)?;
        let server = spec.url.as_deref().filter(|url| !url.is_empty()).unwrap_or(GITHUB).trim_end_matches('/');
        let url = http::address(&format!("{server}/app/installations/{}/access_tokens", spec.install_id))?;
        let mut body = json!({});
        if !spec.repositories.is_empty() {
            body["repositories"] = json!(spec.repositories);
        }
        if !spec.permissions.is_empty() {
            body["permissions"] = json!(spec.permissions);
        }
        let client = http::build(http::builder(None)?)?;
        let request = client.post(url).bearer_auth(jwt).header("accept", "application/vnd.github+json").json(&body);
        let answer = request.send().await.map_err(|error| http::unreachable(server, &error))?;
        let (status, pause) = (answer.status().as_u16(), http::asked_to_wait(answer.headers()));
        let body = http::body(answer, server, "access_tokens").await?;
        let installation = || format!("installation {}", spec.install_id);
        match status {
            201 | 200 => {}
            401 | 403 | 404 | 422 => {
                return Err(Error::PermissionDenied { path: installation(), role: Some(spec.app_id.clone()) });
            }
            429 => return Err(Error::Throttled(pause)),
            other => return Err(Error::Other(other)),
        }
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let token = answer["token"].as_str().map(ToOwned::to_owned);
        let token = token.ok_or_else(|| Error::Malformed { key: installation(), why: "it holds no token" })?;
        Ok(made([("token", token.into())]))
    }
}
