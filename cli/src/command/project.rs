//! `.seal.toml`: what a repository says about its clusters, so that nobody types it.
//!
//! ```toml
//! profile = "prod"                    # the one that counts when none is named
//!
//! [profiles.prod]
//! cert = "certs/prod.pem"             # committed; beside this file
//! context = "prod"
//! controller-namespace = "chancery-system"
//! scope = "strict"
//!
//! [[directories]]
//! path = "k8s/staging"
//! namespace = "staging"
//! profile = "staging"
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use seal::Scope;
use serde::Deserialize;

use super::codes::Code;
use super::error::CommandError;
use super::io;

/// The file's name.
pub(crate) const FILE: &str = ".seal.toml";

/// A repository's settings and where they stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Project {
    /// The folder of `.seal.toml`, when there is one.
    pub(crate) folder: Option<PathBuf>,
    settings: Settings,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    profile: Option<String>,
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
    #[serde(default)]
    directories: Vec<Directory>,
}

/// One cluster.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Profile {
    /// A PEM file beside `.seal.toml`, or an http(s) URL. More certificates behind the first one are known, too.
    pub(crate) cert: Option<String>,
    pub(crate) context: Option<String>,
    pub(crate) controller_name: Option<String>,
    pub(crate) controller_namespace: Option<String>,
    scope: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Directory {
    path: PathBuf,
    namespace: Option<String>,
    profile: Option<String>,
}

impl Project {
    /// Finds and reads `.seal.toml` in a folder or the nearest one above it.
    pub(crate) fn find(start: &Path) -> Result<Self, CommandError> {
        let start = std::path::absolute(start).unwrap_or_else(|_| start.to_owned());
        let Some(folder) = start.ancestors().find(|folder| folder.join(FILE).is_file()) else {
            return Ok(Self::default());
        };
        let file = folder.join(FILE);
        let text = io::read(Some(&file))?;
        let settings: Settings = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
            CommandError::coded(Code::BadConfig, error.message().to_owned()).at(&file, line)
        })?;
        let project = Self { folder: Some(folder.to_owned()), settings };
        project.checked(&file)
    }

    /// The profile of this name; without one that of the file's directory, the default, or the only one.
    pub(crate) fn profile(&self, asked: Option<&str>, file: Option<&Path>) -> Result<(String, Profile), CommandError> {
        let profiles = &self.settings.profiles;
        let only = || profiles.keys().next().filter(|_| profiles.len() == 1).map(String::as_str);
        let by_folder = || self.directory(file?)?.profile.as_deref();
        let Some(name) = asked.or_else(by_folder).or(self.settings.profile.as_deref()).or_else(only) else {
            return Ok((String::new(), Profile::default()));
        };
        let profile = profiles.get(name).ok_or_else(|| {
            let known: Vec<_> = profiles.keys().map(String::as_str).collect();
            CommandError::coded(Code::BadConfig, format!("there is no profile {name:?}"))
                .note(format!("profiles here: {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") }))
        })?;
        Ok((name.to_owned(), profile.clone()))
    }

    /// All profiles.
    pub(crate) fn profiles(&self) -> &BTreeMap<String, Profile> {
        &self.settings.profiles
    }

    /// The namespace that the file's directory belongs to.
    pub(crate) fn namespace(&self, file: &Path) -> Option<&str> {
        self.directory(file)?.namespace.as_deref()
    }

    /// A path as `.seal.toml` means it.
    pub(crate) fn beside(&self, path: &str) -> PathBuf {
        self.folder.as_deref().map_or_else(|| PathBuf::from(path), |folder| folder.join(path))
    }

    /// The longest listed directory that holds the file.
    fn directory(&self, file: &Path) -> Option<&Directory> {
        let file = std::path::absolute(file).ok()?;
        let inside = file.strip_prefix(self.folder.as_deref()?).ok()?;
        let holding = self.settings.directories.iter().filter(|directory| inside.starts_with(&directory.path));
        holding.max_by_key(|directory| directory.path.components().count())
    }

    fn checked(self, file: &Path) -> Result<Self, CommandError> {
        for (name, profile) in &self.settings.profiles {
            profile.scope().map_err(|error| {
                CommandError::coded(Code::BadConfig, format!("profile {name}: {error}")).at(file, 0)
            })?;
        }
        Ok(self)
    }
}

impl Profile {
    /// The scope to seal with when none is asked for.
    pub(crate) fn scope(&self) -> Result<Option<Scope>, seal::UnknownScope> {
        self.scope.as_deref().map(str::parse).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_file_above_counts_and_directories_choose() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("k8s/staging/api");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(
            folder.path().join(FILE),
            "profile = \"prod\"\n[profiles.prod]\ncert = \"p.pem\"\n[profiles.test]\ncert = \"t.pem\"\nscope = \"namespace-wide\"\n\
             [[directories]]\npath = \"k8s\"\nnamespace = \"shop\"\n[[directories]]\npath = \"k8s/staging\"\nnamespace = \"staging\"\nprofile = \"test\"\n",
        )
        .unwrap();
        let project = Project::find(&deep).unwrap();
        assert_eq!(project.namespace(&deep.join("x.yaml")), Some("staging"));
        assert_eq!(project.namespace(&folder.path().join("k8s/x.yaml")), Some("shop"));
        assert_eq!(project.profile(None, Some(&deep.join("x.yaml"))).unwrap().0, "test");
        assert_eq!(project.profile(None, None).unwrap().0, "prod");
        assert!(project.profile(Some("nobody"), None).is_err());
        assert_eq!(project.beside("p.pem"), folder.path().join("p.pem"));
    }

    #[test]
    fn a_typo_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "[profiles.prod]\ncret = \"p.pem\"\n").unwrap();
        let error = Project::find(folder.path()).unwrap_err().words(true, super::super::console::Paint::default());
        assert!(error.contains("E0110") && error.contains(".seal.toml:2") && error.contains("cret"), "{error}");
    }
}
