//! Leader election: only the holder of the Lease writes (D13).

use std::time::Duration;

use kube_lease_manager::LeaseManagerBuilder;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Cluster, Error};

/// Renewal begins when this part of the duration is left.
const GRACE_DIVISOR: u64 = 3;

/// Whether this replica holds the Lease, as it changes.
pub type Leadership = watch::Receiver<bool>;

impl Cluster {
    /// Takes part in the election until `stop`, then gives the Lease back.
    ///
    /// The returned task ends when the Lease is given back; await it before the process ends.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] when the election cannot begin.
    pub async fn campaign(
        &self,
        lease: &str,
        identity: &str,
        duration: Duration,
        stop: CancellationToken,
    ) -> Result<(Leadership, tokio::task::JoinHandle<()>), Error> {
        let seconds = duration.as_secs().max(3);
        let manager = LeaseManagerBuilder::new(self.client.clone(), lease)
            .with_namespace(&self.namespace)
            .with_identity(identity)
            .with_duration(seconds)
            .with_grace(seconds / GRACE_DIVISOR)
            .build()
            .await
            .map_err(|error| Error::Configuration(format!("cannot take part in the election: {error}")))?;
        let (mut changes, task) = manager.watch().await;
        let (sender, receiver) = watch::channel(*changes.borrow());
        let handle = tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => break,
                    changed = changes.changed() => match changed {
                        Ok(()) => { sender.send_replace(*changes.borrow_and_update()); }
                        Err(_) => break,
                    },
                }
            }
            sender.send_replace(false);
            // The manager releases the Lease once nobody listens.
            drop(changes);
            if let Err(error) = task.await {
                tracing::warn!(%error, "the Lease could not be given back; it runs out by itself");
            }
        });
        Ok((receiver, handle))
    }
}
