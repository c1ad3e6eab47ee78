//! `seal man`: the manual, a page a verb.

use std::path::{Path, PathBuf};

use clap_mangen::Man as Page;

use crate::command::codes::Code;
use crate::command::error::CommandError;
use crate::command::io;

#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// Write all pages into this directory instead of printing the first
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self) -> Result<(), CommandError> {
        let mut command = super::command();
        command.build();
        match &self.dir {
            None => io::write_stdout(&rendered(command)?),
            Some(folder) => {
                std::fs::create_dir_all(folder).map_err(|error| {
                    CommandError::coded(Code::NotReadable, format!("cannot make {}: {error}", folder.display()))
                })?;
                write(folder, &command, "seal")?;
                io::write(Some(&folder.join("kubeseal.1")), &rendered(crate::command::kubeseal::command())?)
            }
        }
    }
}

fn write(folder: &Path, command: &clap::Command, name: &str) -> Result<(), CommandError> {
    let titled = command.clone().display_name(name.to_owned());
    io::write(Some(&folder.join(format!("{name}.1"))), &rendered(titled)?)?;
    command
        .get_subcommands()
        .filter(|verb| verb.get_name() != "help" && !verb.is_hide_set())
        .try_for_each(|verb| write(folder, verb, &format!("{name}-{}", verb.get_name())))
}

fn rendered(command: clap::Command) -> Result<Vec<u8>, CommandError> {
    let mut page = Vec::new();
    Page::new(command).render(&mut page).map_err(|error| CommandError::new(error.to_string()))?;
    Ok(page)
}
