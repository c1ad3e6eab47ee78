//! HTTP: probes and metrics on one port, the kubeseal endpoints on another.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cluster::Keys;
use crate::controllers::Context;
use crate::telemetry::Also;

mod access;
mod kubeseal;
mod limit;
mod tls;

/// Serves `/livez`, `/readyz`, `/healthz` and `/metrics` until the end.
///
/// # Errors
///
/// The address cannot be bound.
pub async fn probes(address: SocketAddr, context: Context) -> std::io::Result<()> {
    let stop = context.stop.clone();
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(context));
    serve(address, router, stop).await
}

/// Serves what kubeseal asks until the end, on every replica.
///
/// # Errors
///
/// The address cannot be bound.
pub async fn sealing(context: Context, keys: Keys) -> std::io::Result<()> {
    let (address, stop) = (context.settings.listen, context.stop.clone());
    serve(address, kubeseal::plain(context, keys), stop).await
}

/// Serves the same with TLS to callers whom the API server knows and permits, with a limit for each of them.
///
/// # Errors
///
/// The address cannot be bound, or the certificate cannot be read.
pub async fn sealing_with_tls(address: SocketAddr, context: Context, keys: Keys) -> std::io::Result<()> {
    let flags = &context.settings.sealed;
    let files = flags.tls_cert.clone().zip(flags.tls_key.clone());
    let (certificate, key) = files.ok_or_else(|| std::io::Error::other("--tls-cert and --tls-key are needed"))?;
    let stop = context.stop.clone();
    let listener = tls::Listener::bind(address, certificate, key, stop.clone()).await?;
    let guard = access::Guard::new(context.cluster.clone(), flags.caller_rate_limit);
    let router = kubeseal::guarded(context, keys, |router| guard.before(router));
    axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await
}

async fn readyz(State(context): State<Arc<Context>>) -> Response {
    readiness(&context)
}

fn readiness(context: &Context) -> Response {
    let waiting = context.unready();
    if waiting.is_empty() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for the first list of: {}\n", waiting.join(", ")))
            .into_response()
    }
}

async fn metrics(State(context): State<Arc<Context>>) -> Response {
    let settings = &context.settings;
    let also =
        Also { sealed_secrets: settings.sealed.sealed_secrets_metrics, external_secrets: settings.external.metrics };
    match context.metrics.render(also) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn serve(address: SocketAddr, router: Router, stop: CancellationToken) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "serving");
    axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await
}
