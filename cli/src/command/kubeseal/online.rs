//! `--validate` and `--re-encrypt`: the controller does it, reached through the API server.

use serde_json::{Value, json};

use seal::edit::{Change, edit};
use seal::manifest;

use super::args::{Args, Format};
use super::{documents, written};
use crate::command::cluster::Controller;
use crate::command::error::CommandError;
use crate::command::io;

/// Asks whether each document can be opened.
pub(crate) fn validate(args: &Args) -> Result<(), CommandError> {
    let documents = documents(args)?;
    args.cluster.converse(async |client| {
        let controller = Controller::find(client, &args.cluster).await?;
        for document in documents.iter().filter(|document| document.is_object()) {
            controller.verify(&document.to_string()).await?;
        }
        Ok(())
    })
}

/// Lets each document be sealed anew; with `-f` and without `-w` the file itself changes.
pub(crate) fn re_encrypt(args: &Args) -> Result<(), CommandError> {
    let in_place = args.secret_file.as_deref().filter(|_| args.sealed_secret_file.is_none());
    let mut format = args.output_format()?;
    if in_place.and_then(|file| file.extension()?.to_str()).is_some_and(|end| matches!(end, "yaml" | "yml")) {
        format = Format::Yaml;
    }
    let before = in_place.map(io::read_text).transpose()?;
    let documents = match &before {
        Some(before) => manifest::documents(&before.text).map_err(|error| CommandError::new(error.to_string()))?,
        None => documents(args)?,
    };
    let renewed = args.cluster.converse(async |client| {
        let controller = Controller::find(client, &args.cluster).await?;
        let mut renewed = Vec::new();
        for document in documents.iter().filter(|document| document.is_object()) {
            renewed.push(read(&controller.rotate(&document.to_string()).await?)?);
        }
        Ok(renewed)
    })?;
    let product = renewed.iter().map(|object| written(object, format)).collect::<Result<String, _>>()?;
    match (in_place, before) {
        (Some(file), Some(before)) => {
            let kept = items_alone(&before.text, &documents, &renewed);
            io::write_text(file, &before, &kept.unwrap_or(product))
        }
        _ => io::write(args.sealed_secret_file.as_deref(), product.as_bytes()),
    }
}

/// What the controller answers, without what says nothing.
fn read(answer: &str) -> Result<Value, CommandError> {
    let mut object: Value = serde_json::from_str(answer)
        .map_err(|_| CommandError::new("cannot re-encrypt secret: the controller's answer cannot be read"))?;
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
        fields.insert("apiVersion".to_owned(), json!("bitnami.com/v1alpha1"));
        fields.insert("kind".to_owned(), json!("SealedSecret"));
    }
    without_null_times(&mut object);
    Ok(object)
}

fn without_null_times(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|name, value| name != "creationTimestamp" || !value.is_null());
        fields.values_mut().for_each(without_null_times);
    }
}

/// The file with new items and nothing else changed, when the controller changed nothing else.
fn items_alone(text: &str, before: &[Value], after: &[Value]) -> Option<String> {
    let items = |object: &Value| object["spec"]["encryptedData"].as_object().cloned();
    let mut text = text.to_owned();
    for (index, new) in after.iter().enumerate() {
        let changes: Vec<_> = items(new)?
            .iter()
            .filter_map(|(key, item)| Some(Change::set(&["spec", "encryptedData", key], item.as_str()?)))
            .collect();
        text = edit(&text, index, &changes).ok()?;
    }
    (before.len() == after.len() && manifest::documents(&text).ok()? == after).then_some(text)
}
