//! Another Sealed Secrets controller beside us (D18). It is noticed by its Deployment, and by what it writes: run by hand
//! it has neither Deployment nor Lease. While it works we stand aside: two on one object fight.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::api::SealedSecret;
use crate::api::sealed_secret::SYNCED;
use crate::cluster::Seen;
use crate::controllers::Context;
use crate::plan::{Note, ObjectKey};
use crate::telemetry::PeerLabel;

/// After the last sign of it we work again.
const QUIET: Duration = Duration::from_secs(60);
/// How often its Deployments are looked for.
const LOOK: Duration = Duration::from_secs(30);

/// What is known of the other one.
#[derive(Default)]
pub(super) struct Peer {
    state: Mutex<State>,
    sign: Notify,
}

#[derive(Default)]
struct State {
    /// When it last wrote, and what.
    wrote: Option<(Instant, ObjectKey)>,
    /// Its Deployment, while that wants to run.
    deployed: Option<ObjectKey>,
    /// The times of its statuses, as first seen: a later one is a write while we looked.
    statuses: HashMap<ObjectKey, String>,
}

impl Peer {
    /// Looks at a SealedSecret that was seen: is its status one that the other one has just written?
    pub(super) fn notice(&self, seen: Seen, key: &ObjectKey, object: &SealedSecret) {
        let mut state = self.lock();
        let Some(time) = time_of_its_status(object).filter(|_| seen != Seen::Gone) else {
            state.statuses.remove(key);
            return;
        };
        let before = state.statuses.insert(key.clone(), time.to_owned());
        // What is there when we begin to look may be as old as it likes.
        if seen != Seen::Listed && before.as_deref() != Some(time) {
            state.wrote = Some((Instant::now(), key.clone()));
            drop(state);
            self.sign.notify_one();
        }
    }

    /// How long we stand aside from now on; none when we work.
    pub(super) fn stands_in_for(&self) -> Option<Duration> {
        let state = self.lock();
        if state.deployed.is_some() {
            return Some(LOOK);
        }
        let (at, _) = state.wrote.as_ref()?;
        QUIET.checked_sub(at.elapsed()).filter(|pause| !pause.is_zero())
    }

    /// Looks for its Deployments and tells people of it, until the end.
    pub(super) async fn watch(&self, context: &Context) {
        let mut told = None;
        let mut may_look = true;
        loop {
            if may_look {
                match context.cluster.sealed_secrets_deployments().await {
                    Ok(found) => self.lock().deployed = found.into_iter().next(),
                    Err(crate::cluster::Error::Forbidden(_)) => {
                        tracing::warn!(
                            "Deployments may not be listed, so a Sealed Secrets controller beside us is noticed only by \
                             what it writes"
                        );
                        may_look = false;
                    }
                    Err(error) => tracing::debug!(%error, "Deployments could not be looked at"),
                }
            }
            told = self.tell(context, told).await;
            tokio::select! {
                () = context.stop.cancelled() => return,
                () = self.sign.notified() => {}
                () = tokio::time::sleep(self.stands_in_for().unwrap_or(LOOK).min(LOOK)) => {}
            }
        }
    }

    /// Says so when it comes and when it goes. Returns what was said last.
    async fn tell(&self, context: &Context, told: Option<String>) -> Option<String> {
        let aside = self.stands_in_for().is_some();
        context.metrics.peers.get_or_create(&PeerLabel { peer: "sealed-secrets" }).set(i64::from(aside));
        let (sign, about) = {
            let state = self.lock();
            match (&state.deployed, &state.wrote) {
                (Some(deployment), _) => (format!("Deployment {deployment} wants to run"), None),
                (None, Some((_, key))) => (format!("it wrote the status of SealedSecret {key}"), Some(key.clone())),
                (None, None) => (String::new(), None),
            }
        };
        if !aside {
            if told.is_some() {
                tracing::info!("no Sealed Secrets controller works beside us any more: taking up the work");
            }
            return None;
        }
        if told.is_none() {
            let message = format!(
                "another Sealed Secrets controller works on SealedSecrets: {sign}. Chancery stands aside until a minute \
                 after the last sign of it; stop it, or say with --beside-sealed-secrets that both are meant"
            );
            tracing::warn!(reason = "PeerRunning", "{message}");
            if let Some(key) = about {
                let note = Note { warning: true, reason: "PeerRunning".to_owned(), message };
                if let Err(error) = context.cluster.publish(&super::reference(key), "", &note).await {
                    tracing::debug!(%error, "the event could not be published");
                }
            }
        }
        Some(sign)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a status was written that is not ours: we always give a reason, the other one never does.
fn time_of_its_status(object: &SealedSecret) -> Option<&str> {
    let conditions = object.status.iter().flat_map(|status| &status.conditions);
    let synced = conditions.into_iter().find(|condition| condition.type_ == SYNCED && condition.reason.is_none())?;
    synced.last_update_time.as_deref()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(time: &str, reason: Option<&str>) -> SealedSecret {
        serde_json::from_value(json!({
            "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "metadata": { "name": "x" },
            "spec": { "encryptedData": {} },
            "status": { "conditions": [{ "type": "Synced", "status": "True", "lastUpdateTime": time, "reason": reason }] },
        }))
        .unwrap()
    }

    #[test]
    fn only_a_status_that_it_writes_while_we_look_is_a_sign() {
        let key = ObjectKey::new("ns", "x");
        let (old, new) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        let cases = [
            ("its old status", &[(Seen::Listed, old, None)][..], false),
            (
                "its old status on an object that somebody changes",
                &[(Seen::Listed, old, None), (Seen::Changed, old, None)],
                false,
            ),
            ("its new status", &[(Seen::Listed, old, None), (Seen::Touched, new, None)], true),
            ("its status on a new object", &[(Seen::Touched, new, None)], true),
            ("our status", &[(Seen::Listed, old, None), (Seen::Touched, new, Some("Unsealed"))], false),
            ("its status over ours", &[(Seen::Listed, old, Some("Unsealed")), (Seen::Touched, new, None)], true),
        ];
        for (name, seen, expected) in cases {
            let peer = Peer::default();
            for (seen, time, reason) in seen {
                peer.notice(*seen, &key, &object(time, *reason));
            }
            assert_eq!(peer.stands_in_for().is_some(), expected, "{name}");
        }
    }
}
