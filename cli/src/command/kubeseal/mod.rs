//! As kubeseal: without a verb, with its flags, environment, defaults and exit codes. What differs, and why, stands in
//! MIGRATING.md.

use seal::api::SealedSecret;
use seal::{Certificate, manifest};

use super::console::say;
use super::error::CommandError;
use super::io;

mod args;
mod merge;
mod online;
mod raw;
mod recovery;
mod seal_secrets;

use args::{Args, Format};

/// kubeseal's own line; scripts look for its beginning.
pub(crate) const VERSION_LINE: &str = "kubeseal version: 0.36.6 (compatible)";

/// The command line as clap knows it, for man page and completion.
pub(crate) fn command() -> clap::Command {
    <Args as clap::CommandFactory>::command()
}

/// Does what kubeseal does with this command line.
pub(crate) fn run() -> Result<(), CommandError> {
    let args = Args::from_command_line();
    if args.version {
        return super::version::run();
    }
    if !args.from_file.is_empty() && !args.raw {
        return Err(CommandError::new("--from-file requires --raw").help(
            "to seal a whole Secret: kubectl create secret generic NAME --from-file=… --dry-run=client -o yaml | seal",
        ));
    }
    if args.recovery_unseal {
        recovery::run(&args)
    } else if args.fetch_cert {
        fetch_certificate(&args)
    } else if args.re_encrypt {
        online::re_encrypt(&args)
    } else if args.validate {
        online::validate(&args)
    } else if args.merge_into.is_some() {
        merge::run(&args)
    } else if args.raw {
        raw::run(&args)
    } else {
        seal_secrets::run(&args)
    }
}

/// `--fetch-cert`: prints what came, as the reference does; a word says when that is no certificate to seal with.
fn fetch_certificate(args: &Args) -> Result<(), CommandError> {
    let pem = args.certificate().pem()?;
    if let Err(error) = Certificate::from_pem(&pem) {
        say(&format!("warning: nothing can be sealed with it: {error}"));
    }
    io::write(args.sealed_secret_file.as_deref(), pem.as_bytes())
}

/// The input's documents, of which each is an object or says why it is none.
fn documents(args: &Args) -> Result<Vec<serde_json::Value>, CommandError> {
    let text = io::read(args.secret_file.as_deref())?;
    manifest::documents(&text).map_err(|error| unreadable(args, &error))
}

fn unreadable(args: &Args, error: &manifest::ManifestError) -> CommandError {
    let place = args.secret_file.as_ref().map_or("standard input".to_owned(), |file| file.display().to_string());
    CommandError::new(format!("{place}: {error}"))
}

/// One object as kubeseal writes it.
fn written(object: &impl serde::Serialize, format: Format) -> Result<String, CommandError> {
    let failed = || CommandError::new("the object cannot be written");
    match format {
        Format::Json => Ok(serde_json::to_string_pretty(object).map_err(|_| failed())? + "\n"),
        Format::Yaml => Ok(format!("---\n{}", seal::yaml::write(object).map_err(|_| failed())?)),
    }
}

/// A document as a SealedSecret, or a word about its kind.
fn sealed_secret(document: &serde_json::Value) -> Result<SealedSecret, CommandError> {
    let kind = document["kind"].as_str().unwrap_or_default();
    if kind != "SealedSecret" {
        return Err(CommandError::new(format!("it is a {kind:?}, not a SealedSecret")));
    }
    serde_json::from_value(document.clone()).map_err(|_| CommandError::new("the SealedSecret cannot be read"))
}
