//! Encryption by a password, as PKCS#12 files have it: PBES2 to write, and the older schemes to read as well.

use std::num::NonZeroU32;

use aes::cipher::block_padding::NoPadding;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockCipherDecrypt, BlockModeDecrypt, InnerIvInit, KeyInit};
use aes::cipher::{BlockModeEncrypt, KeyIvInit};
use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use zeroize::Zeroizing;

use super::super::bounds::cost;
use super::super::error::Fault;
use super::super::run::Run;
use super::super::unicode;
use super::der::{self, Reader, tag};

const PBES2: [u64; 7] = [1, 2, 840, 113_549, 1, 5, 13];
const PBKDF2: [u64; 7] = [1, 2, 840, 113_549, 1, 5, 12];
const PBMAC1: [u64; 7] = [1, 2, 840, 113_549, 1, 5, 14];
const HMAC_SHA1: [u64; 6] = [1, 2, 840, 113_549, 2, 7];
const HMAC_SHA256: [u64; 6] = [1, 2, 840, 113_549, 2, 9];
const HMAC_SHA512: [u64; 6] = [1, 2, 840, 113_549, 2, 11];
const SHA1: [u64; 6] = [1, 3, 14, 3, 2, 26];
const SHA256: [u64; 9] = [2, 16, 840, 1, 101, 3, 4, 2, 1];
const SHA512: [u64; 9] = [2, 16, 840, 1, 101, 3, 4, 2, 3];
const AES128: [u64; 9] = [2, 16, 840, 1, 101, 3, 4, 1, 2];
const AES192: [u64; 9] = [2, 16, 840, 1, 101, 3, 4, 1, 22];
const AES256: [u64; 9] = [2, 16, 840, 1, 101, 3, 4, 1, 42];
const SHA1_AND_3DES: [u64; 8] = [1, 2, 840, 113_549, 1, 12, 1, 3];
const SHA1_AND_RC2_128: [u64; 8] = [1, 2, 840, 113_549, 1, 12, 1, 5];
const SHA1_AND_RC2_40: [u64; 8] = [1, 2, 840, 113_549, 1, 12, 1, 6];

/// What the original writes.
const ROUNDS: u32 = 2048;
const SALT: usize = 16;

/// A password in the two forms in which it is needed.
pub(super) struct Password {
    /// UCS-2 with two zeros behind it.
    wide: Zeroizing<Vec<u8>>,
    plain: Zeroizing<String>,
}

impl Password {
    pub(super) fn new(text: &[u8]) -> Result<Self, Fault> {
        let mut wide = bmp(text)?;
        wide.extend([0, 0]);
        Ok(Self { wide: Zeroizing::new(wide), plain: Zeroizing::new(unicode::lossy(text)) })
    }

    /// Whether it is the empty text.
    pub(super) fn is_empty(&self) -> bool {
        self.plain.is_empty()
    }

    /// No bytes at all.
    pub(super) fn none(&self) -> Self {
        Self { wide: Zeroizing::default(), plain: Zeroizing::default() }
    }
}

/// A text in UCS-2.
pub(super) fn bmp(text: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut wide = Vec::with_capacity(2 * text.len());
    for (_, character) in unicode::characters(text) {
        let unit = u16::try_from(u32::from(character));
        wide.extend(unit.map_err(|_| "the text has characters that UCS-2 has not")?.to_be_bytes());
    }
    Ok(wide)
}

fn spend_rounds(run: &mut Run, rounds: u32, blocks: usize) -> Result<(), Fault> {
    let rounds = usize::try_from(rounds).unwrap_or(usize::MAX);
    run.budget.spend((1 + rounds / 1000).saturating_mul(cost::THOUSAND_ROUNDS).saturating_mul(blocks))
}

/// The key derivation of PKCS#12 itself (RFC 7292, B.2). `purpose`: 1 for a key, 2 for an initial vector, 3 for a MAC.
fn derive(
    run: &mut Run,
    hash: &'static digest::Algorithm,
    purpose: u8,
    (salt, rounds): (&[u8], u32),
    password: &Password,
    size: usize,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let block = hash.block_len();
    let repeated = |pattern: &[u8]| -> Vec<u8> {
        pattern.iter().copied().cycle().take(pattern.len().div_ceil(block) * block).collect()
    };
    let mut input = Zeroizing::new([repeated(salt), repeated(&password.wide)].concat());
    let mut derived = Zeroizing::new(Vec::new());
    while derived.len() < size {
        spend_rounds(run, rounds, 1)?;
        let mut hashed = digest::digest(hash, &[&vec![purpose; block][..], &input].concat());
        for _ in 1..rounds {
            hashed = digest::digest(hash, hashed.as_ref());
        }
        derived.extend_from_slice(hashed.as_ref());
        let added: Vec<u8> = hashed.as_ref().iter().copied().cycle().take(block).collect();
        for part in input.chunks_mut(block) {
            let mut carry = 1;
            for (byte, added) in part.iter_mut().zip(&added).rev() {
                let sum = u16::from(*byte) + u16::from(*added) + carry;
                *byte = sum.to_le_bytes()[0];
                carry = sum >> 8;
            }
        }
    }
    derived.truncate(size);
    Ok(derived)
}

fn derive_pbkdf2(
    run: &mut Run,
    mut parameters: Reader<'_>,
    password: &Password,
    size: Option<usize>,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    if parameters.object()? != PBKDF2 {
        return Fault::wrong("the key derivation is not supported");
    }
    let mut parameters = parameters.sequence()?;
    let salt = parameters.expect(tag::OCTET_STRING)?;
    let rounds = parameters.small()?;
    let length = if parameters.peek() == Some(tag::INTEGER) { Some(parameters.small()?) } else { None };
    let kind = if parameters.is_empty() { None } else { Some(parameters.sequence()?.object()?) };
    let algorithm = match kind.as_deref() {
        None => pbkdf2::PBKDF2_HMAC_SHA1,
        Some(kind) if kind == HMAC_SHA1 => pbkdf2::PBKDF2_HMAC_SHA1,
        Some(kind) if kind == HMAC_SHA256 => pbkdf2::PBKDF2_HMAC_SHA256,
        Some(kind) if kind == HMAC_SHA512 => pbkdf2::PBKDF2_HMAC_SHA512,
        Some(_) => return Fault::wrong("the pseudo-random function is not supported"),
    };
    let size = match (size, length.and_then(|length| usize::try_from(length).ok())) {
        (Some(size), _) => size,
        (None, Some(length @ 1..=1024)) => length,
        (None, _) => return Fault::wrong("the length of the key is missing"),
    };
    spend_rounds(run, rounds, size.div_ceil(20))?;
    let rounds = NonZeroU32::new(rounds.max(1)).unwrap_or(NonZeroU32::MIN);
    let mut key = Zeroizing::new(vec![0; size]);
    pbkdf2::derive(algorithm, rounds, salt, password.plain.as_bytes(), &mut key);
    Ok(key)
}

fn unpadded<C: BlockModeDecrypt + InnerIvInit>(
    cipher: Option<C::Inner>,
    iv: &[u8],
    encrypted: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    const WRONG: &str = "decryption error, incorrect padding";
    let cipher = cipher.and_then(|cipher| C::inner_iv_slice_init(cipher, iv).ok()).ok_or("a malformed parameter")?;
    let decrypted = cipher.decrypt_padded_vec::<NoPadding>(encrypted).map_err(|_| WRONG)?;
    let mut decrypted = Zeroizing::new(decrypted);
    let count = decrypted.last().copied().map_or(0, usize::from);
    let length = decrypted.len().checked_sub(count).ok_or(WRONG)?;
    let is_padding =
        (1..=C::block_size()).contains(&count) && decrypted[length..].iter().all(|byte| usize::from(*byte) == count);
    if !is_padding {
        return Fault::wrong(WRONG);
    }
    decrypted.truncate(length);
    Ok(decrypted)
}

fn cbc<C: BlockCipherDecrypt>(cipher: Option<C>, iv: &[u8], encrypted: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
    unpadded::<cbc::Decryptor<C>>(cipher, iv, encrypted)
}

/// What was encrypted.
pub(super) fn decrypt(
    run: &mut Run,
    mut algorithm: Reader<'_>,
    encrypted: &[u8],
    password: &Password,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    if encrypted.is_empty() {
        return Fault::wrong("empty encrypted data");
    }
    run.budget.spend(encrypted.len())?;
    let kind = algorithm.object()?;
    let mut parameters = algorithm.sequence()?;
    if kind == PBES2 {
        return decrypt_pbes2(run, parameters, encrypted, password);
    }
    let (salt, rounds) = (parameters.expect(tag::OCTET_STRING)?, parameters.small()?);
    let mut derived =
        |purpose, size| derive(run, &digest::SHA1_FOR_LEGACY_USE_ONLY, purpose, (salt, rounds), password, size);
    let iv = derived(2, 8)?;
    match kind {
        kind if kind == SHA1_AND_3DES => cbc(des::TdesEde3::new_from_slice(&derived(1, 24)?).ok(), &iv, encrypted),
        kind if kind == SHA1_AND_RC2_128 => cbc(rc2::Rc2::new_from_slice(&derived(1, 16)?).ok(), &iv, encrypted),
        kind if kind == SHA1_AND_RC2_40 => cbc(rc2::Rc2::new_from_slice(&derived(1, 5)?).ok(), &iv, encrypted),
        _ => Fault::wrong("the encryption is not supported"),
    }
}

fn decrypt_pbes2(
    run: &mut Run,
    mut parameters: Reader<'_>,
    encrypted: &[u8],
    password: &Password,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let derivation = parameters.sequence()?;
    let mut scheme = parameters.sequence()?;
    let kind = scheme.object()?;
    let iv = scheme.expect(tag::OCTET_STRING)?;
    let mut key = |size| derive_pbkdf2(run, derivation, password, Some(size));
    match kind {
        kind if kind == AES128 => cbc(aes::Aes128::new_from_slice(&key(16)?).ok(), iv, encrypted),
        kind if kind == AES192 => cbc(aes::Aes192::new_from_slice(&key(24)?).ok(), iv, encrypted),
        kind if kind == AES256 => cbc(aes::Aes256::new_from_slice(&key(32)?).ok(), iv, encrypted),
        _ => Fault::wrong("the encryption is not supported"),
    }
}

/// Encrypts with AES-256; gives the algorithm with its parameters as well.
pub(super) fn encrypt(run: &mut Run, text: &[u8], password: &Password) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    run.budget.spend(text.len())?;
    let (mut salt, mut iv) = ([0; SALT], [0; 16]);
    run.chance.fill(&mut salt);
    run.chance.fill(&mut iv);
    let function = der::sequence(&[&der::object(&HMAC_SHA256)]);
    let derivation = der::sequence(&[&der::octets(&salt), &der::integer(&ROUNDS.to_be_bytes()), &function]);
    let derivation = der::sequence(&[&der::object(&PBKDF2), &derivation]);
    let key = derive_pbkdf2(run, Reader::new(&derivation).sequence()?, password, Some(32))?;
    let scheme = der::sequence(&[&der::object(&AES256), &der::octets(&iv)]);
    let algorithm = der::sequence(&[&der::object(&PBES2), &der::sequence(&[&derivation, &scheme])]);
    let cipher = cbc::Encryptor::<aes::Aes256>::new_from_slices(&key, &iv).map_err(|_| "a malformed parameter")?;
    Ok((algorithm, cipher.encrypt_padded_vec::<Pkcs7>(text)))
}

/// Whether a MAC is that of a content.
pub(super) fn verify(run: &mut Run, mut mac: Reader<'_>, content: &[u8], password: &Password) -> Result<bool, Fault> {
    let mut info = mac.sequence()?;
    let mut algorithm = info.sequence()?;
    let kind = algorithm.object()?;
    let expected = info.expect(tag::OCTET_STRING)?;
    run.budget.spend(content.len())?;
    let (algorithm, key) = if kind == PBMAC1 {
        let mut parameters = algorithm.sequence()?;
        let derivation = parameters.sequence()?;
        let kind = parameters.sequence()?.object()?;
        let algorithm = match () {
            () if kind == HMAC_SHA1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            () if kind == HMAC_SHA256 => hmac::HMAC_SHA256,
            () if kind == HMAC_SHA512 => hmac::HMAC_SHA512,
            () => return Fault::wrong("the MAC is not supported"),
        };
        (algorithm, derive_pbkdf2(run, derivation, password, None)?)
    } else {
        let (hash, algorithm) = match () {
            () if kind == SHA1 => (&digest::SHA1_FOR_LEGACY_USE_ONLY, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
            () if kind == SHA256 => (&digest::SHA256, hmac::HMAC_SHA256),
            () if kind == SHA512 => (&digest::SHA512, hmac::HMAC_SHA512),
            () => return Fault::wrong("the MAC is not supported"),
        };
        let salt = mac.expect(tag::OCTET_STRING)?;
        let rounds = if mac.is_empty() { 1 } else { mac.small()? };
        (algorithm, derive(run, hash, 3, (salt, rounds), password, hash.output_len())?)
    };
    let found = hmac::sign(&hmac::Key::new(algorithm, &key), content);
    Ok(constant_time::verify_slices_are_equal(found.as_ref(), expected).is_ok())
}

/// The MAC of a content, with SHA-256.
pub(super) fn mac(run: &mut Run, content: &[u8], password: &Password) -> Result<Vec<u8>, Fault> {
    let mut salt = [0; SALT];
    run.chance.fill(&mut salt);
    let key = derive(run, &digest::SHA256, 3, (&salt, ROUNDS), password, digest::SHA256.output_len())?;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), content);
    let info = der::sequence(&[&der::sequence(&[&der::object(&SHA256)]), &der::octets(tag.as_ref())]);
    Ok(der::sequence(&[&info, &der::octets(&salt), &der::integer(&ROUNDS.to_be_bytes())]))
}
