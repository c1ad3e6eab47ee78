//! SecretStore and ClusterSecretStore: whether they let us in; and opening one for an ExternalSecret.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

use super::{Armed, Context, Failure, Reconcile, Stores, drive};
use crate::api::external_secret::StoreKind;
use crate::api::secret_store::{SecretStoreSpec, SecretStoreStatus};
use crate::api::{ClusterSecretStore, SecretStore, unsupported_fields};
use crate::cluster::{self, CredentialError, Seen, Watchable, Watched};
use crate::decide::secret_store as decide;
use crate::decide::status::secret_store::{self as status, Trial};
use crate::error::{Classify, Retry};
use crate::plan::{Next, Note, ObjectKey, StoreId, Verdict};
use crate::providers;
use crate::scheduler::{Class, Scheduler};

mod opening;

pub(super) use opening::{Accesses, credentials, endpoints, open_store};

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
    #[error("{0}: {1}")]
    Cluster(StoreId, cluster::Error),
    #[error(transparent)]
    Provider(#[from] providers::Error),
}

impl Classify for StoreError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Unnamed | Self::Missing(_) => "StoreNotFound",
            Self::NotPermitted(_) => "StoreNotPermitted",
            Self::OtherClass(_) => "OtherClass",
            Self::Cluster(_, error) => error.reason(),
            Self::Unsupported { .. } => "UnsupportedField",
            Self::Credentials { error, .. } => error.reason(),
            Self::Provider(error) => error.reason(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Credentials { error, .. } => error.retry(),
            Self::Provider(error) => error.retry(),
            Self::Cluster(_, error) => error.retry(),
            // Stores are watched.
            _ => Retry::OnChange,
        }
    }
}

/// Both kinds of store: one controller each, the same code.
pub(super) trait StoreObject: Watchable {
    const NAME: &'static str;
    const KIND: StoreKind;
    fn spec(&self) -> &SecretStoreSpec;
    fn status(&self) -> Option<&SecretStoreStatus>;
    fn fields(&self) -> Vec<String>;
    fn watched(stores: &Stores) -> &Watched<Self>;
    fn id(&self) -> StoreId;
}

impl StoreObject for SecretStore {
    const NAME: &'static str = "secret-stores";
    const KIND: StoreKind = StoreKind::SecretStore;

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
        StoreId { kind: Self::KIND, key, asker: String::new() }
    }
}

impl StoreObject for ClusterSecretStore {
    const NAME: &'static str = "cluster-secret-stores";
    const KIND: StoreKind = StoreKind::ClusterSecretStore;

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
        StoreId { kind: Self::KIND, key, asker: String::new() }
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
        if !decide::is_of_class(spec, &self.context.settings.external.controller_class) {
            return Ok(Verdict::silent(Next::OnChange));
        }
        let id = object.id();
        self.stores.store_accesses.forget(&id);
        let unknown = ("ValidationUnknown", "the store is tried by each object that uses it");
        let (reason, message, capabilities) = match opening::resolve(&self.context, id, spec, object.fields()).await {
            Ok(access) => {
                let session = self.stores.providers.open(&access)?;
                match session.validate().await {
                    Ok(()) => ("Valid", "store validated", session.capabilities()),
                    Err(providers::Error::Unknown) => (unknown.0, unknown.1, session.capabilities()),
                    Err(error) => return Err(error.into()),
                }
            }
            // Only an object that uses it can tell.
            Err(StoreError::Credentials { error, .. }) if matches!(*error, CredentialError::Referent(_)) => {
                (unknown.0, unknown.1, providers::capabilities(&spec.provider))
            }
            Err(error) => return Err(error),
        };
        let generation = object.meta().generation;
        let trial = Trial { reason, message, cause: None, capabilities: Some(capabilities), generation };
        let status = status::tried(object.status(), &trial, &object.fields(), Timestamp::now());
        let next = Next::After(decide::interval(spec));
        Ok(Verdict::told(serde_json::to_value(status).ok(), None, next))
    }

    fn failed(&self, object: &K, failure: &Failure) -> (Value, Option<Note>) {
        let trial = trial("InvalidProviderConfig", failure, object.meta().generation);
        let status = status::tried(object.status(), &trial, &object.fields(), Timestamp::now());
        let note = Note { warning: true, reason: trial.reason.to_owned(), message: failure.message.clone() };
        (serde_json::to_value(status).unwrap_or_default(), Some(note))
    }

    fn gone(&self, key: &ObjectKey) {
        self.stores.providers.forget(|id| id.key == *key && id.kind == K::KIND);
    }

    fn broken(failure: &Failure) -> Value {
        let trial = trial("InvalidStoreConfiguration", failure, None);
        serde_json::to_value(status::tried(None, &trial, &[], Timestamp::now())).unwrap_or_default()
    }
}

fn trial<'a>(reason: &'a str, failure: &'a Failure, generation: Option<i64>) -> Trial<'a> {
    Trial { reason, message: &failure.message, cause: Some(failure.reason), capabilities: None, generation }
}
