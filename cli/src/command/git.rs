//! What Git is asked for, by its own command: it knows its hooks, its index and its ignored files best.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::codes::Code;
use super::error::CommandError;

/// The root of the work tree, when there is one.
pub(crate) fn root() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors().find(|folder| folder.join(".git").exists()).map(Path::to_owned)
}

/// Where a hook of this repository lies.
pub(crate) fn hook(name: &str) -> Result<PathBuf, CommandError> {
    let path = run(&["rev-parse", "--git-path", &format!("hooks/{name}")])?;
    Ok(PathBuf::from(String::from_utf8_lossy(&path).trim_end()))
}

/// The files that are staged, as they are staged, by paths from here.
pub(crate) fn staged() -> Result<Vec<(PathBuf, Vec<u8>)>, CommandError> {
    let names = run(&["diff", "--cached", "--name-only", "-z", "--no-renames", "--diff-filter=ACMT", "--relative"])?;
    let names = String::from_utf8_lossy(&names).into_owned();
    names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(|name| Ok((PathBuf::from(name), run(&["cat-file", "blob", &format!(":./{name}")])?)))
        .collect()
}

/// A file at a revision; nothing when it is not there.
pub(crate) fn at(revision: &str, file: &Path) -> Result<Option<Vec<u8>>, CommandError> {
    run(&["rev-parse", "--verify", "--quiet", &format!("{revision}^{{commit}}")])?;
    Ok(run(&["cat-file", "blob", &format!("{revision}:./{}", file.display())]).ok())
}

fn run(arguments: &[&str]) -> Result<Vec<u8>, CommandError> {
    let failed = |why: String| CommandError::coded(Code::NotReadable, format!("git {}: {why}", arguments.join(" ")));
    let output = Command::new("git").args(arguments).output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(output.stdout)
}
