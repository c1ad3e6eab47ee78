//! Controllers of other projects that work on the same kinds (D18).

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::{Cluster, Error};
use crate::plan::{ObjectKey, ObjectRef};

/// How a project's Deployment is known.
struct Marks {
    /// How the manifests and the chart label it.
    labels: &'static [&'static str],
    /// A part of the image's name, wherever it is mirrored.
    image: &'static str,
    /// Arguments that the same image is given for other work.
    other_work: &'static [&'static str],
}

const SEALED_SECRETS: Marks = Marks {
    labels: &["name=sealed-secrets-controller", "app.kubernetes.io/name=sealed-secrets"],
    image: "sealed-secrets-controller",
    other_work: &[],
};
const EXTERNAL_SECRETS: Marks = Marks {
    labels: &["app.kubernetes.io/name=external-secrets"],
    image: "external-secrets",
    other_work: &["webhook", "certcontroller"],
};
/// The names that External Secrets Operator's chart gives its webhooks.
const WEBHOOKS: [&str; 2] = ["secretstore-validate", "externalsecret-validate"];

impl Cluster {
    /// Deployments of a Sealed Secrets controller that want to run.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] where we may not look, or trouble with the API server.
    pub async fn sealed_secrets_deployments(&self) -> Result<Vec<ObjectKey>, Error> {
        self.deployments(&SEALED_SECRETS).await
    }

    /// Deployments of External Secrets Operator's controller that want to run.
    ///
    /// # Errors
    ///
    /// As [`Self::sealed_secrets_deployments`].
    pub async fn external_secrets_deployments(&self) -> Result<Vec<ObjectKey>, Error> {
        self.deployments(&EXTERNAL_SECRETS).await
    }

    /// The webhooks of External Secrets Operator that are there: without their server they refuse every write.
    ///
    /// # Errors
    ///
    /// As [`Self::sealed_secrets_deployments`].
    pub async fn external_secrets_webhooks(&self) -> Result<Vec<&'static str>, Error> {
        let api: Api<ValidatingWebhookConfiguration> = Api::all(self.client.clone());
        let mut found = Vec::new();
        for name in WEBHOOKS {
            let object = ObjectRef {
                api_version: "admissionregistration.k8s.io/v1".to_owned(),
                kind: "ValidatingWebhookConfiguration".to_owned(),
                key: ObjectKey::new("", name),
            };
            if self.within(&object, api.get_opt(name)).await?.is_some() {
                found.push(name);
            }
        }
        Ok(found)
    }

    async fn deployments(&self, marks: &Marks) -> Result<Vec<ObjectKey>, Error> {
        let object = ObjectRef {
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            key: ObjectKey::new("", marks.image),
        };
        let mut running = Vec::new();
        for labels in marks.labels {
            for api in self.scoped::<Deployment>() {
                let api: Api<Deployment> = api;
                let found = self.within(&object, api.list(&ListParams::default().labels(labels))).await?;
                running.extend(found.items.iter().filter(|deployment| is_running(deployment, marks)).map(
                    |deployment| ObjectKey::new(deployment.namespace().unwrap_or_default(), deployment.name_any()),
                ));
            }
        }
        Ok(running)
    }
}

fn is_running(deployment: &Deployment, marks: &Marks) -> bool {
    let Some(spec) = &deployment.spec else { return false };
    let mut containers = spec.template.spec.iter().flat_map(|pod| &pod.containers);
    spec.replicas.unwrap_or(1) > 0
        && containers.any(|container| {
            let does_other_work =
                container.args.iter().flatten().any(|argument| marks.other_work.contains(&argument.as_str()));
            !does_other_work && container.image.as_ref().is_some_and(|image| image.contains(marks.image))
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_counts_while_it_wants_to_run() {
        let deployment = |replicas: i32, image: &str, args: &[&str]| -> Deployment {
            serde_json::from_value(json!({
                "metadata": { "name": "x" },
                "spec": {
                    "replicas": replicas, "selector": {},
                    "template": { "spec": { "containers": [{ "name": "a", "image": image, "args": args }] } },
                },
            }))
            .unwrap()
        };
        let sealed = "registry.example/mirror/sealed-secrets-controller:0.36.6";
        let external = "ghcr.io/external-secrets/external-secrets:v2.0.0";
        let rows: [(i32, &str, &[&str], &Marks, bool); 7] = [
            (1, sealed, &[], &SEALED_SECRETS, true),
            (0, sealed, &[], &SEALED_SECRETS, false),
            (1, "registry.example/other:1", &[], &SEALED_SECRETS, false),
            (1, external, &["--concurrent=1"], &EXTERNAL_SECRETS, true),
            (0, external, &[], &EXTERNAL_SECRETS, false),
            (1, external, &["webhook", "--port=10250"], &EXTERNAL_SECRETS, false),
            (1, external, &["certcontroller"], &EXTERNAL_SECRETS, false),
        ];
        for (replicas, image, args, marks, expected) in rows {
            assert_eq!(is_running(&deployment(replicas, image, args), marks), expected, "{image} {args:?}");
        }
    }
}
