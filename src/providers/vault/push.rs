//! Writing to a Vault. What somebody else made is left alone: ours bears a mark in its metadata (in the secret itself
//! with version 1, which has no metadata), as upstream's does.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::{Call, Error, KvVersion, VaultProvider};
use crate::providers::{MANAGED_BY, MANAGER, PushRef, PushValue, Writer};

const CUSTOM: &str = "custom_metadata";

/// A secret as it stands, to be changed.
struct Standing {
    /// None: nothing is there, or its newest version was deleted.
    data: Option<Map<String, Value>>,
    /// What a write must find, so that nobody's newer write is lost; none with version 1.
    version: Option<u64>,
    custom: BTreeMap<String, String>,
}

impl Standing {
    fn is_ours(&self) -> bool {
        self.custom.get(MANAGED_BY).is_some_and(|manager| manager == MANAGER)
    }
}

impl VaultProvider {
    async fn standing(&self, key: &str) -> Result<Standing, Error> {
        let data = match self.secret(key, None).await {
            Ok(secret) => Some(
                serde_json::from_str(secret.data.get())
                    .map_err(|_| Error::Malformed { key: key.to_owned(), why: "it is not what Vault's API defines" })?,
            ),
            Err(Error::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        if self.access.version == KvVersion::V1 {
            let mut data: Option<Map<String, Value>> = data;
            let mark = data.as_mut().and_then(|data| data.remove(CUSTOM)).unwrap_or_default();
            return Ok(Standing { data, version: None, custom: serde_json::from_value(mark).unwrap_or_default() });
        }
        let metadata = self.metadata(key).await?.unwrap_or_default();
        Ok(Standing { data, version: Some(metadata.current_version), custom: metadata.custom() })
    }

    async fn write(&self, key: &str, data: Map<String, Value>, standing: &Standing) -> Result<(), Error> {
        let (mount, path) = self.place(key)?;
        if standing.version.is_none() {
            let mut data = data;
            data.insert(CUSTOM.to_owned(), json!({ MANAGED_BY: MANAGER }));
            return self.send(Call::post(format!("{mount}/{path}"), Value::Object(data))).await.map(drop);
        }
        if !standing.is_ours() {
            let mut custom = standing.custom.clone();
            custom.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
            self.send(Call::post(format!("{mount}/metadata/{path}"), json!({ CUSTOM: custom }))).await?;
        }
        let body = json!({ "data": data, "options": { "cas": standing.version } });
        self.send(Call::post(format!("{mount}/data/{path}"), body)).await.map(drop)
    }
}

#[async_trait]
impl Writer for VaultProvider {
    async fn exists(&self, reference: &PushRef) -> Result<bool, Error> {
        let standing = self.standing(&reference.remote_key).await?;
        Ok(standing.data.is_some_and(|data| match reference.property() {
            Some(property) => data.contains_key(property),
            None => true,
        }))
    }

    async fn push(&self, reference: &PushRef, value: PushValue<'_>) -> Result<(), Error> {
        let key = &reference.remote_key;
        let bytes = value.bytes()?;
        let standing = self.standing(key).await?;
        if standing.data.is_some() && !standing.is_ours() {
            return Err(Error::NotManaged { key: key.clone() });
        }
        let data = match reference.property() {
            Some(property) => {
                let text = String::from_utf8(bytes.expose().to_vec()).map_err(|_| {
                    Error::Configuration(format!("{key}: the engine keeps text, and the value is none"))
                })?;
                let mut data = standing.data.clone().unwrap_or_default();
                data.insert(property.to_owned(), text.into());
                data
            }
            None => serde_json::from_slice(bytes.expose()).map_err(|_| {
                Error::Configuration(format!("{key}: without a property the value must be a JSON object"))
            })?,
        };
        if standing.data.as_ref() == Some(&data) {
            return Ok(());
        }
        self.write(key, data, &standing).await
    }

    async fn delete(&self, reference: &PushRef) -> Result<(), Error> {
        let key = &reference.remote_key;
        let standing = self.standing(key).await?;
        let Some(data) = standing.data.clone().filter(|_| standing.is_ours()) else { return Ok(()) };
        if let Some(property) = reference.property() {
            let mut rest = data;
            if rest.remove(property).is_none() {
                return Ok(());
            }
            if !rest.is_empty() {
                return self.write(key, rest, &standing).await;
            }
        }
        let (mount, path) = self.place(key)?;
        if standing.version.is_none() {
            return self.send(Call::delete(format!("{mount}/{path}"))).await.map(drop);
        }
        self.send(Call::delete(format!("{mount}/data/{path}"))).await?;
        self.send(Call::delete(format!("{mount}/metadata/{path}"))).await.map(drop)
    }
}
