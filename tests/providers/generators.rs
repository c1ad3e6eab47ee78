//! Generators that ask somebody: OpenBao, moto; fakes for GitHub, registries and web services.

use bed::Bed;
use bed::fake::{Fake, Reply, rsa_identity};
use serde_json::{Value, json};

use super::{EXTERNAL, ONLY, cause, external, ready, secret, values};

#[tokio::test]
async fn credentials_are_made_by_those_who_can() {
    let tenant = Bed::attach().unwrap().tenant("made").await.unwrap();
    let aws = tenant.bed.aws().await.unwrap().to_owned();
    let github = Fake::start(|asked| match asked.path() {
        "/app/installations/7/access_tokens" if asked.authorization.starts_with("Bearer ey") => {
            Reply::json(201, &json!({ "token": format!("for {}", asked.body) }))
        }
        "/json" => Reply::json(200, &json!({ "data": { "user": "orla", "port": 5432 } })),
        "/token" => Reply::json(
            200,
            &json!({
                "access_token": "google", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "token_type": "Bearer", "expires_in": 3600,
            }),
        ),
        _ => Reply { status: 404, ..Reply::default() },
    })
    .await
    .unwrap();
    let (key, _) = rsa_identity().unwrap();
    secret(&tenant, "keys", &json!({ "id": "test", "key": "test", "pem": key, "token": bed::vault::ROOT_TOKEN })).await;
    let of = |key: &str| json!({ "name": "keys", "key": key });
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "wif", "namespace": tenant.work },
        "data": { "config": json!({ "token_url": format!("{}/token", github.url) }).to_string() },
    });
    tenant.cluster.apply_object(&map).await.unwrap();
    let keys = json!({ "secretRef": { "accessKeyIDSecretRef": of("id"), "secretAccessKeySecretRef": of("key") } });
    let generators: [(&str, &str, Value); 7] = [
        (
            "VaultDynamicSecret",
            "random",
            json!({
                "path": "sys/tools/random/16", "method": "POST", "parameters": { "format": "hex" },
                "provider": { "server": tenant.bed.vault_url, "auth": { "tokenSecretRef": of("token") } },
            }),
        ),
        (
            "VaultDynamicSecret",
            "denied",
            json!({
                "path": "sys/tools/random/16", "method": "POST",
                "provider": { "server": tenant.bed.vault_url, "auth": { "tokenSecretRef": of("id") } },
            }),
        ),
        ("ECRAuthorizationToken", "ecr", json!({ "region": "us-east-1", "auth": keys })),
        ("STSSessionToken", "sts", json!({ "region": "us-east-1", "auth": keys })),
        (
            "GithubAccessToken",
            "github",
            json!({
                "url": github.url, "appID": "1", "installID": "7", "repositories": ["infra"],
                "auth": { "privateKey": { "secretRef": of("pem") } },
            }),
        ),
        ("Webhook", "web", json!({ "url": format!("{}/json", github.url), "result": { "jsonPath": "$.data" } })),
        (
            "GCRAccessToken",
            "gcr",
            json!({ "projectID": "p", "auth": { "workloadIdentityFederation": {
            "credConfig": { "name": "wif", "key": "config" }, "audience": "//iam.googleapis.com/x",
            "serviceAccountRef": { "name": "default" },
        } } }),
        ),
    ];
    for (kind, name, spec) in &generators {
        let object = json!({
            "apiVersion": "generators.external-secrets.io/v1alpha1", "kind": kind,
            "metadata": { "name": name, "namespace": tenant.work }, "spec": spec,
        });
        tenant.cluster.apply_object(&object).await.unwrap();
    }
    let arguments = [ONLY[0], &format!("--aws-sts={aws}"), &format!("--aws-ecr={aws}")];
    let _running = tenant.operator(&arguments).await.unwrap().start().unwrap();
    for (kind, name, _) in &generators {
        let reference = json!({ "apiVersion": "generators.external-secrets.io/v1alpha1", "kind": kind, "name": name });
        let fields = json!({ "dataFrom": [{ "sourceRef": { "generatorRef": reference } }] });
        external(&tenant, name, "", &fields).await;
    }
    assert_eq!(values(&tenant, "random").await["random_bytes"].len(), 32);
    assert_eq!(cause(&ready(&tenant, EXTERNAL, "denied", "False").await), "PermissionDenied");
    let ecr = values(&tenant, "ecr").await;
    assert_eq!(ecr["username"], b"AWS");
    assert!(ecr.contains_key("password") && ecr.contains_key("proxy_endpoint"));
    let sts = values(&tenant, "sts").await;
    let keys: Vec<_> = sts.keys().map(String::as_str).collect();
    assert_eq!(keys, ["access_key_id", "expiration", "secret_access_key", "session_token"]);
    assert_eq!(values(&tenant, "github").await["token"], br#"for {"repositories":["infra"]}"#);
    assert_eq!(values(&tenant, "web").await["port"], b"5432");
    let gcr = values(&tenant, "gcr").await;
    assert_eq!((gcr["username"].as_slice(), gcr["password"].as_slice()), (&b"oauth2accesstoken"[..], &b"google"[..]));
}
