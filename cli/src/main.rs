//! The `seal` command: exit code and nothing else.

use std::process::ExitCode;

mod command;

fn main() -> ExitCode {
    command::main()
}
