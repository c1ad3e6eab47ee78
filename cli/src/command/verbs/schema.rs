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
            "check" => check(),
            "guard" => guard(),
            "show" => show(),
            "diff" => diff(),
            "keys" => keys(),
            "key-usage" => key_usage(),
            "certificates" => certificates(),
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

fn check() -> Value {
    let finding = json!({
        "file": maybe(text()), "line": maybe(whole()), "code": code(), "message": text(), "object": maybe(text()),
        "keys": list(text()),
    });
    printed(
        "check",
        json!({
            "files": whole(), "sealedSecrets": whole(), "items": whole(), "unknown": whole(),
            "findings": list(object(finding)),
        }),
    )
}

fn guard() -> Value {
    let finding = json!({
        "file": text(), "line": whole(), "code": code(), "object": text(), "value": text(), "bytes": whole(),
    });
    printed("guard", json!({ "findings": list(object(finding)) }))
}

fn show() -> Value {
    let key = json!({
        "key": text(), "line": whole(), "bytes": maybe(whole()), "sealedWith": maybe(text()),
        "sealedWithShort": maybe(text()), "sealedFor": maybe(text()), "sealingKeyBits": whole(),
        "keyAgeDays": maybe(number()),
    });
    let item = json!({
        "file": text(), "name": text(), "namespace": text(), "type": text(), "keys": list(object(key)),
        "scope": { "enum": ["strict", "namespace-wide", "cluster-wide"] },
    });
    printed("show", json!({ "items": list(object(item)) }))
}

fn diff() -> Value {
    let change = json!({ "key": text(), "before": maybe(text()), "after": maybe(text()) });
    let item = json!({
        "file": text(), "namespace": text(), "name": text(), "exists": { "type": "boolean" },
        "changes": list(object(change)),
    });
    printed("diff", json!({ "items": list(object(item)) }))
}

fn keys() -> Value {
    let item = json!({
        "fingerprint": text(), "short": text(), "state": { "enum": ["sealing", "opening"] }, "ageDays": number(),
        "notAfter": text(),
    });
    printed("keys", json!({ "items": list(object(item)) }))
}

/// As the operator reports, or as counted from the notes, which know nothing of Secrets and dates.
fn key_usage() -> Value {
    let item = json!({
        "fingerprint": text(), "state": { "enum": ["Sealing", "Opening", "Deleted", "noted"] }, "objects": whole(),
        "items": whole(),
    });
    let mut item = object(item);
    for field in ["secret", "notBefore", "notAfter"] {
        item["properties"][field] = text();
    }
    let fields = json!({ "items": list(item), "lastBackup": maybe(text()), "warnings": maybe(list(text())) });
    printed("key-usage", fields)
}

fn certificates() -> Value {
    let item = json!({
        "fingerprint": text(), "short": text(), "notBefore": text(), "notAfter": text(), "bits": whole(),
        "seals": { "type": "boolean" },
    });
    printed("certificates", json!({ "items": list(object(item)) }))
}

/// The schema of what a verb prints: fields may be added under the same version, none goes away.
fn printed(name: &str, mut fields: Value) -> Value {
    fields["schema"] = json!({ "const": format!("seal/{name}/v1") });
    let mut schema = object(fields);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(format!("seal {name} -o json"));
    schema
}

/// An object that has all of these fields.
fn object(fields: Value) -> Value {
    let names: Vec<_> = fields.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    json!({ "type": "object", "required": names, "properties": fields })
}

fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn text() -> Value {
    json!({ "type": "string" })
}

/// A code of `seal explain`.
fn code() -> Value {
    json!({ "type": "string", "pattern": "^E[0-9]{4}$" })
}

fn number() -> Value {
    json!({ "type": "integer" })
}

fn whole() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn maybe(mut schema: Value) -> Value {
    schema["type"] = json!([schema["type"], "null"]);
    schema
}
