//! `Doorbell`: one object into which a hint from outside is written, so that any replica may receive it (D10).

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The one name that counts, in the operator's namespace.
pub const NAME: &str = "doorbell";

/// Hints that something changed outside the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "chancery.dev",
    version = "v1alpha1",
    kind = "Doorbell",
    plural = "doorbells",
    namespaced,
    derive = "PartialEq",
    derive = "Default",
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct DoorbellSpec {
    /// The latest hints. A hint is only a reason to look; what is found counts.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub hints: Vec<Hint>,
}

/// One hint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hint {
    /// When it came, so that the same hint twice is two.
    pub at: String,
    /// A Git repository has a new commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Which, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// A secret store has a new value: `SecretStore/NAMESPACE/NAME` or `ClusterSecretStore/NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// Which, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}
