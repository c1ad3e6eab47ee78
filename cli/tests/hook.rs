//! T12: the guard as Git's own hook.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::{Command, Output};

mod support;

use support::{CANARY, at, seal, words};

fn git(folder: &Path, arguments: &[&str]) -> Output {
    let mut git = Command::new("git");
    // The hook calls `seal` by its name.
    let programs = Path::new(env!("CARGO_BIN_EXE_seal")).parent().unwrap();
    let path = std::env::join_paths(
        [programs.to_owned()].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    git.args(["-c", "user.name=a", "-c", "user.email=a@example.com"]).args(arguments).env("PATH", path.unwrap());
    at(folder, git).output().unwrap()
}

#[test]
fn a_commit_with_a_readable_secret_is_refused_until_it_is_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    assert!(git(place, &["init", "--quiet"]).status.success());
    let installed = seal(place, &["guard", "install"], b"");
    assert!(words(&installed).contains("a commit with a readable Secret is refused"), "{}", words(&installed));
    let plain =
        format!("kind: Secret\nmetadata: {{name: db-login, namespace: shop}}\nstringData:\n  password: {CANARY}\n");
    std::fs::create_dir(place.join("k8s")).unwrap();
    std::fs::write(place.join("k8s/tmp.yaml"), &plain).unwrap();
    git(place, &["add", "k8s"]);
    // What counts is what is staged, not what lies in the work tree by now.
    std::fs::write(place.join("k8s/tmp.yaml"), "kind: ConfigMap\n").unwrap();

    let refused = git(place, &["commit", "--message=add login"]);
    assert!(!refused.status.success());
    for part in [
        "k8s/tmp.yaml:4  Secret/shop/db-login has readable data under stringData.password (19 bytes)",
        "help: seal file k8s/tmp.yaml --in-place",
        "if the value ever left this machine, rotate it.",
    ] {
        assert!(words(&refused).contains(part), "{part}: {}", words(&refused));
    }
    assert!(!words(&refused).contains(CANARY));
    assert!(!git(place, &["log"]).status.success(), "there is no commit");

    std::fs::write(place.join("k8s/tmp.yaml"), &plain).unwrap();
    assert!(seal(place, &["file", "k8s/tmp.yaml", "--in-place"], b"").status.success());
    git(place, &["add", "k8s"]);
    let committed = git(place, &["commit", "--message=add login"]);
    assert!(committed.status.success(), "{}", words(&committed));
    let shown = git(place, &["show", "HEAD"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("SealedSecret") && !shown.contains(CANARY), "{shown}");
}
