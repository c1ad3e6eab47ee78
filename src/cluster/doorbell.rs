//! What the holder of the Lease makes when it is not there: the doorbell of D10, and the project that everybody has.

use serde_json::{Value, json};

use super::{Cluster, Error};
use crate::api::{app_project, doorbell};
use crate::plan::{Change, Manifest};

/// The manager of objects that we make once and then leave to people.
const MANAGER: &str = "chancery";

impl Cluster {
    /// Makes the doorbell unless it is there.
    ///
    /// # Errors
    ///
    /// Trouble with the API server; [`Error::UnknownKind`] without its CustomResourceDefinition.
    pub async fn make_doorbell(&self) -> Result<(), Error> {
        self.make(json!({
            "apiVersion": "chancery.dev/v1alpha1", "kind": "Doorbell",
            "metadata": { "name": doorbell::NAME, "namespace": self.namespace() },
            "spec": { "hints": [] },
        }))
        .await
    }

    /// Makes the project `default` in this namespace unless it is there: it permits everything, as Argo CD's does.
    ///
    /// # Errors
    ///
    /// Trouble with the API server.
    pub async fn make_default_project(&self, namespace: &str) -> Result<(), Error> {
        self.make(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
            "metadata": { "name": app_project::DEFAULT, "namespace": namespace },
            "spec": {
                "sourceRepos": ["*"],
                "destinations": [{ "server": "*", "namespace": "*" }],
                "clusterResourceWhitelist": [{ "group": "*", "kind": "*" }],
            },
        }))
        .await
    }

    async fn make(&self, object: Value) -> Result<(), Error> {
        let Ok(manifest) = Manifest::new(object) else { return Ok(()) };
        // Asked first: a write that fails at every start would look like one that matters.
        if self.get(&manifest.object_ref()).await?.is_some() {
            return Ok(());
        }
        match self.carry_out(&Change::Create { manifest, manager: MANAGER.to_owned() }).await {
            Ok(_) | Err(Error::AlreadyExists(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
