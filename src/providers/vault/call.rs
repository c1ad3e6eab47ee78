//! One call of Vault's API. The parts of vaultrs that fit every call are used (its middleware, its endpoint layer); the
//! answer is kept as text, so that numbers keep their digits, and leases are not lost.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use ::http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use async_trait::async_trait;
use rustify::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::providers::{Error, http};

/// Enterprise servers say with each answer how far their storage has come.
const INDEX: &str = "x-vault-index";

/// A call below `/v1/`.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: RequestMethod,
    pub(crate) path: String,
    /// Already encoded.
    pub(crate) query: Option<String>,
    pub(crate) body: Option<Value>,
}

impl Call {
    pub(crate) fn get(path: String) -> Self {
        Self { method: RequestMethod::GET, path, query: None, body: None }
    }

    pub(crate) fn list(path: String) -> Self {
        Self { method: RequestMethod::LIST, ..Self::get(path) }
    }

    pub(crate) fn post(path: String, body: Value) -> Self {
        Self { method: RequestMethod::POST, body: Some(body), ..Self::get(path) }
    }

    pub(crate) fn delete(path: String) -> Self {
        Self { method: RequestMethod::DELETE, ..Self::get(path) }
    }
}

impl Endpoint for Call {
    type Response = Answer;
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.clone()
    }

    fn method(&self) -> RequestMethod {
        self.method.clone()
    }

    fn query(&self) -> Result<Option<String>, ClientError> {
        Ok(self.query.clone())
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok(self.body.as_ref().map(|body| body.to_string().into_bytes()))
    }
}

/// What every answer looks like.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    pub(crate) data: Option<Box<RawValue>>,
    pub(crate) auth: Option<Box<RawValue>>,
    pub(crate) lease_id: String,
    lease_duration: u64,
    renewable: bool,
    request_id: String,
}

impl Answer {
    /// All of it as one object.
    pub(crate) fn whole(&self) -> Box<RawValue> {
        let part = |part: &Option<Box<RawValue>>| part.as_ref().map_or("null", |part| part.get()).to_owned();
        let lease = serde_json::json!({
            "lease_duration": self.lease_duration, "lease_id": self.lease_id, "renewable": self.renewable,
            "request_id": self.request_id,
        });
        let lease = lease.to_string();
        let text =
            format!("{},\"data\":{},\"auth\":{}}}", lease.trim_end_matches('}'), part(&self.data), part(&self.auth));
        RawValue::from_string(text).unwrap_or_default()
    }
}

/// Sends the calls: bounded in size, with the headers that the store asks for.
pub(crate) struct Wire {
    pub(crate) server: String,
    pub(crate) http: reqwest::Client,
    pub(crate) headers: BTreeMap<String, String>,
    /// What the server said last, when reads are to see our own writes.
    pub(crate) index: Option<Mutex<Option<String>>>,
}

impl Wire {
    fn dress(&self, request: &mut reqwest::Request) {
        let known = self.index.as_ref().and_then(|index| index.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let index = known.map(|index| (INDEX.to_owned(), index));
        for (name, value) in self.headers.iter().map(|(name, value)| (name.clone(), value.clone())).chain(index) {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                request.headers_mut().insert(name, value);
            }
        }
    }

    fn remember(&self, response: &reqwest::Response) {
        let said = response.headers().get(INDEX).and_then(|value| value.to_str().ok());
        if let (Some(index), Some(said)) = (&self.index, said) {
            *index.lock().unwrap_or_else(PoisonError::into_inner) = Some(said.to_owned());
        }
    }
}

#[async_trait]
impl rustify::client::Client for Wire {
    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, ClientError> {
        // Our own error travels within rustify's, and is taken out again where it is told.
        let wrap = |error: Error| ClientError::GenericError { source: error.into() };
        let mut request = reqwest::Request::try_from(request)
            .map_err(|_| wrap(Error::Configuration("the request cannot be made".to_owned())))?;
        self.dress(&mut request);
        let key = request.url().path().trim_start_matches("/v1/").to_owned();
        let answer = self.http.execute(request).await;
        let answer = answer.map_err(|error| wrap(http::unreachable(&self.server, &error)))?;
        self.remember(&answer);
        let status = answer.status();
        // rustify hands on no headers, and a redirect as an answer like any other.
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(wrap(Error::Throttled(http::asked_to_wait(answer.headers()))));
        }
        if status.is_redirection() {
            return Err(wrap(Error::Malformed { key, why: http::REDIRECT }));
        }
        let body = http::body(answer, &self.server, &key).await.map_err(wrap)?;
        let response = Response::builder().status(status).body(body);
        response.map_err(|_| wrap(Error::Malformed { key, why: "it is no HTTP" }))
    }

    fn base(&self) -> &str {
        &self.server
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_a_path() {
        let call = Call::get("secret/data/a b/c?d#e/%2f".to_owned());
        let url = call.url("https://vault:8200").unwrap().to_string();
        assert_eq!(url, "https://vault:8200/secret/data/a%20b/c%3Fd%23e/%252f");
    }
}
