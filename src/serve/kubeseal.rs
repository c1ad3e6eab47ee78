//! The endpoints that kubeseal asks.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::cluster::Keys;

/// `/v1/cert.pem` and `/healthz`, as the reference has them.
pub(super) fn routes(keys: Keys) -> Router {
    Router::new().route("/v1/cert.pem", get(certificate)).route("/healthz", get(|| async { "ok\n" })).with_state(keys)
}

/// The newest certificate. Without one: 503 and the way on.
async fn certificate(State(keys): State<Keys>) -> Response {
    match keys.ring().certificate() {
        Some(pem) => ([(header::CONTENT_TYPE, "application/x-pem-file")], pem.to_owned()).into_response(),
        None => {
            let words = keys.refusal().unwrap_or_else(|| "the sealing key is being made; ask again".to_owned());
            (StatusCode::SERVICE_UNAVAILABLE, words + "\n").into_response()
        }
    }
}
