//! JSON Web Keys as PEM, and RSA decryption.

use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA512_MGF1SHA512, OaepPrivateDecryptingKey, PrivateDecryptingKey,
};
use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use serde_json::{Map, Value as Json};
use zeroize::Zeroizing;

use super::super::bounds::cost;
use super::super::error::Fault;
use super::super::run::Run;
use super::super::value::Text;
use super::keys::{Curve, PrivateKey, PublicKey};
use super::pem::Block;
use super::{Function, external};

/// Indifferent to what the last bits are.
const LENIENT: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, NO_PAD.with_decode_allow_trailing_bits(true));

/// A key, of either half.
enum Key {
    Private(PrivateKey),
    Public(PublicKey),
}

fn read(text: &[u8]) -> Result<Key, Fault> {
    let fields: Map<String, Json> = serde_json::from_slice(text).map_err(|_| "the key is not JSON")?;
    match fields.get("kty").and_then(Json::as_str) {
        Some("RSA") => read_rsa(&fields),
        Some("EC") => read_elliptic(&fields),
        Some("OKP") => read_edwards(&fields),
        _ => Fault::wrong("invalid key type from JSON"),
    }
}

/// The bytes of a field. Both alphabets are taken, with padding or without.
fn bytes(fields: &Map<String, Json>, name: &str) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let text = fields.get(name).and_then(Json::as_str).ok_or_else(|| format!("the key has no field {name:?}"))?;
    let plain = Zeroizing::new(text.trim_end_matches('=').replace('-', "+").replace('_', "/"));
    let decoded = LENIENT.decode(plain.as_bytes());
    decoded.map(Zeroizing::new).map_err(|_| format!("the field {name:?} is not base64url").into())
}

fn read_rsa(fields: &Map<String, Json>) -> Result<Key, Fault> {
    let (modulus, exponent) = (bytes(fields, "n")?.to_vec(), bytes(fields, "e")?.to_vec());
    if !fields.contains_key("d") {
        return Ok(Key::Public(PublicKey::Rsa { modulus, exponent }));
    }
    let number = |name| bytes(fields, name).map(|bytes| rsa::BoxedUint::from_be_slice_vartime(&bytes));
    let primes = vec![number("p")?, number("q")?];
    let exponent = rsa::BoxedUint::from_be_slice_vartime(&exponent);
    let modulus = rsa::BoxedUint::from_be_slice_vartime(&modulus);
    let key = rsa::PrivateKey::from_components(modulus, exponent, number("d")?, primes);
    let key = key.map_err(|_| Fault::from("the numbers of the RSA key do not fit together"))?;
    Ok(Key::Private(PrivateKey::Rsa(Box::new(key))))
}

fn read_elliptic(fields: &Map<String, Json>) -> Result<Key, Fault> {
    let curve = match fields.get("crv").and_then(Json::as_str) {
        Some("P-256") => Curve::P256,
        Some("P-384") => Curve::P384,
        Some("P-521") => Curve::P521,
        _ => return Fault::wrong("the key is on a curve that is not known"),
    };
    let (x, y) = (bytes(fields, "x")?, bytes(fields, "y")?);
    if fields.contains_key("d") {
        let key = PrivateKey::elliptic(curve, &bytes(fields, "d")?);
        return key.map(Key::Private).ok_or_else(|| "the private number does not fit the curve".into());
    }
    let mut point = vec![4];
    for coordinate in [x, y] {
        let significant = &coordinate[coordinate.iter().take_while(|byte| **byte == 0).count()..];
        let missing = curve.size().checked_sub(significant.len()).ok_or("a coordinate is too long for the curve")?;
        point.resize(point.len() + missing, 0);
        point.extend_from_slice(significant);
    }
    if !curve.has_point(&point) {
        return Fault::wrong("the point is not on the curve");
    }
    Ok(Key::Public(PublicKey::Elliptic { curve, point }))
}

fn read_edwards(fields: &Map<String, Json>) -> Result<Key, Fault> {
    match fields.get("crv").and_then(Json::as_str) {
        Some("Ed25519") => {}
        Some("X25519") => return Fault::wrong("x509: unsupported key type: X25519"),
        _ => return Fault::wrong("the key is on a curve that is not known"),
    }
    let public = bytes(fields, "x")?;
    if !fields.contains_key("d") {
        return Ok(Key::Public(PublicKey::Ed25519(public.to_vec())));
    }
    let seed = bytes(fields, "d")?.as_slice().try_into().map_err(|_| "the key is not of 32 bytes")?;
    let key = PrivateKey::Ed25519(Zeroizing::new(seed));
    if key.public()?.bits() != *public {
        return Fault::wrong("failed to build public key: invalid x value given d value");
    }
    Ok(Key::Private(key))
}

fn jwk_public_key_pem(run: &mut Run, key: Text) -> Result<Vec<u8>, Fault> {
    run.budget.spend(cost::SIGNATURE)?;
    match read(&key)? {
        Key::Public(key) => Ok(Block::new("PUBLIC KEY", &key.to_pkix()).encode()),
        Key::Private(_) => Fault::wrong("x509: unsupported public key type: it is a private key"),
    }
}

fn jwk_private_key_pem(run: &mut Run, key: Text) -> Result<Vec<u8>, Fault> {
    run.budget.spend(cost::SIGNATURE)?;
    match read(&key)? {
        Key::Private(key) => Ok(Block::new("PRIVATE KEY", &key.to_pkcs8()?).encode()),
        Key::Public(_) => Fault::wrong("x509: unknown key type: it is a public key"),
    }
}

fn rsa_decrypt(run: &mut Run, scheme: Text, hash: Text, text: Text, key: Text) -> Result<Text, Fault> {
    match &*scheme {
        // Not what the name says, but what the original does.
        b"None" => return Ok(text),
        b"RSA-OAEP" => {}
        _ => return Fault::wrong("the decryption scheme is not supported"),
    }
    run.budget.spend(cost::SIGNATURE)?;
    let Some((block, _)) = Block::decode(&key) else { return Fault::wrong("failed to decode PEM block") };
    let key = match PrivateKey::from_any(&block.bytes) {
        Some(key @ PrivateKey::Rsa(_)) => key.to_pkcs8()?,
        _ => return Fault::wrong("could not parse RSA private key"),
    };
    let algorithm = match &*hash {
        b"SHA1" => &OAEP_SHA1_MGF1SHA1,
        b"SHA512" => &OAEP_SHA512_MGF1SHA512,
        // Every other name means this one.
        _ => &OAEP_SHA256_MGF1SHA256,
    };
    let key = PrivateDecryptingKey::from_pkcs8(&key).ok().and_then(|key| OaepPrivateDecryptingKey::new(key).ok());
    let key = key.ok_or("the RSA key cannot be used: it has from 2048 to 8192 bits")?;
    let mut place = vec![0; key.min_output_size()];
    match key.decrypt(algorithm, &text, &mut place, None) {
        Ok(decrypted) => Ok(Text::from(&*decrypted)),
        Err(_) => Fault::wrong("error decrypting data with RSA"),
    }
}

pub(super) fn table() -> Vec<Function> {
    vec![
        external("jwkPrivateKeyPem", jwk_private_key_pem, "The private key of a JSON Web Key, as PEM of PKCS#8."),
        external("jwkPublicKeyPem", jwk_public_key_pem, "The public key of a JSON Web Key, as PEM."),
        external(
            "rsaDecrypt",
            rsa_decrypt,
            "Decrypts with `RSA-OAEP`: scheme, hash (`SHA1`, `SHA256`, `SHA512`), bytes, private key. Scheme `None` gives the bytes back.",
        ),
    ]
}
