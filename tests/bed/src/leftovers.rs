//! Whether a bed that was interrupted or killed leaves anything behind.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bed::say;
use rustix::process::{Pid, Signal, kill_process};

/// Environment variable by which the processes of one bed are known: children inherit it.
const MARK: &str = "CHANCERY_BED_MARK";
/// How long the last of them may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Starts a bed on plain loopback and ends it by each signal, then one inside namespaces.
pub(crate) fn check() -> Result<()> {
    for (verb, signal, name) in [
        ("up", Signal::INT, "interrupted"),
        ("up", Signal::KILL, "killed"),
        ("shell", Signal::KILL, "killed inside namespaces"),
    ] {
        if verb == "shell" && !bed::namespaces::possible() {
            continue;
        }
        let folder = tempfile::tempdir()?;
        let mark = format!("{}-{}", std::process::id(), folder.path().display());
        let mut child = start(verb, folder.path(), &mark)?;
        let pid = Pid::from_raw(i32::try_from(child.id())?).context("no process id")?;
        kill_process(pid, signal)?;
        child.wait()?;
        let started = Instant::now();
        loop {
            let (processes, files) = (marked(&mark), std::fs::read_dir(folder.path())?.count());
            if processes.is_empty() && files == 0 {
                break;
            }
            ensure!(
                started.elapsed() < PATIENCE,
                "a bed that was {name} leaves {files} folders and the processes {processes:?}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        say(format!("  {name}: nothing is left after {:.1} s", started.elapsed().as_secs_f32()));
    }
    Ok(())
}

/// Starts `cargo bed VERB` and waits until its servers are up.
fn start(verb: &str, folder: &Path, mark: &str) -> Result<Child> {
    // In place of a person's shell: it says that it is there, and waits.
    let shell = folder.with_extension("sh");
    std::fs::write(&shell, "#!/bin/sh\necho Ctrl-C ends it >&2\nexec sleep 600\n")?;
    std::fs::set_permissions(&shell, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    // Not `current_exe`: a build in between may have put another file under this program's name.
    let own = std::env::args_os().next().context("cannot find this program")?;
    let mut child = Command::new(own)
        .arg(verb)
        .env("TMPDIR", folder)
        .env("SHELL", &shell)
        .env(MARK, mark)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stderr.take().context("no words")?).lines();
    let mut heard = Vec::new();
    while let Some(Ok(line)) = lines.next() {
        if line.contains("Ctrl-C ends it") {
            // Whoever still talks into the pipe must not die of it before the signal.
            std::thread::spawn(move || lines.for_each(drop));
            let _ = std::fs::remove_file(shell);
            return Ok(child);
        }
        heard.push(line);
    }
    let _ = child.kill();
    anyhow::bail!("`cargo bed {verb}` does not start:\n{}", heard.join("\n"))
}

/// Processes that carry the mark.
fn marked(mark: &str) -> Vec<String> {
    let wanted = format!("{MARK}={mark}");
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter(|process| {
            std::fs::read(process.path().join("environ")).is_ok_and(|environment| {
                environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
            })
        })
        .map(|process| std::fs::read_to_string(process.path().join("comm")).unwrap_or_default().trim().to_owned())
        .collect()
}
