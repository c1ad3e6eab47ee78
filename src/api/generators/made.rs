//! Generators that make values by themselves.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A password.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "generators.external-secrets.io",
    version = "v1alpha1",
    kind = "Password",
    plural = "passwords",
    category = "external-secrets",
    category = "external-secrets-generators",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct PasswordSpec {
    /// How many letters.
    #[serde(default = "password_length")]
    #[schemars(required, schema_with = "password_length_schema")]
    pub length: i64,
    /// How many of them are digits; a quarter when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "integer_schema")]
    pub digits: Option<i64>,
    /// How many of them are symbols; a quarter when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "integer_schema")]
    pub symbols: Option<i64>,
    /// The symbols to choose from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbol_characters: Option<String>,
    /// Without upper case.
    #[serde(default)]
    #[schemars(required, schema_with = "false_schema")]
    pub no_upper: bool,
    /// Whether a letter may occur twice.
    #[serde(default)]
    #[schemars(required, schema_with = "false_schema")]
    pub allow_repeat: bool,
    /// How the result is encoded.
    #[serde(default)]
    #[schemars(schema_with = "encoding_schema")]
    pub encoding: PasswordEncoding,
    /// The keys that get a password each; `password` when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_keys: Vec<String>,
}

/// A random UUID.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "generators.external-secrets.io",
    version = "v1alpha1",
    kind = "UUID",
    plural = "uuids",
    category = "external-secrets",
    category = "external-secrets-generators",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct UuidSpec {}

/// A pair of SSH keys.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "generators.external-secrets.io",
    version = "v1alpha1",
    kind = "SSHKey",
    plural = "sshkeys",
    category = "external-secrets",
    category = "external-secrets-generators",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct SshKeySpec {
    /// `rsa`, `ecdsa` or `ed25519`.
    #[serde(default)]
    #[schemars(schema_with = "key_type_schema")]
    pub key_type: SshKeyType,
    /// Bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "key_size_schema")]
    pub key_size: Option<i64>,
    /// Stands behind the public key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// What stands in it: for tests.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "generators.external-secrets.io",
    version = "v1alpha1",
    kind = "Fake",
    plural = "fakes",
    category = "external-secrets",
    category = "external-secrets-generators",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct FakeSpec {
    /// The class of controller; ours is the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// The values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
}

/// How a password is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PasswordEncoding {
    /// Base64.
    Base64,
    /// Base64 for addresses.
    Base64Url,
    /// Base32.
    Base32,
    /// Hexadecimal.
    Hex,
    /// Not at all.
    #[default]
    Raw,
}

/// A type of SSH keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SshKeyType {
    /// RSA.
    #[default]
    Rsa,
    /// ECDSA on a NIST curve.
    Ecdsa,
    /// Ed25519.
    Ed25519,
}

fn password_length() -> i64 {
    24
}

pub(super) fn integer_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer" })
}

pub(super) fn false_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "boolean", "default": false })
}

fn password_length_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "default": 24 })
}

fn encoding_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "default": "raw", "enum": ["base64", "base64url", "base32", "hex", "raw"] })
}

fn key_type_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "default": "rsa", "enum": ["rsa", "ecdsa", "ed25519"] })
}

fn key_size_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "minimum": 256, "maximum": 8192 })
}
