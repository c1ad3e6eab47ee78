//! Which resource a kind is, asked of the API server once and remembered.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::discovery::{self, Scope};

use super::{Cluster, Error};
use crate::plan::ObjectRef;

/// A kind as the API server serves it.
#[derive(Clone, Debug)]
pub struct Kind {
    pub(super) resource: ApiResource,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

#[derive(Default)]
pub(super) struct Kinds(Mutex<HashMap<(String, String), Kind>>);

impl Cluster {
    /// Looks a kind up.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownKind`] when the API server does not serve it; nothing is remembered then, because a
    /// CustomResourceDefinition may come any time.
    pub async fn kind(&self, api_version: &str, kind: &str) -> Result<Kind, Error> {
        let slot = (api_version.to_owned(), kind.to_owned());
        if let Some(known) = self.kinds.0.lock().unwrap_or_else(PoisonError::into_inner).get(&slot) {
            return Ok(known.clone());
        }
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let wanted = GroupVersionKind::gvk(group, version, kind);
        let unknown = || Error::UnknownKind { api_version: api_version.to_owned(), kind: kind.to_owned() };
        let (resource, capabilities) =
            discovery::pinned_kind(&self.client, &wanted).await.map_err(|error| match error {
                kube::Error::Discovery(_) => unknown(),
                other => match Error::from_kube(kind, false, other) {
                    Error::NotFound(_) => unknown(),
                    other => other,
                },
            })?;
        let found = Kind { resource, namespaced: capabilities.scope == Scope::Namespaced };
        self.kinds.0.lock().unwrap_or_else(PoisonError::into_inner).insert(slot, found.clone());
        Ok(found)
    }

    /// Forgets a kind: its CustomResourceDefinition changed or went.
    pub fn forget_kind(&self, api_version: &str, kind: &str) {
        let slot = (api_version.to_owned(), kind.to_owned());
        self.kinds.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&slot);
    }

    pub(super) async fn api_of(&self, object: &ObjectRef) -> Result<Api<DynamicObject>, Error> {
        let kind = self.kind(&object.api_version, &object.kind).await?;
        Ok(if kind.namespaced {
            Api::namespaced_with(self.client.clone(), &object.key.namespace, &kind.resource)
        } else {
            Api::all_with(self.client.clone(), &kind.resource)
        })
    }
}
