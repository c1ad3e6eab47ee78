//! What the Secret of a SealedSecret may be (D16): its author must not make himself a key, a cluster or an account.

use std::collections::BTreeMap;

use crate::api::application::SECRET_TYPE;
use crate::api::sealed_secret::KEY_LABEL;
use crate::decide::ownership::mints_credentials;
use crate::plan::{SecretManifest, SecretValues};

/// Where a Secret lies, and what an administrator permits there.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    /// It lies where sealing keys lie.
    pub key_namespace: bool,
    /// It lies where repository credentials lie.
    pub application_namespace: bool,
    /// Names that mean something to the operator there: the key of before 2020 is found by its name, not by a label.
    pub names: Vec<String>,
    /// What an administrator permits in this namespace.
    pub permitted: Vec<Danger>,
}

/// Why a Secret is more than values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Danger {
    /// It would be a sealing key, or another Secret that the operator trusts.
    SealingKey,
    /// It would give Applications a repository or a cluster.
    RepositoryCredential,
    /// The API server would make a token for it, or let a machine in.
    MintsCredentials,
}

impl Danger {
    /// All, with the name that the flag `--permit` has for each.
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::SealingKey, "sealing-key"),
        (Self::RepositoryCredential, "repository-credential"),
        (Self::MintsCredentials, "token"),
    ];

    /// The name that the flag `--permit` has for it.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(danger, _)| *danger == self).map_or("", |(_, name)| name)
    }

    /// What the Secret would be, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::SealingKey => "a sealing key, or another Secret that the operator itself trusts",
            Self::RepositoryCredential => "a repository's or cluster's credential of Applications",
            Self::MintsCredentials => "a credential that the cluster itself accepts",
        }
    }
}

impl Bounds {
    /// What is dangerous about a Secret that is to be, unless it is permitted.
    pub fn danger(&self, secret: &SecretManifest) -> Option<Danger> {
        let found = self.of(&secret.key.name, &secret.type_, &secret.labels);
        found.filter(|danger| !self.permitted.contains(danger))
    }

    /// Whether a Secret that stands has this danger already.
    pub fn stands(&self, danger: Danger, live: &SecretValues) -> bool {
        let none = BTreeMap::new();
        let labels = live.metadata.labels.as_ref().unwrap_or(&none);
        self.of(live.metadata.name.as_deref().unwrap_or_default(), &live.type_, labels) == Some(danger)
    }

    fn of(&self, name: &str, type_: &str, labels: &BTreeMap<String, String>) -> Option<Danger> {
        if self.key_namespace && (labels.contains_key(KEY_LABEL) || self.names.iter().any(|known| known == name)) {
            return Some(Danger::SealingKey);
        }
        if self.application_namespace && labels.contains_key(SECRET_TYPE) {
            return Some(Danger::RepositoryCredential);
        }
        mints_credentials(type_).then_some(Danger::MintsCredentials)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ObjectKey;

    fn secret(name: &str, type_: &str, label: Option<&str>) -> SecretManifest {
        SecretManifest {
            key: ObjectKey::new("ns", name),
            type_: type_.to_owned(),
            labels: label.map(|label| (label.to_owned(), "x".to_owned())).into_iter().collect(),
            ..SecretManifest::default()
        }
    }

    #[test]
    fn what_is_more_than_values_is_named_where_it_counts() {
        let keys = Bounds { key_namespace: true, names: vec!["sealed-secrets-key".to_owned()], ..Bounds::default() };
        let apps = Bounds { application_namespace: true, ..Bounds::default() };
        let permitted = Bounds { permitted: vec![Danger::MintsCredentials], ..Bounds::default() };
        let token = "kubernetes.io/service-account-token";
        let cases = [
            ("a plain one", &keys, secret("x", "Opaque", None), None),
            ("a key by label, whatever its value", &keys, secret("x", "", Some(KEY_LABEL)), Some(Danger::SealingKey)),
            ("a key by name", &keys, secret("sealed-secrets-key", "", None), Some(Danger::SealingKey)),
            ("the same elsewhere", &apps, secret("sealed-secrets-key", "", Some(KEY_LABEL)), None),
            ("a repository", &apps, secret("x", "", Some(SECRET_TYPE)), Some(Danger::RepositoryCredential)),
            ("a repository elsewhere", &keys, secret("x", "", Some(SECRET_TYPE)), None),
            ("a token", &apps, secret("x", token, None), Some(Danger::MintsCredentials)),
            ("a token, permitted", &permitted, secret("x", token, None), None),
            ("a key, where tokens are permitted", &permitted, secret("x", "", Some(KEY_LABEL)), None),
        ];
        for (name, bounds, secret, expected) in cases {
            assert_eq!(bounds.danger(&secret), expected, "{name}");
        }
    }
}
