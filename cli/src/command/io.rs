//! Files, standard input and output.

use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::path::Path;

use super::error::CommandError;

/// Largest input, in bytes: a Secret holds a mebibyte, base64 and many documents included this is generous.
const LARGEST_INPUT: u64 = 64 << 20;

/// Reads a file, or standard input when there is none.
pub(crate) fn read(file: Option<&Path>) -> Result<String, CommandError> {
    let mut bytes = Vec::new();
    let name = match file {
        Some(path) => {
            let opened = std::fs::File::open(path)
                .map_err(|error| CommandError::new(format!("cannot read {}: {error}", path.display())))?;
            opened
                .take(LARGEST_INPUT + 1)
                .read_to_end(&mut bytes)
                .map_err(|error| CommandError::new(format!("cannot read {}: {error}", path.display())))?;
            path.display().to_string()
        }
        None => {
            let stdin = std::io::stdin();
            if stdin.is_terminal() {
                say("(tty detected: expecting json/yaml k8s resource in stdin)");
            }
            stdin
                .lock()
                .take(LARGEST_INPUT + 1)
                .read_to_end(&mut bytes)
                .map_err(|error| CommandError::new(format!("cannot read standard input: {error}")))?;
            "standard input".to_owned()
        }
    };
    if bytes.len() as u64 > LARGEST_INPUT {
        return Err(CommandError::new(format!("{name} is larger than 64 MiB")));
    }
    decode(bytes).ok_or_else(|| {
        CommandError::new(format!("{name} is not UTF-8 text"))
            .help("old PowerShell writes UTF-16: save the file as UTF-8")
    })
}

/// UTF-8, or UTF-16 when its mark says so.
fn decode(bytes: Vec<u8>) -> Option<String> {
    let units = |big: bool| {
        bytes[2..]
            .chunks_exact(2)
            .map(|pair| {
                let pair = [pair[0], pair[1]];
                if big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
            })
            .collect::<Vec<_>>()
    };
    match bytes.as_slice() {
        [0xff, 0xfe, ..] => String::from_utf16(&units(false)).ok(),
        [0xfe, 0xff, ..] => String::from_utf16(&units(true)).ok(),
        _ => String::from_utf8(bytes).ok(),
    }
}

/// Reads a file as bytes.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, CommandError> {
    std::fs::read(path).map_err(|error| CommandError::new(format!("cannot read {}: {error}", path.display())))
}

/// Writes the product to a file, at once or not at all, or to standard output.
pub(crate) fn write(file: Option<&Path>, product: &[u8]) -> Result<(), CommandError> {
    let Some(path) = file else {
        return write_stdout(product);
    };
    let cannot = |error: std::io::Error| CommandError::new(format!("cannot write {}: {error}", path.display()));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("sealed");
    let draft = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = std::fs::File::create_new(&draft).and_then(|mut file| {
        file.write_all(product)?;
        if let Ok(known) = std::fs::metadata(path) {
            file.set_permissions(known.permissions())?;
        }
        file.sync_all()
    });
    written.and_then(|()| std::fs::rename(&draft, path)).map_err(|error| {
        let _ = std::fs::remove_file(&draft);
        cannot(error)
    })
}

/// Writes the product to standard output. A reader that went away is no failure of ours.
pub(crate) fn write_stdout(product: &[u8]) -> Result<(), CommandError> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(product).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(CommandError::new(format!("cannot write standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Says something to the person; there is nobody to tell when that fails.
pub(crate) fn say(words: &str) {
    let _ = writeln!(std::io::stderr(), "{words}");
}
