//! `seal guard`: no readable Secret gets into a commit. For pre-commit, for Git's own hook, for CI.

use std::path::{Path, PathBuf};

use seal::Encoding;
use seal::check::{self, Problem};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::command::codes::Code;
use crate::command::console::say;
use crate::command::context::Context;
use crate::command::error::CommandError;
use crate::command::files;
use crate::command::git;
use crate::command::io;
use crate::command::project::Project;
use crate::command::target::unreadable;

/// What people let pass, with a reason each.
const ALLOWED: &str = ".seal-guard.toml";
/// First line of the hook that we install.
const HOOK: &str = "#!/bin/sh\n# Installed by `seal guard install`: no readable Secret gets into a commit.\nexec seal guard run --staged\n";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Guard {
    /// Look for readable Secrets and private keys
    Run(Run),
    /// Install the check as this repository's pre-commit hook
    Install(Install),
    /// Let one finding pass, with a reason
    Allow(Allow),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// Files, directories or globs
    #[arg(default_value = ".")]
    paths: Vec<PathBuf>,
    /// Look at what is staged for the commit instead
    #[arg(long)]
    staged: bool,
    /// File of findings that are let pass [default: .seal-guard.toml of the repository]
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// text, json or sarif
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    /// The same as -o sarif
    #[arg(long, hide = true)]
    sarif: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    #[default]
    Text,
    Json,
    Sarif,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Install {
    /// Put it in the place of a hook that is there
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Allow {
    /// FILE:LINE, as the finding says
    place: String,
    /// Why this is no secret
    #[arg(long)]
    reason: String,
}

/// A value that can be read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    file: PathBuf,
    line: usize,
    /// `Secret/shop/db`.
    object: String,
    /// `stringData.password`.
    value: String,
    bytes: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowances {
    #[serde(default)]
    allow: Vec<Allowance>,
}

/// One finding that is let pass: another length is looked at again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowance {
    path: PathBuf,
    object: String,
    value: String,
    bytes: usize,
    reason: String,
}

impl Guard {
    pub(crate) fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Run(verb) => verb.run(context),
            Self::Install(verb) => verb.run(context),
            Self::Allow(verb) => verb.run(context),
        }
    }
}

impl Run {
    fn run(self, context: &Context) -> Result<(), CommandError> {
        let allowed = Allowances::read(self.baseline.as_deref())?;
        let texts = if self.staged { git::staged()? } else { on_disk(&self.paths)? };
        let mut found = Vec::new();
        for (file, bytes) in &texts {
            found.extend(look(file, bytes)?);
        }
        found.retain(|found| !allowed.covers(found));
        match if self.sarif { Form::Sarif } else { self.output } {
            Form::Text => tell(context, &found),
            Form::Json => io::write_stdout(format!("{:#}\n", as_json(&found)).as_bytes())?,
            Form::Sarif => io::write_stdout(format!("{:#}\n", as_sarif(&found)).as_bytes())?,
        }
        match found.len() {
            0 => Ok(()),
            _ => Err(CommandError::silent(Code::Plaintext.exit())),
        }
    }
}

/// The files with something to look at; large trees are read once and mostly put away at once.
fn on_disk(paths: &[PathBuf]) -> Result<Vec<(PathBuf, Vec<u8>)>, CommandError> {
    let texts = std::sync::Mutex::new((Vec::new(), None));
    files::each(paths, |file| {
        let read = io::read_bytes(file);
        if let Ok(mut texts) = texts.lock() {
            match read {
                Ok(bytes) if concerns(&bytes) => texts.0.push((file.to_owned(), bytes)),
                Ok(_) => {}
                Err(error) => texts.1 = Some(error),
            }
        }
    })?;
    let (mut texts, error) = texts.into_inner().unwrap_or_default();
    texts.sort();
    error.map_or(Ok(texts), Err)
}

fn concerns(bytes: &[u8]) -> bool {
    Encoding::decode(bytes).is_ok_and(|(text, _)| check::may_concern(&text) || text.contains("PRIVATE KEY-----"))
}

fn look(file: &Path, bytes: &[u8]) -> Result<Vec<Found>, CommandError> {
    // What is no text is no manifest.
    let Ok((text, _)) = Encoding::decode(bytes) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    if check::may_concern(&text) {
        match check::check(&text, &check::Known::default()) {
            Ok(report) => {
                for finding in report.findings {
                    if let Problem::Readable(values) = finding.problem {
                        found.extend(values.into_iter().map(|value| Found {
                            file: file.to_owned(),
                            line: value.line,
                            object: format!("Secret/{}", finding.object),
                            value: value.path,
                            bytes: value.length,
                        }));
                    }
                }
            }
            // A template of Helm's is no YAML; a manifest that cannot be read is not let through.
            Err(_) if text.contains("{{") || !is_manifest(file) => {}
            Err(error) => return Err(unreadable(file, &error)),
        }
    }
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start_matches(['"', '\'', ' ', '\t']);
        if line.starts_with("-----BEGIN") && line.contains("PRIVATE KEY-----") {
            found.push(Found {
                file: file.to_owned(),
                line: number + 1,
                object: "a private key".to_owned(),
                value: "PEM".to_owned(),
                bytes: text.len(),
            });
        }
    }
    Ok(found)
}

fn is_manifest(file: &Path) -> bool {
    file.extension().and_then(|end| end.to_str()).is_some_and(|end| matches!(end, "yaml" | "yml" | "json"))
}

fn tell(context: &Context, found: &[Found]) {
    let paint = context.paint();
    for found in found {
        let what = match found.value.as_str() {
            "PEM" => "a private key in PEM".to_owned(),
            value => format!("{} has readable data under {value} ({} bytes)", found.object, found.bytes),
        };
        say(&format!("{}  {what}", paint.bold(&format!("{}:{}", found.file.display(), found.line))));
    }
    if let Some(first) = found.first() {
        let (file, help) = (first.file.display(), paint.green("help:"));
        say(&format!("{help} seal file {file} --in-place"));
        say("      if the value ever left this machine, rotate it.");
        say(&format!(
            "      no secret? seal guard allow {file}:{} --reason \"…\"   (recorded in {ALLOWED})",
            first.line
        ));
    }
}

impl Install {
    fn run(self, context: &Context) -> Result<(), CommandError> {
        let hook = git::hook("pre-commit")?;
        if let Ok(there) = std::fs::read_to_string(&hook)
            && there != HOOK
            && !self.force
        {
            return Err(CommandError::coded(Code::NotReadable, format!("{} is there already", hook.display()))
                .help("add this line to it: seal guard run --staged || exit 1")
                .help("or put ours in its place: seal guard install --force"));
        }
        if let Some(folder) = hook.parent() {
            std::fs::create_dir_all(folder).map_err(|error| {
                CommandError::coded(Code::NotReadable, format!("cannot make {}: {error}", folder.display()))
            })?;
        }
        io::write_program(&hook, HOOK.as_bytes())?;
        context.tell(&format!("installed {}: a commit with a readable Secret is refused", hook.display()));
        Ok(())
    }
}

impl Allow {
    fn run(self, context: &Context) -> Result<(), CommandError> {
        let wrong = || CommandError::new(format!("{:?} is not FILE:LINE", self.place));
        let (file, line) = self.place.rsplit_once(':').ok_or_else(wrong)?;
        let line: usize = line.parse().map_err(|_| wrong())?;
        let file = Path::new(file);
        let found = look(file, &io::read_bytes(file)?)?;
        let Some(found) = found.into_iter().find(|found| found.line == line) else {
            return Err(CommandError::coded(Code::NoSuchKey, "there is no finding")
                .at(file, line)
                .help("see: seal guard run"));
        };
        let root = root();
        let list = root.join(ALLOWED);
        let mut text = if list.is_file() {
            io::read(Some(&list))?
        } else {
            "# Findings of `seal guard` that are no secrets.\n".to_owned()
        };
        text += &format!(
            "\n[[allow]]\npath = {}\nobject = {}\nvalue = {}\nbytes = {}\nreason = {}\n",
            json!(within(&root, file)),
            json!(found.object),
            json!(found.value),
            found.bytes,
            json!(self.reason)
        );
        io::write(Some(&list), text.as_bytes())?;
        context.tell(&format!("{ALLOWED} lets {} pass", self.place));
        Ok(())
    }
}

impl Allowances {
    fn read(baseline: Option<&Path>) -> Result<Self, CommandError> {
        let file = match baseline {
            Some(file) => file.to_owned(),
            None => root().join(ALLOWED),
        };
        if baseline.is_none() && !file.is_file() {
            return Ok(Self::default());
        }
        let text = io::read(Some(&file))?;
        let read: Self = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
            CommandError::coded(Code::BadConfig, error.message().to_owned()).at(&file, line)
        })?;
        match read.allow.iter().find(|allowance| allowance.reason.trim().is_empty()) {
            Some(empty) => {
                Err(CommandError::coded(Code::BadConfig, format!("{}: a reason is needed", empty.path.display()))
                    .at(&file, 0))
            }
            None => Ok(read),
        }
    }

    fn covers(&self, found: &Found) -> bool {
        let root = root();
        let path = within(&root, &found.file);
        self.allow.iter().any(|allowance| {
            allowance.path == path
                && allowance.object == found.object
                && allowance.value == found.value
                && allowance.bytes == found.bytes
        })
    }
}

/// Where the list of what is let pass lies: beside `.seal.toml`, or in the repository's root.
fn root() -> PathBuf {
    let project = Project::find(Path::new(".")).ok().and_then(|project| project.folder);
    project.or_else(git::root).unwrap_or_else(|| PathBuf::from("."))
}

/// A path as the repository names it.
fn within(root: &Path, file: &Path) -> PathBuf {
    let absolute = |path: &Path| {
        std::fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
    };
    absolute(file).strip_prefix(absolute(root)).map_or_else(|_| file.to_owned(), Path::to_owned)
}

fn as_json(found: &[Found]) -> Value {
    let items: Vec<_> = found
        .iter()
        .map(|found| {
            json!({
                "file": found.file, "line": found.line, "code": Code::Plaintext.id(),
                "object": found.object, "value": found.value, "bytes": found.bytes,
            })
        })
        .collect();
    json!({ "schema": "seal/guard/v1", "findings": items })
}

/// SARIF 2.1.0, as code scanning reads it.
fn as_sarif(found: &[Found]) -> Value {
    let results: Vec<_> = found
        .iter()
        .map(|found| {
            json!({
                "ruleId": Code::Plaintext.id(), "level": "error",
                "message": { "text": format!("{} has readable data under {} ({} bytes)", found.object, found.value, found.bytes) },
                "locations": [{ "physicalLocation": {
                    "artifactLocation": { "uri": found.file.display().to_string().replace('\\', "/") },
                    "region": { "startLine": found.line },
                } }],
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "seal guard", "version": env!("CARGO_PKG_VERSION"),
                "rules": [{
                    "id": Code::Plaintext.id(),
                    "shortDescription": { "text": Code::Plaintext.title() },
                    "help": { "text": Code::Plaintext.page() },
                }],
            } },
            "results": results,
        }],
    })
}
