//! `spec.provider.azurekv`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{SecretKeyRef, ServiceAccountRef};

/// Azure Key Vault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureKv {
    /// Address of the vault.
    pub vault_url: String,
    /// How we log in.
    #[serde(default)]
    #[schemars(schema_with = "auth_type_schema")]
    pub auth_type: AzureAuthType,
    /// The directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// Which cloud.
    #[serde(default)]
    #[schemars(schema_with = "environment_schema")]
    pub environment_type: AzureEnvironment,
    /// A service principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_secret_ref: Option<AzureAuth>,
    /// A service account that Azure trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_ref: Option<ServiceAccountRef>,
    /// Client id of the managed identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_id: Option<String>,
    /// Upstream's choice between two libraries: here there is one.
    #[serde(default, rename = "useAzureSDK")]
    pub use_azure_sdk: bool,
    /// Addresses of a cloud of one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_cloud_config: Option<AzureCloud>,
}

/// How we log in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AzureAuthType {
    /// With a secret or certificate.
    #[default]
    ServicePrincipal,
    /// As the machine or pod that we run on.
    ManagedIdentity,
    /// As a service account that Azure trusts.
    WorkloadIdentity,
}

/// Which cloud.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AzureEnvironment {
    /// The public one.
    #[default]
    PublicCloud,
    /// That of the government of the United States.
    USGovernmentCloud,
    /// That of China.
    ChinaCloud,
    /// That of Germany, which is closed.
    GermanCloud,
    /// One's own: `customCloudConfig` has its addresses.
    AzureStackCloud,
}

/// A service principal, or the ids of a workload identity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureAuth {
    /// The application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<SecretKeyRef>,
    /// The directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<SecretKeyRef>,
    /// The secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<SecretKeyRef>,
    /// The certificate and its key, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<SecretKeyRef>,
}

/// Addresses of a cloud of one's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureCloud {
    /// Where tokens are got.
    pub active_directory_endpoint: String,
    /// What tokens are for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_vault_endpoint: Option<String>,
    /// What vaults' names end with.
    #[serde(rename = "keyVaultDNSSuffix", default, skip_serializing_if = "Option::is_none")]
    pub key_vault_dns_suffix: Option<String>,
    /// Where resources are managed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_manager_endpoint: Option<String>,
}

fn auth_type_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "default": "ServicePrincipal",
        "enum": ["ServicePrincipal", "ManagedIdentity", "WorkloadIdentity"],
    })
}

fn environment_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "default": "PublicCloud",
        "enum": ["PublicCloud", "USGovernmentCloud", "ChinaCloud", "GermanCloud", "AzureStackCloud"],
    })
}
