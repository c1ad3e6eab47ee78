//! `seal unset FILE KEY…`: keys go, nothing else moves.

use std::path::PathBuf;

use seal::edit::Change;

use crate::command::codes::Code;
use crate::command::context::Context;
use crate::command::error::CommandError;
use crate::command::target::Target;

#[derive(Debug, clap::Args)]
pub(crate) struct Unset {
    /// File with the SealedSecret; - for a pipe
    file: PathBuf,
    /// Keys to take out
    #[arg(required = true)]
    keys: Vec<String>,
    /// Which SealedSecret, when the file holds several
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Say what would change and write nothing
    #[arg(long)]
    dry_run: bool,
}

impl Unset {
    pub(crate) fn run(self, context: &Context) -> Result<(), CommandError> {
        let mut target = Target::open(context, &self.file, self.name.as_deref())?;
        let mut changes = Vec::new();
        for key in &self.keys {
            if target.item(key).is_none() {
                let known: Vec<_> = target.items.iter().map(|(key, _)| key.as_str()).collect();
                return Err(CommandError::coded(Code::NoSuchKey, format!("{} has no key {key}", target.name))
                    .at(&self.file, 0)
                    .note(format!("its keys: {}", known.join(", "))));
            }
            target.marks.remove(key);
            changes.push(Change::remove(&["spec", "encryptedData", key]));
        }
        let changed = target.changed(changes)?;
        let words = format!("{}: {} removed", self.file.display(), self.keys.join(", "));
        if self.dry_run {
            context.tell(&format!("{words} (--dry-run: nothing written)"));
            return Ok(());
        }
        target.write(&changed)?;
        context.tell(&words);
        Ok(())
    }
}
