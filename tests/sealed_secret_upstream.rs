//! What upstream's own integration suite asserts and the recorded cases do not hold, and upstream's definition left in place.

use std::time::{Duration, Instant};

use bed::cluster::PATIENCE;
use bed::{Bed, Tenant};
use serde_json::{Value, json};

use crate::scenarios::{only_tenant, plane_of_its_own};
use crate::support::{CANARY, certificate, condition, message, seal, secret, told, value};

const SEALED: &str = "bitnami.com/v1alpha1 SealedSecret";
const ONLY: [&str; 1] = ["--controllers=sealed-secrets"];
const PREFIX: &str = "sealedsecrets.bitnami.com";
const DEFINITION: &str = "apiextensions.k8s.io/v1 CustomResourceDefinition";

async fn synced(tenant: &Tenant, name: &str, status: &str) -> Value {
    let reported = |object: &Value| {
        condition(object, "Synced", status)
            && object["status"]["observedGeneration"] == object["metadata"]["generation"]
    };
    let place = (SEALED, tenant.work.as_str(), name);
    tenant.cluster.wait_for(&format!("{name} is Synced={status}"), place, PATIENCE, reported).await.unwrap()
}

async fn stands(tenant: &Tenant, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    tenant.cluster.wait_for(what, ("v1 Secret", tenant.work.as_str(), name), PATIENCE, wanted).await.unwrap()
}

/// A Secret of somebody's, with these annotations.
fn foreign(tenant: &Tenant, name: &str, values: &Value, annotations: &[&str]) -> Value {
    let mut object = secret(&tenant.work, name, values);
    for annotation in annotations {
        object["metadata"]["annotations"][format!("{PREFIX}/{annotation}")] = json!("true");
    }
    object
}

fn is_controlled(secret: &Value) -> bool {
    secret["metadata"]["ownerReferences"].as_array().is_some_and(|owners| owners.len() == 1)
}

#[tokio::test]
async fn what_upstreams_own_suite_asserts_beyond_the_recorded_cases() {
    let tenant = Bed::attach().unwrap().tenant("suite").await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let _running = operator.start().unwrap();
    let pem = certificate(&tenant, &operator.url).await;
    let sealed = |name: &str, text: &str| {
        let mut object = seal(&tenant.bed.seal, &pem, &secret(&tenant.work, name, &json!({ "foo": text })), &[]);
        object["spec"]["template"]["metadata"]["labels"] = json!({ "mylabel": "myvalue" });
        object
    };
    let apply = async |object: &Value| tenant.cluster.apply_object(object).await.unwrap();

    // Merged into a Secret that has neither values nor labels: all of ours, and no owner.
    apply(&foreign(&tenant, "empty", &json!({}), &["patch"])).await;
    // Taken over and deleted by its owner: made anew.
    apply(&foreign(&tenant, "given", &json!({ "foo": "theirs", "foo2": "theirs" }), &["managed"])).await;
    for name in ["empty", "given", "owned"] {
        apply(&sealed(name, "bar")).await;
        synced(&tenant, name, "True").await;
        told(&tenant, &tenant.work, name, "Normal Unsealed").await;
    }
    let empty = stands(&tenant, "empty", "it is merged", |secret| value(secret, "foo") == "bar").await;
    assert!(!is_controlled(&empty) && empty["data"].as_object().unwrap().len() == 1, "{empty}");
    assert_eq!(empty["metadata"]["labels"], json!({ "mylabel": "myvalue" }));
    assert_eq!(empty["metadata"]["annotations"], json!({ format!("{PREFIX}/patch"): "true" }));
    for name in ["given", "owned"] {
        let before = tenant.cluster.get("v1 Secret", &tenant.work, name).await.unwrap();
        tenant.cluster.delete("v1 Secret", &tenant.work, name).await.unwrap();
        let anew = stands(&tenant, name, "it is made anew", |secret| {
            secret["metadata"]["uid"] != before["metadata"]["uid"] && value(secret, "foo") == "bar"
        });
        let anew = anew.await;
        assert!(is_controlled(&anew) && anew["data"].as_object().unwrap().len() == 1, "{anew}");
    }

    // The status says when it was first told and when last: the same at first, not after an update.
    let times = |object: &Value| {
        let synced = object["status"]["conditions"][0].clone();
        assert_eq!(synced["type"], "Synced");
        (synced["lastTransitionTime"].clone(), synced["lastUpdateTime"].clone())
    };
    apply(&sealed("times", "bar")).await;
    let first = times(&synced(&tenant, "times", "True").await);
    assert_eq!(first.0, first.1);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    apply(&sealed("times", "baz")).await;
    stands(&tenant, "times", "it is updated", |secret| value(secret, "foo") == "baz").await;
    let second = synced(&tenant, "times", "True").await;
    assert_eq!(second["status"]["observedGeneration"], 2);
    let second = times(&second);
    assert_eq!(second.0, first.0);
    assert_ne!(second.1, first.1);

    // A value that an immutable Secret cannot take: told in the words that people look for.
    let immutable = |text: &str| {
        let mut object = sealed("immutable", text);
        object["spec"]["template"]["immutable"] = json!(true);
        object
    };
    apply(&immutable("bar")).await;
    synced(&tenant, "immutable", "True").await;
    apply(&immutable("baz")).await;
    let refused = synced(&tenant, "immutable", "False").await;
    assert!(message(&refused, "Synced").contains("the target Secret is immutable"), "{refused}");
    told(&tenant, &tenant.work, "immutable", "Warning ErrUpdateFailed").await;
}

#[tokio::test]
async fn a_foreign_secret_that_is_deleted_is_not_made_again_at_once() {
    let tenant = Bed::attach().unwrap().tenant("free").await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let _running = operator.start().unwrap();
    let pem = certificate(&tenant, &operator.url).await;
    for (name, annotations, status) in [("unmanaged", &[][..], "False"), ("guest", &["patch"], "True")] {
        let theirs = foreign(&tenant, name, &json!({ "foo": "theirs" }), annotations);
        tenant.cluster.apply_object(&theirs).await.unwrap();
        let plain = secret(&tenant.work, name, &json!({ "foo": CANARY }));
        tenant.cluster.apply_object(&seal(&tenant.bed.seal, &pem, &plain, &[])).await.unwrap();
        synced(&tenant, name, status).await;
    }
    // Whoever replaces a Secret of his own must not find ours in between: upstream's suite looks for a second.
    let deleted = Instant::now();
    for name in ["unmanaged", "guest"] {
        tenant.cluster.delete("v1 Secret", &tenant.work, name).await.unwrap();
    }
    while deleted.elapsed() < Duration::from_secs(4) {
        for name in ["unmanaged", "guest"] {
            assert!(tenant.cluster.find("v1 Secret", &tenant.work, name).await.unwrap().is_none(), "{name}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // A name that stays free is taken.
    for name in ["unmanaged", "guest"] {
        stands(&tenant, name, "it is made", |secret| value(secret, "foo") == CANARY && is_controlled(secret)).await;
    }
}

/// Upstream's definition, by the facts of 0.36: every field with its type, without words.
fn upstreams_definition() -> Value {
    let text = json!({ "type": "string" });
    let texts = json!({ "type": "object", "additionalProperties": text });
    let time = json!({ "type": "string", "format": "date-time" });
    let condition = json!({
        "type": "object", "required": ["status", "type"],
        "properties": {
            "lastTransitionTime": time, "lastUpdateTime": time,
            "message": text, "reason": text, "status": text, "type": text,
        },
    });
    let metadata = json!({
        "type": "object", "nullable": true, "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "annotations": texts, "labels": texts, "name": text, "namespace": text,
            "finalizers": { "type": "array", "items": text },
        },
    });
    let template = json!({
        "type": "object",
        "properties": {
            "data": { "type": "object", "nullable": true, "additionalProperties": text },
            "immutable": { "type": "boolean" }, "metadata": metadata, "type": text,
        },
    });
    let items = json!({
        "type": "object", "additionalProperties": text, "x-kubernetes-preserve-unknown-fields": true,
    });
    let spec = json!({
        "type": "object", "required": ["encryptedData"],
        "properties": { "data": { "type": "string", "format": "byte" }, "encryptedData": items, "template": template },
    });
    let status = json!({
        "type": "object",
        "properties": {
            "conditions": { "type": "array", "items": condition },
            "observedGeneration": { "type": "integer", "format": "int64" },
        },
    });
    let schema = json!({
        "type": "object", "required": ["spec"],
        "properties": {
            "apiVersion": text, "kind": text, "metadata": { "type": "object" }, "spec": spec, "status": status,
        },
    });
    let version = json!({
        "name": "v1alpha1", "served": true, "storage": true, "subresources": { "status": {} },
        "schema": { "openAPIV3Schema": schema },
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "sealedsecrets.bitnami.com" },
        "spec": {
            "group": "bitnami.com", "scope": "Namespaced", "versions": [version],
            "names": {
                "kind": "SealedSecret", "listKind": "SealedSecretList", "plural": "sealedsecrets", "singular": "sealedsecret",
            },
        },
    })
}

#[test]
fn upstreams_definition_left_in_place_is_told_and_changes_no_secret() {
    // Definitions are the cluster's: this test has one of its own.
    let (_plane, bed) = plane_of_its_own("upstream");
    tokio::runtime::Runtime::new().unwrap().block_on(with_upstreams_definition(&bed));
}

async fn with_upstreams_definition(bed: &Bed) {
    let tenant = only_tenant(bed, "upstream").await;
    let name = "sealedsecrets.bitnami.com";
    tenant.cluster.delete(DEFINITION, "", name).await.unwrap();
    tenant.cluster.wait_gone(DEFINITION, "", name, PATIENCE).await.unwrap();
    tenant.cluster.apply_object(&upstreams_definition()).await.unwrap();
    let established = |object: &Value| condition(object, "Established", "True");
    tenant.cluster.wait_for("it is served", (DEFINITION, "", name), PATIENCE, established).await.unwrap();

    let operator = tenant.operator(&ONLY).await.unwrap();
    let running = operator.start().unwrap();
    let pem = certificate(&tenant, &operator.url).await;
    let plain = secret(&tenant.work, "db", &json!({ "password": CANARY }));
    let mut object = seal(&tenant.bed.seal, &pem, &plain, &[]);
    object["spec"]["template"]["data"] = json!({ "url": "u:{{ .password }}", "pin": "{{ randAlphaNum 24 }}" });
    tenant.cluster.apply_object(&object).await.unwrap();
    let told = synced(&tenant, "db", "True").await;
    assert!(told["status"]["chancery"].is_null(), "there is no room for it: {told}");
    let told = |log: &str| log.matches("sealedsecrets.bitnami.com is not ours").count();
    assert_eq!(told(&running.log()), 1, "{}", running.tail(20));
    let first = stands(&tenant, "db", "it is made", |secret| value(secret, "url") == format!("u:{CANARY}")).await;
    let edit = json!({ "data": { "password": "aGFuZA==" } });
    tenant.cluster.patch("v1 Secret", &tenant.work, "db", &edit).await.unwrap();
    let healed = stands(&tenant, "db", "it is healed", |secret| value(secret, "password") == CANARY).await;
    assert_eq!(healed["data"], first["data"], "chance comes out the same");
    assert!(running.stop());

    // A restart knows nothing of what was done: it opens once more, and finds all as it should be.
    let again = operator.start().unwrap();
    worked(&again, 1.0).await;
    let kept = tenant.cluster.get("v1 Secret", &tenant.work, "db").await.unwrap();
    assert_eq!(kept["metadata"]["resourceVersion"], healed["metadata"]["resourceVersion"]);
    assert!(again.metric("chancery_key_unwraps_total").await.unwrap() >= 1.0);
    assert!(again.stop());

    // Our definition over it, as the log says: from the second start on nothing is opened any more.
    bed.install_crds(&tenant.cluster).await.unwrap();
    let there = operator.start().unwrap();
    let remembered = |object: &Value| object["status"]["chancery"]["outputs"].is_string();
    let place = (SEALED, tenant.work.as_str(), "db");
    tenant.cluster.wait_for("it is remembered", place, PATIENCE, remembered).await.unwrap();
    assert_eq!(told(&there.log()), 2, "by the first two processes, and no more");
    assert!(there.stop());
    let last = operator.start().unwrap();
    worked(&last, 1.0).await;
    assert_eq!(last.metric("chancery_key_unwraps_total").await.unwrap(), 0.0);
    let kept = tenant.cluster.get("v1 Secret", &tenant.work, "db").await.unwrap();
    assert_eq!(kept["metadata"]["resourceVersion"], healed["metadata"]["resourceVersion"]);
}

/// Waits until an operator has looked at so many objects.
async fn worked(running: &bed::operator::Running, objects: f64) {
    let started = Instant::now();
    while running.metric("chancery_reconciles_total").await.unwrap() < objects {
        assert!(started.elapsed() < PATIENCE, "nothing is looked at:\n{}", running.tail(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
