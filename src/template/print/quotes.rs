//! Texts and characters in quotes, as `strconv.Quote` writes them.

use super::super::unicode;

/// As `%q` shows a text: what `strconv.Quote` gives.
pub(in super::super) fn quote(text: &[u8], ascii_only: bool) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    let mut at = 0;
    while at < text.len() {
        let (character, width) = unicode::decode(&text[at..]);
        if character == unicode::REPLACEMENT && width == 1 {
            out += &format!("\\x{:02x}", text[at]);
        } else {
            escape(character, '"', ascii_only, &mut out);
        }
        at += width;
    }
    out.push('"');
    out
}

pub(super) fn escape(character: char, quote: char, ascii_only: bool, out: &mut String) {
    match character {
        _ if character == quote || character == '\\' => out.extend(['\\', character]),
        '\x07' => *out += "\\a",
        '\x08' => *out += "\\b",
        '\x0C' => *out += "\\f",
        '\n' => *out += "\\n",
        '\r' => *out += "\\r",
        '\t' => *out += "\\t",
        '\x0B' => *out += "\\v",
        _ if unicode::is_printable(character) && (!ascii_only || character.is_ascii()) => out.push(character),
        '\0'..=' ' | '\x7F' => *out += &format!("\\x{:02x}", u32::from(character)),
        '\u{80}'..='\u{FFFF}' => *out += &format!("\\u{:04x}", u32::from(character)),
        _ => *out += &format!("\\U{:08x}", u32::from(character)),
    }
}

pub(super) fn can_backquote(text: &[u8]) -> bool {
    std::str::from_utf8(text)
        .is_ok_and(|text| text.chars().all(|c| c == '\t' || !(c < ' ' || c == '`' || c == '\x7F' || c == '\u{FEFF}')))
}
