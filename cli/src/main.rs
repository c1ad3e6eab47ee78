//! The `seal` command: exit code and nothing else.

use std::process::ExitCode;

mod command;
// The operator's engine, from its one source. Its package uses this one, and so cannot be a dependency of it.
#[path = "../../src/template/mod.rs"]
#[allow(dead_code, unreachable_pub, unused_imports, reason = "the operator uses more of it, and from other rooms")]
mod template;

fn main() -> ExitCode {
    command::main()
}
