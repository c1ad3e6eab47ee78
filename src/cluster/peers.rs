//! Controllers of other projects that work on the same kinds (D18).

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::{Cluster, Error};
use crate::plan::{ObjectKey, ObjectRef};

/// How the manifests and the chart of Sealed Secrets label their Deployment.
const LABELS: [&str; 2] = ["name=sealed-secrets-controller", "app.kubernetes.io/name=sealed-secrets"];
/// A part of the image's name, wherever it is mirrored.
const IMAGE: &str = "sealed-secrets-controller";

impl Cluster {
    /// Deployments of a Sealed Secrets controller that want to run.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] where we may not look, or trouble with the API server.
    pub async fn sealed_secrets_deployments(&self) -> Result<Vec<ObjectKey>, Error> {
        let object = ObjectRef {
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            key: ObjectKey::new("", "sealed-secrets-controller"),
        };
        let mut running = Vec::new();
        for labels in LABELS {
            for api in self.scoped::<Deployment>() {
                let api: Api<Deployment> = api;
                let found = self.within(&object, api.list(&ListParams::default().labels(labels))).await?;
                running.extend(found.items.iter().filter(|deployment| is_running(deployment)).map(|deployment| {
                    ObjectKey::new(deployment.namespace().unwrap_or_default(), deployment.name_any())
                }));
            }
        }
        Ok(running)
    }
}

fn is_running(deployment: &Deployment) -> bool {
    let Some(spec) = &deployment.spec else { return false };
    let containers = spec.template.spec.iter().flat_map(|pod| &pod.containers);
    let images = containers.filter_map(|container| container.image.as_ref());
    spec.replicas.unwrap_or(1) > 0 && images.into_iter().any(|image| image.contains(IMAGE))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_counts_while_it_wants_to_run() {
        let deployment = |replicas: i32, image: &str| -> Deployment {
            serde_json::from_value(json!({
                "metadata": { "name": "x" },
                "spec": {
                    "replicas": replicas, "selector": {},
                    "template": { "spec": { "containers": [{ "name": "a", "image": image }] } },
                },
            }))
            .unwrap()
        };
        let image = "registry.example/mirror/sealed-secrets-controller:0.36.6";
        assert!(is_running(&deployment(1, image)));
        assert!(!is_running(&deployment(0, image)));
        assert!(!is_running(&deployment(1, "registry.example/other:1")));
    }
}
