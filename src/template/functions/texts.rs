//! Texts.

use super::super::error::Fault;
use super::super::print;
use super::super::run::Run;
use super::super::signature::Rest;
use super::super::unicode::{self, characters, is_space};
use super::super::value::{Entries, Text, Value};
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

fn trim(text: Text) -> Text {
    trim_space(&text).into()
}

/// Without white space at both ends; bytes that are no UTF-8 are none.
pub(super) fn trim_space(text: &[u8]) -> &[u8] {
    let keeps = |(_, character): &(usize, char)| !is_space(*character);
    let Some((begin, _)) = characters(text).find(keeps) else { return &[] };
    let last = characters(text).filter(keeps).last().map_or(begin, |(at, _)| at);
    let width = unicode::decode(&text[last..]).1;
    &text[begin..last + width]
}

fn trim_all(cutset: Text, text: Text) -> Text {
    let cutset: Vec<char> = characters(&cutset).map(|(_, character)| character).collect();
    let keeps = |(_, character): &(usize, char)| !cutset.contains(character);
    let Some((begin, _)) = characters(&text).find(keeps) else { return Text::default() };
    let last = characters(&text).filter(keeps).last().map_or(begin, |(at, _)| at);
    let width = unicode::decode(&text[last..]).1;
    text[begin..last + width].into()
}

fn trim_suffix(suffix: Text, text: Text) -> Text {
    text.strip_suffix(&*suffix).map_or_else(|| text.clone(), Text::from)
}

fn trim_prefix(prefix: Text, text: Text) -> Text {
    text.strip_prefix(&*prefix).map_or_else(|| text.clone(), Text::from)
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
    let first = |(_, character): &(usize, char)| {
        if is_space(*character) {
            begins = true;
            return false;
        }
        std::mem::take(&mut begins)
    };
    characters(&text).filter(first).map(|(_, character)| character).collect()
}

fn nospace(text: Text) -> Text {
    // The original looks at bytes as if they were characters of Latin-1.
    let kept: String = text.iter().map(|byte| char::from(*byte)).filter(|character| !is_space(*character)).collect();
    if kept.chars().count() == text.len() { text } else { kept.into() }
}

fn repeat(run: &mut Run, count: i64, text: Text) -> Result<Vec<u8>, Fault> {
    let Ok(count) = usize::try_from(count) else { return Fault::wrong("negative Repeat count") };
    run.budget.spend(text.len().saturating_mul(count))?;
    Ok(text.repeat(count))
}

fn substr(start: i64, end: i64, text: Text) -> Result<Text, Fault> {
    let position = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
    let part = if start < 0 {
        text.get(..position(end))
    } else if end < 0 || position(end) > text.len() {
        text.get(position(start)..)
    } else {
        text.get(position(start)..position(end))
    };
    part.map(Text::from).ok_or_else(|| "slice bounds out of range".into())
}

fn trunc(length: i64, text: Text) -> Text {
    let wanted = usize::try_from(length.unsigned_abs()).unwrap_or(usize::MAX);
    match wanted {
        _ if wanted >= text.len() => text,
        _ if length < 0 => text[text.len() - wanted..].into(),
        _ => text[..wanted].into(),
    }
}

fn abbrev(width: i64, text: Text) -> Text {
    if width < 4 { text } else { abbreviated(&text, 0, usize::try_from(width).unwrap_or(usize::MAX)).into() }
}

fn abbrevboth(left: i64, right: i64, text: Text) -> Text {
    if right < 4 || left > 0 && right < 7 {
        return text;
    }
    let offset = usize::try_from(left).unwrap_or(0);
    abbreviated(&text, offset, usize::try_from(right).unwrap_or(usize::MAX)).into()
}

fn abbreviated(text: &[u8], offset: usize, width: usize) -> Vec<u8> {
    if text.len() <= width {
        return text.to_vec();
    }
    let room = width - 3;
    let mut offset = offset.min(text.len());
    if text.len() - offset < room {
        offset = text.len() - room;
    }
    if offset <= 4 {
        return [&text[..room], b"..."].concat();
    }
    if width < 7 {
        return Vec::new();
    }
    if offset + room < text.len() {
        return [b"...".to_vec(), abbreviated(&text[offset..], 0, room)].concat();
    }
    [b"...", &text[text.len() - room..]].concat()
}

fn wrap(width: i64, text: Text) -> Vec<u8> {
    wrapped(&text, width, b"\n", false)
}

fn wrap_with(run: &mut Run, width: i64, separator: Text, text: Text) -> Result<Vec<u8>, Fault> {
    run.budget.spend(text.len().saturating_mul(separator.len()))?;
    let separator = if separator.is_empty() { b"\n" } else { &*separator };
    Ok(wrapped(&text, width, separator, true))
}

fn wrapped(text: &[u8], width: i64, separator: &[u8], breaks_words: bool) -> Vec<u8> {
    let width = usize::try_from(width).unwrap_or(1).max(1);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while rest.len() > width {
        if rest[0] == b' ' {
            rest = &rest[1..];
            continue;
        }
        let space = match rest[..=width].iter().rposition(|byte| *byte == b' ') {
            Some(space) => space,
            None if breaks_words => {
                out.extend_from_slice(&rest[..width]);
                out.extend_from_slice(separator);
                rest = &rest[width..];
                continue;
            }
            None => match rest[width..].iter().position(|byte| *byte == b' ') {
                Some(space) => width + space,
                None => break,
            },
        };
        out.extend_from_slice(&rest[..space]);
        out.extend_from_slice(separator);
        rest = &rest[space + 1..];
    }
    out.extend_from_slice(rest);
    out
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

fn indent(run: &mut Run, spaces: i64, text: Text) -> Result<Vec<u8>, Fault> {
    let Ok(spaces) = usize::try_from(spaces) else { return Fault::wrong("negative Repeat count") };
    let lines = 1 + text.iter().filter(|byte| **byte == b'\n').count();
    run.budget.spend(spaces.saturating_mul(lines))?;
    let pad = vec![b' '; spaces];
    let mut out = Vec::with_capacity(text.len() + spaces * lines);
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if index > 0 {
            out.push(b'\n');
        }
        out.extend_from_slice(&pad);
        out.extend_from_slice(line);
    }
    Ok(out)
}

fn nindent(run: &mut Run, spaces: i64, text: Text) -> Result<Vec<u8>, Fault> {
    let mut out = indent(run, spaces, text)?;
    out.insert(0, b'\n');
    Ok(out)
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

/// Parts between separators, at most so many; without a separator, the characters.
pub(super) fn parts(text: &[u8], separator: &[u8], most: Option<usize>) -> Vec<Text> {
    if most == Some(0) {
        return Vec::new();
    }
    let mut parts = Vec::new();
    let mut rest = text;
    let is_full = |parts: &Vec<Text>| most.is_some_and(|most| parts.len() + 1 >= most);
    if separator.is_empty() {
        while !rest.is_empty() && !is_full(&parts) {
            let (character, width) = unicode::decode(rest);
            // A wrong byte stays what it is.
            debug_assert!(width > 0, "{character:?}");
            parts.push(rest[..width].into());
            rest = &rest[width..];
        }
        if !rest.is_empty() {
            parts.push(rest.into());
        }
        return parts;
    }
    while !is_full(&parts) {
        let Some(at) = find(rest, separator) else { break };
        parts.push(rest[..at].into());
        rest = &rest[at + separator.len()..];
    }
    parts.push(rest.into());
    parts
}

fn split_list(run: &mut Run, separator: Text, text: Text) -> Result<Vec<Text>, Fault> {
    run.budget.spend(text.len().saturating_mul(8))?;
    Ok(parts(&text, &separator, None))
}

fn numbered(run: &mut Run, parts: Vec<Text>) -> Result<Value, Fault> {
    let named = |(index, part)| (Text::from(format!("_{index}")), Value::Text(part));
    let entries: Entries = parts.into_iter().enumerate().map(named).collect();
    run.text_dict(entries).map(Value::Dict)
}

fn split(run: &mut Run, separator: Text, text: Text) -> Result<Value, Fault> {
    let parts = split_list(run, separator, text)?;
    numbered(run, parts)
}

fn splitn(run: &mut Run, separator: Text, most: i64, text: Text) -> Result<Value, Fault> {
    run.budget.spend(text.len().saturating_mul(8))?;
    // A negative number is no bound.
    let parts = parts(&text, &separator, usize::try_from(most).ok());
    numbered(run, parts)
}

fn join(run: &mut Run, separator: Text, list: Value) -> Result<Vec<u8>, Fault> {
    let texts = texts_of(run, &list)?;
    let length: usize = texts.iter().map(|text| text.len() + separator.len()).sum();
    run.budget.spend(length)?;
    let mut out = Vec::with_capacity(length);
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(&separator);
        }
        out.extend_from_slice(text);
    }
    Ok(out)
}

fn to_strings(run: &mut Run, list: Value) -> Result<Vec<Text>, Fault> {
    texts_of(run, &list)
}

fn sort_alpha(run: &mut Run, list: Value) -> Result<Vec<Text>, Fault> {
    let mut texts = match &list {
        Value::List(_) => texts_of(run, &list)?,
        other => vec![text_of(run, other)?],
    };
    run.budget.spend(texts.len().saturating_mul(16))?;
    texts.sort();
    Ok(texts)
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

fn camelcase(text: Text) -> String {
    let letters: Vec<char> = characters(&text).map(|(_, character)| character).collect();
    let Some(first) = letters.iter().position(|letter| !is_connector(*letter)) else {
        return letters.into_iter().collect();
    };
    let mut out: String = letters[..first].iter().collect();
    let mut word_began_upper = unicode::is_upper(letters[first]);
    let mut current = unicode::to_upper(letters[first]);
    for letter in &letters[first + 1..] {
        let before = std::mem::replace(&mut current, *letter);
        if is_connector(current) && is_connector(before) {
            out.push(before);
        } else if is_connector(before) {
            word_began_upper = unicode::is_upper(current);
            current = unicode::to_upper(current);
        } else {
            if word_began_upper {
                if unicode::is_upper(current) {
                    current = unicode::to_lower(current);
                } else {
                    word_began_upper = false;
                }
            }
            out.push(before);
        }
    }
    out.push(current);
    out
}

fn snakecase(text: Text) -> String {
    words_joined(&text, '_')
}

fn kebabcase(text: Text) -> String {
    words_joined(&text, '-')
}

fn is_connector(character: char) -> bool {
    matches!(character, '-' | '_') || is_space(character)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    None,
    Number,
    UpperCase,
    Alphabet,
    Connector,
    Punctuation,
    Other,
}

impl Word {
    fn is_visible_break(self) -> bool {
        !matches!(self, Self::None | Self::Connector | Self::Punctuation)
    }
}

/// Words in lower case with a connector between: where a word ends is the original's rule.
fn words_joined(text: &[u8], connector: char) -> String {
    let letters: Vec<char> = characters(text).map(|(_, character)| character).collect();
    let mut out = String::new();
    let (mut kind, mut word, mut rest) = next_word(&letters);
    while !rest.is_empty() {
        if kind != Word::Connector {
            lower_word(&mut out, kind, word, connector);
        }
        let (before, last) = (kind, word);
        (kind, word, rest) = next_word(rest);
        match before {
            Word::Number => {
                while matches!(kind, Word::Alphabet | Word::Number) {
                    lower_word(&mut out, kind, word, connector);
                    (kind, word, rest) = next_word(rest);
                }
                if kind.is_visible_break() {
                    out.push(connector);
                }
            }
            Word::Connector => lower_word(&mut out, before, last, connector),
            Word::Punctuation => {}
            _ if kind != Word::Number => {
                if kind != Word::Connector && kind != Word::Punctuation {
                    out.push(connector);
                }
            }
            _ if rest.is_empty() => {}
            _ => {
                let number = word;
                (kind, word, rest) = next_word(rest);
                if kind != Word::Alphabet {
                    lower_word(&mut out, Word::Number, number, connector);
                    if kind != Word::Connector && kind != Word::Punctuation {
                        out.push(connector);
                    }
                    continue;
                }
                out.push(connector);
                lower_word(&mut out, Word::Number, number, connector);
                while matches!(kind, Word::Alphabet | Word::Number) {
                    lower_word(&mut out, kind, word, connector);
                    (kind, word, rest) = next_word(rest);
                }
                if kind.is_visible_break() {
                    out.push(connector);
                }
            }
        }
    }
    lower_word(&mut out, kind, word, connector);
    out
}

fn lower_word(out: &mut String, kind: Word, word: &[char], connector: char) {
    if kind != Word::UpperCase && kind != Word::Connector {
        out.extend(word);
        return;
    }
    out.extend(word.iter().map(|character| match *character {
        character if is_connector(character) => connector,
        character if unicode::is_upper(character) => unicode::to_lower(character),
        character => character,
    }));
}

/// A letter, but none of the signs of Chinese.
fn is_alphabet(character: char) -> bool {
    let is_sign = matches!(character, '\u{3400}'..='\u{4D85}' | '\u{4E00}'..='\u{9FCC}' | '\u{20000}'..='\u{2B81D}');
    !is_sign && unicode::is_letter(character)
}

fn next_word(letters: &[char]) -> (Word, &[char], &[char]) {
    let Some(first) = letters.first().copied() else { return (Word::None, &[], &[]) };
    let run = |from: usize, fits: &dyn Fn(char) -> bool| {
        letters[from..].iter().position(|letter| !fits(*letter)).map_or(letters.len(), |more| from + more)
    };
    let goes_on = |letter| is_alphabet(letter) && !unicode::is_upper(letter);
    let (kind, count) = if is_connector(first) {
        (Word::Connector, run(1, &is_connector))
    } else if unicode::is_punctuation(first) {
        (Word::Punctuation, run(1, &unicode::is_punctuation))
    } else if unicode::is_upper(first) {
        match letters.get(1).copied() {
            Some(second) if unicode::is_upper(second) => {
                let end = run(2, &unicode::is_upper);
                // The last upper case letter begins the next word, if that goes on.
                let begins_next = letters.get(end).is_some_and(|letter| is_alphabet(*letter));
                (Word::UpperCase, end - usize::from(begins_next))
            }
            Some(second) if is_alphabet(second) => (Word::UpperCase, run(2, &goes_on)),
            _ => (Word::UpperCase, 1),
        }
    } else if is_alphabet(first) {
        (Word::Alphabet, run(1, &goes_on))
    } else if unicode::is_number(first) {
        (Word::Number, run(1, &unicode::is_number))
    } else {
        let ends = |letter| {
            is_connector(letter) || is_alphabet(letter) || unicode::is_number(letter) || unicode::is_punctuation(letter)
        };
        (Word::Other, run(1, &|letter| !ends(letter)))
    };
    let (word, rest) = letters.split_at(count);
    (kind, word, rest)
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
