//! Whether the installed CustomResourceDefinitions are ours (D2b): an upstream one that was left in place prunes what we
//! write into a status beyond upstream's fields.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;

use super::{Cluster, Error};
use crate::api;
use crate::plan::{ObjectKey, ObjectRef};

/// What we remember in a status, on kinds that upstream defines, too.
const RECORD: &str = "chancery";

impl Cluster {
    /// Says of each installed definition what is wrong with it; an empty list is good news.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] where we may not look, or trouble with the API server.
    pub async fn definitions_amiss(&self) -> Result<Vec<String>, Error> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let mut amiss = Vec::new();
        for (name, ours) in api::all_crds() {
            let object = ObjectRef {
                api_version: "apiextensions.k8s.io/v1".to_owned(),
                kind: "CustomResourceDefinition".to_owned(),
                key: ObjectKey::new("", &name),
            };
            match self.within(&object, api.get_opt(&name)).await? {
                None => amiss.push(format!(
                    "{name} is not installed, and nothing begins before it is: kubectl apply --server-side -k crds/"
                )),
                Some(installed) if remembers(&ours) && !remembers(&installed) => {
                    amiss.extend(stored_before(&name, &installed, &ours));
                    amiss.push(format!(
                        "{name} is not ours: what we remember in its status is lost, so a restart does more work; \
                     apply crds/ of Chancery"
                    ));
                }
                Some(installed) => amiss.extend(stored_before(&name, &installed, &ours)),
            }
        }
        Ok(amiss)
    }
}

/// What keeps our definition from being applied: objects that may still lie in a version it does not have.
fn stored_before(name: &str, installed: &CustomResourceDefinition, ours: &CustomResourceDefinition) -> Option<String> {
    let stored = installed.status.iter().flat_map(|status| status.stored_versions.iter().flatten());
    let known = |version: &&String| ours.spec.versions.iter().any(|ours| ours.name == **version);
    let old: Vec<&str> = stored.filter(|version| !known(version)).map(String::as_str).collect();
    let storage = ours.spec.versions.iter().find(|version| version.storage)?.name.as_str();
    (!old.is_empty()).then(|| {
        format!(
            "{name} says that objects are stored as {}, which Chancery does not read, so crds/ cannot be applied. Write \
             every object once: kubectl get {name} -A -o json | kubectl replace -f -; then say so: kubectl patch crd \
             {name} --subresource=status --type=merge -p '{{\"status\":{{\"storedVersions\":[\"{storage}\"]}}}}'",
            old.join(", ")
        )
    })
}

/// Whether the status of some served version has room for our record.
fn remembers(definition: &CustomResourceDefinition) -> bool {
    definition.spec.versions.iter().filter(|version| version.served).any(|version| {
        let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
        let status = schema.and_then(|schema| schema.properties.as_ref()?.get("status"));
        status.is_some_and(|status| status.properties.as_ref().is_some_and(|fields| fields.contains_key(RECORD)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_definition_is_told_from_ours() {
        let ours = api::all_crds();
        for kind in ["applications.argoproj.io", "sealedsecrets.bitnami.com", "externalsecrets.external-secrets.io"] {
            assert!(remembers(&ours[kind]), "{kind}");
        }
        let mut upstream = ours["applications.argoproj.io"].clone();
        for version in &mut upstream.spec.versions {
            let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()).unwrap();
            let status = schema.properties.as_mut().unwrap().get_mut("status").unwrap();
            status.properties.as_mut().unwrap().remove(RECORD);
        }
        assert!(!remembers(&upstream));
    }
    #[test]
    fn a_version_that_is_stored_and_that_we_do_not_have_is_told_with_the_way_out() {
        let ours = &api::all_crds()["externalsecrets.external-secrets.io"];
        let stored = |versions: &[&str]| {
            let mut installed = ours.clone();
            installed.status = serde_json::from_value(serde_json::json!({ "storedVersions": versions })).unwrap();
            stored_before("externalsecrets.external-secrets.io", &installed, ours)
        };
        assert_eq!(stored(&["v1"]), None);
        let told = stored(&["v1beta1", "v1"]).unwrap();
        assert!(told.contains("stored as v1beta1"), "{told}");
        assert!(told.contains(r#"{"status":{"storedVersions":["v1"]}}"#), "{told}");
    }
}
