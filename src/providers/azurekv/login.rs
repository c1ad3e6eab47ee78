//! Who we are to Azure: a secret, a certificate, an account that it trusts, or our own pod.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{Secret as Hidden, TokenCredential};
use azure_core::error::ErrorKind;
use azure_core::http::{ClientMethodOptions, ClientOptions, RetryOptions, Transport};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use seal::SecretBytes;
use serde_json::json;

use super::bounded::Bounded;
use super::told;
use crate::api::secret_store::{AzureAuthType, AzureEnvironment, AzureKv};
use crate::plan::{AccountToken, Credentials};
use crate::providers::{Error, http, jwt};

/// Where a workload identity is noted on a service account.
const CLIENT_ID: &str = "azure.workload.identity/client-id";
const TENANT_ID: &str = "azure.workload.identity/tenant-id";
/// How long a signed assertion is good.
const ASSERTION: Duration = Duration::from_secs(300);

/// Every call through our own guarded client, and repeated by us, not below us.
pub(super) fn options(client: &reqwest::Client, spec: &AzureKv) -> Result<ClientOptions, Error> {
    let cloud = match spec.environment_type {
        AzureEnvironment::PublicCloud => CloudConfiguration::AzurePublic,
        AzureEnvironment::USGovernmentCloud => CloudConfiguration::AzureGovernment,
        AzureEnvironment::ChinaCloud => CloudConfiguration::AzureChina,
        AzureEnvironment::GermanCloud => custom("https://login.microsoftonline.de"),
        AzureEnvironment::AzureStackCloud => {
            let cloud = spec.custom_cloud_config.as_ref();
            let cloud = cloud.ok_or_else(|| {
                Error::Configuration("environmentType AzureStackCloud needs a customCloudConfig".to_owned())
            })?;
            http::address(&cloud.active_directory_endpoint)?;
            custom(&cloud.active_directory_endpoint)
        }
    };
    Ok(ClientOptions {
        transport: Some(Transport::new(Arc::new(Bounded(client.clone())))),
        retry: RetryOptions::none(),
        cloud: Some(Arc::new(cloud)),
        ..ClientOptions::default()
    })
}

fn custom(authority: &str) -> CloudConfiguration {
    let mut configuration = CustomConfiguration::default();
    configuration.authority_host = authority.to_owned();
    configuration.into()
}

/// What our tokens are for.
pub(super) fn scope(spec: &AzureKv) -> String {
    let resource = match spec.environment_type {
        AzureEnvironment::PublicCloud => "https://vault.azure.net",
        AzureEnvironment::USGovernmentCloud => "https://vault.usgovcloudapi.net",
        AzureEnvironment::ChinaCloud => "https://vault.azure.cn",
        AzureEnvironment::GermanCloud => "https://vault.microsoftazure.de",
        AzureEnvironment::AzureStackCloud => {
            let named = spec.custom_cloud_config.as_ref().and_then(|cloud| cloud.key_vault_endpoint.as_deref());
            named.unwrap_or("https://vault.azure.net")
        }
    };
    format!("{}/.default", resource.trim_end_matches('/'))
}

pub(super) fn credential(
    spec: &AzureKv,
    credentials: &Credentials,
    options: &ClientOptions,
) -> Result<Arc<dyn TokenCredential>, Error> {
    let wrong = |what: &str| Error::Configuration(what.to_owned());
    let auth = spec.auth_secret_ref.clone().unwrap_or_default();
    let word = |reference: &Option<_>| reference.as_ref().map(|reference| credentials.word(reference)).transpose();
    let client_options = options.clone();
    match spec.auth_type {
        AzureAuthType::ManagedIdentity => {
            credentials.may_be_ambient()?;
            let id = spec.identity_id.clone().filter(|id| !id.is_empty()).map(UserAssignedId::ClientId);
            // The machine's own service is at a link-local address: this one client may ask it.
            let client = http::build(http::unguarded(None)?)?;
            let client_options = ClientOptions { transport: Some(Transport::new(Arc::new(client))), ..client_options };
            let options = ManagedIdentityCredentialOptions { user_assigned_id: id, client_options };
            let made = ManagedIdentityCredential::new(Some(options));
            made.map(|made| made as _).map_err(|_| wrong("our own pod has no managed identity"))
        }
        AzureAuthType::WorkloadIdentity => {
            let Some(reference) = &spec.service_account_ref else {
                credentials.may_be_ambient()?;
                let options = WorkloadIdentityCredentialOptions {
                    credential_options: ClientAssertionCredentialOptions { client_options },
                    ..WorkloadIdentityCredentialOptions::default()
                };
                let made = WorkloadIdentityCredential::new(Some(options));
                return made.map(|made| made as _).map_err(|_| wrong("our own pod has no workload identity of Azure"));
            };
            let account = credentials.account(reference)?;
            let noted = |name: &str| account.annotations.get(name).cloned();
            let client_id = word(&auth.client_id)?.or_else(|| noted(CLIENT_ID));
            let client_id = client_id.ok_or_else(|| {
                Error::Configuration(format!("ServiceAccount {:?} has no annotation {CLIENT_ID}", reference.name))
            })?;
            let tenant = word(&auth.tenant_id)?.or_else(|| noted(TENANT_ID)).or_else(|| spec.tenant_id.clone());
            let tenant = tenant.ok_or_else(|| wrong("the store names no tenantId"))?;
            asserted(tenant, client_id, Assertion::Account(account.token.clone()), client_options)
        }
        AzureAuthType::ServicePrincipal => {
            let client_id = word(&auth.client_id)?.ok_or_else(|| wrong("authSecretRef needs a clientId"))?;
            let tenant = spec.tenant_id.clone().or(word(&auth.tenant_id)?);
            let tenant = tenant.ok_or_else(|| wrong("the store names no tenantId"))?;
            if let Some(secret) = word(&auth.client_secret)? {
                let options = Some(ClientSecretCredentialOptions { client_options });
                let made = ClientSecretCredential::new(&tenant, client_id, Hidden::new(secret), options);
                return made.map(|made| made as _).map_err(|_| wrong("tenantId or clientId cannot be used"));
            }
            let Some(reference) = &auth.client_certificate else {
                return Err(wrong("authSecretRef needs a clientSecret or a clientCertificate"));
            };
            let authority = authority(spec);
            let assertion = Assertion::Certificate {
                pem: credentials.secret(reference)?.clone(),
                client_id: client_id.clone(),
                audience: format!("{}/{tenant}/oauth2/v2.0/token", authority.trim_end_matches('/')),
            };
            asserted(tenant, client_id, assertion, client_options)
        }
    }
}

/// A token for what manages resources, with which a registry knows us.
pub(in crate::providers) async fn management_token(
    spec: &AzureKv,
    credentials: &Credentials,
    client: &reqwest::Client,
) -> Result<String, Error> {
    let scope = match spec.environment_type {
        AzureEnvironment::USGovernmentCloud => "https://management.usgovcloudapi.net/.default",
        AzureEnvironment::ChinaCloud => "https://management.chinacloudapi.cn/.default",
        AzureEnvironment::GermanCloud => "https://management.microsoftazure.de/.default",
        AzureEnvironment::PublicCloud | AzureEnvironment::AzureStackCloud => "https://management.azure.com/.default",
    };
    let credential = credential(spec, credentials, &options(client, spec)?)?;
    let token = credential.get_token(&[scope], None).await.map_err(|error| told(&error, "a token of Azure"))?;
    Ok(token.token.secret().to_owned())
}

fn authority(spec: &AzureKv) -> String {
    match spec.environment_type {
        AzureEnvironment::PublicCloud => "https://login.microsoftonline.com".to_owned(),
        AzureEnvironment::USGovernmentCloud => "https://login.microsoftonline.us".to_owned(),
        AzureEnvironment::ChinaCloud => "https://login.chinacloudapi.cn".to_owned(),
        AzureEnvironment::GermanCloud => "https://login.microsoftonline.de".to_owned(),
        AzureEnvironment::AzureStackCloud => {
            spec.custom_cloud_config.as_ref().map(|cloud| cloud.active_directory_endpoint.clone()).unwrap_or_default()
        }
    }
}

fn asserted(
    tenant: String,
    client_id: String,
    assertion: Assertion,
    client_options: ClientOptions,
) -> Result<Arc<dyn TokenCredential>, Error> {
    let options = Some(ClientAssertionCredentialOptions { client_options });
    let made = ClientAssertionCredential::new(tenant, client_id, assertion, options);
    made.map(|made| made as _).map_err(|_| Error::Configuration("tenantId or clientId cannot be used".to_owned()))
}

/// What stands for us in place of a secret.
enum Assertion {
    Account(AccountToken),
    /// Signed anew for each login; Azure's own way to do it needs OpenSSL.
    Certificate {
        pem: SecretBytes,
        client_id: String,
        audience: String,
    },
}

impl std::fmt::Debug for Assertion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Assertion")
    }
}

#[async_trait]
impl ClientAssertion for Assertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let wrong = |error: Error| azure_core::Error::new(ErrorKind::Credential, error);
        match self {
            Self::Account(token) => Ok(String::from_utf8_lossy(token.get().expose()).trim().to_owned()),
            Self::Certificate { pem, client_id, audience } => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let mut id = [0; 16];
                aws_lc_rs::rand::fill(&mut id).map_err(|_| wrong(Error::Configuration("no randomness".to_owned())))?;
                let claims = json!({
                    "aud": audience, "iss": client_id, "sub": client_id, "jti": STANDARD.encode(id),
                    "nbf": now.as_secs(), "exp": (now + ASSERTION).as_secs(),
                });
                jwt::ps256_with_certificate(pem.expose(), &claims).map_err(wrong)
            }
        }
    }
}
