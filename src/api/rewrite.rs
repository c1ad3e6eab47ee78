//! How keys of a map are changed, the same in ExternalSecret and PushSecret.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// One change: one of the three.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rewrite {
    /// By a regular expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regexp: Option<RewriteRegexp>,
    /// By a template over `.value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform: Option<RewriteTransform>,
    /// By merging the JSON objects that the values are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<RewriteMerge>,
}

/// By a regular expression.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RewriteRegexp {
    /// The expression; it matches anywhere.
    pub source: String,
    /// What takes its place; `$1` and `${name}` are groups.
    pub target: String,
}

/// By a template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RewriteTransform {
    /// The template.
    pub template: String,
}

/// By merging the JSON objects that the values are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RewriteMerge {
    /// The key that the merged object gets, with strategy JSON.
    #[serde(default)]
    #[schemars(schema_with = "into_schema")]
    pub into: String,
    /// Keys that come last, and so win.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub priority: Vec<String>,
    /// What is done about a key of `priority` that is not there.
    #[serde(default)]
    #[schemars(schema_with = "priority_policy_schema")]
    pub priority_policy: PriorityPolicy,
    /// What is done about a field that more than one object has.
    #[serde(default)]
    #[schemars(schema_with = "conflict_policy_schema")]
    pub conflict_policy: ConflictPolicy,
    /// What becomes of the merged object.
    #[serde(default)]
    #[schemars(schema_with = "strategy_schema")]
    pub strategy: MergeStrategy,
}

/// What is done about a key of `priority` that is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PriorityPolicy {
    /// It is left out.
    IgnoreNotFound,
    /// It is an error.
    #[default]
    Strict,
}

/// What is done about a field that more than one object has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConflictPolicy {
    /// The last one counts.
    Ignore,
    /// It is an error.
    #[default]
    Error,
}

/// What becomes of the merged object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MergeStrategy {
    /// Each field a key.
    #[default]
    Extract,
    /// One key that holds it as JSON.
    #[serde(rename = "JSON")]
    Json,
}

fn into_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "default": "" })
}

fn priority_policy_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "default": "Strict", "enum": ["IgnoreNotFound", "Strict"] })
}

fn conflict_policy_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "default": "Error", "enum": ["Ignore", "Error"] })
}

fn strategy_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "default": "Extract", "enum": ["Extract", "JSON"] })
}
