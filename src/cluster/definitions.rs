//! Whether the CustomResourceDefinitions that are installed are ours.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Resource;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Cluster, Error};
use crate::api::{self, Definition};
use crate::plan::{ObjectKey, ObjectRef};

/// A definition that is installed: of its quarter of a megabyte only what is asked for.
#[derive(Deserialize)]
struct Installed {
    spec: InstalledSpec,
    #[serde(default)]
    status: InstalledStatus,
}

#[derive(Deserialize)]
struct InstalledSpec {
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    served: bool,
    schema: Option<VersionSchema>,
}

#[derive(Deserialize)]
struct VersionSchema {
    #[serde(rename = "openAPIV3Schema")]
    root: Option<Schema<Option<Fields>>>,
}

/// A schema whose properties are read so far.
#[derive(Deserialize)]
struct Schema<P> {
    properties: Option<P>,
}

#[derive(Deserialize)]
struct Fields {
    status: Option<Schema<StatusFields>>,
}

#[derive(Deserialize)]
struct StatusFields {
    /// Where we keep what we must remember.
    chancery: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct InstalledStatus {
    stored_versions: Vec<String>,
}

impl Cluster {
    /// What is amiss with the definitions that are installed, each with what to do about it.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`], [`Error::Forbidden`].
    pub async fn definitions_amiss(&self) -> Result<Vec<String>, Error> {
        let mut amiss = Vec::new();
        for ours in api::definitions() {
            let name = ours.name;
            let object = ObjectRef {
                api_version: "apiextensions.k8s.io/v1".to_owned(),
                kind: "CustomResourceDefinition".to_owned(),
                key: ObjectKey::new("", name),
            };
            match self.within(&object, self.installed(name)).await? {
                None => amiss.push(format!(
                    "{name} is not installed, and nothing begins before it is: kubectl apply --server-side -k crds/"
                )),
                Some(installed) => {
                    amiss.extend(stored_before(ours, &installed.status.stored_versions));
                    if ours.remembers && !installed.remembers() {
                        amiss.push(format!(
                            "{name} is not ours: what we remember in its status is lost, so a restart does more work; \
                             apply crds/ of Chancery"
                        ));
                    }
                }
            }
        }
        Ok(amiss)
    }

    async fn installed(&self, name: &str) -> kube::Result<Option<Installed>> {
        let path = format!("{}/{name}", CustomResourceDefinition::url_path(&(), None));
        let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
        match self.client.request(request).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            answer => answer.map(Some),
        }
    }
}

impl Installed {
    /// Whether its status has a place for what we remember: upstream's has none, and the API server drops it there.
    fn remembers(&self) -> bool {
        self.spec.versions.iter().filter(|version| version.served).any(|version| {
            let fields = version.schema.as_ref().and_then(|schema| schema.root.as_ref()?.properties.as_ref()?.as_ref());
            let status = fields.and_then(|fields| fields.status.as_ref()?.properties.as_ref());
            status.is_some_and(|status| status.chancery.is_some())
        })
    }
}

/// Versions that objects were stored in before and that we do not have, with the way out.
fn stored_before(ours: &Definition, stored: &[String]) -> Option<String> {
    let Definition { name, version, .. } = ours;
    let old: Vec<&str> = stored.iter().map(String::as_str).filter(|stored| stored != version).collect();
    (!old.is_empty()).then(|| {
        format!(
            "{name} says that objects are stored as {}, which Chancery does not read, so crds/ cannot be applied. Write \
             every object once: kubectl get {name} -A -o json | kubectl replace -f -; then say so: kubectl patch crd \
             {name} --subresource=status --type=merge -p '{{\"status\":{{\"storedVersions\":[\"{version}\"]}}}}'",
            old.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn installed(definition: Value) -> Installed {
        serde_json::from_value(definition).unwrap()
    }

    #[test]
    fn upstreams_definition_is_told_from_ours() {
        for (name, ours) in api::all_crds() {
            let known = api::definitions().iter().find(|known| known.name == name).unwrap();
            assert_eq!(installed(serde_json::to_value(&ours).unwrap()).remembers(), known.remembers, "{name}");
        }
        let ours = serde_json::to_value(&api::all_crds()["applications.argoproj.io"]).unwrap();
        assert!(installed(ours.clone()).remembers());
        let mut upstream = ours.clone();
        let record = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties";
        upstream.pointer_mut(record).unwrap().as_object_mut().unwrap().remove("chancery");
        assert!(!installed(upstream).remembers());
        let mut unserved = ours.clone();
        unserved["spec"]["versions"][0]["served"] = json!(false);
        assert!(!installed(unserved).remembers());
        for shapeless in [json!({ "served": true }), json!({ "served": true, "schema": {} })] {
            assert!(!installed(json!({ "spec": { "versions": [shapeless] } })).remembers());
        }
    }

    #[test]
    fn a_version_that_is_stored_and_that_we_do_not_have_is_told_with_the_way_out() {
        let name = "externalsecrets.external-secrets.io";
        let ours = api::definitions().iter().find(|known| known.name == name).unwrap();
        let stored = |versions: &[&str]| {
            let definition = json!({ "spec": { "versions": [] }, "status": { "storedVersions": versions } });
            stored_before(ours, &installed(definition).status.stored_versions)
        };
        assert_eq!(stored(&["v1"]), None);
        let told = stored(&["v1beta1", "v1"]).unwrap();
        assert!(told.contains("stored as v1beta1"), "{told}");
        assert!(told.contains(r#"{"status":{"storedVersions":["v1"]}}"#), "{told}");
    }
}
