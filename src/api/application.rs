//! `Application`, as Argo CD defines it: no status subresource, so the status is a part of the object.

use std::borrow::Cow;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Resource;
use kube::api::ObjectMeta;
use kube::core::NamespaceResourceScope;
use kube::core::schema::StructuralSchemaRewriter;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Carried, Names, Unhonoured, time_schema};

/// On an Application: compare now (`normal`), or forget what is cached and compare (`hard`). Removed when done.
pub const REFRESH: &str = "argocd.argoproj.io/refresh";
/// On every object that an Application manages, CustomResourceDefinitions apart.
pub const TRACKING_ID: &str = "argocd.argoproj.io/tracking-id";
/// On a managed object: comma-separated options, such as `Prune=false`.
pub const SYNC_OPTIONS: &str = "argocd.argoproj.io/sync-options";
/// On a managed object: comma-separated options of its comparison, such as `IgnoreExtraneous`.
pub const COMPARE_OPTIONS: &str = "argocd.argoproj.io/compare-options";
/// On a managed object: which wave it belongs to.
pub const SYNC_WAVE: &str = "argocd.argoproj.io/sync-wave";
/// On a managed object: it is a hook.
pub const HOOK: &str = "argocd.argoproj.io/hook";
/// On an Application: leave it alone.
pub const SKIP_RECONCILE: &str = "argocd.argoproj.io/skip-reconcile";
/// On an Application: what it manages goes with it.
pub const FINALIZER: &str = "resources-finalizer.argocd.argoproj.io";
/// Label of Secrets with repository and cluster credentials.
pub const SECRET_TYPE: &str = "argocd.argoproj.io/secret-type";
/// The API server that we run in.
pub const IN_CLUSTER: &str = "https://kubernetes.default.svc";

/// Which commit of which repository is to run where.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Application {
    /// `argoproj.io/v1alpha1`.
    #[serde(default)]
    pub api_version: String,
    /// `Application`.
    #[serde(default)]
    pub kind: String,
    /// Name, labels, annotations.
    #[serde(default)]
    #[schemars(with = "Carried")]
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: ApplicationSpec,
    /// What somebody asked to be done now; removed when done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// What is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ApplicationStatus>,
}

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationSpec {
    /// The AppProject that bounds it; empty means `default`. Upstream's schema demands it, its code does not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub project: String,
    /// Where the manifests are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Where they are applied.
    pub destination: Destination,
    /// When and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_policy: Option<SyncPolicy>,
    /// How many entries `status.history` keeps; 10 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision_history_limit: Option<i64>,
    /// For people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub info: Vec<Info>,
    /// What is not honoured yet.
    #[serde(flatten)]
    pub unhonoured: Unhonoured<SpecNames>,
}

/// A repository, a revision and a path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Address of the repository.
    #[serde(rename = "repoURL")]
    pub repo_url: String,
    /// Folder within the repository.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Branch, tag, semver range or commit; empty means `HEAD`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target_revision: String,
    /// How a folder of plain manifests is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<Directory>,
    /// Name of this source for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What is not honoured yet.
    #[serde(flatten)]
    pub unhonoured: Unhonoured<SourceNames>,
}

/// How a folder of plain manifests is read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Directory {
    /// Sub-folders, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recurse: bool,
    /// Only files that match this glob.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub include: String,
    /// Not files that match this glob.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub exclude: String,
    /// What is not honoured yet.
    #[serde(flatten)]
    pub unhonoured: Unhonoured<DirectoryNames>,
}

/// A cluster and a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// URL of the API server; exclusive with `name`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub server: String,
    /// Name of the cluster; exclusive with `server`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Namespace of objects that name none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

/// When and how a revision is applied.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncPolicy {
    /// Without being asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automated: Option<Automated>,
    /// `CreateNamespace=true` and the like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sync_options: Vec<String>,
    /// What follows a failed sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// What is not honoured yet.
    #[serde(flatten)]
    pub unhonoured: Unhonoured<SyncPolicyNames>,
}

/// Automated sync.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Automated {
    /// Deletes what left Git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<bool>,
    /// Reverts what others change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_heal: Option<bool>,
    /// Lets everything be pruned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_empty: Option<bool>,
    /// `false` switches it off without taking it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// What follows a failed sync.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryPolicy {
    /// How often; negative means for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// Pauses between tries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// Whether a new commit is looked for before each try. Ours always does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<bool>,
}

/// Pauses between tries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backoff {
    /// The first pause, a Go duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// By how much each pause grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<i64>,
    /// The longest pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration: Option<String>,
}

/// A name and a value for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Info {
    /// What.
    pub name: String,
    /// How much.
    pub value: String,
}

/// What somebody asked to be done now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// A sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncOperation>,
    /// Who asked, in their own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initiated_by: Option<InitiatedBy>,
    /// What follows a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// For people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub info: Vec<Info>,
}

/// A sync that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncOperation {
    /// The revision; empty means what `spec` says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// Whether to delete what left Git.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prune: bool,
    /// Whether to try only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// In place of the options of `spec`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sync_options: Vec<String>,
    /// How hooks are treated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_strategy: Option<Carried>,
    /// What is not honoured yet.
    #[serde(flatten)]
    pub unhonoured: Unhonoured<SyncOperationNames>,
}

/// Who asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InitiatedBy {
    /// The name that the asker gave.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// Nobody: the policy did.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automated: bool,
}

/// What is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationStatus {
    /// Whether the cluster is as Git says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncStatus>,
    /// Whether it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthStatus>,
    /// What ran, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryEntry>,
    /// The last operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_state: Option<OperationState>,
    /// Every object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ResourceStatus>,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<ApplicationCondition>,
    /// Images and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Carried>,
    /// When it was last compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time_schema")]
    pub reconciled_at: Option<String>,
    /// `Directory`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_type: Option<String>,
    /// With several sources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_types: Vec<String>,
    /// Namespace of the controller that wrote this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller_namespace: Option<String>,
    /// `inline`: the health of each object stands beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_health_source: Option<String>,
    /// An older name of `reconciledAt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time_schema")]
    pub observed_at: Option<String>,
    /// Of Argo CD's hydrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_hydrator: Option<Carried>,
    /// What Chancery remembers; upstream has no such field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chancery: Option<ApplicationRecord>,
}

/// What Chancery remembers of an Application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationRecord {
    /// Digest of the spec that the status speaks of: without a subresource the generation says nothing.
    #[serde(default)]
    pub observed_spec: String,
}

/// Whether the cluster is as Git says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncStatus {
    /// `Synced`, `OutOfSync` or `Unknown`.
    pub status: String,
    /// What was compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared_to: Option<Carried>,
    /// The commit.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// The commits of several sources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<String>,
}

/// Whether it works.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthStatus {
    /// `Healthy`, `Progressing`, `Degraded`, `Suspended`, `Missing` or `Unknown`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time_schema")]
    pub last_transition_time: Option<String>,
}

/// One sync that succeeded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// Counted from 0.
    pub id: i64,
    /// The commit.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// The commits of several sources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<String>,
    /// The source as it stood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Carried>,
    /// The sources as they stood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Carried>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time_schema")]
    pub deploy_started_at: Option<String>,
    /// When it ended.
    #[schemars(schema_with = "time_schema")]
    pub deployed_at: String,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initiated_by: Option<InitiatedBy>,
}

/// The last operation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationState {
    /// What was asked.
    pub operation: Operation,
    /// `Running`, `Succeeded`, `Failed`, `Error` or `Terminating`.
    pub phase: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_result: Option<SyncResult>,
    /// When it began.
    #[schemars(schema_with = "time_schema")]
    pub started_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time_schema")]
    pub finished_at: Option<String>,
    /// How often it was tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_count: Option<i64>,
}

/// What became of a sync.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncResult {
    /// The commit.
    pub revision: String,
    /// The commits of several sources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<String>,
    /// The source as it stood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Carried>,
    /// The sources as they stood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Carried>,
    /// Every object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ResourceResult>,
    /// Of the namespace that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_namespace_metadata: Option<Carried>,
}

/// What a sync did to one object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceResult {
    /// API group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// `Synced`, `SyncFailed`, `Pruned` or `PruneSkipped`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Of a hook.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hook_type: String,
    /// Of a hook.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hook_phase: String,
    /// `PreSync`, `Sync` or `PostSync`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sync_phase: String,
    /// Images that it runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
}

/// One object of an Application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceStatus {
    /// API group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// API version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Kind.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Namespace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `Synced`, `OutOfSync` or `Unknown`; empty for what is not compared.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// Of kinds that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthStatus>,
    /// It is a hook.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hook: bool,
    /// It left Git.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requires_pruning: bool,
    /// Its deletion waits for a person.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requires_deletion_confirmation: bool,
    /// Its wave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_wave: Option<i64>,
}

/// What is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationCondition {
    /// `…Error` or `…Warning`.
    #[serde(rename = "type")]
    pub type_: String,
    /// For people.
    pub message: String,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time_schema")]
    pub last_transition_time: Option<String>,
}

/// Of `spec`.
pub struct SpecNames;
impl Names for SpecNames {
    const NAMES: &'static [&'static str] = &["ignoreDifferences", "sourceHydrator", "sources"];
}

/// Of `spec.source`.
pub struct SourceNames;
impl Names for SourceNames {
    const NAMES: &'static [&'static str] = &["chart", "helm", "kustomize", "plugin", "ref", "tagPrefix"];
}

/// Of `spec.source.directory`.
pub struct DirectoryNames;
impl Names for DirectoryNames {
    const NAMES: &'static [&'static str] = &["disableExtensionFilter", "jsonnet"];
}

/// Of `spec.syncPolicy`.
pub struct SyncPolicyNames;
impl Names for SyncPolicyNames {
    const NAMES: &'static [&'static str] = &["managedNamespaceMetadata"];
}

/// Of `operation.sync`.
pub struct SyncOperationNames;
impl Names for SyncOperationNames {
    const NAMES: &'static [&'static str] =
        &["autoHealAttemptsCount", "manifests", "resources", "revisions", "source", "sources"];
}

impl Resource for Application {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Application".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "argoproj.io".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1alpha1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "applications".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Application {
    /// The CustomResourceDefinition. Written out, because `derive(CustomResource)` knows neither a status without
    /// subresource nor a third field beside it.
    ///
    /// # Panics
    ///
    /// Never: the JSON below is one.
    pub fn crd() -> CustomResourceDefinition {
        let settings = SchemaSettings::openapi3()
            .with(|settings| {
                settings.inline_subschemas = true;
                settings.meta_schema = None;
            })
            .with_transform(StructuralSchemaRewriter);
        let mut schema = settings.into_generator().into_root_schema_for::<Self>().to_value();
        // What the API server defines itself: it forbids defaults and descriptions there.
        for (field, kind) in [("apiVersion", "string"), ("kind", "string"), ("metadata", "object")] {
            schema["properties"][field] = json!({ "type": kind });
        }
        let column = |name: &str, path: &str, priority: i32| json!({ "name": name, "type": "string", "jsonPath": path, "priority": priority });
        let crd = json!({
            "metadata": { "name": "applications.argoproj.io" },
            "spec": {
                "group": "argoproj.io",
                "names": {
                    "kind": "Application",
                    "plural": "applications",
                    "singular": "application",
                    "shortNames": ["app", "apps"],
                },
                "scope": "Namespaced",
                "versions": [{
                    "name": "v1alpha1",
                    "served": true,
                    "storage": true,
                    "schema": { "openAPIV3Schema": schema },
                    "additionalPrinterColumns": [
                        column("Sync Status", ".status.sync.status", 0),
                        column("Health Status", ".status.health.status", 0),
                        column("Revision", ".status.sync.revision", 10),
                        column("Project", ".spec.project", 10),
                    ],
                }],
            },
        });
        serde_json::from_value(crd).unwrap_or_default()
    }
}
