//! From an ExternalSecret and what its store gave to the Secret that it means.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use seal::SecretBytes;
use serde_json::json;
use sha3::{Digest, Sha3_224};

use super::ownership::mints_credentials;
use crate::api::ExternalSecret;
use crate::api::external_secret::{
    CREATED_BY_LABEL, ConversionStrategy, CreationPolicy, DataEntry, DeletionPolicy, MANAGED_LABEL, NullBytePolicy,
    RefreshPolicy, RemoteRef,
};
use crate::error::{Classify, Retry};
use crate::plan::{ObjectKey, SecretManifest};
use crate::values::{self, ValueError};

/// Longest field manager that upstream writes in full.
const LONGEST_MANAGER: usize = 63;
/// kubectl's copy of the whole object; upstream copies it to the Secret, which helps nobody.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// When values are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Now.
    Now,
    /// After this time.
    Later(Duration),
    /// When something changes.
    Never,
}

/// Why an ExternalSecret does not become a Secret. Never holds a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Fields that are not honoured and without which the Secret would be wrong.
    #[error("{} not supported by this version; the Secret is left as it is", listed(.0))]
    Unsupported(Vec<String>),
    /// The interval is no duration.
    #[error("spec.refreshInterval {0:?} is no duration; write it as 1h or 30s")]
    Interval(String),
    /// Nothing is asked for.
    #[error("neither spec.data nor spec.dataFrom asks for a value")]
    Empty,
    /// A value is not as wanted.
    #[error("{key}: {error}")]
    Value {
        /// Key in the Secret, or in the store.
        key: String,
        /// Why.
        error: ValueError,
    },
    /// A NUL byte where none is allowed.
    #[error("{0}: the value holds a NUL byte, which nullBytePolicy forbids")]
    NullByte(String),
    /// A Secret that an object may not make.
    #[error("a Secret of type {0} mints credentials and is not made from an ExternalSecret")]
    Refused(String),
}

impl Classify for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Unsupported(_) => "UnsupportedField",
            Self::Interval(_) | Self::Empty => "InvalidSpec",
            Self::Value { .. } | Self::NullByte(_) => "InvalidValue",
            Self::Refused(_) => "Refused",
        }
    }

    fn retry(&self) -> Retry {
        match self {
            // The store may give something else next time.
            Self::Value { .. } | Self::NullByte(_) => Retry::Backoff,
            _ => Retry::OnChange,
        }
    }
}

/// What the store gave for one entry.
#[derive(Clone, Debug)]
pub enum Answer {
    /// For an entry of `data`.
    Value(SecretBytes),
    /// For an entry of `dataFrom`.
    Map(Vec<(String, SecretBytes)>),
}

/// Refuses what would make a wrong Secret if it were ignored. `unsupported` are paths from `api::unsupported_fields`.
///
/// # Errors
///
/// [`Error::Unsupported`], [`Error::Empty`], [`Error::Interval`].
pub fn check(object: &ExternalSecret, mut unsupported: Vec<String>) -> Result<(), Error> {
    let target = &object.spec.target;
    if target.creation_policy != CreationPolicy::Owner {
        unsupported.push(format!("spec.target.creationPolicy {:?}", target.creation_policy));
    }
    if target.deletion_policy != DeletionPolicy::Retain {
        unsupported.push(format!("spec.target.deletionPolicy {:?}", target.deletion_policy));
    }
    if target.template.is_some() {
        unsupported.push("spec.target.template".to_owned());
    }
    if object.spec.sync_windows.is_some() {
        unsupported.push("spec.syncWindows".to_owned());
    }
    for (index, _) in object.spec.data.iter().enumerate().filter(|(_, entry)| entry.source_ref.is_some()) {
        unsupported.push(format!("spec.data[{index}].sourceRef"));
    }
    for (index, entry) in object.spec.data_from.iter().enumerate() {
        if entry.source_ref.is_some() || !entry.rewrite.is_empty() {
            unsupported.push(format!("spec.dataFrom[{index}] with sourceRef or rewrite"));
        }
        if entry.extract.is_none() {
            unsupported.push(format!("spec.dataFrom[{index}] without extract"));
        }
    }
    if !unsupported.is_empty() {
        unsupported.sort();
        return Err(Error::Unsupported(unsupported));
    }
    if object.spec.data.is_empty() && object.spec.data_from.is_empty() {
        return Err(Error::Empty);
    }
    interval(object).map(drop)
}

/// When values are to be read, for a target that is as it was written.
///
/// # Errors
///
/// [`Error::Interval`].
pub fn due(object: &ExternalSecret, now: Timestamp) -> Result<Due, Error> {
    let status = object.status.clone().unwrap_or_default();
    let refreshed = status.refresh_time.as_deref().and_then(|time| time.parse::<Timestamp>().ok());
    let changed = status.synced_resource_version.as_deref() != Some(synced_resource_version(object).as_str());
    let every = interval(object)?;
    let Some(refreshed) = refreshed.filter(|_| status.synced_resource_version.is_some()) else {
        return Ok(Due::Now);
    };
    Ok(match object.spec.refresh_policy.unwrap_or_default() {
        RefreshPolicy::CreatedOnce => Due::Never,
        RefreshPolicy::OnChange if changed => Due::Now,
        RefreshPolicy::OnChange => Due::Never,
        // Upstream's rule: an interval of nothing means once and for all.
        RefreshPolicy::Periodic if every.is_zero() => Due::Never,
        RefreshPolicy::Periodic if changed || refreshed > now => Due::Now,
        RefreshPolicy::Periodic => {
            let since = Duration::try_from(now.duration_since(refreshed)).unwrap_or_default();
            match every.checked_sub(since) {
                Some(left) if !left.is_zero() => Due::Later(left),
                _ => Due::Now,
            }
        }
    })
}

/// How long values count.
///
/// # Errors
///
/// [`Error::Interval`].
pub fn interval(object: &ExternalSecret) -> Result<Duration, Error> {
    let text = object.spec.refresh_interval.trim();
    if matches!(text, "" | "0") {
        return Ok(Duration::ZERO);
    }
    let signed: jiff::SignedDuration = text.parse().map_err(|_| Error::Interval(text.to_owned()))?;
    Ok(Duration::try_from(signed).unwrap_or_default())
}

/// Everything that is to be read, `dataFrom` first: later entries win.
pub fn references(object: &ExternalSecret) -> Vec<(RemoteRef, bool)> {
    let maps = object.spec.data_from.iter().filter_map(|entry| Some((entry.extract.clone()?, true)));
    let values = object.spec.data.iter().map(|entry| (entry.remote_ref.clone(), false));
    maps.chain(values).collect()
}

/// The Secret, from what the store gave to [`references`], in their order.
///
/// # Errors
///
/// [`Error::Value`], [`Error::NullByte`], [`Error::Refused`].
pub fn assemble(object: &ExternalSecret, answers: Vec<Answer>) -> Result<SecretManifest, Error> {
    let mut data = BTreeMap::new();
    let mut entries = object.spec.data.iter();
    let mut maps = object.spec.data_from.iter().filter_map(|entry| entry.extract.as_ref());
    for answer in answers {
        match answer {
            Answer::Map(values) => {
                if let Some(reference) = maps.next() {
                    data.extend(extracted(reference, values)?);
                }
            }
            Answer::Value(value) => {
                if let Some(DataEntry { secret_key, remote_ref, .. }) = entries.next() {
                    values::check_key(secret_key).map_err(|error| Error::Value { key: secret_key.clone(), error })?;
                    data.insert(secret_key.clone(), decoded(secret_key, remote_ref, value)?);
                }
            }
        }
    }
    let mut labels = object.labels().clone();
    labels.insert(MANAGED_LABEL.to_owned(), "true".to_owned());
    labels.insert(CREATED_BY_LABEL.to_owned(), created_by(object));
    let mut annotations = object.annotations().clone();
    annotations.remove(LAST_APPLIED);
    let secret = SecretManifest {
        further_owners: Vec::new(),
        key: target(object),
        labels,
        annotations,
        finalizers: Vec::new(),
        owner: Some(owner(object)),
        type_: String::new(),
        immutable: object.spec.target.immutable.filter(|immutable| *immutable),
        data,
    };
    if mints_credentials(&secret.type_) {
        return Err(Error::Refused(secret.type_));
    }
    Ok(secret)
}

fn extracted(
    reference: &RemoteRef,
    values: Vec<(String, SecretBytes)>,
) -> Result<BTreeMap<String, SecretBytes>, Error> {
    let strategy = reference.conversion_strategy.unwrap_or(ConversionStrategy::Default);
    let mut map = BTreeMap::new();
    for (name, value) in values {
        if name.is_empty() {
            continue;
        }
        let key = values::convert_key(&name, strategy);
        values::check_key(&key).map_err(|error| Error::Value { key: reference.key.clone(), error })?;
        let value = decoded(&key, reference, value)?;
        if map.insert(key.clone(), value).is_some() {
            return Err(Error::Value { key: reference.key.clone(), error: ValueError::Collision(key) });
        }
    }
    Ok(map)
}

fn decoded(key: &str, reference: &RemoteRef, value: SecretBytes) -> Result<SecretBytes, Error> {
    let value = values::decode(value, reference.decoding_strategy.unwrap_or_default())
        .map_err(|error| Error::Value { key: key.to_owned(), error })?;
    if reference.null_byte_policy == Some(NullBytePolicy::Fail) && value.expose().contains(&0) {
        return Err(Error::NullByte(key.to_owned()));
    }
    Ok(value)
}

/// The Secret that an ExternalSecret makes.
pub fn target(object: &ExternalSecret) -> ObjectKey {
    let name = object.spec.target.name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| object.name_any());
    ObjectKey::new(object.namespace().unwrap_or_default(), name)
}

/// The Secret without its values.
pub fn shape(object: &ExternalSecret) -> SecretManifest {
    assemble(object, Vec::new()).unwrap_or_default()
}

fn owner(object: &ExternalSecret) -> serde_json::Value {
    json!({
        "apiVersion": "external-secrets.io/v1",
        "kind": "ExternalSecret",
        "name": object.name_any(),
        "uid": object.uid().unwrap_or_default(),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// Upstream's field manager of the Secret: a hand-over finds its own fields.
pub fn field_manager(object: &ExternalSecret) -> String {
    let name = object.name_any();
    let manager = format!("externalsecrets.external-secrets.io/{name}");
    if manager.len() <= LONGEST_MANAGER {
        return manager;
    }
    format!("externalsecrets.external-secrets.io/sha3/{}", sha3(&name))
}

/// Upstream's label that names the maker: a hash of `namespace/name`.
pub fn created_by(object: &ExternalSecret) -> String {
    sha3(&format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any()))
}

/// Upstream's mark of what was handled: the generation, and a hash of labels and annotations as Go prints them.
pub fn synced_resource_version(object: &ExternalSecret) -> String {
    let printed = |map: &BTreeMap<String, String>| {
        let entries: Vec<_> = map.iter().map(|(key, value)| format!("{key}:{value}")).collect();
        format!("map[{}]", entries.join(" "))
    };
    let text = format!("{{annotations:{} labels:{}}}", printed(object.annotations()), printed(object.labels()));
    format!("{}-{}", object.metadata.generation.unwrap_or_default(), sha3(&text))
}

fn sha3(text: &str) -> String {
    Sha3_224::digest(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        // Writing to a String does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn listed(paths: &[String]) -> String {
    let verb = if paths.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", paths.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(edit: impl FnOnce(&mut serde_json::Value)) -> ExternalSecret {
        let mut value = json!({
            "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
            "metadata": { "name": "db", "namespace": "shop", "uid": "u", "generation": 1 },
            "spec": {
                "secretStoreRef": { "name": "vault" }, "refreshInterval": "1h",
                "data": [{ "secretKey": "password", "remoteRef": { "key": "db", "property": "password" } }],
            },
        });
        edit(&mut value);
        serde_json::from_value(value).unwrap()
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_000_000).unwrap()
    }

    /// Synced so many seconds ago, at the present version.
    fn synced(seconds: i64, edit: impl FnOnce(&mut serde_json::Value)) -> ExternalSecret {
        let mut object = object(edit);
        let version = synced_resource_version(&object);
        object.status = Some(
            serde_json::from_value(json!({
                "refreshTime": Timestamp::from_second(1_000_000 - seconds).unwrap().to_string(),
                "syncedResourceVersion": version,
            }))
            .unwrap(),
        );
        object
    }

    #[test]
    fn when_a_fetch_is_due() {
        let later = Due::Later(Duration::from_secs(1800));
        let edited = |mut object: ExternalSecret| {
            object.metadata.generation = Some(2);
            object
        };
        let policy = |policy: &'static str| move |o: &mut serde_json::Value| o["spec"]["refreshPolicy"] = policy.into();
        let every = |every: &'static str| move |o: &mut serde_json::Value| o["spec"]["refreshInterval"] = every.into();
        let cases = [
            ("never synced", object(|_| {}), Due::Now),
            ("synced, interval not over", synced(1800, |_| {}), later),
            ("synced, interval over", synced(3600, |_| {}), Due::Now),
            ("spec changed since last sync", edited(synced(60, |_| {})), Due::Now),
            ("last refresh lies in the future", synced(-60, |_| {}), Due::Now),
            ("interval of nothing", synced(60, every("0")), Due::Never),
            ("interval of nothing, spec changed", edited(synced(60, every("0s"))), Due::Never),
            ("once", synced(9_999, policy("CreatedOnce")), Due::Never),
            ("on change, nothing changed", synced(9_999, policy("OnChange")), Due::Never),
            ("on change, changed", edited(synced(60, policy("OnChange"))), Due::Now),
        ];
        for (name, object, expected) in cases {
            assert_eq!(due(&object, now()).unwrap(), expected, "{name}");
        }
        assert!(due(&object(every("soon")), now()).is_err());
    }

    #[test]
    fn upstreams_hashes_are_computed_exactly() {
        let plain = object(|_| {});
        assert_eq!(synced_resource_version(&plain), "1-f47fe3c0b255b6dd8047cdffa772587bb829efe7a1cb70febeda2eb2");
        let other = object(|o| o["metadata"] = json!({ "name": "test-es", "namespace": "default" }));
        assert_eq!(created_by(&other), "a8e09351ea392b727f69f63683b28619fbed1174f572e728706a9ea8");
        assert_eq!(field_manager(&plain), "externalsecrets.external-secrets.io/db");
        let long = object(|o| o["metadata"]["name"] = "x".repeat(40).into());
        assert!(field_manager(&long).starts_with("externalsecrets.external-secrets.io/sha3/"));
    }

    #[test]
    fn entries_are_assembled_and_later_ones_win() {
        let object = object(|o| {
            o["spec"]["dataFrom"] = json!([{ "extract": { "key": "db" } }]);
            o["metadata"]["labels"] = json!({ "team": "shop" });
        });
        let text = |text: &str| SecretBytes::from(text.to_owned());
        let map = Answer::Map(vec![("a/b".to_owned(), text("1")), ("password".to_owned(), text("old"))]);
        let secret = assemble(&object, vec![map, Answer::Value(text("new"))]).unwrap();
        let values: Vec<_> = secret.data.iter().map(|(key, value)| (key.as_str(), value.expose())).collect();
        assert_eq!(values, [("a_b", &b"1"[..]), ("password", b"new")]);
        assert_eq!(secret.labels["team"], "shop");
        assert_eq!(secret.labels[MANAGED_LABEL], "true");

        let collision = Answer::Map(vec![("a/b".to_owned(), text("1")), ("a b".to_owned(), text("2"))]);
        assert_eq!(assemble(&object, vec![collision]).unwrap_err().to_string(), "db: two keys become \"a_b\"");
    }

    #[test]
    fn what_would_make_a_wrong_secret_is_refused_with_its_path() {
        let merge = object(|o| o["spec"]["target"] = json!({ "creationPolicy": "Merge" }));
        let told = check(&merge, vec!["spec.target.template".to_owned()]).unwrap_err().to_string();
        assert_eq!(
            told,
            "spec.target.creationPolicy Merge, spec.target.template are not supported by this version; the Secret is left as it is"
        );
        let empty = object(|o| o["spec"]["data"] = json!([]));
        assert_eq!(check(&empty, vec![]).unwrap_err(), Error::Empty);
        assert_eq!(check(&object(|_| {}), vec![]), Ok(()));
    }
}
