//! Pairs of SSH keys, as Go's `ssh` package writes them: the private one in OpenSSH's format, the public one as a line
//! of `authorized_keys`.

use async_trait::async_trait;
use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rsa::BoxedUint;
use rsa::pkcs8::DecodePrivateKey;
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use zeroize::Zeroizing;

use super::{Generator, Making, random};
use crate::api::generators::{SshKeySpec, SshKeyType};
use crate::providers::{Error, FetchedMap};

pub(super) struct SshKey(pub(super) SshKeySpec);

/// What a key is made of, in OpenSSH's words.
struct Made {
    /// The public part.
    public: Vec<u8>,
    /// The private part, its name first.
    private: Zeroizing<Vec<u8>>,
    name: &'static str,
}

#[async_trait]
impl Generator for SshKey {
    async fn generate(&self, _: Making) -> Result<FetchedMap, Error> {
        let spec = self.0.clone();
        // An RSA key of 4 096 bits takes a second.
        let made = tokio::task::spawn_blocking(move || pair(&spec)).await;
        let (private, public) = made.map_err(|_| failed())??;
        let values = vec![("privateKey".to_owned(), private.into()), ("publicKey".to_owned(), public.into())];
        Ok(FetchedMap { values, version: None })
    }
}

fn pair(spec: &SshKeySpec) -> Result<(String, String), Error> {
    let made = match spec.key_type {
        SshKeyType::Rsa => rsa_key(spec.key_size.unwrap_or(2048))?,
        SshKeyType::Ecdsa => ecdsa(spec.key_size.unwrap_or(256))?,
        SshKeyType::Ed25519 => ed25519()?,
    };
    let comment = spec.comment.as_deref().unwrap_or_default();
    let line = format!("{} {}", made.name, STANDARD.encode(&made.public));
    let line = if comment.is_empty() { format!("{line}\n") } else { format!("{line} {comment}\n") };
    Ok((private(&made, comment)?, line))
}

fn rsa_key(bits: i64) -> Result<Made, Error> {
    let size = match bits {
        2048 => KeySize::Rsa2048,
        3072 => KeySize::Rsa3072,
        4096 => KeySize::Rsa4096,
        8192 => KeySize::Rsa8192,
        _ => return Err(Error::Configuration("an RSA key has 2048, 3072, 4096 or 8192 bits".to_owned())),
    };
    let pair = aws_lc_rs::rsa::KeyPair::generate(size).map_err(|_| failed())?;
    let document =
        aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der>::as_der(&pair).map_err(|_| failed())?;
    let mut key = rsa::PrivateKey::from_pkcs8_der(document.as_ref()).map_err(|_| failed())?;
    key.precompute().map_err(|_| failed())?;
    let number = |number: &BoxedUint| Zeroizing::new(number.to_be_bytes_trimmed_vartime().to_vec());
    let [p, q] = key.primes() else { return Err(failed()) };
    let inverse = key.crt_coefficient().ok_or_else(failed)?;
    let (n, e) = (number(key.n().as_ref()), number(key.e()));
    let mut public = Vec::new();
    string(&mut public, b"ssh-rsa");
    integer(&mut public, &e);
    integer(&mut public, &n);
    let mut private = Zeroizing::new(Vec::new());
    string(&mut private, b"ssh-rsa");
    for part in [&n, &e, &number(key.d()), &number(&inverse), &number(p), &number(q)] {
        integer(&mut private, part);
    }
    Ok(Made { public, private, name: "ssh-rsa" })
}

fn ecdsa(bits: i64) -> Result<Made, Error> {
    let (name, curve, size) = match bits {
        256 => ("ecdsa-sha2-nistp256", "nistp256", 32),
        384 => ("ecdsa-sha2-nistp384", "nistp384", 48),
        521 => ("ecdsa-sha2-nistp521", "nistp521", 66),
        _ => return Err(Error::Configuration("an ECDSA key has 256, 384 or 521 bits".to_owned())),
    };
    let (number, point) = loop {
        let mut number = random(size)?;
        if size == 66 {
            number[0] &= 1;
        }
        let point = match size {
            32 => p256::SecretKey::from_slice(&number).ok().map(|key| key.public_key().to_sec1_bytes()),
            48 => p384::SecretKey::from_slice(&number).ok().map(|key| key.public_key().to_sec1_bytes()),
            _ => p521::SecretKey::from_slice(&number).ok().map(|key| key.public_key().to_sec1_bytes()),
        };
        // A number that is 0 or beyond the curve's order is drawn again.
        if let Some(point) = point {
            break (number, uncompressed(&point, size)?);
        }
    };
    let mut public = Vec::new();
    string(&mut public, name.as_bytes());
    string(&mut public, curve.as_bytes());
    string(&mut public, &point);
    let mut private = Zeroizing::new(public.clone());
    integer(&mut private, &number);
    Ok(Made { public, private, name })
}

fn uncompressed(point: &[u8], size: usize) -> Result<Vec<u8>, Error> {
    if point.len() == 1 + 2 * size { Ok(point.to_vec()) } else { Err(failed()) }
}

fn ed25519() -> Result<Made, Error> {
    let pair = Ed25519KeyPair::generate().map_err(|_| failed())?;
    let seed = pair.seed().map_err(|_| failed())?.as_be_bytes().map_err(|_| failed())?;
    let point = pair.public_key().as_ref();
    let mut public = Vec::new();
    string(&mut public, b"ssh-ed25519");
    string(&mut public, point);
    let mut private = Zeroizing::new(public.clone());
    let both = Zeroizing::new([seed.as_ref(), point].concat());
    string(&mut private, &both);
    Ok(Made { public, private, name: "ssh-ed25519" })
}

/// The file of a private key that has no passphrase (PROTOCOL.key of OpenSSH).
fn private(made: &Made, comment: &str) -> Result<String, Error> {
    let check = random(4)?;
    let mut inner = Zeroizing::new([check.as_slice(), &check, &made.private].concat());
    string(&mut inner, comment.as_bytes());
    let padding = inner.len().next_multiple_of(8) - inner.len();
    inner.extend((1..=padding).map(|number| u8::try_from(number).unwrap_or_default()));
    let mut file = Zeroizing::new(b"openssh-key-v1\0".to_vec());
    for part in [b"none".as_slice(), b"none", b""] {
        string(&mut file, part);
    }
    file.extend(1_u32.to_be_bytes());
    string(&mut file, &made.public);
    string(&mut file, &inner);
    let text = Zeroizing::new(STANDARD.encode(&*file));
    let mut pem = "-----BEGIN OPENSSH PRIVATE KEY-----\n".to_owned();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem.push_str("-----END OPENSSH PRIVATE KEY-----\n");
    Ok(pem)
}

fn string(onto: &mut Vec<u8>, bytes: &[u8]) {
    onto.extend(u32::try_from(bytes.len()).unwrap_or_default().to_be_bytes());
    onto.extend(bytes);
}

/// A number without leading zeros, and one where it would be read as negative.
fn integer(onto: &mut Vec<u8>, bytes: &[u8]) {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let bytes = &bytes[start..];
    if bytes.first().is_some_and(|byte| byte & 0x80 != 0) {
        string(onto, &Zeroizing::new([&[0], bytes].concat()));
    } else {
        string(onto, bytes);
    }
}

fn failed() -> Error {
    Error::Configuration("the key could not be made".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openssh_reads_the_pairs() {
        let rows = [
            (SshKeyType::Rsa, None, "ssh-rsa "),
            (SshKeyType::Rsa, Some(3072), "ssh-rsa "),
            (SshKeyType::Ecdsa, None, "ecdsa-sha2-nistp256 "),
            (SshKeyType::Ecdsa, Some(384), "ecdsa-sha2-nistp384 "),
            (SshKeyType::Ecdsa, Some(521), "ecdsa-sha2-nistp521 "),
            (SshKeyType::Ed25519, None, "ssh-ed25519 "),
        ];
        let folder = tempfile::tempdir().unwrap();
        for (key_type, key_size, start) in rows {
            let spec = SshKeySpec { key_type, key_size, comment: Some("me@here".to_owned()) };
            let (private, public) = pair(&spec).unwrap();
            assert!(public.starts_with(start) && public.ends_with(" me@here\n"), "{public}");
            let file = folder.path().join(format!("{start}{key_size:?}").replace(' ', ""));
            std::fs::write(&file, private).unwrap();
            std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            // Where OpenSSH is not installed, the form alone is tested.
            let Ok(read) = std::process::Command::new("ssh-keygen").args(["-y", "-f"]).arg(&file).output() else {
                continue;
            };
            let key = |line: &str| line.split(' ').take(2).map(|part| part.trim().to_owned()).collect::<Vec<_>>();
            assert_eq!(
                key(&String::from_utf8(read.stdout).unwrap()),
                key(&public),
                "{}",
                String::from_utf8_lossy(&read.stderr)
            );
        }
    }

    #[test]
    fn sizes_that_no_key_has_are_refused() {
        for (key_type, key_size) in [(SshKeyType::Rsa, 1024), (SshKeyType::Ecdsa, 255)] {
            let spec = SshKeySpec { key_type, key_size: Some(key_size), comment: None };
            assert!(pair(&spec).is_err());
        }
    }
}
