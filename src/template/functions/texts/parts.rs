//! Texts taken apart into lists, and lists made into texts.

use super::super::super::error::Fault;
use super::super::super::run::Run;
use super::super::super::unicode;
use super::super::super::value::{Entries, Text, Value};
use super::{find, text_of, texts_of};

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

pub(super) fn split_list(run: &mut Run, separator: Text, text: Text) -> Result<Vec<Text>, Fault> {
    run.budget.spend(text.len().saturating_mul(8))?;
    Ok(parts(&text, &separator, None))
}

fn numbered(run: &mut Run, parts: Vec<Text>) -> Result<Value, Fault> {
    let named = |(index, part)| (Text::from(format!("_{index}")), Value::Text(part));
    let entries: Entries = parts.into_iter().enumerate().map(named).collect();
    run.text_dict(entries).map(Value::Dict)
}

pub(super) fn split(run: &mut Run, separator: Text, text: Text) -> Result<Value, Fault> {
    let parts = split_list(run, separator, text)?;
    numbered(run, parts)
}

pub(super) fn splitn(run: &mut Run, separator: Text, most: i64, text: Text) -> Result<Value, Fault> {
    run.budget.spend(text.len().saturating_mul(8))?;
    // A negative number is no bound.
    let parts = parts(&text, &separator, usize::try_from(most).ok());
    numbered(run, parts)
}

pub(super) fn join(run: &mut Run, separator: Text, list: Value) -> Result<Vec<u8>, Fault> {
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

pub(super) fn to_strings(run: &mut Run, list: Value) -> Result<Vec<Text>, Fault> {
    texts_of(run, &list)
}

pub(super) fn sort_alpha(run: &mut Run, list: Value) -> Result<Vec<Text>, Fault> {
    let mut texts = match &list {
        Value::List(_) => texts_of(run, &list)?,
        other => vec![text_of(run, other)?],
    };
    run.budget.spend(texts.len().saturating_mul(16))?;
    texts.sort();
    Ok(texts)
}
