//! The real controller and ours hand a namespace to and fro: no Secret is rewritten by us, no password changes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bed::peer::SealedSecretsController;
use bed::{Bed, Tenant};
use seal::Certificate;
use serde_json::{Value, json};

use crate::support::{CANARY, condition, reference_account, secret, value};

const SEALED: &str = "bitnami.com/v1alpha1 SealedSecret";
const ONLY: [&str; 1] = ["--controllers=sealed-secrets"];
const PREFIX: &str = "sealedsecrets.bitnami.com";
/// Two hundred objects on a shared machine.
const LIMIT: Duration = Duration::from_secs(120);

/// A tenant whose namespace of keys is the one it works in, as the real controller has it without a ClusterRole.
pub(crate) async fn tenant(name: &str) -> Tenant {
    let tenant = Bed::attach().unwrap().tenant(name).await.unwrap();
    let tenant = Tenant { work: tenant.keys.clone(), ..tenant };
    reference_account(&tenant).await;
    tenant
}

pub(crate) async fn reference(tenant: &Tenant) -> SealedSecretsController {
    SealedSecretsController::start_with(tenant, "reference", &["--kubeclient-qps=-1"]).await.unwrap()
}

pub(crate) async fn certificate_of(url: &str) -> Certificate {
    let pem = reqwest::get(format!("{url}/v1/cert.pem")).await.unwrap().text().await.unwrap();
    Certificate::from_pem(&pem).unwrap()
}

fn sealed(tenant: &Tenant, certificate: &Certificate, name: &str, template: &Value) -> Value {
    let label = format!("{}/{name}", tenant.work);
    let item = |text: &str| {
        seal::seal_item(&mut rand::rng(), certificate, label.as_bytes(), &text.as_bytes().to_vec().into()).unwrap()
    };
    json!({
        "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
        "metadata": { "name": name, "namespace": tenant.work },
        "spec": { "encryptedData": { "password": item(CANARY), "user": item("pilot") }, "template": template },
    })
}

/// The templates that the objects have, in turn.
fn templates() -> Vec<Value> {
    let annotated = |name: &str| json!({ format!("{PREFIX}/{name}"): "true" });
    vec![
        json!({ "metadata": { "labels": { "app": "shop" }, "annotations": { "note": "x" } }, "type": "Opaque" }),
        json!({ "metadata": {} }),
        json!({ "data": { "url": "https://{{ .user }}:{{ .password }}@db" } }),
        // Rendered differently by 0.36 and 0.40.
        json!({ "data": { "user": "{{ .user | upper }}", "url": "{{ .user }}" } }),
        json!({ "data": { "host": "db", "url": "{{ .host }}/{{ .user }}" } }),
        // Left to chance.
        json!({ "data": { "pin": "{{ randAlphaNum 24 }}", "at": "{{ now | date \"2006\" }}" } }),
        json!({ "type": "basin/lock", "immutable": true }),
        json!({ "metadata": { "annotations": annotated("managed") } }),
        json!({ "metadata": { "annotations": { format!("{PREFIX}/managed"): "true", format!("{PREFIX}/skip-set-owner-references"): "true" } } }),
    ]
}

/// Waits until all SealedSecrets are so.
async fn all_are(tenant: &Tenant, what: &str, wanted: impl Fn(&Value) -> bool) {
    let started = Instant::now();
    loop {
        let objects = tenant.cluster.list(SEALED, &tenant.work).await.unwrap();
        let not: Vec<_> = objects.iter().filter(|object| !wanted(object)).collect();
        let Some(first) = not.first() else { return };
        assert!(started.elapsed() < LIMIT, "{} objects are not {what}: {first}", not.len());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn is_ours(object: &Value) -> bool {
    condition(object, "Synced", "True") && object["status"]["chancery"]["outputs"].is_string()
}

fn is_theirs(object: &Value) -> bool {
    condition(object, "Synced", "True") && object["status"]["chancery"].is_null()
}

/// Version and content of each Secret.
type Secrets = BTreeMap<String, (Value, Value)>;

/// The Secrets of the objects.
async fn secrets(tenant: &Tenant) -> Secrets {
    let all = tenant.cluster.list("v1 Secret", &tenant.work).await.unwrap();
    let ours =
        all.into_iter().filter(|secret| secret["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("o-")));
    let name = |secret: &Value| secret["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    ours.map(|secret| (name(&secret), (secret["metadata"]["resourceVersion"].clone(), secret["data"].clone())))
        .collect()
}

#[tokio::test]
async fn two_hundred_objects_go_to_and_fro_without_a_rewrite_of_ours() {
    const OBJECTS: usize = 200;
    assert!(bed::namespaces::inside(), "the reference controller needs the bed's namespaces: this test must run");
    let tenant = tenant("handover").await;
    let theirs = reference(&tenant).await;
    let certificate = certificate_of(&theirs.url).await;
    let templates = templates();
    for number in 0..OBJECTS {
        let template = &templates[number % templates.len()];
        tenant.cluster.apply_object(&sealed(&tenant, &certificate, &format!("o-{number}"), template)).await.unwrap();
    }
    // A Secret of somebody's, into which items are merged.
    let mut foreign = secret(&tenant.work, "o-merged", &json!({ "mine": "own" }));
    foreign["metadata"]["annotations"] = json!({ format!("{PREFIX}/patch"): "true" });
    tenant.cluster.apply_object(&foreign).await.unwrap();
    tenant.cluster.apply_object(&sealed(&tenant, &certificate, "o-merged", &json!({}))).await.unwrap();
    all_are(&tenant, "opened by the reference", is_theirs).await;
    drop(theirs);
    let before = secrets(&tenant).await;
    assert_eq!(before.len(), OBJECTS + 1);

    let operator = tenant.operator(&ONLY).await.unwrap();
    let mark = tenant.bed.mark().unwrap();
    let ours = operator.start().unwrap();
    all_are(&tenant, "taken over", is_ours).await;
    assert_eq!(rewritten(&before, &secrets(&tenant).await), Vec::<String>::new());
    let writes = mark.writes(&operator.user).unwrap();
    assert!(writes.keys().all(|call| !call.ends_with(" secrets") || call == "create secrets"), "{writes:?}");
    let old = tenant.cluster.get(SEALED, &tenant.work, "o-3").await.unwrap();
    assert!(condition(&old, "OldTemplateRules", "True"), "{old}");

    // Told to, it moves to the new rules: the item wins over the template of its name.
    let order = json!({ "metadata": { "annotations": { "chancery.dev/template-rules": "0.40" } } });
    tenant.cluster.patch(SEALED, &tenant.work, "o-3", &order).await.unwrap();
    let place = ("v1 Secret", tenant.work.as_str(), "o-3");
    tenant
        .cluster
        .wait_for("it follows the new rules", place, LIMIT, |secret| value(secret, "user") == "pilot")
        .await
        .unwrap();
    // A label that the reference once set goes with the template, a value, too.
    let shrink =
        json!({ "spec": { "encryptedData": { "user": null }, "template": { "metadata": { "labels": null } } } });
    tenant.cluster.patch(SEALED, &tenant.work, "o-0", &shrink).await.unwrap();
    let place = ("v1 Secret", tenant.work.as_str(), "o-0");
    let shrunk = |secret: &Value| {
        secret["metadata"]["labels"].is_null() && secret["data"].as_object().is_some_and(|data| data.len() == 1)
    };
    tenant.cluster.wait_for("it shrinks", place, LIMIT, shrunk).await.unwrap();
    // A value that leaves a merged Secret is ours to take, once we have written it; what else is there stays.
    let touch = json!({ "spec": { "template": { "metadata": { "labels": { "touched": "1" } } } } });
    tenant.cluster.patch(SEALED, &tenant.work, "o-merged", &touch).await.unwrap();
    let place = ("v1 Secret", tenant.work.as_str(), "o-merged");
    let touched = |secret: &Value| secret["metadata"]["labels"]["touched"] == "1";
    tenant.cluster.wait_for("it is written by us", place, LIMIT, touched).await.unwrap();
    let shrink = json!({ "spec": { "encryptedData": { "user": null } } });
    tenant.cluster.patch(SEALED, &tenant.work, "o-merged", &shrink).await.unwrap();
    let left = |secret: &Value| secret["data"].as_object().is_some_and(|data| data.keys().eq(["mine", "password"]));
    tenant.cluster.wait_for("the value leaves it", place, LIMIT, left).await.unwrap();
    // Made while we work: by the rules of 0.40, with chance of our own.
    for (name, template) in [("o-made-4", &templates[4]), ("o-made-5", &templates[5]), ("o-made-6", &templates[6])] {
        tenant.cluster.apply_object(&sealed(&tenant, &certificate, name, template)).await.unwrap();
        tenant.cluster.wait_for("it is opened", (SEALED, &tenant.work, name), LIMIT, is_ours).await.unwrap();
    }
    assert!(ours.stop());

    // Back, and here again, twice. What it renders, chance and all, is what stands from then on.
    for turn in 1..=2 {
        let before = secrets(&tenant).await;
        let theirs = reference(&tenant).await;
        all_rendered_by_the_reference(&tenant, &before).await;
        drop(theirs);
        let between = secrets(&tenant).await;
        let mark = tenant.bed.mark().unwrap();
        let ours = operator.start().unwrap();
        worked_off(&ours, between.len()).await;
        let after = secrets(&tenant).await;
        // Only what was told to follow the new rules is put right.
        assert_eq!(rewritten(&between, &after), ["o-3"], "turn {turn}");
        let writes = mark.writes(&operator.user).unwrap();
        assert!(!writes.contains_key("create secrets"), "{writes:?}");
        let pin = |secrets: &Secrets, name: &str| secrets[name].1["pin"].clone();
        assert_ne!(pin(&before, "o-5"), pin(&after, "o-5"), "the reference draws anew");
        assert_ne!(pin(&before, "o-made-5"), pin(&after, "o-made-5"));

        // Another value edited by hand is healed, and what chance drew stays.
        let edit = json!({ "data": { "password": "aGFuZA==" } });
        tenant.cluster.patch("v1 Secret", &tenant.work, "o-5", &edit).await.unwrap();
        let place = ("v1 Secret", tenant.work.as_str(), "o-5");
        let healed = |secret: &Value| value(secret, "password") == CANARY;
        let healed = tenant.cluster.wait_for("it is healed", place, LIMIT, healed).await.unwrap();
        assert_eq!(healed["data"]["pin"], pin(&after, "o-5"), "turn {turn}");
        assert!(ours.stop());
    }
}

/// Waits until the reference has seen all: it renders templates left to chance anew at each start, and objects of every
/// template lie between those in its queue.
async fn all_rendered_by_the_reference(tenant: &Tenant, before: &Secrets) {
    let started = Instant::now();
    loop {
        let now = secrets(tenant).await;
        let left: Vec<_> = before
            .iter()
            .filter(|(_, (_, data))| data["pin"].is_string())
            .filter(|(name, (_, data))| now.get(*name).is_some_and(|(_, now)| now["pin"] == data["pin"]))
            .collect();
        if left.is_empty() {
            break;
        }
        assert!(started.elapsed() < LIMIT, "{} are not rendered", left.len());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Those after the last of them, until nothing is written any more.
    loop {
        let before = secrets(tenant).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        if secrets(tenant).await == before {
            return;
        }
        assert!(started.elapsed() < LIMIT, "it does not come to rest");
    }
}

/// Waits until the operator has looked at all and nothing moves any more.
async fn worked_off(running: &bed::operator::Running, objects: usize) {
    let (started, mut before) = (Instant::now(), 0.0);
    loop {
        let now = running.metric("chancery_reconciles_total").await.unwrap();
        if now >= objects as f64 && (now - before).abs() < f64::EPSILON {
            return;
        }
        assert!(started.elapsed() < LIMIT, "{now} of {objects} are looked at:\n{}", running.tail(20));
        before = now;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// Names of the Secrets that are not as they were.
fn rewritten(before: &Secrets, after: &Secrets) -> Vec<String> {
    after.iter().filter(|(name, now)| before.get(*name) != Some(now)).map(|(name, _)| name.clone()).collect()
}

#[tokio::test]
async fn a_controller_beside_us_is_noticed_by_what_it_writes() {
    assert!(bed::namespaces::inside(), "the reference controller needs the bed's namespaces: this test must run");
    let tenant = tenant("beside").await;
    let operator = tenant.operator(&ONLY).await.unwrap();
    let ours = operator.start().unwrap();
    crate::support::certificate(&tenant, &operator.url).await;
    // It is idle and has neither Deployment nor Lease: nothing is to be seen.
    let theirs = reference(&tenant).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ours.metric("chancery_peer_running").await.unwrap(), 0.0);

    let certificate = certificate_of(&theirs.url).await;
    // Its write of a status fails when ours was first, and it does not try again: one object may tell nothing.
    let mut noticed = Vec::new();
    while ours.metric("chancery_peer_running").await.unwrap() != 1.0 {
        assert!(noticed.len() < 20, "it is not noticed:\n{}\n{}", ours.tail(20), theirs.tail(10));
        let name = format!("o-1-{}", noticed.len());
        tenant.cluster.apply_object(&sealed(&tenant, &certificate, &name, &json!({}))).await.unwrap();
        noticed.push(name);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mut events = Vec::new();
    for name in &noticed {
        events.extend(tenant.cluster.events(&tenant.work, name).await.unwrap());
    }
    assert!(events.iter().any(|event| event.starts_with("Warning PeerRunning")), "{events:?}");

    // We stand aside: the next object is theirs alone.
    let mark = tenant.bed.mark().unwrap();
    tenant.cluster.apply_object(&sealed(&tenant, &certificate, "o-2", &json!({}))).await.unwrap();
    let place = (SEALED, tenant.work.as_str(), "o-2");
    tenant.cluster.wait_for("the reference opens it", place, LIMIT, is_theirs).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let writes = mark.writes(&operator.user).unwrap();
    assert!(writes.keys().all(|call| !call.contains("sealedsecrets")), "{writes:?}");
    // What we may have made meanwhile is our install key.
    let made = tenant.cluster.get("v1 Secret", &tenant.work, "o-2").await.unwrap();
    let managers = made["metadata"]["managedFields"].as_array().unwrap();
    assert!(managers.iter().all(|entry| entry["manager"] != "sealed-secrets.chancery.dev"), "{managers:?}");
}

#[tokio::test]
async fn a_deployment_of_the_reference_is_noticed_unless_both_are_meant() {
    let tenant = tenant("deployed").await;
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "sealed-secrets-controller", "namespace": tenant.work, "labels": { "name": "sealed-secrets-controller" } },
        "spec": {
            "replicas": 1, "selector": { "matchLabels": { "name": "sealed-secrets-controller" } },
            "template": {
                "metadata": { "labels": { "name": "sealed-secrets-controller" } },
                "spec": { "containers": [{ "name": "c", "image": "docker.io/bitnami/sealed-secrets-controller:0.36.6" }] },
            },
        },
    });
    tenant.cluster.apply_object(&deployment).await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let running = operator.start().unwrap();
    let started = Instant::now();
    while !running.log().contains("PeerRunning") {
        assert!(started.elapsed() < LIMIT, "it is not noticed:\n{}", running.tail(20));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(running.stop());
    let running = operator.clone().with("--beside-sealed-secrets").start().unwrap();
    crate::support::certificate(&tenant, &operator.url).await;
    assert_eq!(running.metric("chancery_peer_running").await.unwrap(), 0.0);
}
