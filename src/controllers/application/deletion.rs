//! An Application that goes, and what goes with it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::{Applications, Error, control_namespace, key_of, warning};
use crate::api::application::{Application, FINALIZER};
use crate::cluster;
use crate::decide::application::prune::{self, Claim};
use crate::decide::application::{DELETION, Finding, order, project, spec, tracking};
use crate::decide::status::application as status;
use crate::plan::{Change, Next, ObjectKey, ObjectRef, Propagation, Verdict};

/// How long a deletion waits before it looks whether everything is gone, without an event.
const DELETION_PAUSE: Duration = Duration::from_secs(2);

impl Applications {
    /// Deletes what an Application manages when it is to go with it, and lets the Application go then.
    pub(super) async fn take_down(&self, application: &Application) -> Result<Verdict, Error> {
        let finalizers = application.metadata.finalizers.clone().unwrap_or_default();
        let Some(finalizer) =
            finalizers.iter().find(|known| known.split_once('/').map_or(known.as_str(), |(name, _)| name) == FINALIZER)
        else {
            return Ok(Verdict::silent(Next::OnChange));
        };
        let propagation =
            if finalizer.ends_with("/background") { Propagation::Background } else { Propagation::Foreground };
        for (api_version, kind) in status::kinds(application) {
            match self.live.follow(&api_version, &kind).await {
                Ok(()) | Err(cluster::Error::UnknownKind { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let instance = tracking::instance(&key_of(application), &control_namespace(&self.context));
        let project = self
            .stores
            .projects
            .find(&ObjectKey::new(control_namespace(&self.context), spec::project_name(application)));
        let permitted = |object: &ObjectRef| {
            project
                .as_ref()
                .is_some_and(|project| project::refusal(project, object, !object.key.namespace.is_empty()).is_none())
        };
        let mut left: Vec<_> = self
            .live
            .tracked_by(&instance)
            .into_iter()
            .filter(|(object, metadata)| {
                matches!(prune::claim(object, metadata, &instance), Claim::Managed { outlives: false, .. })
                    && permitted(object)
            })
            .collect();
        if left.is_empty() {
            let rest: Vec<_> = finalizers.iter().filter(|known| *known != finalizer).collect();
            let also =
                json!({ "metadata": { "finalizers": rest, "resourceVersion": application.metadata.resource_version } });
            return Ok(Verdict { also: Some(also), ..Verdict::silent(Next::OnChange) });
        }
        left.sort_by_cached_key(|(object, _)| std::cmp::Reverse(order::key(0, object)));
        let mut findings = Vec::new();
        for (object, metadata) in left.iter().filter(|(_, metadata)| metadata.deletion_timestamp.is_none()) {
            let change = Change::Delete { object: object.clone(), uid: metadata.uid.clone(), propagation };
            if let Err(error) = self.context.cluster.carry_out(&change).await {
                findings.push(Finding::new(DELETION, error.to_string()));
            }
        }
        if findings.is_empty() {
            return Ok(Verdict::silent(Next::After(DELETION_PAUSE)));
        }
        let note = findings.first().map(|finding| warning(finding.kind, &finding.message));
        let status = status::invalid(application, findings, Timestamp::now());
        Ok(Verdict::told(serde_json::to_value(status).ok(), note, Next::Backoff))
    }
}
