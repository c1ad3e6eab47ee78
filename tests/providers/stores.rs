//! What every store that can be written has in common, said once: what is pushed can be read, what others made is left
//! alone, what is let go is taken away only where that was asked for; and each is searched by name, tags and path.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use bed::cluster::PATIENCE;
use bed::{Bed, Tenant};
use serde_json::{Value, json};

use super::azure::{self, Azure};
use super::google::{self, Google};
use super::{EXTERNAL, ONLY, aws, cause, external, ready, secret, store};

pub(super) const PUSH: &str = "external-secrets.io/v1alpha1 PushSecret";

/// Version 1 and 2 of OpenBao's engine, both services of moto, the fakes of Google and Azure, the API server.
const STORES: [&str; 7] = ["one", "two", "sm", "ps", "gcp", "azure", "kube"];

/// A name as the store would have it.
fn key(tenant: &Tenant, store: &str, name: &str) -> String {
    match store {
        "one" | "two" => name.to_owned(),
        "sm" => format!("{}/{name}", tenant.work),
        "ps" => format!("/{}/{name}", tenant.work),
        _ => name.replace('/', "-"),
    }
}

/// The running fakes.
struct Fakes {
    google: bed::fake::Fake,
    azure: bed::fake::Fake,
}

/// Makes one store of each kind, and in each three secrets of somebody else: `team/a` and `other` bear a tag.
async fn furnish(tenant: &Tenant) -> Fakes {
    let id = &tenant.work;
    let seeds = [("team/a", true), ("team/b", false), ("other", true)];
    let value = |name: &str| json!({ "k": name }).to_string();
    let tags = |tagged: bool| if tagged { json!({ "team": "kelp" }) } else { json!({}) };

    let vault = tenant.bed.vault().await.unwrap();
    secret(tenant, "login", &json!({ "token": bed::vault::ROOT_TOKEN, "id": "test", "key": "test", "word": "word" }))
        .await;
    let of = |key: &str| json!({ "name": "login", "key": key });
    for (mount, version) in [("one", "1"), ("two", "2")] {
        vault.mount_kv("", &format!("{id}-{mount}"), version).await.unwrap();
        let settings = json!({
            "server": tenant.bed.vault_url, "path": format!("{id}-{mount}"), "version": format!("v{version}"),
            "auth": { "tokenSecretRef": of("token") },
        });
        store(tenant, mount, &json!({ "vault": settings })).await;
    }
    for (name, tagged) in seeds {
        vault.call("POST", &format!("{id}-one/{name}"), Some(json!({ "k": name }))).await.unwrap();
        vault.call("POST", &format!("{id}-two/data/{name}"), Some(json!({ "data": { "k": name } }))).await.unwrap();
        let custom = json!({ "custom_metadata": tags(tagged) });
        vault.call("POST", &format!("{id}-two/metadata/{name}"), Some(custom)).await.unwrap();
    }
    // From now on whoever writes must say what is to be there.
    vault.call("POST", &format!("{id}-two/config"), Some(json!({ "cas_required": true }))).await.unwrap();

    let moto = tenant.bed.aws().await.unwrap();
    let keys = json!({ "secretRef": { "accessKeyIDSecretRef": of("id"), "secretAccessKeySecretRef": of("key") } });
    for (name, tagged) in seeds {
        let list: Vec<_> = tagged.then(|| json!({ "Key": "team", "Value": "kelp" })).into_iter().collect();
        let made = json!({ "Name": key(tenant, "sm", name), "SecretString": value(name), "Tags": list });
        aws::call(moto, "secretsmanager.CreateSecret", made).await;
        let made =
            json!({ "Name": key(tenant, "ps", name), "Value": value(name), "Type": "SecureString", "Tags": list });
        aws::call(moto, "AmazonSSM.PutParameter", made).await;
    }
    let at_once = json!({ "auth": keys, "secretsManager": { "forceDeleteWithoutRecovery": true } });
    store(tenant, "sm", &aws::provider("SecretsManager", &at_once)).await;
    store(tenant, "ps", &aws::provider("ParameterStore", &json!({ "auth": keys }))).await;

    let (google, google_fake) = Google::start().await;
    let (azure, azure_fake) = Azure::start(tenant).await;
    for (name, tagged) in seeds {
        google.seed(&key(tenant, "gcp", name), &tags(tagged), &[("ENABLED", &value(name))]);
        azure.seed(&key(tenant, "azure", name), &tags(tagged), &value(name));
    }
    // Listed, and without a version.
    google.seed("team-empty", &json!({}), &[]);
    secret(tenant, "gcp", &json!({ "key.json": google::account_key(&google_fake).to_string() })).await;
    let by_key = json!({ "secretRef": { "secretAccessKeySecretRef": { "name": "gcp", "key": "key.json" } } });
    store(tenant, "gcp", &json!({ "gcpsm": { "projectID": "p", "auth": by_key } })).await;
    let by_word = json!({ "authSecretRef": { "clientId": of("id"), "clientSecret": of("word") } });
    store(tenant, "azure", &azure::provider(&azure_fake, &by_word)).await;

    let remote = format!("{id}-remote");
    tenant.cluster.namespace(&remote).await.unwrap();
    for (name, tagged) in seeds {
        let mut object = crate::support::secret(&remote, &key(tenant, "kube", name), &json!({ "k": name }));
        object["metadata"]["labels"] = tags(tagged);
        tenant.cluster.apply_object(&object).await.unwrap();
    }
    let of_role = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "all" });
    for object in [
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "all", "namespace": remote },
            "rules": [{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["*"] }],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": "all", "namespace": remote },
            "roleRef": of_role, "subjects": [{ "kind": "ServiceAccount", "name": "default", "namespace": id }],
        }),
    ] {
        tenant.cluster.apply_object(&object).await.unwrap();
    }
    let account = json!({ "remoteNamespace": remote, "auth": { "serviceAccount": { "name": "default" } } });
    store(tenant, "kube", &json!({ "kubernetes": account })).await;
    Fakes { google: google_fake, azure: azure_fake }
}

/// Starts an operator that knows where the fakes are.
async fn start(tenant: &Tenant, fakes: &Fakes) -> bed::operator::Running {
    let moto = &tenant.bed.aws_url;
    let arguments = [
        ONLY[0],
        &format!("--aws-secrets-manager={moto}"),
        &format!("--aws-ssm={moto}"),
        &format!("--google-secret-manager={}", fakes.google.url),
    ];
    let operator = tenant.operator(&arguments).await.unwrap();
    let operator = operator.with_environment("SSL_CERT_FILE", &tenant.folder.join("azure.ca").to_string_lossy());
    operator.start().unwrap()
}

/// Makes a PushSecret of the Secret `source`: pairs of a key there and a property of `remote`.
pub(super) async fn push(tenant: &Tenant, name: &str, store: &str, remote: &str, pairs: &[(&str, &str)], more: &Value) {
    let entry = |(key, property): &(&str, &str)| json!({ "match": { "secretKey": key, "remoteRef": { "remoteKey": remote, "property": property } } });
    let mut object = json!({
        "apiVersion": "external-secrets.io/v1alpha1", "kind": "PushSecret",
        "metadata": { "name": name, "namespace": tenant.work },
        "spec": {
            "refreshInterval": "1h", "secretStoreRefs": [{ "name": store, "kind": "SecretStore" }],
            "selector": { "secret": { "name": "source" } }, "data": pairs.iter().map(entry).collect::<Vec<_>>(),
        },
    });
    object["spec"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    tenant.cluster.apply_object(&object).await.unwrap();
}

/// An ExternalSecret of all that stands under a name in a store, read anew.
async fn read(tenant: &Tenant, store: &str, name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let object = format!("{store}-{name}");
    let remote = key(tenant, store, name);
    external(tenant, &object, store, &json!({ "dataFrom": [{ "extract": { "key": remote } }] })).await;
    let force = COUNT.fetch_add(1, Ordering::Relaxed).to_string();
    let force = json!({ "metadata": { "annotations": { "force-sync": force } } });
    tenant.cluster.patch(EXTERNAL, &tenant.work, &object, &force).await.unwrap();
    object
}

/// Compares all that stands under a name, once it is read anew.
async fn assert_stands(tenant: &Tenant, store: &str, name: &str, expected: &[(&str, &str)]) {
    let object = read(tenant, store, name).await;
    let mut expected: BTreeMap<&str, &str> = expected.iter().copied().collect();
    // Version 1 has no metadata: the mark is in the secret itself.
    if store == "one" && name != "other" {
        expected.insert("custom_metadata", r#"{"managed-by":"external-secrets"}"#);
    }
    let stands = |secret: &Value| {
        let count = secret["data"].as_object().map_or(0, |data| data.len());
        count == expected.len() && expected.iter().all(|(key, value)| crate::support::value(secret, key) == *value)
    };
    let what = format!("{object} holds {expected:?}");
    tenant.cluster.wait_for(&what, ("v1 Secret", &tenant.work, &object), PATIENCE, stands).await.unwrap();
}

#[tokio::test]
async fn every_store_takes_what_is_pushed_and_keeps_what_others_made() {
    let tenant = Bed::attach().unwrap().tenant("push").await.unwrap();
    let fakes = furnish(&tenant).await;
    secret(&tenant, "source", &json!({ "p": "one", "q": "two" })).await;
    let delete = json!({ "deletionPolicy": "Delete" });
    for name in STORES {
        let (pushed, kept) = (key(&tenant, name, "pushed"), key(&tenant, name, "kept"));
        push(&tenant, name, name, &pushed, &[("p", "p"), ("q", "q")], &delete).await;
        push(&tenant, &format!("{name}-kept"), name, &kept, &[("p", "p")], &json!({})).await;
        let foreign = key(&tenant, name, "other");
        push(&tenant, &format!("{name}-foreign"), name, &foreign, &[("p", "p")], &delete).await;
    }
    let _running = start(&tenant, &fakes).await;
    for name in STORES {
        ready(&tenant, PUSH, name, "True").await;
        ready(&tenant, PUSH, &format!("{name}-kept"), "True").await;
        let once = json!({ "updatePolicy": "IfNotExists" });
        push(&tenant, &format!("{name}-once"), name, &key(&tenant, name, "kept"), &[("q", "p")], &once).await;
        assert_stands(&tenant, name, "pushed", &[("p", "one"), ("q", "two")]).await;
    }
    // The Secret changes, and one entry goes: its property goes with it, the other follows.
    secret(&tenant, "source", &json!({ "p": "uno", "q": "two" })).await;
    for name in STORES {
        push(&tenant, name, name, &key(&tenant, name, "pushed"), &[("p", "p")], &delete).await;
    }
    for name in STORES {
        let is_one = |object: &Value| {
            let places = object["status"]["syncedPushSecrets"][format!("SecretStore/{name}")].as_object();
            places.is_some_and(|places| places.len() == 1)
        };
        let place = (PUSH, tenant.work.as_str(), name);
        tenant.cluster.wait_for("one entry is left", place, PATIENCE, is_one).await.unwrap();
        assert_stands(&tenant, name, "pushed", &[("p", "uno")]).await;
        ready(&tenant, PUSH, &format!("{name}-once"), "True").await;
        assert_stands(&tenant, name, "kept", &[("p", "one")]).await;
        // The API server has no mark of who made a Secret: there values are put in beside.
        let foreign = format!("{name}-foreign");
        if name == "kube" {
            ready(&tenant, PUSH, &foreign, "True").await;
        } else {
            let refused = ready(&tenant, PUSH, &foreign, "False").await;
            let told = crate::support::message(&refused, "Ready");
            assert!(told.contains("is not managed by external-secrets"), "{name}: {told}");
        }
    }
    for name in STORES {
        for object in [name.to_owned(), format!("{name}-kept"), format!("{name}-foreign")] {
            tenant.cluster.delete(PUSH, &tenant.work, &object).await.unwrap();
        }
    }
    for name in STORES {
        for object in [name.to_owned(), format!("{name}-foreign")] {
            tenant.cluster.wait_gone(PUSH, &tenant.work, &object, PATIENCE).await.unwrap();
        }
        let gone = read(&tenant, name, "pushed").await;
        let is = |object: &Value| cause(object) == "NotFound";
        tenant.cluster.wait_for("it is gone", (EXTERNAL, &tenant.work, &gone), PATIENCE, is).await.unwrap();
        assert_stands(&tenant, name, "kept", &[("p", "one")]).await;
        assert_stands(&tenant, name, "other", &[("k", "other")]).await;
    }
    // Azure keeps what was deleted for a while, and its name with it.
    push(&tenant, "again", "azure", "pushed", &[("p", "p")], &json!({})).await;
    let told = crate::support::message(&ready(&tenant, PUSH, "again", "False").await, "Ready");
    assert!(told.contains("still holds its name"), "{told}");
}

#[tokio::test]
async fn every_store_is_searched_by_name_tags_and_path() {
    let tenant = Bed::attach().unwrap().tenant("find").await.unwrap();
    let fakes = furnish(&tenant).await;
    let _running = start(&tenant, &fakes).await;
    let id = tenant.work.as_str();
    let (name, tags) = (|regexp: &str| json!({ "name": { "regexp": regexp } }), json!({ "tags": { "team": "kelp" } }));
    let below = |path: &str, find: &Value| {
        let mut find = find.clone();
        find["path"] = path.into();
        find
    };
    let (slash, prefix) = (format!("/{id}"), format!("{id}/team/"));
    let (all, a, b, other) = (name("."), "team/a", "team/b", "other");
    let found = [
        ("one", name("^team/"), vec![a, b]),
        ("one", below("team", &all), vec![a, b]),
        ("two", name("team/a$"), vec![a]),
        ("two", tags.clone(), vec![a, other]),
        ("two", below("team", &tags), vec![a]),
        ("sm", name(&format!("{id}/team/a$")), vec![a]),
        ("sm", below(&prefix, &tags), vec![a]),
        ("sm", below(&prefix, &all), vec![a, b]),
        ("ps", below(&slash, &name("/team/")), vec![a, b]),
        ("ps", below(&slash, &tags), vec![a, other]),
        ("gcp", name("^team-[ab]$|^other$"), vec![a, b, other]),
        ("gcp", tags.clone(), vec![a, other]),
        ("gcp", below("team", &all), vec![a, b]),
        ("azure", name("^team-"), vec![a, b]),
        ("azure", tags.clone(), vec![a, other]),
        // A path counts for nothing there, as upstream.
        ("azure", below("team", &all), vec![a, b, other]),
        ("kube", name("^team-"), vec![a, b]),
        ("kube", tags.clone(), vec![a, other]),
    ];
    for (number, (store, find, expected)) in found.iter().enumerate() {
        let object = format!("{store}-{number}");
        external(&tenant, &object, store, &json!({ "dataFrom": [{ "find": find }] })).await;
        let values = super::values(&tenant, &object).await;
        let of = |name: &str| key(&tenant, store, name).replace('/', "_");
        let expected: BTreeMap<_, _> =
            expected.iter().map(|name| (of(name), json!({ "k": name }).to_string().into_bytes())).collect();
        assert_eq!(values, expected, "{store} {find}");
    }
    let refused = [
        ("one", tags.clone(), "InvalidConfiguration"),
        ("two", below("nowhere", &all), "NotFound"),
        ("two", below("../sys", &all), "InvalidConfiguration"),
        ("sm", name("("), "InvalidConfiguration"),
    ];
    for (number, (store, find, expected)) in refused.iter().enumerate() {
        let object = format!("refused-{number}");
        external(&tenant, &object, store, &json!({ "dataFrom": [{ "find": find }] })).await;
        assert_eq!(cause(&ready(&tenant, EXTERNAL, &object, "False").await), *expected, "{store} {find}");
    }
}
