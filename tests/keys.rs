//! Sealing keys: born once, never at the wrong moment, followed live.

use bed::cluster::PATIENCE;
use bed::{Bed, Tenant};
use serde_json::{Value, json};

use crate::support::{CANARY, certificate, condition, seal, secret, value};

const ONLY: [&str; 1] = ["--controllers=sealed-secrets"];
const LABEL: &str = "sealedsecrets.bitnami.com/sealed-secrets-key";

async fn keys(tenant: &Tenant) -> Vec<Value> {
    let all = tenant.cluster.list("v1 Secret", &tenant.keys).await.unwrap();
    all.into_iter().filter(|secret| secret["metadata"]["labels"][LABEL] == "active").collect()
}

#[tokio::test]
async fn a_key_is_made_on_first_start_as_the_reference_makes_it_and_used_afterwards() {
    let tenant = Bed::attach().unwrap().tenant("birth").await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let running = operator.start().unwrap();
    let first = std::fs::read(certificate(&tenant, &operator.url).await).unwrap();
    let made = keys(&tenant).await;
    assert_eq!(made.len(), 1);
    let name = made[0]["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("sealed-secrets-key") && name.len() == 23, "{name}");
    assert_eq!(made[0]["type"], "kubernetes.io/tls");
    assert!(value(&made[0], "tls.key").starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    assert_eq!(value(&made[0], "tls.crt").as_bytes(), first);
    running.kill();
    let _running = operator.start().unwrap();
    assert_eq!(std::fs::read(certificate(&tenant, &operator.url).await).unwrap(), first);
    assert_eq!(keys(&tenant).await.len(), 1, "an existing key is used");
}

#[tokio::test]
async fn no_key_is_made_while_objects_need_a_lost_one_until_somebody_asks() {
    let tenant = Bed::attach().unwrap().tenant("lost").await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let running = operator.start().unwrap();
    let pem = certificate(&tenant, &operator.url).await;
    let plain = secret(&tenant.work, "db", &json!({ "password": CANARY }));
    tenant.cluster.apply_object(&seal(&tenant.bed.seal, &pem, &plain, &[])).await.unwrap();
    let place = ("bitnami.com/v1alpha1 SealedSecret", tenant.work.as_str(), "db");
    tenant.cluster.wait_for("synced", place, PATIENCE, |object| condition(object, "Synced", "True")).await.unwrap();
    assert!(running.stop());
    let lost = keys(&tenant).await.remove(0);
    tenant.cluster.delete("v1 Secret", &tenant.keys, lost["metadata"]["name"].as_str().unwrap()).await.unwrap();

    let running = operator.start().unwrap();
    let record = ("v1 ConfigMap", tenant.keys.as_str(), "chancery-sealing-key");
    let started = std::time::Instant::now();
    loop {
        let answer = reqwest::get(format!("{}/v1/cert.pem", operator.url)).await.unwrap();
        assert_eq!(answer.status(), 503);
        let words = answer.text().await.unwrap();
        if words.contains("kubectl annotate configmap chancery-sealing-key") {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{words}\n{}", running.tail(20));
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(keys(&tenant).await.is_empty());
    let events = tenant.cluster.events(&tenant.keys, "chancery-sealing-key").await.unwrap();
    assert!(events.iter().any(|event| event.starts_with("Warning KeyMissing")), "{events:?}");
    let kept = tenant.cluster.get("v1 Secret", &tenant.work, "db").await.unwrap();
    assert_eq!(value(&kept, "password"), CANARY, "what runs goes on running");

    let ask = json!({ "metadata": { "annotations": { "chancery.dev/generate-key": "true" } } });
    tenant.cluster.patch(record.0, record.1, record.2, &ask).await.unwrap();
    certificate(&tenant, &operator.url).await;
    assert_eq!(keys(&tenant).await.len(), 1);
}

#[tokio::test]
async fn a_key_that_appears_wakes_what_waited_and_a_bad_one_harms_nobody() {
    let tenant = Bed::attach().unwrap().tenant("wake").await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let _running = operator.start().unwrap();
    certificate(&tenant, &operator.url).await;
    let folder = tenant.bed.checkout.join("cli/tests/vectors/keys");
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let plain = secret(&tenant.work, "db", &json!({ "password": CANARY }));
    let sealed = seal(&tenant.bed.seal, &folder.join("k3072-pkcs8.crt"), &plain, &[]);
    tenant.cluster.apply_object(&sealed).await.unwrap();
    let place = ("bitnami.com/v1alpha1 SealedSecret", tenant.work.as_str(), "db");
    let waits = |object: &Value| condition(object, "Synced", "False");
    tenant.cluster.wait_for("it waits for a key", place, PATIENCE, waits).await.unwrap();

    let key_secret = |name: &str, private: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": name, "namespace": tenant.keys, "labels": { LABEL: "active" } },
            "stringData": { "tls.crt": read("k3072-pkcs8.crt"), "tls.key": private },
        })
    };
    tenant.cluster.apply_object(&key_secret("half", "-----BEGIN PRIVATE KEY-----\nAAAA\n")).await.unwrap();
    tenant.cluster.apply_object(&key_secret("mine", &read("k3072-pkcs8.key"))).await.unwrap();
    let opens = |object: &Value| condition(object, "Synced", "True");
    tenant.cluster.wait_for("the key wakes it", place, PATIENCE, opens).await.unwrap();
    let events = tenant.cluster.events(&tenant.keys, "half").await.unwrap();
    assert!(events.iter().any(|event| event.starts_with("Warning InvalidKey")), "{events:?}");
}
