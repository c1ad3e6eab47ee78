//! `seal keys`: for whoever looks after the cluster's sealing keys.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use seal::Certificate;
use seal::api::{KEY_ACTIVE, KEY_LABEL, SealedSecret};
use seal::marks::{ANNOTATION, Marks};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::command::age_files;
use crate::command::certificate::{DAY, Published, now};
use crate::command::cluster::{ClusterArgs, told};
use crate::command::codes::Code;
use crate::command::context::{Context, counted};
use crate::command::error::CommandError;
use crate::command::io;
use crate::command::output::{Output, table};

/// The operator's report, in the namespace of the keys.
const REPORT: &str = "sealing-keys";
/// On it: make a new key now.
const RENEW: &str = "chancery.dev/renew-key";
/// On it: when the keys were last backed up.
const LAST_BACKUP: &str = "chancery.dev/last-backup";
/// How long a new key may take: RSA of 4096 bits is found within seconds.
const NEW_KEY: std::time::Duration = std::time::Duration::from_secs(60);

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Keys {
    /// The keys, newest first
    List(List),
    /// What still needs each key
    Usage(Usage),
    /// Write all keys to a file, encrypted with age
    Backup(Backup),
    /// Put the keys of a backup into the cluster; those that are there stay
    Restore(Restore),
    /// Let the operator make a new key now
    Renew,
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// table or json
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Usage {
    /// All namespaces, which it is anyway
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// table or json
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Backup {
    /// An age recipient (age1…) who may open the backup; without any, a passphrase is asked for
    #[arg(long, value_name = "AGE1…")]
    to: Vec<String>,
    /// The file to write, new and for you alone [default: sealing-keys-DATE.age]
    #[arg(short = 'w', long, value_name = "FILE")]
    write: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// The backup
    file: PathBuf,
    /// File with the age identity (AGE-SECRET-KEY-…); without it a passphrase is asked for
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Say what would be done and write nothing
    #[arg(long)]
    dry_run: bool,
}

impl Keys {
    pub(crate) fn run(self, context: &Context) -> Result<(), CommandError> {
        let cluster = context.cluster(None)?;
        match self {
            Self::List(verb) => list(context, &cluster, verb.output),
            Self::Usage(verb) => usage(context, &cluster, verb.output),
            Self::Backup(verb) => verb.run(context, &cluster),
            Self::Restore(verb) => verb.run(context, &cluster),
            Self::Renew => renew(context, &cluster),
        }
    }
}

fn list(context: &Context, cluster: &ClusterArgs, output: Output) -> Result<(), CommandError> {
    let published = Published::fetch(cluster, |words| context.tell(words))?;
    let keys: Vec<_> = published
        .all()
        .iter()
        .enumerate()
        .map(|(index, certificate)| {
            json!({
                "fingerprint": certificate.fingerprint.as_str(), "short": certificate.fingerprint.short(),
                "state": if index == 0 { "sealing" } else { "opening" },
                "ageDays": (now() - certificate.not_before) / DAY,
                "notAfter": crate::command::certificate::day(certificate.not_after),
            })
        })
        .collect();
    if output == Output::Json {
        let words = format!("{:#}\n", json!({ "schema": "seal/keys/v1", "items": keys }));
        return io::write_stdout(words.as_bytes());
    }
    let mut rows = vec![["KEY", "STATE", "AGE", "ENDS", "FINGERPRINT"].map(str::to_owned)];
    rows.extend(keys.iter().map(|key| {
        ["short", "state", "ageDays", "notAfter", "fingerprint"].map(|field| match &key[field] {
            Value::String(text) => text.clone(),
            days => format!("{days}d"),
        })
    }));
    io::write_stdout(table(&rows).as_bytes())
}

/// Which keys are needed: from the operator's report, or counted from the notes on the objects.
fn usage(context: &Context, cluster: &ClusterArgs, output: Output) -> Result<(), CommandError> {
    let (report, counted) = cluster.converse(async |client| {
        let report = reports(client.clone(), cluster).await.get(REPORT).await;
        match report {
            Ok(report) => Ok((Some(report.data["status"].clone()), Vec::new())),
            Err(error) if told(&error).status == Some(404) => Ok((None, from_notes(client).await?)),
            Err(error) => Err(told(&error).into_error("cannot read the KeyReport")),
        }
    })?;
    let keys = match &report {
        Some(status) => status["keys"].as_array().cloned().unwrap_or_default(),
        None => {
            context.tell(
                "note: there is no KeyReport (is Chancery running there?); counted from the notes that seal writes",
            );
            counted
        }
    };
    let status = report.unwrap_or_default();
    if output == Output::Json {
        let words = json!({
            "schema": "seal/key-usage/v1", "items": keys,
            "lastBackup": status["lastBackup"], "warnings": status["warnings"],
        });
        return io::write_stdout(format!("{words:#}\n").as_bytes());
    }
    let mut rows = vec![["KEY", "STATE", "CREATED", "OBJECTS", "ITEMS", "NOTE"].map(str::to_owned)];
    rows.extend(keys.iter().map(row));
    let mut words = table(&rows);
    let backup = status["lastBackup"].as_str().map_or_else(
        || "never taken   -> seal keys backup --to age1...".to_owned(),
        |time| format!("last taken {time}"),
    );
    words += &format!("backup   {backup}\n");
    for warning in status["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        words += &format!("warning  {warning}\n");
    }
    io::write_stdout(words.as_bytes())
}

fn row(key: &Value) -> [String; 6] {
    let short = key["fingerprint"].as_str().and_then(|text| text.parse::<seal::Fingerprint>().ok());
    let created = key["notBefore"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let age = created.map_or("–".to_owned(), |time| format!("{} days", (now() - time.as_second()) / DAY));
    let state = key["state"].as_str().unwrap_or("–").to_ascii_lowercase();
    let note = match (state.as_str(), key["objects"].as_i64()) {
        ("sealing", _) => "new seals go here",
        (_, Some(0)) => "no object needs it",
        _ => "needed",
    };
    let number = |field: &str| key[field].as_i64().map_or("–".to_owned(), |number| number.to_string());
    [short.map_or("–".to_owned(), |key| key.short()), state, age, number("objects"), number("items"), note.to_owned()]
}

/// Objects and items by key, as the notes of all SealedSecrets tell; those without a note are one line.
async fn from_notes(client: Client) -> Result<Vec<Value>, CommandError> {
    let all: Api<SealedSecret> = Api::all(client);
    let objects =
        all.list(&ListParams::default()).await.map_err(|error| told(&error).into_error("cannot list SealedSecrets"))?;
    let mut keys = std::collections::BTreeMap::<String, (i64, i64)>::new();
    for object in objects {
        let annotations = object.metadata.annotations.unwrap_or_default();
        let marks = annotations.get(ANNOTATION).map(|text| Marks::read(text)).unwrap_or_default();
        let mut seen = std::collections::BTreeMap::<String, i64>::new();
        for (key, item) in &object.spec.encrypted_data {
            let key = marks.of(key, item).map_or("unknown".to_owned(), |mark| mark.key.to_string());
            *seen.entry(key).or_default() += 1;
        }
        for (key, items) in seen {
            let sum = keys.entry(key).or_default();
            *sum = (sum.0 + 1, sum.1 + items);
        }
    }
    Ok(keys
        .into_iter()
        .map(|(key, (objects, items))| json!({ "fingerprint": key, "objects": objects, "items": items, "state": "noted" }))
        .collect())
}

impl Backup {
    fn run(self, context: &Context, cluster: &ClusterArgs) -> Result<(), CommandError> {
        let lock = if self.to.is_empty() {
            age_files::Lock::passphrase(context)?
        } else {
            age_files::Lock::recipients(&self.to)?
        };
        let time = jiff::Timestamp::now();
        let file =
            self.write.unwrap_or_else(|| PathBuf::from(format!("sealing-keys-{}.age", time.strftime("%Y-%m-%d"))));
        let secrets = cluster.converse(async |client| key_secrets(client, cluster).await)?;
        if secrets.is_empty() {
            return Err(CommandError::coded(
                Code::NotInCluster,
                "there is no sealing key in the controller's namespace",
            )
            .help("name it with --controller-namespace"));
        }
        let count = secrets.len();
        let items: Vec<_> = secrets.into_iter().map(portable).collect();
        let list = Zeroizing::new(json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string());
        io::write_private(&file, &lock.encrypt(list.as_bytes())?)?;
        context.tell(&format!(
            "wrote {} to {}, encrypted; keep it where the cluster is not",
            counted(count, "key"),
            file.display()
        ));
        let noted = cluster.converse(async |client| {
            let patch = json!({ "metadata": { "annotations": { LAST_BACKUP: time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string() } } });
            Ok(reports(client, cluster).await.patch(REPORT, &PatchParams::default(), &Patch::Merge(patch)).await.is_ok())
        })?;
        if !noted {
            context.tell("note: the date could not be noted on the KeyReport");
        }
        Ok(())
    }
}

/// A key Secret without what belongs to the cluster it comes from.
fn portable(secret: Secret) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": secret.type_,
        "metadata": {
            "name": secret.metadata.name, "labels": secret.metadata.labels,
            "namespace": secret.metadata.namespace,
        },
        "data": secret.data,
    })
}

impl Restore {
    fn run(self, context: &Context, cluster: &ClusterArgs) -> Result<(), CommandError> {
        let text = age_files::decrypt(context, &self.file, self.identity.as_deref())?;
        let not_keys = || CommandError::coded(Code::NotAKey, format!("{} holds no sealing keys", self.file.display()));
        let text = std::str::from_utf8(&text).map_err(|_| not_keys())?;
        let documents = seal::manifest::documents(text).map_err(|_| not_keys())?;
        let secrets: Vec<_> = crate::command::objects::of_kind(&documents, "Secret").cloned().collect();
        if secrets.is_empty() {
            return Err(not_keys());
        }
        let namespace = cluster.converse(async |client| Ok(cluster.key_namespace(&client).await))?;
        let question =
            format!("Put {} into namespace {namespace} of {}?", counted(secrets.len(), "key"), cluster.context_name());
        if self.dry_run {
            context.tell(&format!("{question} (--dry-run: nothing written)"));
            return Ok(());
        }
        if !context.confirm(&question)? {
            return Err(CommandError::silent(crate::command::codes::FAILED));
        }
        let (made, there) = cluster.converse(async |client| create(client, &namespace, secrets).await)?;
        context.tell(&format!("{} put into {namespace}, {there} there already", counted(made, "key")));
        Ok(())
    }
}

async fn create(client: Client, namespace: &str, secrets: Vec<Value>) -> Result<(usize, usize), CommandError> {
    let api: Api<Secret> = Api::namespaced(client, namespace);
    let (mut made, mut there) = (0, 0);
    for mut value in secrets {
        value["metadata"]["namespace"] = json!(namespace);
        value["metadata"]["labels"][KEY_LABEL] = json!(KEY_ACTIVE);
        let secret: Secret = serde_json::from_value(value)
            .map_err(|_| CommandError::coded(Code::NotAKey, "a Secret of the backup cannot be read"))?;
        match api.create(&PostParams::default(), &secret).await {
            Ok(_) => made += 1,
            Err(kube::Error::Api(status)) if status.is_already_exists() => there += 1,
            Err(error) => return Err(told(&error).into_error("cannot write a key")),
        }
    }
    Ok((made, there))
}

async fn key_secrets(client: Client, cluster: &ClusterArgs) -> Result<Vec<Secret>, CommandError> {
    let namespace = cluster.key_namespace(&client).await;
    let api: Api<Secret> = Api::namespaced(client, &namespace);
    let labelled = ListParams::default().labels(&format!("{KEY_LABEL}={KEY_ACTIVE}"));
    let listed = api
        .list(&labelled)
        .await
        .map_err(|error| told(&error).into_error(&format!("cannot read the key Secrets of namespace {namespace}")))?;
    Ok(listed.items)
}

fn renew(context: &Context, cluster: &ClusterArgs) -> Result<(), CommandError> {
    let before = Published::fetch(cluster, |_| {})?;
    cluster.converse(async |client| {
        let patch = json!({ "metadata": { "annotations": { RENEW: "true" } } });
        let asked = reports(client, cluster).await.patch(REPORT, &PatchParams::default(), &Patch::Merge(patch)).await;
        asked.map(drop).map_err(|error| {
            told(&error)
                .into_error("cannot ask for a new key")
                .help("keys are renewed on request by Chancery; Bitnami's controller makes one at its start: --key-cutoff-time")
        })
    })?;
    context.tell("asked for a new key; waiting for it (Ctrl-C leaves the request standing)");
    let started = std::time::Instant::now();
    let old = Certificate::from_pem(&before.pem).map(|certificate| certificate.fingerprint).ok();
    while started.elapsed() < NEW_KEY {
        std::thread::sleep(std::time::Duration::from_millis(500));
        let now = Published::fetch(cluster, |_| {})?;
        if let Ok(new) = Certificate::from_pem(&now.pem)
            && Some(&new.fingerprint) != old.as_ref()
        {
            context.tell(&format!("{} seals from now on; pin it: seal cert fetch --pin", new.fingerprint.short()));
            context.tell("back the keys up anew: seal keys backup");
            return Ok(());
        }
    }
    Err(CommandError::coded(Code::NotInCluster, "no new key after a minute")
        .help("look at: seal keys usage")
        .timed_out())
}

async fn reports(client: Client, cluster: &ClusterArgs) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("chancery.dev", "v1alpha1", "KeyReport");
    let namespace = cluster.key_namespace(&client).await;
    Api::namespaced_with(client, &namespace, &ApiResource::from_gvk_with_plural(&kind, "keyreports"))
}
