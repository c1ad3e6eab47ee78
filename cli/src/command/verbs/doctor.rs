//! `seal doctor`: is everything set up?

use seal::Certificate;

use crate::command::certificate::{Published, now};
use crate::command::codes;
use crate::command::context::{Context, Global, described};
use crate::command::error::CommandError;
use crate::command::{git, io, private};

#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {}

/// What a look came to.
enum Found {
    Good(String),
    /// Works, but something is missing that helps.
    Meh(String, String),
    Bad(CommandError),
}

impl Doctor {
    pub(crate) fn run(self, global: &Global) -> Result<(), CommandError> {
        let mut bad = false;
        let paint = crate::command::console::Paint::stdout(global.color);
        let mut tell = |what: &str, found: Found| {
            let words = match found {
                Found::Good(words) => format!("{} {what}: {words}\n", paint.green("✓")),
                Found::Meh(words, help) => format!("{} {what}: {words}\n    {help}\n", paint.yellow("–")),
                Found::Bad(error) => {
                    bad = true;
                    let words = error.words(true, paint).replace('\n', "\n    ");
                    format!("{} {what}: {words}\n", paint.red("✗"))
                }
            };
            io::write_stdout(words.as_bytes())
        };
        let context = match Context::new(global.clone()) {
            Ok(context) => context,
            Err(error) => {
                tell("settings", Found::Bad(error))?;
                return Err(CommandError::silent(codes::FAILED));
            }
        };
        tell("settings", settings(&context))?;
        let pinned = context.known_certificates(None);
        tell("certificate", certificate(&pinned))?;
        if !global.offline {
            tell("cluster", cluster(&context, pinned.as_ref().ok().and_then(|all| all.first())))?;
        }
        tell("guard", guard())?;
        tell("private copies", copies())?;
        if bad { Err(CommandError::silent(codes::FAILED)) } else { Ok(()) }
    }
}

fn settings(context: &Context) -> Found {
    match &context.project.folder {
        None => Found::Meh("no .seal.toml here or above".to_owned(), "seal cert fetch --pin makes one".to_owned()),
        Some(folder) => match context.profile(None) {
            Ok((name, _)) if name.is_empty() => {
                Found::Meh(format!("{}, no default profile", folder.display()), "write: profile = \"prod\"".to_owned())
            }
            Ok((name, _)) => Found::Good(format!("{}, profile {name}", folder.join(".seal.toml").display())),
            Err(error) => Found::Bad(error),
        },
    }
}

fn certificate(pinned: &Result<Vec<Certificate>, CommandError>) -> Found {
    match pinned {
        Ok(all) => match all.first() {
            None => Found::Meh("none is pinned".to_owned(), "seal cert fetch --pin".to_owned()),
            Some(first) => match first.check_not_expired(now()) {
                Ok(()) => Found::Good(described(first)),
                Err(error) => Found::Bad(
                    CommandError::coded(codes::Code::Expired, error.to_string()).help("seal cert fetch --pin"),
                ),
            },
        },
        Err(error) => {
            Found::Bad(CommandError::coded(error.code().unwrap_or(codes::Code::NotACertificate), error.message()))
        }
    }
}

fn cluster(context: &Context, pinned: Option<&Certificate>) -> Found {
    let asked =
        context.cluster(None).and_then(|cluster| Ok((cluster.context_name(), Published::fetch(&cluster, |_| {})?)));
    match asked {
        Err(error) if error.code() == Some(codes::Code::NoCluster) => {
            Found::Meh("no kubeconfig".to_owned(), "sealing works offline with a pinned certificate".to_owned())
        }
        Err(error) => Found::Bad(error),
        Ok((name, published)) => match (Certificate::from_pem(&published.pem), pinned) {
            (Err(error), _) => Found::Bad(CommandError::coded(codes::Code::NotACertificate, error.to_string())),
            (Ok(offered), None) => Found::Good(format!("{name} seals with {}", described(&offered))),
            (Ok(offered), Some(pinned)) if offered.fingerprint == pinned.fingerprint => {
                Found::Good(format!("{name} seals with the pinned key"))
            }
            (Ok(offered), Some(_)) => Found::Meh(
                format!("{name} seals with {}, another key than the pinned one", described(&offered)),
                "seal cert verify".to_owned(),
            ),
        },
    }
}

fn guard() -> Found {
    let help = || "seal guard install".to_owned();
    match git::hook("pre-commit").ok().and_then(|hook| std::fs::read_to_string(hook).ok()) {
        Some(hook) if hook.contains("seal guard") => {
            Found::Good("the pre-commit hook looks for readable Secrets".to_owned())
        }
        Some(_) => Found::Meh("the pre-commit hook does not look for readable Secrets".to_owned(), help()),
        None => Found::Meh("no pre-commit hook looks for readable Secrets".to_owned(), help()),
    }
}

fn copies() -> Found {
    match private::memory_backed() {
        Some(place) => Found::Good(format!("seal edit keeps them in memory ({})", place.display())),
        None => Found::Meh("no memory-backed place".to_owned(), "seal edit needs --on-disk here".to_owned()),
    }
}
