//! The item format of Sealed Secrets, and what is needed around it, without I/O.

mod secret_bytes;

pub use secret_bytes::SecretBytes;
