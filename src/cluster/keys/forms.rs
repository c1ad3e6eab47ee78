//! The forms of a private key: PKCS#1, as the reference stores it, and PKCS#8, as aws-lc-rs reads it.

use zeroize::Zeroizing;

/// What stands before the PKCS#1 bytes in PKCS#8: version 0, algorithm rsaEncryption without parameters.
const PKCS8_HEAD: [u8; 18] =
    [0x02, 0x01, 0x00, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// Wraps a PKCS#1 key, as the reference stores it, into PKCS#8, as aws-lc-rs reads it.
pub(super) fn pkcs8_of(pkcs1: &[u8]) -> Vec<u8> {
    let inner = tagged(0x04, pkcs1);
    tagged(0x30, &[&PKCS8_HEAD[..], &inner].concat())
}

/// The PKCS#1 key within a PKCS#8 one.
pub(super) fn pkcs1_of(pkcs8: &[u8]) -> Option<&[u8]> {
    let body = untagged(0x30, pkcs8)?.strip_prefix(&PKCS8_HEAD[..])?;
    untagged(0x04, body)
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let digits = &length[length.iter().position(|&byte| byte != 0).unwrap_or(length.len() - 1)..];
    let mut bytes = vec![tag];
    match content.len() {
        0..=127 => bytes.extend_from_slice(digits),
        // At most eight digits: the sum fits.
        _ => {
            bytes.push(0x80 | digits.len().to_be_bytes()[7]);
            bytes.extend_from_slice(digits);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

fn untagged(tag: u8, bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(&[tag])?;
    let (&first, rest) = rest.split_first()?;
    if first < 0x80 {
        return rest.get(..usize::from(first));
    }
    let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
    let length =
        digits.iter().try_fold(0_usize, |sum, &digit| sum.checked_mul(256)?.checked_add(usize::from(digit)))?;
    rest.get(..length)
}

pub(super) fn pem_of(pkcs1: &[u8]) -> Zeroizing<Vec<u8>> {
    let text = Zeroizing::new(seal::wire::encode(pkcs1));
    let mut pem = Zeroizing::new(b"-----BEGIN RSA PRIVATE KEY-----\n".to_vec());
    for line in text.as_bytes().chunks(64) {
        pem.extend_from_slice(line);
        pem.push(b'\n');
    }
    pem.extend_from_slice(b"-----END RSA PRIVATE KEY-----\n");
    pem
}
