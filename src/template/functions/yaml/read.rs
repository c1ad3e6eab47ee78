//! Reads YAML 1.1: the parser is a crate's, what the scalars mean is Go's yaml.v2.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::super::super::bounds::DEEPEST_VALUE;
use super::super::super::error::Fault;
use super::super::super::literal;
use super::super::super::print;
use super::super::super::run::Run;
use super::super::super::unicode;
use super::super::super::value::{Dict, Entries, Of, Value};
use super::super::encodings::decode_base64;
use super::scalars::{self, Scalar};

/// A list or a dict that is being read.
enum Open {
    List { anchor: usize, items: Vec<Value> },
    Dict { anchor: usize, entries: Entries, key: Option<Key> },
}

enum Key {
    Named(String),
    Merge,
}

/// The first document, every number a float as JSON has it.
pub(super) fn read(run: &mut Run, text: &[u8]) -> Result<Value, Fault> {
    run.budget.spend(text.len().saturating_mul(8))?;
    let text = std::str::from_utf8(text).map_err(|_| "yaml: invalid UTF-8")?;
    if text.chars().any(is_refused) {
        return Fault::wrong("yaml: control characters are not allowed");
    }
    let mut reader = Reader { run, open: Vec::new(), anchored: HashMap::new() };
    for event in Parser::new_from_str(text) {
        let (mut event, span) = event.map_err(|error| Fault::from(problem(text, &error)))?;
        if let Event::Scalar(block, ScalarStyle::Literal | ScalarStyle::Folded, ..) = &mut event
            && !text.ends_with('\n')
            && span.end.index() >= text.chars().count()
            && block.ends_with('\n')
        {
            // The last line has no end, and none is made up.
            block.to_mut().pop();
        }
        if let Some(root) = reader.event(event)? {
            return Ok(root);
        }
    }
    Ok(Value::Nil)
}

/// What is wrong, in the words of the original where they are known.
fn problem(text: &str, error: &ScanError) -> String {
    let line = error.marker().line();
    let info = error.info();
    // What stands behind "while parsing …".
    let what = info.rsplit(", ").next().unwrap_or_default();
    // A parser counts lines from 0, a scanner from 1; neither tells of the first.
    let parser = |line: usize, what: &str| match line {
        0 => format!("yaml: {what}"),
        line => format!("yaml: line {line}: {what}"),
    };
    let scanner = |line: usize, what: &str| parser(if line == 1 { 0 } else { line }, what);
    match what {
        "unclosed bracket '['" => parser(text.lines().count(), "did not find expected ',' or ']'"),
        "unclosed bracket '{'" => parser(text.lines().count(), "did not find expected ',' or '}'"),
        "unclosed quote" => scanner(text.lines().count(), "found unexpected end of stream"),
        "simple key expected ':'" => scanner(line + 1, "could not find expected ':'"),
        "misplaced bracket" => parser(line.saturating_sub(1), "did not find expected node content"),
        "found unknown anchor" => format!("yaml: unknown anchor '{}' referenced", anchor_name(text, error)),
        "did not find expected '-' indicator" | "did not find expected key" | "did not find expected node content" => {
            parser(line.saturating_sub(1), what)
        }
        _ if what.starts_with("invalid trailing content") => {
            parser(line.saturating_sub(1), "did not find expected key")
        }
        _ if what.starts_with("unexpected character") || what.starts_with("tabs disallowed") => {
            scanner(line, "found character that cannot start any token")
        }
        _ if ["mapping values", "block sequence", "found", "did not"].iter().any(|known| what.starts_with(known)) => {
            scanner(line, what)
        }
        _ => scanner(line, "the text is not YAML"),
    }
}

fn anchor_name(text: &str, error: &ScanError) -> String {
    let line = text.lines().nth(error.marker().line().saturating_sub(1)).unwrap_or_default();
    let is_name = |letter: &char| letter.is_alphanumeric() || matches!(letter, '-' | '_');
    line.chars().skip(error.marker().col() + 1).take_while(is_name).collect()
}

fn is_refused(letter: char) -> bool {
    matches!(letter, '\0'..='\x08' | '\x0B' | '\x0C' | '\x0E'..='\x1F' | '\x7F'..='\u{84}' | '\u{86}'..='\u{9F}' | '\u{FFFE}' | '\u{FFFF}')
}

struct Reader<'r> {
    run: &'r mut Run,
    open: Vec<Open>,
    anchored: HashMap<usize, Value>,
}

impl Reader<'_> {
    /// Takes an event. Gives the root when it is complete.
    fn event(&mut self, event: Event<'_>) -> Result<Option<Value>, Fault> {
        self.run.budget.spend(16)?;
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_key = matches!(self.open.last(), Some(Open::Dict { key: None, .. }));
                let is_plain = style == ScalarStyle::Plain;
                if is_key {
                    return self.key(&text, is_plain, tag.as_deref()).map(|()| None);
                }
                let value = scalar(&text, is_plain, tag.as_deref())?;
                self.done(anchor, value)
            }
            Event::SequenceStart(_, anchor, _) => self.begin(Open::List { anchor, items: Vec::new() }),
            Event::MappingStart(_, anchor, _) => self.begin(Open::Dict { anchor, entries: Entries::new(), key: None }),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List { anchor, items }) => {
                    let list = self.run.list(Of::Any, items)?;
                    self.done(anchor, Value::List(list))
                }
                Some(Open::Dict { anchor, entries, .. }) => {
                    let dict = self.run.dict(entries)?;
                    self.done(anchor, Value::Dict(dict))
                }
                None => Ok(None),
            },
            Event::Alias(id) => {
                let Some(value) = self.anchored.get(&id).cloned() else {
                    return Fault::wrong("yaml: an anchor contains itself");
                };
                // JSON knows no sharing: each is a copy of its own.
                let copy = super::super::dicts::copied(self.run, &value, DEEPEST_VALUE)?;
                if let (Some(Open::Dict { key: key @ None, .. }), Value::Text(text)) = (self.open.last_mut(), &copy) {
                    *key = Some(Key::Named(text.lossy()));
                    return Ok(None);
                }
                self.done(0, copy)
            }
            Event::DocumentEnd | Event::StreamEnd => Ok(Some(Value::Nil)),
            _ => Ok(None),
        }
    }

    fn begin(&mut self, open: Open) -> Result<Option<Value>, Fault> {
        if matches!(self.open.last(), Some(Open::Dict { key: None, .. })) {
            return Fault::wrong("yaml: invalid map key: a list or a map");
        }
        if self.open.len() >= DEEPEST_VALUE {
            return Err(Fault::TooMuch("the YAML nests too deep"));
        }
        self.open.push(open);
        Ok(None)
    }

    fn key(&mut self, text: &str, is_plain: bool, tag: Option<&Tag>) -> Result<(), Fault> {
        let named = if is_plain && tag.is_none() && text == "<<" {
            Key::Merge
        } else {
            Key::Named(match scalar(text, is_plain, tag)? {
                Value::Bool(truth) => truth.to_string(),
                Value::Int64(number) => number.to_string(),
                Value::Uint64(_) => return Fault::wrong("unsupported map key of type: uint64"),
                Value::Float(number) => float_key(number),
                Value::Text(text) => text.lossy(),
                _ => return Fault::wrong("unsupported map key of type: null"),
            })
        };
        if let Some(Open::Dict { key, .. }) = self.open.last_mut() {
            *key = Some(named);
        }
        Ok(())
    }

    /// A value is complete: it goes to where it belongs.
    fn done(&mut self, anchor: usize, value: Value) -> Result<Option<Value>, Fault> {
        if anchor > 0 {
            self.anchored.insert(anchor, value.clone());
        }
        match self.open.last_mut() {
            None => return as_json(self.run, value).map(Some),
            Some(Open::List { items, .. }) => items.push(value),
            Some(Open::Dict { entries, key, .. }) => match key.take() {
                Some(Key::Named(name)) => {
                    entries.insert(name.into(), value);
                }
                Some(Key::Merge) => merge(entries, &value)?,
                None => return Fault::wrong("yaml: invalid map key: a list or a map"),
            },
        }
        Ok(None)
    }
}

/// `<<`: the entries of a map, or of several of which the first counts most. What follows in the map counts more.
fn merge(entries: &mut Entries, value: &Value) -> Result<(), Fault> {
    const WRONG: &str = "yaml: map merge requires map or sequence of maps as the value";
    let mut put = |dict: &Dict| entries.extend(dict.entries());
    match value {
        Value::Dict(dict) => put(dict),
        Value::List(list) => {
            for item in list.iter().rev() {
                let Value::Dict(dict) = item else { return Fault::wrong(WRONG) };
                put(dict);
            }
        }
        _ => return Fault::wrong(WRONG),
    }
    Ok(())
}

fn float_key(number: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "as the original does it")]
    let narrow = number as f32;
    match narrow {
        _ if narrow.is_nan() => ".nan".to_owned(),
        _ if narrow.is_infinite() => if narrow > 0.0 { ".inf" } else { "-.inf" }.to_owned(),
        // The shortest text of the narrow float, in the form of the wide one.
        _ => print::float(narrow.to_string().parse().unwrap_or(number), 'g', None),
    }
}

fn scalar(text: &str, is_plain: bool, tag: Option<&Tag>) -> Result<Value, Fault> {
    let tag = tag.and_then(|tag| {
        tag.suffix_in_namespace("tag:yaml.org,2002:").map(std::borrow::Cow::into_owned).or(Some(String::new()))
    });
    let resolved = match tag.as_deref() {
        None if is_plain => scalars::resolve(text, true),
        Some("int" | "float" | "bool" | "null" | "timestamp") => {
            scalars::resolve(text, tag.as_deref() == Some("timestamp"))
        }
        Some("binary") => {
            let decoded =
                decode_base64(text.as_bytes()).map_err(|_| "yaml: !!binary value contains invalid base64 data")?;
            return Ok(Value::text(unicode::lossy(&decoded)));
        }
        _ => Scalar::Text,
    };
    let fits = match (tag.as_deref(), resolved) {
        (Some("int"), Scalar::Int(_) | Scalar::Uint(_))
        | (Some("float"), Scalar::Float(_) | Scalar::Int(_))
        | (Some("bool"), Scalar::Bool(_))
        | (Some("null"), Scalar::Null)
        | (Some("timestamp"), Scalar::Timestamp) => true,
        (Some("int" | "float" | "bool" | "null" | "timestamp"), _) => false,
        _ => true,
    };
    if !fits {
        return Fault::wrong("yaml: a scalar is not of the type that its tag says");
    }
    Ok(match resolved {
        Scalar::Null => Value::Nil,
        Scalar::Bool(truth) => Value::Bool(truth),
        Scalar::Int(number) => Value::Int64(number),
        Scalar::Uint(number) => Value::Uint64(number),
        Scalar::Float(number) => Value::Float(number),
        Scalar::Timestamp | Scalar::Text => Value::text(text),
    })
}

/// What is left of a value on its way through JSON: numbers are floats, and infinity is none.
fn as_json(run: &mut Run, value: Value) -> Result<Value, Fault> {
    run.budget.spend(8)?;
    Ok(match value {
        Value::Int64(number) => Value::Float(literal::to_float(number)),
        #[expect(clippy::cast_precision_loss, reason = "as Go does it")]
        Value::Uint64(number) => Value::Float(number as f64),
        Value::Float(number) if !number.is_finite() => {
            let shown = print::float(number, 'g', None);
            return Fault::wrong(format!("json: unsupported value: {shown}"));
        }
        Value::List(list) => {
            let items = list.iter().map(|item| as_json(run, item.clone())).collect::<Result<_, _>>()?;
            Value::List(run.list(Of::Any, items)?)
        }
        Value::Dict(dict) => {
            for (key, value) in dict.entries() {
                let value = as_json(run, value)?;
                dict.set(key, value);
            }
            Value::Dict(dict)
        }
        other => other,
    })
}
