//! What cases put into OpenBao and into moto, and what is there afterwards.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::case::Case;

/// OpenBao, as its administrator.
pub(super) struct Bao {
    url: String,
    http: reqwest::Client,
}

impl Bao {
    pub(super) fn new(url: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { url: url.to_owned(), http }
    }

    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Value> {
        // A fresh mount of version 2 says for a moment that it is upgrading.
        for _ in 0..50 {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let request = self.http.request(method, format!("{}/v1/{path}", self.url));
            let request = request.header("X-Vault-Token", bed::vault::ROOT_TOKEN);
            let request = match body {
                Some(body) => request.json(body),
                None => request,
            };
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            let text = answer.text().await.unwrap();
            if status == 400 && text.contains("Upgrading") {
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
            assert!(status < 400 || status == 404, "{path}: {status}");
            return serde_json::from_str(&text).ok();
        }
        panic!("{path}: still upgrading");
    }

    pub(super) async fn act(&self, case: &mut Case, action: &Value) {
        let mount = format!("kv-{}", case.id);
        let named = |verb: &str| action[verb].as_str();
        let within = if case.mount == Some(2) { "data/" } else { "" };
        if let Some(version) = action["mount"].as_u64() {
            let body = json!({ "type": "kv", "options": { "version": version.to_string() } });
            self.call("POST", &format!("sys/mounts/{mount}"), Some(&body)).await;
            case.mount = Some(version);
        } else if let Some(path) = named("put") {
            let body = if case.mount == Some(2) { json!({ "data": action["data"] }) } else { action["data"].clone() };
            self.call("POST", &format!("{mount}/{within}{path}"), Some(&body)).await;
        } else if let Some(path) = named("custom") {
            let body = json!({ "custom_metadata": action["data"] });
            self.call("POST", &format!("{mount}/metadata/{path}"), Some(&body)).await;
        } else if let Some(path) = named("delete") {
            self.call("DELETE", &format!("{mount}/data/{path}"), None).await;
        } else if let Some(path) = named("destroy") {
            self.call("DELETE", &format!("{mount}/metadata/{path}"), None).await;
        }
    }

    pub(super) async fn unmount(&self, case: &Case) {
        self.call("DELETE", &format!("sys/mounts/kv-{}", case.id), None).await;
    }

    pub(super) async fn tree(&self, case: &Case) -> Value {
        let mount = format!("kv-{}", case.id);
        let (mut folders, mut all) = (vec![String::new()], Map::new());
        while let Some(folder) = folders.pop() {
            let listed = self.call("LIST", &format!("{mount}/metadata/{folder}"), None).await.unwrap_or_default();
            for key in listed["data"]["keys"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                let path = format!("{folder}{key}");
                if key.ends_with('/') {
                    folders.push(path);
                    continue;
                }
                let data = self.call("GET", &format!("{mount}/data/{path}"), None).await.unwrap_or_default();
                let metadata = self.call("GET", &format!("{mount}/metadata/{path}"), None).await.unwrap_or_default();
                let state = json!({
                    "data": data["data"]["data"], "custom_metadata": metadata["data"]["custom_metadata"],
                });
                all.insert(path, state);
            }
        }
        Value::Object(all)
    }
}

/// moto: just enough of the JSON protocol. It does not check signatures.
pub(super) struct Aws {
    url: String,
    http: reqwest::Client,
}

impl Aws {
    pub(super) fn new(url: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { url: url.to_owned(), http }
    }

    pub(super) async fn call(&self, operation: &str, body: &Value) -> Value {
        let (service, action) = operation.split_once('.').unwrap();
        let target = if service == "ssm" { "AmazonSSM" } else { "secretsmanager" };
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=test/20310101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
        );
        let request = self.http.post(&self.url);
        let request = request
            .header("X-Amz-Target", format!("{target}.{action}"))
            .header("Content-Type", "application/x-amz-json-1.1")
            .header("Host", format!("{service}.us-east-1.amazonaws.com"))
            .header("Authorization", authorization);
        let answer = request.body(body.to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{operation}: {}", answer.status());
        serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default()
    }

    pub(super) async fn tree(&self, prefix: &str) -> Value {
        let mut all = Map::new();
        let filters = json!({ "MaxResults": 100, "Filters": [{ "Key": "name", "Values": [prefix] }] });
        let listed = self.call("secretsmanager.ListSecrets", &filters).await;
        for secret in listed["SecretList"].as_array().into_iter().flatten() {
            let asked = json!({ "SecretId": secret["Name"], "VersionStage": "AWSCURRENT" });
            let value = self.call("secretsmanager.GetSecretValue", &asked).await;
            let tags: Map<String, Value> = secret["Tags"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|tag| (tag["Key"].as_str().unwrap().to_owned(), tag["Value"].clone()))
                .collect();
            let state = json!({ "string": value["SecretString"], "binary": value["SecretBinary"], "tags": tags });
            all.insert(secret["Name"].as_str().unwrap().to_owned(), state);
        }
        let asked = json!({ "Path": format!("/{prefix}"), "Recursive": true, "WithDecryption": true });
        let found = self.call("ssm.GetParametersByPath", &asked).await;
        for parameter in found["Parameters"].as_array().into_iter().flatten() {
            let name = format!("parameter {}", parameter["Name"].as_str().unwrap());
            all.insert(name, json!({ "string": parameter["Value"], "type": parameter["Type"] }));
        }
        Value::Object(all)
    }
}
