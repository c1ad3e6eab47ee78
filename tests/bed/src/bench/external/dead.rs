//! What one store that never answers costs the objects of four others.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bed::faults::{Fault, FaultProxy};
use bed::{Tenant, say};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

use super::{AT_A_TIME, EXTERNAL, LIMIT, path, store};

const HEALTHY: usize = 4;
/// Objects of the fifth store, which ask it all the time.
const BUSY: usize = 200;
/// Objects of the others whose way to Ready is timed.
const TIMED: usize = 400;
/// How many of them are on their way at once.
const AT_ONCE: usize = 4;

pub(super) async fn measure(tenant: &Tenant) -> Result<Value> {
    say(format!("five stores, {BUSY} objects of the fifth asking every 5 s, {TIMED} new objects of the others"));
    let proxy = FaultProxy::start(&tenant.bed.vault_url).await?;
    tenant.cluster.apply_object(&store(tenant, "fifth", &proxy.url)).await?;
    for number in 0..HEALTHY {
        tenant.cluster.apply_object(&store(tenant, &format!("healthy{number}"), &tenant.bed.vault_url)).await?;
    }
    let busy = (0..BUSY).map(|number| object(tenant, &format!("busy{number}"), "fifth", number, "5s"));
    let busy = busy.map(|object| async move { tenant.cluster.apply_object(&object).await });
    futures::stream::iter(busy).buffer_unordered(AT_A_TIME).try_collect::<Vec<_>>().await?;
    let running = tenant.operator(&["--controllers=external-secrets", "--log=error"]).await?.start()?;
    until(tenant, &format!("busy{}", BUSY - 1)).await?;

    let mut figures = Vec::new();
    for (round, fault) in [("alive", Fault::None), ("dead", Fault::Delay(LIMIT))] {
        proxy.set(fault);
        // Whatever the change costs at first is over, and both rounds begin alike.
        tokio::time::sleep(Duration::from_secs(15)).await;
        let timed = (0..TIMED).map(|number| timed(tenant, format!("{round}{number}"), number));
        let mut times: Vec<Duration> = futures::stream::iter(timed).buffer_unordered(AT_ONCE).try_collect().await?;
        times.sort_unstable();
        figures.push((times[times.len() / 2], times[times.len() * 99 / 100]));
        say(format!(
            "  the fifth store is {round:5}      median {:.0} ms, p99 {:.0} ms",
            figures[figures.len() - 1].0.as_secs_f64() * 1000.0,
            figures[figures.len() - 1].1.as_secs_f64() * 1000.0
        ));
    }
    let [(_, alive), (_, dead)] = figures.as_slice() else { anyhow::bail!("two rounds") };
    let ratio = dead.as_secs_f64() / alive.as_secs_f64();
    say(format!("  p99 with a dead store         {ratio:.2} × of without"));
    ensure!(running.stop(), "the operator did not stop");
    Ok(json!({ "p99AliveSeconds": alive.as_secs_f64(), "p99DeadSeconds": dead.as_secs_f64(), "deadStoreRatio": ratio }))
}

/// From an object that is made to its Secret.
async fn timed(tenant: &Tenant, name: String, number: usize) -> Result<Duration> {
    let object = object(tenant, &name, &format!("healthy{}", number % HEALTHY), number, "1h");
    let started = Instant::now();
    tenant.cluster.apply_object(&object).await?;
    until(tenant, &name).await?;
    let took = started.elapsed();
    tenant.cluster.delete(EXTERNAL, &tenant.work, &name).await?;
    Ok(took)
}

async fn until(tenant: &Tenant, name: &str) -> Result<()> {
    let started = Instant::now();
    while tenant.cluster.find("v1 Secret", &tenant.work, name).await?.is_none() {
        ensure!(started.elapsed() < LIMIT, "no Secret {name}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

fn object(tenant: &Tenant, name: &str, store: &str, number: usize, interval: &str) -> Value {
    let reference = json!({ "key": path(tenant, number % 50), "property": "password" });
    json!({
        "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
        "metadata": { "name": name, "namespace": tenant.work },
        "spec": {
            "secretStoreRef": { "name": store }, "refreshInterval": interval,
            "data": [{ "secretKey": "password", "remoteRef": reference }],
        },
    })
}
