//! What is to be read, and the values that come of it: the same for all providers.

use std::collections::BTreeMap;

use seal::SecretBytes;

use super::Error;
use crate::api::ExternalSecret;
use crate::api::external_secret::{
    ConversionStrategy, DataFrom, DecodingStrategy, DeletionPolicy, Find, GeneratorRef, NullBytePolicy, RemoteRef,
    StoreRef,
};
use crate::values::{self, ValueError};

/// One thing to read, for one entry of the spec.
#[derive(Clone, Debug, PartialEq)]
pub struct Read<'a> {
    /// The entry, such as `data[0]`.
    pub entry: String,
    /// From where.
    pub from: Origin<'a>,
    /// What.
    pub what: What<'a>,
    /// Where it goes.
    to: Place<'a>,
}

/// From where something is read.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin<'a> {
    /// A store.
    Store(StoreRef),
    /// A generator.
    Generator(&'a GeneratorRef),
}

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What<'a> {
    /// One value.
    Value(&'a RemoteRef),
    /// Everything under one key.
    Map(&'a RemoteRef),
    /// Everything that matches.
    Find(&'a Find),
    /// What a generator makes.
    Made,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place<'a> {
    Key(&'a str),
    Keys(&'a DataFrom),
}

impl Read<'_> {
    /// The key, path or expression that is asked for, for people.
    pub fn key(&self) -> String {
        match (self.what, &self.from) {
            (What::Value(reference) | What::Map(reference), _) => reference.key.clone(),
            (What::Find(find), _) => {
                let name = find.name.as_ref().and_then(|name| name.regexp.clone());
                find.path.clone().into_iter().chain(name).collect::<Vec<_>>().join(" ")
            }
            (What::Made, Origin::Generator(reference)) => reference.name.clone(),
            (What::Made, Origin::Store(_)) => String::new(),
        }
    }

    /// The store or generator, such as `SecretStore/vault`.
    pub fn origin(&self) -> String {
        match &self.from {
            Origin::Store(store) => {
                format!("{:?}/{}", store.kind.unwrap_or_default(), store.name.as_deref().unwrap_or_default())
            }
            Origin::Generator(generator) => format!("{}/{}", generator.kind, generator.name),
        }
    }
}

/// Values by their keys.
type Values = BTreeMap<String, SecretBytes>;

/// What came of one read.
#[derive(Clone, Debug)]
pub enum Answer {
    /// One value.
    Value(SecretBytes),
    /// A map of values.
    Map(Vec<(String, SecretBytes)>),
    /// The store no longer has it, and the object says what that means.
    Missing,
}

/// Everything that is to be read, in order: later entries win, and `data` comes last. An entry that asks for nothing is
/// left out, as upstream does where nothing checks it before.
pub fn reads(object: &ExternalSecret) -> Vec<Read<'_>> {
    let default = object.spec.secret_store_ref.clone().unwrap_or_default();
    let store = |own: Option<&StoreRef>| Origin::Store(own.cloned().unwrap_or_else(|| default.clone()));
    let maps = object.spec.data_from.iter().enumerate().filter_map(|(index, entry)| {
        let source = entry.source_ref.as_ref();
        let generator = source.and_then(|source| source.generator_ref.as_ref());
        let own = source.and_then(|source| source.store_ref.as_ref());
        let (from, what) = match (&entry.find, &entry.extract, generator) {
            (Some(find), _, _) => (store(own), What::Find(find)),
            (None, Some(extract), _) => (store(own), What::Map(extract)),
            (None, None, Some(generator)) => (Origin::Generator(generator), What::Made),
            (None, None, None) => return None,
        };
        Some(Read { entry: format!("dataFrom[{index}]"), from, what, to: Place::Keys(entry) })
    });
    let single = object.spec.data.iter().enumerate().map(|(index, entry)| Read {
        entry: format!("data[{index}]"),
        from: store(entry.source_ref.as_ref().and_then(|source| source.store_ref.as_ref())),
        what: What::Value(&entry.remote_ref),
        to: Place::Key(&entry.secret_key),
    });
    maps.chain(single).collect()
}

/// Whether an object goes on without what a store no longer has.
pub fn tolerates_missing(object: &ExternalSecret) -> bool {
    object.spec.target.deletion_policy != DeletionPolicy::Retain
}

/// The values, from what the stores gave; and for each read which keys it gave.
///
/// # Errors
///
/// [`Error::Value`], [`Error::NullByte`], with the entry.
pub fn assemble(
    answers: Vec<(&Read<'_>, Answer)>,
    render: &dyn Fn(&str, &str) -> Result<String, String>,
) -> Result<(Values, Vec<Vec<String>>), Error> {
    let (mut all, mut keys) = (BTreeMap::new(), Vec::new());
    for (read, answer) in answers {
        let wrong = |error: ValueError| Error::Value { entry: read.entry.clone(), key: read.key(), error };
        let values = match (answer, read.to) {
            (Answer::Missing, _) => BTreeMap::new(),
            (Answer::Map(values), Place::Keys(entry)) => map(read, entry, values, render)?,
            (Answer::Value(value), Place::Key(key)) => {
                values::check_key(key).map_err(wrong)?;
                let how = Decoding::of(read.what);
                BTreeMap::from([(key.to_owned(), how.decode(read, key, value)?)])
            }
            // Reads and answers belong together; a mixture holds nothing.
            (Answer::Map(_), Place::Key(_)) | (Answer::Value(_), Place::Keys(_)) => BTreeMap::new(),
        };
        keys.push(values.keys().cloned().collect());
        all.extend(values);
    }
    Ok((all, keys))
}

/// A map: rewritten, or else converted; then checked, decoded, and looked through for NUL bytes.
fn map(
    read: &Read<'_>,
    entry: &DataFrom,
    given: Vec<(String, SecretBytes)>,
    render: &dyn Fn(&str, &str) -> Result<String, String>,
) -> Result<Values, Error> {
    let wrong = |error: ValueError| Error::Value { entry: read.entry.clone(), key: read.key(), error };
    let mut renamed: Values = given.into_iter().collect();
    if !entry.rewrite.is_empty() {
        renamed = values::rewrite(renamed, &entry.rewrite, render).map_err(wrong)?;
    } else if read.what != What::Made {
        renamed = converted(renamed, read.what).map_err(wrong)?;
    }
    let how = Decoding::of(read.what);
    let mut out = BTreeMap::new();
    for (key, value) in renamed.into_iter().filter(|(key, _)| !key.is_empty()) {
        values::check_key(&key).map_err(wrong)?;
        let value = how.decode(read, &key, value)?;
        out.insert(key, value);
    }
    Ok(out)
}

fn converted(given: BTreeMap<String, SecretBytes>, what: What<'_>) -> Result<Values, ValueError> {
    let strategy = match what {
        What::Value(reference) | What::Map(reference) => reference.conversion_strategy,
        What::Find(find) => find.conversion_strategy,
        What::Made => None,
    };
    let strategy = strategy.unwrap_or(ConversionStrategy::Default);
    let mut out = BTreeMap::new();
    for (key, value) in given {
        let key = values::convert_key(&key, strategy);
        if out.insert(key.clone(), value).is_some() {
            return Err(ValueError::Collision(key));
        }
    }
    Ok(out)
}

/// How a value is decoded.
struct Decoding {
    strategy: DecodingStrategy,
    null_bytes: NullBytePolicy,
}

impl Decoding {
    fn of(what: What<'_>) -> Self {
        let (strategy, null_bytes) = match what {
            What::Value(reference) | What::Map(reference) => (reference.decoding_strategy, reference.null_byte_policy),
            What::Find(find) => (find.decoding_strategy, find.null_byte_policy),
            What::Made => (None, None),
        };
        Self { strategy: strategy.unwrap_or_default(), null_bytes: null_bytes.unwrap_or_default() }
    }

    fn decode(&self, read: &Read<'_>, key: &str, value: SecretBytes) -> Result<SecretBytes, Error> {
        let value = values::decode(value, self.strategy).map_err(|error| Error::Value {
            entry: read.entry.clone(),
            key: key.to_owned(),
            error,
        })?;
        if self.null_bytes == NullBytePolicy::Fail && value.expose().contains(&0) {
            return Err(Error::NullByte { entry: read.entry.clone(), key: key.to_owned() });
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::object;
    use super::*;

    fn run(spec: Value, answers: Vec<Answer>) -> Result<Vec<(String, String)>, String> {
        let object = object(|o| {
            o["spec"]["data"] = json!([]);
            o["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        });
        let reads = reads(&object);
        assert_eq!(reads.len(), answers.len());
        let render = |template: &str, key: &str| Ok(template.replace("{{ .value }}", key));
        let (values, _) = assemble(reads.iter().zip(answers).collect(), &render).map_err(|error| error.to_string())?;
        let text = |value: SecretBytes| String::from_utf8_lossy(value.expose()).into_owned();
        Ok(values.into_iter().map(|(key, value)| (key, text(value))).collect())
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn given(values: &[(&str, &str)]) -> Answer {
        Answer::Map(values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned().into())).collect())
    }

    #[test]
    fn later_entries_win_and_data_comes_last() {
        let spec = json!({
            "dataFrom": [{ "extract": { "key": "m1" } }, { "extract": { "key": "m2" } }],
            "data": [{ "secretKey": "l", "remoteRef": { "key": "l" } }],
        });
        let answers = vec![
            given(&[("k", "m1"), ("only1", "x")]),
            given(&[("k", "m2"), ("l", "m2")]),
            Answer::Value("from-data".to_owned().into()),
        ];
        assert_eq!(run(spec, answers).unwrap(), pairs(&[("k", "m2"), ("l", "from-data"), ("only1", "x")]));
    }

    #[test]
    fn keys_are_converted_unless_they_are_rewritten_and_always_checked() {
        let extract = |fields: Value| json!({ "dataFrom": [fields] });
        let plain = extract(json!({ "extract": { "key": "m" } }));
        assert_eq!(run(plain.clone(), vec![given(&[("a/b", "1"), ("", "dropped")])]).unwrap(), pairs(&[("a_b", "1")]));
        let unicode = extract(json!({ "extract": { "key": "m", "conversionStrategy": "Unicode" } }));
        assert_eq!(run(unicode, vec![given(&[("a/b", "1")])]).unwrap(), pairs(&[("a_U002f_b", "1")]));
        for (spec, keys, expected) in [
            (plain.clone(), &[("a/b", ""), ("a b", "")][..], "dataFrom[0] (m): two keys become \"a_b\""),
            (
                plain,
                &[("é", "")][..],
                "dataFrom[0] (m): \"é\" cannot be a key of a Secret: letters, digits, `-`, `_` and `.` only, at most 253",
            ),
            (
                extract(
                    json!({ "extract": { "key": "m" }, "rewrite": [{ "regexp": { "source": "^", "target": "a/" } }] }),
                ),
                &[("x", "")][..],
                "dataFrom[0] (m): \"a/x\" cannot be a key of a Secret: letters, digits, `-`, `_` and `.` only, at most 253",
            ),
        ] {
            assert_eq!(run(spec, vec![given(keys)]).unwrap_err(), expected);
        }
        let transformed = extract(
            json!({ "find": { "name": { "regexp": "x" } }, "rewrite": [{ "transform": { "template": "X_{{ .value }}" } }] }),
        );
        assert_eq!(run(transformed, vec![given(&[("x", "1")])]).unwrap(), pairs(&[("X_x", "1")]));
    }

    #[test]
    fn values_are_decoded_and_nul_bytes_are_found() {
        let data = |fields: Value| json!({ "data": [{ "secretKey": "x", "remoteRef": fields }] });
        let value = |text: &str| vec![Answer::Value(text.to_owned().into())];
        let spec = data(json!({ "key": "n", "decodingStrategy": "Base64" }));
        assert_eq!(run(spec.clone(), value("YWI=")).unwrap(), pairs(&[("x", "ab")]));
        assert_eq!(run(spec, value("no!")).unwrap_err(), "data[0] (x): the value cannot be decoded as Base64");
        let fail = data(json!({ "key": "n", "decodingStrategy": "Base64", "nullBytePolicy": "Fail" }));
        assert_eq!(
            run(fail, value("YQBi")).unwrap_err(),
            "data[0] (x): the value holds a NUL byte, which nullBytePolicy forbids"
        );
    }

    #[test]
    fn each_entry_says_what_it_reads_from_where() {
        let object = object(|o| {
            o["spec"]["dataFrom"] = json!([
                { "find": { "path": "p", "name": { "regexp": "x" } }, "sourceRef": { "storeRef": { "name": "other", "kind": "ClusterSecretStore" } } },
                { "sourceRef": { "generatorRef": { "kind": "UUID", "name": "gen" } } },
                {},
            ]);
        });
        let told: Vec<_> = reads(&object).iter().map(|read| (read.entry.clone(), read.origin(), read.key())).collect();
        let expected = [
            ("dataFrom[0]", "ClusterSecretStore/other", "p x"),
            ("dataFrom[1]", "UUID/gen", "gen"),
            ("data[0]", "SecretStore/vault", "db"),
        ];
        let expected: Vec<_> =
            expected.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect();
        assert_eq!(told, expected);
    }
}
