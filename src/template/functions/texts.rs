//! Texts.

mod parts;
pub(super) mod shapes;
mod words;

use self::parts::{join, sort_alpha, split, split_list, splitn, to_strings};
use self::shapes::{
    abbrev, abbrevboth, indent, nindent, repeat, substr, trim, trim_all, trim_prefix, trim_suffix, trunc, wrap,
    wrap_with,
};
use self::words::{camelcase, kebabcase, snakecase};
use super::super::error::Fault;
use super::super::print;
use super::super::run::Run;
use super::super::signature::Rest;
use super::super::unicode::{self, characters, is_space};
use super::super::value::{Text, Value};
use super::{Function, both};

/// A value as Sprig makes a text of it.
pub(super) fn text_of(run: &mut Run, value: &Value) -> Result<Text, Fault> {
    match value {
        Value::Text(text) => Ok(text.clone()),
        other => match print::own_text(other) {
            Some(text) => Ok(text.into()),
            None => Ok(print::sprintf(&mut run.budget, b"%v", std::slice::from_ref(other))?.into()),
        },
    }
}

/// A list as texts, what is nil left out; anything else is a list of one.
pub(super) fn texts_of(run: &mut Run, value: &Value) -> Result<Vec<Text>, Fault> {
    match value {
        Value::List(list) => {
            run.budget.spend(list.len())?;
            list.iter().filter(|item| !item.is_nil()).map(|item| text_of(run, item)).collect()
        }
        Value::Absent | Value::Nil => Ok(Vec::new()),
        other => Ok(vec![text_of(run, other)?]),
    }
}

/// Where a part of a text begins.
pub(super) fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, part)
}

fn upper(text: Text) -> String {
    unicode::map(&text, unicode::to_upper)
}

fn lower(text: Text) -> String {
    unicode::map(&text, unicode::to_lower)
}

fn title(text: Text) -> String {
    let is_separator = |character: char| {
        let joins = character == '_' || unicode::is_letter(character) || unicode::is_digit(character);
        if character.is_ascii() { !joins } else { !joins && is_space(character) }
    };
    let mut before = ' ';
    let change = |(_, character)| {
        let begins = is_separator(before);
        before = character;
        if begins { unicode::to_title(character) } else { character }
    };
    characters(&text).map(change).collect()
}

fn untitle(text: Text) -> String {
    let mut begins = true;
    let change = |(_, character)| {
        if is_space(character) {
            begins = true;
            return character;
        }
        if std::mem::take(&mut begins) { unicode::to_lower(character) } else { character }
    };
    characters(&text).map(change).collect()
}

fn swapcase(text: Text) -> String {
    let mut after_space = true;
    let change = |(_, character)| {
        if unicode::is_upper(character) || unicode::is_title(character) {
            after_space = false;
            unicode::to_lower(character)
        } else if unicode::is_lower(character) {
            if std::mem::take(&mut after_space) { unicode::to_title(character) } else { unicode::to_upper(character) }
        } else {
            after_space = is_space(character);
            character
        }
    };
    characters(&text).map(change).collect()
}

fn initials(text: Text) -> String {
    let mut begins = true;
    let first = |character: &char| {
        if is_space(*character) {
            begins = true;
            return false;
        }
        std::mem::take(&mut begins)
    };
    // The original takes each byte for a character of Latin-1.
    text.iter().map(|byte| char::from(*byte)).filter(first).collect()
}

fn nospace(text: Text) -> Text {
    // The original looks at bytes as if they were characters of Latin-1.
    let kept: String = text.iter().map(|byte| char::from(*byte)).filter(|character| !is_space(*character)).collect();
    if kept.chars().count() == text.len() { text } else { kept.into() }
}

fn contains(part: Text, text: Text) -> bool {
    find(&text, &part).is_some()
}

fn has_prefix(prefix: Text, text: Text) -> bool {
    text.starts_with(&prefix)
}

fn has_suffix(suffix: Text, text: Text) -> bool {
    text.ends_with(&suffix)
}

fn quote(run: &mut Run, values: Rest<Value>) -> Result<String, Fault> {
    let mut quoted = Vec::new();
    for value in values.0.iter().filter(|value| !value.is_nil()) {
        let text = text_of(run, value)?;
        run.budget.spend(text.len())?;
        quoted.push(print::quote(&text, false));
    }
    Ok(quoted.join(" "))
}

fn squote(run: &mut Run, values: Rest<Value>) -> Result<Vec<u8>, Fault> {
    let mut quoted = Vec::new();
    for value in values.0.iter().filter(|value| !value.is_nil()) {
        let text = print::sprintf(&mut run.budget, b"'%v'", std::slice::from_ref(value))?;
        quoted.push(text);
    }
    Ok(quoted.join(&b' '))
}

fn cat(run: &mut Run, values: Rest<Value>) -> Result<Vec<u8>, Fault> {
    let mut words = Vec::new();
    for value in values.0.iter().filter(|value| !value.is_nil()) {
        words.push(print::sprintf(&mut run.budget, b"%v", std::slice::from_ref(value))?);
    }
    Ok(words.join(&b' '))
}

fn replace(run: &mut Run, old: Text, new: Text, text: Text) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::with_capacity(text.len());
    if old.is_empty() {
        // Before each character and at the end.
        run.budget.spend(new.len().saturating_mul(text.len() + 1))?;
        let ends = characters(&text).skip(1).map(|(at, _)| at).chain([text.len()]);
        let mut begin = 0;
        for end in ends {
            out.extend_from_slice(&new);
            out.extend_from_slice(&text[begin..end]);
            begin = end;
        }
        if !text.is_empty() {
            out.extend_from_slice(&new);
        }
        return Ok(out);
    }
    let mut rest = &text[..];
    while let Some(at) = find(rest, &old) {
        run.budget.spend(new.len() + at)?;
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(&new);
        rest = &rest[at + old.len()..];
    }
    out.extend_from_slice(rest);
    Ok(out)
}

fn plural(one: Text, many: Text, count: i64) -> Text {
    if count == 1 { one } else { many }
}

fn to_text(run: &mut Run, value: Value) -> Result<Text, Fault> {
    text_of(run, &value)
}

fn shuffle(run: &mut Run, text: Text) -> String {
    let mut letters: Vec<char> = characters(&text).map(|(_, character)| character).collect();
    for last in (1..letters.len()).rev() {
        let end = u64::try_from(last + 1).unwrap_or(u64::MAX);
        let drawn = usize::try_from(run.chance.below(end)).unwrap_or(last);
        letters.swap(last, drawn);
    }
    letters.into_iter().collect()
}

fn fail(_message: Text) -> Result<Text, Fault> {
    // Not the message: it may hold a value.
    Fault::wrong("the template was stopped by its own `fail`")
}

fn hello() -> &'static str {
    "Hello!"
}

pub(super) fn table() -> Vec<Function> {
    vec![
        both("abbrev", abbrev, "Shortens to a width, with dots at the end."),
        both("abbrevboth", abbrevboth, "Shortens from an offset on to a width, with dots at both ends."),
        both("camelcase", camelcase, "`some_words` as `SomeWords`."),
        both("cat", cat, "The arguments with spaces between, nil left out."),
        both("contains", contains, "Whether the second holds the first."),
        both("fail", fail, "Stops the rendering. The message is not shown: it may hold a value."),
        both("hasPrefix", has_prefix, "Whether the second begins with the first."),
        both("hasSuffix", has_suffix, "Whether the second ends with the first."),
        both("hello", hello, "`Hello!`"),
        both("indent", indent, "Each line with so many spaces in front."),
        both("initials", initials, "The first letter of each word."),
        both("join", join, "The elements with the separator between."),
        both("kebabcase", kebabcase, "`SomeWords` as `some-words`."),
        both("lower", lower, "In lower case."),
        both("nindent", nindent, "`indent` with a new line in front."),
        both("nospace", nospace, "Without white space."),
        both("plural", plural, "The first for a count of 1, the second otherwise."),
        both("quote", quote, "In double quotes, escaped; nil left out."),
        both("repeat", repeat, "So many times."),
        both("replace", replace, "The first replaced by the second in the third."),
        both("shuffle", shuffle, "The letters in another order, drawn from the object's chance."),
        both("snakecase", snakecase, "`SomeWords` as `some_words`."),
        both("sortAlpha", sort_alpha, "The elements as texts, sorted by their bytes."),
        both("split", split, "The parts between separators as a dict with `_0`, `_1` …"),
        both("splitList", split_list, "The parts between separators."),
        both("splitn", splitn, "`split` into at most so many parts."),
        both("squote", squote, "In single quotes, not escaped; nil left out."),
        both("substr", substr, "From the start to before the end, in bytes; a negative end is the text's."),
        both("swapcase", swapcase, "Upper case for lower, lower for upper, title case for what begins a word."),
        both("title", title, "The first letter of each word in title case."),
        both("toString", to_text, "As text."),
        both("toStrings", to_strings, "The elements as texts."),
        both("trim", trim, "Without white space at both ends."),
        both("trimAll", trim_all, "Without the characters of the first at both ends of the second."),
        both("trimPrefix", trim_prefix, "The second without the first in front."),
        both("trimSuffix", trim_suffix, "The second without the first at its end."),
        both("trimall", trim_all, "The same as `trimAll`."),
        both("trunc", trunc, "The first so many bytes; the last for a negative number."),
        both("untitle", untitle, "The first letter of each word in lower case."),
        both("upper", upper, "In upper case."),
        both("wrap", wrap, "Lines of at most that width, where words allow it."),
        both("wrapWith", wrap_with, "Pieces of at most that width with the separator between; long words are cut."),
    ]
}
