//! From an ExternalSecret and what its stores gave to the Secret that it means.
//!
//! The steps of one sync: `due` → `reads` → `assemble` → `super::target_template` → `draft` →
//! `step`. Each is a function of its arguments.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use serde_json::json;

use super::sealed_secret::Danger;
use super::{selector, target_template};
use crate::api::ExternalSecret;
use crate::api::external_secret::{CreationPolicy, DeletionPolicy};
use crate::error::{Classify, Retry};
use crate::plan::ObjectKey;
use crate::values::ValueError;

mod due;
mod fields;
mod hash;
mod reads;
mod schedule;
mod target;

pub use due::{Due, Why, due, duration, interval, late_by, refreshed_at, spread};
pub use hash::{data_hash, field_manager, synced_resource_version};
pub use reads::{Answer, Origin, Read, What, assemble, reads, tolerates_missing};
pub use target::{
    Compatibility, Step, draft, is_as_the_reference_left_it, left_behind, may_delete, outputs, outputs_of_live, step,
};

/// What cannot be mended by time alone is looked at again after this long: the store may have changed back.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_secs(300);

/// Why an ExternalSecret does not become a Secret. Never holds a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Fields that are not honoured and without which the Secret would be wrong.
    #[error("{} not supported by this version; the Secret is left as it is", listed(.0))]
    Unsupported(Vec<String>),
    /// The interval is no duration.
    #[error("{field} {text:?} is no duration; write it as 1h or 30s")]
    Interval {
        /// The field that says it.
        field: &'static str,
        /// What it says.
        text: String,
    },
    /// A selector that selects nothing, or everything, by mistake: nothing is made or taken away on its strength.
    #[error("{field}: {error}")]
    Selector {
        /// Where it stands.
        field: String,
        /// Why.
        error: selector::Invalid,
    },
    /// Nothing is asked for, and nothing would stay.
    #[error(
        "neither spec.data nor spec.dataFrom asks for a value: with deletionPolicy {0:?} that is taken for a mistake"
    )]
    Empty(DeletionPolicy),
    /// A value is not as wanted.
    #[error("{entry} ({key}): {error}")]
    Value {
        /// The entry of the spec.
        entry: String,
        /// Key in the Secret, or in the store.
        key: String,
        /// Why.
        error: ValueError,
    },
    /// A NUL byte where none is allowed.
    #[error("{entry} ({key}): the value holds a NUL byte, which nullBytePolicy forbids")]
    NullByte {
        /// The entry of the spec.
        entry: String,
        /// Key in the Secret.
        key: String,
    },
    /// The template does not become a Secret.
    #[error(transparent)]
    Template(#[from] target_template::Error),
    /// A Secret that an object may not make.
    #[error("the Secret would be {}; it is not made from an ExternalSecret unless the operator runs with --permit", .0.words())]
    Refused(Danger),
    /// The Secret is somebody's, or nobody's, and the object does not say that it may be taken over.
    #[error(
        "Secret {name} already exists and is not ours; to take it over: kubectl annotate secret {name} -n {namespace} \
         chancery.dev/adopt=true", name = .0.name, namespace = .0.namespace
    )]
    Foreign(ObjectKey),
    /// Another ExternalSecret owns it.
    #[error("Secret {secret} is owned by another ExternalSecret, {owner}; give one of them another spec.target.name")]
    OwnedByAnother {
        /// The Secret.
        secret: ObjectKey,
        /// Name of the owner.
        owner: String,
    },
    /// Another controller owns it.
    #[error("Secret {secret} is owned by {kind} {owner}: with creationPolicy Owner there can be one owner only")]
    OwnedByController {
        /// The Secret.
        secret: ObjectKey,
        /// Kind of the owner.
        kind: String,
        /// Its name.
        owner: String,
    },
    /// It cannot be changed.
    #[error(
        "Secret {0} is immutable and no longer as the store says; delete it, or annotate the ExternalSecret with \
         chancery.dev/recreate=true, and it is made anew"
    )]
    Immutable(ObjectKey),
    /// Its type cannot be changed.
    #[error(
        "Secret {secret} is of type {from} and should be {to}, which cannot be changed in place; delete it, or annotate \
         the ExternalSecret with chancery.dev/recreate=true, and it is made anew"
    )]
    TypeFixed {
        /// The Secret.
        secret: ObjectKey,
        /// Its type.
        from: String,
        /// The wanted one.
        to: String,
    },
    /// The store has nothing left, and only an owner may delete.
    #[error(
        "the store has none of the values left, but deletionPolicy Delete needs creationPolicy Owner, not {0:?}; the Secret is left as it is"
    )]
    DeleteNeedsOwner(CreationPolicy),
}

impl Classify for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Unsupported(_) => "UnsupportedField",
            Self::Interval { .. } | Self::Selector { .. } | Self::Empty(_) | Self::DeleteNeedsOwner(_) => "InvalidSpec",
            Self::Value { .. } | Self::NullByte { .. } => "InvalidValue",
            Self::Template(error) => error.reason(),
            Self::Refused(_) => "Refused",
            Self::Foreign(_) => "Unmanaged",
            Self::OwnedByAnother { .. } | Self::OwnedByController { .. } => "OwnedByAnother",
            Self::Immutable(_) => "Immutable",
            Self::TypeFixed { .. } => "TypeFixed",
        }
    }

    fn retry(&self) -> Retry {
        match self {
            // The store may give something else next time.
            Self::Value { .. } | Self::NullByte { .. } => Retry::Backoff,
            Self::Template(error) => error.retry(),
            Self::Immutable(_) | Self::TypeFixed { .. } | Self::DeleteNeedsOwner(_) | Self::Refused(_) => {
                Retry::After(LOOK_AGAIN)
            }
            // The Secret's metadata is watched: its change wakes us.
            Self::Foreign(_) | Self::OwnedByAnother { .. } | Self::OwnedByController { .. } => Retry::OnChange,
            Self::Unsupported(_) | Self::Interval { .. } | Self::Selector { .. } | Self::Empty(_) => Retry::OnChange,
        }
    }
}

impl Error {
    /// Refuses a selector that the API server would refuse. `field` is where it stands.
    ///
    /// # Errors
    ///
    /// [`Error::Selector`].
    pub fn check_selector(field: impl Into<String>, selector: &LabelSelector) -> Result<(), Self> {
        selector::check(selector).map_err(|error| Self::Selector { field: field.into(), error })
    }

    /// Whether it is about a Secret that stands there.
    pub fn is_about_target(reason: &str) -> bool {
        matches!(reason, "OwnedByAnother" | "Immutable" | "TypeFixed")
    }
}

/// Refuses what would make a wrong Secret if it were ignored. `unsupported` are paths from `api::unsupported_fields`.
///
/// # Errors
///
/// [`Error::Unsupported`], [`Error::Empty`], [`Error::Interval`].
pub fn check(object: &ExternalSecret, mut unsupported: Vec<String>) -> Result<(), Error> {
    if !unsupported.is_empty() {
        unsupported.sort();
        return Err(Error::Unsupported(unsupported));
    }
    let policy = object.spec.target.deletion_policy;
    if object.spec.data.is_empty() && object.spec.data_from.is_empty() && policy != DeletionPolicy::Retain {
        return Err(Error::Empty(policy));
    }
    interval(&object.spec.refresh_interval).map(drop)
}

/// The Secret that an ExternalSecret makes.
pub fn target(object: &ExternalSecret) -> ObjectKey {
    let name = object.spec.target.name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| object.name_any());
    ObjectKey::new(object.namespace().unwrap_or_default(), name)
}

fn owner(object: &ExternalSecret) -> serde_json::Value {
    json!({
        "apiVersion": "external-secrets.io/v1",
        "kind": "ExternalSecret",
        "name": object.name_any(),
        "uid": object.uid().unwrap_or_default(),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

fn listed(paths: &[String]) -> String {
    let verb = if paths.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", paths.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn object(edit: impl FnOnce(&mut serde_json::Value)) -> ExternalSecret {
        let mut value = json!({
            "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
            "metadata": { "name": "db", "namespace": "shop", "uid": "u", "generation": 1 },
            "spec": {
                "secretStoreRef": { "name": "vault" }, "refreshInterval": "1h",
                "data": [{ "secretKey": "password", "remoteRef": { "key": "db", "property": "password" } }],
            },
        });
        edit(&mut value);
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_would_make_a_wrong_secret_is_refused_with_its_path() {
        let told = check(&object(|_| {}), vec!["spec.target.manifest".to_owned()]).unwrap_err().to_string();
        assert_eq!(told, "spec.target.manifest is not supported by this version; the Secret is left as it is");
        let empty = |policy: &'static str| {
            object(|o| {
                o["spec"]["data"] = json!([]);
                o["spec"]["target"] = json!({ "deletionPolicy": policy });
            })
        };
        assert_eq!(check(&empty("Retain"), vec![]), Ok(()));
        assert_eq!(check(&empty("Delete"), vec![]).unwrap_err(), Error::Empty(DeletionPolicy::Delete));
        assert_eq!(check(&object(|_| {}), vec![]), Ok(()));
    }
}
