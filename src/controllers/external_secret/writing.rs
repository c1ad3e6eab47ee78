//! One sync: from what was read to the Secret, and to what is said about it.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use super::fetching::{Brought, with_keys};
use super::{Error, ExternalSecrets};
use crate::api::ExternalSecret;
use crate::api::external_secret::{CreationPolicy, DeletionPolicy, SourceRecord};
use crate::api::sealed_secret::TargetRecord;
use crate::cluster;
use crate::controllers::target::bounds;
use crate::decide::external_secret::{self as decide, Answer, Due, Read, Step, Why};
use crate::decide::status::external_secret as status;
use crate::decide::target_template::{self, Moment, Rendered};
use crate::plan::{
    Change, Guard, Next, Note, ObjectKey, ObjectRef, Propagation, SecretManifest, SecretValues, Verdict,
};

/// What one sync came to.
struct Outcome {
    ending: status::Ending,
    target: Option<TargetRecord>,
    outputs: String,
    handed_over: bool,
    notes: Vec<Note>,
}

impl ExternalSecrets {
    /// Reads everything, makes the Secret of it, and says so.
    pub(super) async fn sync(&self, object: &ExternalSecret, due: Due, is_rung: bool) -> Result<Verdict, Error> {
        let now = Timestamp::now();
        // A heal before its time renders what was rendered then.
        let read_at =
            if matches!(due, Due::Now(_)) || is_rung { now } else { decide::refreshed_at(object).unwrap_or(now) };
        let at = Timestamp::from_second(read_at.as_second()).unwrap_or(read_at);
        let digester = self.context.digester().await?;
        let generation = object.metadata.generation.unwrap_or_default();
        let uid = object.uid().unwrap_or_default();
        let seed =
            digester.seed("template", [uid.as_bytes(), &generation.to_be_bytes(), &at.as_second().to_be_bytes()]);
        let moment = Moment { at, seed };

        let brought = self.fetch(object, may_be_old(due, is_rung)).await?;
        let mut notes = missing(object, &brought);
        let (answers, records): (Vec<Answer>, Vec<SourceRecord>) =
            brought.into_iter().map(|brought| (brought.answer, brought.record)).unzip();
        let reads = decide::reads(object);
        let answers: Vec<(&Read<'_>, Answer)> = reads.iter().zip(answers).collect();
        let (values, keys) = decide::assemble(answers, &|text, key| target_template::render_key(text, key, moment))?;
        let sources = with_keys(records, keys);

        let outcome = match object.spec.target.deletion_policy {
            DeletionPolicy::Retain if values.is_empty() => self.retain(object),
            DeletionPolicy::Delete if values.is_empty() => self.delete(object).await?,
            _ => {
                let rendered = match &object.spec.target.template {
                    Some(template) => {
                        let held = self.template_sources(object).await?;
                        target_template::render(template, &values, &held, moment).map_err(decide::Error::from)?
                    }
                    None => Rendered { data: values, ..Rendered::default() },
                };
                self.write(object, rendered).await?
            }
        };
        notes.extend(outcome.notes);
        let next = decide::interval(&object.spec.refresh_interval)?;
        let next = if next.is_zero() { Next::OnChange } else { Next::After(left(next, read_at)) };
        let synced = status::Synced {
            ending: outcome.ending,
            target: outcome.target,
            outputs: outcome.outputs,
            handed_over: outcome.handed_over,
            sources,
            refreshed: at,
        };
        let status = status::synced(object, synced, next, now);
        Ok(Verdict::told(serde_json::to_value(status).ok(), notes, next))
    }

    /// Nothing was found and nothing is to go: everything stays as it is known.
    fn retain(&self, object: &ExternalSecret) -> Outcome {
        let known = object.status.as_ref().and_then(|status| status.chancery.clone()).unwrap_or_default();
        Outcome {
            ending: status::Ending::Retained,
            target: known.target,
            outputs: known.outputs,
            handed_over: known.handed_over,
            notes: Vec::new(),
        }
    }

    /// Nothing is left in the store, the answer was complete, and the object asks for it: the Secret goes, if it is ours.
    async fn delete(&self, object: &ExternalSecret) -> Result<Outcome, Error> {
        let policy = object.spec.target.creation_policy;
        if policy != CreationPolicy::Owner {
            return Err(decide::Error::DeleteNeedsOwner(policy).into());
        }
        let key = decide::target(object);
        let live = self.context.cluster.secret(&key).await?;
        let mut notes = Vec::new();
        if let Some(live) = live.filter(|live| decide::may_delete(object, &live.metadata)) {
            self.delete_secret(&key, live.metadata.uid).await?;
            self.targets.forget(&key);
            notes.push(normal("Deleted", "secret deleted due to DeletionPolicy=Delete"));
        }
        Ok(Outcome { ending: status::Ending::Deleted, target: None, outputs: String::new(), handed_over: false, notes })
    }

    async fn write(&self, object: &ExternalSecret, rendered: Rendered) -> Result<Outcome, Error> {
        let wanted = decide::draft(object, rendered, &bounds(&self.context, &decide::target(object).namespace))?;
        let digester = self.context.digester().await?;
        let digest = decide::outputs(object, &wanted, digester);
        let known = object.status.as_ref().and_then(|status| status.chancery.as_ref());
        if let Some(target) = known.filter(|known| known.outputs == digest).and_then(|known| known.target.clone()) {
            // The values are what they were: nothing is written, and nobody's pods see a new version.
            if self.is_as_it_should_be(object).await? && self.stores.secrets.get(&wanted.key).is_some() {
                let handed_over = known.is_some_and(|known| known.handed_over);
                let ending = status::Ending::Synced;
                return Ok(Outcome { ending, target: Some(target), outputs: digest, handed_over, notes: Vec::new() });
            }
        }
        let first_contact = known.is_none_or(|known| known.handed_over);
        let mut outcome = self.take_step(object, &wanted, first_contact, digest).await?;
        outcome.notes.extend(self.clear_away(object).await?);
        Ok(outcome)
    }

    /// Decides on the Secret as it stands, and does it; a second time when it turns out to be there after all (D12).
    async fn take_step(
        &self,
        object: &ExternalSecret,
        wanted: &SecretManifest,
        first_contact: bool,
        digest: String,
    ) -> Result<Outcome, Error> {
        let manager = decide::field_manager(&object.name_any());
        // Where nothing may be made, what is not known must be looked for.
        let may_be_made = object.spec.target.creation_policy != CreationPolicy::Merge;
        let known = self.stores.secrets.get(&wanted.key).is_some();
        let mut live = if known || !may_be_made { self.context.cluster.secret(&wanted.key).await? } else { None };
        loop {
            let step = decide::step(object, live.as_ref(), wanted, self.compatibility, first_contact)?;
            let (written, reason) = match step {
                Step::Missing => {
                    let ending = status::Ending::Missing;
                    return Ok(Outcome {
                        ending,
                        target: None,
                        outputs: String::new(),
                        handed_over: false,
                        notes: Vec::new(),
                    });
                }
                Step::Nothing => return self.keep(object, live.as_ref(), first_contact).await,
                Step::Create(manifest) => {
                    let create = Change::Create { manifest, manager: manager.clone() };
                    match self.context.cluster.carry_out(&create).await {
                        Err(cluster::Error::AlreadyExists(_)) if live.is_none() => {
                            live = self.context.cluster.secret(&wanted.key).await?;
                            if live.is_none() {
                                return Err(cluster::Error::Conflict(format!("Secret {}", wanted.key)).into());
                            }
                            continue;
                        }
                        written => (written?, "Created"),
                    }
                }
                Step::Amend(patch, guard) => {
                    let amend = Change::Amend { patch, manager: manager.clone(), guard };
                    (self.context.cluster.carry_out(&amend).await?, "Updated")
                }
                Step::Recreate(guard, manifest) => {
                    self.delete_secret(&wanted.key, Some(guard.uid)).await?;
                    let create = Change::Create { manifest, manager: manager.clone() };
                    (self.context.cluster.carry_out(&create).await?, "Updated")
                }
            };
            let guard = Guard { uid: written.uid, resource_version: written.resource_version };
            return Ok(Outcome {
                ending: status::Ending::Synced,
                target: Some(self.targets.remember(&wanted.key, guard)),
                outputs: digest,
                handed_over: false,
                notes: vec![normal(reason, &format!("secret {}", reason.to_lowercase()))],
            });
        }
    }

    /// There is nothing to write: what stands is taken note of.
    async fn keep(
        &self,
        object: &ExternalSecret,
        live: Option<&SecretValues>,
        first_contact: bool,
    ) -> Result<Outcome, Error> {
        let makes_nothing = object.spec.target.creation_policy == CreationPolicy::None;
        let live = live.filter(|_| !makes_nothing);
        let digester = self.context.digester().await?;
        Ok(Outcome {
            ending: status::Ending::Synced,
            target: live.map(|live| self.targets.remember(&decide::target(object), guard_of(live))),
            outputs: live
                .map(|live| decide::outputs_of_live(object, live, self.compatibility, digester))
                .unwrap_or_default(),
            handed_over: first_contact && live.is_some(),
            notes: Vec::new(),
        })
    }

    /// Deletes the Secret that the object made under another name before.
    async fn clear_away(&self, object: &ExternalSecret) -> Result<Option<Note>, Error> {
        let before =
            object.status.as_ref().and_then(|status| status.binding.as_ref()).map(|binding| binding.name.as_str());
        let now = decide::target(object);
        let Some(before) = before.filter(|before| !before.is_empty() && *before != now.name) else { return Ok(None) };
        let key = ObjectKey::new(&now.namespace, before);
        let live = self.context.cluster.secret(&key).await?;
        let Some(live) = live.filter(|live| decide::left_behind(object, &live.metadata)) else { return Ok(None) };
        self.delete_secret(&key, live.metadata.uid).await?;
        self.targets.forget(&key);
        Ok(Some(normal("Deleted", "secret deleted because it was orphaned")))
    }

    async fn delete_secret(&self, key: &ObjectKey, uid: Option<String>) -> Result<(), cluster::Error> {
        let object = ObjectRef { api_version: "v1".to_owned(), kind: "Secret".to_owned(), key: key.clone() };
        let delete = Change::Delete { object, uid, propagation: Propagation::Background };
        self.context.cluster.carry_out(&delete).await.map(drop)
    }
}

/// How long values that were read then count from now on. Not from the full second that a status tells: objects that were
/// read within one second would all be due at its end, and the last of them late.
fn left(every: Duration, read_at: Timestamp) -> Duration {
    let since = Duration::try_from(Timestamp::now().duration_since(read_at)).unwrap_or_default();
    every.checked_sub(since).unwrap_or_default()
}

/// How old values may be that another object's read has brought: a forced read asks the store itself; a first one, of
/// which there may be thousands, takes what others have just read; a periodic one must not be late by more than a moment.
fn may_be_old(due: Due, is_rung: bool) -> Duration {
    match due {
        _ if is_rung => Duration::ZERO,
        Due::Now(Why::Changed) => Duration::ZERO,
        Due::Now(Why::First) => Duration::from_secs(30),
        Due::Now(Why::Elapsed) | Due::Later(_) | Due::Never => Duration::from_millis(500),
    }
}

/// What has been said of missing values is not said again.
fn missing(object: &ExternalSecret, brought: &[Brought]) -> Vec<Note> {
    let known = object.status.as_ref().and_then(|status| status.chancery.as_ref());
    let was_missing = |entry: &str| {
        let sources = known.map(|known| known.sources.as_slice()).unwrap_or_default();
        sources.iter().any(|source| source.missing && source.entry == entry)
    };
    let new = brought.iter().filter(|brought| brought.record.missing && !was_missing(&brought.record.entry));
    new.map(|brought| {
        let SourceRecord { entry, key, .. } = &brought.record;
        normal("MissingProviderSecret", &format!("secret does not exist at provider using spec.{entry} (key={key})"))
    })
    .collect()
}

fn normal(reason: &str, message: &str) -> Note {
    Note { warning: false, reason: reason.to_owned(), message: message.to_owned() }
}

/// The version of a Secret that was read.
pub(super) fn guard_of(live: &SecretValues) -> Guard {
    Guard {
        uid: live.metadata.uid.clone().unwrap_or_default(),
        resource_version: live.metadata.resource_version.clone().unwrap_or_default(),
    }
}
