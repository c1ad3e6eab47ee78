//! The public half: which key seals, and until when.

use rsa::PublicKey;
use rsa::pkcs8::DecodePublicKey;
use rsa::traits::PublicKeyParts;
use sha2::{Digest, Sha256};
use x509_cert::Certificate as X509;
use x509_cert::der::{DecodePem, Encode};

/// Smallest modulus that we seal with, in bits: below it OAEP with SHA-256 is weak or impossible.
const SMALLEST_KEY: usize = 2048;
/// Largest modulus that we seal with, in bits: beyond it one value costs seconds to open.
const LARGEST_KEY: usize = 8192;

/// The last line of a certificate's PEM block.
const END: &str = "-----END CERTIFICATE-----";

/// A sealing certificate.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The key that seals.
    pub public_key: PublicKey,
    /// Seconds since 1970: the newest certificate seals.
    pub not_before: i64,
    /// Seconds since 1970: sealing with it is refused afterwards.
    pub not_after: i64,
    /// Which key this is.
    pub fingerprint: Fingerprint,
}

/// The `SHA256:…` fingerprint of an RSA public key, as OpenSSH prints it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(String);

/// Why a text is no certificate to seal with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// No PEM block of a certificate.
    #[error("there is no certificate in it (no `BEGIN CERTIFICATE` line)")]
    Missing,
    /// A private key was given. It must not lie around.
    #[error("it is a private key, not a certificate: sealing needs only the public certificate")]
    PrivateKey,
    /// A bare public key was given.
    #[error("it is a bare public key, not a certificate")]
    PublicKey,
    /// A certificate block that cannot be read.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// A certificate of another algorithm.
    #[error("the certificate does not hold an RSA key")]
    NotRsa,
    /// Too small or too large.
    #[error("its RSA key has {bits} bits; sealing needs 2048 to 8192")]
    KeySize {
        /// Bits of its modulus.
        bits: usize,
    },
    /// Past its end.
    #[error("failed to encrypt using an expired certificate on {}", day(*.not_after))]
    Expired {
        /// Seconds since 1970.
        not_after: i64,
    },
}

impl Certificate {
    /// Reads the first certificate of a PEM text.
    ///
    /// # Errors
    ///
    /// [`CertificateError`], by what was found instead.
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        let block = first_block(text, "CERTIFICATE").ok_or_else(|| match text {
            text if text.contains("PRIVATE KEY-----") => CertificateError::PrivateKey,
            text if text.contains("PUBLIC KEY-----") => CertificateError::PublicKey,
            _ => CertificateError::Missing,
        })?;
        Self::from_block(block)
    }

    /// Reads all certificates of a PEM text: a file may keep earlier ones behind the one that seals.
    ///
    /// # Errors
    ///
    /// [`CertificateError`] of the first one that is none to seal with.
    pub fn all_from_pem(text: &str) -> Result<Vec<Self>, CertificateError> {
        let mut all = vec![Self::from_pem(text)?];
        let mut rest = text;
        while let Some(end) = rest.find(END) {
            rest = &rest[end + END.len()..];
            all.extend(first_block(rest, "CERTIFICATE").map(Self::from_block).transpose()?);
        }
        Ok(all)
    }

    fn from_block(block: &str) -> Result<Self, CertificateError> {
        let parsed = X509::from_pem(block.as_bytes()).map_err(|_| CertificateError::Unreadable)?;
        let body = parsed.tbs_certificate();
        let key_info = body.subject_public_key_info().to_der().map_err(|_| CertificateError::Unreadable)?;
        let public_key = PublicKey::from_public_key_der(&key_info).map_err(|_| CertificateError::NotRsa)?;
        let bits = public_key.n().bit_width() as usize;
        if !(SMALLEST_KEY..=LARGEST_KEY).contains(&bits) {
            return Err(CertificateError::KeySize { bits });
        }
        let seconds =
            |time: x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
        Ok(Self {
            fingerprint: Fingerprint::of(&public_key),
            public_key,
            not_before: seconds(body.validity().not_before),
            not_after: seconds(body.validity().not_after),
        })
    }

    /// Bytes of the session key under this key.
    pub fn wrapped_length(&self) -> usize {
        self.public_key.size()
    }

    /// Refuses a certificate that has run out at `now` (seconds since 1970).
    ///
    /// # Errors
    ///
    /// [`CertificateError::Expired`].
    pub fn check_not_expired(&self, now: i64) -> Result<(), CertificateError> {
        if now > self.not_after {
            return Err(CertificateError::Expired { not_after: self.not_after });
        }
        Ok(())
    }
}

impl Fingerprint {
    /// The fingerprint of a public key: SHA-256 over its SSH wire form, base64 without padding.
    pub fn of(key: &PublicKey) -> Self {
        let mut hash = Sha256::new();
        for part in [
            b"ssh-rsa".to_vec(),
            mpint(&key.e().to_be_bytes_trimmed_vartime()),
            mpint(&key.n().to_be_bytes_trimmed_vartime()),
        ] {
            hash.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            hash.update(part);
        }
        let text = crate::wire::encode(&hash.finalize());
        Self(format!("SHA256:{}", text.trim_end_matches('=')))
    }

    /// The text, `SHA256:` and 43 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first two bytes and the last one, for people: `4f:9a:..:31`.
    pub fn short(&self) -> String {
        let hash = crate::wire::decode(&format!("{}=", self.0.trim_start_matches("SHA256:"))).unwrap_or_default();
        match hash.as_slice() {
            [first, second, .., last] => format!("{first:02x}:{second:02x}:..:{last:02x}"),
            _ => self.0.clone(),
        }
    }
}

/// A text that is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no fingerprint: one is SHA256: and 43 characters")]
pub struct NotAFingerprint;

impl std::str::FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let hash = text.strip_prefix("SHA256:").ok_or(NotAFingerprint)?;
        let bytes = crate::wire::decode(&format!("{hash}=")).map_err(|_| NotAFingerprint)?;
        if bytes.len() == 32 { Ok(Self(text.to_owned())) } else { Err(NotAFingerprint) }
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// An integer as SSH writes it: a zero byte in front when the first bit is set.
fn mpint(digits: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(digits.len() + 1);
    if digits.first().is_some_and(|first| first & 0x80 != 0) {
        bytes.push(0);
    }
    bytes.extend_from_slice(digits);
    bytes
}

/// The first PEM block of this kind, its two marker lines included.
pub(crate) fn first_block<'a>(text: &'a str, kind: &str) -> Option<&'a str> {
    let (begin, end) = (format!("-----BEGIN {kind}-----"), format!("-----END {kind}-----"));
    let start = text.find(&begin)?;
    let stop = start + text[start..].find(&end)? + end.len();
    Some(&text[start..stop])
}

fn day(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}
