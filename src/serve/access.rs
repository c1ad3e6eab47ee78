//! The guard of the TLS port: a token that the API server knows, the right to the path, and a limit a caller.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use super::limit::{Limiter, refusal};
use crate::cluster::{Caller, Cluster, Error};

/// An answer of the API server counts this long: thousands of objects are sealed anew in one go.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Answers that are remembered at once.
const ANSWERS: usize = 1000;
/// What everybody may ask.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// Token (as its hash) and path, and who that is if they may.
type Answers = HashMap<(Vec<u8>, String, String), (Instant, Result<Caller, StatusCode>)>;

/// Asks the API server about every caller. Cheap to clone.
#[derive(Clone)]
pub(super) struct Guard {
    cluster: Cluster,
    limiter: Limiter,
    answers: Arc<Mutex<Answers>>,
}

impl Guard {
    pub(super) fn new(cluster: Cluster, a_second: u32) -> Self {
        Self { cluster, limiter: Limiter::new(a_second, a_second.saturating_mul(2)), answers: Arc::default() }
    }

    /// Puts the guard before these routes.
    pub(super) fn before(self, router: Router) -> Router {
        router.layer(from_fn_with_state(self, checked))
    }

    async fn ask(&self, token: &str, verb: &str, path: &str) -> Result<Caller, StatusCode> {
        let key = (digest(&SHA256, token.as_bytes()).as_ref().to_vec(), verb.to_owned(), path.to_owned());
        if let Some(known) = self.known(&key) {
            return known;
        }
        let answer = self.ask_the_api_server(token, verb, path).await.map_err(|error| {
            tracing::warn!(%error, "a caller could not be checked");
            StatusCode::SERVICE_UNAVAILABLE
        })?;
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= ANSWERS {
            answers.retain(|_, (at, _)| at.elapsed() < REMEMBERED);
        }
        if answers.len() < ANSWERS {
            answers.insert(key, (Instant::now(), answer.clone()));
        }
        answer
    }

    fn known(&self, key: &(Vec<u8>, String, String)) -> Option<Result<Caller, StatusCode>> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(key).filter(|(at, _)| at.elapsed() < REMEMBERED).map(|(_, answer)| answer.clone())
    }

    async fn ask_the_api_server(
        &self,
        token: &str,
        verb: &str,
        path: &str,
    ) -> Result<Result<Caller, StatusCode>, Error> {
        let Some(caller) = self.cluster.caller(token).await? else { return Ok(Err(StatusCode::UNAUTHORIZED)) };
        let permitted = self.cluster.permits(&caller, verb, path).await?;
        Ok(if permitted { Ok(caller) } else { Err(StatusCode::FORBIDDEN) })
    }
}

async fn checked(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    if OPEN.contains(&path.as_str()) {
        return next.run(request).await;
    }
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(token) = header.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim) else {
        return told(StatusCode::UNAUTHORIZED);
    };
    let verb = request.method().as_str().to_lowercase();
    match guard.ask(token, &verb, &path).await {
        Err(code) => told(code),
        Ok(caller) => match guard.limiter.admit(&caller.name) {
            Ok(()) => next.run(request).await,
            Err(wait) => refusal(wait),
        },
    }
}

fn told(code: StatusCode) -> Response {
    let words = match code {
        StatusCode::UNAUTHORIZED => "a bearer token of this cluster is needed (kubectl create token)\n",
        StatusCode::FORBIDDEN => "your account may not do this; ClusterRole chancery-sealing-client has the right\n",
        _ => "the API server does not say who you are; ask again\n",
    };
    (code, words).into_response()
}
