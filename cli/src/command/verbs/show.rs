//! `seal show FILE…`: what is in SealedSecrets, but for the values.

use std::path::PathBuf;

use seal::check::{declared_scope, marks};
use seal::tree::{self, Node, Object};
use seal::{Certificate, wire};
use serde_json::{Value, json};

use crate::command::certificate::{DAY, now};
use crate::command::context::Context;
use crate::command::error::CommandError;
use crate::command::files;
use crate::command::io;
use crate::command::output::{Output, table};
use crate::command::target::unreadable;

/// Bytes that sealing adds beside the wrapped key: its length and the tag.
const OVERHEAD: usize = 18;

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Files, directories or globs; - for a pipe
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// table or json
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

impl Show {
    pub(crate) fn run(self, context: &Context) -> Result<(), CommandError> {
        let mut shown = Vec::new();
        for file in files::listed(&self.paths)? {
            let text = io::read_text(&file)?.text;
            let documents = tree::read(&text).map_err(|error| unreadable(&file, &error))?;
            let known = context.known_certificates(Some(&file))?;
            for object in tree::objects(&documents).iter().filter(|object| object.kind() == "SealedSecret") {
                let mut object = described(object, &known);
                object["file"] = json!(file.display().to_string());
                shown.push(object);
            }
        }
        match self.output {
            Output::Json => {
                io::write_stdout(format!("{:#}\n", json!({ "schema": "seal/show/v1", "items": shown })).as_bytes())
            }
            Output::Table => io::write_stdout(rows(&shown).as_bytes()),
        }
    }
}

fn described(object: &Object<'_>, known: &[Certificate]) -> Value {
    let marks = marks(object);
    let entries = object.node.at(&["spec", "encryptedData"]).map(Node::entries).unwrap_or_default();
    let keys: Vec<_> = entries
        .iter()
        .map(|entry| {
            let (key, item) = (entry.key.text().unwrap_or_default(), entry.value.text().unwrap_or_default());
            let mark = marks.of(key, item);
            let sealed = wire::decode(item).unwrap_or_default();
            let wrapped = wire::unframe(&sealed).map_or(0, |frame| frame.wrapped_key.len());
            let age = mark.and_then(|mark| {
                let certificate = known.iter().find(|certificate| certificate.fingerprint == mark.key)?;
                Some((now() - certificate.not_before) / DAY)
            });
            json!({
                "key": key, "line": entry.key.line,
                "bytes": sealed.len().checked_sub(wrapped + OVERHEAD),
                "sealedWith": mark.map(|mark| mark.key.as_str()),
                "sealedWithShort": mark.map(|mark| mark.key.short()),
                "sealedFor": mark.map(|mark| mark.place.as_str()),
                "sealingKeyBits": wrapped * 8,
                "keyAgeDays": age,
            })
        })
        .collect();
    json!({
        "name": object.name(), "namespace": object.namespace(), "scope": declared_scope(object).to_string(),
        "type": object.node.text_at(&["spec", "template", "type"]).unwrap_or("Opaque"),
        "keys": keys,
    })
}

fn rows(shown: &[Value]) -> String {
    let text = |value: &Value| match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut rows =
        vec![["FILE", "NAMESPACE", "NAME", "SCOPE", "KEY", "BYTES", "SEALED WITH", "AGE"].map(str::to_owned)];
    for object in shown {
        for key in object["keys"].as_array().into_iter().flatten() {
            let age = key["keyAgeDays"].as_i64().map_or("–".to_owned(), |days| format!("{days}d"));
            rows.push([
                text(&object["file"]),
                text(&object["namespace"]),
                text(&object["name"]),
                text(&object["scope"]),
                text(&key["key"]),
                text(&key["bytes"]),
                text(&key["sealedWithShort"]),
                age,
            ]);
        }
    }
    table(&rows)
}
