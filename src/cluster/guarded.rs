//! One broken object must not break the watch of its kind.

use std::borrow::Cow;

use kube::Resource;
use kube::api::ObjectMeta;
pub(super) use kube::core::error_boundary::InvalidObject;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// An object, or why it cannot be read. As `kube::core::DeserializeGuard`, but read straight from the JSON, not by way of a
/// tree of all its values: half the work, and a megabyte less of program.
#[derive(Clone, Debug)]
pub struct Guarded<K>(pub Result<K, InvalidObject>);

/// Of an object's JSON only this.
#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    metadata: ObjectMeta,
}

impl<K: DeserializeOwned> Guarded<K> {
    /// Reads an object's JSON.
    ///
    /// # Errors
    ///
    /// Not even its metadata can be read, so that nobody knows which object it is.
    pub(super) fn read(json: &str) -> serde_json::Result<Self> {
        match serde_json::from_str(json) {
            Ok(object) => Ok(Self(Ok(object))),
            Err(error) => {
                let Named { metadata } = serde_json::from_str(json)?;
                Ok(Self(Err(InvalidObject { error: error.to_string(), metadata })))
            }
        }
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Guarded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Self::read(json.get()).map_err(serde::de::Error::custom)
    }
}

impl<K: Resource> Resource for Guarded<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(kind: &K::DynamicType) -> Cow<'_, str> {
        K::kind(kind)
    }

    fn group(kind: &K::DynamicType) -> Cow<'_, str> {
        K::group(kind)
    }

    fn version(kind: &K::DynamicType) -> Cow<'_, str> {
        K::version(kind)
    }

    fn plural(kind: &K::DynamicType) -> Cow<'_, str> {
        K::plural(kind)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|invalid| &invalid.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|invalid| &mut invalid.metadata, K::meta_mut)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::{ObjectList, WatchEvent};

    use super::*;

    const GOOD: &str = r#"{ "metadata": { "name": "good" }, "data": { "a": "b" } }"#;
    const BROKEN: &str = r#"{ "metadata": { "name": "broken" }, "data": { "a": 7 } }"#;

    fn told(object: &Guarded<ConfigMap>) -> (&str, bool) {
        (object.meta().name.as_deref().unwrap_or_default(), object.0.is_ok())
    }

    #[test]
    fn a_broken_object_stands_in_a_list_among_the_others() {
        let list = format!(
            r#"{{ "kind": "ConfigMapList", "apiVersion": "v1", "metadata": {{}}, "items": [{GOOD}, {BROKEN}, {GOOD}] }}"#
        );
        let list: ObjectList<Guarded<ConfigMap>> = serde_json::from_str(&list).unwrap();
        assert_eq!(
            list.items.iter().map(told).collect::<Vec<_>>(),
            [("good", true), ("broken", false), ("good", true)]
        );
        let error = &list.items[1].0.as_ref().unwrap_err().error;
        assert!(error.contains("expected a string"), "{error}");
    }

    #[test]
    fn a_watch_tells_of_broken_objects() {
        for (object, expected) in [(GOOD, ("good", true)), (BROKEN, ("broken", false))] {
            let event = format!(r#"{{ "type": "MODIFIED", "object": {object} }}"#);
            let WatchEvent::Modified(read) = serde_json::from_str::<WatchEvent<Guarded<ConfigMap>>>(&event).unwrap()
            else {
                panic!("it was modified");
            };
            assert_eq!(told(&read), expected);
        }
    }

    #[test]
    fn what_has_no_metadata_is_no_object() {
        assert!(serde_json::from_str::<Guarded<ConfigMap>>(r#"{ "metadata": 7 }"#).is_err());
    }
}
