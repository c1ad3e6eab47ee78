//! Stores without `auth`: the identity of our own pod, as EKS, EC2, GKE and AKS give it. The metadata and token services
//! are fakes at their true, link-local addresses; so are the stores, which answer with the name of whoever asks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bed::fake::{Asked, Fake, Reply};
use bed::namespaces::METADATA;
use bed::peer::PodAccount;
use bed::{Bed, Tenant};
use serde_json::{Value, json};

use super::azure::{self, Azure};
use super::{EXTERNAL, STORE, assert_values, aws, cause, data, external, ready, store, values, vault};

/// What EKS and Azure mount into our pod.
const OWN_TOKEN: &str = "own-token";

/// EC2's instance metadata (version 2), GKE's metadata server, Azure's.
fn metadata(asked: &Asked) -> Reply {
    const ROLE: &str = "/latest/meta-data/iam/security-credentials/";
    const GOOGLE: &str = "/computeMetadata/v1/";
    match (asked.method.as_str(), asked.path()) {
        ("PUT", "/latest/api/token") if !asked.header("x-aws-ec2-metadata-token-ttl-seconds").is_empty() => Reply {
            headers: vec![("x-aws-ec2-metadata-token-ttl-seconds", "21600".to_owned())],
            ..Reply::text("session")
        },
        ("GET", path) if path.starts_with("/latest/") && asked.header("x-aws-ec2-metadata-token") != "session" => {
            Reply { status: 401, ..Reply::default() }
        }
        ("GET", ROLE) => Reply::text("node"),
        ("GET", path) if path.strip_prefix(ROLE) == Some("node") => Reply::json(200, &aws_credentials("INSTANCE")),
        ("GET", path) if path.starts_with(GOOGLE) && asked.header("metadata-flavor") == "Google" => {
            match &path[GOOGLE.len()..] {
                "project/project-id" => Reply::text("p"),
                "instance/attributes/cluster-location" => Reply::text("here"),
                "instance/attributes/cluster-name" => Reply::text("ours"),
                "instance/service-accounts/default/token" => {
                    Reply::json(200, &json!({ "access_token": "gke", "expires_in": 3600, "token_type": "Bearer" }))
                }
                "instance/service-accounts/default/identity" => {
                    Reply::text(format!("signed for {}, {}", asked.value("audience"), asked.value("format")))
                }
                _ => Reply { status: 404, ..Reply::default() },
            }
        }
        ("GET", "/metadata/identity/oauth2/token") if asked.header("metadata") == "true" => {
            let who = asked.value("client_id");
            let token = format!("granted managed {who}").trim_end().to_owned();
            let resource = asked.value("resource");
            Reply::json(
                200,
                &json!({ "access_token": token, "expires_on": "2000000000", "resource": resource, "token_type": "Bearer" }),
            )
        }
        _ => Reply { status: 404, ..Reply::default() },
    }
}

fn aws_credentials(id: &str) -> Value {
    json!({
        "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": id, "SecretAccessKey": "key", "Token": "token",
        "LastUpdated": "2026-01-01T00:00:00Z", "Expiration": "2035-01-01T00:00:00Z",
    })
}

/// EKS's Pod Identity agent.
fn pod_identity(asked: &Asked) -> Reply {
    match (asked.path(), asked.authorization.as_str()) {
        ("/v1/credentials", OWN_TOKEN) => Reply::json(200, &aws_credentials("POD")),
        _ => Reply { status: 403, ..Reply::default() },
    }
}

/// AWS's token service and Parameter Store; Google Secret Manager; a Vault that trusts Google's machines.
fn services(asked: &Asked) -> Reply {
    if asked.value("Action") == "AssumeRoleWithWebIdentity" {
        assert_eq!(asked.value("WebIdentityToken"), OWN_TOKEN);
        return Reply::text(
            "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult>\
             <Credentials><AccessKeyId>IRSA</AccessKeyId><SecretAccessKey>key</SecretAccessKey><SessionToken>token</SessionToken>\
             <Expiration>2035-01-01T00:00:00Z</Expiration></Credentials>\
             </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
        );
    }
    const POOL: &str =
        "identitynamespace:p.svc.id.goog:https://container.googleapis.com/v1/projects/p/locations/here/clusters/ours";
    if asked.path() == "/sts" && asked.body.contains("ey") {
        let kind = "urn:ietf:params:oauth:token-type:access_token";
        let token = if asked.value("audience") == POOL { "account" } else { "another" };
        return Reply::json(
            200,
            &json!({ "access_token": token, "issued_token_type": kind, "token_type": "Bearer", "expires_in": 3600 }),
        );
    }
    if asked.header("x-amz-target") == "AmazonSSM.GetParameter" {
        let id = asked.authorization.split_once("Credential=").and_then(|(_, rest)| rest.split('/').next());
        let parameter = json!({ "Name": "who", "Value": id, "Version": 1, "Type": "String" });
        return Reply::json(200, &json!({ "Parameter": parameter }));
    }
    if asked.path() == "/v1/projects/p/secrets/who/versions/latest:access" {
        let data = STANDARD.encode(asked.authorization.trim_start_matches("Bearer "));
        let name = "projects/p/secrets/who/versions/1";
        return Reply::json(200, &json!({ "name": name, "payload": { "data": data } }));
    }
    match (asked.path(), asked.header("x-vault-token")) {
        ("/v1/auth/gcp/login", _) if asked.json()["jwt"] == "signed for http://vault/app, full" => {
            vault::granted("machine")
        }
        ("/v1/auth/token/lookup-self", "machine") => Reply::json(200, &json!({ "data": {} })),
        ("/v1/secret/data/who", token) => {
            Reply::json(200, &json!({ "data": { "data": { "who": token }, "metadata": { "version": 1 } } }))
        }
        _ => Reply { status: 404, ..Reply::default() },
    }
}

/// Azure's container registry, which takes a token of ours for one of its own.
fn registry(asked: &Asked) -> Reply {
    match (asked.path(), asked.value("grant_type").as_str()) {
        ("/oauth2/exchange", "access_token") if asked.value("access_token") == "granted managed registry" => {
            Reply::json(200, &json!({ "refresh_token": "refresh" }))
        }
        ("/oauth2/token", "refresh_token") if asked.value("refresh_token") == "refresh" => {
            Reply::json(200, &json!({ "access_token": format!("for {}", asked.value("scope")) }))
        }
        _ => Reply { status: 401, ..Reply::default() },
    }
}

/// Stores of all clouds, none of which says who we are.
fn providers(tenant: &Tenant, services: &Fake, azure_fake: &Fake) -> [(&'static str, Value); 7] {
    let vault = |url: &str, auth: Value| json!({ "vault": { "server": url, "path": "secret", "auth": auth } });
    let kubernetes = json!({ "kubernetes": { "mountPath": "kubernetes", "role": tenant.work } });
    [
        ("machine", vault(&services.url, json!({ "gcp": { "role": "app" } }))),
        ("pod", vault(&tenant.bed.vault_url, kubernetes)),
        ("aws", aws::provider("ParameterStore", &json!({}))),
        // Neither an identity nor a project: both are our pod's.
        ("google", json!({ "gcpsm": {} })),
        ("workload", azure::provider(azure_fake, &json!({ "authType": "WorkloadIdentity" }))),
        ("managed", azure::provider(azure_fake, &json!({ "authType": "ManagedIdentity" }))),
        ("chosen", azure::provider(azure_fake, &json!({ "authType": "ManagedIdentity", "identityId": "mine" }))),
    ]
}

/// The entry that says who asks.
fn who(tenant: &Tenant, store: &str) -> Value {
    let property = json!({ "property": "who" });
    let ours = format!("{}/who", tenant.work);
    data(&[match store {
        "aws" | "google" | "account" => ("who", "who", json!({})),
        "machine" => ("who", "who", property),
        "pod" => ("who", ours.as_str(), property),
        _ => ("who", "whoami", json!({})),
    }])
}

/// Reads it by a store and compares who that was.
async fn assert_is(tenant: &Tenant, name: &str, store: &str, expected: &str) {
    external(tenant, name, store, &who(tenant, store)).await;
    assert_values(tenant, name, &[("who", expected)]).await;
}

#[tokio::test]
async fn our_own_pods_identity_is_used_where_an_administrator_lets_it() {
    let tenant = Bed::attach().unwrap().tenant("ambient").await.unwrap();
    let _metadata = Fake::start_at(&format!("{}:80", METADATA[0]), metadata).await.unwrap();
    let _agent = Fake::start_at(&format!("{}:80", METADATA[1]), pod_identity).await.unwrap();
    let services = Fake::start(services).await.unwrap();
    let (_, key_vault) = Azure::start(&tenant).await;
    let registry = Fake::start_tls(&tenant.folder.join("registry"), registry).await.unwrap();
    std::fs::write(tenant.folder.join("azure.ca"), format!("{}{}", key_vault.ca, registry.ca)).unwrap();
    let token = tenant.folder.join("own-token");
    std::fs::write(&token, OWN_TOKEN).unwrap();
    let token = token.to_string_lossy().into_owned();

    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": format!("{}-reviewer", tenant.work) },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator" },
        "subjects": [{ "kind": "ServiceAccount", "name": "chancery", "namespace": tenant.keys }],
    });
    tenant.cluster.apply_object(&role).await.unwrap();
    let bao = tenant.bed.vault().await.unwrap();
    let reviewer = tenant.cluster.token(&tenant.keys, "chancery").await.unwrap();
    let work = tenant.work.as_str();
    bao.allow_kubernetes(&tenant.bed.url, &tenant.bed.ca, &reviewer, work, work).await.unwrap();
    bao.write(&format!("{work}/who"), json!({ "who": "our pod" })).await.unwrap();
    let all = providers(&tenant, &services, &key_vault);
    for (name, provider) in &all {
        store(&tenant, name, provider).await;
        // A namespace that is not listed, and a store that an administrator made.
        let mut object = json!({
            "apiVersion": "external-secrets.io/v1", "kind": "SecretStore",
            "metadata": { "name": name, "namespace": tenant.apps }, "spec": { "provider": provider },
        });
        tenant.cluster.apply_object(&object).await.unwrap();
        object["kind"] = "ClusterSecretStore".into();
        object["metadata"] = json!({ "name": format!("{}-{name}", tenant.work) });
        // Operators of other tests leave it alone.
        object["spec"]["controller"] = tenant.work.clone().into();
        tenant.cluster.apply_object(&object).await.unwrap();
    }
    let host = registry.url.trim_start_matches("https://");
    let generator = json!({
        "apiVersion": "generators.external-secrets.io/v1alpha1", "kind": "ACRAccessToken",
        "metadata": { "name": "acr", "namespace": tenant.work },
        "spec": {
            "registry": host, "scope": "repository:app:pull",
            "auth": { "managedIdentity": { "identityId": "registry" } },
        },
    });
    tenant.cluster.apply_object(&generator).await.unwrap();

    // An account of ours that Google knows by the cluster, whose name and place the metadata server tells.
    let account = json!({ "workloadIdentity": { "serviceAccountRef": { "name": "default" } } });
    store(&tenant, "account", &json!({ "gcpsm": { "projectID": "p", "auth": account } })).await;

    let arguments = [
        "--controllers=external-secrets".to_owned(),
        format!("--ambient-namespaces={}", tenant.work),
        format!("--controller-class={}", tenant.work),
        format!("--aws-ssm={}", services.url),
        format!("--aws-sts={}", services.url),
        format!("--google-secret-manager={}", services.url),
        format!("--google-sts={}/sts", services.url),
    ];
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let account = PodAccount::mount(&tenant, &tenant.keys, "chancery").await.unwrap();
    let operator = tenant.operator(&arguments).await.unwrap().in_pod(&account);
    let operator = operator
        .with_environment("SSL_CERT_FILE", &tenant.folder.join("azure.ca").to_string_lossy())
        .with_environment("GCE_METADATA_HOST", METADATA[0]);
    let in_aks_and_eks = operator
        .clone()
        .with_environment("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/operator")
        .with_environment("AWS_WEB_IDENTITY_TOKEN_FILE", &token)
        .with_environment("AZURE_CLIENT_ID", "app")
        .with_environment("AZURE_TENANT_ID", "tenant")
        .with_environment("AZURE_FEDERATED_TOKEN_FILE", &token);
    let running = in_aks_and_eks.start().unwrap();
    for (store, expected) in [
        ("machine", "machine"),
        ("pod", "our pod"),
        ("aws", "IRSA"),
        ("google", "gke"),
        ("workload", "by our own token"),
        ("managed", "managed"),
        ("chosen", "managed mine"),
    ] {
        assert_is(&tenant, store, store, expected).await;
        let mut fields = who(&tenant, store);
        fields["secretStoreRef"] = json!({ "name": format!("{}-{store}", tenant.work), "kind": "ClusterSecretStore" });
        external(&tenant, &format!("cluster-{store}"), "", &fields).await;
        assert_values(&tenant, &format!("cluster-{store}"), &[("who", expected)]).await;

        let is = |object: &Value| crate::support::condition(object, "Ready", "False");
        let place = (STORE, tenant.apps.as_str(), store);
        let refused = tenant.cluster.wait_for("it is refused", place, bed::cluster::PATIENCE, is).await.unwrap();
        let told = crate::support::message(&refused, "Ready");
        assert!(told.contains("--ambient-namespaces"), "{store}: {told}");
    }
    assert_is(&tenant, "account", "account", "account").await;
    let reference =
        json!({ "apiVersion": "generators.external-secrets.io/v1alpha1", "kind": "ACRAccessToken", "name": "acr" });
    external(&tenant, "acr", "", &json!({ "dataFrom": [{ "sourceRef": { "generatorRef": reference } }] })).await;
    assert_eq!(values(&tenant, "acr").await["password"], b"for repository:app:pull");
    assert!(running.stop());

    let in_eks = operator
        .clone()
        .with_environment("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("http://{}/v1/credentials", METADATA[1]))
        .with_environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token);
    let running = in_eks.start().unwrap();
    assert_is(&tenant, "pod-identity", "aws", "POD").await;
    assert!(running.stop());

    let _on_ec2 = operator.start().unwrap();
    assert_is(&tenant, "instance", "aws", "INSTANCE").await;
    for (name, _) in &all {
        let kind = "external-secrets.io/v1 ClusterSecretStore";
        tenant.cluster.delete(kind, "", &format!("{}-{name}", tenant.work)).await.unwrap();
    }
    // Our pod has no workload identity any more: that is told, and nothing is lost.
    external(&tenant, "none", "workload", &who(&tenant, "workload")).await;
    assert_eq!(cause(&ready(&tenant, EXTERNAL, "none", "False").await), "InvalidConfiguration");
    assert_values(&tenant, "workload", &[("who", "by our own token")]).await;
}
