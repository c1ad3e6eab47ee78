//! JSON as Go writes it: keys sorted, and what HTML could take for itself escaped unless asked otherwise.

use super::super::bounds::DEEPEST_VALUE;
use super::super::error::Fault;
use super::super::print;
use super::super::run::Run;
use super::super::unicode;
use super::super::value::{Entries, Of, Text, Value};
use super::{Function, both};

/// How JSON is written.
#[derive(Clone, Copy)]
pub(super) struct Style {
    escapes_html: bool,
    indents: bool,
}

const COMPACT: Style = Style { escapes_html: true, indents: false };
const PRETTY: Style = Style { escapes_html: true, indents: true };
const RAW: Style = Style { escapes_html: false, indents: false };

/// A value as JSON.
fn written(run: &mut Run, value: &Value, style: Style) -> Result<String, Fault> {
    let mut out = String::new();
    write(run, value, style, 0, &mut out)?;
    Ok(out)
}

fn write(run: &mut Run, value: &Value, style: Style, depth: usize, out: &mut String) -> Result<(), Fault> {
    if depth > DEEPEST_VALUE {
        return Err(Fault::TooMuch("lists or dicts nest too deep for JSON"));
    }
    run.budget.spend(8 + if style.indents { 2 * depth } else { 0 })?;
    match value {
        Value::Absent | Value::Nil => *out += "null",
        Value::Bool(truth) => *out += if *truth { "true" } else { "false" },
        Value::Int(number) | Value::Int64(number) | Value::Duration(number) => *out += &number.to_string(),
        Value::Month(number) | Value::Weekday(number) => *out += &number.to_string(),
        Value::Uint8(number) => *out += &number.to_string(),
        Value::Uint64(number) => *out += &number.to_string(),
        Value::Float(number) => *out += &float(*number)?,
        Value::Complex(..) => return Fault::wrong("json: unsupported type: complex128"),
        Value::Text(text) => {
            run.budget.spend(text.len())?;
            write_text(text, style.escapes_html, out);
        }
        Value::Time(time) => write_text(time.rfc3339().as_bytes(), style.escapes_html, out),
        Value::Version(version) => write_text(version.to_string().as_bytes(), style.escapes_html, out),
        Value::Pair(pair) => {
            let fields = [("Cert", &pair.certificate), ("Key", &pair.key)];
            let fields = fields.map(|(name, text)| (Text::from(name), Value::Text(text.clone())));
            write_entries(run, fields.into_iter().collect(), style, depth, out)?;
        }
        Value::List(list) if list.is_nil => *out += "null",
        Value::List(list) => {
            out.push('[');
            for (index, item) in list.iter().enumerate() {
                separate(index, style, depth + 1, out);
                super::super::bounds::with_stack(|| write(run, item, style, depth + 1, out))?;
            }
            close(list.is_empty(), style, depth, out);
            out.push(']');
        }
        Value::Dict(dict) if dict.is_nil => *out += "null",
        Value::Dict(dict) => write_entries(run, dict.entries(), style, depth, out)?,
    }
    Ok(())
}

fn write_entries(run: &mut Run, entries: Entries, style: Style, depth: usize, out: &mut String) -> Result<(), Fault> {
    out.push('{');
    let is_empty = entries.is_empty();
    for (index, (key, value)) in entries.iter().enumerate() {
        separate(index, style, depth + 1, out);
        write_text(key, style.escapes_html, out);
        *out += if style.indents { ": " } else { ":" };
        super::super::bounds::with_stack(|| write(run, value, style, depth + 1, out))?;
    }
    close(is_empty, style, depth, out);
    out.push('}');
    Ok(())
}

fn separate(index: usize, style: Style, depth: usize, out: &mut String) {
    if index > 0 {
        out.push(',');
    }
    if style.indents {
        out.push('\n');
        *out += &"  ".repeat(depth);
    }
}

fn close(is_empty: bool, style: Style, depth: usize, out: &mut String) {
    if style.indents && !is_empty {
        out.push('\n');
        *out += &"  ".repeat(depth);
    }
}

/// A float as `encoding/json` writes it: as ECMAScript does.
pub(super) fn float(number: f64) -> Result<String, Fault> {
    if !number.is_finite() {
        return Fault::wrong("json: unsupported value: infinity or no number");
    }
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = print::float(number, 'e', None);
        // e-09 is e-9.
        return Ok(text.replace("e-0", "e-"));
    }
    Ok(print::float(number, 'f', None))
}

fn write_text(text: &[u8], escapes_html: bool, out: &mut String) {
    out.push('"');
    for (at, character) in unicode::characters(text) {
        match character {
            // A byte that is no UTF-8 is told apart from the character that stands for it.
            unicode::REPLACEMENT if !text[at..].starts_with("\u{FFFD}".as_bytes()) => *out += "\\ufffd",
            '"' => *out += "\\\"",
            '\\' => *out += "\\\\",
            '\x08' => *out += "\\b",
            '\x0C' => *out += "\\f",
            '\n' => *out += "\\n",
            '\r' => *out += "\\r",
            '\t' => *out += "\\t",
            '\0'..='\x1F' => *out += &format!("\\u{:04x}", u32::from(character)),
            '<' | '>' | '&' if escapes_html => *out += &format!("\\u{:04x}", u32::from(character)),
            '\u{2028}' | '\u{2029}' => *out += &format!("\\u{:04x}", u32::from(character)),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// A text as JSON.
pub(super) fn text(text: &[u8]) -> String {
    let mut out = String::new();
    write_text(text, true, &mut out);
    out
}

fn to_json(run: &mut Run, value: Value) -> Result<String, Fault> {
    emptied(written(run, &value, COMPACT))
}

fn to_pretty_json(run: &mut Run, value: Value) -> Result<String, Fault> {
    emptied(written(run, &value, PRETTY))
}

fn to_raw_json(run: &mut Run, value: Value) -> Result<String, Fault> {
    written(run, &value, RAW)
}

/// What cannot be written is an empty text, unless a bound was reached.
fn emptied(written: Result<String, Fault>) -> Result<String, Fault> {
    match written {
        Err(Fault::Wrong(_)) => Ok(String::new()),
        other => other,
    }
}

fn must_to_json(run: &mut Run, value: Value) -> Result<String, Fault> {
    written(run, &value, COMPACT)
}

fn must_to_pretty_json(run: &mut Run, value: Value) -> Result<String, Fault> {
    written(run, &value, PRETTY)
}

fn from_json(run: &mut Run, text: Text) -> Result<Value, Fault> {
    match read(run, &text) {
        Err(Fault::Wrong(_)) => Ok(Value::Nil),
        other => other,
    }
}

fn must_from_json(run: &mut Run, text: Text) -> Result<Value, Fault> {
    read(run, &text)
}

/// JSON as a value: every number is a float.
fn read(run: &mut Run, text: &[u8]) -> Result<Value, Fault> {
    run.budget.spend(text.len().saturating_mul(4))?;
    let parsed: serde_json::Value = serde_json::from_str(&readable(text)).map_err(|error| match error.classify() {
        _ if error.to_string().starts_with("recursion limit") => Fault::TooMuch("the JSON nests too deep"),
        _ => Fault::from(format!("no JSON: line {} column {}", error.line(), error.column())),
    })?;
    value_of(run, &parsed)
}

/// Half of a pair of surrogates stands for nothing; Go reads it all the same.
fn readable(text: &[u8]) -> String {
    let text = unicode::lossy(text);
    if !text.contains("\\u") {
        return text;
    }
    let unit = |at: usize| -> Option<u32> {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(more) = text[at..].find('\\') {
        out += &text[at..at + more];
        at += more;
        let (taken, shown) = match unit(at) {
            Some(0xD800..=0xDBFF) if matches!(unit(at + 6), Some(0xDC00..=0xDFFF)) => (12, None),
            Some(0xD800..=0xDFFF) => (6, Some("\u{FFFD}")),
            Some(_) => (6, None),
            None => (1 + text[at + 1..].chars().next().map_or(0, char::len_utf8), None),
        };
        out += shown.unwrap_or(&text[at..at + taken]);
        at += taken;
    }
    out + &text[at..]
}

/// What was read, as a value of Go.
pub(super) fn value_of(run: &mut Run, value: &serde_json::Value) -> Result<Value, Fault> {
    run.budget.spend(16)?;
    Ok(match value {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(truth) => Value::Bool(*truth),
        serde_json::Value::Number(number) => Value::Float(number.as_f64().unwrap_or(0.0)),
        serde_json::Value::String(text) => Value::text(text.as_str()),
        serde_json::Value::Array(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| value_of(run, item)).collect();
            Value::List(run.list(Of::Any, items?)?)
        }
        serde_json::Value::Object(fields) => {
            let mut entries = Entries::new();
            for (key, field) in fields {
                entries.insert(key.as_str().into(), value_of(run, field)?);
            }
            Value::Dict(run.dict(entries)?)
        }
    })
}

pub(super) fn table() -> Vec<Function> {
    vec![
        both("fromJson", from_json, "The value behind JSON; nil if it is none. Numbers are floats."),
        both("mustFromJson", must_from_json, "The same, but an error if it is none."),
        both("mustToJson", must_to_json, "As JSON; an error if the value has no JSON."),
        both("mustToPrettyJson", must_to_pretty_json, "As JSON over several lines; an error if the value has none."),
        both("mustToRawJson", to_raw_json, "The same as `toRawJson`."),
        both("toJson", to_json, "As JSON, `<`, `>` and `&` escaped."),
        both("toPrettyJson", to_pretty_json, "As JSON over several lines, indented by two."),
        both("toRawJson", to_raw_json, "As JSON, nothing escaped for HTML."),
    ]
}
