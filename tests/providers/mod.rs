//! Every provider from end to end: OpenBao, moto, the API server; fakes for Google, Azure and web services.

use bed::Tenant;
use bed::cluster::PATIENCE;
use serde_json::{Value, json};

use crate::support::condition;

mod ambient;
mod aws;
mod azure;
mod faults;
mod generators;
mod google;
mod kubernetes;
mod rules;
mod stores;
mod tls;
mod vault;
mod webhook;

const EXTERNAL: &str = "external-secrets.io/v1 ExternalSecret";
const STORE: &str = "external-secrets.io/v1 SecretStore";
const ONLY: [&str; 1] = ["--controllers=external-secrets"];

/// Makes a SecretStore `name`.
async fn store(tenant: &Tenant, name: &str, provider: &Value) {
    let object = json!({
        "apiVersion": "external-secrets.io/v1", "kind": "SecretStore",
        "metadata": { "name": name, "namespace": tenant.work }, "spec": { "provider": provider },
    });
    tenant.cluster.apply_object(&object).await.unwrap();
}

/// Makes an ExternalSecret `name` of the store `store`; without one, `fields` says where values come from.
async fn external(tenant: &Tenant, name: &str, store: &str, fields: &Value) {
    let mut object = json!({
        "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
        "metadata": { "name": name, "namespace": tenant.work },
        "spec": { "refreshInterval": "1h" },
    });
    if !store.is_empty() {
        object["spec"]["secretStoreRef"] = json!({ "name": store });
    }
    object["spec"].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    tenant.cluster.apply_object(&object).await.unwrap();
}

/// Makes a Secret.
async fn secret(tenant: &Tenant, name: &str, values: &Value) {
    tenant.cluster.apply_object(&crate::support::secret(&tenant.work, name, values)).await.unwrap();
}

/// Entries of `spec.data`: key in the Secret, key in the store, what else the reference says.
fn data(entries: &[(&str, &str, Value)]) -> Value {
    let entry = |(name, key, more): &(&str, &str, Value)| {
        let mut reference = json!({ "key": key });
        reference.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        json!({ "secretKey": name, "remoteRef": reference })
    };
    json!({ "data": entries.iter().map(entry).collect::<Vec<_>>() })
}

/// Waits until `Ready` is so.
async fn ready(tenant: &Tenant, kind: &str, name: &str, status: &'static str) -> Value {
    let namespace = if kind.ends_with("ClusterSecretStore") { "" } else { tenant.work.as_str() };
    let is = |object: &Value| condition(object, "Ready", status);
    tenant.cluster.wait_for(&format!("Ready is {status}"), (kind, namespace, name), PATIENCE, is).await.unwrap()
}

/// The values of the Secret that an ExternalSecret of this name made, once it is ready.
async fn values(tenant: &Tenant, name: &str) -> std::collections::BTreeMap<String, Vec<u8>> {
    use base64::Engine;
    ready(tenant, EXTERNAL, name, "True").await;
    let secret = tenant.cluster.get("v1 Secret", &tenant.work, name).await.unwrap();
    let decode = |value: &Value| base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap()).unwrap();
    secret["data"].as_object().unwrap().iter().map(|(key, value)| (key.clone(), decode(value))).collect()
}

/// The same as texts, compared with what is expected.
async fn assert_values(tenant: &Tenant, name: &str, expected: &[(&str, &str)]) {
    let found = values(tenant, name).await;
    let found: Vec<_> =
        found.iter().map(|(key, value)| (key.as_str(), String::from_utf8_lossy(value).into_owned())).collect();
    let found: Vec<_> = found.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected, "{name}");
}

/// The cause that a failing ExternalSecret names.
fn cause(object: &Value) -> &str {
    object["status"]["chancery"]["cause"].as_str().unwrap_or_default()
}
