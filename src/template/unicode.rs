//! Characters as Go sees them: bytes that are no UTF-8 count one by one, and case changes one character for one.

use std::sync::LazyLock;

use regex::Regex;

/// What Go puts in the place of a byte that is no UTF-8.
pub(super) const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// The first character, and how many bytes it takes: a wrong byte is [`REPLACEMENT`] of width 1; nothing is width 0.
pub(super) fn decode(bytes: &[u8]) -> (char, usize) {
    let Some(first) = bytes.first() else { return (REPLACEMENT, 0) };
    let width = match first {
        0x00..=0x7F => return (char::from(*first), 1),
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => return (REPLACEMENT, 1),
    };
    let decoded =
        bytes.get(..width).and_then(|bytes| std::str::from_utf8(bytes).ok()).and_then(|text| text.chars().next());
    decoded.map_or((REPLACEMENT, 1), |character| (character, width))
}

/// The characters with where each begins.
pub(super) fn characters(bytes: &[u8]) -> impl Iterator<Item = (usize, char)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (character, width) = decode(bytes.get(at..)?);
        let begin = at;
        at += width;
        (width > 0).then_some((begin, character))
    })
}

/// As UTF-8; each wrong byte becomes one [`REPLACEMENT`].
pub(super) fn lossy(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => characters(bytes).map(|(_, character)| character).collect(),
    }
}

/// Each character changed.
pub(super) fn map(bytes: &[u8], change: impl Fn(char) -> char) -> String {
    characters(bytes).map(|(_, character)| change(character)).collect()
}

/// Whether two texts are the same but for case.
pub(super) fn is_same_folded(a: &[u8], b: &[u8]) -> bool {
    a == b || a.eq_ignore_ascii_case(b) || map(a, to_lower) == map(b, to_lower)
}

macro_rules! class {
    ($(#[$doc:meta])* $name:ident, $ascii:expr, $pattern:literal) => {
        $(#[$doc])*
        pub(super) fn $name(character: char) -> bool {
            static CLASS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(concat!("^", $pattern, "$")).ok());
            if character.is_ascii() {
                let ascii: fn(char) -> bool = $ascii;
                return ascii(character);
            }
            CLASS.as_ref().is_some_and(|class| class.is_match(character.encode_utf8(&mut [0; 4])))
        }
    };
}

class!(
    /// A letter.
    is_letter, |c| c.is_ascii_alphabetic(), r"\p{L}");
class!(
    /// A decimal digit.
    is_digit, |c| c.is_ascii_digit(), r"\p{Nd}");
class!(
    /// Any number.
    is_number, |c| c.is_ascii_digit(), r"\p{N}");
class!(
    /// An upper case letter.
    is_upper, |c| c.is_ascii_uppercase(), r"\p{Lu}");
class!(
    /// A lower case letter.
    is_lower, |c| c.is_ascii_lowercase(), r"\p{Ll}");
class!(
    /// A letter in title case.
    is_title, |_| false, r"\p{Lt}");
class!(
    /// Punctuation.
    is_punctuation, |c| c.is_ascii_punctuation() && !"$+<=>^`|~".contains(c), r"\p{P}");
class!(
    /// What `%q` shows as it is.
    is_printable, |c| c == ' ' || c.is_ascii_graphic(), r"[\p{L}\p{M}\p{N}\p{P}\p{S}]");

/// White space.
pub(super) fn is_space(character: char) -> bool {
    character.is_whitespace()
}

/// Upper case, one character for one.
pub(super) fn to_upper(character: char) -> char {
    match character {
        // Those whose full mapping is longer, but which have a simple one as well: with iota below.
        '\u{1F80}'..='\u{1F87}' | '\u{1F90}'..='\u{1F97}' | '\u{1FA0}'..='\u{1FA7}' => shifted(character, 8),
        '\u{1FB3}' | '\u{1FC3}' | '\u{1FF3}' => shifted(character, 9),
        _ => single(character, character.to_uppercase()),
    }
}

/// Lower case, one character for one.
pub(super) fn to_lower(character: char) -> char {
    if character == '\u{130}' { 'i' } else { single(character, character.to_lowercase()) }
}

/// Title case, one character for one.
pub(super) fn to_title(character: char) -> char {
    match character {
        '\u{1C4}'..='\u{1C6}' => '\u{1C5}',
        '\u{1C7}'..='\u{1C9}' => '\u{1C8}',
        '\u{1CA}'..='\u{1CC}' => '\u{1CB}',
        '\u{1F1}'..='\u{1F3}' => '\u{1F2}',
        // Georgian has upper case only for headlines.
        '\u{10D0}'..='\u{10FF}' => character,
        _ => to_upper(character),
    }
}

fn shifted(character: char, by: u32) -> char {
    char::from_u32(u32::from(character) + by).unwrap_or(character)
}

fn single(character: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(only), None) => only,
        _ => character,
    }
}
