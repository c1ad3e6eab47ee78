//! What a YAML 1.1 scalar without quotes means.

use std::sync::LazyLock;

use regex::Regex;

use super::super::super::literal;
use super::super::dates;

/// What a scalar stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Timestamp,
    Text,
}

static FLOAT: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$").ok());
static BASE_60: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$").ok());

/// Resolves a scalar. Timestamps are looked for only where no tag says otherwise.
pub(super) fn resolve(text: &str, may_be_timestamp: bool) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Scalar::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
        _ => {}
    }
    match text.as_bytes()[0] {
        b'.' => literal::float(text).map_or(Scalar::Text, Scalar::Float),
        b'+' | b'-' | b'0'..=b'9' => number(text, may_be_timestamp),
        _ => Scalar::Text,
    }
}

fn number(text: &str, may_be_timestamp: bool) -> Scalar {
    if may_be_timestamp && is_timestamp(text) {
        return Scalar::Timestamp;
    }
    let plain = text.replace('_', "");
    if let Some(integer) = literal::integer(&plain) {
        return Scalar::Int(integer);
    }
    if let Some(unsigned) = literal::unsigned(&plain) {
        return Scalar::Uint(unsigned);
    }
    if FLOAT.as_ref().is_some_and(|float| float.is_match(&plain))
        && let Some(float) = literal::plain_float(&plain)
    {
        return Scalar::Float(float);
    }
    Scalar::Text
}

fn is_timestamp(text: &str) -> bool {
    const LAYOUTS: [&str; 4] =
        ["2006-1-2T15:4:5.999999999Z07:00", "2006-1-2t15:4:5.999999999Z07:00", "2006-1-2 15:4:5.999999999", "2006-1-2"];
    let begins = text.bytes().take_while(u8::is_ascii_digit).count() == 4 && text.as_bytes().get(4) == Some(&b'-');
    begins && LAYOUTS.iter().any(|layout| dates::parse(layout, text).is_some())
}

/// Whether a text written without quotes is read as a text again, also by those who know numbers to the base 60.
pub(super) fn is_plain_text(text: &str) -> bool {
    resolve(text, true) == Scalar::Text && !BASE_60.as_ref().is_some_and(|base_60| base_60.is_match(text))
}
