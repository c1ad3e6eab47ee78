//! Generators: values that are made, not kept. `generators.external-secrets.io/v1alpha1`.
//!
//! They are read when an ExternalSecret or PushSecret asks for a value, and not watched.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Carried;
use super::secret_store::{CaProvider, SecretKeyRef, Vault};

mod made;

pub use made::{
    Fake, FakeSpec, Password, PasswordEncoding, PasswordSpec, SSHKey, SshKeySpec, SshKeyType, UUID, UuidSpec,
};
use made::{false_schema, integer_schema};

/// Group and version.
pub const API_VERSION: &str = "generators.external-secrets.io/v1alpha1";

/// Every kind that upstream lets one refer to; those that we do not have are refused by name.
pub const REFERABLE: [&str; 18] = [
    "ACRAccessToken",
    "BeyondtrustWorkloadCredentialsDynamicSecret",
    "ClusterGenerator",
    "CloudsmithAccessToken",
    "ECRAuthorizationToken",
    "Fake",
    "GCRAccessToken",
    "GithubAccessToken",
    "GitlabDeployToken",
    "QuayAccessToken",
    "Password",
    "SSHKey",
    "STSSessionToken",
    "UUID",
    "VaultDynamicSecret",
    "Webhook",
    "Grafana",
    "MFA",
];

/// The definitions of all kinds.
pub(super) fn crds() -> Vec<CustomResourceDefinition> {
    vec![
        ACRAccessToken::crd(),
        ClusterGenerator::crd(),
        ECRAuthorizationToken::crd(),
        Fake::crd(),
        GCRAccessToken::crd(),
        GithubAccessToken::crd(),
        Password::crd(),
        SSHKey::crd(),
        STSSessionToken::crd(),
        UUID::crd(),
        VaultDynamicSecret::crd(),
        Webhook::crd(),
    ]
}

/// What a web service answers.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "generators.external-secrets.io",
    version = "v1alpha1",
    kind = "Webhook",
    plural = "webhooks",
    category = "external-secrets",
    category = "external-secrets-generators",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct WebhookSpec {
    /// Where it is; a template.
    pub url: String,
    /// `GET` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Headers of the request; each value is a template.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Body of the request; a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// How long the answer may take: a Go duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Who we are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Carried>,
    /// What of the answer is wanted.
    pub result: WebhookResult,
    /// Values that templates may name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<WebhookSecret>,
    /// Certificate authority, PEM in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<String>,
    /// Where the certificate authority is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_provider: Option<CaProvider>,
}

/// A credential that Vault or OpenBao makes.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "generators.external-secrets.io",
    version = "v1alpha1",
    kind = "VaultDynamicSecret",
    plural = "vaultdynamicsecrets",
    category = "external-secrets",
    category = "external-secrets-generators",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct VaultDynamicSecretSpec {
    /// The class of controller; ours is the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// Which Vault, and who we are.
    pub provider: Vault,
    /// Path of the request, mount included.
    pub path: String,
    /// `GET` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Body of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Carried>,
    /// Query of a `GET`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub get_parameters: BTreeMap<String, Vec<String>>,
    /// Which part of the answer is wanted.
    #[serde(default)]
    #[schemars(schema_with = "result_type_schema")]
    pub result_type: VaultResultType,
    /// Whether an answer without content is no error.
    #[serde(default)]
    #[schemars(schema_with = "false_schema")]
    pub allow_empty_response: bool,
    /// How often a failed request is repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_settings: Option<Carried>,
}

/// A login to Amazon's container registry.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "generators.external-secrets.io",
    version = "v1alpha1",
    kind = "ECRAuthorizationToken",
    plural = "ecrauthorizationtokens",
    category = "external-secrets",
    category = "external-secrets-generators",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct EcrAuthorizationTokenSpec {
    /// Region.
    pub region: String,
    /// Who we are; our own pod when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Carried>,
    /// A role to assume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// `private` or `public`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// A session of Amazon's STS.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "generators.external-secrets.io",
    version = "v1alpha1",
    kind = "STSSessionToken",
    plural = "stssessiontokens",
    category = "external-secrets",
    category = "external-secrets-generators",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct StsSessionTokenSpec {
    /// Region.
    pub region: String,
    /// Who we are; our own pod when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Carried>,
    /// A role to assume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_parameters: Option<StsRequest>,
}

/// A login to Google's container registries.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "generators.external-secrets.io",
    version = "v1alpha1",
    kind = "GCRAccessToken",
    plural = "gcraccesstokens",
    category = "external-secrets",
    category = "external-secrets-generators",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct GcrAccessTokenSpec {
    /// Project.
    #[serde(rename = "projectID")]
    pub project_id: String,
    /// Who we are.
    pub auth: Carried,
}

/// A login to Azure's container registry.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "generators.external-secrets.io",
    version = "v1alpha1",
    kind = "ACRAccessToken",
    plural = "acraccesstokens",
    category = "external-secrets",
    category = "external-secrets-generators",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct AcrAccessTokenSpec {
    /// Address of the registry.
    pub registry: String,
    /// Who we are.
    pub auth: Carried,
    /// What the token is good for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// Which cloud.
    #[serde(default = "public_cloud")]
    #[schemars(schema_with = "environment_schema")]
    pub environment_type: String,
}

/// A token of a GitHub App's installation.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "generators.external-secrets.io",
    version = "v1alpha1",
    kind = "GithubAccessToken",
    plural = "githubaccesstokens",
    category = "external-secrets",
    category = "external-secrets-generators",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct GithubAccessTokenSpec {
    /// Address of the API; GitHub's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The App.
    #[serde(rename = "appID")]
    pub app_id: String,
    /// Its installation.
    #[serde(rename = "installID")]
    pub install_id: String,
    /// Repositories that the token is good for; all when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<String>,
    /// What the token is good for; everything that the installation may when absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub permissions: BTreeMap<String, String>,
    /// Who we are.
    pub auth: GithubAuth,
}

/// A generator for the whole cluster.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "generators.external-secrets.io",
    version = "v1alpha1",
    kind = "ClusterGenerator",
    plural = "clustergenerators",
    category = "external-secrets",
    category = "external-secrets-generators"
)]
pub struct ClusterGeneratorSpec {
    /// Which kind.
    #[schemars(schema_with = "inner_kind_schema")]
    pub kind: String,
    /// Its spec, under the field of that kind.
    #[schemars(schema_with = "inner_schema")]
    pub generator: Carried,
}

impl ClusterGeneratorSpec {
    /// The spec of the generator within; none when it does not belong to `kind`.
    pub fn inner(&self) -> Option<&Value> {
        let field = match self.kind.as_str() {
            "ACRAccessToken" => "acrAccessTokenSpec",
            "ECRAuthorizationToken" => "ecrAuthorizationTokenSpec",
            "Fake" => "fakeSpec",
            "GCRAccessToken" => "gcrAccessTokenSpec",
            "GithubAccessToken" => "githubAccessTokenSpec",
            "Password" => "passwordSpec",
            "SSHKey" => "sshKeySpec",
            "STSSessionToken" => "stsSessionTokenSpec",
            "UUID" => "uuidSpec",
            "VaultDynamicSecret" => "vaultDynamicSecretSpec",
            "Webhook" => "webhookSpec",
            _ => return None,
        };
        self.generator.0.get(field)
    }
}

/// What of an answer is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookResult {
    /// A path into its JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_path: Option<String>,
}

/// A value that templates may name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookSecret {
    /// Its name in templates.
    pub name: String,
    /// Where it is.
    pub secret_ref: SecretKeyRef,
}

/// Which part of Vault's answer is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VaultResultType {
    /// `data`.
    #[default]
    Data,
    /// `auth`.
    Auth,
    /// All of it.
    Raw,
}

/// What STS is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StsRequest {
    /// How long it is good, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "integer_schema")]
    pub session_duration: Option<i64>,
    /// The MFA device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    /// Its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_code: Option<String>,
}

/// Who we are to GitHub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GithubAuth {
    /// The App's private key.
    pub private_key: GithubPrivateKey,
}

/// The App's private key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GithubPrivateKey {
    /// Where it is.
    pub secret_ref: SecretKeyRef,
}

fn public_cloud() -> String {
    "PublicCloud".to_owned()
}

fn result_type_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "default": "Data", "enum": ["Data", "Auth", "Raw"] })
}

fn environment_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "default": "PublicCloud",
        "enum": ["PublicCloud", "USGovernmentCloud", "ChinaCloud", "GermanCloud", "AzureStackCloud"],
    })
}

fn inner_kind_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": REFERABLE.iter().filter(|kind| **kind != "ClusterGenerator").collect::<Vec<_>>() })
}

fn inner_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true, "minProperties": 1, "maxProperties": 1 })
}
