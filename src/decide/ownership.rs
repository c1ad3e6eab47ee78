//! Whose a Secret is: nothing that is not ours is ever overwritten by accident (D12).

use std::collections::BTreeMap;

use kube::api::ObjectMeta;

use crate::api::ADOPT;

/// Whose a Secret is, seen from one object that wants to write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// It is that object's.
    Ours,
    /// It is somebody's or nobody's, and may be taken over.
    Adoptable,
    /// It is somebody's, and values may be merged into it.
    Patchable,
    /// It is somebody else's.
    Foreign,
}

/// Decides by owner reference, then by what the Secret's own annotations allow: ours, and those of the peer whose place
/// we take.
pub fn of(secret: &ObjectMeta, owner_uid: &str, peers_adopt: Option<&str>, peers_patch: Option<&str>) -> Ownership {
    let controller = secret.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    if controller.is_some_and(|owner| owner.uid == owner_uid) {
        return Ownership::Ours;
    }
    let none = BTreeMap::new();
    let annotations = secret.annotations.as_ref().unwrap_or(&none);
    let says = |name: &str| annotations.get(name).is_some_and(|value| value == "true");
    if says(ADOPT) || peers_adopt.is_some_and(says) {
        Ownership::Adoptable
    } else if peers_patch.is_some_and(says) {
        Ownership::Patchable
    } else {
        Ownership::Foreign
    }
}

/// Types of Secrets that mint credentials: the author of one object must not get them this way (D16).
pub fn mints_credentials(type_: &str) -> bool {
    matches!(type_, "kubernetes.io/service-account-token" | "bootstrap.kubernetes.io/token")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

    use super::*;
    use crate::api::sealed_secret::{MANAGED, PATCH};

    fn secret(owner: Option<(&str, bool)>, annotation: Option<(&str, &str)>) -> ObjectMeta {
        ObjectMeta {
            owner_references: owner.map(|(uid, controller)| {
                vec![OwnerReference { uid: uid.to_owned(), controller: Some(controller), ..OwnerReference::default() }]
            }),
            annotations: annotation.map(|(name, value)| [(name.to_owned(), value.to_owned())].into()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn whose_a_secret_is() {
        let cases = [
            ("ours", secret(Some(("u", true)), None), Ownership::Ours),
            ("of an earlier incarnation", secret(Some(("old", true)), None), Ownership::Foreign),
            ("owned, not controlled", secret(Some(("u", false)), None), Ownership::Foreign),
            ("nobody's", secret(None, None), Ownership::Foreign),
            ("managed", secret(None, Some((MANAGED, "true"))), Ownership::Adoptable),
            ("managed, not quite", secret(None, Some((MANAGED, "TRUE"))), Ownership::Foreign),
            ("to adopt", secret(Some(("x", true)), Some((ADOPT, "true"))), Ownership::Adoptable),
            ("to patch", secret(None, Some((PATCH, "true"))), Ownership::Patchable),
        ];
        for (name, secret, expected) in cases {
            assert_eq!(of(&secret, "u", Some(MANAGED), Some(PATCH)), expected, "{name}");
        }
    }
}
