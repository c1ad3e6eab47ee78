//! The bytes of one sealed item.

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

/// What is wrong with the bytes, before anything is decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wire {
    /// Not standard base64.
    #[error("it is not standard base64")]
    Base64,
    /// Shorter than its own header says.
    #[error("it is too short to be a sealed value: part of it is missing")]
    TooShort,
    /// The wrapped key is longer than the header can say.
    #[error("the wrapped key is too long")]
    KeyTooLong,
}

/// A sealed value, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The session key under RSA.
    pub wrapped_key: &'a [u8],
    /// The value under AES, its 16-byte tag last.
    pub payload: &'a [u8],
}

/// Splits a sealed value into its wrapped key and its payload.
///
/// Layout, all lengths in bytes:
///
/// | bytes | meaning |
/// |---|---|
/// | 2 | `n`, length of the wrapped key, big-endian |
/// | `n` | session key (32), RSA-OAEP with SHA-256, label from [`Scope::label`](crate::Scope::label) |
/// | rest | AES-256-GCM with an all-zero 12-byte nonce and no associated data, 16-byte tag last |
///
/// The zero nonce is safe only because each session key is used once: never reuse one.
///
/// # Errors
///
/// [`Wire::TooShort`] when fewer than `2 + n` bytes are there. Nothing is decrypted here, so a well-framed forgery
/// passes; [`open_item`](crate::open_item) rejects it.
///
/// Source: the Sealed Secrets item format; held equal by `tests/vectors`.
pub fn unframe(sealed: &[u8]) -> Result<Frame<'_>, Wire> {
    let (length, rest) = sealed.split_first_chunk::<2>().ok_or(Wire::TooShort)?;
    let (wrapped_key, payload) =
        rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(Wire::TooShort)?;
    Ok(Frame { wrapped_key, payload })
}

/// Joins a wrapped key and a payload; the reverse of [`unframe`].
///
/// # Errors
///
/// [`Wire::KeyTooLong`] for more than 65 535 bytes of wrapped key.
pub fn frame(wrapped_key: &[u8], payload: &[u8]) -> Result<Vec<u8>, Wire> {
    let length = u16::try_from(wrapped_key.len()).map_err(|_| Wire::KeyTooLong)?;
    Ok([&length.to_be_bytes(), wrapped_key, payload].concat())
}

/// Trailing bits are let pass, as Go's decoder lets them.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// Reads base64 as the reference does: line breaks are skipped, padding is needed, the URL alphabet is refused.
///
/// # Errors
///
/// [`Wire::Base64`].
pub fn decode(text: &str) -> Result<Vec<u8>, Wire> {
    if text.contains(['\r', '\n']) {
        let joined: String = text.chars().filter(|character| !matches!(character, '\r' | '\n')).collect();
        return LENIENT.decode(joined).map_err(|_| Wire::Base64);
    }
    LENIENT.decode(text).map_err(|_| Wire::Base64)
}

/// Writes standard base64 with padding.
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_are_cut_anywhere_are_too_short() {
        let whole = frame(&[7; 5], &[9; 3]).unwrap();
        assert_eq!(unframe(&whole), Ok(Frame { wrapped_key: &[7; 5], payload: &[9; 3] }));
        for cut in 0..7 {
            assert_eq!(unframe(&whole[..cut]), Err(Wire::TooShort), "{cut} bytes");
        }
    }

    #[test]
    fn base64_is_read_as_go_reads_it() {
        for (text, expected) in [
            ("YmFy", Ok(b"bar".to_vec())),
            ("Ym\r\nFy\n", Ok(b"bar".to_vec())),
            ("YmE=", Ok(b"ba".to_vec())),
            ("YmF=", Ok(b"ba".to_vec())), // trailing bits that are not zero
            ("YmE", Err(Wire::Base64)),
            ("Ym Fy", Err(Wire::Base64)),
            ("__8=", Err(Wire::Base64)),
        ] {
            assert_eq!(decode(text), expected, "{text:?}");
        }
    }
}
