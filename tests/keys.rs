//! Sealing keys: born once, never at the wrong moment, followed live.

use bed::cluster::PATIENCE;
use bed::{Bed, Tenant};
use serde_json::{Value, json};

use crate::support::{CANARY, certificate, condition, seal, secret, told, value};

const ONLY: [&str; 1] = ["--controllers=sealed-secrets"];
const LABEL: &str = "sealedsecrets.bitnami.com/sealed-secrets-key";

async fn keys(tenant: &Tenant) -> Vec<Value> {
    let all = tenant.cluster.list("v1 Secret", &tenant.keys).await.unwrap();
    all.into_iter().filter(|secret| secret["metadata"]["labels"][LABEL] == "active").collect()
}

#[tokio::test]
async fn a_key_is_made_on_first_start_as_the_reference_makes_it_and_used_afterwards() {
    let tenant = Bed::attach().unwrap().tenant("birth").await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let running = operator.start().unwrap();
    let first = std::fs::read(certificate(&tenant, &operator.url).await).unwrap();
    let made = keys(&tenant).await;
    assert_eq!(made.len(), 1);
    let name = made[0]["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("sealed-secrets-key") && name.len() == 23, "{name}");
    assert_eq!(made[0]["type"], "kubernetes.io/tls");
    assert!(value(&made[0], "tls.key").starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    assert_eq!(value(&made[0], "tls.crt").as_bytes(), first);
    assert_eq!(running.log().matches("\"makes a sealing key\"").count(), 1, "no second one is begun");
    running.kill();
    let _running = operator.start().unwrap();
    assert_eq!(std::fs::read(certificate(&tenant, &operator.url).await).unwrap(), first);
    assert_eq!(keys(&tenant).await.len(), 1, "an existing key is used");
}

#[tokio::test]
async fn no_key_is_made_while_objects_need_a_lost_one_until_somebody_asks() {
    let tenant = Bed::attach().unwrap().tenant("lost").await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let running = operator.start().unwrap();
    let pem = certificate(&tenant, &operator.url).await;
    let plain = secret(&tenant.work, "db", &json!({ "password": CANARY }));
    tenant.cluster.apply_object(&seal(&tenant.bed.seal, &pem, &plain, &[])).await.unwrap();
    let place = ("bitnami.com/v1alpha1 SealedSecret", tenant.work.as_str(), "db");
    tenant.cluster.wait_for("synced", place, PATIENCE, |object| condition(object, "Synced", "True")).await.unwrap();
    assert!(running.stop());
    let lost = keys(&tenant).await.remove(0);
    tenant.cluster.delete("v1 Secret", &tenant.keys, lost["metadata"]["name"].as_str().unwrap()).await.unwrap();

    let running = operator.start().unwrap();
    let record = ("v1 ConfigMap", tenant.keys.as_str(), "chancery-sealing-key");
    let started = std::time::Instant::now();
    loop {
        let answer = reqwest::get(format!("{}/v1/cert.pem", operator.url)).await.unwrap();
        assert_eq!(answer.status(), 503);
        let words = answer.text().await.unwrap();
        if words.contains("kubectl annotate configmap chancery-sealing-key") {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{words}\n{}", running.tail(20));
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(keys(&tenant).await.is_empty());
    told(&tenant, &tenant.keys, "chancery-sealing-key", "Warning KeyMissing").await;
    let kept = tenant.cluster.get("v1 Secret", &tenant.work, "db").await.unwrap();
    assert_eq!(value(&kept, "password"), CANARY, "what runs goes on running");

    let ask = json!({ "metadata": { "annotations": { "chancery.dev/generate-key": "true" } } });
    tenant.cluster.patch(record.0, record.1, record.2, &ask).await.unwrap();
    certificate(&tenant, &operator.url).await;
    assert_eq!(keys(&tenant).await.len(), 1);
}

#[tokio::test]
async fn a_key_that_appears_wakes_what_waited_and_a_bad_one_harms_nobody() {
    let tenant = Bed::attach().unwrap().tenant("wake").await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let _running = operator.start().unwrap();
    certificate(&tenant, &operator.url).await;
    let folder = tenant.bed.checkout.join("cli/tests/vectors/keys");
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let plain = secret(&tenant.work, "db", &json!({ "password": CANARY }));
    let sealed = seal(&tenant.bed.seal, &folder.join("k3072-pkcs8.crt"), &plain, &[]);
    tenant.cluster.apply_object(&sealed).await.unwrap();
    let place = ("bitnami.com/v1alpha1 SealedSecret", tenant.work.as_str(), "db");
    let waits = |object: &Value| condition(object, "Synced", "False");
    tenant.cluster.wait_for("it waits for a key", place, PATIENCE, waits).await.unwrap();

    let key_secret = |name: &str, private: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": name, "namespace": tenant.keys, "labels": { LABEL: "active" } },
            "stringData": { "tls.crt": read("k3072-pkcs8.crt"), "tls.key": private },
        })
    };
    tenant.cluster.apply_object(&key_secret("half", "-----BEGIN PRIVATE KEY-----\nAAAA\n")).await.unwrap();
    tenant.cluster.apply_object(&key_secret("mine", &read("k3072-pkcs8.key"))).await.unwrap();
    let opens = |object: &Value| condition(object, "Synced", "True");
    tenant.cluster.wait_for("the key wakes it", place, PATIENCE, opens).await.unwrap();
    let events = tenant.cluster.events(&tenant.keys, "half").await.unwrap();
    assert!(events.iter().any(|event| event.starts_with("Warning InvalidKey")), "{events:?}");
}

/// A key Secret with a fresh key, whose certificate counts from `days` ago.
struct Fresh {
    secret: Value,
    certificate: std::path::PathBuf,
}

fn fresh(tenant: &Tenant, name: &str, days: i64) -> Fresh {
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let der = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let pkcs8 = rustls::pki_types::PrivatePkcs8KeyDer::from(der.as_ref());
    let signing = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &rcgen::PKCS_RSA_SHA256).unwrap();
    let mut params = rcgen::CertificateParams::default();
    let now = std::time::SystemTime::now();
    params.not_before = (now - std::time::Duration::from_secs(u64::try_from(days * 86_400).unwrap())).into();
    params.not_after = (now + std::time::Duration::from_secs(86_400 * 900)).into();
    let certificate = params.self_signed(&signing).unwrap().pem();
    let file = tenant.folder.join(format!("{name}.pem"));
    std::fs::write(&file, &certificate).unwrap();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": { "name": name, "namespace": tenant.keys, "labels": { LABEL: "active" } },
        "stringData": { "tls.crt": certificate, "tls.key": signing.serialize_pem() },
    });
    Fresh { secret, certificate: file }
}

async fn served(url: &str) -> String {
    reqwest::get(format!("{url}/v1/cert.pem")).await.unwrap().text().await.unwrap()
}

async fn becomes(what: &str, limit: std::time::Duration, mut holds: impl AsyncFnMut() -> bool) {
    let started = std::time::Instant::now();
    while !holds().await {
        assert!(started.elapsed() < limit, "not in time: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn is_synced(tenant: &Tenant, name: &str, status: &str) {
    let place = ("bitnami.com/v1alpha1 SealedSecret", tenant.work.as_str(), name);
    let what = format!("{name} is Synced={status}");
    tenant.cluster.wait_for(&what, place, PATIENCE, |object| condition(object, "Synced", status)).await.unwrap();
}

#[tokio::test]
async fn a_deleted_key_opens_until_the_end_and_a_disowned_one_nothing_more() {
    let tenant = Bed::attach().unwrap().tenant("gone").await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let running = operator.start().unwrap();
    certificate(&tenant, &operator.url).await;
    let (older, compromised) = (fresh(&tenant, "older", 900), fresh(&tenant, "compromised", 800));
    for key in [&older, &compromised] {
        tenant.cluster.apply_object(&key.secret).await.unwrap();
    }
    let seal_it = |name: &str, key: &Fresh| {
        seal(&tenant.bed.seal, &key.certificate, &secret(&tenant.work, name, &json!({ "password": CANARY })), &[])
    };
    for (name, key) in [("needs-older", &older), ("needs-compromised", &compromised)] {
        tenant.cluster.apply_object(&seal_it(name, key)).await.unwrap();
        is_synced(&tenant, name, "True").await;
    }
    // The order is by certificate: neither of them seals.
    let newest = served(&operator.url).await;
    tenant.cluster.delete("v1 Secret", &tenant.keys, "older").await.unwrap();
    let relabel = json!({ "metadata": { "labels": { LABEL: "compromised" } } });
    tenant.cluster.patch("v1 Secret", &tenant.keys, "compromised", &relabel).await.unwrap();
    let held = async |name: &str| {
        let text = reqwest::get(format!("{}/metrics", running.metrics_url)).await.unwrap().text().await.unwrap();
        let line =
            text.lines().find(|line| line.contains("sealing_key_held") && line.contains(name)).map(str::to_owned);
        line.unwrap_or_default()
    };
    becomes("the disowned key is dropped", PATIENCE, async || held("compromised").await.is_empty()).await;
    becomes("the deleted key is told", PATIENCE, async || held("older").await.contains("Deleted")).await;
    tenant.cluster.apply_object(&seal_it("needs-older-too", &older)).await.unwrap();
    is_synced(&tenant, "needs-older-too", "True").await;
    tenant.cluster.apply_object(&seal_it("needs-compromised-too", &compromised)).await.unwrap();
    is_synced(&tenant, "needs-compromised-too", "False").await;
    assert_eq!(served(&operator.url).await, newest);
    assert!(running.log().contains("KeyDeleted"));
    let report = ("chancery.dev/v1alpha1 KeyReport", tenant.keys.as_str(), "sealing-keys");
    let warns = |report: &Value| {
        let warnings = report["status"]["warnings"].to_string();
        warnings.contains("older is deleted, and 2 objects need it")
    };
    let told = tenant.cluster.wait_for("the report warns", report, PATIENCE, warns).await.unwrap();
    assert_eq!(told["status"]["usable"], 2, "{told}");

    // It comes back, and all is well again.
    tenant.cluster.apply_object(&older.secret).await.unwrap();
    let calm = |report: &Value| report["status"]["warnings"].is_null();
    tenant.cluster.wait_for("the report is calm", report, PATIENCE, calm).await.unwrap();
}

#[tokio::test]
async fn a_key_that_is_corrupted_or_renamed_while_objects_need_it() {
    let tenant = Bed::attach().unwrap().tenant("renamed").await.unwrap();
    let operator = tenant.operator(&ONLY).await.unwrap();
    let running = operator.start().unwrap();
    certificate(&tenant, &operator.url).await;
    let key = fresh(&tenant, "mine", 800);
    tenant.cluster.apply_object(&key.secret).await.unwrap();
    let seal_it = |name: &str| {
        seal(&tenant.bed.seal, &key.certificate, &secret(&tenant.work, name, &json!({ "password": CANARY })), &[])
    };
    tenant.cluster.apply_object(&seal_it("before")).await.unwrap();
    is_synced(&tenant, "before", "True").await;
    let report = ("chancery.dev/v1alpha1 KeyReport", tenant.keys.as_str(), "sealing-keys");
    let unusable = |report: &Value| report["status"]["unusable"].to_string().contains("mine");

    // Half of it is lost: it is told, and what is in memory opens on.
    let half = key.secret["stringData"]["tls.key"].as_str().unwrap()[..300].to_owned();
    let corrupt = json!({ "stringData": { "tls.key": half } });
    tenant.cluster.patch("v1 Secret", &tenant.keys, "mine", &corrupt).await.unwrap();
    tenant.cluster.wait_for("the report names it", report, PATIENCE, unusable).await.unwrap();
    told(&tenant, &tenant.keys, "mine", "Warning InvalidKey").await;
    tenant.cluster.apply_object(&seal_it("meanwhile")).await.unwrap();
    is_synced(&tenant, "meanwhile", "True").await;
    assert!(running.stop());

    // The next process has nothing to open it with, and takes nothing away.
    let running = operator.start().unwrap();
    tenant.cluster.apply_object(&seal_it("waits")).await.unwrap();
    is_synced(&tenant, "waits", "False").await;
    let kept = tenant.cluster.get("v1 Secret", &tenant.work, "before").await.unwrap();
    assert_eq!(value(&kept, "password"), CANARY);

    // It comes back under another name, and the first one goes.
    let mut renamed = key.secret.clone();
    renamed["metadata"]["name"] = json!("mine-again");
    tenant.cluster.apply_object(&renamed).await.unwrap();
    is_synced(&tenant, "waits", "True").await;
    tenant.cluster.delete("v1 Secret", &tenant.keys, "mine").await.unwrap();
    let calm = |report: &Value| report["status"]["unusable"].is_null() && report["status"]["usable"] == 2;
    tenant.cluster.wait_for("the report is calm", report, PATIENCE, calm).await.unwrap();
    tenant.cluster.apply_object(&seal_it("afterwards")).await.unwrap();
    is_synced(&tenant, "afterwards", "True").await;
    assert!(running.stop());
}

#[tokio::test]
async fn keys_of_every_form_and_many_bad_ones() {
    let tenant = Bed::attach().unwrap().tenant("forms").await.unwrap();
    let operator = tenant.operator(&[ONLY[0], "--require-existing-key"]).await.unwrap();
    std::fs::create_dir_all(&tenant.folder).unwrap();
    let folder = tenant.bed.checkout.join("cli/tests/vectors/keys");
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let ec = rcgen::KeyPair::generate().unwrap();
    let ec_certificate = rcgen::CertificateParams::default().self_signed(&ec).unwrap().pem();
    let good = [
        ("pkcs1", read("k2048.crt"), read("k2048.key")),
        ("pkcs8", read("k3072-pkcs8.crt"), read("k3072-pkcs8.key")),
        ("chain", format!("{}{}", read("k4096.crt"), read("kother.crt")), read("k4096.key")),
        ("ec-certificate", ec_certificate.clone(), read("kother.key")),
    ];
    let bad = [
        ("ec", ec_certificate, ec.serialize_pem()),
        ("half", read("k2048.crt"), read("k2048.key")[..500].to_owned()),
        ("no-certificate", String::new(), read("k2048.key")),
        ("words", "hello".to_owned(), "world".to_owned()),
    ];
    for (name, certificate, key) in good.iter().chain(&bad) {
        let object = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": name, "namespace": tenant.keys, "labels": { LABEL: "active" } },
            "stringData": { "tls.crt": certificate, "tls.key": key },
        });
        tenant.cluster.apply_object(&object).await.unwrap();
    }
    let empty = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "empty", "namespace": tenant.keys, "labels": { LABEL: "active" } } });
    tenant.cluster.apply_object(&empty).await.unwrap();
    let _running = operator.start().unwrap();
    for (file, name) in [("k2048", "pkcs1"), ("k3072-pkcs8", "pkcs8"), ("k4096", "chain"), ("kother", "ec-certificate")]
    {
        let plain = secret(&tenant.work, name, &json!({ "password": CANARY }));
        let sealed = seal(&tenant.bed.seal, &folder.join(format!("{file}.crt")), &plain, &[]);
        tenant.cluster.apply_object(&sealed).await.unwrap();
        is_synced(&tenant, name, "True").await;
    }
    let pem = std::fs::read_to_string(certificate(&tenant, &operator.url).await).unwrap();
    assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 1);
    let report = ("chancery.dev/v1alpha1 KeyReport", tenant.keys.as_str(), "sealing-keys");
    let complete =
        |report: &Value| report["status"]["unusable"].as_array().is_some_and(|all| all.len() == bad.len() + 1);
    let told = tenant.cluster.wait_for("the bad ones are reported", report, PATIENCE, complete).await.unwrap();
    assert_eq!(told["status"]["usable"], 4, "{told}");
    let events = tenant.cluster.events(&tenant.keys, "ec").await.unwrap();
    assert!(events.iter().any(|event| event.contains("tls.key is not an RSA key")), "{events:?}");
    let maps = tenant.cluster.get("v1 ConfigMap", &tenant.keys, "chancery-public-keys").await.unwrap();
    assert_eq!(maps["data"]["cert.pem"].as_str().unwrap(), pem);
    let all = maps["data"]["all.pem"].as_str().unwrap();
    assert_eq!(all.matches("BEGIN CERTIFICATE").count(), 3, "the one of an EC key seals nothing");
}

#[tokio::test]
async fn new_keys_are_made_when_they_are_due_or_asked_for() {
    let tenant = Bed::attach().unwrap().tenant("renew").await.unwrap();
    let quick = ["--key-size=2048", "--key-prefix=renewed", "--privatekey-labels=team=a", "--my-cn=here"];
    let operator = tenant.operator(&[&ONLY[..], &quick].concat()).await.unwrap();
    let running = operator.start().unwrap();
    let first = std::fs::read_to_string(certificate(&tenant, &operator.url).await).unwrap();
    let made = keys(&tenant).await.remove(0);
    assert!(made["metadata"]["name"].as_str().unwrap().starts_with("renewed"));
    assert_eq!(made["metadata"]["labels"]["team"], "a");
    let is_new = async |before: &str| {
        becomes("a new key seals", PATIENCE, async || served(&operator.url).await != before).await;
        served(&operator.url).await
    };

    // A certificate's time has whole seconds: two of one second are equally new, and the first stays.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let report = ("chancery.dev/v1alpha1 KeyReport", tenant.keys.as_str(), "sealing-keys");
    tenant.cluster.wait_for("the report is there", report, PATIENCE, |_| true).await.unwrap();
    let order = json!({ "metadata": { "annotations": { "chancery.dev/renew-key": "true" } } });
    tenant.cluster.patch(report.0, report.1, report.2, &order).await.unwrap();
    let second = is_new(&first).await;
    let done = |report: &Value| report["metadata"]["annotations"]["chancery.dev/renew-key"].is_null();
    tenant.cluster.wait_for("the order is ticked off", report, PATIENCE, done).await.unwrap();
    assert_eq!(keys(&tenant).await.len(), 2);

    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let signalled = std::process::Command::new("kill").args(["-USR1", &running.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    let third = is_new(&second).await;
    let backup = json!({ "metadata": { "annotations": { "chancery.dev/last-backup": "2020-01-01T00:00:00Z" } } });
    tenant.cluster.patch(report.0, report.1, report.2, &backup).await.unwrap();
    let warns = |report: &Value| report["status"]["warnings"].to_string().contains("newer than the last backup");
    tenant.cluster.wait_for("the report warns", report, PATIENCE, warns).await.unwrap();
    assert!(running.stop());

    // By its age, and by the cut-off, at start.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let later = tenant
        .operator(&[&ONLY[..], &quick, &["--key-cutoff-time=Fri, 01 Jan 2100 00:00:00 +0000"]].concat())
        .await
        .unwrap();
    let running = later.start().unwrap();
    becomes("the cut-off makes one", PATIENCE, async || keys(&tenant).await.len() == 4).await;
    assert!(running.stop());
    assert_ne!(third, first);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let later = tenant.operator(&[&ONLY[..], &quick, &["--key-renew-period=1s"]].concat()).await.unwrap();
    let _running = later.start().unwrap();
    becomes("its age makes one, and the next", PATIENCE, async || keys(&tenant).await.len() >= 6).await;
}

/// Keys of somebody who renewed one a month for sixteen years.
const MANY: u32 = 200;

#[tokio::test]
async fn the_key_that_fitted_is_tried_first_among_two_hundred() {
    let tenant = Bed::attach().unwrap().tenant("many").await.unwrap();
    let operator = tenant.operator(&[ONLY[0], "--key-renew-period=0"]).await.unwrap();
    std::fs::create_dir_all(&tenant.folder).unwrap();
    let all: Vec<Fresh> =
        (0..MANY).map(|number| fresh(&tenant, &format!("key-{number:03}"), 10 + i64::from(number))).collect();
    for key in &all {
        tenant.cluster.apply_object(&key.secret).await.unwrap();
    }
    let running = operator.start().unwrap();
    // Sealed with the oldest.
    let plain = secret(&tenant.work, "db", &json!({ "a": CANARY, "b": "2", "c": "3" }));
    tenant.cluster.apply_object(&seal(&tenant.bed.seal, &all.last().unwrap().certificate, &plain, &[])).await.unwrap();
    is_synced(&tenant, "db", "True").await;
    let first = running.metric("chancery_key_unwraps_total").await.unwrap();
    assert!(first <= f64::from(MANY + 2), "the key of the first item is tried first for the others: {first}");
    let touch = json!({ "spec": { "template": { "metadata": { "labels": { "touched": "1" } } } } });
    let place = ("bitnami.com/v1alpha1 SealedSecret", tenant.work.as_str(), "db");
    tenant.cluster.patch(place.0, place.1, place.2, &touch).await.unwrap();
    let again = |object: &Value| object["status"]["observedGeneration"] == 2 && condition(object, "Synced", "True");
    tenant.cluster.wait_for("it is opened again", place, PATIENCE, again).await.unwrap();
    assert_eq!(running.metric("chancery_key_unwraps_total").await.unwrap() - first, 3.0, "one try an item");
}
