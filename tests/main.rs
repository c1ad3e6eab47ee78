//! The operator from outside, on the real servers of the bed: one file a capability.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod application;
mod deploy;
mod external_secret;
mod external_secret_bad_input;
mod external_secret_cluster;
mod ground;
mod keys;
#[path = "../cli/tests/lab/mod.rs"]
#[expect(clippy::panic, reason = "a test may panic")]
mod lab;
mod project;
mod providers;
mod scenarios;
mod seal;
mod sealed_secret;
mod sealed_secret_handover;
mod sealed_secret_recorded;
mod sealed_secret_templates;
mod sealed_secret_trouble;
mod sealed_secret_upstream;
mod sealing_endpoints;
#[path = "../cli/tests/shape/mod.rs"]
mod shape;
mod support;
