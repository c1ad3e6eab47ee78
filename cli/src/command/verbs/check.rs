//! `seal check [PATH…]`: everything that can be known offline, over a whole tree.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use seal::check::{self, Finding, Known, Problem, Report};
use serde_json::{Value, json};

use crate::command::cluster::Controller;
use crate::command::codes::{self, Code};
use crate::command::context::{Context, counted};
use crate::command::error::CommandError;
use crate::command::files;
use crate::command::io;
use crate::command::output::Output;
use crate::command::target::unreadable;

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// Files, directories or globs; - for a pipe
    #[arg(default_value = ".")]
    paths: Vec<PathBuf>,
    /// Ask the cluster's controller, too, whether it can open each SealedSecret
    #[arg(long)]
    live: bool,
    /// Items that nothing is known about (kubeseal's, for instance) fail
    #[arg(long)]
    strict: bool,
    /// table or json
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// What was found in one file.
struct Seen {
    file: PathBuf,
    report: Report,
    errors: Vec<CommandError>,
}

impl Check {
    pub(crate) fn run(self, context: &Context) -> Result<(), CommandError> {
        let mut known = Certificates::new(context)?;
        let files = Mutex::new(0_usize);
        let seen = Mutex::new(Vec::new());
        {
            let known = &known;
            files::each(&self.paths, |file| {
                if let Ok(mut files) = files.lock() {
                    *files += 1;
                }
                if let (Some(found), Ok(mut seen)) = (look(file, known), seen.lock()) {
                    seen.push(found);
                }
            })?;
        }
        let mut seen = seen.into_inner().unwrap_or_default();
        seen.sort_by(|a, b| a.file.cmp(&b.file));
        if self.live {
            ask_controller(context, &mut seen)?;
        }
        let sealing = seen.iter().any(|seen| seen.report.objects > 0);
        let stale = if sealing { known.expired.take() } else { None };
        let files = files.into_inner().unwrap_or_default();
        match self.output {
            Output::Table => self.say(context, &seen, stale.as_ref(), files),
            Output::Json => io::write_stdout(format!("{:#}\n", as_json(&seen, stale.as_ref(), files)).as_bytes())?,
        }
        let failed = stale.is_some() || seen.iter().any(|seen| self.failed(seen));
        if failed { Err(CommandError::silent(worst(&seen, stale.as_ref()))) } else { Ok(()) }
    }

    fn failed(&self, seen: &Seen) -> bool {
        !seen.errors.is_empty() || !seen.report.findings.is_empty() || (self.strict && seen.report.unknown > 0)
    }

    fn say(&self, context: &Context, seen: &[Seen], stale: Option<&CommandError>, files: usize) {
        let paint = context.paint();
        for error in stale.into_iter().chain(seen.iter().flat_map(|seen| &seen.errors)) {
            crate::command::console::say(&error.words(true, paint));
        }
        for seen in seen {
            for finding in &seen.report.findings {
                crate::command::console::say(&told(&seen.file, finding).words(true, paint));
            }
            if self.strict && seen.report.unknown > 0 {
                let error = CommandError::coded(Code::Unknown, Code::Unknown.title())
                    .at(&seen.file, 0)
                    .note(format!("{} without a note of how they were sealed", counted(seen.report.unknown, "item")))
                    .help(format!("ask the controller: seal check --live {}", seen.file.display()));
                crate::command::console::say(&error.words(true, paint));
            }
        }
        let sum = |of: fn(&Report) -> usize| seen.iter().map(|seen| of(&seen.report)).sum::<usize>();
        let (objects, items, unknown) =
            (sum(|report| report.objects), sum(|report| report.items), sum(|report| report.unknown));
        let bad = seen.iter().filter(|seen| self.failed(seen)).count();
        let of_them = if unknown > 0 { format!(", {unknown} of them unknown") } else { String::new() };
        let holds = format!("{} with {}{of_them}", counted(objects, "SealedSecret"), counted(items, "item"));
        match bad {
            0 => context.tell(&format!("{holds} in {}: nothing wrong", counted(files, "file"))),
            bad => context.tell(&format!("{bad} of {} failed ({holds})", counted(files, "file"))),
        }
    }
}

/// The certificates by profile, read once.
struct Certificates {
    by_profile: Vec<(String, Known)>,
    default: Known,
    expired: Option<CommandError>,
    by_file: bool,
    project: crate::command::project::Project,
}

impl Certificates {
    fn new(context: &Context) -> Result<Self, CommandError> {
        let default = Known { certificates: context.known_certificates(None)? };
        // A flag speaks for all files; otherwise each directory may have a profile of its own.
        let by_file = context.global.cert.is_none() && context.global.profile.is_none();
        let mut by_profile = Vec::new();
        if by_file {
            for (name, profile) in context.project.profiles() {
                let Some(place) = profile.cert.as_deref().filter(|place| !place.contains("://")) else { continue };
                let path = context.project.beside(place).display().to_string();
                let source = crate::command::certificate::Source::Place(&path);
                let certificates =
                    seal::Certificate::all_from_pem(&source.pem()?).map_err(|error| source.unusable(&error))?;
                by_profile.push((name.clone(), Known { certificates }));
            }
        }
        let expired = default.certificates.first().and_then(|certificate| {
            let error = certificate.check_not_expired(crate::command::certificate::now()).err()?;
            Some(CommandError::coded(Code::Expired, error.to_string()).help("get the new one: seal cert fetch --pin"))
        });
        Ok(Self { by_profile, default, expired, by_file, project: context.project.clone() })
    }

    fn of(&self, file: &Path) -> &Known {
        if !self.by_file {
            return &self.default;
        }
        let name = self.project.profile(None, Some(file)).map(|(name, _)| name).unwrap_or_default();
        self.by_profile.iter().find(|(known, _)| *known == name).map_or(&self.default, |(_, known)| known)
    }
}

/// Looks at one file; nothing when it holds nothing of ours.
fn look(file: &Path, certificates: &Certificates) -> Option<Seen> {
    let mut seen = Seen { file: file.to_owned(), report: Report::default(), errors: Vec::new() };
    let text = match io::read_text(file) {
        Ok(text) => text.text,
        Err(error) => {
            seen.errors.push(error);
            return Some(seen);
        }
    };
    if !check::may_concern(&text) {
        return None;
    }
    match check::check(&text, certificates.of(file)) {
        Ok(report) if report.objects == 0 && report.findings.is_empty() => return None,
        Ok(report) => seen.report = report,
        // Templates of Helm and Kustomize patches are no YAML, and no concern unless they hold what we look for.
        Err(_) if !text.contains("SealedSecret") || text.contains("{{") => return None,
        Err(error) => seen.errors.push(unreadable(file, &error)),
    }
    Some(seen)
}

/// A finding as an error that says what to do.
pub(crate) fn told(file: &Path, finding: &Finding) -> CommandError {
    let shown = file.display();
    let keys = finding.keys.join(", ");
    let error = |code: Code| CommandError::coded(code, code.title()).at(file, finding.line);
    match &finding.problem {
        Problem::Twice => error(Code::Twice).note("Kubernetes takes the last one, people read the first one"),
        Problem::NoName => error(Code::NoPlace).note("the SealedSecret has no metadata.name"),
        Problem::Damaged(why) => error(Code::Damaged)
            .note(format!("{keys}: {why}"))
            .help(format!("set it again: seal set {shown} {}", finding.keys.first().map_or("KEY", String::as_str))),
        Problem::OtherPlace { sealed_for, here } => error(Code::OtherPlace)
            .note(format!("{keys} {} sealed for {sealed_for}", was(&finding.keys)))
            .note(format!("the controller cannot open it as {here}, and neither can anyone else"))
            .help(format!("seal it again for the new place: seal rename {shown} --reseal"))
            .help(format!(
                "or share on purpose: --scope namespace-wide | cluster-wide   (weaker, see `seal explain {}`)",
                Code::OtherPlace.id()
            )),
        Problem::OtherScope { sealed, declared } => error(Code::OtherScope)
            .note(format!("{keys} {} sealed {sealed}; the annotations say {declared}", was(&finding.keys)))
            .help(match sealed.annotation() {
                Some(annotation) => format!("annotate the SealedSecret: {annotation}: \"true\""),
                None => "take the scope's annotation from the SealedSecret away, or set the values again".to_owned(),
            }),
        Problem::UnknownKey(key) => {
            let key = key.as_ref().map_or_else(|| "a key of another size".to_owned(), |key| key.short());
            error(Code::UnknownKey)
                .note(format!(
                    "{keys} {} sealed with {key}, which is not among the certificates here",
                    was(&finding.keys)
                ))
                .help(format!("ask the cluster: seal check --live {shown}"))
                .help("a cluster keeps its old keys; keep their certificates behind the new one in the same file")
        }
        Problem::Readable(values) => {
            let first = values.first();
            let (path, length) = first.map_or(("data", 0), |value| (value.path.as_str(), value.length));
            error(Code::Plaintext)
                .note(format!("Secret/{} has readable data under {path} ({length} bytes)", finding.object))
                .help(format!("seal file {shown} --in-place"))
                .help("if the value ever left this machine, rotate it")
        }
    }
}

fn was(keys: &[String]) -> &'static str {
    if keys.len() == 1 { "was" } else { "were" }
}

/// The code that a problem goes by.
pub(crate) fn code_of(problem: &Problem) -> Code {
    match problem {
        Problem::Twice => Code::Twice,
        Problem::NoName => Code::NoPlace,
        Problem::Damaged(_) => Code::Damaged,
        Problem::OtherPlace { .. } => Code::OtherPlace,
        Problem::OtherScope { .. } => Code::OtherScope,
        Problem::UnknownKey(_) => Code::UnknownKey,
        Problem::Readable(_) => Code::Plaintext,
    }
}

/// Broken files count before failed checks: what could not be read was not checked.
fn worst(seen: &[Seen], stale: Option<&CommandError>) -> u8 {
    let broken = seen.iter().any(|seen| !seen.errors.is_empty());
    match stale {
        _ if broken => codes::BAD_INPUT,
        Some(stale) => stale.exit(),
        None => codes::FAILED,
    }
}

fn ask_controller(context: &Context, seen: &mut [Seen]) -> Result<(), CommandError> {
    let cluster = context.cluster(None)?;
    cluster.converse(async |client| {
        let controller = Controller::find(client, &cluster).await?;
        for seen in seen.iter_mut().filter(|seen| seen.report.objects > 0) {
            let documents = seal::manifest::documents(&io::read_text(&seen.file)?.text).unwrap_or_default();
            for object in crate::command::objects::of_kind(&documents, "SealedSecret") {
                if let Err(error) = controller.verify(&object.to_string()).await {
                    let name = object["metadata"]["name"].as_str().unwrap_or_default();
                    seen.errors.push(error.at(&seen.file, 0).note(format!("the controller was asked for {name}")));
                }
            }
        }
        Ok(())
    })
}

fn as_json(seen: &[Seen], stale: Option<&CommandError>, files: usize) -> Value {
    let failed = |file: Option<&Path>, error: &CommandError| {
        json!({
            "file": file, "line": null, "code": error.code().map(Code::id), "message": error.message(),
            "object": null, "keys": [],
        })
    };
    let mut findings: Vec<_> = stale.into_iter().map(|error| failed(None, error)).collect();
    for seen in seen {
        findings.extend(seen.errors.iter().map(|error| failed(Some(&seen.file), error)));
        findings.extend(seen.report.findings.iter().map(|finding| {
            let code = code_of(&finding.problem);
            json!({
                "file": seen.file, "line": finding.line, "code": code.id(), "message": code.title(),
                "object": finding.object, "keys": finding.keys,
            })
        }));
    }
    let sum = |of: fn(&Report) -> usize| seen.iter().map(|seen| of(&seen.report)).sum::<usize>();
    json!({
        "schema": "seal/check/v1", "files": files, "sealedSecrets": sum(|report| report.objects),
        "items": sum(|report| report.items), "unknown": sum(|report| report.unknown), "findings": findings,
    })
}
