//! Searching a Vault: folders are listed one by one, names compared here.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Call, Error, Find, KvVersion, Numbers, VaultProvider, is_straight, part, rewrite};
use crate::providers::{FetchedMap, pattern};

/// Folders that one search may list, and entries that it may bring.
const MOST_FOLDERS: usize = 1000;
const MOST_ENTRIES: usize = 5000;

#[derive(Deserialize)]
struct Listed {
    keys: Vec<String>,
}

impl VaultProvider {
    pub(super) async fn search(&self, find: &Find) -> Result<FetchedMap, Error> {
        let tags = find.tags.clone().unwrap_or_default();
        if self.access.version == KvVersion::V1 && find.name.is_none() {
            return Err(Error::Configuration("version v1 of the engine has no tags to find by".to_owned()));
        }
        let wanted = pattern(find)?;
        let mut values = BTreeMap::new();
        for name in self.names_below(find.path.as_deref().unwrap_or_default()).await? {
            let is_wanted = match &wanted {
                Some(pattern) => pattern.matches(&name),
                None => self.has_tags(&name, &tags).await?,
            };
            if !is_wanted {
                continue;
            }
            match self.secret(&name, None).await {
                Ok(secret) => {
                    values.insert(name, rewrite(secret.data.get(), Numbers::Verbatim).into());
                }
                // Listed, but its newest version was deleted.
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
            if values.len() > MOST_ENTRIES {
                return Err(Error::Configuration(format!("find matches more than {MOST_ENTRIES} entries")));
            }
        }
        Ok(FetchedMap { values: values.into_iter().collect(), version: None })
    }

    async fn has_tags(&self, name: &str, tags: &BTreeMap<String, String>) -> Result<bool, Error> {
        let custom = self.metadata(name).await?.unwrap_or_default().custom();
        Ok(tags.iter().all(|(key, value)| custom.get(key) == Some(value)))
    }

    /// All names below a folder, complete or an error.
    async fn names_below(&self, folder: &str) -> Result<Vec<String>, Error> {
        let mount = self.access.mount.as_deref().map(|mount| mount.trim_matches('/'));
        let mount = mount.ok_or_else(|| Error::Configuration("find needs a store with a path".to_owned()))?;
        let folder = folder.trim_matches('/');
        if !is_straight(folder) {
            return Err(Error::Configuration(format!("{folder:?} is no folder of the store")));
        }
        let mut names = Vec::new();
        let mut folders = vec![if folder.is_empty() { String::new() } else { format!("{folder}/") }];
        let mut listed = 0;
        while let Some(folder) = folders.pop() {
            listed += 1;
            if listed > MOST_FOLDERS {
                return Err(Error::Configuration(format!("find lists more than {MOST_FOLDERS} folders; name a path")));
            }
            let path = match self.access.version {
                KvVersion::V1 => format!("{mount}/{folder}"),
                KvVersion::V2 => format!("{mount}/metadata/{folder}"),
            };
            let keys = match self.send(Call::list(path)).await {
                Ok(answer) => part::<Listed>(answer.data.as_deref(), &folder)?.keys,
                // The last entry of a folder went while we were listing.
                Err(Error::NotFound { .. }) if listed > 1 => Vec::new(),
                // No folder of that name says nothing of the entries that were once in it.
                Err(Error::NotFound { .. }) => return Err(Error::NothingBelow { path: folder }),
                Err(error) => return Err(error),
            };
            for key in keys {
                if key.ends_with('/') {
                    folders.push(format!("{folder}{key}"));
                } else {
                    names.push(format!("{folder}{key}"));
                }
            }
        }
        Ok(names)
    }
}
