//! How long a changed value takes to reach all Secrets that are made of it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bed::{Tenant, say};
use serde_json::{Value, json};

use super::{make, path, unmake, until_ready};

const OBJECTS: usize = 1000;
const KEYS: usize = 100;
const INTERVAL: Duration = Duration::from_secs(15);
/// `rotated`, as a Secret holds it.
const ROTATED: &str = "cm90YXRlZA==";

pub(super) async fn measure(tenant: &Tenant) -> Result<Value> {
    say(format!("{OBJECTS} ExternalSecrets over {KEYS} keys, interval {} s: every value changes", INTERVAL.as_secs()));
    make(tenant, OBJECTS, KEYS, "15s").await?;
    let running = tenant.operator(&["--controllers=external-secrets", "--log=warn"]).await?.start()?;
    until_ready(tenant, &running, OBJECTS).await?;
    // Each object has had its second turn: from here on everything is as it is for months.
    tokio::time::sleep(INTERVAL * 2).await;

    let vault = tenant.bed.vault().await?;
    let mut changed = Vec::new();
    for key in 0..KEYS {
        vault.write(&path(tenant, key), json!({ "user": "pilot", "password": "rotated" })).await?;
        changed.push(Instant::now());
    }
    let mut reached: Vec<Option<Duration>> = vec![None; OBJECTS];
    while reached.contains(&None) {
        for secret in tenant.cluster.list("v1 Secret", &tenant.work).await? {
            let number =
                secret["metadata"]["name"].as_str().and_then(|name| name.strip_prefix('e')?.parse::<usize>().ok());
            let Some(number) = number.filter(|number| *number < OBJECTS) else { continue };
            if reached[number].is_none() && secret["data"]["password"] == ROTATED {
                reached[number] = Some(changed[number % KEYS].elapsed());
            }
        }
        ensure!(changed[0].elapsed() < super::LIMIT, "the change does not reach all");
        tokio::time::sleep(Duration::from_millis(100)).await;
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
