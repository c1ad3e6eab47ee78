//! `spec.provider.gcpsm`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{SecretKeyRef, ServiceAccountRef};
use crate::api::{name_schema, namespace_schema};

/// Google Secret Manager.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcpSm {
    /// The project; absent means the one of our own pod.
    #[serde(rename = "projectID", default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// The region, for regional secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Who we are; absent means the identity of our own pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<GcpAuth>,
    /// What is read when the newest version cannot be.
    #[serde(default)]
    #[schemars(schema_with = "selection_schema")]
    pub secret_version_selection_policy: VersionSelection,
}

/// What is read when the newest version cannot be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VersionSelection {
    /// Nothing.
    #[default]
    LatestOrFail,
    /// The newest that can.
    LatestOrFetch,
}

/// Who we are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcpAuth {
    /// A service account's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<GcpSecretRef>,
    /// A service account of a GKE cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<GcpWorkloadIdentity>,
    /// An identity from elsewhere that Google trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_identity_federation: Option<GcpFederation>,
}

/// A service account's key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcpSecretRef {
    /// Where the key is, as Google hands it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key_secret_ref: Option<SecretKeyRef>,
}

/// A service account of a GKE cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcpWorkloadIdentity {
    /// The account.
    pub service_account_ref: ServiceAccountRef,
    /// Where the cluster is; absent means ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_location: Option<String>,
    /// The cluster's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// The cluster's project.
    #[serde(rename = "clusterProjectID", default, skip_serializing_if = "Option::is_none")]
    pub cluster_project_id: Option<String>,
}

/// An identity from elsewhere that Google trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcpFederation {
    /// A configuration as Google hands it out, in a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cred_config: Option<ConfigMapRef>,
    /// The account whose token is exchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_ref: Option<ServiceAccountRef>,
    /// Keys of AWS that are exchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws_security_credentials: Option<AwsForGoogle>,
    /// For whom the token is: the provider's full name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Where tokens are exchanged, instead of Google's own place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_token_endpoint: Option<String>,
    /// The service account to take on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "email_schema")]
    pub gcp_service_account_email: Option<String>,
}

/// A key of a ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ConfigMapRef {
    /// Its name.
    #[schemars(schema_with = "name_schema")]
    pub name: String,
    /// The key.
    #[schemars(schema_with = "crate::api::key_schema")]
    pub key: String,
    /// Its namespace; of a ClusterSecretStore only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "namespace_schema")]
    pub namespace: Option<String>,
}

/// Keys of AWS that are exchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsForGoogle {
    /// The region.
    #[schemars(schema_with = "region_schema")]
    pub region: String,
    /// The Secret with `aws_access_key_id`, `aws_secret_access_key` and, of a session, `aws_session_token`.
    pub aws_credentials_secret_ref: WholeSecretRef,
}

/// A whole Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct WholeSecretRef {
    /// Its name.
    #[schemars(schema_with = "name_schema")]
    pub name: String,
    /// Its namespace; of a ClusterSecretStore only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "namespace_schema")]
    pub namespace: Option<String>,
}

fn selection_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "default": "LatestOrFail" })
}

fn email_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": r"^.*@.*\.iam\.gserviceaccount\.com$", "minLength": 1 })
}

fn region_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[a-z0-9-]+$", "minLength": 1, "maxLength": 50 })
}
