//! The ways into OpenBao, both versions of its engine, and what is deleted in it; a fake of Vault for the ways that
//! OpenBao does not have.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bed::Bed;
use bed::fake::{Asked, Fake, Reply};
use serde_json::{Value, json};

use super::{EXTERNAL, ONLY, STORE, assert_values, cause, data, external, google, ready, secret, store};

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
        vault.mount_kv("", &format!("{id}-{mount}"), version).await.unwrap();
    }
    vault.call("POST", &format!("{id}-one/app"), Some(json!({ "k": "v", "port": 5432 }))).await.unwrap();
    let put = async |key: &str, data: Value| {
        vault.call("POST", &format!("{id}-two/data/{key}"), Some(json!({ "data": data }))).await.unwrap();
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

#[tokio::test]
async fn namespaces_are_logged_in_to_and_read_each_by_itself() {
    let tenant = Bed::attach().unwrap().tenant("spaces").await.unwrap();
    let (vault, id) = (tenant.bed.vault().await.unwrap(), tenant.work.clone());
    vault.call("POST", &format!("sys/namespaces/{id}"), Some(json!({}))).await.unwrap();
    vault.call("POST", &format!("{id}/sys/namespaces/inner"), Some(json!({}))).await.unwrap();
    let inner = format!("{id}/inner");
    vault.mount_kv(&inner, "secret", "2").await.unwrap();
    let body = json!({ "data": { "k": "inner" } });
    vault.call("POST", &format!("{inner}/secret/data/db"), Some(body)).await.unwrap();
    let rules = json!({ "policy": "path \"inner/secret/data/*\" { capabilities = [\"read\"] }" });
    vault.call("POST", &format!("{id}/sys/policies/acl/reader"), Some(rules)).await.unwrap();
    vault.call("POST", &format!("{id}/sys/auth/approle"), Some(json!({ "type": "approle" }))).await.unwrap();
    let role = format!("{id}/auth/approle/role/app");
    vault.call("POST", &role, Some(json!({ "token_policies": ["reader"] }))).await.unwrap();
    let role_id = vault.call("GET", &format!("{role}/role-id"), None).await.unwrap();
    let secret_id = vault.call("POST", &format!("{role}/secret-id"), Some(json!({}))).await.unwrap();
    secret(&tenant, "login", &json!({ "id": secret_id["data"]["secret_id"], "root": bed::vault::ROOT_TOKEN })).await;
    let of = |key: &str| json!({ "name": "login", "key": key });
    let role = json!({ "path": "approle", "roleId": role_id["data"]["role_id"], "secretRef": of("id") });
    for (name, settings) in [
        ("both", json!({ "namespace": inner, "auth": { "namespace": id, "appRole": role } })),
        ("read", json!({ "namespace": inner, "auth": { "tokenSecretRef": of("root") } })),
        // The role is in the outer one.
        ("wrong", json!({ "namespace": inner, "auth": { "appRole": role } })),
    ] {
        store(&tenant, name, &provider(&tenant.bed.vault_url, &settings)).await;
    }
    let _running = tenant.operator(&ONLY).await.unwrap().start().unwrap();
    for name in ["both", "read"] {
        ready(&tenant, STORE, name, "True").await;
        external(&tenant, name, name, &data(&[("k", "db", json!({ "property": "k" }))])).await;
        assert_values(&tenant, name, &[("k", "inner")]).await;
    }
    assert_eq!(ready(&tenant, STORE, "wrong", "False").await["status"]["chancery"]["cause"], "PermissionDenied");
}

/// What Vault answers to a login.
pub(super) fn granted(token: &str) -> Reply {
    let auth = json!({
        "client_token": token, "accessor": "a", "policies": [], "token_policies": [], "metadata": {},
        "lease_duration": 3600, "renewable": true, "entity_id": "", "token_type": "service", "orphan": true,
    });
    Reply::json(
        200,
        &json!({
            "request_id": "r", "lease_id": "", "lease_duration": 0, "renewable": false, "data": null, "wrap_info": null,
            "warnings": null, "auth": auth,
        }),
    )
}

/// Vault's logins that OpenBao does not have without plugins (AWS, Google, LDAP), as its reference defines them; each
/// secret says whose token asks.
fn vault_of_clouds(asked: &Asked) -> Reply {
    let token = asked.header("x-vault-token");
    match (asked.method.as_str(), asked.path()) {
        ("POST", "/v1/auth/aws/login") if is_signed_question(&asked.json()) => granted("aws"),
        ("POST", "/v1/auth/gcp/login") if is_signed_by_google(&asked.json()) => granted("gcp"),
        ("POST", "/v1/auth/ldap/login/kim") if asked.json() == json!({ "password": "word" }) => granted("ldap"),
        (_, path) if path.contains("/login") => Reply::json(400, &json!({ "errors": ["no"] })),
        ("GET", "/v1/auth/token/lookup-self") => Reply::json(200, &json!({ "data": {} })),
        ("GET", "/v1/secret/data/who") => {
            let data = json!({ "data": { "who": token }, "metadata": { "version": 1 } });
            Reply::json(200, &json!({ "data": data }))
        }
        ("GET", "/v1/secret/data/busy") => {
            Reply { headers: vec![("retry-after", "7".to_owned())], ..Reply::json(429, &json!({ "errors": ["slow"] })) }
        }
        ("GET", "/v1/secret/data/moved") => Reply {
            status: 307,
            headers: vec![("location", "http://169.254.169.254/latest/meta-data".to_owned())],
            ..Reply::default()
        },
        _ => Reply::json(404, &json!({ "errors": [] })),
    }
}

/// A signed "who am I" that AWS would answer, with the word that this Vault wants to find in it.
fn is_signed_question(login: &Value) -> bool {
    let decoded = |name: &str| {
        let bytes = STANDARD.decode(login[name].as_str().unwrap_or_default()).unwrap_or_default();
        String::from_utf8(bytes).unwrap_or_default()
    };
    let headers: Value = serde_json::from_str(&decoded("iam_request_headers")).unwrap_or_default();
    let authorization = headers["authorization"][0].as_str().unwrap_or_default();
    login["role"] == "app"
        && login["iam_http_request_method"] == "POST"
        && decoded("iam_request_url") == "https://sts.eu-west-1.amazonaws.com/"
        && decoded("iam_request_body") == "Action=GetCallerIdentity&Version=2011-06-15"
        && headers["x-vault-aws-iam-server-id"][0] == "vault.example"
        && authorization.contains("Credential=AKID/")
        && authorization.contains("/eu-west-1/sts/aws4_request")
        && authorization.contains("x-vault-aws-iam-server-id")
}

/// What the key of a service account signs for a role.
fn is_signed_by_google(login: &Value) -> bool {
    let token = login["jwt"].as_str().unwrap_or_default();
    let parts: Vec<Value> = token
        .split('.')
        .take(2)
        .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap_or_default()).unwrap_or_default())
        .collect();
    let [header, claims] = parts.as_slice() else { return false };
    let seconds = |name: &str| claims[name].as_u64().unwrap_or_default();
    login["role"] == "app"
        && header["alg"] == "RS256"
        && header["kid"] == "1"
        && claims["sub"] == "a@p.iam.gserviceaccount.com"
        && claims["aud"] == "vault/app"
        && (1..=900).contains(&(seconds("exp") - seconds("iat")))
}

#[tokio::test]
async fn identities_that_openbao_does_not_know_log_in_and_pauses_are_kept() {
    let tenant = Bed::attach().unwrap().tenant("trusted").await.unwrap();
    let fake = Fake::start(vault_of_clouds).await.unwrap();
    let keys = json!({ "id": "AKID", "key": "key", "gcp": google::account_key(&fake).to_string(), "word": "word" });
    secret(&tenant, "keys", &keys).await;
    let of = |key: &str| json!({ "name": "keys", "key": key });
    let aws = json!({ "accessKeyIDSecretRef": of("id"), "secretAccessKeySecretRef": of("key") });
    let iam = |id: &str| {
        json!({ "iam": {
            "region": "eu-west-1", "vaultRole": "app", "vaultAwsIamServerID": id, "secretRef": aws,
        } })
    };
    let gcp = json!({ "gcp": { "role": "app", "secretRef": { "secretAccessKeySecretRef": of("gcp") } } });
    let unsupported = json!({ "gcp": { "role": "app", "workloadIdentity": { "serviceAccountRef": { "name": "a" } } } });
    let ldap = |key: &str| json!({ "ldap": { "path": "ldap", "username": "kim", "secretRef": of(key) } });
    for (name, auth) in [
        ("aws", iam("vault.example")),
        ("gcp", gcp),
        ("wrong", iam("another")),
        ("nobody", json!({ "gcp": { "role": "app" } })),
        ("unsupported", unsupported),
        ("token", json!({ "tokenSecretRef": of("word") })),
        ("ldap", ldap("word")),
        ("wrong-ldap", ldap("id")),
    ] {
        store(&tenant, name, &provider(&fake.url, &json!({ "auth": auth }))).await;
    }
    let _running = tenant.operator(&ONLY).await.unwrap().start().unwrap();
    for name in ["aws", "gcp", "ldap"] {
        external(&tenant, name, name, &data(&[("who", "who", json!({ "property": "who" }))])).await;
        assert_values(&tenant, name, &[("who", name)]).await;
    }
    for (name, cause, words) in [
        ("wrong", "PermissionDenied", "auth/aws/login with role \"app\""),
        ("wrong-ldap", "PermissionDenied", "auth/ldap/login with role \"kim\""),
        ("nobody", "InvalidConfiguration", "--ambient-namespaces"),
        ("unsupported", "UnsupportedField", "workloadIdentity"),
    ] {
        let refused = ready(&tenant, STORE, name, "False").await;
        assert_eq!(refused["status"]["chancery"]["cause"], cause, "{name}");
        let told = crate::support::message(&refused, "Ready");
        assert!(told.contains(words), "{name}: {told}");
    }
    for (key, expected, words) in
        [("busy", "Throttled", "wait for 7 s"), ("moved", "Malformed", "a redirect, which is not followed")]
    {
        external(
            &tenant,
            key,
            if key == "busy" { "token" } else { "gcp" },
            &data(&[("k", key, json!({ "property": "k" }))]),
        )
        .await;
        let refused = ready(&tenant, EXTERNAL, key, "False").await;
        assert_eq!(cause(&refused), expected, "{key}");
        let told = crate::support::message(&refused, "Ready");
        assert!(told.contains(words), "{key}: {told}");
    }
}
