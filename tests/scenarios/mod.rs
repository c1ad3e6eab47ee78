//! The recorded scenarios of External Secrets, played against our operator on a control plane of their own: they hold
//! objects for the whole cluster, which would reach into the namespaces of other tests.

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::Instant;

use bed::{Bed, Tenant};
use futures::{FutureExt, StreamExt};

mod backends;
mod case;
mod differences;
mod snapshot;

use case::{Case, World};

/// Cases at a time: they wait more than they work.
const AT_A_TIME: usize = 24;

/// A control plane for one test alone, with OpenBao and moto of the bed. The servers end with the thread that started
/// them, so the test begins outside of a runtime.
pub(crate) fn plane_of_its_own(name: &str) -> (bed::plane::Plane, Bed) {
    let shared = Bed::attach().unwrap();
    let folder = shared.folder.join(format!("plane-{name}"));
    let plane = bed::plane::Plane::start(&bed::cache::Cache::open().unwrap(), &folder).unwrap();
    let bed = Bed {
        url: plane.url.clone(),
        ca: plane.ca.clone(),
        kubeconfig: plane.kubeconfig.clone(),
        audit_log: plane.audit_log.clone(),
        ..shared
    };
    (plane, bed)
}

/// A tenant of such a plane, which has nothing yet.
pub(crate) async fn only_tenant(bed: &Bed, name: &str) -> Tenant {
    let cluster = bed.cluster().await.unwrap();
    bed.install_crds(&cluster).await.unwrap();
    bed.tenant(name).await.unwrap()
}

#[test]
fn the_recorded_scenarios_end_as_they_did_in_the_reference() {
    let (_plane, bed) = plane_of_its_own("scenarios");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(play_all(&bed));
}

async fn play_all(bed: &Bed) {
    let started = Instant::now();
    let tenant = only_tenant(bed, "scenarios").await;
    let aws = tenant.bed.aws().await.unwrap().to_owned();
    let flags = ["--controllers=external-secrets", "--external-secrets-data-hash", "--external-secrets-take-over"];
    let operator = tenant.operator_everywhere(&flags).await.unwrap();
    let operator = ["AWS_SECRETSMANAGER_ENDPOINT", "AWS_SSM_ENDPOINT", "AWS_STS_ENDPOINT"]
        .into_iter()
        .fold(operator, |operator, variable| operator.with_environment(variable, &aws));
    let running = operator.start().unwrap();

    let world = World::new(&tenant, &aws);
    let chosen = std::env::var("SCENARIOS").unwrap_or_default();
    let names: Vec<String> = names().into_iter().filter(|name| name.contains(&chosen)).collect();
    let played = futures::stream::iter(&names).map(|name| {
        let world = &world;
        async move {
            let played = AssertUnwindSafe(Case::read(world, name).play(world)).catch_unwind().await;
            let told = |panic: Box<dyn Any + Send>| panic.downcast_ref::<String>().cloned().unwrap_or_default();
            (name, played.unwrap_or_else(|panic| vec![told(panic)]))
        }
    });
    let outcomes: Vec<_> = played.buffer_unordered(AT_A_TIME).collect().await;
    let failed: Vec<String> = outcomes
        .iter()
        .filter(|(_, differences)| !differences.is_empty())
        .map(|(name, differences)| format!("{name}\n    {}", differences.join("\n    ")))
        .collect();
    let unused = differences::unused(&outcomes.iter().map(|(name, _)| name.as_str()).collect::<BTreeSet<_>>());
    assert!(unused.is_empty(), "differences for no case: {unused:?}");
    assert!(
        failed.is_empty(),
        "{} of {} differ after {:.0} s:\n{}\n{}",
        failed.len(),
        names.len(),
        started.elapsed().as_secs_f32(),
        failed.join("\n"),
        running.tail(5)
    );
    assert!(names.len() > 160 || !chosen.is_empty(), "cases are missing: {}", names.len());
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/external_secrets")
}

fn names() -> Vec<String> {
    let files = std::fs::read_dir(folder().join("cases")).unwrap();
    let mut names: Vec<String> =
        files.map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
