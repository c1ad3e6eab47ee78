//! `SealedSecret`, `bitnami.com/v1alpha1`, as upstream defines it and with our optional part of the status.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// The condition that upstream's users read; it stays first.
pub const SYNCED: &str = "Synced";
/// The same in the word that everybody else uses.
pub const READY: &str = "Ready";
/// On an existing Secret: it may be taken over.
pub const MANAGED: &str = "sealedsecrets.bitnami.com/managed";
/// On an existing Secret: items are merged into it.
pub const PATCH: &str = "sealedsecrets.bitnami.com/patch";
/// On the template: the Secret gets no owner reference.
pub const SKIP_SET_OWNER_REFERENCES: &str = "sealedsecrets.bitnami.com/skip-set-owner-references";
/// On the SealedSecret: items that open are written although others do not.
pub const PARTIAL: &str = "chancery.dev/partial";
/// On the SealedSecret: which rules its templates follow, `0.36` or `0.40`.
pub const TEMPLATE_RULES: &str = "chancery.dev/template-rules";
/// Label of the Secrets that hold sealing keys.
pub const KEY_LABEL: &str = "sealedsecrets.bitnami.com/sealed-secrets-key";
/// The label's one value that counts.
pub const KEY_ACTIVE: &str = "active";

/// Values that only the cluster can read.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "bitnami.com",
    version = "v1alpha1",
    kind = "SealedSecret",
    plural = "sealedsecrets",
    namespaced,
    status = "SealedSecretStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn = r#"{"name":"Status","type":"string","jsonPath":".status.conditions[0].message"}"#,
    printcolumn = r#"{"name":"Synced","type":"string","jsonPath":".status.conditions[0].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct SealedSecretSpec {
    /// Sealed values by the key that they get in the Secret.
    #[serde(deserialize_with = "lenient_items")]
    #[schemars(schema_with = "items_schema")]
    pub encrypted_data: BTreeMap<String, String>,

    /// The whole Secret as one sealed value: the format before 2019, read only.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient_text")]
    #[schemars(schema_with = "byte_schema")]
    pub data: Option<String>,

    /// What the Secret looks like apart from the values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<SecretTemplate>,
}

/// The shape of the Secret to make.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SecretTemplate {
    /// Labels, annotations and finalizers of the Secret. Its name and namespace are always the SealedSecret's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "metadata_schema")]
    pub metadata: Option<TemplateMetadata>,

    /// The type; empty means `Opaque`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub type_: Option<String>,

    /// Whether the Secret is made immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub immutable: Option<bool>,

    /// Further keys, each a Go template over the opened values; `null` leaves a key out of the Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "template_data_schema")]
    pub data: Option<BTreeMap<String, Option<String>>>,
}

/// Metadata as a template gives it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TemplateMetadata {
    /// Read for completeness: the SealedSecret's own name counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Read for completeness: the SealedSecret's own namespace counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Labels of the Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
    /// Finalizers of the Secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub finalizers: Vec<String>,
    /// What else was written there; it survives a round trip and does nothing.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What became of a SealedSecret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SealedSecretStatus {
    /// The generation that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub observed_generation: Option<i64>,
    /// `Synced` first, as upstream's readers expect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<SealedSecretCondition>,
    /// What Chancery remembers to need no work after a restart; upstream has no such field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SealedSecretRecord")]
    pub chancery: Option<SealedSecretRecord>,
}

/// A condition with upstream's two times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SealedSecretCondition {
    /// `Synced`, …
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// When this was last written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time_schema")]
    pub last_update_time: Option<String>,
    /// When `status` last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time_schema")]
    pub last_transition_time: Option<String>,
    /// CamelCase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub reason: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub message: Option<String>,
}

/// What was done last: enough to know that nothing is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SealedSecretRecord {
    /// The Secret as it was written.
    #[serde(default)]
    pub target: TargetRecord,
    /// Keyed digest of what the Secret was made from.
    #[serde(default)]
    pub inputs: String,
    /// Keyed digest of what was written.
    #[serde(default)]
    pub outputs: String,
    /// Fingerprints of the keys that opened the items, with how many each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<String, i64>,
    /// Names of items that do not open, the first twenty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failing: Vec<String>,
    /// How its templates were rendered, where it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RenderingRecord")]
    pub rendering: Option<RenderingRecord>,
}

/// What makes templates render the same bytes again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RenderingRecord {
    /// The generation that was rendered.
    #[serde(default)]
    pub generation: i64,
    /// What `now` was.
    #[serde(default)]
    pub at: String,
    /// Whose rules were followed: `0.36` or `0.40`.
    #[serde(default)]
    pub rules: String,
}

/// One version of one incarnation of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetRecord {
    /// `metadata.uid`.
    #[serde(default)]
    pub uid: String,
    /// `metadata.resourceVersion`.
    #[serde(default)]
    pub resource_version: String,
}

/// Items are read leniently: what is not a text becomes an empty one, which fails under its own name, and what is not
/// a map becomes an empty one. One bad object must not stall the others.
fn lenient_items<'de, D: Deserializer<'de>>(input: D) -> Result<BTreeMap<String, String>, D::Error> {
    let Value::Object(fields) = Value::deserialize(input)? else {
        return Ok(BTreeMap::new());
    };
    let text = |value: Value| value.as_str().map(ToOwned::to_owned).unwrap_or_default();
    Ok(fields.into_iter().map(|(key, value)| (key, text(value))).collect())
}

fn lenient_text<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(input)? {
        Value::Null => None,
        Value::String(text) => Some(text),
        _ => Some(String::new()),
    })
}

/// `null` where a map or list is meant.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(input: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

fn items_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "type": "string" },
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

fn byte_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "byte" })
}

fn time_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

fn template_data_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "nullable": true,
        "additionalProperties": { "type": "string", "nullable": true },
    })
}

fn metadata_schema(_: &mut SchemaGenerator) -> Schema {
    let texts = json_schema!({ "type": "object", "additionalProperties": { "type": "string" } });
    json_schema!({
        "type": "object",
        "nullable": true,
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "annotations": texts,
            "labels": texts,
            "finalizers": { "type": "array", "items": { "type": "string" } },
            "name": { "type": "string" },
            "namespace": { "type": "string" },
        },
    })
}
