//! `seal`'s bytes that are a secret, and nothing else of it.

#[path = "../../cli/src/secret_bytes.rs"]
mod secret_bytes;

pub use secret_bytes::SecretBytes;
