//! The binary's own room: arguments, files, errors, one file a verb. The work itself is the library's.

use std::process::ExitCode;

use clap::Parser;

mod args;
mod certificate;
mod cluster;
mod error;
mod io;
mod raw;
mod seal;

use args::Args;
use error::CommandError;

/// Parses arguments, runs, and turns a failure into words on stderr and exit code 1, as kubeseal does.
pub(crate) fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            io::say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), CommandError> {
    if args.version {
        // Scripts look for kubeseal's line.
        let ours = env!("CARGO_PKG_VERSION");
        return io::write_stdout(format!("kubeseal version: 0.36.6 (compatible)\nseal {ours}\n").as_bytes());
    }
    args.refuse_what_is_not_here_yet()?;
    if args.fetch_cert {
        return certificate::fetch(args);
    }
    if args.raw { raw::run(args) } else { seal::run(args) }
}
