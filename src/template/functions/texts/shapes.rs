//! Texts made shorter, longer or wrapped.

use super::super::super::error::Fault;
use super::super::super::run::Run;
use super::super::super::unicode::{self, characters, is_space};
use super::super::super::value::Text;

pub(super) fn trim(text: Text) -> Text {
    trim_space(&text).into()
}

/// Without white space at both ends; bytes that are no UTF-8 are none.
pub(in super::super) fn trim_space(text: &[u8]) -> &[u8] {
    let keeps = |(_, character): &(usize, char)| !is_space(*character);
    let Some((begin, _)) = characters(text).find(keeps) else { return &[] };
    let last = characters(text).filter(keeps).last().map_or(begin, |(at, _)| at);
    let width = unicode::decode(&text[last..]).1;
    &text[begin..last + width]
}

pub(super) fn trim_all(cutset: Text, text: Text) -> Text {
    let cutset: Vec<char> = characters(&cutset).map(|(_, character)| character).collect();
    let keeps = |(_, character): &(usize, char)| !cutset.contains(character);
    let Some((begin, _)) = characters(&text).find(keeps) else { return Text::default() };
    let last = characters(&text).filter(keeps).last().map_or(begin, |(at, _)| at);
    let width = unicode::decode(&text[last..]).1;
    text[begin..last + width].into()
}

pub(super) fn trim_suffix(suffix: Text, text: Text) -> Text {
    text.strip_suffix(&*suffix).map_or_else(|| text.clone(), Text::from)
}

pub(super) fn trim_prefix(prefix: Text, text: Text) -> Text {
    text.strip_prefix(&*prefix).map_or_else(|| text.clone(), Text::from)
}

pub(super) fn repeat(run: &mut Run, count: i64, text: Text) -> Result<Vec<u8>, Fault> {
    let Ok(count) = usize::try_from(count) else { return Fault::wrong("negative Repeat count") };
    run.budget.spend(text.len().saturating_mul(count))?;
    Ok(text.repeat(count))
}

pub(super) fn substr(start: i64, end: i64, text: Text) -> Result<Text, Fault> {
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

pub(super) fn trunc(length: i64, text: Text) -> Text {
    let wanted = usize::try_from(length.unsigned_abs()).unwrap_or(usize::MAX);
    match wanted {
        _ if wanted >= text.len() => text,
        _ if length < 0 => text[text.len() - wanted..].into(),
        _ => text[..wanted].into(),
    }
}

pub(super) fn abbrev(width: i64, text: Text) -> Text {
    if width < 4 { text } else { abbreviated(&text, 0, usize::try_from(width).unwrap_or(usize::MAX)).into() }
}

pub(super) fn abbrevboth(left: i64, right: i64, text: Text) -> Text {
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

pub(super) fn wrap(width: i64, text: Text) -> Vec<u8> {
    wrapped(&text, width, b"\n", false)
}

pub(super) fn wrap_with(run: &mut Run, width: i64, separator: Text, text: Text) -> Result<Vec<u8>, Fault> {
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

pub(super) fn indent(run: &mut Run, spaces: i64, text: Text) -> Result<Vec<u8>, Fault> {
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

pub(super) fn nindent(run: &mut Run, spaces: i64, text: Text) -> Result<Vec<u8>, Fault> {
    let mut out = indent(run, spaces, text)?;
    out.insert(0, b'\n');
    Ok(out)
}
