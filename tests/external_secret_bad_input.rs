//! Objects that are wrong: refused at once, or named with their cause. None of them makes or loses a Secret.

use std::collections::BTreeMap;

use bed::cluster::{PATIENCE, documents};
use bed::{Bed, Tenant};
use serde_json::{Map, Value, json};

use crate::support::{condition, message, secret, value};

const EXTERNAL: &str = "external-secrets.io/v1 ExternalSecret";
const STORE: &str = "external-secrets.io/v1 SecretStore";
const PUSH: &str = "external-secrets.io/v1alpha1 PushSecret";
const GENERATOR: &str = "generators.external-secrets.io/v1alpha1";
/// Those that ask somebody, and so say who they are.
const GENERATORS: [&str; 7] = [
    "ACRAccessToken",
    "ECRAuthorizationToken",
    "GCRAccessToken",
    "GithubAccessToken",
    "STSSessionToken",
    "VaultDynamicSecret",
    "Webhook",
];
const ONLY: [&str; 1] = ["--controllers=external-secrets"];
/// Stands in stores of the kind `fake`, where the search after all tests would find the common one.
const CANARY: &str = "kelp-forest-7f3a-9c1e";

fn object(kind: &str, namespace: &str, name: &str, spec: &Value) -> Value {
    let (version, kind) = kind.split_once(' ').unwrap();
    json!({
        "apiVersion": version, "kind": kind, "metadata": { "name": name, "namespace": namespace }, "spec": spec,
    })
}

async fn apply(tenant: &Tenant, kind: &str, name: &str, spec: &Value) -> Result<(), String> {
    let made = tenant.cluster.apply_object(&object(kind, &tenant.work, name, spec)).await;
    made.map(drop).map_err(|error| format!("{error:#}"))
}

async fn failing(tenant: &Tenant, kind: &str, name: &str) -> Value {
    let place = (kind, tenant.work.as_str(), name);
    let fails = |object: &Value| condition(object, "Ready", "False");
    tenant.cluster.wait_for(&format!("{name} fails"), place, PATIENCE, fails).await.unwrap()
}

/// `with` written over `onto`; nothing takes a field away.
fn merged(mut onto: Value, with: Value) -> Value {
    match (&mut onto, with) {
        (Value::Object(fields), Value::Object(with)) => {
            for (name, value) in with {
                let known = fields.shift_remove(&name).unwrap_or_default();
                if !value.is_null() {
                    fields.insert(name, merged(known, value));
                }
            }
            onto
        }
        (_, with) => with,
    }
}

/// An ExternalSecret of one value of the fake store.
fn external(with: Value) -> Value {
    let plain = json!({
        "secretStoreRef": { "name": "fake" }, "refreshInterval": "1h",
        "data": [{ "secretKey": "one", "remoteRef": { "key": "a" } }],
    });
    merged(plain, with)
}

async fn fake_store(tenant: &Tenant) {
    let values = json!([
        { "key": "a", "value": CANARY },
        { "key": "not-json", "value": CANARY },
        { "key": "nul", "value": "YQBi" },
        { "key": "list", "value": "[1, 2]" },
    ]);
    apply(tenant, STORE, "fake", &json!({ "provider": { "fake": { "data": values } } })).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_by_the_definition() {
    let tenant = Bed::attach().unwrap().tenant("refused").await.unwrap();
    let remote = json!({ "key": "a" });
    let entry = |key: &str| json!({ "data": [{ "secretKey": key, "remoteRef": remote }] });
    let from = |source: Value| json!({ "data": [], "dataFrom": [source] });
    let rows = [
        (EXTERNAL, "a key of a Secret with a slash", external(entry("a/b"))),
        (EXTERNAL, "a key of a Secret with a space", external(entry("a b"))),
        (EXTERNAL, "a key of a Secret that is empty", external(entry(""))),
        (EXTERNAL, "a store of another kind", external(json!({ "secretStoreRef": { "kind": "Secret" } }))),
        (EXTERNAL, "a store elsewhere by its name", external(json!({ "secretStoreRef": { "name": "other/fake" } }))),
        (EXTERNAL, "a store by a path", external(json!({ "secretStoreRef": { "name": "../fake" } }))),
        (EXTERNAL, "a policy that is none", external(json!({ "target": { "creationPolicy": "owner" } }))),
        (EXTERNAL, "a deletion policy that is none", external(json!({ "target": { "deletionPolicy": "Never" } }))),
        (EXTERNAL, "a refresh policy that is none", external(json!({ "refreshPolicy": "Sometimes" }))),
        (EXTERNAL, "data that is no list", external(json!({ "data": { "one": "a" } }))),
        (EXTERNAL, "an entry without remoteRef", external(json!({ "data": [{ "secretKey": "one" }] }))),
        (
            EXTERNAL,
            "a generator of an unknown kind",
            external(from(json!({ "sourceRef": { "generatorRef": { "kind": "Secret", "name": "x" } } }))),
        ),
        (
            EXTERNAL,
            "a template from elsewhere by its name",
            external(
                json!({ "target": { "template": { "templateFrom": [{ "secret": { "name": "other/x", "items": [] } }] } } }),
            ),
        ),
        (
            EXTERNAL,
            "a decoding that is none",
            external(from(json!({ "extract": { "key": "a", "decodingStrategy": "Rot13" } }))),
        ),
        (STORE, "no provider", json!({})),
        (STORE, "two providers", json!({ "provider": { "fake": { "data": [] }, "vault": { "server": "https://v" } } })),
        (STORE, "a provider that nobody has", json!({ "provider": { "sesame": {} } })),
        (PUSH, "no store", json!({ "selector": { "secret": { "name": "x" } } })),
        (PUSH, "no selector", json!({ "secretStoreRefs": [{ "name": "fake" }] })),
        (PUSH, "nothing selected", json!({ "secretStoreRefs": [{ "name": "fake" }], "selector": {} })),
        (
            PUSH,
            "a Secret elsewhere by its name",
            json!({ "secretStoreRefs": [{ "name": "fake" }], "selector": { "secret": { "name": "other/x" } } }),
        ),
    ];
    let mut taken = Vec::new();
    for (number, (kind, what, spec)) in rows.iter().enumerate() {
        if apply(&tenant, kind, &format!("bad{number}"), spec).await.is_ok() {
            taken.push(*what);
        }
    }
    assert!(taken.is_empty(), "taken: {taken:?}");
}

#[tokio::test]
async fn what_is_wrong_in_an_external_secret_is_named_and_the_last_good_secret_stays() {
    let tenant = Bed::attach().unwrap().tenant("wrong").await.unwrap();
    fake_store(&tenant).await;
    let elsewhere = object(STORE, &tenant.keys, "elsewhere", &json!({ "provider": { "fake": { "data": [] } } }));
    tenant.cluster.apply_object(&elsewhere).await.unwrap();
    let read = |reference: Value| json!({ "data": [{ "secretKey": "one", "remoteRef": reference }] });
    let from = |source: Value| json!({ "data": [], "dataFrom": [source] });
    let template = |text: &str| json!({ "target": { "template": { "data": { "one": text } } } });
    let pattern = json!({ "regexp": { "source": "(", "target": "x" } });
    let rows = [
        ("an interval that is none", json!({ "refreshInterval": "hourly" }), "InvalidSpec"),
        ("a store that is not there", json!({ "secretStoreRef": { "name": "nowhere" } }), "StoreNotFound"),
        ("a store of another namespace", json!({ "secretStoreRef": { "name": "elsewhere" } }), "StoreNotFound"),
        (
            "a store of the other kind",
            json!({ "secretStoreRef": { "name": "fake", "kind": "ClusterSecretStore" } }),
            "StoreNotFound",
        ),
        ("no store at all", json!({ "secretStoreRef": null }), "StoreNotFound"),
        ("a key that is not there", read(json!({ "key": "b" })), "NotFound"),
        ("a version that is not there", read(json!({ "key": "a", "version": "v9" })), "NotFound"),
        ("a map that is none", from(json!({ "extract": { "key": "not-json" } })), "InvalidValue"),
        ("a list for a map", from(json!({ "extract": { "key": "list" } })), "InvalidValue"),
        ("Base64 that is none", read(json!({ "key": "a", "decodingStrategy": "Base64" })), "InvalidValue"),
        (
            "a NUL byte",
            read(json!({ "key": "nul", "decodingStrategy": "Base64", "nullBytePolicy": "Fail" })),
            "InvalidValue",
        ),
        ("an expression that is none", from(json!({ "find": { "name": { "regexp": "(" } } })), "InvalidConfiguration"),
        (
            "a rewrite that is none",
            from(json!({ "find": { "name": { "regexp": "a" } }, "rewrite": [pattern] })),
            "InvalidValue",
        ),
        (
            "a generator that is not there",
            from(json!({ "sourceRef": { "generatorRef": { "kind": "UUID", "name": "nowhere" } } })),
            "GeneratorNotFound",
        ),
        ("a template that cannot be read", template("{{ .one"), "InvalidTemplate"),
        ("a template that asks for what is not there", template("{{ .two }}"), "InvalidTemplate"),
        (
            "a token for a service account",
            json!({ "target": { "template": { "type": "kubernetes.io/service-account-token", "data": { "one": "{{ .one }}" } } } }),
            "Refused",
        ),
        (
            "a target that is no Secret",
            json!({ "target": { "manifest": { "kind": "ConfigMap" } } }),
            "UnsupportedField",
        ),
        (
            "nothing asked for, and nothing would stay",
            json!({ "data": [], "target": { "deletionPolicy": "Delete" } }),
            "InvalidSpec",
        ),
    ];
    let running = tenant.operator(&ONLY).await.unwrap().start().unwrap();
    for number in 0..rows.len() {
        apply(&tenant, EXTERNAL, &format!("wrong{number}"), &external(json!({}))).await.unwrap();
    }
    for number in 0..rows.len() {
        let place = ("v1 Secret", tenant.work.as_str(), &*format!("wrong{number}"));
        tenant.cluster.wait_for("it is made", place, PATIENCE, |it| value(it, "one") == CANARY).await.unwrap();
    }
    for (number, (what, with, _)) in rows.iter().enumerate() {
        let applied = apply(&tenant, EXTERNAL, &format!("wrong{number}"), &external(with.clone())).await;
        applied.map_err(|error| format!("{what}: {error}")).unwrap();
    }
    let mut differ = Vec::new();
    for (number, (what, _, expected)) in rows.iter().enumerate() {
        let name = format!("wrong{number}");
        let told = failing(&tenant, EXTERNAL, &name).await;
        let (cause, words) =
            (told["status"]["chancery"]["cause"].as_str().unwrap_or_default(), message(&told, "Ready"));
        if cause != *expected {
            differ.push(format!("{what}: {cause} and not {expected}: {words}"));
        }
        assert!(!words.contains(CANARY), "{what}: a value is told");
        let kept = tenant.cluster.get("v1 Secret", &tenant.work, &name).await.unwrap();
        assert_eq!(value(&kept, "one"), CANARY, "{what}: the last good Secret stays");
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert!(!running.log().contains(CANARY));
}

#[tokio::test]
async fn what_is_wrong_in_a_push_secret_is_named() {
    let tenant = Bed::attach().unwrap().tenant("mispushed").await.unwrap();
    fake_store(&tenant).await;
    tenant.cluster.apply_object(&secret(&tenant.work, "source", &json!({ "one": CANARY }))).await.unwrap();
    tenant.cluster.apply_object(&secret(&tenant.keys, "theirs", &json!({ "one": CANARY }))).await.unwrap();
    let push = |with: Value| {
        let entry = json!({ "match": { "secretKey": "one", "remoteRef": { "remoteKey": "pushed" } } });
        let plain = json!({
            "secretStoreRefs": [{ "name": "fake" }], "selector": { "secret": { "name": "source" } }, "data": [entry],
        });
        merged(plain, with)
    };
    let data = |fields: Value| json!({ "data": [{ "match": fields }] });
    let rows = [
        ("an interval that is none", json!({ "refreshInterval": "hourly" })),
        ("a store that is not there", json!({ "secretStoreRefs": [{ "name": "nowhere" }] })),
        ("a store of the other kind", json!({ "secretStoreRefs": [{ "name": "fake", "kind": "ClusterSecretStore" }] })),
        (
            "labels that no store bears",
            json!({ "secretStoreRefs": [{ "labelSelector": { "matchLabels": { "a": "b" } } }] }),
        ),
        (
            "an operator of a selector that is none",
            json!({ "secretStoreRefs": [{ "labelSelector": { "matchExpressions": [{ "key": "a", "operator": "Near" }] } }] }),
        ),
        (
            "Secrets by a selector that is none",
            json!({ "selector": { "secret": { "name": null, "selector": { "matchExpressions": [{ "key": "a", "operator": "In" }] } } } }),
        ),
        ("a Secret that is not there", json!({ "selector": { "secret": { "name": "nowhere" } } })),
        ("a Secret of another namespace", json!({ "selector": { "secret": { "name": "theirs" } } })),
        ("a key that is not there", data(json!({ "secretKey": "two", "remoteRef": { "remoteKey": "pushed" } }))),
        (
            "a generator that is not there",
            json!({ "selector": { "secret": null, "generatorRef": { "kind": "UUID", "name": "nowhere" } } }),
        ),
        ("a template that cannot be read", json!({ "template": { "data": { "one": "{{ .one" } } })),
        (
            "an expression that is none",
            json!({ "data": [], "dataTo": [{ "storeRef": { "name": "fake" }, "match": { "regexp": "(" } }] }),
        ),
    ];
    let running = tenant.operator(&ONLY).await.unwrap().start().unwrap();
    for (number, (what, with)) in rows.iter().enumerate() {
        let applied = apply(&tenant, PUSH, &format!("wrong{number}"), &push(with.clone())).await;
        applied.map_err(|error| format!("{what}: {error}")).unwrap();
    }
    for (number, (what, _)) in rows.iter().enumerate() {
        let told = failing(&tenant, PUSH, &format!("wrong{number}")).await;
        let words = message(&told, "Ready");
        assert!(words.len() > 10 && !words.contains(CANARY), "{what}: {words}");
        let pushed = told["status"]["syncedPushSecrets"].as_object().cloned().unwrap_or_default();
        assert!(pushed.values().all(|places| *places == json!({})), "{what}: {pushed:?}");
    }
    assert!(!running.log().contains(CANARY));
}

#[tokio::test]
async fn what_is_wrong_in_a_generator_is_named_and_the_last_good_secret_stays() {
    let tenant = Bed::attach().unwrap().tenant("misgenerated").await.unwrap();
    let keys = secret(&tenant.work, "keys", &json!({ "key": CANARY }));
    tenant.cluster.apply_object(&keys).await.unwrap();
    let key = json!({ "name": "keys", "key": "key" });
    let web = |fields: Value| merged(json!({ "url": "https://127.0.0.1:1/x", "result": {} }), fields);
    let github = |secret: Value, id: &str| json!({ "url": "https://127.0.0.1:1", "appID": "1", "installID": id, "auth": { "privateKey": { "secretRef": secret } } });
    let aws = |name: &str| {
        let reference = json!({ "name": name, "key": "key" });
        let auth = json!({ "accessKeyIDSecretRef": reference, "secretAccessKeySecretRef": reference });
        json!({ "region": "us-east-1", "auth": { "secretRef": auth } })
    };
    let vault = |fields: Value| {
        let provider = json!({ "server": tenant.bed.vault_url, "auth": { "tokenSecretRef": key } });
        merged(json!({ "path": "sys/tools/random/16", "method": "POST", "provider": provider }), fields)
    };
    let rows = [
        ("Password", "no length", json!({ "length": 0 }), "InvalidConfiguration"),
        ("Password", "a length beyond all measure", json!({ "length": 1_000_000 }), "InvalidConfiguration"),
        ("Password", "more digits than length", json!({ "length": 4, "digits": 5 }), "InvalidConfiguration"),
        ("Password", "digits that run out", json!({ "length": 30, "digits": 20 }), "InvalidConfiguration"),
        ("Password", "one key twice", json!({ "length": 8, "secretKeys": ["a", "a"] }), "InvalidConfiguration"),
        ("Password", "a key that no Secret has", json!({ "length": 8, "secretKeys": ["a/b"] }), "InvalidValue"),
        ("SSHKey", "a size that no key has", json!({ "keyType": "rsa", "keySize": 1024 }), "InvalidConfiguration"),
        ("Fake", "a key that no Secret has", json!({ "data": { "a b/": CANARY } }), "InvalidValue"),
        ("Webhook", "an address that is none", web(json!({ "url": "nowhere" })), "InvalidConfiguration"),
        ("Webhook", "the metadata address", web(json!({ "url": "http://169.254.169.254/" })), "InvalidConfiguration"),
        ("Webhook", "a template that is none", web(json!({ "url": "https://x/{{ .a" })), "InvalidConfiguration"),
        ("Webhook", "nobody there", web(json!({})), "Unreachable"),
        (
            "Webhook",
            "a Secret that is not there",
            web(json!({ "secrets": [{ "name": "a", "secretRef": { "name": "nowhere", "key": "key" } }] })),
            "InvalidConfiguration",
        ),
        ("GithubAccessToken", "a key that is none", github(key.clone(), "7"), "InvalidConfiguration"),
        ("GithubAccessToken", "a number that is none", github(key.clone(), "7/../8"), "InvalidConfiguration"),
        (
            "GithubAccessToken",
            "no such Secret",
            github(json!({ "name": "nowhere", "key": "key" }), "7"),
            "InvalidConfiguration",
        ),
        ("ECRAuthorizationToken", "no such Secret", aws("nowhere"), "InvalidConfiguration"),
        ("STSSessionToken", "no such Secret", aws("nowhere"), "InvalidConfiguration"),
        ("VaultDynamicSecret", "a token that is none", vault(json!({})), "PermissionDenied"),
        ("VaultDynamicSecret", "no way to log in", vault(json!({ "provider": { "auth": null } })), "PermissionDenied"),
        (
            "VaultDynamicSecret",
            "nobody there",
            vault(json!({ "provider": { "server": "https://127.0.0.1:1" } })),
            "Unreachable",
        ),
        ("VaultDynamicSecret", "a path out of the API", vault(json!({ "path": "../../x" })), "InvalidConfiguration"),
    ];
    let reference = |kind: &str, name: &str| {
        let generator = json!({ "apiVersion": GENERATOR, "kind": kind, "name": name });
        json!({ "dataFrom": [{ "sourceRef": { "generatorRef": generator } }] })
    };
    let good = format!("{GENERATOR} Fake");
    apply(&tenant, &good, "good", &json!({ "data": { "one": "good" } })).await.unwrap();
    let running = tenant.operator(&ONLY).await.unwrap().start().unwrap();
    for number in 0..rows.len() {
        apply(&tenant, EXTERNAL, &format!("wrong{number}"), &reference("Fake", "good")).await.unwrap();
    }
    for number in 0..rows.len() {
        let place = ("v1 Secret", tenant.work.as_str(), &*format!("wrong{number}"));
        tenant.cluster.wait_for("it is made", place, PATIENCE, |it| value(it, "one") == "good").await.unwrap();
    }
    for (number, (kind, what, spec, _)) in rows.iter().enumerate() {
        let name = format!("wrong{number}");
        let made = apply(&tenant, &format!("{GENERATOR} {kind}"), &name, spec).await;
        made.map_err(|error| format!("{kind}, {what}: {error}")).unwrap();
        apply(&tenant, EXTERNAL, &name, &reference(kind, &name)).await.unwrap();
    }
    let mut differ = Vec::new();
    for (number, (kind, what, _, expected)) in rows.iter().enumerate() {
        let name = format!("wrong{number}");
        let told = failing(&tenant, EXTERNAL, &name).await;
        let (cause, words) =
            (told["status"]["chancery"]["cause"].as_str().unwrap_or_default(), message(&told, "Ready"));
        if cause != *expected || words.contains(CANARY) {
            differ.push(format!("{kind}, {what}: {cause} and not {expected}: {words}"));
        }
        let kept = tenant.cluster.get("v1 Secret", &tenant.work, &name).await.unwrap();
        assert_eq!(value(&kept, "one"), "good", "{kind}, {what}: the last good Secret stays");
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert!(!running.log().contains(CANARY));
}

/// Every place of a definition that can name an object of another namespace, found in the definition itself: a field that
/// comes in later is in the table by itself.
#[tokio::test]
async fn no_field_of_a_store_or_generator_reads_in_another_namespace() {
    let tenant = Bed::attach().unwrap().tenant("across").await.unwrap();
    for namespace in [&tenant.keys, &tenant.work] {
        let named = secret(namespace, "theirs", &json!({ "key": CANARY }));
        tenant.cluster.apply_object(&named).await.unwrap();
    }
    let providers = schema(&tenant, "secretstores.external-secrets.io", "/properties/spec/properties/provider");
    let mut rows: BTreeMap<String, Value> = BTreeMap::new();
    for place in places(&providers, &[]) {
        let spec = json!({ "provider": instance(&providers, &place, &tenant.keys) });
        rows.insert(place.join("."), spec);
    }
    // What some count only with, or are read after.
    let own = json!({ "name": "theirs", "key": "key" });
    for (path, beside) in [
        ("azurekv.serviceAccountRef", json!({ "azurekv": { "authType": "WorkloadIdentity" } })),
        ("kubernetes.auth.cert.clientKey", json!({ "kubernetes": { "auth": { "cert": { "clientCert": own } } } })),
    ] {
        let plain = rows.remove(path).unwrap();
        rows.insert(path.to_owned(), merged(plain, json!({ "provider": beside })));
    }
    assert!(rows.len() > 40, "places are missing: {:?}", rows.keys());
    let names: BTreeMap<&String, String> = rows.keys().enumerate().map(|(at, path)| (path, format!("s{at}"))).collect();
    let running = tenant.operator(&ONLY).await.unwrap().start().unwrap();
    let mut differ = Vec::new();
    for (path, spec) in &rows {
        if let Err(error) = apply(&tenant, STORE, &names[path], spec).await {
            differ.push(format!("{path}: {error}\n  {spec}"));
        }
    }
    for path in rows.keys().filter(|path| !differ.iter().any(|line| line.starts_with(*path))).collect::<Vec<_>>() {
        let told = failing(&tenant, STORE, &names[path]).await;
        let cause = told["status"]["chancery"]["cause"].as_str().unwrap_or_default();
        if cause != "ForeignNamespace" {
            differ.push(format!("{path}: {cause}: {}", message(&told, "Ready")));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert!(!running.log().contains(CANARY));
}

#[tokio::test]
async fn no_field_of_a_generator_reads_in_another_namespace() {
    let tenant = Bed::attach().unwrap().tenant("asked-across").await.unwrap();
    let theirs = secret(&tenant.keys, "theirs", &json!({ "key": CANARY }));
    tenant.cluster.apply_object(&theirs).await.unwrap();
    let mut rows: Vec<(String, String)> = Vec::new();
    for kind in GENERATORS {
        let plural = format!("{}s.generators.external-secrets.io", kind.to_lowercase());
        let spec = schema(&tenant, &plural, "/properties/spec");
        for place in places(&spec, &[]) {
            let name = format!("g{}", rows.len());
            let plain = instance(&spec, &place, &tenant.keys);
            let kind_of = format!("{GENERATOR} {kind}");
            apply(&tenant, &kind_of, &name, &plain)
                .await
                .map_err(|error| format!("{kind} {place:?}: {error}"))
                .unwrap();
            let reference = json!({ "apiVersion": GENERATOR, "kind": kind, "name": name });
            let wanted = json!({ "dataFrom": [{ "sourceRef": { "generatorRef": reference } }] });
            apply(&tenant, EXTERNAL, &name, &wanted).await.unwrap();
            rows.push((name, format!("{kind} {}", place.join("."))));
        }
    }
    assert!(rows.len() > 20, "places are missing: {rows:?}");
    let running = tenant.operator(&ONLY).await.unwrap().start().unwrap();
    let mut differ = Vec::new();
    for (name, place) in &rows {
        let told = failing(&tenant, EXTERNAL, name).await;
        let cause = told["status"]["chancery"]["cause"].as_str().unwrap_or_default();
        let words = message(&told, "Ready");
        if !words.contains(&tenant.keys) || words.contains(CANARY) {
            differ.push(format!("{place}: {cause}: {words}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert!(!running.log().contains(CANARY));
}

fn schema(tenant: &Tenant, file: &str, pointer: &str) -> Value {
    let text = std::fs::read_to_string(tenant.bed.checkout.join(format!("crds/{file}.yaml"))).unwrap();
    let definition = documents(&text).unwrap().remove(0);
    let version = definition.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap();
    version.pointer(pointer).unwrap().clone()
}

/// Paths to everything that has a name and a namespace; `[]` is any entry of a list.
fn places(schema: &Value, path: &[String]) -> Vec<Vec<String>> {
    let properties = schema["properties"].as_object();
    if properties.is_some_and(|fields| fields.contains_key("name") && fields.contains_key("namespace")) {
        return vec![path.to_vec()];
    }
    let below = |name: &str, schema: &Value| places(schema, &[path, &[name.to_owned()]].concat());
    let fields = properties.into_iter().flatten().flat_map(|(name, schema)| below(name, schema));
    fields.chain(schema.get("items").into_iter().flat_map(|schema| below("[]", schema))).collect()
}

/// The least that a schema takes, with another namespace named at one place.
fn instance(schema: &Value, path: &[String], namespace: &str) -> Value {
    if let [first, rest @ ..] = path {
        if first == "[]" {
            return json!([instance(&schema["items"], rest, namespace)]);
        }
        let mut made = required(schema);
        made.insert(first.clone(), instance(&schema["properties"][first], rest, namespace));
        return Value::Object(made);
    }
    let mut made = required(schema);
    made.insert("name".to_owned(), json!("theirs"));
    made.insert("namespace".to_owned(), json!(namespace));
    if schema["properties"].get("key").is_some() {
        made.insert("key".to_owned(), json!("key"));
    }
    Value::Object(made)
}

fn required(schema: &Value) -> Map<String, Value> {
    let names = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    names.map(|name| (name.to_owned(), least(&schema["properties"][name]))).collect()
}

fn least(schema: &Value) -> Value {
    if let Some(first) = schema.get("default").or_else(|| schema["enum"].get(0)) {
        return first.clone();
    }
    match schema["type"].as_str().unwrap_or_default() {
        "object" => Value::Object(required(schema)),
        "array" => json!([]),
        "integer" | "number" => json!(1),
        "boolean" => json!(true),
        _ if schema.get("pattern").is_some() => json!("x"),
        _ => json!("https://x"),
    }
}

#[tokio::test]
async fn a_value_of_one_mebibyte_is_a_value_and_what_no_secret_can_hold_is_told() {
    const MEBIBYTE: usize = 1 << 20;
    let tenant = Bed::attach().unwrap().tenant("large").await.unwrap();
    let values = json!([{ "key": "large", "value": "x".repeat(MEBIBYTE) }]);
    apply(&tenant, STORE, "fake", &json!({ "provider": { "fake": { "data": values } } })).await.unwrap();
    let entry = |name: &str| json!({ "secretKey": name, "remoteRef": { "key": "large" } });
    let _running = tenant.operator(&ONLY).await.unwrap().start().unwrap();
    apply(&tenant, EXTERNAL, "one", &external(json!({ "data": [entry("one")] }))).await.unwrap();
    apply(&tenant, EXTERNAL, "two", &external(json!({ "data": [entry("one"), entry("two")] }))).await.unwrap();
    let place = ("v1 Secret", tenant.work.as_str(), "one");
    let is_whole = |secret: &Value| value(secret, "one").len() == MEBIBYTE;
    tenant.cluster.wait_for("it is made", place, PATIENCE, is_whole).await.unwrap();
    let told = failing(&tenant, EXTERNAL, "two").await;
    assert!(message(&told, "Ready").contains("data"), "{}", message(&told, "Ready"));
    assert!(tenant.cluster.find("v1 Secret", &tenant.work, "two").await.unwrap().is_none());
}
