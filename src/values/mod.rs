//! Values as text: what every provider needs, once and the same. Pure.

use std::collections::BTreeMap;

use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};
use seal::SecretBytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::api::external_secret::DecodingStrategy;

mod gjson;
/// JSON as Go's encoder writes it, from JSON text.
pub mod go_json;
mod json;
mod keys;
mod rewrite;

pub use gjson::pick;
pub use json::{json, text};
pub use keys::{check_key, convert_key, reverse_key};
pub use rewrite::{rewrite, rewrite_name};

/// Go's decoders look at no more than the alphabet and the padding.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Why a value does not become what is wanted. Never holds any of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The path leads nowhere.
    #[error("there is no property {0:?}")]
    NoProperty(String),
    /// Not a map.
    #[error("the value is not a map of keys and values")]
    NotAMap,
    /// Not what it should be decoded from.
    #[error("the value cannot be decoded as {0}")]
    NotEncoded(&'static str),
    /// A key that a Secret cannot have.
    #[error("{0:?} cannot be a key of a Secret: letters, digits, `-`, `_` and `.` only, at most 253")]
    InvalidKey(String),
    /// Not a regular expression.
    #[error("{0:?} is no regular expression")]
    NoPattern(String),
    /// A template that does not become a key.
    #[error("the template of a rewrite: {0}")]
    Template(String),
    /// Maps that do not become one.
    #[error("merge: {0}")]
    Merge(String),
    /// Two keys that become one.
    #[error("two keys become {0:?}")]
    Collision(String),
}

/// The property of a map: the key of that very name first, then a path ([`pick`]).
///
/// # Errors
///
/// [`ValueError::NoProperty`].
pub fn property(value: &Value, path: &str) -> Result<SecretBytes, ValueError> {
    let exact = value.get(path).map(|exact| match exact {
        Value::Number(_) => json(exact),
        other => text(other),
    });
    exact.or_else(|| pick(&json(value), path)).map(Into::into).ok_or_else(|| ValueError::NoProperty(path.to_owned()))
}

/// Which reading of a property with dots is tried first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dots {
    /// Its dots are part of a name: AWS, Google.
    InNamesFirst,
    /// They lead from one level to the next: Azure.
    BetweenNamesFirst,
}

/// The property of a JSON text; both readings of its dots are tried.
///
/// # Errors
///
/// [`ValueError::NoProperty`].
pub fn property_of_text(json: &str, path: &str, dots: Dots) -> Result<SecretBytes, ValueError> {
    let name = || (path.find('.')? > 0).then(|| path.replace('.', "\\.")).and_then(|name| pick(json, &name));
    let found = match dots {
        Dots::InNamesFirst => name().or_else(|| pick(json, path)),
        Dots::BetweenNamesFirst => pick(json, path).or_else(name),
    };
    found.map(Into::into).ok_or_else(|| ValueError::NoProperty(path.to_owned()))
}

/// The entries of a JSON object, each as text: what stands there is not written anew, so numbers keep their digits.
///
/// # Errors
///
/// [`ValueError::NotAMap`].
pub fn entries(json: &[u8]) -> Result<Vec<(String, SecretBytes)>, ValueError> {
    let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(json).map_err(|_| ValueError::NotAMap)?;
    Ok(fields.into_iter().map(|(key, value)| (key, raw_text(&value).into())).collect())
}

fn raw_text(value: &RawValue) -> String {
    match value.get() {
        "null" => String::new(),
        text if text.starts_with('"') => serde_json::from_str(text).unwrap_or_default(),
        other => other.to_owned(),
    }
}

/// A regular expression as Go reads it, which matches anywhere.
#[derive(Clone, Debug)]
pub struct Pattern(regex::Regex);

impl Pattern {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// [`ValueError::NoPattern`].
    pub fn new(pattern: &str) -> Result<Self, ValueError> {
        regex::Regex::new(pattern).map(Self).map_err(|_| ValueError::NoPattern(pattern.to_owned()))
    }

    /// Whether it matches anywhere.
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// A map of values, each as text.
///
/// # Errors
///
/// [`ValueError::NotAMap`].
pub fn map(value: &Value) -> Result<&Map<String, Value>, ValueError> {
    value.as_object().ok_or(ValueError::NotAMap)
}

/// Decodes a value.
///
/// # Errors
///
/// [`ValueError::NotEncoded`]; `Auto` never fails.
pub fn decode(value: SecretBytes, strategy: DecodingStrategy) -> Result<SecretBytes, ValueError> {
    let with = |engine: &GeneralPurpose| {
        // Line ends are skipped, as in Go.
        let text: Zeroizing<Vec<u8>> =
            value.expose().iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect::<Vec<u8>>().into();
        engine.decode(&*text).map(SecretBytes::from)
    };
    match strategy {
        DecodingStrategy::None => Ok(value),
        DecodingStrategy::Base64 => with(&STANDARD).map_err(|_| ValueError::NotEncoded("Base64")),
        DecodingStrategy::Base64Url => with(&URL_SAFE).map_err(|_| ValueError::NotEncoded("Base64URL")),
        DecodingStrategy::Auto => Ok(with(&STANDARD).or_else(|_| with(&URL_SAFE)).unwrap_or(value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn properties_are_found_by_name_then_by_path() {
        let value = json!({ "a.b": "exact", "a": { "b": "path", "list": [1, { "x": true }], "c.d": "dotted" }, "n": null, "num": 1e21 });
        for (path, expected) in [
            ("a.b", Ok("exact")),
            ("a.list.1.x", Ok("true")),
            ("a.list.0", Ok("1")),
            (r"a.c\.d", Ok("dotted")),
            ("n", Ok("")),
            ("a", Ok(r#"{"b":"path","c.d":"dotted","list":[1,{"x":true}]}"#)),
            ("a.none", Err(ValueError::NoProperty("a.none".to_owned()))),
            ("a.b.c", Err(ValueError::NoProperty("a.b.c".to_owned()))),
            ("a.list.#", Ok("2")),
            ("num", Ok("1e+21")),
            ("num|@this", Ok("1000000000000000000000")),
        ] {
            let found = property(&value, path).map(|found| String::from_utf8(found.expose().to_vec()).unwrap());
            assert_eq!(found.as_deref(), expected.as_ref().map(|text| *text), "{path}");
        }
    }

    #[test]
    fn what_stands_in_a_text_is_picked_as_it_stands() {
        let text = r#"{"a":{"b": [1, {"x":1.50}]},"big":12345678901234567890,"c.d":"<&>","n":null}"#;
        for (path, expected) in [
            ("a.b", Some(r#"[1, {"x":1.50}]"#)),
            ("a.b.1.x", Some("1.5")),
            ("big", Some("12345678901234567890")),
            (r"c\.d", Some("<&>")),
            ("n", Some("")),
            ("a.none", None),
            ("a.b.7", None),
        ] {
            assert_eq!(pick(text, path).as_deref(), expected, "{path}");
        }
        let keys: Vec<_> = entries(text.as_bytes()).unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["a", "big", "c.d", "n"]);
        assert_eq!(entries(b"words").unwrap_err(), ValueError::NotAMap);
    }

    #[test]
    fn dots_are_read_in_both_ways() {
        let text = r#"{"a.b":"literal","a":{"b":"path","c":"deep"}}"#;
        let found = |path: &str, dots| property_of_text(text, path, dots).map(|value| value.expose().to_vec());
        assert_eq!(found("a.b", Dots::InNamesFirst), Ok(b"literal".to_vec()));
        assert_eq!(found("a.b", Dots::BetweenNamesFirst), Ok(b"path".to_vec()));
        assert_eq!(found("a.c", Dots::InNamesFirst), Ok(b"deep".to_vec()));
        assert_eq!(found("x", Dots::InNamesFirst), Err(ValueError::NoProperty("x".to_owned())));
    }

    #[test]
    fn values_are_decoded() {
        let decoded =
            |text: &str, strategy| decode(text.to_owned().into(), strategy).map(|value| value.expose().to_vec());
        assert_eq!(decoded("YWI=", DecodingStrategy::Base64), Ok(b"ab".to_vec()));
        assert_eq!(decoded("__8=", DecodingStrategy::Base64Url), Ok(vec![255, 255]));
        assert_eq!(decoded("__8=", DecodingStrategy::Auto), Ok(vec![255, 255]));
        assert_eq!(decoded("not!", DecodingStrategy::Auto), Ok(b"not!".to_vec()));
        assert_eq!(decoded("Y\r\nWI=\n", DecodingStrategy::Base64), Ok(b"ab".to_vec()), "line ends are skipped");
        assert_eq!(decoded("YWJ=", DecodingStrategy::Base64), Ok(b"ab".to_vec()), "trailing bits do not count");
        assert_eq!(decoded("not!", DecodingStrategy::Base64), Err(ValueError::NotEncoded("Base64")));
    }
}
