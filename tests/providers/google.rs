//! Google Secret Manager, a fake that follows the published REST reference (v1), and the exchange of tokens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bed::Bed;
use bed::fake::{Asked, Fake, Reply, rsa_identity};
use serde_json::{Value, json};

use super::{EXTERNAL, ONLY, assert_values, cause, data, external, ready, secret, store};

/// Secrets that one page of a list holds: few, so that there are several.
const PAGE: usize = 2;

/// The secrets of project `p`.
#[derive(Default)]
pub(super) struct Google(Mutex<BTreeMap<String, Stored>>);

#[derive(Default)]
struct Stored {
    labels: Value,
    annotations: Value,
    /// Each with its state, in base64.
    versions: Vec<(&'static str, String)>,
}

impl Google {
    /// Starts it.
    pub(super) async fn start() -> (Arc<Self>, Fake) {
        let google = Arc::new(Self::default());
        let answering = Arc::clone(&google);
        (google, Fake::start(move |asked| answering.answer(asked)).await.unwrap())
    }

    /// Puts a secret there, as others make them.
    pub(super) fn seed(&self, name: &str, labels: &Value, versions: &[(&'static str, &str)]) {
        let versions = versions.iter().map(|(state, value)| (*state, STANDARD.encode(value))).collect();
        let stored = Stored { labels: labels.clone(), annotations: json!({}), versions };
        self.0.lock().unwrap().insert(name.to_owned(), stored);
    }

    fn answer(&self, asked: &Asked) -> Reply {
        if asked.path() == "/token" {
            return Reply::json(
                200,
                &json!({ "access_token": "exchanged", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token", "token_type": "Bearer", "expires_in": 3600 }),
            );
        }
        if !asked.authorization.starts_with("Bearer ") {
            return refusal(401, "UNAUTHENTICATED");
        }
        let Some(rest) = asked.path().strip_prefix("/v1/projects/p/secrets") else { return refusal(404, "NOT_FOUND") };
        let mut secrets = self.0.lock().unwrap();
        let name = rest.trim_start_matches('/').split(['/', ':']).next().unwrap_or_default().to_owned();
        let place = format!("projects/p/secrets/{name}");
        let of_name = rest.trim_start_matches('/').strip_prefix(name.as_str()).unwrap_or_default();
        match (asked.method.as_str(), of_name) {
            ("GET", "") if name.is_empty() => list(&secrets, asked),
            ("POST", "") if name.is_empty() => {
                let (name, body) = (asked.value("secretId"), asked.json());
                if secrets.contains_key(&name) {
                    return refusal(409, "ALREADY_EXISTS");
                }
                if !body["replication"]["automatic"].is_object() {
                    return refusal(400, "INVALID_ARGUMENT");
                }
                let (labels, annotations) = (body["labels"].clone(), body["annotations"].clone());
                secrets.insert(name.clone(), Stored { labels, annotations, versions: Vec::new() });
                Reply::json(200, &json!({ "name": format!("projects/p/secrets/{name}") }))
            }
            ("DELETE", "") if secrets.remove(&name).is_some() => Reply::json(200, &json!({})),
            (method, rest) => match secrets.get_mut(&name) {
                Some(stored) => stored.answer(method, rest, &place, asked),
                None => refusal(404, "NOT_FOUND"),
            },
        }
    }
}

impl Stored {
    fn described(&self, place: &str) -> Value {
        json!({ "name": place, "labels": self.labels, "annotations": self.annotations })
    }

    fn answer(&mut self, method: &str, rest: &str, place: &str, asked: &Asked) -> Reply {
        let number = |index: usize| format!("{place}/versions/{}", index + 1);
        match (method, rest) {
            ("GET", "") => Reply::json(200, &self.described(place)),
            ("POST", ":addVersion") => {
                let payload = asked.json()["payload"]["data"].as_str().unwrap_or_default().to_owned();
                self.versions.push(("ENABLED", payload));
                Reply::json(200, &json!({ "name": number(self.versions.len() - 1), "state": "ENABLED" }))
            }
            ("GET", "/versions") => {
                let all = self.versions.iter().enumerate().rev();
                let enabled = all.filter(|(_, (state, _))| *state == "ENABLED");
                let versions: Vec<_> =
                    enabled.map(|(index, (state, _))| json!({ "name": number(index), "state": state })).collect();
                Reply::json(200, &json!({ "versions": versions }))
            }
            ("GET", rest) => {
                let version = rest.strip_prefix("/versions/").and_then(|rest| rest.strip_suffix(":access"));
                let index = match version {
                    Some("latest") => self.versions.len().checked_sub(1),
                    Some(version) => version.parse::<usize>().ok().and_then(|number| number.checked_sub(1)),
                    None => None,
                };
                match index.and_then(|index| Some((index, self.versions.get(index)?))) {
                    Some((index, ("ENABLED", data))) => {
                        Reply::json(200, &json!({ "name": number(index), "payload": { "data": data } }))
                    }
                    // The state of this one is a wrong checksum.
                    Some((index, ("SPOILT", data))) => {
                        let payload = json!({ "data": data, "dataCrc32c": "1" });
                        Reply::json(200, &json!({ "name": number(index), "payload": payload }))
                    }
                    Some(_) => refusal(400, "FAILED_PRECONDITION"),
                    None => refusal(404, "NOT_FOUND"),
                }
            }
            _ => refusal(405, "UNIMPLEMENTED"),
        }
    }
}

/// A page of those that the filter lets through.
fn list(secrets: &BTreeMap<String, Stored>, asked: &Asked) -> Reply {
    let filter = asked.value("filter");
    let passes = |name: &str, stored: &Stored| {
        filter.split(" AND ").filter(|term| !term.is_empty()).all(|term| match term.split_once(['=', ':']) {
            Some(("name", part)) => name.contains(part),
            Some((label, value)) => label.strip_prefix("labels.").is_some_and(|label| stored.labels[label] == value),
            None => false,
        })
    };
    let start: usize = asked.value("pageToken").parse().unwrap_or_default();
    let found: Vec<_> = secrets.iter().filter(|(name, stored)| passes(name, stored)).collect();
    let page = found.iter().skip(start).take(PAGE);
    let page: Vec<_> = page.map(|(name, stored)| stored.described(&format!("projects/p/secrets/{name}"))).collect();
    let next = if start + PAGE < found.len() { (start + PAGE).to_string() } else { String::new() };
    Reply::json(200, &json!({ "secrets": page, "nextPageToken": next, "totalSize": found.len() }))
}

fn refusal(status: u16, word: &str) -> Reply {
    Reply::json(status, &json!({ "error": { "code": status, "status": word, "message": "no" } }))
}

/// A key of a service account as Google hands it out, for the Secret `gcp`.
pub(super) fn account_key(fake: &Fake) -> Value {
    let (key, _) = rsa_identity().unwrap();
    json!({
        "type": "service_account", "client_email": "a@p.iam.gserviceaccount.com", "private_key_id": "1",
        "private_key": key, "project_id": "p", "token_uri": format!("{}/token", fake.url),
    })
}

#[tokio::test]
async fn google_is_read_with_keys_and_exchanged_tokens() {
    let tenant = Bed::attach().unwrap().tenant("google").await.unwrap();
    let (google, fake) = Google::start().await;
    let whole = r#"{"a.b":"literal","a":{"b":"path"},"n":1.50}"#;
    google.seed("db", &json!({ "team": "kelp" }), &[("ENABLED", "first"), ("ENABLED", whole)]);
    google.0.lock().unwrap().get_mut("db").unwrap().annotations = json!({ "x.y": "z" });
    let states = [("ENABLED", "old"), ("DESTROYED", ""), ("ENABLED", "newest"), ("DISABLED", "off")];
    google.seed("off", &json!({}), &states);
    google.seed("sum", &json!({}), &[("SPOILT", "a")]);
    secret(&tenant, "gcp", &json!({ "key.json": account_key(&fake).to_string() })).await;
    let configuration = json!({ "audience": "//iam.googleapis.com/x", "token_url": format!("{}/token", fake.url) });
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "wif", "namespace": tenant.work },
        "data": { "config": configuration.to_string() },
    });
    tenant.cluster.apply_object(&map).await.unwrap();
    let by_key = json!({ "secretRef": { "secretAccessKeySecretRef": { "name": "gcp", "key": "key.json" } } });
    let policy = "LatestOrFetch";
    let federated = json!({ "workloadIdentityFederation": {
        "credConfig": { "name": "wif", "key": "config" }, "serviceAccountRef": { "name": "default" },
        "audience": "//iam.googleapis.com/x",
    } });
    for (name, more) in [
        ("key", json!({ "auth": by_key })),
        ("fetch", json!({ "auth": by_key, "secretVersionSelectionPolicy": policy })),
        ("federated", json!({ "auth": federated })),
    ] {
        let mut gcpsm = json!({ "projectID": "p" });
        gcpsm.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        store(&tenant, name, &json!({ "gcpsm": gcpsm })).await;
    }
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
}
