//! Paths into JSON, as the reference's library (gjson) reads them: `property` exposes the whole language to users.
//!
//! What is found is told as it stands in the text, spacing included, so nothing is parsed into values here. The text is
//! read leniently, as there: a text that is no JSON holds nothing. Every loop runs over the text or the path once;
//! nesting of either is bounded by [`DEEPEST`].
//!
//! Source: the path language of gjson 1.18, and what the reference showed when it ran (`tests/external_secrets`).

mod modify;
mod path;
mod query;
mod scan;

use path::{ArrayPart, ObjectPart, array_part, object_part, selectors, split_pipe};
use query::{matches, wildcard};
use scan::{Kind, elements, kind_of, members, value_end};

/// Deepest nesting of selectors, pipes and values that is followed; beyond it there is nothing.
const DEEPEST: usize = 64;

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    /// As it stands, or as it was put together.
    raw: String,
}

impl Found {
    fn kind(&self) -> Kind {
        kind_of(&self.raw)
    }

    /// As text: a string without its quotes, an integer with all its digits, another number as the shortest decimal that
    /// means it, null as nothing, and a whole object or array as it stands.
    fn text(&self) -> String {
        match self.kind() {
            Kind::String => scan::unquoted(&self.raw),
            Kind::Number => number_text(&self.raw),
            Kind::Null => String::new(),
            Kind::True | Kind::False | Kind::Object | Kind::Array => self.raw.clone(),
        }
    }
}

/// What a path leads to in a JSON text, as text; none when it leads nowhere. `null` is there and empty.
pub fn pick(json: &str, path: &str) -> Option<String> {
    get(json, path, 0).map(|found| found.text())
}

fn number_text(raw: &str) -> String {
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return raw.to_owned();
    }
    raw.parse::<f64>().map_or_else(|_| raw.to_owned(), |number| format!("{number}"))
}

/// A value that stands at the beginning of a text.
fn parse(json: &str) -> Option<Found> {
    let start = json.find(|letter: char| !letter.is_ascii_whitespace())?;
    let json = &json[start..];
    let raw = &json[..value_end(json)?];
    Some(Found { raw: raw.to_owned() })
}

fn get(json: &str, path: &str, depth: usize) -> Option<Found> {
    if depth > DEEPEST {
        return None;
    }
    if let Some(outcome) = special(json, path, depth).filter(|_| path.len() > 1) {
        return outcome;
    }
    if let Some(rest) = path.strip_prefix("..") {
        return search_array(&scan::lines(json), rest, depth).resolve(depth);
    }
    let start = json.find(['{', '['])?;
    let json = &json[start..];
    let hit = if json.starts_with('{') { search_object(json, path, depth) } else { search_array(json, path, depth) };
    hit.resolve(depth)
}

/// A path that begins with a modifier, a literal or a selection of several paths; none when it is an ordinary one.
fn special(json: &str, path: &str, depth: usize) -> Option<Option<Found>> {
    let (made, rest) = match path.as_bytes().first()? {
        b'@' => modify::apply(json, path, depth)?,
        b'!' => modify::literal(path)?,
        b'[' | b'{' => {
            let (selected, rest) = selectors(path)?;
            if !(rest.is_empty() || rest.starts_with(['|', '.'])) {
                return None;
            }
            (select(json, path.starts_with('{'), &selected, depth), rest)
        }
        _ => return None,
    };
    Some(match rest.strip_prefix(['|', '.']) {
        Some(rest) => get(&made, rest, depth + 1),
        None => parse(&made),
    })
}

/// Several paths at once, as one object or array; those that lead nowhere are left out.
fn select(json: &str, as_object: bool, selected: &[path::Selector<'_>], depth: usize) -> String {
    let mut parts = Vec::new();
    for selector in selected {
        let Some(found) = get(json, selector.path, depth + 1) else { continue };
        if as_object {
            parts.push(format!("{}:{}", selector.key(), found.raw));
        } else {
            parts.push(found.raw);
        }
    }
    let (open, close) = if as_object { ('{', '}') } else { ('[', ']') };
    format!("{open}{}{close}", parts.join(","))
}

/// What a search came to: something or nothing, and a path that goes on from there.
struct Hit {
    found: Option<Found>,
    /// The search is over: nothing further is looked at.
    ends: bool,
    pipe: Option<String>,
}

impl Hit {
    fn of(found: Option<Found>, ends: bool, pipe: Option<&str>) -> Self {
        Self { found, ends, pipe: pipe.map(str::to_owned) }
    }

    fn resolve(self, depth: usize) -> Option<Found> {
        match self.pipe {
            Some(pipe) => get(self.found.as_ref().map_or("", |found| found.raw.as_str()), &pipe, depth + 1),
            None => self.found,
        }
    }
}

fn search_object(json: &str, path: &str, depth: usize) -> Hit {
    let ObjectPart { name, wild, rest, pipe } = object_part(path);
    for (key, value) in members(json) {
        let fits = if wild { wildcard(&key, &name) } else { key == name };
        if !fits {
            continue;
        }
        let Some(rest) = rest else {
            return Hit::of(Some(Found { raw: value.to_owned() }), true, pipe);
        };
        if let Some(hit) = descend(value, rest, depth) {
            return hit;
        }
    }
    Hit::of(None, false, pipe)
}

/// Goes on within a value; none when there is nothing, and the search goes on beside it.
fn descend(value: &str, rest: &str, depth: usize) -> Option<Hit> {
    if depth > DEEPEST {
        return None;
    }
    let hit = match kind_of(value) {
        Kind::Object => search_object(value, rest, depth + 1),
        Kind::Array => search_array(value, rest, depth + 1),
        _ => return None,
    };
    // A pipe counts although nothing was found: what it leads to may be there all the same.
    (hit.ends || hit.found.is_some() || hit.pipe.is_some()).then_some(hit)
}

fn search_array(json: &str, path: &str, depth: usize) -> Hit {
    match array_part(path) {
        ArrayPart::Length { pipe } => Hit::of(Some(Found { raw: elements(json).count().to_string() }), true, pipe),
        ArrayPart::Each { rest } => {
            let (rest, pipe) = split_pipe(rest);
            let found: Vec<String> =
                elements(json).filter_map(|element| Some(get(element, rest, depth + 1)?.raw)).collect();
            Hit::of(Some(Found { raw: format!("[{}]", found.join(",")) }), true, pipe)
        }
        ArrayPart::Query { query, all, rest, pipe } => {
            let (rest, pipe) = match rest.map(split_pipe) {
                Some((rest, further)) => (Some(rest), further.or(pipe)),
                None => (None, pipe),
            };
            let fitting = elements(json).filter(|element| matches(element, &query, depth));
            let within = |element: &str| match rest {
                Some(rest) => get(element, rest, depth + 1),
                None => Some(Found { raw: element.to_owned() }),
            };
            if all {
                let found: Vec<String> = fitting.filter_map(|element| Some(within(element)?.raw)).collect();
                return Hit::of(Some(Found { raw: format!("[{}]", found.join(",")) }), true, pipe);
            }
            let mut fitting = fitting;
            let first = fitting.next();
            Hit::of(first.and_then(within), first.is_some(), pipe)
        }
        ArrayPart::Index { index, rest, pipe } => {
            let element = index.and_then(|index| elements(json).nth(index));
            let found = match (element, rest) {
                (Some(element), Some(rest)) => {
                    return descend(element, rest, depth).unwrap_or(Hit::of(None, false, pipe));
                }
                (Some(element), None) => Some(Found { raw: element.to_owned() }),
                (None, _) => None,
            };
            let ends = found.is_some();
            Hit::of(found, ends, pipe)
        }
    }
}

#[cfg(test)]
mod tests;
