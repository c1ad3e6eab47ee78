//! Logins to Azure's container registries.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;

use super::{Generator, Making, carried, made};
use crate::api::generators::AcrAccessTokenSpec;
use crate::api::secret_store::{AzureAuth, AzureAuthType, AzureKv, SecretKeyRef, ServiceAccountRef};
use crate::plan::Reference;
use crate::providers::references::References;
use crate::providers::{Error, FetchedMap, azurekv, http};

/// Whoever logs in with a token of the registry is nobody by name.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

pub(super) struct AcrAccessToken {
    spec: AcrAccessTokenSpec,
    /// The login, in the words of a store.
    azure: AzureKv,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Auth {
    service_principal: Option<Principal>,
    managed_identity: Option<Managed>,
    workload_identity: Option<Workload>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Principal {
    secret_ref: PrincipalRef,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PrincipalRef {
    client_id: Option<SecretKeyRef>,
    client_secret: Option<SecretKeyRef>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Managed {
    identity_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Workload {
    service_account_ref: Option<ServiceAccountRef>,
}

impl AcrAccessToken {
    pub(super) fn new(spec: AcrAccessTokenSpec) -> Result<Self, Error> {
        let auth: Auth = carried(Some(&spec.auth))?;
        let environment = serde_json::from_value(Value::from(spec.environment_type.clone())).unwrap_or_default();
        let mut azure =
            AzureKv { tenant_id: spec.tenant_id.clone(), environment_type: environment, ..AzureKv::default() };
        if let Some(principal) = auth.service_principal {
            let PrincipalRef { client_id, client_secret } = principal.secret_ref;
            azure.auth_secret_ref = Some(AzureAuth { client_id, client_secret, ..AzureAuth::default() });
        } else if let Some(managed) = auth.managed_identity {
            azure.auth_type = AzureAuthType::ManagedIdentity;
            azure.identity_id = managed.identity_id;
        } else if let Some(workload) = auth.workload_identity {
            azure.auth_type = AzureAuthType::WorkloadIdentity;
            azure.service_account_ref = workload.service_account_ref;
        } else {
            return Err(Error::Configuration("auth names no way to log in".to_owned()));
        }
        Ok(Self { spec, azure })
    }

    /// One question to the registry, as a form.
    async fn ask(&self, client: &reqwest::Client, path: &str, form: &[(&str, &str)]) -> Result<Value, Error> {
        let registry = self.spec.registry.trim_start_matches("https://").trim_end_matches('/');
        let url = http::address(&format!("https://{registry}/oauth2/{path}"))?;
        let body = form.iter().map(|(name, value)| format!("{name}={}", super::escaped(value)));
        let request = client.post(url).header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body(body.collect::<Vec<_>>().join("&")).send().await;
        let answer = answer.map_err(|error| http::unreachable(registry, &error))?;
        let (status, pause) = (answer.status().as_u16(), http::asked_to_wait(answer.headers()));
        let body = http::body(answer, registry, registry).await?;
        match status {
            200 => serde_json::from_slice(&body)
                .map_err(|_| Error::Malformed { key: registry.to_owned(), why: "it is no JSON" }),
            401 | 403 => Err(Error::PermissionDenied { path: registry.to_owned(), role: None }),
            429 => Err(Error::Throttled(pause)),
            other => Err(Error::Other(other)),
        }
    }
}

#[async_trait]
impl Generator for AcrAccessToken {
    fn references(&self) -> Vec<Reference<'_>> {
        let mut found = References::default();
        found.azure(&self.azure);
        found.0
    }

    async fn generate(&self, making: Making) -> Result<FetchedMap, Error> {
        let client = http::build(http::builder(None)?)?;
        let token = azurekv::management_token(&self.azure, &making.credentials, &client).await?;
        let registry = self.spec.registry.as_str();
        let mut form = vec![("grant_type", "access_token"), ("service", registry), ("access_token", token.as_str())];
        form.extend(self.spec.tenant_id.as_deref().map(|tenant| ("tenant", tenant)));
        let field = |answer: &Value, name: &str| {
            let found = answer[name].as_str().map(ToOwned::to_owned);
            found.ok_or_else(|| Error::Malformed { key: registry.to_owned(), why: "it holds no token" })
        };
        let refresh = field(&self.ask(&client, "exchange", &form).await?, "refresh_token")?;
        let password = match self.spec.scope.as_deref().filter(|scope| !scope.is_empty()) {
            None => refresh,
            Some(scope) => {
                let form = [
                    ("grant_type", "refresh_token"),
                    ("service", registry),
                    ("scope", scope),
                    ("refresh_token", refresh.as_str()),
                ];
                field(&self.ask(&client, "token", &form).await?, "access_token")?
            }
        };
        Ok(made([("username", NOBODY.to_owned().into()), ("password", password.into())]))
    }
}
