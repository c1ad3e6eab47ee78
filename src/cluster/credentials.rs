//! Resolves what a store refers to, under the namespace rules: they are enforced here and nowhere else (D6).
//!
//! A SecretStore reads in its own namespace only. A ClusterSecretStore reads where it says, and where it says nothing,
//! in the namespace of the object that asks.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use seal::SecretBytes;

use super::{Cluster, Error};
use crate::api::secret_store::{CaProvider, CaProviderType, ConfigMapRef, SecretKeyRef, ServiceAccountRef};
use crate::error::{Classify, Retry};
use crate::plan::{Account, Audience, Credentials, ObjectKey, ObjectRef, Reference, Referent, SecretValues};

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
    /// A reference that names nothing.
    #[error("{field} needs a {what}")]
    Unnamed {
        /// Which field.
        field: &'static str,
        /// `name` or `key`.
        what: &'static str,
    },
    /// A Secret that is not meant for this use.
    #[error("{field}: Secret {key} must bear the label {name}={value}")]
    NotLabelled {
        /// Which field.
        field: &'static str,
        /// Which Secret.
        key: ObjectKey,
        /// The label.
        name: &'static str,
        /// Its value.
        value: &'static str,
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
            Self::Missing { .. } | Self::MissingKey { .. } | Self::NotLabelled { .. } => "CredentialsMissing",
            Self::Incomplete(_) | Self::Unnamed { .. } => "InvalidConfiguration",
            Self::Cluster(error) => error.reason(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::ForeignNamespace { .. } | Self::Referent(_) | Self::Incomplete(_) | Self::Unnamed { .. } => {
                Retry::OnChange
            }
            // Secrets are watched, ConfigMaps are not.
            Self::Missing { .. } | Self::MissingKey { .. } | Self::NotLabelled { .. } => Retry::Backoff,
            Self::Cluster(error) => error.retry(),
        }
    }
}

impl Cluster {
    /// Everything that a store refers to.
    ///
    /// # Errors
    ///
    /// [`CredentialError`], for the first reference that cannot be resolved.
    pub async fn credentials(
        &self,
        references: &[Reference<'_>],
        asker: Asker<'_>,
    ) -> Result<Credentials, CredentialError> {
        let mut found = Credentials::default();
        for Reference { field, to } in references {
            match to {
                Referent::Secret(reference, default_key) => {
                    let value = self.secret_entry(field, reference, *default_key, asker).await?;
                    found.secrets.insert((*reference).clone(), value);
                }
                Referent::WholeSecret(reference, label) => {
                    let (name, namespace) = (Some(reference.name.as_str()), reference.namespace.as_deref());
                    let secret = self.named_secret(field, name, namespace, asker).await?;
                    must_bear(field, &secret, *label)?;
                    found.whole_secrets.insert(reference.clone(), secret.data);
                }
                Referent::ConfigMap(reference) => {
                    let ConfigMapRef { name, key, namespace } = reference;
                    let text = self.config_map_entry(field, name, key, namespace.as_deref(), asker).await?;
                    found.config_maps.insert((*reference).clone(), text);
                }
                Referent::Account(reference, audience) => {
                    let account = self.account(field, reference, audience, asker).await?;
                    found.accounts.insert((*reference).clone(), account);
                }
                Referent::Authority(provider) => {
                    found.authorities.insert((*provider).clone(), self.authority(field, provider, asker).await?);
                }
            }
        }
        Ok(found)
    }

    async fn account(
        &self,
        field: &'static str,
        reference: &ServiceAccountRef,
        audience: &Audience<'_>,
        asker: Asker<'_>,
    ) -> Result<Account, CredentialError> {
        let key = ObjectKey::new(place(field, reference.namespace.as_deref(), asker)?, &reference.name);
        let annotations = match audience.reads_annotations {
            true => self.service_account_annotations(&key).await?,
            false => BTreeMap::new(),
        };
        let named = audience.annotation.and_then(|name| annotations.get(name).cloned());
        let mut audiences = match named {
            Some(named) => vec![named],
            None => audience.names.iter().map(ToString::to_string).collect(),
        };
        audiences.extend(reference.audiences.iter().cloned());
        let token = self.account_token(key, audiences, audience.seconds.unwrap_or(TOKEN_SECONDS)).await?;
        Ok(Account { annotations, token: token.into() })
    }

    async fn account_token(
        &self,
        key: ObjectKey,
        audiences: Vec<String>,
        seconds: i64,
    ) -> Result<SecretBytes, CredentialError> {
        let slot = (key, audiences);
        let known = self.tokens.0.lock().unwrap_or_else(PoisonError::into_inner).get(&slot).cloned();
        if let Some((token, since)) = known
            && since.elapsed() < TOKEN_REUSE
        {
            return Ok(token);
        }
        let token = self.service_account_token(&slot.0, &slot.1, seconds.max(TOKEN_SECONDS)).await?;
        let fresh = (token.clone(), Instant::now());
        self.tokens.0.lock().unwrap_or_else(PoisonError::into_inner).insert(slot, fresh);
        Ok(token)
    }

    async fn authority(
        &self,
        field: &'static str,
        provider: &CaProvider,
        asker: Asker<'_>,
    ) -> Result<String, CredentialError> {
        let entry = provider.key.clone().unwrap_or_else(|| "ca.crt".to_owned());
        if provider.type_ == CaProviderType::Secret {
            let reference = SecretKeyRef {
                name: Some(provider.name.clone()),
                namespace: provider.namespace.clone(),
                key: Some(entry),
            };
            let value = self.secret_entry(field, &reference, None, asker).await?;
            let pem = String::from_utf8(value.expose().to_vec());
            return pem.map_err(|_| CredentialError::Incomplete("caProvider holds no certificate in PEM"));
        }
        self.config_map_entry(field, &provider.name, &entry, provider.namespace.as_deref(), asker).await
    }

    async fn config_map_entry(
        &self,
        field: &'static str,
        name: &str,
        entry: &str,
        namespace: Option<&str>,
        asker: Asker<'_>,
    ) -> Result<String, CredentialError> {
        let key = ObjectKey::new(place(field, namespace, asker)?, name);
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &key.namespace);
        let object = ObjectRef { api_version: "v1".to_owned(), kind: "ConfigMap".to_owned(), key: key.clone() };
        let found = self.within(&object, api.get_opt(&key.name)).await?;
        let found = found.ok_or_else(|| CredentialError::Missing { field, kind: "ConfigMap", key: key.clone() })?;
        let text = found.data.and_then(|data| data.get(entry).cloned());
        text.ok_or_else(|| CredentialError::MissingKey { field, key, entry: entry.to_owned() })
    }

    async fn secret_entry(
        &self,
        field: &'static str,
        reference: &SecretKeyRef,
        default_key: Option<&str>,
        asker: Asker<'_>,
    ) -> Result<SecretBytes, CredentialError> {
        let entry = reference.key.as_deref().or(default_key).ok_or(CredentialError::Unnamed { field, what: "key" })?;
        let (name, namespace) = (reference.name.as_deref(), reference.namespace.as_deref());
        let secret = self.named_secret(field, name, namespace, asker).await?;
        secret.data.get(entry).cloned().ok_or_else(|| CredentialError::MissingKey {
            field,
            key: key_of(&secret),
            entry: entry.to_owned(),
        })
    }

    async fn named_secret(
        &self,
        field: &'static str,
        name: Option<&str>,
        namespace: Option<&str>,
        asker: Asker<'_>,
    ) -> Result<SecretValues, CredentialError> {
        let name = name.ok_or(CredentialError::Unnamed { field, what: "name" })?;
        let key = ObjectKey::new(place(field, namespace, asker)?, name);
        let found = self.secret(&key).await?;
        found.ok_or(CredentialError::Missing { field, kind: "Secret", key })
    }
}

/// A Secret whose values may be sent somewhere must say so.
fn must_bear(
    field: &'static str,
    secret: &SecretValues,
    label: Option<(&'static str, &'static str)>,
) -> Result<(), CredentialError> {
    let Some((name, value)) = label else { return Ok(()) };
    let bears = secret.metadata.labels.as_ref().and_then(|labels| labels.get(name)).is_some_and(|found| found == value);
    if bears { Ok(()) } else { Err(CredentialError::NotLabelled { field, key: key_of(secret), name, value }) }
}

fn key_of(secret: &SecretValues) -> ObjectKey {
    let metadata = &secret.metadata;
    ObjectKey::new(metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
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
