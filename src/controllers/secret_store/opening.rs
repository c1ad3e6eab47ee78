//! From a reference to a store that is ready to be asked.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::ResourceExt;
use serde_json::Value;

use super::{Context, StoreError, StoreObject, Stores};
use crate::api::external_secret::{StoreKind, StoreRef};
use crate::api::secret_store::SecretStoreSpec;
use crate::cluster::{Asker, CredentialError};
use crate::decide::secret_store as decide;
use crate::plan::{Credentials, ObjectKey, ObjectRef, Reference, StoreAccess, StoreId};
use crate::providers::{self, Endpoints, Session};

/// Credentials are resolved again after this time: a thousand objects of one store do not read its Secret each.
const RESOLVED_FOR: Duration = Duration::from_secs(10);

/// Credentials that have just been resolved: which store in which version, and for objects of which namespace.
#[derive(Clone, Default)]
pub(in crate::controllers) struct Accesses(Arc<Mutex<Resolved>>);

#[derive(Default)]
struct Resolved {
    known: HashMap<Asked, (StoreAccess, Instant)>,
    /// When what is too old was last thrown away.
    swept: Option<Instant>,
}

type Asked = (StoreId, Option<String>, Option<i64>);

impl Accesses {
    fn get(&self, asked: &Asked) -> Option<StoreAccess> {
        let all = self.lock();
        all.known.get(asked).filter(|(_, since)| since.elapsed() < RESOLVED_FOR).map(|(access, _)| access.clone())
    }

    fn put(&self, asked: Asked, access: StoreAccess) {
        let mut all = self.lock();
        let now = Instant::now();
        if all.swept.is_none_or(|swept| now.duration_since(swept) >= RESOLVED_FOR) {
            all.known.retain(|_, (_, since)| since.elapsed() < RESOLVED_FOR);
            all.swept = Some(now);
        }
        all.known.insert(asked, (access, now));
    }

    /// The next read of this store resolves its credentials anew.
    pub(super) fn forget(&self, id: &StoreId) {
        self.lock().known.retain(|(known, ..), _| (known.kind, &known.key) != (id.kind, &id.key));
    }

    fn lock(&self) -> MutexGuard<'_, Resolved> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where services of clouds are asked, and our own cluster.
pub(in crate::controllers) fn endpoints(context: &Context) -> Endpoints {
    let given = &context.settings.endpoints;
    let address = context.cluster.address();
    Endpoints {
        secrets_manager: given.aws_secrets_manager.clone(),
        ssm: given.aws_ssm.clone(),
        sts: given.aws_sts.clone(),
        ecr: given.aws_ecr.clone(),
        secret_manager: given.google_secret_manager.clone(),
        google_sts: given.google_sts.clone(),
        own_cluster: Some(address.url.clone()),
        own_authority: address.authority.clone(),
    }
}

/// Finds a store that an object in `namespace` refers to, resolves its credentials and opens it.
///
/// # Errors
///
/// [`StoreError`]: why it cannot be asked.
pub(in crate::controllers) async fn open_store(
    context: &Context,
    stores: &Stores,
    reference: &StoreRef,
    namespace: &str,
) -> Result<Session, StoreError> {
    let kind = reference.kind.unwrap_or_default();
    let name = reference.name.as_deref().filter(|name| !name.is_empty()).ok_or(StoreError::Unnamed)?;
    let access = match kind {
        StoreKind::SecretStore => {
            let id = StoreId { kind, key: ObjectKey::new(namespace, name), asker: String::new() };
            let store = stores.secret_stores.find(&id.key).ok_or_else(|| StoreError::Missing(id.clone()))?;
            access_for(context, stores, &store, id).await?
        }
        StoreKind::ClusterSecretStore => {
            let id = StoreId { kind, key: ObjectKey::new("", name), asker: namespace.to_owned() };
            let store = stores.cluster_secret_stores.find(&id.key).ok_or_else(|| StoreError::Missing(id.clone()))?;
            access_for(context, stores, &store, id).await?
        }
    };
    Ok(stores.providers.open(&access)?)
}

/// The same access for a while.
async fn access_for<K: StoreObject>(
    context: &Context,
    stores: &Stores,
    store: &K,
    id: StoreId,
) -> Result<StoreAccess, StoreError> {
    let asked = (id.clone(), store.uid(), store.meta().generation);
    if let Some(known) = stores.store_accesses.get(&asked) {
        return Ok(known);
    }
    let spec = store.spec();
    if !decide::is_of_class(spec, &context.settings.external.controller_class) {
        return Err(StoreError::OtherClass(id));
    }
    if id.kind == StoreKind::ClusterSecretStore {
        let labels = labels_of(context, spec, &id).await?;
        if !decide::permits(spec, &id.asker, &labels) {
            return Err(StoreError::NotPermitted(id));
        }
    }
    let access = resolve(context, id, spec, store.fields()).await?;
    stores.store_accesses.put(asked, access.clone());
    Ok(access)
}

/// The labels of the namespace that asks, when the store wants to know them.
async fn labels_of(
    context: &Context,
    spec: &SecretStoreSpec,
    id: &StoreId,
) -> Result<BTreeMap<String, String>, StoreError> {
    if !decide::asks_for_labels(spec) {
        return Ok(BTreeMap::new());
    }
    let namespace =
        ObjectRef { api_version: "v1".to_owned(), kind: "Namespace".to_owned(), key: ObjectKey::new("", &id.asker) };
    let found = context.cluster.get(&namespace).await.map_err(|error| StoreError::Cluster(id.clone(), error))?;
    let labels = found.and_then(|found| found.fields().get("metadata")?.get("labels").cloned()).unwrap_or(Value::Null);
    Ok(serde_json::from_value(labels).unwrap_or_default())
}

/// Everything that the provider needs.
pub(super) async fn resolve(
    context: &Context,
    mut id: StoreId,
    spec: &SecretStoreSpec,
    fields: Vec<String>,
) -> Result<StoreAccess, StoreError> {
    if !fields.is_empty() {
        return Err(StoreError::Unsupported { store: id, fields });
    }
    let asker = match id.kind {
        StoreKind::SecretStore => Asker::Namespaced(&id.key.namespace),
        StoreKind::ClusterSecretStore => Asker::Cluster(Some(id.asker.as_str()).filter(|asker| !asker.is_empty())),
    };
    let references = providers::references(&spec.provider);
    match credentials(context, &references, asker).await {
        Ok(credentials) => {
            // One client for all, where nothing of it depends on who asks.
            if !providers::depends_on_asker(&spec.provider) {
                id.asker.clear();
            }
            let retries = decide::retries(spec);
            Ok(StoreAccess { id, provider: spec.provider.clone(), credentials, retries })
        }
        Err(error) => Err(StoreError::Credentials { store: id, error: Box::new(error) }),
    }
}

/// What a store or generator refers to, and whether it may use our own pod's identity.
pub(in crate::controllers) async fn credentials(
    context: &Context,
    references: &[Reference<'_>],
    asker: Asker<'_>,
) -> Result<Credentials, CredentialError> {
    let mut found = context.cluster.credentials(references, asker).await?;
    found.ambient = match asker {
        Asker::Cluster(_) => true,
        Asker::Namespaced(namespace) => context.settings.ambient_namespaces.iter().any(|listed| listed == namespace),
    };
    Ok(found)
}
