//! Secrets Manager and Parameter Store, played by moto.

use bed::Bed;
use serde_json::{Value, json};

use super::{EXTERNAL, ONLY, STORE, assert_values, cause, data, external, ready, secret, store, values};

/// One call of moto, by the service's own protocol.
pub(super) async fn call(url: &str, target: &str, body: Value) -> Value {
    let service = if target.starts_with("AmazonSSM") { "ssm" } else { "secretsmanager" };
    let scope = format!(
        "AWS4-HMAC-SHA256 Credential=test/20310101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
    );
    let answer = reqwest::Client::new()
        .post(url)
        .header("x-amz-target", target)
        .header("content-type", "application/x-amz-json-1.1")
        .header("authorization", scope)
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{target}: {}", answer.text().await.unwrap());
    serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default()
}

/// A store of one of the services.
pub(super) fn provider(service: &str, more: &Value) -> Value {
    let mut aws = json!({ "service": service, "region": "us-east-1" });
    aws.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "aws": aws })
}

fn keys() -> Value {
    json!({ "secretRef": {
        "accessKeyIDSecretRef": { "name": "aws", "key": "id" },
        "secretAccessKeySecretRef": { "name": "aws", "key": "key" },
    } })
}

#[tokio::test]
async fn secrets_and_parameters_are_read_as_the_reference_reads_them() {
    let tenant = Bed::attach().unwrap().tenant("amazon").await.unwrap();
    let url = tenant.bed.aws().await.unwrap().to_owned();
    let id = &tenant.work;
    let whole = r#"{"user":"orla","big":12345678901234567890,"flt":1.50,"a.b":"literal","a":{"b":"path"},"o":{"z": 1},"nil":null}"#;
    let made = call(
        &url,
        "secretsmanager.CreateSecret",
        json!({
            "Name": format!("{id}/db"), "SecretString": whole, "Tags": [{ "Key": "team", "Value": "kelp" }],
        }),
    )
    .await;
    let bytes = json!({ "Name": format!("{id}/bin"), "SecretBinary": "AP8B" });
    call(&url, "secretsmanager.CreateSecret", bytes).await;
    call(&url, "secretsmanager.PutSecretValue", json!({ "SecretId": format!("{id}/bin"), "SecretBinary": "AP8C" }))
        .await;
    for (name, value) in [("one", "ONE"), ("sub/two", r#"{"k":"v"}"#)] {
        let parameter = json!({ "Name": format!("/{id}/{name}"), "Value": value, "Type": "SecureString" });
        call(&url, "AmazonSSM.PutParameter", parameter).await;
    }
    secret(&tenant, "aws", &json!({ "id": "test", "key": "test" })).await;
    store(&tenant, "sm", &provider("SecretsManager", &json!({ "auth": keys(), "prefix": format!("{id}/") }))).await;
    store(&tenant, "ps", &provider("ParameterStore", &json!({ "auth": keys() }))).await;
    // A role of another account, and an account that AWS trusts.
    let role =
        json!({ "auth": keys(), "role": "arn:aws:iam::123456789012:role/reader", "sessionTagsPolicy": "Simple" });
    store(&tenant, "role", &provider("SecretsManager", &role)).await;
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": { "name": "irsa", "namespace": id, "annotations": { "eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/irsa" } },
    });
    tenant.cluster.apply_object(&account).await.unwrap();
    let web = json!({ "auth": { "jwt": { "serviceAccountRef": { "name": "irsa" } } } });
    store(&tenant, "irsa", &provider("SecretsManager", &web)).await;
    store(&tenant, "nobody", &provider("SecretsManager", &json!({}))).await;

    let arguments =
        [ONLY[0], &format!("--aws-secrets-manager={url}"), &format!("--aws-ssm={url}"), &format!("--aws-sts={url}")];
    let _running = tenant.operator(&arguments).await.unwrap().start().unwrap();
    let property = |name: &str| json!({ "property": name });
    external(
        &tenant,
        "sm",
        "sm",
        &data(&[
            ("user", "db", property("user")),
            ("dotted", "db", property("a.b")),
            ("big", "db", property("big")),
            ("flt", "db", property("flt")),
            ("obj", "db", property("o")),
            ("nil", "db", property("nil")),
            ("tags", "db", json!({ "metadataPolicy": "Fetch" })),
            ("id", made["ARN"].as_str().unwrap(), property("user")),
            ("first", "bin", json!({ "version": "AWSPREVIOUS" })),
            ("bin", "bin", json!({})),
        ]),
    )
    .await;
    let found = values(&tenant, "sm").await;
    assert_eq!((found["bin"].as_slice(), found["first"].as_slice()), (&[0, 0xff, 2][..], &[0, 0xff, 1][..]));
    for (key, expected) in [
        ("user", "orla"),
        ("dotted", "literal"),
        ("big", "12345678901234567890"),
        ("flt", "1.5"),
        ("nil", ""),
        ("obj", r#"{"z": 1}"#),
        ("tags", r#"{"team":"kelp"}"#),
        ("id", "orla"),
    ] {
        assert_eq!(String::from_utf8_lossy(&found[key]), expected, "{key}");
    }
    let all = json!({ "dataFrom": [{ "extract": { "key": "db" } }] });
    external(&tenant, "extract", "sm", &all).await;
    assert_eq!(values(&tenant, "extract").await["flt"], b"1.50");

    let version = json!({ "version": "1" });
    external(
        &tenant,
        "ps",
        "ps",
        &data(&[
            ("one", &format!("/{id}/one"), json!({})),
            ("two", &format!("/{id}/sub/two"), property("k")),
            ("pinned", &format!("/{id}/one"), version),
        ]),
    )
    .await;
    assert_values(&tenant, "ps", &[("one", "ONE"), ("two", "v"), ("pinned", "ONE")]).await;

    for identity in ["role", "irsa"] {
        external(&tenant, identity, identity, &data(&[("user", &format!("{id}/db"), property("user"))])).await;
        assert_values(&tenant, identity, &[("user", "orla")]).await;
    }
    let refused = ready(&tenant, STORE, "nobody", "False").await;
    let told = crate::support::message(&refused, "Ready");
    assert!(told.contains("--ambient-namespaces"), "{told}");

    external(&tenant, "missing", "sm", &data(&[("k", "nope", json!({}))])).await;
    assert_eq!(cause(&ready(&tenant, EXTERNAL, "missing", "False").await), "NotFound");
    external(&tenant, "property", "sm", &data(&[("k", "db", property("nope"))])).await;
    assert_eq!(cause(&ready(&tenant, EXTERNAL, "property", "False").await), "InvalidValue");
}
