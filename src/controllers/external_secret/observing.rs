//! What metrics say of all ExternalSecrets together, looked up for each scrape.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::is_ready;
use super::waking::store_keys;
use crate::api::ExternalSecret;
use crate::cluster::Watched;
use crate::decide::external_secret as decide;
use crate::plan::StoreId;
use crate::telemetry::{Metrics, ReadyLabel, StoreLabel};

/// Registers what is looked up.
pub(super) fn register(metrics: &Metrics, objects: &Watched<ExternalSecret>) {
    let objects = objects.clone();
    metrics.at_scrape(move |metrics| {
        say(metrics, objects.readable(), Timestamp::now());
    });
}

fn say(metrics: &Metrics, objects: impl Iterator<Item: Borrow<ExternalSecret>>, now: Timestamp) {
    let mut by_ready = BTreeMap::from([("True", 0), ("False", 0), ("Unknown", 0)]);
    let mut latest: BTreeMap<String, Duration> = BTreeMap::new();
    for object in objects {
        let object = object.borrow();
        let is_known = object.status.as_ref().is_some_and(|status| !status.conditions.is_empty());
        let ready = if is_ready(object) { "True" } else { ["Unknown", "False"][usize::from(is_known)] };
        *by_ready.entry(ready).or_default() += 1;
        let late = decide::late_by(object, now);
        for (kind, key) in store_keys(object) {
            let store = StoreId { kind, key, asker: String::new() }.to_string();
            let known = latest.entry(store).or_default();
            *known = late.max(*known);
        }
    }
    for (ready, number) in by_ready {
        metrics.external_secrets.get_or_create(&ReadyLabel { ready }).set(number);
    }
    metrics.staleness_seconds.clear();
    for (store, late) in latest {
        let seconds = i64::try_from(late.as_secs()).unwrap_or(i64::MAX);
        metrics.staleness_seconds.get_or_create(&StoreLabel { store }).set(seconds);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::telemetry::Also;

    fn object(store: &str, refreshed: &str, ready: &str) -> ExternalSecret {
        let mut object: ExternalSecret = serde_json::from_value(json!({
            "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
            "metadata": { "name": "db", "namespace": "shop", "generation": 1 },
            "spec": {
                "secretStoreRef": { "name": store }, "refreshInterval": "1h",
                "data": [{ "secretKey": "a", "remoteRef": { "key": "a" } }],
            },
        }))
        .unwrap();
        let version = decide::synced_resource_version(&object.metadata);
        let status = json!({
            "refreshTime": refreshed, "syncedResourceVersion": version,
            "conditions": [{ "type": "Ready", "status": ready }],
        });
        object.status = Some(serde_json::from_value(status).unwrap());
        object
    }

    #[test]
    fn the_most_belated_object_of_a_store_is_told_and_one_that_is_gone_is_not() {
        let metrics = Metrics::default();
        let now = "2026-11-26T12:00:00Z".parse().unwrap();
        let mut new = object("vault", "2026-11-26T11:30:00Z", "True");
        new.status = None;
        let all = [
            object("vault", "2026-11-26T11:30:00Z", "True"),
            object("vault", "2026-11-26T10:00:00Z", "False"),
            object("calm", "2026-11-26T11:30:00Z", "True"),
            new,
        ];
        say(&metrics, all.iter(), now);
        let text = metrics.render(Also::default()).unwrap();
        for line in [
            r#"chancery_external_secrets{ready="True"} 2"#,
            r#"chancery_external_secrets{ready="False"} 1"#,
            r#"chancery_external_secrets{ready="Unknown"} 1"#,
            r#"chancery_store_staleness_seconds{store="SecretStore shop/vault"} 3600"#,
            r#"chancery_store_staleness_seconds{store="SecretStore shop/calm"} 0"#,
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
        say(&metrics, all[2..3].iter(), now);
        let text = metrics.render(Also::default()).unwrap();
        assert!(!text.contains("shop/vault") && text.contains("shop/calm"), "{text}");
    }
}
