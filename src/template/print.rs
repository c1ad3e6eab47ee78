//! Values as text: Go's `fmt`, verb by verb.

mod directives;
mod floats;
mod quotes;

pub(super) use self::floats::float;
use self::floats::with_all_digits;
pub(super) use self::quotes::quote;
use self::quotes::{can_backquote, escape};
use super::bounds::{Budget, DEEPEST_VALUE};
use super::error::Fault;
use super::unicode;
use super::value::Value;

/// As `fmt.Sprint`: a space between two operands of which neither is a string.
pub(super) fn sprint(budget: &mut Budget, values: &[Value]) -> Result<Vec<u8>, Fault> {
    let mut printer = Printer::new(budget);
    let mut after_text = false;
    for (index, value) in values.iter().enumerate() {
        let is_text = matches!(value, Value::Text(_));
        if index > 0 && !is_text && !after_text {
            printer.out.push(b' ');
        }
        printer.operand(value, 'v')?;
        after_text = is_text;
    }
    Ok(printer.out)
}

/// As `fmt.Sprintln`.
pub(super) fn sprintln(budget: &mut Budget, values: &[Value]) -> Result<Vec<u8>, Fault> {
    let mut printer = Printer::new(budget);
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            printer.out.push(b' ');
        }
        printer.operand(value, 'v')?;
    }
    printer.out.push(b'\n');
    Ok(printer.out)
}

/// As `fmt.Sprintf`.
pub(super) fn sprintf(budget: &mut Budget, format: &[u8], values: &[Value]) -> Result<Vec<u8>, Fault> {
    let mut printer = Printer::new(budget);
    printer.format(format, values)?;
    Ok(printer.out)
}

#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are the flags of printf")]
struct Flags {
    width: Option<usize>,
    precision: Option<usize>,
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    /// `%+v`.
    plus_v: bool,
    /// `%#v`.
    sharp_v: bool,
}

struct Printer<'b> {
    budget: &'b mut Budget,
    out: Vec<u8>,
    flags: Flags,
    /// While a wrong verb is told: no methods then.
    telling: bool,
    depth: usize,
}

impl<'b> Printer<'b> {
    fn new(budget: &'b mut Budget) -> Self {
        Self { budget, out: Vec::new(), flags: Flags::default(), telling: false, depth: 0 }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.budget.spend(bytes.len())?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn fill(&mut self, count: usize) -> Result<(), Fault> {
        self.budget.spend(count)?;
        let byte = if self.flags.zero && !self.flags.minus { b'0' } else { b' ' };
        self.out.resize(self.out.len() + count, byte);
        Ok(())
    }

    /// Writes at the width that is asked for, counted in characters.
    fn pad(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let missing = match self.flags.width {
            Some(width) => width.saturating_sub(unicode::characters(bytes).count()),
            None => 0,
        };
        if self.flags.minus {
            self.write(bytes)?;
            return self.fill(missing);
        }
        self.fill(missing)?;
        self.write(bytes)
    }

    fn pad_without_zeros(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let zero = std::mem::replace(&mut self.flags.zero, false);
        let result = self.pad(bytes);
        self.flags.zero = zero;
        result
    }

    fn operand(&mut self, value: &Value, verb: char) -> Result<(), Fault> {
        if value.is_nil() {
            return if matches!(verb, 'T' | 'v') { self.pad(b"<nil>") } else { self.bad_verb(value, verb) };
        }
        match verb {
            'T' => {
                let name = value.type_name();
                self.text(name.as_bytes())
            }
            // A pointer would be a place in memory: another one each time.
            'p' => self.bad_verb(value, verb),
            _ => self.value(value, verb, 0),
        }
    }

    fn bad_verb(&mut self, value: &Value, verb: char) -> Result<(), Fault> {
        self.telling = true;
        self.write(format!("%!{verb}(").as_bytes())?;
        if value.is_nil() {
            self.write(b"<nil>")?;
        } else {
            self.write(value.type_name().as_bytes())?;
            self.write(b"=")?;
            self.value(value, 'v', 0)?;
        }
        self.telling = false;
        self.write(b")")
    }

    fn value(&mut self, value: &Value, verb: char, depth: usize) -> Result<(), Fault> {
        if self.depth >= DEEPEST_VALUE {
            return Err(Fault::TooMuch("lists or dicts nest too deep to be printed"));
        }
        self.budget.spend(1)?;
        self.depth += 1;
        let result = super::bounds::with_stack(|| self.value_here(value, verb, depth));
        self.depth -= 1;
        result
    }

    fn value_here(&mut self, value: &Value, verb: char, depth: usize) -> Result<(), Fault> {
        if verb == 'w' {
            return self.bad_verb(value, verb);
        }
        if !self.telling
            && !self.flags.sharp_v
            && matches!(verb, 'v' | 's' | 'x' | 'X' | 'q')
            && let Some(text) = own_text(value)
        {
            return self.string(text.as_bytes(), value, verb);
        }
        match value {
            Value::Absent | Value::Nil if self.flags.sharp_v => self.write(b"interface {}(nil)"),
            Value::Absent | Value::Nil => self.write(b"<nil>"),
            Value::Bool(truth) if matches!(verb, 't' | 'v') => self.pad(if *truth { b"true" } else { b"false" }),
            Value::Int(number) | Value::Int64(number) | Value::Duration(number) => {
                self.integer(number.unsigned_abs(), *number < 0, true, value, verb)
            }
            Value::Month(number) | Value::Weekday(number) => {
                self.integer(u64::from(number.unsigned_abs()), false, true, value, verb)
            }
            Value::Uint8(number) => self.integer(u64::from(*number), false, false, value, verb),
            Value::Uint64(number) => self.integer(*number, false, false, value, verb),
            Value::Float(number) => self.float(*number, value, verb),
            Value::Complex(real, imaginary) if "vbgGxXfFeE".contains(verb) => {
                self.write(b"(")?;
                self.float(*real, value, verb)?;
                let plus = std::mem::replace(&mut self.flags.plus, true);
                self.float(*imaginary, value, verb)?;
                self.flags.plus = plus;
                self.write(b"i)")
            }
            Value::Text(text) => self.string(text, value, verb),
            Value::List(list) => {
                if self.flags.sharp_v {
                    self.write(value.type_name().as_bytes())?;
                    if list.is_nil {
                        return self.write(b"(nil)");
                    }
                }
                self.write(if self.flags.sharp_v { b"{" } else { b"[" })?;
                for (index, item) in list.iter().enumerate() {
                    self.separate(index)?;
                    self.value(item, verb, depth + 1)?;
                }
                self.write(if self.flags.sharp_v { b"}" } else { b"]" })
            }
            Value::Dict(dict) => {
                if self.flags.sharp_v {
                    self.write(value.type_name().as_bytes())?;
                    self.write(b"{")?;
                } else {
                    self.write(b"map[")?;
                }
                for (index, (key, item)) in dict.entries().iter().enumerate() {
                    self.separate(index)?;
                    self.value(&Value::Text(key.clone()), verb, depth + 1)?;
                    self.write(b":")?;
                    self.value(item, verb, depth + 1)?;
                }
                self.write(if self.flags.sharp_v { b"}" } else { b"]" })
            }
            Value::Pair(pair) => {
                if self.flags.sharp_v {
                    self.write(value.type_name().as_bytes())?;
                }
                self.write(b"{")?;
                for (index, (name, text)) in [("Cert", &pair.certificate), ("Key", &pair.key)].iter().enumerate() {
                    self.separate(index)?;
                    if self.flags.plus_v || self.flags.sharp_v {
                        self.write(name.as_bytes())?;
                        self.write(b":")?;
                    }
                    self.value(&Value::Text((*text).clone()), verb, depth + 1)?;
                }
                self.write(b"}")
            }
            Value::Time(_) | Value::Version(_) => {
                // Go shows the private fields here; nobody can want that.
                let text = own_text(value).unwrap_or_default();
                self.string(text.as_bytes(), value, 'v')
            }
            Value::Bool(_) | Value::Complex(..) => self.bad_verb(value, verb),
        }
    }

    fn separate(&mut self, index: usize) -> Result<(), Fault> {
        match index {
            0 => Ok(()),
            _ if self.flags.sharp_v => self.write(b", "),
            _ => self.write(b" "),
        }
    }

    fn string(&mut self, text: &[u8], value: &Value, verb: char) -> Result<(), Fault> {
        match verb {
            'v' if self.flags.sharp_v => self.quoted(text),
            'v' | 's' => self.text(text),
            'x' => self.hexadecimal(text, b"0123456789abcdefx"),
            'X' => self.hexadecimal(text, b"0123456789ABCDEFX"),
            'q' => self.quoted(text),
            _ => self.bad_verb(value, verb),
        }
    }

    fn truncated<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        let Some(precision) = self.flags.precision else { return text };
        let end = unicode::characters(text).nth(precision).map_or(text.len(), |(at, _)| at);
        &text[..end]
    }

    fn text(&mut self, text: &[u8]) -> Result<(), Fault> {
        self.pad(self.truncated(text))
    }

    fn quoted(&mut self, text: &[u8]) -> Result<(), Fault> {
        let text = self.truncated(text);
        self.budget.spend(text.len())?;
        if self.flags.sharp && can_backquote(text) {
            return self.pad(&[b"`", text, b"`"].concat());
        }
        let quoted = quote(text, self.flags.plus);
        self.pad(quoted.as_bytes())
    }

    fn hexadecimal(&mut self, text: &[u8], digits: &[u8; 17]) -> Result<(), Fault> {
        let text = &text[..self.flags.precision.unwrap_or(text.len()).min(text.len())];
        self.budget.spend(text.len().saturating_mul(5))?;
        if text.is_empty() {
            return self.fill(self.flags.width.unwrap_or(0));
        }
        let mut shown = Vec::with_capacity(text.len() * 2);
        let prefix = [b'0', digits[16]];
        for (index, byte) in text.iter().enumerate() {
            if self.flags.space && index > 0 {
                shown.push(b' ');
            }
            if self.flags.sharp && (index == 0 || self.flags.space) {
                shown.extend_from_slice(&prefix);
            }
            shown.extend([digits[usize::from(byte >> 4)], digits[usize::from(byte & 0xF)]]);
        }
        self.pad(&shown)
    }

    fn integer(&mut self, number: u64, negative: bool, signed: bool, value: &Value, verb: char) -> Result<(), Fault> {
        match verb {
            'v' if self.flags.sharp_v && !signed => {
                let sharp = std::mem::replace(&mut self.flags.sharp, true);
                let result = self.digits(format!("{number:x}"), b"0x", negative);
                self.flags.sharp = sharp;
                result
            }
            'v' | 'd' => self.digits(number.to_string(), b"", negative),
            'b' => self.digits(format!("{number:b}"), b"0b", negative),
            'o' => self.digits(format!("{number:o}"), b"0", negative),
            'O' => self.digits(format!("{number:o}"), b"0o", negative),
            'x' => self.digits(format!("{number:x}"), b"0x", negative),
            'X' => self.digits(format!("{number:X}"), b"0X", negative),
            'c' => {
                let character = character_of(number, negative);
                self.pad(character.encode_utf8(&mut [0; 4]).as_bytes())
            }
            'q' => {
                let mut shown = String::from('\'');
                escape(character_of(number, negative), '\'', self.flags.plus, &mut shown);
                shown.push('\'');
                self.pad(shown.as_bytes())
            }
            'U' => {
                let number = if negative { number.wrapping_neg() } else { number };
                let digits = self.flags.precision.unwrap_or(4).max(4);
                self.budget.spend(digits)?;
                let mut shown = format!("U+{number:0digits$X}");
                let character = u32::try_from(number).ok().and_then(char::from_u32);
                if let Some(character) = character.filter(|c| self.flags.sharp && unicode::is_printable(*c)) {
                    shown += &format!(" '{character}'");
                }
                self.pad_without_zeros(shown.as_bytes())
            }
            _ => self.bad_verb(value, verb),
        }
    }

    /// Digits with their sign and, under `#` or `%O`, their prefix.
    fn digits(&mut self, mut digits: String, prefix: &[u8], negative: bool) -> Result<(), Fault> {
        let signed = negative || self.flags.plus || self.flags.space;
        let at_least = match self.flags.precision {
            Some(0) if digits == "0" => {
                let zero = std::mem::replace(&mut self.flags.zero, false);
                let result = self.fill(self.flags.width.unwrap_or(0));
                self.flags.zero = zero;
                return result;
            }
            Some(precision) => precision,
            None if self.flags.zero && !self.flags.minus => {
                self.flags.width.unwrap_or(0).saturating_sub(usize::from(signed))
            }
            None => 0,
        };
        self.budget.spend(at_least)?;
        let missing = at_least.saturating_sub(digits.len());
        digits.insert_str(0, &"0".repeat(missing));
        let mut shown = Vec::with_capacity(digits.len() + 3);
        if negative {
            shown.push(b'-');
        } else if self.flags.plus {
            shown.push(b'+');
        } else if self.flags.space {
            shown.push(b' ');
        }
        match prefix {
            b"0o" => {
                shown.extend_from_slice(prefix);
                if self.flags.sharp && !digits.starts_with('0') {
                    shown.push(b'0');
                }
            }
            b"0" if self.flags.sharp && digits.starts_with('0') => {}
            _ if self.flags.sharp => shown.extend_from_slice(prefix),
            _ => {}
        }
        shown.extend_from_slice(digits.as_bytes());
        self.pad_without_zeros(&shown)
    }

    fn float(&mut self, number: f64, value: &Value, verb: char) -> Result<(), Fault> {
        let (format, precision) = match verb {
            'v' => ('g', None),
            'b' | 'g' | 'G' | 'x' | 'X' => (verb, None),
            'f' | 'e' | 'E' => (verb, Some(6)),
            'F' => ('f', Some(6)),
            _ => return self.bad_verb(value, verb),
        };
        let precision = self.flags.precision.or(precision);
        self.budget.spend(400 + precision.unwrap_or(0))?;
        let mut shown = float(number, format, precision);
        if !shown.starts_with(['+', '-']) {
            shown.insert(0, '+');
        }
        if self.flags.space && shown.starts_with('+') && !self.flags.plus {
            shown.replace_range(..1, " ");
        }
        if !number.is_finite() {
            let shown = if number.is_nan() && !self.flags.space && !self.flags.plus { &shown[1..] } else { &shown };
            return self.pad_without_zeros(shown.as_bytes());
        }
        if self.flags.sharp && verb != 'b' {
            shown = with_all_digits(&shown, verb, precision);
        }
        if !self.flags.plus && shown.starts_with('+') {
            return self.pad(&shown.as_bytes()[1..]);
        }
        let missing = self.flags.width.unwrap_or(0).saturating_sub(shown.len());
        if self.flags.zero && !self.flags.minus && missing > 0 {
            self.write(&shown.as_bytes()[..1])?;
            self.fill(missing)?;
            return self.write(&shown.as_bytes()[1..]);
        }
        self.pad(shown.as_bytes())
    }
}

/// What types that can say themselves say.
pub(super) fn own_text(value: &Value) -> Option<String> {
    match value {
        Value::Time(time) => Some(time.to_string()),
        Value::Duration(nanoseconds) => Some(super::functions::dates::duration_text(*nanoseconds)),
        Value::Month(month) => Some(super::functions::dates::month_name(*month)),
        Value::Weekday(day) => Some(super::functions::dates::weekday_name(*day)),
        Value::Version(version) => Some(version.to_string()),
        _ => None,
    }
}

fn character_of(number: u64, negative: bool) -> char {
    u32::try_from(number).ok().filter(|_| !negative).and_then(char::from_u32).unwrap_or(unicode::REPLACEMENT)
}
