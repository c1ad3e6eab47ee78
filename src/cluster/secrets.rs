//! Values of Secrets, read when needed and not kept (D12).

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::ListParams;

use super::{Cluster, Error};
use crate::plan::{ObjectKey, ObjectRef, SecretValues};

impl From<Secret> for SecretValues {
    fn from(secret: Secret) -> Self {
        Self {
            metadata: secret.metadata,
            type_: secret.type_.unwrap_or_default(),
            immutable: secret.immutable.unwrap_or_default(),
            data: secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0.into())).collect(),
        }
    }
}

impl Cluster {
    /// Reads one Secret; `None` when it is not there.
    ///
    /// # Errors
    ///
    /// Trouble with the API server; never a value in its text.
    pub async fn secret(&self, key: &ObjectKey) -> Result<Option<SecretValues>, Error> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &key.namespace);
        let object = secret_ref(key);
        Ok(self.within(&object, api.get_opt(&key.name)).await?.map(SecretValues::from))
    }

    /// Reads the Secrets of a namespace that match a label selector.
    ///
    /// # Errors
    ///
    /// Trouble with the API server; never a value in its text.
    pub async fn secrets(&self, namespace: &str, selector: &str) -> Result<Vec<SecretValues>, Error> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let object = secret_ref(&ObjectKey::new(namespace, "*"));
        let found = self.within(&object, api.list(&ListParams::default().labels(selector))).await?;
        Ok(found.items.into_iter().map(SecretValues::from).collect())
    }
}

/// The reference of a Secret.
fn secret_ref(key: &ObjectKey) -> ObjectRef {
    ObjectRef { api_version: "v1".to_owned(), kind: "Secret".to_owned(), key: key.clone() }
}
