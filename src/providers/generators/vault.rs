//! Credentials that Vault or OpenBao makes on request.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rustify::enums::RequestMethod;
use serde_json::json;
use serde_json::value::RawValue;

use super::{Generator, Making, escaped};
use crate::api::generators::{VaultDynamicSecretSpec, VaultResultType};
use crate::plan::Reference;
use crate::providers::references::References;
use crate::providers::vault::{Answer, Call, VaultProvider, text};
use crate::providers::{Error, FetchedMap};
use crate::values::go_json::Numbers;

pub(super) struct VaultDynamicSecret(pub(super) VaultDynamicSecretSpec);

impl VaultDynamicSecret {
    fn call(&self) -> Result<Call, Error> {
        let spec = &self.0;
        let path = spec.path.trim_matches('/').to_owned();
        if path.is_empty() || path.split('/').any(|part| part == ".." || part == ".") {
            return Err(Error::Configuration(format!("{:?} is no path of a Vault", spec.path)));
        }
        let body = spec.parameters.as_ref().map(|parameters| parameters.0.clone()).filter(|body| !body.is_null());
        let method = match spec.method.as_deref().unwrap_or_default().to_ascii_uppercase().as_str() {
            "" | "GET" => RequestMethod::GET,
            "LIST" => RequestMethod::LIST,
            "POST" => RequestMethod::POST,
            "PUT" => RequestMethod::PUT,
            other => return Err(Error::Configuration(format!("method {other:?} is not for this generator"))),
        };
        if matches!(method, RequestMethod::POST | RequestMethod::PUT) {
            return Ok(Call { method, path, query: None, body: Some(body.unwrap_or_else(|| json!({}))) });
        }
        let pairs = spec.get_parameters.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
        let query =
            pairs.map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect::<Vec<_>>().join("&");
        Ok(Call { method, path, query: Some(query).filter(|query| !query.is_empty()), body: None })
    }

    fn values(&self, answer: &Answer) -> Result<FetchedMap, Error> {
        let wrong = |why| Error::Malformed { key: self.0.path.clone(), why };
        let part = match self.0.result_type {
            VaultResultType::Data => answer.data.clone(),
            VaultResultType::Auth => answer.auth.clone(),
            VaultResultType::Raw => Some(answer.whole()),
        };
        let Some(part) = part.filter(|part| part.get() != "null") else {
            return if self.0.allow_empty_response { Ok(FetchedMap::default()) } else { Err(wrong("it is empty")) };
        };
        let fields: BTreeMap<String, &RawValue> =
            serde_json::from_str(part.get()).map_err(|_| wrong("it is no map of keys and values"))?;
        let values = fields.into_iter().map(|(key, value)| (key, text(value, Numbers::Floats).into())).collect();
        Ok(FetchedMap { values, version: Some(answer.lease_id.clone()).filter(|lease| !lease.is_empty()) })
    }
}

#[async_trait]
impl Generator for VaultDynamicSecret {
    fn references(&self) -> Vec<Reference<'_>> {
        let mut found = References::default();
        found.vault(&self.0.provider);
        found.0
    }

    async fn generate(&self, making: Making) -> Result<FetchedMap, Error> {
        let vault = VaultProvider::new(&self.0.provider, &making.access(), &making.endpoints)?;
        self.values(&vault.send(self.call()?).await?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn generator(fields: Value) -> VaultDynamicSecret {
        let mut spec = json!({ "provider": { "server": "https://v" }, "path": "/db/creds/app" });
        spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        VaultDynamicSecret(serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn requests_are_made_as_the_spec_says() {
        let call = generator(json!({ "getParameters": { "ttl": ["1h"], "a b": ["x&y"] } })).call().unwrap();
        assert_eq!((call.path.as_str(), call.query.as_deref()), ("db/creds/app", Some("a%20b=x%26y&ttl=1h")));
        let call = generator(json!({ "method": "post", "parameters": { "ttl": "1h" } })).call().unwrap();
        assert_eq!(call.body, Some(json!({ "ttl": "1h" })));
        assert!(generator(json!({ "method": "DELETE" })).call().is_err());
        assert!(generator(json!({ "path": "a/../sys/seal" })).call().is_err());
    }

    #[test]
    fn of_an_answer_comes_what_is_wanted() {
        let answer: Answer = serde_json::from_value(json!({
            "lease_id": "l", "lease_duration": 60, "data": { "username": "u", "ttl": 60 }, "auth": { "client_token": "t" },
        }))
        .unwrap();
        let keys = |fields: Value| -> Vec<String> {
            generator(fields).values(&answer).unwrap().values.into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(keys(json!({})), ["ttl", "username"]);
        assert_eq!(keys(json!({ "resultType": "Auth" })), ["client_token"]);
        assert!(keys(json!({ "resultType": "Raw" })).contains(&"lease_id".to_owned()));
        assert!(generator(json!({})).values(&Answer::default()).is_err());
        assert!(generator(json!({ "allowEmptyResponse": true })).values(&Answer::default()).unwrap().values.is_empty());
    }
}
