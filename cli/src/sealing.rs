//! Sealing: needs the public key only.

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit};
use rand::CryptoRng;
use rsa::Oaep;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::api::{SealedSecret, SealedSecretSpec, SecretTemplate, TemplateMetadata};
use crate::certificate::Certificate;
use crate::manifest::Secret;
use crate::scope::Scope;
use crate::secret_bytes::SecretBytes;
use crate::wire;

/// Bytes of a session key.
const SESSION_KEY: usize = 32;

/// Annotations that hold a copy of the whole Secret, values included (bitnami/sealed-secrets#227).
const COPIES: [&str; 2] =
    ["kubectl.kubernetes.io/last-applied-configuration", "kubecfg.ksonnet.io/last-applied-configuration"];

/// Why a Secret cannot be sealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key refuses: it cannot hold a session key.
    #[error("the certificate's key cannot wrap a session key")]
    Key,
    /// AES refuses: the value is longer than AES-GCM can take.
    #[error("the value is too long to be sealed")]
    TooLong,
    /// Nothing to seal.
    #[error(
        "Secret.data is empty in input Secret, assuming this is an error and aborting. To work with empty data, --allow-empty-data can be used"
    )]
    Empty,
    /// Strict scope binds to a name.
    #[error("the Secret has no metadata.name, which strict scope seals the values to")]
    NoName,
    /// Strict and namespace-wide scope bind to a namespace.
    #[error("the Secret has no namespace, which {0} scope seals the values to")]
    NoNamespace(Scope),
}

/// Seals one value and returns it as base64.
///
/// # Errors
///
/// [`SealError::Key`], [`SealError::TooLong`].
pub fn seal_item(
    rng: &mut impl CryptoRng,
    certificate: &Certificate,
    label: &[u8],
    value: &SecretBytes,
) -> Result<String, SealError> {
    let mut session_key = Zeroizing::new([0_u8; SESSION_KEY]);
    rng.fill_bytes(&mut session_key[..]);
    let payload = Aes256Gcm::new_from_slice(&session_key[..])
        .map_err(|_| SealError::TooLong)?
        // The nonce may be zero because this key seals this value and nothing else.
        .encrypt(&Default::default(), value.expose())
        .map_err(|_| SealError::TooLong)?;
    let wrapped_key = certificate
        .public_key
        .encrypt(rng, Oaep::<Sha256>::new_with_label(label), &session_key[..])
        .map_err(|_| SealError::Key)?;
    let sealed = wire::frame(&wrapped_key, &payload).map_err(|_| SealError::Key)?;
    Ok(wire::encode(&sealed))
}

/// Seals a whole Secret into the SealedSecret that makes it again.
///
/// The Secret's metadata goes into the template, without what the API server sets and without annotations that hold
/// a copy of the values. The SealedSecret itself gets name, namespace and the scope's annotation, as kubeseal has it.
///
/// # Errors
///
/// [`SealError`].
pub fn seal_secret(
    rng: &mut impl CryptoRng,
    certificate: &Certificate,
    scope: Scope,
    secret: &Secret,
    allow_empty: bool,
) -> Result<SealedSecret, SealError> {
    let namespace = secret.namespace.as_deref().unwrap_or_default();
    let name = secret.name.as_deref().unwrap_or_default();
    if scope == Scope::Strict && name.is_empty() {
        return Err(SealError::NoName);
    }
    if scope != Scope::ClusterWide && namespace.is_empty() {
        return Err(SealError::NoNamespace(scope));
    }
    if secret.data.is_empty() && !allow_empty {
        return Err(SealError::Empty);
    }
    let label = scope.label(namespace, name);
    let encrypted_data = secret
        .data
        .iter()
        .map(|(key, value)| Ok((key.clone(), seal_item(rng, certificate, &label, value)?)))
        .collect::<Result<_, SealError>>()?;
    let mut annotations = secret.annotations.clone();
    annotations.retain(|name, _| !COPIES.contains(&name.as_str()));
    for other in [crate::scope::NAMESPACE_WIDE, crate::scope::CLUSTER_WIDE] {
        annotations.remove(other);
    }
    let own: std::collections::BTreeMap<_, _> =
        scope.annotation().map(|name| (name.to_owned(), "true".to_owned())).into_iter().collect();
    annotations.extend(own.clone());
    let mut sealed = SealedSecret::new(
        name,
        SealedSecretSpec {
            encrypted_data,
            template: Some(SecretTemplate {
                metadata: Some(TemplateMetadata {
                    name: secret.name.clone(),
                    namespace: secret.namespace.clone(),
                    labels: secret.labels.clone(),
                    annotations,
                    finalizers: secret.finalizers.clone(),
                    other: secret
                        .generate_name
                        .iter()
                        .map(|prefix| ("generateName".to_owned(), prefix.as_str().into()))
                        .collect(),
                }),
                type_: secret.type_.clone(),
                immutable: secret.immutable,
                data: None,
            }),
            data: None,
        },
    );
    sealed.metadata.namespace = secret.namespace.clone();
    sealed.metadata.annotations = Some(own).filter(|own| !own.is_empty());
    Ok(sealed)
}
