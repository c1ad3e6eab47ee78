//! Numbers. Texts count as numbers as in Go's `cast`: what cannot be read is 0.

use std::str::FromStr;

use bigdecimal::num_bigint::BigInt;
use bigdecimal::{BigDecimal, Zero};

use super::super::bounds::LONGEST_RANGE;
use super::super::error::Fault;
use super::super::literal;
use super::super::print;
use super::super::run::Run;
use super::super::signature::{Int64, Ints, Rest};
use super::super::value::{Text, Value};
use super::{Function, both};

/// A value as an integer.
pub(super) fn integer_of(value: &Value) -> i64 {
    match value {
        Value::Int(number) | Value::Int64(number) => *number,
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

/// `3.00` is `3`; `3.10` stays, and is no integer.
fn whole_part(text: &str) -> &str {
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
pub(super) fn float_of(value: &Value) -> f64 {
    match value {
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

fn int(value: Value) -> i64 {
    integer_of(&value)
}

fn int64(value: Value) -> Int64 {
    Int64(integer_of(&value))
}

fn float64(value: Value) -> f64 {
    float_of(&value)
}

fn to_decimal(run: &mut Run, value: Value) -> Result<Int64, Fault> {
    let text = print::sprint(&mut run.budget, &[value])?;
    let text = std::str::from_utf8(&text).unwrap_or_default();
    Ok(Int64(i64::from_str_radix(text, 8).unwrap_or(0)))
}

fn add(values: Rest<Value>) -> Int64 {
    Int64(values.0.iter().fold(0, |sum, value| sum.wrapping_add(integer_of(value))))
}

fn add1(value: Value) -> Int64 {
    Int64(integer_of(&value).wrapping_add(1))
}

fn sub(a: Value, b: Value) -> Int64 {
    Int64(integer_of(&a).wrapping_sub(integer_of(&b)))
}

fn div(a: Value, b: Value) -> Result<Int64, Fault> {
    match integer_of(&b) {
        0 => Fault::wrong("integer divide by zero"),
        b => Ok(Int64(integer_of(&a).wrapping_div(b))),
    }
}

fn modulo(a: Value, b: Value) -> Result<Int64, Fault> {
    match integer_of(&b) {
        0 => Fault::wrong("integer divide by zero"),
        b => Ok(Int64(integer_of(&a).wrapping_rem(b))),
    }
}

fn mul(first: Value, others: Rest<Value>) -> Int64 {
    Int64(others.0.iter().fold(integer_of(&first), |product, value| product.wrapping_mul(integer_of(value))))
}

fn max(first: Value, others: Rest<Value>) -> Int64 {
    Int64(others.0.iter().map(integer_of).fold(integer_of(&first), i64::max))
}

fn min(first: Value, others: Rest<Value>) -> Int64 {
    Int64(others.0.iter().map(integer_of).fold(integer_of(&first), i64::min))
}

fn maxf(first: Value, others: Rest<Value>) -> f64 {
    // Go's Max gives NaN if one is; Rust's would not.
    let greater = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) };
    others.0.iter().map(float_of).fold(float_of(&first), greater)
}

fn minf(first: Value, others: Rest<Value>) -> f64 {
    let less = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) };
    others.0.iter().map(float_of).fold(float_of(&first), less)
}

fn floor(value: Value) -> f64 {
    float_of(&value).floor()
}

fn ceil(value: Value) -> f64 {
    float_of(&value).ceil()
}

fn round(value: Value, places: i64, round_on: Rest<f64>) -> f64 {
    let round_on = round_on.0.first().copied().unwrap_or(0.5);
    let power = power_of_ten(places);
    let digit = power * float_of(&value);
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

/// As Go's decimals compute: exactly, and division to 16 places.
fn decimals(
    first: f64,
    others: &[Value],
    operation: fn(BigDecimal, BigDecimal) -> Result<BigDecimal, Fault>,
) -> Result<f64, Fault> {
    let mut result = decimal(first)?;
    for other in others {
        result = operation(result, decimal(float_of(other))?)?;
    }
    // The text of a decimal is exact, and the nearest float of a text is what Go gives.
    Ok(result.to_scientific_notation().parse().unwrap_or(f64::NAN))
}

fn decimal(number: f64) -> Result<BigDecimal, Fault> {
    if !number.is_finite() {
        return Fault::wrong("cannot create a decimal from infinity or no number");
    }
    BigDecimal::from_str(&format!("{number:e}")).map_err(|_| "cannot create a decimal".into())
}

fn add1f(value: Value) -> Result<f64, Fault> {
    decimals(float_of(&value), &[Value::Int(1)], |a, b| Ok(a + b))
}

fn addf(values: Rest<Value>) -> Result<f64, Fault> {
    decimals(0.0, &values.0, |a, b| Ok(a + b))
}

fn subf(first: Value, others: Rest<Value>) -> Result<f64, Fault> {
    decimals(float_of(&first), &others.0, |a, b| Ok(a - b))
}

fn mulf(run: &mut Run, first: Value, others: Rest<Value>) -> Result<f64, Fault> {
    run.budget.spend(others.0.len().saturating_mul(others.0.len()))?;
    decimals(float_of(&first), &others.0, |a, b| Ok(a * b))
}

fn divf(run: &mut Run, first: Value, others: Rest<Value>) -> Result<f64, Fault> {
    run.budget.spend(others.0.len().saturating_mul(1024))?;
    decimals(float_of(&first), &others.0, |a, b| {
        if b.is_zero() {
            return Fault::wrong("decimal division by 0");
        }
        Ok(quotient(&a, &b))
    })
}

/// The quotient to 16 places, half away from zero.
fn quotient(a: &BigDecimal, b: &BigDecimal) -> BigDecimal {
    const PLACES: i64 = 16;
    let (mut dividend, a_scale) = a.as_bigint_and_exponent();
    let (mut divisor, b_scale) = b.as_bigint_and_exponent();
    let shift = PLACES + b_scale - a_scale;
    let power = BigInt::from(10).pow(u32::try_from(shift.unsigned_abs()).unwrap_or(u32::MAX));
    if shift >= 0 {
        dividend *= power;
    } else {
        divisor *= power;
    }
    let (mut whole, rest) = (&dividend / &divisor, &dividend % &divisor);
    if rest.magnitude() * 2_u8 >= *divisor.magnitude() {
        whole += if dividend.sign() == divisor.sign() { 1 } else { -1 };
    }
    BigDecimal::new(whole, PLACES)
}

fn until(run: &mut Run, count: i64) -> Result<Ints, Fault> {
    until_step(run, 0, count, if count < 0 { -1 } else { 1 })
}

fn until_step(run: &mut Run, start: i64, stop: i64, step: i64) -> Result<Ints, Fault> {
    range(run, start, stop, step).map(Ints)
}

fn range(run: &mut Run, start: i64, stop: i64, step: i64) -> Result<Vec<i64>, Fault> {
    if step == 0 || (stop < start) != (step < 0) {
        return Ok(Vec::new());
    }
    let distance = i128::from(stop) - i128::from(start);
    let count = (distance.unsigned_abs()).div_ceil(i128::from(step).unsigned_abs());
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > LONGEST_RANGE {
        return Err(Fault::TooMuch("the list would be longer than a template may make one"));
    }
    run.budget.spend(count.saturating_mul(32))?;
    Ok((0..count).scan(start, |next, _| Some(std::mem::replace(next, next.saturating_add(step)))).collect())
}

fn seq(run: &mut Run, parameters: Rest<i64>) -> Result<String, Fault> {
    let (start, step, end) = match parameters.0.as_slice() {
        [end] => (1, if *end < 1 { -1 } else { 1 }, *end),
        [start, end] => (*start, if end < start { -1 } else { 1 }, *end),
        [start, step, end] if end >= start || *step <= 0 => (*start, *step, *end),
        _ => return Ok(String::new()),
    };
    let beyond = end.wrapping_add(if end < start { -1 } else { 1 });
    let numbers = range(run, start, beyond, step)?;
    Ok(numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(" "))
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
