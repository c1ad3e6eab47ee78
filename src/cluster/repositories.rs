//! Repository Secrets and certificate authorities, as Argo CD keeps them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use seal::SecretBytes;

use super::{Cluster, Error};
use crate::api::application::SECRET_TYPE;
use crate::plan::{ObjectKey, ObjectRef, SecretValues};

/// Certificate authorities by host.
const AUTHORITIES: &str = "argocd-tls-certs-cm";

/// A repository Secret, as it was read.
#[derive(Clone, Debug)]
pub struct RepositorySecret {
    /// The Secret's name.
    pub name: String,
    /// For every repository below its address, or for one.
    pub is_template: bool,
    /// Its values.
    pub data: BTreeMap<String, SecretBytes>,
}

impl Cluster {
    /// Reads all repository Secrets of a namespace.
    ///
    /// # Errors
    ///
    /// Trouble with the API server; never a value in its text.
    pub async fn repository_secrets(&self, namespace: &str) -> Result<Vec<RepositorySecret>, Error> {
        let selector = format!("{SECRET_TYPE} in (repository,repo-creds)");
        let read = |secret: SecretValues| RepositorySecret {
            name: secret.metadata.name.unwrap_or_default(),
            is_template: secret
                .metadata
                .labels
                .is_some_and(|labels| labels.get(SECRET_TYPE).is_some_and(|kind| kind == "repo-creds")),
            data: secret.data,
        };
        Ok(self.secrets(namespace, &selector).await?.into_iter().map(read).collect())
    }

    /// Certificate authorities by host, PEM; none when nobody gave any.
    ///
    /// # Errors
    ///
    /// Trouble with the API server.
    pub async fn repository_authorities(&self, namespace: &str) -> Result<BTreeMap<String, String>, Error> {
        let object = ObjectRef {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            key: ObjectKey::new(namespace, AUTHORITIES),
        };
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let found = self.within(&object, api.get_opt(AUTHORITIES)).await?;
        Ok(found.and_then(|map| map.data).unwrap_or_default())
    }
}
