//! The formats of `printf`: flags, width, precision, and which argument.

use super::super::bounds::WIDEST_VERB;
use super::super::error::Fault;
use super::super::unicode;
use super::super::value::Value;
use super::{Flags, Printer};

impl<'b> Printer<'b> {
    pub(super) fn format(&mut self, format: &[u8], values: &[Value]) -> Result<(), Fault> {
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
