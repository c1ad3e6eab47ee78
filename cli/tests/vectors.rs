//! Items that others sealed, and items that nobody can open: `vectors/vectors.json`, both directions.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use seal::{Certificate, OpenError, RsaUnwrapKey, Scope, UnwrapKey, open_item, seal_item};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    keys: BTreeMap<String, Key>,
    decrypt_ok: Vec<Opens>,
    decrypt_fail: Vec<Fails>,
}

#[derive(Deserialize)]
struct Key {
    private: String,
    cert: String,
    bits: usize,
    ssh_fingerprint: String,
}

#[derive(Deserialize)]
struct Opens {
    id: String,
    key: String,
    scope: String,
    namespace: String,
    name: String,
    label: String,
    plaintext_b64: String,
    item: String,
}

#[derive(Deserialize)]
struct Fails {
    id: String,
    key: String,
    label: String,
    item: String,
}

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(file)).unwrap()
}

fn vectors() -> Vectors {
    serde_json::from_str(&read("vectors.json")).unwrap()
}

fn private(vectors: &Vectors, key: &str) -> RsaUnwrapKey {
    RsaUnwrapKey::from_pem(&read(&vectors.keys[key].private)).unwrap()
}

fn certificate(vectors: &Vectors, key: &str) -> Certificate {
    Certificate::from_pem(&read(&vectors.keys[key].cert)).unwrap()
}

fn only(key: &RsaUnwrapKey) -> [&dyn UnwrapKey; 1] {
    [key]
}

#[test]
fn what_others_sealed_opens() {
    let vectors = vectors();
    for case in &vectors.decrypt_ok {
        let scope: Scope = case.scope.parse().unwrap();
        let label = scope.label(&case.namespace, &case.name);
        assert_eq!(label, case.label.as_bytes(), "{}", case.id);
        let opened = open_item(&case.item, &label, only(&private(&vectors, &case.key))).unwrap();
        assert_eq!(opened.value.expose(), STANDARD.decode(&case.plaintext_b64).unwrap(), "{}", case.id);
    }
    assert_eq!(vectors.decrypt_ok.len(), 13);
}

#[test]
fn what_must_not_open_does_not() {
    let vectors = vectors();
    for case in &vectors.decrypt_fail {
        let key = private(&vectors, &case.key);
        assert!(open_item(&case.item, case.label.as_bytes(), only(&key)).is_err(), "{}", case.id);
    }
    assert_eq!(vectors.decrypt_fail.len(), 14);
}

#[test]
fn fingerprints_and_sizes_are_as_openssh_and_the_certificates_say() {
    let vectors = vectors();
    for (name, key) in &vectors.keys {
        let certificate = certificate(&vectors, name);
        assert_eq!(certificate.fingerprint.as_str(), key.ssh_fingerprint, "{name}");
        assert_eq!(private(&vectors, name).fingerprint(), &certificate.fingerprint, "{name}");
        assert!(key.bits >= 2048);
    }
}

#[test]
fn what_we_seal_opens_in_its_place_and_nowhere_else() {
    let vectors = vectors();
    let value = b"bar".to_vec().into();
    for name in vectors.keys.keys() {
        let (certificate, key) = (certificate(&vectors, name), private(&vectors, name));
        for scope in [Scope::Strict, Scope::NamespaceWide, Scope::ClusterWide] {
            let label = scope.label("ns", "name");
            let item = seal_item(&mut rand::rng(), &certificate, &label, &value).unwrap();
            assert_eq!(open_item(&item, &label, only(&key)).unwrap().value, value, "{name} {scope}");
            let elsewhere = open_item(&item, &Scope::Strict.label("ns", "other"), only(&key));
            assert_eq!(elsewhere.unwrap_err(), OpenError::NoKey, "{name} {scope}");
        }
    }
}

#[test]
fn the_key_that_fits_is_found_among_others() {
    let vectors = vectors();
    let item = seal_item(&mut rand::rng(), &certificate(&vectors, "k2048"), b"", &b"x".to_vec().into()).unwrap();
    let (other, right) = (private(&vectors, "kother"), private(&vectors, "k2048"));
    let keys: [&dyn UnwrapKey; 2] = [&other, &right];
    assert_eq!(open_item(&item, b"", keys).unwrap().key, *right.fingerprint());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_value_survives_and_any_damage_is_noticed(
        value in proptest::collection::vec(any::<u8>(), 0..200),
        label in "[a-z]{0,8}",
        damaged in any::<prop::sample::Index>(),
    ) {
        let vectors = vectors();
        let (certificate, key) = (certificate(&vectors, "k2048"), private(&vectors, "k2048"));
        let item = seal_item(&mut rand::rng(), &certificate, label.as_bytes(), &value.clone().into()).unwrap();
        let opened = open_item(&item, label.as_bytes(), only(&key)).unwrap();
        prop_assert_eq!(opened.value.expose(), &value[..]);
        let mut bytes = STANDARD.decode(&item).unwrap();
        let index = damaged.index(bytes.len());
        bytes[index] ^= 1;
        prop_assert!(open_item(&STANDARD.encode(&bytes), label.as_bytes(), only(&key)).is_err());
    }
}
