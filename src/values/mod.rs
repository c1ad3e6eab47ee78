//! Values as text: what every provider needs, once and the same. Pure.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use seal::SecretBytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::api::external_secret::{ConversionStrategy, DecodingStrategy};

/// Longest key that a Secret takes.
const LONGEST_KEY: usize = 253;

/// Why a value does not become what is wanted. Never holds any of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The path leads nowhere.
    #[error("there is no property {0:?}")]
    NoProperty(String),
    /// A part of the path language that is not there yet.
    #[error("the property {0:?} uses a query that this version does not know; plain dots, `\\.` and numbers work")]
    UnsupportedProperty(String),
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
    /// Two keys that become one.
    #[error("two keys become {0:?}")]
    Collision(String),
}

/// The property of a map: the key of that very name first, then a path of dots.
///
/// # Errors
///
/// [`ValueError::NoProperty`], [`ValueError::UnsupportedProperty`].
pub fn property(value: &Value, path: &str) -> Result<SecretBytes, ValueError> {
    if let Some(exact) = value.get(path) {
        return Ok(text(exact).into());
    }
    if path.contains(['#', '*', '?', '|', '@', '{', '[', '!']) {
        return Err(ValueError::UnsupportedProperty(path.to_owned()));
    }
    let mut place = value;
    for segment in segments(path) {
        let next = match place {
            Value::Object(fields) => fields.get(&segment),
            Value::Array(items) => segment.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        };
        place = next.ok_or_else(|| ValueError::NoProperty(path.to_owned()))?;
    }
    Ok(text(place).into())
}

/// What a path leads to in a JSON text, as text: what stands there is not written anew. None when it leads nowhere.
pub fn pick(json: &str, path: &str) -> Option<String> {
    let mut place: Box<RawValue> = serde_json::from_str(json).ok()?;
    for segment in segments(path) {
        place = match serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(place.get()) {
            Ok(mut fields) => fields.remove(&segment)?,
            Err(_) => {
                let mut items: Vec<Box<RawValue>> = serde_json::from_str(place.get()).ok()?;
                let index = segment.parse::<usize>().ok().filter(|index| *index < items.len())?;
                items.swap_remove(index)
            }
        };
    }
    Some(raw_text(&place))
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

/// A path taken apart at its dots; `\.` is a dot within a name.
fn segments(path: &str) -> Vec<String> {
    let mut segments = vec![String::new()];
    let mut letters = path.chars();
    while let Some(letter) = letters.next() {
        let last = segments.len() - 1;
        match letter {
            '.' => segments.push(String::new()),
            '\\' => segments[last].extend(letters.next()),
            other => segments[last].push(other),
        }
    }
    segments
}

/// A value as text: texts as they are, null as nothing, everything else as JSON.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => json(other),
    }
}

/// JSON as Go writes it: keys sorted, and `<`, `>`, `&` and the line separators escaped.
pub fn json(value: &Value) -> String {
    let mut text = String::new();
    write_json(value, &mut text);
    text
}

fn write_json(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut keys: Vec<_> = fields.keys().collect();
            keys.sort();
            out.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(key, out);
                out.push(':');
                write_json(&fields[key], out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_json(item, out);
            }
            out.push(']');
        }
        Value::String(text) => write_text(text, out),
        other => out.push_str(&other.to_string()),
    }
}

fn write_text(text: &str, out: &mut String) {
    let quoted = Value::from(text).to_string();
    for letter in quoted.chars() {
        match letter {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            other => out.push(other),
        }
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
    let with = |engine: &base64::engine::GeneralPurpose| engine.decode(value.expose()).map(SecretBytes::from);
    match strategy {
        DecodingStrategy::None => Ok(value),
        DecodingStrategy::Base64 => with(&STANDARD).map_err(|_| ValueError::NotEncoded("Base64")),
        DecodingStrategy::Base64Url => with(&URL_SAFE).map_err(|_| ValueError::NotEncoded("Base64URL")),
        DecodingStrategy::Auto => Ok(with(&STANDARD).or_else(|_| with(&URL_SAFE)).unwrap_or(value)),
    }
}

/// A key as a Secret takes it.
pub fn convert_key(key: &str, strategy: ConversionStrategy) -> String {
    let fits = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
    key.chars()
        .map(|letter| match strategy {
            _ if fits(letter) => letter.to_string(),
            ConversionStrategy::Default => "_".to_owned(),
            ConversionStrategy::Unicode => format!("_U{:04x}_", u32::from(letter)),
        })
        .collect()
}

/// Refuses a key that no Secret can have.
///
/// # Errors
///
/// [`ValueError::InvalidKey`].
pub fn check_key(key: &str) -> Result<(), ValueError> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    if key.is_empty() || key.len() > LONGEST_KEY || !key.chars().all(fits) {
        return Err(ValueError::InvalidKey(key.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn properties_are_found_by_name_then_by_path() {
        let value =
            json!({ "a.b": "exact", "a": { "b": "path", "list": [1, { "x": true }], "c.d": "dotted" }, "n": null });
        for (path, expected) in [
            ("a.b", Ok("exact")),
            ("a.list.1.x", Ok("true")),
            ("a.list.0", Ok("1")),
            (r"a.c\.d", Ok("dotted")),
            ("n", Ok("")),
            ("a", Ok(r#"{"b":"path","c.d":"dotted","list":[1,{"x":true}]}"#)),
            ("a.none", Err(ValueError::NoProperty("a.none".to_owned()))),
            ("a.b.c", Err(ValueError::NoProperty("a.b.c".to_owned()))),
            ("a.#", Err(ValueError::UnsupportedProperty("a.#".to_owned()))),
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
            ("a.b.1.x", Some("1.50")),
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
    fn json_is_written_as_go_writes_it() {
        let value = json!({ "z": 1.5, "a": "<&>\u{2028}\"", "m": [null, 12_345_678_901_i64] });
        assert_eq!(json(&value), r#"{"a":"\u003c\u0026\u003e\u2028\"","m":[null,12345678901],"z":1.5}"#);
    }

    #[test]
    fn values_are_decoded() {
        let decoded =
            |text: &str, strategy| decode(text.to_owned().into(), strategy).map(|value| value.expose().to_vec());
        assert_eq!(decoded("YWI=", DecodingStrategy::Base64), Ok(b"ab".to_vec()));
        assert_eq!(decoded("__8=", DecodingStrategy::Base64Url), Ok(vec![255, 255]));
        assert_eq!(decoded("__8=", DecodingStrategy::Auto), Ok(vec![255, 255]));
        assert_eq!(decoded("not!", DecodingStrategy::Auto), Ok(b"not!".to_vec()));
        assert_eq!(decoded("not!", DecodingStrategy::Base64), Err(ValueError::NotEncoded("Base64")));
    }

    #[test]
    fn keys_are_converted_and_checked() {
        assert_eq!(convert_key("a/b c", ConversionStrategy::Default), "a_b_c");
        assert_eq!(convert_key("a/b", ConversionStrategy::Unicode), "a_U002f_b");
        assert_eq!(convert_key("é", ConversionStrategy::Default), "é", "letters of any script pass the conversion");
        assert!(check_key("é").is_err() && check_key("").is_err() && check_key(&"x".repeat(254)).is_err());
        assert!(check_key("a-b_c.9").is_ok());
    }
}
