//! `AppProject`, as Argo CD defines it: which repositories, destinations and kinds a team may use.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Names, Unhonoured};

/// The project of Applications that name none.
pub const DEFAULT: &str = "default";

/// Which repositories, destinations and kinds a team may use.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "argoproj.io",
    version = "v1alpha1",
    kind = "AppProject",
    plural = "appprojects",
    shortname = "appproj",
    shortname = "appprojs",
    namespaced,
    derive = "PartialEq",
    derive = "Default"
)]
#[serde(rename_all = "camelCase")]
pub struct AppProjectSpec {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub description: Option<String>,
    /// Repositories, as globs; `!` denies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_repos: Vec<String>,
    /// Clusters and namespaces, as globs; `!` denies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<ProjectDestination>,
    /// Cluster-scoped kinds that are permitted; without any, none is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster_resource_whitelist: Vec<GroupKindName>,
    /// Cluster-scoped kinds that are denied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster_resource_blacklist: Vec<GroupKindName>,
    /// Namespaced kinds that are permitted; absent means all, an empty list means none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_resource_whitelist: Option<Vec<GroupKind>>,
    /// Namespaced kinds that are denied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespace_resource_blacklist: Vec<GroupKind>,
    /// Further namespaces whose Applications may use the project.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_namespaces: Vec<String>,
    /// What is not honoured yet.
    #[serde(flatten)]
    pub unhonoured: Unhonoured<ProjectNames>,
}

/// A cluster and a namespace, as globs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectDestination {
    /// URL of the API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Name of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// A kind, as globs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupKind {
    /// API group; empty is the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
}

/// A kind and possibly a name, as globs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupKindName {
    /// API group; empty is the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name; empty is any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// Of `spec`.
pub struct ProjectNames;
impl Names for ProjectNames {
    const NAMES: &'static [&'static str] = &[
        "destinationServiceAccounts",
        "orphanedResources",
        "permitOnlyProjectScopedClusters",
        "roles",
        "signatureKeys",
        "sourceIntegrity",
        "syncWindows",
    ];
}
