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
                Some(installed) if remembers(&ours) && !remembers(&installed) => amiss.push(format!(
                    "{name} is not ours: what we remember in its status is lost, so a restart does more work; \
                     apply crds/ of Chancery"
                )),
                Some(_) => {}
            }
        }
        Ok(amiss)
    }
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
}
