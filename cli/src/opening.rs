//! Opening sealed items: the operator does it with its keys, the command only in an emergency.

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::aes::Aes192;
use aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm};
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::DecodePrivateKey;
use rsa::{Oaep, PrivateKey, PublicKey};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::certificate::{Fingerprint, first_block};
use crate::secret_bytes::SecretBytes;
use crate::wire::{self, Wire};

/// Unwraps session keys with one private key. The seam behind which a KMS can stand.
pub trait UnwrapKey: Send + Sync {
    /// Which key this is.
    fn fingerprint(&self) -> &Fingerprint;

    /// The session key, or nothing: one answer for every reason, so that nobody learns which it was.
    fn unwrap_key(&self, wrapped: &[u8], label: &[u8]) -> Option<SecretBytes>;
}

/// A private key held by the `rsa` crate: for recovery, tests and the browser. The operator uses a constant-time one.
pub struct RsaUnwrapKey {
    key: PrivateKey,
    fingerprint: Fingerprint,
}

/// Why a text is no private key to open with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no RSA private key in PEM (PKCS#1 or PKCS#8)")]
pub struct NotAPrivateKey;

impl RsaUnwrapKey {
    /// Reads the first private key of a PEM text, PKCS#1 or PKCS#8.
    ///
    /// # Errors
    ///
    /// [`NotAPrivateKey`], whatever else it is.
    pub fn from_pem(text: &str) -> Result<Self, NotAPrivateKey> {
        let key = first_block(text, "RSA PRIVATE KEY")
            .and_then(|block| PrivateKey::from_pkcs1_pem(block).ok())
            .or_else(|| first_block(text, "PRIVATE KEY").and_then(|block| PrivateKey::from_pkcs8_pem(block).ok()))
            .ok_or(NotAPrivateKey)?;
        let fingerprint = Fingerprint::of(&PublicKey::from(&key));
        Ok(Self { key, fingerprint })
    }
}

impl UnwrapKey for RsaUnwrapKey {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn unwrap_key(&self, wrapped: &[u8], label: &[u8]) -> Option<SecretBytes> {
        self.key.decrypt(Oaep::<Sha256>::new_with_label(label), wrapped).ok().map(SecretBytes::from)
    }
}

/// A value that was opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The value.
    pub value: SecretBytes,
    /// The key that fitted.
    pub key: Fingerprint,
}

/// Why an item does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The bytes are not a sealed value. Nothing was decrypted.
    #[error(transparent)]
    Wire(#[from] Wire),
    /// No key fits: another cluster's key, another place than it was sealed for, or damage. Which of them cannot be
    /// told apart, on purpose.
    #[error("no key could decrypt secret")]
    NoKey,
}

/// Opens one item, given as base64, with the first of `keys` that fits.
///
/// A key fits when both the wrapped key and the payload's tag are right, so the order of keys changes the time only. What
/// does not fit costs the same whatever the reason is: the payload is tried all the same, with a key that is no key.
///
/// # Errors
///
/// [`OpenError`].
pub fn open_item<'k>(
    item: &str,
    label: &[u8],
    keys: impl IntoIterator<Item = &'k dyn UnwrapKey>,
) -> Result<Opened, OpenError> {
    let sealed = wire::decode(item)?;
    // A blob without room for its own header is what a wrong key is to the reference: nothing opens it.
    let frame = wire::unframe(&sealed)?;
    let no_key = SecretBytes::from(vec![0; 32]);
    keys.into_iter()
        .find_map(|key| {
            let session_key = key.unwrap_key(frame.wrapped_key, label);
            let value = decrypt(session_key.as_ref().unwrap_or(&no_key), frame.payload);
            session_key.and(value).map(|value| Opened { value, key: key.fingerprint().clone() })
        })
        .ok_or(OpenError::NoKey)
}

/// AES-GCM with the zero nonce. The reference takes any AES key that was wrapped, though it only makes 256-bit ones.
fn decrypt(session_key: &SecretBytes, payload: &[u8]) -> Option<SecretBytes> {
    fn with<C: KeyInit + Aead>(key: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
        let cipher = C::new_from_slice(key).ok()?;
        cipher.decrypt(&Default::default(), payload).ok()
    }
    let key = session_key.expose();
    let opened = match key.len() {
        16 => with::<Aes128Gcm>(key, payload),
        24 => with::<AesGcm<Aes192, U12>>(key, payload),
        32 => with::<Aes256Gcm>(key, payload),
        _ => None,
    }?;
    let mut opened = Zeroizing::new(opened);
    Some(std::mem::take(&mut *opened).into())
}
