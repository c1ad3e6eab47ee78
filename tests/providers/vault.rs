//! The ways into OpenBao, both versions of its engine, and what is deleted in it.

use bed::Bed;
use serde_json::{Value, json};

use super::{EXTERNAL, ONLY, STORE, assert_values, cause, data, external, ready, secret, store};

fn provider(url: &str, more: &Value) -> Value {
    let mut vault = json!({ "server": url, "path": "secret", "version": "v2" });
    vault.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "vault": vault })
}

#[tokio::test]
async fn roles_users_and_signed_tokens_log_in() {
    let tenant = Bed::attach().unwrap().tenant("ways").await.unwrap();
    let (vault, id) = (tenant.bed.vault().await.unwrap(), tenant.work.clone());
    vault.write(&format!("{id}/db"), json!({ "password": "p" })).await.unwrap();
    // The policy and a token of it.
    let token = vault.reader_token(&id, &id).await.unwrap();
    for method in ["approle", "userpass", "jwt"] {
        vault.call("POST", &format!("sys/auth/{id}-{method}"), Some(json!({ "type": method }))).await.unwrap();
    }
    let policies = json!({ "token_policies": [id], "token_ttl": "1h" });
    vault.call("POST", &format!("auth/{id}-approle/role/app"), Some(policies.clone())).await.unwrap();
    let role = vault.call("GET", &format!("auth/{id}-approle/role/app/role-id"), None).await.unwrap();
    let made = vault.call("POST", &format!("auth/{id}-approle/role/app/secret-id"), Some(json!({}))).await.unwrap();
    let user = json!({ "password": "word", "token_policies": [id] });
    vault.call("POST", &format!("auth/{id}-userpass/users/kim"), Some(user)).await.unwrap();
    // The API server signs the tokens of accounts: its own key is asked for.
    let keys = json!({ "jwks_url": format!("{}/openid/v1/jwks", tenant.bed.url), "jwks_ca_pem": tenant.bed.ca });
    let anyone = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": format!("{id}-jwks") },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:service-account-issuer-discovery" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:unauthenticated" }],
    });
    tenant.cluster.apply_object(&anyone).await.unwrap();
    vault.call("POST", &format!("auth/{id}-jwt/config"), Some(keys)).await.unwrap();
    let bound = json!({
        "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "token_policies": [id],
        "bound_subject": format!("system:serviceaccount:{id}:default"),
    });
    vault.call("POST", &format!("auth/{id}-jwt/role/app"), Some(bound)).await.unwrap();

    let secret_id = made["data"]["secret_id"].as_str().unwrap();
    secret(&tenant, "login", &json!({ "secret-id": secret_id, "password": "word", "token": token, "wrong": "nope" }))
        .await;
    let of = |key: &str| json!({ "name": "login", "key": key });
    let ways = [
        (
            "approle",
            json!({ "appRole": { "path": format!("{id}-approle"), "roleId": role["data"]["role_id"], "secretRef": of("secret-id") } }),
        ),
        (
            "userpass",
            json!({ "userPass": { "path": format!("{id}-userpass"), "username": "kim", "secretRef": of("password") } }),
        ),
        (
            "jwt",
            json!({ "jwt": { "path": format!("{id}-jwt"), "role": "app", "kubernetesServiceAccountToken": { "serviceAccountRef": { "name": "default" } } } }),
        ),
        ("token", json!({ "tokenSecretRef": of("token") })),
    ];
    for (name, auth) in &ways {
        store(&tenant, name, &provider(&tenant.bed.vault_url, &json!({ "auth": auth }))).await;
    }
    let wrong =
        json!({ "userPass": { "path": format!("{id}-userpass"), "username": "kim", "secretRef": of("wrong") } });
    store(&tenant, "wrong", &provider(&tenant.bed.vault_url, &json!({ "auth": wrong }))).await;
    let bao = json!({ "openBao": { "server": tenant.bed.vault_url, "path": "secret", "auth": { "tokenSecretRef": of("token") } } });
    store(&tenant, "bao", &bao).await;

    let _running = tenant.operator(&ONLY).await.unwrap().start().unwrap();
    for name in ways.iter().map(|(name, _)| *name).chain(["bao"]) {
        external(&tenant, name, name, &data(&[("p", &format!("{id}/db"), json!({ "property": "password" }))])).await;
    }
    for name in ways.iter().map(|(name, _)| *name).chain(["bao"]) {
        assert_values(&tenant, name, &[("p", "p")]).await;
    }
    let refused = ready(&tenant, STORE, "wrong", "False").await;
    assert_eq!(refused["status"]["chancery"]["cause"], "PermissionDenied");
    assert!(crate::support::message(&refused, "Ready").contains(&format!("auth/{id}-userpass/login")));

    // A token that is taken back is got anew, without anyone noticing.
    let taken = json!({ "prefix": format!("auth/{id}-approle/login") });
    vault.call("PUT", &format!("sys/leases/revoke-prefix/{}", taken["prefix"].as_str().unwrap()), None).await.unwrap();
    let force = json!({ "metadata": { "annotations": { "force-sync": "1" } } });
    vault.write(&format!("{id}/db"), json!({ "password": "q" })).await.unwrap();
    tenant.cluster.patch(EXTERNAL, &id, "approle", &force).await.unwrap();
    let follows = |secret: &Value| crate::support::value(secret, "p") == "q";
    let place = ("v1 Secret", id.as_str(), "approle");
    tenant.cluster.wait_for("it follows", place, bed::cluster::PATIENCE, follows).await.unwrap();
}

#[tokio::test]
async fn versions_metadata_and_deletions_are_told_apart() {
    let tenant = Bed::attach().unwrap().tenant("kv").await.unwrap();
    let (vault, id) = (tenant.bed.vault().await.unwrap(), tenant.work.clone());
    for (mount, version) in [("one", "1"), ("two", "2")] {
        let engine = json!({ "type": "kv", "options": { "version": version } });
        vault.call("POST", &format!("sys/mounts/{id}-{mount}"), Some(engine)).await.unwrap();
    }
    vault.call("POST", &format!("{id}-one/app"), Some(json!({ "k": "v", "port": 5432 }))).await.unwrap();
    let put = async |key: &str, data: Value| {
        // A new engine takes a moment to be ready.
        for _ in 0..50 {
            if vault.call("POST", &format!("{id}-two/data/{key}"), Some(json!({ "data": data }))).await.is_ok() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("the engine does not become ready");
    };
    put("app", json!({ "k": "first" })).await;
    put("app", json!({ "k": "second", "html": "<&>", "o": { "z": 1, "a": [true] } })).await;
    let custom = json!({ "custom_metadata": { "team": "kelp" } });
    vault.call("POST", &format!("{id}-two/metadata/app"), Some(custom)).await.unwrap();
    put("deleted", json!({ "k": "v" })).await;
    vault.call("DELETE", &format!("{id}-two/data/deleted"), None).await.unwrap();
    put("destroyed", json!({ "k": "v" })).await;
    vault.call("PUT", &format!("{id}-two/destroy/destroyed"), Some(json!({ "versions": [1] }))).await.unwrap();
    secret(&tenant, "root", &json!({ "token": bed::vault::ROOT_TOKEN })).await;
    let auth = json!({ "tokenSecretRef": { "name": "root", "key": "token" } });
    for (name, path, version) in [("one", "one", "v1"), ("two", "two", "v2"), ("none", "none", "v2")] {
        let settings = json!({ "path": format!("{id}-{path}"), "version": version, "auth": auth });
        store(&tenant, name, &provider(&tenant.bed.vault_url, &settings)).await;
    }
    let _running = tenant.operator(&ONLY).await.unwrap().start().unwrap();
    external(
        &tenant,
        "two",
        "two",
        &data(&[
            ("now", "app", json!({ "property": "k" })),
            ("then", "app", json!({ "property": "k", "version": "1" })),
            ("team", "app", json!({ "property": "team", "metadataPolicy": "Fetch" })),
            ("number", "app", json!({ "property": "current_version", "metadataPolicy": "Fetch" })),
            ("whole", "app", json!({})),
        ]),
    )
    .await;
    let whole = r#"{"html":"\u003c\u0026\u003e","k":"second","o":{"a":[true],"z":1}}"#;
    let expected = [("now", "second"), ("then", "first"), ("team", "kelp"), ("number", "2"), ("whole", whole)];
    assert_values(&tenant, "two", &expected).await;
    external(&tenant, "one", "one", &json!({ "dataFrom": [{ "extract": { "key": "app" } }] })).await;
    assert_values(&tenant, "one", &[("k", "v"), ("port", "5432")]).await;
    for (name, store, key, expected) in [
        ("deleted", "two", "deleted", "NotFound"),
        ("destroyed", "two", "destroyed", "NotFound"),
        ("absent", "two", "nope", "NotFound"),
        ("mount", "none", "app", "NoEngine"),
    ] {
        external(&tenant, name, store, &data(&[("k", key, json!({ "property": "k" }))])).await;
        assert_eq!(cause(&ready(&tenant, EXTERNAL, name, "False").await), expected, "{name}");
    }
}
