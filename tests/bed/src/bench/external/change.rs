//! How long a changed value takes to reach all Secrets that are made of it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bed::{Tenant, say};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ListParams, WatchEvent, WatchParams};
use serde_json::{Value, json};

use super::{make, path, unmake, until_ready};

const OBJECTS: usize = 1000;
const KEYS: usize = 100;
const INTERVAL: Duration = Duration::from_secs(15);
const ROTATED: &[u8] = b"rotated";

pub(super) async fn measure(tenant: &Tenant) -> Result<Value> {
    say(format!("{OBJECTS} ExternalSecrets over {KEYS} keys, interval {} s: every value changes", INTERVAL.as_secs()));
    make(tenant, OBJECTS, KEYS, "15s").await?;
    let running = tenant.operator(&["--controllers=external-secrets", "--log=warn"]).await?.start()?;
    until_ready(tenant, &running, OBJECTS).await?;
    // Each object has had its second turn: from here on everything is as it is for months.
    tokio::time::sleep(INTERVAL * 2).await;

    // Watched, not listed: a thousand Secrets every moment would cost the API server more than what is measured.
    let secrets: Api<Secret> = Api::namespaced(tenant.cluster.client(), &tenant.work);
    let version = secrets.list_metadata(&ListParams::default()).await?.metadata.resource_version.unwrap_or_default();
    let mut events = secrets.watch(&WatchParams::default(), &version).await?.boxed();

    let vault = tenant.bed.vault().await?;
    let mut changed = Vec::new();
    for key in 0..KEYS {
        vault.write(&path(tenant, key), json!({ "user": "pilot", "password": "rotated" })).await?;
        changed.push(Instant::now());
    }
    let mut reached: Vec<Option<Duration>> = vec![None; OBJECTS];
    while reached.contains(&None) {
        let event =
            tokio::time::timeout(super::LIMIT, events.try_next()).await.context("the change does not reach all")?;
        let WatchEvent::Modified(secret) = event?.context("the watch ended")? else { continue };
        let number = secret.metadata.name.as_deref().and_then(|name| name.strip_prefix('e')?.parse::<usize>().ok());
        let Some(number) = number.filter(|number| *number < OBJECTS) else { continue };
        let has_it = secret.data.is_some_and(|data| data.get("password").is_some_and(|value| value.0 == ROTATED));
        if has_it && reached[number].is_none() {
            reached[number] = Some(changed[number % KEYS].elapsed());
        }
    }
    let mut times: Vec<Duration> = reached.into_iter().flatten().collect();
    times.sort_unstable();
    let (median, last) = (times[times.len() / 2], times.last().copied().context("no object")?);
    say(format!("  a changed value, median       {:.1} s", median.as_secs_f32()));
    say(format!(
        "  a changed value, the last     {:.1} s (interval + 1 s: {} s)",
        last.as_secs_f32(),
        INTERVAL.as_secs() + 1
    ));
    ensure!(running.stop(), "the operator did not stop");
    unmake(tenant, OBJECTS).await?;
    Ok(json!({
        "objects": OBJECTS, "keys": KEYS, "intervalSeconds": INTERVAL.as_secs(),
        "changedMedianSeconds": median.as_secs_f64(), "changedLastSeconds": last.as_secs_f64(),
    }))
}
