//! `KeyReport`: which sealing keys there are, what still needs each, and what to do about it.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The one name that counts, in the namespace of the keys.
pub const NAME: &str = "sealing-keys";
/// On it: make a new key now, which seals from then on. Taken away when it is done.
pub const RENEW_KEY: &str = "chancery.dev/renew-key";
/// On it: make a key although objects exist that an absent key once opened. Taken away when it is done.
pub const GENERATE_KEY: &str = "chancery.dev/generate-key";
/// On it: when the keys were last backed up, RFC 3339. People and `seal keys backup` write it.
pub const LAST_BACKUP: &str = "chancery.dev/last-backup";

/// A report that the operator writes; people ask for keys by its annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "chancery.dev",
    version = "v1alpha1",
    kind = "KeyReport",
    plural = "keyreports",
    namespaced,
    status = "KeyReportStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn = r#"{"name":"Keys","type":"integer","jsonPath":".status.usable"}"#,
    printcolumn = r#"{"name":"Sealing","type":"string","jsonPath":".status.sealing"}"#,
    printcolumn = r#"{"name":"Backup","type":"date","jsonPath":".status.lastBackup"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
pub struct KeyReportSpec {}

/// The keys, as the writing replica knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyReportStatus {
    /// How many keys open items.
    #[serde(default)]
    pub usable: i64,
    /// The Secret of the key that seals; empty when none does.
    #[serde(default)]
    pub sealing: String,
    /// All keys, newest first.
    #[serde(default)]
    #[schemars(length(max = 500))]
    pub keys: Vec<KeyUsage>,
    /// Secrets that are labelled as keys and cannot be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub unusable: Vec<UnusableKey>,
    /// When the keys were last backed up, as the annotation says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub last_backup: Option<String>,
    /// What a person should do, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub warnings: Vec<String>,
}

/// One key and what needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyUsage {
    /// Its Secret.
    pub secret: String,
    /// `SHA256:…` of the public key.
    pub fingerprint: String,
    /// `Sealing`, `Opening`, or `Deleted`: it opens what needs it until this process ends.
    pub state: String,
    /// From when its certificate counts: its age.
    pub not_before: String,
    /// Until when its certificate counts. The key opens items after that as well.
    pub not_after: String,
    /// SealedSecrets that it opened last time.
    #[serde(default)]
    pub objects: i64,
    /// Items that it opened last time.
    #[serde(default)]
    pub items: i64,
}

/// A Secret that is no key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnusableKey {
    /// Its name.
    pub secret: String,
    /// What is wrong with it; never a part of it.
    pub problem: String,
}
