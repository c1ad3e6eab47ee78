//! Queries on the elements of an array, and wildcards.

use super::path::after_text;
use super::scan::{Kind, kind_of, unquoted};
use super::{Found, get, number_text};

/// Most steps that one comparison with a wildcard may take.
const MOST_STEPS: usize = 10_000;

/// What stands between the brackets of `#(…)`.
pub(super) struct Query {
    path: String,
    operator: &'static str,
    value: String,
}

/// Longest first.
const OPERATORS: [&str; 9] = ["!=", "!%", "<=", ">=", "==", "<", ">", "=", "%"];

impl Query {
    /// Reads `#(…)` at the beginning of a path, and what follows it; none when it does not end.
    pub(super) fn read(path: &str) -> Option<(Self, &str)> {
        let bytes = path.as_bytes();
        let (mut place, mut depth, mut compares) = (2, 1_usize, None);
        let end = loop {
            match *bytes.get(place)? {
                b'!' | b'=' | b'<' | b'>' | b'%' if depth == 1 && compares.is_none() => compares = Some(place),
                b'\\' => place += 1,
                b'[' | b'(' => depth += 1,
                b']' | b')' => {
                    depth -= 1;
                    if depth == 0 {
                        break place;
                    }
                }
                b'"' => {
                    place = after_text(bytes, place);
                    continue;
                }
                _ => {}
            }
            place += 1;
        };
        let after = &path[end + 1..];
        let Some(compares) = compares else {
            return Some((Self { path: path[2..end].trim().to_owned(), operator: "", value: String::new() }, after));
        };
        let comparison = path[compares..end].trim();
        let operator = OPERATORS.into_iter().find(|operator| comparison.starts_with(operator)).unwrap_or("=");
        let value = comparison.get(operator.len()..).unwrap_or_default().trim();
        let value = if value.len() >= 2 && value.starts_with('"') && value.ends_with('"') {
            unquoted(value)
        } else {
            value.to_owned()
        };
        let operator = if operator == "==" { "=" } else { operator };
        Some((Self { path: path[2..compares].trim().to_owned(), operator, value }, after))
    }
}

/// Whether an element is one that a query wants.
pub(super) fn matches(element: &str, query: &Query, depth: usize) -> bool {
    let found = match kind_of(element) {
        Kind::Object | Kind::Array => get(element, &query.path, depth + 1),
        _ if query.path.is_empty() => Some(Found { raw: element.to_owned() }),
        _ => return false,
    };
    if let Some(like) = query.value.strip_prefix('~') {
        let is_like = match like {
            "*" => found.is_some(),
            "null" => found.as_ref().is_none_or(|found| found.kind() == Kind::Null),
            "true" => found.as_ref().is_some_and(|found| truth(found) == Some(true)),
            "false" => found.as_ref().is_some_and(|found| truth(found) == Some(false)),
            _ => return false,
        };
        return compare_truth(is_like, query.operator, "true");
    }
    let Some(found) = found else { return false };
    if query.operator.is_empty() {
        return true;
    }
    let wanted = query.value.as_str();
    match found.kind() {
        Kind::String => compare_text(&found.text(), query.operator, wanted),
        Kind::Number => compare_number(&found.raw, query.operator, wanted),
        Kind::True => compare_truth(true, query.operator, wanted),
        Kind::False => compare_truth(false, query.operator, wanted),
        Kind::Null | Kind::Object | Kind::Array => false,
    }
}

/// Whether something counts as true or false; neither for what is neither.
fn truth(found: &Found) -> Option<bool> {
    match found.kind() {
        Kind::True => Some(true),
        Kind::False | Kind::Null => Some(false),
        Kind::Number => Some(number_text(&found.raw).parse::<f64>().is_ok_and(|number| number != 0.0)),
        Kind::String => match found.text().to_lowercase().as_str() {
            "1" | "t" | "true" => Some(true),
            "0" | "f" | "false" => Some(false),
            _ => None,
        },
        Kind::Object | Kind::Array => None,
    }
}

fn compare_text(text: &str, operator: &str, wanted: &str) -> bool {
    match operator {
        "=" => text == wanted,
        "!=" => text != wanted,
        "<" => text < wanted,
        "<=" => text <= wanted,
        ">" => text > wanted,
        ">=" => text >= wanted,
        "%" => wildcard(text, wanted),
        "!%" => !wildcard(text, wanted),
        _ => false,
    }
}

fn compare_number(raw: &str, operator: &str, wanted: &str) -> bool {
    let number = raw.parse::<f64>().unwrap_or_default();
    let wanted = wanted.parse::<f64>().unwrap_or_default();
    match operator {
        #[expect(clippy::float_cmp, reason = "what users write is compared as they write it")]
        "=" => number == wanted,
        #[expect(clippy::float_cmp, reason = "what users write is compared as they write it")]
        "!=" => number != wanted,
        "<" => number < wanted,
        "<=" => number <= wanted,
        ">" => number > wanted,
        ">=" => number >= wanted,
        _ => false,
    }
}

fn compare_truth(truth: bool, operator: &str, wanted: &str) -> bool {
    match (truth, operator) {
        (true, "=") => wanted == "true",
        (true, "!=") => wanted != "true",
        (true, ">") => wanted == "false",
        (false, "=") => wanted == "false",
        (false, "!=") => wanted != "false",
        (false, "<") => wanted == "true",
        (true, ">=") | (false, "<=") => true,
        _ => false,
    }
}

/// Whether a text is as a pattern says: `*` is any text, `?` any letter, `\` makes the next letter an ordinary one.
pub(super) fn wildcard(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
    let (mut at, mut in_pattern) = (0, 0);
    // Where the last `*` stands, and how far the text had come then.
    let mut star: Option<(usize, usize)> = None;
    for _ in 0..MOST_STEPS {
        let wanted = pattern.get(in_pattern).copied();
        let is_end = at == text.len();
        match wanted {
            None if is_end => return true,
            Some('*') => {
                star = Some((in_pattern, at));
                in_pattern += 1;
                continue;
            }
            Some('?') if !is_end => {
                (at, in_pattern) = (at + 1, in_pattern + 1);
                continue;
            }
            Some('\\') if !is_end && pattern.get(in_pattern + 1) == text.get(at) => {
                (at, in_pattern) = (at + 1, in_pattern + 2);
                continue;
            }
            Some(letter) if letter != '\\' && !is_end && text[at] == letter => {
                (at, in_pattern) = (at + 1, in_pattern + 1);
                continue;
            }
            _ => {}
        }
        match star {
            Some((place, from)) if from < text.len() => {
                star = Some((place, from + 1));
                (at, in_pattern) = (from + 1, place + 1);
            }
            _ => return false,
        }
    }
    false
}
