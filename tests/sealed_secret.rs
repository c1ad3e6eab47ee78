//! SealedSecret → Secret, against the real API server and the real kubeseal.

use std::time::Duration;

use bed::cluster::PATIENCE;
use bed::{Bed, Tenant};
use serde_json::{Value, json};

use crate::support::{CANARY, certificate, condition, message, seal, secret, value};

const SEALED: &str = "bitnami.com/v1alpha1 SealedSecret";
const ONLY: [&str; 1] = ["--controllers=sealed-secrets"];

async fn synced(tenant: &Tenant, name: &str, status: &'static str) -> Value {
    let place = (SEALED, tenant.work.as_str(), name);
    let what = format!("{name} is Synced={status}");
    tenant.cluster.wait_for(&what, place, PATIENCE, |object| condition(object, "Synced", status)).await.unwrap()
}

#[tokio::test]
async fn what_kubeseal_and_seal_sealed_becomes_a_secret_in_every_scope() {
    let tenant = Bed::attach().unwrap().tenant("seal").await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let _running = operator.start().unwrap();
    let certificate = certificate(&tenant, &operator.url).await;
    for (program, who) in [(&tenant.bed.kubeseal, "kubeseal"), (&tenant.bed.seal, "seal")] {
        for scope in ["strict", "namespace-wide", "cluster-wide"] {
            let name = format!("{who}-{scope}");
            let plain = secret(&tenant.work, &name, &json!({ "password": CANARY, "user": "pilot" }));
            let sealed = seal(program, &certificate, &plain, &["--scope", scope]);
            tenant.cluster.apply_object(&sealed).await.unwrap();
        }
    }
    for who in ["kubeseal", "seal"] {
        for scope in ["strict", "namespace-wide", "cluster-wide"] {
            let name = format!("{who}-{scope}");
            let object = synced(&tenant, &name, "True").await;
            assert_eq!(object["status"]["observedGeneration"], object["metadata"]["generation"]);
            let made = tenant.cluster.get("v1 Secret", &tenant.work, &name).await.unwrap();
            assert_eq!(value(&made, "password"), CANARY, "{name}");
            let owner = &made["metadata"]["ownerReferences"][0];
            assert_eq!((&owner["kind"], &owner["controller"]), (&json!("SealedSecret"), &json!(true)), "{name}");
            let events = tenant.cluster.events(&tenant.work, &name).await.unwrap();
            assert!(events.iter().any(|event| event.starts_with("Normal Unsealed")), "{name}: {events:?}");
        }
    }
}

#[tokio::test]
async fn an_edited_or_deleted_secret_comes_back_at_once() {
    let tenant = Bed::attach().unwrap().tenant("heal").await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let _running = operator.start().unwrap();
    let certificate = certificate(&tenant, &operator.url).await;
    let plain = secret(&tenant.work, "db", &json!({ "password": CANARY }));
    tenant.cluster.apply_object(&seal(&tenant.bed.seal, &certificate, &plain, &[])).await.unwrap();
    synced(&tenant, "db", "True").await;
    let place = ("v1 Secret", tenant.work.as_str(), "db");
    let good = |secret: &Value| {
        secret["data"].as_object().is_some_and(|data| data.len() == 1) && value(secret, "password") == CANARY
    };

    let edit =
        json!({ "data": { "password": "aGFuZA==", "extra": "aGFuZA==" }, "metadata": { "labels": { "theirs": "1" } } });
    tenant.cluster.patch(place.0, place.1, place.2, &edit).await.unwrap();
    let healed = tenant.cluster.wait_for("the edit is reverted", place, PATIENCE, good).await.unwrap();
    assert_eq!(healed["metadata"]["labels"]["theirs"], "1", "other people's labels stay");

    tenant.cluster.delete(place.0, place.1, place.2).await.unwrap();
    tenant.cluster.wait_for("the Secret is back", place, PATIENCE, good).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_opened_says_so_keeps_the_last_good_secret_and_lets_the_others_go_on() {
    let tenant = Bed::attach().unwrap().tenant("bad").await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let running = operator.start().unwrap();
    let certificate = certificate(&tenant, &operator.url).await;
    let seal_it = |name: &str, text: &str| {
        seal(&tenant.bed.seal, &certificate, &secret(&tenant.work, name, &json!({ "password": text })), &[])
    };
    tenant.cluster.apply_object(&seal_it("db", CANARY)).await.unwrap();
    synced(&tenant, "db", "True").await;

    // Sealed for another name: nobody can open it here.
    let mut moved = seal_it("elsewhere", "new");
    moved["metadata"]["name"] = json!("db");
    tenant.cluster.apply_object(&moved).await.unwrap();
    let told = synced(&tenant, "db", "False").await;
    assert_eq!(message(&told, "Synced"), "no key could decrypt secret (password)");
    assert_eq!(told["status"]["observedGeneration"], told["metadata"]["generation"]);
    assert_eq!(told["status"]["chancery"]["failing"], json!(["password"]));
    let events = tenant.cluster.events(&tenant.work, "db").await.unwrap();
    assert!(events.iter().any(|event| event.starts_with("Warning ErrUnsealFailed Failed to unseal")), "{events:?}");
    let kept = tenant.cluster.get("v1 Secret", &tenant.work, "db").await.unwrap();
    assert_eq!(value(&kept, "password"), CANARY, "the last good Secret stays");

    // Objects that are not even of the right shape.
    for (name, items) in [("shape-number", json!({ "password": 7 })), ("shape-base64", json!({ "password": "%%%" }))] {
        let object = json!({
            "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
            "metadata": { "namespace": tenant.work, "name": name }, "spec": { "encryptedData": items },
        });
        // The API server may refuse it, which is as good.
        if tenant.cluster.apply_object(&object).await.is_ok() {
            let told = synced(&tenant, name, "False").await;
            assert!(message(&told, "Synced").starts_with("password cannot be read"), "{name}: {told}");
        }
    }
    tenant.cluster.apply_object(&seal_it("neighbour", CANARY)).await.unwrap();
    synced(&tenant, "neighbour", "True").await;

    tenant.cluster.apply_object(&seal_it("db", "repaired")).await.unwrap();
    synced(&tenant, "db", "True").await;
    let repaired = tenant.cluster.get("v1 Secret", &tenant.work, "db").await.unwrap();
    assert_eq!(value(&repaired, "password"), "repaired");
    assert!(!running.log().contains(CANARY));
}

#[tokio::test]
async fn a_foreign_secret_is_left_alone_until_it_is_given_over() {
    let tenant = Bed::attach().unwrap().tenant("foreign").await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let _running = operator.start().unwrap();
    let certificate = certificate(&tenant, &operator.url).await;
    let foreign = secret(&tenant.work, "db", &json!({ "password": "theirs" }));
    tenant.cluster.apply_object(&foreign).await.unwrap();
    let plain = secret(&tenant.work, "db", &json!({ "password": CANARY }));
    tenant.cluster.apply_object(&seal(&tenant.bed.seal, &certificate, &plain, &[])).await.unwrap();
    let told = synced(&tenant, "db", "False").await;
    assert!(message(&told, "Synced").contains("already exists and is not managed by SealedSecret"), "{told}");
    let events = tenant.cluster.events(&tenant.work, "db").await.unwrap();
    assert!(events.iter().any(|event| event.starts_with("Warning ErrUpdateFailed")), "{events:?}");
    let kept = tenant.cluster.get("v1 Secret", &tenant.work, "db").await.unwrap();
    assert_eq!(value(&kept, "password"), "theirs");

    let adopt = json!({ "metadata": { "annotations": { "sealedsecrets.bitnami.com/managed": "true" } } });
    tenant.cluster.patch("v1 Secret", &tenant.work, "db", &adopt).await.unwrap();
    synced(&tenant, "db", "True").await;
    let taken = tenant.cluster.get("v1 Secret", &tenant.work, "db").await.unwrap();
    assert_eq!(value(&taken, "password"), CANARY);
}

#[tokio::test]
async fn a_restart_over_unchanged_objects_opens_nothing_and_writes_nothing() {
    let tenant = Bed::attach().unwrap().tenant("restart").await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let first = operator.start().unwrap();
    let certificate = certificate(&tenant, &operator.url).await;
    for n in 0..5 {
        let plain = secret(&tenant.work, &format!("db-{n}"), &json!({ "password": CANARY }));
        tenant.cluster.apply_object(&seal(&tenant.bed.seal, &certificate, &plain, &[])).await.unwrap();
    }
    for n in 0..5 {
        synced(&tenant, &format!("db-{n}"), "True").await;
    }
    assert!(first.metric("chancery_key_unwraps_total").await.unwrap() >= 5.0);
    assert!(first.stop());

    let mark = tenant.bed.mark().unwrap();
    let second = operator.start().unwrap();
    let started = std::time::Instant::now();
    while second.metric("chancery_reconciles_total").await.unwrap() < 5.0 {
        assert!(started.elapsed() < PATIENCE, "the backlog is not worked off:\n{}", second.tail(20));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(second.metric("chancery_key_unwraps_total").await.unwrap(), 0.0);
    let writes = mark.writes(&operator.user).unwrap();
    assert!(writes.is_empty(), "{writes:?}");
}
