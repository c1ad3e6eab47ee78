//! From a commit to objects: fetch, resolve, read, render. Blocking: callers bring a thread for it.
//!
//! Repositories are bare mirrors of single commits; files are read as Git objects, so there is no work tree, no
//! checkout, no link that leads out of it (D8).

mod credentials;
mod fetch;
mod render;
mod revision;
mod transport;
mod tree;

pub use credentials::{Credentials, Remote, RepositoryEntry, choose};
pub use fetch::{Limits, Mirrors, Snapshot};
pub use render::{Directory, Located, Rendered, directory};
pub use revision::{Refs, full_id, resolve};

pub use gix::ObjectId;

use crate::error::{Classify, Retry};

/// Everything that can go wrong between a repository and its objects. No text of a file is ever part of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No answer, or no connection.
    #[error("{url} cannot be reached: {detail}")]
    Unreachable {
        /// Without user, password and query.
        url: String,
        /// The innermost cause.
        detail: String,
    },
    /// 401 or 403.
    #[error(
        "{url} refuses our credentials; give them in a Secret with label argocd.argoproj.io/secret-type: repository"
    )]
    AuthenticationFailed {
        /// Without user, password and query.
        url: String,
    },
    /// The server's certificate is not trusted.
    #[error(
        "the certificate of {url} is not trusted ({detail}); put its authority into ConfigMap argocd-tls-certs-cm under the host's name"
    )]
    CertificateInvalid {
        /// Without user, password and query.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
    /// 404.
    #[error("there is no repository at {url}, or our credentials may not see it")]
    RepositoryNotFound {
        /// Without user, password and query.
        url: String,
    },
    /// It took too long.
    #[error("{url} did not deliver within {seconds} s")]
    Timeout {
        /// Without user, password and query.
        url: String,
        /// The deadline.
        seconds: u64,
    },
    /// The pack grew beyond the limit.
    #[error("{url} sends more than {mebibytes} MiB for one commit")]
    TooLarge {
        /// Without user, password and query.
        url: String,
        /// The limit.
        mebibytes: u64,
    },
    /// It answers, and not as a Git server does.
    #[error("{url} does not answer as a Git server does{detail}")]
    Protocol {
        /// Without user, password and query.
        url: String,
        /// An HTTP status, if there was one.
        detail: String,
    },
    /// An address that we do not read.
    #[error("{url}: {why}")]
    UnsupportedUrl {
        /// Without user, password and query.
        url: String,
        /// Why, and what to do.
        why: &'static str,
    },
    /// Nothing is advertised.
    #[error("the repository is empty: nothing has been pushed to it yet, or all its branches are gone")]
    EmptyRepository,
    /// Nothing of that name.
    #[error("unable to resolve '{revision}' to a commit SHA")]
    RevisionNotFound {
        /// As it was written.
        revision: String,
    },
    /// No such folder at that commit.
    #[error("{path}: app path does not exist")]
    PathNotFound {
        /// As it was written.
        path: String,
    },
    /// The path is a file.
    #[error("{path}: app path is not a directory")]
    NotADirectory {
        /// As it was written.
        path: String,
    },
    /// An absolute path, or one with `..`.
    #[error("{path}: app path must be relative and must not leave the repository")]
    PathEscapes {
        /// As it was written.
        path: String,
    },
    /// A symbolic link that leads out of the repository.
    #[error("{file}: the symbolic link leaves the repository")]
    LinkEscapes {
        /// Path within the repository.
        file: String,
    },
    /// More files or bytes than allowed.
    #[error("{path} holds more than {what}; split it into several Applications")]
    TooManyManifests {
        /// As it was written.
        path: String,
        /// The limit.
        what: String,
    },
    /// A file that means to be a manifest and is none.
    #[error("{file}: {problem}")]
    BrokenManifest {
        /// Path within the repository, with a line where one is known.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// Helm, Kustomize …
    #[error("{path} holds a {tool} source ({file}), which this version does not support; only plain manifests are")]
    UnsupportedSource {
        /// As it was written.
        path: String,
        /// Which.
        tool: &'static str,
        /// By what it is known.
        file: String,
    },
    /// The mirror on disk.
    #[error("the mirror cannot be kept: {0}")]
    Storage(String),
}

impl Classify for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "RepositoryUnreachable",
            Self::AuthenticationFailed { .. } => "RepositoryAuthenticationFailed",
            Self::CertificateInvalid { .. } => "RepositoryCertificateInvalid",
            Self::RepositoryNotFound { .. } => "RepositoryNotFound",
            Self::Timeout { .. } => "RepositoryTimeout",
            Self::TooLarge { .. } => "RepositoryTooLarge",
            Self::Protocol { .. } => "RepositoryProtocol",
            Self::UnsupportedUrl { .. } => "UnsupportedRepository",
            Self::EmptyRepository => "EmptyRepository",
            Self::RevisionNotFound { .. } => "RevisionNotFound",
            Self::PathNotFound { .. } | Self::NotADirectory { .. } | Self::PathEscapes { .. } => "PathNotFound",
            Self::LinkEscapes { .. } | Self::BrokenManifest { .. } => "BrokenManifest",
            Self::TooManyManifests { .. } => "TooManyManifests",
            Self::UnsupportedSource { .. } => "UnsupportedSource",
            Self::Storage(_) => "MirrorUnusable",
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Unreachable { .. }
            | Self::AuthenticationFailed { .. }
            | Self::CertificateInvalid { .. }
            | Self::RepositoryNotFound { .. }
            | Self::Timeout { .. }
            | Self::Protocol { .. }
            | Self::Storage(_) => Retry::Backoff,
            // The poller sees a new commit.
            _ => Retry::OnChange,
        }
    }
}
