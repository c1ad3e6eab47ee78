//! What Go's templates have themselves. `slice` is Sprig's, see the lists.

use std::cmp::Ordering;

use super::super::compare;
use super::super::error::Fault;
use super::super::print;
use super::super::run::Run;
use super::super::signature::{Raw, Rest};
use super::super::unicode;
use super::super::value::{Of, Text, Value};
use super::{Function, both};

/// `and` and `or` are evaluated by the machine, which looks at no more arguments than it needs.
fn last(first: Raw, rest: Rest<Raw>) -> Value {
    rest.0.into_iter().last().unwrap_or(first).0
}

fn not(value: Raw) -> bool {
    !value.0.is_true()
}

fn values(raw: Rest<Raw>) -> Vec<Value> {
    raw.0.into_iter().map(|raw| raw.0).collect()
}

fn eq(first: Raw, others: Rest<Raw>) -> Result<bool, Fault> {
    compare::equals_any(&first.0, &values(others))
}

fn ne(first: Raw, second: Raw) -> Result<bool, Fault> {
    compare::equals_any(&first.0, &[second.0]).map(|equal| !equal)
}

fn lt(first: Raw, second: Raw) -> Result<bool, Fault> {
    Ok(compare::order(&first.0, &second.0)? == Some(Ordering::Less))
}

fn le(first: Raw, second: Raw) -> Result<bool, Fault> {
    // As Go has it: less, or equal.
    Ok(matches!(compare::order(&first.0, &second.0)?, Some(Ordering::Less | Ordering::Equal)))
}

fn gt(first: Raw, second: Raw) -> Result<bool, Fault> {
    le(first, second).map(|at_most| !at_most)
}

fn ge(first: Raw, second: Raw) -> Result<bool, Fault> {
    lt(first, second).map(|less| !less)
}

/// The position that an index names.
fn position(index: &Value, length: usize) -> Result<usize, Fault> {
    let position = match index {
        Value::Int(number) | Value::Int64(number) | Value::Duration(number) => usize::try_from(*number).ok(),
        Value::Month(number) | Value::Weekday(number) => usize::try_from(*number).ok(),
        Value::Uint8(number) => Some(usize::from(*number)),
        Value::Uint64(number) => usize::try_from(*number).ok(),
        Value::Absent | Value::Nil => return Fault::wrong("cannot index slice/array with nil"),
        other => return Fault::wrong(format!("cannot index slice/array with type {}", other.type_name())),
    };
    position.filter(|position| *position < length).ok_or_else(|| "index out of range".into())
}

fn index(item: Raw, indexes: Rest<Raw>) -> Result<Value, Fault> {
    let mut item = item.0;
    if item.is_nil() {
        return Fault::wrong("index of untyped nil");
    }
    for index in indexes.0 {
        item = match &item {
            Value::Text(text) => Value::Uint8(text[position(&index.0, text.len())?]),
            Value::List(list) => list[position(&index.0, list.len())?].clone(),
            Value::Dict(dict) => match &index.0 {
                Value::Text(key) => match dict.get(key) {
                    Some(value) => value,
                    None if dict.of == Of::Text => Value::text(""),
                    None => Value::Nil,
                },
                Value::Absent | Value::Nil => return Fault::wrong("value is nil; should be of type string"),
                other => return Fault::wrong(format!("value has type {}; should be string", other.type_name())),
            },
            Value::Absent | Value::Nil => return Fault::wrong("index of nil pointer"),
            other => return Fault::wrong(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(item)
}

fn len(item: Raw) -> Result<i64, Fault> {
    let length = match &item.0 {
        Value::Text(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Dict(dict) => dict.len(),
        Value::Absent | Value::Nil => return Fault::wrong("len of nil pointer"),
        other => return Fault::wrong(format!("len of type {}", other.type_name())),
    };
    i64::try_from(length).map_err(|_| "too long".into())
}

fn print(run: &mut Run, arguments: Rest<Value>) -> Result<Vec<u8>, Fault> {
    print::sprint(&mut run.budget, &arguments.0)
}

fn println(run: &mut Run, arguments: Rest<Value>) -> Result<Vec<u8>, Fault> {
    print::sprintln(&mut run.budget, &arguments.0)
}

fn printf(run: &mut Run, format: Text, arguments: Rest<Value>) -> Result<Vec<u8>, Fault> {
    print::sprintf(&mut run.budget, &format, &arguments.0)
}

/// The text that an escaping function escapes.
fn escaped_of(run: &mut Run, arguments: Rest<Value>) -> Result<Vec<u8>, Fault> {
    let shown = |value: Value| if value.is_nil() { Value::text("<no value>") } else { value };
    let arguments: Vec<_> = arguments.0.into_iter().map(shown).collect();
    let text = print::sprint(&mut run.budget, &arguments)?;
    run.budget.spend(text.len().saturating_mul(6))?;
    Ok(text)
}

fn html(run: &mut Run, arguments: Rest<Value>) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    for byte in escaped_of(run, arguments)? {
        match byte {
            0 => out.extend_from_slice("\u{FFFD}".as_bytes()),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            other => out.push(other),
        }
    }
    Ok(out)
}

fn js(run: &mut Run, arguments: Rest<Value>) -> Result<Vec<u8>, Fault> {
    let text = escaped_of(run, arguments)?;
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let (character, width) = unicode::decode(&text[at..]);
        let raw = &text[at..at + width];
        at += width;
        match character {
            '\\' => out.extend_from_slice(b"\\\\"),
            '\'' => out.extend_from_slice(b"\\'"),
            '"' => out.extend_from_slice(b"\\\""),
            '<' | '>' | '&' | '=' | '\0'..='\x1F' => {
                out.extend_from_slice(format!("\\u{:04X}", u32::from(character)).as_bytes());
            }
            _ if character.is_ascii() || unicode::is_printable(character) => out.extend_from_slice(raw),
            _ => out.extend_from_slice(format!("\\u{:04X}", u32::from(character)).as_bytes()),
        }
    }
    Ok(out)
}

fn urlquery(run: &mut Run, arguments: Rest<Value>) -> Result<String, Fault> {
    Ok(super::urls::escape(&escaped_of(run, arguments)?, super::urls::Part::QueryComponent))
}

fn call(function: Raw, _arguments: Rest<Value>) -> Result<Value, Fault> {
    match function.0 {
        Value::Absent | Value::Nil => Fault::wrong("call of nil"),
        other => Fault::wrong(format!("non-function of type {}", other.type_name())),
    }
}

pub(super) fn table() -> Vec<Function> {
    vec![
        Function { ends_on: Some(false), ..both("and", last, "The first argument that is empty, or the last one.") },
        Function { ends_on: Some(true), ..both("or", last, "The first argument that is not empty, or the last one.") },
        both("not", not, "Whether the argument is empty."),
        both("eq", eq, "Whether the first equals any of the others; of one kind only."),
        both("ne", ne, "Whether the two differ."),
        both("lt", lt, "Whether the first is less."),
        both("le", le, "Whether the first is less or equal."),
        both("gt", gt, "Whether the first is greater."),
        both("ge", ge, "Whether the first is greater or equal."),
        both("index", index, "The element of a list, dict or text; further indexes go deeper."),
        both("len", len, "How many elements, or bytes of a text."),
        both("print", print, "The arguments as text, a space between two that are no texts."),
        both("println", println, "The arguments as text, spaces between and a new line behind."),
        both("printf", printf, "Formats as Go's fmt does."),
        both("html", html, "Escapes for HTML."),
        both("js", js, "Escapes for JavaScript."),
        both("urlquery", urlquery, "Escapes for a URL's query."),
        both("call", call, "Calls a function value; there is none here, so it is an error."),
    ]
}
