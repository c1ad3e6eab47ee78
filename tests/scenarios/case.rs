//! Playing one case.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bed::Tenant;
use serde_json::{Value, json};

use super::backends::{Aws, Bao};
use super::{differences, folder, snapshot};

/// How long a state may take to come.
const PATIENCE: Duration = Duration::from_secs(45);
/// How long it must stay.
const STAYS: Duration = Duration::from_millis(800);

/// What all cases share.
pub(super) struct World {
    client: kube::Client,
    pub(super) bao: Bao,
    pub(super) aws: Aws,
    variables: Vec<(&'static str, String)>,
}

impl World {
    pub(super) fn new(tenant: &Tenant, aws: &str) -> Self {
        let bed = &tenant.bed;
        Self {
            client: tenant.cluster.client(),
            bao: Bao::new(&bed.vault_url),
            aws: Aws::new(aws),
            variables: vec![
                ("${APISERVER}", bed.url.clone()),
                ("${CA64}", STANDARD.encode(&bed.ca)),
                ("${BAO_ADDR}", bed.vault_url.clone()),
                ("${BAO_TOKEN}", bed::vault::ROOT_TOKEN.to_owned()),
            ],
        }
    }

    async fn call(&self, method: &str, path: &str, kind: &str, body: &Value) -> Option<Value> {
        let mut tries = 3;
        loop {
            let request = http::Request::builder().method(method).uri(path).header("Content-Type", kind);
            let request = request.body(serde_json::to_vec(body).unwrap()).unwrap();
            tries -= 1;
            match self.client.request::<Value>(request).await {
                Ok(answer) => return Some(answer),
                Err(kube::Error::Api(status)) if status.code == 404 => return None,
                // A connection that the other side has just closed.
                Err(kube::Error::Service(_) | kube::Error::HyperError(_)) if tries > 0 => {}
                Err(error) => panic!("{method} {path}: {error}"),
            }
        }
    }

    pub(super) async fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        self.call("GET", &path(kind, namespace, name), "application/json", &Value::Null).await
    }

    pub(super) async fn list(&self, kind: &str, namespace: &str) -> Vec<Value> {
        let all = self.call("GET", &path(kind, namespace, ""), "application/json", &Value::Null).await.unwrap();
        all["items"].as_array().cloned().unwrap_or_default()
    }
}

const CLUSTER_WIDE: [&str; 5] =
    ["Namespace", "ClusterSecretStore", "ClusterExternalSecret", "ClusterPushSecret", "ClusterGenerator"];

fn group(kind: &str) -> &'static str {
    match kind {
        "Role" | "RoleBinding" => "rbac.authorization.k8s.io/v1",
        "ExternalSecret" | "SecretStore" | "ClusterSecretStore" | "ClusterExternalSecret" => "external-secrets.io/v1",
        "PushSecret" | "ClusterPushSecret" => "external-secrets.io/v1alpha1",
        "Password" | "UUID" | "Fake" | "ClusterGenerator" | "SSHKey" => "generators.external-secrets.io/v1alpha1",
        _ => "v1",
    }
}

fn path(kind: &str, namespace: &str, name: &str) -> String {
    let group = group(kind);
    let root = if group == "v1" { "/api" } else { "/apis" };
    let within = if CLUSTER_WIDE.contains(&kind) { String::new() } else { format!("/namespaces/{namespace}") };
    let slash = if name.is_empty() { "" } else { "/" };
    format!("{root}/{group}{within}/{}s{slash}{name}", kind.to_lowercase())
}

/// The kind that a case writes in lower case.
fn kind_of(lower: &str) -> &'static str {
    let known = [
        "Secret",
        "ConfigMap",
        "Namespace",
        "ExternalSecret",
        "SecretStore",
        "ClusterSecretStore",
        "ClusterExternalSecret",
        "PushSecret",
        "ClusterPushSecret",
    ];
    known.into_iter().find(|kind| kind.to_lowercase() == lower).unwrap_or_else(|| panic!("kind {lower}"))
}

/// One case.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) namespace: String,
    pub(super) spec: Value,
    outcomes: Value,
    pub(super) kinds: BTreeSet<String>,
    pub(super) cluster_wide: BTreeSet<(String, String)>,
    pub(super) namespaces: BTreeSet<String>,
    /// Names of ExternalSecrets that were seen, by namespace: their marks on Secrets outlive them.
    pub(super) makers: BTreeMap<String, BTreeSet<String>>,
    pub(super) mount: Option<u64>,
    pub(super) uses_aws: bool,
}

impl Case {
    pub(super) fn read(world: &World, name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let id: String =
            format!("{:06}", number * 7919 % 1_000_000).bytes().map(|digit| char::from(digit - b'0' + b'b')).collect();
        let namespace = format!("run-{id}");
        let text = std::fs::read_to_string(folder().join("cases").join(format!("{name}.yaml"))).unwrap();
        let spec = bed::cluster::documents(&text).unwrap().remove(0);
        let variables = [("${NS}", namespace.clone()), ("${ID}", id.clone())];
        let spec = replaced(&spec, &|text| {
            variables
                .iter()
                .chain(&world.variables)
                .fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
        });
        let outcomes = std::fs::read_to_string(folder().join("outcomes").join(format!("{name}.json"))).unwrap();
        Self {
            name: name.to_owned(),
            id,
            namespace,
            spec,
            outcomes: serde_json::from_str(&outcomes).unwrap(),
            kinds: BTreeSet::new(),
            cluster_wide: BTreeSet::new(),
            namespaces: BTreeSet::new(),
            makers: BTreeMap::new(),
            mount: None,
            uses_aws: false,
        }
    }

    /// Plays all steps; what differs in the first that does.
    pub(super) async fn play(mut self, world: &World) -> Vec<String> {
        self.set_up(world).await;
        let steps = self.spec["steps"].as_array().cloned().unwrap_or_default();
        let mut found = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            for action in step["do"].as_array().into_iter().flatten() {
                self.act(world, action).await;
            }
            tokio::time::sleep(Duration::from_secs_f64(step["hold"].as_f64().unwrap_or_default())).await;
            let name = step["name"].as_str().unwrap_or_default().to_owned();
            let mut wanted = self.outcomes[index]["outcome"].clone();
            differences::apply(&self.name, &name, &mut wanted);
            let wanted = self.comparable(wanted);
            found = self.becomes(world, &wanted).await;
            if !found.is_empty() {
                found = found.into_iter().take(8).map(|line| format!("step {name}{line}")).collect();
                break;
            }
        }
        self.clean_up(world).await;
        found
    }

    async fn becomes(&mut self, world: &World, wanted: &Value) -> Vec<String> {
        let (started, mut since) = (Instant::now(), None);
        loop {
            let seen = snapshot::of(self, world).await;
            let seen = self.comparable(seen);
            let found = differences::between(wanted, &seen, "");
            if !found.is_empty() {
                since = None;
                if started.elapsed() > PATIENCE {
                    return found;
                }
            } else if since.get_or_insert_with(Instant::now).elapsed() >= STAYS {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
    }

    /// Without what does not count.
    fn comparable(&self, mut state: Value) -> Value {
        if let Some(state) = state.as_object_mut() {
            state.remove("event_messages");
        }
        differences::strip_messages(&mut state);
        for path in self.spec["ignore"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            differences::remove(&mut state, path);
        }
        state
    }

    async fn set_up(&mut self, world: &World) {
        let labels = self.spec.get("namespaceLabels").cloned().unwrap_or_else(|| json!({}));
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": self.namespace, "labels": labels },
        });
        self.apply(world, namespace, false).await;
        for action in self.spec["bao"].as_array().cloned().unwrap_or_default() {
            world.bao.act(self, &action).await;
        }
        for action in self.spec["aws"].as_array().cloned().unwrap_or_default() {
            self.uses_aws = true;
            world.aws.call(action["aws"].as_str().unwrap(), &action["body"]).await;
        }
        let given = self.spec["given"].as_array().cloned().unwrap_or_default();
        for object in &given {
            self.apply(world, object.clone(), true).await;
        }
        let stores = given.iter().filter(|object| object["kind"].as_str().unwrap_or_default().ends_with("SecretStore"));
        for store in stores.filter(|store| store["metadata"]["annotations"]["case-wait"] != "no") {
            let (kind, name) = (store["kind"].as_str().unwrap(), store["metadata"]["name"].as_str().unwrap());
            let namespace = store["metadata"]["namespace"].as_str().unwrap_or(&self.namespace);
            let started = Instant::now();
            while started.elapsed() < Duration::from_secs(12) {
                let seen = world.get(kind, namespace, name).await.unwrap_or_default();
                if seen["status"]["conditions"].as_array().is_some_and(|conditions| !conditions.is_empty()) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        }
    }

    async fn apply(&mut self, world: &World, mut object: Value, counts: bool) {
        let kind = object["kind"].as_str().unwrap().to_owned();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        if counts {
            self.kinds.insert(kind.clone());
            if kind == "Namespace" {
                self.namespaces.insert(name.clone());
            }
            if CLUSTER_WIDE.contains(&kind.as_str()) {
                self.cluster_wide.insert((kind.clone(), name.clone()));
            }
        }
        object["apiVersion"] = group(&kind).into();
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or(&self.namespace).to_owned();
        let path = format!("{}?fieldManager=case-runner&force=true", path(&kind, &namespace, &name));
        world.call("PATCH", &path, "application/apply-patch+yaml", &object).await.unwrap();
    }

    async fn act(&mut self, world: &World, action: &Value) {
        let namespace = action["ns"].as_str().unwrap_or(&self.namespace).to_owned();
        let place = |named: &Value| {
            let (kind, name) = named.as_str().unwrap().split_once('/').unwrap();
            path(kind_of(kind), &namespace, name)
        };
        if action["apply"].is_object() {
            self.apply(world, action["apply"].clone(), true).await;
        } else if action["patch"].is_string() {
            let path = place(&action["patch"]);
            world.call("PATCH", &path, "application/merge-patch+json", &action["with"]).await.unwrap();
        } else if action["delete"].is_string() {
            let path = place(&action["delete"]);
            world.call("DELETE", &path, "application/json", &json!({ "propagationPolicy": "Background" })).await;
        } else if action["bao"].is_object() {
            world.bao.act(self, &action["bao"]).await;
        } else if action["aws"].is_string() {
            self.uses_aws = true;
            world.aws.call(action["aws"].as_str().unwrap(), &action["body"]).await;
        } else if let Some(seconds) = action["sleep"].as_f64() {
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        } else {
            panic!("{}: unknown action {action}", self.name);
        }
    }

    async fn clean_up(&self, world: &World) {
        let own = ("Namespace".to_owned(), self.namespace.clone());
        for (kind, name) in self.cluster_wide.iter().chain([&own]) {
            world.call("DELETE", &path(kind, "", name), "application/json", &json!({})).await;
        }
        if self.mount.is_some() {
            world.bao.unmount(self).await;
        }
    }

    /// With the names of this run taken out.
    pub(super) fn normal(&self, value: &Value) -> Value {
        replaced(value, &|text| text.replace(&self.namespace, "${NS}").replace(&self.id, "${ID}"))
    }
}

/// A value with every text and key changed.
fn replaced(value: &Value, change: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => change(text).into(),
        Value::Array(items) => items.iter().map(|item| replaced(item, change)).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (change(key), replaced(value, change))).collect())
        }
        other => other.clone(),
    }
}
