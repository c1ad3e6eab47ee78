//! Values that stand in the store itself, and what was pushed to it: for trials.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use seal::SecretBytes;

use super::{Error, FetchedMap, Payload, Provider, PushRef, PushValue, Writer};
use crate::api::external_secret::{Find, RemoteRef, StoreKind};
use crate::api::secret_store::Fake;
use crate::plan::{ObjectKey, StoreId};
use crate::values::{self, ValueError};

/// What was pushed, by store: it outlives an edit of the store, not the process.
#[derive(Default)]
pub(super) struct Memory(Mutex<HashMap<(StoreKind, ObjectKey), Pushed>>);

type Pushed = Arc<Mutex<BTreeMap<String, String>>>;

impl Memory {
    /// What was pushed to a store, by whoever uses it.
    pub(super) fn of(&self, id: &StoreId) -> Pushed {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry((id.kind, id.key.clone())).or_default())
    }
}

/// The store's own values and what was pushed.
pub(super) struct FakeProvider {
    /// By key and version.
    written: BTreeMap<(String, String), String>,
    pushed: Pushed,
    validation_result: i64,
}

impl FakeProvider {
    pub(super) fn new(fake: &Fake, pushed: Pushed) -> Self {
        let entry = |entry: &crate::api::secret_store::FakeEntry| {
            ((entry.key.clone(), entry.version.clone().unwrap_or_default()), entry.value.clone())
        };
        Self {
            written: fake.data.iter().map(entry).collect(),
            pushed,
            validation_result: fake.validation_result.unwrap_or_default(),
        }
    }

    fn pushed(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.pushed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn missing(key: &str) -> Error {
    Error::NotFound { key: key.to_owned() }
}

#[async_trait]
impl Provider for FakeProvider {
    async fn fetch(&self, reference: &RemoteRef) -> Result<Payload, Error> {
        let version = reference.version.clone().unwrap_or_default();
        let written = self.written.get(&(reference.key.clone(), version.clone())).cloned();
        let value = written.or_else(|| self.pushed().get(&reference.key).filter(|_| version.is_empty()).cloned());
        Ok(Payload::bytes(value.ok_or_else(|| missing(&reference.key))?, Some(version).filter(|text| !text.is_empty())))
    }

    fn value(&self, payload: &Payload, reference: &RemoteRef) -> Result<SecretBytes, Error> {
        match reference.property.as_deref().filter(|property| !property.is_empty()) {
            None => Ok(payload.whole()),
            // As upstream: here, and only here, a property that is not there counts as gone from the store.
            Some(property) => values::pick(payload.text(&reference.key)?, property)
                .map(Into::into)
                .ok_or_else(|| missing(&reference.key)),
        }
    }

    fn map(&self, payload: &Payload, reference: &RemoteRef) -> Result<Vec<(String, SecretBytes)>, Error> {
        let entries = values::entries(self.value(payload, reference)?.expose());
        entries.map_err(|error| Error::Value { key: reference.key.clone(), error })
    }

    /// Of several versions the one whose text is greatest, as upstream.
    async fn find(&self, find: &Find) -> Result<FetchedMap, Error> {
        let Some(name) = &find.name else {
            return Err(Error::Configuration("a fake store finds by name only".to_owned()));
        };
        let wanted = values::Pattern::new(name.regexp.as_deref().unwrap_or_default())
            .map_err(|error| Error::Configuration(format!("find.name.regexp: {error}")))?;
        let mut found = BTreeMap::new();
        for (key, value) in self.pushed().iter() {
            found.insert(key.clone(), value.clone());
        }
        // Sorted by key, then by version: the greatest comes last.
        for ((key, _), value) in &self.written {
            found.insert(key.clone(), value.clone());
        }
        let strategy = find.conversion_strategy.unwrap_or_default();
        let mut values = BTreeMap::new();
        for (key, value) in found.into_iter().filter(|(key, _)| wanted.matches(key)) {
            let converted = values::convert_key(&key, strategy);
            if values.insert(converted.clone(), value.into()).is_some() {
                return Err(Error::Value { key, error: ValueError::Collision(converted) });
            }
        }
        Ok(FetchedMap { values: values.into_iter().collect(), version: None })
    }

    async fn validate(&self) -> Result<(), Error> {
        match self.validation_result {
            2 => Err(Error::Configuration("unable to validate store: validationResult says so".to_owned())),
            1 => Err(Error::Unknown),
            _ => Ok(()),
        }
    }

    fn writer(&self) -> Option<&dyn Writer> {
        Some(self)
    }
}

#[async_trait]
impl Writer for FakeProvider {
    async fn exists(&self, reference: &PushRef) -> Result<bool, Error> {
        let written = self.written.contains_key(&(reference.remote_key.clone(), String::new()));
        Ok(written || self.pushed().contains_key(&reference.remote_key))
    }

    async fn push(&self, reference: &PushRef, value: PushValue<'_>) -> Result<(), Error> {
        if self.written.contains_key(&(reference.remote_key.clone(), String::new())) {
            return Err(Error::NotManaged { key: reference.remote_key.clone() });
        }
        let value = String::from_utf8_lossy(value.bytes()?.expose()).into_owned();
        self.pushed().insert(reference.remote_key.clone(), value);
        Ok(())
    }

    async fn delete(&self, reference: &PushRef) -> Result<(), Error> {
        self.pushed().remove(&reference.remote_key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::SecretManifest;

    fn provider(data: serde_json::Value) -> FakeProvider {
        let fake: Fake = serde_json::from_value(json!({ "data": data })).unwrap();
        FakeProvider::new(&fake, Pushed::default())
    }

    async fn read(fake: &FakeProvider, fields: serde_json::Value) -> Result<SecretBytes, Error> {
        let reference = serde_json::from_value(fields).unwrap();
        fake.value(&fake.fetch(&reference).await?, &reference)
    }

    #[tokio::test]
    async fn versions_must_match_and_a_missing_property_is_a_missing_value() {
        let fake = provider(json!([
            { "key": "k", "value": "plain" },
            { "key": "k", "value": r#"{"a":{"b":"deep"}}"#, "version": "v1" },
        ]));
        let cases = [
            (json!({ "key": "k" }), Some("plain")),
            (json!({ "key": "k", "version": "v1", "property": "a.b" }), Some("deep")),
            (json!({ "key": "k", "version": "v1", "property": "a.c" }), None),
            (json!({ "key": "k", "version": "v9" }), None),
            (json!({ "key": "none" }), None),
        ];
        for (fields, expected) in cases {
            match (read(&fake, fields.clone()).await, expected) {
                (Ok(found), Some(expected)) => assert_eq!(found.expose(), expected.as_bytes(), "{fields}"),
                (Err(Error::NotFound { .. }), None) => {}
                (other, _) => panic!("{fields}: {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn find_takes_the_greatest_version_and_matches_anywhere() {
        let fake = provider(json!([
            { "key": "db-user", "value": "old", "version": "v10" },
            { "key": "db-user", "value": "new", "version": "v9" },
            { "key": "web", "value": "w" },
        ]));
        let find = |regexp: &str| serde_json::from_value(json!({ "name": { "regexp": regexp } })).unwrap();
        let found = fake.find(&find("user$")).await.unwrap().values;
        assert_eq!(found, [("db-user".to_owned(), "new".to_owned().into())]);
        assert!(fake.find(&find("^zzz")).await.unwrap().values.is_empty());
        assert!(matches!(fake.find(&find("(")).await, Err(Error::Configuration(_))));
        let by_tags = serde_json::from_value(json!({ "tags": { "a": "b" } })).unwrap();
        assert!(matches!(fake.find(&by_tags).await, Err(Error::Configuration(_))));
    }

    #[tokio::test]
    async fn pushed_values_are_read_back_and_the_stores_own_are_refused() {
        let fake = provider(json!([{ "key": "own", "value": "1" }]));
        let data = [("user".to_owned(), "orla".to_owned().into())];
        let source = SecretManifest { data: data.into_iter().collect(), ..SecretManifest::default() };
        let at = |key: &str| PushRef { remote_key: key.to_owned(), ..PushRef::default() };
        fake.push(&at("one"), PushValue { source: &source, key: Some("user") }).await.unwrap();
        fake.push(&at("all"), PushValue { source: &source, key: None }).await.unwrap();
        assert_eq!(read(&fake, json!({ "key": "one" })).await.unwrap().expose(), b"orla");
        assert_eq!(read(&fake, json!({ "key": "all", "property": "user" })).await.unwrap().expose(), b"orla");
        let refused = fake.push(&at("own"), PushValue { source: &source, key: Some("user") }).await;
        assert!(matches!(refused, Err(Error::NotManaged { .. })));
        let absent = fake.push(&at("two"), PushValue { source: &source, key: Some("none") }).await;
        assert!(matches!(absent, Err(Error::Configuration(_))));
        fake.delete(&at("one")).await.unwrap();
        assert!(!fake.exists(&at("one")).await.unwrap());
    }
}
