//! External Secrets Operator beside us (D18). While its Deployment wants to run we stand aside: two on one object write
//! over each other's status, and each sync of one is a change that the other sees.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::cluster::Error;
use crate::controllers::Context;
use crate::plan::ObjectKey;
use crate::telemetry::PeerLabel;

/// How often its Deployments are looked for.
const LOOK: Duration = Duration::from_secs(30);

/// What is known of it. Cheap to clone.
#[derive(Clone, Default)]
pub struct ExternalSecretsPeer {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    deployed: Option<ObjectKey>,
}

impl ExternalSecretsPeer {
    /// How long we stand aside from now on; none when we work.
    pub(in crate::controllers) fn stands_in_for(&self) -> Option<Duration> {
        self.lock().deployed.as_ref().map(|_| LOOK)
    }

    /// Looks once, before any work, unless both are meant.
    pub(in crate::controllers) async fn look(&self, context: &Context) -> bool {
        if context.settings.external.beside {
            return false;
        }
        let found = match context.cluster.external_secrets_deployments().await {
            Ok(found) => found.into_iter().next(),
            Err(Error::Forbidden(_)) => {
                tracing::warn!("Deployments may not be listed, so External Secrets Operator beside us goes unnoticed");
                return false;
            }
            Err(error) => {
                tracing::debug!(%error, "Deployments could not be looked at");
                return true;
            }
        };
        let mut state = self.lock();
        if let (Some(deployment), None) = (&found, &state.deployed) {
            tracing::warn!(
                reason = "PeerRunning",
                "External Secrets Operator works beside us: Deployment {deployment} wants to run. Chancery stands aside \
                 from ExternalSecrets and PushSecrets until it is gone; scale it to nothing, or say with \
                 --beside-external-secrets that both are meant"
            );
        }
        if found.is_none() && state.deployed.is_some() {
            tracing::info!("External Secrets Operator works beside us no more: taking up the work");
        }
        let label = PeerLabel { peer: "external-secrets" };
        context.metrics.peers.get_or_create(&label).set(i64::from(found.is_some()));
        state.deployed = found;
        true
    }

    /// Looks now and then, until the end.
    pub(in crate::controllers) async fn watch(&self, context: &Context) {
        tell_of_webhooks(context).await;
        loop {
            tokio::select! {
                () = context.stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            if !self.look(context).await {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Its webhooks outlive it where it was not uninstalled whole, and then nobody can write an ExternalSecret.
async fn tell_of_webhooks(context: &Context) {
    match context.cluster.external_secrets_webhooks().await {
        Ok(found) if !found.is_empty() => tracing::warn!(
            reason = "PeerWebhooks",
            "webhooks of External Secrets Operator are installed and refuse every ExternalSecret and store when its \
             server is gone: kubectl delete validatingwebhookconfiguration {}",
            found.join(" ")
        ),
        Ok(_) => {}
        Err(error) => tracing::debug!(%error, "webhooks could not be looked at"),
    }
}
