//! `seal diff`: what applying the files would change, by key and by digest of the ciphertext; never a value.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kube::Api;
use seal::api::SealedSecret;
use seal::{Encoding, manifest};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::command::cluster::told;
use crate::command::codes::{self, Code};
use crate::command::context::Context;
use crate::command::error::CommandError;
use crate::command::output::Output;
use crate::command::{files, git, io, objects};

#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// Files, directories or globs
    #[arg(default_value = ".")]
    paths: Vec<PathBuf>,
    /// Compare with this revision of Git instead of the cluster
    #[arg(long, value_name = "REVISION")]
    git: Option<String>,
    /// Say also whether the cluster's object is opened and ready
    #[arg(long)]
    live: bool,
    /// table or json
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// A SealedSecret in a file.
struct Wanted {
    file: PathBuf,
    namespace: String,
    object: Value,
}

impl Diff {
    pub(crate) fn run(self, context: &Context) -> Result<(), CommandError> {
        let mut wanted = Vec::new();
        for file in files::listed(&self.paths)? {
            let text = io::read_text(&file)?.text;
            if seal::check::may_concern(&text) {
                wanted.extend(read(context, &file, &text)?);
            }
        }
        let there = match &self.git {
            Some(revision) => {
                wanted.iter().map(|wanted| at(context, revision, wanted)).collect::<Result<Vec<_>, _>>()?
            }
            None => live(context, &wanted)?,
        };
        let compared: Vec<_> =
            wanted.iter().zip(&there).map(|(wanted, there)| compared(wanted, there.as_ref())).collect();
        let differs =
            compared.iter().any(|object| object["changes"].as_array().is_some_and(|changes| !changes.is_empty()));
        match self.output {
            Output::Json => {
                io::write_stdout(format!("{:#}\n", json!({ "schema": "seal/diff/v1", "items": compared })).as_bytes())?
            }
            Output::Table => io::write_stdout(self.rows(context, &compared, &there).as_bytes())?,
        }
        if differs { Err(CommandError::silent(codes::FAILED)) } else { Ok(()) }
    }

    fn rows(&self, context: &Context, compared: &[Value], there: &[Option<Value>]) -> String {
        let paint = crate::command::console::Paint::stdout(context.global.color);
        let mut rows = String::new();
        for (object, there) in compared.iter().zip(there) {
            let changes = object["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
            if changes.is_empty() && !self.live {
                continue;
            }
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            rows += &paint.bold(&format!(
                "{}  {}/{}",
                text(&object["file"]),
                text(&object["namespace"]),
                text(&object["name"])
            ));
            rows += match there {
                None => "  would be made\n",
                Some(_) if changes.is_empty() => "  the same\n",
                Some(_) => "\n",
            };
            for change in changes {
                let (before, after) = (change["before"].as_str(), change["after"].as_str());
                let key = text(&change["key"]);
                rows += &match (before, after) {
                    (None, Some(after)) => paint.green(&format!("  + {key}  {after}")),
                    (Some(before), None) => paint.red(&format!("  - {key}  {before}")),
                    (before, after) => {
                        paint.yellow(&format!("  ~ {key}  {} → {}", before.unwrap_or("–"), after.unwrap_or("–")))
                    }
                };
                rows.push('\n');
            }
            if let (true, Some(there)) = (self.live, there) {
                let condition = &there["status"]["conditions"][0];
                rows += &format!(
                    "  {}: {} {}\n",
                    text(&condition["type"]),
                    text(&condition["status"]),
                    text(&condition["message"])
                );
            }
        }
        rows
    }
}

fn read(context: &Context, file: &Path, text: &str) -> Result<Vec<Wanted>, CommandError> {
    let documents =
        manifest::documents(text).map_err(|error| CommandError::coded(Code::NotYaml, error.to_string()).at(file, 0))?;
    objects::of_kind(&documents, "SealedSecret")
        .map(|object| {
            let namespace = match object["metadata"]["namespace"].as_str() {
                Some(namespace) if !namespace.is_empty() => namespace.to_owned(),
                _ => context.namespace(Some(file))?.unwrap_or_default(),
            };
            Ok(Wanted { file: file.to_owned(), namespace, object: object.clone() })
        })
        .collect()
}

fn at(context: &Context, revision: &str, wanted: &Wanted) -> Result<Option<Value>, CommandError> {
    let Some(bytes) = git::at(revision, &wanted.file)? else { return Ok(None) };
    let text = Encoding::decode(&bytes).map(|(text, _)| text).unwrap_or_default();
    let before = read(context, &wanted.file, &text).unwrap_or_default();
    let same = |other: &Wanted| {
        other.object["metadata"]["name"] == wanted.object["metadata"]["name"] && other.namespace == wanted.namespace
    };
    Ok(before.into_iter().find(same).map(|before| before.object))
}

fn live(context: &Context, wanted: &[Wanted]) -> Result<Vec<Option<Value>>, CommandError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let cluster = context.cluster(wanted.first().map(|wanted| wanted.file.as_path()))?;
    cluster.converse(async |client| {
        let mut found = Vec::new();
        for wanted in wanted {
            let api: Api<SealedSecret> = Api::namespaced(client.clone(), &wanted.namespace);
            let name = wanted.object["metadata"]["name"].as_str().unwrap_or_default();
            let object =
                api.get_opt(name).await.map_err(|error| told(&error).into_error("cannot read a SealedSecret"))?;
            found.push(object.and_then(|object| serde_json::to_value(object).ok()));
        }
        Ok(found)
    })
}

/// What differs, by key: items by digest of their ciphertext, the rest of the object as `template` and `scope`.
fn compared(wanted: &Wanted, there: Option<&Value>) -> Value {
    let (new, old) = (items(&wanted.object), there.map(items).unwrap_or_default());
    let mut changes = Vec::new();
    for key in new.keys().chain(old.keys().filter(|key| !new.contains_key(*key))) {
        if new.get(key) != old.get(key) {
            changes.push(json!({ "key": key, "before": old.get(key), "after": new.get(key) }));
        }
    }
    if let Some(there) = there {
        for (name, before, after) in [
            ("(scope)", scope(there), scope(&wanted.object)),
            ("(template)", template(there), template(&wanted.object)),
        ] {
            if before != after {
                changes.push(json!({ "key": name, "before": before, "after": after }));
            }
        }
    }
    json!({
        "file": wanted.file, "namespace": wanted.namespace, "name": wanted.object["metadata"]["name"].as_str().unwrap_or_default(),
        "exists": there.is_some(), "changes": changes,
    })
}

fn items(object: &Value) -> BTreeMap<String, String> {
    let items = object["spec"]["encryptedData"].as_object();
    items.into_iter().flatten().map(|(key, item)| (key.clone(), digest(item.as_str().unwrap_or_default()))).collect()
}

fn scope(object: &Value) -> String {
    let annotations = object["metadata"]["annotations"].as_object();
    let texts =
        annotations.into_iter().flatten().filter_map(|(key, text)| Some((key.clone(), text.as_str()?.to_owned())));
    seal::Scope::of(&texts.collect()).to_string()
}

/// The template without what says nothing.
fn template(object: &Value) -> String {
    let mut template = object["spec"]["template"].clone();
    if let Some(metadata) = template["metadata"].as_object_mut() {
        metadata.retain(|_, value| !value.is_null());
    }
    let mut fields: Vec<_> = template.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()).collect();
    fields.sort_by_key(|(name, _)| name.as_str());
    digest(&fields.iter().map(|(name, value)| format!("{name}={}", sorted(value))).collect::<String>())
}

fn sorted(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields.iter().map(|(key, value)| (key, sorted(value))).collect();
            format!("{fields:?}")
        }
        other => other.to_string(),
    }
}

/// Of ciphertext or of what is public, so it gives nothing away.
fn digest(text: &str) -> String {
    Sha256::digest(text).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}
