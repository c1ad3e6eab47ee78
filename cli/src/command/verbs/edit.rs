//! `seal edit FILE`: values in an editor. What is sealed shows as `<sealed>` and stays; what is written there is sealed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use seal::edit::Change;
use seal::{SecretBytes, manifest};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::command::codes::{self, Code};
use crate::command::context::Context;
use crate::command::error::CommandError;
use crate::command::interrupt;
use crate::command::private::PrivateFile;
use crate::command::target::Target;

/// What stands for a value that is there.
const SEALED: &str = "<sealed>";

#[derive(Debug, clap::Args)]
pub(crate) struct Edit {
    /// File with the SealedSecret
    file: PathBuf,
    /// Which SealedSecret, when the file holds several
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Keep the private copy on disk, where no memory-backed place is
    #[arg(long)]
    on_disk: bool,
}

impl Edit {
    pub(crate) fn run(self, context: &Context) -> Result<(), CommandError> {
        let mut target = Target::open(context, &self.file, self.name.as_deref())?;
        target.check_place()?;
        let chosen = context.certificate(Some(&self.file), false)?;
        let editor = editor()?;
        let copy = PrivateFile::create(self.on_disk, "values.yaml", page(&target).as_bytes())?;
        let program = editor.split_whitespace().next().unwrap_or_default();
        context.tell(&format!("opening {program} on a private copy (existing values show as {SEALED})"));
        run(context, &editor, copy.path())?;
        let wanted = read(&copy)?;
        let kept = |key: &str| wanted.get(key).is_some_and(Option::is_none);
        let mut changes = Vec::new();
        let mut told: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (key, _) in target.items.clone() {
            if kept(&key) {
                told.entry("unchanged").or_default().push(key);
            } else if !wanted.contains_key(&key) {
                target.marks.remove(&key);
                changes.push(Change::remove(&["spec", "encryptedData", &key]));
                told.entry("removed").or_default().push(key);
            }
        }
        for (key, value) in &wanted {
            let known = target.item(key).is_some();
            match value {
                Some(value) => {
                    changes.push(target.seal(&chosen.certificate, key, value)?);
                    told.entry(if known { "changed" } else { "added" }).or_default().push(key.clone());
                }
                None if !known => {
                    return Err(CommandError::coded(
                        Code::NoSuchKey,
                        format!("{key} is {SEALED}, but there is no such value"),
                    )
                    .help("write the value in its place"));
                }
                None => {}
            }
        }
        if changes.is_empty() {
            context.tell("nothing changed, file left as it was");
            return Err(CommandError::silent(codes::NOTHING_CHANGED));
        }
        let changed = target.changed(changes)?;
        target.write(&changed)?;
        let words: Vec<_> = ["changed", "added", "removed", "unchanged"]
            .iter()
            .filter_map(|kind| Some(format!("{kind}: {}", told.get(kind)?.join(", "))))
            .collect();
        context.tell(&words.join("   "));
        context.tell(&format!("wrote {}", self.file.display()));
        Ok(())
    }
}

/// What the editor shows.
fn page(target: &Target) -> String {
    let mut page = format!(
        "# {}/{}, scope {}. Replace {SEALED} by a new value, add keys, delete lines; save and quit.\n\
         # Several lines: key: |  and the lines indented below. Nothing of this reaches the disk unsealed.\n",
        target.namespace, target.name, target.scope
    );
    for (key, _) in &target.items {
        page += &format!("{key}: {SEALED}\n");
    }
    page
}

/// The keys of the page: with a new value, or as they were.
fn read(copy: &PrivateFile) -> Result<BTreeMap<String, Option<SecretBytes>>, CommandError> {
    let text = Zeroizing::new(copy.read()?);
    let not_read = |why: &str| {
        CommandError::coded(Code::NotYaml, format!("the edited values cannot be read: {why}"))
            .help("nothing was written; write each as `key: value`, in quotes where it has `: ` or `#`")
    };
    if let Some(line) = seal::tree::read(&text).ok().and_then(|documents| seal::tree::twice(&documents)) {
        return Err(not_read(&format!("line {line}: a key stands twice")));
    }
    let mut documents = manifest::documents(&text).map_err(|error| not_read(&error.to_string()))?;
    match documents.len() {
        0 => return Ok(BTreeMap::new()),
        1 => {}
        _ => return Err(not_read("there are several documents")),
    }
    let Some(Value::Object(fields)) = documents.pop() else { return Err(not_read("they are no keys with values")) };
    fields
        .into_iter()
        .map(|(key, value)| match value {
            Value::String(text) if text == SEALED => Ok((key, None)),
            Value::String(text) => Ok((key, Some(text.into()))),
            _ => Err(not_read(&format!("{key} is no text: put it in quotes"))),
        })
        .collect()
}

fn editor() -> Result<String, CommandError> {
    let set = |name: &str| std::env::var(name).ok().filter(|editor| !editor.trim().is_empty());
    set("VISUAL").or_else(|| set("EDITOR")).or_else(|| on_path("vi").then(|| "vi".to_owned())).ok_or_else(|| {
        CommandError::coded(Code::NoEditor, "no editor is set")
            .help("export EDITOR=nano; or set one value: seal set FILE KEY")
    })
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// `$EDITOR` is a command line of the shell's.
fn run(context: &Context, editor: &str, file: &Path) -> Result<(), CommandError> {
    let failed = |why: String| {
        CommandError::coded(Code::NoEditor, format!("the editor {editor:?} {why}")).help("nothing was written")
    };
    #[cfg(unix)]
    let mut command = {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(file);
        command
    };
    #[cfg(not(unix))]
    let mut command = {
        let mut words = editor.split_whitespace();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).arg(file);
        command
    };
    match interrupt::run(&mut command) {
        Ok(status) if status.success() => Ok(()),
        Ok(_) if interrupt::heard() => {
            context.tell("interrupted, nothing was written");
            Err(CommandError::silent(codes::INTERRUPTED))
        }
        Ok(status) => Err(failed(format!("ended with {status}"))),
        Err(error) => Err(failed(format!("cannot be started: {error}"))),
    }
}
