//! Regular expressions with Go's syntax, run by the `regex` crate: both never take more than linear time.
//!

mod syntax;

use self::syntax::{DEEPEST, Reader};
use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

use regex::{Captures, Regex, RegexBuilder};

use super::super::bounds::LARGEST_EXPRESSION;
use super::super::error::Fault;
use super::super::run::Run;
use super::super::unicode;
use super::super::value::{List, Of, Text, Value};
use super::{Function, both};

/// Longest expression, in bytes.
const LONGEST: usize = 16 << 10;

/// Why an expression is not run.
#[derive(Clone, Debug)]
pub(in super::super) enum Refused {
    /// Go would not, either.
    Wrong(&'static str),
    /// It is too large.
    TooMuch,
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Wrong(problem) => Self::from(format!("error parsing regexp: {problem}")),
            Refused::TooMuch => Self::TooMuch("the regular expression is too large"),
        }
    }
}

/// The expression, compiled once a rendering.
fn compiled(run: &mut Run, expression: &Text, text: &Text) -> Result<Rc<Regex>, Fault> {
    let found = match run.expressions.get(expression) {
        Some(found) => found.clone(),
        None => {
            run.budget.spend(expression.len().saturating_mul(256))?;
            let made = compile(expression).map(Rc::new);
            run.expressions.insert(expression.clone(), made.clone());
            made
        }
    };
    // Large expressions may look at a byte more than once.
    run.budget.spend(text.len().saturating_mul(1 + expression.len() / 16))?;
    Ok(found?)
}

fn compile(expression: &[u8]) -> Result<Regex, Refused> {
    let expression = std::str::from_utf8(expression).map_err(|_| Refused::Wrong("invalid UTF-8"))?;
    if expression.len() > LONGEST {
        return Err(Refused::TooMuch);
    }
    let written = Reader::new(expression).whole()?;
    let built = RegexBuilder::new(&written)
        .size_limit(LARGEST_EXPRESSION)
        .dfa_size_limit(LARGEST_EXPRESSION)
        .nest_limit(2 * u32::try_from(DEEPEST).unwrap_or(400))
        .build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => Refused::TooMuch,
        _ => Refused::Wrong("invalid character class or escape"),
    })
}

/// A text as the engine sees it: each byte that is no UTF-8 is the character that stands for it, as it is for Go.
struct Subject<'t> {
    bytes: &'t [u8],
    shown: Cow<'t, str>,
    /// Where what is shown at a place stands in the bytes; none if both are the same.
    places: Option<Vec<(usize, usize)>>,
}

impl<'t> Subject<'t> {
    fn new(bytes: &'t [u8]) -> Self {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return Self { bytes, shown: Cow::Borrowed(text), places: None };
        }
        let (mut shown, mut places) = (String::new(), Vec::new());
        for (at, character) in unicode::characters(bytes) {
            places.push((shown.len(), at));
            shown.push(character);
        }
        places.push((shown.len(), bytes.len()));
        Self { bytes, shown: Cow::Owned(shown), places: Some(places) }
    }

    /// The bytes behind a part of what is shown.
    fn part(&self, range: Range<usize>) -> &'t [u8] {
        let place = |at: usize| match &self.places {
            None => at,
            Some(places) => match places.binary_search_by_key(&at, |(shown, _)| *shown) {
                Ok(index) => places[index].1,
                Err(_) => self.bytes.len(),
            },
        };
        &self.bytes[place(range.start)..place(range.end)]
    }
}

fn regex_match(run: &mut Run, expression: Text, text: Text) -> Result<bool, Fault> {
    match must_regex_match(run, expression, text) {
        Err(Fault::Wrong(_)) => Ok(false),
        other => other,
    }
}

fn must_regex_match(run: &mut Run, expression: Text, text: Text) -> Result<bool, Fault> {
    Ok(compiled(run, &expression, &text)?.is_match(&Subject::new(&text).shown))
}

fn find(run: &mut Run, expression: Text, text: Text) -> Result<Text, Fault> {
    let regex = compiled(run, &expression, &text)?;
    let subject = Subject::new(&text);
    Ok(regex.find(&subject.shown).map(|found| subject.part(found.range()).into()).unwrap_or_default())
}

fn find_all(run: &mut Run, expression: Text, text: Text, most: i64) -> Result<Value, Fault> {
    let regex = compiled(run, &expression, &text)?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let subject = Subject::new(&text);
    let found = regex.find_iter(&subject.shown).take(most);
    let found: Vec<Value> = found.map(|found| Value::text(subject.part(found.range()))).collect();
    if found.is_empty() { Ok(Value::List(List::nil(Of::Text))) } else { run.list(Of::Text, found).map(Value::List) }
}

fn split(run: &mut Run, expression: Text, text: Text, most: i64) -> Result<Value, Fault> {
    let regex = compiled(run, &expression, &text)?;
    if most == 0 {
        return Ok(Value::List(List::nil(Of::Text)));
    }
    if !expression.is_empty() && text.is_empty() {
        return run.list(Of::Text, vec![Value::text("")]).map(Value::List);
    }
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let subject = Subject::new(&text);
    let mut parts = Vec::new();
    let (mut begin, mut end) = (0, 0);
    for found in regex.find_iter(&subject.shown).take(most) {
        if parts.len() + 1 == most {
            break;
        }
        end = found.start();
        if found.end() != 0 {
            parts.push(Value::text(subject.part(begin..end)));
        }
        begin = found.end();
    }
    if end != subject.shown.len() {
        parts.push(Value::text(subject.part(begin..subject.shown.len())));
    }
    run.list(Of::Text, parts).map(Value::List)
}

fn replace_with(
    run: &mut Run,
    expression: &Text,
    text: &Text,
    mut with: impl FnMut(&Subject<'_>, &Captures<'_>, &mut Vec<u8>),
) -> Result<Vec<u8>, Fault> {
    let regex = compiled(run, expression, text)?;
    let subject = Subject::new(text);
    let mut out = Vec::with_capacity(text.len());
    let mut begin = 0;
    for captures in regex.captures_iter(&subject.shown) {
        let Some(whole) = captures.get(0) else { continue };
        out.extend_from_slice(subject.part(begin..whole.start()));
        let before = out.len();
        with(&subject, &captures, &mut out);
        run.budget.spend(16 + out.len() - before)?;
        begin = whole.end();
    }
    out.extend_from_slice(subject.part(begin..subject.shown.len()));
    Ok(out)
}

fn replace_all(run: &mut Run, expression: Text, text: Text, with: Text) -> Result<Vec<u8>, Fault> {
    replace_with(run, &expression, &text, |subject, captures, out| expand(&with, subject, captures, out))
}

fn replace_all_literal(run: &mut Run, expression: Text, text: Text, with: Text) -> Result<Vec<u8>, Fault> {
    replace_with(run, &expression, &text, |_, _, out| out.extend_from_slice(&with))
}

/// `$1`, `${1}`, `$name` and `$$`; the longest name counts, and one that is not there is empty.
fn expand(template: &[u8], subject: &Subject<'_>, captures: &Captures<'_>, out: &mut Vec<u8>) {
    let mut rest = template;
    while let Some(at) = rest.iter().position(|byte| *byte == b'$') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with(b"$$") {
            out.push(b'$');
            rest = &rest[2..];
            continue;
        }
        let is_braced = rest.get(1) == Some(&b'{');
        let begin = 1 + usize::from(is_braced);
        let length = rest[begin..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        let closes = !is_braced || rest.get(begin + length) == Some(&b'}');
        let name = std::str::from_utf8(&rest[begin..begin + length]).unwrap_or_default();
        if name.is_empty() || !closes {
            // No name: the sign stands for itself.
            out.push(b'$');
            rest = &rest[1..];
            continue;
        }
        let number = name.parse::<usize>().ok().filter(|_| name.bytes().all(|byte| byte.is_ascii_digit()));
        let found = match number {
            Some(number) => captures.get(number),
            None => captures.name(&format!("n{name}")),
        };
        out.extend_from_slice(found.map_or(&[], |found| subject.part(found.range())));
        rest = &rest[begin + length + usize::from(is_braced)..];
    }
    out.extend_from_slice(rest);
}

fn quote_meta(run: &mut Run, text: Text) -> Result<Vec<u8>, Fault> {
    run.budget.spend(text.len())?;
    let mut out = Vec::with_capacity(text.len());
    for byte in text.iter() {
        if br"\.+*?()|[]{}^$".contains(byte) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    Ok(out)
}

pub(super) fn table() -> Vec<Function> {
    vec![
        both("mustRegexFind", find, "The same as `regexFind`."),
        both("mustRegexFindAll", find_all, "The same as `regexFindAll`."),
        both("mustRegexMatch", must_regex_match, "The same as `regexMatch`, but a wrong expression is an error."),
        both("mustRegexReplaceAll", replace_all, "The same as `regexReplaceAll`."),
        both("mustRegexReplaceAllLiteral", replace_all_literal, "The same as `regexReplaceAllLiteral`."),
        both("mustRegexSplit", split, "The same as `regexSplit`."),
        both("regexFind", find, "The first match; an empty text if there is none."),
        both("regexFindAll", find_all, "At most so many matches; all for -1."),
        both("regexMatch", regex_match, "Whether the expression matches somewhere; not, if it is wrong."),
        both("regexQuoteMeta", quote_meta, "Escaped so that an expression takes it literally."),
        both("regexReplaceAll", replace_all, "Each match replaced; `$1` and `${name}` stand for groups."),
        both("regexReplaceAllLiteral", replace_all_literal, "Each match replaced, `$` being a sign as any other."),
        both("regexSplit", split, "The parts between matches, at most so many; all for -1."),
    ]
}
