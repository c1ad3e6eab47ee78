//! Encodings and digests.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use data_encoding::{BASE32, HEXLOWER_PERMISSIVE};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::super::error::Fault;
use super::super::run::Run;
use super::super::value::Text;
use super::{Function, both, external};

/// Base64 as Go reads it: padded, and indifferent to what the last bits are.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

fn b64enc(run: &mut Run, text: Text) -> Result<String, Fault> {
    run.budget.spend(text.len())?;
    Ok(STANDARD.encode(&*text))
}

/// The bytes behind base64, new lines left out; an error says where it is wrong as Go says it.
pub(super) fn decode_base64(text: &[u8]) -> Result<Vec<u8>, String> {
    let kept: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
    LENIENT.decode(&kept).map_err(|_| format!("illegal base64 data at input byte {}", wrong_base64_at(text)))
}

/// Where Go's decoder stops: it reads four letters at a time.
fn wrong_base64_at(text: &[u8]) -> usize {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let mut letters: Vec<(usize, u8)> = Vec::new();
    for (at, byte) in text.iter().copied().enumerate() {
        if matches!(byte, b'\n' | b'\r') {
            continue;
        }
        if is_letter(byte) {
            letters.push((at, byte));
            continue;
        }
        if byte != b'=' {
            return at;
        }
        let in_group = letters.len() % 4;
        if in_group < 2 {
            return at;
        }
        let mut rest = text.iter().copied().enumerate().skip(at + 1).filter(|(_, byte)| !matches!(byte, b'\n' | b'\r'));
        if in_group == 2 {
            match rest.next() {
                Some((_, b'=')) => {}
                Some((other, _)) => return other - 1,
                None => return text.len(),
            }
        }
        return rest.next().map_or(text.len(), |(other, _)| other);
    }
    // Letters are missing at the end: the group that is not whole.
    text.len() - letters.len() % 4
}

fn b64dec(run: &mut Run, text: Text) -> Result<Vec<u8>, Fault> {
    run.budget.spend(text.len())?;
    // The error is the result, as in the original.
    Ok(decode_base64(&text).unwrap_or_else(String::into_bytes))
}

fn b32enc(run: &mut Run, text: Text) -> Result<String, Fault> {
    run.budget.spend(text.len().saturating_mul(2))?;
    Ok(BASE32.encode(&text))
}

fn b32dec(run: &mut Run, text: Text) -> Result<Vec<u8>, Fault> {
    run.budget.spend(text.len())?;
    let kept: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
    let mut lenient = BASE32.specification();
    lenient.check_trailing_bits = false;
    let decoded = lenient.encoding().ok().and_then(|encoding| encoding.decode(&kept).ok());
    Ok(decoded.unwrap_or_else(|| format!("illegal base32 data at input byte {}", wrong_base32_at(&kept)).into_bytes()))
}

/// Where Go's decoder stops: it reads eight letters at a time.
fn wrong_base32_at(text: &[u8]) -> usize {
    let is_letter = |byte: u8| byte.is_ascii_uppercase() || matches!(byte, b'2'..=b'7');
    for (group, letters) in text.chunks(8).enumerate() {
        let begin = group * 8;
        for (index, byte) in letters.iter().copied().enumerate() {
            let after = text.len() - begin - index - 1;
            if byte == b'=' && index >= 2 && after < 8 {
                let padding = &letters[index..];
                if after + index < 7 {
                    return text.len();
                }
                if let Some(other) = padding.iter().position(|byte| *byte != b'=') {
                    return begin + index + other - 1;
                }
                return begin + index;
            }
            if !is_letter(byte) {
                return begin + index;
            }
        }
        if letters.len() < 8 {
            return begin;
        }
    }
    text.len()
}

fn hexdec(text: Text) -> Vec<u8> {
    let wrong = text.iter().position(|byte| !byte.is_ascii_hexdigit());
    let whole_pairs = text.len() & !1;
    match wrong {
        Some(at) if at < whole_pairs || !text[at].is_ascii_hexdigit() => {
            let character = char::from(text[at]);
            let shown =
                if super::super::unicode::is_printable(character) { format!(" '{character}'") } else { String::new() };
            format!("encoding/hex: invalid byte: U+{:04X}{shown}", text[at]).into_bytes()
        }
        _ if text.len() % 2 == 1 => b"encoding/hex: odd length hex string".to_vec(),
        _ => HEXLOWER_PERMISSIVE.decode(&text).unwrap_or_default(),
    }
}

/// Bytes in hexadecimal.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn sha1sum(run: &mut Run, text: Text) -> Result<String, Fault> {
    run.budget.spend(text.len())?;
    Ok(hexadecimal(&Sha1::digest(&*text)))
}

fn sha256sum(run: &mut Run, text: Text) -> Result<String, Fault> {
    run.budget.spend(text.len())?;
    Ok(hexadecimal(&Sha256::digest(&*text)))
}

fn sha512sum(run: &mut Run, text: Text) -> Result<String, Fault> {
    run.budget.spend(text.len())?;
    Ok(hexadecimal(&Sha512::digest(&*text)))
}

fn adler32sum(run: &mut Run, text: Text) -> Result<String, Fault> {
    run.budget.spend(text.len())?;
    Ok(adler2::adler32_slice(&text).to_string())
}

pub(super) fn table() -> Vec<Function> {
    vec![
        both("adler32sum", adler32sum, "The Adler-32 sum, in decimal."),
        both("b32dec", b32dec, "The text behind base32; if it is none, the text of the error."),
        both("b32enc", b32enc, "In base32."),
        both("b64dec", b64dec, "The text behind base64; if it is none, the text of the error."),
        both("b64enc", b64enc, "In base64."),
        external("hexdec", hexdec, "The text behind hexadecimal; if it is none, the text of the error."),
        both("sha1sum", sha1sum, "The SHA-1 digest, in hexadecimal."),
        both("sha256sum", sha256sum, "The SHA-256 digest, in hexadecimal."),
        both("sha512sum", sha512sum, "The SHA-512 digest, in hexadecimal."),
    ]
}
