//! Keys of Secrets.

use std::sync::LazyLock;

use regex::Regex;

use super::ValueError;
use crate::api::external_secret::ConversionStrategy;

/// Longest key that a Secret takes.
const LONGEST_KEY: usize = 253;

/// A key as a Secret takes it.
pub fn convert_key(key: &str, strategy: ConversionStrategy) -> String {
    // Letters of any script pass, and the API server refuses them: as in the reference.
    static LETTER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[-_.\p{L}\p{Nd}]$").ok());
    let fits = |letter: char| LETTER.as_ref().is_some_and(|known| known.is_match(letter.encode_utf8(&mut [0; 4])));
    key.chars()
        .map(|letter| match strategy {
            _ if fits(letter) => letter.to_string(),
            ConversionStrategy::Default => "_".to_owned(),
            ConversionStrategy::Unicode => format!("_U{:04x}_", u32::from(letter)),
        })
        .collect()
}

/// Refuses a key that no Secret can have.
///
/// # Errors
///
/// [`ValueError::InvalidKey`].
pub fn check_key(key: &str) -> Result<(), ValueError> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    if key.is_empty() || key.len() > LONGEST_KEY || !key.chars().all(fits) {
        return Err(ValueError::InvalidKey(key.to_owned()));
    }
    Ok(())
}

/// Undoes what [`ConversionStrategy::Unicode`] did to a key.
pub fn reverse_key(key: &str) -> String {
    let mut out = String::new();
    let mut rest = key;
    while let Some(start) = rest.find("_U") {
        out.push_str(&rest[..start]);
        let after = &rest[start + 2..];
        let letter = after.split_once('_').filter(|(digits, _)| (4..=6).contains(&digits.len()));
        match letter.and_then(|(digits, left)| Some((char::from_u32(u32::from_str_radix(digits, 16).ok()?)?, left))) {
            Some((letter, left)) => {
                out.push(letter);
                rest = left;
            }
            None => {
                out.push_str("_U");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_converted_and_back() {
        for (key, plain, unicode) in [
            ("a/b c", "a_b_c", "a_U002f_b_U0020_c"),
            ("$x", "_x", "_U0024_x"),
            ("a\u{1f41f}b", "a_b", "a_U1f41f_b"),
            ("é", "é", "é"),
            ("a-b_c.9", "a-b_c.9", "a-b_c.9"),
        ] {
            assert_eq!(convert_key(key, ConversionStrategy::Default), plain);
            assert_eq!(convert_key(key, ConversionStrategy::Unicode), unicode);
            assert_eq!(reverse_key(unicode), key);
        }
        assert_eq!(reverse_key("_Uzzzz_x_U"), "_Uzzzz_x_U");
    }

    #[test]
    fn keys_that_no_secret_can_have_are_refused() {
        assert!(check_key("é").is_err() && check_key("").is_err() && check_key(&"x".repeat(254)).is_err());
        assert!(check_key("a-b_c.9").is_ok());
    }
}
