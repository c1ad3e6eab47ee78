//! ExternalSecret → Secret.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::target::Targets;
use super::{Armed, Context, Failure, Reconcile, Stores, drive};
use crate::api::external_secret::{CreationPolicy, ExternalSecretStatus, FINALIZER, READY};
use crate::api::{ExternalSecret, unsupported_fields};
use crate::cluster::Watched;
use crate::decide::external_secret::{self as decide, Compatibility, Due, Why};
use crate::decide::status::external_secret as status;
use crate::plan::{Change, Guard, Manifest, Next, Note, ObjectKey, Verdict};
use crate::scheduler::{Class, Scheduler};

mod error;
mod fetching;
mod observing;
mod peer;
mod waking;
mod writing;

use error::Error;
pub(in crate::controllers) use fetching::read_sources;
pub use peer::ExternalSecretsPeer;
use waking::{Rung, lock};

struct ExternalSecrets {
    context: Context,
    stores: Stores,
    targets: Targets,
    compatibility: Compatibility,
    rung: Rung,
}

/// Registers the watches and hands back the work.
pub(super) fn arm(context: &Context, stores: &Stores) -> Armed {
    context.need(&stores.external_secrets);
    context.need_secret_metadata(&stores.secrets);
    context.need(&stores.doorbells);
    let queue = Scheduler::default();
    let rung = waking::register(stores, &queue);
    observing::register(&context.metrics, &stores.external_secrets);
    let flags = &context.settings.external;
    let controller = Arc::new(ExternalSecrets {
        context: context.clone(),
        stores: stores.clone(),
        targets: Targets::new(&context.cluster, &stores.secrets),
        compatibility: Compatibility { data_hash: flags.data_hash, take_over: flags.take_over },
        rung,
    });
    let context = context.clone();
    let peer = stores.external_secrets_peer.clone();
    Box::pin(async move {
        peer.look(&context).await;
        futures::future::join(drive(context.clone(), controller, queue), peer.watch(&context)).await;
    })
}

impl Reconcile for ExternalSecrets {
    type Kind = ExternalSecret;
    type Error = Error;
    const NAME: &'static str = "external-secrets";
    const STATUS_MAY_WAIT: bool = true;

    fn store(&self) -> &Watched<ExternalSecret> {
        &self.stores.external_secrets
    }

    /// Order matters: whether to fetch is decided before a provider is touched, because a provider call can cost money
    /// and count against a quota.
    async fn reconcile(&self, object: &ExternalSecret, class: Class) -> Result<Verdict, Error> {
        if let Some(pause) = self.stores.external_secrets_peer.stands_in_for() {
            return Ok(Verdict::silent(Next::After(pause)));
        }
        if object.metadata.deletion_timestamp.is_some() {
            return self.let_go(object).await;
        }
        if self.is_anothers(object).await? {
            return Ok(Verdict::silent(Next::OnChange));
        }
        decide::check(object, unsupported_fields(object))?;
        let is_rung = lock(&self.rung).remove(&key_of(object));
        let due = decide::due(object, Timestamp::now())?;
        if is_ready(object) && !is_rung {
            if let Some(adopted) = self.handed_over(object, due).await? {
                return Ok(adopted);
            }
            let rests = match due {
                Due::Later(left) => Some(Next::After(left)),
                Due::Never => Some(Next::OnChange),
                // Once after a start, so that not all come at the same moment.
                Due::Now(Why::Elapsed) if class == Class::Backlog => Some(Next::After(decide::spread(object))),
                Due::Now(_) => None,
            };
            match rests {
                Some(next) if self.is_as_it_should_be(object).await? => return Ok(Verdict::silent(next)),
                _ => {}
            }
        }
        self.sync(object, due, is_rung).await
    }

    fn failed(&self, object: &ExternalSecret, failure: &Failure) -> (Value, Option<Note>) {
        let status = status::failed(object, failure.reason, &failure.message, failure.retry, Timestamp::now());
        let note = Note { warning: true, reason: "UpdateFailed".to_owned(), message: failure.message.clone() };
        (serde_json::to_value(status).unwrap_or_default(), Some(note))
    }

    fn broken(failure: &Failure) -> Value {
        let status = status::broken(failure.reason, &failure.message, Timestamp::now());
        serde_json::to_value(status).unwrap_or_default()
    }
}

impl ExternalSecrets {
    /// Takes off what the reference left on an object that goes. Its Secret goes with it by its owner reference.
    async fn let_go(&self, object: &ExternalSecret) -> Result<Verdict, Error> {
        let finalizers = object.finalizers();
        if finalizers.iter().any(|name| name == FINALIZER) {
            let left: Vec<_> = finalizers.iter().filter(|name| *name != FINALIZER).collect();
            let patch = json!({
                "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
                "metadata": { "name": object.name_any(), "namespace": object.namespace(), "finalizers": left },
            });
            if let Ok(patch) = Manifest::new(patch) {
                let guard = Guard {
                    uid: object.uid().unwrap_or_default(),
                    resource_version: object.resource_version().unwrap_or_default(),
                };
                self.context.cluster.carry_out(&Change::Amend { patch, manager: "chancery".to_owned(), guard }).await?;
            }
        }
        Ok(Verdict::silent(Next::OnChange))
    }

    /// At first contact with an object that the reference has synced: its Secret, if it is as the reference left it, is
    /// taken note of, and nothing is read from a store before its time.
    async fn handed_over(&self, object: &ExternalSecret, due: Due) -> Result<Option<Verdict>, Error> {
        let known = object.status.as_ref().and_then(|status| status.chancery.as_ref());
        let makes_nothing = object.spec.target.creation_policy == CreationPolicy::None;
        if known.is_some() || makes_nothing || matches!(due, Due::Now(Why::First | Why::Changed)) {
            return Ok(None);
        }
        let Some(live) = self.context.cluster.secret(&decide::target(object)).await? else { return Ok(None) };
        if !decide::is_as_the_reference_left_it(object, &live) {
            return Ok(None);
        }
        let digester = self.context.digester().await?;
        let outputs = decide::outputs_of_live(object, &live, self.compatibility, digester);
        let target = self.targets.remember(&decide::target(object), writing::guard_of(&live));
        let status = status::handed_over(object, target, outputs);
        let next = match due {
            Due::Later(left) => Next::After(left),
            Due::Never => Next::OnChange,
            Due::Now(_) => Next::After(decide::spread(object)),
        };
        Ok(Some(Verdict::told(serde_json::to_value(status).ok(), None, next)))
    }

    /// Whether there is nothing to mend: the Secret is as it was written, or is not there and need not be.
    async fn is_as_it_should_be(&self, object: &ExternalSecret) -> Result<bool, Error> {
        let policy = object.spec.target.creation_policy;
        if matches!(policy, CreationPolicy::None | CreationPolicy::Orphan) {
            return Ok(true);
        }
        let key = decide::target(object);
        let record = object.status.as_ref().and_then(|status| status.chancery.as_ref());
        let Some(target) = record.and_then(|record| record.target.as_ref()) else {
            return Ok(record.is_some() && self.stores.secrets.get(&key).is_none());
        };
        let outputs = record.map(|record| record.outputs.as_str()).unwrap_or_default();
        let is_sealed = object.spec.target.immutable == Some(true);
        let digester = self.context.digester().await?;
        let as_written =
            |live: &_| is_sealed || decide::outputs_of_live(object, live, self.compatibility, digester) == outputs;
        Ok(self.targets.is_intact(&key, target, as_written).await?)
    }
}

fn is_ready(object: &ExternalSecret) -> bool {
    let conditions = object.status.iter().flat_map(|status: &ExternalSecretStatus| &status.conditions);
    conditions.into_iter().any(|condition| condition.type_ == READY && condition.status == "True")
}

fn is_handled(object: &ExternalSecret) -> bool {
    let version = object.status.as_ref().and_then(|status| status.synced_resource_version.as_deref());
    is_ready(object) && version == Some(decide::synced_resource_version(&object.metadata).as_str())
}

fn key_of(object: &ExternalSecret) -> ObjectKey {
    ObjectKey::new(object.namespace().unwrap_or_default(), object.name_any())
}
