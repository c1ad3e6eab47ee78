//! Which files a command means: files, directories, globs.

use std::path::{Path, PathBuf};

use globset::GlobBuilder;
use ignore::{WalkBuilder, WalkState};

use super::codes::Code;
use super::error::CommandError;
use super::io;

/// Extensions of manifests.
const MANIFESTS: [&str; 3] = ["yaml", "yml", "json"];

/// All manifests under these paths, sorted. Directories are walked as git sees them: what it ignores is left out, links
/// are not followed. A file that is named is taken whatever its extension.
pub(crate) fn listed(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CommandError> {
    let found = std::sync::Mutex::new(Vec::new());
    each(paths, |file| {
        if let Ok(mut found) = found.lock() {
            found.push(file.to_owned());
        }
    })?;
    let mut files = found.into_inner().unwrap_or_default();
    files.sort();
    files.dedup();
    Ok(files)
}

/// Calls `visit` for every manifest under these paths, in any order and from several threads at once.
pub(crate) fn each(paths: &[PathBuf], visit: impl Fn(&Path) + Sync) -> Result<(), CommandError> {
    let mut folders = Vec::new();
    for path in paths {
        let text = path.to_string_lossy();
        if io::is_dash(path) || path.is_file() {
            visit(path);
        } else if path.is_dir() {
            folders.push((path.clone(), None));
        } else if text.contains(['*', '?', '[']) {
            let glob = GlobBuilder::new(text.trim_start_matches("./"))
                .literal_separator(true)
                .build()
                .map_err(|error| CommandError::new(format!("{text}: {}", error.kind())))?;
            folders.push((before_wildcard(path), Some(glob.compile_matcher())));
        } else {
            // Something else that can be read, or an error that names it.
            io::read_bytes(path)?;
            visit(path);
        }
    }
    for (folder, glob) in folders {
        let failure = std::sync::Mutex::new(None);
        WalkBuilder::new(&folder).hidden(false).require_git(false).build_parallel().run(|| {
            Box::new(|entry| match entry {
                Ok(entry) => {
                    if entry.file_name() == ".git" {
                        return WalkState::Skip;
                    }
                    let path = entry.path();
                    let shown = path.strip_prefix(".").unwrap_or(path);
                    let wanted = match &glob {
                        Some(glob) => glob.is_match(shown),
                        None => is_manifest(path),
                    };
                    if wanted && entry.file_type().is_some_and(|kind| kind.is_file()) {
                        visit(shown);
                    }
                    WalkState::Continue
                }
                Err(error) => {
                    if let Ok(mut failure) = failure.lock() {
                        *failure = Some(error.to_string());
                    }
                    WalkState::Continue
                }
            })
        });
        if let Some(error) = failure.into_inner().unwrap_or_default() {
            return Err(CommandError::coded(Code::NotReadable, error));
        }
    }
    Ok(())
}

fn is_manifest(path: &Path) -> bool {
    path.extension().and_then(|end| end.to_str()).is_some_and(|end| MANIFESTS.contains(&end))
}

/// The folder that a glob starts in.
fn before_wildcard(glob: &Path) -> PathBuf {
    let plain: PathBuf =
        glob.components().take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '['])).collect();
    if plain.as_os_str().is_empty() { PathBuf::from(".") } else { plain }
}
