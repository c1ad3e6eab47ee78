//! Secrets as people hand them in, SealedSecrets as they are committed.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::api::SealedSecret;
use crate::secret_bytes::SecretBytes;
use crate::wire;
use crate::yaml::{self, Duplicates, YamlError};

/// A Secret to seal: its values redacted, what sealing does not need left out.
#[derive(Clone, Debug, Default)]
pub struct Secret {
    /// `metadata.name`.
    pub name: Option<String>,
    /// `metadata.generateName`.
    pub generate_name: Option<String>,
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// `metadata.finalizers`.
    pub finalizers: Vec<String>,
    /// `type`.
    pub type_: Option<String>,
    /// `immutable`.
    pub immutable: Option<bool>,
    /// `data`, decoded, overlaid with `stringData`.
    pub data: BTreeMap<String, SecretBytes>,
}

/// Why a text holds no Secret. Never holds any of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not YAML, not JSON.
    #[error("{0}")]
    Yaml(#[from] YamlError),
    /// No document at all.
    #[error("there is no Secret in the input (is it empty, or not UTF-8?)")]
    Empty,
    /// A document that is no object.
    #[error("document {document} is not a Kubernetes object")]
    NotAnObject {
        /// Counted from 1.
        document: usize,
    },
    /// A field of another type than Kubernetes has there.
    #[error("document {document}: {field} must be {wanted}")]
    Field {
        /// Counted from 1.
        document: usize,
        /// Path of the field.
        field: String,
        /// What belongs there.
        wanted: &'static str,
    },
    /// Several where one is meant.
    #[error("there are {0} documents in the input, and one is wanted")]
    Several(usize),
}

/// Reads all Secrets of a YAML or JSON stream. `kind` is not checked, as kubeseal does not.
///
/// # Errors
///
/// [`ManifestError`].
pub fn read_secrets(text: &str) -> Result<Vec<Secret>, ManifestError> {
    let documents = read_documents(text)?;
    documents.into_iter().enumerate().map(|(index, document)| secret(index + 1, document)).collect()
}

/// Reads the one SealedSecret of a YAML or JSON text.
///
/// # Errors
///
/// [`ManifestError`]; [`ManifestError::Several`] for more than one document.
pub fn read_sealed_secret(text: &str) -> Result<SealedSecret, ManifestError> {
    let mut documents = read_documents(text)?;
    let (Some(document), 0) = (documents.pop(), documents.len()) else {
        return Err(ManifestError::Several(documents.len() + 1));
    };
    serde_json::from_value(document).map_err(|_| ManifestError::NotAnObject { document: 1 })
}

/// Reads a Secret that is one JSON or YAML document, as the sealed whole-Secret format holds it.
///
/// # Errors
///
/// [`ManifestError`].
pub fn read_secret(text: &str) -> Result<Secret, ManifestError> {
    let mut secrets = read_secrets(text)?;
    match (secrets.pop(), secrets.len()) {
        (Some(secret), 0) => Ok(secret),
        (_, more) => Err(ManifestError::Several(more + 1)),
    }
}

fn read_documents(text: &str) -> Result<Vec<Value>, ManifestError> {
    let documents = documents(text)?;
    if documents.is_empty() { Err(ManifestError::Empty) } else { Ok(documents) }
}

/// Reads all documents of a YAML or JSON stream, as plain values; of keys that stand twice the last one counts.
///
/// # Errors
///
/// [`ManifestError::Yaml`].
pub fn documents(text: &str) -> Result<Vec<Value>, ManifestError> {
    match concatenated_json(text) {
        Some(documents) => Ok(documents),
        None => Ok(yaml::documents(text, Duplicates::LastWins)?),
    }
}

/// JSON objects one after the other, which YAML has no name for.
fn concatenated_json(text: &str) -> Option<Vec<Value>> {
    if !text.trim_start_matches('\u{feff}').trim_start().starts_with('{') {
        return None;
    }
    let stream = serde_json::Deserializer::from_str(text.trim_start_matches('\u{feff}')).into_iter::<Value>();
    stream.collect::<Result<_, _>>().ok()
}

/// Reads a Secret that is an object among plain values.
///
/// # Errors
///
/// [`ManifestError`], which counts the object as the first document.
pub fn secret_from(value: Value) -> Result<Secret, ManifestError> {
    secret(1, value)
}

fn secret(document: usize, value: Value) -> Result<Secret, ManifestError> {
    let Value::Object(mut fields) = value else {
        return Err(ManifestError::NotAnObject { document });
    };
    let at = Place { document };
    let mut metadata = at.map(fields.remove("metadata"), "metadata")?;
    let mut data = BTreeMap::new();
    for (key, value) in at.map(fields.remove("data"), "data")? {
        let field = format!("data.{key}");
        let text = at.text(Some(value), &field)?.unwrap_or_default();
        let bytes = wire::decode(&text).map_err(|_| at.wrong(&field, "base64 (plain text belongs in stringData)"))?;
        data.insert(key, bytes.into());
    }
    for (key, value) in at.map(fields.remove("stringData"), "stringData")? {
        let field = format!("stringData.{key}");
        data.insert(key, at.text(Some(value), &field)?.unwrap_or_default().into());
    }
    Ok(Secret {
        name: at.text(metadata.remove("name"), "metadata.name")?,
        generate_name: at.text(metadata.remove("generateName"), "metadata.generateName")?,
        namespace: at.text(metadata.remove("namespace"), "metadata.namespace")?,
        labels: at.texts(metadata.remove("labels"), "metadata.labels")?,
        annotations: at.texts(metadata.remove("annotations"), "metadata.annotations")?,
        finalizers: at.list(metadata.remove("finalizers"), "metadata.finalizers")?,
        type_: at.text(fields.remove("type"), "type")?,
        immutable: match fields.remove("immutable") {
            None | Some(Value::Null) => None,
            Some(Value::Bool(immutable)) => Some(immutable),
            Some(_) => return Err(at.wrong("immutable", "true or false")),
        },
        data,
    })
}

/// Reads fields and says which one is wrong.
struct Place {
    document: usize,
}

impl Place {
    fn wrong(&self, field: &str, wanted: &'static str) -> ManifestError {
        ManifestError::Field { document: self.document, field: field.to_owned(), wanted }
    }

    fn map(&self, value: Option<Value>, field: &str) -> Result<Map<String, Value>, ManifestError> {
        match value {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(fields)) => Ok(fields),
            Some(_) => Err(self.wrong(field, "a map")),
        }
    }

    fn text(&self, value: Option<Value>, field: &str) -> Result<Option<String>, ManifestError> {
        match value {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(field, "a text (put it in quotes)")),
        }
    }

    fn texts(&self, value: Option<Value>, field: &str) -> Result<BTreeMap<String, String>, ManifestError> {
        self.map(value, field)?
            .into_iter()
            .map(|(key, value)| {
                let text = self.text(Some(value), &format!("{field}.{key}"))?.unwrap_or_default();
                Ok((key, text))
            })
            .collect()
    }

    fn list(&self, value: Option<Value>, field: &str) -> Result<Vec<String>, ManifestError> {
        match value {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(items)) => {
                items.into_iter().map(|item| Ok(self.text(Some(item), field)?.unwrap_or_default())).collect()
            }
            Some(_) => Err(self.wrong(field, "a list")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_and_string_data_are_read_and_the_latter_wins() {
        let secret =
            read_secret("kind: Secret\ndata: {a: YQ==, b: Yg==}\nstringData: {b: c}\nmetadata: {name: x}").unwrap();
        assert_eq!(secret.name.as_deref(), Some("x"));
        let values: Vec<_> = secret.data.iter().map(|(key, value)| (key.as_str(), value.expose())).collect();
        assert_eq!(values, [("a", &b"a"[..]), ("b", b"c")]);
    }

    #[test]
    fn several_documents_are_read_from_yaml_and_json() {
        for text in
            ["stringData: {a: b}\n---\n---\nstringData: {c: d}\n", "{\"kind\":\"Secret\"}\n{\"kind\":\"Secret\"}"]
        {
            assert_eq!(read_secrets(text).unwrap().len(), 2, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_document_and_field_without_its_value() {
        for (text, expected) in [
            ("data: {a: canary!}", "document 1: data.a must be base64 (plain text belongs in stringData)"),
            ("a: 1\n---\nstringData: {pin: 1234}", "document 2: stringData.pin must be a text (put it in quotes)"),
            ("- canary", "document 1 is not a Kubernetes object"),
            ("", "there is no Secret in the input (is it empty, or not UTF-8?)"),
        ] {
            assert_eq!(read_secrets(text).unwrap_err().to_string(), expected);
        }
    }
}
