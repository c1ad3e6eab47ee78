//! PushSecret: Secret → stores.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::drive::next_of;
use super::external_secret::read_sources;
use super::generator::{self, Generated};
use super::secret_store::{StoreError, StoreObject, open_store};
use super::{Armed, Context, Failure, Reconcile, Stores, drive};
use crate::api::external_secret::{StoreKind, StoreRef};
use crate::api::push_secret::{FINALIZER, PushData, PushDeletionPolicy, PushStoreRef};
use crate::api::{ClusterSecretStore, PushSecret, SecretStore};
use crate::cluster::{self, Seen, Watched};
use crate::decide::push_secret::{self as decide, Due, Push};
use crate::decide::selector;
use crate::decide::status::push_secret::{self as status, Pushed};
use crate::decide::target_template::{self, Moment};
use crate::error::{Classify, Retry};
use crate::plan::{Change, Guard, Manifest, Next, Note, ObjectKey, SecretManifest, SecretValues, StoreId, Verdict};
use crate::providers::{self, PushRef, PushValue};
use crate::scheduler::{Class, Scheduler};

struct PushSecrets {
    context: Context,
    stores: Stores,
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("set secret failed: {0}")]
    Rule(#[from] decide::Error),
    #[error("{0}")]
    Template(#[from] target_template::Error),
    #[error("could not get secrets client for store {store}: {error}")]
    Store { store: String, error: Box<StoreError> },
    #[error("set secret failed: could not write remote ref {key} to target secretstore {store}: {error}")]
    Push { key: String, store: String, error: providers::Error },
    #[error("could not delete {place} from {store}: {error}")]
    Delete { place: String, store: String, error: providers::Error },
    #[error("the Secret {0} does not exist")]
    NoSource(ObjectKey),
    #[error("spec.selector names neither a Secret nor a generator")]
    NoSelector,
    #[error("no store bears the labels of spec.secretStoreRefs")]
    NoStore,
    #[error("generator {0} does not exist")]
    NoGenerator(String),
    #[error(transparent)]
    Generator(generator::Error),
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
}

impl Classify for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Rule(error) => error.reason(),
            Self::Template(error) => error.reason(),
            Self::Store { error, .. } => error.reason(),
            Self::Push { error, .. } | Self::Delete { error, .. } => error.reason(),
            Self::NoSource(_) => "SourceNotFound",
            Self::NoSelector => "InvalidSpec",
            Self::NoStore => "StoreNotFound",
            Self::NoGenerator(_) => "GeneratorNotFound",
            Self::Generator(_) => "GeneratorFailed",
            Self::Cluster(error) => error.reason(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Rule(error) => error.retry(),
            Self::NoSelector => Retry::OnChange,
            Self::Cluster(error) => error.retry(),
            // Neither the Secret nor what is in the stores is watched.
            _ => Retry::Backoff,
        }
    }
}

/// Registers the watches and hands back the work.
pub(super) fn arm(context: &Context, stores: &Stores) -> Armed {
    context.need(&stores.push_secrets);
    let queue = Scheduler::default();
    stores.push_secrets.on_seen({
        let queue = queue.clone();
        move |seen, key, _| match seen {
            Seen::Listed => queue.push(key.clone(), Class::Backlog),
            Seen::Made => queue.push(key.clone(), Class::New),
            Seen::Changed | Seen::Gone => queue.push(key.clone(), Class::Changed),
            Seen::Touched => {}
        }
    });
    let controller = Arc::new(PushSecrets { context: context.clone(), stores: stores.clone() });
    let context = context.clone();
    Box::pin(async move { drive(context, controller, queue).await })
}

/// A store that is pushed to.
struct Store {
    reference: StoreRef,
    labels: std::collections::BTreeMap<String, String>,
}

impl Store {
    fn kind(&self) -> StoreKind {
        self.reference.kind.unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.reference.name.as_deref().unwrap_or_default()
    }

    /// Whether a reference means it: by name, or by labels.
    fn is_meant(&self, reference: &PushStoreRef) -> bool {
        reference.kind == self.kind()
            && match (&reference.name, &reference.label_selector) {
                (Some(name), _) => name == self.name(),
                (None, Some(labels)) => selector::matches(labels, &self.labels),
                (None, None) => false,
            }
    }
}

impl Reconcile for PushSecrets {
    type Kind = PushSecret;
    type Error = Error;
    const NAME: &'static str = "push-secrets";

    fn store(&self) -> &Watched<PushSecret> {
        &self.stores.push_secrets
    }

    async fn reconcile(&self, object: &PushSecret, _: Class) -> Result<Verdict, Error> {
        if let Some(pause) = self.stores.external_secrets_peer.stands_in_for() {
            return Ok(Verdict::silent(Next::After(pause)));
        }
        if object.metadata.deletion_timestamp.is_some() {
            return self.let_go(object).await;
        }
        let deletes = object.spec.deletion_policy == PushDeletionPolicy::Delete;
        self.set_finalizer(object, deletes).await?;
        let now = Timestamp::now();
        match decide::due(object, now)? {
            Due::Now => {}
            Due::Later(left) => return Ok(Verdict::silent(Next::After(left))),
            Due::Never => return Ok(Verdict::silent(Next::OnChange)),
        }
        decide::check(&object.spec)?;
        let stores = self.find_stores(object)?;
        if stores.is_empty() {
            // They are for another class of controller.
            return Ok(Verdict::silent(Next::OnChange));
        }
        let before = object.status.as_ref().map(|status| status.synced_push_secrets.clone()).unwrap_or_default();
        let sources = match self.sources(object).await {
            Err(Error::NoSource(_)) if deletes && (!before.is_empty() || status::is_source_deleted(object)) => {
                return self.source_is_gone(object, &before).await;
            }
            sources => sources?,
        };
        let mut pushed = Pushed::new();
        let outcome = self.push_all(object, &stores, &sources, &mut pushed).await;
        let outcome = match outcome {
            Ok(()) if deletes => self.delete_old(object, &before, &mut pushed).await,
            outcome => outcome,
        };
        if let Err(error) = outcome {
            // What lies somewhere must be known, or it would never be taken away.
            for (store, places) in before {
                pushed.entry(store).or_default().extend(places);
            }
            let message = error.to_string();
            let status = status::failed(object, pushed, &message, now);
            return Ok(Verdict::told(serde_json::to_value(status).ok(), [errored(message)], next_of(error.retry())));
        }
        let is_news =
            object.status.as_ref().is_none_or(|status| status.synced_push_secrets != pushed) || !is_ready(object);
        let status = status::synced(object, pushed, now);
        let message = status.conditions.first().and_then(|condition| condition.message.clone()).unwrap_or_default();
        let note = is_news.then(|| Note { warning: false, reason: "Synced".to_owned(), message });
        let every =
            crate::decide::external_secret::interval(&object.spec.refresh_interval).map_err(decide::Error::from)?;
        let next = if every.is_zero() { Next::OnChange } else { Next::After(every) };
        Ok(Verdict::told(serde_json::to_value(status).ok(), note, next))
    }

    fn failed(&self, object: &PushSecret, failure: &Failure) -> (Value, Option<Note>) {
        let pushed = object.status.as_ref().map(|status| status.synced_push_secrets.clone()).unwrap_or_default();
        let status = status::failed(object, pushed, &failure.message, Timestamp::now());
        (serde_json::to_value(status).unwrap_or_default(), Some(errored(failure.message.clone())))
    }

    fn broken(failure: &Failure) -> Value {
        serde_json::to_value(status::broken(&failure.message, Timestamp::now())).unwrap_or_default()
    }
}

impl PushSecrets {
    /// The stores that are meant, of our class.
    fn find_stores(&self, object: &PushSecret) -> Result<Vec<Store>, Error> {
        let namespace = object.namespace().unwrap_or_default();
        let mut found: Vec<Store> = Vec::new();
        let mut is_anothers = false;
        for reference in &object.spec.secret_store_refs {
            let meant = match reference.kind {
                StoreKind::SecretStore => self.meant_by::<SecretStore>(reference, &namespace),
                StoreKind::ClusterSecretStore => self.meant_by::<ClusterSecretStore>(reference, ""),
            };
            if let (true, Some(name)) = (meant.is_empty() && !is_anothers, &reference.name) {
                let store = decide::store_place(reference.kind, name);
                let place = if reference.kind == StoreKind::SecretStore { namespace.as_str() } else { "" };
                let key = ObjectKey::new(place, name);
                let missing = StoreId { kind: reference.kind, key, asker: String::new() };
                return Err(Error::Store { store, error: Box::new(StoreError::Missing(missing)) });
            }
            for (store, is_ours) in meant {
                if !is_ours {
                    is_anothers = true;
                } else if !found.iter().any(|known| known.reference == store.reference) {
                    found.push(store);
                }
            }
        }
        if found.is_empty() && !is_anothers { Err(Error::NoStore) } else { Ok(found) }
    }

    /// The stores of one kind that a reference means, the one of its name or all that bear its labels, and whether they
    /// are of our class.
    fn meant_by<K: StoreObject>(&self, reference: &PushStoreRef, namespace: &str) -> Vec<(Store, bool)> {
        let class = self.context.settings.external.controller_class.as_str();
        let watched = K::watched(&self.stores);
        let candidates = match &reference.name {
            Some(name) => watched.get(&ObjectKey::new(namespace, name)).into_iter().collect(),
            None => watched.all().collect::<Vec<_>>(),
        };
        let candidates = candidates.iter().filter_map(|store| store.0.as_ref().ok());
        let near = candidates.filter(|store| store.namespace().unwrap_or_default() == namespace);
        let with_class = near.map(|store| {
            let reference = StoreRef { name: Some(store.name_any()), kind: Some(K::KIND) };
            let is_ours = crate::decide::secret_store::is_of_class(store.spec(), class);
            (Store { reference, labels: store.labels().clone() }, is_ours)
        });
        with_class.filter(|(store, _)| store.is_meant(reference)).collect()
    }

    /// The Secrets that are pushed, as templates make them; always of the object's own namespace.
    async fn sources(&self, object: &PushSecret) -> Result<Vec<SecretManifest>, Error> {
        let namespace = object.namespace().unwrap_or_default();
        let cluster = &self.context.cluster;
        let wanted = &object.spec.selector;
        let found: Vec<SecretManifest> = match (&wanted.secret, &wanted.generator_ref) {
            (Some(source), _) => match (&source.name, &source.selector) {
                (Some(name), _) => {
                    let key = ObjectKey::new(&namespace, name);
                    let secret = cluster.secret(&key).await?.ok_or(Error::NoSource(key))?;
                    vec![manifest_of(secret)]
                }
                (None, Some(labels)) => {
                    let all = cluster.secrets(&namespace, &selector::query(labels)).await?;
                    all.into_iter().map(manifest_of).collect()
                }
                (None, None) => return Err(Error::NoSelector),
            },
            (None, Some(reference)) => match generator::generate(&self.context, reference, &namespace).await {
                Ok(Generated::Made(made)) => {
                    let key = ObjectKey::new(&namespace, object.name_any());
                    vec![SecretManifest { key, data: made.values.into_iter().collect(), ..SecretManifest::default() }]
                }
                Ok(Generated::Missing) => {
                    return Err(Error::NoGenerator(format!("{} {}", reference.kind, reference.name)));
                }
                Err(error) => return Err(Error::Generator(error)),
            },
            (None, None) => return Err(Error::NoSelector),
        };
        let mut made = Vec::new();
        for source in found {
            made.push(self.templated(object, source).await?);
        }
        Ok(made)
    }

    /// What a template makes of a Secret; its own keys stay beside what is rendered.
    async fn templated(&self, object: &PushSecret, mut source: SecretManifest) -> Result<SecretManifest, Error> {
        let Some(template) = &object.spec.template else { return Ok(source) };
        let namespace = object.namespace().unwrap_or_default();
        let held = read_sources(&self.context.cluster, target_template::sources(template), &namespace).await?;
        let moment = self.moment(object).await?;
        let rendered = target_template::render(template, &source.data, &held, moment)?;
        source.data.extend(rendered.data);
        source.labels.extend(rendered.labels);
        source.annotations.extend(rendered.annotations);
        if let Some(type_) = template.type_.clone().filter(|type_| !type_.is_empty()) {
            source.type_ = type_;
        }
        Ok(source)
    }

    async fn moment(&self, object: &PushSecret) -> Result<Moment, Error> {
        let at = Timestamp::now();
        let uid = object.uid().unwrap_or_default();
        let seed =
            self.context.digester().await?.seed("push-template", [uid.as_bytes(), &at.as_second().to_be_bytes()]);
        Ok(Moment { at, seed })
    }

    async fn push_all(
        &self,
        object: &PushSecret,
        stores: &[Store],
        sources: &[SecretManifest],
        pushed: &mut Pushed,
    ) -> Result<(), Error> {
        let namespace = object.namespace().unwrap_or_default();
        let moment = self.moment(object).await?;
        let render = |text: &str, key: &str| target_template::render_key(text, key, moment);
        for store in stores {
            let place = decide::store_place(store.kind(), store.name());
            let done = pushed.entry(place).or_default();
            let opened = open_store(&self.context, &self.stores, &store.reference, &namespace).await;
            let session =
                opened.map_err(|error| Error::Store { store: store.name().to_owned(), error: Box::new(error) })?;
            for source in sources {
                let pushes = decide::pushes(&object.spec, source, &|reference| store.is_meant(reference), &render)?;
                for push in pushes {
                    let failed = |error| Error::Push {
                        key: push.key().unwrap_or_default().to_owned(),
                        store: store.name().to_owned(),
                        error,
                    };
                    let remote = remote_of(&push.entry);
                    let leave =
                        decide::leaves_existing(&object.spec) && session.exists(&remote).await.map_err(failed)?;
                    if !leave {
                        let value = PushValue { source: &push.source, key: push.key() };
                        session.push(&remote, value).await.map_err(failed)?;
                    }
                    let Push { place, entry, .. } = push;
                    done.insert(place, entry);
                }
            }
        }
        Ok(())
    }

    /// Takes away what was pushed once and is no longer meant.
    async fn delete_old(&self, object: &PushSecret, before: &Pushed, pushed: &mut Pushed) -> Result<(), Error> {
        for (store, places) in before {
            for (place, entry) in places {
                if !pushed.get(store).is_some_and(|now| now.contains_key(place)) {
                    self.delete_one(object, store, place, entry).await?;
                }
            }
        }
        Ok(())
    }

    async fn delete_one(&self, object: &PushSecret, store: &str, place: &str, entry: &PushData) -> Result<(), Error> {
        let Some((kind, name)) = decide::store_of(store) else { return Ok(()) };
        let reference = StoreRef { name: Some(name.to_owned()), kind: Some(kind) };
        let namespace = object.namespace().unwrap_or_default();
        let session = match open_store(&self.context, &self.stores, &reference, &namespace).await {
            // What lies in a store that is no longer there cannot be taken away by anyone.
            Err(StoreError::Missing(_)) => {
                tracing::warn!(store, place, "the store is gone, and what was pushed into it stays");
                return Ok(());
            }
            opened => opened.map_err(|error| Error::Store { store: name.to_owned(), error: Box::new(error) })?,
        };
        let failed = |error| Error::Delete { place: place.to_owned(), store: name.to_owned(), error };
        session.delete(&remote_of(entry)).await.map_err(failed)
    }

    async fn source_is_gone(&self, object: &PushSecret, before: &Pushed) -> Result<Verdict, Error> {
        self.delete_old(object, before, &mut Pushed::new()).await?;
        let status = status::source_deleted(object, Timestamp::now());
        let message = status.conditions.first().and_then(|condition| condition.message.clone()).unwrap_or_default();
        let note = Note { warning: false, reason: "SourceDeleted".to_owned(), message };
        let every =
            crate::decide::external_secret::interval(&object.spec.refresh_interval).map_err(decide::Error::from)?;
        let next = if every.is_zero() { Next::OnChange } else { Next::After(every) };
        Ok(Verdict::told(serde_json::to_value(status).ok(), [note], next))
    }

    /// Takes away what was pushed, where the object says so, and lets it go.
    async fn let_go(&self, object: &PushSecret) -> Result<Verdict, Error> {
        if object.finalizers().iter().any(|name| name == FINALIZER) {
            if object.spec.deletion_policy == PushDeletionPolicy::Delete {
                let before =
                    object.status.as_ref().map(|status| status.synced_push_secrets.clone()).unwrap_or_default();
                self.delete_old(object, &before, &mut Pushed::new()).await?;
            }
            self.set_finalizer(object, false).await?;
        }
        Ok(Verdict::silent(Next::OnChange))
    }

    /// An object that deletes what it pushed must not go before that is done.
    async fn set_finalizer(&self, object: &PushSecret, wanted: bool) -> Result<(), Error> {
        let has = object.finalizers().iter().any(|name| name == FINALIZER);
        if has == wanted {
            return Ok(());
        }
        let others = object.finalizers().iter().filter(|name| *name != FINALIZER).cloned();
        let finalizers: Vec<String> = others.chain(wanted.then(|| FINALIZER.to_owned())).collect();
        let patch = json!({
            "apiVersion": "external-secrets.io/v1alpha1", "kind": "PushSecret",
            "metadata": { "name": object.name_any(), "namespace": object.namespace(), "finalizers": finalizers },
        });
        let Ok(patch) = Manifest::new(patch) else { return Ok(()) };
        let guard = Guard {
            uid: object.uid().unwrap_or_default(),
            resource_version: object.resource_version().unwrap_or_default(),
        };
        self.context.cluster.carry_out(&Change::Amend { patch, manager: "chancery".to_owned(), guard }).await?;
        Ok(())
    }
}

fn remote_of(entry: &PushData) -> PushRef {
    let remote = &entry.match_.remote_ref;
    PushRef {
        remote_key: remote.remote_key.clone(),
        property: remote.property.clone().filter(|property| !property.is_empty()),
        metadata: entry.metadata.as_ref().map(|metadata| metadata.0.clone()),
    }
}

/// A Secret as its stores get it.
fn manifest_of(secret: SecretValues) -> SecretManifest {
    let metadata = secret.metadata;
    SecretManifest {
        key: ObjectKey::new(metadata.namespace.unwrap_or_default(), metadata.name.unwrap_or_default()),
        labels: metadata.labels.unwrap_or_default(),
        annotations: metadata.annotations.unwrap_or_default(),
        type_: secret.type_,
        data: secret.data,
        ..SecretManifest::default()
    }
}

fn errored(message: String) -> Note {
    Note { warning: true, reason: "Errored".to_owned(), message }
}

fn is_ready(object: &PushSecret) -> bool {
    let conditions = object.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
