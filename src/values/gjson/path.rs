//! Taking a path apart.

use super::query::Query;
use super::{modify, scan};

/// One step into an object.
pub(super) struct ObjectPart<'a> {
    pub(super) name: String,
    pub(super) wild: bool,
    pub(super) rest: Option<&'a str>,
    pub(super) pipe: Option<&'a str>,
}

/// One step into an array.
pub(super) enum ArrayPart<'a> {
    /// `#`
    Length { pipe: Option<&'a str> },
    /// `#.…`
    Each { rest: &'a str },
    /// `#(…)…`, and with `all` `#(…)#…`
    Query { query: Query, all: bool, rest: Option<&'a str>, pipe: Option<&'a str> },
    /// A number; none when it is none.
    Index { index: Option<usize>, rest: Option<&'a str>, pipe: Option<&'a str> },
}

/// One path of several.
pub(super) struct Selector<'a> {
    name: Option<&'a str>,
    pub(super) path: &'a str,
}

impl Selector<'_> {
    /// The key that it gets in an object, as a JSON string: its own name, or the last part of its path.
    pub(super) fn key(&self) -> String {
        match self.name {
            Some(name) if name.starts_with('"') && serde_json::from_str::<String>(name).is_ok() => name.to_owned(),
            Some(name) if !name.is_empty() => scan::quoted(name),
            _ => {
                let last = last_name(self.path);
                let is_simple = last.bytes().all(|byte| byte >= b' ')
                    && !last.contains(['[', ']', '{', '}', '(', ')', '#', '|', '!']);
                scan::quoted(if is_simple { last } else { "_" })
            }
        }
    }
}

fn last_name(path: &str) -> &str {
    let bytes = path.as_bytes();
    let is_end = |&place: &usize| matches!(bytes[place], b'|' | b'.') && (place == 0 || bytes[place - 1] != b'\\');
    (0..bytes.len()).rev().find(is_end).map_or(path, |place| &path[place + 1..])
}

/// Takes the first step into an object off a path. `\` makes the next letter an ordinary one.
pub(super) fn object_part(path: &str) -> ObjectPart<'_> {
    let mut part = ObjectPart { name: String::new(), wild: false, rest: None, pipe: None };
    let mut letters = path.char_indices();
    while let Some((place, letter)) = letters.next() {
        match letter {
            '|' => {
                part.pipe = Some(&path[place + 1..]);
                return part;
            }
            '.' => {
                (part.rest, part.pipe) = after_dot(&path[place + 1..]);
                return part;
            }
            '\\' => part.name.extend(letters.next().map(|(_, letter)| letter)),
            '*' | '?' => {
                part.wild = true;
                part.name.push(letter);
            }
            other => part.name.push(other),
        }
    }
    part
}

/// What follows a dot: a further step, or something that begins anew on what was found.
fn after_dot(rest: &str) -> (Option<&str>, Option<&str>) {
    let begins_anew = match rest.as_bytes().first() {
        Some(b'@') => modify::is_known(rest),
        Some(b'[' | b'{') => true,
        _ => false,
    };
    if begins_anew { (None, Some(rest)) } else { (Some(rest), None) }
}

/// Takes the first step into an array off a path.
pub(super) fn array_part(path: &str) -> ArrayPart<'_> {
    if let Some(rest) = path.strip_prefix("#.") {
        return ArrayPart::Each { rest };
    }
    if path.starts_with("#(") || path.starts_with("#[") {
        let Some((query, after)) = Query::read(path) else {
            return ArrayPart::Index { index: None, rest: None, pipe: None };
        };
        let (all, after) = after.strip_prefix('#').map_or((false, after), |after| (true, after));
        let (_, rest, pipe) = step(after, false);
        return ArrayPart::Query { query, all, rest, pipe };
    }
    let (name, rest, pipe) = step(path, !path.starts_with('#'));
    if name == "#" {
        return ArrayPart::Length { pipe };
    }
    ArrayPart::Index { index: name.parse().ok(), rest, pipe }
}

fn step(path: &str, dot_may_begin_anew: bool) -> (&str, Option<&str>, Option<&str>) {
    match path.find(['.', '|']) {
        Some(place) if path[place..].starts_with('|') => (&path[..place], None, Some(&path[place + 1..])),
        Some(place) => {
            let after = &path[place + 1..];
            let (rest, pipe) = if dot_may_begin_anew { after_dot(after) } else { (Some(after), None) };
            (&path[..place], rest, pipe)
        }
        None => (path, None, None),
    }
}

/// Splits a path at its first pipe that stands in no query, text or selection.
pub(super) fn split_pipe(path: &str) -> (&str, Option<&str>) {
    let bytes = path.as_bytes();
    let (mut place, mut depth) = (0, 0_usize);
    while place < bytes.len() {
        match bytes[place] {
            b'\\' => place += 1,
            b'"' if depth > 0 => place = after_text(bytes, place) - 1,
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'|' if depth == 0 => return (&path[..place], Some(&path[place + 1..])),
            _ => {}
        }
        place += 1;
    }
    (path, None)
}

/// The place after the text in quotes that begins at `start`.
pub(super) fn after_text(bytes: &[u8], start: usize) -> usize {
    let mut place = start + 1;
    while place < bytes.len() {
        match bytes[place] {
            b'\\' => place += 2,
            b'"' => return place + 1,
            _ => place += 1,
        }
    }
    bytes.len()
}

/// Reads `{…}` or `[…]` at the beginning of a path, and what follows it; none when it does not end.
pub(super) fn selectors(path: &str) -> Option<(Vec<Selector<'_>>, &str)> {
    let bytes = path.as_bytes();
    let mut selected = Vec::new();
    let (mut place, mut depth, mut start) = (1, 1_usize, 1);
    let (mut colon, mut in_modifier) = (None, false);
    let selector = |start: usize, colon: Option<usize>, end: usize| match colon {
        Some(colon) => Selector { name: Some(&path[start..colon]), path: &path[colon + 1..end] },
        None => Selector { name: None, path: &path[start..end] },
    };
    while place < bytes.len() {
        match bytes[place] {
            b'\\' => place += 1,
            b'@' if matches!(bytes[place - 1], b'.' | b'|') => in_modifier = true,
            b':' if !in_modifier && depth == 1 && colon.is_none() => colon = Some(place),
            b',' if depth == 1 => {
                selected.push(selector(start, colon, place));
                (colon, in_modifier, start) = (None, false, place + 1);
            }
            b'"' => {
                place = after_text(bytes, place);
                continue;
            }
            b'[' | b'(' | b'{' => depth += 1,
            b']' | b')' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    selected.push(selector(start, colon, place));
                    return Some((selected, &path[place + 1..]));
                }
            }
            _ => {}
        }
        place += 1;
    }
    None
}
