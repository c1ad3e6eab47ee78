//! What kubeseal asks over HTTP: with the real kubeseal through the API server, and by hand.

use std::time::{Duration, Instant};

use bed::cluster::PATIENCE;
use bed::operator::Operator;
use bed::{Bed, Tenant};
use reqwest::StatusCode;
use seal::{Certificate, NAMESPACE_WIDE, RsaUnwrapKey, UnwrapKey};
use serde_json::{Value, json};

use crate::support::{CANARY, certificate, condition, run, seal, secret, stdout, value};

const ONLY: [&str; 1] = ["--controllers=sealed-secrets"];

/// Posts a body and returns what is answered.
async fn post(url: &str, path: &str, body: impl Into<String>) -> (StatusCode, String) {
    let request = reqwest::Client::new().post(format!("{url}{path}")).body(body.into());
    let answer = request.send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

/// An object of this tenant with sealed values.
fn object(tenant: &Tenant, pem: &std::path::Path, name: &str, options: &[&str]) -> Value {
    seal(&tenant.bed.seal, pem, &secret(&tenant.work, name, &json!({ "password": CANARY })), options)
}

/// The one key of an operator.
async fn key(tenant: &Tenant) -> RsaUnwrapKey {
    let all = tenant.cluster.list("v1 Secret", &tenant.keys).await.unwrap();
    let key = all.iter().find(|secret| secret["type"] == "kubernetes.io/tls").unwrap();
    RsaUnwrapKey::from_pem(&value(key, "tls.key")).unwrap()
}

#[tokio::test]
async fn verify_and_rotate_answer_with_the_references_codes() {
    let tenant = Bed::attach().unwrap().tenant("endpoints").await.unwrap();
    let operator = tenant.operator(&[ONLY[0], "--rate-limit=1000", "--rate-limit-burst=1000"]).await.unwrap();
    let running = operator.start().unwrap();
    let pem = certificate(&tenant, &operator.url).await;
    let good = object(&tenant, &pem, "db", &[]);
    let edited = |edit: fn(&mut Value)| {
        let mut object = good.clone();
        edit(&mut object);
        object.to_string()
    };
    let yaml = run(
        &tenant,
        &tenant.bed.seal,
        &["--cert", &pem.display().to_string(), "--format", "yaml"],
        &secret(&tenant.work, "db", &json!({ "password": CANARY })).to_string(),
    );
    let moved = edited(|object| object["metadata"]["name"] = json!("other"));
    let cases = [
        ("good", good.to_string(), 200, 200),
        ("good, in YAML", stdout(&yaml), 200, 200),
        ("moved", moved.clone(), 409, 500),
        ("one bad item", edited(|object| object["spec"]["encryptedData"]["bad"] = json!("AgA=")), 409, 500),
        ("not base64", edited(|object| object["spec"]["encryptedData"]["password"] = json!("*")), 409, 500),
        ("both forms", edited(|object| object["spec"]["data"] = json!("AgA=")), 409, 500),
        (
            "a template that fails",
            edited(|object| object["spec"]["template"]["data"] = json!({ "c": "{{ fail .password }}" })),
            200,
            200,
        ),
        ("no items", edited(|object| object["spec"]["encryptedData"] = json!({})), 200, 200),
        ("words", "hello".to_owned(), 500, 500),
        ("nothing", String::new(), 500, 500),
        ("a Secret", edited(|object| object["kind"] = json!("Secret")), 500, 500),
        ("two documents", format!("{good}\n---\n{good}\n"), 500, 500),
        ("too large", " ".repeat(10 * 1024 * 1024 + 1), 413, 413),
    ];
    for (name, body, verify, rotate) in cases {
        let (code, words) = post(&operator.url, "/v1/verify", body.clone()).await;
        assert_eq!(code.as_u16(), verify, "verify {name}: {words}");
        let (code, words) = post(&operator.url, "/v1/rotate", body).await;
        assert_eq!(code.as_u16(), rotate, "rotate {name}: {words}");
        assert!(!words.contains(CANARY), "{name}");
    }
    for (path, code) in [("/healthz", 200), ("/readyz", 200), ("/v1/none", 404), ("/v1/verify", 405)] {
        let answer = reqwest::get(format!("{}{path}", operator.url)).await.unwrap();
        assert_eq!(answer.status().as_u16(), code, "{path}");
    }
    // What does not open costs the same, whatever the reason: the tag of the good one is broken.
    let mut forged = good.clone();
    let mut bytes = seal::wire::decode(good["spec"]["encryptedData"]["password"].as_str().unwrap()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    forged["spec"]["encryptedData"]["password"] = seal::wire::encode(&bytes).into();
    let before = running.metric("chancery_key_unwraps_total").await.unwrap();
    let answers =
        [post(&operator.url, "/v1/verify", moved).await, post(&operator.url, "/v1/verify", forged.to_string()).await];
    assert_eq!(answers[0], answers[1]);
    assert_eq!(running.metric("chancery_key_unwraps_total").await.unwrap() - before, 2.0, "one try each");
}

#[tokio::test]
async fn rotate_seals_anew_and_changes_nothing_else() {
    let tenant = Bed::attach().unwrap().tenant("rotate").await.unwrap();
    let operator = tenant.operator(&[ONLY[0], "--rate-limit=1000", "--rate-limit-burst=1000"]).await.unwrap();
    let _running = operator.start().unwrap();
    let pem = certificate(&tenant, &operator.url).await;
    let key = key(&tenant).await;
    for (scope, label) in [("strict", format!("{}/db", tenant.work)), ("namespace-wide", tenant.work.clone())] {
        let mut sent = object(&tenant, &pem, "db", &["--scope", scope]);
        sent["metadata"]["labels"] = json!({ "a": "b" });
        sent["metadata"]["annotations"]["note"] = json!("x");
        sent["spec"]["template"]["data"] = json!({ "url": "p={{ .password }}" });
        sent["spec"]["template"]["type"] = json!("basin/lock");
        sent["spec"]["template"]["immutable"] = json!(true);
        sent["status"] = json!({ "observedGeneration": 1 });
        let (code, body) = post(&operator.url, "/v1/rotate", sent.to_string()).await;
        assert_eq!(code, 200, "{body}");
        let mut answer: Value = serde_json::from_str(&body).unwrap();
        let item = answer["spec"]["encryptedData"]["password"].take();
        let (item, before) = (item.as_str().unwrap(), sent["spec"]["encryptedData"]["password"].take());
        assert_ne!(json!(item), before);
        let keys: [&dyn UnwrapKey; 1] = [&key];
        assert_eq!(seal::open_item(item, label.as_bytes(), keys).unwrap().value.expose(), CANARY.as_bytes(), "{scope}");
        sent.as_object_mut().unwrap().remove("status");
        sent["metadata"].as_object_mut().unwrap().remove("creationTimestamp");
        assert_eq!(answer, sent, "{scope}");
        assert_eq!(answer["metadata"]["annotations"][NAMESPACE_WIDE] == "true", scope == "namespace-wide");
    }
}

#[tokio::test]
async fn the_plain_port_has_the_references_limit() {
    let tenant = Bed::attach().unwrap().tenant("limit").await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let _running = operator.start().unwrap();
    let pem = certificate(&tenant, &operator.url).await;
    let good = object(&tenant, &pem, "db", &[]).to_string();
    for path in ["/v1/verify", "/v1/rotate"] {
        let mut codes = Vec::new();
        for _ in 0..6 {
            codes.push(post(&operator.url, path, good.clone()).await.0.as_u16());
        }
        assert_eq!(codes[0], 200, "{path}: {codes:?}");
        assert!(codes.contains(&429), "{path}: {codes:?}");
        assert!(codes.iter().all(|code| [200, 429].contains(code)), "{path}: {codes:?}");
    }
    let answer = reqwest::Client::new().post(format!("{}/v1/verify", operator.url));
    let elsewhere = answer.header("x-forwarded-for", "192.0.2.7").body(good).send().await.unwrap();
    assert_eq!(elsewhere.status(), 200, "another address has an allowance of its own");
}

#[tokio::test]
async fn kubeseal_drives_us_through_the_api_server_with_every_verb() {
    assert!(bed::namespaces::inside(), "the Service proxy needs the bed's namespaces: this test must run");
    let tenant = Bed::attach().unwrap().tenant("verbs").await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap().reachable().unwrap();
    let _running = operator.start().unwrap();
    tenant.expose(&operator, "sealing").await.unwrap();
    let kubeseal = |arguments: &[&str], input: &str| {
        let place = ["--controller-name", "sealing", "--controller-namespace", &tenant.keys];
        run(&tenant, &tenant.bed.kubeseal, &[&place[..], arguments].concat(), input)
    };
    let started = Instant::now();
    let fetched = loop {
        let output = kubeseal(&["--fetch-cert"], "");
        // The proxy learns of new Endpoints in its own time.
        if output.status.success() || started.elapsed() > PATIENCE {
            break stdout(&output);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert!(Certificate::from_pem(&fetched).is_ok(), "{fetched}");
    let plain = secret(&tenant.work, "db", &json!({ "password": CANARY })).to_string();
    let sealed = stdout(&kubeseal(&[], &plain));
    assert!(kubeseal(&["--validate"], &sealed).status.success());
    let moved = sealed.replace("\"name\": \"db\"", "\"name\": \"other\"");
    let refused = kubeseal(&["--validate"], &moved);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("unable to decrypt"), "{refused:?}");

    // The reference's limit counts here, too: the proxy is one address.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let again = stdout(&kubeseal(&["--re-encrypt"], &sealed));
    let item = |text: &str| serde_json::from_str::<Value>(text).unwrap()["spec"]["encryptedData"]["password"].clone();
    assert_ne!(item(&again), item(&sealed));
    tenant.cluster.apply_object(&serde_json::from_str(&again).unwrap()).await.unwrap();
    let place = ("bitnami.com/v1alpha1 SealedSecret", tenant.work.as_str(), "db");
    tenant
        .cluster
        .wait_for("it is opened", place, PATIENCE, |object| condition(object, "Synced", "True"))
        .await
        .unwrap();
    assert_eq!(value(&tenant.cluster.get("v1 Secret", &tenant.work, "db").await.unwrap(), "password"), CANARY);
    let raw = ["--raw", "--name", "raw", "--namespace", &tenant.work];
    assert!(!stdout(&kubeseal(&raw, CANARY)).is_empty());
}

#[tokio::test]
async fn a_backup_of_the_keys_opens_offline_and_in_an_empty_namespace() {
    let tenant = Bed::attach().unwrap().tenant("backup").await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let running = operator.start().unwrap();
    let pem = certificate(&tenant, &operator.url).await;
    let before = object(&tenant, &pem, "before", &[]);
    tenant.cluster.apply_object(&before).await.unwrap();
    let is_open = async |name: &str| {
        let place = ("bitnami.com/v1alpha1 SealedSecret", tenant.work.as_str(), name);
        let synced = |object: &Value| condition(object, "Synced", "True");
        tenant.cluster.wait_for("it is opened", place, PATIENCE, synced).await.unwrap();
        assert_eq!(value(&tenant.cluster.get("v1 Secret", &tenant.work, name).await.unwrap(), "password"), CANARY);
    };
    is_open("before").await;
    // As upstream's documentation has it.
    let label = "sealedsecrets.bitnami.com/sealed-secrets-key";
    let backup = tenant.bed.kubectl(&["get", "secret", "-n", &tenant.keys, "-l", label, "-o", "yaml"]).unwrap();
    let file = tenant.folder.join("backup.yaml");
    std::fs::write(&file, &backup).unwrap();
    let file = file.to_str().unwrap();

    // Without a cluster, by the real kubeseal.
    let recover = |more: &[&str]| {
        let offline = ["--recovery-unseal", "--kubeconfig", "/nonexistent", "-o", "json"];
        run(&tenant, &tenant.bed.kubeseal, &[&offline[..], more].concat(), &before.to_string())
    };
    let opened: Value = serde_json::from_str(&stdout(&recover(&["--recovery-private-key", file]))).unwrap();
    assert_eq!(value(&opened, "password"), CANARY);
    assert_eq!(opened["metadata"]["name"], "before");
    let refused = recover(&[]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("key could decrypt secret"), "{refused:?}");

    // Everything of the operator's own is lost, the install key and the record of the first key among it.
    assert!(running.stop());
    for kind in ["secret", "configmap", "keyreport", "lease"] {
        tenant.bed.kubectl(&["delete", kind, "--all", "-n", &tenant.keys]).unwrap();
    }
    tenant.bed.kubectl(&["apply", "-f", file]).unwrap();
    let operator = tenant.operator(&[ONLY[0], "--require-existing-key"]).await.unwrap();
    let mark = tenant.bed.mark().unwrap();
    let _restored = operator.start().unwrap();
    let served = std::fs::read_to_string(&pem).unwrap();
    certificate(&tenant, &operator.url).await;
    assert_eq!(std::fs::read_to_string(&pem).unwrap(), served);
    tenant.cluster.apply_object(&object(&tenant, &pem, "after", &[])).await.unwrap();
    is_open("after").await;
    is_open("before").await;
    let writes = mark.writes(&operator.user).unwrap();
    let secrets = writes.iter().filter(|(call, _)| call.ends_with(" secrets") && !call.starts_with("create")).count();
    assert_eq!(secrets, 0, "no Secret that stood is rewritten: {writes:?}");
}

/// Starts an operator whose kubeseal endpoints are served with TLS, too; the address, and a client that trusts it.
async fn with_tls(tenant: &Tenant) -> (Operator, String, reqwest::Client) {
    std::fs::create_dir_all(&tenant.folder).unwrap();
    let (cert, key) = (tenant.folder.join("tls.crt"), tenant.folder.join("tls.key"));
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let operator = tenant
        .operator(&[
            ONLY[0],
            &format!("--listen-tls=127.0.0.1:{port}"),
            &format!("--tls-cert={}", cert.display()),
            &format!("--tls-key={}", key.display()),
            "--caller-rate-limit=20",
        ])
        .await
        .unwrap();
    (operator, format!("https://127.0.0.1:{port}"), bed::cluster::plain_client(&made.cert.pem()).unwrap())
}

#[tokio::test]
async fn the_tls_port_knows_its_callers_and_lets_them_seal_many_anew() {
    let tenant = Bed::attach().unwrap().tenant("tls").await.unwrap();
    let (operator, url, client) = with_tls(&tenant).await;
    let _running = operator.start().unwrap();
    let pem = certificate(&tenant, &operator.url).await;
    let good = object(&tenant, &pem, "db", &[]).to_string();
    for name in ["resealer", "stranger"] {
        let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "namespace": tenant.work } });
        tenant.cluster.apply_object(&account).await.unwrap();
    }
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": format!("{}-resealer", tenant.work) },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "chancery-sealing-client" },
        "subjects": [{ "kind": "ServiceAccount", "name": "resealer", "namespace": tenant.work }],
    });
    tenant.cluster.apply_object(&binding).await.unwrap();
    let token = tenant.cluster.token(&tenant.work, "resealer").await.unwrap();
    let stranger = tenant.cluster.token(&tenant.work, "stranger").await.unwrap();
    let ask = |token: Option<&str>| {
        let request = client.post(format!("{url}/v1/rotate")).body(good.clone());
        let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(ask(None).await, 401);
    assert_eq!(ask(Some("nobody")).await, 401);
    assert_eq!(ask(Some(&stranger)).await, 403);
    let mut codes = std::collections::BTreeMap::<u16, usize>::new();
    for _ in 0..60 {
        *codes.entry(ask(Some(&token)).await).or_default() += 1;
    }
    assert!(codes[&200] >= 40, "far more than the plain port admits: {codes:?}");
    assert!(codes.keys().all(|code| [200, 429].contains(code)), "{codes:?}");
    assert_eq!(client.get(format!("{url}/healthz")).send().await.unwrap().status(), 200);
    // A client that does not speak TLS holds up nobody.
    let _silent = std::net::TcpStream::connect(url.trim_start_matches("https://")).unwrap();
    assert_eq!(ask(None).await, 401);
}
