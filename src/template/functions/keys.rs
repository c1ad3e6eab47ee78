//! Private and public keys: read, written, made and used.

mod generate;
mod public;
mod sign;

pub(super) use self::public::PublicKey;
use rsa::PrivateKey as RsaPrivateKey;
use rsa::pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey};
use rsa::pkcs8::DecodePrivateKey;
use zeroize::Zeroizing;

use super::super::error::Fault;
use super::der::{self, Reader, tag};
use super::pem::Block;

/// The curves of Go's `crypto/ecdsa` that keys are made of in practice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    fn object(self) -> Vec<u8> {
        match self {
            Self::P256 => der::object(&[1, 2, 840, 10045, 3, 1, 7]),
            Self::P384 => der::object(&[1, 3, 132, 0, 34]),
            Self::P521 => der::object(&[1, 3, 132, 0, 35]),
        }
    }

    /// Bytes of a coordinate.
    pub(super) fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// The point that belongs to a private number; none if the number is 0 or too big.
    fn point(self, private: &[u8]) -> Option<Vec<u8>> {
        Some(match self {
            Self::P256 => p256::SecretKey::from_slice(private).ok()?.public_key().to_sec1_bytes().to_vec(),
            Self::P384 => p384::SecretKey::from_slice(private).ok()?.public_key().to_sec1_bytes().to_vec(),
            Self::P521 => p521::SecretKey::from_slice(private).ok()?.public_key().to_sec1_bytes().to_vec(),
        })
    }

    /// Whether a point lies on the curve.
    pub(super) fn has_point(self, point: &[u8]) -> bool {
        match self {
            Self::P256 => p256::PublicKey::from_sec1_bytes(point).is_ok(),
            Self::P384 => p384::PublicKey::from_sec1_bytes(point).is_ok(),
            Self::P521 => p521::PublicKey::from_sec1_bytes(point).is_ok(),
        }
    }
}

/// A private key.
pub(super) enum PrivateKey {
    Rsa(Box<RsaPrivateKey>),
    /// The private number, as long as a coordinate.
    Elliptic {
        curve: Curve,
        private: Zeroizing<Vec<u8>>,
        point: Vec<u8>,
    },
    Ed25519(Zeroizing<[u8; 32]>),
    X25519(Zeroizing<[u8; 32]>),
    /// Of this there is nothing to do but to keep it.
    Dsa(Zeroizing<Vec<u8>>),
}

const NULL: [u8; 2] = [0x05, 0x00];

fn rsa_object() -> Vec<u8> {
    der::object(&[1, 2, 840, 113_549, 1, 1, 1])
}

fn elliptic_object() -> Vec<u8> {
    der::object(&[1, 2, 840, 10045, 2, 1])
}

fn ed25519_object() -> Vec<u8> {
    der::object(&[1, 3, 101, 112])
}

fn x25519_object() -> Vec<u8> {
    der::object(&[1, 3, 101, 110])
}

impl PrivateKey {
    /// An elliptic key from its private number, shorter ones with zeros in front.
    pub(super) fn elliptic(curve: Curve, number: &[u8]) -> Option<Self> {
        let significant = &number[number.iter().take_while(|byte| **byte == 0).count()..];
        let missing = curve.size().checked_sub(significant.len())?;
        let mut private = Zeroizing::new(vec![0; missing]);
        private.extend_from_slice(significant);
        let point = curve.point(&private)?;
        Some(Self::Elliptic { curve, private, point })
    }

    /// PKCS#8.
    pub(super) fn from_pkcs8(bytes: &[u8]) -> Option<Self> {
        if let Ok(key) = RsaPrivateKey::from_pkcs8_der(bytes) {
            return Some(Self::Rsa(Box::new(key)));
        }
        let mut info = Reader::new(bytes).sequence().ok()?;
        info.expect(tag::INTEGER).ok()?;
        let mut algorithm = info.sequence().ok()?;
        let algorithm_object = algorithm.expect(tag::OBJECT).ok()?;
        let key = info.expect(tag::OCTET_STRING).ok()?;
        let is = |object: Vec<u8>| object[2..] == *algorithm_object;
        if is(elliptic_object()) {
            let named = algorithm.expect(tag::OBJECT).ok()?;
            let curve = Curve::ALL.into_iter().find(|curve| curve.object()[2..] == *named)?;
            return Self::from_sec1_of(key, Some(curve));
        }
        let seed = |key: &[u8]| -> Option<Zeroizing<[u8; 32]>> {
            Some(Zeroizing::new(Reader::new(key).expect(tag::OCTET_STRING).ok()?.try_into().ok()?))
        };
        match () {
            () if is(ed25519_object()) => seed(key).map(Self::Ed25519),
            () if is(x25519_object()) => seed(key).map(Self::X25519),
            () => None,
        }
    }

    /// PKCS#1.
    pub(super) fn from_pkcs1(bytes: &[u8]) -> Option<Self> {
        RsaPrivateKey::from_pkcs1_der(bytes).ok().map(|key| Self::Rsa(Box::new(key)))
    }

    /// SEC 1.
    pub(super) fn from_sec1(bytes: &[u8]) -> Option<Self> {
        Self::from_sec1_of(bytes, None)
    }

    fn from_sec1_of(bytes: &[u8], curve: Option<Curve>) -> Option<Self> {
        let mut key = Reader::new(bytes).sequence().ok()?;
        if key.small().ok()? != 1 {
            return None;
        }
        let private = key.expect(tag::OCTET_STRING).ok()?;
        let named = if key.peek() == Some(0xA0) {
            Some(Reader::new(key.expect(0xA0).ok()?).expect(tag::OBJECT).ok()?)
        } else {
            None
        };
        let curve = match (curve, named) {
            (Some(curve), _) => curve,
            (None, Some(named)) => Curve::ALL.into_iter().find(|curve| curve.object()[2..] == *named)?,
            (None, None) => return None,
        };
        Self::elliptic(curve, private)
    }

    /// Whatever of the three it is, as External Secrets tries them.
    pub(super) fn from_any(bytes: &[u8]) -> Option<Self> {
        Self::from_pkcs1(bytes).or_else(|| Self::from_pkcs8(bytes)).or_else(|| Self::from_sec1(bytes))
    }

    /// The key in a PEM text, its form told by the label, as Sprig reads it.
    pub(super) fn from_pem(text: &[u8]) -> Result<Self, Fault> {
        let Some((block, _)) = Block::decode(text) else { return Fault::wrong("no PEM data in input") };
        let key = match block.label.as_slice() {
            b"PRIVATE KEY" => Self::from_pkcs8(&block.bytes),
            b"RSA PRIVATE KEY" => Self::from_pkcs1(&block.bytes),
            b"EC PRIVATE KEY" => Self::from_sec1(&block.bytes),
            b"DSA PRIVATE KEY" if is_dsa(&block.bytes) => Some(Self::Dsa(block.bytes)),
            label if label.ends_with(b" PRIVATE KEY") => return Fault::wrong("invalid private key type"),
            _ => return Fault::wrong("no private key data in PEM block"),
        };
        key.ok_or_else(|| "the private key cannot be read".into())
    }

    /// The form that Sprig writes: PKCS#1, SEC 1 or, for the rest, PKCS#8.
    pub(super) fn to_pem(&self) -> Result<Vec<u8>, Fault> {
        let (label, bytes) = match self {
            Self::Rsa(key) => {
                let bytes = key.to_pkcs1_der().map_err(|_| Fault::from("the key cannot be written"))?;
                ("RSA PRIVATE KEY", Zeroizing::new(bytes.as_bytes().to_vec()))
            }
            Self::Elliptic { curve, .. } => ("EC PRIVATE KEY", self.to_sec1(Some(*curve))),
            Self::Dsa(bytes) => ("DSA PRIVATE KEY", bytes.clone()),
            _ => ("PRIVATE KEY", self.to_pkcs8()?),
        };
        Ok(Block::new(label, &bytes).encode())
    }

    fn to_sec1(&self, named: Option<Curve>) -> Zeroizing<Vec<u8>> {
        let Self::Elliptic { private, point, .. } = self else { return Zeroizing::default() };
        let named = named.map(|curve| der::context(0, &curve.object())).unwrap_or_default();
        let public = der::context(1, &der::bits(point));
        Zeroizing::new(der::sequence(&[&der::integer(&[1]), &der::octets(private), &named, &public]))
    }

    /// PKCS#8, as Go writes it.
    pub(super) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let (algorithm, key) = match self {
            Self::Rsa(key) => {
                let key = key.to_pkcs1_der().map_err(|_| Fault::from("the key cannot be written"))?;
                (der::sequence(&[&rsa_object(), &NULL[..]]), Zeroizing::new(key.as_bytes().to_vec()))
            }
            Self::Elliptic { curve, .. } => (der::sequence(&[&elliptic_object(), &curve.object()]), self.to_sec1(None)),
            Self::Ed25519(seed) => (der::sequence(&[&ed25519_object()]), Zeroizing::new(der::octets(&**seed))),
            Self::X25519(seed) => (der::sequence(&[&x25519_object()]), Zeroizing::new(der::octets(&**seed))),
            Self::Dsa(_) => return Fault::wrong("a DSA key has no PKCS#8 form here"),
        };
        Ok(Zeroizing::new(der::sequence(&[&der::integer(&[0]), &algorithm, &der::octets(&key)])))
    }
}

/// Six numbers.
fn is_dsa(bytes: &[u8]) -> bool {
    let Ok(mut key) = Reader::new(bytes).sequence() else { return false };
    (0..6).all(|_| key.expect(tag::INTEGER).is_ok()) && key.is_empty()
}
