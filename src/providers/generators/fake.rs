//! What stands in the spec: for tests.

use async_trait::async_trait;

use super::{Generator, Making};
use crate::api::generators::FakeSpec;
use crate::providers::{Error, FetchedMap};

pub(super) struct Fake(pub(super) FakeSpec);

#[async_trait]
impl Generator for Fake {
    async fn generate(&self, _: Making) -> Result<FetchedMap, Error> {
        let values = self.0.data.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
        Ok(FetchedMap { values, version: None })
    }
}
