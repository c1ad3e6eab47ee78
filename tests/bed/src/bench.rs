//! `cargo bed bench`: figures, printed with what they are.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};
use bed::cache::Cache;
use bed::{Bed, say};

use super::{checkout, programs};

/// What can be measured, with a word each.
const BENCHES: [(&str, &str); 1] =
    [("idle", "start of the operator to complete watches, and its memory when nothing happens")];

pub(crate) fn list() -> Result<()> {
    for (name, words) in BENCHES {
        say(format!("{name:10} {words}"));
    }
    Ok(())
}

/// Figures are of the program as it is shipped.
pub(crate) fn prepare(name: &str) -> Result<()> {
    if !BENCHES.iter().any(|(known, _)| *known == name) {
        bail!("no bench {name:?}; `cargo bed bench` lists them");
    }
    let mut build = std::process::Command::new("cargo");
    super::succeed(build.args(["build", "--release", "--package", "chancery"]).current_dir(checkout()))
}

pub(crate) fn run(folder: &Path, _name: &str) -> Result<()> {
    const RUNS: usize = 5;
    let cache = Cache::open()?;
    let release = programs().join("../release");
    let parts = Bed::start(&cache, folder, &checkout(), &release)?;
    parts.bed.play_kubelet()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let operator = runtime.block_on(async {
        let cluster = parts.bed.cluster().await?;
        parts.bed.install_crds(&cluster).await?;
        parts.bed.tenant("bench").await?.operator(&[]).await
    })?;
    let (mut starts, mut memories) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let started = Instant::now();
        let running = operator.start()?;
        starts.push(started.elapsed().as_millis());
        std::thread::sleep(std::time::Duration::from_secs(3));
        memories.push(running.memory()?);
        running.stop();
    }
    starts.sort_unstable();
    memories.sort_unstable();
    let size = std::fs::metadata(release.join("chancery"))?.len();
    say(format!("size of the program          {:.1} MiB", size as f64 / 1_048_576.0));
    say(format!(
        "start to complete watches    median {} ms of {RUNS} ({}–{})",
        starts[RUNS / 2],
        starts[0],
        starts[RUNS - 1]
    ));
    say(format!("idle memory                  median {:.1} MiB of {RUNS}", memories[RUNS / 2] as f64 / 1024.0));
    Ok(())
}
