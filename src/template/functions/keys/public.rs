//! Public keys, written.

use super::super::der;
use super::{Curve, NULL, ed25519_object, elliptic_object, rsa_object};

/// A public key.
pub(in super::super) enum PublicKey {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    Elliptic { curve: Curve, point: Vec<u8> },
    Ed25519(Vec<u8>),
}

impl PublicKey {
    /// As PKIX has it.
    pub(in super::super) fn to_pkix(&self) -> Vec<u8> {
        let (algorithm, key) = match self {
            Self::Rsa { .. } => (der::sequence(&[&rsa_object(), &NULL[..]]), self.bits()),
            Self::Elliptic { curve, .. } => (der::sequence(&[&elliptic_object(), &curve.object()]), self.bits()),
            Self::Ed25519(_) => (der::sequence(&[&ed25519_object()]), self.bits()),
        };
        der::sequence(&[&algorithm, &der::bits(&key)])
    }

    /// The key itself, whose SHA-1 digest makes its id.
    pub(in super::super) fn bits(&self) -> Vec<u8> {
        match self {
            Self::Rsa { modulus, exponent } => der::sequence(&[&der::integer(modulus), &der::integer(exponent)]),
            Self::Elliptic { point, .. } => point.clone(),
            Self::Ed25519(key) => key.clone(),
        }
    }
}
