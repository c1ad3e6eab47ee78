//! Addresses of Git repositories: how two are compared, and how one is told.

/// An address in the one form under which two spellings of it are equal: lower case, without `.git`, and
/// `ssh://git@host/path` for `git@host:path`.
///
/// Source: Argo CD's rule for `sourceRepos` and repository Secrets.
pub fn normalise(url: &str) -> String {
    let mut url = url.trim().to_lowercase();
    if !url.contains("://")
        && let Some((host, path)) = url.split_once(':')
        && host.contains('@')
    {
        url = format!("ssh://{host}/{}", path.trim_start_matches('/'));
    }
    let url = url.trim_end_matches('/');
    url.strip_suffix(".git").unwrap_or(url).to_owned()
}

/// An address without what may be secret in it: user, password, query.
pub fn redacted(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
            let host = authority.rsplit('@').next().unwrap_or_default();
            path.map_or_else(|| format!("{scheme}://{host}"), |path| format!("{scheme}://{host}/{path}"))
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_address_are_equal() {
        assert_eq!(normalise(" git@GitHub.com:Org/Repo.git "), normalise("ssh://git@github.com/org/repo"));
        assert_eq!(normalise("https://h/a.git/"), "https://h/a");
    }

    #[test]
    fn an_address_is_told_without_secrets() {
        assert_eq!(redacted("https://oauth2:t0ken@h:1/a.git?x=y"), "https://h:1/a.git");
        assert_eq!(redacted("https://u:p@h"), "https://h");
    }
}
