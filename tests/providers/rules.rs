//! Who may use which store, and where a store may read.

use bed::Bed;
use serde_json::{Value, json};

use super::{EXTERNAL, ONLY, STORE, assert_values, cause, data, external, ready, secret, store};

const CLUSTER_STORE: &str = "external-secrets.io/v1 ClusterSecretStore";

#[tokio::test]
async fn cluster_stores_are_for_the_namespaces_that_they_name() {
    let tenant = Bed::attach().unwrap().tenant("rules").await.unwrap();
    let id = tenant.work.clone();
    let cases = [
        ("all", json!([]), true),
        ("listed", json!([{ "namespaces": ["other", id] }]), true),
        ("not-listed", json!([{ "namespaces": ["other"] }]), false),
        ("regex", json!([{ "namespaceRegexes": ["^rules-.*-work$"] }]), true),
        ("no-regex", json!([{ "namespaceRegexes": ["^work"] }, { "namespaceRegexes": ["("] }]), false),
        ("labelled", json!([{ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": id } } }]), true),
        ("not-labelled", json!([{ "namespaceSelector": { "matchLabels": { "team": "eel" } } }]), false),
    ];
    for (name, conditions, _) in &cases {
        let object = json!({
            "apiVersion": "external-secrets.io/v1", "kind": "ClusterSecretStore", "metadata": { "name": format!("{id}-{name}") },
            "spec": { "provider": { "fake": { "data": [{ "key": "k", "value": "v" }] } }, "conditions": conditions },
        });
        tenant.cluster.apply_object(&object).await.unwrap();
    }
    let _running = tenant.operator(&ONLY).await.unwrap().start().unwrap();
    for (name, _, _) in &cases {
        let mut fields = data(&[("k", "k", json!({}))]);
        fields["secretStoreRef"] = json!({ "name": format!("{id}-{name}"), "kind": "ClusterSecretStore" });
        external(&tenant, name, "", &fields).await;
    }
    for (name, _, permitted) in &cases {
        if *permitted {
            assert_values(&tenant, name, &[("k", "v")]).await;
        } else {
            assert_eq!(cause(&ready(&tenant, EXTERNAL, name, "False").await), "StoreNotPermitted", "{name}");
        }
        ready(&tenant, CLUSTER_STORE, &format!("{id}-{name}"), "True").await;
        tenant.cluster.delete(CLUSTER_STORE, "", &format!("{id}-{name}")).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_store_cannot_do_yet_is_named() {
    let tenant = Bed::attach().unwrap().tenant("unbuilt").await.unwrap();
    let of = json!({ "name": "n", "key": "k" });
    let ntlm = json!({ "ntlm": { "usernameSecret": of, "passwordSecret": of } });
    let from_aws = json!({ "region": "r", "awsCredentialsSecretRef": { "name": "aws" } });
    let federation = json!({ "workloadIdentityFederation": { "audience": "//x", "awsSecurityCredentials": from_aws } });
    secret(&tenant, "aws", &json!({ "aws_access_key_id": "i", "aws_secret_access_key": "k" })).await;
    let cases = [
        ("ntlm", json!({ "webhook": { "url": "http://127.0.0.1:1", "auth": ntlm } }), "UnsupportedField", "auth.ntlm"),
        (
            "certificates",
            json!({ "aws": { "service": "CertificateManager", "region": "r" } }),
            "InvalidConfiguration",
            "CertificateManager",
        ),
        ("doppler", json!({ "doppler": { "auth": {} } }), "UnsupportedField", "doppler"),
        (
            "federation",
            json!({ "gcpsm": { "projectID": "p", "auth": federation } }),
            "InvalidConfiguration",
            "serviceAccountRef only",
        ),
    ];
    for (name, provider, _, _) in &cases {
        store(&tenant, name, provider).await;
    }
    let _running = tenant.operator(&ONLY).await.unwrap().start().unwrap();
    for (name, _, cause, words) in &cases {
        let refused = ready(&tenant, STORE, name, "False").await;
        assert_eq!(refused["status"]["chancery"]["cause"], *cause, "{name}");
        let told = crate::support::message(&refused, "Ready");
        assert!(told.contains(words), "{name}: {told}");
    }
}

/// Published advisories of the reference, replayed: a store in one namespace that names another in any field.
#[tokio::test]
async fn a_store_never_reads_in_another_namespace() {
    let tenant = Bed::attach().unwrap().tenant("foreign").await.unwrap();
    let other = format!("{}-other", tenant.work);
    tenant.cluster.namespace(&other).await.unwrap();
    let theirs = crate::support::secret(&other, "theirs", &json!({ "token": "their-token", "ca.crt": "ca" }));
    tenant.cluster.apply_object(&theirs).await.unwrap();
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "theirs", "namespace": other }, "data": { "ca.crt": "ca" },
    });
    tenant.cluster.apply_object(&map).await.unwrap();
    secret(&tenant, "own", &json!({ "token": "t" })).await;
    let theirs = json!({ "name": "theirs", "key": "token", "namespace": other });
    let account = json!({ "name": "default", "namespace": other });
    let own = json!({ "tokenSecretRef": { "name": "own", "key": "token" } });
    let vault = |more: Value| {
        let mut vault = json!({ "server": "http://127.0.0.1:1", "path": "secret" });
        vault.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "vault": vault })
    };
    let ca = |kind: &str| json!({ "type": kind, "name": "theirs", "key": "ca.crt", "namespace": other });
    let cases = [
        ("token", vault(json!({ "auth": { "tokenSecretRef": theirs } }))),
        (
            "account",
            vault(
                json!({ "auth": { "kubernetes": { "mountPath": "kubernetes", "role": "r", "serviceAccountRef": account } } }),
            ),
        ),
        (
            "jwt",
            vault(
                json!({ "auth": { "jwt": { "path": "jwt", "kubernetesServiceAccountToken": { "serviceAccountRef": account } } } }),
            ),
        ),
        ("ca-map", vault(json!({ "auth": own, "caProvider": ca("ConfigMap") }))),
        ("ca-secret", vault(json!({ "auth": own, "caProvider": ca("Secret") }))),
        (
            "aws",
            json!({ "aws": { "service": "SecretsManager", "region": "r", "auth": { "jwt": { "serviceAccountRef": account } } } }),
        ),
        ("azure", json!({ "azurekv": { "vaultUrl": "https://v", "authSecretRef": { "clientId": theirs } } })),
        (
            "gcp",
            json!({ "gcpsm": { "projectID": "p", "auth": { "secretRef": { "secretAccessKeySecretRef": theirs } } } }),
        ),
        ("kube", json!({ "kubernetes": { "auth": { "serviceAccount": account } } })),
        ("kube-token", json!({ "kubernetes": { "auth": { "token": { "bearerToken": theirs } } } })),
        (
            "webhook",
            json!({ "webhook": { "url": "http://127.0.0.1:1", "secrets": [{ "name": "s", "secretRef": theirs }] } }),
        ),
    ];
    for (name, provider) in &cases {
        store(&tenant, name, provider).await;
    }
    let running = tenant.operator(&ONLY).await.unwrap().start().unwrap();
    for (name, _) in &cases {
        let refused = ready(&tenant, STORE, name, "False").await;
        assert_eq!(refused["status"]["chancery"]["cause"], "ForeignNamespace", "{name}");
        let told = crate::support::message(&refused, "Ready");
        assert!(told.contains(&other) && told.contains("ClusterSecretStore"), "{name}: {told}");
    }
    assert!(!running.log().contains("their-token"));
}
