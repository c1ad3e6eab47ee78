//! Ciphers and passwords.

use aes::Aes256;
use aes::cipher::block_padding::{NoPadding, Pkcs7};
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use super::super::bounds::cost;
use super::super::error::Fault;
use super::super::run::Run;
use super::super::signature::HashAlgorithm;
use super::super::value::Text;
use super::{Function, both, external, sealed};

const BLOCK: usize = 16;

/// The key that Sprig makes of a password: its first 32 bytes, zeros behind.
fn key_of(password: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    let length = password.len().min(32);
    key[..length].copy_from_slice(&password[..length]);
    key
}

fn encrypt_aes(run: &mut Run, password: Text, text: Text) -> Result<String, Fault> {
    if text.is_empty() {
        return Ok(String::new());
    }
    run.budget.spend(text.len().saturating_mul(2))?;
    let mut iv = [0; BLOCK];
    run.chance.fill(&mut iv);
    let cipher = cbc::Encryptor::<Aes256>::new((&*key_of(&password)).into(), &iv.into());
    let encrypted = cipher.encrypt_padded_vec::<Pkcs7>(&text);
    Ok(STANDARD.encode([&iv[..], &encrypted].concat()))
}

fn decrypt_aes(run: &mut Run, password: Text, encrypted: Text) -> Result<Vec<u8>, Fault> {
    if encrypted.is_empty() {
        return Ok(Vec::new());
    }
    run.budget.spend(encrypted.len())?;
    let encrypted = super::encodings::decode_base64(&encrypted).map_err(|_| Fault::from("illegal base64 data"))?;
    let Some((iv, encrypted)) = encrypted.split_first_chunk::<BLOCK>() else {
        return Fault::wrong("the encrypted text is too short");
    };
    let cipher = cbc::Decryptor::<Aes256>::new((&*key_of(&password)).into(), iv.into());
    let Ok(mut text) = cipher.decrypt_padded_vec::<NoPadding>(encrypted) else {
        return Fault::wrong("the encrypted text is not a whole number of blocks");
    };
    // The last byte says how many are padding; a wrong password gives any number.
    let padding = text.last().copied().map(usize::from);
    match padding.and_then(|padding| text.len().checked_sub(padding)) {
        Some(length) => {
            text.truncate(length);
            Ok(text)
        }
        None => Fault::wrong("the password is wrong, or the text is not encrypted by encryptAES"),
    }
}

fn bcrypt(run: &mut Run, password: Text) -> Result<String, Fault> {
    run.budget.spend(cost::BCRYPT)?;
    if password.len() > 72 {
        return Ok("failed to encrypt string with bcrypt: bcrypt: password length exceeds 72 bytes".to_owned());
    }
    let mut salt = [0; 16];
    run.chance.fill(&mut salt);
    match bcrypt::hash_with_salt(&*password, 10, salt) {
        Ok(parts) => Ok(parts.format_for_version(bcrypt::Version::TwoA)),
        Err(_) => Fault::wrong("the password cannot be hashed"),
    }
}

fn htpasswd(run: &mut Run, user: Text, password: Text) -> Result<Vec<u8>, Fault> {
    htpasswd_with(run, user, password, HashAlgorithm(Text::default()))
}

fn htpasswd_with(run: &mut Run, user: Text, password: Text, hash: HashAlgorithm) -> Result<Vec<u8>, Fault> {
    if user.contains(&b':') {
        return Ok([b"invalid username: ", &user[..]].concat());
    }
    let hashed = match &*hash.0 {
        b"sha" => format!("{{SHA}}{}", STANDARD.encode(Sha1::digest(&*password))),
        _ => bcrypt(run, password)?,
    };
    Ok([&user[..], b":", hashed.as_bytes()].concat())
}

/// Patterns of passwords, as the Master Password algorithm has them.
fn patterns(kind: &[u8]) -> Option<&'static [&'static [u8]]> {
    Some(match kind {
        b"maximum" => &[b"anoxxxxxxxxxxxxxxxxx", b"axxxxxxxxxxxxxxxxxno"],
        b"long" => &[
            b"CvcvnoCvcvCvcv",
            b"CvcvCvcvnoCvcv",
            b"CvcvCvcvCvcvno",
            b"CvccnoCvcvCvcv",
            b"CvccCvcvnoCvcv",
            b"CvccCvcvCvcvno",
            b"CvcvnoCvccCvcv",
            b"CvcvCvccnoCvcv",
            b"CvcvCvccCvcvno",
            b"CvcvnoCvcvCvcc",
            b"CvcvCvcvnoCvcc",
            b"CvcvCvcvCvccno",
            b"CvccnoCvccCvcv",
            b"CvccCvccnoCvcv",
            b"CvccCvccCvcvno",
            b"CvcvnoCvccCvcc",
            b"CvcvCvccnoCvcc",
            b"CvcvCvccCvccno",
            b"CvccnoCvcvCvcc",
            b"CvccCvcvnoCvcc",
            b"CvccCvcvCvccno",
        ],
        b"medium" => &[b"CvcnoCvc", b"CvcCvcno"],
        b"short" => &[b"Cvcn"],
        b"basic" => &[b"aaanaaan", b"aannaaan", b"aaannaaa"],
        b"pin" => &[b"nnnn"],
        _ => return None,
    })
}

/// The letters that a letter of a pattern stands for.
fn letters(place: u8) -> &'static [u8] {
    match place {
        b'V' => b"AEIOU",
        b'C' => b"BCDFGHJKLMNPQRSTVWXYZ",
        b'v' => b"aeiou",
        b'c' => b"bcdfghjklmnpqrstvwxyz",
        b'a' => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
        b'n' => b"0123456789",
        b'o' => b"@&%?,=[]_:-+*$#!'^~;()/.",
        _ => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
    }
}

fn derive_password(
    run: &mut Run,
    counter: u32,
    kind: Text,
    password: Text,
    user: Text,
    site: Text,
) -> Result<Vec<u8>, Fault> {
    const PURPOSE: &[u8] = b"com.lyndir.masterpassword";
    let Some(patterns) = patterns(&kind) else {
        return Ok([b"cannot find password template ", &kind[..]].concat());
    };
    run.budget.spend(cost::SCRYPT)?;
    let length = |text: &Text| u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
    let salt = [PURPOSE, &length(&user), &user].concat();
    let mut key = Zeroizing::new([0; 64]);
    let derived = scrypt::Params::new(15, 8, 2)
        .map_err(|_| ())
        .and_then(|parameters| scrypt::scrypt(&password, &salt, &parameters, &mut *key).map_err(|_| ()));
    if derived.is_err() {
        return Fault::wrong("the password cannot be derived");
    }
    let message = [PURPOSE, &length(&site), &site, &counter.to_be_bytes()].concat();
    let seed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &*key), &message);
    let (first, rest) = seed.as_ref().split_first().unwrap_or((&0, &[]));
    let pattern = patterns[usize::from(*first) % patterns.len()];
    let letter = |(place, drawn): (&u8, &u8)| letters(*place)[usize::from(*drawn) % letters(*place).len()];
    Ok(pattern.iter().zip(rest).map(letter).collect())
}

pub(super) fn table() -> Vec<Function> {
    vec![
        both("bcrypt", bcrypt, "The bcrypt hash of a password, cost 10."),
        both("decryptAES", decrypt_aes, "What `encryptAES` encrypted."),
        both(
            "derivePassword",
            derive_password,
            "A password by the Master Password algorithm: counter, kind, password, user, site.",
        ),
        both("encryptAES", encrypt_aes, "Encrypted by a password with AES-256-CBC, in base64."),
        external("htpasswd", htpasswd_with, "A line of a password file; the hash is `bcrypt` or `sha`, written out."),
        sealed("htpasswd", htpasswd, "A line of a password file: user and bcrypt hash."),
    ]
}
