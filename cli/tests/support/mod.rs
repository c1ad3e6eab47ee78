//! The command in a folder of its own, with a certificate and no cluster.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

pub(crate) const CANARY: &str = "canary-in-the-input";

pub(crate) fn keys() -> String {
    format!("{}/tests/recorded/keys", env!("CARGO_MANIFEST_DIR"))
}

/// `seal`, ready to be started.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seal"));
    command.args(arguments);
    at(folder, command)
}

/// Any program, in the same surroundings.
pub(crate) fn at(folder: &Path, mut command: Command) -> Command {
    command
        .current_dir(folder)
        .env("SEALED_SECRETS_CERT", format!("{}/a2048.crt", keys()))
        .env("HOME", "/nonexistent")
        .env("EDITOR", "printf 'added: value\\n' >>")
        .env_remove("VISUAL")
        .env_remove("KUBECONFIG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn seal(folder: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = command(folder, arguments).stdin(Stdio::piped()).spawn().unwrap();
    // Who refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

pub(crate) fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A SealedSecret in `db.yaml`.
pub(crate) fn sealed(folder: &Path) -> String {
    let made = seal(folder, &["-q", "new", "db", "-n", "shop", "--generate", "a=hex:8", "-w", "db.yaml"], b"");
    assert!(made.status.success(), "{}", words(&made));
    std::fs::read_to_string(folder.join("db.yaml")).unwrap()
}

/// What is in a folder, by name.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
