//! YAML as Kubernetes' tools read and write it, the same in the command and in the operator.

use serde_json::{Map, Number, Value};
use serde_yaml::budget;
use serde_yaml::options::DuplicateKeyPolicy;

/// Deepest nesting: schemas in CustomResourceDefinitions are deep.
const DEEPEST: usize = 256;
/// Most nodes of one stream, aliases included: a gigantic but honest file has a tenth.
const MOST_NODES: usize = 1_000_000;
/// Most documents of one stream.
const MOST_DOCUMENTS: usize = 10_000;

/// Where and why a text is no YAML. Never holds any of the text: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct YamlError {
    /// Counted from 1; 0 when unknown.
    pub line: u64,
    /// Counted from 1; 0 when unknown.
    pub column: u64,
    /// What is wrong.
    pub problem: &'static str,
}

/// What to do about a key that stands twice in one map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// The last one counts, as in Go's reader.
    LastWins,
    /// It is an error.
    Refuse,
}

/// Reads all documents of a stream; empty ones are left out. JSON is YAML, too.
///
/// Equal to Go's `sigs.k8s.io/yaml` in what matters: YAML 1.1 booleans and octals, merge keys, whole floats as integers.
/// Alias bombs and bottomless nesting are refused by counting.
///
/// # Errors
///
/// [`YamlError`] for the first document that cannot be read.
pub fn documents(text: &str, duplicates: Duplicates) -> Result<Vec<Value>, YamlError> {
    let options = serde_yaml::options! {
        duplicate_keys: match duplicates {
            Duplicates::LastWins => DuplicateKeyPolicy::LastWins,
            Duplicates::Refuse => DuplicateKeyPolicy::Error,
        },
        legacy_octal_numbers: true,
        with_snippet: false,
        budget: budget! {
            max_depth: DEEPEST,
            max_nodes: MOST_NODES,
            max_documents: MOST_DOCUMENTS,
        },
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let read: Vec<Value> = serde_yaml::from_multiple_with_options(text, options).map_err(|error| located(&error))?;
    Ok(read.into_iter().filter(|document| !document.is_null()).map(with_whole_numbers).collect())
}

/// Writes one document. Texts that a YAML 1.1 reader would take for something else are quoted.
///
/// # Errors
///
/// [`YamlError`] when a value cannot be written; none of our types is such.
pub fn write<T: serde::Serialize>(value: &T) -> Result<String, YamlError> {
    let options =
        serde_yaml::ser_options! { compact_list_indent: true, min_fold_chars: usize::MAX, prefer_block_scalars: false };
    serde_yaml::to_string_with_options(value, options).map_err(|_| YamlError {
        line: 0,
        column: 0,
        problem: "it cannot be written as YAML",
    })
}

fn located(error: &serde_yaml::Error) -> YamlError {
    use serde_yaml::Error as E;
    let location = error.location();
    // The reader's own words may quote the text: only the kind of trouble is passed on.
    let problem = match error.without_snippet() {
        E::Budget { .. } => "it grows beyond all measure (aliases, nesting or size)",
        E::DuplicateMappingKey { .. } => "a key stands twice in one map",
        E::UnknownAnchor { .. } => "an alias names an anchor that is not there",
        _ => "it is not valid YAML",
    };
    YamlError {
        line: location.as_ref().map_or(0, serde_yaml::Location::line),
        column: location.as_ref().map_or(0, serde_yaml::Location::column),
        problem,
    }
}

/// Go writes a float without fraction as an integer.
fn with_whole_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(whole(number)),
        Value::Array(items) => Value::Array(items.into_iter().map(with_whole_numbers).collect()),
        Value::Object(fields) => Value::Object(
            fields.into_iter().map(|(name, value)| (name, with_whole_numbers(value))).collect::<Map<_, _>>(),
        ),
        other => other,
    }
}

fn whole(number: Number) -> Number {
    /// Above it a double has gaps, and Go writes an exponent.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() <= EXACT =>
        {
            #[expect(clippy::cast_possible_truncation, reason = "whole, and within what a double holds exactly")]
            Number::from(float as i64)
        }
        _ => number,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_is_read_as_go_reads_it() {
        for (text, expected) in [
            ("a: yes", json!({ "a": true })),
            ("a: 0777", json!({ "a": 511 })),
            ("a: 1.0", json!({ "a": 1 })),
            ("a: 1.5", json!({ "a": 1.5 })),
            ("a: 1\na: 2", json!({ "a": 2 })),
            ("x: &x {k: 1}\ny: {<<: *x, l: 2}", json!({ "x": { "k": 1 }, "y": { "k": 1, "l": 2 } })),
            ("\u{feff}a: 1\r\n", json!({ "a": 1 })),
            (r#"{"a": [1, "yes"]}"#, json!({ "a": [1, "yes"] })),
        ] {
            assert_eq!(documents(text, Duplicates::LastWins).unwrap(), [expected], "{text:?}");
        }
        assert_eq!(documents("---\n---\na: 1\n---\n# only words\n---\nb: 2\n", Duplicates::LastWins).unwrap().len(), 2);
    }

    #[test]
    fn errors_name_the_place_and_quote_nothing() {
        let error = documents("a: 1\nb: \"canary\n", Duplicates::LastWins).unwrap_err();
        assert!(error.line >= 2, "{error}");
        assert!(!format!("{error:?}").contains("canary"));
        let twice = documents("a: 1\na: 2\n", Duplicates::Refuse).unwrap_err();
        assert_eq!((twice.line, twice.problem), (2, "a key stands twice in one map"));
    }

    #[test]
    fn bombs_are_refused_by_counting() {
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..12 {
            bomb += &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(","));
        }
        assert!(documents(&bomb, Duplicates::LastWins).is_err());
        assert!(documents(&"[".repeat(100_000), Duplicates::LastWins).is_err());
    }

    #[test]
    fn texts_that_look_like_something_else_are_quoted() {
        for text in ["yes", "on", "y", "1_000", "12:30", "2001-01-01", "=", "0777", "null", "1e3", ""] {
            let written = write(&json!({ "a": text })).unwrap();
            assert_eq!(documents(&written, Duplicates::Refuse).unwrap(), [json!({ "a": text })], "{written}");
            assert!(written.contains('"') || written.contains('\''), "{written}");
        }
    }
}
