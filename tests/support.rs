//! What several tests need.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use bed::Tenant;
use bed::cluster::PATIENCE;
use serde_json::{Value, json};

pub(crate) use bed::canary::CANARY;

/// The certificate that an operator serves, in a file.
pub(crate) async fn certificate(tenant: &Tenant, url: &str) -> std::path::PathBuf {
    let started = std::time::Instant::now();
    loop {
        let answer = reqwest::get(format!("{url}/v1/cert.pem")).await.unwrap();
        if answer.status().is_success() {
            assert_eq!(answer.headers()["content-type"], "application/x-pem-file");
            let file = tenant.folder.join("cert.pem");
            std::fs::write(&file, answer.text().await.unwrap()).unwrap();
            return file;
        }
        assert!(started.elapsed() < PATIENCE, "no certificate: {}", answer.text().await.unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Runs `program` (seal or the real kubeseal) over a Secret and returns the SealedSecret.
pub(crate) fn seal(program: &Path, certificate: &Path, secret: &Value, options: &[&str]) -> Value {
    let mut child = Command::new(program)
        .args(["--format", "json", "--cert"])
        .arg(certificate)
        .args(options)
        .env("HOME", "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(secret.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs `program` with `input`, without any configuration of the machine but the bed's kubeconfig.
pub(crate) fn run(tenant: &Tenant, program: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(program)
        .args(arguments)
        .env("KUBECONFIG", &tenant.bed.kubeconfig)
        .env("HOME", "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// What a program said that went well.
pub(crate) fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A plain Secret.
pub(crate) fn secret(namespace: &str, name: &str, values: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "namespace": namespace, "name": name }, "stringData": values,
    })
}

/// A service account that may do what the reference does.
pub(crate) async fn reference_account(tenant: &Tenant) {
    let account = json!({ "name": "reference", "namespace": tenant.work });
    for object in [
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": account }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": account,
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
            "subjects": [{ "kind": "ServiceAccount", "name": "reference", "namespace": tenant.work }],
        }),
    ] {
        tenant.cluster.apply_object(&object).await.unwrap();
    }
}

/// One value of a Secret, decoded.
pub(crate) fn value(secret: &Value, key: &str) -> String {
    use base64::Engine;
    let text = secret["data"][key].as_str().unwrap_or_default();
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).unwrap()).unwrap()
}

/// Whether a condition has this status.
pub(crate) fn condition(object: &Value, kind: &str, status: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| condition["type"] == kind && condition["status"] == status)
}

/// The message of a condition.
pub(crate) fn message(object: &Value, kind: &str) -> String {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == kind);
    found.and_then(|condition| condition["message"].as_str()).unwrap_or_default().to_owned()
}

/// Waits for an event of an object that begins with these words: it is told after what it tells of.
pub(crate) async fn told(tenant: &Tenant, namespace: &str, name: &str, words: &str) {
    let started = std::time::Instant::now();
    loop {
        let events = tenant.cluster.events(namespace, name).await.unwrap();
        if events.iter().any(|event| event.starts_with(words)) {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "no {words:?} among {events:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
