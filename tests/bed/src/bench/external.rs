//! `cargo bed bench external`: many ExternalSecrets over fewer keys, counted at the store and at the API server.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bed::operator::Running;
use bed::{Tenant, say};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

mod change;
mod dead;

const EXTERNAL: &str = "external-secrets.io/v1 ExternalSecret";
const LIMIT: Duration = Duration::from_secs(300);
/// External Secrets Operator 2.9 does not run in the bed: what it showed when it was measured the same way elsewhere.
const REFERENCE: [&str; 5] = [
    "the reference, constants from a measurement elsewhere, not from this run:",
    "  1 000 objects                 101 s with default flags, 21.5 s with 20 workers and its limit lifted",
    "  5 000 objects                 86.5 s with 20 workers and its limit lifted, 377 MiB",
    "  an object                     2 reads at the store, 7 API requests",
    "  a changed value, 15 s         p50 35 s with default flags, 7.8 s tuned",
];
/// Objects over keys.
const SIZES: [(usize, usize); 2] = [(1000, 100), (5000, 500)];
/// Calls at a time while objects are made.
const AT_A_TIME: usize = 16;

pub(crate) async fn run(tenant: &Tenant) -> Result<()> {
    let mut figures = Vec::new();
    prepare(tenant).await?;
    for (objects, keys) in SIZES {
        say(format!("{objects} ExternalSecrets of two entries over {keys} keys"));
        make(tenant, objects, keys, "1h").await?;
        figures.push(measure(tenant, objects, keys).await?);
        // The next size begins with no Secret and nothing known.
        unmake(tenant, objects).await?;
    }
    figures.push(change::measure(tenant).await?);
    figures.push(dead::measure(tenant).await?);
    for line in REFERENCE {
        say(line);
    }
    say(serde_json::to_string(&figures)?);
    Ok(())
}

async fn prepare(tenant: &Tenant) -> Result<()> {
    let vault = tenant.bed.vault().await?;
    for key in 0..SIZES.iter().map(|(_, keys)| *keys).max().unwrap_or_default() {
        vault.write(&path(tenant, key), json!({ "user": "pilot", "password": "first" })).await?;
    }
    let token = vault.reader_token(&tenant.work, &tenant.work).await?;
    let objects = [
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "token", "namespace": tenant.work },
            "stringData": { "token": token },
        }),
        store(tenant, "vault", &tenant.bed.vault_url),
    ];
    for object in objects {
        tenant.cluster.apply_object(&object).await?;
    }
    Ok(())
}

/// A store that reads with the token of `prepare`, at another address.
fn store(tenant: &Tenant, name: &str, server: &str) -> Value {
    json!({
        "apiVersion": "external-secrets.io/v1", "kind": "SecretStore",
        "metadata": { "name": name, "namespace": tenant.work },
        "spec": { "provider": { "vault": {
            "server": server, "path": "secret", "version": "v2",
            "auth": { "tokenSecretRef": { "name": "token", "key": "token" } },
        } } },
    })
}

fn path(tenant: &Tenant, key: usize) -> String {
    format!("{}/k{key}", tenant.work)
}

fn object(tenant: &Tenant, number: usize, keys: usize, interval: &str) -> Value {
    let entry = |name: &str| json!({ "secretKey": name, "remoteRef": { "key": path(tenant, number % keys), "property": name } });
    json!({
        "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
        "metadata": { "name": format!("e{number}"), "namespace": tenant.work },
        "spec": {
            "secretStoreRef": { "name": "vault" }, "refreshInterval": interval, "data": [entry("user"), entry("password")],
        },
    })
}

async fn make(tenant: &Tenant, objects: usize, keys: usize, interval: &str) -> Result<()> {
    let all = (0..objects)
        .map(|number| async move { tenant.cluster.apply_object(&object(tenant, number, keys, interval)).await });
    futures::stream::iter(all).buffer_unordered(AT_A_TIME).try_collect::<Vec<_>>().await.map(drop)
}

async fn unmake(tenant: &Tenant, objects: usize) -> Result<()> {
    let all = (0..objects).map(|number| async move {
        let name = format!("e{number}");
        tenant.cluster.delete(EXTERNAL, &tenant.work, &name).await?;
        tenant.cluster.delete("v1 Secret", &tenant.work, &name).await
    });
    futures::stream::iter(all).buffer_unordered(AT_A_TIME).try_collect::<Vec<_>>().await.map(drop)
}

async fn measure(tenant: &Tenant, objects: usize, keys: usize) -> Result<Value> {
    let operator = tenant.operator(&["--controllers=external-secrets", "--log=warn"]).await?;
    let reads = || -> Result<usize> {
        let log = std::fs::read_to_string(&tenant.bed.vault_audit_log)?;
        let theirs = log.lines().filter(|line| line.contains("\"type\":\"response\""));
        Ok(theirs.filter(|line| line.contains(&format!("secret/data/{}/k", tenant.work))).count())
    };
    let (before, mark) = (reads()?, tenant.bed.mark()?);
    let started = Instant::now();
    let running = operator.start()?;
    until_ready(tenant, &running, objects).await?;
    let first = started.elapsed();
    let read = reads()? - before;
    let (cpu, memory) = idle(&running).await?;
    // Events come after what they tell of.
    let writes: usize = mark.writes(&operator.user)?.values().sum();
    let own = running.anonymous_memory()?;
    ensure!(running.stop(), "the operator did not stop");

    // An edit by hand while nobody looks.
    let last = format!("e{}", objects - 1);
    let place = ("v1 Secret", tenant.work.as_str(), last.as_str());
    let edit = json!({ "stringData": { "password": "by hand" } });
    tenant.cluster.patch(place.0, place.1, place.2, &edit).await?;
    let (before, mark) = (reads()?, tenant.bed.mark()?);
    let started = Instant::now();
    let running = operator.start()?;
    let is_healed = |secret: &Value| secret["data"]["password"] == "Zmlyc3Q=";
    tenant.cluster.wait_for("it is healed", place, LIMIT, is_healed).await?;
    let healed = started.elapsed();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (reread, rewrites) = (reads()? - before, mark.writes(&operator.user)?);
    let told: Vec<_> = rewrites.iter().map(|(call, times)| format!("{times}× {call}")).collect();
    ensure!(running.stop(), "the operator did not stop");

    say(format!("  launch to the last Ready      {:.1} s", first.as_secs_f32()));
    say(format!("  reads at the store            {read} (unique keys: {keys})"));
    say(format!("  writes an object              {:.2}", writes as f64 / objects as f64));
    say(format!("  idle CPU of a core            {:.2} %", cpu * 100.0));
    say(format!("  memory                        {:.1} MiB", memory as f64 / 1024.0));
    say(format!("  not of the program's file     {:.1} MiB", own as f64 / 1024.0));
    say(format!(
        "  restart to a healed edit      {:.1} s, {reread} reads, writes: {}",
        healed.as_secs_f32(),
        told.join(", ")
    ));
    Ok(json!({
        "objects": objects, "keys": keys, "firstSyncSeconds": first.as_secs_f64(), "reads": read,
        "writesAnObject": writes as f64 / objects as f64, "idleCpu": cpu, "memoryKiB": memory,
        "restartToHealedSeconds": healed.as_secs_f64(), "readsAtRestart": reread, "writesAtRestart": rewrites,
    }))
}

async fn until_ready(tenant: &Tenant, running: &Running, objects: usize) -> Result<()> {
    let started = Instant::now();
    // Listing thousands of objects costs the API server what the operator needs: only when all have had their turn.
    while reconciled(running).await? < objects && started.elapsed() < LIMIT {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    loop {
        let all = tenant.cluster.list(EXTERNAL, &tenant.work).await?;
        let ready = all.iter().filter(|object| object["status"]["conditions"][0]["status"] == "True").count();
        if ready >= objects {
            return Ok(());
        }
        ensure!(started.elapsed() < LIMIT, "only {ready} of {objects} are Ready");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// How many times an ExternalSecret has been brought up to date.
async fn reconciled(running: &Running) -> Result<usize> {
    let text = reqwest::get(format!("{}/metrics", running.metrics_url)).await?.text().await?;
    let ours = r#"chancery_reconciles_total{controller="external-secrets",result="ok"} "#;
    let number = text.lines().find_map(|line| line.strip_prefix(ours));
    Ok(number.and_then(|number| number.parse().ok()).unwrap_or_default())
}

/// The part of a core that is used when nothing happens, and memory in KiB.
async fn idle(running: &Running) -> Result<(f64, u64)> {
    const LOOKED: Duration = Duration::from_secs(20);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let ticks = || -> Result<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", running.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
    };
    let before = ticks()?;
    tokio::time::sleep(LOOKED).await;
    Ok(((ticks()? - before) as f64 / 100.0 / LOOKED.as_secs_f64(), running.memory()?))
}
