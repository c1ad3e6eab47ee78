//! SecretStore and ClusterSecretStore: whether they let us in; and opening one for an ExternalSecret.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

use super::{Armed, Context, Failure, Reconcile, Stores, drive};
use crate::api::external_secret::StoreKind;
use crate::api::secret_store::{SecretStoreSpec, SecretStoreStatus};
use crate::api::{ClusterSecretStore, ExternalSecret, SecretStore, unsupported_fields};
use crate::cluster::{Asker, CredentialError, Seen, Watchable, Watched};
use crate::decide::secret_store as decide;
use crate::decide::status::external_secret as status;
use crate::error::{Classify, Retry};
use crate::plan::{Next, Note, ObjectKey, StoreAccess, Verdict};
use crate::providers;
use crate::scheduler::{Class, Scheduler};

/// The class of controller that a store may name; upstream's default one.
const CLASS: &str = "default";

/// A store that is ready to be asked.
pub(super) struct OpenStore {
    /// Names the store and, where it matters, who asks.
    pub(super) identity: String,
    /// How to reach it.
    pub(super) access: StoreAccess,
}

/// Why a store cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("spec.secretStoreRef names no store")]
    Unnamed,
    #[error("{0} does not exist")]
    Missing(String),
    #[error("{0} does not permit objects of namespace {1}")]
    NotPermitted(String, String),
    #[error("{store} uses {}, which this version does not support", .fields.join(", "))]
    Unsupported { store: String, fields: Vec<String> },
    #[error("{store}: {error}")]
    Credentials { store: String, error: CredentialError },
    #[error(transparent)]
    Provider(#[from] providers::Error),
}

impl Classify for StoreError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Unnamed | Self::Missing(_) => "StoreNotFound",
            Self::NotPermitted(..) => "StoreNotPermitted",
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

/// Finds the store of an ExternalSecret and resolves its credentials.
pub(super) async fn open_store(
    context: &Context,
    stores: &Stores,
    object: &ExternalSecret,
) -> Result<OpenStore, StoreError> {
    let namespace = object.namespace().unwrap_or_default();
    let reference = object.spec.secret_store_ref.clone().unwrap_or_default();
    let name = reference.name.filter(|name| !name.is_empty()).ok_or(StoreError::Unnamed)?;
    match reference.kind.unwrap_or_default() {
        StoreKind::SecretStore => {
            let title = format!("SecretStore {namespace}/{name}");
            let store = stores.secret_stores.find(&ObjectKey::new(&namespace, &name));
            let store = store.ok_or_else(|| StoreError::Missing(title.clone()))?;
            resolve(context, title, &store.spec, unsupported_fields(&store), Asker::Namespaced(&namespace)).await
        }
        StoreKind::ClusterSecretStore => {
            let title = format!("ClusterSecretStore {name}");
            let store = stores.cluster_secret_stores.find(&ObjectKey::new("", &name));
            let store = store.ok_or_else(|| StoreError::Missing(title.clone()))?;
            if !decide::permits(&store.spec.store, &namespace) {
                return Err(StoreError::NotPermitted(title, namespace));
            }
            let fields = unsupported_fields(&store);
            resolve(context, title, &store.spec.store, fields, Asker::Cluster(Some(&namespace))).await
        }
    }
}

async fn resolve(
    context: &Context,
    store: String,
    spec: &SecretStoreSpec,
    mut fields: Vec<String>,
    asker: Asker<'_>,
) -> Result<OpenStore, StoreError> {
    // They change how often something is tried, or which namespaces may: never what is read.
    fields.retain(|field| field != "spec.retrySettings" && !field.starts_with("spec.conditions"));
    let Some(vault) = decide::vault(spec).filter(|_| fields.is_empty()) else {
        return Err(StoreError::Unsupported { store, fields });
    };
    let access = context
        .cluster
        .vault_access(vault, asker)
        .await
        .map_err(|error| StoreError::Credentials { store: store.clone(), error })?;
    let identity = match asker {
        Asker::Cluster(Some(namespace)) => format!("{store} for {namespace}"),
        _ => store,
    };
    Ok(OpenStore { identity, access })
}

/// Both kinds of store: one controller each, the same code.
pub(super) trait StoreObject: Watchable {
    const NAME: &'static str;
    fn spec(&self) -> &SecretStoreSpec;
    fn status(&self) -> Option<&SecretStoreStatus>;
    fn fields(&self) -> Vec<String>;
    fn watched(stores: &Stores) -> &Watched<Self>;
    fn title(&self) -> String;
    fn asker(&self) -> Asker<'_>;
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

    fn title(&self) -> String {
        format!("SecretStore {}/{}", self.metadata.namespace.as_deref().unwrap_or_default(), self.name_any())
    }

    fn asker(&self) -> Asker<'_> {
        Asker::Namespaced(self.metadata.namespace.as_deref().unwrap_or_default())
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

    fn title(&self) -> String {
        format!("ClusterSecretStore {}", self.name_any())
    }

    fn asker(&self) -> Asker<'_> {
        Asker::Cluster(None)
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
        if spec.controller.as_deref().is_some_and(|class| !class.is_empty() && class != CLASS) {
            return Ok(Verdict::silent(Next::OnChange));
        }
        let opened = resolve(&self.context, object.title(), spec, object.fields(), object.asker()).await;
        let (reason, message) = match opened {
            Ok(store) => {
                self.stores.providers.open(&store.identity, &store.access)?.validate().await?;
                ("Valid", "store validated")
            }
            // Only an object that uses it can tell.
            Err(StoreError::Credentials { error: CredentialError::Referent(_), .. }) => {
                ("ValidationUnknown", "the store is tried by each object that uses it")
            }
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
