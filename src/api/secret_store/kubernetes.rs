//! `spec.provider.kubernetes`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{CaProvider, SecretKeyRef, ServiceAccountRef, byte_schema, with_default};

/// Secrets of another namespace or cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Kubernetes {
    /// The API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<KubernetesServer>,
    /// The namespace.
    #[serde(default = "default_namespace")]
    #[schemars(schema_with = "remote_namespace_schema")]
    pub remote_namespace: String,
    /// Who we are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "auth_schema")]
    pub auth: Option<KubernetesStoreAuth>,
    /// A kubeconfig in a Secret, instead of `server` and `auth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_ref: Option<SecretKeyRef>,
}

/// The API server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesServer {
    /// Its address; absent means our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "url_schema")]
    pub url: Option<String>,
    /// Certificate authority, PEM in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "byte_schema")]
    pub ca_bundle: Option<String>,
    /// Where the certificate authority is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_provider: Option<CaProvider>,
}

/// Who we are there: exactly one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesStoreAuth {
    /// A client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<KubernetesCert>,
    /// A token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<KubernetesToken>,
    /// A service account of this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<ServiceAccountRef>,
}

/// A client certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesCert {
    /// The certificate.
    pub client_cert: SecretKeyRef,
    /// Its key.
    pub client_key: SecretKeyRef,
}

/// A token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesToken {
    /// Where it is.
    pub bearer_token: SecretKeyRef,
}

fn default_namespace() -> String {
    "default".to_owned()
}

fn remote_namespace_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "default": "default",
        "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "minLength": 1, "maxLength": 63,
    })
}

fn url_schema(_: &mut SchemaGenerator) -> Schema {
    with_default("kubernetes.default")
}

fn auth_schema(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = KubernetesStoreAuth::json_schema(generator).to_value();
    schema["minProperties"] = 1.into();
    schema["maxProperties"] = 1.into();
    Schema::try_from(schema).unwrap_or_default()
}
