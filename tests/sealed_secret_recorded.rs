//! What the real controller was seen to do (version 0.38.4), case by case, against ours. Where ours differs on purpose the
//! case says why, and keeps what was recorded; `MIGRATING.md` lists the differences.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bed::cluster::PATIENCE;
use bed::{Bed, Tenant};
use futures::StreamExt;
use seal::Certificate;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::support::certificate;

const SEALED: &str = "bitnami.com/v1alpha1 SealedSecret";
/// The controller's own reasons; others are ours.
const REASONS: [&str; 3] = ["Unsealed", "ErrUnsealFailed", "ErrUpdateFailed"];

#[derive(Deserialize)]
struct Case {
    name: String,
    steps: Vec<Step>,
    expect: Value,
    /// Why ours is not what was recorded.
    #[serde(default)]
    difference: Option<String>,
    #[serde(default)]
    recorded: Option<Value>,
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
enum Step {
    Create(Object),
    Replace(Object),
    Rename {
        from: String,
        to: String,
    },
    Label {
        labels: Value,
    },
    Delete {
        #[serde(default)]
        orphan: bool,
    },
    Secret {
        data: BTreeMap<String, String>,
        annotations: Value,
        #[serde(default)]
        labels: Value,
        #[serde(default)]
        owned: bool,
    },
    AnnotateSecret {
        #[serde(default)]
        annotations: Value,
        #[serde(default)]
        labels: Value,
    },
    DisownSecret,
    DeleteSecret,
    Until {
        status: String,
    },
    Wait {
        milliseconds: u64,
    },
    See {
        r#as: String,
        #[serde(default)]
        key: String,
    },
}

#[derive(Deserialize)]
struct Object {
    items: BTreeMap<String, Item>,
    #[serde(default)]
    template: Option<Value>,
    #[serde(default)]
    annotations: Option<Value>,
    #[serde(default)]
    labels: Option<Value>,
    #[serde(default)]
    data: Option<Item>,
}

/// A value to seal (for this object unless a label is given), or a text as it is.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Item {
    value: String,
    base64: Option<String>,
    times: Option<usize>,
    label: Option<String>,
    text: Option<String>,
    lines: bool,
    /// Bits of a key that nobody has.
    foreign: Option<usize>,
}

struct Place<'a> {
    tenant: &'a Tenant,
    certificate: &'a Certificate,
    name: String,
}

#[tokio::test]
async fn recorded_cases() {
    let tenant = Bed::attach().unwrap().tenant("recorded").await.unwrap();
    let operator = tenant.operator(&["--controllers=sealed-secrets"]).await.unwrap();
    let _running = operator.start().unwrap();
    let pem = std::fs::read_to_string(certificate(&tenant, &operator.url).await).unwrap();
    let certificate = Certificate::from_pem(&pem).unwrap();
    let text = std::fs::read_to_string(tenant.bed.checkout.join("tests/golden/sealed-secrets.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap();
    assert!(cases.len() > 50, "{} cases", cases.len());
    let played = cases.iter().enumerate().map(|(number, case)| {
        let place = Place { tenant: &tenant, certificate: &certificate, name: format!("vane-{number}") };
        async move {
            let seen = place.play(&case.steps).await;
            let excused =
                case.difference.is_some() == case.recorded.is_some() && case.recorded.as_ref() != Some(&case.expect);
            assert!(excused, "{}: a difference needs a reason, and must be one", case.name);
            (seen != case.expect).then(|| format!("{}\n  want {}\n  got  {seen}", case.name, case.expect))
        }
    });
    let wrong: Vec<String> =
        futures::stream::iter(played).buffer_unordered(8).filter_map(futures::future::ready).collect().await;
    assert!(wrong.is_empty(), "{} of {} cases differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

impl Place<'_> {
    /// Plays the steps; what was seen under a key, or at the end when nothing was to be seen in between.
    async fn play(&self, steps: &[Step]) -> Value {
        let mut seen = Map::new();
        for step in steps {
            self.step(step, &mut seen).await;
        }
        let named = steps.iter().any(|step| matches!(step, Step::See { .. }));
        if named { Value::Object(seen) } else { self.all().await }
    }

    async fn step(&self, step: &Step, seen: &mut Map<String, Value>) {
        let (cluster, namespace, name) = (&self.tenant.cluster, self.tenant.work.as_str(), self.name.as_str());
        match step {
            Step::Create(object) => {
                cluster.apply_object(&self.object(object)).await.unwrap();
                self.settle().await;
            }
            Step::Replace(object) => {
                let mut wanted = self.object(object);
                let known = cluster.get(SEALED, namespace, name).await.unwrap();
                // What is in the spec now and not in the next one goes.
                wanted["spec"] = gone(&known["spec"], &wanted["spec"]);
                cluster.patch(SEALED, namespace, name, &json!({ "spec": wanted["spec"] })).await.unwrap();
                self.settle().await;
            }
            Step::Rename { from, to } => {
                let known = cluster.get(SEALED, namespace, name).await.unwrap();
                let item = &known["spec"]["encryptedData"][from];
                let patch = json!({ "spec": { "encryptedData": { from: null, to: item } } });
                cluster.patch(SEALED, namespace, name, &patch).await.unwrap();
                self.settle().await;
            }
            Step::Label { labels } => {
                cluster.patch(SEALED, namespace, name, &json!({ "metadata": { "labels": labels } })).await.unwrap();
                self.settle().await;
            }
            Step::Delete { orphan } => self.delete(*orphan).await,
            Step::Secret { data, annotations, labels, owned } => {
                let data: BTreeMap<_, _> = data.iter().map(|(key, value)| (key, STANDARD.encode(value))).collect();
                let mut secret = json!({
                    "apiVersion": "v1", "kind": "Secret", "data": data,
                    "metadata": { "name": name, "namespace": namespace, "annotations": annotations, "labels": labels },
                });
                if *owned {
                    secret["metadata"]["ownerReferences"] = json!([self.some_owner().await]);
                }
                cluster.apply_object(&secret).await.unwrap();
            }
            Step::AnnotateSecret { annotations, labels } => {
                let patch = json!({ "metadata": { "annotations": annotations, "labels": labels } });
                cluster.patch("v1 Secret", namespace, name, &patch).await.unwrap();
            }
            Step::DisownSecret => {
                let patch = json!({ "metadata": { "ownerReferences": null } });
                cluster.patch("v1 Secret", namespace, name, &patch).await.unwrap();
            }
            Step::DeleteSecret => cluster.delete("v1 Secret", namespace, name).await.unwrap(),
            Step::Until { status } => {
                let wanted = |object: &Value| crate::support::condition(object, "Synced", status);
                cluster.wait_for("its turn", (SEALED, namespace, name), PATIENCE, wanted).await.unwrap();
            }
            Step::Wait { milliseconds } => tokio::time::sleep(Duration::from_millis(*milliseconds)).await,
            Step::See { r#as, key } => self.see(r#as, key, seen).await,
        }
    }

    async fn see(&self, what: &str, key: &str, seen: &mut Map<String, Value>) {
        match what {
            "all" if key.is_empty() => seen.extend(self.all().await.as_object().cloned().unwrap_or_default()),
            "all" => drop(seen.insert(key.to_owned(), self.all().await)),
            "gone" => {
                let secret = ("v1 Secret", self.tenant.work.as_str(), self.name.as_str());
                self.tenant.cluster.wait_gone(secret.0, secret.1, secret.2, PATIENCE).await.unwrap();
                seen.insert("gone".to_owned(), json!(true));
            }
            "absent" => {
                let found = self.tenant.cluster.find("v1 Secret", &self.tenant.work, &self.name).await.unwrap();
                seen.insert(key.to_owned(), json!(found.is_none()));
            }
            _ => {
                let object = self.tenant.cluster.get(SEALED, &self.tenant.work, &self.name).await.unwrap();
                let condition = &object["status"]["conditions"][0];
                let equal = condition["lastUpdateTime"] == condition["lastTransitionTime"];
                seen.insert(key.to_owned(), json!(equal));
            }
        }
    }

    fn object(&self, wanted: &Object) -> Value {
        let items: BTreeMap<_, _> = wanted.items.iter().map(|(name, item)| (name, self.item(item))).collect();
        let mut object = json!({
            "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
            "metadata": { "name": self.name, "namespace": self.tenant.work },
            "spec": { "encryptedData": items },
        });
        for (place, value) in [("annotations", &wanted.annotations), ("labels", &wanted.labels)] {
            if let Some(value) = value {
                object["metadata"][place] = value.clone();
            }
        }
        if let Some(template) = &wanted.template {
            object["spec"]["template"] = template.clone();
        }
        if let Some(data) = &wanted.data {
            object["spec"]["data"] = self.item(data).into();
        }
        object
    }

    fn item(&self, item: &Item) -> String {
        if let Some(text) = &item.text {
            return text.clone();
        }
        if let Some(bits) = item.foreign {
            return STANDARD
                .encode([&u16::try_from(bits / 8).unwrap().to_be_bytes()[..], &vec![9; bits / 8 + 17]].concat());
        }
        let value = match &item.base64 {
            Some(text) => STANDARD.decode(text).unwrap(),
            None => item.value.repeat(item.times.unwrap_or(1)).into_bytes(),
        };
        let namespace = &self.tenant.work;
        let label = item.label.clone().unwrap_or(format!("NAMESPACE/{}", self.name)).replace("NAMESPACE", namespace);
        let sealed = seal::seal_item(&mut rand::rng(), self.certificate, label.as_bytes(), &value.into()).unwrap();
        if !item.lines {
            return sealed;
        }
        sealed.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>().join("\n")
    }

    async fn delete(&self, orphan: bool) {
        let (cluster, namespace, name) = (&self.tenant.cluster, self.tenant.work.as_str(), self.name.as_str());
        if !orphan {
            cluster.delete(SEALED, namespace, name).await.unwrap();
            return;
        }
        self.tenant.bed.kubectl(&["delete", "sealedsecret", name, "-n", namespace, "--cascade=orphan"]).unwrap();
        cluster.wait_gone(SEALED, namespace, name, PATIENCE).await.unwrap();
        let free = |secret: &Value| secret["metadata"]["ownerReferences"].is_null();
        cluster.wait_for("it is nobody's", ("v1 Secret", namespace, name), PATIENCE, free).await.unwrap();
    }

    /// An object to be the owner of a Secret.
    async fn some_owner(&self) -> Value {
        let metadata = json!({ "name": self.name, "namespace": self.tenant.work });
        let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata });
        let made = self.tenant.cluster.apply_object(&map).await.unwrap();
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": self.name, "uid": made["metadata"]["uid"] })
    }

    /// Until the newest generation is reported on, and a moment more: what follows would follow at once.
    async fn settle(&self) {
        let settled = |object: &Value| {
            let status = &object["status"];
            status["observedGeneration"] == object["metadata"]["generation"] && status["conditions"].is_array()
        };
        let place = (SEALED, self.tenant.work.as_str(), self.name.as_str());
        self.tenant.cluster.wait_for("it is reported on", place, PATIENCE, settled).await.unwrap();
        tokio::time::sleep(Duration::from_millis(400)).await;
    }

    async fn all(&self) -> Value {
        // An event may come a moment after the status.
        let started = Instant::now();
        while self.events().await.is_empty() && started.elapsed() < Duration::from_secs(5) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let object = self.tenant.cluster.find(SEALED, &self.tenant.work, &self.name).await.unwrap().unwrap_or_default();
        json!({ "secret": self.secret(&object).await, "status": status(&object), "events": self.events().await })
    }

    async fn secret(&self, object: &Value) -> Value {
        let found = self.tenant.cluster.find("v1 Secret", &self.tenant.work, &self.name).await.unwrap();
        let Some(secret) = found else { return json!("none") };
        let metadata = &secret["metadata"];
        let owners = metadata["ownerReferences"].as_array().into_iter().flatten().map(|owner| {
            json!({
                "kind": owner["kind"], "apiVersion": owner["apiVersion"], "controller": owner["controller"],
                "is this SealedSecret": owner["uid"] == object["metadata"]["uid"],
            })
        });
        let data = secret["data"].as_object().into_iter().flatten().map(|(key, value)| {
            let bytes = STANDARD.decode(value.as_str().unwrap_or_default()).unwrap();
            (key.clone(), json!(shown(&bytes)))
        });
        let or_empty = |value: &Value| if value.is_null() { json!({}) } else { value.clone() };
        json!({
            "data": data.collect::<Map<_, _>>(), "type": secret["type"], "immutable": secret["immutable"],
            "labels": or_empty(&metadata["labels"]), "annotations": or_empty(&metadata["annotations"]),
            "owners": owners.collect::<Vec<_>>(),
        })
    }

    async fn events(&self) -> Vec<String> {
        let all = self.tenant.cluster.events(&self.tenant.work, &self.name).await.unwrap();
        let words = all.iter().map(|event| event.split(' ').take(2).collect::<Vec<_>>());
        let known = words.filter(|words| words.get(1).is_some_and(|reason| REASONS.contains(reason)));
        let mut events: Vec<_> = known.map(|words| words.join(" ")).collect();
        events.sort();
        events.dedup();
        events
    }
}

fn status(object: &Value) -> Value {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let synced = conditions.filter(|condition| condition["type"] == "Synced").map(|condition| {
        let told = condition["message"].as_str().is_some_and(|message| !message.is_empty());
        json!({ "status": condition["status"], "message": told })
    });
    json!({
        "Synced": synced.collect::<Vec<_>>(),
        "observedGeneration is generation": object["status"]["observedGeneration"] == object["metadata"]["generation"],
        "generation": object["metadata"]["generation"],
    })
}

fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        _ if bytes.len() > 200 => format!("{} bytes", bytes.len()),
        Ok(text) => text.to_owned(),
        Err(_) => format!("base64:{}", STANDARD.encode(bytes)),
    }
}

/// A merge patch that makes `wanted` of `known`.
fn gone(known: &Value, wanted: &Value) -> Value {
    let (Value::Object(known), Value::Object(wanted)) = (known, wanted) else { return wanted.clone() };
    let mut patch: Map<_, _> =
        known.keys().filter(|key| !wanted.contains_key(*key)).map(|key| (key.clone(), Value::Null)).collect();
    patch.extend(
        wanted
            .iter()
            .map(|(key, value)| (key.clone(), known.get(key).map_or(value.clone(), |known| gone(known, value)))),
    );
    Value::Object(patch)
}
