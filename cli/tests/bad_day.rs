//! Machines on a bad day: nothing is half written, nothing is left behind, nothing waits for ever.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

mod support;

use support::{CANARY, at, command, keys, names, seal, sealed, words};

const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for something to become true.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{what} in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn ended(child: &mut Child) -> ExitStatus {
    until("it ends", || child.try_wait().unwrap())
}

fn kill(signal: &str, process: u32) {
    Command::new("kill").args([&format!("-{signal}"), &process.to_string()]).stderr(Stdio::null()).status().unwrap();
}

/// A shell's line, in which `$SEAL` is the command.
fn shell(folder: &Path, line: &str) -> Output {
    let mut sh = Command::new("sh");
    sh.args(["-c", line]).env("SEAL", env!("CARGO_BIN_EXE_seal"));
    at(folder, sh).output().unwrap()
}

#[test]
fn an_editor_that_is_interrupted_leaves_no_copy() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129), ("QUIT", 130)] {
        let folder = tempfile::tempdir().unwrap();
        let before = sealed(folder.path());
        // It has written, and would go on for long.
        let editor = format!(
            "echo 'new: {CANARY}' >> \"$1\"\ncp \"$1\" \"$1.swp\"\necho \"$1 $$\" > told.tmp\nmv told.tmp told\nexec sleep 600\n"
        );
        std::fs::write(folder.path().join("editor.sh"), editor).unwrap();
        let mut child = command(folder.path(), &["edit", "db.yaml", "--on-disk"])
            .env("EDITOR", "exec sh editor.sh")
            .spawn()
            .unwrap();
        let told = until("the editor runs", || std::fs::read_to_string(folder.path().join("told")).ok());
        let (copy, editor) = told.trim().rsplit_once(' ').unwrap();
        let copy = PathBuf::from(copy);
        assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
        kill(signal, child.id());
        assert_eq!(ended(&mut child).code(), Some(code), "{signal}");
        assert!(!copy.parent().unwrap().exists(), "{signal}: {} is left", copy.display());
        assert_eq!(std::fs::read_to_string(folder.path().join("db.yaml")).unwrap(), before, "{signal}");
        let editor = Path::new("/proc").join(editor);
        assert!(!Path::new("/proc/self").exists() || !editor.exists(), "{signal}: the editor still runs");
        assert_eq!(names(folder.path()), ["db.yaml", "editor.sh", "told"], "{signal}");
    }
}

#[test]
fn ctrl_c_in_an_editor_that_goes_on_is_the_editors() {
    let folder = tempfile::tempdir().unwrap();
    sealed(folder.path());
    let editor = "trap '' INT\ntouch ready\nwhile [ ! -e go ]; do sleep 0.05; done\necho 'new: tide' >> \"$1\"\n";
    std::fs::write(folder.path().join("editor.sh"), editor).unwrap();
    let mut child =
        command(folder.path(), &["edit", "db.yaml", "--on-disk"]).env("EDITOR", "exec sh editor.sh").spawn().unwrap();
    until("the editor runs", || folder.path().join("ready").exists().then_some(()));
    kill("INT", child.id());
    std::thread::sleep(Duration::from_millis(200));
    assert!(child.try_wait().unwrap().is_none());
    std::fs::write(folder.path().join("go"), "").unwrap();
    assert!(ended(&mut child).success());
    assert!(std::fs::read_to_string(folder.path().join("db.yaml")).unwrap().contains("    new: AQ"));
}

#[test]
fn a_write_that_is_interrupted_leaves_the_old_file_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    // Long enough to be caught in the middle: what `--fetch-cert` gets, it writes.
    let large = std::fs::read_to_string(format!("{}/a2048.crt", keys())).unwrap() + &"#".repeat(60_000_000);
    std::fs::write(folder.path().join("large.pem"), &large).unwrap();
    std::fs::write(folder.path().join("out.pem"), "as it was").unwrap();
    let mut caught = 0;
    for _ in 0..50 {
        let mut child =
            command(folder.path(), &["--fetch-cert", "--cert", "large.pem", "-w", "out.pem"]).spawn().unwrap();
        let draft = folder.path().join(format!(".out.pem.{}.tmp", child.id()));
        until("it writes or is done", || (draft.exists() || child.try_wait().unwrap().is_some()).then_some(()));
        kill("TERM", child.id());
        let status = ended(&mut child);
        assert_eq!(names(folder.path()), ["large.pem", "out.pem"], "{status}");
        let written = std::fs::read_to_string(folder.path().join("out.pem")).unwrap();
        assert!(written == "as it was" || written == large, "half of it: {}", written.len());
        assert!(matches!(status.code(), Some(0 | 143)) || status.signal() == Some(15), "{status}");
        caught += usize::from(status.code() == Some(143) && written == "as it was");
        std::fs::write(folder.path().join("out.pem"), "as it was").unwrap();
        if caught > 2 {
            return;
        }
    }
    assert!(caught > 0, "no write was caught in the middle");
}

#[test]
fn a_full_disk_is_told_and_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let before = sealed(folder.path());
    let plain = format!("kind: Secret\nmetadata: {{name: x, namespace: shop}}\nstringData: {{k: {CANARY}}}\n");
    std::fs::write(folder.path().join("plain.yaml"), &plain).unwrap();
    let there = names(folder.path());
    for (line, code) in [
        ("set db.yaml a --generate hex:8", 3),
        ("unset db.yaml a", 3),
        ("rename db.yaml --key a=b", 3),
        ("new x -n shop --generate a=hex:8 -w x.yaml", 3),
        ("file plain.yaml --in-place", 3),
        ("file plain.yaml -w x.yaml", 3),
        ("guard allow plain.yaml:3 --reason example", 3),
        ("edit db.yaml --on-disk", 2),
        ("-f plain.yaml -w x.yaml", 1),
        ("-f plain.yaml --merge-into db.yaml", 1),
        ("--fetch-cert -w x.pem", 1),
    ] {
        // No file may grow: to whoever writes, the disk is full.
        let output = shell(folder.path(), &format!("trap '' XFSZ; ulimit -f 0; exec \"$SEAL\" {line}"));
        assert_eq!(output.status.code(), Some(code), "{line}: {}", words(&output));
        assert!(
            words(&output).contains("cannot write") || words(&output).contains("private copy"),
            "{line}: {}",
            words(&output)
        );
        assert!(!words(&output).contains(CANARY), "{line}");
        assert_eq!(names(folder.path()), there, "{line}");
        assert_eq!(std::fs::read_to_string(folder.path().join("db.yaml")).unwrap(), before, "{line}");
        assert_eq!(std::fs::read_to_string(folder.path().join("plain.yaml")).unwrap(), plain, "{line}");
    }
    if Path::new("/dev/full").exists() {
        for (line, code) in
            [("new x -n shop --generate a=hex:8", 3), ("show db.yaml", 3), ("-f plain.yaml", 1), ("schema", 3)]
        {
            let output = shell(folder.path(), &format!("exec \"$SEAL\" {line} > /dev/full"));
            assert_eq!(output.status.code(), Some(code), "{line}: {}", words(&output));
        }
    }
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    sealed(folder.path());
    for line in [
        &["explain"][..],
        &["new", "x", "-n", "shop", "--generate", "a=hex:8"],
        &["show", "db.yaml"],
        &["show", "db.yaml", "-o", "json"],
        &["schema"],
        &["completion", "bash"],
        &["--version"],
        &["--fetch-cert"],
    ] {
        let mut child = command(folder.path(), line).stderr(Stdio::null()).spawn().unwrap();
        drop(child.stdout.take());
        assert!(ended(&mut child).success(), "{line:?}");
        // Nor is nobody to talk to.
        let mut child = command(folder.path(), line).stdout(Stdio::null()).spawn().unwrap();
        drop(child.stderr.take());
        assert!(ended(&mut child).success(), "{line:?}");
    }
}

#[test]
fn a_file_that_changes_underneath_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let before = sealed(folder.path());
    let file = folder.path().join("db.yaml");
    assert!(Command::new("mkfifo").arg(folder.path().join("value")).status().unwrap().success());
    for line in [&["set", "db.yaml", "a", "--from-file", "value"][..], &["edit", "db.yaml", "--on-disk"]] {
        let mut verb = command(folder.path(), line);
        let mut child = verb.env("EDITOR", "cat value >").spawn().unwrap();
        // It asks for the value: the file was read.
        let mut value = std::fs::OpenOptions::new().write(true).open(folder.path().join("value")).unwrap();
        let other = format!("{before}# somebody else\n");
        std::fs::write(&file, &other).unwrap();
        value.write_all(b"a: tide-and-time\n").unwrap();
        drop(value);
        let status = ended(&mut child);
        let output = child.wait_with_output().unwrap();
        assert_eq!(status.code(), Some(3), "{line:?}: {}", words(&output));
        assert!(words(&output).contains("E0109") && !words(&output).contains("tide"), "{}", words(&output));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), other);
        assert_eq!(names(folder.path()), ["db.yaml", "value"]);
        std::fs::write(&file, &before).unwrap();
    }
}

#[test]
fn a_hundred_thousand_files_are_walked_in_bounded_time_and_memory() {
    const FOLDERS: usize = 100;
    const FILES: usize = 1_000;
    let folder = tempfile::tempdir().unwrap();
    let text = sealed(folder.path());
    for number in 0..FOLDERS {
        let place = folder.path().join(format!("team-{number}"));
        std::fs::create_dir(&place).unwrap();
        // One file under many names; a folder of its own each, as no file may have that many.
        let first = place.join("0.yaml");
        std::fs::write(&first, if number == 7 { text.as_str() } else { "kind: ConfigMap\n" }).unwrap();
        for name in 1..FILES {
            std::fs::hard_link(&first, place.join(format!("{name}.yaml"))).unwrap();
        }
    }
    let started = Instant::now();
    let output = shell(folder.path(), "ulimit -v 1000000; exec \"$SEAL\" check --strict");
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    let said = "1001 SealedSecrets with 1001 items in 100001 files: nothing wrong";
    assert!(words(&output).contains(said), "{}", words(&output));
    assert!(started.elapsed() < Duration::from_secs(120), "{:?}", started.elapsed());
    let output = seal(folder.path(), &["guard", "run"], b"");
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
}

#[test]
fn modes_and_links_stay() {
    let folder = tempfile::tempdir().unwrap();
    sealed(folder.path());
    let file = folder.path().join("db.yaml");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    symlink("db.yaml", folder.path().join("link.yaml")).unwrap();
    let output = seal(folder.path(), &["set", "link.yaml", "a", "--generate", "hex:8"], b"");
    assert!(output.status.success(), "{}", words(&output));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(std::fs::symlink_metadata(folder.path().join("link.yaml")).unwrap().is_symlink());
}
