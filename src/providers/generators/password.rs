//! Passwords with so many digits and symbols, as the reference makes them.

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use seal::SecretBytes;
use zeroize::Zeroizing;

use super::{Generator, Making, below};
use crate::api::generators::{PasswordEncoding, PasswordSpec};
use crate::providers::{Error, FetchedMap};

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";
const SYMBOLS: &str = "~!@#$%^&*()_+`-={}|[]\\:\"<>?,./";
/// Longest password: a Secret has no room for many longer ones.
const LONGEST: usize = 65_536;

pub(super) struct Password(pub(super) PasswordSpec);

#[async_trait]
impl Generator for Password {
    async fn generate(&self, _: Making) -> Result<FetchedMap, Error> {
        let default = ["password".to_owned()];
        let keys = if self.0.secret_keys.is_empty() { &default[..] } else { &self.0.secret_keys };
        if let Some(twice) = keys.iter().enumerate().find(|(place, key)| keys[..*place].contains(key)) {
            return Err(Error::Configuration(format!("secretKeys names {:?} twice", twice.1)));
        }
        let values =
            keys.iter().map(|key| Ok((key.clone(), self.encoded(&self.make()?)))).collect::<Result<_, Error>>()?;
        Ok(FetchedMap { values, version: None })
    }
}

impl Password {
    fn make(&self) -> Result<Zeroizing<String>, Error> {
        let wrong = |what: &str| Error::Configuration(format!("the Password generator cannot work: {what}"));
        let count = |given: Option<i64>, default: usize| match given {
            Some(given) => usize::try_from(given).map_err(|_| wrong("a number is negative")),
            None => Ok(default),
        };
        let length = count(Some(self.0.length), 0)?;
        if length == 0 || length > LONGEST {
            return Err(wrong("its length is nothing, or beyond all measure"));
        }
        let (digits, symbols) = (count(self.0.digits, length / 4)?, count(self.0.symbols, length / 4)?);
        let letters =
            length.checked_sub(digits + symbols).ok_or_else(|| wrong("digits and symbols are more than its length"))?;
        let alphabet = if self.0.no_upper { LOWER.to_owned() } else { format!("{LOWER}{UPPER}") };
        let marks = self.0.symbol_characters.as_deref().filter(|marks| !marks.is_empty()).unwrap_or(SYMBOLS);
        let mut drawn = Zeroizing::new(Vec::with_capacity(length));
        for (from, number) in [(alphabet.as_str(), letters), (DIGITS, digits), (marks, symbols)] {
            let mut left: Vec<char> = from.chars().collect();
            for _ in 0..number {
                if left.is_empty() {
                    return Err(wrong("it needs more different characters than there are; set allowRepeat"));
                }
                let place = below(left.len())?;
                drawn.push(if self.0.allow_repeat { left[place] } else { left.swap_remove(place) });
            }
        }
        // Shuffled from the end: each order equally likely.
        for place in (1..drawn.len()).rev() {
            let other = below(place + 1)?;
            drawn.swap(place, other);
        }
        Ok(Zeroizing::new(drawn.iter().collect()))
    }

    fn encoded(&self, password: &str) -> SecretBytes {
        match self.0.encoding {
            PasswordEncoding::Raw => password.to_owned(),
            PasswordEncoding::Base64 => STANDARD.encode(password),
            PasswordEncoding::Base64Url => URL_SAFE.encode(password),
            PasswordEncoding::Base32 => data_encoding::BASE32.encode(password.as_bytes()),
            PasswordEncoding::Hex => data_encoding::HEXLOWER.encode(password.as_bytes()),
        }
        .into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    async fn make(spec: Value) -> Result<Vec<(String, String)>, String> {
        let spec = serde_json::from_value(spec).unwrap();
        let made = Password(spec).generate(Making::default()).await.map_err(|error| error.to_string())?;
        let text = |value: SecretBytes| String::from_utf8(value.expose().to_vec()).unwrap();
        Ok(made.values.into_iter().map(|(key, value)| (key, text(value))).collect())
    }

    #[tokio::test]
    async fn passwords_have_what_is_asked_for() {
        let [(key, password)] = &make(json!({})).await.unwrap()[..] else { panic!("one") };
        assert_eq!((key.as_str(), password.chars().count()), ("password", 24));
        assert_eq!(password.chars().filter(char::is_ascii_digit).count(), 6);
        assert_eq!(password.chars().filter(|letter| SYMBOLS.contains(*letter)).count(), 6);
        let plain = json!({ "length": 12, "digits": 0, "symbols": 0, "noUpper": true });
        assert!(make(plain).await.unwrap()[0].1.chars().all(|letter| letter.is_ascii_lowercase()));
        let marks = json!({ "length": 8, "digits": 0, "symbols": 8, "symbolCharacters": "-_", "allowRepeat": true });
        assert!(make(marks).await.unwrap()[0].1.chars().all(|letter| "-_".contains(letter)));
        let two = make(json!({ "length": 12, "encoding": "hex", "secretKeys": ["a", "b"] })).await.unwrap();
        assert_eq!(two.iter().map(|(_, value)| value.len()).collect::<Vec<_>>(), [24, 24]);
        assert_ne!(two[0].1, two[1].1);
    }

    #[tokio::test]
    async fn what_cannot_be_made_is_said() {
        for (spec, expected) in [
            (json!({ "length": 0 }), "nothing"),
            (json!({ "length": 4, "digits": 3, "symbols": 2 }), "more than its length"),
            (json!({ "length": 20, "digits": 11, "symbols": 0 }), "allowRepeat"),
            (json!({ "length": 4, "digits": -1 }), "negative"),
            (json!({ "secretKeys": ["a", "a"] }), "twice"),
        ] {
            let told = make(spec).await.unwrap_err();
            assert!(told.contains(expected), "{told}");
        }
    }
}
