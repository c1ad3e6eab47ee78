//! `eq`, `lt` and their like: Go compares within a kind only.

use std::cmp::Ordering;

use super::bounds::DEEPEST_VALUE;
use super::error::Fault;
use super::value::Value;

/// What kinds can be compared with each other.
enum Basic {
    Bool(bool),
    Complex(f64, f64),
    Float(f64),
    Int(i64),
    Uint(u64),
    Text(super::value::Text),
}

fn basic(value: &Value) -> Option<Basic> {
    Some(match value {
        Value::Bool(truth) => Basic::Bool(*truth),
        Value::Complex(real, imaginary) => Basic::Complex(*real, *imaginary),
        Value::Float(number) => Basic::Float(*number),
        Value::Int(number) | Value::Int64(number) | Value::Duration(number) => Basic::Int(*number),
        Value::Month(number) | Value::Weekday(number) => Basic::Int(i64::from(*number)),
        Value::Uint8(number) => Basic::Uint(u64::from(*number)),
        Value::Uint64(number) => Basic::Uint(*number),
        Value::Text(text) => Basic::Text(text.clone()),
        _ => return None,
    })
}

/// Whether the first equals any of the others.
pub(super) fn equals_any(first: &Value, others: &[Value]) -> Result<bool, Fault> {
    if others.is_empty() {
        return Fault::wrong("missing argument for comparison");
    }
    for other in others {
        if equals(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equals(first: &Value, second: &Value) -> Result<bool, Fault> {
    let incompatible = || Fault::wrong("incompatible types for comparison");
    match (basic(first), basic(second)) {
        (Some(a), Some(b)) => match (a, b) {
            (Basic::Bool(a), Basic::Bool(b)) => Ok(a == b),
            (Basic::Complex(a, b), Basic::Complex(c, d)) => Ok((a, b).partial_cmp(&(c, d)) == Some(Ordering::Equal)),
            (Basic::Float(a), Basic::Float(b)) => Ok(a.partial_cmp(&b) == Some(Ordering::Equal)),
            (Basic::Int(a), Basic::Int(b)) => Ok(a == b),
            (Basic::Uint(a), Basic::Uint(b)) => Ok(a == b),
            (Basic::Int(a), Basic::Uint(b)) | (Basic::Uint(b), Basic::Int(a)) => Ok(u64::try_from(a) == Ok(b)),
            (Basic::Text(a), Basic::Text(b)) => Ok(a == b),
            _ => incompatible(),
        },
        // No value at all is unequal to everything that there is.
        (None, Some(_)) if matches!(first, Value::Absent | Value::Nil) => Ok(false),
        (Some(_), None) if matches!(second, Value::Absent | Value::Nil) => Ok(false),
        (None, None) => {
            if first.is_nil() || second.is_nil() {
                return Ok(first.is_nil() == second.is_nil());
            }
            if first.type_name() != second.type_name() {
                return Fault::wrong("non-comparable types");
            }
            match second {
                Value::List(_) | Value::Dict(_) => Fault::wrong("non-comparable type"),
                _ => Ok(first.is_equal(second, DEEPEST_VALUE)),
            }
        }
        _ => incompatible(),
    }
}

/// Which of two comes first.
pub(super) fn order(first: &Value, second: &Value) -> Result<Option<Ordering>, Fault> {
    let (Some(first), Some(second)) = (basic(first), basic(second)) else {
        return Fault::wrong("invalid type for comparison");
    };
    match (first, second) {
        (Basic::Bool(_), Basic::Bool(_)) | (Basic::Complex(..), Basic::Complex(..)) => {
            Fault::wrong("invalid type for comparison")
        }
        (Basic::Float(a), Basic::Float(b)) => Ok(a.partial_cmp(&b)),
        (Basic::Int(a), Basic::Int(b)) => Ok(Some(a.cmp(&b))),
        (Basic::Uint(a), Basic::Uint(b)) => Ok(Some(a.cmp(&b))),
        (Basic::Int(a), Basic::Uint(b)) => Ok(Some(u64::try_from(a).map_or(Ordering::Less, |a| a.cmp(&b)))),
        (Basic::Uint(a), Basic::Int(b)) => Ok(Some(u64::try_from(b).map_or(Ordering::Greater, |b| a.cmp(&b)))),
        (Basic::Text(a), Basic::Text(b)) => Ok(Some(a.cmp(&b))),
        _ => Fault::wrong("incompatible types for comparison"),
    }
}
