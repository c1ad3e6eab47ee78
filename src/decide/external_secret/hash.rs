//! Upstream's marks: what it writes into statuses and on Secrets, computed exactly, so that a hand-over rewrites nothing.

use std::collections::BTreeMap;
use std::fmt::Write;

use kube::ResourceExt;
use kube::api::ObjectMeta;
use seal::SecretBytes;
use sha3::{Digest, Sha3_224};

use crate::api::ExternalSecret;

/// Longest field manager that upstream writes in full.
const LONGEST_MANAGER: usize = 63;
/// What upstream's field managers begin with.
const MANAGER: &str = "externalsecrets.external-secrets.io/";

/// The field manager that upstream uses for one object: the keys of a Secret that are ours are known by it.
pub fn field_manager(name: &str) -> String {
    let plain = format!("{MANAGER}{name}");
    if plain.len() <= LONGEST_MANAGER { plain } else { format!("{MANAGER}sha3/{}", sha3(name.as_bytes())) }
}

/// Upstream's label that names the maker: a hash of `namespace/name`.
pub(super) fn created_by(object: &ExternalSecret) -> String {
    sha3(format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any()).as_bytes())
}

/// Upstream's mark of what was handled: the generation, and a hash of labels and annotations as Go prints them.
pub fn synced_resource_version(metadata: &ObjectMeta) -> String {
    let printed = |map: Option<&BTreeMap<String, String>>| {
        let entries: Vec<_> = map.into_iter().flatten().map(|(key, value)| format!("{key}:{value}")).collect();
        format!("map[{}]", entries.join(" "))
    };
    let (annotations, labels) = (printed(metadata.annotations.as_ref()), printed(metadata.labels.as_ref()));
    let text = format!("{{annotations:{annotations} labels:{labels}}}");
    format!("{}-{}", metadata.generation.unwrap_or_default(), sha3(text.as_bytes()))
}

/// Upstream's hash of a Secret's data, as Go prints the map. It has no key: whoever reads it can try guesses.
pub fn data_hash(data: &BTreeMap<String, SecretBytes>) -> String {
    let mut hash = Sha3_224::new();
    hash.update(b"map[");
    for (index, (key, value)) in data.iter().enumerate() {
        let space = if index > 0 { " " } else { "" };
        hash.update(format!("{space}{key}:["));
        for (index, byte) in value.expose().iter().enumerate() {
            let space = if index > 0 { " " } else { "" };
            hash.update(format!("{space}{byte}"));
        }
        hash.update(b"]");
    }
    hash.update(b"]");
    hexadecimal(&hash.finalize())
}

fn sha3(text: &[u8]) -> String {
    hexadecimal(&Sha3_224::digest(text))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a String does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The study's vectors, two of which are constants of upstream's own tests.
    #[test]
    fn upstreams_hashes_are_computed_exactly() {
        let data = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned().into())).collect::<BTreeMap<_, _>>()
        };
        for (pairs, expected) in [
            (&[][..], "74a974446e359fb3e6baff9bd0058950e6edd0f040888d9989b0a11b"),
            (&[("foo", "value1"), ("bar", "value2")][..], "1bed8bcbcb4547ffe19a19cd47d9078e84aa6598266d86b99f992d64"),
            (&[("a", "")][..], "b4267d3031c382774d3148a47147cc308a0e534ac8381b5d58565df8"),
        ] {
            assert_eq!(data_hash(&data(pairs)), expected);
        }
        let metadata = ObjectMeta { generation: Some(1), ..ObjectMeta::default() };
        let expected = "1-f47fe3c0b255b6dd8047cdffa772587bb829efe7a1cb70febeda2eb2";
        assert_eq!(synced_resource_version(&metadata), expected);
        let mut object = ExternalSecret::new("test-es", crate::api::external_secret::ExternalSecretSpec::default());
        object.metadata.namespace = Some("default".to_owned());
        assert_eq!(created_by(&object), "a8e09351ea392b727f69f63683b28619fbed1174f572e728706a9ea8");
    }

    #[test]
    fn long_names_are_hashed_in_the_manager() {
        assert_eq!(field_manager("db"), "externalsecrets.external-secrets.io/db");
        assert!(field_manager(&"x".repeat(27)).ends_with("xxx"));
        assert!(field_manager(&"x".repeat(28)).starts_with("externalsecrets.external-secrets.io/sha3/"));
    }
}
