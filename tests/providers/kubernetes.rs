//! Secrets of another namespace, read with a service account.

use base64::Engine;
use bed::Bed;
use serde_json::{Value, json};

use super::{EXTERNAL, ONLY, STORE, assert_values, cause, data, external, ready, secret, store};

#[tokio::test]
async fn another_namespace_is_read_with_the_rights_of_an_account() {
    let tenant = Bed::attach().unwrap().tenant("kube").await.unwrap();
    let other = format!("{}-src", tenant.work);
    tenant.cluster.namespace(&other).await.unwrap();
    let source = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "db", "namespace": other, "labels": { "team": "kelp" } },
        "stringData": { "user": "orla", "json": r#"{"a":{"b":[1,2]}}"#, "html": "<&>" },
    });
    tenant.cluster.apply_object(&source).await.unwrap();
    let account = |name: &str| json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "namespace": tenant.work } });
    for object in [
        account("reader"),
        account("nobody"),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "read", "namespace": other },
            "rules": [{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"] }],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": "read", "namespace": other },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "read" },
            "subjects": [{ "kind": "ServiceAccount", "name": "reader", "namespace": tenant.work }],
        }),
    ] {
        tenant.cluster.apply_object(&object).await.unwrap();
    }
    let server =
        json!({ "url": tenant.bed.url, "caBundle": base64::engine::general_purpose::STANDARD.encode(&tenant.bed.ca) });
    let provider = |server: &Value, account: &str| {
        json!({ "kubernetes": {
        "remoteNamespace": other, "server": server, "auth": { "serviceAccount": { "name": account } },
    } })
    };
    store(&tenant, "kube", &provider(&server, "reader")).await;
    // Without an address it is the cluster that we run in.
    store(&tenant, "own", &provider(&json!({}), "reader")).await;
    store(&tenant, "nobody", &provider(&server, "nobody")).await;
    // A token of the account, and an administrator's kubeconfig with its certificate.
    let login = json!({
        "token": tenant.cluster.token(&tenant.work, "reader").await.unwrap(),
        "config": std::fs::read_to_string(&tenant.bed.kubeconfig).unwrap(),
    });
    secret(&tenant, "login", &login).await;
    let token = json!({ "token": { "bearerToken": { "name": "login", "key": "token" } } });
    let by_token = json!({ "kubernetes": { "remoteNamespace": other, "server": server, "auth": token } });
    store(&tenant, "token", &by_token).await;
    let by_config =
        json!({ "kubernetes": { "remoteNamespace": other, "authRef": { "name": "login", "key": "config" } } });
    store(&tenant, "config", &by_config).await;
    let _running = tenant.operator(&ONLY).await.unwrap().start().unwrap();

    external(
        &tenant,
        "data",
        "kube",
        &data(&[
            ("user", "db", json!({ "property": "user" })),
            ("deep", "db", json!({ "property": "json.a.b.1" })),
            ("team", "db", json!({ "property": "labels.team", "metadataPolicy": "Fetch" })),
            ("whole", "db", json!({})),
        ]),
    )
    .await;
    let whole = r#"{"html":"<&>","json":"{\"a\":{\"b\":[1,2]}}","user":"orla"}"#;
    assert_values(&tenant, "data", &[("user", "orla"), ("deep", "2"), ("team", "kelp"), ("whole", whole)]).await;
    external(&tenant, "extract", "own", &json!({ "dataFrom": [{ "extract": { "key": "db", "property": "json" } }] }))
        .await;
    assert_values(&tenant, "extract", &[("a", r#"{"b":[1,2]}"#)]).await;

    for name in ["token", "config"] {
        external(&tenant, name, name, &data(&[("user", "db", json!({ "property": "user" }))])).await;
        assert_values(&tenant, name, &[("user", "orla")]).await;
    }

    external(&tenant, "missing", "kube", &data(&[("k", "nope", json!({ "property": "x" }))])).await;
    assert_eq!(cause(&ready(&tenant, EXTERNAL, "missing", "False").await), "NotFound");
    let refused = ready(&tenant, STORE, "nobody", "False").await;
    assert_eq!(refused["status"]["conditions"][0]["reason"], "InvalidProviderConfig");
    assert_eq!(refused["status"]["chancery"]["cause"], "PermissionDenied");
}
