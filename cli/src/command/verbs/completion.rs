//! `seal completion SHELL`.

use clap_complete::Shell;

use crate::command::error::CommandError;
use crate::command::io;

#[derive(Debug, clap::Args)]
pub(crate) struct Completion {
    /// bash, zsh, fish, powershell or elvish
    shell: Shell,
}

impl Completion {
    pub(crate) fn run(self) -> Result<(), CommandError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::command(), "seal", &mut script);
        io::write_stdout(&script)
    }
}
