//! `seal schema`: JSON schemas, for editors and for readers of `-o json`.

use kube::CustomResourceExt;
use serde_json::{Value, json};

use crate::command::error::CommandError;
use crate::command::io;

#[derive(Debug, clap::Args)]
pub(crate) struct Schema {
    /// sealedsecret, or what a verb prints: check, show, guard, diff, keys, key-usage, certificates
    #[arg(default_value = "sealedsecret")]
    name: String,
}

impl Schema {
    pub(crate) fn run(self) -> Result<(), CommandError> {
        let schema = match self.name.as_str() {
            "sealedsecret" => sealed_secret()?,
            "check" => listing("check", "findings", &["file", "line", "code", "message", "object", "keys"]),
            "guard" => listing("guard", "findings", &["file", "line", "code", "object", "value", "bytes"]),
            "show" => listing("show", "items", &["file", "name", "namespace", "scope", "type", "keys"]),
            "diff" => listing("diff", "items", &["file", "namespace", "name", "exists", "changes"]),
            "keys" => listing("keys", "items", &["fingerprint", "short", "state", "ageDays", "notAfter"]),
            "key-usage" => listing("key-usage", "items", &["fingerprint", "state", "objects", "items"]),
            "certificates" => {
                listing("certificates", "items", &["fingerprint", "short", "notBefore", "notAfter", "bits", "seals"])
            }
            other => {
                return Err(
                    CommandError::new(format!("there is no schema {other:?}")).help("seal schema --help names them")
                );
            }
        };
        io::write_stdout(format!("{schema:#}\n").as_bytes())
    }
}

/// The schema of the custom resource, as an editor wants it.
fn sealed_secret() -> Result<Value, CommandError> {
    let crd =
        serde_json::to_value(seal::api::SealedSecret::crd()).map_err(|error| CommandError::new(error.to_string()))?;
    let mut schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("SealedSecret");
    schema["properties"]["apiVersion"] = json!({ "const": "bitnami.com/v1alpha1" });
    schema["properties"]["kind"] = json!({ "const": "SealedSecret" });
    schema["properties"]["metadata"] = json!({ "type": "object", "required": ["name"] });
    Ok(schema)
}

/// The schema of a listing: fields may be added under the same version, none goes away.
fn listing(name: &str, list: &str, fields: &[&str]) -> Value {
    let properties: serde_json::Map<_, _> = fields.iter().map(|field| ((*field).to_owned(), json!(true))).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("seal {name} -o json"),
        "type": "object",
        "required": ["schema", list],
        "properties": {
            "schema": { "const": format!("seal/{name}/v1") },
            list: { "type": "array", "items": { "type": "object", "properties": properties } },
        },
    })
}
