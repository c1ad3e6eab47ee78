//! The reference's metric that has one line an object.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use kube::ResourceExt;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::api::SealedSecret;
use crate::api::sealed_secret::SYNCED;
use crate::cluster::Seen;
use crate::plan::ObjectKey;
use crate::telemetry::sealed_secrets::ConditionLabels;

/// The lines that are shown.
pub(super) struct Conditions {
    family: Family<ConditionLabels, Gauge>,
    /// The label of each object that is part of its line: when it changes, the old line must go.
    instances: Mutex<HashMap<ObjectKey, String>>,
}

impl Conditions {
    pub(super) fn new(family: Family<ConditionLabels, Gauge>) -> Self {
        Self { family, instances: Mutex::default() }
    }

    /// Follows an object that was seen.
    pub(super) fn show(&self, seen: Seen, key: &ObjectKey, object: Option<&SealedSecret>) {
        let line = |instance: String| ConditionLabels {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            condition: SYNCED,
            ss_app_kubernetes_io_instance: instance,
        };
        let label = object.and_then(|object| object.labels().get("app.kubernetes.io/instance"));
        let instance = label.cloned().unwrap_or_default();
        let before = {
            let mut instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
            match seen {
                Seen::Gone => instances.remove(key),
                _ => instances.insert(key.clone(), instance.clone()),
            }
        };
        if let Some(before) = before.filter(|before| seen == Seen::Gone || *before != instance) {
            self.family.remove(&line(before));
        }
        if seen == Seen::Gone {
            return;
        }
        let all = object.into_iter().flat_map(|object| &object.status).flat_map(|status| &status.conditions);
        let value = match all.into_iter().find(|condition| condition.type_ == SYNCED).map(|it| it.status.as_str()) {
            Some("True") => 1,
            Some("False") => -1,
            _ => 0,
        };
        self.family.get_or_create(&line(instance)).set(value);
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_has_one_line_whatever_becomes_of_its_label() {
        let family = Family::default();
        let mut registry = Registry::default();
        registry.register("condition", "x", family.clone());
        let conditions = Conditions::new(family);
        let key = ObjectKey::new("ns", "x");
        let object = |instance: Option<&str>, status: &str| -> SealedSecret {
            serde_json::from_value(json!({
                "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
                "metadata": {
                    "name": "x", "namespace": "ns",
                    "labels": instance.map(|instance| json!({ "app.kubernetes.io/instance": instance })),
                },
                "spec": { "encryptedData": {} }, "status": { "conditions": [{ "type": "Synced", "status": status }] },
            }))
            .unwrap()
        };
        let lines = |seen, object: Option<&SealedSecret>| {
            conditions.show(seen, &key, object);
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            let lines = text.lines().filter(|line| line.starts_with("condition{")).map(|line| {
                let instance = line.split("instance=\"").nth(1).and_then(|rest| rest.split('"').next());
                (instance.unwrap_or_default().to_owned(), line.rsplit(' ').next().unwrap_or_default().to_owned())
            });
            lines.collect::<Vec<_>>()
        };
        let pair = |instance: &str, value: &str| vec![(instance.to_owned(), value.to_owned())];
        assert_eq!(lines(Seen::Made, Some(&object(None, "False"))), pair("", "-1"));
        assert_eq!(lines(Seen::Changed, Some(&object(Some("shop"), "True"))), pair("shop", "1"));
        assert_eq!(lines(Seen::Changed, Some(&object(Some("bank"), "True"))), pair("bank", "1"));
        assert_eq!(lines(Seen::Gone, Some(&object(Some("other"), "True"))), vec![]);
    }
}
