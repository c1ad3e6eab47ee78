//! The item format of Sealed Secrets and what is needed around it: no I/O, no clock, no environment, so that the same
//! code runs in the `seal` command, in the operator and in a browser.

/// `SealedSecret`, as users write it.
pub mod api;
mod certificate;
/// Secrets as people hand them in.
pub mod manifest;
mod opening;
mod scope;
mod sealing;
mod secret_bytes;
mod validity;
/// The bytes of one item.
pub mod wire;
/// YAML as Kubernetes' tools read and write it.
pub mod yaml;

pub use certificate::{Certificate, CertificateError, Fingerprint};
pub use opening::{NotAPrivateKey, OpenError, Opened, RsaUnwrapKey, UnwrapKey, open_item};
pub use scope::{CLUSTER_WIDE, NAMESPACE_WIDE, Scope, UnknownScope};
pub use sealing::{SealError, seal_item, seal_secret};
pub use secret_bytes::SecretBytes;
pub use validity::validity;
