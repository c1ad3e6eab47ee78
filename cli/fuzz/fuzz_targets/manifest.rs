//! Manifests: whatever can be read is edited as meant, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seal::edit::{Change, edit};
use seal::{check, manifest, tree};

fuzz_target!(|bytes: &[u8]| {
    let Ok((text, encoding)) = seal::Encoding::decode(bytes) else { return };
    assert_eq!(seal::Encoding::decode(&encoding.encode(&text)), Ok((text.clone(), encoding)));
    let _ = manifest::read_secrets(&text);
    let _ = check::check(&text, &check::Known::default());
    let Ok(documents) = tree::read(&text) else { return };
    for index in 0..tree::objects(&documents).len().min(3) {
        let change = Change::set(&["spec", "encryptedData", "key"], "AgB");
        if let Ok(edited) = edit(&text, index, &[change]) {
            assert!(edited.contains("AgB"));
            let _ = edit(&edited, index, &[Change::remove(&["spec", "encryptedData", "key"])]);
        }
    }
});
