//! Looking after the sealing keys: that there is one, that it is renewed, that what waits for one is woken, and that
//! people can see what needs which.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use tokio::sync::{Notify, watch};

use super::orders::Orders;
use super::{SealedSecrets, key_of};
use crate::api::key_report::{self, GENERATE_KEY, LAST_BACKUP, RENEW_KEY};
use crate::api::sealed_secret::SYNCED;
use crate::api::{KeyReport, SealedSecret};
use crate::args::sealed_secrets::{KeyOrder, SealedSecrets as Flags};
use crate::cluster::{Birth, KeyPolicy, Seen, Watched};
use crate::decide::sealed_secret::{is_handled, was_synced};
use crate::decide::sealing_keys as decide;
use crate::plan::ObjectKey;
use crate::scheduler::{Class, Scheduler};
use crate::telemetry::KeyLabel;

/// How soon the making of a key is tried again when nothing changes.
const TRY_AGAIN: Duration = Duration::from_secs(15);
/// Changes are gathered for this long before the report follows them.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// How often the report is looked at although nothing changed: certificates end.
const DAILY: Duration = Duration::from_secs(86_400);

/// What new keys are like, as the flags say.
pub(crate) fn key_policy(flags: &Flags) -> KeyPolicy {
    KeyPolicy {
        prefix: flags.key_prefix.clone(),
        bits: flags.key_size,
        ttl: flags.key_ttl,
        common_name: flags.my_cn.clone(),
        labels: flags.privatekey_labels.iter().cloned().collect(),
        annotations: flags.privatekey_annotations.iter().cloned().collect(),
        by_creation: flags.key_order_priority == KeyOrder::SecretCreationTimestamp,
        require_existing: flags.require_existing_key,
    }
}

/// What watches ring when there is something to look at.
#[derive(Default)]
pub(super) struct Bells {
    /// Somebody may have ordered a key.
    orders: Notify,
    /// What the report says may have changed.
    pub(super) usage: Notify,
}

impl Bells {
    /// The KeyReport was seen.
    pub(super) fn ring_for_report(&self, seen: Seen) {
        // Its status is ours.
        if seen != Seen::Touched {
            self.orders.notify_one();
            self.usage.notify_one();
        }
    }
}

/// Looks after the keys until the end.
pub(super) async fn keep(
    controller: Arc<SealedSecrets>,
    queue: Scheduler,
    reports: Watched<KeyReport>,
    bells: Arc<Bells>,
) {
    let keeper = Keeper { controller, queue, reports, bells };
    futures::join!(keeper.keep_one(), keeper.keep_the_certificates(), keeper.keep_the_report());
}

struct Keeper {
    controller: Arc<SealedSecrets>,
    queue: Scheduler,
    reports: Watched<KeyReport>,
    bells: Arc<Bells>,
}

impl Keeper {
    /// Sees to it that there is a key to seal with, young enough, and wakes what waited for one when keys come.
    async fn keep_one(&self) {
        let SealedSecrets { context, keys, .. } = &*self.controller;
        let mut changes = keys.changes();
        changes.mark_changed();
        let mut asked = false;
        let mut orders = Orders::new(self.reports.clone(), self.report_key());
        let mut cut_off = context.settings.sealed.key_cutoff_time.map(|cutoff| cutoff.0);
        loop {
            let pause = self.due_in().unwrap_or(TRY_AGAIN).clamp(Duration::from_millis(200), TRY_AGAIN);
            let changed = tokio::select! {
                () = context.stop.cancelled() => return,
                changed = changes.changed() => changed.is_ok(),
                () = keys.asked_for_a_new_one() => {
                    asked = true;
                    false
                }
                () = self.bells.orders.notified() => false,
                () = tokio::time::sleep(pause) => false,
            };
            if changed {
                self.wake();
            }
            // A key that the other controller does not know would seal what it cannot open.
            if self.controller.aside().is_some() {
                continue;
            }
            orders.tidy(keys, &context.cluster).await;
            if keys.ring().seals_nothing() {
                self.make_the_first(&mut orders).await;
            }
            let too_old =
                cut_off.take().is_some_and(|time| keys.newest_since().is_some_and(|at| at < time.as_second()));
            let ordered = orders.has(RENEW_KEY);
            let due = self.due_in().is_some_and(|pause| pause.is_zero());
            if !keys.ring().seals_nothing() && (too_old || due || std::mem::take(&mut asked) || ordered) {
                self.make_another(ordered.then_some(&mut orders)).await;
            }
        }
    }

    /// Publishes the certificates, at once.
    async fn keep_the_certificates(&self) {
        let SealedSecrets { context, keys, .. } = &*self.controller;
        let mut changes = keys.changes();
        loop {
            changes.borrow_and_update();
            let published = keys.publish_certificates(&context.cluster, &keys.ring()).await;
            if let Err(error) = &published {
                tracing::debug!(%error, "the public certificates could not be published and will be");
            }
            let again = if published.is_ok() { Duration::MAX } else { TRY_AGAIN };
            tokio::select! {
                () = context.stop.cancelled() => return,
                _ = changes.changed() => {}
                () = tokio::time::sleep(again) => {}
            }
        }
    }

    /// Publishes what is known of the keys and their use, when changes have settled, and at the end: the next start
    /// finds it true and writes nothing.
    async fn keep_the_report(&self) {
        let SealedSecrets { context, keys, .. } = &*self.controller;
        let mut changes = keys.changes();
        loop {
            changes.borrow_and_update();
            if let Err(error) = self.report().await {
                tracing::debug!(%error, "the report of the keys could not be written and will be");
            }
            if context.stop.is_cancelled() {
                return;
            }
            // Everything that comes within the pause is one report.
            let _ = context.stop.run_until_cancelled(tokio::time::sleep(REPORT_EVERY)).await;
            tokio::select! {
                () = context.stop.cancelled() => {}
                _ = changes.changed() => {}
                () = self.bells.usage.notified() => {}
                // Certificates end without a change.
                () = tokio::time::sleep(DAILY) => {}
            }
        }
    }

    async fn report(&self) -> Result<(), crate::cluster::Error> {
        let SealedSecrets { context, keys, store, .. } = &*self.controller;
        let ring = keys.ring();
        let usage = decide::usage(store.readable());
        let known = ring.facts();
        let metrics = &context.metrics;
        for family in [&metrics.key_objects, &metrics.key_items, &metrics.key_not_before] {
            family.clear();
        }
        for key in &known {
            let label = KeyLabel { secret: key.secret.clone() };
            let (objects, items) = usage.get(&key.fingerprint).copied().unwrap_or_default();
            metrics.key_objects.get_or_create(&label).set(objects);
            metrics.key_items.get_or_create(&label).set(items);
            metrics.key_not_before.get_or_create(&label).set(key.not_before);
        }
        let backup = self.annotation(LAST_BACKUP);
        let status = decide::report(&known, ring.unusable(), &usage, backup.as_deref(), Timestamp::now());
        keys.publish_report(&context.cluster, &status).await
    }

    async fn make_the_first(&self, orders: &mut Orders) {
        let SealedSecrets { context, keys, store, .. } = &*self.controller;
        let needed_before = store.readable().any(|object| was_synced(&object));
        let ordered = orders.has(GENERATE_KEY);
        let asked = context.settings.generate_key || ordered;
        let mut changes = keys.changes();
        changes.borrow_and_update();
        match keys.give_birth(&context.cluster, needed_before, asked).await {
            Ok(Birth::Made) => {
                if ordered {
                    orders.tick_off(keys, &context.cluster, GENERATE_KEY).await;
                }
                until_told(changes).await;
            }
            Ok(Birth::Refused) => {}
            Err(error) => tracing::warn!(%error, "a sealing key could not be made and will be"),
        }
    }

    /// Makes a further key, on an order or without one.
    async fn make_another(&self, orders: Option<&mut Orders>) {
        let SealedSecrets { context, keys, .. } = &*self.controller;
        let mut changes = keys.changes();
        changes.borrow_and_update();
        match keys.renew(&context.cluster).await {
            Ok(()) => {
                if let Some(orders) = orders {
                    orders.tick_off(keys, &context.cluster, RENEW_KEY).await;
                }
                until_told(changes).await;
            }
            Err(error) => tracing::warn!(%error, "a new sealing key could not be made and will be"),
        }
    }

    /// What waits for a key: all that is not as it should be, but for what waits for somebody to take his Secret away.
    fn wake(&self) {
        let waits = |object: &SealedSecret| !is_handled(object) && reason(object) != Some("Unmanaged");
        let waiting = self.controller.store.readable().filter(waits);
        waiting.for_each(|object| self.queue.push(key_of(&object), Class::Woken));
    }

    fn due_in(&self) -> Option<Duration> {
        let SealedSecrets { context, keys, .. } = &*self.controller;
        let period = SignedDuration::try_from(context.settings.sealed.key_renew_period).unwrap_or_default();
        let due = decide::due_in(keys.newest_since(), period, Timestamp::now())?;
        Duration::try_from(due).ok()
    }

    fn annotation(&self, name: &str) -> Option<String> {
        self.reports.find(&self.report_key())?.annotations().get(name).cloned()
    }

    fn report_key(&self) -> ObjectKey {
        ObjectKey::new(self.controller.context.cluster.namespace(), key_report::NAME)
    }
}

/// Waits until the watch has told of a key that was made, or it would look as if one were still due.
async fn until_told(mut changes: watch::Receiver<u64>) {
    let _ = tokio::time::timeout(TRY_AGAIN, changes.changed()).await;
}

/// Why an object is not as it should be.
fn reason(object: &SealedSecret) -> Option<&str> {
    let conditions = object.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().find(|condition| condition.type_ == SYNCED)?.reason.as_deref()
}
