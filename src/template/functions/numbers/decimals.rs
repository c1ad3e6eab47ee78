//! Decimal numbers, computed exactly as Go's shopspring/decimal does.

use std::str::FromStr;

use bigdecimal::num_bigint::BigInt;
use bigdecimal::{BigDecimal, Zero};

use super::super::super::error::Fault;
use super::super::super::run::Run;
use super::super::super::signature::Rest;
use super::super::super::value::Value;
use super::float_of;

/// As Go's decimals compute: exactly, and division to 16 places.
fn decimals(
    run: &Run,
    first: f64,
    others: &[Value],
    operation: fn(BigDecimal, BigDecimal) -> Result<BigDecimal, Fault>,
) -> Result<f64, Fault> {
    let mut result = decimal(first)?;
    for other in others {
        result = operation(result, decimal(float_of(run, other))?)?;
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

pub(super) fn add1f(run: &mut Run, value: Value) -> Result<f64, Fault> {
    decimals(run, float_of(run, &value), &[Value::Int(1)], |a, b| Ok(a + b))
}

pub(super) fn addf(run: &mut Run, values: Rest<Value>) -> Result<f64, Fault> {
    decimals(run, 0.0, &values.0, |a, b| Ok(a + b))
}

pub(super) fn subf(run: &mut Run, first: Value, others: Rest<Value>) -> Result<f64, Fault> {
    decimals(run, float_of(run, &first), &others.0, |a, b| Ok(a - b))
}

pub(super) fn mulf(run: &mut Run, first: Value, others: Rest<Value>) -> Result<f64, Fault> {
    run.budget.spend(others.0.len().saturating_mul(others.0.len()))?;
    decimals(run, float_of(run, &first), &others.0, |a, b| Ok(a * b))
}

pub(super) fn divf(run: &mut Run, first: Value, others: Rest<Value>) -> Result<f64, Fault> {
    run.budget.spend(others.0.len().saturating_mul(1024))?;
    decimals(run, float_of(run, &first), &others.0, |a, b| {
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
