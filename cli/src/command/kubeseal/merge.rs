//! `--merge-into`: the input's values go into a SealedSecret that is there, under its name, namespace and scope.

use std::path::Path;

use seal::check::{declared_scope, marks};
use seal::edit::{Change, edit};
use seal::manifest::Secret;
use seal::marks::{ANNOTATION, Mark};
use seal::{Certificate, Scope, manifest, seal_secret, tree};

use super::args::{Args, Format};
use super::seal_secrets::{input, refused, scope};
use super::written;
use crate::command::error::CommandError;
use crate::command::io::{self, Text};

/// Seals the one Secret of the input into the file, which keeps its comments, its order and its format.
pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let format = args.asked_format()?;
    let certificate = args.certificate().to_seal_with()?;
    let Some(file) = args.merge_into.as_deref() else { return Ok(()) };
    let mut secrets = input(args)?;
    let (Some(secret), true) = (secrets.pop(), secrets.is_empty()) else {
        return Err(CommandError::new("the input cannot be parsed as one Secret: it has several documents")
            .help("merge one Secret at a time"));
    };
    let before = io::read_text(file)?;
    let merged = merged(args, file, &before, secret, &certificate)?;
    let is_json = before.text.trim_start().starts_with('{');
    // The file keeps its format unless another one was asked for.
    let product = match (args.format_asked, format, is_json) {
        (false, _, _) | (true, Format::Json, true) => merged,
        (true, Format::Yaml, false) if merged.starts_with("---") => merged,
        (true, Format::Yaml, false) => format!("---\n{merged}"),
        (true, format, _) => {
            let documents = manifest::documents(&merged).map_err(|error| CommandError::new(error.to_string()))?;
            documents.iter().map(|document| written(document, format)).collect::<Result<String, _>>()?
        }
    };
    io::write_text(file, &before, &product)
}

fn merged(
    args: &Args,
    file: &Path,
    before: &Text,
    mut secret: Secret,
    certificate: &Certificate,
) -> Result<String, CommandError> {
    let refuse = |why: &str| CommandError::new(format!("cannot merge into {}: {why}", file.display()));
    let documents = tree::read(&before.text).map_err(|error| refuse(&error.to_string()))?;
    let objects = tree::objects(&documents);
    let [target] = objects.as_slice() else {
        return Err(refuse("it must hold one SealedSecret and nothing else")
            .help("seal set FILE KEY changes one of several: seal set FILE KEY --name NAME"));
    };
    if target.kind() != "SealedSecret" {
        return Err(refuse(&format!("it is a {:?}, not a SealedSecret", target.kind())));
    }
    if target.node.at(&["spec", "encryptedData"]).is_none_or(tree::Node::is_null) {
        return Err(refuse("it has no spec.encryptedData").help("write `encryptedData: {}` under its spec"));
    }
    let (name, namespace) = (target.name(), target.namespace());
    let scope = scope(args, &secret);
    if let Some(flag) = args.cluster.namespace.as_deref()
        && flag != namespace
        && scope != Scope::ClusterWide
    {
        return Err(refuse(&format!("its namespace {namespace:?} does not match the namespace {flag:?} of the flag")));
    }
    let declared = declared_scope(target);
    if scope != declared {
        return Err(refuse(&format!("its items are {declared}, and a {scope} one among them could never be opened"))
            .help(format!("--scope {declared}")));
    }
    secret.name = Some(name.to_owned());
    secret.namespace = Some(namespace.to_owned());
    let sealed = seal_secret(&mut rand::rng(), certificate, scope, &secret, args.allow_empty_data)
        .map_err(|error| refused(&secret, &error))?;
    let mut changes = Vec::new();
    let mut marks = marks(target);
    let noted = !marks.is_empty();
    for (key, item) in &sealed.spec.encrypted_data {
        changes.push(Change::set(&["spec", "encryptedData", key], item));
        marks.insert(key, Mark::new(&certificate.fingerprint, scope, namespace, name, item));
    }
    if noted {
        changes.push(Change::set(&["metadata", "annotations", ANNOTATION], marks.to_string()));
    }
    let metadata = sealed.spec.template.and_then(|template| template.metadata).unwrap_or_default();
    for (field, texts) in [("labels", metadata.labels), ("annotations", metadata.annotations)] {
        let path = ["spec", "template", "metadata", field];
        // The scope's own annotation is ours to make room for.
        let own = |key: &String| scope.annotation() == Some(key.as_str());
        if !texts.keys().all(own) && target.node.at(&path).is_none() {
            return Err(refuse(&format!("the input has {field}, and its template has none"))
                .help(format!("write `{field}: {{}}` under spec.template.metadata, or leave them out of the input")));
        }
        changes.extend(texts.iter().map(|(key, text)| Change::set(&[&path[..], &[key]].concat(), text)));
    }
    edit(&before.text, 0, &changes).map_err(|error| refuse(&error.to_string()))
}
