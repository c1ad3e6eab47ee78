//! Values that are made, not kept: one file a kind.

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde_json::Value;

use seal::SecretBytes;

use super::references::References;
use super::{Endpoints, Error, FetchedMap};
use crate::api::Carried;
use crate::api::external_secret::StoreKind;
use crate::api::secret_store::{AwsAuth, Provider};
use crate::plan::{Credentials, ObjectKey, Reference, StoreAccess, StoreId};

mod acr;
mod aws;
mod fake;
mod gcr;
mod github;
mod password;
mod ssh_key;
mod uuid;
mod vault;
mod webhook;

/// What a generator is given.
#[derive(Clone, Debug, Default)]
pub struct Making {
    /// What its settings refer to.
    pub credentials: Credentials,
    /// Where services of clouds are asked.
    pub endpoints: Endpoints,
    /// Namespace of the object that asks.
    pub namespace: String,
}

impl Making {
    /// The same in the words of a store, for what both use.
    fn access(&self) -> StoreAccess {
        let key = ObjectKey::new(self.namespace.as_str(), "generator");
        let id = StoreId { kind: StoreKind::SecretStore, key, asker: String::new() };
        StoreAccess {
            id,
            provider: Provider::default(),
            credentials: self.credentials.clone(),
            retries: (0, std::time::Duration::ZERO),
        }
    }
}

/// Makes values.
#[async_trait]
pub trait Generator: Send + Sync {
    /// What its settings refer to; it is resolved before anything is made.
    fn references(&self) -> Vec<Reference<'_>> {
        Vec::new()
    }

    /// Makes them.
    async fn generate(&self, making: Making) -> Result<FetchedMap, Error>;
}

/// The generator of a kind, from its spec.
///
/// # Errors
///
/// [`Error::Configuration`] for a kind that we do not have, or a spec that cannot be read.
pub fn read(kind: &str, spec: &Value) -> Result<Box<dyn Generator>, Error> {
    Ok(match kind {
        "Fake" => Box::new(fake::Fake(parsed(kind, spec)?)),
        "Password" => Box::new(password::Password(parsed(kind, spec)?)),
        "SSHKey" => Box::new(ssh_key::SshKey(parsed(kind, spec)?)),
        "UUID" => Box::new(uuid::Uuid),
        "ACRAccessToken" => Box::new(acr::AcrAccessToken::new(parsed(kind, spec)?)?),
        "ECRAuthorizationToken" => Box::new(aws::EcrAuthorizationToken::new(parsed(kind, spec)?)?),
        "GCRAccessToken" => Box::new(gcr::GcrAccessToken::new(&parsed(kind, spec)?)?),
        "GithubAccessToken" => Box::new(github::GithubAccessToken(parsed(kind, spec)?)),
        "STSSessionToken" => Box::new(aws::StsSessionToken::new(parsed(kind, spec)?)?),
        "VaultDynamicSecret" => Box::new(vault::VaultDynamicSecret(parsed(kind, spec)?)),
        "Webhook" => Box::new(webhook::Webhook(parsed(kind, spec)?)),
        other => {
            return Err(Error::Configuration(format!("generators of kind {other} are not supported by this version")));
        }
    })
}

/// A part of a spec that the definition only carries.
fn carried<T: DeserializeOwned + Default>(part: Option<&Carried>) -> Result<T, Error> {
    let Some(part) = part.filter(|part| !part.0.is_null()) else { return Ok(T::default()) };
    serde_json::from_value(part.0.clone())
        .map_err(|_| Error::Configuration("auth is not as the generator's definition says".to_owned()))
}

fn aws_references(auth: &AwsAuth) -> Vec<Reference<'_>> {
    let mut found = References::default();
    found.aws_identity(auth.secret_ref.as_ref(), auth.jwt.as_ref());
    found.0
}

fn made<const N: usize>(values: [(&str, SecretBytes); N]) -> FetchedMap {
    let values = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    FetchedMap { values, version: None }
}

/// A text within a query or a form.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
        out
    })
}

fn parsed<T: DeserializeOwned>(kind: &str, spec: &Value) -> Result<T, Error> {
    serde_json::from_value(spec.clone())
        .map_err(|_| Error::Configuration(format!("the spec of the {kind} generator is not as its definition says")))
}

/// Random bytes of the operating system.
fn random(length: usize) -> Result<zeroize::Zeroizing<Vec<u8>>, Error> {
    let mut bytes = zeroize::Zeroizing::new(vec![0; length]);
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Configuration("no randomness".to_owned()))?;
    Ok(bytes)
}

/// A number below `end`, all equally likely.
fn below(end: usize) -> Result<usize, Error> {
    let end = u32::try_from(end).unwrap_or(u32::MAX).max(1);
    // The uneven rest at the top is drawn again.
    let most = u32::MAX - (u32::MAX % end + 1) % end;
    loop {
        let bytes = random(4)?;
        let drawn = bytes.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        if drawn <= most {
            return Ok((drawn % end) as usize);
        }
    }
}
