//! Files at a commit, without a work tree.

use std::collections::VecDeque;

use gix::ObjectId;
use gix::bstr::ByteSlice;
use gix::objs::tree::EntryKind;

use super::{Error, Snapshot};

/// A file below a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    /// Relative to the folder.
    pub(super) path: String,
    /// Its content.
    pub(super) blob: ObjectId,
}

/// The files of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    /// In the order of a directory walk.
    pub(super) files: Vec<File>,
    /// Some are links: their content may lie outside of the folder.
    pub(super) has_links: bool,
}

/// Links that lead to links.
const MOST_LINKS: usize = 16;
/// Deepest folder.
const DEEPEST: usize = 64;

impl Snapshot {
    /// Whether the server was asked for it, or it was there already.
    pub fn was_fetched(&self) -> bool {
        self.fetched
    }

    /// The hash of a folder: equal hashes mean equal files.
    ///
    /// # Errors
    ///
    /// [`Error::PathNotFound`], [`Error::NotADirectory`], [`Error::PathEscapes`], or a mirror that lost the commit.
    pub fn tree_hash(&self, path: &str) -> Result<ObjectId, Error> {
        let repository = self.repository.to_thread_local();
        let commit = repository.find_commit(self.commit).map_err(|error| storage(&error))?;
        let root = commit.tree().map_err(|error| storage(&error))?;
        let parts = relative(path)?;
        if parts.is_empty() {
            return Ok(root.id);
        }
        let entry = root.lookup_entry(parts.iter().map(|part| part.as_bytes())).map_err(|error| storage(&error))?;
        match entry {
            None => Err(Error::PathNotFound { path: path.to_owned() }),
            Some(entry) if entry.mode().is_tree() => Ok(entry.object_id()),
            Some(_) => Err(Error::NotADirectory { path: path.to_owned() }),
        }
    }

    /// Files of a folder, links to files followed, in the order of a directory walk; submodules are left out.
    pub(super) fn files(&self, path: &str, recurse: bool, most: usize) -> Result<Files, Error> {
        let repository = self.repository.to_thread_local();
        let base = relative(path)?;
        let mut found = Vec::new();
        let mut has_links = false;
        let mut folders = VecDeque::from([(Vec::new(), self.tree_hash(path)?)]);
        while let Some((folder, id)) = folders.pop_front() {
            let tree = repository.find_tree(id).map_err(|error| storage(&error))?;
            for entry in tree.iter() {
                let entry = entry.map_err(|error| storage(&error))?;
                let name = entry.filename().to_str_lossy().into_owned();
                let mut place: Vec<String> = folder.clone();
                place.push(name);
                match entry.mode().kind() {
                    EntryKind::Tree if recurse && place.len() < DEEPEST => {
                        folders.push_back((place, entry.object_id()));
                    }
                    EntryKind::Blob | EntryKind::BlobExecutable => {
                        found.push((place, entry.object_id()));
                    }
                    EntryKind::Link => {
                        has_links = true;
                        let whole: Vec<String> =
                            base.iter().map(|part| (*part).to_owned()).chain(place.clone()).collect();
                        if let Some(blob) = self.follow(&repository, &whole, entry.object_id())? {
                            found.push((place, blob));
                        }
                    }
                    _ => {}
                }
                if found.len() > most {
                    let what = format!("{most} files");
                    return Err(Error::TooManyManifests { path: path.to_owned(), what });
                }
            }
        }
        found.sort();
        let files = found.into_iter().map(|(place, blob)| File { path: place.join("/"), blob }).collect();
        Ok(Files { files, has_links })
    }

    /// Where a link leads; nothing when that is no file.
    fn follow(
        &self,
        repository: &gix::Repository,
        link: &[String],
        target: ObjectId,
    ) -> Result<Option<ObjectId>, Error> {
        let escapes = || Error::LinkEscapes { file: link.join("/") };
        let commit = repository.find_commit(self.commit).map_err(|error| storage(&error))?;
        let root = commit.tree().map_err(|error| storage(&error))?;
        let (mut place, mut target) = (link.to_vec(), target);
        for _ in 0..MOST_LINKS {
            let text = repository.find_blob(target).map_err(|error| storage(&error))?.data.to_str_lossy().into_owned();
            if text.starts_with('/') {
                return Err(escapes());
            }
            place.pop();
            for part in text.split('/') {
                match part {
                    "" | "." => {}
                    ".." => {
                        place.pop().ok_or_else(escapes)?;
                    }
                    part => place.push(part.to_owned()),
                }
            }
            let entry = root.lookup_entry(place.iter().map(String::as_bytes)).map_err(|error| storage(&error))?;
            match entry {
                Some(entry) if entry.mode().is_blob() => return Ok(Some(entry.object_id())),
                Some(entry) if entry.mode().is_link() => target = entry.object_id(),
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    pub(super) fn size(&self, blob: ObjectId) -> Result<u64, Error> {
        let repository = self.repository.to_thread_local();
        Ok(repository.find_header(blob).map_err(|error| storage(&error))?.size())
    }

    pub(super) fn read(&self, blob: ObjectId) -> Result<Vec<u8>, Error> {
        let repository = self.repository.to_thread_local();
        Ok(repository.find_blob(blob).map_err(|error| storage(&error))?.take_data())
    }
}

/// The parts of a path within the repository.
fn relative(path: &str) -> Result<Vec<&str>, Error> {
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(Error::PathEscapes { path: path.to_owned() });
    }
    Ok(path.split('/').filter(|part| !part.is_empty() && *part != ".").collect())
}

fn storage(error: &gix::Error) -> Error {
    Error::Storage(error.to_string())
}
