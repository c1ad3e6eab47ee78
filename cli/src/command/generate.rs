//! Values by chance: `alnum:32`, `hex:64`, `base64:32`, `digits:6`, `ascii:24`, `uuid`.

use rand::RngExt;
use seal::SecretBytes;

use super::error::CommandError;

/// Longest value that is made.
const LONGEST: usize = 65_536;
const ALNUM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Makes a value as the text says.
pub(crate) fn generate(spec: &str) -> Result<SecretBytes, CommandError> {
    let (kind, length) = spec.split_once(':').unwrap_or((spec, ""));
    let wrong = || {
        CommandError::new(format!("{spec:?} says no kind of value")).help(
            "alnum:32  hex:64  base64:32 (bytes before encoding)  digits:6  ascii:24  uuid; without a length it is 32",
        )
    };
    let length = match length {
        "" => 32,
        text => text.parse().ok().filter(|length| (1..=LONGEST).contains(length)).ok_or_else(wrong)?,
    };
    Ok(match kind {
        "alnum" => of(ALNUM, length),
        "hex" => of(b"0123456789abcdef", length),
        "digits" => of(b"0123456789", length),
        "ascii" => of(&(b'!'..=b'~').collect::<Vec<_>>(), length),
        "base64" => {
            let mut bytes = zeroize::Zeroizing::new(vec![0; length]);
            rand::rng().fill(&mut bytes[..]);
            seal::wire::encode(&bytes).into()
        }
        "uuid" if spec == "uuid" => uuid(),
        _ => return Err(wrong()),
    })
}

/// Every letter is as likely as any other.
fn of(letters: &[u8], length: usize) -> SecretBytes {
    let mut rng = rand::rng();
    (0..length).map(|_| letters[rng.random_range(0..letters.len())]).collect::<Vec<_>>().into()
}

fn uuid() -> SecretBytes {
    let mut bytes: [u8; 16] = rand::rng().random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_as_long_and_made_of_what_was_asked_for() {
        for (spec, length, letters) in [
            ("alnum:40", 40, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"),
            ("hex", 32, "0123456789abcdef"),
            ("digits:6", 6, "0123456789"),
            ("uuid", 36, "0123456789abcdef-"),
            ("base64:3", 4, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="),
        ] {
            let value = generate(spec).unwrap();
            assert_eq!(value.len(), length, "{spec}");
            assert!(value.expose().iter().all(|byte| letters.as_bytes().contains(byte)), "{spec}");
            assert_ne!(value, generate(spec).unwrap(), "{spec}");
        }
        for spec in ["", "words", "hex:0", "hex:x", "hex:9999999", "uuid:4"] {
            assert!(generate(spec).is_err(), "{spec}");
        }
    }
}
