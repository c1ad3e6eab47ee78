//! Vault → ExternalSecret → Secret, against the real OpenBao.

use std::time::{Duration, Instant};

use bed::cluster::PATIENCE;
use bed::{Bed, Tenant};
use serde_json::{Value, json};

use crate::support::{CANARY, condition, message, value};

const EXTERNAL: &str = "external-secrets.io/v1 ExternalSecret";
const STORE: &str = "external-secrets.io/v1 SecretStore";
const ONLY: [&str; 1] = ["--controllers=external-secrets"];

/// A store `vault` with a token that may read below `secret/TENANT`.
async fn token_store(tenant: &Tenant, name: &str) {
    let vault = tenant.bed.vault().await.unwrap();
    let token = vault.reader_token(&tenant.work, &tenant.work).await.unwrap();
    tenant
        .cluster
        .apply_object(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": format!("{name}-token"), "namespace": tenant.work },
            // As `kubectl create secret --from-file` would leave it.
            "stringData": { "token": format!("{token}\n") },
        }))
        .await
        .unwrap();
    let store = store(
        tenant,
        name,
        &tenant.bed.vault_url,
        &json!({ "tokenSecretRef": { "name": format!("{name}-token"), "key": "token" } }),
    );
    tenant.cluster.apply_object(&store).await.unwrap();
}

fn store(tenant: &Tenant, name: &str, server: &str, auth: &Value) -> Value {
    json!({
        "apiVersion": "external-secrets.io/v1", "kind": "SecretStore",
        "metadata": { "name": name, "namespace": tenant.work },
        "spec": { "provider": { "vault": { "server": server, "path": "secret", "version": "v2", "auth": auth } } },
    })
}

fn external(tenant: &Tenant, name: &str, store: &str, fields: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
        "metadata": { "name": name, "namespace": tenant.work },
        "spec": { "secretStoreRef": { "name": store }, "refreshInterval": "1h" },
    });
    object["spec"].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    object
}

fn one_value(tenant: &Tenant, key: &str) -> Value {
    let reference = json!({ "key": format!("{}/{key}", tenant.work), "property": "password" });
    json!({ "data": [{ "secretKey": "password", "remoteRef": reference }] })
}

async fn ready(tenant: &Tenant, kind: &str, name: &str, status: &'static str) -> Value {
    let place = (kind, tenant.work.as_str(), name);
    let what = format!("{name} is Ready={status}");
    tenant.cluster.wait_for(&what, place, PATIENCE, |object| condition(object, "Ready", status)).await.unwrap()
}

#[tokio::test]
async fn values_are_read_with_a_token_and_follow_the_store_within_the_interval() {
    let tenant = Bed::attach().unwrap().tenant("token").await.unwrap();
    let vault = tenant.bed.vault().await.unwrap();
    vault
        .write(&format!("{}/db", tenant.work), json!({ "password": CANARY, "user": "pilot", "port": 5432 }))
        .await
        .unwrap();
    token_store(&tenant, "vault").await;
    let operator = tenant.operator(&ONLY).await.unwrap();
    let running = operator.start().unwrap();
    let mut fields = one_value(&tenant, "db");
    fields["dataFrom"] = json!([{ "extract": { "key": format!("{}/db", tenant.work) } }]);
    fields["refreshInterval"] = json!("2s");
    tenant.cluster.apply_object(&external(&tenant, "db", "vault", &fields)).await.unwrap();

    let object = ready(&tenant, EXTERNAL, "db", "True").await;
    assert_eq!(object["status"]["binding"]["name"], "db");
    assert_eq!(object["status"]["chancery"]["sources"][0]["version"], "1");
    let made = tenant.cluster.get("v1 Secret", &tenant.work, "db").await.unwrap();
    assert_eq!((value(&made, "password").as_str(), value(&made, "port").as_str()), (CANARY, "5432"));
    assert_eq!(made["metadata"]["labels"]["reconcile.external-secrets.io/managed"], "true");
    assert_eq!(made["metadata"]["ownerReferences"][0]["kind"], "ExternalSecret");
    ready(&tenant, STORE, "vault", "True").await;

    // The same value again: nothing is written.
    let version = made["metadata"]["resourceVersion"].clone();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let same = tenant.cluster.get("v1 Secret", &tenant.work, "db").await.unwrap();
    assert_eq!(same["metadata"]["resourceVersion"], version);

    let changed = Instant::now();
    vault.write(&format!("{}/db", tenant.work), json!({ "password": "rotated", "user": "pilot" })).await.unwrap();
    let place = ("v1 Secret", tenant.work.as_str(), "db");
    let follows = |secret: &Value| value(secret, "password") == "rotated" && secret["data"].get("port").is_none();
    tenant.cluster.wait_for("the Secret follows", place, PATIENCE, follows).await.unwrap();
    assert!(changed.elapsed() < Duration::from_secs(10), "{:?}", changed.elapsed());
    assert!(!running.log().contains(CANARY));
}

#[tokio::test]
async fn a_service_account_logs_in_and_an_annotation_forces_a_read() {
    let tenant = Bed::attach().unwrap().tenant("login").await.unwrap();
    let vault = tenant.bed.vault().await.unwrap();
    vault.write(&format!("{}/db", tenant.work), json!({ "password": "first" })).await.unwrap();
    let reviewer = tenant.cluster.token(&tenant.keys, "chancery").await.unwrap();
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": format!("{}-reviewer", tenant.work) },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator" },
        "subjects": [{ "kind": "ServiceAccount", "name": "chancery", "namespace": tenant.keys }],
    });
    tenant.cluster.apply_object(&binding).await.unwrap();
    vault.allow_kubernetes(&tenant.bed.url, &tenant.bed.ca, &reviewer, &tenant.work, &tenant.work).await.unwrap();
    let auth = json!({ "kubernetes": { "mountPath": "kubernetes", "role": tenant.work, "serviceAccountRef": { "name": "default" } } });
    tenant.cluster.apply_object(&store(&tenant, "vault", &tenant.bed.vault_url, &auth)).await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let _running = operator.start().unwrap();
    tenant.cluster.apply_object(&external(&tenant, "db", "vault", &one_value(&tenant, "db"))).await.unwrap();
    ready(&tenant, EXTERNAL, "db", "True").await;

    vault.write(&format!("{}/db", tenant.work), json!({ "password": "second" })).await.unwrap();
    let force = json!({ "metadata": { "annotations": { "force-sync": "1" } } });
    tenant.cluster.patch(EXTERNAL, &tenant.work, "db", &force).await.unwrap();
    let place = ("v1 Secret", tenant.work.as_str(), "db");
    tenant
        .cluster
        .wait_for("it is read at once", place, PATIENCE, |secret| value(secret, "password") == "second")
        .await
        .unwrap();

    tenant.cluster.patch(place.0, place.1, place.2, &json!({ "data": { "password": "aGFuZA==" } })).await.unwrap();
    tenant
        .cluster
        .wait_for("the edit is reverted", place, PATIENCE, |secret| value(secret, "password") == "second")
        .await
        .unwrap();
    tenant.cluster.delete(place.0, place.1, place.2).await.unwrap();
    tenant
        .cluster
        .wait_for("the Secret is back", place, PATIENCE, |secret| value(secret, "password") == "second")
        .await
        .unwrap();
}

#[tokio::test]
async fn trouble_with_the_store_is_named_the_last_good_secret_stays_and_neighbours_go_on() {
    let tenant = Bed::attach().unwrap().tenant("trouble").await.unwrap();
    let vault = tenant.bed.vault().await.unwrap();
    for key in ["db", "gone"] {
        vault.write(&format!("{}/{key}", tenant.work), json!({ "password": CANARY })).await.unwrap();
    }
    token_store(&tenant, "vault").await;
    let auth = json!({ "tokenSecretRef": { "name": "vault-token", "key": "token" } });
    tenant.cluster.apply_object(&store(&tenant, "dead", "http://127.0.0.1:1", &auth)).await.unwrap();
    let elsewhere = json!({ "tokenSecretRef": { "name": "vault-token", "namespace": "kube-system", "key": "token" } });
    tenant.cluster.apply_object(&store(&tenant, "elsewhere", &tenant.bed.vault_url, &elsewhere)).await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let _running = operator.start().unwrap();

    let mut fields = one_value(&tenant, "gone");
    fields["refreshInterval"] = json!("1s");
    tenant.cluster.apply_object(&external(&tenant, "gone", "vault", &fields)).await.unwrap();
    ready(&tenant, EXTERNAL, "gone", "True").await;
    vault.delete(&format!("{}/gone", tenant.work)).await.unwrap();
    let told = ready(&tenant, EXTERNAL, "gone", "False").await;
    assert_eq!(told["status"]["chancery"]["cause"], "NotFound", "{}", message(&told, "Ready"));
    assert!(message(&told, "Ready").starts_with(&format!("{}/gone does not exist", tenant.work)));
    let kept = tenant.cluster.get("v1 Secret", &tenant.work, "gone").await.unwrap();
    assert_eq!(value(&kept, "password"), CANARY, "the last good Secret stays");

    let unsupported = json!({ "target": { "manifest": { "apiVersion": "v1", "kind": "ConfigMap" } } });
    let mut elsewhere = one_value(&tenant, "db");
    elsewhere.as_object_mut().unwrap().extend(unsupported.as_object().unwrap().clone());
    let forbidden = json!({ "data": [{ "secretKey": "a", "remoteRef": { "key": "other/db" } }] });
    for (name, store, fields, cause) in [
        ("dead", "dead", one_value(&tenant, "db"), "Unreachable"),
        ("elsewhere", "elsewhere", one_value(&tenant, "db"), "ForeignNamespace"),
        ("nowhere", "nowhere", one_value(&tenant, "db"), "StoreNotFound"),
        ("missing", "vault", one_value(&tenant, "missing"), "NotFound"),
        ("forbidden", "vault", forbidden, "PermissionDenied"),
        ("manifest", "vault", elsewhere, "UnsupportedField"),
    ] {
        tenant.cluster.apply_object(&external(&tenant, name, store, &fields)).await.unwrap();
        let told = ready(&tenant, EXTERNAL, name, "False").await;
        assert_eq!(told["status"]["chancery"]["cause"], cause, "{name}: {}", message(&told, "Ready"));
        assert!(tenant.cluster.find("v1 Secret", &tenant.work, name).await.unwrap().is_none(), "{name}");
    }
    tenant.cluster.apply_object(&external(&tenant, "neighbour", "vault", &one_value(&tenant, "db"))).await.unwrap();
    ready(&tenant, EXTERNAL, "neighbour", "True").await;
    ready(&tenant, STORE, "elsewhere", "False").await;

    // A store that comes right wakes what waits for it.
    let auth = json!({ "tokenSecretRef": { "name": "vault-token", "key": "token" } });
    tenant.cluster.apply_object(&store(&tenant, "nowhere", &tenant.bed.vault_url, &auth)).await.unwrap();
    ready(&tenant, EXTERNAL, "nowhere", "True").await;
}

#[tokio::test]
async fn a_foreign_secret_is_left_alone_until_it_is_given_over() {
    let tenant = Bed::attach().unwrap().tenant("theirs").await.unwrap();
    let vault = tenant.bed.vault().await.unwrap();
    vault.write(&format!("{}/db", tenant.work), json!({ "password": CANARY })).await.unwrap();
    token_store(&tenant, "vault").await;
    let foreign = crate::support::secret(&tenant.work, "db", &json!({ "password": "theirs" }));
    tenant.cluster.apply_object(&foreign).await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let _running = operator.start().unwrap();
    tenant.cluster.apply_object(&external(&tenant, "db", "vault", &one_value(&tenant, "db"))).await.unwrap();
    let told = ready(&tenant, EXTERNAL, "db", "False").await;
    assert!(message(&told, "Ready").contains("chancery.dev/adopt=true"), "{}", message(&told, "Ready"));
    let kept = tenant.cluster.get("v1 Secret", &tenant.work, "db").await.unwrap();
    assert_eq!(value(&kept, "password"), "theirs");
    let adopt = json!({ "metadata": { "annotations": { "chancery.dev/adopt": "true" } } });
    tenant.cluster.patch("v1 Secret", &tenant.work, "db", &adopt).await.unwrap();
    ready(&tenant, EXTERNAL, "db", "True").await;
}

#[tokio::test]
async fn a_restart_over_unchanged_objects_reads_no_value_and_writes_nothing() {
    let tenant = Bed::attach().unwrap().tenant("again").await.unwrap();
    let vault = tenant.bed.vault().await.unwrap();
    vault.write(&format!("{}/db", tenant.work), json!({ "password": CANARY })).await.unwrap();
    token_store(&tenant, "vault").await;
    let operator = tenant.operator(&ONLY).await.unwrap();
    let first = operator.start().unwrap();
    tenant.cluster.apply_object(&external(&tenant, "db", "vault", &one_value(&tenant, "db"))).await.unwrap();
    ready(&tenant, EXTERNAL, "db", "True").await;
    ready(&tenant, STORE, "vault", "True").await;
    assert!(first.stop());

    let reads =
        |log: &std::path::Path| std::fs::read_to_string(log).unwrap().matches(&format!("{}/db", tenant.work)).count();
    let (mark, before) = (tenant.bed.mark().unwrap(), reads(&tenant.bed.vault_audit_log));
    assert!(before > 0, "the store's audit log tells of reads");
    let second = operator.start().unwrap();
    let started = Instant::now();
    while second.metric("chancery_reconciles_total").await.unwrap() < 2.0 {
        assert!(started.elapsed() < PATIENCE, "nothing is reconciled:\n{}", second.tail(20));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(reads(&tenant.bed.vault_audit_log), before);
    let writes = mark.writes(&operator.user).unwrap();
    assert!(writes.is_empty(), "{writes:?}");
}

#[tokio::test]
async fn a_hint_about_a_store_is_followed_before_the_interval_is_over() {
    let tenant = Bed::attach().unwrap().tenant("hint").await.unwrap();
    let vault = tenant.bed.vault().await.unwrap();
    let path = format!("{}/db", tenant.work);
    vault.write(&path, json!({ "password": CANARY })).await.unwrap();
    token_store(&tenant, "vault").await;
    let operator = tenant.operator(&ONLY).await.unwrap();
    let _running = operator.start().unwrap();
    tenant.cluster.apply_object(&external(&tenant, "db", "vault", &one_value(&tenant, "db"))).await.unwrap();
    ready(&tenant, EXTERNAL, "db", "True").await;
    vault.write(&path, json!({ "password": "rotated" })).await.unwrap();
    let store = format!("SecretStore/{}/vault", tenant.work);
    crate::application::ring(&tenant, &json!({ "at": "2026-01-01T00:00:00Z", "store": store, "key": path })).await;
    let place = ("v1 Secret", tenant.work.as_str(), "db");
    let follows = |secret: &Value| value(secret, "password") == "rotated";
    tenant.cluster.wait_for("the Secret follows", place, PATIENCE, follows).await.unwrap();
}

/// The reference's state is made by our own operator with `--external-secrets-data-hash`, without what only we remember and
/// with the reference's finalizer; the recorded scenarios hold the first to be the reference's, to the hash.
#[tokio::test]
async fn what_the_reference_left_is_taken_up_without_a_rewrite_and_given_back_as_it_was() {
    let tenant = Bed::attach().unwrap().tenant("handover").await.unwrap();
    let vault = tenant.bed.vault().await.unwrap();
    vault.write(&format!("{}/db", tenant.work), json!({ "password": CANARY })).await.unwrap();
    token_store(&tenant, "vault").await;
    let with_hash = tenant.operator(&[ONLY[0], "--external-secrets-data-hash"]).await.unwrap();
    let running = with_hash.start().unwrap();
    tenant.cluster.apply_object(&external(&tenant, "db", "vault", &one_value(&tenant, "db"))).await.unwrap();
    let before = ready(&tenant, EXTERNAL, "db", "True").await;
    ready(&tenant, STORE, "vault", "True").await;
    assert!(running.stop());
    let finalizer =
        json!({ "metadata": { "finalizers": ["externalsecrets.external-secrets.io/externalsecret-cleanup"] } });
    tenant.cluster.patch(EXTERNAL, &tenant.work, "db", &finalizer).await.unwrap();
    tenant.cluster.patch_status(EXTERNAL, &tenant.work, "db", &json!({ "chancery": null })).await.unwrap();
    let made = tenant.cluster.get("v1 Secret", &tenant.work, "db").await.unwrap();
    assert!(made["metadata"]["annotations"].get("reconcile.external-secrets.io/data-hash").is_some());

    let reads = || {
        std::fs::read_to_string(&tenant.bed.vault_audit_log).unwrap().matches(&format!("{}/db", tenant.work)).count()
    };
    let (reads_before, mark) = (reads(), tenant.bed.mark().unwrap());
    let operator = tenant.operator(&ONLY).await.unwrap();
    let running = operator.start().unwrap();
    let place = (EXTERNAL, tenant.work.as_str(), "db");
    let is_noted = |object: &Value| object["status"]["chancery"]["target"]["uid"].is_string();
    let after = tenant.cluster.wait_for("it is taken note of", place, PATIENCE, is_noted).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(running.stop());
    let same = tenant.cluster.get("v1 Secret", &tenant.work, "db").await.unwrap();
    assert_eq!(same["metadata"], made["metadata"]);
    assert_eq!(reads(), reads_before);
    let writes = mark.writes(&operator.user).unwrap();
    assert!(writes.keys().all(|call| call.contains("status")), "{writes:?}");
    for field in ["refreshTime", "syncedResourceVersion", "binding", "conditions"] {
        assert_eq!(
            after["status"][field], before["status"][field],
            "{field}: what the reference reads when it comes back"
        );
    }

    let running = operator.start().unwrap();
    tenant.cluster.delete(EXTERNAL, &tenant.work, "db").await.unwrap();
    tenant.cluster.wait_gone(EXTERNAL, &tenant.work, "db", PATIENCE).await.unwrap();
    assert!(running.stop());
}

#[tokio::test]
async fn a_first_sync_takes_at_most_three_writes() {
    let tenant = Bed::attach().unwrap().tenant("few").await.unwrap();
    let vault = tenant.bed.vault().await.unwrap();
    vault.write(&format!("{}/db", tenant.work), json!({ "password": CANARY })).await.unwrap();
    token_store(&tenant, "vault").await;
    let operator = tenant.operator(&ONLY).await.unwrap();
    let _running = operator.start().unwrap();
    ready(&tenant, STORE, "vault", "True").await;
    // With the very first one the install key is made.
    tenant.cluster.apply_object(&external(&tenant, "first", "vault", &one_value(&tenant, "db"))).await.unwrap();
    ready(&tenant, EXTERNAL, "first", "True").await;
    let mark = tenant.bed.mark().unwrap();
    tenant.cluster.apply_object(&external(&tenant, "db", "vault", &one_value(&tenant, "db"))).await.unwrap();
    ready(&tenant, EXTERNAL, "db", "True").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut writes = mark.writes(&operator.user).unwrap();
    writes.retain(|call, _| !call.contains("lease"));
    assert!(writes.values().sum::<usize>() <= 3, "{writes:?}");
}

#[tokio::test]
async fn a_target_that_somebody_goes_on_writing_is_told_of_and_healed_when_they_end() {
    const RIVALS: usize = 8;
    let tenant = Bed::attach().unwrap().tenant("fought").await.unwrap();
    let vault = tenant.bed.vault().await.unwrap();
    vault.write(&format!("{}/db", tenant.work), json!({ "password": CANARY })).await.unwrap();
    token_store(&tenant, "vault").await;
    let operator = tenant.operator(&ONLY).await.unwrap();
    let _running = operator.start().unwrap();
    tenant.cluster.apply_object(&external(&tenant, "db", "vault", &one_value(&tenant, "db"))).await.unwrap();
    ready(&tenant, EXTERNAL, "db", "True").await;

    let rivals: Vec<_> = (0..RIVALS)
        .map(|rival| {
            let tenant = tenant.clone();
            tokio::spawn(async move {
                for turn in 0.. {
                    let edit = json!({ "stringData": { "password": format!("{rival}-{turn}") } });
                    let _ = tenant.cluster.patch("v1 Secret", &tenant.work, "db", &edit).await;
                }
            })
        })
        .collect();
    let told = ready(&tenant, EXTERNAL, "db", "False").await;
    rivals.iter().for_each(tokio::task::JoinHandle::abort);
    assert_eq!(told["status"]["chancery"]["cause"], "Conflict", "{}", message(&told, "Ready"));
    assert!(message(&told, "Ready").contains("somebody else goes on writing it"), "{}", message(&told, "Ready"));
    crate::support::told(&tenant, &tenant.work, "db", "Warning UpdateFailed").await;
    ready(&tenant, EXTERNAL, "db", "True").await;
    let place = ("v1 Secret", tenant.work.as_str(), "db");
    let healed = |secret: &Value| value(secret, "password") == CANARY;
    tenant.cluster.wait_for("it is healed", place, PATIENCE, healed).await.unwrap();
}
