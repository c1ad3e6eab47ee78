//! Signed claims, with which clouds and GitHub know us by a private key.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use super::Error;

/// A JWT by RSA with PKCS#1 padding, as GitHub and Google want it; Google wants to hear which key it is.
pub(super) fn rs256(key_pem: &[u8], key_id: Option<&str>, claims: &Value) -> Result<String, Error> {
    let key = key_pair(key_pem)?;
    let mut header = json!({ "alg": "RS256", "typ": "JWT" });
    if let Some(id) = key_id {
        header["kid"] = id.into();
    }
    signed(&key, &RSA_PKCS1_SHA256, &header, claims)
}

/// A JWT by RSA-PSS that names its certificate, as Microsoft wants it. `pem` holds the certificate and its key.
pub(super) fn ps256_with_certificate(pem: &[u8], claims: &Value) -> Result<String, Error> {
    let key = key_pair(pem)?;
    let certificate = CertificateDer::from_pem_slice(pem).map_err(|_| {
        Error::Configuration("the client certificate is no PEM; a PKCS#12 file must be converted".to_owned())
    })?;
    let print = URL_SAFE_NO_PAD.encode(digest(&SHA256, &certificate));
    signed(&key, &RSA_PSS_SHA256, &json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": print }), claims)
}

fn key_pair(pem: &[u8]) -> Result<KeyPair, Error> {
    let wrong = || Error::Configuration("the private key is no RSA key in PEM".to_owned());
    let key = match PrivateKeyDer::from_pem_slice(pem).map_err(|_| wrong())? {
        PrivateKeyDer::Pkcs8(key) => KeyPair::from_pkcs8(key.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(key) => KeyPair::from_der(key.secret_pkcs1_der()),
        _ => return Err(wrong()),
    };
    key.map_err(|_| wrong())
}

fn signed(key: &KeyPair, encoding: &'static dyn RsaEncoding, header: &Value, claims: &Value) -> Result<String, Error> {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let text = format!("{}.{}", encode(header), encode(claims));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(encoding, &SystemRandom::new(), text.as_bytes(), &mut signature)
        .map_err(|_| Error::Configuration("the private key cannot sign".to_owned()))?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
