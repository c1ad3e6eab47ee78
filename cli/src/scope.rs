//! How far a sealed value may travel.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Annotation of namespace-wide objects; only the exact text `true` counts.
pub const NAMESPACE_WIDE: &str = "sealedsecrets.bitnami.com/namespace-wide";
/// Annotation of cluster-wide objects; only the exact text `true` counts.
pub const CLUSTER_WIDE: &str = "sealedsecrets.bitnami.com/cluster-wide";

/// Where an item can be opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Under one name in one namespace.
    #[default]
    Strict,
    /// Under any name in one namespace.
    NamespaceWide,
    /// Anywhere in the cluster.
    ClusterWide,
}

impl Scope {
    /// The scope that an object's own annotations declare; cluster-wide wins.
    pub fn of(annotations: &BTreeMap<String, String>) -> Self {
        let says = |name: &str| annotations.get(name).is_some_and(|value| value == "true");
        if says(CLUSTER_WIDE) {
            Self::ClusterWide
        } else if says(NAMESPACE_WIDE) {
            Self::NamespaceWide
        } else {
            Self::Strict
        }
    }

    /// The OAEP label that binds an item to its place: `namespace/name`, `namespace`, or nothing.
    ///
    /// Source: the Sealed Secrets item format; held equal by `tests/vectors`.
    pub fn label(self, namespace: &str, name: &str) -> Vec<u8> {
        match self {
            Self::Strict => format!("{namespace}/{name}").into_bytes(),
            Self::NamespaceWide => namespace.as_bytes().to_vec(),
            Self::ClusterWide => Vec::new(),
        }
    }

    /// The annotation that declares this scope; strict has none.
    pub fn annotation(self) -> Option<&'static str> {
        match self {
            Self::Strict => None,
            Self::NamespaceWide => Some(NAMESPACE_WIDE),
            Self::ClusterWide => Some(CLUSTER_WIDE),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Strict => "strict",
            Self::NamespaceWide => "namespace-wide",
            Self::ClusterWide => "cluster-wide",
        })
    }
}

/// A text that names no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no scope: it is strict, namespace-wide or cluster-wide")]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        match text {
            // The reference takes the empty text, too.
            "" | "strict" => Ok(Self::Strict),
            "namespace-wide" => Ok(Self::NamespaceWide),
            "cluster-wide" => Ok(Self::ClusterWide),
            other => Err(UnknownScope(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_text_true_widens_and_cluster_beats_namespace() {
        let cases: [(&[(&str, &str)], Scope); 6] = [
            (&[], Scope::Strict),
            (&[(NAMESPACE_WIDE, "true")], Scope::NamespaceWide),
            (&[(CLUSTER_WIDE, "true")], Scope::ClusterWide),
            (&[(CLUSTER_WIDE, "true"), (NAMESPACE_WIDE, "true")], Scope::ClusterWide),
            (&[(CLUSTER_WIDE, "TRUE")], Scope::Strict),
            (&[(NAMESPACE_WIDE, "1")], Scope::Strict),
        ];
        for (annotations, expected) in cases {
            let annotations = annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            assert_eq!(Scope::of(&annotations), expected, "{annotations:?}");
        }
    }
}
