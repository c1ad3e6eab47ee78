//! Writes YAML in the style of libyaml as Go's yaml.v2 has it: keys in natural order, lists at the level of their key,
//! lines folded behind column 80.

use std::cmp::Ordering;

use super::super::super::bounds::{DEEPEST_VALUE, with_stack};
use super::super::super::error::Fault;
use super::super::super::print;
use super::super::super::run::Run;
use super::super::super::unicode;
use super::super::super::value::{Text, Value};
use super::super::json;
use super::scalars::{self, Scalar};

/// Column behind which a line is folded at the next space.
const WIDTH: usize = 80;
/// Longest key in JSON that the reader on the way finds to be one.
const LONGEST_JSON_KEY: usize = 1024;
/// Longest key that stands on one line with its value.
const LONGEST_SIMPLE_KEY: usize = 128;

/// A value as YAML, without the last new line.
pub(super) fn written(run: &mut Run, value: &Value) -> Result<String, Fault> {
    let mut writer = Writer { out: String::new(), column: 0, indent: None, after_space: true, only_indicators: true };
    writer.node(run, value, Place::Alone, DEEPEST_VALUE)?;
    writer.break_line();
    if writer.out.ends_with('\n') {
        writer.out.pop();
    }
    Ok(writer.out)
}

/// Where a node stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Alone,
    InList,
    /// A value, or a key that needs a line of its own.
    InDict,
    SimpleKey,
}

struct Writer {
    out: String,
    column: usize,
    /// `None` outside of all lists and dicts.
    indent: Option<usize>,
    /// Whether nothing needs to be put in front of the next word.
    after_space: bool,
    /// Whether there are only indentation and indicators on this line so far.
    only_indicators: bool,
}

impl Writer {
    fn put(&mut self, character: char) {
        self.out.push(character);
        if character == '\n' {
            self.column = 0;
        } else {
            self.column += 1;
        }
    }

    /// Goes to the indentation, on a new line unless this one is still at it.
    fn break_line(&mut self) {
        let indent = self.indent.unwrap_or(0);
        if !self.only_indicators || self.column > indent || self.column == indent && !self.after_space {
            self.put('\n');
        }
        while self.column < indent {
            self.put(' ');
        }
        (self.after_space, self.only_indicators) = (true, true);
    }

    fn indicator(&mut self, indicator: &str, needs_space: bool, keeps_indentation: bool) {
        if needs_space && !self.after_space {
            self.put(' ');
        }
        indicator.chars().for_each(|character| self.put(character));
        self.after_space = false;
        self.only_indicators &= keeps_indentation;
    }

    /// Runs something at a deeper indentation.
    fn deeper(
        &mut self,
        first: usize,
        is_level: bool,
        run: impl FnOnce(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let outer = self.indent;
        self.indent = match outer {
            None => Some(first),
            same if is_level => same,
            Some(indent) => Some(indent + 2),
        };
        let result = run(self);
        self.indent = outer;
        result
    }

    fn node(&mut self, run: &mut Run, value: &Value, place: Place, depth: usize) -> Result<(), Fault> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Fault::TooMuch("lists or dicts nest too deep for YAML"));
        };
        run.budget.spend(16 + self.indent.unwrap_or(0))?;
        match value {
            Value::Absent | Value::Nil => self.plain("null"),
            Value::Bool(truth) => self.plain(if *truth { "true" } else { "false" }),
            Value::Int(number) | Value::Int64(number) | Value::Duration(number) => self.plain(&number.to_string()),
            Value::Month(number) | Value::Weekday(number) => self.plain(&number.to_string()),
            Value::Uint8(number) => self.plain(&number.to_string()),
            Value::Uint64(number) => self.plain(&number.to_string()),
            Value::Float(number) => self.plain(&float(*number)?),
            Value::Complex(..) => Fault::wrong("json: unsupported type: complex128"),
            Value::Text(text) => self.text(run, text, place),
            Value::Time(time) => self.text(run, time.rfc3339().as_bytes(), place),
            Value::Version(version) => self.text(run, version.to_string().as_bytes(), place),
            Value::Pair(pair) => {
                let fields = [("Cert", &pair.certificate), ("Key", &pair.key)];
                let entries = fields.map(|(name, text)| (name.to_owned(), Value::Text(text.clone())));
                self.dict(run, entries.into_iter().collect(), depth)
            }
            Value::List(list) if list.is_nil => self.plain("null"),
            Value::List(list) if list.is_empty() => self.plain_flow("[]"),
            Value::List(list) => {
                let is_level = place == Place::InDict && !self.only_indicators;
                self.deeper(0, is_level, |writer| {
                    for item in list.iter() {
                        writer.break_line();
                        writer.indicator("-", true, true);
                        with_stack(|| writer.node(run, item, Place::InList, depth))?;
                    }
                    Ok(())
                })
            }
            Value::Dict(dict) if dict.is_nil => self.plain("null"),
            Value::Dict(dict) => {
                let readable = |(key, value): (Text, Value)| (key.lossy(), value);
                self.dict(run, dict.entries().into_iter().map(readable).collect(), depth)
            }
        }
    }

    fn dict(&mut self, run: &mut Run, mut entries: Vec<(String, Value)>, depth: usize) -> Result<(), Fault> {
        if entries.is_empty() {
            return self.plain_flow("{}");
        }
        // Of keys that become equal without their wrong bytes, the last counts.
        entries.reverse();
        entries.sort_by(|(a, _), (b, _)| natural(a, b));
        entries.dedup_by(|(a, _), (b, _)| a == b);
        self.deeper(0, false, |writer| {
            for (key, value) in &entries {
                if json::text(key.as_bytes()).len() > LONGEST_JSON_KEY {
                    return Fault::wrong("yaml: could not find expected ':'");
                }
                writer.break_line();
                let is_simple = key.len() <= LONGEST_SIMPLE_KEY && !key.contains(is_break);
                if is_simple {
                    writer.text(run, key.as_bytes(), Place::SimpleKey)?;
                    writer.indicator(":", false, false);
                } else {
                    writer.indicator("?", true, true);
                    writer.text(run, key.as_bytes(), Place::InDict)?;
                    writer.break_line();
                    writer.indicator(":", true, true);
                }
                with_stack(|| writer.node(run, value, Place::InDict, depth))?;
            }
            Ok(())
        })
    }

    fn plain_flow(&mut self, brackets: &str) -> Result<(), Fault> {
        self.indicator(brackets, true, false);
        Ok(())
    }

    fn plain(&mut self, text: &str) -> Result<(), Fault> {
        self.plain_text(text, true);
        Ok(())
    }

    fn text(&mut self, run: &mut Run, text: &[u8], place: Place) -> Result<(), Fault> {
        run.budget.spend(text.len().saturating_mul(4))?;
        let text = unfolded(unicode::lossy(text));
        if text.chars().any(is_forbidden) {
            return Fault::wrong("yaml: control characters are not allowed");
        }
        let shape = Shape::of(&text);
        let folds = place != Place::SimpleKey;
        self.deeper(2, false, |writer| {
            match shape.style(&text, place) {
                Style::Plain => writer.plain_text(&text, folds),
                Style::Single => writer.single_quoted(&text, folds),
                Style::Double => writer.double_quoted(&text, folds),
                Style::Literal => writer.literal(&text),
            }
            Ok(())
        })
    }

    /// Whether a line is folded at this space.
    fn folds_here(&self, after_space: bool, next: Option<&char>) -> bool {
        !after_space && self.column > WIDTH && next != Some(&' ')
    }

    fn plain_text(&mut self, text: &str, folds: bool) {
        if !self.after_space {
            self.put(' ');
        }
        let letters: Vec<char> = text.chars().collect();
        let mut after_space = false;
        for (at, letter) in letters.iter().enumerate() {
            if *letter == ' ' && folds && self.folds_here(after_space, letters.get(at + 1)) {
                self.break_line();
            } else {
                self.put(*letter);
            }
            after_space = *letter == ' ';
            self.only_indicators &= after_space;
        }
        (self.after_space, self.only_indicators) = (false, false);
    }

    fn single_quoted(&mut self, text: &str, folds: bool) {
        self.indicator("'", true, false);
        let letters: Vec<char> = text.chars().collect();
        let (mut after_space, mut after_break) = (false, false);
        for (at, letter) in letters.iter().copied().enumerate() {
            if letter == ' ' {
                let is_inner = at > 0 && at + 1 < letters.len();
                if folds && is_inner && self.folds_here(after_space, letters.get(at + 1)) {
                    self.break_line();
                } else {
                    self.put(letter);
                }
                after_space = true;
            } else if is_break(letter) {
                if !after_break && letter == '\n' {
                    self.put('\n');
                }
                self.put_break(letter);
                (self.only_indicators, after_break) = (true, true);
            } else {
                if after_break {
                    self.break_line();
                }
                if letter == '\'' {
                    self.put('\'');
                }
                self.put(letter);
                self.only_indicators = false;
                (after_space, after_break) = (false, false);
            }
        }
        self.indicator("'", false, false);
    }

    fn double_quoted(&mut self, text: &str, folds: bool) {
        self.indicator("\"", true, false);
        let letters: Vec<char> = text.chars().collect();
        let mut after_space = false;
        for (at, letter) in letters.iter().copied().enumerate() {
            if letter == ' ' {
                let is_inner = at > 0 && at + 1 < letters.len();
                if folds && is_inner && !after_space && self.column > WIDTH {
                    self.break_line();
                    if letters.get(at + 1) == Some(&' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(letter);
                }
                after_space = true;
                continue;
            }
            after_space = false;
            if is_printable(letter) && !is_break(letter) && !matches!(letter, '"' | '\\' | '\u{FEFF}') {
                self.put(letter);
            } else {
                escaped(letter).chars().for_each(|letter| self.put(letter));
            }
        }
        self.indicator("\"", false, false);
    }

    fn literal(&mut self, text: &str) {
        self.indicator("|", true, false);
        if text.starts_with(' ') || text.starts_with(is_break) {
            self.indicator("2", false, false);
        }
        let mut from_end = text.chars().rev();
        match (from_end.next().is_some_and(is_break), from_end.next()) {
            (false, _) => self.indicator("-", false, false),
            (true, None) => self.indicator("+", false, false),
            (true, Some(before)) if is_break(before) => self.indicator("+", false, false),
            (true, _) => {}
        }
        self.put('\n');
        (self.after_space, self.only_indicators) = (true, true);
        let mut after_break = true;
        for letter in text.chars() {
            if is_break(letter) {
                self.put_break(letter);
                self.only_indicators = true;
            } else {
                if after_break {
                    self.break_line();
                }
                self.put(letter);
                self.only_indicators = false;
            }
            after_break = is_break(letter);
        }
    }

    fn put_break(&mut self, letter: char) {
        self.put(letter);
        self.column = 0;
    }
}

fn float(number: f64) -> Result<String, Fault> {
    let json = json::float(number)?;
    Ok(match scalars::resolve(&json, false) {
        Scalar::Float(float) => print::float(float, 'g', None),
        // A whole number up to 64 bits is read as one on the way.
        Scalar::Int(integer) => integer.to_string(),
        _ => json,
    })
}

fn escaped(letter: char) -> String {
    match letter {
        '\0' => "\\0".to_owned(),
        '\x07' => "\\a".to_owned(),
        '\x08' => "\\b".to_owned(),
        '\t' => "\\t".to_owned(),
        '\n' => "\\n".to_owned(),
        '\x0B' => "\\v".to_owned(),
        '\x0C' => "\\f".to_owned(),
        '\r' => "\\r".to_owned(),
        '\x1B' => "\\e".to_owned(),
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\u{85}' => "\\N".to_owned(),
        '\u{A0}' => "\\_".to_owned(),
        '\u{2028}' => "\\L".to_owned(),
        '\u{2029}' => "\\P".to_owned(),
        '\0'..='\u{FF}' => format!("\\x{:02X}", u32::from(letter)),
        '\0'..='\u{FFFF}' => format!("\\u{:04X}", u32::from(letter)),
        _ => format!("\\U{:08X}", u32::from(letter)),
    }
}

/// What is left of the next-line character on the way through YAML, where it ends a line within quotes.
fn unfolded(text: String) -> String {
    const NEXT_LINE: char = '\u{85}';
    if !text.contains(NEXT_LINE) {
        return text;
    }
    let is_blank = |letter: char| matches!(letter, ' ' | '\t');
    let mut lines = text.split(NEXT_LINE);
    let mut out = lines.next().unwrap_or_default().trim_end_matches(is_blank).to_owned();
    let mut empty = 0;
    for line in lines {
        match line.trim_matches(is_blank) {
            "" => empty += 1,
            line => {
                out += if empty == 0 { " " } else { "\n" }.repeat(empty.max(1)).as_str();
                out += line;
                empty = 0;
            }
        }
    }
    if empty > 0 {
        out += if empty == 1 { " ".to_owned() } else { "\n".repeat(empty - 1) }.as_str();
    }
    out
}

/// What the reader of YAML refuses where JSON writes it as it is.
fn is_forbidden(letter: char) -> bool {
    matches!(letter, '\x7F'..='\u{84}' | '\u{86}'..='\u{9F}' | '\u{FFFE}' | '\u{FFFF}')
}

fn is_break(letter: char) -> bool {
    matches!(letter, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_printable(letter: char) -> bool {
    matches!(letter, '\n' | ' '..='~' | '\u{A0}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' if letter != '\u{FEFF}')
}

enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// What a text allows.
struct Shape {
    is_multiline: bool,
    plain: bool,
    single: bool,
    block: bool,
}

impl Shape {
    fn of(text: &str) -> Self {
        let letters: Vec<char> = text.chars().collect();
        let (Some(first), Some(last)) = (letters.first(), letters.last()) else {
            return Self { is_multiline: false, plain: true, single: true, block: false };
        };
        let is_outer = |letter: &char| *letter == ' ' || is_break(*letter);
        let ends_word = |at: usize| letters.get(at).is_none_or(|letter| matches!(letter, ' ' | '\t'));
        let begins_word = |at: usize| at == 0 || matches!(letters[at - 1], ' ' | '\t') || is_break(letters[at - 1]);
        let is_indicator = |(at, letter): (usize, &char)| match letter {
            '#' => begins_word(at),
            ':' => ends_word(at + 1),
            '?' | '-' if at == 0 => ends_word(1),
            ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => at == 0,
            _ => false,
        };
        let has_indicators =
            text.starts_with("---") || text.starts_with("...") || letters.iter().enumerate().any(is_indicator);
        let pairs = || letters.windows(2).map(|pair| (pair[0], pair[1]));
        let is_multiline = letters.iter().any(|letter| is_break(*letter));
        let has_special = letters.iter().any(|letter| !is_printable(*letter));
        let space_then_break = pairs().any(|(a, b)| a == ' ' && is_break(b));
        let break_then_space = pairs().any(|(a, b)| is_break(a) && b == ' ');
        let allows_quotes = !space_then_break && !has_special;
        Self {
            is_multiline,
            plain: allows_quotes && !is_multiline && !has_indicators && !is_outer(first) && !is_outer(last),
            single: allows_quotes && !break_then_space,
            block: allows_quotes && *last != ' ',
        }
    }

    fn style(&self, text: &str, place: Place) -> Style {
        let is_key = place == Place::SimpleKey;
        let quoted = if self.single { Style::Single } else { Style::Double };
        match () {
            () if is_key && self.is_multiline => Style::Double,
            () if text.contains('\n') => {
                if self.block && !is_key {
                    Style::Literal
                } else {
                    Style::Double
                }
            }
            () if !scalars::is_plain_text(text) => Style::Double,
            () if self.plain && !(text.is_empty() && is_key) => Style::Plain,
            () => quoted,
        }
    }
}

/// Numbers within keys count as numbers, and letters come last.
fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    for at in 0..a.len().min(b.len()) {
        if a[at] == b[at] {
            continue;
        }
        match (unicode::is_letter(a[at]), unicode::is_letter(b[at])) {
            (true, true) => return a[at].cmp(&b[at]),
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (false, false) => {}
        }
        // A zero behind a digit that is none does not begin a number.
        let mut before = a[..at].iter().rev().take_while(|letter| unicode::is_digit(**letter));
        let is_inner = (a[at] == '0' || b[at] == '0') && before.any(|digit| *digit != '0');
        let (a_number, a_end) = number_at(&a, at, is_inner);
        let (b_number, b_end) = number_at(&b, at, is_inner);
        return a_number.cmp(&b_number).then(a_end.cmp(&b_end)).then(a[at].cmp(&b[at]));
    }
    a.len().cmp(&b.len())
}

fn number_at(letters: &[char], at: usize, begins_with_one: bool) -> (i64, usize) {
    let digits = letters[at..].iter().take_while(|letter| unicode::is_digit(**letter));
    let (mut number, mut end) = (i64::from(begins_with_one), at);
    for digit in digits {
        number = number.wrapping_mul(10).wrapping_add(i64::from(u32::from(*digit)) - i64::from(u32::from('0')));
        end += 1;
    }
    (number, end)
}
