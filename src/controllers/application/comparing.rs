//! What Git declares beside what runs: objects are asked for only when the watch does not say enough.

use std::collections::{BTreeSet, HashMap, HashSet};

use futures::FutureExt;

use super::{Applications, Compared, Error, MANAGER, Memory, Target, Verified, control_namespace, heals, several};
use crate::api::application::TRACKING_ID;
use crate::cluster;
use crate::decide::application::desired::{self, Belonging, Desire, Desired};
use crate::decide::application::prune::{self, Claim};
use crate::decide::application::spec::Spec;
use crate::decide::application::{
    Finding, Observed, SHARED, SyncCode, UNSUPPORTED, diff, foreign, health, project, tracking,
};
use crate::decide::status::application as status;
use crate::plan::{Manifest, ObjectRef};

/// An object that changes this often while it is compared is told as out of sync.
const VERSIONS: usize = 5;

impl Applications {
    /// Compares what Git declares with what runs.
    ///
    /// `trusted` says that what was written a moment ago is taken as it was written: the watch will tell of anything later.
    pub(super) async fn compare(
        &self,
        spec: &Spec<'_>,
        target: &Target,
        memory: &mut Memory,
        trusted: bool,
    ) -> Result<Compared, Error> {
        let rendered = &target.rendered.objects;
        let mut kinds: BTreeSet<(String, String)> = rendered
            .iter()
            .map(|located| (located.manifest.api_version().to_owned(), located.manifest.kind().to_owned()))
            .collect();
        let mut unknown = HashSet::new();
        let mut scopes = HashMap::new();
        for (api_version, kind) in &kinds {
            match self.context.cluster.kind(api_version, kind).await {
                Ok(known) => drop(scopes.insert((api_version.clone(), kind.clone()), known.namespaced)),
                Err(cluster::Error::UnknownKind { .. }) => {
                    let group = api_version.split_once('/').map_or("", |(group, _)| group);
                    unknown.insert((group.to_owned(), kind.clone()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let mut coming = scopes.clone();
        coming.extend(rendered.iter().flat_map(|located| desired::defined(&located.manifest)));
        let instance = tracking::instance(&spec.key, &control_namespace(&self.context));
        let mut desire = desired::desire(
            rendered.iter().map(|located| (located.file.as_str(), &located.manifest)),
            Belonging { instance: &instance, namespace: spec.namespace },
            |api_version, kind| coming.get(&(api_version.to_owned(), kind.to_owned())).copied(),
        );
        if let Some(application) = self.stores.applications.find(&spec.key) {
            kinds.extend(status::kinds(&application));
        }
        for (api_version, kind) in &kinds {
            match self.live.follow(api_version, kind).await {
                Ok(()) | Err(cluster::Error::UnknownKind { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let known = std::mem::take(&mut memory.verified);
        let looks = desire.objects.iter().enumerate().map(|(index, desired)| {
            let is_known = scopes.contains_key(&(desired.object.api_version.clone(), desired.object.kind.clone()));
            let before = known.get(&desired.object);
            self.observe(spec, desired, index, &instance, is_known, before, trusted).boxed()
        });
        let mut observed = Vec::with_capacity(desire.objects.len());
        for look in several(looks.collect()).await {
            let (object, verified) = look?;
            if let Some(verified) = verified {
                memory.verified.insert(object.object.clone(), verified);
            }
            observed.push(object);
        }
        let mut findings = std::mem::take(&mut desire.findings);
        findings.extend(observed.iter().filter_map(|object| {
            let theirs = object.shared_with.as_ref()?;
            let message = format!(
                "{}/{} is part of applications {} and {theirs}",
                object.object.kind, object.object.key.name, instance
            );
            Some(Finding::new(SHARED, message))
        }));
        if !spec.unsupported.is_empty() {
            let message = format!("not honoured by this version: {}", spec.unsupported.join(", "));
            findings.push(Finding::new(UNSUPPORTED, message));
        }
        if !desire.hooks.is_empty() {
            let hooks: Vec<_> = desire.hooks.iter().take(10).map(ToString::to_string).collect();
            let message = format!("hooks are not run by this version, so nothing is synced: {}", hooks.join(", "));
            findings.push(Finding::new(UNSUPPORTED, message));
        }
        let mut listed: Vec<ObjectRef> = desire.hooks.iter().chain(&desire.skipped).cloned().collect();
        let certain = |object: &ObjectRef| !unknown.contains(&(object.group().to_owned(), object.kind.clone()));
        self.find_what_left(spec, &desire, &instance, certain, &mut observed, &mut listed).await?;
        Ok(Compared { desire, observed, listed, findings })
    }

    /// Looks at one desired object: at what the watch says when that is enough, at the object itself otherwise.
    #[expect(clippy::too_many_arguments, reason = "one look, and all that it depends on")]
    async fn observe(
        &self,
        spec: &Spec<'_>,
        desired: &Desired,
        index: usize,
        instance: &str,
        is_known: bool,
        before: Option<&Verified>,
        trusted: bool,
    ) -> Result<(Observed, Option<Verified>), Error> {
        let mut object = Observed {
            object: desired.object.clone(),
            desired: Some(index),
            uid: None,
            sync: Some(SyncCode::OutOfSync),
            health: None,
            forbidden: None,
            shared_with: None,
            requires_pruning: false,
            extraneous: false,
            keeps: false,
            foreign: None,
            wave: desired.wave,
        };
        let refusal = project::refusal(spec.project, &desired.object, desired.namespaced);
        let refusal = refusal.or_else(|| {
            let settings = &self.context.settings;
            project::privilege(&desired.manifest, self.context.cluster.namespace(), &settings.application_namespaces)
                .map(|message| (SyncCode::Unknown, message))
        });
        if let Some((sync, message)) = refusal {
            object.sync = Some(sync);
            object.forbidden = Some(message);
            return Ok((object, None));
        }
        let is_placed = !desired.namespaced || !desired.object.key.namespace.is_empty();
        if !is_known || !is_placed || desired.object.key.name.is_empty() {
            return Ok((object, None));
        }
        let seen = self.live.get(&desired.object).and_then(|metadata| metadata.resource_version.clone());
        if let Some(verified) = before
            && verified.desired == desired.hash
            && (trusted || seen.as_ref() == Some(&verified.resource_version))
        {
            object.take(verified);
            return Ok((object, Some(verified.clone())));
        }
        let Some(live) = self.context.cluster.get(&desired.object).await? else {
            return Ok((object, None));
        };
        if let Some(theirs) = self.other_application(&live, &desired.object, instance) {
            object.uid = Some(live.uid().to_owned());
            object.health = health::of(&live);
            object.shared_with = Some(theirs);
            return Ok((object, None));
        }
        let Some((live, sync)) = self.tried(desired, live).await? else { return Ok((object, None)) };
        let verified = Verified::of(desired, &live, sync, heals(spec));
        object.take(&verified);
        Ok((object, Some(verified)))
    }

    /// Compares an object with what an apply would make of it: of this very version, because somebody else may write
    /// between the two requests. None when it went meanwhile.
    async fn tried(&self, desired: &Desired, mut live: Manifest) -> Result<Option<(Manifest, SyncCode)>, Error> {
        for _ in 0..VERSIONS {
            let predicted = match self.context.cluster.dry_run(&desired.manifest, MANAGER).await {
                Ok(predicted) => predicted,
                // The sync will tell it.
                Err(
                    cluster::Error::Invalid { .. }
                    | cluster::Error::Forbidden(_)
                    | cluster::Error::NamespaceTerminating(_)
                    | cluster::Error::NotFound(_),
                ) => return Ok(Some((live, SyncCode::OutOfSync))),
                Err(error) => return Err(error.into()),
            };
            if diff::same(&live, &predicted) {
                return Ok(Some((live, SyncCode::Synced)));
            }
            match self.context.cluster.get(&desired.object).await? {
                Some(now) if now.resource_version() == live.resource_version() => break,
                Some(now) => live = now,
                None => return Ok(None),
            }
        }
        Ok(Some((live, SyncCode::OutOfSync)))
    }

    /// Adds what is ours and no longer in Git, and lists copies.
    async fn find_what_left(
        &self,
        spec: &Spec<'_>,
        desire: &Desire,
        instance: &str,
        certain: impl Fn(&ObjectRef) -> bool,
        observed: &mut Vec<Observed>,
        listed: &mut Vec<ObjectRef>,
    ) -> Result<(), Error> {
        let identity = |object: &ObjectRef| (object.group().to_owned(), object.kind.clone(), object.key.clone());
        let declared: HashSet<_> = desire
            .objects
            .iter()
            .map(|desired| &desired.object)
            .chain(&desire.hooks)
            .chain(&desire.skipped)
            .map(identity)
            .collect();
        for (object, metadata) in self.live.tracked_by(instance) {
            // Of a kind that the cluster does not know at the moment nobody can say which object Git means.
            if declared.contains(&identity(&object)) || !certain(&object) {
                continue;
            }
            match prune::claim(&object, &metadata, instance) {
                Claim::Foreign => {}
                Claim::Copied => listed.push(object),
                Claim::Managed { keeps, extraneous, .. } => {
                    let namespaced = !object.key.namespace.is_empty();
                    // What the project does not permit is not this Application's to delete.
                    if project::refusal(spec.project, &object, namespaced).is_some() {
                        continue;
                    }
                    let live = if health::has_rule(&object) { self.context.cluster.get(&object).await? } else { None };
                    observed.push(Observed {
                        health: live.as_ref().and_then(health::of),
                        uid: metadata.uid.clone(),
                        desired: None,
                        sync: Some(SyncCode::OutOfSync),
                        forbidden: None,
                        shared_with: None,
                        requires_pruning: true,
                        extraneous,
                        keeps,
                        foreign: None,
                        wave: 0,
                        object,
                    });
                }
            }
        }
        Ok(())
    }

    /// The other Application that an object belongs to, if that one is there and stays.
    fn other_application(&self, live: &Manifest, object: &ObjectRef, instance: &str) -> Option<String> {
        let (theirs, own) = tracking::read(live.annotation(TRACKING_ID)?, object)?;
        if theirs == instance || !own {
            return None;
        }
        let other = self.stores.applications.find(&tracking::application(theirs, &control_namespace(&self.context)))?;
        other.metadata.deletion_timestamp.is_none().then(|| theirs.to_owned())
    }
}

impl Verified {
    pub(super) fn of(desired: &Desired, live: &Manifest, sync: SyncCode, heals: bool) -> Self {
        let pointers = if heals { foreign::pointers(live) } else { Vec::new() };
        let foreign = (!pointers.is_empty()).then(|| (pointers, live.resource_version().to_owned()));
        Self {
            desired: desired.hash,
            uid: live.uid().to_owned(),
            resource_version: live.resource_version().to_owned(),
            sync: if foreign.is_some() { SyncCode::OutOfSync } else { sync },
            health: health::of(live),
            foreign,
        }
    }
}

impl Observed {
    fn take(&mut self, verified: &Verified) {
        self.uid = Some(verified.uid.clone());
        self.sync = Some(verified.sync);
        self.health = verified.health.clone();
        self.foreign = verified.foreign.clone();
    }
}
