//! Values as text: Go's `fmt`, verb by verb.

use super::bounds::{Budget, DEEPEST_VALUE, WIDEST_VERB};
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

/// As `%q` shows a text: what `strconv.Quote` gives.
pub(super) fn quote(text: &[u8], ascii_only: bool) -> String {
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

fn escape(character: char, quote: char, ascii_only: bool, out: &mut String) {
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

/// A float as `strconv.FormatFloat` writes it; no precision means the fewest digits that tell it apart.
pub(super) fn float(value: f64, verb: char, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    match verb {
        'b' => binary(value),
        'x' | 'X' => {
            let text = hexadecimal(value, precision);
            if verb == 'X' { text.to_ascii_uppercase() } else { text }
        }
        'f' => match precision {
            Some(precision) => format!("{value:.precision$}"),
            None => format!("{value}"),
        },
        'e' | 'E' => scientific(value, verb, precision),
        _ => general(value, if verb == 'G' { 'E' } else { 'e' }, precision),
    }
}

fn scientific(value: f64, letter: char, precision: Option<usize>) -> String {
    let text = match precision {
        Some(precision) => format!("{value:.precision$e}"),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}{letter}{sign}{digits:0>2}")
}

fn general(value: f64, letter: char, precision: Option<usize>) -> String {
    // Go takes precision 0 for 1.
    let precision = precision.map(|precision| precision.max(1));
    let text = match precision {
        Some(precision) => format!("{value:.*e}", precision - 1),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let mantissa = if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    let digits = i64::try_from(mantissa.bytes().filter(u8::is_ascii_digit).count()).unwrap_or(i64::MAX);
    let mut threshold = precision.map_or(6, |precision| i64::try_from(precision).unwrap_or(i64::MAX));
    if precision.is_some() && threshold > digits && digits > exponent {
        threshold = digits;
    }
    if exponent < -4 || exponent >= threshold {
        let (sign, exponent) = if exponent < 0 { ('-', -exponent) } else { ('+', exponent) };
        return format!("{mantissa}{letter}{sign}{exponent:02}");
    }
    let fraction = usize::try_from((digits - 1 - exponent).max(0)).unwrap_or(0);
    format!("{value:.fraction$}")
}

fn parts(value: f64) -> (bool, i64, u64) {
    let bits = value.to_bits();
    let exponent = i64::try_from((bits >> 52) & 0x7FF).unwrap_or(0);
    let fraction = bits & ((1 << 52) - 1);
    if exponent == 0 {
        (bits >> 63 == 1, -1074, fraction)
    } else {
        (bits >> 63 == 1, exponent - 1075, fraction | 1 << 52)
    }
}

fn binary(value: f64) -> String {
    let (negative, exponent, mantissa) = parts(value);
    format!("{}{mantissa}p{exponent:+}", if negative { "-" } else { "" })
}

fn hexadecimal(value: f64, precision: Option<usize>) -> String {
    let (negative, mut exponent, mut mantissa) = parts(value);
    if mantissa == 0 {
        exponent = 0;
    } else {
        // One bit in front of the point, 60 behind it.
        let shift = mantissa.leading_zeros() - 3;
        mantissa <<= shift;
        exponent += 60 - i64::from(shift);
    }
    if let Some(precision) = precision.filter(|precision| *precision < 15) {
        let dropped = u32::try_from(precision).map_or(0, |precision| 60 - 4 * precision);
        let half = 1_u64 << (dropped - 1);
        let rest = mantissa & ((1 << dropped) - 1);
        mantissa >>= dropped;
        if rest > half || rest == half && mantissa & 1 == 1 {
            mantissa += 1;
        }
        mantissa <<= dropped;
        if mantissa >> 61 == 1 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let mut fraction = format!("{:015x}", mantissa & ((1 << 60) - 1));
    match precision {
        Some(precision) => {
            fraction.truncate(precision);
            while fraction.len() < precision {
                fraction.push('0');
            }
        }
        None => fraction.truncate(fraction.trim_end_matches('0').len()),
    }
    let point = if fraction.is_empty() { "" } else { "." };
    let sign = if negative { "-" } else { "" };
    let power = if exponent < 0 { '-' } else { '+' };
    format!("{sign}0x{}{point}{fraction}p{power}{:02}", mantissa >> 60, exponent.abs())
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

    fn format(&mut self, format: &[u8], values: &[Value]) -> Result<(), Fault> {
        let mut cursor = Cursor { format, at: 0, argument: 0, reordered: false, good: true };
        while cursor.at < format.len() {
            let rest = &format[cursor.at..];
            let plain = rest.iter().position(|byte| *byte == b'%').unwrap_or(rest.len());
            self.write(&rest[..plain])?;
            cursor.at += plain;
            if cursor.at < format.len() {
                cursor.at += 1;
                self.directive(&mut cursor, values)?;
            }
        }
        if !cursor.reordered && cursor.argument < values.len() {
            self.flags = Flags::default();
            self.write(b"%!(EXTRA ")?;
            for (index, value) in values[cursor.argument..].iter().enumerate() {
                if index > 0 {
                    self.write(b", ")?;
                }
                if value.is_nil() {
                    self.write(b"<nil>")?;
                } else {
                    self.write(value.type_name().as_bytes())?;
                    self.write(b"=")?;
                    self.operand(value, 'v')?;
                }
            }
            self.write(b")")?;
        }
        Ok(())
    }

    fn directive(&mut self, cursor: &mut Cursor<'_>, values: &[Value]) -> Result<(), Fault> {
        self.flags = Flags::default();
        cursor.good = true;
        while let Some(byte) = cursor.peek() {
            match byte {
                b'#' => self.flags.sharp = true,
                b'0' => self.flags.zero = true,
                b'+' => self.flags.plus = true,
                b'-' => self.flags.minus = true,
                b' ' => self.flags.space = true,
                _ => break,
            }
            cursor.at += 1;
        }
        let mut after_index = cursor.index(values.len());
        if cursor.take(b'*') {
            match cursor.number_from(values) {
                Some(width) => {
                    self.flags.width = Some(usize::try_from(width.unsigned_abs()).unwrap_or(0));
                    if width < 0 {
                        self.flags.minus = true;
                        self.flags.zero = false;
                    }
                }
                None => self.write(b"%!(BADWIDTH)")?,
            }
            after_index = false;
        } else {
            self.flags.width = cursor.number();
            if after_index && self.flags.width.is_some() {
                cursor.good = false;
            }
        }
        if cursor.peek() == Some(b'.') && cursor.at + 1 < cursor.format.len() {
            cursor.at += 1;
            if after_index {
                cursor.good = false;
            }
            after_index = cursor.index(values.len());
            if cursor.take(b'*') {
                match cursor.number_from(values) {
                    Some(precision) if precision >= 0 => self.flags.precision = usize::try_from(precision).ok(),
                    _ => self.write(b"%!(BADPREC)")?,
                }
                after_index = false;
            } else {
                self.flags.precision = Some(cursor.number().unwrap_or(0));
            }
        }
        if !after_index {
            cursor.index(values.len());
        }
        let (verb, width) = unicode::decode(cursor.format.get(cursor.at..).unwrap_or_default());
        if width == 0 {
            return self.write(b"%!(NOVERB)");
        }
        cursor.at += width;
        match values.get(cursor.argument) {
            _ if verb == '%' => self.write(b"%"),
            _ if !cursor.good => self.write(format!("%!{verb}(BADINDEX)").as_bytes()),
            None => self.write(format!("%!{verb}(MISSING)").as_bytes()),
            Some(value) => {
                if matches!(verb, 'v' | 'w') {
                    self.flags.sharp_v = std::mem::replace(&mut self.flags.sharp, false);
                    self.flags.plus_v = std::mem::replace(&mut self.flags.plus, false);
                }
                cursor.argument += 1;
                self.operand(value, verb)
            }
        }
    }
}

/// Where the reading of a format is.
struct Cursor<'f> {
    format: &'f [u8],
    at: usize,
    argument: usize,
    reordered: bool,
    good: bool,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.format.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let takes = self.peek() == Some(byte);
        self.at += usize::from(takes);
        takes
    }

    /// A number, at most Go's limit. Digits beyond it end the whole format, as in Go.
    fn number(&mut self) -> Option<usize> {
        let begin = self.at;
        let mut number = 0;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            if number > WIDEST_VERB {
                self.at = self.format.len();
                return None;
            }
            number = number * 10 + usize::from(digit - b'0');
            self.at += 1;
        }
        (self.at > begin).then_some(number)
    }

    /// The next argument as a width.
    fn number_from(&mut self, values: &[Value]) -> Option<i64> {
        let value = values.get(self.argument)?;
        self.argument += 1;
        let number = match value {
            Value::Int(number) | Value::Int64(number) | Value::Duration(number) => *number,
            Value::Month(number) | Value::Weekday(number) => i64::from(*number),
            Value::Uint8(number) => i64::from(*number),
            Value::Uint64(number) => i64::try_from(*number).ok()?,
            _ => return None,
        };
        let widest = i64::try_from(WIDEST_VERB).unwrap_or(i64::MAX);
        (-widest..=widest).contains(&number).then_some(number)
    }

    /// `[3]`: which argument is next. Tells whether an index was there.
    fn index(&mut self, count: usize) -> bool {
        if self.peek() != Some(b'[') {
            return false;
        }
        self.reordered = true;
        let rest = &self.format[self.at..];
        let close = rest.iter().position(|byte| *byte == b']');
        let (Some(close), true) = (close, rest.len() >= 3) else {
            self.good = false;
            self.at += 1;
            return false;
        };
        let digits = std::str::from_utf8(&rest[1..close]).unwrap_or_default();
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let index = digits.parse::<usize>().ok().filter(|_| is_number).and_then(|number| number.checked_sub(1));
        self.at += close + 1;
        match index {
            Some(index) if index < count => {
                self.argument = index;
                true
            }
            _ => {
                self.good = false;
                is_number
            }
        }
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

fn can_backquote(text: &[u8]) -> bool {
    std::str::from_utf8(text)
        .is_ok_and(|text| text.chars().all(|c| c == '\t' || !(c < ' ' || c == '`' || c == '\x7F' || c == '\u{FEFF}')))
}

/// Under `#`, a float shows its point and all the digits of its precision.
fn with_all_digits(shown: &str, verb: char, precision: Option<usize>) -> String {
    let mut digits = match verb {
        'v' | 'g' | 'G' | 'x' => i64::try_from(precision.unwrap_or(6)).unwrap_or(0),
        _ => 0,
    };
    let tail_at = shown.find(|c| matches!(c, 'p' | 'P') || matches!(c, 'e' | 'E') && !matches!(verb, 'x' | 'X'));
    let (head, tail) = shown.split_at(tail_at.unwrap_or(shown.len()));
    let mut head = head.to_owned();
    let mut nonzero = false;
    for character in head.chars().skip(1).filter(|c| *c != '.') {
        nonzero |= character != '0';
        digits -= i64::from(nonzero);
    }
    if !head.contains('.') {
        if head.len() == 2 && head.ends_with('0') {
            digits -= 1;
        }
        head.push('.');
    }
    let missing = usize::try_from(digits).unwrap_or(0);
    head + &"0".repeat(missing) + tail
}
