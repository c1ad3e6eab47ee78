//! A file that only its owner reads and no disk keeps.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::codes::Code;
use super::error::CommandError;
use super::io;

/// From here on no signal ends the process while a private copy lies around: whoever runs beside us (an editor) gets it,
/// too, ends, and then the copy goes. Holds for as long as what it returns.
#[cfg(unix)]
pub(crate) fn outlive_signals() -> Result<tokio::runtime::Runtime, CommandError> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = super::cluster::runtime()?;
    let entered = runtime.enter();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()] {
        // What listens may go: the handler stays.
        drop(signal(kind).map_err(|error| CommandError::new(format!("cannot listen for signals: {error}")))?);
    }
    drop(entered);
    Ok(runtime)
}

/// Elsewhere the console does not end who waits for an editor.
#[cfg(not(unix))]
pub(crate) fn outlive_signals() -> Result<(), CommandError> {
    Ok(())
}

/// A file in a folder of its own, both gone when this is dropped.
pub(crate) struct PrivateFile {
    folder: PathBuf,
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
        private_folder(&folder).map_err(cannot)?;
        let made = Self { file: folder.join(name), folder };
        io::create(&made.file, Some(0o600)).and_then(|mut file| file.write_all(content)).map_err(cannot)?;
        Ok(made)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.file
    }

    /// Reads it; an editor may have put another file in its place.
    pub(crate) fn read(&self) -> Result<String, CommandError> {
        io::read(Some(&self.file))
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        // Backup and swap files of the editor go with the folder; what was written is overwritten first.
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if let Ok(length) = entry.metadata().map(|known| known.len()) {
                let _ = std::fs::write(entry.path(), vec![0; usize::try_from(length).unwrap_or_default()]);
            }
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn private_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
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
