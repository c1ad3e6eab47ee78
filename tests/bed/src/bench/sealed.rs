//! SealedSecrets: ours and the reference side by side in one run, on the same API server with the same keys.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bed::audit::Mark;
use bed::operator::{Operator, Running};
use bed::peer::SealedSecretsController;
use bed::{Tenant, say};
use futures::StreamExt;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use seal::Certificate;
use serde_json::{Value, json};

use super::{LIMIT, spread};

/// Objects, if nothing else is asked for.
const OBJECTS: usize = 1000;
/// Items of each.
const ITEMS: usize = 3;
/// Set to another number of objects.
const VARIABLE: &str = "CHANCERY_BENCH_OBJECTS";
/// Set to a number of Secrets that are nobody's here, which lie in the cluster while we are measured.
const FOREIGN: &str = "CHANCERY_BENCH_FOREIGN_SECRETS";
/// Calls of the bench itself at a time, where it makes many objects.
const AT_A_TIME: usize = 8;
/// With more objects than this the reference is not measured beside us: it would take an hour.
const MOST_FOR_THE_REFERENCE: usize = 2000;
/// How often a hand edit is measured.
const TIMES: usize = 20;
/// Old keys, and objects sealed with the oldest of them.
const KEYS: usize = 20;
const OF_THE_OLDEST: usize = 200;

/// What is measured, by name, for ours and for the reference.
type Figures = BTreeMap<&'static str, BTreeMap<&'static str, Value>>;

/// Runs all of it and writes the figures down.
pub(super) async fn run(tenant: &Tenant) -> Result<()> {
    let number = |variable: &str| std::env::var(variable).ok().and_then(|text| text.parse::<usize>().ok());
    let (objects, foreign) = (number(VARIABLE).unwrap_or(OBJECTS), number(FOREIGN).unwrap_or(0));
    let mut bench = Bench::new(tenant).await?;
    make_foreign_secrets(tenant, foreign).await?;
    let measured = bench.all(objects).await;
    // What was measured before something failed is worth having.
    bench.tell(objects, foreign)?;
    measured
}

struct Bench<'a> {
    tenant: &'a Tenant,
    operator: Operator,
    figures: Figures,
}

impl<'a> Bench<'a> {
    async fn new(tenant: &'a Tenant) -> Result<Self> {
        let cluster = &tenant.cluster;
        for namespace in [reference_place(tenant), old_place(tenant)] {
            cluster.namespace(&namespace).await?;
        }
        cluster
            .apply_object(&json!({
                "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "reference", "namespace": tenant.keys },
            }))
            .await?;
        cluster
            .apply_object(&json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
                "metadata": { "name": "bench-reference" },
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
                "subjects": [{ "kind": "ServiceAccount", "name": "reference", "namespace": tenant.keys }],
            }))
            .await?;
        cluster.namespace(&foreign_place(tenant)).await?;
        // The Secrets of others are watched, too.
        let namespaces = format!("--namespaces={},{},{}", tenant.work, tenant.keys, foreign_place(tenant));
        let flags = ["--controllers=sealed-secrets", "--log=warn", "--key-renew-period=0"];
        let operator = tenant.operator(&flags).await?.replacing("--namespaces=", &namespaces);
        Ok(Self { tenant, operator, figures: Figures::new() })
    }

    async fn all(&mut self, objects: usize) -> Result<()> {
        self.make_a_key().await?;
        self.ours(objects).await?;
        if objects > MOST_FOR_THE_REFERENCE {
            say("the reference is not run with so many objects");
        } else if bed::namespaces::inside() {
            self.reference(objects).await?;
        } else {
            say("the reference needs the bed's namespaces: not run");
        }
        self.the_oldest_of_many_keys().await
    }

    /// The key that both use, of the size that both make.
    async fn make_a_key(&self) -> Result<()> {
        let running = self.operator.start()?;
        self.certificate().await?;
        ensure!(running.stop(), "it does not stop");
        Ok(())
    }

    async fn certificate(&self) -> Result<Certificate> {
        let started = Instant::now();
        loop {
            let answer = reqwest::get(format!("{}/v1/cert.pem", self.operator.url)).await?;
            if answer.status().is_success() {
                return Ok(Certificate::from_pem(&answer.text().await?)?);
            }
            ensure!(started.elapsed() < LIMIT, "there is no certificate");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The certificate of the key that was made, while nobody runs.
    async fn published(&self) -> Result<Certificate> {
        let map = self.tenant.cluster.get("v1 ConfigMap", &self.tenant.keys, "chancery-public-keys").await?;
        Ok(Certificate::from_pem(map["data"]["cert.pem"].as_str().context("no certificate is published")?)?)
    }

    async fn ours(&mut self, objects: usize) -> Result<()> {
        let place = self.tenant.work.clone();
        make_objects(self.tenant, &place, &self.published().await?, objects).await?;

        let mark = self.tenant.bed.mark()?;
        let started = Instant::now();
        let running = self.operator.start()?;
        all_made(self.tenant, &place, objects).await?;
        self.put("new: launch to the last Secret, s", seconds(started.elapsed()));
        settled(&running).await?;
        self.put("new: CPU of the process, s", cpu(running.id())?.into());
        self.put("new: RSA operations", running.metric("chancery_key_unwraps_total").await?.into());
        self.put("new: calls", calls(&mark, &self.operator.user)?);
        tokio::time::sleep(Duration::from_secs(7)).await;
        self.put("memory after the first sync, MiB", mib(running.memory()?));
        self.put("not of the program's file, MiB", mib(running.anonymous_memory()?));
        self.heal(&place).await?;
        tokio::time::sleep(Duration::from_secs(7)).await;
        ensure!(running.stop(), "it does not stop");

        // The Secret that sorts last is edited while nobody looks.
        let last = name(objects - 1);
        edit(self.tenant, &place, &last).await?;
        let mark = self.tenant.bed.mark()?;
        let started = Instant::now();
        let running = self.operator.start()?;
        let ready = started.elapsed();
        is_healed(self.tenant, &place, &last).await?;
        self.put("restart: launch to the last edit healed, s", seconds(started.elapsed()));
        self.put("restart: of that until all watches are complete, s", seconds(ready));
        settled(&running).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.put("restart: RSA operations", running.metric("chancery_key_unwraps_total").await?.into());
        self.put("restart: CPU of the process, s", cpu(running.id())?.into());
        self.put("restart: calls", calls(&mark, &self.operator.user)?);
        tokio::time::sleep(Duration::from_secs(7)).await;
        self.put("memory after a restart, idle, MiB", mib(running.memory()?));
        self.put("not of the program's file after it, MiB", mib(running.anonymous_memory()?));
        running.kill();

        edit(self.tenant, &place, &last).await?;
        let started = Instant::now();
        let running = self.operator.start()?;
        is_healed(self.tenant, &place, &last).await?;
        self.put("after kill -9: launch to the last edit healed, s", seconds(started.elapsed()));
        ensure!(running.stop(), "it does not stop");
        Ok(())
    }

    /// Hand edits and deletions, one after the other.
    async fn heal(&mut self, place: &str) -> Result<()> {
        let (mut edits, mut deletions) = (Vec::new(), Vec::new());
        for number in 0..TIMES {
            let secret = name(number);
            let started = Instant::now();
            edit(self.tenant, place, &secret).await?;
            is_healed(self.tenant, place, &secret).await?;
            edits.push(started.elapsed());
            let started = Instant::now();
            self.tenant.cluster.delete("v1 Secret", place, &secret).await?;
            is_healed(self.tenant, place, &secret).await?;
            deletions.push(started.elapsed());
        }
        say(format!("hand edit to healed, both calls and the polling of this bench in it   {}", spread(edits.clone())));
        say(format!(
            "deletion to made again                                                {}",
            spread(deletions.clone())
        ));
        self.put("hand edit to healed, ms (median)", median(&mut edits));
        self.put("deletion to made again, ms (median)", median(&mut deletions));
        Ok(())
    }

    async fn reference(&mut self, objects: usize) -> Result<()> {
        let place = reference_place(self.tenant);
        make_objects(self.tenant, &place, &self.published().await?, objects).await?;
        let user = format!("system:serviceaccount:{}:reference", self.tenant.keys);
        let mark = self.tenant.bed.mark()?;
        let started = Instant::now();
        let running = self.start_reference(&place).await?;
        all_made(self.tenant, &place, objects).await?;
        self.put_theirs("new: launch to the last Secret, s", seconds(started.elapsed()));
        // Its statuses follow; nothing tells when the last is written but its silence.
        tokio::time::sleep(Duration::from_secs(3)).await;
        self.put_theirs("new: CPU of the process, s", cpu(running.id())?.into());
        self.put_theirs("new: calls", calls(&mark, &user)?);
        self.put_theirs("memory after the first sync, MiB", mib(memory(running.id())?));
        let mut deletions = Vec::new();
        for number in 0..TIMES {
            let started = Instant::now();
            self.tenant.cluster.delete("v1 Secret", &place, &name(number)).await?;
            is_healed(self.tenant, &place, &name(number)).await?;
            deletions.push(started.elapsed());
        }
        self.put_theirs("deletion to made again, ms (median)", median(&mut deletions));
        drop(running);

        let last = name(objects - 1);
        edit(self.tenant, &place, &last).await?;
        let mark = self.tenant.bed.mark()?;
        let started = Instant::now();
        let running = self.start_reference(&place).await?;
        is_healed(self.tenant, &place, &last).await?;
        self.put_theirs("restart: launch to the last edit healed, s", seconds(started.elapsed()));
        tokio::time::sleep(Duration::from_secs(3)).await;
        self.put_theirs("restart: CPU of the process, s", cpu(running.id())?.into());
        self.put_theirs("restart: calls", calls(&mark, &user)?);
        Ok(())
    }

    async fn start_reference(&self, place: &str) -> Result<SealedSecretsController> {
        let own = Tenant { work: self.tenant.keys.clone(), ..self.tenant.clone() };
        let namespaces = format!("--additional-namespaces={place}");
        SealedSecretsController::start_with(
            &own,
            "reference",
            &["--kubeclient-qps=-1", "--key-renew-period=0", &namespaces],
        )
        .await
    }

    /// Objects that only the oldest of many keys opens.
    async fn the_oldest_of_many_keys(&mut self) -> Result<()> {
        let place = old_place(self.tenant);
        let oldest = self.published().await?;
        let mut newest = String::new();
        for number in 1..KEYS {
            // Made by the operator itself, one after the other. A certificate's time has whole seconds, and of two of one
            // second the first goes on sealing.
            tokio::time::sleep(Duration::from_millis(1100)).await;
            let running = self.operator.clone().with("--key-cutoff-time=Fri, 01 Jan 2100 00:00:00 +0000").start()?;
            let started = Instant::now();
            while served(&self.operator.url).await? == newest || number_of_keys(self.tenant).await? <= number {
                ensure!(started.elapsed() < LIMIT, "no new key is made");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            newest = served(&self.operator.url).await?;
            running.stop();
        }
        make_objects(self.tenant, &place, &oldest, OF_THE_OLDEST).await?;
        let namespaces = format!("--namespaces={place},{}", self.tenant.keys);
        let operator = self.operator.clone().replacing("--namespaces=", &namespaces);
        let started = Instant::now();
        let running = operator.start()?;
        all_made(self.tenant, &place, OF_THE_OLDEST).await?;
        self.put("200 × 3 of the oldest of 20 keys: launch to the last Secret, s", seconds(started.elapsed()));
        settled(&running).await?;
        let first = running.metric("chancery_key_unwraps_total").await?;
        self.put("200 × 3 of the oldest of 20 keys: tries an item, first sight", tries(first));
        touch_all(self.tenant, &place, OF_THE_OLDEST).await?;
        let started = Instant::now();
        while running.metric("chancery_key_unwraps_total").await? - first < (OF_THE_OLDEST * ITEMS) as f64 {
            ensure!(started.elapsed() < LIMIT, "they are not opened again");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        settled(&running).await?;
        let again = running.metric("chancery_key_unwraps_total").await? - first;
        self.put("200 × 3 of the oldest of 20 keys: tries an item, afterwards", tries(again));
        ensure!(running.stop(), "it does not stop");
        Ok(())
    }

    fn put(&mut self, figure: &'static str, value: Value) {
        self.figures.entry(figure).or_default().insert("chancery", value);
    }

    fn put_theirs(&mut self, figure: &'static str, value: Value) {
        self.figures.entry(figure).or_default().insert("reference", value);
    }

    /// Prints a table and writes the same as JSON.
    fn tell(&self, objects: usize, foreign: usize) -> Result<()> {
        say(format!(
            "\n{objects} objects × {ITEMS} items, {foreign} foreign Secrets, RSA-4096, one run; the reference's client limit is lifted\n"
        ));
        say(format!("{:64} {:>14} {:>14}", "", "chancery", "reference"));
        for (figure, values) in &self.figures {
            let shown = |who: &str| values.get(who).filter(|value| !value.is_object()).map_or("–".to_owned(), short);
            say(format!("{figure:64} {:>14} {:>14}", shown("chancery"), shown("reference")));
            for (who, calls) in values {
                for (call, count) in calls.as_object().into_iter().flatten() {
                    say(format!("    {who:10} {call:49} {count:>14}"));
                }
            }
        }
        let file = "target/bench-sealed.json";
        let all = json!({ "objects": objects, "items": ITEMS, "foreignSecrets": foreign, "figures": self.figures });
        std::fs::write(self.tenant.bed.checkout.join(file), serde_json::to_vec_pretty(&all)?)?;
        say(format!("\nwritten to {file}"));
        Ok(())
    }
}

fn reference_place(tenant: &Tenant) -> String {
    format!("{}-reference", tenant.work)
}

fn foreign_place(tenant: &Tenant) -> String {
    format!("{}-foreign", tenant.work)
}

fn old_place(tenant: &Tenant) -> String {
    format!("{}-old", tenant.work)
}

fn name(number: usize) -> String {
    format!("o-{number:05}")
}

fn api(tenant: &Tenant, kind: &str, place: &str) -> Api<DynamicObject> {
    let (group, version, plural) = match kind {
        "Secret" => ("", "v1", "secrets"),
        _ => ("bitnami.com", "v1alpha1", "sealedsecrets"),
    };
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version,
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    };
    Api::namespaced_with(tenant.cluster.client(), place, &resource)
}

/// Makes Secrets that are nobody's here.
async fn make_foreign_secrets(tenant: &Tenant, number: usize) -> Result<()> {
    let (api, place) = (api(tenant, "Secret", &foreign_place(tenant)), foreign_place(tenant));
    let made = futures::stream::iter(0..number).map(|number| {
        let (api, place) = (api.clone(), place.clone());
        async move {
            let object = json!({
                "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
                "metadata": { "name": format!("foreign-{number:05}"), "namespace": place, "labels": { "app": "somebody" } },
                "data": { "value": "dmFsdWU=" },
            });
            api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
            anyhow::Ok(())
        }
    });
    let results: Vec<Result<()>> = made.buffer_unordered(AT_A_TIME).collect().await;
    results.into_iter().collect()
}

/// Makes the objects while nobody looks.
async fn make_objects(tenant: &Tenant, place: &str, certificate: &Certificate, objects: usize) -> Result<()> {
    let api = api(tenant, "SealedSecret", place);
    let made = futures::stream::iter(0..objects).map(|number| {
        let (api, name) = (api.clone(), name(number));
        let item = |value: &str| {
            let label = format!("{place}/{name}");
            seal::seal_item(&mut rand::rng(), certificate, label.as_bytes(), &value.as_bytes().to_vec().into())
        };
        let items: Result<BTreeMap<_, _>, _> =
            (0..ITEMS).map(|item_number| item("value").map(|item| (format!("item-{item_number}"), item))).collect();
        async move {
            let object = json!({
                "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
                "metadata": { "name": name, "namespace": place }, "spec": { "encryptedData": items? },
            });
            api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
            anyhow::Ok(())
        }
    });
    let results: Vec<Result<()>> = made.buffer_unordered(AT_A_TIME).collect().await;
    results.into_iter().collect()
}

async fn touch_all(tenant: &Tenant, place: &str, objects: usize) -> Result<()> {
    let api = api(tenant, "SealedSecret", place);
    let patch = json!({ "spec": { "template": { "metadata": { "labels": { "touched": "1" } } } } });
    for number in 0..objects {
        api.patch(&name(number), &PatchParams::default(), &Patch::Merge(&patch)).await?;
    }
    Ok(())
}

/// Waits until there is a Secret for each.
async fn all_made(tenant: &Tenant, place: &str, objects: usize) -> Result<()> {
    let api = api(tenant, "Secret", place);
    let started = Instant::now();
    loop {
        // One object and how many more there are: the cheapest way to count.
        let found = api.list_metadata(&ListParams::default().limit(1)).await?;
        let rest = usize::try_from(found.metadata.remaining_item_count.unwrap_or(0)).unwrap_or(0);
        if found.items.len() + rest >= objects {
            return Ok(());
        }
        ensure!(started.elapsed() < LIMIT, "{} of {objects} Secrets are made", found.items.len() + rest);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until nothing is worked on any more.
async fn settled(running: &Running) -> Result<()> {
    let started = Instant::now();
    let mut before = -1.0;
    loop {
        let now = running.metric("chancery_reconciles_total").await?;
        if now > 0.0 && (now - before).abs() < f64::EPSILON {
            return Ok(());
        }
        ensure!(started.elapsed() < LIMIT, "it does not settle");
        before = now;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn edit(tenant: &Tenant, place: &str, secret: &str) -> Result<()> {
    let patch = json!({ "data": { "item-0": "aGFuZA==" } });
    api(tenant, "Secret", place).patch(secret, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    Ok(())
}

async fn is_healed(tenant: &Tenant, place: &str, secret: &str) -> Result<()> {
    let api = api(tenant, "Secret", place);
    let started = Instant::now();
    loop {
        let found = api.get_opt(secret).await?;
        if found.is_some_and(|found| found.data["data"]["item-0"] == "dmFsdWU=") {
            return Ok(());
        }
        ensure!(started.elapsed() < LIMIT, "{secret} is not healed");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn served(url: &str) -> Result<String> {
    Ok(reqwest::get(format!("{url}/v1/cert.pem")).await?.text().await?)
}

async fn number_of_keys(tenant: &Tenant) -> Result<usize> {
    let all = tenant.cluster.list("v1 Secret", &tenant.keys).await?;
    Ok(all.iter().filter(|secret| secret["type"] == "kubernetes.io/tls").count())
}

fn calls(mark: &Mark, user: &str) -> Result<Value> {
    Ok(serde_json::to_value(mark.calls(user)?)?)
}

/// CPU time of a process so far, in seconds.
fn cpu(id: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| -> Result<f64> { Ok(fields.get(field).context("no time")?.parse::<f64>()?) };
    // Fields 14 and 15 of the manual page, counted from the one after the name; a hundred ticks a second.
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

fn memory(id: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
}

fn mib(kib: u64) -> Value {
    json!((kib as f64 / 102.4).round() / 10.0)
}

fn seconds(time: Duration) -> Value {
    json!((time.as_secs_f64() * 100.0).round() / 100.0)
}

fn median(times: &mut [Duration]) -> Value {
    times.sort_unstable();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    json!((middle.as_secs_f64() * 10_000.0).round() / 10.0)
}

fn tries(operations: f64) -> Value {
    json!((operations / (OF_THE_OLDEST * ITEMS) as f64 * 100.0).round() / 100.0)
}

fn short(value: &Value) -> String {
    match value.as_f64() {
        Some(number) if number.fract() == 0.0 => format!("{number:.0}"),
        Some(number) => format!("{number:.2}"),
        None => value.to_string(),
    }
}
