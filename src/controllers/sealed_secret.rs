//! SealedSecret → Secret.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

use super::{Armed, Context, Failure, Reconcile, Stores, drive};
use crate::api::sealed_secret::{SYNCED, SealedSecretRecord, TargetRecord};
use crate::api::{SealedSecret, sealed_secret};
use crate::cluster::{self, Birth, KeyRing, Keys, Metadata, Seen, Watched, Written};
use crate::decide::ownership::{self, Ownership};
use crate::decide::sealed_secret as decide;
use crate::decide::status::sealed_secret as status;
use crate::error::{Classify, Retry};
use crate::plan::{Change, Guard, Next, Note, ObjectKey, ObjectRef, SecretManifest, Verdict};
use crate::scheduler::{Class, Scheduler};

/// Field manager of the Secrets that we make; a Secret has at most one SealedSecret, the one of its own name.
const MANAGER: &str = "sealed-secrets.chancery.dev";
/// How soon the birth of a key is tried again when nothing changes.
const BIRTH_RETRY: std::time::Duration = std::time::Duration::from_secs(15);

struct SealedSecrets {
    context: Context,
    store: Watched<SealedSecret>,
    secrets: Metadata,
    keys: Keys,
    /// The version of each Secret that was last found as it should be. The status holds the one that was written.
    verified: Mutex<HashMap<ObjectKey, TargetRecord>>,
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
    #[error(
        "{0}; type and content of an immutable Secret cannot be changed in place: the target Secret is immutable or of \
         another type. Delete it and it is made anew"
    )]
    Unchangeable(cluster::Error),
    #[error("opening was interrupted")]
    Interrupted,
}

impl Classify for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Rule(error) => error.reason(),
            Self::Cluster(error) => error.reason(),
            Self::Unmanaged(_) => "Unmanaged",
            Self::Unchangeable(_) => "Immutable",
            Self::Interrupted => "Interrupted",
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Rule(error) => error.retry(),
            Self::Cluster(error) => error.retry(),
            // The Secret's metadata is watched: its change wakes us.
            Self::Unmanaged(_) | Self::Unchangeable(_) => Retry::OnChange,
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
        secrets: stores.secrets.clone(),
        keys: stores.keys.clone(),
        verified: Mutex::default(),
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

        if let Some(record) = handled(object, &inputs)
            && self.is_intact(object, &key, record).await?
        {
            return Ok(Verdict { status: None, note: None, next: Next::OnChange });
        }

        let (mut wanted, keys) = self.unseal(object).await?;
        wanted.owner = decide::owner(object);
        let (written, owned) = self.write(object, &wanted).await?;
        let target = TargetRecord { uid: written.uid, resource_version: written.resource_version };
        self.verified().insert(key.clone(), target.clone());

        let outputs = if owned { decide::outputs(&wanted, digester) } else { String::new() };
        let record = SealedSecretRecord { target, inputs, outputs, keys, failing: Vec::new() };
        let status = status::synced(object, record, Timestamp::now());
        Ok(Verdict { status: serde_json::to_value(status).ok(), note: Some(unsealed_note()), next: Next::OnChange })
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
        self.verified().remove(key);
    }
}

impl SealedSecrets {
    /// Whether the Secret is as it was written: by its version, or by one read and a digest, but never by opening anything.
    async fn is_intact(
        &self,
        object: &SealedSecret,
        key: &ObjectKey,
        record: &SealedSecretRecord,
    ) -> Result<bool, Error> {
        let Some(seen) = self.secrets.get(key) else { return Ok(false) };
        if seen.uid.as_deref() != Some(record.target.uid.as_str()) {
            return Ok(false);
        }
        let version = seen.resource_version.clone().unwrap_or_default();
        let known = TargetRecord { uid: record.target.uid.clone(), resource_version: version };
        if known == record.target || self.verified().get(key) == Some(&known) {
            return Ok(true);
        }
        let Some(live) = self.context.cluster.secret(key).await? else { return Ok(false) };
        // The shape without values: which labels and annotations are ours, and whether we own it.
        let shape = self.shape(object);
        let digester = self.context.digester().await?;
        if decide::outputs_of_live(&live, &shape, digester) != record.outputs {
            return Ok(false);
        }
        let resource_version = live.metadata.resource_version.unwrap_or_default();
        self.verified().insert(key.clone(), TargetRecord { uid: record.target.uid.clone(), resource_version });
        Ok(true)
    }

    fn shape(&self, object: &SealedSecret) -> SecretManifest {
        let template = object.spec.template.clone().unwrap_or_default();
        let metadata = template.metadata.unwrap_or_default();
        SecretManifest {
            labels: metadata.labels,
            annotations: metadata.annotations,
            type_: template.type_.unwrap_or_default(),
            owner: decide::owner(object),
            ..SecretManifest::default()
        }
    }

    async fn unseal(
        &self,
        object: &SealedSecret,
    ) -> Result<(SecretManifest, std::collections::BTreeMap<String, i64>), Error> {
        let ring: Arc<KeyRing> = self.keys.ring();
        let namespace = object.namespace().unwrap_or_default();
        let bounds = decide::Bounds {
            key_namespace: namespace == self.context.cluster.namespace(),
            application_namespace: self.context.settings.application_namespaces.contains(&namespace),
        };
        let object = object.clone();
        let unsealed = tokio::task::spawn_blocking(move || {
            let fitted = object.status.as_ref().and_then(|status| status.chancery.as_ref());
            let keys = ring.in_order(&fitted.map(|record| record.keys.clone()).unwrap_or_default());
            decide::unseal(&object, &keys, bounds)
        })
        .await
        .map_err(|_| Error::Interrupted)??;
        Ok((unsealed.secret, unsealed.keys))
    }

    /// Makes or mends the Secret; also says whether all of it is ours.
    async fn write(&self, object: &SealedSecret, wanted: &SecretManifest) -> Result<(Written, bool), Error> {
        let cluster = &self.context.cluster;
        let uid = object.uid().unwrap_or_default();
        let whose = |metadata: &kube::api::ObjectMeta| match ownership::of(metadata, &uid) {
            Ownership::Foreign if self.was_made_here(object, metadata) => Ownership::Ours,
            other => other,
        };
        let mut known = self.secrets.get(&wanted.key).map(|metadata| (*metadata).clone());
        if known.is_none() {
            let create = Change::Create { manifest: wanted.to_manifest(), manager: MANAGER.to_owned() };
            match cluster.carry_out(&create).await {
                Ok(written) => return Ok((written, true)),
                Err(cluster::Error::AlreadyExists(_)) => {
                    known = cluster.secret(&wanted.key).await?.map(|live| live.metadata);
                }
                Err(error) => return Err(error.into()),
            }
        }
        // It went between two reads: the next pass makes it.
        let Some(known) = known else { return Err(cluster::Error::Conflict(format!("Secret {}", wanted.key)).into()) };
        let ownership = whose(&known);
        let mut wanted = wanted.clone();
        match ownership {
            Ownership::Foreign => return Err(Error::Unmanaged(wanted.key)),
            Ownership::Patchable => wanted.owner = None,
            Ownership::Ours | Ownership::Adoptable => {}
        }
        let guard = Guard {
            uid: known.uid.clone().unwrap_or_default(),
            resource_version: known.resource_version.clone().unwrap_or_default(),
        };
        let apply = Change::Apply { manifest: wanted.to_manifest(), manager: MANAGER.to_owned(), guard: Some(guard) };
        let written = cluster.carry_out(&apply).await.map_err(|error| match error {
            cluster::Error::Invalid { .. } => Error::Unchangeable(error),
            other => other.into(),
        })?;
        if ownership == Ownership::Patchable {
            return Ok((written, false));
        }
        Ok((self.without_others_keys(&wanted, written).await?, true))
    }

    /// Takes away data that others added to a Secret of ours: apply leaves it.
    async fn without_others_keys(&self, wanted: &SecretManifest, written: Written) -> Result<Written, Error> {
        let data = written.stored.as_ref().and_then(|stored| stored.fields().get("data")).and_then(Value::as_object);
        let pointers: Vec<String> = data
            .into_iter()
            .flat_map(|data| data.keys())
            .filter(|name| !wanted.data.contains_key(*name))
            .map(|name| format!("/data/{}", name.replace('~', "~0").replace('/', "~1")))
            .collect();
        if pointers.is_empty() {
            return Ok(written);
        }
        let object = ObjectRef { api_version: "v1".to_owned(), kind: "Secret".to_owned(), key: wanted.key.clone() };
        let guard = Guard { uid: written.uid, resource_version: written.resource_version };
        let remove = Change::RemoveFields { object, pointers, manager: MANAGER.to_owned(), guard };
        Ok(self.context.cluster.carry_out(&remove).await?)
    }

    /// Without an owner reference only our own record says that we made it.
    fn was_made_here(&self, object: &SealedSecret, secret: &kube::api::ObjectMeta) -> bool {
        let record = object.status.as_ref().and_then(|status| status.chancery.as_ref());
        decide::owner(object).is_none() && record.is_some_and(|record| Some(&record.target.uid) == secret.uid.as_ref())
    }

    async fn make_a_key(&self) {
        let needed_before = self.store.all().iter().any(|object| object.0.as_ref().is_ok_and(was_synced));
        let asked = self.context.settings.generate_key;
        match self.keys.give_birth(&self.context.cluster, needed_before, asked).await {
            Ok(Birth::Made | Birth::Refused) => {}
            Err(error) => tracing::warn!(%error, "a sealing key could not be made and will be"),
        }
    }

    fn verified(&self) -> MutexGuard<'_, HashMap<ObjectKey, TargetRecord>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
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
        .any(|condition: &sealed_secret::SealedSecretCondition| condition.type_ == SYNCED && condition.status == "True")
}

fn unsealed_note() -> Note {
    Note { warning: false, reason: "Unsealed".to_owned(), message: "SealedSecret unsealed successfully".to_owned() }
}

fn key_of(object: &SealedSecret) -> ObjectKey {
    ObjectKey::new(object.namespace().unwrap_or_default(), object.name_any())
}
