//! `cargo bed bench seal`: the command as people wait for it, process start to end.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bed::say;

use super::spread;

/// Runs of what takes milliseconds.
const RUNS: usize = 50;
/// Files of the tree, as a monorepo of manifests has them; every tenth is a SealedSecret.
const FILES: usize = 5_000;

pub(crate) fn run(folder: &Path, seal: &Path, kubeseal: &Path) -> Result<()> {
    let folder = &folder.join("bench-seal");
    std::fs::create_dir_all(folder)?;
    let certificate = crate::checkout().join("cli/tests/recorded/keys/e4096.crt");
    let secret = folder.join("secret.yaml");
    std::fs::write(&secret, "kind: Secret\nmetadata: {name: db, namespace: shop}\nstringData: {password: tide}\n")?;
    let size = std::fs::metadata(seal)?.len();
    say(format!("size of the program            {:.1} MB", size as f64 / 1e6));
    for (name, program) in [("kubeseal", kubeseal), ("seal", seal)] {
        let sealing = || {
            let mut command = Command::new(program);
            command.arg("--cert").arg(&certificate).arg("-f").arg(&secret);
            command
        };
        say(format!("one Secret, {name:8}           {}, {:.1} MiB", times(RUNS, &sealing)?, peak(&mut sealing())?));
    }
    let file = folder.join("sealed.yaml");
    let mut new = Command::new(seal);
    new.args(["new", "db", "-n", "shop", "--generate", "password=hex:16", "--cert"])
        .arg(&certificate)
        .arg("-w")
        .arg(&file);
    succeed(&mut new)?;
    let set = || {
        let mut command = Command::new(seal);
        command.arg("set").arg(&file).args(["password", "--generate", "hex:16", "--cert"]).arg(&certificate);
        command
    };
    say(format!("one value, seal set            {}", times(RUNS, &set)?));
    let tree = tree(folder, &std::fs::read_to_string(&file)?)?;
    let check = || {
        let mut command = Command::new(seal);
        command.arg("check").arg(&tree).arg("--cert").arg(&certificate);
        command
    };
    say(format!("{FILES} files, seal check        {}, {:.1} MiB", times(10, &check)?, peak(&mut check())?));
    Ok(())
}

/// Manifests of three kilobytes, a tenth of them sealed for their place.
fn tree(folder: &Path, sealed: &str) -> Result<std::path::PathBuf> {
    let tree = folder.join("tree");
    let mut plain = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec:\n".to_owned();
    for number in 0.. {
        if plain.len() >= 3_000 {
            break;
        }
        plain += &format!("  field{number}: {{secretKeyRef: {{name: db-{number}, key: password}}}}\n");
    }
    let padded = format!("{sealed}# {}\n", "-".repeat(3_000_usize.saturating_sub(sealed.len())));
    for number in 0..FILES {
        let folder = tree.join(format!("team-{}", number % 50));
        std::fs::create_dir_all(&folder)?;
        let text = if number % 10 == 0 { &padded } else { &plain };
        std::fs::write(folder.join(format!("{number}.yaml")), text)?;
    }
    Ok(tree)
}

fn times(runs: usize, command: &dyn Fn() -> Command) -> Result<String> {
    let mut times = Vec::new();
    for _ in 0..=runs {
        let started = Instant::now();
        succeed(&mut command())?;
        times.push(started.elapsed());
    }
    // The first one fills the caches.
    let times: Vec<Duration> = times.into_iter().skip(1).collect();
    let mut sorted = times.clone();
    sorted.sort_unstable();
    let median = sorted.get(sorted.len() / 2).context("no runs")?.as_secs_f64() * 1e3;
    Ok(format!("{median:.1} ms ({})", spread(times)))
}

/// Most memory that a run held, in MiB: read while it waits to say its last words, into a pipe that takes no more. (What
/// `wait` tells of a child counts the memory of whoever started it.)
fn peak(command: &mut Command) -> Result<f64> {
    const PIPE: usize = 65_536;
    let (reader, mut writer) = std::io::pipe()?;
    writer.write_all(&[b'\n'; PIPE])?;
    let mut child = command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = None;
    loop {
        std::thread::sleep(Duration::from_millis(300));
        ensure!(child.try_wait()?.is_none(), "it ended without a word");
        let status = std::fs::read_to_string(&status)?;
        let now = status.lines().find_map(|line| line.strip_prefix("VmHWM:").map(ToOwned::to_owned));
        if now.is_some() && now == peak {
            break;
        }
        peak = now;
    }
    child.kill()?;
    child.wait()?;
    drop(reader);
    let peak = peak.context("the kernel tells no peak")?;
    let kilobytes: f64 = peak.trim().trim_end_matches(" kB").parse().context("no peak")?;
    Ok(kilobytes / 1024.0)
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
