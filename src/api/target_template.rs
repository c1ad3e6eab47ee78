//! The template of a Secret, the same in ExternalSecret and PushSecret.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::external_secret::DecodingStrategy;
use super::{key_schema, name_schema};

/// How the Secret is made from the values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetTemplate {
    /// `type` of the Secret.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// The only engine there is.
    #[serde(default = "v2")]
    #[schemars(schema_with = "engine_schema")]
    pub engine_version: String,
    /// Labels, annotations and finalizers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// Whether the values themselves stay beside what is rendered.
    #[serde(default)]
    #[schemars(schema_with = "merge_policy_schema")]
    pub merge_policy: TemplateMergePolicy,
    /// A template a key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
    /// Templates that are elsewhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub template_from: Vec<TemplateFrom>,
}

/// Labels, annotations and finalizers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TemplateMetadata {
    /// Each value is a template.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Each value is a template.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// As they stand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finalizers: Vec<String>,
}

/// Whether the values themselves stay beside what is rendered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TemplateMergePolicy {
    /// They do not.
    #[default]
    Replace,
    /// They do.
    Merge,
}

/// Templates that are elsewhere: one of the first three.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateFrom {
    /// In a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<TemplateRef>,
    /// In a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<TemplateRef>,
    /// Here: what it renders is a YAML map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub literal: Option<String>,
    /// What is made of it: `Data`, `Labels` or `Annotations`.
    #[serde(default = "data_target")]
    #[schemars(schema_with = "target_schema")]
    pub target: String,
    /// How rendered values are decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values_decoding_strategy: Option<DecodingStrategy>,
}

/// An object that holds templates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TemplateRef {
    /// Its name.
    #[schemars(schema_with = "name_schema")]
    pub name: String,
    /// Which of its keys.
    pub items: Vec<TemplateItem>,
}

/// A key that holds a template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateItem {
    /// The key.
    #[schemars(schema_with = "key_schema")]
    pub key: String,
    /// What it renders.
    #[serde(default)]
    #[schemars(schema_with = "template_as_schema")]
    pub template_as: TemplateAs,
}

/// What a template renders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TemplateAs {
    /// The value of its key.
    #[default]
    Values,
    /// A YAML map of keys and values.
    KeysAndValues,
}

fn v2() -> String {
    "v2".to_owned()
}

fn data_target() -> String {
    "Data".to_owned()
}

fn engine_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "default": "v2", "enum": ["v2"] })
}

fn merge_policy_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "default": "Replace", "enum": ["Replace", "Merge"] })
}

fn target_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "default": "Data" })
}

fn template_as_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "default": "Values", "enum": ["Values", "KeysAndValues"] })
}
