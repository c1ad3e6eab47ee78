//! `seal set FILE KEY`: one value, one line.

use std::path::PathBuf;

use seal::SecretBytes;

use crate::command::codes::Code;
use crate::command::console;
use crate::command::context::{Context, counted, value_of};
use crate::command::error::CommandError;
use crate::command::generate::generate;
use crate::command::io;
use crate::command::target::Target;

/// Most keys that are named in one sentence.
const NAMED: usize = 4;

#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    /// File with the SealedSecret; - for a pipe
    file: PathBuf,
    /// Key of the value
    key: String,
    #[command(flatten)]
    value: Value,
    /// Which SealedSecret, when the file holds several
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Say what would change and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Where one value comes from.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct Value {
    /// Take the value from a file, byte for byte
    #[arg(long, value_name = "PATH")]
    from_file: Option<PathBuf>,
    /// Take the value from standard input, without its last newline
    #[arg(long)]
    stdin: bool,
    /// Take the value from standard input, byte for byte
    #[arg(long)]
    keep_newline: bool,
    /// Make a value by chance: alnum:32, hex:64, base64:32, digits:6, ascii:24, uuid
    #[arg(long, value_name = "SPEC")]
    generate: Option<String>,
}

impl Set {
    pub(crate) fn run(self, context: &Context) -> Result<(), CommandError> {
        let mut target = Target::open(context, &self.file, self.name.as_deref())?;
        target.check_place()?;
        // Offline: where no certificate is pinned, a value is not sent to ask for one.
        let chosen = context.certificate(Some(&self.file), false)?;
        let value = self.value.get(context, &self.key)?;
        let known = target.item(&self.key).is_some();
        let change = target.seal(&chosen.certificate, &self.key, &value)?;
        let changed = target.changed(vec![change])?;
        let done = if known { "replaced" } else { "added" };
        let words = format!("{}: {} {done}{}", self.file.display(), self.key, untouched(&target, &self.key));
        if self.dry_run {
            context.tell(&format!("{words} (--dry-run: nothing written)"));
            return Ok(());
        }
        target.write(&changed)?;
        context.tell(&words);
        Ok(())
    }
}

impl Value {
    fn get(&self, context: &Context, key: &str) -> Result<SecretBytes, CommandError> {
        if let Some(file) = &self.from_file {
            return value_of(file);
        }
        if let Some(spec) = &self.generate {
            return generate(spec);
        }
        if self.keep_newline {
            return Ok(io::read_stdin()?.into());
        }
        if self.stdin {
            return Ok(without_newline(context, io::read_stdin()?).into());
        }
        if context.can_ask() {
            return console::ask_hidden(&format!("{key}: "));
        }
        Err(CommandError::coded(Code::NeedsInput, format!("no value for {key}, and nobody can be asked"))
            .help("pipe it:  … | seal set FILE KEY --stdin   or --from-file PATH, or --generate alnum:32"))
    }
}

/// Takes one newline from the end: it is the shell's, not the value's.
fn without_newline(context: &Context, mut bytes: Vec<u8>) -> Vec<u8> {
    let ending = if bytes.ends_with(b"\r\n") { 2 } else { usize::from(bytes.ends_with(b"\n")) };
    if ending > 0 {
        bytes.truncate(bytes.len() - ending);
        context.tell(&format!(
            "note: kept the trailing newline out ({}). Use --keep-newline to store it.",
            counted(ending, "byte")
        ));
    }
    bytes
}

/// `, username untouched`.
fn untouched(target: &Target, key: &str) -> String {
    let others: Vec<_> = target.items.iter().map(|(name, _)| name.as_str()).filter(|name| *name != key).collect();
    match others.len() {
        0 => String::new(),
        1..=NAMED => format!(", {} untouched", others.join(", ")),
        count => format!(", {count} others untouched"),
    }
}
