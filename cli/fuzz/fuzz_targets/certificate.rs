//! Certificates and keys from anywhere.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(certificate) = seal::Certificate::from_pem(text) {
        assert_eq!(certificate.fingerprint.as_str().parse(), Ok(certificate.fingerprint.clone()));
    }
    let _ = seal::Certificate::all_from_pem(text);
    let _ = seal::RsaUnwrapKey::from_pem(text);
    // The bytes as the inside of a block, so that the reader behind the PEM is reached.
    let block = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", seal::wire::encode(bytes));
    let _ = seal::Certificate::from_pem(&block);
});
