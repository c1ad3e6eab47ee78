//! What goes wrong between us and a store, through a proxy that spoils answers: it is named, and nothing is lost.

use std::time::Duration;

use bed::Bed;
use bed::cluster::PATIENCE;
use bed::faults::{Fault, FaultProxy};
use serde_json::{Value, json};

use super::google::{self, Google};
use super::{EXTERNAL, ONLY, assert_values, aws, cause, data, external, ready, secret, store};

#[tokio::test]
async fn spoilt_answers_are_named_and_the_last_good_secret_stays() {
    let tenant = Bed::attach().unwrap().tenant("faults").await.unwrap();
    let (vault, id) = (tenant.bed.vault().await.unwrap(), tenant.work.clone());
    vault.write(&format!("{id}/db"), json!({ "k": "good", "large": "x".repeat(900_000), "empty": "" })).await.unwrap();
    let token = vault.reader_token(&id, &id).await.unwrap();
    secret(&tenant, "login", &json!({ "token": token })).await;
    let faults = [
        ("late", Fault::Delay(Duration::from_secs(30)), "Unreachable"),
        ("reset", Fault::ResetAfter(40), "Unreachable"),
        ("cut", Fault::CloseAfter(4000), "Malformed"),
        ("sealed", Fault::Status(503), "Sealed"),
        ("slow-down", Fault::Status(429), "Throttled"),
        ("denied", Fault::Status(403), "PermissionDenied"),
        ("broken", Fault::Status(500), "StoreError"),
        ("nowhere", Fault::Status(404), "NoEngine"),
        ("rubbish", Fault::Oversized(16), "Malformed"),
        ("oversized", Fault::Oversized(3 << 20), "Malformed"),
    ];
    let mut proxies = Vec::new();
    for (name, _, _) in &faults {
        let proxy = FaultProxy::start(&tenant.bed.vault_url).await.unwrap();
        let auth = json!({ "tokenSecretRef": { "name": "login", "key": "token" } });
        store(&tenant, name, &json!({ "vault": { "server": proxy.url, "path": "secret", "auth": auth } })).await;
        let entry = data(&[("k", &format!("{id}/db"), json!({ "property": "k" }))]);
        external(&tenant, name, name, &entry).await;
        proxies.push(proxy);
    }
    let auth = json!({ "tokenSecretRef": { "name": "login", "key": "token" } });
    store(&tenant, "healthy", &json!({ "vault": { "server": tenant.bed.vault_url, "path": "secret", "auth": auth } }))
        .await;
    let running = tenant.operator(&ONLY).await.unwrap().start().unwrap();
    for (name, _, _) in &faults {
        ready(&tenant, EXTERNAL, name, "True").await;
    }
    for (proxy, (name, fault, _)) in proxies.iter().zip(&faults) {
        proxy.set(fault.clone());
        let force = json!({ "metadata": { "annotations": { "force-sync": "1" } } });
        tenant.cluster.patch(EXTERNAL, &id, name, &force).await.unwrap();
    }
    // The others are not held up, and large and empty values are values.
    let entry = data(&[
        ("large", &format!("{id}/db"), json!({ "property": "large" })),
        ("empty", &format!("{id}/db"), json!({ "property": "empty" })),
    ]);
    external(&tenant, "healthy", "healthy", &entry).await;
    let started = std::time::Instant::now();
    let found = super::values(&tenant, "healthy").await;
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert_eq!((found["large"].len(), found["empty"].len()), (900_000, 0));

    for (name, _, expected) in &faults {
        let failed = |object: &Value| cause(object) == *expected;
        let what = format!("{name} is {expected}");
        tenant.cluster.wait_for(&what, (EXTERNAL, &id, name), PATIENCE, failed).await.unwrap();
        let secret = tenant.cluster.get("v1 Secret", &id, name).await.unwrap();
        assert_eq!(crate::support::value(&secret, "k"), "good", "{name}");
    }
    for proxy in &proxies {
        proxy.set(Fault::None);
    }
    // Those that do not rest for longer with each failure.
    for name in ["cut", "denied", "broken", "nowhere"] {
        assert_values(&tenant, name, &[("k", "good")]).await;
    }
    assert!(running.metric("chancery_provider_calls_total").await.unwrap() > 0.0);
    assert!(running.metric("chancery_store_budget").await.unwrap() > 0.0);
}

#[tokio::test]
async fn spoilt_answers_of_clouds_are_named_and_the_last_good_secret_stays() {
    let tenant = Bed::attach().unwrap().tenant("clouds").await.unwrap();
    let (moto, id) = (tenant.bed.aws().await.unwrap().to_owned(), tenant.work.as_str());
    let (google, google_fake) = Google::start().await;
    google.seed("db", &json!({}), &[("ENABLED", "good")]);
    let named = format!("/{id}/db");
    let made = json!({ "Name": named, "SecretString": "good" });
    aws::call(&moto, "secretsmanager.CreateSecret", made).await;
    let made = json!({ "Name": named, "Value": "good", "Type": "String" });
    aws::call(&moto, "AmazonSSM.PutParameter", made).await;
    let login = json!({ "id": "test", "key": "test", "gcp": google::account_key(&google_fake).to_string() });
    secret(&tenant, "login", &login).await;
    let of = |key: &str| json!({ "name": "login", "key": key });
    let keys = json!({ "secretRef": { "accessKeyIDSecretRef": of("id"), "secretAccessKeySecretRef": of("key") } });
    let by_key = json!({ "secretRef": { "secretAccessKeySecretRef": of("gcp") } });
    let faults = [
        ("denied", Fault::Status(403), "PermissionDenied"),
        ("slow-down", Fault::Status(429), "Throttled"),
        // Not the service's own word, so it says nothing of the key.
        ("nowhere", Fault::Status(404), "StoreError"),
        ("rubbish", Fault::Oversized(16), "Malformed"),
        ("reset", Fault::ResetAfter(20), "Unreachable"),
    ];
    let kinds = [
        ("sm", aws::provider("SecretsManager", &json!({ "auth": keys })), named.as_str(), moto.as_str()),
        ("ps", aws::provider("ParameterStore", &json!({ "auth": keys })), named.as_str(), moto.as_str()),
        ("gcp", json!({ "gcpsm": { "projectID": "p", "auth": by_key } }), "db", google_fake.url.as_str()),
    ];
    let mut proxies = Vec::new();
    for (kind, provider, key, server) in &kinds {
        for (fault, _, _) in &faults {
            let name = format!("{kind}-{fault}");
            store(&tenant, &name, provider).await;
            external(&tenant, &name, &name, &data(&[("k", key, json!({}))])).await;
        }
        proxies.push(FaultProxy::start(server).await.unwrap());
    }
    let arguments = [
        ONLY[0],
        &format!("--aws-secrets-manager={}", proxies[0].url),
        &format!("--aws-ssm={}", proxies[1].url),
        &format!("--google-secret-manager={}", proxies[2].url),
    ];
    let _running = tenant.operator(&arguments).await.unwrap().start().unwrap();
    let tenant = &tenant;
    let spoil = async |kind: &str, proxy: &FaultProxy| {
        for (fault, _, _) in &faults {
            assert_values(tenant, &format!("{kind}-{fault}"), &[("k", "good")]).await;
        }
        for (fault, what, expected) in &faults {
            let name = format!("{kind}-{fault}");
            let expected = if (kind, *fault) == ("gcp", "nowhere") { "NoEngine" } else { expected };
            proxy.set(what.clone());
            let force = json!({ "metadata": { "annotations": { "force-sync": "1" } } });
            tenant.cluster.patch(EXTERNAL, id, &name, &force).await.unwrap();
            let failed = |object: &Value| cause(object) == expected;
            let told = format!("{name} is {expected}");
            tenant.cluster.wait_for(&told, (EXTERNAL, id, &name), PATIENCE, failed).await.unwrap();
            let kept = tenant.cluster.get("v1 Secret", id, &name).await.unwrap();
            assert_eq!(crate::support::value(&kept, "k"), "good", "{name}");
        }
    };
    tokio::join!(spoil("sm", &proxies[0]), spoil("ps", &proxies[1]), spoil("gcp", &proxies[2]));
}
