//! `cargo bed test`: everything that must pass.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bed::cache::Cache;
use bed::{Bed, say};

use super::{checkout, programs, succeed};

/// Server tests at a time: waits fill their time, not work.
const AT_A_TIME: usize = 4;

/// Format, lints, docs, licences and bans, and all tests that need no server.
pub(crate) fn without_servers(cache: &Cache) -> Result<()> {
    let deny = cache.cargo_deny()?;
    let steps: [(&str, &[&str]); 5] = [
        // Those of other platforms, too: the licences of all are read, without the network.
        ("dependencies", &["fetch", "--locked"]),
        ("format", &["fmt", "--all", "--check"]),
        ("lints", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        ("docs", &["doc", "--workspace", "--no-deps", "--document-private-items"]),
        ("tests without servers", &["test", "--workspace"]),
    ];
    for (name, arguments) in steps {
        let mut cargo = Command::new("cargo");
        step(name, cargo.args(arguments).env("RUSTDOCFLAGS", "-D warnings").current_dir(checkout()))?;
    }
    step(
        "licences, bans and sources",
        Command::new(deny).args(["--offline", "check", "licenses", "bans", "sources"]).current_dir(checkout()),
    )
}

/// Advisories, from their database.
pub(crate) fn audit(cache: &Cache) -> Result<()> {
    step("advisories", Command::new(cache.cargo_deny()?).args(["check", "advisories"]).current_dir(checkout()))
}

/// Builds the server tests while the network is there and notes where they are.
pub(crate) fn build_server_tests() -> Result<()> {
    let output = Command::new("cargo")
        // All of the workspace, as it was just built: fewer targets want other features of dependencies, built anew.
        .args([
            "test",
            "--workspace",
            "--lib",
            "--bins",
            "--benches",
            "--test",
            "*",
            "--no-run",
            "--message-format=json",
        ])
        .current_dir(checkout())
        .stderr(std::process::Stdio::inherit())
        .output()?;
    if !output.status.success() {
        bail!("the server tests do not build");
    }
    let program = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "server")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo names no test program")?;
    std::fs::write(place(), program.display().to_string())?;
    Ok(())
}

/// The server tests on the real servers.
pub(crate) fn with_servers(folder: &Path, filter: Option<&str>) -> Result<()> {
    let started = Instant::now();
    let cache = Cache::open()?;
    let parts = Bed::start(&cache, folder, &checkout(), &programs())?;
    parts.bed.play_kubelet()?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let cluster = parts.bed.cluster().await?;
        parts.bed.install_crds(&cluster).await?;
        parts.bed.vault().await.map(drop)
    })?;
    say(format!("… servers are up after {:.1} s", started.elapsed().as_secs_f32()));
    let (variable, file) = parts.bed.describe()?;
    let mut tests = Command::new(std::fs::read_to_string(place())?);
    tests
        .arg(format!("--test-threads={AT_A_TIME}"))
        .args(filter)
        .env(variable, file)
        .env("CARGO_MANIFEST_DIR", checkout())
        .current_dir(checkout());
    step("server tests", &mut tests)?;
    say("── no value anywhere but in Secrets");
    let seen = runtime.block_on(bed::canary::search(&parts.bed, folder))?;
    if !seen.is_empty() {
        bail!("values were seen:\n{}", seen.join("\n"));
    }
    say("✓ no value anywhere but in Secrets");
    Ok(())
}

/// Where nothing of ours can run here, types only: the library for a browser, the command for the other systems of
/// developers. The compiler's library for each is fetched when it is not there.
pub(crate) fn other_targets() -> Result<()> {
    const BROWSER: &str = "wasm32-unknown-unknown";
    const NO_WARNINGS: [&str; 3] = ["--", "-D", "warnings"];
    const SYSTEMS: [(&str, &str); 2] = [("macOS", "aarch64-apple-darwin"), ("Windows", "x86_64-pc-windows-gnu")];
    let mut cargo = checking(BROWSER)?;
    step("the library in a browser", cargo.args(["--lib", "--no-default-features"]).args(NO_WARNINGS))?;
    for (name, target) in SYSTEMS {
        let mut cargo = checking(target)?;
        without_c(&mut cargo, target)?;
        step(&format!("the command on {name}"), cargo.args(["--bin", "seal"]).args(NO_WARNINGS))?;
    }
    Ok(())
}

fn checking(target: &str) -> Result<Command> {
    if !target_is_there(target)? {
        let mut rustup = Command::new("rustup");
        step(&format!("fetch what {target} needs"), rustup.args(["target", "add", target]).current_dir(checkout()))?;
    }
    let mut cargo = Command::new("cargo");
    cargo.args(["clippy", "--package", "seal", "--target", target]).current_dir(checkout());
    Ok(cargo)
}

/// For types no C need be compiled, and no compiler for another system is here. Cargo is told what the build script of
/// AWS's library would tell it, whose bindings are the same on every system; for the one assembler file of `psm`, `true`
/// stands in for the compiler.
fn without_c(cargo: &mut Command, target: &str) -> Result<()> {
    let links = aws_lc()?;
    for told in ["rustc-cfg=[\"universal\"]", "include=\"none\""] {
        cargo.arg("--config").arg(format!("target.{target}.{links}.{told}"));
    }
    for tool in ["CC", "AR"] {
        cargo.env(format!("{tool}_{}", target.replace('-', "_")), "true");
    }
    Ok(())
}

/// The name under which cargo knows AWS's library; its version is a part of it.
fn aws_lc() -> Result<String> {
    let output = Command::new("cargo")
        .args(["metadata", "--locked", "--format-version", "1"])
        .current_dir(checkout())
        .stderr(std::process::Stdio::inherit())
        .output()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).context("cargo tells no metadata")?;
    let packages = metadata["packages"].as_array().context("there are no packages")?;
    let package = packages.iter().find(|package| package["name"] == "aws-lc-sys");
    package.and_then(|package| package["links"].as_str()).map(ToOwned::to_owned).context("aws-lc-sys links nothing")
}

fn target_is_there(target: &str) -> Result<bool> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .current_dir(checkout())
        .output()?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(Path::new(&folder).read_dir().is_ok_and(|mut files| files.next().is_some()))
}

/// That a bed leaves nothing behind, however it ends.
pub(crate) fn leaves_nothing() -> Result<()> {
    say("── a bed leaves nothing behind");
    super::leftovers::check()
}

/// Where the path of the server tests is noted, for the pass inside namespaces.
fn place() -> PathBuf {
    programs().join("server-tests.path")
}

fn step(name: &str, command: &mut Command) -> Result<()> {
    say(format!("── {name}"));
    let started = Instant::now();
    succeed(command)?;
    say(format!("✓ {name} ({:.1} s)", started.elapsed().as_secs_f32()));
    Ok(())
}
