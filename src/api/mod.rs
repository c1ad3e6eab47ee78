//! What users write: the CRD types and their constants, nothing else.
//!
//! Every upstream field is listed by name. What Chancery does not honour yet is an untyped leaf (`Unhonoured`): it
//! survives a round trip, a typo is still refused, and `unsupported_fields` finds it so that a condition can say so (D2).

use std::collections::BTreeMap;
use std::marker::PhantomData;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSONSchemaProps};
use kube::CustomResourceExt;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `AppProject`, `argoproj.io/v1alpha1`.
pub mod app_project;
/// `Application`, `argoproj.io/v1alpha1`.
pub mod application;
/// `ClusterExternalSecret`, `external-secrets.io/v1`.
pub mod cluster_external_secret;
/// `Doorbell`, `chancery.dev/v1alpha1`.
pub mod doorbell;
/// `ExternalSecret`, `external-secrets.io/v1`.
pub mod external_secret;
/// Generators, `generators.external-secrets.io/v1alpha1`.
pub mod generators;
/// `KeyReport`, `chancery.dev/v1alpha1`.
pub mod key_report;
/// `PushSecret` and `ClusterPushSecret`, `external-secrets.io/v1alpha1`.
pub mod push_secret;
/// How keys are changed.
pub mod rewrite;
/// `SecretStore` and `ClusterSecretStore`, `external-secrets.io/v1`.
pub mod secret_store;
/// The template of a Secret.
pub mod target_template;

mod definitions;

pub use app_project::AppProject;
pub use application::Application;
pub use cluster_external_secret::ClusterExternalSecret;
pub use definitions::{Definition, definitions, unsupported_fields};
pub use doorbell::Doorbell;
pub use external_secret::ExternalSecret;
pub use key_report::KeyReport;
pub use push_secret::{ClusterPushSecret, PushSecret};
pub use seal::api as sealed_secret;
pub use seal::api::SealedSecret;
pub use secret_store::{ClusterSecretStore, SecretStore};

/// Annotation on a Secret, or on the object that makes it: it may be taken over.
pub const ADOPT: &str = "chancery.dev/adopt";
/// Annotation on the object that makes a Secret: it may delete the Secret and make it anew where it cannot be changed.
pub const RECREATE: &str = "chancery.dev/recreate";
/// The condition that names fields which are read and not honoured.
pub const UNSUPPORTED_FIELD: &str = "UnsupportedField";

/// Every CustomResourceDefinition that Chancery serves, by name, with its schema: `crds/` is made of it. What runs asks
/// [`definitions()`].
pub fn all_crds() -> BTreeMap<String, CustomResourceDefinition> {
    let crds = vec![
        AppProject::crd(),
        Application::crd(),
        ClusterExternalSecret::crd(),
        ClusterPushSecret::crd(),
        ClusterSecretStore::crd(),
        Doorbell::crd(),
        ExternalSecret::crd(),
        PushSecret::crd(),
        KeyReport::crd(),
        SealedSecret::crd(),
        SecretStore::crd(),
    ];
    crds.into_iter()
        .chain(generators::crds())
        .map(|mut crd| {
            as_lenient_as_upstream(&mut crd);
            let labels = crd.metadata.labels.get_or_insert_default();
            labels.insert("app.kubernetes.io/part-of".to_owned(), "chancery".to_owned());
            (crd.metadata.name.clone().unwrap_or_default(), crd)
        })
        .collect()
}

/// What `derive(CustomResource)` cannot say: upstream demands no `spec` of these kinds, and Argo CD keeps the tokens of
/// a project's roles in a status without subresource.
fn as_lenient_as_upstream(crd: &mut CustomResourceDefinition) {
    let (kind, group) = (crd.spec.names.kind.clone(), crd.spec.group.clone());
    let schemas =
        crd.spec.versions.iter_mut().filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut());
    for schema in schemas {
        match kind.as_str() {
            _ if group.ends_with("external-secrets.io") => schema.required = None,
            "AppProject" => {
                let carried = JSONSchemaProps {
                    type_: Some("object".to_owned()),
                    x_kubernetes_preserve_unknown_fields: Some(true),
                    ..JSONSchemaProps::default()
                };
                schema.properties.get_or_insert_default().insert("status".to_owned(), carried);
            }
            _ => {}
        }
    }
}

/// Names of upstream fields that one place has and Chancery does not honour.
pub trait Names: 'static {
    /// The names, as upstream writes them.
    const NAMES: &'static [&'static str];
}

/// The fields of one place that Chancery does not honour, kept as they were written.
#[derive(Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct Unhonoured<N: Names> {
    fields: Map<String, Value>,
    #[serde(skip)]
    names: PhantomData<N>,
}

impl<N: Names> Unhonoured<N> {
    /// Names of the fields that were written.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }
}

impl<N: Names> Default for Unhonoured<N> {
    fn default() -> Self {
        Self { fields: Map::new(), names: PhantomData }
    }
}

impl<N: Names> Clone for Unhonoured<N> {
    fn clone(&self) -> Self {
        Self { fields: self.fields.clone(), names: PhantomData }
    }
}

impl<N: Names> PartialEq for Unhonoured<N> {
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields
    }
}

impl<N: Names> Eq for Unhonoured<N> {}

/// Shows names only: some of these fields hold tokens when people err.
impl<N: Names> std::fmt::Debug for Unhonoured<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// Marks the schema of a leaf that is not honoured. Not an extension that Kubernetes knows: it never leaves the process.
const MARK: &str = "x-chancery-unsupported";

impl<N: Names> JsonSchema for Unhonoured<N> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        std::any::type_name::<Self>().into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let leaf = json_schema!({ "x-kubernetes-preserve-unknown-fields": true, MARK: true });
        let properties: Map<String, Value> =
            N::NAMES.iter().map(|name| ((*name).to_owned(), leaf.clone().to_value())).collect();
        json_schema!({ "type": "object", "properties": properties })
    }
}

/// A part of a status that upstream wrote and that we only carry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Carried(pub Value);

impl JsonSchema for Carried {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Carried".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
    }
}

/// The schema of a type of which exactly one field is written.
pub(crate) fn exactly_one<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = T::json_schema(generator).to_value();
    schema["minProperties"] = 1.into();
    schema["maxProperties"] = 1.into();
    Schema::try_from(schema).unwrap_or_default()
}

/// A name as Kubernetes has it.
pub(crate) fn name_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        "minLength": 1,
        "maxLength": 253,
    })
}

/// A namespace as Kubernetes has it.
pub(crate) fn namespace_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "minLength": 1, "maxLength": 63 })
}

/// A key of a Secret or ConfigMap.
pub(crate) fn key_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[-._a-zA-Z0-9]+$", "minLength": 1, "maxLength": 253 })
}

/// A time as Kubernetes writes it.
pub(crate) fn time_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time", "nullable": true })
}

#[cfg(test)]
mod compatibility;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// etcd and client-side apply both end here.
    const LARGEST_CRD: usize = 256 << 10;

    #[test]
    fn the_crds_folder_is_what_the_types_say() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
        let mut names = Vec::new();
        for (name, crd) in all_crds() {
            let text = format!(
                "# Generated from src/api; `UPDATE_GOLDEN=1 cargo test -p chancery api::` writes it anew.\n{}",
                seal::yaml::write(&crd).unwrap()
            );
            assert!(text.len() < LARGEST_CRD, "{name} has {} bytes", text.len());
            let (_, group) = name.split_once('.').unwrap();
            let file = format!("{}.{group}.yaml", crd.spec.names.plural);
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                fs::write(folder.join(&file), &text).unwrap();
            }
            let golden = fs::read_to_string(folder.join(&file)).unwrap_or_default();
            assert!(
                golden == text,
                "crds/{file} is not what the types say: UPDATE_GOLDEN=1 cargo test -p chancery api::"
            );
            names.push(file);
        }
        let mut kustomization =
            "# Every CustomResourceDefinition that Chancery serves.\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n".to_owned();
        names.sort();
        for file in names {
            kustomization += &format!("- {file}\n");
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(folder.join("kustomization.yaml"), &kustomization).unwrap();
        }
        assert_eq!(fs::read_to_string(folder.join("kustomization.yaml")).unwrap(), kustomization);
    }

    #[test]
    fn what_is_not_honoured_survives_and_is_named() {
        let application: Application = serde_json::from_value(serde_json::json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": { "name": "a" },
            "spec": {
                "source": { "repoURL": "https://x/y.git", "helm": { "releaseName": "r" }, "directory": { "jsonnet": {} } },
                "destination": { "server": "https://kubernetes.default.svc" },
                "ignoreDifferences": [{ "kind": "Deployment" }],
            },
        }))
        .unwrap();
        let mut found = unsupported_fields(&application);
        found.sort();
        assert_eq!(found, ["spec.ignoreDifferences", "spec.source.directory.jsonnet", "spec.source.helm"]);
        let again = serde_json::to_value(&application).unwrap();
        assert_eq!(again["spec"]["source"]["helm"]["releaseName"], "r");
    }

    #[test]
    fn what_is_honoured_is_not_named() {
        let store: SecretStore = serde_json::from_value(serde_json::json!({
            "apiVersion": "external-secrets.io/v1", "kind": "SecretStore", "metadata": { "name": "s" },
            "spec": { "provider": { "vault": {
                "server": "https://vault", "path": "secret",
                "auth": { "kubernetes": { "mountPath": "kubernetes", "role": "r", "serviceAccountRef": { "name": "sa" } } },
            } } },
        }))
        .unwrap();
        assert_eq!(unsupported_fields(&store), Vec::<String>::new());
        let store: SecretStore = serde_json::from_value(serde_json::json!({
            "metadata": { "name": "s" }, "apiVersion": "external-secrets.io/v1", "kind": "SecretStore",
            "spec": { "provider": { "akeyless": { "x": 1 } } },
        }))
        .unwrap();
        assert_eq!(unsupported_fields(&store), ["spec.provider.akeyless"]);
    }

    #[test]
    fn the_missions_objects_are_read_as_they_stand() {
        let text = include_str!("../../tests/golden/mission.yaml");
        for document in seal::yaml::documents(text, seal::yaml::Duplicates::Refuse).unwrap() {
            if document["kind"] == "Application" {
                let application: Application = serde_json::from_value(document).unwrap();
                assert_eq!(unsupported_fields(&application), Vec::<String>::new());
            } else {
                let project: AppProject = serde_json::from_value(document).unwrap();
                assert_eq!(project.spec.destinations[0].namespace.as_deref(), Some("payments-*"));
                assert_eq!(unsupported_fields(&project), Vec::<String>::new());
            }
        }
    }
}
