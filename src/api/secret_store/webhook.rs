//! `spec.provider.webhook`, and the generator of that name.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::{CaProvider, SecretKeyRef, byte_schema};
use crate::api::{Names, Unhonoured};

/// Any HTTP service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// The address, a template.
    pub url: String,
    /// The method; `GET` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Headers, templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body, a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// How long an answer may take, a Go duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// What of the answer is the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<WebhookResult>,
    /// Secrets that the templates may use, each under its name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<WebhookSecret>,
    /// Certificate authority, PEM in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "byte_schema")]
    pub ca_bundle: Option<String>,
    /// Where the certificate authority is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_provider: Option<CaProvider>,
    /// How we log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "auth_schema")]
    pub auth: Option<WebhookAuth>,
}

/// What of the answer is the value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookResult {
    /// A path; absent means all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_path: Option<String>,
}

/// A Secret that the templates may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookSecret {
    /// Its name in the templates.
    pub name: String,
    /// Which one.
    pub secret_ref: SecretKeyRef,
}

/// How we log in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookAuth {
    /// What is not honoured yet.
    #[serde(flatten)]
    pub unhonoured: Unhonoured<WebhookAuthNames>,
}

/// Of `spec.provider.webhook.auth`.
pub struct WebhookAuthNames;
impl Names for WebhookAuthNames {
    const NAMES: &'static [&'static str] = &["ntlm"];
}

fn auth_schema(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = WebhookAuth::json_schema(generator).to_value();
    schema["minProperties"] = 1.into();
    schema["maxProperties"] = 1.into();
    Schema::try_from(schema).unwrap_or_default()
}
