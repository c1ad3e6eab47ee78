//! `SecretStore` and `ClusterSecretStore`, as External Secrets Operator defines them.

use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::external_secret::Condition;
use super::{Carried, Names, Unhonoured, key_schema, name_schema, namespace_schema};

/// An outside store of values, for one namespace.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "external-secrets.io",
    version = "v1",
    kind = "SecretStore",
    plural = "secretstores",
    shortname = "ss",
    category = "external-secrets",
    namespaced,
    status = "SecretStoreStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn = r#"{"name":"AGE","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Status","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Capabilities","type":"string","jsonPath":".status.capabilities"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct SecretStoreSpec {
    /// The class of controller; ours is the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// Which store: exactly one.
    #[schemars(schema_with = "provider_schema")]
    pub provider: Provider,
    /// How often the store is tried: seconds, or a Go duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "int_or_string_schema")]
    pub refresh_interval: Option<Carried>,
    /// Which namespaces may use it; of a ClusterSecretStore.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<StoreCondition>,
    /// What is not honoured yet.
    #[serde(flatten)]
    pub unhonoured: Unhonoured<StoreNames>,
}

/// An outside store of values, for the whole cluster.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "external-secrets.io",
    version = "v1",
    kind = "ClusterSecretStore",
    plural = "clustersecretstores",
    shortname = "css",
    category = "external-secrets",
    status = "SecretStoreStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn = r#"{"name":"AGE","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Status","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Capabilities","type":"string","jsonPath":".status.capabilities"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#
)]
pub struct ClusterSecretStoreSpec {
    /// The same fields as a SecretStore's.
    #[serde(flatten)]
    pub store: SecretStoreSpec,
}

/// Which store: exactly one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Provider {
    /// HashiCorp Vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault: Option<Vault>,
    /// OpenBao, which speaks Vault's API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_bao: Option<Vault>,
    /// Values that stand in the store itself: for trials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fake: Option<Fake>,
    /// What is not honoured yet.
    #[serde(flatten)]
    pub unhonoured: Unhonoured<ProviderNames>,
}

/// Values that stand in the store itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fake {
    /// The values.
    pub data: Vec<FakeEntry>,
    /// How the store answers when it is tried: 0 ready, 1 unknown, 2 wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "integer_schema")]
    pub validation_result: Option<i64>,
}

/// One value.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FakeEntry {
    /// Its name.
    pub key: String,
    /// The value.
    pub value: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Without the value: people put real ones there.
impl std::fmt::Debug for FakeEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeEntry").field("key", &self.key).field("version", &self.version).finish_non_exhaustive()
    }
}

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
    /// Who we are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<VaultAuth>,
    /// What is not honoured yet.
    #[serde(flatten)]
    pub unhonoured: Unhonoured<VaultNames>,
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

/// Who we are: the first that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VaultAuth {
    /// Vault namespace of the login only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// A token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeyRef>,
    /// A service account's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesAuth>,
    /// What is not honoured yet.
    #[serde(flatten)]
    pub unhonoured: Unhonoured<AuthNames>,
}

/// Login with a service account's token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesAuth {
    /// Where the method is mounted.
    #[serde(default = "kubernetes_mount")]
    #[schemars(required, schema_with = "mount_schema")]
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

/// A key of a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "name_schema")]
    pub name: Option<String>,
    /// Its namespace; of a ClusterSecretStore only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "namespace_schema")]
    pub namespace: Option<String>,
    /// The key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "key_schema")]
    pub key: Option<String>,
}

/// A service account.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ServiceAccountRef {
    /// Its name.
    #[schemars(schema_with = "name_schema")]
    pub name: String,
    /// Its namespace; of a ClusterSecretStore only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "namespace_schema")]
    pub namespace: Option<String>,
    /// Audiences of the token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
}

/// Where a certificate authority is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct CaProvider {
    /// The kind of object.
    #[serde(rename = "type")]
    pub type_: CaProviderType,
    /// Its name.
    #[schemars(schema_with = "name_schema")]
    pub name: String,
    /// The key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "key_schema")]
    pub key: Option<String>,
    /// Its namespace; of a ClusterSecretStore only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "namespace_schema")]
    pub namespace: Option<String>,
}

/// The kind of object that holds a certificate authority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum CaProviderType {
    /// A Secret.
    #[default]
    Secret,
    /// A ConfigMap.
    ConfigMap,
}

/// Which namespaces may use a ClusterSecretStore: one of these fields must match.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreCondition {
    /// Names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"), length(min = 1, max = 63)))]
    pub namespaces: Vec<String>,
    /// What is not honoured yet.
    #[serde(flatten)]
    pub unhonoured: Unhonoured<StoreConditionNames>,
}

/// What became of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretStoreStatus {
    /// `Ready`, and others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// `ReadOnly`, `WriteOnly` or `ReadWrite`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<String>,
}

/// Of `spec`.
pub struct StoreNames;
impl Names for StoreNames {
    const NAMES: &'static [&'static str] = &["retrySettings"];
}

/// Of `spec.conditions[]`.
pub struct StoreConditionNames;
impl Names for StoreConditionNames {
    const NAMES: &'static [&'static str] = &["namespaceRegexes", "namespaceSelector"];
}

/// Of `spec.provider.vault`.
pub struct VaultNames;
impl Names for VaultNames {
    const NAMES: &'static [&'static str] = &["checkAndSet", "forwardInconsistent", "headers", "readYourWrites", "tls"];
}

/// Of `spec.provider.vault.auth`.
pub struct AuthNames;
impl Names for AuthNames {
    const NAMES: &'static [&'static str] = &["appRole", "cert", "gcp", "iam", "jwt", "ldap", "userPass"];
}

/// Of `spec.provider`.
pub struct ProviderNames;
impl Names for ProviderNames {
    const NAMES: &'static [&'static str] = &[
        "akeyless",
        "aws",
        "azurekv",
        "barbican",
        "beyondtrust",
        "beyondtrustworkloadcredentials",
        "bitwardensecretsmanager",
        "chef",
        "cloudrusm",
        "conjur",
        "crd",
        "delinea",
        "doppler",
        "dvls",
        "fortanix",
        "gcpsm",
        "github",
        "gitlab",
        "ibm",
        "infisical",
        "keepersecurity",
        "kubernetes",
        "nebiusmysterybox",
        "ngrok",
        "onboardbase",
        "onepassword",
        "onepasswordSDK",
        "oracle",
        "ovh",
        "passbolt",
        "passworddepot",
        "previder",
        "pulumi",
        "scaleway",
        "secretserver",
        "senhasegura",
        "volcengine",
        "webhook",
        "yandexcertificatemanager",
        "yandexlockbox",
    ];
}

fn kubernetes_mount() -> String {
    "kubernetes".to_owned()
}

fn mount_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "default": "kubernetes" })
}

fn version_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "default": "v2", "enum": ["v1", "v2"] })
}

fn byte_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "byte" })
}

fn integer_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer" })
}

fn int_or_string_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-int-or-string": true })
}

fn provider_schema(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = Provider::json_schema(generator).to_value();
    schema["minProperties"] = 1.into();
    schema["maxProperties"] = 1.into();
    Schema::try_from(schema).unwrap_or_default()
}
