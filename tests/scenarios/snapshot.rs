//! The state of a case, as the outcomes were recorded.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha3::{Digest, Sha3_224};

use super::case::{Case, World};

const CREATED_BY: &str = "reconcile.external-secrets.io/created-by";
const DATA_HASH: &str = "reconcile.external-secrets.io/data-hash";

/// Everything that can be seen of a case.
pub(super) async fn of(case: &mut Case, world: &World) -> Value {
    let own = case.namespace.clone();
    let mut state = space(case, world, &own, true).await;
    let mut others = Map::new();
    for name in case.namespaces.clone() {
        let mut seen = space(case, world, &name, false).await;
        let namespace = world.get("Namespace", "", &name).await.unwrap_or_default();
        seen["finalizers"] = sorted(&namespace["metadata"]["finalizers"]);
        others.insert(name, seen);
    }
    if !others.is_empty() {
        state["namespaces"] = Value::Object(others);
    }
    for (kind, name) in &case.cluster_wide {
        if ["ClusterSecretStore", "ClusterExternalSecret", "ClusterPushSecret"].contains(&kind.as_str()) {
            let seen = world.get(kind, "", name).await.map(|object| object_state(&object));
            state[format!("{}s", kind.to_lowercase())][name] = seen.into();
        }
    }
    if case.mount == Some(2) {
        state["openbao"] = world.bao.tree(case).await;
    }
    if case.uses_aws {
        state["aws"] = world.aws.tree(&case.id).await;
    }
    case.normal(&state)
}

async fn space(case: &mut Case, world: &World, namespace: &str, events: bool) -> Value {
    let externals = world.list("ExternalSecret", namespace).await;
    let pushes = world.list("PushSecret", namespace).await;
    let makers = case.makers.entry(namespace.to_owned()).or_default();
    makers.extend(externals.iter().map(|object| name_of(object).to_owned()));
    let makers = makers.clone();
    let mut state = json!({ "secrets": {} });
    for secret in world.list("Secret", namespace).await {
        if secret["metadata"]["labels"]["case"] != "hidden" {
            state["secrets"][name_of(&secret)] = secret_state(case, namespace, &secret, &makers);
        }
    }
    for (field, objects) in [("externalsecrets", &externals), ("pushsecrets", &pushes)] {
        for object in objects {
            state[field][name_of(object)] = object_state(object);
        }
    }
    if case.kinds.contains("SecretStore") {
        for store in world.list("SecretStore", namespace).await {
            state["secretstores"][name_of(&store)] = object_state(&store);
        }
    }
    if events {
        let mut seen = BTreeSet::new();
        for event in world.list("Event", namespace).await {
            let about = &event["involvedObject"];
            let kind = about["kind"].as_str().unwrap_or_default();
            if ["ExternalSecret", "PushSecret"].contains(&kind) {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                seen.insert(format!(
                    "{kind}/{} {} {}",
                    text(&about["name"]),
                    text(&event["type"]),
                    text(&event["reason"])
                ));
            }
        }
        state["events"] = json!(seen);
    }
    state
}

fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn secret_state(case: &Case, namespace: &str, secret: &Value, makers: &BTreeSet<String>) -> Value {
    let metadata = &secret["metadata"];
    let data: BTreeMap<String, Vec<u8>> = secret["data"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), STANDARD.decode(value.as_str().unwrap()).unwrap()))
        .collect();
    let mut shown = Map::new();
    let mut is_shaped = false;
    for (key, value) in &data {
        let mut told = text(value);
        let shape = case.spec["shapes"][format!("{}/{key}", name_of(secret))].as_str();
        if let Some(shape) = shape.filter(|shape| {
            let pattern = regex::Regex::new(&format!("^(?:{shape})$")).unwrap();
            told.as_str().is_some_and(|text| pattern.is_match(text))
        }) {
            (told, is_shaped) = (format!("<matches {shape}>").into(), true);
        }
        shown.insert(key.clone(), told);
    }
    let mut labels = metadata["labels"].as_object().cloned().unwrap_or_default();
    let mut annotations = metadata["annotations"].as_object().cloned().unwrap_or_default();
    if let Some(label) = labels.get_mut(CREATED_BY) {
        let maker = makers.iter().find(|name| *label == sha3(format!("{namespace}/{name}").as_bytes()));
        if let Some(maker) = maker {
            *label = format!("<sha3-224 of {namespace}/{maker}>").into();
        }
    }
    let is_of_this_run = is_shaped || Value::Object(shown.clone()).to_string().contains(&case.id);
    if let Some(hash) = annotations.get_mut(DATA_HASH).filter(|hash| **hash == data_hash(&data) && is_of_this_run) {
        *hash = "<right for the data>".into();
    }
    let mut state = json!({
        "type": secret["type"], "data": shown, "labels": labels, "annotations": annotations, "owners": owners(metadata),
    });
    if metadata["finalizers"].is_array() {
        state["finalizers"] = sorted(&metadata["finalizers"]);
    }
    if secret["immutable"] == true {
        state["immutable"] = true.into();
    }
    state
}

fn object_state(object: &Value) -> Value {
    let (status, metadata) = (&object["status"], &object["metadata"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut conditions: Vec<Value> = status["conditions"].as_array().cloned().unwrap_or_default();
    conditions.sort_by_key(|condition| text(&condition["type"]));
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|condition| {
            let field = |name: &str| text(&condition[name]);
            json!({ "type": field("type"), "status": field("status"), "reason": field("reason"), "message": field("message") })
        })
        .collect();
    let mut state = json!({ "conditions": conditions });
    if metadata["finalizers"].is_array() {
        state["finalizers"] = sorted(&metadata["finalizers"]);
    }
    if metadata["deletionTimestamp"].is_string() {
        state["deleting"] = true.into();
    }
    match object["kind"].as_str().unwrap_or_default() {
        "ExternalSecret" => {
            state["binding"] = text(&status["binding"]["name"]).into();
            state["syncedResourceVersion"] = text(&status["syncedResourceVersion"]).into();
            state["refreshed"] = status["refreshTime"].is_string().into();
            if metadata["ownerReferences"].is_array() {
                state["owners"] = owners(metadata);
            }
        }
        "SecretStore" | "ClusterSecretStore" => state["capabilities"] = text(&status["capabilities"]).into(),
        "PushSecret" => {
            let synced = status["syncedPushSecrets"].as_object().into_iter().flatten();
            let synced: Map<String, Value> = synced
                .map(|(store, places)| {
                    let places: BTreeSet<_> =
                        places.as_object().into_iter().flatten().map(|(place, _)| place).collect();
                    (store.clone(), json!(places))
                })
                .collect();
            state["synced"] = Value::Object(synced);
        }
        kind @ ("ClusterExternalSecret" | "ClusterPushSecret") => {
            if kind == "ClusterExternalSecret" {
                state["externalSecretName"] = text(&status["externalSecretName"]).into();
            }
            state["provisionedNamespaces"] = sorted(&status["provisionedNamespaces"]);
            let failed = status["failedNamespaces"].as_array().into_iter().flatten();
            let failed: BTreeSet<_> = failed.map(|failed| text(&failed["namespace"])).collect();
            state["failedNamespaces"] = json!(failed);
        }
        _ => {}
    }
    state
}

fn owners(metadata: &Value) -> Value {
    let all = metadata["ownerReferences"].as_array().into_iter().flatten();
    all.map(|owner| {
        json!({
            "kind": owner["kind"], "name": owner["name"], "controller": owner["controller"] == true,
            "blockOwnerDeletion": owner["blockOwnerDeletion"] == true,
        })
    })
    .collect()
}

pub(super) fn sorted(list: &Value) -> Value {
    let mut all: Vec<String> =
        list.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect();
    all.sort();
    json!(all)
}

/// As text where it is one.
fn text(bytes: &[u8]) -> Value {
    let plain = |letter: char| {
        matches!(letter, '\n' | '\t' | '\r') || (letter >= ' ' && letter != '\u{7f}' && letter != '\u{feff}')
    };
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(plain) => text.into(),
        _ => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

fn sha3(bytes: &[u8]) -> String {
    Sha3_224::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn data_hash(data: &BTreeMap<String, Vec<u8>>) -> String {
    let entries: Vec<String> = data
        .iter()
        .map(|(key, value)| format!("{key}:[{}]", value.iter().map(u8::to_string).collect::<Vec<_>>().join(" ")))
        .collect();
    sha3(format!("map[{}]", entries.join(" ")).as_bytes())
}
