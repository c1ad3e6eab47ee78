//! The keys that there are at one moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use seal::{Certificate, Fingerprint, SecretBytes, UnwrapKey};
use zeroize::Zeroizing;

use super::forms::pkcs8_of;
use crate::plan::KeyFacts;
use crate::telemetry::Metrics;

/// The keys that there are now, newest first.
#[derive(Default)]
pub struct KeyRing {
    pub(super) keys: Vec<Arc<SealingKey>>,
    /// Their Secrets are gone: they open what still needs them, until this process ends.
    pub(super) deleted: Vec<Arc<SealingKey>>,
    /// Secrets that are labelled as keys and are none, with what is wrong.
    pub(super) unusable: BTreeMap<String, String>,
}

/// One private key with its certificate.
pub(super) struct SealingKey {
    pub(super) secret: String,
    /// When the Secret was made, seconds since 1970.
    pub(super) created: i64,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) fingerprint: Fingerprint,
    /// None when the certificate is not of this key: then it opens, and does not seal.
    pub(super) certificate: Option<Certificate>,
    /// The first certificate.
    pub(super) certificate_pem: String,
    unwrap: OaepPrivateDecryptingKey,
    metrics: Arc<Metrics>,
}

impl KeyRing {
    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.deleted.is_empty()
    }

    /// Whether there is none to seal with.
    pub fn seals_nothing(&self) -> bool {
        self.sealing().is_none()
    }

    /// The certificate to seal with, PEM.
    pub fn certificate(&self) -> Option<&str> {
        self.sealing().map(|key| key.certificate_pem.as_str())
    }

    /// The certificate to seal with, read.
    pub fn sealing_certificate(&self) -> Option<&Certificate> {
        self.sealing()?.certificate.as_ref()
    }

    /// All certificates that one may seal with, PEM, the newest first.
    pub fn certificates(&self) -> Vec<&str> {
        self.keys.iter().filter(|key| key.certificate.is_some()).map(|key| key.certificate_pem.as_str()).collect()
    }

    /// All keys, those that fitted last time first, then the one that fitted another object just now, then the newest.
    pub fn in_order<'a>(&'a self, fitted: &BTreeMap<String, i64>, recent: Option<&str>) -> Vec<&'a dyn UnwrapKey> {
        let mut keys: Vec<&Arc<SealingKey>> = self.keys.iter().chain(&self.deleted).collect();
        keys.sort_by_key(|key| match key.fingerprint.as_str() {
            name if fitted.contains_key(name) => 0,
            name if recent == Some(name) => 1,
            _ => 2,
        });
        keys.into_iter().map(|key| &**key as &dyn UnwrapKey).collect()
    }

    /// What there is to say of each key.
    pub fn facts(&self) -> Vec<KeyFacts> {
        let sealing = self.sealing().map(|key| key.secret.as_str());
        let facts = |key: &Arc<SealingKey>, deleted: bool| KeyFacts {
            secret: key.secret.clone(),
            fingerprint: key.fingerprint.as_str().to_owned(),
            state: match (deleted, sealing == Some(key.secret.as_str())) {
                (true, _) => "Deleted",
                (false, true) => "Sealing",
                (false, false) => "Opening",
            },
            not_before: key.not_before,
            not_after: key.not_after,
            mismatched: key.certificate.is_none(),
        };
        let active = self.keys.iter().map(|key| facts(key, false));
        active.chain(self.deleted.iter().map(|key| facts(key, true))).collect()
    }

    /// Secrets that are labelled as keys and are none, with what is wrong.
    pub fn unusable(&self) -> &BTreeMap<String, String> {
        &self.unusable
    }

    fn sealing(&self) -> Option<&Arc<SealingKey>> {
        self.keys.iter().find(|key| key.certificate.is_some())
    }
}

impl UnwrapKey for SealingKey {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn unwrap_key(&self, wrapped: &[u8], label: &[u8]) -> Option<SecretBytes> {
        self.metrics.unwraps.inc();
        let mut room = Zeroizing::new(vec![0; self.unwrap.min_output_size()]);
        let key = self.unwrap.decrypt(&OAEP_SHA256_MGF1SHA256, wrapped, &mut room, Some(label)).ok()?;
        Some(key.to_vec().into())
    }
}

impl SealingKey {
    /// Reads a key Secret; what is wrong with it is told without its content.
    pub(super) fn of(secret: &Secret, metrics: &Arc<Metrics>) -> Result<Self, String> {
        let entry = |name: &str| {
            let bytes = secret.data.as_ref().and_then(|data| data.get(name));
            bytes.map(|bytes| bytes.0.as_slice()).ok_or_else(|| format!("it has no {name}"))
        };
        let pem = String::from_utf8(entry("tls.crt")?.to_vec()).map_err(|_| "tls.crt is no text".to_owned())?;
        let (not_before, not_after) = seal::validity(&pem).ok_or_else(|| match Certificate::from_pem(&pem) {
            Err(error) => format!("tls.crt: {error}"),
            Ok(_) => "tls.crt: its dates cannot be read".to_owned(),
        })?;
        let private = PrivateKeyDer::from_pem_slice(entry("tls.key")?)
            .map_err(|_| "tls.key is no private key in PEM".to_owned())?;
        let pkcs8 = match &private {
            PrivateKeyDer::Pkcs1(key) => Zeroizing::new(pkcs8_of(key.secret_pkcs1_der())),
            PrivateKeyDer::Pkcs8(key) => Zeroizing::new(key.secret_pkcs8_der().to_vec()),
            _ => return Err("tls.key is not an RSA key".to_owned()),
        };
        let unfit = || "tls.key is not an RSA key of 2048 to 8192 bits".to_owned();
        let key = PrivateDecryptingKey::from_pkcs8(&pkcs8).map_err(|_| unfit())?;
        let public = AsDer::<PublicKeyX509Der<'_>>::as_der(&key.public_key()).map_err(|_| unfit())?;
        let fingerprint = Fingerprint::of_der(public.as_ref()).ok_or_else(unfit)?;
        let unwrap = OaepPrivateDecryptingKey::new(key).map_err(|_| unfit())?;
        let certificate = Certificate::from_pem(&pem).ok().filter(|read| read.fingerprint == fingerprint);
        let created = secret.creation_timestamp().map_or(i64::MAX, |time| time.0.as_second());
        Ok(Self {
            secret: secret.name_any(),
            created,
            not_before,
            not_after,
            fingerprint,
            certificate,
            certificate_pem: first_certificate(&pem),
            unwrap,
            metrics: Arc::clone(metrics),
        })
    }
}

/// Only the first certificate of several is served, as the reference does.
fn first_certificate(pem: &str) -> String {
    const END: &str = "-----END CERTIFICATE-----";
    let start = pem.find("-----BEGIN CERTIFICATE-----").unwrap_or(0);
    let end = pem[start..].find(END).map_or(pem.len(), |at| start + at + END.len());
    format!("{}\n", &pem[start..end])
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    fn read(file: &str) -> Vec<u8> {
        std::fs::read(format!("{}/cli/tests/vectors/keys/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn secret(certificate: &[u8], key: &[u8]) -> Secret {
        let data = [("tls.crt", certificate), ("tls.key", key)];
        let data = data.into_iter().map(|(name, bytes)| (name.to_owned(), ByteString(bytes.to_vec())));
        Secret { data: Some(data.collect()), ..Secret::default() }
    }

    #[test]
    fn keys_of_every_form_open_what_their_certificate_sealed() {
        for name in ["k2048", "k3072-pkcs8", "k4096"] {
            let secret = secret(&read(&format!("{name}.crt")), &read(&format!("{name}.key")));
            let key = SealingKey::of(&secret, &Arc::default()).unwrap();
            let certificate = key.certificate.as_ref().unwrap();
            let item = seal::seal_item(&mut rand::rng(), certificate, b"ns/x", &b"v".to_vec().into()).unwrap();
            let keys: [&dyn UnwrapKey; 1] = [&key];
            assert_eq!(seal::open_item(&item, b"ns/x", keys).unwrap().value.expose(), b"v", "{name}");
            assert!(seal::open_item(&item, b"ns/y", keys).is_err(), "{name}");
            assert_eq!(key.metrics.unwraps.get(), 2);
        }
    }

    #[test]
    fn the_first_of_several_certificates_counts() {
        let both = [read("k2048.crt"), b"\n".to_vec(), read("kother.crt")].concat();
        let key = SealingKey::of(&secret(&both, &read("k2048.key")), &Arc::default()).unwrap();
        assert_eq!(key.certificate_pem.matches("BEGIN CERTIFICATE").count(), 1);
        assert!(key.certificate.is_some());
    }

    #[test]
    fn a_key_whose_certificate_is_of_another_opens_and_does_not_seal() {
        let ec = rcgen::KeyPair::generate().unwrap();
        let ec = rcgen::CertificateParams::default().self_signed(&ec).unwrap().pem();
        for (name, certificate) in [("another RSA key", read("kother.crt")), ("an EC key", ec.into_bytes())] {
            let key = SealingKey::of(&secret(&certificate, &read("k2048.key")), &Arc::default()).unwrap();
            let ring = KeyRing { keys: vec![Arc::new(key)], ..KeyRing::default() };
            assert!(ring.seals_nothing() && !ring.is_empty(), "{name}");
            assert!(ring.facts()[0].mismatched, "{name}");
        }
    }

    #[test]
    fn what_is_no_key_is_told_without_its_content() {
        let ec = rcgen::KeyPair::generate().unwrap().serialize_pem().into_bytes();
        let half = read("k2048.key")[..400].to_vec();
        let cases = [
            ("a key for a certificate", read("k2048.key"), read("k2048.key"), "tls.crt: it is a private key"),
            ("no certificate", Vec::new(), read("k2048.key"), "tls.crt: there is no certificate"),
            ("no text", vec![0xff, 0xfe], read("k2048.key"), "tls.crt is no text"),
            ("half a certificate", read("k2048.crt")[..300].to_vec(), read("k2048.key"), "tls.crt: there is no"),
            ("a certificate for a key", read("k2048.crt"), read("k2048.crt"), "tls.key is no private key"),
            ("half a key", read("k2048.crt"), half, "tls.key is no private key"),
            ("an EC key", read("k2048.crt"), ec, "tls.key is not an RSA key"),
            ("nothing", read("k2048.crt"), Vec::new(), "tls.key is no private key"),
        ];
        for (name, certificate, key, expected) in cases {
            let problem = SealingKey::of(&secret(&certificate, &key), &Arc::default()).err().unwrap();
            assert!(problem.starts_with(expected), "{name}: {problem}");
        }
        assert_eq!(SealingKey::of(&Secret::default(), &Arc::default()).err().unwrap(), "it has no tls.crt");
    }

    #[test]
    fn the_key_that_fitted_last_time_is_tried_first() {
        let keys = ["k2048", "k3072-pkcs8", "k4096"].map(|name| {
            let secret = secret(&read(&format!("{name}.crt")), &read(&format!("{name}.key")));
            Arc::new(SealingKey::of(&secret, &Arc::default()).unwrap())
        });
        let last = keys[2].fingerprint.as_str().to_owned();
        let ring = KeyRing { keys: keys[..2].to_vec(), deleted: keys[2..].to_vec(), ..KeyRing::default() };
        assert_eq!(ring.in_order(&[(last.clone(), 1)].into(), None)[0].fingerprint().as_str(), last);
        assert_eq!(ring.in_order(&BTreeMap::new(), None)[2].fingerprint().as_str(), last, "deleted ones come last");
        assert_eq!(
            ring.in_order(&BTreeMap::new(), Some(&last))[0].fingerprint().as_str(),
            last,
            "unless they were of use"
        );
        assert_eq!(ring.facts()[2].state, "Deleted");
    }
}
