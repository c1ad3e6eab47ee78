//! A transport that reads no answer beyond its bound, whoever answers at the address: the SDK reads whatever comes.

use async_trait::async_trait;
use azure_core::error::{Error, ErrorKind};
use azure_core::http::{AsyncRawResponse, HttpClient, Request};
use futures::StreamExt;

use crate::providers::LARGEST_ANSWER;

#[derive(Debug)]
pub(super) struct Bounded(pub(super) reqwest::Client);

#[async_trait]
impl HttpClient for Bounded {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let (status, headers, body) = HttpClient::execute_request(&self.0, request).await?.deconstruct();
        let mut left = LARGEST_ANSWER;
        let bounded = body.map(move |chunk| {
            let chunk = chunk?;
            left = left.checked_sub(chunk.len()).ok_or_else(too_large)?;
            Ok(chunk)
        });
        Ok(AsyncRawResponse::new(status, headers, Box::pin(bounded)))
    }
}

fn too_large() -> Error {
    Error::with_message(ErrorKind::DataConversion, "the answer is larger than 2 MiB")
}
