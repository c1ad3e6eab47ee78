//! `cargo bed bench`: figures, printed with what they are.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bed::cache::Cache;
use bed::git::{GitServer, Repository};
use bed::operator::Running;
use bed::{Bed, Parts, Tenant, say};
use serde_json::{Value, json};

use super::{checkout, programs};

mod external;
mod seal;
mod sealed;

/// Measured by criterion, without servers.
pub(crate) const TEMPLATE: &str = "template";
/// What can be measured, with a word each.
const BENCHES: [(&str, &str); 6] = [
    ("idle", "size, start of the operator to complete watches, memory when nothing happens"),
    (
        "external",
        "ExternalSecrets: first sync of 1 000 and 5 000, reads, restart, CPU, memory; a changed value; a dead store",
    ),
    ("seal", "the command: one Secret beside the real kubeseal, one value, a tree of 5 000 files, size"),
    ("sealed", "SealedSecrets beside the real controller: a thousand new, a restart over them, healing, old keys"),
    ("sync", "Applications: first sync of many and of a large one, one change, commit and hand edit to the cluster"),
    (TEMPLATE, "the template engine: a page parsed and rendered, over many objects (needs no servers)"),
];
/// Longest that anything measured here may take.
const LIMIT: Duration = Duration::from_secs(300);

pub(crate) fn list() -> Result<()> {
    for (name, words) in BENCHES {
        say(format!("{name:10} {words}"));
    }
    Ok(())
}

/// The figures of the template engine.
pub(crate) fn template() -> Result<()> {
    let mut bench = std::process::Command::new("cargo");
    super::succeed(bench.args(["bench", "--package", "chancery", "--bench", TEMPLATE]).current_dir(checkout()))
}

/// Figures are of the program as it is shipped.
pub(crate) fn prepare(name: &str) -> Result<()> {
    if !BENCHES.iter().any(|(known, _)| *known == name) {
        bail!("no bench {name:?}; `cargo bed bench` lists them");
    }
    let (profile, package) = if name == "seal" { ("small", "seal") } else { ("release", "chancery") };
    let mut build = std::process::Command::new("cargo");
    super::succeed(build.args(["build", "--profile", profile, "--package", package]).current_dir(checkout()))
}

pub(crate) fn run(folder: &Path, name: &str) -> Result<()> {
    let cache = Cache::open()?;
    let release = programs().join("../release");
    if name == "seal" {
        return seal::run(folder, &programs().join("../small/seal"), &cache.kubeseal()?);
    }
    let parts = Bed::start(&cache, folder, &checkout(), &release)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let tenant = runtime.block_on(async {
        let cluster = parts.bed.cluster().await?;
        parts.bed.install_crds(&cluster).await?;
        parts.bed.tenant("bench").await
    })?;
    match name {
        "idle" => idle(&parts, &runtime, &tenant, &release),
        "sealed" => runtime.block_on(sealed::run(&tenant)),
        "external" => runtime.block_on(external::run(&tenant)),
        _ => {
            let git = tenant.git()?;
            runtime.block_on(sync(&tenant, &git))
        }
    }
}

fn idle(parts: &Parts, runtime: &tokio::runtime::Runtime, tenant: &Tenant, release: &Path) -> Result<()> {
    const RUNS: usize = 5;
    parts.bed.play_kubelet()?;
    let operator = runtime.block_on(tenant.operator(&[]))?;
    let (mut starts, mut memories) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let started = Instant::now();
        let running = operator.start()?;
        starts.push(started.elapsed());
        std::thread::sleep(Duration::from_secs(3));
        memories.push((running.memory()?, running.anonymous_memory()?));
        running.stop();
    }
    memories.sort_unstable();
    let size = std::fs::metadata(release.join("chancery"))?.len();
    say(format!("size of the program          {:.1} MiB", size as f64 / 1_048_576.0));
    say(format!("start to complete watches    {}", spread(starts)));
    let mib = |kib: u64| kib as f64 / 1024.0;
    let (all, own) = memories[RUNS / 2];
    say(format!("idle memory                  median {:.1} MiB of {RUNS}", mib(all)));
    say(format!("  not of the program's file  {:.1} MiB", mib(own)));
    Ok(())
}

/// One ConfigMap each, many in one, and small changes.
async fn sync(tenant: &Tenant, git: &GitServer) -> Result<()> {
    const MANY: usize = 100;
    const LARGE: usize = 1000;
    const TIMES: usize = 10;
    let repository = git.create("bench")?;
    tenant.connect_repository(git, &repository).await?;
    let mut files: Vec<(String, String)> =
        (0..MANY).map(|number| (format!("many/{number}/map.yaml"), map(&format!("many-{number}"), "1"))).collect();
    files.extend((0..LARGE).map(|number| (format!("large/{number}.yaml"), map(&format!("large-{number}"), "1"))));
    let listed: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let first = repository.commit("first", &listed)?;
    let running: Running = tenant.deployer(&["--git-poll=10m", "--log=info"]).await?.start()?;

    let started = Instant::now();
    for number in 0..MANY {
        tenant.cluster.apply_object(&application(tenant, &repository, &format!("many/{number}"))).await?;
    }
    for number in 0..MANY {
        synced(tenant, &format!("many-{number}"), &first).await?;
    }
    say(format!("first sync of {MANY} Applications of one ConfigMap    {:.1} s", started.elapsed().as_secs_f32()));

    let started = Instant::now();
    tenant.cluster.apply_object(&application(tenant, &repository, "large")).await?;
    synced(tenant, "large", &first).await?;
    say(format!("first sync of one Application of {LARGE} ConfigMaps  {:.1} s", started.elapsed().as_secs_f32()));

    let (mut objects, mut wholes) = (Vec::new(), Vec::new());
    for value in 0..TIMES {
        let value = format!("commit-{value}");
        let commit = repository.commit("one file", &[("large/7.yaml", &map("large-7", &value))])?;
        let started = Instant::now();
        refresh(tenant, "large").await?;
        becomes(tenant, "large-7", &value).await?;
        objects.push(started.elapsed());
        synced(tenant, "large", &commit).await?;
        wholes.push(started.elapsed());
    }
    say(format!("one changed file of {LARGE}, to the object             {}", spread(objects)));
    say(format!("one changed file of {LARGE}, to the end of the sync    {}", spread(wholes)));

    let mut applied = Vec::new();
    for value in 0..TIMES {
        let value = format!("commit-{value}");
        repository.commit("one file", &[("many/3/map.yaml", &map("many-3", &value))])?;
        let started = Instant::now();
        refresh(tenant, "many-3").await?;
        becomes(tenant, "many-3", &value).await?;
        applied.push(started.elapsed());
    }
    say(format!("commit and refresh annotation to the object          {}", spread(applied)));

    let mut healed = Vec::new();
    for value in 0..TIMES {
        // Edits in quick succession look like two controllers that fight, and are healed more slowly.
        tokio::time::sleep(Duration::from_secs(13)).await;
        let edit = json!({ "data": { "k": format!("hand-{value}") } });
        let started = Instant::now();
        tenant.cluster.patch("v1 ConfigMap", &tenant.work, "many-3", &edit).await?;
        becomes(tenant, "many-3", &format!("commit-{}", TIMES - 1)).await?;
        healed.push(started.elapsed());
    }
    say(format!("hand edit to reverted                                {}", spread(healed)));
    say(format!(
        "memory with {} Applications, {} objects            {:.1} MiB",
        MANY + 1,
        MANY + LARGE,
        running.memory()? as f64 / 1024.0
    ));
    Ok(())
}

fn map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  k: {value:?}\n")
}

fn application(tenant: &Tenant, repository: &Repository, path: &str) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": { "name": path.replace('/', "-"), "namespace": tenant.apps },
        "spec": {
            "source": { "repoURL": repository.url, "targetRevision": "main", "path": path },
            "destination": { "server": "https://kubernetes.default.svc", "namespace": tenant.work },
            "syncPolicy": { "automated": { "prune": true, "selfHeal": true } },
        },
    })
}

async fn refresh(tenant: &Tenant, name: &str) -> Result<()> {
    let patch = json!({ "metadata": { "annotations": { "argocd.argoproj.io/refresh": "normal" } } });
    tenant.cluster.patch("argoproj.io/v1alpha1 Application", &tenant.apps, name, &patch).await.map(drop)
}

async fn synced(tenant: &Tenant, name: &str, revision: &str) -> Result<()> {
    let place = ("argoproj.io/v1alpha1 Application", tenant.apps.as_str(), name);
    let is_synced = |object: &Value| {
        object["status"]["sync"]["status"] == "Synced" && object["status"]["sync"]["revision"] == revision
    };
    tenant.cluster.wait_for("it is synced", place, LIMIT, is_synced).await.map(drop)
}

async fn becomes(tenant: &Tenant, name: &str, value: &str) -> Result<()> {
    let place = ("v1 ConfigMap", tenant.work.as_str(), name);
    tenant.cluster.wait_for(value, place, LIMIT, |object| object["data"]["k"] == value).await.map(drop)
}

/// Median and range.
pub(crate) fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let [first, .., last] = times.as_slice() else { return "not measured".to_owned() };
    let median = times[times.len() / 2];
    format!("median {} ms of {} ({}–{})", median.as_millis(), times.len(), first.as_millis(), last.as_millis())
}
