//! The Secret that an object makes: is it as it was written, and writing it without harm to what is not ours.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::Context;
use crate::api::sealed_secret::TargetRecord;
use crate::cluster::{self, Cluster, Metadata, Written};
use crate::decide::sealed_secret::{Bounds, Danger, Managers, Settled, Step, Strays, strays};
use crate::plan::{Change, Guard, ObjectKey, ObjectRef, Propagation, SecretManifest, SecretValues};

/// The Secrets of one controller.
pub(super) struct Targets {
    cluster: Cluster,
    secrets: Metadata,
    /// The version of each Secret that was last found as it should be. The status holds the one that was written.
    verified: Mutex<HashMap<ObjectKey, TargetRecord>>,
}

impl Targets {
    pub(super) fn new(cluster: &Cluster, secrets: &Metadata) -> Self {
        Self { cluster: cluster.clone(), secrets: secrets.clone(), verified: Mutex::default() }
    }

    /// Whether a Secret is as it was written: by its version, or by one read and `as_written`, which compares digests.
    pub(super) async fn is_intact(
        &self,
        key: &ObjectKey,
        record: &TargetRecord,
        as_written: impl FnOnce(&SecretValues) -> bool,
    ) -> Result<bool, cluster::Error> {
        let Some(seen) = self.secrets.get(key) else { return Ok(false) };
        if seen.uid.as_deref() != Some(record.uid.as_str()) {
            return Ok(false);
        }
        let resource_version = seen.resource_version.clone().unwrap_or_default();
        let known = TargetRecord { uid: record.uid.clone(), resource_version };
        if known == *record || self.verified().get(key) == Some(&known) {
            return Ok(true);
        }
        let Some(live) = self.cluster.secret(key).await?.filter(as_written_of(&known.uid)) else { return Ok(false) };
        if !as_written(&live) {
            return Ok(false);
        }
        let resource_version = live.metadata.resource_version.unwrap_or_default();
        self.verified().insert(key.clone(), TargetRecord { resource_version, ..known });
        Ok(true)
    }

    /// The Secret that stands, where we know of one.
    pub(super) async fn read(&self, key: &ObjectKey) -> Result<Option<SecretValues>, cluster::Error> {
        match self.secrets.get(key) {
            Some(_) => self.cluster.secret(key).await,
            None => Ok(None),
        }
    }

    /// Takes the step that was decided over the Secret that stands.
    pub(super) async fn settle(
        &self,
        settled: &Settled,
        live: Option<&SecretValues>,
        managers: Managers,
    ) -> Result<TargetRecord, cluster::Error> {
        let key = &settled.made.secret.key;
        let live = live.filter(|_| !matches!(settled.step, Step::Create(_)));
        let guard = live.map(guard_of).unwrap_or_default();
        let written = match &settled.step {
            Step::Keep => return Ok(self.remember(key, guard)),
            Step::Create(secret) => self.create(secret, managers.ours).await?,
            Step::Recreate(secret) => {
                let delete = Change::Delete {
                    object: secret_ref(key),
                    uid: Some(guard.uid),
                    propagation: Propagation::Background,
                };
                self.cluster.carry_out(&delete).await?;
                self.create(secret, managers.ours).await?
            }
            Step::Mend { apply, owners } => {
                // Found before the apply, which takes our name off what it no longer names.
                let strays = live.map(|live| strays(&settled.made.secret, live, settled.claim, managers));
                let mut guard = guard;
                if !owners.is_empty() {
                    let pointers = owners.iter().rev().map(|at| format!("/metadata/ownerReferences/{at}")).collect();
                    guard = guard_after(&self.remove(key, pointers, managers.ours, guard).await?);
                }
                let manifest = apply.to_manifest();
                let apply = Change::Apply { manifest, manager: managers.ours.to_owned(), guard: Some(guard) };
                let written = self.cluster.carry_out(&apply).await?;
                let pointers = pointers(&strays.unwrap_or_default(), &written);
                match pointers.is_empty() {
                    true => written,
                    false => self.remove(key, pointers, managers.ours, guard_after(&written)).await?,
                }
            }
        };
        Ok(self.remember(key, guard_after(&written)))
    }

    async fn create(&self, secret: &SecretManifest, manager: &str) -> Result<Written, cluster::Error> {
        let create = Change::Create { manifest: secret.to_manifest(), manager: manager.to_owned() };
        self.cluster.carry_out(&create).await
    }

    async fn remove(
        &self,
        key: &ObjectKey,
        pointers: Vec<String>,
        manager: &str,
        guard: Guard,
    ) -> Result<Written, cluster::Error> {
        let remove = Change::RemoveFields { object: secret_ref(key), pointers, manager: manager.to_owned(), guard };
        self.cluster.carry_out(&remove).await
    }

    /// Forgets a Secret whose object is gone.
    pub(super) fn forget(&self, key: &ObjectKey) {
        self.verified().remove(key);
    }

    /// Takes note of a version that is as it should be.
    pub(super) fn remember(&self, key: &ObjectKey, written: Guard) -> TargetRecord {
        let record = TargetRecord { uid: written.uid, resource_version: written.resource_version };
        self.verified().insert(key.clone(), record.clone());
        record
    }

    fn verified(&self) -> MutexGuard<'_, HashMap<ObjectKey, TargetRecord>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a Secret in this namespace may be.
pub(super) fn bounds(context: &Context, namespace: &str) -> Bounds {
    let settings = &context.settings;
    let named = |what: &str| Danger::ALL.into_iter().find(|(_, name)| *name == what).map(|(danger, _)| danger);
    let permitted = settings.sealed.permit.iter().filter(|(place, _)| place == namespace || place == "*");
    Bounds {
        key_namespace: namespace == context.cluster.namespace(),
        application_namespace: settings.application_namespaces.iter().any(|name| name == namespace),
        names: vec![settings.sealed.key_prefix.clone(), cluster::INSTALL_KEY.to_owned()],
        permitted: permitted.filter_map(|(_, what)| named(what)).collect(),
    }
}

/// JSON pointers to what is still there of the strays.
fn pointers(strays: &Strays, written: &Written) -> Vec<String> {
    let stored = |place: &str| {
        let fields = written.stored.as_ref().map(|stored| stored.fields());
        let (parent, name) = place.rsplit_once('/').unwrap_or(("", place));
        let parent = match parent {
            "" => fields.and_then(|fields| fields.get(name)),
            parent => fields.and_then(|fields| fields.get(parent)?.get(name)),
        };
        parent.and_then(Value::as_object).map(|all| all.keys().cloned().collect::<BTreeSet<_>>()).unwrap_or_default()
    };
    [("data", &strays.data), ("metadata/labels", &strays.labels), ("metadata/annotations", &strays.annotations)]
        .into_iter()
        .flat_map(|(place, names)| {
            let left: Vec<_> = names.intersection(&stored(place)).cloned().collect();
            left.into_iter().map(move |name| format!("/{place}/{}", name.replace('~', "~0").replace('/', "~1")))
        })
        .collect()
}

fn guard_of(live: &SecretValues) -> Guard {
    Guard {
        uid: live.metadata.uid.clone().unwrap_or_default(),
        resource_version: live.metadata.resource_version.clone().unwrap_or_default(),
    }
}

fn guard_after(written: &Written) -> Guard {
    Guard { uid: written.uid.clone(), resource_version: written.resource_version.clone() }
}

fn secret_ref(key: &ObjectKey) -> ObjectRef {
    ObjectRef { api_version: "v1".to_owned(), kind: "Secret".to_owned(), key: key.clone() }
}

/// Only that incarnation.
fn as_written_of(uid: &str) -> impl Fn(&SecretValues) -> bool {
    move |live| live.metadata.uid.as_deref() == Some(uid)
}
