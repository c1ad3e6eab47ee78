//! Resolves what a store refers to, under the namespace rules: they are enforced here and nowhere else (D6).
//!
//! A SecretStore reads in its own namespace only. A ClusterSecretStore reads where it says, and where it says nothing,
//! in the namespace of the object that asks.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use seal::SecretBytes;

use super::{Cluster, Error};
use crate::api::secret_store::{CaProviderType, SecretKeyRef, ServiceAccountRef, Vault, VaultAuth};
use crate::error::{Classify, Retry};
use crate::plan::{ObjectKey, ObjectRef, StoreAccess, VaultLogin};

/// How long tokens of service accounts are asked for, and how long one is used again.
const TOKEN_SECONDS: i64 = 600;
const TOKEN_REUSE: Duration = Duration::from_secs(450);

/// Tokens in use, by account and audiences: one login a few minutes, not one a read.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<AccountAndAudiences, (SecretBytes, Instant)>>);

type AccountAndAudiences = (ObjectKey, Vec<String>);

/// Who asks, and so where may be read.
#[derive(Clone, Copy, Debug)]
pub enum Asker<'a> {
    /// A SecretStore in this namespace.
    Namespaced(&'a str),
    /// A ClusterSecretStore, for an object in this namespace; none when the store itself is tried.
    Cluster(Option<&'a str>),
}

/// Why a store's credentials cannot be resolved.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CredentialError {
    /// A SecretStore names another namespace.
    #[error("{field} names namespace {namespace:?}, but a SecretStore reads in its own only; use a ClusterSecretStore")]
    ForeignNamespace {
        /// Which field.
        field: &'static str,
        /// What it names.
        namespace: String,
    },
    /// A ClusterSecretStore without namespace is tried by itself: only an object that uses it can tell.
    #[error("{0} names no namespace: it is read in the namespace of each object that uses the store")]
    Referent(&'static str),
    /// A Secret or ConfigMap is not there.
    #[error("{field}: {kind} {key} does not exist")]
    Missing {
        /// Which field.
        field: &'static str,
        /// Secret or ConfigMap.
        kind: &'static str,
        /// Which one.
        key: ObjectKey,
    },
    /// It has no such key.
    #[error("{field}: {key} has no key {entry:?}")]
    MissingKey {
        /// Which field.
        field: &'static str,
        /// Which object.
        key: ObjectKey,
        /// Which key.
        entry: String,
    },
    /// The store lacks something.
    #[error("{0}")]
    Incomplete(&'static str),
    /// Trouble with the API server.
    #[error(transparent)]
    Cluster(#[from] Error),
}

impl Classify for CredentialError {
    fn reason(&self) -> &'static str {
        match self {
            Self::ForeignNamespace { .. } => "ForeignNamespace",
            Self::Referent(_) => "ReferentAuth",
            Self::Missing { .. } | Self::MissingKey { .. } => "CredentialsMissing",
            Self::Incomplete(_) => "InvalidConfiguration",
            Self::Cluster(error) => error.reason(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::ForeignNamespace { .. } | Self::Referent(_) | Self::Incomplete(_) => Retry::OnChange,
            // Secrets are watched, ConfigMaps are not.
            Self::Missing { .. } | Self::MissingKey { .. } => Retry::Backoff,
            Self::Cluster(error) => error.retry(),
        }
    }
}

impl Cluster {
    /// Everything that a provider needs to know of a Vault.
    ///
    /// # Errors
    ///
    /// [`CredentialError`].
    pub async fn vault_access(&self, vault: &Vault, asker: Asker<'_>) -> Result<StoreAccess, CredentialError> {
        Ok(StoreAccess {
            server: vault.server.clone(),
            mount: vault.path.clone().filter(|path| !path.is_empty()),
            version: vault.version,
            namespace: vault.namespace.clone().filter(|namespace| !namespace.is_empty()),
            authority: self.authority(vault, asker).await?,
            login: self.login(vault.auth.as_ref(), asker).await?,
        })
    }

    async fn login(&self, auth: Option<&VaultAuth>, asker: Asker<'_>) -> Result<VaultLogin, CredentialError> {
        let auth = auth.ok_or(CredentialError::Incomplete("the store has no auth"))?;
        if let Some(reference) = &auth.token_secret_ref {
            let field = "auth.tokenSecretRef";
            return Ok(VaultLogin::Token(self.secret_entry(field, reference, None, asker).await?));
        }
        let Some(kubernetes) = &auth.kubernetes else {
            return Err(CredentialError::Incomplete("the store's auth names no method that this version knows"));
        };
        let jwt = match (&kubernetes.service_account_ref, &kubernetes.secret_ref) {
            (Some(account), _) => self.account_token(account, asker).await?,
            (None, Some(reference)) => {
                self.secret_entry("auth.kubernetes.secretRef", reference, Some("token"), asker).await?
            }
            (None, None) => {
                return Err(CredentialError::Incomplete("auth.kubernetes needs a serviceAccountRef or a secretRef"));
            }
        };
        Ok(VaultLogin::Kubernetes {
            mount: kubernetes.mount_path.trim_matches('/').to_owned(),
            role: kubernetes.role.clone(),
            jwt,
            namespace: auth.namespace.clone().filter(|namespace| !namespace.is_empty()),
        })
    }

    async fn account_token(
        &self,
        account: &ServiceAccountRef,
        asker: Asker<'_>,
    ) -> Result<SecretBytes, CredentialError> {
        let namespace = place("auth.kubernetes.serviceAccountRef", account.namespace.as_deref(), asker)?;
        let slot = (ObjectKey::new(namespace, &account.name), account.audiences.clone());
        let known = self.tokens.0.lock().unwrap_or_else(PoisonError::into_inner).get(&slot).cloned();
        if let Some((token, since)) = known
            && since.elapsed() < TOKEN_REUSE
        {
            return Ok(token);
        }
        let token = self.service_account_token(&slot.0, &slot.1, TOKEN_SECONDS).await?;
        let fresh = (token.clone(), Instant::now());
        self.tokens.0.lock().unwrap_or_else(PoisonError::into_inner).insert(slot, fresh);
        Ok(token)
    }

    async fn authority(&self, vault: &Vault, asker: Asker<'_>) -> Result<Option<String>, CredentialError> {
        const UNREADABLE: CredentialError = CredentialError::Incomplete("caBundle is not PEM in base64");
        if let Some(bundle) = &vault.ca_bundle {
            let bytes = seal::wire::decode(bundle).map_err(|_| UNREADABLE)?;
            return String::from_utf8(bytes).map(Some).map_err(|_| UNREADABLE);
        }
        let Some(provider) = &vault.ca_provider else { return Ok(None) };
        let field = "caProvider";
        let key = ObjectKey::new(place(field, provider.namespace.as_deref(), asker)?, &provider.name);
        let entry = provider.key.clone().unwrap_or_else(|| "ca.crt".to_owned());
        let missing_key = || CredentialError::MissingKey { field, key: key.clone(), entry: entry.clone() };
        let pem = match provider.type_ {
            CaProviderType::Secret => {
                let reference = SecretKeyRef {
                    name: Some(provider.name.clone()),
                    namespace: provider.namespace.clone(),
                    key: Some(entry.clone()),
                };
                let value = self.secret_entry(field, &reference, None, asker).await?;
                String::from_utf8(value.expose().to_vec()).map_err(|_| missing_key())?
            }
            CaProviderType::ConfigMap => {
                let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &key.namespace);
                let object = ObjectRef { api_version: "v1".to_owned(), kind: "ConfigMap".to_owned(), key: key.clone() };
                let found = self.within(&object, api.get_opt(&key.name)).await?;
                let found =
                    found.ok_or_else(|| CredentialError::Missing { field, kind: "ConfigMap", key: key.clone() })?;
                found.data.and_then(|data| data.get(&entry).cloned()).ok_or_else(missing_key)?
            }
        };
        Ok(Some(pem))
    }

    async fn secret_entry(
        &self,
        field: &'static str,
        reference: &SecretKeyRef,
        default_key: Option<&str>,
        asker: Asker<'_>,
    ) -> Result<SecretBytes, CredentialError> {
        let (Some(name), Some(entry)) = (reference.name.as_deref(), reference.key.as_deref().or(default_key)) else {
            return Err(CredentialError::Incomplete("a reference to a Secret needs a name and a key"));
        };
        let key = ObjectKey::new(place(field, reference.namespace.as_deref(), asker)?, name);
        let secret = self.secret(&key).await?.ok_or_else(|| CredentialError::Missing {
            field,
            kind: "Secret",
            key: key.clone(),
        })?;
        secret.data.get(entry).cloned().ok_or_else(|| CredentialError::MissingKey {
            field,
            key,
            entry: entry.to_owned(),
        })
    }
}

/// The namespace in which a reference is read.
fn place<'a>(field: &'static str, named: Option<&'a str>, asker: Asker<'a>) -> Result<&'a str, CredentialError> {
    match (asker, named) {
        (Asker::Namespaced(own), None) => Ok(own),
        (Asker::Namespaced(own), Some(named)) if own == named => Ok(own),
        (Asker::Namespaced(_), Some(named)) => {
            Err(CredentialError::ForeignNamespace { field, namespace: named.to_owned() })
        }
        (Asker::Cluster(_), Some(named)) => Ok(named),
        (Asker::Cluster(Some(asking)), None) => Ok(asking),
        (Asker::Cluster(None), None) => Err(CredentialError::Referent(field)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespaced_store_never_reads_elsewhere() {
        assert_eq!(place("f", None, Asker::Namespaced("a")).unwrap(), "a");
        assert_eq!(place("f", Some("a"), Asker::Namespaced("a")).unwrap(), "a");
        assert_eq!(place("f", Some("b"), Asker::Namespaced("a")).unwrap_err().reason(), "ForeignNamespace");
        assert_eq!(place("f", Some("b"), Asker::Cluster(Some("a"))).unwrap(), "b");
        assert_eq!(place("f", None, Asker::Cluster(Some("a"))).unwrap(), "a");
        assert_eq!(place("f", None, Asker::Cluster(None)).unwrap_err().reason(), "ReferentAuth");
    }
}
