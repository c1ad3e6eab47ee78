//! Generators, read when a value is asked for: they are not watched.

use crate::api::external_secret::GeneratorRef;
use crate::api::generators::ClusterGeneratorSpec;
use crate::cluster::{self, Asker, Cluster, CredentialError};
use crate::controllers::{Context, secret_store};
use crate::plan::{ObjectKey, ObjectRef};
use crate::providers::generators::{self, Making};
use crate::providers::{self, FetchedMap};
use serde_json::Value;

/// A generator as it stands, whatever it is wrapped in.
pub(super) struct Found {
    kind: String,
    spec: Value,
    is_cluster_wide: bool,
}

impl Found {
    /// The class of controller that it names.
    pub(super) fn class(&self) -> Option<&str> {
        self.spec.get("controller").and_then(Value::as_str).filter(|class| !class.is_empty())
    }
}

/// What a generator made.
pub(super) enum Generated {
    /// Values.
    Made(FetchedMap),
    /// There is no such generator.
    Missing,
}

/// Why a generator made nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    #[error(transparent)]
    Provider(#[from] providers::Error),
}

/// Reads a generator in the namespace of the object that refers to it; none when it is not there.
pub(super) async fn find(
    cluster: &Cluster,
    reference: &GeneratorRef,
    namespace: &str,
) -> Result<Option<Found>, cluster::Error> {
    let is_cluster_wide = reference.kind == "ClusterGenerator";
    let namespace = if is_cluster_wide { "" } else { namespace };
    let object = ObjectRef {
        // The kind decides; what else stands there is upstream's group in some version.
        api_version: crate::api::generators::API_VERSION.to_owned(),
        kind: reference.kind.clone(),
        key: ObjectKey::new(namespace, &reference.name),
    };
    let Some(found) = cluster.get(&object).await? else { return Ok(None) };
    let spec = found.fields().get("spec").cloned().unwrap_or_default();
    if !is_cluster_wide {
        return Ok(Some(Found { kind: reference.kind.clone(), spec, is_cluster_wide }));
    }
    let wrapped = serde_json::from_value::<ClusterGeneratorSpec>(spec).ok();
    Ok(wrapped.map(|wrapped| Found {
        spec: wrapped.inner().cloned().unwrap_or_default(),
        kind: wrapped.kind,
        is_cluster_wide,
    }))
}

/// Lets a generator make values.
pub(super) async fn generate(context: &Context, reference: &GeneratorRef, namespace: &str) -> Result<Generated, Error> {
    let Some(found) = find(&context.cluster, reference, namespace).await? else { return Ok(Generated::Missing) };
    let generator = generators::read(&found.kind, &found.spec)?;
    let asker = if found.is_cluster_wide { Asker::Cluster(Some(namespace)) } else { Asker::Namespaced(namespace) };
    let making = Making {
        credentials: secret_store::credentials(context, &generator.references(), asker).await?,
        endpoints: secret_store::endpoints(context),
        namespace: namespace.to_owned(),
    };
    let made = tokio::time::timeout(providers::DEADLINE, generator.generate(making)).await;
    let late = || providers::Error::Unreachable { server: found.kind.clone(), why: "no answer in time".to_owned() };
    Ok(Generated::Made(made.unwrap_or_else(|_| Err(late()))?))
}
