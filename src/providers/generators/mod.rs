//! Values that are made, not kept: one file a kind.

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Error, FetchedMap};
use crate::plan::{Credentials, Reference};

mod fake;
mod password;
mod uuid;

/// Makes values.
#[async_trait]
pub trait Generator: Send + Sync {
    /// What its settings refer to; it is resolved before anything is made.
    fn references(&self) -> Vec<Reference<'_>> {
        Vec::new()
    }

    /// Makes them.
    async fn generate(&self, credentials: Credentials) -> Result<FetchedMap, Error>;
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
        "UUID" => Box::new(uuid::Uuid),
        other => {
            return Err(Error::Configuration(format!("generators of kind {other} are not supported by this version")));
        }
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
