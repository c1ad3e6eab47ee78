//! The item format of Sealed Secrets and what is needed around it: no I/O, no clock, no environment, so that the same
//! code runs in the `seal` command, in the operator and in a browser.

/// `SealedSecret`, as users write it.
pub mod api;
mod certificate;
/// What can be known where no private key is.
pub mod check;
/// Changes to a manifest that touch nothing else.
pub mod edit;
mod encoding;
/// Secrets as people hand them in.
pub mod manifest;
/// What `seal` notes beside the items.
pub mod marks;
mod opening;
mod scope;
mod sealing;
mod secret_bytes;
/// Where everything stands in a manifest.
pub mod tree;
mod validity;
/// The bytes of one item.
pub mod wire;
/// YAML as Kubernetes' tools read and write it.
pub mod yaml;

pub use certificate::{Certificate, CertificateError, Fingerprint, NotAFingerprint};
pub use encoding::{Encoding, NotText};
pub use opening::{NotAPrivateKey, OpenError, Opened, RsaUnwrapKey, UnwrapKey, open_item};
pub use scope::{CLUSTER_WIDE, NAMESPACE_WIDE, Scope, UnknownScope};
pub use sealing::{SealError, seal_item, seal_secret};
pub use secret_bytes::SecretBytes;
pub use validity::validity;
