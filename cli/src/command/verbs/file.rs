//! `seal file`: the plain Secrets of manifests become SealedSecrets; everything else in the files stays as it is.

use std::path::{Path, PathBuf};

use seal::manifest::{self, ManifestError, Secret};
use seal::{Scope, check, edit, tree};
use serde_json::Value;

use super::new::sealed;
use crate::command::codes::Code;
use crate::command::context::{Context, counted, described};
use crate::command::error::CommandError;
use crate::command::files;
use crate::command::io::{self, Text};
use crate::command::target::{unedited, unreadable};

#[derive(Debug, clap::Args)]
pub(crate) struct File {
    /// Files, directories or globs; without any, standard input
    #[arg(default_value = "-")]
    paths: Vec<PathBuf>,
    /// Write to this file instead of standard output
    #[arg(short = 'w', long, value_name = "OUT", conflicts_with_all = ["in_place", "out_dir"])]
    write: Option<PathBuf>,
    /// Change the files themselves
    #[arg(long, conflicts_with = "out_dir")]
    in_place: bool,
    /// Write each file under its name into this directory
    #[arg(long, value_name = "DIR")]
    out_dir: Option<PathBuf>,
    /// Who may open the values: strict, namespace-wide or cluster-wide [default: the Secret's annotations]
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
    /// Seal Secrets that hold only public certificates, too
    #[arg(long)]
    all: bool,
    /// Say what would be done and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// One file with its Secrets sealed.
struct Sealed {
    file: PathBuf,
    before: Text,
    text: String,
    count: usize,
}

/// What becomes of the Secrets of all files.
#[derive(Default)]
struct Outcome {
    files: Vec<Sealed>,
    skipped: Vec<String>,
    refused: Vec<CommandError>,
}

impl File {
    pub(crate) fn run(self, context: &Context) -> Result<(), CommandError> {
        let listed = files::listed(&self.paths)?;
        let mut outcome = Outcome::default();
        let mut chosen = None;
        for file in &listed {
            let named = self.paths.contains(file);
            if let Err(error) = self.seal(context, file, named, &mut chosen, &mut outcome) {
                outcome.refused.push(error);
            }
        }
        let would = if self.dry_run { "would seal" } else { "sealed" };
        let count: usize = outcome.files.iter().map(|file| file.count).sum();
        let to = chosen.as_ref().map_or_else(String::new, |chosen: &crate::command::context::Chosen| {
            let whom = if chosen.name.is_empty() { String::new() } else { format!(" for {}", chosen.name) };
            format!("{whom} ({})", described(&chosen.certificate))
        });
        let several = match outcome.files.iter().filter(|file| file.count > 1).max_by_key(|file| file.count) {
            Some(file) if outcome.files.len() > 1 => format!(" ({} in one file)", file.count),
            _ => String::new(),
        };
        let summary =
            format!("{would} {} from {}{several}{to}", counted(count, "Secret"), counted(outcome.files.len(), "file"));
        if outcome.refused.is_empty() && !self.dry_run {
            self.write(&outcome.files)?;
        }
        if outcome.refused.is_empty() || self.dry_run {
            context.tell(&summary);
        }
        for skipped in &outcome.skipped {
            context.tell(&format!("{} {skipped}", if self.dry_run { "would skip" } else { "skipped" }));
        }
        if self.dry_run {
            context.tell("no files written (--dry-run)");
        }
        let mut refused = outcome.refused.into_iter();
        match refused.next_back() {
            None => Ok(()),
            Some(last) => {
                for error in refused {
                    crate::command::console::say(&error.words(true, context.paint()));
                }
                Err(if self.dry_run { last } else { last.note("nothing was written: all files or none") })
            }
        }
    }

    fn seal(
        &self,
        context: &Context,
        file: &Path,
        named: bool,
        chosen: &mut Option<crate::command::context::Chosen>,
        outcome: &mut Outcome,
    ) -> Result<(), CommandError> {
        let before = io::read_text(file)?;
        let documents = tree::read(&before.text).map_err(|error| unreadable(file, &error))?;
        if let Some(line) = tree::twice(&documents) {
            return Err(CommandError::coded(Code::Twice, Code::Twice.title()).at(file, line));
        }
        let values = manifest::documents(&before.text).map_err(|error| not_a_manifest(file, 0, &error))?;
        let mut text = before.text.clone();
        let mut count = 0;
        for (index, object) in
            tree::objects(&documents).iter().enumerate().filter(|(_, object)| object.kind() == "Secret")
        {
            let value = value_of(&values, object).ok_or_else(|| unedited(file, &edit::EditError::Entangled))?;
            let secret =
                manifest::secret_from(value.clone()).map_err(|error| not_a_manifest(file, object.node.line, &error))?;
            if !self.all && only_public(&secret) {
                outcome.skipped.push(format!(
                    "1: {}:{} holds only a public certificate (use --all to include)",
                    file.display(),
                    object.node.line
                ));
                continue;
            }
            let secret = self.placed(context, file, object.node.line, secret)?;
            let scope = match self.scope {
                Some(scope) => scope,
                None if Scope::of(&secret.annotations) != Scope::Strict => Scope::of(&secret.annotations),
                None => context.scope(Some(file))?,
            };
            if chosen.is_none() {
                *chosen = Some(context.certificate(Some(file), true)?);
            }
            let Some(certificate) = chosen.as_ref().map(|chosen| &chosen.certificate) else { continue };
            let object = sealed(certificate, scope, &secret).map_err(|error| error.at(file, object.node.line))?;
            let object = serde_json::to_value(object).map_err(|error| CommandError::new(error.to_string()))?;
            text = edit::replace(&text, index, &object).map_err(|error| unedited(file, &error))?;
            count += 1;
        }
        if count > 0 {
            outcome.files.push(Sealed { file: file.to_owned(), before, text, count });
        } else if named && outcome.skipped.is_empty() {
            return Err(CommandError::coded(Code::WrongObject, "it holds no plain Secret").at(file, 0));
        }
        Ok(())
    }

    fn placed(&self, context: &Context, file: &Path, line: usize, mut secret: Secret) -> Result<Secret, CommandError> {
        if secret.namespace.as_deref().is_none_or(str::is_empty) {
            secret.namespace = context.namespace(Some(file))?;
        }
        let flag = context.global.cluster.namespace.as_deref();
        if let (Some(flag), Some(given)) = (flag, secret.namespace.as_deref())
            && flag != given
        {
            return Err(CommandError::coded(Code::NoPlace, format!("it says namespace {given}, and -n says {flag}"))
                .at(file, line)
                .help("leave -n out, or change the file: the values are sealed to the namespace"));
        }
        Ok(secret)
    }

    fn write(&self, files: &[Sealed]) -> Result<(), CommandError> {
        if self.in_place {
            return files.iter().try_for_each(|file| io::write_text(&file.file, &file.before, &file.text));
        }
        if let Some(folder) = &self.out_dir {
            std::fs::create_dir_all(folder).map_err(|error| {
                CommandError::coded(Code::NotReadable, format!("cannot make {}: {error}", folder.display()))
            })?;
            return files.iter().try_for_each(|file| {
                let name = file.file.file_name().unwrap_or(std::ffi::OsStr::new("sealed.yaml"));
                io::write(Some(&folder.join(name)), file.text.as_bytes())
            });
        }
        let mut product = String::new();
        for file in files {
            if !product.is_empty() && !file.text.starts_with("---") && !file.text.starts_with('{') {
                product.push_str("---\n");
            }
            product.push_str(&file.text);
            if !product.ends_with('\n') {
                product.push('\n');
            }
        }
        io::write(self.write.as_deref(), product.as_bytes())
    }
}

fn value_of<'v>(values: &'v [Value], object: &tree::Object<'_>) -> Option<&'v Value> {
    let document = values.get(object.document)?;
    match object.item {
        None => Some(document),
        Some(item) => document.get("items")?.get(item),
    }
}

/// Whether all values are certificates, which are public anyway.
fn only_public(secret: &Secret) -> bool {
    !secret.data.is_empty() && secret.data.values().all(|value| check::is_public(value.expose()))
}

fn not_a_manifest(file: &Path, line: usize, error: &ManifestError) -> CommandError {
    match error {
        ManifestError::Yaml(error) => unreadable(file, error),
        error => CommandError::coded(Code::NotYaml, error.to_string()).at(file, line),
    }
}
