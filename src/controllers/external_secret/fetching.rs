//! Reading what an ExternalSecret asks for, from its stores and generators.

use std::time::Duration;

use futures::{FutureExt, StreamExt, TryStreamExt};
use jiff::Timestamp;
use kube::ResourceExt;
use seal::SecretBytes;
use serde_json::Value;

use super::{Error, ExternalSecrets, waking};
use crate::api::ExternalSecret;
use crate::api::external_secret::{RemoteRef, SourceRecord, StoreKind, StoreRef};
use crate::controllers::generator::{self, Generated};
use crate::controllers::secret_store::open_store;
use crate::decide::external_secret::{self as decide, Answer, Origin, Read, What};
use crate::decide::status::time;
use crate::decide::target_template::{Source, Sources};
use crate::plan::{ObjectKey, ObjectRef};
use crate::providers::{self, FetchedMap, Session};

/// Entries of one object that are read at a time.
const AT_A_TIME: usize = 8;
/// Keys of one entry that a status names.
const NAMED_KEYS: usize = 50;

/// What one read brought.
pub(super) struct Brought {
    pub(super) answer: Answer,
    pub(super) record: SourceRecord,
}

impl ExternalSecrets {
    /// Whether another controller is to work on the object: one of its stores or generators says so.
    pub(super) async fn is_anothers(&self, object: &ExternalSecret) -> Result<bool, Error> {
        let class = self.context.settings.external.controller_class.as_str();
        let namespace = object.namespace().unwrap_or_default();
        for store in waking::stores_of(object) {
            let name = store.name.clone().unwrap_or_default();
            let theirs = match store.kind.unwrap_or_default() {
                StoreKind::SecretStore => {
                    let found = self.stores.secret_stores.find(&ObjectKey::new(&namespace, &name));
                    found.and_then(|store| store.spec.controller)
                }
                StoreKind::ClusterSecretStore => {
                    let found = self.stores.cluster_secret_stores.find(&ObjectKey::new("", &name));
                    found.and_then(|store| store.spec.store.controller)
                }
            };
            if theirs.is_some_and(|theirs| !theirs.is_empty() && theirs != class) {
                return Ok(true);
            }
        }
        for read in decide::reads(object) {
            if let Origin::Generator(reference) = read.from {
                let found = generator::find(&self.context.cluster, reference, &namespace).await?;
                if found.is_some_and(|found| found.class().is_some_and(|theirs| theirs != class)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Reads everything, several entries at a time, in the order of the reads. What another read has brought is taken
    /// when it is no older than `age`.
    pub(super) async fn fetch(&self, object: &ExternalSecret, age: Duration) -> Result<Vec<Brought>, Error> {
        let namespace = object.namespace().unwrap_or_default();
        let now = Timestamp::now();
        let reads = decide::reads(object);
        let sessions = self.sessions(&reads, &namespace, age).await;
        let sessions = sessions.as_slice();
        let begun: Vec<_> =
            reads.iter().map(|read| self.fetch_one(object, read, &namespace, age, sessions).boxed()).collect();
        let brought: Vec<_> = futures::stream::iter(begun).buffered(AT_A_TIME).try_collect().await?;
        let record = |(read, (answer, version)): (&Read<'_>, (Answer, Option<String>))| Brought {
            record: SourceRecord {
                entry: read.entry.clone(),
                from: read.origin(),
                key: read.key(),
                version,
                fetched_at: Some(time(now)),
                missing: matches!(answer, Answer::Missing),
                ..SourceRecord::default()
            },
            answer,
        };
        Ok(reads.iter().zip(brought).map(record).collect())
    }

    /// Each store opened once, with what will be read of it fetched in as few calls as it allows. One that cannot be
    /// opened is left out: each of its reads says why.
    async fn sessions(&self, reads: &[Read<'_>], namespace: &str, age: Duration) -> Vec<(StoreRef, Session)> {
        let mut sessions: Vec<(StoreRef, Session)> = Vec::new();
        for read in reads {
            let Origin::Store(store) = &read.from else { continue };
            if sessions.iter().any(|(known, _)| known == store) {
                continue;
            }
            let Ok(session) = self.session(read, store, namespace, age).await else { continue };
            let wanted = reads.iter().filter(|read| matches!(&read.from, Origin::Store(other) if other == store));
            let wanted: Vec<RemoteRef> = wanted
                .filter_map(|read| match read.what {
                    What::Value(reference) | What::Map(reference) => Some(reference.clone()),
                    What::Find(_) | What::Made => None,
                })
                .collect();
            session.prefetch(&wanted).await;
            sessions.push((store.clone(), session));
        }
        sessions
    }

    async fn fetch_one(
        &self,
        object: &ExternalSecret,
        read: &Read<'_>,
        namespace: &str,
        age: Duration,
        sessions: &[(StoreRef, Session)],
    ) -> Result<(Answer, Option<String>), Error> {
        let failed = |error| Error::Provider { entry: read.entry.clone(), error };
        let as_map = |fetched: FetchedMap| (Answer::Map(fetched.values), fetched.version);
        let asked = match &read.from {
            Origin::Generator(reference) => match generator::generate(&self.context, reference, namespace).await {
                Ok(Generated::Made(values)) => return Ok(as_map(values)),
                Ok(Generated::Missing) => {
                    let generator = format!("{} {}", reference.kind, reference.name);
                    return Err(Error::NoGenerator { entry: read.entry.clone(), generator });
                }
                Err(generator::Error::Cluster(error)) => return Err(error.into()),
                Err(generator::Error::Credentials(error)) => {
                    let error = providers::Error::Configuration(error.to_string());
                    return Err(failed(error));
                }
                Err(generator::Error::Provider(error)) => return Err(failed(error)),
            },
            Origin::Store(store) => {
                let opened;
                let session = match sessions.iter().find(|(known, _)| known == store) {
                    Some((_, session)) => session,
                    None => {
                        opened = self.session(read, store, namespace, age).await?;
                        &opened
                    }
                };
                match read.what {
                    What::Value(reference) => {
                        session.read(reference).await.map(|fetched| (Answer::Value(fetched.value), fetched.version))
                    }
                    What::Map(reference) => session.read_map(reference).await.map(as_map),
                    What::Find(find) => session.find(find).await.map(as_map),
                    What::Made => Ok((Answer::Missing, None)),
                }
            }
        };
        match asked {
            Err(providers::Error::NotFound { .. }) if decide::tolerates_missing(object) => Ok((Answer::Missing, None)),
            other => other.map_err(failed),
        }
    }

    /// A store that is ready to be asked. One that failed its own trial is tried again first: what fails is then said by
    /// the store, and not by a value that it happens to give.
    async fn session(
        &self,
        read: &Read<'_>,
        store: &StoreRef,
        namespace: &str,
        age: Duration,
    ) -> Result<Session, Error> {
        let opened = open_store(&self.context, &self.stores, store, namespace).await;
        let session = opened.map_err(|error| Error::Store { entry: read.entry.clone(), error })?.no_older_than(age);
        if self.is_known_not_ready(store, namespace) {
            let tried = session.validate().await;
            match tried {
                Ok(()) | Err(providers::Error::Unknown) => {}
                Err(error) => return Err(Error::Provider { entry: read.entry.clone(), error }),
            }
        }
        Ok(session)
    }

    fn is_known_not_ready(&self, store: &StoreRef, namespace: &str) -> bool {
        let name = store.name.clone().unwrap_or_default();
        let status = match store.kind.unwrap_or_default() {
            StoreKind::SecretStore => {
                self.stores.secret_stores.find(&ObjectKey::new(namespace, &name)).and_then(|store| store.status)
            }
            StoreKind::ClusterSecretStore => {
                self.stores.cluster_secret_stores.find(&ObjectKey::new("", &name)).and_then(|store| store.status)
            }
        };
        let conditions = status.iter().flat_map(|status| &status.conditions);
        conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "False")
    }

    /// The objects that hold templates, as far as they are there.
    pub(super) async fn template_sources(&self, object: &ExternalSecret) -> Result<Sources, Error> {
        let Some(template) = &object.spec.target.template else { return Ok(Sources::new()) };
        let wanted = crate::decide::target_template::sources(template);
        Ok(read_sources(&self.context.cluster, wanted, &object.namespace().unwrap_or_default()).await?)
    }
}

/// Reads objects that hold templates; those that are not there are left out.
pub(in crate::controllers) async fn read_sources(
    cluster: &crate::cluster::Cluster,
    wanted: impl IntoIterator<Item = Source>,
    namespace: &str,
) -> Result<Sources, crate::cluster::Error> {
    let mut sources = Sources::new();
    for source in wanted {
        let held = match &source {
            Source::Secret(name) => cluster.secret(&ObjectKey::new(namespace, name)).await?.map(|secret| secret.data),
            Source::ConfigMap(name) => {
                let key = ObjectKey::new(namespace, name);
                let object = ObjectRef { api_version: "v1".to_owned(), kind: "ConfigMap".to_owned(), key };
                cluster.get(&object).await?.map(|map| texts(map.fields().get("data")))
            }
        };
        sources.extend(held.map(|held| (source, held)));
    }
    Ok(sources)
}

fn texts(data: Option<&Value>) -> std::collections::BTreeMap<String, SecretBytes> {
    let fields = data.and_then(Value::as_object).into_iter().flatten();
    fields.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned().into()))).collect()
}

/// Says in the records which keys came from where.
pub(super) fn with_keys(mut records: Vec<SourceRecord>, keys: Vec<Vec<String>>) -> Vec<SourceRecord> {
    for (record, keys) in records.iter_mut().zip(keys) {
        record.keys = keys.into_iter().take(NAMED_KEYS).collect();
    }
    records
}
