//! Certificates between us and a store, good and bad, and a store that is really sealed: an OpenBao of this test's own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bed::Bed;
use bed::cluster::PATIENCE;
use bed::fake::{Fake, Reply};
use bed::plane::Authority;
use bed::vault::{ROOT_TOKEN, Vault};
use serde_json::{Value, json};

use super::{EXTERNAL, ONLY, STORE, assert_values, cause, data, external, ready, secret, store};

#[tokio::test]
async fn certificates_are_checked_and_a_sealed_store_loses_nothing() {
    let tenant = Bed::attach().unwrap().tenant("tls").await.unwrap();
    let folder = tenant.folder.clone();
    std::fs::create_dir_all(&folder).unwrap();
    let (authority, other) = (Authority::new("a test's own").unwrap(), Authority::new("another").unwrap());
    let server = Vault::start_tls(&tenant.bed.bao, &folder.join("bao"), &authority).unwrap();
    let vault = server.client().unwrap();
    vault.ready().await.unwrap();
    vault.write("db", json!({ "k": "good" })).await.unwrap();
    // Whoever has a certificate of this authority may read.
    authority.client(&folder.join("app"), "app", None).unwrap();
    vault.reader_token("reader", "").await.unwrap();
    vault.call("POST", "sys/auth/cert", Some(json!({ "type": "cert" }))).await.unwrap();
    let role = json!({ "certificate": authority.pem, "token_policies": ["reader"] });
    vault.call("POST", "auth/cert/certs/app", Some(role)).await.unwrap();
    authority.expired(&folder.join("expired")).unwrap();
    authority.for_another_host(&folder.join("elsewhere")).unwrap();
    let never = |_: &bed::fake::Asked| Reply::text("nobody should come this far");
    let expired = Fake::start_with(&folder.join("expired"), never).await.unwrap();
    let elsewhere = Fake::start_with(&folder.join("elsewhere"), never).await.unwrap();

    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let login = json!({
        "token": ROOT_TOKEN, "ca.crt": authority.pem, "crt": read("app.crt"), "key": read("app.key"),
    });
    secret(&tenant, "login", &login).await;
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "ca", "namespace": tenant.work },
        "data": { "pem": authority.pem },
    });
    tenant.cluster.apply_object(&map).await.unwrap();
    let of = |key: &str| json!({ "name": "login", "key": key });
    let token = json!({ "tokenSecretRef": of("token") });
    let certificate = json!({ "cert": { "clientCert": of("crt"), "secretRef": of("key"), "vaultRole": "app" } });
    let bundle = |authority: &Authority| json!(STANDARD.encode(&authority.pem));
    let provider = |url: &str, more: Value| {
        let mut vault = json!({ "server": url, "path": "secret", "auth": token });
        vault.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "vault": vault })
    };
    let url = server.tls_url.as_str();
    let plain = url.replace("https", "http");
    let good = [
        ("bundle", json!({ "caBundle": bundle(&authority) })),
        ("secret", json!({ "caProvider": { "type": "Secret", "name": "login" } })),
        ("map", json!({ "caProvider": { "type": "ConfigMap", "name": "ca", "key": "pem" } })),
        ("certificate", json!({ "caBundle": bundle(&authority), "auth": certificate })),
    ];
    let bad = [
        ("public", url, json!({}), "CertificateInvalid"),
        ("wrong", url, json!({ "caBundle": bundle(&other) }), "CertificateInvalid"),
        ("expired", expired.url.as_str(), json!({ "caBundle": bundle(&authority) }), "CertificateExpired"),
        ("elsewhere", elsewhere.url.as_str(), json!({ "caBundle": bundle(&authority) }), "CertificateInvalid"),
        ("plain", plain.as_str(), json!({}), "StoreError"),
    ];
    for (name, more) in &good {
        store(&tenant, name, &provider(url, more.clone())).await;
    }
    for (name, url, more, _) in &bad {
        store(&tenant, name, &provider(url, more.clone())).await;
    }
    let entry = data(&[("k", "db", json!({ "property": "k" }))]);
    let _running = tenant.operator(&ONLY).await.unwrap().start().unwrap();
    for (name, _) in &good {
        external(&tenant, name, name, &entry).await;
        assert_values(&tenant, name, &[("k", "good")]).await;
    }
    for (name, _, _, expected) in &bad {
        let refused = ready(&tenant, STORE, name, "False").await;
        assert_eq!(refused["status"]["chancery"]["cause"], *expected, "{name}");
    }
    assert!(expired.asked().is_empty() && elsewhere.asked().is_empty());

    // Sealed: told as such, and the last good Secret stays; opened again, all goes on.
    vault.call("PUT", "sys/seal", None).await.unwrap();
    let force = json!({ "metadata": { "annotations": { "force-sync": "1" } } });
    tenant.cluster.patch(EXTERNAL, &tenant.work, "bundle", &force).await.unwrap();
    let is = |object: &Value| cause(object) == "Sealed";
    tenant.cluster.wait_for("it is sealed", (EXTERNAL, &tenant.work, "bundle"), PATIENCE, is).await.unwrap();
    let kept = tenant.cluster.get("v1 Secret", &tenant.work, "bundle").await.unwrap();
    assert_eq!(crate::support::value(&kept, "k"), "good");
    let key = json!({ "key": server.unseal_key().unwrap() });
    vault.call("PUT", "sys/unseal", Some(key)).await.unwrap();
    vault.write("db", json!({ "k": "better" })).await.unwrap();
    let follows = |secret: &Value| crate::support::value(secret, "k") == "better";
    tenant.cluster.wait_for("it follows", ("v1 Secret", &tenant.work, "bundle"), PATIENCE, follows).await.unwrap();
}
