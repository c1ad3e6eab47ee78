//! SealedSecret → Secret.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use serde_json::Value;

use super::target::{self, Targets};
use super::{Armed, Context, Failure, Reconcile, Stores, drive};
use crate::api::SealedSecret;
use crate::api::sealed_secret::{MANAGED, PATCH, SYNCED, SealedSecretRecord};
use crate::cluster::{self, KeyRing, Keys, Seen, Watched};
use crate::decide::ownership::{self, Ownership};
use crate::decide::sealed_secret as decide;
use crate::decide::status::sealed_secret as status;
use crate::error::{Classify, Retry};
use crate::plan::{Next, Note, ObjectKey, SecretManifest, Verdict};
use crate::scheduler::{Class, Scheduler};

/// Field manager of the Secrets that we make; a Secret has at most one SealedSecret, the one of its own name.
const MANAGER: &str = "sealed-secrets.chancery.dev";
/// How soon the birth of a key is tried again when nothing changes.
const BIRTH_RETRY: std::time::Duration = std::time::Duration::from_secs(15);

struct SealedSecrets {
    context: Context,
    store: Watched<SealedSecret>,
    targets: Targets,
    keys: Keys,
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Rule(#[from] decide::Error),
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    #[error(
        "Secret {0} already exists and is not managed by SealedSecret; to take it over: \
         kubectl annotate secret {name} -n {namespace} sealedsecrets.bitnami.com/managed=true", name = .0.name, namespace = .0.namespace
    )]
    Unmanaged(ObjectKey),
    #[error(transparent)]
    Target(target::Error),
    #[error("opening was interrupted")]
    Interrupted,
}

impl From<target::Error> for Error {
    fn from(error: target::Error) -> Self {
        match error {
            target::Error::Foreign(key) => Self::Unmanaged(key),
            other => Self::Target(other),
        }
    }
}

impl Classify for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Rule(error) => error.reason(),
            Self::Cluster(error) => error.reason(),
            Self::Unmanaged(_) => "Unmanaged",
            Self::Target(error) => error.reason(),
            Self::Interrupted => "Interrupted",
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Rule(error) => error.retry(),
            Self::Cluster(error) => error.retry(),
            // The Secret's metadata is watched: its change wakes us.
            Self::Unmanaged(_) => Retry::OnChange,
            Self::Target(error) => error.retry(),
            Self::Interrupted => Retry::Backoff,
        }
    }

    fn items(&self) -> Vec<String> {
        match self {
            Self::Rule(error) => error.items(),
            _ => Vec::new(),
        }
    }
}

/// Registers the watches and hands back the work.
pub(super) fn arm(context: &Context, stores: &Stores) -> Armed {
    context.need(&stores.sealed_secrets);
    context.need_secret_metadata(&stores.secrets);
    context.need_keys(&stores.keys);
    let queue = Scheduler::default();
    stores.sealed_secrets.on_seen({
        let queue = queue.clone();
        move |seen, key, object| match seen {
            Seen::Listed => {
                let handled = object.0.as_ref().is_ok_and(is_handled);
                queue.push(key.clone(), if handled { Class::Backlog } else { Class::Changed });
            }
            Seen::Made => queue.push(key.clone(), Class::New),
            Seen::Changed | Seen::Gone => queue.push(key.clone(), Class::Changed),
            Seen::Touched => {}
        }
    });
    let sealed = stores.sealed_secrets.clone();
    stores.secrets.keep(move |key, _| sealed.get(key).is_some());
    let (sealed, wake) = (stores.sealed_secrets.clone(), queue.clone());
    stores.secrets.on_seen(move |seen, key, _| {
        if seen != Seen::Listed && sealed.get(key).is_some() {
            wake.push(key.clone(), Class::Changed);
        }
    });
    let controller = Arc::new(SealedSecrets {
        context: context.clone(),
        store: stores.sealed_secrets.clone(),
        targets: Targets::new(&context.cluster, &stores.secrets),
        keys: stores.keys.clone(),
    });
    let context = context.clone();
    Box::pin(async move {
        let keeper = keep_a_key(controller.clone(), queue.clone());
        futures::join!(keeper, drive(context, controller.clone(), queue));
    })
}

/// Sees to it that there is a key to seal with, and wakes what waited for one when keys come.
async fn keep_a_key(controller: Arc<SealedSecrets>, queue: Scheduler) {
    let stop = controller.context.stop.clone();
    let mut changes = controller.keys.changes();
    changes.mark_changed();
    loop {
        let changed = tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.changed() => changed.is_ok(),
            () = tokio::time::sleep(BIRTH_RETRY) => false,
        };
        if controller.keys.ring().is_empty() {
            controller.make_a_key().await;
        }
        if changed {
            for object in controller.store.all() {
                if let Some(waiting) = object.0.as_ref().ok().filter(|object| !is_handled(object)) {
                    queue.push(key_of(waiting), Class::Woken);
                }
            }
        }
    }
}

impl Reconcile for SealedSecrets {
    type Kind = SealedSecret;
    type Error = Error;
    const NAME: &'static str = "sealed-secrets";

    fn store(&self) -> &Watched<SealedSecret> {
        &self.store
    }

    async fn reconcile(&self, object: &SealedSecret, _: Class) -> Result<Verdict, Error> {
        let key = key_of(object);
        let digester = self.context.digester().await?;
        let inputs = decide::inputs(object, digester);

        if let Some(record) = handled(object, &inputs) {
            let shape = decide::shape(object);
            let as_written = |live: &_| decide::outputs_of_live(live, &shape, digester) == record.outputs;
            if self.targets.is_intact(&key, &record.target, as_written).await? {
                return Ok(Verdict::silent(Next::OnChange));
            }
        }

        let (wanted, keys) = self.unseal(object).await?;
        let (target, ownership) = self.targets.write(&wanted, MANAGER, |live| whose(object, live)).await?;

        // A Secret that is only patched is never wholly ours: it has no digest, and is written again at each look.
        let outputs = match ownership {
            Ownership::Patchable => String::new(),
            _ => decide::outputs(&wanted, digester),
        };
        let record = SealedSecretRecord { target, inputs, outputs, keys, failing: Vec::new() };
        let status = status::synced(object, record, Timestamp::now());
        Ok(Verdict::told(serde_json::to_value(status).ok(), Some(unsealed_note()), Next::OnChange))
    }

    fn failed(&self, object: &SealedSecret, failure: &Failure) -> (Value, Option<Note>) {
        let (reason, message) = match failure.reason {
            // The reference's words, which people alert on.
            "NoKey" | "MalformedItem" | "InvalidSpec" | "UnsupportedField" | "Refused" => {
                ("ErrUnsealFailed", format!("Failed to unseal: {}", failure.message))
            }
            _ => ("ErrUpdateFailed", failure.message.clone()),
        };
        let items = failure.items.clone();
        let status = status::failed(object, failure.reason, &failure.message, items, Timestamp::now());
        let note = Note { warning: true, reason: reason.to_owned(), message };
        (serde_json::to_value(status).unwrap_or_default(), Some(note))
    }

    fn broken(failure: &Failure) -> Value {
        serde_json::to_value(status::broken(failure.reason, &failure.message, Timestamp::now())).unwrap_or_default()
    }

    fn gone(&self, key: &ObjectKey) {
        self.targets.forget(key);
    }
}

impl SealedSecrets {
    async fn unseal(&self, object: &SealedSecret) -> Result<(SecretManifest, BTreeMap<String, i64>), Error> {
        let ring: Arc<KeyRing> = self.keys.ring();
        let namespace = object.namespace().unwrap_or_default();
        let bounds = decide::Bounds {
            key_namespace: namespace == self.context.cluster.namespace(),
            application_namespace: self.context.settings.application_namespaces.contains(&namespace),
        };
        let object = object.clone();
        let owner = decide::owner(&object);
        let unsealed = tokio::task::spawn_blocking(move || {
            let fitted = object.status.as_ref().and_then(|status| status.chancery.as_ref());
            let keys = ring.in_order(&fitted.map(|record| record.keys.clone()).unwrap_or_default());
            decide::unseal(&object, &keys, bounds)
        })
        .await
        .map_err(|_| Error::Interrupted)??;
        Ok((SecretManifest { owner, ..unsealed.secret }, unsealed.keys))
    }

    async fn make_a_key(&self) {
        let needed_before = self.store.all().iter().any(|object| object.0.as_ref().is_ok_and(was_synced));
        let asked = self.context.settings.generate_key;
        match self.keys.give_birth(&self.context.cluster, needed_before, asked).await {
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "a sealing key could not be made and will be"),
        }
    }
}

/// Whose a Secret of the object's name is. Without an owner reference only our own record says that we made it.
fn whose(object: &SealedSecret, secret: &ObjectMeta) -> Ownership {
    let record = object.status.as_ref().and_then(|status| status.chancery.as_ref());
    let made_here = || {
        decide::owner(object).is_none() && record.is_some_and(|record| Some(&record.target.uid) == secret.uid.as_ref())
    };
    match ownership::of(secret, &object.uid().unwrap_or_default(), Some(MANAGED), Some(PATCH)) {
        Ownership::Foreign if made_here() => Ownership::Ours,
        other => other,
    }
}

/// The record of an object whose present content has been handled.
fn handled<'a>(object: &'a SealedSecret, inputs: &str) -> Option<&'a SealedSecretRecord> {
    let record = object.status.as_ref()?.chancery.as_ref()?;
    (is_handled(object) && record.inputs == inputs && !record.outputs.is_empty()).then_some(record)
}

/// Whether the status speaks of the present generation, and well.
fn is_handled(object: &SealedSecret) -> bool {
    let status = object.status.as_ref();
    was_synced(object) && status.is_some_and(|status| status.observed_generation == object.metadata.generation)
}

fn was_synced(object: &SealedSecret) -> bool {
    object
        .status
        .iter()
        .flat_map(|status| &status.conditions)
        .any(|condition| condition.type_ == SYNCED && condition.status == "True")
}

fn unsealed_note() -> Note {
    Note { warning: false, reason: "Unsealed".to_owned(), message: "SealedSecret unsealed successfully".to_owned() }
}

fn key_of(object: &SealedSecret) -> ObjectKey {
    ObjectKey::new(object.namespace().unwrap_or_default(), object.name_any())
}
