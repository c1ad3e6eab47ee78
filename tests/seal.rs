//! `seal` and the real kubeseal, each against the other's controller, as people call them.

use bed::cluster::PATIENCE;
use bed::peer::SealedSecretsController;
use bed::{Bed, Tenant};
use serde_json::{Value, json};

use crate::support::{CANARY, condition, run, secret, stdout, value};

const SEALED: &str = "bitnami.com/v1alpha1 SealedSecret";

async fn becomes_a_secret(tenant: &Tenant, name: &str) {
    let place = (SEALED, tenant.work.as_str(), name);
    let what = format!("{name} is opened");
    tenant.cluster.wait_for(&what, place, PATIENCE, |object| condition(object, "Synced", "True")).await.unwrap();
    let made = tenant.cluster.get("v1 Secret", &tenant.work, name).await.unwrap();
    assert_eq!(value(&made, "password"), CANARY, "{name}");
}

#[tokio::test]
async fn what_seal_seals_the_real_controller_opens() {
    if !bed::namespaces::inside() {
        bed::say("skipped: the reference controller needs the bed's namespaces");
        return;
    }
    let tenant = Bed::attach().unwrap().tenant("peer").await.unwrap();
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
    let peer = SealedSecretsController::start(&tenant, "reference").await.unwrap();
    let certificate = format!("{}/v1/cert.pem", peer.url);
    for scope in ["strict", "namespace-wide", "cluster-wide"] {
        let plain = secret(&tenant.work, scope, &json!({ "password": CANARY }));
        let sealed = run(&tenant, &tenant.bed.seal, &["--cert", &certificate, "--scope", scope], &plain.to_string());
        tenant.cluster.apply_object(&serde_json::from_str(&stdout(&sealed)).unwrap()).await.unwrap();
        becomes_a_secret(&tenant, scope).await;
    }
    // The old form, one value, as scripts call it.
    let raw = ["--cert", &certificate, "--raw", "--name", "raw", "--namespace", &tenant.work];
    let item = stdout(&run(&tenant, &tenant.bed.seal, &raw, CANARY));
    let object = json!({
        "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
        "metadata": { "name": "raw", "namespace": tenant.work },
        "spec": { "encryptedData": { "password": item.trim() } },
    });
    tenant.cluster.apply_object(&object).await.unwrap();
    becomes_a_secret(&tenant, "raw").await;
}

#[tokio::test]
async fn kubeseal_and_seal_find_us_through_the_api_server() {
    if !bed::namespaces::inside() {
        bed::say("skipped: the Service proxy needs the bed's namespaces");
        return;
    }
    // As the overlay `drop-in` installs it: in kube-system, under kubeseal's default names, so no flag is needed.
    let tenant = Bed::attach().unwrap().tenant_from("proxy", "overlays/drop-in").await.unwrap();
    let tenant = Tenant { keys: "kube-system".to_owned(), ..tenant };
    let operator = tenant.operator(&["--controllers=sealed-secrets"]).await.unwrap().reachable().unwrap();
    let _running = operator.start().unwrap();
    tenant.expose(&operator, "sealed-secrets-controller").await.unwrap();
    let mut certificates = Vec::new();
    for (program, name) in [(&tenant.bed.kubeseal, "kubeseal"), (&tenant.bed.seal, "seal")] {
        let started = std::time::Instant::now();
        let certificate = loop {
            let output = run(&tenant, program, &["--fetch-cert"], "");
            // The proxy learns of new Endpoints in its own time.
            if output.status.success() || started.elapsed() > PATIENCE {
                break stdout(&output);
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        };
        assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"), "{name}: {certificate}");
        certificates.push(certificate);
        let plain = secret(&tenant.work, name, &json!({ "password": CANARY }));
        let sealed = stdout(&run(&tenant, program, &["--format", "json"], &plain.to_string()));
        let sealed: Value = serde_json::from_str(&sealed).unwrap();
        tenant.cluster.apply_object(&sealed).await.unwrap();
        becomes_a_secret(&tenant, name).await;
    }
    assert_eq!(certificates[0].trim(), certificates[1].trim());
}
