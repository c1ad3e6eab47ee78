//! What is asked on a terminal: `script` gives the command one.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// A command at a terminal: what it says is waited for, what is typed comes after that.
struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    fn open(folder: &Path, line: &str) -> Self {
        Self::run(folder, &format!("{} {line}", env!("CARGO_BIN_EXE_seal")))
    }

    fn run(folder: &Path, line: &str) -> Self {
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", line, "/dev/null"])
            .current_dir(folder)
            .env("HOME", "/nonexistent")
            .env("NO_COLOR", "1")
            .env("SHELL", "/bin/sh")
            .env_remove("KUBECONFIG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, screen) = channel();
        let mut output = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut part) {
                if sender.send(part[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        let keyboard = child.stdin.take().unwrap();
        Self { child, keyboard, screen, seen: String::new() }
    }

    /// Waits until the screen shows a text that was not there when something was typed last.
    fn expect(&mut self, text: &str) -> &mut Self {
        let started = Instant::now();
        while !self.seen.contains(text) {
            assert!(started.elapsed() < PATIENCE, "no {text:?} in:\n{}", self.seen);
            if let Ok(part) = self.screen.recv_timeout(Duration::from_millis(100)) {
                self.seen += &String::from_utf8_lossy(&part);
            }
        }
        self
    }

    fn type_line(&mut self, text: &str) -> &mut Self {
        self.seen.clear();
        // The prompt is shown a moment before the echo is off.
        std::thread::sleep(Duration::from_millis(200));
        self.keyboard.write_all(format!("{text}\n").as_bytes()).unwrap();
        self
    }

    fn end(mut self) -> (i32, String) {
        let status = self.child.wait().unwrap();
        while let Ok(part) = self.screen.recv_timeout(Duration::from_millis(100)) {
            self.seen += &String::from_utf8_lossy(&part);
        }
        (status.code().unwrap(), self.seen)
    }
}

fn keys() -> String {
    format!("{}/tests/recorded/keys", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_first_secret_is_asked_for_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("new db-login -n shop --cert {}/a2048.crt -w db.yaml", keys());
    let mut terminal = Terminal::open(folder.path(), &line);
    terminal.expect("db-login in shop, scope strict (name and namespace are locked in)");
    terminal.expect("key: ").type_line("username");
    terminal.expect("username (hidden)").type_line("tide-and-time");
    terminal.expect("········").expect("13 bytes").expect("next key (empty to finish): ");
    assert!(!terminal.seen.contains("tide-and-time"), "{}", terminal.seen);
    terminal.type_line("password");
    terminal.expect("password (hidden)").type_line("a value that is longer");
    terminal.expect("password: ········  (22 bytes)").expect("next key (empty to finish): ").type_line("");
    let (code, seen) = terminal.end();
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains("sealed 2 items for "), "{seen}");
    let written = std::fs::read_to_string(folder.path().join("db.yaml")).unwrap();
    assert!(written.contains("username: AQ") && !written.contains("tide-and-time"), "{written}");
}

#[test]
fn values_come_back_in_a_disaster_and_only_after_the_files_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("value"), "tide-and-time").unwrap();
    let made = Command::new(env!("CARGO_BIN_EXE_seal"))
        .args(["new", "db", "-n", "shop", "--from-file", "user=value", "-w", "db.yaml", "--cert"])
        .arg(format!("{}/a2048.crt", keys()))
        .current_dir(folder.path())
        .status()
        .unwrap();
    assert!(made.success());
    let line = format!("recover --key {}/a2048.key db.yaml", keys());

    let mut wrong = Terminal::open(folder.path(), &line);
    wrong.expect("Type the file name").type_line("yes");
    let (code, seen) = wrong.end();
    assert!(code != 0 && seen.contains("nothing was shown"), "{seen}");

    let mut right = Terminal::open(folder.path(), &line);
    right.expect("this prints secret values").type_line("db.yaml");
    right.expect("user: (press Enter to show").type_line("").expect("tide-and-time");
    // It is taken from the screen again.
    right.expect("\u{1b}[J");
    assert_eq!(right.end().0, 0);

    let piped = Command::new(env!("CARGO_BIN_EXE_seal"))
        .args(["recover", "--key", &format!("{}/a2048.key", keys()), "db.yaml"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(piped.status.code(), Some(2));
    assert!(piped.stdout.is_empty(), "a pipe gets no values");
}

#[test]
fn a_terminal_that_goes_away_ends_it_and_nothing_is_written() {
    for (name, typed) in
        [("at the first key", &[][..]), ("at a value", &["username"]), ("at the next key", &["username", "tide"])]
    {
        let folder = tempfile::tempdir().unwrap();
        // As under `nohup`: no signal ends it.
        let line = format!(
            "sh -c 'trap \"\" HUP; echo $$ > pid.tmp; mv pid.tmp pid; exec {} new db -n shop --cert {}/a2048.crt -w db.yaml'",
            env!("CARGO_BIN_EXE_seal"),
            keys()
        );
        let mut terminal = Terminal::run(folder.path(), &line);
        terminal.expect("key: ");
        for (typed, next) in typed.iter().zip(["(hidden): ", "next key"]) {
            terminal.type_line(typed).expect(next);
        }
        let process = std::fs::read_to_string(folder.path().join("pid")).unwrap();
        let process = Path::new("/proc").join(process.trim());
        assert!(process.exists(), "{name}");
        terminal.child.kill().unwrap();
        terminal.child.wait().unwrap();
        let started = Instant::now();
        // What nobody waits for any more stays as a zombie where there is no init.
        let runs = || std::fs::read_to_string(process.join("stat")).is_ok_and(|stat| !stat.contains(") Z "));
        while runs() {
            assert!(started.elapsed() < PATIENCE, "{name}: it still runs");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(!folder.path().join("db.yaml").exists(), "{name}");
    }
}
