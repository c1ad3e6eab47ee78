//! JSON as Go writes it: the reference's values went through Go's encoder, and a hand-over must not change a byte.

use serde_json::Value;

/// A value as text: texts as they are, null as nothing, numbers as plain decimals, everything else as JSON.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        // Rust's own form has no exponent either.
        Value::Number(number) if number.is_f64() => number.as_f64().map(|float| float.to_string()).unwrap_or_default(),
        other => json(other),
    }
}

/// JSON as Go writes it: keys sorted, and `<`, `>`, `&` and the line separators escaped.
pub fn json(value: &Value) -> String {
    let mut text = String::new();
    write_json(value, write_escaped, &mut text);
    text
}

/// The same without escapes for HTML.
pub(super) fn plain_json(value: &Value) -> String {
    let mut text = String::new();
    write_json(value, |text, out| out.push_str(&Value::from(text).to_string()), &mut text);
    text
}

fn write_json(value: &Value, write_text: fn(&str, &mut String), out: &mut String) {
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
                write_json(&fields[key], write_text, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_json(item, write_text, out);
            }
            out.push(']');
        }
        Value::String(text) => write_text(text, out),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => out.push_str(&float_text(float)),
            None => out.push_str(&number.to_string()),
        },
        other => out.push_str(&other.to_string()),
    }
}

/// A float as Go's encoder writes it: with an exponent, and its sign, only where it is very small or very large.
fn float_text(float: f64) -> String {
    let size = float.abs();
    if float == 0.0 || (1e-6..1e21).contains(&size) {
        return float.to_string();
    }
    let text = format!("{float:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    }
}

fn write_escaped(text: &str, out: &mut String) {
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
    use serde_json::json as value;

    use super::*;

    #[test]
    fn json_is_written_as_go_writes_it() {
        let object = value!({ "z": 1.5, "a": "<&>\u{2028}\"", "m": [null, 12_345_678_901_i64], "e": [1e21, 1e-7, 1e20, 0.1, 2.0] });
        let expected = r#"{"a":"\u003c\u0026\u003e\u2028\"","e":[1e+21,1e-7,100000000000000000000,0.1,2],"m":[null,12345678901],"z":1.5}"#;
        assert_eq!(json(&object), expected);
    }

    #[test]
    fn values_as_text_have_no_exponent() {
        for (object, expected) in [
            (value!(1e21), "1000000000000000000000"),
            (value!(1.5), "1.5"),
            (value!(5432), "5432"),
            (value!(null), ""),
            (value!("<x>"), "<x>"),
            (value!({ "b": 1, "a": "<" }), r#"{"a":"\u003c","b":1}"#),
        ] {
            assert_eq!(text(&object), expected);
        }
    }
}
