//! Modifiers (`@keys`) and literals (`!"text"`).

use super::path::after_text;
use super::scan::{Kind, elements, kind_of, members, quoted, raw_members, value_end};
use super::{DEEPEST, Found, get, parse};

const NAMES: [&str; 13] = [
    "pretty", "ugly", "reverse", "this", "flatten", "join", "valid", "keys", "values", "tostr", "fromstr", "group",
    "dig",
];

/// Whether a path begins with a modifier that there is.
pub(super) fn is_known(path: &str) -> bool {
    let name = path[1..].split(['.', '|', ':']).next().unwrap_or_default();
    NAMES.contains(&name)
}

/// Applies the modifier that a path begins with: what comes of it, and what follows. None when there is no such one.
pub(super) fn apply<'a>(json: &str, path: &'a str, depth: usize) -> Option<(String, &'a str)> {
    let end = path.find(['.', '|', ':']).unwrap_or(path.len());
    let name = NAMES.into_iter().find(|name| *name == &path[1..end])?;
    let (argument, rest) = match path[end..].strip_prefix(':') {
        Some(after) => argument(after),
        None => ("", &path[end..]),
    };
    Some((modified(json, name, argument, depth), rest))
}

/// The argument after a colon: JSON, or everything before the next pipe.
fn argument(after: &str) -> (&str, &str) {
    if let Some(end) = after.starts_with(['{', '[', '"']).then(|| value_end(after)).flatten() {
        return after.split_at(end);
    }
    let bytes = after.as_bytes();
    let (mut place, mut depth) = (0, 0_usize);
    while place < bytes.len() {
        match bytes[place] {
            b'|' if depth == 0 => break,
            b'"' => {
                place = after_text(bytes, place);
                continue;
            }
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        place += 1;
    }
    after.split_at(place)
}

/// A literal at the beginning of a path, and what follows it; none when it is none.
pub(super) fn literal(path: &str) -> Option<(String, &str)> {
    let name = &path[1..];
    if name.starts_with(['{', '[', '"', '+', '-']) || name.starts_with(|letter: char| letter.is_ascii_digit()) {
        let end = match kind_of(name) {
            Kind::Number => name.find(['|', ',', '}', ']']).unwrap_or(name.len()),
            _ => value_end(name)?,
        };
        return Some((name[..end].to_owned(), &name[end..]));
    }
    let end = name.find(['.', '|']).unwrap_or(name.len());
    let known = matches!(name[..end].to_lowercase().as_str(), "true" | "false" | "null" | "nan" | "inf");
    known.then(|| (name[..end].to_owned(), &name[end..]))
}

fn modified(json: &str, name: &str, argument: &str, depth: usize) -> String {
    let value = parse(json);
    let kind = value.as_ref().map(Found::kind);
    let raw = value.as_ref().map_or("", |value| value.raw.as_str());
    match (name, kind) {
        ("pretty", Some(_)) => {
            let mut out = String::new();
            pretty(raw, 0, &mut out);
            out
        }
        ("ugly", Some(_)) => compact(raw),
        ("reverse", Some(Kind::Array)) => {
            let mut all: Vec<_> = elements(raw).collect();
            all.reverse();
            format!("[{}]", all.join(","))
        }
        ("reverse", Some(Kind::Object)) => {
            let mut all: Vec<_> = raw_members(raw).map(|(key, value)| format!("{key}:{value}")).collect();
            all.reverse();
            format!("{{{}}}", all.join(","))
        }
        ("flatten", Some(Kind::Array)) => flattened(raw, is_set(argument, "deep"), 0),
        ("join", Some(Kind::Array)) => joined(raw, is_set(argument, "preserve")),
        ("valid", _) if serde_json::from_str::<serde::de::IgnoredAny>(json).is_err() => String::new(),
        ("keys", Some(Kind::Object)) => listed(raw_members(raw).map(|(key, _)| key)),
        ("keys", Some(Kind::Array)) => listed(elements(raw).map(|_| "null")),
        ("keys", Some(_)) => "[null]".to_owned(),
        ("values", Some(Kind::Object)) => listed(raw_members(raw).map(|(_, value)| value)),
        ("values", Some(Kind::Array)) => raw.to_owned(),
        ("values", Some(_)) => format!("[{raw}]"),
        ("keys" | "values", None) => "[]".to_owned(),
        ("tostr", _) => quoted(json),
        ("fromstr", _) => match serde_json::from_str::<serde::de::IgnoredAny>(json) {
            Ok(_) => value.map(|value| value.text()).unwrap_or_default(),
            Err(_) => String::new(),
        },
        ("group", Some(Kind::Object)) => grouped(raw),
        ("group", _) => String::new(),
        ("dig", _) => {
            let mut all = Vec::new();
            dig(raw, argument, depth, &mut all);
            listed(all.iter().map(|found| found.raw.as_str()))
        }
        _ => json.to_owned(),
    }
}

fn is_set(argument: &str, name: &str) -> bool {
    members(argument).any(|(key, value)| key == name && value == "true")
}

fn listed<'a>(items: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

/// Without the spaces between values.
fn compact(raw: &str) -> String {
    let bytes = raw.as_bytes();
    let (mut out, mut place) = (String::with_capacity(raw.len()), 0);
    while place < bytes.len() {
        let end = if bytes[place] == b'"' { after_text(bytes, place) } else { place + 1 };
        if bytes[place] > b' ' {
            out.push_str(raw.get(place..end).unwrap_or_default());
        }
        place = end;
    }
    out
}

fn flattened(raw: &str, deep: bool, depth: usize) -> String {
    let mut all = Vec::new();
    for element in elements(raw) {
        if kind_of(element) != Kind::Array {
            all.push(element.to_owned());
            continue;
        }
        let inner = if deep && depth < DEEPEST { flattened(element, deep, depth + 1) } else { element.to_owned() };
        let inner = inner.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or_default().trim();
        if !inner.is_empty() {
            all.push(inner.to_owned());
        }
    }
    format!("[{}]", all.join(","))
}

fn joined(raw: &str, preserve: bool) -> String {
    let objects = elements(raw).filter(|element| kind_of(element) == Kind::Object);
    let mut all: Vec<(&str, &str)> = Vec::new();
    for (key, value) in objects.flat_map(raw_members) {
        match all.iter_mut().find(|(known, _)| *known == key) {
            Some(known) if !preserve => known.1 = value,
            _ => all.push((key, value)),
        }
    }
    let all: Vec<_> = all.into_iter().map(|(key, value)| format!("{key}:{value}")).collect();
    format!("{{{}}}", all.join(","))
}

/// An object of arrays as an array of objects.
fn grouped(raw: &str) -> String {
    let mut all: Vec<Vec<String>> = Vec::new();
    for (key, value) in raw_members(raw).filter(|(_, value)| kind_of(value) == Kind::Array) {
        for (place, element) in elements(value).enumerate() {
            if place == all.len() {
                all.push(Vec::new());
            }
            all[place].push(format!("{key}:{element}"));
        }
    }
    let all: Vec<_> = all.into_iter().map(|members| format!("{{{}}}", members.join(","))).collect();
    format!("[{}]", all.join(","))
}

/// What a path leads to from a value and from everything within it.
fn dig(raw: &str, path: &str, depth: usize, all: &mut Vec<Found>) {
    if depth > DEEPEST {
        return;
    }
    all.extend(get(raw, path, depth + 1));
    match kind_of(raw) {
        Kind::Object => raw_members(raw).for_each(|(_, value)| dig(value, path, depth + 1, all)),
        Kind::Array => elements(raw).for_each(|element| dig(element, path, depth + 1, all)),
        _ => {}
    }
}

/// Columns that an array may fill before its elements get a line each.
const WIDTH: usize = 80;

/// With a line for each member and element; an array that fits into its line and holds no object stays in it.
fn pretty(raw: &str, depth: usize, out: &mut String) {
    if depth > DEEPEST {
        out.push_str(raw);
        return;
    }
    let indent = |depth: usize| format!("\n{}", "  ".repeat(depth));
    match kind_of(raw) {
        Kind::Object if raw_members(raw).next().is_some() => {
            let members = raw_members(raw).map(|(key, value)| {
                let mut line = format!("{}{key}: ", indent(depth + 1));
                pretty(value, depth + 1, &mut line);
                line
            });
            let members: Vec<_> = members.collect();
            *out += &format!("{{{}{}}}", members.join(","), indent(depth));
        }
        Kind::Array if elements(raw).next().is_some() => {
            let column = out.len() - out.rfind('\n').map_or(0, |place| place + 1);
            match in_line(raw, depth).filter(|line| column + line.len() <= WIDTH) {
                Some(line) => out.push_str(&line),
                None => {
                    let elements = elements(raw).map(|element| {
                        let mut line = indent(depth + 1);
                        pretty(element, depth + 1, &mut line);
                        line
                    });
                    let elements: Vec<_> = elements.collect();
                    *out += &format!("[{}{}]", elements.join(","), indent(depth));
                }
            }
        }
        Kind::Object => out.push_str("{}"),
        Kind::Array => out.push_str("[]"),
        _ => out.push_str(raw),
    }
}

/// An array in one line; none when it holds an object.
fn in_line(raw: &str, depth: usize) -> Option<String> {
    let element = |element: &str| match kind_of(element) {
        Kind::Object => None,
        Kind::Array if depth < DEEPEST => in_line(element, depth + 1),
        _ => Some(element.to_owned()),
    };
    let all: Option<Vec<_>> = elements(raw).map(element).collect();
    all.map(|all| format!("[{}]", all.join(", ")))
}
