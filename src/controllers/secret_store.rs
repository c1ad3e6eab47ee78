//! SecretStore and ClusterSecretStore: whether they let us in; and opening one for an ExternalSecret.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

use super::{Armed, Context, Failure, Reconcile, Stores, drive};
use crate::api::external_secret::{StoreKind, StoreRef};
use crate::api::secret_store::{SecretStoreSpec, SecretStoreStatus};
use crate::api::{ClusterSecretStore, SecretStore, unsupported_fields};
use crate::cluster::{Asker, CredentialError, Seen, Watchable, Watched};
use crate::decide::secret_store as decide;
use crate::decide::status::external_secret as status;
use crate::error::{Classify, Retry};
use crate::plan::{Next, Note, ObjectKey, StoreAccess, StoreId, Verdict};
use crate::providers::{self, Session};
use crate::scheduler::{Class, Scheduler};

/// The class of controller that a store may name; upstream's default one.
const CLASS: &str = "default";

/// Why a store cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("spec.secretStoreRef names no store")]
    Unnamed,
    #[error("{0} does not exist")]
    Missing(StoreId),
    #[error("{0} does not permit objects of namespace {asker}", asker = .0.asker)]
    NotPermitted(StoreId),
    #[error("{store} uses {}, which this version does not support", .fields.join(", "))]
    Unsupported { store: StoreId, fields: Vec<String> },
    #[error("{store}: {error}")]
    Credentials { store: StoreId, error: Box<CredentialError> },
    #[error("{0} is for another class of controller")]
    OtherClass(StoreId),
    #[error(transparent)]
    Provider(#[from] providers::Error),
}

impl Classify for StoreError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Unnamed | Self::Missing(_) => "StoreNotFound",
            Self::NotPermitted(_) => "StoreNotPermitted",
            Self::OtherClass(_) => "OtherClass",
            Self::Unsupported { .. } => "UnsupportedField",
            Self::Credentials { error, .. } => error.reason(),
            Self::Provider(error) => error.reason(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Credentials { error, .. } => error.retry(),
            Self::Provider(error) => error.retry(),
            // Stores are watched.
            _ => Retry::OnChange,
        }
    }
}

/// Finds a store that an object in `namespace` refers to, resolves its credentials and opens it.
///
/// # Errors
///
/// [`StoreError`]: why it cannot be asked.
pub(super) async fn open_store(
    context: &Context,
    stores: &Stores,
    reference: &StoreRef,
    namespace: &str,
) -> Result<Session, StoreError> {
    let kind = reference.kind.unwrap_or_default();
    let name = reference.name.as_deref().filter(|name| !name.is_empty()).ok_or(StoreError::Unnamed)?;
    let (id, spec, fields) = match kind {
        StoreKind::SecretStore => {
            let id = StoreId { kind, key: ObjectKey::new(namespace, name), asker: String::new() };
            let store = stores.secret_stores.find(&id.key).ok_or_else(|| StoreError::Missing(id.clone()))?;
            let fields = unsupported_fields(&store);
            (id, store.spec, fields)
        }
        StoreKind::ClusterSecretStore => {
            let id = StoreId { kind, key: ObjectKey::new("", name), asker: namespace.to_owned() };
            let store = stores.cluster_secret_stores.find(&id.key).ok_or_else(|| StoreError::Missing(id.clone()))?;
            if !decide::permits(&store.spec.store, namespace) {
                return Err(StoreError::NotPermitted(id));
            }
            let fields = unsupported_fields(&store);
            (id, store.spec.store, fields)
        }
    };
    if !decide::is_of_class(&spec, CLASS) {
        return Err(StoreError::OtherClass(id));
    }
    let access = resolve(context, id, &spec, fields).await?;
    Ok(stores.providers.open(&access)?)
}

async fn resolve(
    context: &Context,
    id: StoreId,
    spec: &SecretStoreSpec,
    mut fields: Vec<String>,
) -> Result<StoreAccess, StoreError> {
    // They change how often something is tried, or which namespaces may: never what is read.
    fields.retain(|field| field != "spec.retrySettings" && !field.starts_with("spec.conditions"));
    if !fields.is_empty() {
        return Err(StoreError::Unsupported { store: id, fields });
    }
    let asker = match id.kind {
        StoreKind::SecretStore => Asker::Namespaced(&id.key.namespace),
        StoreKind::ClusterSecretStore => Asker::Cluster(Some(id.asker.as_str()).filter(|asker| !asker.is_empty())),
    };
    match context.cluster.credentials(&decide::references(&spec.provider), asker).await {
        Ok(credentials) => Ok(StoreAccess { id, provider: spec.provider.clone(), credentials }),
        Err(error) => Err(StoreError::Credentials { store: id, error: Box::new(error) }),
    }
}

/// Both kinds of store: one controller each, the same code.
pub(super) trait StoreObject: Watchable {
    const NAME: &'static str;
    fn spec(&self) -> &SecretStoreSpec;
    fn status(&self) -> Option<&SecretStoreStatus>;
    fn fields(&self) -> Vec<String>;
    fn watched(stores: &Stores) -> &Watched<Self>;
    fn id(&self) -> StoreId;
}

impl StoreObject for SecretStore {
    const NAME: &'static str = "secret-stores";

    fn spec(&self) -> &SecretStoreSpec {
        &self.spec
    }

    fn status(&self) -> Option<&SecretStoreStatus> {
        self.status.as_ref()
    }

    fn fields(&self) -> Vec<String> {
        unsupported_fields(self)
    }

    fn watched(stores: &Stores) -> &Watched<Self> {
        &stores.secret_stores
    }

    fn id(&self) -> StoreId {
        let key = ObjectKey::new(self.namespace().unwrap_or_default(), self.name_any());
        StoreId { kind: StoreKind::SecretStore, key, asker: String::new() }
    }
}

impl StoreObject for ClusterSecretStore {
    const NAME: &'static str = "cluster-secret-stores";

    fn spec(&self) -> &SecretStoreSpec {
        &self.spec.store
    }

    fn status(&self) -> Option<&SecretStoreStatus> {
        self.status.as_ref()
    }

    fn fields(&self) -> Vec<String> {
        unsupported_fields(self)
    }

    fn watched(stores: &Stores) -> &Watched<Self> {
        &stores.cluster_secret_stores
    }

    fn id(&self) -> StoreId {
        let key = ObjectKey::new("", self.name_any());
        StoreId { kind: StoreKind::ClusterSecretStore, key, asker: String::new() }
    }
}

struct StoreController<K: StoreObject> {
    context: Context,
    stores: Stores,
    watched: Watched<K>,
}

/// Registers the watches and hands back the work, for one of the two kinds.
pub(super) fn arm<K: StoreObject>(context: &Context, stores: &Stores) -> Armed {
    let watched = K::watched(stores).clone();
    context.need(&watched);
    let queue = Scheduler::default();
    watched.on_seen({
        let queue = queue.clone();
        move |seen, key, _| match seen {
            Seen::Listed => queue.push(key.clone(), Class::Backlog),
            Seen::Made => queue.push(key.clone(), Class::New),
            Seen::Changed | Seen::Gone => queue.push(key.clone(), Class::Changed),
            Seen::Touched => {}
        }
    });
    let controller = Arc::new(StoreController { context: context.clone(), stores: stores.clone(), watched });
    let context = context.clone();
    Box::pin(async move { drive(context, controller, queue).await })
}

impl<K: StoreObject> Reconcile for StoreController<K> {
    type Kind = K;
    type Error = StoreError;
    const NAME: &'static str = K::NAME;

    fn store(&self) -> &Watched<K> {
        &self.watched
    }

    async fn reconcile(&self, object: &K, _: Class) -> Result<Verdict, StoreError> {
        let spec = object.spec();
        if !decide::is_of_class(spec, CLASS) {
            return Ok(Verdict::silent(Next::OnChange));
        }
        let opened = resolve(&self.context, object.id(), spec, object.fields()).await;
        let opened = opened.and_then(|access| Ok(self.stores.providers.open(&access)?));
        let unknown = ("ValidationUnknown", "the store is tried by each object that uses it");
        let (reason, message) = match opened {
            Ok(session) => match session.validate().await {
                Ok(()) => ("Valid", "store validated"),
                Err(providers::Error::Unknown) => unknown,
                Err(error) => return Err(error.into()),
            },
            // Only an object that uses it can tell.
            Err(StoreError::Credentials { error, .. }) if matches!(*error, CredentialError::Referent(_)) => unknown,
            Err(error) => return Err(error),
        };
        let status = status::store(object.status(), true, reason, message, &object.fields(), Timestamp::now());
        let next = Next::After(decide::interval(spec));
        Ok(Verdict::told(serde_json::to_value(status).ok(), None, next))
    }

    fn failed(&self, object: &K, failure: &Failure) -> (Value, Option<Note>) {
        let reason = match failure.reason {
            "UnsupportedField" | "InvalidConfiguration" | "ForeignNamespace" | "CredentialsMissing" => {
                "InvalidProviderConfig"
            }
            _ => "ValidationFailed",
        };
        let status =
            status::store(object.status(), false, reason, &failure.message, &object.fields(), Timestamp::now());
        let note = Note { warning: true, reason: reason.to_owned(), message: failure.message.clone() };
        (serde_json::to_value(status).unwrap_or_default(), Some(note))
    }

    fn broken(failure: &Failure) -> Value {
        let status = status::store(None, false, "InvalidStoreConfiguration", &failure.message, &[], Timestamp::now());
        serde_json::to_value(status).unwrap_or_default()
    }
}
