//! What concerns the whole cluster: objects in every namespace, External Secrets Operator beside us, what it left. Each test
//! has a control plane of its own.

use std::process::Command;
use std::time::{Duration, Instant};

use bed::cluster::PATIENCE;
use bed::operator::Running;
use bed::{Bed, Tenant};
use serde_json::{Value, json};

use crate::scenarios::{only_tenant, plane_of_its_own};
use crate::support::{condition, message, value};

const EXTERNAL: &str = "external-secrets.io/v1 ExternalSecret";
const CLUSTER_EXTERNAL: &str = "external-secrets.io/v1 ClusterExternalSecret";
const CLUSTER_PUSH: &str = "external-secrets.io/v1alpha1 ClusterPushSecret";
const PUSH: &str = "external-secrets.io/v1alpha1 PushSecret";
const NAMESPACE: &str = "v1 Namespace";
const WEBHOOK: &str = "admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration";
const ONLY: [&str; 1] = ["--controllers=external-secrets"];

/// A store for all namespaces that holds one value.
async fn cluster_store(tenant: &Tenant) {
    let store = json!({
        "apiVersion": "external-secrets.io/v1", "kind": "ClusterSecretStore", "metadata": { "name": "fake" },
        "spec": { "provider": { "fake": { "data": [{ "key": "a", "value": "alpha" }] } } },
    });
    tenant.cluster.apply_object(&store).await.unwrap();
}

fn spec() -> Value {
    json!({
        "refreshInterval": "1h", "secretStoreRef": { "name": "fake", "kind": "ClusterSecretStore" },
        "target": { "name": "made" }, "data": [{ "secretKey": "one", "remoteRef": { "key": "a" } }],
    })
}

async fn label(tenant: &Tenant, namespace: &str, team: Value) {
    let patch = json!({ "metadata": { "labels": { "team": team } } });
    tenant.cluster.patch(NAMESPACE, "", namespace, &patch).await.unwrap();
}

async fn until_made(tenant: &Tenant, namespace: &str) {
    let place = ("v1 Secret", namespace, "made");
    tenant.cluster.wait_for("the Secret is made", place, PATIENCE, |it| value(it, "one") == "alpha").await.unwrap();
}

async fn until_provisioned(tenant: &Tenant, kind: &str, name: &str, namespaces: &[&str]) -> Value {
    let is = |object: &Value| object["status"]["provisionedNamespaces"] == json!(namespaces);
    tenant.cluster.wait_for(&format!("{namespaces:?}"), (kind, "", name), PATIENCE, is).await.unwrap()
}

async fn until_logged(running: &Running, words: &str) -> String {
    let started = Instant::now();
    loop {
        let log = running.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut messages = lines.filter_map(|line| line["message"].as_str().map(str::to_owned));
        if let Some(message) = messages.find(|message| message.contains(words)) {
            return message;
        }
        assert!(started.elapsed() < PATIENCE, "no {words:?} in:\n{}", running.tail(20));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Runs what the log says, as a person would.
fn run(bed: &Bed, line: &str) -> String {
    let path = format!("{}:{}", bed.kubectl.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).env("PATH", path).env("KUBECONFIG", &bed.kubeconfig);
    crate::support::stdout(&shell.output().unwrap())
}

#[test]
fn a_namespace_that_is_no_longer_selected_loses_what_was_made_and_finalizers_of_the_reference_come_off() {
    let (_plane, bed) = plane_of_its_own("fan-out");
    tokio::runtime::Runtime::new().unwrap().block_on(fan_out(&bed));
}

async fn fan_out(bed: &Bed) {
    let tenant = only_tenant(bed, "fan-out").await;
    cluster_store(&tenant).await;
    for namespace in ["one", "two", "theirs"] {
        tenant.cluster.namespace(namespace).await.unwrap();
        label(&tenant, namespace, json!("kelp")).await;
    }
    let foreign = json!({
        "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
        "metadata": { "name": "shared", "namespace": "theirs" }, "spec": spec(),
    });
    tenant.cluster.apply_object(&foreign).await.unwrap();
    let selectors = json!([{ "matchLabels": { "team": "kelp" } }]);
    let parent = json!({
        "apiVersion": "external-secrets.io/v1", "kind": "ClusterExternalSecret", "metadata": { "name": "shared" },
        "spec": { "externalSecretSpec": spec(), "namespaceSelectors": selectors, "refreshTime": "1h" },
    });
    tenant.cluster.apply_object(&parent).await.unwrap();
    let pusher = json!({
        "apiVersion": "external-secrets.io/v1alpha1", "kind": "ClusterPushSecret", "metadata": { "name": "pushed" },
        "spec": {
            "namespaceSelectors": selectors, "refreshTime": "1h",
            "pushSecretSpec": {
                "secretStoreRefs": [{ "name": "fake", "kind": "ClusterSecretStore" }],
                "selector": { "secret": { "name": "made" } },
                "data": [{ "match": { "secretKey": "one", "remoteRef": { "remoteKey": "pushed" } } }],
            },
        },
    });
    tenant.cluster.apply_object(&pusher).await.unwrap();
    let _running = tenant.operator_everywhere(&ONLY).await.unwrap().start().unwrap();

    let told = until_provisioned(&tenant, CLUSTER_EXTERNAL, "shared", &["one", "two"]).await;
    assert_eq!(told["status"]["failedNamespaces"][0]["namespace"], "theirs");
    assert!(condition(&told, "Ready", "False"), "one namespace of three failed");
    until_provisioned(&tenant, CLUSTER_PUSH, "pushed", &["one", "theirs", "two"]).await;
    until_made(&tenant, "one").await;
    until_made(&tenant, "two").await;

    label(&tenant, "one", Value::Null).await;
    for (kind, name) in [(EXTERNAL, "shared"), (PUSH, "pushed"), ("v1 Secret", "made")] {
        tenant.cluster.wait_gone(kind, "one", name, PATIENCE).await.unwrap();
    }
    until_provisioned(&tenant, CLUSTER_EXTERNAL, "shared", &["two"]).await;
    until_provisioned(&tenant, CLUSTER_PUSH, "pushed", &["theirs", "two"]).await;
    until_made(&tenant, "two").await;
    label(&tenant, "one", json!("kelp")).await;
    until_made(&tenant, "one").await;

    what_is_wrong_takes_nothing_away(&tenant, &parent, &pusher).await;

    // What the reference leaves on Namespaces and on the object.
    let theirs = json!({ "metadata": { "finalizers": ["externalsecrets.external-secrets.io/ces-shared"] } });
    for namespace in ["one", "two"] {
        tenant.cluster.patch(NAMESPACE, "", namespace, &theirs).await.unwrap();
    }
    let own = "externalsecrets.external-secrets.io/clusterexternalsecret-cleanup";
    let finalizer = json!({ "metadata": { "finalizers": [own, "example.org/other"] } });
    tenant.cluster.patch(CLUSTER_EXTERNAL, "", "shared", &finalizer).await.unwrap();
    tenant.cluster.delete(NAMESPACE, "", "one").await.unwrap();
    tenant.cluster.wait_gone(NAMESPACE, "", "one", PATIENCE).await.unwrap();
    tenant.cluster.delete(CLUSTER_EXTERNAL, "", "shared").await.unwrap();
    let is_let_go = |object: &Value| object["metadata"]["finalizers"] == json!(["example.org/other"]);
    let place = (CLUSTER_EXTERNAL, "", "shared");
    tenant.cluster.wait_for("only another's finalizer is left", place, PATIENCE, is_let_go).await.unwrap();
    let is_free = |object: &Value| object["metadata"].get("finalizers").is_none();
    tenant.cluster.wait_for("nothing of it is left", (NAMESPACE, "", "two"), PATIENCE, is_free).await.unwrap();
    let none = json!({ "metadata": { "finalizers": null } });
    tenant.cluster.patch(CLUSTER_EXTERNAL, "", "shared", &none).await.unwrap();
    tenant.cluster.wait_gone(EXTERNAL, "two", "shared", PATIENCE).await.unwrap();
    assert!(tenant.cluster.find(EXTERNAL, "theirs", "shared").await.unwrap().is_some(), "somebody else's stays");
}

/// A mistake in an object that has children is named, and its children stay; a mended one goes on.
async fn what_is_wrong_takes_nothing_away(tenant: &Tenant, parent: &Value, pusher: &Value) {
    let rule = |operator: &str, values: Value| json!([{ "matchExpressions": [{ "key": "team", "operator": operator, "values": values }] }]);
    let rows = [
        ("an operator that is none", json!({ "namespaceSelectors": rule("Near", json!(["kelp"])) })),
        ("an operator in lower case", json!({ "namespaceSelectors": rule("in", json!(["kelp"])) })),
        ("values that are missing", json!({ "namespaceSelectors": rule("In", json!([])) })),
        ("values that are too many", json!({ "namespaceSelectors": rule("Exists", json!(["kelp"])) })),
        ("a value that no label has", json!({ "namespaceSelectors": [{ "matchLabels": { "team": "kelp forest" } }] })),
        ("a label that is none", json!({ "namespaceSelectors": [{ "matchLabels": { "-": "kelp" } }] })),
        ("an interval that is none", json!({ "refreshTime": "hourly" })),
    ];
    for (kind, object, children) in [(CLUSTER_EXTERNAL, parent, EXTERNAL), (CLUSTER_PUSH, pusher, PUSH)] {
        let name = object["metadata"]["name"].as_str().unwrap();
        for (what, fields) in &rows {
            let mut wrong = object.clone();
            for (field, value) in fields.as_object().unwrap() {
                wrong["spec"][field] = value.clone();
            }
            let told = tenant.cluster.apply_object(&wrong).await.unwrap();
            let generation = told["metadata"]["generation"].clone();
            let field = fields.as_object().unwrap().keys().next().unwrap();
            let is_named = |object: &Value| {
                condition(object, "Ready", "False") && message(object, "Ready").contains(field.as_str())
            };
            let place = (kind, "", name);
            let told = tenant.cluster.wait_for(what, place, PATIENCE, is_named).await.unwrap();
            assert_eq!(told["metadata"]["generation"], generation);
            for namespace in ["one", "two"] {
                let child = tenant.cluster.find(children, namespace, name).await.unwrap();
                assert!(child.is_some_and(|child| child["metadata"].get("deletionTimestamp").is_none()), "{what}");
            }
            tenant.cluster.apply_object(object).await.unwrap();
            let is_mended = |object: &Value| !message(object, "Ready").contains(field.as_str());
            tenant.cluster.wait_for("it is mended", place, PATIENCE, is_mended).await.unwrap();
        }
    }
}

#[test]
fn an_external_secrets_operator_beside_us_is_noticed_and_what_it_left_is_named_with_the_way_out() {
    let (_plane, bed) = plane_of_its_own("arriving");
    tokio::runtime::Runtime::new().unwrap().block_on(arrive(&bed));
}

async fn arrive(bed: &Bed) {
    let tenant = only_tenant(bed, "arriving").await;
    cluster_store(&tenant).await;
    tenant.cluster.namespace("external-secrets").await.unwrap();
    let labels = json!({ "app.kubernetes.io/name": "external-secrets" });
    let container = json!({ "name": "external-secrets", "image": "registry.example/mirror/external-secrets:v2.9.0" });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "external-secrets", "namespace": "external-secrets", "labels": labels },
        "spec": {
            "replicas": 1, "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": { "containers": [container] } },
        },
    });
    tenant.cluster.apply_object(&deployment).await.unwrap();
    let old = old_definition(&tenant).await;
    let object = |name: &str| {
        json!({
            "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
            "metadata": { "name": name, "namespace": tenant.work }, "spec": spec(),
        })
    };
    tenant.cluster.apply_object(&object("made")).await.unwrap();
    webhooks(&tenant).await;
    let refused = format!("{:?}", tenant.cluster.apply_object(&object("refused")).await.unwrap_err());
    assert!(refused.contains("failed calling webhook"), "{refused}");

    let running = tenant.operator_everywhere(&ONLY).await.unwrap().start().unwrap();
    let told = until_logged(&running, "External Secrets Operator works beside us").await;
    assert!(told.contains("external-secrets/external-secrets") && told.contains("--beside-external-secrets"), "{told}");
    assert_eq!(running.metric("chancery_peer_running").await.unwrap(), 1.0);

    // Its webhooks, by the command that the log gives.
    let told = until_logged(&running, "webhooks of External Secrets Operator").await;
    let command = told.split_once(": ").unwrap().1;
    assert!(command.starts_with("kubectl delete validatingwebhookconfiguration "), "{told}");
    run(bed, command);
    tenant.cluster.apply_object(&object("made")).await.unwrap();

    // A definition that still stores objects as `v1beta1`, by the two commands that the log gives.
    let told = until_logged(&running, "says that objects are stored as v1beta1").await;
    let refused = tenant.bed.install_crds(&tenant.cluster).await.unwrap_err();
    assert!(format!("{refused:?}").contains("status.storedVersions"), "{refused:?}");
    let (_, commands) = told.split_once("Write every object once: ").unwrap();
    let (write, say) = commands.split_once("; then say so: ").unwrap();
    run(bed, write);
    run(bed, say);
    tenant.bed.install_crds(&tenant.cluster).await.unwrap();
    let definition = tenant.cluster.get(DEFINITION, "", STORES).await.unwrap();
    assert_eq!(definition["status"]["storedVersions"], json!(["v1"]));
    let kept = tenant.cluster.get("external-secrets.io/v1 SecretStore", &tenant.work, "old").await.unwrap();
    assert_eq!(kept["spec"], old["spec"], "objects outlive their old version");

    // We stand aside until it is gone, and then take up the work.
    assert!(tenant.cluster.find("v1 Secret", &tenant.work, "made").await.unwrap().is_none());
    let gone = json!({ "spec": { "replicas": 0 } });
    tenant.cluster.patch("apps/v1 Deployment", "external-secrets", "external-secrets", &gone).await.unwrap();
    until_made(&tenant, &tenant.work).await;
    assert_eq!(running.metric("chancery_peer_running").await.unwrap(), 0.0);
}

const DEFINITION: &str = "apiextensions.k8s.io/v1 CustomResourceDefinition";
const STORES: &str = "secretstores.external-secrets.io";

/// A definition as the reference has it after its own step from `v1beta1` to `v1`, with an object that was stored before.
async fn old_definition(tenant: &Tenant) -> Value {
    let definition = tenant.cluster.get(DEFINITION, "", STORES).await.unwrap();
    let new = definition["spec"]["versions"][0].clone();
    let mut old = new.clone();
    old["name"] = json!("v1beta1");
    let version = |version: &Value, storage: bool| {
        let mut version = version.clone();
        version["storage"] = json!(storage);
        version
    };
    let both = |stored: bool| json!({ "spec": { "versions": [version(&new, !stored), version(&old, stored)] } });
    tenant.cluster.patch(DEFINITION, "", STORES, &both(true)).await.unwrap();
    let object = json!({
        "apiVersion": "external-secrets.io/v1beta1", "kind": "SecretStore",
        "metadata": { "name": "old", "namespace": tenant.work },
        "spec": { "provider": { "fake": { "data": [{ "key": "a", "value": "alpha" }] } } },
    });
    let stored = tenant.cluster.apply_object(&object).await.unwrap();
    tenant.cluster.patch(DEFINITION, "", STORES, &both(false)).await.unwrap();
    let definition = tenant.cluster.get(DEFINITION, "", STORES).await.unwrap();
    assert_eq!(definition["status"]["storedVersions"].as_array().map(Vec::len), Some(2));
    stored
}

/// The webhooks as the reference's chart leaves them, without their server.
async fn webhooks(tenant: &Tenant) {
    let rows = [
        ("secretstore-validate", json!(["secretstores", "clustersecretstores"])),
        ("externalsecret-validate", json!(["externalsecrets"])),
    ];
    for (name, resources) in rows {
        let webhook = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": name },
            "webhooks": [{
                "name": format!("validate.{name}.external-secrets.io"), "sideEffects": "None", "timeoutSeconds": 1,
                "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
                "clientConfig": { "service": { "namespace": "external-secrets", "name": "external-secrets-webhook" } },
                "rules": [{
                    "apiGroups": ["external-secrets.io"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                    "resources": resources, "scope": "*",
                }],
            }],
        });
        tenant.cluster.apply_object(&webhook).await.unwrap();
        tenant.cluster.get(WEBHOOK, "", name).await.unwrap();
    }
    // The API server takes a moment to heed them.
    let probe = json!({
        "apiVersion": "external-secrets.io/v1", "kind": "SecretStore",
        "metadata": { "name": "probe", "namespace": tenant.work }, "spec": { "provider": { "fake": { "data": [] } } },
    });
    let started = Instant::now();
    while tenant.cluster.apply_object(&probe).await.is_ok() {
        assert!(started.elapsed() < PATIENCE, "the webhooks are not heeded");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
