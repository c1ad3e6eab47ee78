//! `cargo bed`: the real servers under Chancery's tests and demo.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use bed::cache::{self, Cache};
use bed::{Bed, namespaces, say};
use clap::{Parser, Subcommand};

mod bench;
mod checks;
mod demo;
mod leftovers;

/// The real servers under Chancery's tests and demo, started on loopback and gone without a trace.
#[derive(Debug, Parser)]
#[command(name = "cargo bed", bin_name = "cargo bed")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Start everything and walk through the main job on real input
    Demo {
        /// Leave it running afterwards, with the KUBECONFIG printed
        #[arg(long)]
        keep: bool,
        /// Write the transcript to this file
        #[arg(long, value_name = "FILE")]
        record: Option<PathBuf>,
    },
    /// Run all that must pass, or only the server tests whose names contain FILTER
    Test {
        /// Part of a test's name
        filter: Option<String>,
    },
    /// A bed to play with: prints the addresses and runs until interrupted
    Up {
        /// Leave Pods and Jobs as they are: somebody else plays the kubelet
        #[arg(long)]
        no_kubelet: bool,
    },
    /// Measure; without a name, list what can be measured
    Bench {
        /// What to measure
        name: Option<String>,
    },
    /// A shell inside the bed's namespaces, with everything on PATH
    Shell,
    /// Look the dependencies up in the advisory database; needs the network
    Audit,
    /// Say what this machine has and lacks
    Doctor,
    /// Delete the cache
    Clean,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(verb: &Verb) -> Result<()> {
    match verb {
        Verb::Doctor => doctor(),
        Verb::Clean => {
            let cache = Cache::open()?;
            cache.drop_go_caches();
            std::fs::remove_dir_all(cache.root()).context("cannot delete the cache")
        }
        Verb::Audit => checks::audit(&Cache::open()?),
        Verb::Demo { keep, record } => {
            cache::check_machine()?;
            prepare(&[])?;
            // Somebody wants to look at it from their own shell: no namespaces then.
            if *keep {
                return in_folder(&|folder| demo::run(folder, record.as_deref(), true));
            }
            inside(&|folder| demo::run(folder, record.as_deref(), false))
        }
        Verb::Test { filter } => {
            cache::check_machine()?;
            if !namespaces::inside() {
                if filter.is_none() {
                    checks::without_servers(&Cache::open()?)?;
                }
                prepare(&["--all-targets"])?;
                checks::build_server_tests()?;
                if filter.is_none() {
                    checks::other_targets()?;
                    checks::leaves_nothing()?;
                }
            }
            inside(&|folder| checks::with_servers(folder, filter.as_deref()))
        }
        Verb::Up { no_kubelet } => {
            cache::check_machine()?;
            prepare(&[])?;
            in_folder(&|folder| up(folder, !no_kubelet))
        }
        Verb::Bench { name } => {
            cache::check_machine()?;
            let Some(name) = name else { return bench::list() };
            if name == bench::TEMPLATE {
                return bench::template();
            }
            if !namespaces::inside() {
                bench::prepare(name)?;
                prepare(&[])?;
            }
            inside(&|folder| bench::run(folder, name))
        }
        Verb::Shell => {
            cache::check_machine()?;
            prepare(&[])?;
            inside(&shell)
        }
    }
}

/// Builds the programs and makes the tools, all that needs the network or the person's own folders.
fn prepare(targets: &[&str]) -> Result<()> {
    if namespaces::inside() {
        return Ok(());
    }
    let mut build = Command::new("cargo");
    build.args(["build", "--workspace"]).args(targets).current_dir(checkout());
    succeed(&mut build)?;
    let cache = Cache::open()?;
    for tool in [Cache::etcd, Cache::kube_apiserver, Cache::bao, Cache::moto, Cache::kubectl, Cache::kubeseal] {
        tool(&cache)?;
    }
    cache.drop_go_caches();
    Ok(())
}

/// Runs `work` inside namespaces where the kernel lets us, otherwise on plain loopback.
fn inside(work: &dyn Fn(&Path) -> Result<()>) -> Result<()> {
    if namespaces::inside() {
        namespaces::furnish()?;
        let folder = Path::new("/run/chancery-bed");
        std::fs::create_dir_all(folder)?;
        let worked = work(folder);
        if worked.is_err() {
            keep_logs(folder);
        }
        return worked;
    }
    if namespaces::possible() {
        return namespaces::enter();
    }
    say(
        "note: this kernel gives no namespaces; the bed runs on plain loopback and skips tests that need the Service proxy",
    );
    in_folder(work)
}

/// Runs `work` in a temporary folder that is gone afterwards.
fn in_folder(work: &dyn Fn(&Path) -> Result<()>) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("chancery-bed-").tempdir()?;
    sweep_after_us(folder.path())?;
    let worked = work(folder.path());
    if worked.is_err() {
        keep_logs(folder.path());
    }
    worked
}

/// Leaves somebody behind who takes the folder away when we could not: after a kill nobody else would.
fn sweep_after_us(folder: &Path) -> Result<()> {
    use std::os::unix::process::CommandExt;
    let wait = "while kill -0 \"$1\" 2>/dev/null; do sleep 0.2; done; rm -rf \"$2\"";
    Command::new("sh")
        .args(["-c", wait, "sweeper", &std::process::id().to_string()])
        .arg(folder)
        .process_group(0)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .context("cannot start sh")?;
    Ok(())
}

/// Copies the servers' logs to where they outlive the bed.
fn keep_logs(folder: &Path) {
    let place = programs().join("bed-logs");
    let _ = std::fs::remove_dir_all(&place);
    let mut folders = vec![folder.to_owned()];
    while let Some(folder_now) = folders.pop() {
        for entry in std::fs::read_dir(&folder_now).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "log") {
                let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string().replace('/', "-");
                let _ = std::fs::create_dir_all(&place);
                let _ = std::fs::copy(&path, place.join(name));
            }
        }
    }
    say(format!("the servers' logs are in {}", place.display()));
}

fn up(folder: &Path, with_kubelet: bool) -> Result<()> {
    let cache = Cache::open()?;
    let parts = Bed::start(&cache, folder, &checkout(), &programs())?;
    if with_kubelet {
        parts.bed.play_kubelet()?;
    }
    let git = bed::git::GitServer::start(&folder.join("git"))?;
    parts.bed.kubectl(&["apply", "--server-side", "-k", &checkout().join("deploy/base").display().to_string()])?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async { parts.bed.vault().await.map(drop) })?;
    say(format!("export KUBECONFIG={}", parts.bed.kubeconfig.display()));
    say(format!("export VAULT_ADDR={} VAULT_TOKEN={}", parts.bed.vault_url, bed::vault::ROOT_TOKEN));
    say(format!("export AWS_ENDPOINT_URL={}", parts.bed.aws_url));
    say(format!("Git server: {} (user {}, password {})", git.url, bed::git::USER, bed::git::PASSWORD));
    let kubectl = parts.bed.kubectl.parent().unwrap_or(Path::new("")).display();
    say(format!("export PATH={}:{kubectl}:$PATH", programs().display()));
    say("Ctrl-C ends it");
    runtime.block_on(tokio::signal::ctrl_c())?;
    Ok(())
}

fn shell(folder: &Path) -> Result<()> {
    let cache = Cache::open()?;
    let parts = Bed::start(&cache, folder, &checkout(), &programs())?;
    parts.bed.play_kubelet()?;
    let tools = [&parts.bed.kubectl, &parts.bed.kubeseal, &parts.bed.operator, &cache.bao()?];
    let mut path: Vec<OsString> = tools.iter().filter_map(|tool| Some(tool.parent()?.into())).collect();
    path.extend(std::env::var_os("PATH"));
    let status = Command::new(std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into()))
        .env("PATH", path.join(&OsString::from(":")))
        .env("KUBECONFIG", &parts.bed.kubeconfig)
        .env("VAULT_ADDR", &parts.bed.vault_url)
        .env("VAULT_TOKEN", bed::vault::ROOT_TOKEN)
        .status()?;
    if status.success() { Ok(()) } else { bail!("the shell ended with {status}") }
}

fn doctor() -> Result<()> {
    cache::check_machine()?;
    say("✓ Rust, Python, Git and a C compiler are there");
    say(if namespaces::possible() {
        "✓ namespaces: nothing outlives the bed"
    } else {
        "! no namespaces: plain loopback, and tests that need the Service proxy are skipped"
    });
    say(format!("  cache: {}", Cache::open()?.root().display()));
    Ok(())
}

/// The checkout that this program was built from.
fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .components()
        .collect::<PathBuf>()
        .canonicalize()
        .unwrap_or_default()
}

/// Where cargo puts programs.
fn programs() -> PathBuf {
    std::env::current_exe().ok().and_then(|own| Some(own.parent()?.to_owned())).unwrap_or_default()
}

/// Runs a program whose words go to the person.
fn succeed(command: &mut Command) -> Result<()> {
    let name = format!(
        "{} {}",
        command.get_program().display(),
        command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    );
    let status = command.status().with_context(|| format!("cannot start {name}"))?;
    if status.success() { Ok(()) } else { bail!("`{name}` failed") }
}
