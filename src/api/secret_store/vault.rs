//! `spec.provider.vault` and `openBao`.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::aws::AwsSecretRef;
use super::gcp::GcpSecretRef;
use super::{CaProvider, SecretKeyRef, ServiceAccountRef, byte_schema, int64_schema, with_default};
use crate::api::{Names, Unhonoured};

/// HashiCorp Vault, or OpenBao.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Vault {
    /// Its address.
    pub server: String,
    /// The mount; absent means the first segment of a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Version of the key-value engine.
    #[serde(default)]
    #[schemars(schema_with = "version_schema")]
    pub version: KvVersion,
    /// Namespace of Vault Enterprise and OpenBao.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Certificate authority, PEM in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "byte_schema")]
    pub ca_bundle: Option<String>,
    /// Where the certificate authority is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_provider: Option<CaProvider>,
    /// Our own certificate for the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<VaultTls>,
    /// Who we are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<VaultAuth>,
    /// Headers that go with every call.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Whether reads see what we wrote, on Enterprise clusters.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_your_writes: bool,
    /// Whether a replica that is behind hands a read on; only with `readYourWrites`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forward_inconsistent: bool,
    /// Whether the engine demands check-and-set; ours always sends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_and_set: Option<CheckAndSet>,
}

/// Whether the engine demands check-and-set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckAndSet {
    /// It does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

/// Version of the key-value engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KvVersion {
    /// Without versions.
    V1,
    /// With versions.
    #[default]
    V2,
}

/// Our own certificate for the connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VaultTls {
    /// The certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_secret_ref: Option<SecretKeyRef>,
    /// Its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_secret_ref: Option<SecretKeyRef>,
}

/// Who we are: the first that is there, in the order of upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VaultAuth {
    /// Vault namespace of the login only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// A token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeyRef>,
    /// A role and its secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_role: Option<AppRoleAuth>,
    /// A service account's token, checked by the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesAuth>,
    /// A user of a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ldap: Option<LdapAuth>,
    /// A user and a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_pass: Option<UserPassAuth>,
    /// A signed token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtAuth>,
    /// A client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<CertAuth>,
    /// An identity of AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iam: Option<IamAuth>,
    /// An identity of Google.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gcp: Option<GcpVaultAuth>,
}

/// A role and its secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppRoleAuth {
    /// Where the method is mounted.
    #[serde(default = "approle_mount")]
    #[schemars(required, schema_with = "approle_schema")]
    pub path: String,
    /// The role's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_id: Option<String>,
    /// Where the role's id is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_ref: Option<SecretKeyRef>,
    /// Where the secret is.
    pub secret_ref: SecretKeyRef,
}

/// Login with a service account's token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesAuth {
    /// Where the method is mounted.
    #[serde(default = "kubernetes_mount")]
    #[schemars(required, schema_with = "kubernetes_schema")]
    pub mount_path: String,
    /// The role.
    pub role: String,
    /// The service account whose token is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_ref: Option<ServiceAccountRef>,
    /// A Secret that holds the token, under `token` when no key is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
}

/// A user of a directory and a password.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LdapAuth {
    /// Where the method is mounted.
    #[serde(default = "ldap_mount")]
    #[schemars(required, schema_with = "ldap_schema")]
    pub path: String,
    /// The user.
    pub username: String,
    /// Where the password is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
}

/// A user and a password.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserPassAuth {
    /// Where the method is mounted.
    #[serde(default = "userpass_mount")]
    #[schemars(required, schema_with = "userpass_schema")]
    pub path: String,
    /// The user.
    pub username: String,
    /// Where the password is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
}

/// A signed token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JwtAuth {
    /// Where the method is mounted.
    #[serde(default = "jwt_mount")]
    #[schemars(required, schema_with = "jwt_schema")]
    pub path: String,
    /// The role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Where the token is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
    /// The service account whose token is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes_service_account_token: Option<AccountToken>,
}

/// A service account whose token is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountToken {
    /// The account.
    pub service_account_ref: ServiceAccountRef,
    /// For whom the token is to be; `vault` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audiences: Option<Vec<String>>,
    /// How long it is good, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "int64_schema")]
    pub expiration_seconds: Option<i64>,
}

/// A client certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertAuth {
    /// Where the method is mounted; `cert` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "cert_schema")]
    pub path: Option<String>,
    /// The role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault_role: Option<String>,
    /// The certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<SecretKeyRef>,
    /// Its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
}

/// An identity of AWS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IamAuth {
    /// Where the method is mounted; `aws` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The region of AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A role to take on first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The role of Vault.
    pub vault_role: String,
    /// What the role of AWS wants to hear.
    #[serde(rename = "externalID", default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// What Vault wants to see in the signed request.
    #[serde(rename = "vaultAwsIamServerID", default, skip_serializing_if = "Option::is_none")]
    pub vault_aws_iam_server_id: Option<String>,
    /// Keys of AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<AwsSecretRef>,
    /// A service account that AWS trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<super::aws::AwsJwtAuth>,
}

/// An identity of Google: a service account's key, or the machine that we run on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcpVaultAuth {
    /// Where the method is mounted; `gcp` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "gcp_schema")]
    pub path: Option<String>,
    /// The role of Vault.
    pub role: String,
    /// The project; a key names its own.
    #[serde(rename = "projectID", default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// The region; without effect, as upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// A service account's key; absent means the machine that we run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<GcpSecretRef>,
    /// What is not honoured yet.
    #[serde(flatten)]
    pub unhonoured: Unhonoured<GcpVaultNames>,
}

/// Of `spec.provider.vault.auth.gcp`.
pub struct GcpVaultNames;
impl Names for GcpVaultNames {
    const NAMES: &'static [&'static str] = &["workloadIdentity", "serviceAccountRef"];
}

fn approle_mount() -> String {
    "approle".to_owned()
}

fn kubernetes_mount() -> String {
    "kubernetes".to_owned()
}

fn ldap_mount() -> String {
    "ldap".to_owned()
}

fn userpass_mount() -> String {
    "userpass".to_owned()
}

fn jwt_mount() -> String {
    "jwt".to_owned()
}

fn approle_schema(_: &mut SchemaGenerator) -> Schema {
    with_default("approle")
}

fn kubernetes_schema(_: &mut SchemaGenerator) -> Schema {
    with_default("kubernetes")
}

fn ldap_schema(_: &mut SchemaGenerator) -> Schema {
    with_default("ldap")
}

fn userpass_schema(_: &mut SchemaGenerator) -> Schema {
    with_default("userpass")
}

fn jwt_schema(_: &mut SchemaGenerator) -> Schema {
    with_default("jwt")
}

fn gcp_schema(_: &mut SchemaGenerator) -> Schema {
    with_default("gcp")
}

fn cert_schema(_: &mut SchemaGenerator) -> Schema {
    with_default("cert")
}

fn version_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "default": "v2", "enum": ["v1", "v2"] })
}
