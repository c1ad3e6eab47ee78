//! `seal version`.

use super::error::CommandError;
use super::io;

/// kubeseal's line first: scripts look for it.
pub(crate) fn run() -> Result<(), CommandError> {
    let ours = env!("CARGO_PKG_VERSION");
    io::write_stdout(format!("{}\nseal {ours}\n", super::kubeseal::VERSION_LINE).as_bytes())
}
