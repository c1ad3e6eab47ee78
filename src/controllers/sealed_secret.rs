//! SealedSecret → Secret.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use serde_json::Value;

use super::target::Targets;
use super::{Armed, Context, Failure, Reconcile, Stores, drive};
use crate::api::sealed_secret::{MANAGED, RenderingRecord, SealedSecretRecord, TargetRecord};
use crate::api::{RECREATE, SealedSecret};
use crate::cluster::{self, KeyRing, Keys, Seen, Watched};
use crate::decide::digest::Digester;
use crate::decide::ownership::Ownership;
use crate::decide::sealed_secret::{self as decide, Knowledge, Managers, Opened, Refusal, Settled, Step, is_handled};
use crate::decide::status::sealed_secret as status;
use crate::error::{Classify, Retry};
use crate::plan::{Next, Note, ObjectKey, ObjectRef, SecretValues, Verdict};
use crate::scheduler::{Class, Scheduler};
use crate::telemetry::sealed_secrets::UnsealErrorLabels;

mod keeping;
mod orders;
mod peer;
mod showing;

use peer::Peer;
use showing::Conditions;

pub(super) use keeping::key_policy;

/// Field managers of the Secrets: ours (a Secret has at most one SealedSecret, the one of its own name), and the
/// reference's, which is its program's name.
const MANAGERS: Managers = Managers { ours: "sealed-secrets.chancery.dev", peers: "controller" };
/// A Secret that many write is tried this often at once.
const ATTEMPTS: u32 = 8;
/// A name in our way that becomes free is taken after this time: whoever replaces a Secret of his own by deleting and
/// making it must not find ours in between.
const FREE_NAME: Duration = Duration::from_secs(10);

struct SealedSecrets {
    context: Context,
    store: Watched<SealedSecret>,
    targets: Targets,
    keys: Keys,
    peer: Arc<Peer>,
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Rule(#[from] decide::Error),
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    #[error("Secret {key} {}", standing(.key, .refusal))]
    Standing { key: ObjectKey, refusal: Refusal },
    #[error("opening was interrupted")]
    Interrupted,
}

/// What stands in the way, in the reference's words where it has some, and the way on.
fn standing(key: &ObjectKey, refusal: &Refusal) -> String {
    let ObjectKey { namespace, name } = key;
    let recreate = format!(
        "to have it deleted and made anew: kubectl annotate sealedsecret {name} -n {namespace} {RECREATE}=true"
    );
    match refusal {
        Refusal::Foreign => format!(
            "already exists and is not managed by SealedSecret; to take it over: \
             kubectl annotate secret {name} -n {namespace} {MANAGED}=true"
        ),
        Refusal::Type { .. } | Refusal::Immutable => format!("is left as it is: {refusal}; {recreate}"),
        Refusal::Terminating => format!("is left as it is: {refusal}"),
    }
}

impl Classify for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Rule(error) => error.reason(),
            Self::Cluster(error) => error.reason(),
            Self::Standing { refusal, .. } => decide::Error::Standing(refusal.clone()).reason(),
            Self::Interrupted => "Interrupted",
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Rule(error) => error.retry(),
            Self::Cluster(error) => error.retry(),
            // The Secret's metadata is watched: its change wakes us.
            Self::Standing { .. } => Retry::OnChange,
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
    stores.sealed_secrets.keep_only(decide::slim);
    let queue = Scheduler::default();
    let (bells, peer) = (Arc::new(keeping::Bells::default()), Arc::new(Peer::default()));
    stores.key_reports.on_seen({
        let bells = bells.clone();
        move |seen, _, _| bells.ring_for_report(seen)
    });
    stores.sealed_secrets.on_seen({
        let (queue, bells, peer) = (queue.clone(), bells.clone(), peer.clone());
        let flags = &context.settings.sealed;
        let shown = flags.sealed_secrets_metrics && !flags.metrics_omit_secret_labels;
        let conditions = shown.then(|| Conditions::new(context.metrics.reference.conditions.clone()));
        move |seen, key, object| {
            let readable = object.0.as_ref();
            if let Ok(object) = readable {
                peer.notice(seen, key, object);
            }
            if let Some(conditions) = &conditions {
                conditions.show(seen, key, readable.ok());
            }
            match seen {
                Seen::Listed if readable.is_ok_and(is_handled) => queue.push(key.clone(), Class::Backlog),
                Seen::Made => queue.push(key.clone(), Class::New),
                Seen::Listed | Seen::Changed | Seen::Gone => queue.push(key.clone(), Class::Changed),
                // A status: it may say that another key was used.
                Seen::Touched => bells.usage.notify_one(),
            }
        }
    });
    let sealed = stores.sealed_secrets.clone();
    stores.secrets.keep(move |key, _| sealed.has(key));
    let (sealed, wake) = (stores.sealed_secrets.clone(), queue.clone());
    stores.secrets.on_seen(move |seen, key, secret| {
        let Some(object) = sealed.get(key) else { return };
        match object.0.as_ref() {
            // Somebody changed it while nobody looked: that must not wait for the backlog.
            Ok(object) if seen == Seen::Listed && is_as_recorded(object, secret) => {}
            Ok(object) if seen == Seen::Gone && !was_ours(object, secret) => wake.push_later(key, FREE_NAME),
            _ => wake.push(key.clone(), Class::Changed),
        }
    });
    let controller = Arc::new(SealedSecrets {
        context: context.clone(),
        store: stores.sealed_secrets.clone(),
        targets: Targets::new(&context.cluster, &stores.secrets),
        keys: stores.keys.clone(),
        peer,
    });
    let (context, reports) = (context.clone(), stores.key_reports.clone());
    Box::pin(async move {
        let keeper = keeping::keep(controller.clone(), queue.clone(), reports.clone(), bells);
        let (stop, watcher) = (context.stop.clone(), context.clone());
        let peers = async {
            if !watcher.settings.sealed.beside_sealed_secrets {
                controller.peer.watch(&watcher).await;
            }
        };
        futures::join!(keeper, peers, reports.start(stop), drive(context, controller.clone(), queue));
    })
}

impl Reconcile for SealedSecrets {
    type Kind = SealedSecret;
    type Error = Error;
    const NAME: &'static str = "sealed-secrets";
    const STATUS_MAY_WAIT: bool = true;

    fn store(&self) -> &Watched<SealedSecret> {
        &self.store
    }

    async fn reconcile(&self, object: &SealedSecret, _: Class) -> Result<Verdict, Error> {
        if let Some(pause) = self.aside() {
            return Ok(Verdict::silent(Next::After(pause)));
        }
        if object.metadata.deletion_timestamp.is_some() {
            // Its Secret goes with it; to make it again would be a race with the garbage collector.
            return Ok(Verdict::silent(Next::OnChange));
        }
        let key = key_of(object);
        let digester = self.context.digester().await?;
        let inputs = decide::inputs(object, digester);
        let done = handled(object, &inputs);
        if let Some(record) = done {
            let as_written = |live: &SecretValues| digest_of_live(object, live, digester) == record.outputs;
            if self.targets.is_intact(&key, &record.target, as_written).await? {
                return Ok(Verdict::silent(Next::OnChange));
            }
        }

        let Some(object) = self.whole(object).await? else {
            // It has changed or is gone, and the watch is about to say so.
            return Ok(Verdict::silent(Next::OnChange));
        };
        let object = &*object;
        self.context.metrics.reference.unseal_requests.inc();
        let opened = self.open(object).await?;
        let (settled, target) = self.settle(object, &opened, digester).await?;

        let secret = &settled.made.secret;
        let rendering = settled.rendering.map(|(rules, at)| RenderingRecord {
            generation: object.metadata.generation.unwrap_or_default(),
            at: at.to_string(),
            rules: rules.name().to_owned(),
        });
        let outputs = decide::outputs(secret, digester);
        let record = SealedSecretRecord { target, inputs, outputs, keys: opened.keys, failing: Vec::new(), rendering };
        if settled.step == Step::Keep && done.is_some_and(|done| as_good(done, &record)) {
            return Ok(Verdict::silent(Next::OnChange));
        }
        let (status, note) = match &settled.made.short {
            None => (status::synced(object, record, &settled.notices, Timestamp::now()), unsealed_note()),
            Some(short) => {
                let message = format!("Failed to unseal: {short}; what could be opened is written");
                let note = Note { warning: true, reason: "ErrUnsealFailed".to_owned(), message };
                (status::partly(object, record, short, &settled.notices, Timestamp::now()), note)
            }
        };
        Ok(Verdict::told(serde_json::to_value(status).ok(), Some(note), Next::OnChange))
    }

    fn failed(&self, object: &SealedSecret, failure: &Failure) -> (Value, Option<Note>) {
        let namespace = object.namespace().unwrap_or_default();
        let counted = UnsealErrorLabels { reason: in_the_references_words(failure.reason), namespace };
        self.context.metrics.reference.unseal_errors.get_or_create(&counted).inc();
        let (reason, message) = match failure.reason {
            // The reference's words, which people alert on.
            reason if in_the_references_words(reason) == "unseal" => {
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
    /// How long another controller has the work; none when it is ours.
    fn aside(&self) -> Option<Duration> {
        self.peer.stands_in_for().filter(|_| !self.context.settings.sealed.beside_sealed_secrets)
    }

    /// The object with its sealed values, which the store does not keep once they have been opened; none when that content
    /// is no longer there.
    async fn whole<'a>(&self, object: &'a SealedSecret) -> Result<Option<Cow<'a, SealedSecret>>, Error> {
        if !decide::is_slim(object) {
            return Ok(Some(Cow::Borrowed(object)));
        }
        let found = self.context.cluster.get(&reference(key_of(object))).await?;
        let found = found.and_then(|found| serde_json::from_value::<SealedSecret>(found.into_value()).ok());
        let content = |object: &SealedSecret| (object.uid(), object.metadata.generation);
        let same = found.filter(|found| content(found) == content(object));
        Ok(same.map(|found| Cow::Owned(SealedSecret { spec: found.spec, ..object.clone() })))
    }

    /// Opens what can be opened, with the keys that fitted last time first.
    async fn open(&self, object: &SealedSecret) -> Result<Opened, Error> {
        let ring: Arc<KeyRing> = self.keys.ring();
        let old_form = self.context.settings.sealed.accept_deprecated_v1_data;
        let (object, keys) = (object.clone(), self.keys.clone());
        let opening = move || {
            let fitted = decide::record(&object).map(|record| record.keys.clone()).unwrap_or_default();
            let opened = decide::open(&object, &ring.in_order(&fitted, keys.recent().as_deref()), old_form);
            opened.as_ref().ok().and_then(|opened| opened.keys.keys().next()).inspect(|key| keys.has_fitted(key));
            opened
        };
        Ok(self.keys.at_work(opening).await.ok_or(Error::Interrupted)??)
    }

    /// Decides about the Secret that stands and does it; anew when it changed under our hands.
    async fn settle(
        &self,
        object: &SealedSecret,
        opened: &Opened,
        digester: &Digester,
    ) -> Result<(Settled, TargetRecord), Error> {
        let key = key_of(object);
        let known = Knowledge {
            bounds: super::target::bounds(&self.context, &key.namespace),
            managers: MANAGERS,
            digester: digester.clone(),
            now: Timestamp::now(),
        };
        let mut live = self.targets.read(&key).await?;
        for attempt in 1.. {
            let (settled, seen) = self.decide(object, opened, live, &known).await?;
            match self.targets.settle(&settled, seen.as_ref(), MANAGERS).await {
                Ok(target) => return Ok((settled, target)),
                Err(cluster::Error::AlreadyExists(_) | cluster::Error::Conflict(_)) if attempt < ATTEMPTS => {
                    live = self.context.cluster.secret(&key).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Interrupted)
    }

    /// The decision, on a thread where it may take its time: a template may make an RSA key.
    async fn decide(
        &self,
        object: &SealedSecret,
        opened: &Opened,
        live: Option<SecretValues>,
        known: &Knowledge,
    ) -> Result<(Settled, Option<SecretValues>), Error> {
        let key = key_of(object);
        let (decided, live) = if decide::has_templates(object) {
            let (object, opened, known) = (object.clone(), opened.clone(), known.clone());
            let deciding = move || (decide::settle(&object, &opened, live.as_ref(), &known), live);
            self.keys.at_work(deciding).await.ok_or(Error::Interrupted)?
        } else {
            (decide::settle(object, opened, live.as_ref(), known), live)
        };
        match decided {
            Ok(settled) => Ok((settled, live)),
            Err(decide::Error::Standing(refusal)) => Err(Error::Standing { key, refusal }),
            Err(error) => Err(error.into()),
        }
    }
}

/// The reason as the reference's metric and events have it.
fn in_the_references_words(reason: &str) -> &'static str {
    match reason {
        "NoKey" | "MalformedItem" | "InvalidSpec" | "TemplateFailed" | "Refused" => "unseal",
        "Unmanaged" => "unmanaged",
        _ => "update",
    }
}

/// The digest of the Secret as it stands, over what is ours in it.
fn digest_of_live(object: &SealedSecret, live: &SecretValues, digester: &Digester) -> String {
    let claim = decide::claim(object, &live.metadata);
    let mut shape = decide::shape(object);
    if claim.ownership == Ownership::Patchable {
        shape.owner = None;
    }
    match claim.merge {
        true => decide::outputs_of_merged(live, &shape, digester),
        false => decide::outputs_of_live(live, &shape, digester),
    }
}

/// Whether the Secret is the very version that the status speaks of.
fn is_as_recorded(object: &SealedSecret, secret: &ObjectMeta) -> bool {
    decide::record(object)
        .is_none_or(|record| Some(&record.target.resource_version) == secret.resource_version.as_ref())
}

/// Whether a Secret that is gone was the object's own, or given over to it.
fn was_ours(object: &SealedSecret, secret: &ObjectMeta) -> bool {
    matches!(decide::claim(object, secret).ownership, Ownership::Ours | Ownership::Adoptable)
}

/// Whether a record says the same but for the Secret's version, which is kept in memory and not worth a write.
fn as_good(known: &SealedSecretRecord, new: &SealedSecretRecord) -> bool {
    let target = TargetRecord { resource_version: known.target.resource_version.clone(), ..new.target.clone() };
    *known == SealedSecretRecord { target, ..new.clone() }
}

/// The record of an object whose present content has been handled.
fn handled<'a>(object: &'a SealedSecret, inputs: &str) -> Option<&'a SealedSecretRecord> {
    let record = object.status.as_ref()?.chancery.as_ref()?;
    (is_handled(object) && record.inputs == inputs && !record.outputs.is_empty()).then_some(record)
}

fn unsealed_note() -> Note {
    Note { warning: false, reason: "Unsealed".to_owned(), message: "SealedSecret unsealed successfully".to_owned() }
}

fn reference(key: ObjectKey) -> ObjectRef {
    ObjectRef { api_version: "bitnami.com/v1alpha1".to_owned(), kind: "SealedSecret".to_owned(), key }
}

fn key_of(object: &SealedSecret) -> ObjectKey {
    ObjectKey::new(object.namespace().unwrap_or_default(), object.name_any())
}
