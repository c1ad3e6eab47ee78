//! What a web service answers.

use async_trait::async_trait;

use super::{Generator, Making};
use crate::api::external_secret::RemoteRef;
use crate::api::secret_store::Webhook as Settings;
use crate::plan::Reference;
use crate::providers::references::References;
use crate::providers::webhook::WebhookProvider;
use crate::providers::{Error, FetchedMap, Provider};

/// The same settings as a store's.
pub(super) struct Webhook(pub(super) Settings);

#[async_trait]
impl Generator for Webhook {
    fn references(&self) -> Vec<Reference<'_>> {
        let mut found = References::default();
        found.webhook(&self.0);
        found.0
    }

    async fn generate(&self, making: Making) -> Result<FetchedMap, Error> {
        let provider = WebhookProvider::new(&self.0, &making.access())?;
        let reference = RemoteRef::default();
        let payload = provider.fetch(&reference).await?;
        Ok(FetchedMap { values: provider.map(&payload, &reference)?, version: None })
    }
}
