//! What a certificate and a public key say about themselves, whatever they are good for.

use rsa::PublicKey;
use rsa::pkcs8::DecodePublicKey;
use x509_cert::Certificate as X509;
use x509_cert::der::DecodePem;

use crate::certificate::{Fingerprint, first_block};

/// From when until when the first certificate of a PEM text counts, in seconds since 1970, of whatever algorithm it is.
pub fn validity(text: &str) -> Option<(i64, i64)> {
    let parsed = X509::from_pem(first_block(text, "CERTIFICATE")?.as_bytes()).ok()?;
    let validity = parsed.tbs_certificate().validity();
    let seconds = |time: x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    Some((seconds(validity.not_before), seconds(validity.not_after)))
}

impl Fingerprint {
    /// The fingerprint of an RSA public key in DER (SubjectPublicKeyInfo); `None` when it is none.
    pub fn of_der(public_key: &[u8]) -> Option<Self> {
        PublicKey::from_public_key_der(public_key).ok().map(|key| Self::of(&key))
    }
}
