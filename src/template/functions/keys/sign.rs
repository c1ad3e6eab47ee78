//! The public half of a key, and signatures: the same each time.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use rsa::Pkcs1v15Sign;
use rsa::signature::{SignatureEncoding, Signer};
use rsa::traits::PublicKeyParts;
use sha2::{Digest, Sha256};

use super::super::super::error::Fault;
use super::super::der;
use super::{Curve, NULL, PrivateKey, PublicKey, ed25519_object};

impl PrivateKey {
    /// The public half.
    pub(in super::super) fn public(&self) -> Result<PublicKey, Fault> {
        Ok(match self {
            Self::Rsa(key) => PublicKey::Rsa {
                modulus: key.n().to_be_bytes_trimmed_vartime().to_vec(),
                exponent: key.e().to_be_bytes_trimmed_vartime().to_vec(),
            },
            Self::Elliptic { curve, point, .. } => PublicKey::Elliptic { curve: *curve, point: point.clone() },
            Self::Ed25519(seed) => PublicKey::Ed25519(ed25519(seed)?.public_key().as_ref().to_vec()),
            Self::X25519(_) | Self::Dsa(_) => {
                return Fault::wrong("only RSA, ECDSA and Ed25519 keys make certificates");
            }
        })
    }

    /// The algorithm by which it signs, and the signature of a message: the same each time.
    pub(in super::super) fn sign(&self, message: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Fault> {
        const FAILED: &str = "the key cannot sign";
        let elliptic = |last| der::sequence(&[&der::object(&[1, 2, 840, 10045, 4, 3, last])]);
        Ok(match self {
            Self::Rsa(key) => {
                let signature =
                    key.sign(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message)).map_err(|_| FAILED)?;
                (der::sequence(&[&der::object(&[1, 2, 840, 113_549, 1, 1, 11]), &NULL[..]]), signature)
            }
            Self::Elliptic { curve: Curve::P256, private, .. } => {
                let key = p256::ecdsa::SigningKey::from_slice(private).map_err(|_| FAILED)?;
                let signature: p256::ecdsa::DerSignature = key.try_sign(message).map_err(|_| FAILED)?;
                (elliptic(2), signature.to_vec())
            }
            Self::Elliptic { curve: Curve::P384, private, .. } => {
                let key = p384::ecdsa::SigningKey::from_slice(private).map_err(|_| FAILED)?;
                let signature: p384::ecdsa::DerSignature = key.try_sign(message).map_err(|_| FAILED)?;
                (elliptic(3), signature.to_vec())
            }
            Self::Elliptic { curve: Curve::P521, private, .. } => {
                let key = p521::ecdsa::SigningKey::from_slice(private).map_err(|_| FAILED)?;
                let signature: p521::ecdsa::DerSignature = key.try_sign(message).map_err(|_| FAILED)?;
                (elliptic(4), signature.to_vec())
            }
            Self::Ed25519(seed) => {
                let signature = ed25519(seed)?.sign(message);
                (der::sequence(&[&ed25519_object()]), signature.as_ref().to_vec())
            }
            Self::X25519(_) | Self::Dsa(_) => return Fault::wrong(FAILED),
        })
    }
}

fn ed25519(seed: &[u8; 32]) -> Result<Ed25519KeyPair, Fault> {
    Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| "the Ed25519 key cannot be used".into())
}
