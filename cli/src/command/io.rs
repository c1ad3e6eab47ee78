//! Files, standard input and output.

use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::path::Path;

use seal::Encoding;

use super::codes::Code;
use super::console::say;
use super::error::CommandError;
use super::interrupt::Temporary;

/// Largest input, in bytes: a Secret holds a mebibyte, base64 and many documents included this is generous.
const LARGEST_INPUT: u64 = 64 << 20;

/// A file as text, and how to write it back.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    /// The text, without a byte order mark.
    pub(crate) text: String,
    encoding: Encoding,
    /// The bytes as they were read: a file that is another one by the time it is written is left alone.
    bytes: Vec<u8>,
}

/// Reads a file, or standard input when there is none.
pub(crate) fn read(file: Option<&Path>) -> Result<String, CommandError> {
    let bytes = match file {
        Some(path) => read_bytes(path)?,
        None => read_stdin()?,
    };
    String::from_utf8(bytes).map_err(|_| {
        CommandError::coded(Code::NotText, format!("no secrets found in {}: it is not UTF-8 text", named(file)))
            .help("old PowerShell writes UTF-16, which `seal file` reads; or save the file as UTF-8")
    })
}

/// Reads a file, or standard input for `-`, in any of the encodings that people's files have.
pub(crate) fn read_text(file: &Path) -> Result<Text, CommandError> {
    let bytes = if is_dash(file) { read_stdin()? } else { read_bytes(file)? };
    let (text, encoding) = Encoding::decode(&bytes).map_err(|error| {
        CommandError::coded(Code::NotText, error.to_string()).at(file, 0).help("save the file as UTF-8")
    })?;
    Ok(Text { text, encoding, bytes })
}

/// Writes a changed text in place, encoded as it was; a file that changed meanwhile is left alone.
pub(crate) fn write_text(file: &Path, before: &Text, text: &str) -> Result<(), CommandError> {
    let product = before.encoding.encode(text);
    if is_dash(file) {
        return write_stdout(&product);
    }
    if read_bytes(file)? != before.bytes {
        return Err(CommandError::coded(Code::FileMoved, "the file was changed by somebody else meanwhile")
            .at(file, 0)
            .help("nothing was written; run the command again"));
    }
    write(Some(file), &product)
}

/// Whether a path means standard input or output.
pub(crate) fn is_dash(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// Reads a file as bytes.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, CommandError> {
    let cannot = |error: std::io::Error| {
        let why = match error.kind() {
            ErrorKind::IsADirectory => "it is a directory".to_owned(),
            _ => error.to_string(),
        };
        CommandError::coded(Code::NotReadable, format!("cannot read {}: {why}", path.display()))
    };
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mut bytes = Vec::with_capacity(file.metadata().map_or(0, |known| known.len().min(LARGEST_INPUT)) as usize);
    file.take(LARGEST_INPUT + 1).read_to_end(&mut bytes).map_err(cannot)?;
    bounded(bytes, &path.display().to_string())
}

/// Reads standard input to its end; says so when that is a terminal.
pub(crate) fn read_stdin() -> Result<Vec<u8>, CommandError> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        say("(tty detected: expecting json/yaml k8s resource in stdin)");
    }
    let mut bytes = Vec::new();
    stdin
        .lock()
        .take(LARGEST_INPUT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| CommandError::coded(Code::NotReadable, format!("cannot read standard input: {error}")))?;
    bounded(bytes, "standard input")
}

fn bounded(bytes: Vec<u8>, name: &str) -> Result<Vec<u8>, CommandError> {
    if bytes.len() as u64 > LARGEST_INPUT {
        return Err(CommandError::coded(Code::NotReadable, format!("{name} is larger than 64 MiB")));
    }
    Ok(bytes)
}

fn named(file: Option<&Path>) -> String {
    file.map_or_else(|| "standard input".to_owned(), |path| path.display().to_string())
}

/// Writes the product to a file, at once or not at all, or to standard output. A file keeps its mode, a link its target.
pub(crate) fn write(file: Option<&Path>, product: &[u8]) -> Result<(), CommandError> {
    match file {
        Some(path) if !is_dash(path) => replace(path, product, None),
        _ => write_stdout(product),
    }
}

/// Writes a file that only its owner may read, and only where there is none yet.
pub(crate) fn write_private(path: &Path, product: &[u8]) -> Result<(), CommandError> {
    if path.exists() {
        return Err(CommandError::coded(Code::NotReadable, format!("{} exists already", path.display()))
            .help("name another file, or move this one away"));
    }
    replace(path, product, Some(0o600))
}

/// Writes a file that can be run.
pub(crate) fn write_program(path: &Path, product: &[u8]) -> Result<(), CommandError> {
    replace(path, product, Some(0o755))
}

fn replace(path: &Path, product: &[u8], mode: Option<u32>) -> Result<(), CommandError> {
    // A link stays one: what it leads to is replaced.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if !target.is_file() && target.exists() && !target.is_dir() {
        // A device or a pipe cannot be renamed over.
        return std::fs::write(&target, product).map_err(|error| cannot_write(path, &error));
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = target.file_name().and_then(|name| name.to_str()).unwrap_or("sealed");
    let draft = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = Temporary::make(draft, |draft| create(draft, mode)).and_then(|(draft, mut file)| {
        file.write_all(product)?;
        if let (Ok(known), None) = (std::fs::metadata(&target), mode) {
            file.set_permissions(known.permissions())?;
        }
        file.sync_all()?;
        std::fs::rename(draft.path(), &target)
    });
    written.map_err(|error| cannot_write(path, &error))
}

/// Makes a new file, on Unix with this mode.
pub(crate) fn create(path: &Path, mode: Option<u32>) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if let Some(mode) = mode {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    }
    #[cfg(not(unix))]
    let _ = mode;
    options.open(path)
}

fn cannot_write(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::coded(Code::NotReadable, format!("cannot write {}: {error}", path.display()))
}

/// Writes the product to standard output. A reader that went away is no failure of ours.
pub(crate) fn write_stdout(product: &[u8]) -> Result<(), CommandError> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(product).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(CommandError::coded(Code::NotReadable, format!("cannot write standard output: {error}")))
        }
        _ => Ok(()),
    }
}
