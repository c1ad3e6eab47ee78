//! A file that only its owner reads and no disk keeps.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::codes::Code;
use super::error::CommandError;
use super::interrupt::Temporary;
use super::io;

/// A file in a folder of its own, both gone when this is dropped or a signal ends the process.
pub(crate) struct PrivateFile {
    _folder: Temporary,
    file: PathBuf,
}

impl PrivateFile {
    /// Makes it where memory backs the files; elsewhere only when that is asked for.
    pub(crate) fn create(on_disk: bool, name: &str, content: &[u8]) -> Result<Self, CommandError> {
        let place = memory_backed().or_else(|| on_disk.then(std::env::temp_dir)).ok_or_else(|| {
            CommandError::coded(Code::NoPrivatePlace, "there is no memory-backed place for a private copy")
                .help("--on-disk keeps it in a 0600 file until the editor ends; or set one value: seal set FILE KEY")
        })?;
        let cannot = |error: std::io::Error| {
            CommandError::coded(
                Code::NoPrivatePlace,
                format!("cannot make a private copy in {}: {error}", place.display()),
            )
        };
        let number: u64 = rand::random();
        let folder = place.join(format!("seal-{}-{number:x}", std::process::id()));
        let (folder, ()) = Temporary::make(folder, private_folder).map_err(cannot)?;
        let file = folder.path().join(name);
        io::create(&file, Some(0o600)).and_then(|mut file| file.write_all(content)).map_err(cannot)?;
        Ok(Self { _folder: folder, file })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.file
    }

    /// Reads it; an editor may have put another file in its place.
    pub(crate) fn read(&self) -> Result<String, CommandError> {
        io::read(Some(&self.file))
    }
}

#[cfg(unix)]
fn private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn private_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir(folder)
}

/// A folder in memory: `$XDG_RUNTIME_DIR` or `/dev/shm`.
#[cfg(target_os = "linux")]
pub(crate) fn memory_backed() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let in_memory = |folder: &Path| {
        let mounted = mounts.lines().filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (point, kind) = (words.next()?, words.next()?);
            folder.starts_with(point).then_some((point.len(), matches!(kind, "tmpfs" | "ramfs")))
        });
        // The longest mount point is the one that counts, the last one of two alike.
        mounted.max_by_key(|(length, _)| *length).is_some_and(|(_, memory)| memory)
    };
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    runtime.into_iter().chain([PathBuf::from("/dev/shm")]).find(|folder| folder.is_dir() && in_memory(folder))
}

/// Other systems have none that is always there.
#[cfg(not(target_os = "linux"))]
pub(crate) fn memory_backed() -> Option<PathBuf> {
    None
}
