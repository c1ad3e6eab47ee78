//! Azure Key Vault and Entra's token endpoint, a fake that follows the published REST references, over TLS because the
//! client insists.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bed::fake::{Asked, Fake, Reply, rsa_identity};
use bed::{Bed, Tenant};
use serde_json::{Value, json};

use super::{EXTERNAL, ONLY, STORE, assert_values, cause, data, external, ready, secret, store};

/// Secrets that one page of a list holds: few, so that there are several.
const PAGE: usize = 2;

/// The secrets of a vault: versions with their tags.
#[derive(Default)]
pub(super) struct Azure {
    secrets: Mutex<BTreeMap<String, Vec<(String, Value)>>>,
    /// Those that can be recovered: their names are not free.
    deleted: Mutex<Vec<String>>,
    /// What it answers when it is asked for a secret, whatever is there.
    spoilt: Mutex<Option<Reply>>,
    /// Its own address stands in what it answers.
    url: OnceLock<String>,
}

impl Azure {
    /// Starts it, with its authority's certificate in the file `azure.ca`.
    pub(super) async fn start(tenant: &Tenant) -> (Arc<Self>, Fake) {
        let azure = Arc::new(Self::default());
        let answering = Arc::clone(&azure);
        let folder = tenant.folder.join("azure");
        let fake = Fake::start_tls(&folder, move |asked| answering.answer(asked)).await.unwrap();
        azure.url.set(fake.url.clone()).unwrap();
        std::fs::write(tenant.folder.join("azure.ca"), &fake.ca).unwrap();
        (azure, fake)
    }

    /// Puts a version there, as others make them.
    pub(super) fn seed(&self, name: &str, tags: &Value, value: &str) {
        self.secrets.lock().unwrap().entry(name.to_owned()).or_default().push((value.to_owned(), tags.clone()));
    }

    fn url(&self) -> &str {
        self.url.get().map(String::as_str).unwrap_or_default()
    }

    fn answer(&self, asked: &Asked) -> Reply {
        if asked.path() == "/tenant/oauth2/v2.0/token" {
            return token(asked);
        }
        if !asked.authorization.starts_with("Bearer granted") {
            let challenge =
                format!("Bearer authorization=\"{}/tenant\", resource=\"https://vault.azure.net\"", self.url());
            return Reply { status: 401, headers: vec![("www-authenticate", challenge)], ..Reply::default() };
        }
        let path: Vec<_> = asked.path().trim_matches('/').split('/').collect();
        if let (["secrets", _, ..], Some(spoilt)) = (path.as_slice(), self.spoilt.lock().unwrap().clone()) {
            return spoilt;
        }
        let mut secrets = self.secrets.lock().unwrap();
        match (asked.method.as_str(), path.as_slice()) {
            ("GET", ["secrets"]) => self.list(&secrets, asked),
            // Whoever asks, as a value: who that is, is the point of some tests.
            ("GET", ["secrets", "whoami"]) => {
                let value = asked.authorization.trim_start_matches("Bearer granted ").to_owned();
                self.bundle("whoami", 1, &(value, json!({})))
            }
            ("GET", ["secrets", name, rest @ ..]) => {
                let versions = secrets.get(*name).map(Vec::as_slice).unwrap_or_default();
                let number = match rest.first() {
                    Some(version) => version.trim_start_matches('v').parse().unwrap_or_default(),
                    None => versions.len(),
                };
                match number.checked_sub(1).and_then(|index| versions.get(index)) {
                    Some(version) => self.bundle(name, number, version),
                    None => refusal(404, "SecretNotFound"),
                }
            }
            ("PUT", ["secrets", name]) if self.deleted.lock().unwrap().iter().any(|deleted| deleted == name) => {
                refusal(409, "Conflict")
            }
            ("PUT", ["secrets", name]) => {
                let body = asked.json();
                let version = (body["value"].as_str().unwrap_or_default().to_owned(), body["tags"].clone());
                let versions = secrets.entry((*name).to_owned()).or_default();
                versions.push(version.clone());
                self.bundle(name, versions.len(), &version)
            }
            ("DELETE", ["secrets", name]) => match secrets.remove(*name) {
                Some(_) => {
                    self.deleted.lock().unwrap().push((*name).to_owned());
                    Reply::json(200, &json!({ "recoveryId": format!("{}/deletedsecrets/{name}", self.url()) }))
                }
                None => refusal(404, "SecretNotFound"),
            },
            ("GET", ["certificates", "tls"]) => {
                Reply::json(200, &json!({ "cer": STANDARD.encode([0x30, 0x00, 0xff]) }))
            }
            ("GET", ["keys", "sign"]) => Reply::json(200, &json!({ "key": { "kty": "RSA", "n": "x" } })),
            (_, ["certificates", ..]) => refusal(404, "CertificateNotFound"),
            (_, ["keys", ..]) => refusal(404, "KeyNotFound"),
            _ => refusal(405, "MethodNotAllowed"),
        }
    }

    fn bundle(&self, name: &str, number: usize, (value, tags): &(String, Value)) -> Reply {
        let id = format!("{}/secrets/{name}/v{number}", self.url());
        Reply::json(200, &json!({ "id": id, "value": value, "attributes": { "enabled": true }, "tags": tags }))
    }

    fn list(&self, secrets: &BTreeMap<String, Vec<(String, Value)>>, asked: &Asked) -> Reply {
        let start: usize = asked.value("$skiptoken").parse().unwrap_or_default();
        let item = |(name, versions): (&String, &Vec<(String, Value)>)| {
            let tags = versions.last().map(|(_, tags)| tags.clone());
            json!({ "id": format!("{}/secrets/{name}", self.url()), "attributes": { "enabled": true }, "tags": tags })
        };
        let page: Vec<_> = secrets.iter().skip(start).take(PAGE).map(item).collect();
        let next = (start + PAGE < secrets.len())
            .then(|| format!("{}/secrets?api-version=7.6&$skiptoken={}", self.url(), start + PAGE));
        Reply::json(200, &json!({ "value": page, "nextLink": next }))
    }
}

/// A token that says who got it.
fn token(asked: &Asked) -> Reply {
    let who = match (asked.value("client_secret").as_str(), asked.value("client_assertion").as_str()) {
        ("word", _) => "by secret",
        (_, "own-token") => "by our own token",
        (_, assertion) if assertion.starts_with("ey") => "by assertion",
        _ => return Reply::json(401, &json!({ "error": "invalid_client", "error_description": "no" })),
    };
    let token = format!("granted {who}");
    Reply::json(200, &json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 }))
}

fn refusal(status: u16, word: &str) -> Reply {
    Reply::json(status, &json!({ "error": { "code": word, "message": "no" } }))
}

/// A store of the fake.
pub(super) fn provider(fake: &Fake, more: &Value) -> Value {
    let mut azure = json!({
        "vaultUrl": fake.url, "tenantId": "tenant", "environmentType": "AzureStackCloud",
        "customCloudConfig": { "activeDirectoryEndpoint": fake.url },
    });
    azure.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "azurekv": azure })
}

#[tokio::test]
async fn azure_is_read_with_secrets_certificates_and_trusted_accounts() {
    let tenant = Bed::attach().unwrap().tenant("azure").await.unwrap();
    let (azure, fake) = Azure::start(&tenant).await;
    let tags = json!({ "team": "kelp", "meta": r#"{"a":"1"}"# });
    azure.seed("db", &json!({}), "first");
    azure.seed("db", &tags, r#"{"a.b":"literal","a":{"b":"path"}}"#);
    let (key, certificate) = rsa_identity().unwrap();
    let login = json!({ "id": "app", "secret": "word", "wrong": "nope", "pem": format!("{key}{certificate}") });
    secret(&tenant, "azure", &login).await;
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": { "name": "trusted", "namespace": tenant.work, "annotations": { "azure.workload.identity/client-id": "app" } },
    });
    tenant.cluster.apply_object(&account).await.unwrap();
    let of = |key: &str| json!({ "name": "azure", "key": key });
    for (name, more) in [
        ("secret", json!({ "authSecretRef": { "clientId": of("id"), "clientSecret": of("secret") } })),
        ("certificate", json!({ "authSecretRef": { "clientId": of("id"), "clientCertificate": of("pem") } })),
        ("trusted", json!({ "authType": "WorkloadIdentity", "serviceAccountRef": { "name": "trusted" } })),
        ("wrong", json!({ "authSecretRef": { "clientId": of("id"), "clientSecret": of("wrong") } })),
    ] {
        store(&tenant, name, &provider(&fake, &more)).await;
    }
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
    for (name, expected) in [("secret", "by secret"), ("certificate", "by assertion"), ("trusted", "by assertion")] {
        external(&tenant, &format!("who-{name}"), name, &data(&[("k", "whoami", json!({}))])).await;
        assert_values(&tenant, &format!("who-{name}"), &[("k", expected)]).await;
    }
    for key in ["nope", "cert/nope", "key/nope"] {
        let name = format!("absent-{}", key.replace('/', "-"));
        external(&tenant, &name, "secret", &data(&[("k", key, json!({}))])).await;
        assert_eq!(cause(&ready(&tenant, EXTERNAL, &name, "False").await), "NotFound", "{key}");
    }
    let refused = ready(&tenant, STORE, "wrong", "False").await;
    assert_eq!(refused["status"]["chancery"]["cause"], "PermissionDenied");
}

#[tokio::test]
async fn spoilt_answers_of_azure_are_named_and_the_last_good_secret_stays() {
    let tenant = Bed::attach().unwrap().tenant("azure-spoilt").await.unwrap();
    let (azure, fake) = Azure::start(&tenant).await;
    azure.seed("db", &json!({}), "good");
    secret(&tenant, "azure", &json!({ "id": "app", "secret": "word" })).await;
    let of = |key: &str| json!({ "name": "azure", "key": key });
    let login = json!({ "authSecretRef": { "clientId": of("id"), "clientSecret": of("secret") } });
    let plain = |status: u16, body: &str| Reply { status, body: body.to_owned(), ..Reply::default() };
    let large = json!({ "id": format!("{}/secrets/db/v1", fake.url), "value": "x".repeat(3 << 20) });
    let pause = |status: u16| Reply { headers: vec![("retry-after", "1".to_owned())], ..plain(status, "") };
    let faults = [
        ("denied", refusal(403, "Forbidden"), "PermissionDenied"),
        ("slow-down", pause(429), "Throttled"),
        // Not the service's own word, so it says nothing of the key.
        ("nowhere", plain(404, "no such site"), "NoEngine"),
        ("broken", plain(500, ""), "StoreError"),
        ("rubbish", plain(200, "<html>"), "Malformed"),
        ("truncated", plain(200, "{\"value\": \"go"), "Malformed"),
        ("large", Reply::json(200, &large), "Malformed"),
    ];
    let operator = tenant.operator(&ONLY).await.unwrap();
    let operator = operator.with_environment("SSL_CERT_FILE", &tenant.folder.join("azure.ca").to_string_lossy());
    let _running = operator.start().unwrap();
    for (name, _, _) in &faults {
        // A store each: one rests after a failure.
        store(&tenant, name, &provider(&fake, &login)).await;
        external(&tenant, name, name, &data(&[("k", "db", json!({}))])).await;
        assert_values(&tenant, name, &[("k", "good")]).await;
    }
    for (name, answer, expected) in faults {
        *azure.spoilt.lock().unwrap() = Some(answer);
        let force = json!({ "metadata": { "annotations": { "force-sync": "1" } } });
        tenant.cluster.patch(EXTERNAL, &tenant.work, name, &force).await.unwrap();
        let told = ready(&tenant, EXTERNAL, name, "False").await;
        assert_eq!(cause(&told), expected, "{name}: {told}");
        let kept = tenant.cluster.get("v1 Secret", &tenant.work, name).await.unwrap();
        assert_eq!(crate::support::value(&kept, "k"), "good", "{name}");
    }
}
