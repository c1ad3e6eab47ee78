//! The install key (D11): one HMAC key, kept in a Secret under a fixed name, under which digests leave the process.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use seal::SecretBytes;

use super::{Cluster, Error};
use crate::plan::{ObjectKey, ObjectRef};

/// Name of the Secret in the operator's namespace.
pub const INSTALL_KEY: &str = "chancery-install-key";
/// Its one entry.
const ENTRY: &str = "hmac";
/// As long as the digest: more adds nothing to HMAC-SHA-256.
const BYTES: usize = 32;

impl Cluster {
    /// The install key, made by POST under its fixed name when absent, so that two processes cannot make two.
    ///
    /// Its loss costs one status write an object and nothing else.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when the Secret is there without a usable key: it is not ours to overwrite.
    pub async fn install_key(&self) -> Result<SecretBytes, Error> {
        let key = ObjectKey::new(&self.namespace, INSTALL_KEY);
        if let Some(found) = self.secret(&key).await? {
            return found.data.get(ENTRY).filter(|value| value.len() == BYTES).cloned().ok_or_else(|| Error::Invalid {
                object: format!("Secret {key}"),
                detail: format!("its entry {ENTRY:?} must hold {BYTES} bytes; restore it from a backup, or delete it"),
            });
        }
        let mut fresh = vec![0; BYTES];
        SystemRandom::new()
            .fill(&mut fresh)
            .map_err(|_| Error::Configuration("the system gives no random numbers".to_owned()))?;
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(INSTALL_KEY.to_owned()),
                labels: Some([("app.kubernetes.io/managed-by".to_owned(), "chancery".to_owned())].into()),
                ..ObjectMeta::default()
            },
            data: Some([(ENTRY.to_owned(), ByteString(fresh.clone()))].into()),
            ..Secret::default()
        };
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let object = ObjectRef { api_version: "v1".to_owned(), kind: "Secret".to_owned(), key: key.clone() };
        match self.within(&object, api.create(&PostParams::default(), &secret)).await {
            Ok(_) => Ok(fresh.into()),
            // Another process was first: its key counts.
            Err(Error::AlreadyExists(_)) => Box::pin(self.install_key()).await,
            Err(error) => Err(error),
        }
    }
}
