//! The real controller renders the templates of `vectors/templates/compared.json` as they are recorded there: what the
//! engine's own test holds ours to is what the reference does, not what we believe of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bed::Tenant;
use futures::StreamExt;
use regex::Regex;
use seal::Certificate;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::sealed_secret_handover::{certificate_of, reference, tenant};

const SEALED: &str = "bitnami.com/v1alpha1 SealedSecret";
/// All of them, on a shared machine.
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Deserialize)]
struct Case {
    name: String,
    /// `sealed` for Sealed Secrets' own.
    dialect: Option<String>,
    /// In base64.
    vars: BTreeMap<String, String>,
    template: String,
    output_base64: Option<String>,
    error_kind: Option<String>,
    error_position: Option<String>,
}

/// One object of the cluster: cases by the key that each is rendered to.
struct Group {
    name: String,
    cases: BTreeMap<String, Case>,
}

#[tokio::test]
async fn the_real_controller_renders_what_is_recorded_of_its_dialect() {
    assert!(bed::namespaces::inside(), "the reference controller needs the bed's namespaces: this test must run");
    let groups = groups();
    assert!(groups.len() > 200, "the file of cases is not whole");
    let tenant = tenant("templates").await;
    let theirs = reference(&tenant).await;
    let certificate = certificate_of(&theirs.url).await;
    let made = futures::stream::iter(&groups).map(|group| make(&tenant, &certificate, group));
    made.buffer_unordered(8).collect::<Vec<()>>().await;

    let objects = all_tried(&tenant, groups.len()).await;
    let secrets = by_name(tenant.cluster.list("v1 Secret", &tenant.work).await.unwrap());
    let differences: Vec<String> =
        groups.iter().flat_map(|group| differences(group, &objects[&group.name], secrets.get(&group.name))).collect();
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

/// What renders shares an object with all that has the same values; what fails would fail its neighbours, too.
fn groups() -> Vec<Group> {
    let mut cases: Vec<Case> = serde_json::from_str(include_str!("vectors/templates/compared.json")).unwrap();
    cases.retain(|case| case.dialect.as_deref() == Some("sealed"));
    let mut alike: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for case in cases {
        let alone = if case.output_base64.is_none() { &case.name } else { "" };
        alike.entry(format!("{alone} {:?}", case.vars)).or_default().push(case);
    }
    let keyed =
        |cases: Vec<Case>| cases.into_iter().enumerate().map(|(at, case)| (format!("case-{at}"), case)).collect();
    alike
        .into_values()
        .enumerate()
        .map(|(number, cases)| Group { name: format!("group-{number}"), cases: keyed(cases) })
        .collect()
}

async fn make(tenant: &Tenant, certificate: &Certificate, group: &Group) {
    let label = format!("{}/{}", tenant.work, group.name);
    let item = |value: &String| {
        let value = STANDARD.decode(value).unwrap();
        Value::from(seal::seal_item(&mut rand::rng(), certificate, label.as_bytes(), &value.into()).unwrap())
    };
    let variables = group.cases.values().flat_map(|case| &case.vars);
    let mut items: Map<String, Value> = variables.map(|(key, value)| (key.clone(), item(value))).collect();
    // One item at least: without any the controller has nothing to open.
    if items.is_empty() {
        items.insert("unused".to_owned(), item(&"eA==".to_owned()));
    }
    let templates: Map<String, Value> =
        group.cases.iter().map(|(key, case)| (key.clone(), case.template.clone().into())).collect();
    let object = json!({
        "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
        "metadata": { "name": group.name, "namespace": tenant.work },
        "spec": { "encryptedData": items, "template": { "data": templates } },
    });
    tenant.cluster.apply_object(&object).await.unwrap();
}

/// The objects, once the controller has said something of each.
async fn all_tried(tenant: &Tenant, wanted: usize) -> BTreeMap<String, Value> {
    let started = Instant::now();
    loop {
        let mut objects = by_name(tenant.cluster.list(SEALED, &tenant.work).await.unwrap());
        objects.retain(|_, object| object["status"]["conditions"].is_array());
        if objects.len() == wanted {
            return objects;
        }
        assert!(started.elapsed() < LIMIT, "only {} of {wanted} objects were tried", objects.len());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let named = |object: Value| (object["metadata"]["name"].as_str().unwrap_or_default().to_owned(), object);
    objects.into_iter().map(named).collect()
}

fn differences(group: &Group, object: &Value, secret: Option<&Value>) -> Vec<String> {
    let found = |key: &str| match secret {
        Some(secret) => secret["data"][key].as_str().map_or("no key".to_owned(), |output| format!("output {output}")),
        None => error(object["status"]["conditions"][0]["message"].as_str().unwrap_or_default()),
    };
    let differs = |(key, case): (&String, &Case)| {
        let (found, expected) = (found(key), expected(case));
        (found != expected)
            .then(|| format!("{}: {}\n  recorded {expected}\n  rendered {found}", case.name, case.template))
    };
    group.cases.iter().filter_map(differs).collect()
}

fn expected(case: &Case) -> String {
    match (&case.output_base64, &case.error_kind, &case.error_position) {
        (Some(output), _, _) => format!("output {output}"),
        (None, kind, position) => {
            format!("{} error at {}", kind.as_deref().unwrap_or("?"), position.as_deref().unwrap_or("?"))
        }
    }
}

/// Kind and place of an error, read from the controller's message (`template: NAME:1:10: executing …`).
fn error(message: &str) -> String {
    let place = Regex::new(r"template: [^:]*:(\d+(?::\d+)?): (executing)?").unwrap();
    let Some(found) = place.captures(message) else { return format!("no error of a template: {message}") };
    format!("{} error at {}", if found.get(2).is_some() { "exec" } else { "parse" }, &found[1])
}
