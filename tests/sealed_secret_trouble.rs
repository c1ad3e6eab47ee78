//! SealedSecrets in bad company: large ones, hostile ones, servers that say no, and what helps when asked for.

use std::time::{Duration, Instant};

use bed::cluster::PATIENCE;
use bed::{Bed, Tenant};
use seal::Certificate;
use serde_json::{Value, json};

use crate::support::{CANARY, certificate, condition, message, seal, secret, value};

const SEALED: &str = "bitnami.com/v1alpha1 SealedSecret";
const ONLY: [&str; 1] = ["--controllers=sealed-secrets"];

async fn stands(tenant: &Tenant, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    tenant.cluster.wait_for(what, (SEALED, tenant.work.as_str(), name), PATIENCE, wanted).await.unwrap()
}

async fn synced(tenant: &Tenant, name: &str, status: &str) -> Value {
    let reported = |object: &Value| {
        condition(object, "Synced", status)
            && object["status"]["observedGeneration"] == object["metadata"]["generation"]
    };
    stands(tenant, name, &format!("{name} is Synced={status}"), reported).await
}

async fn made(tenant: &Tenant, name: &str) -> Value {
    tenant.cluster.get("v1 Secret", &tenant.work, name).await.unwrap()
}

/// A sealed object with these values.
fn sealed(tenant: &Tenant, pem: &std::path::Path, name: &str, values: &Value) -> Value {
    seal(&tenant.bed.seal, pem, &secret(&tenant.work, name, values), &[])
}

#[tokio::test]
async fn large_objects_fit_and_their_status_stays_small() {
    let tenant = Bed::attach().unwrap().tenant("large").await.unwrap();
    let operator = tenant.operator(&[ONLY[0], "--key-size=2048"]).await.unwrap();
    let _running = operator.start().unwrap();
    let pem = certificate(&tenant, &operator.url).await;
    let sealing = Certificate::from_pem(&std::fs::read_to_string(&pem).unwrap()).unwrap();
    let object = |name: &str, items: &[(String, Vec<u8>)], label: &str| {
        let seal_it = |value: &[u8]| {
            seal::seal_item(&mut rand::rng(), &sealing, label.as_bytes(), &value.to_vec().into()).unwrap()
        };
        let items: serde_json::Map<_, _> =
            items.iter().map(|(name, value)| (name.clone(), seal_it(value).into())).collect();
        json!({
            "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
            "metadata": { "name": name, "namespace": tenant.work }, "spec": { "encryptedData": items },
        })
    };
    let large = [("big".to_owned(), vec![b'x'; 900_000])];
    tenant.cluster.apply_object(&object("large", &large, &format!("{}/large", tenant.work))).await.unwrap();
    let many: Vec<_> = (0..2000).map(|number| (format!("item-{number}"), b"v".to_vec())).collect();
    tenant.cluster.apply_object(&object("many", &many, &format!("{}/many", tenant.work))).await.unwrap();
    tenant.cluster.apply_object(&object("many-bad", &many, "elsewhere/many")).await.unwrap();
    tenant.cluster.apply_object(&object("none", &[], "")).await.unwrap();
    for (name, items) in [("large", 1), ("many", 2000), ("none", 0)] {
        let object = synced(&tenant, name, "True").await;
        assert!(object["status"].to_string().len() < 2000, "{name}: {}", object["status"]);
        let data = made(&tenant, name).await["data"].as_object().map_or(0, serde_json::Map::len);
        assert_eq!(data, items, "{name}");
    }
    let told = synced(&tenant, "many-bad", "False").await;
    assert_eq!(told["status"]["chancery"]["failing"].as_array().unwrap().len(), 20);
    assert!(told["status"].to_string().len() < 4000, "{}", told["status"]);
}

#[tokio::test]
async fn fifty_writers_lose_against_what_is_sealed() {
    let tenant = Bed::attach().unwrap().tenant("fifty").await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let _running = operator.start().unwrap();
    let pem = certificate(&tenant, &operator.url).await;
    tenant.cluster.apply_object(&sealed(&tenant, &pem, "db", &json!({ "password": CANARY }))).await.unwrap();
    synced(&tenant, "db", "True").await;
    let writers = (0..50).map(|number| {
        let (cluster, work) = (tenant.cluster.clone(), tenant.work.clone());
        tokio::spawn(async move {
            let edit = json!({ "data": { "password": "aGFuZA==", format!("extra-{number}"): "aGFuZA==" } });
            cluster.patch("v1 Secret", &work, "db", &edit).await.unwrap();
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let healed = |secret: &Value| {
        secret["data"].as_object().is_some_and(|data| data.len() == 1) && value(secret, "password") == CANARY
    };
    let place = ("v1 Secret", tenant.work.as_str(), "db");
    tenant.cluster.wait_for("it is healed", place, PATIENCE, healed).await.unwrap();
    synced(&tenant, "db", "True").await;
}

#[tokio::test]
async fn a_status_that_is_refused_is_written_when_it_may_be() {
    let tenant = Bed::attach().unwrap().tenant("refused").await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let _running = operator.start().unwrap();
    let pem = certificate(&tenant, &operator.url).await;
    let name = format!("{}-no-status", tenant.work);
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": { "name": name },
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": tenant.work } },
                "resourceRules": [{ "apiGroups": ["bitnami.com"], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": ["sealedsecrets/status"] }],
            },
            "validations": [{ "expression": "false", "message": "no status today" }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": name }, "spec": { "policyName": name, "validationActions": ["Deny"] },
    });
    tenant.cluster.apply_object(&policy).await.unwrap();
    tenant.cluster.apply_object(&binding).await.unwrap();
    // A policy takes a moment to be in force: until an object stays without a status.
    let mut number = 0;
    let refused = loop {
        number += 1;
        let name = format!("db-{number}");
        tenant.cluster.apply_object(&sealed(&tenant, &pem, &name, &json!({ "password": CANARY }))).await.unwrap();
        let place = ("v1 Secret", tenant.work.as_str(), name.as_str());
        tenant.cluster.wait_for("its Secret is made", place, PATIENCE, |_| true).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let object = tenant.cluster.get(SEALED, &tenant.work, &name).await.unwrap();
        if object["status"].is_null() {
            break name;
        }
        assert!(number < 30, "the policy is not in force");
    };
    assert_eq!(value(&made(&tenant, &refused).await, "password"), CANARY, "the Secret does not wait for the status");
    tenant.cluster.delete("admissionregistration.k8s.io/v1 ValidatingAdmissionPolicyBinding", "", &name).await.unwrap();
    synced(&tenant, &refused, "True").await;
}

#[tokio::test]
async fn a_namespace_that_terminates_takes_its_secrets_along_and_holds_up_nobody() {
    const OBJECTS: usize = 20;
    let tenant = Bed::attach().unwrap().tenant("ends").await.unwrap();
    let doomed = format!("{}-doomed", tenant.work);
    tenant.cluster.namespace(&doomed).await.unwrap();
    let namespaces = format!("--namespaces={},{},{doomed}", tenant.work, tenant.keys);
    let operator = tenant.operator(&ONLY).await.unwrap().replacing("--namespaces=", &namespaces);
    let running = operator.start().unwrap();
    let pem = certificate(&tenant, &operator.url).await;
    let place_it = async |place: &str, name: &str| {
        let object = seal(&tenant.bed.seal, &pem, &secret(place, name, &json!({ "password": CANARY })), &[]);
        tenant.cluster.apply_object(&object).await.unwrap();
    };
    for number in 0..OBJECTS {
        place_it(&doomed, &format!("db-{number}")).await;
    }
    for number in 0..OBJECTS {
        let name = format!("db-{number}");
        let place = (SEALED, doomed.as_str(), name.as_str());
        let synced = |object: &Value| condition(object, "Synced", "True");
        tenant.cluster.wait_for("it is opened", place, PATIENCE, synced).await.unwrap();
    }
    // Something holds the namespace in its last state, in which nothing can be made.
    let held = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "held", "namespace": doomed, "finalizers": ["basin.example/held"] },
    });
    tenant.cluster.apply_object(&held).await.unwrap();
    let mark = tenant.bed.mark().unwrap();
    tenant.bed.kubectl(&["delete", "namespace", &doomed, "--wait=false"]).unwrap();
    for number in 0..OBJECTS {
        tenant.cluster.wait_gone(SEALED, &doomed, &format!("db-{number}"), PATIENCE).await.unwrap();
    }
    // The others go on.
    place_it(&tenant.work, "neighbour").await;
    synced(&tenant, "neighbour", "True").await;
    // What went before its object was missed at most once each; nobody tries for ever.
    let tries = mark.calls(&operator.user).unwrap().get("create secrets").copied().unwrap_or_default();
    assert!(tries <= OBJECTS + 1, "{tries} tries");
    let mark = tenant.bed.mark().unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let calls = mark.calls(&operator.user).unwrap();
    assert!(calls.keys().all(|call| !call.contains("secrets")), "{calls:?}");
    let free = json!({ "metadata": { "finalizers": null } });
    tenant.cluster.patch("v1 ConfigMap", &doomed, "held", &free).await.unwrap();
    tenant.cluster.wait_gone("v1 Namespace", "", &doomed, PATIENCE).await.unwrap();
    assert!(running.stop());
}

#[tokio::test]
async fn what_cannot_be_changed_in_place_is_made_anew_when_asked_for() {
    let tenant = Bed::attach().unwrap().tenant("anew").await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let _running = operator.start().unwrap();
    let pem = certificate(&tenant, &operator.url).await;
    let mut object = sealed(&tenant, &pem, "db", &json!({ "password": "old" }));
    object["spec"]["template"]["immutable"] = json!(true);
    tenant.cluster.apply_object(&object).await.unwrap();
    synced(&tenant, "db", "True").await;
    let first = made(&tenant, "db").await;
    assert_eq!(first["immutable"], true);

    let mut object = sealed(&tenant, &pem, "db", &json!({ "password": CANARY }));
    object["spec"]["template"]["immutable"] = json!(true);
    object["spec"]["template"]["type"] = json!("basin/lock");
    tenant.cluster.apply_object(&object).await.unwrap();
    let told = synced(&tenant, "db", "False").await;
    assert!(message(&told, "Ready").contains("chancery.dev/recreate=true"), "{told}");
    assert_eq!(value(&made(&tenant, "db").await, "password"), "old", "the last good Secret stays");

    let order = json!({ "metadata": { "annotations": { "chancery.dev/recreate": "true" } } });
    tenant.cluster.patch(SEALED, &tenant.work, "db", &order).await.unwrap();
    synced(&tenant, "db", "True").await;
    let second = made(&tenant, "db").await;
    assert_eq!((value(&second, "password").as_str(), &second["type"]), (CANARY, &json!("basin/lock")));
    assert_ne!(second["metadata"]["uid"], first["metadata"]["uid"]);
}

#[tokio::test]
async fn a_part_is_written_when_asked_for_and_the_rest_stays() {
    let tenant = Bed::attach().unwrap().tenant("part").await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let _running = operator.start().unwrap();
    let pem = certificate(&tenant, &operator.url).await;
    tenant
        .cluster
        .apply_object(&sealed(&tenant, &pem, "db", &json!({ "password": "one", "user": "pilot" })))
        .await
        .unwrap();
    synced(&tenant, "db", "True").await;
    let mut object = sealed(&tenant, &pem, "db", &json!({ "password": CANARY, "user": "next" }));
    object["spec"]["encryptedData"]["user"] = json!("AgA=");
    object["metadata"]["annotations"]["chancery.dev/partial"] = json!("true");
    tenant.cluster.apply_object(&object).await.unwrap();
    let told = synced(&tenant, "db", "False").await;
    assert_eq!(told["status"]["conditions"][1]["reason"], "PartlyUnsealed", "{told}");
    assert_eq!(told["status"]["chancery"]["failing"], json!(["user"]));
    let stands = made(&tenant, "db").await;
    assert_eq!((value(&stands, "password").as_str(), value(&stands, "user").as_str()), (CANARY, "pilot"));
}

#[tokio::test]
async fn nobody_makes_himself_a_key_an_account_or_a_repository() {
    let tenant = Bed::attach().unwrap().tenant("danger").await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let running = operator.start().unwrap();
    let pem = certificate(&tenant, &operator.url).await;
    let in_place = |place: &str, name: &str, template: Value| {
        let mut object = seal(&tenant.bed.seal, &pem, &secret(place, name, &json!({ "password": CANARY })), &[]);
        object["spec"]["template"] = template;
        object
    };
    let label = |name: &str| json!({ "metadata": { "labels": { name: "active" } } });
    let key = label("sealedsecrets.bitnami.com/sealed-secrets-key");
    let refused = [
        (tenant.keys.as_str(), "by-label", key.clone()),
        (&tenant.keys, "sealed-secrets-key", json!({})),
        (&tenant.apps, "repository", label("argocd.argoproj.io/secret-type")),
        (&tenant.work, "token", json!({ "type": "kubernetes.io/service-account-token" })),
        (&tenant.work, "bootstrap", json!({ "type": "bootstrap.kubernetes.io/token" })),
    ];
    for (place, name, template) in refused {
        tenant.cluster.apply_object(&in_place(place, name, template)).await.unwrap();
        let what = format!("{place}/{name} is refused");
        let wanted = |object: &Value| message(object, "Ready").contains("--permit=");
        tenant.cluster.wait_for(&what, (SEALED, place, name), PATIENCE, wanted).await.unwrap();
        assert!(tenant.cluster.find("v1 Secret", place, name).await.unwrap().is_none(), "{name}");
    }
    // Elsewhere the same label means nothing.
    tenant.cluster.apply_object(&in_place(&tenant.work, "harmless", key)).await.unwrap();
    synced(&tenant, "harmless", "True").await;
    assert!(running.stop());
    let permit = format!("--permit={}/repository-credential", tenant.apps);
    let _running = operator.with(&permit).start().unwrap();
    let place = (SEALED, tenant.apps.as_str(), "repository");
    tenant
        .cluster
        .wait_for("it is permitted", place, PATIENCE, |object| condition(object, "Synced", "True"))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_policy_forbids_cluster_wide_scope_where_it_is_installed() {
    let tenant = Bed::attach().unwrap().tenant("policy").await.unwrap();
    // Bound to this tenant's namespace only: the others of this run go on.
    for mut object in bed::cluster::documents(&tenant.bed.kustomize("policies").unwrap()).unwrap() {
        if object["kind"] == "ValidatingAdmissionPolicyBinding" {
            object["spec"]["matchResources"]["namespaceSelector"]["matchLabels"] =
                json!({ "kubernetes.io/metadata.name": tenant.work });
        }
        tenant.cluster.apply_object(&object).await.unwrap();
    }
    let object = |name: &str, annotations: Value| {
        json!({
            "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
            "metadata": { "name": name, "namespace": tenant.work, "annotations": annotations }, "spec": { "encryptedData": {} },
        })
    };
    let wide = object("wide", json!({ "sealedsecrets.bitnami.com/cluster-wide": "true" }));
    let started = Instant::now();
    loop {
        match tenant.cluster.apply_object(&wide).await {
            Err(error) => {
                assert!(format!("{error:#}").contains("cluster-wide scope are forbidden"), "{error:#}");
                break;
            }
            Ok(_) => tenant.cluster.delete(SEALED, &tenant.work, "wide").await.unwrap(),
        }
        assert!(started.elapsed() < PATIENCE, "the policy is not in force");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    tenant.cluster.apply_object(&object("strict", json!({}))).await.unwrap();
    let namespaced = json!({ "sealedsecrets.bitnami.com/namespace-wide": "true" });
    tenant.cluster.apply_object(&object("namespaced", namespaced)).await.unwrap();
}
