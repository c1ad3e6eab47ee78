//! Google Secret Manager and Azure Key Vault: fakes that follow the published REST references.

use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bed::Bed;
use bed::fake::{Asked, Fake, Reply, rsa_identity};
use serde_json::json;

use super::{EXTERNAL, ONLY, STORE, assert_values, cause, data, external, ready, secret, store};

fn google_error(status: u16, word: &str) -> Reply {
    Reply::json(status, &json!({ "error": { "code": status, "status": word, "message": "no" } }))
}

/// Secret Manager's `versions.access`, `versions.list`, `secrets.get`, `secrets.list`; and the exchange of tokens.
fn google(asked: &Asked) -> Reply {
    if asked.path() == "/token" {
        return Reply::json(
            200,
            &json!({ "access_token": "exchanged", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token", "token_type": "Bearer", "expires_in": 3600 }),
        );
    }
    if !asked.authorization.starts_with("Bearer ") {
        return google_error(401, "UNAUTHENTICATED");
    }
    let payload = |name: &str, version: u32, value: &str| {
        Reply::json(
            200,
            &json!({
                "name": format!("projects/p/secrets/{name}/versions/{version}"), "payload": { "data": STANDARD.encode(value) },
            }),
        )
    };
    match asked.path().trim_start_matches("/v1/projects/p/secrets") {
        "/db/versions/latest:access" => payload("db", 2, r#"{"a.b":"literal","a":{"b":"path"},"n":1.50}"#),
        "/db/versions/1:access" => payload("db", 1, "first"),
        "/off/versions/latest:access" => google_error(400, "FAILED_PRECONDITION"),
        "/off/versions/3:access" => payload("off", 3, "newest"),
        "/off/versions" => Reply::json(
            200,
            &json!({ "versions": [
            { "name": "projects/p/secrets/off/versions/3", "state": "ENABLED" },
            { "name": "projects/p/secrets/off/versions/1", "state": "ENABLED" },
        ] }),
        ),
        "/sum/versions/latest:access" => Reply::json(
            200,
            &json!({
                "name": "projects/p/secrets/sum/versions/1", "payload": { "data": "YQ==", "dataCrc32c": "1" },
            }),
        ),
        "/db" => Reply::json(
            200,
            &json!({ "name": "projects/p/secrets/db", "labels": { "team": "kelp" }, "annotations": { "x.y": "z" } }),
        ),
        "" => Reply::json(
            200,
            &json!({ "secrets": [
            { "name": "projects/p/secrets/db", "labels": { "team": "kelp" } },
            { "name": "projects/p/secrets/web", "labels": {} },
        ] }),
        ),
        _ => google_error(404, "NOT_FOUND"),
    }
}

#[tokio::test]
async fn google_is_read_with_keys_and_exchanged_tokens() {
    let tenant = Bed::attach().unwrap().tenant("google").await.unwrap();
    let fake = Fake::start(google).await.unwrap();
    let (key, _) = rsa_identity().unwrap();
    let account = json!({
        "type": "service_account", "client_email": "a@p.iam.gserviceaccount.com", "private_key_id": "1",
        "private_key": key, "project_id": "p", "token_uri": format!("{}/token", fake.url),
    });
    secret(&tenant, "gcp", &json!({ "key.json": account.to_string() })).await;
    let configuration = json!({ "audience": "//iam.googleapis.com/x", "token_url": format!("{}/token", fake.url) });
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "wif", "namespace": tenant.work },
        "data": { "config": configuration.to_string() },
    });
    tenant.cluster.apply_object(&map).await.unwrap();
    let by_key = json!({ "secretRef": { "secretAccessKeySecretRef": { "name": "gcp", "key": "key.json" } } });
    store(&tenant, "key", &json!({ "gcpsm": { "projectID": "p", "auth": by_key } })).await;
    let policy = "LatestOrFetch";
    store(
        &tenant,
        "fetch",
        &json!({ "gcpsm": { "projectID": "p", "auth": by_key, "secretVersionSelectionPolicy": policy } }),
    )
    .await;
    let federated = json!({ "workloadIdentityFederation": {
        "credConfig": { "name": "wif", "key": "config" }, "serviceAccountRef": { "name": "default" },
        "audience": "//iam.googleapis.com/x",
    } });
    store(&tenant, "federated", &json!({ "gcpsm": { "projectID": "p", "auth": federated } })).await;
    store(&tenant, "nobody", &json!({ "gcpsm": { "projectID": "p" } })).await;
    let endpoint = format!("--google-secret-manager={}", fake.url);
    let _running = tenant.operator(&[ONLY[0], &endpoint]).await.unwrap().start().unwrap();

    external(
        &tenant,
        "values",
        "key",
        &data(&[
            ("dotted", "db", json!({ "property": "a.b" })),
            ("first", "db", json!({ "version": "1" })),
            ("team", "db", json!({ "metadataPolicy": "Fetch", "property": "labels.team" })),
            ("note", "db", json!({ "metadataPolicy": "Fetch", "property": "annotations.x.y" })),
        ]),
    )
    .await;
    let expected = [("dotted", "literal"), ("first", "first"), ("team", "kelp"), ("note", "z")];
    assert_values(&tenant, "values", &expected).await;
    external(&tenant, "extract", "federated", &json!({ "dataFrom": [{ "extract": { "key": "db" } }] })).await;
    assert_values(&tenant, "extract", &[("a.b", "literal"), ("a", r#"{"b":"path"}"#), ("n", "1.50")]).await;
    assert!(fake.asked().iter().any(|asked| asked.authorization == "Bearer exchanged"));
    external(&tenant, "newest", "fetch", &data(&[("k", "off", json!({}))])).await;
    assert_values(&tenant, "newest", &[("k", "newest")]).await;
    for (name, key, expected) in
        [("off", "off", "VersionUnavailable"), ("absent", "nope", "NotFound"), ("sum", "sum", "Malformed")]
    {
        external(&tenant, name, "key", &data(&[("k", key, json!({}))])).await;
        assert_eq!(cause(&ready(&tenant, EXTERNAL, name, "False").await), expected, "{name}");
    }
    ready(&tenant, STORE, "nobody", "False").await;
}

fn azure_error(status: u16, word: &str) -> Reply {
    Reply::json(status, &json!({ "error": { "code": word, "message": "no" } }))
}

/// Key Vault's `GetSecret`, `GetCertificate`, `GetKey`; Entra's token endpoint. The address stands in what it answers.
fn azure(asked: &Asked, url: &str) -> Reply {
    if asked.path() == "/tenant/oauth2/v2.0/token" {
        let known = asked.body.contains("client_secret=word") || asked.body.contains("client_assertion=ey");
        return match known {
            true => Reply::json(200, &json!({ "access_token": "granted", "token_type": "Bearer", "expires_in": 3600 })),
            false => Reply::json(401, &json!({ "error": "invalid_client", "error_description": "no" })),
        };
    }
    if asked.authorization != "Bearer granted" {
        let challenge = format!("Bearer authorization=\"{url}/tenant\", resource=\"https://vault.azure.net\"");
        return Reply { status: 401, headers: vec![("www-authenticate", challenge)], ..Reply::default() };
    }
    let secret = |version: &str, value: &str| {
        Reply::json(
            200,
            &json!({
                "id": format!("{url}/secrets/db/{version}"), "value": value, "attributes": { "enabled": true },
                "tags": { "team": "kelp", "meta": r#"{"a":"1"}"# },
            }),
        )
    };
    match asked.path().trim_end_matches('/') {
        "/secrets/db" => secret("v2", r#"{"a.b":"literal","a":{"b":"path"}}"#),
        "/secrets/db/v1" => secret("v1", "first"),
        "/certificates/tls" => Reply::json(200, &json!({ "cer": STANDARD.encode([0x30, 0x00, 0xff]) })),
        "/keys/sign" => Reply::json(200, &json!({ "key": { "kty": "RSA", "n": "x" } })),
        _ => azure_error(404, "SecretNotFound"),
    }
}

#[tokio::test]
async fn azure_is_read_with_secrets_certificates_and_trusted_accounts() {
    let tenant = Bed::attach().unwrap().tenant("azure").await.unwrap();
    let address = Arc::new(OnceLock::<String>::new());
    let known = Arc::clone(&address);
    let fake = Fake::start_tls(&tenant.folder.join("azure"), move |asked| {
        azure(asked, known.get().map(String::as_str).unwrap_or_default())
    })
    .await
    .unwrap();
    address.set(fake.url.clone()).unwrap();
    std::fs::write(tenant.folder.join("azure.ca"), &fake.ca).unwrap();
    let (key, certificate) = rsa_identity().unwrap();
    let login = json!({ "id": "app", "secret": "word", "wrong": "nope", "pem": format!("{key}{certificate}") });
    secret(&tenant, "azure", &login).await;
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": { "name": "trusted", "namespace": tenant.work, "annotations": { "azure.workload.identity/client-id": "app" } },
    });
    tenant.cluster.apply_object(&account).await.unwrap();
    let of = |key: &str| json!({ "name": "azure", "key": key });
    let provider = |more: serde_json::Value| {
        let mut azure = json!({
            "vaultUrl": fake.url, "tenantId": "tenant", "environmentType": "AzureStackCloud",
            "customCloudConfig": { "activeDirectoryEndpoint": fake.url },
        });
        azure.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "azurekv": azure })
    };
    store(
        &tenant,
        "secret",
        &provider(json!({ "authSecretRef": { "clientId": of("id"), "clientSecret": of("secret") } })),
    )
    .await;
    store(
        &tenant,
        "certificate",
        &provider(json!({ "authSecretRef": { "clientId": of("id"), "clientCertificate": of("pem") } })),
    )
    .await;
    store(
        &tenant,
        "trusted",
        &provider(json!({ "authType": "WorkloadIdentity", "serviceAccountRef": { "name": "trusted" } })),
    )
    .await;
    store(
        &tenant,
        "wrong",
        &provider(json!({ "authSecretRef": { "clientId": of("id"), "clientSecret": of("wrong") } })),
    )
    .await;
    let operator = tenant.operator(&ONLY).await.unwrap();
    let operator = operator.with_environment("SSL_CERT_FILE", &tenant.folder.join("azure.ca").to_string_lossy());
    let _running = operator.start().unwrap();

    external(
        &tenant,
        "values",
        "secret",
        &data(&[
            ("path", "db", json!({ "property": "a.b" })),
            ("first", "secret/db", json!({ "version": "v1" })),
            ("team", "db", json!({ "metadataPolicy": "Fetch", "property": "team" })),
            ("key", "key/sign", json!({})),
        ]),
    )
    .await;
    let expected = [("path", "path"), ("first", "first"), ("team", "kelp"), ("key", r#"{"kty":"RSA","n":"x"}"#)];
    assert_values(&tenant, "values", &expected).await;
    external(&tenant, "der", "certificate", &data(&[("der", "cert/tls", json!({}))])).await;
    assert_eq!(super::values(&tenant, "der").await["der"], [0x30, 0x00, 0xff]);
    let tags = json!({ "dataFrom": [{ "extract": { "key": "db", "metadataPolicy": "Fetch" } }] });
    external(&tenant, "tags", "trusted", &tags).await;
    assert_values(&tenant, "tags", &[("db_team", "kelp"), ("db_meta_a", "1")]).await;
    external(&tenant, "absent", "secret", &data(&[("k", "nope", json!({}))])).await;
    assert_eq!(cause(&ready(&tenant, EXTERNAL, "absent", "False").await), "NotFound");
    let refused = ready(&tenant, STORE, "wrong", "False").await;
    assert_eq!(refused["status"]["chancery"]["cause"], "PermissionDenied");
}
