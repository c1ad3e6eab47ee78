//! A web service (a fake) as a store.

use bed::Bed;
use bed::fake::{Asked, Fake, Reply};
use serde_json::json;

use super::stores::{PUSH, push};
use super::{EXTERNAL, ONLY, STORE, assert_values, cause, data, external, ready, secret, store};

#[tokio::test]
async fn a_web_service_is_asked_by_templates_and_never_followed_elsewhere() {
    let tenant = Bed::attach().unwrap().tenant("web").await.unwrap();
    let fake = Fake::start(|asked| match asked.path() {
        "/v/db" if asked.authorization == "Bearer word" => {
            Reply::json(200, &json!({ "data": { "user": "orla", "list": ["a", "b"], "port": 5432 } }))
        }
        "/sink/db" if asked.authorization == "Bearer word" => Reply { status: 204, ..Reply::default() },
        "/v/db" => Reply { status: 403, ..Reply::default() },
        "/v/moved" => Reply {
            status: 302,
            headers: vec![("location", "http://169.254.169.254/latest/meta-data".to_owned())],
            ..Reply::default()
        },
        _ => Reply { status: 404, ..Reply::default() },
    })
    .await
    .unwrap();
    let labelled = |name: &str, labels: &serde_json::Value| {
        let mut object = crate::support::secret(&tenant.work, name, &json!({ "token": "word" }));
        object["metadata"]["labels"] = labels.clone();
        object
    };
    tenant.cluster.apply_object(&labelled("api", &json!({ "external-secrets.io/type": "webhook" }))).await.unwrap();
    tenant.cluster.apply_object(&labelled("other", &json!({}))).await.unwrap();
    let webhook = |url: String, secret: &str, path: &str| {
        json!({ "webhook": {
        "url": url, "headers": { "Authorization": "Bearer {{ .api.token }}" },
        "result": { "jsonPath": path }, "secrets": [{ "name": "api", "secretRef": { "name": secret } }],
    } })
    };
    let url = format!("{}/v/{{{{ .remoteRef.key }}}}?p={{{{ .remoteRef.property }}}}", fake.url);
    store(&tenant, "web", &webhook(url.clone(), "api", "$.data.{{ .remoteRef.property }}")).await;
    let mut sink = webhook(format!("{}/sink/{{{{ .remoteRef.remoteKey }}}}", fake.url), "api", "$");
    sink["webhook"]["method"] = "POST".into();
    sink["webhook"]["body"] = r#"{"pushed":"{{ .remoteRef.value }}"}"#.into();
    store(&tenant, "sink", &sink).await;
    secret(&tenant, "source", &json!({ "p": "one" })).await;
    push(&tenant, "sink", "sink", "db", &[("p", "p")], &json!({})).await;
    store(&tenant, "map", &webhook(url.clone(), "api", "$.data")).await;
    store(&tenant, "unlabelled", &webhook(url, "other", "$")).await;
    store(&tenant, "metadata", &webhook("http://169.254.169.254/{{ .remoteRef.key }}".to_owned(), "api", "$")).await;
    let _running = tenant.operator(&ONLY).await.unwrap().start().unwrap();

    external(
        &tenant,
        "one",
        "web",
        &data(&[("user", "db", json!({ "property": "user" })), ("first", "db", json!({ "property": "list" }))]),
    )
    .await;
    assert_values(&tenant, "one", &[("user", "orla"), ("first", "a")]).await;
    external(&tenant, "all", "map", &json!({ "dataFrom": [{ "extract": { "key": "db" } }] })).await;
    assert_values(&tenant, "all", &[("user", "orla"), ("list", r#"["a","b"]"#), ("port", "5432")]).await;
    for (name, store, key, expected) in [
        ("absent", "web", "nope", "NotFound"),
        ("moved", "web", "moved", "Malformed"),
        ("metadata", "metadata", "x", "InvalidConfiguration"),
    ] {
        external(&tenant, name, store, &data(&[("k", key, json!({ "property": "user" }))])).await;
        assert_eq!(cause(&ready(&tenant, EXTERNAL, name, "False").await), expected, "{name}");
    }
    let told = crate::support::message(&ready(&tenant, STORE, "unlabelled", "False").await, "Ready");
    assert!(told.contains("external-secrets.io/type=webhook"), "{told}");
    ready(&tenant, PUSH, "sink", "True").await;
    let is_pushed = |asked: &Asked| asked.method == "POST" && asked.body == r#"{"pushed":"one"}"#;
    assert!(fake.asked().iter().any(is_pushed), "{:?}", fake.asked());
    assert!(fake.asked().iter().all(|asked| !asked.target.contains("latest")));
}
