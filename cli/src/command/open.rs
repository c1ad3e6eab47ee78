//! Opening with private keys in files: for emergencies, never needed in everyday work.

use std::collections::BTreeMap;
use std::path::PathBuf;

use seal::api::SealedSecret;
use seal::{Fingerprint, OpenError, RsaUnwrapKey, Scope, SecretBytes, UnwrapKey, manifest, open_item, wire};
use serde_json::Value;
use zeroize::Zeroizing;

use super::codes::Code;
use super::error::CommandError;
use super::io;

/// Private keys.
pub(crate) struct Keys(Vec<RsaUnwrapKey>);

impl Keys {
    /// Reads key files: PEM, key Secrets in JSON or YAML, several of them, or a List.
    pub(crate) fn read(files: &[PathBuf]) -> Result<Self, CommandError> {
        let mut keys = Vec::new();
        for file in files {
            let text = Zeroizing::new(io::read(Some(file))?);
            keys.extend(Self::parse(&text).map_err(|why| {
                CommandError::coded(
                    Code::NotAKey,
                    format!("no private key that could decrypt in {}: {why}", file.display()),
                )
                .help("a key file is PEM, a key Secret (kubectl get secret -o yaml), or a List of them")
            })?);
        }
        Ok(Self(keys))
    }

    /// Reads the keys of one text.
    pub(crate) fn parse(text: &str) -> Result<Vec<RsaUnwrapKey>, String> {
        if text.contains("-----BEGIN") && !text.contains("kind") {
            return RsaUnwrapKey::from_pem(text).map(|key| vec![key]).map_err(|error| error.to_string());
        }
        let documents = manifest::documents(text).map_err(|error| error.to_string())?;
        let secrets = documents.iter().flat_map(|document| match document["items"].as_array() {
            Some(items) => items.iter().collect(),
            None => vec![document],
        });
        let keys: Vec<_> = secrets.map(key_of).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err("it is empty".to_owned()) } else { Ok(keys) }
    }

    /// These keys and more.
    pub(crate) fn and(mut self, more: Vec<RsaUnwrapKey>) -> Self {
        self.0.extend(more);
        self
    }

    /// The keys as the library wants them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &dyn UnwrapKey> {
        self.0.iter().map(|key| key as &dyn UnwrapKey)
    }

    /// Which keys there are.
    pub(crate) fn fingerprints(&self) -> Vec<Fingerprint> {
        self.0.iter().map(|key| key.fingerprint().clone()).collect()
    }
}

fn key_of(secret: &Value) -> Result<RsaUnwrapKey, String> {
    if !secret.is_object() {
        return Err("it is neither PEM nor a key Secret".to_owned());
    }
    let text = secret["data"]["tls.key"].as_str().ok_or("the Secret has no tls.key under data")?;
    let pem = Zeroizing::new(wire::decode(text).map_err(|_| "tls.key is not base64")?);
    let pem = std::str::from_utf8(&pem).map_err(|_| "tls.key is not PEM")?;
    RsaUnwrapKey::from_pem(pem).map_err(|error| error.to_string())
}

/// Opens all items of an object; templates are rendered over them, as the controller does it.
pub(crate) fn secret_values(object: &SealedSecret, keys: &Keys) -> Result<BTreeMap<String, SecretBytes>, CommandError> {
    if object.spec.data.is_some() {
        return Err(CommandError::coded(Code::CannotOpen, "the format before 2019 (spec.data) is not opened offline")
            .help("the operator opens it: apply it, and read the Secret"));
    }
    let values = items(object, keys)?;
    let templates = object.spec.template.as_ref().and_then(|template| template.data.clone()).unwrap_or_default();
    super::templates::render(values, &templates)
}

/// Opens all items of an object.
pub(crate) fn items(object: &SealedSecret, keys: &Keys) -> Result<BTreeMap<String, SecretBytes>, CommandError> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let scope = Scope::of(&object.metadata.annotations.clone().unwrap_or_default());
    let label = scope.label(namespace, name);
    let (mut values, mut unopened, mut broken) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (key, item) in &object.spec.encrypted_data {
        match open_item(item, &label, keys.iter()) {
            Ok(opened) => drop(values.insert(key.clone(), opened.value)),
            Err(OpenError::Wire(wire::Wire::Base64)) => broken.push(key.as_str()),
            Err(_) => unopened.push(key.as_str()),
        }
    }
    if !broken.is_empty() {
        return Err(CommandError::coded(Code::Damaged, format!("{name}: not base64: {}", broken.join(", "))));
    }
    if unopened.is_empty() {
        return Ok(values);
    }
    let place = String::from_utf8_lossy(&label).into_owned();
    let mut error =
        CommandError::coded(Code::CannotOpen, format!("no key could decrypt secret ({})", unopened.join(", ")))
            .note(format!("tried as {scope} in {:?}", if place.is_empty() { "any place" } else { &place }));
    for key in keys.fingerprints() {
        error = error.note(format!("with key {key}"));
    }
    Err(error.help("the key of another cluster made it, or it was sealed for another name or namespace"))
}
