//! `--recovery-unseal`: SealedSecrets are opened with private keys, offline.

use serde_json::{Map, Value, json};

use seal::SecretBytes;
use seal::wire;

use super::args::Args;
use super::{documents, sealed_secret, written};
use crate::command::console::say;
use crate::command::error::CommandError;
use crate::command::io;
use crate::command::open::{self, Keys};

/// Opens the first document of the input and writes the Secret.
pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let format = args.output_format()?;
    let keys = Keys::read(&args.recovery_private_key)?;
    let documents = documents(args)?;
    if documents.len() > 1 {
        say("warning: only the first document is opened, as kubeseal does it; seal recover opens all");
    }
    let secret = match documents.first() {
        Some(document) => {
            let object = sealed_secret(document)?;
            let values = open::secret_values(&object, &keys)?;
            secret(document, values)
        }
        // Nothing in, a Secret of nothing out: the reference does so.
        None => json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "ownerReferences": [
                { "apiVersion": "", "kind": "", "name": "", "uid": "", "controller": true }
            ] },
        }),
    };
    io::write(args.sealed_secret_file.as_deref(), written(&secret, format)?.as_bytes())
}

/// The Secret as the controller would make it.
fn secret(document: &Value, values: std::collections::BTreeMap<String, SecretBytes>) -> Value {
    let (name, template) = (&document["metadata"]["name"], &document["spec"]["template"]);
    let mut metadata = template["metadata"].as_object().cloned().unwrap_or_default();
    metadata.retain(|_, value| !value.is_null());
    for field in ["name", "namespace"] {
        metadata.remove(field);
        if let Some(text) = document["metadata"][field].as_str().filter(|text| !text.is_empty()) {
            metadata.insert(field.to_owned(), json!(text));
        }
    }
    metadata.insert(
        "ownerReferences".to_owned(),
        json!([{
            "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
            "name": name, "uid": document["metadata"]["uid"].as_str().unwrap_or_default(), "controller": true,
        }]),
    );
    let mut secret = Map::new();
    secret.insert("apiVersion".to_owned(), json!("v1"));
    secret.insert("kind".to_owned(), json!("Secret"));
    secret.insert("metadata".to_owned(), Value::Object(metadata));
    if !values.is_empty() {
        let data = values.into_iter().map(|(key, value)| (key, json!(wire::encode(value.expose())))).collect();
        secret.insert("data".to_owned(), Value::Object(data));
    }
    for field in ["type", "immutable"] {
        if let Some(value) = template.get(field).filter(|value| !value.is_null() && **value != json!("")) {
            secret.insert(field.to_owned(), value.clone());
        }
    }
    Value::Object(secret)
}
