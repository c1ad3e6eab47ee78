//! Numbers. Texts count as numbers as in Go's `cast`: what cannot be read is 0.

mod decimals;
mod ranges;

use self::decimals::{add1f, addf, divf, mulf, subf};
use self::ranges::{seq, until, until_step};
use std::cmp::Ordering;

use super::super::Dialect;
use super::super::error::Fault;
use super::super::literal;
use super::super::print;
use super::super::run::Run;
use super::super::signature::{Int64, Rest};
use super::super::value::{Text, Value};
use super::{Function, both};

/// A value as an integer. The originals have two versions of one library.
pub(super) fn integer_of(run: &Run, value: &Value) -> i64 {
    let is_newer = run.dialect == Dialect::ExternalSecrets;
    let whole_part = if is_newer { whole_part } else { without_zero_fraction };
    match value {
        Value::Int(number) | Value::Int64(number) => *number,
        Value::Duration(number) if is_newer => *number,
        Value::Uint8(number) => i64::from(*number),
        Value::Uint64(number) => number.cast_signed(),
        Value::Month(number) | Value::Weekday(number) => i64::from(*number),
        Value::Float(number) => truncated(*number),
        Value::Bool(truth) => i64::from(*truth),
        Value::Text(text) => {
            std::str::from_utf8(text).ok().and_then(|text| literal::integer(whole_part(text))).unwrap_or(0)
        }
        _ => 0,
    }
}

/// As the processor does it for Go: what does not fit becomes the lowest number.
fn truncated(number: f64) -> i64 {
    const END: f64 = 9_223_372_036_854_775_808.0;
    if (-END..END).contains(&number) {
        #[expect(clippy::cast_possible_truncation, reason = "it fits")]
        let integer = number as i64;
        integer
    } else {
        i64::MIN
    }
}

/// `3.10` is `3`, and `.5` is `0`; what is no number stays as it is.
fn whole_part(text: &str) -> &str {
    let Some((whole, fraction)) = text.split_once('.') else { return text };
    let digits = whole.strip_prefix(['+', '-']).unwrap_or(whole);
    match digits.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        true if digits.is_empty() => "0",
        true => whole,
        false => text,
    }
}

/// `3.00` is `3`; `3.10` stays, and is no integer.
fn without_zero_fraction(text: &str) -> &str {
    let mut found_zero = false;
    for (at, byte) in text.bytes().enumerate().rev() {
        match byte {
            b'.' if found_zero => return &text[..at],
            b'.' => {}
            b'0' => found_zero = true,
            _ => return text,
        }
    }
    text
}

/// A value as a float.
pub(super) fn float_of(run: &Run, value: &Value) -> f64 {
    match value {
        Value::Duration(number) if run.dialect == Dialect::ExternalSecrets => to_float(*number),
        Value::Float(number) => *number,
        Value::Int(number) | Value::Int64(number) => to_float(*number),
        Value::Uint8(number) => f64::from(*number),
        #[expect(clippy::cast_precision_loss, reason = "as Go does it")]
        Value::Uint64(number) => *number as f64,
        Value::Month(number) | Value::Weekday(number) => f64::from(*number),
        Value::Bool(truth) => f64::from(u8::from(*truth)),
        Value::Text(text) => std::str::from_utf8(text).ok().and_then(literal::float).unwrap_or(0.0),
        _ => 0.0,
    }
}

fn to_float(number: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "as Go does it")]
    let float = number as f64;
    float
}

fn atoi(text: Text) -> i64 {
    let text = std::str::from_utf8(&text).unwrap_or_default();
    match text.parse::<i64>() {
        Ok(number) => number,
        // Too big is the biggest, as `strconv.Atoi` leaves it.
        Err(error) => match error.kind() {
            std::num::IntErrorKind::PosOverflow => i64::MAX,
            std::num::IntErrorKind::NegOverflow => i64::MIN,
            _ => 0,
        },
    }
}

fn int(run: &mut Run, value: Value) -> i64 {
    integer_of(run, &value)
}

fn int64(run: &mut Run, value: Value) -> Int64 {
    Int64(integer_of(run, &value))
}

fn float64(run: &mut Run, value: Value) -> f64 {
    float_of(run, &value)
}

fn to_decimal(run: &mut Run, value: Value) -> Result<Int64, Fault> {
    let text = print::sprint(&mut run.budget, &[value])?;
    let text = std::str::from_utf8(&text).unwrap_or_default();
    Ok(Int64(i64::from_str_radix(text, 8).unwrap_or(0)))
}

fn add(run: &mut Run, values: Rest<Value>) -> Int64 {
    Int64(values.0.iter().fold(0, |sum, value| sum.wrapping_add(integer_of(run, value))))
}

fn add1(run: &mut Run, value: Value) -> Int64 {
    Int64(integer_of(run, &value).wrapping_add(1))
}

fn sub(run: &mut Run, a: Value, b: Value) -> Int64 {
    Int64(integer_of(run, &a).wrapping_sub(integer_of(run, &b)))
}

fn div(run: &mut Run, a: Value, b: Value) -> Result<Int64, Fault> {
    match integer_of(run, &b) {
        0 => Fault::wrong("integer divide by zero"),
        b => Ok(Int64(integer_of(run, &a).wrapping_div(b))),
    }
}

fn modulo(run: &mut Run, a: Value, b: Value) -> Result<Int64, Fault> {
    match integer_of(run, &b) {
        0 => Fault::wrong("integer divide by zero"),
        b => Ok(Int64(integer_of(run, &a).wrapping_rem(b))),
    }
}

fn mul(run: &mut Run, first: Value, others: Rest<Value>) -> Int64 {
    let first = integer_of(run, &first);
    Int64(others.0.iter().fold(first, |product, value| product.wrapping_mul(integer_of(run, value))))
}

fn max(run: &mut Run, first: Value, others: Rest<Value>) -> Int64 {
    let first = integer_of(run, &first);
    Int64(others.0.iter().map(|value| integer_of(run, value)).fold(first, i64::max))
}

fn min(run: &mut Run, first: Value, others: Rest<Value>) -> Int64 {
    let first = integer_of(run, &first);
    Int64(others.0.iter().map(|value| integer_of(run, value)).fold(first, i64::min))
}

fn maxf(run: &mut Run, first: Value, others: Rest<Value>) -> f64 {
    let first = float_of(run, &first);
    others.0.iter().map(|value| float_of(run, value)).fold(first, |a, b| chosen(a, b, Ordering::Greater))
}

fn minf(run: &mut Run, first: Value, others: Rest<Value>) -> f64 {
    let first = float_of(run, &first);
    others.0.iter().map(|value| float_of(run, value)).fold(first, |a, b| chosen(a, b, Ordering::Less))
}

/// The greater or the less, as Go has it: no number if one is none, and 0 is greater than -0.
fn chosen(a: f64, b: f64, which: Ordering) -> f64 {
    match a.partial_cmp(&b) {
        None => f64::NAN,
        Some(Ordering::Equal) if a.total_cmp(&b) == which => a,
        Some(Ordering::Equal) => b,
        Some(order) if order == which => a,
        Some(_) => b,
    }
}

fn floor(run: &mut Run, value: Value) -> f64 {
    float_of(run, &value).floor()
}

fn ceil(run: &mut Run, value: Value) -> f64 {
    float_of(run, &value).ceil()
}

fn round(run: &mut Run, value: Value, places: i64, round_on: Rest<f64>) -> f64 {
    let round_on = round_on.0.first().copied().unwrap_or(0.5);
    let power = power_of_ten(places);
    let digit = power * float_of(run, &value);
    let fraction = digit - digit.trunc();
    let rounded = if fraction >= round_on { digit.ceil() } else { digit.floor() };
    rounded / power
}

/// Exactly the float that is nearest, as Go's `Pow(10, n)`.
fn power_of_ten(exponent: i64) -> f64 {
    if exponent > 308 {
        return f64::INFINITY;
    }
    if exponent < -323 {
        return 0.0;
    }
    format!("1e{exponent}").parse().unwrap_or(0.0)
}

pub(super) fn table() -> Vec<Function> {
    vec![
        both("add", add, "The sum of integers; beyond 64 bits it wraps."),
        both("add1", add1, "One more."),
        both("add1f", add1f, "One more, of a decimal number."),
        both("addf", addf, "The sum of decimal numbers."),
        both("atoi", atoi, "A text as an integer; 0 if it is none."),
        both("biggest", max, "The same as `max`."),
        both("ceil", ceil, "The next whole number above."),
        both("div", div, "The whole quotient."),
        both("divf", divf, "The quotient, to 16 places."),
        both("float64", float64, "As a float; 0 if it is none."),
        both("floor", floor, "The next whole number below."),
        both("int", int, "As an integer; 0 if it is none."),
        both("int64", int64, "As an integer of the type int64."),
        both("max", max, "The greatest integer."),
        both("maxf", maxf, "The greatest float."),
        both("min", min, "The least integer."),
        both("minf", minf, "The least float."),
        both("mod", modulo, "The rest of a division."),
        both("mul", mul, "The product of integers."),
        both("mulf", mulf, "The product of decimal numbers."),
        both("round", round, "To so many places; a third argument says from which fraction upwards."),
        both("seq", seq, "Numbers with spaces between, as the command seq counts: end; start end; start step end."),
        both("sub", sub, "The difference of integers."),
        both("subf", subf, "The difference of decimal numbers."),
        both("toDecimal", to_decimal, "An octal text as an integer; 0 if it is none."),
        both("until", until, "The integers from 0 to before it."),
        both("untilStep", until_step, "The integers from a start to before a stop, by steps."),
    ]
}
