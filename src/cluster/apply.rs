//! Every write to users' objects, and nothing else writes them (invariant 3).

use std::time::Duration;

use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use serde_json::{Map, Value, json};

use super::{Cluster, Error, REQUEST_TIMEOUT};
use crate::plan::{Change, Guard, Manifest, ObjectRef, Propagation};
use crate::telemetry::WriteLabels;

/// What stands after a write.
#[derive(Clone, Debug)]
pub struct Written {
    /// `metadata.uid`, empty after a deletion.
    pub uid: String,
    /// `metadata.resourceVersion`, empty after a deletion.
    pub resource_version: String,
    /// The object as the API server stored it; `None` after a deletion.
    pub stored: Option<Manifest>,
}

impl Cluster {
    /// Carries out one change.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyExists`] from [`Change::Create`]; [`Error::Conflict`] when a guard no longer holds;
    /// [`Error::Invalid`] when the API server refuses the content; otherwise trouble with the API server.
    pub async fn carry_out(&self, change: &Change) -> Result<Written, Error> {
        match change {
            Change::Create { manifest, manager } => self.create(manifest, manager).await,
            Change::Apply { manifest, manager, guard } => self.apply(manifest, manager, guard.as_ref(), false).await,
            Change::Amend { patch, manager, guard } => self.amend(patch, manager, guard).await,
            Change::RemoveFields { object, pointers, manager, guard } => {
                self.remove_fields(object, pointers, manager, guard).await
            }
            Change::Delete { object, uid, propagation } => self.delete(object, uid.as_deref(), *propagation).await,
        }
    }

    /// What a forced server-side apply would leave, without leaving it.
    ///
    /// # Errors
    ///
    /// As [`Cluster::carry_out`].
    pub async fn dry_run(&self, manifest: &Manifest, manager: &str) -> Result<Manifest, Error> {
        let written = self.apply(manifest, manager, None, true).await?;
        written.stored.ok_or_else(|| Error::Unreadable(manifest.object_ref().to_string()))
    }

    /// Reads one object; `None` when it is not there.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownKind`], or trouble with the API server.
    pub async fn get(&self, object: &ObjectRef) -> Result<Option<Manifest>, Error> {
        let api = self.api_of(object).await?;
        let found = self.within(object, api.get_opt(&object.key.name)).await?;
        found.map(|found| manifest_of(object, found)).transpose()
    }

    /// Writes a status: the difference between what stands and what should, as one merge patch for this incarnation only,
    /// with further fields in `also` where the status is no subresource.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] when the object was made anew meanwhile; otherwise trouble with the API server.
    pub async fn write_status(
        &self,
        object: &ObjectRef,
        uid: &str,
        (current, desired): (&Value, &Value),
        also: Option<&Value>,
        subresource: bool,
    ) -> Result<Written, Error> {
        let mut patch = json!({ "metadata": { "uid": uid } });
        if current != desired {
            patch["status"] = merge_patch(current, desired);
        }
        for (name, value) in also.and_then(Value::as_object).into_iter().flatten() {
            match (patch.get_mut(name), value) {
                (Some(Value::Object(known)), Value::Object(more)) => known.extend(more.clone()),
                _ => patch[name] = value.clone(),
            }
        }
        let patch = Patch::Merge(patch);
        let api = self.api_of(object).await?;
        let params = PatchParams { field_manager: Some(STATUS_MANAGER.to_owned()), ..PatchParams::default() };
        self.count("status");
        let stored = if subresource {
            self.within(object, api.patch_status(&object.key.name, &params, &patch)).await?
        } else {
            self.within(object, api.patch(&object.key.name, &params, &patch)).await?
        };
        written(object, stored)
    }

    /// Merge-patches metadata or other top-level fields of an object of ours to read (annotations that were handled,
    /// finalizers, `operation`).
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] when `patch` carries a `metadata.resourceVersion` or uid that no longer holds.
    pub async fn merge(&self, object: &ObjectRef, patch: &Value) -> Result<Written, Error> {
        let api = self.api_of(object).await?;
        let params = PatchParams { field_manager: Some(STATUS_MANAGER.to_owned()), ..PatchParams::default() };
        self.count("patch");
        let stored = self.within(object, api.patch(&object.key.name, &params, &Patch::Merge(patch))).await?;
        written(object, stored)
    }

    async fn create(&self, manifest: &Manifest, manager: &str) -> Result<Written, Error> {
        let object = manifest.object_ref();
        let api = self.api_of(&object).await?;
        let params = PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
        let body = dynamic(manifest)?;
        self.count("create");
        let stored = self.within(&object, api.create(&params, &body)).await?;
        written(&object, stored)
    }

    async fn apply(
        &self,
        manifest: &Manifest,
        manager: &str,
        guard: Option<&Guard>,
        dry_run: bool,
    ) -> Result<Written, Error> {
        let object = manifest.object_ref();
        let api = self.api_of(&object).await?;
        let mut body = manifest.clone();
        if let Some(guard) = guard {
            body.metadata_mut().insert("uid".to_owned(), json!(guard.uid));
            body.metadata_mut().insert("resourceVersion".to_owned(), json!(guard.resource_version));
        }
        let params = PatchParams { dry_run, ..PatchParams::apply(manager).force() };
        self.count(if dry_run { "dry-run" } else { "apply" });
        let stored = self.within(&object, api.patch(&object.key.name, &params, &Patch::Apply(body.fields()))).await?;
        written(&object, stored)
    }

    async fn amend(&self, patch: &Manifest, manager: &str, guard: &Guard) -> Result<Written, Error> {
        let object = patch.object_ref();
        let api = self.api_of(&object).await?;
        let mut body = patch.clone();
        body.metadata_mut().insert("uid".to_owned(), json!(guard.uid));
        body.metadata_mut().insert("resourceVersion".to_owned(), json!(guard.resource_version));
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        self.count("patch");
        let stored = self.within(&object, api.patch(&object.key.name, &params, &Patch::Merge(body.fields()))).await?;
        written(&object, stored)
    }

    async fn remove_fields(
        &self,
        object: &ObjectRef,
        pointers: &[String],
        manager: &str,
        guard: &Guard,
    ) -> Result<Written, Error> {
        let api = self.api_of(object).await?;
        let mut operations = vec![
            json!({ "op": "test", "path": "/metadata/uid", "value": guard.uid }),
            json!({ "op": "test", "path": "/metadata/resourceVersion", "value": guard.resource_version }),
        ];
        operations.extend(pointers.iter().map(|pointer| json!({ "op": "remove", "path": pointer })));
        let patch: json_patch::Patch = serde_json::from_value(Value::Array(operations)).map_err(|_| {
            Error::Invalid { object: object.to_string(), detail: "a pointer cannot be read".to_owned() }
        })?;
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        self.count("patch");
        let stored = self.within(object, api.patch(&object.key.name, &params, &Patch::<()>::Json(patch))).await?;
        written(object, stored)
    }

    async fn delete(&self, object: &ObjectRef, uid: Option<&str>, propagation: Propagation) -> Result<Written, Error> {
        let api = self.api_of(object).await?;
        let params = DeleteParams {
            propagation_policy: Some(match propagation {
                Propagation::Foreground => PropagationPolicy::Foreground,
                Propagation::Background => PropagationPolicy::Background,
                Propagation::Orphan => PropagationPolicy::Orphan,
            }),
            preconditions: uid.map(|uid| Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
            ..DeleteParams::default()
        };
        self.count("delete");
        match self.within(object, api.delete(&object.key.name, &params)).await {
            Ok(_) | Err(Error::NotFound(_)) => {
                Ok(Written { uid: String::new(), resource_version: String::new(), stored: None })
            }
            Err(error) => Err(error),
        }
    }

    /// Runs one request under its deadline and translates its error.
    pub(super) async fn within<T>(
        &self,
        object: &ObjectRef,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Error> {
        let secret = object.kind == "Secret" && object.api_version == "v1";
        match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
            Ok(answer) => answer.map_err(|error| Error::from_kube(object, secret, error)),
            Err(_) => Err(Error::Unreachable(format!("no answer within {} s", Duration::as_secs(&REQUEST_TIMEOUT)))),
        }
    }

    fn count(&self, verb: &'static str) {
        self.metrics.writes.get_or_create(&WriteLabels { verb }).inc();
    }
}

/// The manager of our status writes.
const STATUS_MANAGER: &str = "chancery-status";

fn dynamic(manifest: &Manifest) -> Result<DynamicObject, Error> {
    serde_json::from_value(manifest.clone().into_value()).map_err(|_| Error::Invalid {
        object: manifest.object_ref().to_string(),
        detail: "metadata is not as Kubernetes defines it".to_owned(),
    })
}

fn manifest_of(object: &ObjectRef, stored: DynamicObject) -> Result<Manifest, Error> {
    let unreadable = || Error::Unreadable(object.to_string());
    let mut value = serde_json::to_value(stored).map_err(|_| unreadable())?;
    // Answers to some requests lack the type; we know what we asked for.
    value["apiVersion"] = json!(object.api_version);
    value["kind"] = json!(object.kind);
    Manifest::new(value).map_err(|_| unreadable())
}

fn written(object: &ObjectRef, stored: DynamicObject) -> Result<Written, Error> {
    let stored = manifest_of(object, stored)?;
    Ok(Written {
        uid: stored.uid().to_owned(),
        resource_version: stored.resource_version().to_owned(),
        stored: Some(stored),
    })
}

/// The JSON merge patch (RFC 7396) that turns `current` into `desired`; fields that go become null.
fn merge_patch(current: &Value, desired: &Value) -> Value {
    let (Value::Object(current), Value::Object(desired)) = (current, desired) else {
        return desired.clone();
    };
    let mut patch = Map::new();
    for name in current.keys().filter(|name| !desired.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, wanted) in desired {
        match current.get(name) {
            Some(known) if known == wanted => {}
            Some(known) => {
                patch.insert(name.clone(), merge_patch(known, wanted));
            }
            None => {
                patch.insert(name.clone(), wanted.clone());
            }
        }
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_holds_only_what_differs() {
        let current = json!({ "a": 1, "b": { "c": 2, "d": 3 }, "e": [1], "gone": true });
        let desired = json!({ "a": 1, "b": { "c": 2, "d": 4 }, "e": [1, 2], "new": {} });
        assert_eq!(merge_patch(&current, &desired), json!({ "gone": null, "b": { "d": 4 }, "e": [1, 2], "new": {} }));
        assert_eq!(merge_patch(&Value::Null, &desired), desired, "the first status is written whole");
    }
}
