//! `seal explain CODE`.

use crate::command::codes::Code;
use crate::command::error::CommandError;
use crate::command::io;

#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// A code, such as E0203; without one all are listed
    code: Option<String>,
}

impl Explain {
    pub(crate) fn run(self) -> Result<(), CommandError> {
        let Some(asked) = self.code else {
            let list: String = Code::ALL.iter().map(|code| format!("{}  {}\n", code.id(), code.title())).collect();
            return io::write_stdout(list.as_bytes());
        };
        match Code::ALL.iter().find(|code| code.id().eq_ignore_ascii_case(&asked)) {
            Some(code) => io::write_stdout(code.page().as_bytes()),
            None => Err(CommandError::new(format!("there is no code {asked}")).help("seal explain lists all")),
        }
    }
}
