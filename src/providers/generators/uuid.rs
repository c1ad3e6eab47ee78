//! Random UUIDs (RFC 9562, version 4).

use async_trait::async_trait;

use super::{Generator, Making, random};
use crate::providers::{Error, FetchedMap};

pub(super) struct Uuid;

#[async_trait]
impl Generator for Uuid {
    async fn generate(&self, _: Making) -> Result<FetchedMap, Error> {
        let mut bytes = random(16)?;
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
        Ok(FetchedMap { values: vec![("uuid".to_owned(), text.into())], version: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_uuid_has_its_version_and_variant_and_is_another_each_time() {
        let make = async || {
            let made = Uuid.generate(Making::default()).await.unwrap();
            String::from_utf8(made.values[0].1.expose().to_vec()).unwrap()
        };
        let (one, two) = (make().await, make().await);
        assert_eq!(one.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_eq!(&one[14..15], "4");
        assert!(matches!(&one[19..20], "8" | "9" | "a" | "b"), "{one}");
        assert_ne!(one, two);
    }
}
