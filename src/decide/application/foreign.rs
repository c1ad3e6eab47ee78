//! Fields that people added by hand: apply never takes another manager's field away, so they are found by their manager
//! and removed one by one (S9).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::plan::Manifest;

/// Lists whose items `managedFields` names by a key are searched for at most this many items.
const MOST_ITEMS: usize = 10_000;
/// Annotations by which a person asks for something to be done now: they are orders, no wishes for how things should be,
/// and whoever obeys them takes them away or counts their changes.
const ORDERS: [&str; 3] = ["kubectl.kubernetes.io/restartedAt", "force-sync", "external-secrets.io/force-sync"];
/// So are Argo CD's own, `refresh` among them.
const ARGO_CD: &str = "argocd.argoproj.io/";
/// Where an Application is asked for a sync.
const OPERATION: &str = "operation";

/// JSON pointers of fields that kubectl wrote and nobody else owns, deepest last item first, so that they can be removed in
/// this order.
///
/// What a controller wrote is left alone (an autoscaler's replicas, a webhook's sidecar), and so is what `kubectl` wrote
/// to a sub-resource.
pub fn pointers(live: &Manifest) -> Vec<String> {
    let Some(entries) = live.fields().get("metadata").and_then(|metadata| metadata.get("managedFields")?.as_array())
    else {
        return Vec::new();
    };
    let is_hand = |entry: &&Value| {
        let manager = entry.get("manager").and_then(Value::as_str).unwrap_or_default();
        let whole = entry.get("subresource").and_then(Value::as_str).unwrap_or_default().is_empty();
        whole && manager.starts_with("kubectl") && manager != "kubectl-rollout"
    };
    let whole = Value::Object(live.fields().clone());
    let paths_of = |hands: bool| -> BTreeSet<Vec<Step>> {
        let mut paths = BTreeSet::new();
        for entry in entries.iter().filter(|entry| is_hand(entry) == hands) {
            if let Some(Value::Object(fields)) = entry.get("fieldsV1") {
                leaves(fields, &whole, &mut Vec::new(), &mut paths);
            }
        }
        paths
    };
    let (hands, others) = (paths_of(true), paths_of(false));
    let mut found: Vec<Vec<Step>> = hands
        .into_iter()
        .filter(|path| !others.iter().any(|other| other.starts_with(path)))
        .filter(|path| is_a_wish(path))
        .collect();
    // What lies in an item that goes, goes with it.
    let items = found.clone();
    found.retain(|path| !items.iter().any(|item| item.len() < path.len() && path.starts_with(item)));
    // Removing an item moves those behind it: last ones first.
    found.sort_by(|a, b| b.cmp(a));
    found.iter().map(|path| path.iter().map(Step::token).collect()).collect()
}

/// Whether a field says how things should be. Status and an Application's `operation` do not; of the metadata only
/// labels and annotations do.
fn is_a_wish(path: &[Step]) -> bool {
    let field = |index: usize| match path.get(index) {
        Some(Step::Field(name)) => name.as_str(),
        _ => "",
    };
    match field(0) {
        "" | "status" | OPERATION => false,
        "metadata" => field(1) == "labels" || (field(1) == "annotations" && !is_an_order(field(2))),
        _ => true,
    }
}

fn is_an_order(annotation: &str) -> bool {
    ORDERS.contains(&annotation) || annotation.starts_with(ARGO_CD)
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Index(usize),
    Field(String),
}

impl Step {
    fn token(&self) -> String {
        match self {
            Self::Index(index) => format!("/{index}"),
            Self::Field(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
        }
    }
}

/// Collects the paths that a set of managed fields owns, as they lie in the live object.
fn leaves(fields: &Map<String, Value>, live: &Value, path: &mut Vec<Step>, found: &mut BTreeSet<Vec<Step>>) {
    for (name, below) in fields {
        // Within a pod template, too.
        if name.strip_prefix("f:").is_some_and(is_an_order) {
            continue;
        }
        let step = match name.split_once(':') {
            Some(("f", field)) => Step::Field(field.to_owned()),
            Some(("k", key)) => match index_of(live, key) {
                Some(index) => Step::Index(index),
                None => continue,
            },
            Some(("v", value)) => match serde_json::from_str::<Value>(value)
                .ok()
                .and_then(|value| live.as_array()?.iter().take(MOST_ITEMS).position(|item| *item == value))
            {
                Some(index) => Step::Index(index),
                None => continue,
            },
            // `.`: the map or item itself, which its manager owns together with what is in it.
            _ => {
                if matches!(path.last(), Some(Step::Index(_))) {
                    found.insert(path.clone());
                }
                continue;
            }
        };
        let Some(child) = (match &step {
            Step::Field(field) => live.get(field),
            Step::Index(index) => live.get(index),
        }) else {
            continue;
        };
        path.push(step);
        match below {
            Value::Object(deeper) if !deeper.is_empty() => leaves(deeper, child, path, found),
            _ => {
                found.insert(path.clone());
            }
        }
        path.pop();
    }
}

fn index_of(live: &Value, key: &str) -> Option<usize> {
    let Ok(Value::Object(key)) = serde_json::from_str::<Value>(key) else { return None };
    let fits = |item: &Value| key.iter().all(|(name, value)| item.get(name) == Some(value));
    live.as_array()?.iter().take(MOST_ITEMS).position(fits)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live(managers: &Value) -> Manifest {
        Manifest::new(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "a", "labels": { "by/hand": "x", "ours": "y" }, "managedFields": managers,
                "annotations": { "argocd.argoproj.io/refresh": "normal" }, "finalizers": ["x"],
            },
            "operation": { "sync": {} },
            "spec": {
                "replicas": 3,
                "template": { "spec": { "containers": [
                    { "name": "main", "env": [{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }] },
                    { "name": "sidecar" },
                ] } },
            },
            "status": { "x": 1 },
        }))
        .unwrap()
    }

    #[test]
    fn what_hands_added_is_found_and_nothing_else() {
        let ours = json!({ "manager": "argocd-controller", "operation": "Apply", "fieldsV1": {
            "f:metadata": { "f:labels": { "f:ours": {} } },
            "f:spec": { "f:template": { "f:spec": { "f:containers": { "k:{\"name\":\"main\"}": {
                ".": {}, "f:name": {}, "f:env": { "k:{\"name\":\"A\"}": { ".": {}, "f:name": {}, "f:value": {} } },
            } } } } },
        } });
        let hands = json!({ "manager": "kubectl-edit", "operation": "Update", "fieldsV1": {
            "f:metadata": { "f:labels": { ".": {}, "f:by/hand": {}, "f:ours": {} } },
            "f:spec": { "f:template": { "f:spec": { "f:containers": {
                "k:{\"name\":\"main\"}": { "f:env": { "k:{\"name\":\"B\"}": { ".": {}, "f:name": {}, "f:value": {} } } },
            } } } },
            "f:status": { "f:x": {} },
        } });
        let autoscaler = json!({ "manager": "kube-controller-manager", "operation": "Update", "fieldsV1": {
            "f:spec": { "f:replicas": {} },
        } });
        let orders = json!({ "manager": "kubectl-annotate", "operation": "Update", "fieldsV1": {
            "f:metadata": { "f:annotations": { "f:argocd.argoproj.io/refresh": {} }, "f:finalizers": { "v:\"x\"": {} } },
            "f:operation": { "f:sync": {} },
        } });
        let found = pointers(&live(&json!([ours, hands, autoscaler, orders])));
        assert!(!found.iter().any(|pointer| pointer.contains("refresh") || pointer.contains("operation")), "{found:?}");
        assert!(!found.iter().any(|pointer| pointer.contains("finalizers")), "{found:?}");
        assert!(found.contains(&"/metadata/labels/by~1hand".to_owned()), "{found:?}");
        assert!(found.contains(&"/spec/template/spec/containers/0/env/1".to_owned()), "{found:?}");
        assert!(
            !found
                .iter()
                .any(|pointer| pointer.contains("ours") || pointer.contains("replicas") || pointer.contains("status")),
            "{found:?}"
        );
        assert_eq!(pointers(&live(&json!([]))), Vec::<String>::new());
    }
}
