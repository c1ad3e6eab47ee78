//! Which credentials a repository is read with.

use std::fmt;

use seal::SecretBytes;

use crate::address::normalise;

/// How to reach a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remote {
    /// The address as the Application writes it.
    pub url: String,
    /// Where the credentials came from: a Secret's name, empty without. Repositories read with different credentials
    /// are kept apart, so that nobody reads from another's mirror what they could not read themselves.
    pub identity: String,
    /// Who we are there.
    pub credentials: Credentials,
}

/// Who we are to a Git server, and how we know that it is the right one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Basic authentication.
    pub username: String,
    /// Its password, or a token in its place.
    pub password: Option<SecretBytes>,
    /// Bearer authentication; wins over basic.
    pub bearer_token: Option<SecretBytes>,
    /// Certificate authorities in place of the system's, PEM.
    pub authorities: Option<String>,
    /// Any certificate will do.
    pub insecure: bool,
}

impl Credentials {
    /// Whether there is anything to tell the server.
    pub fn is_anonymous(&self) -> bool {
        self.password.is_none() && self.bearer_token.is_none()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("anonymous", &self.is_anonymous()).finish_non_exhaustive()
    }
}

/// One repository Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepositoryEntry {
    /// The Secret's name.
    pub name: String,
    /// For every repository below its address, or for one.
    pub is_template: bool,
    /// Address.
    pub url: String,
    /// Only for Applications of this project.
    pub project: Option<String>,
    /// What it holds.
    pub credentials: Credentials,
}

/// The entry for a repository: one for this very address and project, one for this very address, or the template with
/// the longest path above it. Unlike Argo CD's, a template ends at a path segment: `…/org` is not for `…/org-evil/x`.
pub fn choose<'a>(entries: &'a [RepositoryEntry], url: &str, project: &str) -> Option<&'a RepositoryEntry> {
    let wanted = normalise(url);
    let of_project = |entry: &&RepositoryEntry| entry.project.as_deref() == Some(project);
    let of_all = |entry: &&RepositoryEntry| entry.project.as_deref().unwrap_or_default().is_empty();
    let same = |entry: &&RepositoryEntry| !entry.is_template && normalise(&entry.url) == wanted;
    let exact = entries.iter().filter(same);
    let exact = exact.clone().find(of_project).or_else(|| exact.clone().find(of_all));
    let template = || {
        let above = entries.iter().filter(|entry| entry.is_template && is_above(&entry.url, &wanted));
        above.filter(|entry| of_project(entry) || of_all(entry)).max_by_key(|entry| normalise(&entry.url).len())
    };
    match exact {
        // An entry without credentials only makes the repository known.
        Some(entry) if entry.credentials.is_anonymous() => Some(template().unwrap_or(entry)),
        Some(entry) => Some(entry),
        None => template(),
    }
}

fn is_above(template: &str, wanted: &str) -> bool {
    let template = normalise(template);
    wanted.strip_prefix(template.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        && template.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, url: &str, project: Option<&str>, is_template: bool) -> RepositoryEntry {
        RepositoryEntry {
            name: name.to_owned(),
            is_template,
            url: url.to_owned(),
            project: project.map(str::to_owned),
            credentials: Credentials { password: Some(SecretBytes::from(b"p".to_vec())), ..Credentials::default() },
        }
    }

    #[test]
    fn the_nearest_entry_is_chosen() {
        let entries = [
            entry("all", "https://h/org", None, true),
            entry("deeper", "https://h/org/team/", None, true),
            entry("exact", "https://h/org/a.git", None, false),
            entry("project", "https://h/org/a", Some("p"), false),
            entry("foreign", "https://h/org/team/x", Some("other"), false),
        ];
        for (url, project, expected) in [
            ("https://H/org/A.git", "default", Some("exact")),
            ("https://h/org/a", "p", Some("project")),
            ("https://h/org/b", "p", Some("all")),
            ("https://h/org/team/b", "p", Some("deeper")),
            ("https://h/org/team/x", "p", Some("deeper")),
            ("https://h/org-evil/b", "p", None),
            ("http://h/org/b", "p", None),
            ("https://h:444/org/b", "p", None),
        ] {
            assert_eq!(choose(&entries, url, project).map(|entry| entry.name.as_str()), expected, "{url} in {project}");
        }
    }
}
