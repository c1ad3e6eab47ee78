//! Tokens of service accounts, minted for one audience and a short time.

use std::collections::BTreeMap;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use seal::SecretBytes;

use super::{Cluster, Error};
use crate::plan::{ObjectKey, ObjectRef};

impl Cluster {
    /// The annotations of a service account.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when it is not there, [`Error::Forbidden`] when we may not read it.
    pub async fn service_account_annotations(&self, account: &ObjectKey) -> Result<BTreeMap<String, String>, Error> {
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &account.namespace);
        let found = self.within(&account_ref(account), api.get(&account.name)).await?;
        Ok(found.metadata.annotations.unwrap_or_default())
    }

    /// A token of a service account.
    ///
    /// `audiences` empty means the API server's own. `seconds` is what is asked for; the API server gives at least 600.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when the account is not there, [`Error::Forbidden`] when we may not mint for it.
    pub async fn service_account_token(
        &self,
        account: &ObjectKey,
        audiences: &[String],
        seconds: i64,
    ) -> Result<SecretBytes, Error> {
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &account.namespace);
        let object = account_ref(account);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: audiences.to_vec(),
                expiration_seconds: Some(seconds),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let granted =
            self.within(&object, api.create_token_request(&account.name, &PostParams::default(), &request)).await?;
        let token = granted.status.map(|status| status.token).ok_or_else(|| Error::Unreadable(object.to_string()))?;
        Ok(token.into_bytes().into())
    }
}

fn account_ref(key: &ObjectKey) -> ObjectRef {
    ObjectRef { api_version: "v1".to_owned(), kind: "ServiceAccount".to_owned(), key: key.clone() }
}
