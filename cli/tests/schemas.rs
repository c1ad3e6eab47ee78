//! What `-o json` prints is what `seal schema` says. `keys` and `key-usage` need a cluster: `tests/seal.rs` of the operator.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

mod shape;

fn run(program: &str, folder: &Path, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("HOME", "/nonexistent")
        .env_remove("KUBECONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn seal(folder: &Path, arguments: &[&str]) -> Output {
    run(env!("CARGO_BIN_EXE_seal"), folder, arguments)
}

fn printed(folder: &Path, arguments: &[&str]) -> Value {
    let output = seal(folder, arguments);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| unreachable!("{arguments:?}: {output:?}"))
}

/// A repository in which every verb has something to say: sealed well, copied, broken, readable.
fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (place, keys) = (folder.path(), format!("{}/tests/recorded/keys", env!("CARGO_MANIFEST_DIR")));
    std::fs::write(place.join(".seal.toml"), "profile = \"prod\"\n[profiles.prod]\ncert = \"prod.pem\"\n").unwrap();
    std::fs::copy(format!("{keys}/a2048.crt"), place.join("prod.pem")).unwrap();
    let made =
        seal(place, &["new", "db", "-n", "shop", "--generate", "a=hex:8", "--generate", "b=hex:8", "-w", "db.yaml"]);
    assert!(made.status.success(), "{made:?}");
    run("git", place, &["init", "--quiet"]);
    run("git", place, &["add", "db.yaml"]);
    let who = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
    let committed = run("git", place, &[&who[..], &["commit", "--quiet", "--message=first"]].concat());
    assert!(committed.status.success(), "{committed:?}");
    assert!(seal(place, &["set", "db.yaml", "c", "--generate", "hex:8"]).status.success());
    assert!(seal(place, &["unset", "db.yaml", "a"]).status.success());
    let text = std::fs::read_to_string(place.join("db.yaml")).unwrap();
    std::fs::write(place.join("copied.yaml"), text.replace("name: db", "name: other")).unwrap();
    std::fs::write(place.join("foreign.yaml"), text.replace("chancery.dev/sealed", "example.com/x")).unwrap();
    std::fs::write(place.join("broken.yaml"), "kind: SealedSecret\nspec: [\n").unwrap();
    std::fs::write(place.join("plain.yaml"), "kind: Secret\nmetadata: {name: x}\nstringData: {k: tide-and-time}\n")
        .unwrap();
    folder
}

#[test]
fn what_each_verb_prints_has_the_shape_of_its_schema() {
    let folder = repository();
    for (name, list, least, arguments) in [
        ("check", "findings", 3, &["check", "--strict", "-o", "json"][..]),
        ("guard", "findings", 1, &["guard", "run", "plain.yaml", "-o", "json"]),
        ("show", "items", 2, &["show", "db.yaml", "foreign.yaml", "-o", "json"]),
        ("diff", "items", 1, &["diff", "db.yaml", "--git", "HEAD", "-o", "json"]),
        ("certificates", "items", 1, &["cert", "show", "-o", "json"]),
    ] {
        let (schema, value) = (printed(folder.path(), &["schema", name]), printed(folder.path(), arguments));
        assert!(value[list].as_array().unwrap().len() >= least, "{name}: {value:#}");
        assert_eq!(shape::mismatch(&schema, &value), None, "{name}: {value:#}");
        // The schema says something: without one of its fields, or with another type in it, the value does not fit.
        for field in schema["properties"][list]["items"]["required"].as_array().unwrap() {
            let mut other = value.clone();
            other[list][0].as_object_mut().unwrap().remove(field.as_str().unwrap());
            assert!(shape::mismatch(&schema, &other).is_some(), "{name}: {field}");
            other[list][0][field.as_str().unwrap()] = json!({ "of": "another type" });
            assert!(shape::mismatch(&schema, &other).is_some(), "{name}: {field}");
        }
    }
    let changes = printed(folder.path(), &["diff", "db.yaml", "--git", "HEAD", "-o", "json"]);
    assert_eq!(changes["items"][0]["changes"].as_array().unwrap().len(), 2, "{changes:#}");
}

#[test]
fn an_expired_certificate_is_a_finding_of_the_schema() {
    let folder = repository();
    let expired = format!("{}/tests/recorded/keys/expired.crt", env!("CARGO_MANIFEST_DIR"));
    let value = printed(folder.path(), &["check", "db.yaml", "-o", "json", "--cert", &expired]);
    assert_eq!((&value["findings"][0]["code"], &value["findings"][0]["file"]), (&json!("E0402"), &Value::Null));
    assert_eq!(shape::mismatch(&printed(folder.path(), &["schema", "check"]), &value), None);
}

#[test]
fn a_sealed_secret_has_the_shape_of_its_schema() {
    let folder = repository();
    let schema = printed(folder.path(), &["schema"]);
    let text = std::fs::read_to_string(folder.path().join("db.yaml")).unwrap();
    let object = seal::manifest::documents(&text).unwrap().remove(0);
    assert_eq!(shape::mismatch(&schema, &object), None);
    let mut other = object.clone();
    other["spec"]["encryptedData"]["b"] = json!(7);
    assert!(shape::mismatch(&schema, &other).is_some());
}
