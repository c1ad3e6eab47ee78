//! Input that nobody should have, and machines on a bad day: a clean refusal with words, no value said, no file harmed.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const CANARY: &str = "canary-in-the-input";

fn certificate() -> String {
    format!("{}/tests/recorded/keys/a2048.crt", env!("CARGO_MANIFEST_DIR"))
}

fn seal(folder: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_seal"))
        .args(arguments)
        .current_dir(folder)
        .env("SEALED_SECRETS_CERT", certificate())
        .env("HOME", "/nonexistent")
        .env_remove("KUBECONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// A SealedSecret in a file.
fn sealed(folder: &Path) -> String {
    let file = folder.join("db.yaml");
    let made = seal(folder, &["-q", "new", "db", "-n", "shop", "--generate", "a=hex:8", "-w", "db.yaml"], b"");
    assert!(made.status.success());
    std::fs::read_to_string(file).unwrap()
}

#[test]
fn whatever_is_in_the_file_the_answer_is_a_refusal_with_its_place() {
    let bomb = (1..30).fold("a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned(), |bomb, n| {
        bomb + &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(","))
    });
    let head = "kind: SealedSecret\nmetadata: {name: x, namespace: shop}\nspec:\n";
    let cases: [(&str, Vec<u8>, i32); 12] = [
        ("twice", format!("{head}  encryptedData: {{k: a, k: {CANARY}}}\n").into(), 3),
        ("alias bomb", format!("{head}  encryptedData: {{}}\n{bomb}").into(), 3),
        ("bottomless", format!("{head}  x: {}", "[".repeat(100_000)).into(), 3),
        ("NUL", format!("{head}  x: \"{CANARY}\0\"\n  y: [\n").into(), 3),
        ("no text", vec![0xff, 0x00, 0x80, 0xc3, 0x28], 3),
        ("UTF-16 cut off", vec![0xff, 0xfe, 0x61], 3),
        ("nothing", Vec::new(), 3),
        ("words", CANARY.into(), 3),
        ("a list", format!("- {CANARY}\n").into(), 3),
        ("a plain Secret", format!("kind: Secret\nstringData: {{k: {CANARY}}}\n").into(), 3),
        ("items that are no map", format!("{head}  encryptedData: {CANARY}\n").into(), 3),
        ("two of them", format!("{head}---\n{head}").into(), 3),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, text, code) in cases {
        let file = folder.path().join("x.yaml");
        std::fs::write(&file, &text).unwrap();
        let started = std::time::Instant::now();
        let output = seal(folder.path(), &["set", "x.yaml", "key", "--generate", "hex:8"], b"");
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{name}: {words}");
        assert!(words.contains("error[E0") && words.contains("x.yaml"), "{name}: {words}");
        assert!(!words.contains(CANARY) && output.stdout.is_empty(), "{name}: {words}");
        assert_eq!(std::fs::read(&file).unwrap(), text, "{name}: the file was touched");
        assert!(started.elapsed().as_secs() < 20, "{name} takes for ever");
    }
}

#[test]
fn keys_and_certificates_that_are_none_are_named() {
    let folder = tempfile::tempdir().unwrap();
    sealed(folder.path());
    let keys = format!("{}/tests/recorded/keys", env!("CARGO_MANIFEST_DIR"));
    for (file, word) in [
        ("a2048.key", "private key"),
        ("a2048.pub", "public key"),
        ("text.crt", "no certificate"),
        ("ec256.key", "private key"),
    ] {
        let place = format!("{keys}/{file}");
        let output = seal(folder.path(), &["set", "db.yaml", "a", "--generate", "hex:8", "--cert", &place], b"");
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{file}: {words}");
        assert!(words.contains(word), "{file}: {words}");
    }
    for (file, code) in [("text.crt", 3), ("nokey.json", 3), ("ec256.key", 3), ("other2048.key", 7)] {
        let place = format!("{keys}/{file}");
        let output =
            seal(folder.path(), &["recover", "db.yaml", "--key", &place, "--yes", "--output-file", "out"], b"");
        assert_eq!(output.status.code(), Some(code), "{file}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!folder.path().join("out").exists());
    }
}

#[test]
fn files_survive_a_bad_day() {
    let folder = tempfile::tempdir().unwrap();
    let before = sealed(folder.path());
    let file = folder.path().join("db.yaml");
    // A directory where a file is meant.
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    let output = seal(folder.path(), &["set", "folder", "a", "--generate", "hex:8"], b"");
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("directory"));
    // A full disk.
    if Path::new("/dev/full").exists() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let status = Command::new(env!("CARGO_BIN_EXE_seal"))
            .args(["new", "x", "-n", "shop", "--generate", "a=hex:8", "--cert", &certificate()])
            .stdout(full)
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(3));
    }
    // A reader that goes away is no failure.
    let mut child = Command::new(env!("CARGO_BIN_EXE_seal"))
        .args(["explain"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    // A file that somebody else writes while the editor is open.
    std::fs::write(
        folder.path().join("editor.sh"),
        "echo '# somebody else' >> db.yaml\necho 'new: canary-in-the-input' >> \"$1\"\n",
    )
    .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_seal"))
        .args(["edit", "db.yaml", "--on-disk", "--cert", &certificate()])
        .current_dir(folder.path())
        .env("EDITOR", "sh editor.sh")
        .env_remove("VISUAL")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("E0109"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{before}# somebody else\n"));
    // Nothing is left behind.
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn large_values_and_odd_encodings_are_no_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let before = sealed(folder.path());
    let file = folder.path().join("db.yaml");
    // 900 kB.
    std::fs::write(folder.path().join("large"), vec![0x61; 900_000]).unwrap();
    let output = seal(folder.path(), &["set", "db.yaml", "large", "--from-file", "large"], b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown = seal(folder.path(), &["show", "db.yaml"], b"");
    assert!(String::from_utf8_lossy(&shown.stdout).contains("900000"));
    // UTF-16 with Windows' line ends, as old PowerShell writes it, and it stays so.
    let text = before.replace('\n', "\r\n");
    let bytes = [&[0xff, 0xfe][..], &text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()].concat();
    std::fs::write(&file, &bytes).unwrap();
    let output = seal(folder.path(), &["set", "db.yaml", "b", "--stdin"], CANARY.as_bytes());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let after = std::fs::read(&file).unwrap();
    let (after, encoding) = seal::Encoding::decode(&after).unwrap();
    assert_eq!(encoding, seal::Encoding::Utf16Low);
    assert!(
        after.lines().count() == text.lines().count() + 1
            && after.matches("\r\n").count() == after.matches('\n').count()
    );
}

#[cfg(unix)]
#[test]
fn modes_and_links_stay() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    sealed(folder.path());
    let file = folder.path().join("db.yaml");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    symlink("db.yaml", folder.path().join("link.yaml")).unwrap();
    let output = seal(folder.path(), &["set", "link.yaml", "a", "--generate", "hex:8"], b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(std::fs::symlink_metadata(folder.path().join("link.yaml")).unwrap().is_symlink());
}
