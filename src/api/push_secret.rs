//! `PushSecret` and `ClusterPushSecret`: from a Secret to a store, as External Secrets Operator defines them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::external_secret::{Condition, GeneratorRef, Rewrite, StoreKind};
use super::target_template::{TargetTemplate, TemplateMetadata};
use super::{Carried, name_schema, time_schema};

/// Keeps an object with `deletionPolicy: Delete` until what was pushed is gone. The reference's name: both understand it.
pub const FINALIZER: &str = "pushsecret.externalsecrets.io/finalizer";

/// A Secret that is written into stores.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "external-secrets.io",
    version = "v1alpha1",
    kind = "PushSecret",
    plural = "pushsecrets",
    shortname = "ps",
    category = "external-secrets",
    namespaced,
    status = "PushSecretStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn = r#"{"name":"AGE","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Status","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Last Sync","type":"date","jsonPath":".status.refreshTime"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct PushSecretSpec {
    /// How often it is pushed again: a Go duration.
    #[serde(default = "one_hour")]
    #[schemars(schema_with = "interval_schema")]
    pub refresh_interval: String,
    /// Into which stores.
    pub secret_store_refs: Vec<PushStoreRef>,
    /// What is done about what is there already.
    #[serde(default)]
    #[schemars(schema_with = "update_policy_schema")]
    pub update_policy: UpdatePolicy,
    /// What becomes of what was pushed when the object, or an entry of it, goes.
    #[serde(default)]
    #[schemars(schema_with = "deletion_policy_schema")]
    pub deletion_policy: PushDeletionPolicy,
    /// Which Secret.
    #[schemars(schema_with = "selector_schema")]
    pub selector: PushSelector,
    /// Which keys, and where they go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<PushData>,
    /// Many keys at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_to: Vec<PushDataTo>,
    /// How what is pushed is made from the Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TargetTemplate>,
}

/// A store, or all that bear labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushStoreRef {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "name_schema")]
    pub name: Option<String>,
    /// The labels, when it has no name here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<LabelSelector>,
    /// `SecretStore` or `ClusterSecretStore`.
    #[serde(default)]
    #[schemars(schema_with = "store_kind_schema")]
    pub kind: StoreKind,
}

/// What is done about what is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpdatePolicy {
    /// It is written over.
    #[default]
    Replace,
    /// It is left as it is.
    IfNotExists,
}

/// What becomes of what was pushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PushDeletionPolicy {
    /// It goes, too.
    Delete,
    /// It stays.
    #[default]
    None,
}

/// Which Secret: one of the two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushSelector {
    /// One that is there, in the object's own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<PushSource>,
    /// One that a generator makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator_ref: Option<GeneratorRef>,
}

/// A Secret by name, or all that bear labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PushSource {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "name_schema")]
    pub name: Option<String>,
    /// The labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// One key, or the whole Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushData {
    /// From where to where.
    #[serde(rename = "match")]
    pub match_: PushMatch,
    /// What the provider is told beside it: each has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Carried>,
    /// How keys of the Secret are read.
    #[serde(default)]
    #[schemars(schema_with = "conversion_schema")]
    pub conversion_strategy: PushConversion,
}

/// From where to where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushMatch {
    /// The key; the whole Secret when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<String>,
    /// Where it goes.
    pub remote_ref: PushRemoteRef,
}

/// Where a value goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushRemoteRef {
    /// Path or name within the store.
    pub remote_key: String,
    /// A part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub property: Option<String>,
}

/// Many keys at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushDataTo {
    /// Into which of the stores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_ref: Option<PushStoreRef>,
    /// One entry for all of them; an entry each when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_key: Option<String>,
    /// Which keys; all when absent.
    #[serde(rename = "match", default, skip_serializing_if = "Option::is_none")]
    pub match_: Option<PushDataToMatch>,
    /// How their names are changed, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rewrites_schema")]
    pub rewrite: Vec<Rewrite>,
    /// What the provider is told beside them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Carried>,
    /// How keys of the Secret are read.
    #[serde(default)]
    #[schemars(schema_with = "conversion_schema")]
    pub conversion_strategy: PushConversion,
}

/// Which keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PushDataToMatch {
    /// A regular expression that matches anywhere in the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regexp: Option<String>,
}

/// How keys of the Secret are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PushConversion {
    /// As they stand.
    #[default]
    None,
    /// `_Uxxxx_` is the letter that it means.
    ReverseUnicode,
}

/// What became of a PushSecret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushSecretStatus {
    /// When it was last pushed completely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time_schema")]
    pub refresh_time: Option<String>,
    /// Generation and hash of labels and annotations that were handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synced_resource_version: Option<String>,
    /// What lies in which store: `Kind/name`, then the place within.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub synced_push_secrets: BTreeMap<String, BTreeMap<String, PushData>>,
    /// `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A PushSecret in every namespace that is selected.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "external-secrets.io",
    version = "v1alpha1",
    kind = "ClusterPushSecret",
    plural = "clusterpushsecrets",
    category = "external-secrets",
    status = "ClusterPushSecretStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn = r#"{"name":"AGE","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Status","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterPushSecretSpec {
    /// What the PushSecrets say.
    pub push_secret_spec: PushSecretSpec,
    /// Their name; the object's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "name_schema")]
    pub push_secret_name: Option<String>,
    /// Their labels and annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_secret_metadata: Option<ChildMetadata>,
    /// In which namespaces: one of the selectors must match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespace_selectors: Vec<LabelSelector>,
    /// How often the namespaces are looked at again: a Go duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_time: Option<String>,
}

/// Labels and annotations of objects that are made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChildMetadata {
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl From<ChildMetadata> for TemplateMetadata {
    fn from(metadata: ChildMetadata) -> Self {
        Self { annotations: metadata.annotations, labels: metadata.labels, finalizers: Vec::new() }
    }
}

/// What became of a ClusterPushSecret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterPushSecretStatus {
    /// Name of the PushSecrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_secret_name: Option<String>,
    /// Where one is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provisioned_namespaces: Vec<String>,
    /// Where one could not be made, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_namespaces: Vec<FailedNamespace>,
    /// `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A namespace where an object could not be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedNamespace {
    /// Which one.
    pub namespace: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

fn one_hour() -> String {
    "1h0m0s".to_owned()
}

fn interval_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "default": "1h0m0s" })
}

fn update_policy_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "default": "Replace", "enum": ["Replace", "IfNotExists"] })
}

fn deletion_policy_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "default": "None", "enum": ["Delete", "None"] })
}

fn store_kind_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "default": "SecretStore", "enum": ["SecretStore", "ClusterSecretStore"] })
}

fn conversion_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "default": "None", "enum": ["None", "ReverseUnicode"] })
}

fn selector_schema(generator: &mut SchemaGenerator) -> Schema {
    super::exactly_one::<PushSelector>(generator)
}

fn rewrites_schema(generator: &mut SchemaGenerator) -> Schema {
    let mut item = NamingRewrite::json_schema(generator).to_value();
    item["x-kubernetes-validations"] = serde_json::json!([{ "rule": "has(self.regexp) != has(self.transform)", "message": "one of regexp and transform" }]);
    json_schema!({ "type": "array", "items": item })
}

/// Of the three rewrites, the two that change names.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct NamingRewrite {
    regexp: Option<super::rewrite::RewriteRegexp>,
    transform: Option<super::rewrite::RewriteTransform>,
}
