//! Reading JSON where it stands: no value is built, and nothing is judged beyond what finding its end takes.

/// What kind of value a text begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    True,
    False,
    Number,
    String,
    Object,
    Array,
}

pub(super) fn kind_of(raw: &str) -> Kind {
    match raw.as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::String,
        Some(b't') => Kind::True,
        Some(b'f') => Kind::False,
        Some(b'n') if !raw.starts_with("nan") => Kind::Null,
        _ => Kind::Number,
    }
}

/// Where the value ends that a text begins with; none when it does not begin with one, or does not end.
pub(super) fn value_end(json: &str) -> Option<usize> {
    let bytes = json.as_bytes();
    match bytes.first()? {
        b'"' => string_end(bytes, 0),
        b'{' | b'[' => nested_end(bytes),
        b't' | b'f' | b'n' | b'N' | b'i' | b'I' | b'+' | b'-' | b'0'..=b'9' => {
            let stop = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b',' | b']' | b'}' | b':');
            Some(bytes.iter().position(stop).unwrap_or(bytes.len()))
        }
        _ => None,
    }
}

/// The place after the closing quote of the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut place = start + 1;
    while let Some(byte) = bytes.get(place) {
        match byte {
            b'\\' => place += 2,
            b'"' => return Some(place + 1),
            _ => place += 1,
        }
    }
    None
}

fn nested_end(bytes: &[u8]) -> Option<usize> {
    let (mut place, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(place) {
        match byte {
            b'"' => {
                place = string_end(bytes, place)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(place + 1);
                }
            }
            _ => {}
        }
        place += 1;
    }
    None
}

/// The text of a JSON string.
pub(super) fn unquoted(raw: &str) -> String {
    serde_json::from_str(raw).unwrap_or_else(|_| raw.trim_matches('"').to_owned())
}

/// A text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    crate::values::json(&serde_json::Value::from(text))
}

/// The elements of an array, as they stand.
pub(super) fn elements(json: &str) -> impl Iterator<Item = &str> {
    let mut rest = json.strip_prefix('[').unwrap_or_default();
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n', ',']);
        let end = value_end(rest)?;
        let (element, after) = rest.split_at(end);
        rest = after;
        Some(element)
    })
}

/// The members of an object: each key as text, each value as it stands.
pub(super) fn members(json: &str) -> impl Iterator<Item = (String, &str)> {
    raw_members(json).map(|(key, value)| (unquoted(key), value))
}

/// The same with keys as they stand.
pub(super) fn raw_members(json: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = json.strip_prefix('{').unwrap_or_default();
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n', ',']);
        let end = rest.starts_with('"').then(|| value_end(rest)).flatten()?;
        let (key, after) = rest.split_at(end);
        rest = after.trim_start_matches([' ', '\t', '\r', '\n', ':']);
        let (value, after) = rest.split_at(value_end(rest)?);
        rest = after;
        Some((key, value))
    })
}

/// Values one after another, one a line, as one array.
pub(super) fn lines(json: &str) -> String {
    let mut rest = json;
    let values = std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|letter: char| letter.is_ascii_whitespace() || letter == ',');
        let (value, after) = rest.split_at(value_end(rest)?);
        rest = after;
        Some(value)
    });
    format!("[{}]", values.collect::<Vec<_>>().join(","))
}
