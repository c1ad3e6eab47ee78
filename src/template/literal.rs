//! Numbers and quoted texts as Go writes them.

/// A number: what it can be taken for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Number {
    pub(super) integer: Option<i64>,
    pub(super) unsigned: Option<u64>,
    pub(super) float: Option<f64>,
    pub(super) complex: Option<(f64, f64)>,
    /// Written so that it is a float where nothing asks for a type.
    pub(super) looks_like_float: bool,
}

/// Reads a number or a character in quotes. `None` when it is neither, or too big for 64 bits.
pub(super) fn number(text: &str) -> Option<Number> {
    if let Some(quoted) = text.strip_prefix('\'') {
        let mut characters = Unquoted { rest: quoted.strip_suffix('\'')?, quote: '\'' };
        let character = match characters.next()? {
            Ok(Piece::Character(character)) => i64::from(u32::from(character)),
            Ok(Piece::Byte(byte)) => i64::from(byte),
            Err(()) => return None,
        };
        if !characters.rest.is_empty() {
            return None;
        }
        return Some(Number {
            integer: Some(character),
            unsigned: u64::try_from(character).ok(),
            float: Some(to_float(character)),
            ..Number::default()
        });
    }
    if let Some(imaginary) = text.strip_suffix('i') {
        let (real, imaginary) = match imaginary.char_indices().skip(1).filter(|(_, c)| matches!(c, '+' | '-')).last() {
            // The sign of an exponent is not the sign between the parts.
            Some((at, _)) if !imaginary[..at].ends_with(['e', 'E', 'p', 'P']) => {
                (float(&imaginary[..at])?, float(&imaginary[at..])?)
            }
            _ => (0.0, float(imaginary)?),
        };
        let mut number = Number { complex: Some((real, imaginary)), ..Number::default() };
        if imaginary == 0.0 {
            number.float = Some(real);
            number.integer = whole(real);
            number.unsigned = number.integer.and_then(|value| u64::try_from(value).ok());
        }
        return Some(number);
    }
    let hexadecimal = text.trim_start_matches(['+', '-']).to_ascii_lowercase().starts_with("0x");
    let looks_like_float =
        if hexadecimal { text.contains(['p', 'P']) } else { text.contains(['.', 'e', 'E', 'p', 'P']) };
    let mut integer = integer(text);
    let mut unsigned = unsigned(text);
    if integer == Some(0) {
        // -0 is 0.
        unsigned = Some(0);
    }
    let mut value = None;
    if let Some(integer) = integer {
        value = Some(to_float(integer));
    } else if let Some(unsigned) = unsigned {
        #[expect(clippy::cast_precision_loss, reason = "as Go does it")]
        let as_float = unsigned as f64;
        value = Some(as_float);
    } else if let Some(parsed) = float(text) {
        // An integer that is too big is an error, not a float.
        if !text.contains(['.', 'e', 'E', 'p', 'P']) {
            return None;
        }
        value = Some(parsed);
        integer = whole(parsed);
        unsigned = unsigned.or_else(|| integer.and_then(|value| u64::try_from(value).ok()));
    }
    (integer.is_some() || unsigned.is_some() || value.is_some()).then_some(Number {
        integer,
        unsigned,
        float: value,
        complex: None,
        looks_like_float,
    })
}

pub(super) fn to_float(value: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "as Go does it")]
    let float = value as f64;
    float
}

fn whole(value: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "compared with what it came from")]
    let integer = value as i64;
    (to_float(integer) == value).then_some(integer)
}

/// An integer with Go's prefixes `0x`, `0o`, `0b` and `0`, and its underscores.
pub(super) fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let magnitude = unsigned(digits)?;
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// The same without a sign.
pub(super) fn unsigned(text: &str) -> Option<u64> {
    let (base, digits) = split_base(text)?;
    u64::from_str_radix(&digits, base).ok()
}

/// The base that the prefix says, and the digits without underscores, which may stand between digits only.
fn split_base(text: &str) -> Option<(u32, String)> {
    let lower = text.get(..2).unwrap_or_default().to_ascii_lowercase();
    let (base, digits) = match lower.as_str() {
        "0x" => (16, &text[2..]),
        "0o" => (8, &text[2..]),
        "0b" => (2, &text[2..]),
        _ if text.len() > 1 && text.starts_with('0') => (8, &text[1..]),
        _ => (10, text),
    };
    // After a prefix, an underscore may stand in front of the first digit.
    let inner = if base == 10 { digits } else { digits.strip_prefix('_').unwrap_or(digits) };
    underscores_are_right(inner)
        .then(|| (base, inner.replace('_', "")))
        .filter(|(_, digits)| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

fn underscores_are_right(digits: &str) -> bool {
    !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__")
}

/// A float, hexadecimal ones included. `None` also for what is too big. Underscores only as in Go's source.
pub(super) fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.len() > 1 && unsigned[..2].eq_ignore_ascii_case("0x") {
        let value = hexadecimal_float(&unsigned[2..])?;
        return Some(if text.starts_with('-') { -value } else { value });
    }
    if text.contains('_') {
        let groups_are_right = text.split(['.', 'e', 'E', '+', '-']).all(underscores_are_right);
        return if groups_are_right { plain_float(&text.replace('_', "")) } else { None };
    }
    plain_float(text)
}

/// As `strconv.ParseFloat` without underscores; infinities and NaN by name are floats too.
pub(super) fn plain_float(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    let named = text.trim_start_matches(['+', '-']).starts_with(['i', 'I', 'n', 'N']);
    (value.is_finite() || named).then_some(value)
}

fn hexadecimal_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}").replace('_', "");
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    let significand = u64::from_str_radix(&digits, 16).ok()?;
    #[expect(clippy::cast_precision_loss, reason = "at most 60 bits; what does not fit is rounded as Go rounds it")]
    let significand = significand as f64;
    let shift = exponent.checked_sub(4 * i32::try_from(fraction.replace('_', "").len()).ok()?)?;
    let value = significand * 2_f64.powi(shift);
    value.is_finite().then_some(value)
}

/// What stands within the quotes of Go, as bytes.
pub(super) fn unquote(text: &str) -> Option<Vec<u8>> {
    if let Some(raw) = text.strip_prefix('`') {
        return Some(raw.strip_suffix('`')?.replace('\r', "").into_bytes());
    }
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::with_capacity(inner.len());
    for piece in (Unquoted { rest: inner, quote: '"' }) {
        match piece.ok()? {
            Piece::Character(character) => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            Piece::Byte(byte) => bytes.push(byte),
        }
    }
    Some(bytes)
}

enum Piece {
    Character(char),
    Byte(u8),
}

struct Unquoted<'t> {
    rest: &'t str,
    quote: char,
}

impl Unquoted<'_> {
    fn bump(&mut self) -> Option<char> {
        let character = self.rest.chars().next()?;
        self.rest = &self.rest[character.len_utf8()..];
        Some(character)
    }

    fn digits(&mut self, count: usize, base: u32) -> Option<u32> {
        let digits = self.rest.get(..count)?;
        self.rest = &self.rest[count..];
        digits.bytes().all(|byte| byte.is_ascii_alphanumeric()).then(|| u32::from_str_radix(digits, base).ok())?
    }

    fn escape(&mut self) -> Option<Piece> {
        let character = match self.bump()? {
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0C',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0B',
            '\\' => '\\',
            'x' => return self.digits(2, 16).and_then(|value| u8::try_from(value).ok()).map(Piece::Byte),
            'u' => char::from_u32(self.digits(4, 16)?)?,
            'U' => char::from_u32(self.digits(8, 16)?)?,
            first @ '0'..='7' => {
                let value = first.to_digit(8)? * 64 + self.digits(2, 8)?;
                return u8::try_from(value).ok().map(Piece::Byte);
            }
            quote if quote == self.quote => quote,
            _ => return None,
        };
        Some(Piece::Character(character))
    }
}

impl Iterator for Unquoted<'_> {
    type Item = Result<Piece, ()>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(match self.bump()? {
            '\\' => self.escape().ok_or(()),
            character if character == self.quote || character == '\n' => Err(()),
            character => Ok(Piece::Character(character)),
        })
    }
}
