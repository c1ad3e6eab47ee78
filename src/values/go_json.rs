//! JSON as Go's encoder writes it: keys sorted, `<`, `>`, `&` and the line separators escaped. Works on JSON text, so
//! that numbers keep the digits that the store sent.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

/// What becomes of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// They stay as they were written.
    Verbatim,
    /// They go through a 64-bit float, as when Go decodes without being told a type: large integers lose digits.
    Floats,
}

/// A JSON text written anew. What is no JSON comes back as it is.
pub fn rewrite(json: &str, numbers: Numbers) -> String {
    let mut out = String::with_capacity(json.len());
    match serde_json::from_str::<&RawValue>(json) {
        Ok(raw) => write(raw, numbers, &mut out),
        Err(_) => out.push_str(json),
    }
    out
}

/// A number that went through a float, written in full: `1e21` is a one and 21 zeros.
pub fn float_in_full(number: &str) -> String {
    number.parse::<f64>().map_or_else(|_| number.to_owned(), |float| float.to_string())
}

fn write(raw: &RawValue, numbers: Numbers, out: &mut String) {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap_or_default();
            out.push('{');
            for (index, (key, value)) in fields.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(&key, out);
                out.push(':');
                write(value, numbers, out);
            }
            out.push('}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
            out.push('[');
            for (index, value) in items.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(value, numbers, out);
            }
            out.push(']');
        }
        Some(b'"') => write_text(&serde_json::from_str::<String>(text).unwrap_or_default(), out),
        Some(b'-' | b'0'..=b'9') if numbers == Numbers::Floats => out.push_str(&float(text)),
        _ => out.push_str(text),
    }
}

/// Go's encoding of a float: an exponent only for the very small and the very large.
fn float(number: &str) -> String {
    let Ok(float) = number.parse::<f64>() else { return number.to_owned() };
    let size = float.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return float.to_string();
    }
    let text = format!("{float:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    }
}

/// A text in quotes.
pub(super) fn write_text(text: &str, out: &mut String) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_written_as_go_writes_it() {
        let text = r#"{"z": 1.50, "a":"<&>\u2028\"", "m":[null, 12345678901234567890, 1e+21], "o":{"b":1,"a":1e-7}}"#;
        assert_eq!(
            rewrite(text, Numbers::Verbatim),
            r#"{"a":"\u003c\u0026\u003e\u2028\"","m":[null,12345678901234567890,1e+21],"o":{"a":1e-7,"b":1},"z":1.50}"#
        );
        assert_eq!(
            rewrite(text, Numbers::Floats),
            r#"{"a":"\u003c\u0026\u003e\u2028\"","m":[null,12345678901234567000,1e+21],"o":{"a":1e-7,"b":1},"z":1.5}"#
        );
        assert_eq!(rewrite("just words", Numbers::Floats), "just words");
    }

    #[test]
    fn floats_in_full_have_no_exponent() {
        for (number, expected) in
            [("1e+21", "1000000000000000000000"), ("1.50", "1.5"), ("5432", "5432"), ("-0.5", "-0.5")]
        {
            assert_eq!(float_in_full(number), expected);
        }
    }
}
