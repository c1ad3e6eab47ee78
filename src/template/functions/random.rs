//! Chance: drawn from the stream that the caller gives.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::error::Fault;
use super::super::run::Run;
use super::{Function, both};

/// How each letter is drawn: an index below the number of letters, all equally likely.
fn drawn(run: &mut Run, count: i64, letters: &[u8]) -> Result<Vec<u8>, Fault> {
    // A negative number of letters is none, as in the original.
    let count = usize::try_from(count).unwrap_or(0);
    run.budget.spend(count.saturating_mul(8))?;
    let end = u64::try_from(letters.len()).unwrap_or(1);
    let letter = |run: &mut Run| usize::try_from(run.chance.below(end)).ok().and_then(|at| letters.get(at).copied());
    Ok((0..count).filter_map(|_| letter(run)).collect())
}

const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const DIGITS: &[u8] = b"0123456789";

fn rand_alpha_num(run: &mut Run, count: i64) -> Result<Vec<u8>, Fault> {
    drawn(run, count, &[DIGITS, UPPER, LOWER].concat())
}

fn rand_alpha(run: &mut Run, count: i64) -> Result<Vec<u8>, Fault> {
    drawn(run, count, &[UPPER, LOWER].concat())
}

fn rand_numeric(run: &mut Run, count: i64) -> Result<Vec<u8>, Fault> {
    drawn(run, count, DIGITS)
}

fn rand_ascii(run: &mut Run, count: i64) -> Result<Vec<u8>, Fault> {
    let letters: Vec<u8> = (b' '..=b'~').collect();
    drawn(run, count, &letters)
}

fn rand_bytes(run: &mut Run, count: i64) -> Result<String, Fault> {
    let Ok(count) = usize::try_from(count) else { return Fault::wrong("makeslice: len out of range") };
    run.budget.spend(count.saturating_mul(2))?;
    let mut bytes = zeroize::Zeroizing::new(vec![0; count]);
    run.chance.fill(&mut bytes);
    Ok(STANDARD.encode(&*bytes))
}

fn rand_int(run: &mut Run, low: i64, end: i64) -> Result<i64, Fault> {
    match end.checked_sub(low).and_then(|span| u64::try_from(span).ok()) {
        Some(span) if span > 0 => Ok(low.wrapping_add_unsigned(run.chance.below(span))),
        _ => Fault::wrong("invalid argument to Intn"),
    }
}

fn uuidv4(run: &mut Run) -> String {
    let mut bytes = [0; 16];
    run.chance.fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let digits = super::encodings::hexadecimal(&bytes);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

pub(super) fn table() -> Vec<Function> {
    vec![
        both("randAlpha", rand_alpha, "So many letters."),
        both("randAlphaNum", rand_alpha_num, "So many letters and digits."),
        both("randAscii", rand_ascii, "So many characters that can be printed."),
        both("randBytes", rand_bytes, "So many bytes, in base64."),
        both("randInt", rand_int, "An integer from the first to before the second."),
        both("randNumeric", rand_numeric, "So many digits."),
        both("uuidv4", uuidv4, "A random UUID."),
    ]
}
