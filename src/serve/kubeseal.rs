//! What kubeseal asks: the certificate, whether an object opens, and the same object sealed with the newest key.
//!
//! Nothing here evaluates a template, and nothing answers differently for a wrong label, a wrong key or a bad tag
//! (invariant 7): every item is tried with every key until one fits, and what does not fit costs the same for each reason.

use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use kube::ResourceExt;
use seal::{Scope, seal_item};
use serde_json::{Map, Value};

use super::limit::Limiter;
use crate::api::SealedSecret;
use crate::cluster::Keys;
use crate::controllers::Context;
use crate::decide::sealed_secret::{self as decide, Opened};
use crate::telemetry::sealed_secrets::{HttpLabels, HttpTimeLabels};

/// Largest body that is read, as the reference's newest version has it.
const LARGEST_BODY: usize = 10 * 1024 * 1024;
/// Fields of metadata that only the API server writes: the answer is for Git.
const SERVERS: [&str; 7] =
    ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink", "deletionTimestamp"];

/// What the endpoints need.
#[derive(Clone)]
pub(super) struct Kubeseal {
    context: Context,
    keys: Keys,
}

/// The endpoints of the plain port, with the reference's limit: the API server's proxy strips who asks.
pub(super) fn plain(context: Context, keys: Keys) -> Router {
    let flags = &context.settings.sealed;
    let limiter = Limiter::new(flags.rate_limit, flags.rate_limit_burst);
    let limited = limited().layer(from_fn_with_state(limiter, by_address));
    routes(Kubeseal { context, keys }, limited)
}

/// The same behind a guard of its own.
pub(super) fn guarded(context: Context, keys: Keys, guard: impl FnOnce(Router) -> Router) -> Router {
    guard(routes(Kubeseal { context, keys }, limited()))
}

fn limited() -> Router<Kubeseal> {
    Router::new().route("/v1/verify", post(verify)).route("/v1/rotate", post(rotate))
}

fn routes(kubeseal: Kubeseal, limited: Router<Kubeseal>) -> Router {
    limited
        .route("/v1/cert.pem", any(certificate))
        .route("/healthz", any(|| async { "ok\n" }))
        .route("/readyz", any(readyz))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(from_fn_with_state(kubeseal.context.clone(), counted))
        .with_state(kubeseal)
}

/// The newest certificate. Without one: 503 and the way on.
async fn certificate(State(Kubeseal { keys, .. }): State<Kubeseal>) -> Response {
    match keys.ring().certificate() {
        Some(pem) => ([(header::CONTENT_TYPE, "application/x-pem-file")], pem.to_owned()).into_response(),
        None => {
            let words = keys.refusal().unwrap_or_else(|| "the sealing key is being made; ask again".to_owned());
            (StatusCode::SERVICE_UNAVAILABLE, words + "\n").into_response()
        }
    }
}

async fn readyz(State(Kubeseal { context, .. }): State<Kubeseal>) -> Response {
    super::readiness(&context)
}

/// 200 when every item opens, 409 when one does not, 500 when there is no SealedSecret to look at.
async fn verify(State(kubeseal): State<Kubeseal>, body: Bytes) -> Response {
    let Ok(object) = parsed(&body) else { return unreadable() };
    match kubeseal.open(object.typed).await {
        Some(Ok(Opened { failed: None, .. })) => StatusCode::OK.into_response(),
        Some(_) => StatusCode::CONFLICT.into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The object with every item sealed anew for the newest key, and all else as it was.
async fn rotate(State(kubeseal): State<Kubeseal>, body: Bytes) -> Response {
    let Ok(object) = parsed(&body) else { return unreadable() };
    let refused = |words: &str| (StatusCode::INTERNAL_SERVER_ERROR, format!("{words}\n")).into_response();
    let opened = match kubeseal.open(object.typed.clone()).await {
        Some(Ok(opened)) => opened,
        Some(Err(error)) => return refused(&error.to_string()),
        None => return refused("opening was interrupted"),
    };
    if let Some(error) = &opened.failed {
        return refused(&error.to_string());
    }
    let ring = kubeseal.keys.ring();
    let sealing = move || ring.sealing_certificate().map(|certificate| resealed(object, &opened, certificate));
    match kubeseal.keys.at_work(sealing).await {
        Some(Some(Ok(value))) => ([(header::CONTENT_TYPE, "application/json")], format!("{value}\n")).into_response(),
        Some(Some(Err(error))) => refused(&error.to_string()),
        Some(None) => refused("there is no key to seal with"),
        None => refused("sealing was interrupted"),
    }
}

impl Kubeseal {
    async fn open(&self, object: SealedSecret) -> Option<Result<Opened, decide::Error>> {
        let ring = self.keys.ring();
        let old_form = self.context.settings.sealed.accept_deprecated_v1_data;
        self.keys.at_work(move || decide::open(&object, &ring.in_order(&Default::default(), None), old_form)).await
    }
}

/// A SealedSecret as it was sent, and as we read it.
struct Sent {
    fields: Map<String, Value>,
    typed: SealedSecret,
}

/// One document, JSON or YAML, that says that it is a SealedSecret.
fn parsed(body: &[u8]) -> Result<Sent, ()> {
    let text = std::str::from_utf8(body).map_err(drop)?;
    let value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(_) => {
            let mut documents = seal::yaml::documents(text, seal::yaml::Duplicates::LastWins).map_err(drop)?;
            let last = documents.pop().ok_or(())?;
            if documents.is_empty() { last } else { return Err(()) }
        }
    };
    let Value::Object(fields) = value else { return Err(()) };
    let says = |field: &str, wanted: &str| fields.get(field).and_then(Value::as_str) == Some(wanted);
    if !says("kind", "SealedSecret") || !says("apiVersion", "bitnami.com/v1alpha1") {
        return Err(());
    }
    let typed = serde_json::from_value(Value::Object(fields.clone())).map_err(drop)?;
    Ok(Sent { fields, typed })
}

fn unreadable() -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, "this is not one SealedSecret in JSON or YAML\n").into_response()
}

/// Seals under the label that the object's own annotations give, the one it was opened with: no scope is ever widened.
fn resealed(sent: Sent, opened: &Opened, certificate: &seal::Certificate) -> Result<Value, seal::SealError> {
    let Sent { mut fields, typed } = sent;
    let label = Scope::of(typed.annotations()).label(&typed.namespace().unwrap_or_default(), &typed.name_any());
    let mut random = rand::rng();
    let mut items = Map::new();
    for (name, value) in &opened.items {
        items.insert(name.clone(), seal_item(&mut random, certificate, &label, value)?.into());
    }
    fields.remove("status");
    if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
        SERVERS.iter().for_each(|name| drop(metadata.remove(*name)));
    }
    if let Some(Value::Object(spec)) = fields.get_mut("spec") {
        match opened.old_form {
            true => spec.extend(items),
            false => drop(spec.insert("encryptedData".to_owned(), Value::Object(items))),
        }
        // The reference's readers expect it.
        let template = spec.entry("template").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(template) = template {
            template.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        }
    }
    Ok(Value::Object(fields))
}

/// The reference's limit: for each path and each address that the proxy says it forwards for.
async fn by_address(State(limiter): State<Limiter>, headers: HeaderMap, request: Request, next: Next) -> Response {
    let from =
        headers.get("x-forwarded-for").map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default();
    match limiter.admit(&format!("{} {from}", request.uri().path())) {
        Ok(()) => next.run(request).await,
        Err(wait) => super::limit::refusal(wait),
    }
}

/// Counts under the reference's names.
async fn counted(State(context): State<Context>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
    let method = request.method().to_string().to_lowercase();
    let started = Instant::now();
    let response = next.run(request).await;
    let code = response.status().as_u16().to_string();
    let reference = &context.metrics.reference;
    let time = HttpTimeLabels { path: path.clone(), method: method.clone() };
    reference.http_seconds.get_or_create(&time).observe(started.elapsed().as_secs_f64());
    reference.http_requests.get_or_create(&HttpLabels { path, code, method }).inc();
    response
}

#[cfg(test)]
mod tests {
    use seal::{Certificate, RsaUnwrapKey, UnwrapKey};
    use serde_json::json;

    use super::*;

    fn read(file: &str) -> String {
        std::fs::read_to_string(format!("{}/cli/tests/vectors/keys/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn item(label: &[u8]) -> String {
        let certificate = Certificate::from_pem(&read("k2048.crt")).unwrap();
        seal_item(&mut rand::rng(), &certificate, label, &b"v".to_vec().into()).unwrap()
    }

    #[test]
    fn what_is_not_one_sealed_secret_is_told_from_what_is() {
        let one = json!({
            "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "metadata": { "name": "x", "namespace": "ns" },
            "spec": { "encryptedData": {} },
        });
        let cases = [
            ("JSON", one.to_string(), true),
            ("YAML", "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: x}\nspec: {encryptedData: {}}\n".to_owned(), true),
            ("two documents", format!("{one}\n---\n{one}\n"), false),
            ("a Secret", one.to_string().replace("SealedSecret", "Secret"), false),
            ("another version", one.to_string().replace("v1alpha1", "v1"), false),
            ("words", "hello".to_owned(), false),
            ("nothing", String::new(), false),
            ("a list", "[]".to_owned(), false),
        ];
        for (name, body, expected) in cases {
            assert_eq!(parsed(body.as_bytes()).is_ok(), expected, "{name}");
        }
        assert!(parsed(&[0xff, 0xfe]).is_err());
    }

    #[test]
    fn sealing_anew_changes_items_and_nothing_else() {
        let key = RsaUnwrapKey::from_pem(&read("k2048.key")).unwrap();
        let newest =
            (Certificate::from_pem(&read("kother.crt")).unwrap(), RsaUnwrapKey::from_pem(&read("kother.key")).unwrap());
        let object = json!({
            "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
            "metadata": {
                "name": "x", "namespace": "ns", "uid": "u", "resourceVersion": "1", "labels": { "a": "b" },
                "annotations": { "note": "x" },
            },
            "spec": {
                "encryptedData": { "pin": item(b"ns/x") },
                "template": {
                    "type": "t", "immutable": true, "data": { "c": "{{ .pin }}" },
                    "metadata": { "annotations": { seal::CLUSTER_WIDE: "true" } },
                },
            },
            "status": { "observedGeneration": 1 },
        });
        let sent = parsed(object.to_string().as_bytes()).unwrap();
        let opened = decide::open(&sent.typed, &[&key], true).unwrap();
        let mut answer = resealed(sent, &opened, &newest.0).unwrap();
        let pin = answer["spec"]["encryptedData"]["pin"].take();
        let keys: [&dyn UnwrapKey; 1] = [&newest.1];
        assert_eq!(seal::open_item(pin.as_str().unwrap(), b"ns/x", keys).unwrap().value.expose(), b"v");
        assert!(seal::open_item(pin.as_str().unwrap(), b"", keys).is_err(), "the template widens nothing");
        let mut expected = object;
        expected["spec"]["encryptedData"]["pin"] = Value::Null;
        expected.as_object_mut().unwrap().remove("status");
        for name in ["uid", "resourceVersion"] {
            expected["metadata"].as_object_mut().unwrap().remove(name);
        }
        assert_eq!(answer, expected);
    }
}
