//! From a PushSecret and the Secret that it names to what goes into which store.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use seal::SecretBytes;

use super::external_secret::{Error as SpecError, interval, synced_resource_version};
use crate::api::PushSecret;
use crate::api::external_secret::StoreKind;
use crate::api::push_secret::{
    PushConversion, PushData, PushDataTo, PushMatch, PushRemoteRef, PushSecretSpec, PushStoreRef, UpdatePolicy,
};
use crate::error::{Classify, Retry};
use crate::plan::SecretManifest;
use crate::values::{self, ValueError};

/// Why nothing can be pushed. Never holds a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The interval is no duration, or a selector is none.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The Secret lacks a key.
    #[error("secret key {0} does not exist")]
    NoKey(String),
    /// A `dataTo` that does not say into which store.
    #[error("spec.dataTo[{0}] needs a storeRef with a name or a labelSelector")]
    NoStore(usize),
    /// A `dataTo` that names one place and rewrites names.
    #[error("spec.dataTo[{0}] has a remoteKey, so there are no names to rewrite")]
    RewrittenBundle(usize),
    /// A `dataTo` whose names cannot be made.
    #[error("spec.dataTo[{index}]: {error}")]
    Names {
        /// Which entry.
        index: usize,
        /// Why.
        error: ValueError,
    },
    /// Two values for one place.
    #[error("two entries push to {0}; give one of them another remoteKey or property")]
    Twice(String),
}

impl Classify for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::NoKey(_) => "KeyNotFound",
            _ => "InvalidSpec",
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::NoKey(_) => Retry::Backoff,
            _ => Retry::OnChange,
        }
    }
}

/// One value on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Push {
    /// How the status names its place.
    pub place: String,
    /// The entry, as the status keeps it.
    pub entry: PushData,
    /// The Secret as this entry reads it: its keys converted, and only those that are meant.
    pub source: SecretManifest,
}

impl Push {
    /// The key that is pushed; none for the whole Secret.
    pub fn key(&self) -> Option<&str> {
        self.entry.match_.secret_key.as_deref().filter(|key| !key.is_empty())
    }
}

/// When it is pushed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Now.
    Now,
    /// After this time.
    Later(Duration),
    /// When it changes.
    Never,
}

/// When a PushSecret is to be pushed: by its own change, and by its interval. Its Secret is not watched, as upstream.
///
/// # Errors
///
/// [`Error::Spec`].
pub fn due(object: &PushSecret, now: Timestamp) -> Result<Due, Error> {
    let every = interval(&object.spec.refresh_interval)?;
    let status = object.status.clone().unwrap_or_default();
    if status.synced_resource_version.as_deref() != Some(synced_resource_version(&object.metadata).as_str()) {
        return Ok(Due::Now);
    }
    if every.is_zero() {
        return Ok(Due::Never);
    }
    let pushed = status.refresh_time.as_deref().and_then(|time| time.parse::<Timestamp>().ok());
    let Some(pushed) = pushed.filter(|pushed| *pushed <= now) else { return Ok(Due::Now) };
    let since = Duration::try_from(now.duration_since(pushed)).unwrap_or_default();
    Ok(every.checked_sub(since).filter(|left| !left.is_zero()).map_or(Due::Now, Due::Later))
}

/// Refuses selectors that mean nothing: what they no longer select would be taken out of its stores.
///
/// # Errors
///
/// [`Error::Spec`].
pub fn check(spec: &PushSecretSpec) -> Result<(), Error> {
    for (index, store) in spec.secret_store_refs.iter().enumerate() {
        if let Some(labels) = &store.label_selector {
            SpecError::check_selector(format!("spec.secretStoreRefs[{index}].labelSelector"), labels)?;
        }
    }
    for (index, many) in spec.data_to.iter().enumerate() {
        if let Some(labels) = many.store_ref.as_ref().and_then(|store| store.label_selector.as_ref()) {
            SpecError::check_selector(format!("spec.dataTo[{index}].storeRef.labelSelector"), labels)?;
        }
    }
    if let Some(labels) = spec.selector.secret.as_ref().and_then(|source| source.selector.as_ref()) {
        SpecError::check_selector("spec.selector.secret.selector", labels)?;
    }
    Ok(())
}

/// How the status names a store.
pub fn store_place(kind: StoreKind, name: &str) -> String {
    format!("{kind:?}/{name}")
}

/// The kind and name of a store from its place in a status.
pub fn store_of(place: &str) -> Option<(StoreKind, &str)> {
    let (kind, name) = place.split_once('/')?;
    match kind {
        "SecretStore" => Some((StoreKind::SecretStore, name)),
        "ClusterSecretStore" => Some((StoreKind::ClusterSecretStore, name)),
        _ => None,
    }
}

/// Whether what is there already is left as it is.
pub fn leaves_existing(spec: &PushSecretSpec) -> bool {
    spec.update_policy == UpdatePolicy::IfNotExists
}

/// Everything that goes into one store. `is_meant` says whether a reference means this store.
///
/// # Errors
///
/// [`Error`].
pub fn pushes(
    spec: &PushSecretSpec,
    source: &SecretManifest,
    is_meant: &dyn Fn(&PushStoreRef) -> bool,
    render: &dyn Fn(&str, &str) -> Result<String, String>,
) -> Result<Vec<Push>, Error> {
    let mut pushes: Vec<Push> = Vec::new();
    for entry in &spec.data {
        pushes.push(single(entry, source)?);
    }
    for (index, many) in spec.data_to.iter().enumerate() {
        let store = many.store_ref.as_ref().filter(|store| store.name.is_some() || store.label_selector.is_some());
        if is_meant(store.ok_or(Error::NoStore(index))?) {
            pushes.extend(expanded(index, many, source, render)?);
        }
    }
    let mut places = BTreeSet::new();
    for push in &pushes {
        if !places.insert(push.place.clone()) {
            return Err(Error::Twice(push.place.clone()));
        }
    }
    Ok(pushes)
}

fn single(entry: &PushData, source: &SecretManifest) -> Result<Push, Error> {
    let source = SecretManifest { data: read(&source.data, entry.conversion_strategy), ..source.clone() };
    let key = entry.match_.secret_key.as_deref().filter(|key| !key.is_empty());
    match key.filter(|key| !source.data.contains_key(*key)) {
        Some(missing) => Err(Error::NoKey(missing.to_owned())),
        None => Ok(Push { place: place(&entry.match_.remote_ref), entry: entry.clone(), source }),
    }
}

fn expanded(
    index: usize,
    many: &PushDataTo,
    source: &SecretManifest,
    render: &dyn Fn(&str, &str) -> Result<String, String>,
) -> Result<Vec<Push>, Error> {
    let wrong = |error| Error::Names { index, error };
    let mut data = read(&source.data, many.conversion_strategy);
    if let Some(regexp) = many.match_.as_ref().and_then(|wanted| wanted.regexp.as_deref()) {
        let pattern = values::Pattern::new(regexp).map_err(wrong)?;
        data.retain(|key, _| pattern.matches(key));
    }
    let entry = |key: Option<&str>, remote_key: String| PushData {
        match_: PushMatch {
            secret_key: key.map(str::to_owned),
            remote_ref: PushRemoteRef { remote_key, property: None },
        },
        metadata: many.metadata.clone(),
        conversion_strategy: many.conversion_strategy,
    };
    let source = SecretManifest { data, ..source.clone() };
    let bundle = many.remote_key.as_deref().filter(|remote| !remote.is_empty());
    if bundle.is_some() && !many.rewrite.is_empty() {
        return Err(Error::RewrittenBundle(index));
    }
    if let Some(remote) = bundle {
        let entry = entry(None, remote.to_owned());
        let is_empty = source.data.is_empty();
        return Ok(if is_empty { Vec::new() } else { vec![Push { place: remote.to_owned(), entry, source }] });
    }
    let keys: Vec<String> = source.data.keys().cloned().collect();
    keys.into_iter()
        .map(|key| {
            let remote = values::rewrite_name(&key, &many.rewrite, render).map_err(wrong)?;
            Ok(Push { place: remote.clone(), entry: entry(Some(&key), remote), source: source.clone() })
        })
        .collect()
}

fn read(data: &BTreeMap<String, SecretBytes>, how: PushConversion) -> BTreeMap<String, SecretBytes> {
    match how {
        PushConversion::None => data.clone(),
        PushConversion::ReverseUnicode => {
            data.iter().map(|(key, value)| (values::reverse_key(key), value.clone())).collect()
        }
    }
}

fn place(remote: &PushRemoteRef) -> String {
    match remote.property.as_deref().filter(|property| !property.is_empty()) {
        Some(property) => format!("{}/{property}", remote.remote_key),
        None => remote.remote_key.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::ObjectKey;

    /// Where to, of which key, and the keys of what is pushed.
    type Told = (String, Option<String>, Vec<String>);

    fn run(fields: Value) -> Result<Vec<Told>, String> {
        let mut spec = json!({ "secretStoreRefs": [{ "name": "s" }], "selector": { "secret": { "name": "src" } } });
        spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let spec: PushSecretSpec = serde_json::from_value(spec).unwrap();
        let data = [("user", "orla"), ("pass", "s3"), ("a_U002f_b", "x")];
        let source = SecretManifest {
            key: ObjectKey::new("ns", "src"),
            data: data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned().into())).collect(),
            ..SecretManifest::default()
        };
        let meant = |store: &PushStoreRef| store.name.as_deref() == Some("s");
        let render = |template: &str, key: &str| Ok(template.replace("{{ .value }}", key));
        let pushes = pushes(&spec, &source, &meant, &render).map_err(|error| error.to_string())?;
        let told = |push: Push| {
            (push.place.clone(), push.key().map(str::to_owned), push.source.data.into_keys().collect::<Vec<_>>())
        };
        Ok(pushes.into_iter().map(told).collect())
    }

    fn places(fields: Value) -> Vec<String> {
        run(fields).unwrap().into_iter().map(|(place, ..)| place).collect()
    }

    #[test]
    fn entries_say_what_goes_where() {
        let entry = |key: Option<&str>, remote: Value| {
            let mut wanted = json!({ "remoteRef": remote });
            if let Some(key) = key {
                wanted["secretKey"] = key.into();
            }
            json!({ "match": wanted })
        };
        let data = json!({ "data": [
            entry(Some("user"), json!({ "remoteKey": "out", "property": "u" })),
            entry(None, json!({ "remoteKey": "all" })),
        ] });
        assert_eq!(places(data), ["out/u", "all"]);
        let store = json!({ "name": "s" });
        assert_eq!(places(json!({ "dataTo": [{ "storeRef": store }] })), ["a_U002f_b", "pass", "user"]);
        let rewritten = json!({ "dataTo": [{
            "storeRef": store, "match": { "regexp": "^u" },
            "rewrite": [{ "regexp": { "source": "^(.)", "target": "app/$1" } }, { "transform": { "template": "X-{{ .value }}" } }],
        }] });
        assert_eq!(places(rewritten), ["X-app/user"]);
        let bundle = json!({ "dataTo": [{ "storeRef": store, "remoteKey": "bundle", "match": { "regexp": "s" } }] });
        let told = run(bundle).unwrap();
        assert_eq!(told, [("bundle".to_owned(), None, vec!["pass".to_owned(), "user".to_owned()])]);
        let reversed = json!({ "dataTo": [{ "storeRef": store, "conversionStrategy": "ReverseUnicode", "match": { "regexp": "/" } }] });
        assert_eq!(places(reversed), ["a/b"]);
        assert_eq!(places(json!({ "dataTo": [{ "storeRef": { "name": "other" } }] })), Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_pushed_is_said() {
        let store = json!({ "name": "s" });
        let to =
            |key: &str, remote: &str| json!({ "match": { "secretKey": key, "remoteRef": { "remoteKey": remote } } });
        for (fields, expected) in [
            (json!({ "data": [to("zzz", "x")] }), "secret key zzz does not exist"),
            (json!({ "data": [to("user", "x"), to("pass", "x")] }), "two entries push to x"),
            (json!({ "dataTo": [{}] }), "spec.dataTo[0] needs a storeRef"),
            (
                json!({ "dataTo": [{ "storeRef": store, "match": { "regexp": "(" } }] }),
                "spec.dataTo[0]: \"(\" is no regular",
            ),
            (
                json!({ "dataTo": [{ "storeRef": store, "remoteKey": "x", "rewrite": [{ "transform": { "template": "y" } }] }] }),
                "spec.dataTo[0] has a remoteKey",
            ),
        ] {
            let told = run(fields).unwrap_err();
            assert!(told.starts_with(expected), "{told}");
        }
    }

    #[test]
    fn when_it_is_pushed() {
        let now: Timestamp = "2026-11-26T10:30:00Z".parse().unwrap();
        let object = |every: &str, ago: Option<i64>| {
            let spec = json!({ "refreshInterval": every, "secretStoreRefs": [], "selector": {} });
            let mut object = PushSecret::new("p", serde_json::from_value(spec).unwrap());
            object.status = ago.map(|ago| crate::api::push_secret::PushSecretStatus {
                refresh_time: Some(Timestamp::from_second(now.as_second() - ago).unwrap().to_string()),
                synced_resource_version: Some(synced_resource_version(&object.metadata)),
                ..Default::default()
            });
            object
        };
        for (name, object, expected) in [
            ("never", object("1h", None), Due::Now),
            ("a while ago", object("1h", Some(1800)), Due::Later(Duration::from_secs(1800))),
            ("too long ago", object("1h", Some(3600)), Due::Now),
            ("once", object("0", Some(9999)), Due::Never),
            ("in the future", object("1h", Some(-5)), Due::Now),
        ] {
            assert_eq!(due(&object, now).unwrap(), expected, "{name}");
        }
    }
}
