//! `ExternalSecret`, as External Secrets Operator defines it.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::target_template::TargetTemplate;
use super::{Names, Unhonoured, key_schema, name_schema};

pub use super::rewrite::{
    ConflictPolicy, MergeStrategy, PriorityPolicy, Rewrite, RewriteMerge, RewriteRegexp, RewriteTransform,
};

mod status;

pub use status::{Binding, Condition, ExternalSecretRecord, ExternalSecretStatus, SourceRecord};

/// The condition that everybody reads.
pub const READY: &str = "Ready";
/// Label of Secrets that an ExternalSecret made.
pub const MANAGED_LABEL: &str = "reconcile.external-secrets.io/managed";
/// Label that names the maker by a hash.
pub const CREATED_BY_LABEL: &str = "reconcile.external-secrets.io/created-by";
/// Upstream's hash of the data.
pub const DATA_HASH: &str = "reconcile.external-secrets.io/data-hash";
/// What upstream puts on every ExternalSecret. We need none; it comes off when the object goes.
pub const FINALIZER: &str = "externalsecrets.external-secrets.io/externalsecret-cleanup";

/// Values that an outside store keeps, as a Secret.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "external-secrets.io",
    version = "v1",
    kind = "ExternalSecret",
    plural = "externalsecrets",
    shortname = "es",
    category = "external-secrets",
    namespaced,
    status = "ExternalSecretStatus",
    derive = "PartialEq",
    derive = "Default",
    selectable = ".spec.secretStoreRef.name",
    selectable = ".spec.secretStoreRef.kind",
    selectable = ".spec.target.name",
    selectable = ".spec.refreshInterval",
    printcolumn = r#"{"name":"StoreType","type":"string","jsonPath":".spec.secretStoreRef.kind"}"#,
    printcolumn = r#"{"name":"Store","type":"string","jsonPath":".spec.secretStoreRef.name"}"#,
    printcolumn = r#"{"name":"Refresh Interval","type":"string","jsonPath":".spec.refreshInterval"}"#,
    printcolumn = r#"{"name":"Status","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Last Sync","type":"date","jsonPath":".status.refreshTime"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ExternalSecretSpec {
    /// The store of every entry that names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_store_ref: Option<StoreRef>,
    /// When values are read again; `Periodic` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_policy: Option<RefreshPolicy>,
    /// How long values count: a Go duration.
    #[serde(default = "one_hour")]
    #[schemars(schema_with = "interval_schema")]
    pub refresh_interval: String,
    /// When values may be read again because their time is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_windows: Option<SyncWindows>,
    /// The Secret to make.
    #[serde(default)]
    #[schemars(schema_with = "target_schema")]
    pub target: Target,
    /// Single values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<DataEntry>,
    /// Whole maps of values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_from: Vec<DataFrom>,
}

/// When values may be read again because their time is over. What somebody changed or asks for is not held back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SyncWindows {
    /// What the windows do.
    pub kind: WindowKind,
    /// The windows, in UTC.
    #[schemars(length(min = 1))]
    pub windows: Vec<SyncWindow>,
}

/// What windows do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WindowKind {
    /// Only within them.
    #[default]
    Allow,
    /// Not within them.
    Deny,
}

/// One window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SyncWindow {
    /// When it begins: five fields as cron has them, or `@daily` and the like.
    #[schemars(schema_with = "schedule_schema")]
    pub schedule: String,
    /// How long it lasts: a Go duration.
    pub duration: String,
}

/// Which store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreRef {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "name_schema")]
    pub name: Option<String>,
    /// `SecretStore` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<StoreKind>,
}

/// The kind of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum StoreKind {
    /// In the same namespace.
    #[default]
    SecretStore,
    /// For the whole cluster.
    ClusterSecretStore,
}

/// When values are read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RefreshPolicy {
    /// Once.
    CreatedOnce,
    /// Every interval.
    #[default]
    Periodic,
    /// When the object changes.
    OnChange,
}

/// The Secret to make.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Its name; the ExternalSecret's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who owns it.
    #[serde(default)]
    pub creation_policy: CreationPolicy,
    /// What happens when the store no longer has the values.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Whether it is made immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub immutable: Option<bool>,
    /// How it is made from the values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TargetTemplate>,
    /// What is not honoured yet.
    #[serde(flatten)]
    pub unhonoured: Unhonoured<TargetNames>,
}

/// Who owns the Secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CreationPolicy {
    /// The ExternalSecret.
    #[default]
    Owner,
    /// Nobody.
    Orphan,
    /// Somebody else, who must make it.
    Merge,
    /// No Secret at all.
    None,
    /// Somebody else, or nobody.
    CreateOrMerge,
}

/// What happens when the store no longer has the values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// The Secret goes.
    Delete,
    /// The missing keys go.
    Merge,
    /// It stays, and an error is told.
    #[default]
    Retain,
}

/// One value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataEntry {
    /// Its key in the Secret.
    #[schemars(schema_with = "key_schema")]
    pub secret_key: String,
    /// Where it is.
    pub remote_ref: RemoteRef,
    /// The store of this entry, when it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "data_source_schema")]
    pub source_ref: Option<DataSourceRef>,
}

/// The store of one entry of `data`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataSourceRef {
    /// Which store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_ref: Option<StoreRef>,
    /// The reference reads no generator here either.
    #[serde(flatten)]
    pub unhonoured: Unhonoured<DataSourceNames>,
}

/// Where a value is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemoteRef {
    /// Path or name within the store.
    pub key: String,
    /// A part of what is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub property: Option<String>,
    /// Which version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether metadata is wanted in place of the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_policy: Option<MetadataPolicy>,
    /// How the value is decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoding_strategy: Option<DecodingStrategy>,
    /// How keys that Kubernetes does not take are changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversion_strategy: Option<ConversionStrategy>,
    /// What is done about NUL bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null_byte_policy: Option<NullBytePolicy>,
}

/// Whether metadata is wanted in place of the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum MetadataPolicy {
    /// The value.
    #[default]
    None,
    /// Its metadata.
    Fetch,
}

/// How a value is decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DecodingStrategy {
    /// Base64 or Base64URL if it is that.
    Auto,
    /// Base64; anything else is an error.
    Base64,
    /// Base64URL; anything else is an error.
    #[serde(rename = "Base64URL")]
    Base64Url,
    /// Not at all.
    #[default]
    None,
}

/// How keys that Kubernetes does not take are changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConversionStrategy {
    /// Each wrong character becomes `_`.
    #[default]
    Default,
    /// Each wrong character becomes `_Uxxxx_`.
    Unicode,
}

/// What is done about NUL bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum NullBytePolicy {
    /// Nothing.
    #[default]
    Ignore,
    /// They are an error.
    Fail,
}

/// A map of values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataFrom {
    /// All keys of one entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extract: Option<RemoteRef>,
    /// Every entry that matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub find: Option<Find>,
    /// How its keys are changed, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rewrites_schema")]
    pub rewrite: Vec<Rewrite>,
    /// The store of this entry, when it is another one, or a generator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "source_schema")]
    pub source_ref: Option<SourceRef>,
}

/// The store of one entry, or a generator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceRef {
    /// Which store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_ref: Option<StoreRef>,
    /// Which generator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator_ref: Option<GeneratorRef>,
}

/// Which generator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GeneratorRef {
    /// Its group and version.
    #[serde(default = "generator_version")]
    #[schemars(schema_with = "generator_version_schema")]
    pub api_version: String,
    /// Its kind.
    #[schemars(schema_with = "generator_kind_schema")]
    pub kind: String,
    /// Its name.
    #[schemars(schema_with = "name_schema")]
    pub name: String,
}

/// Which entries of a store are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Find {
    /// Where the search begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// By name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<FindName>,
    /// By tags, all of which must be equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// How keys that Kubernetes does not take are changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversion_strategy: Option<ConversionStrategy>,
    /// How values are decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoding_strategy: Option<DecodingStrategy>,
    /// What is done about NUL bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null_byte_policy: Option<NullBytePolicy>,
}

/// By name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct FindName {
    /// A regular expression that matches anywhere in the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regexp: Option<String>,
}

/// Of `spec.target`.
pub struct TargetNames;
impl Names for TargetNames {
    const NAMES: &'static [&'static str] = &["manifest"];
}

/// Of `spec.data[].sourceRef`.
pub struct DataSourceNames;
impl Names for DataSourceNames {
    const NAMES: &'static [&'static str] = &["generatorRef"];
}

fn one_hour() -> String {
    "1h0m0s".to_owned()
}

fn interval_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "default": "1h0m0s" })
}

fn generator_version() -> String {
    super::generators::API_VERSION.to_owned()
}

fn generator_version_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "default": super::generators::API_VERSION })
}

fn generator_kind_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": super::generators::REFERABLE })
}

fn schedule_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "pattern": r"^(@(annually|yearly|monthly|weekly|daily|midnight|hourly)|@every [^\s]+.*|[^\s]+( [^\s]+){4})$",
    })
}

fn data_source_schema(generator: &mut SchemaGenerator) -> Schema {
    super::exactly_one::<DataSourceRef>(generator)
}

fn source_schema(generator: &mut SchemaGenerator) -> Schema {
    super::exactly_one::<SourceRef>(generator)
}

fn rewrites_schema(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": super::exactly_one::<Rewrite>(generator) })
}

/// With upstream's defaults: without them a client that reads the object back sees other values than upstream's.
fn target_schema(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = Target::json_schema(generator).to_value();
    schema["default"] = serde_json::json!({ "creationPolicy": "Owner", "deletionPolicy": "Retain" });
    schema["properties"]["name"] = name_schema(generator).to_value();
    schema["properties"]["creationPolicy"] = serde_json::json!({
        "type": "string", "default": "Owner", "enum": ["Owner", "Orphan", "Merge", "None", "CreateOrMerge"],
    });
    schema["properties"]["deletionPolicy"] =
        serde_json::json!({ "type": "string", "default": "Retain", "enum": ["Delete", "Merge", "Retain"] });
    Schema::try_from(schema).unwrap_or_default()
}
