//! The binary's own room: arguments, files, errors, one file a verb. The work itself is the library's.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

mod age_files;
mod certificate;
mod cluster;
mod codes;
mod console;
mod context;
mod error;
mod files;
mod generate;
mod git;
mod interrupt;
mod io;
mod kubeseal;
mod objects;
mod open;
mod output;
mod private;
mod project;
mod target;
mod templates;
mod verbs;
mod version;

use console::{Colour, Paint, say};
use error::CommandError;

/// Parses arguments, runs, and turns a failure into words on stderr and an exit code.
pub(crate) fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match mode(&arguments) {
        Mode::Kubeseal => match kubeseal::run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                say(&error.words(false, Paint::stderr(Colour::Auto)));
                // kubeseal knows one exit code.
                ExitCode::FAILURE
            }
        },
        Mode::Seal => {
            let cli = verbs::Cli::parse();
            let colour = cli.colour();
            match verbs::run(cli) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failed(&error, colour),
            }
        }
    }
}

fn failed(error: &CommandError, colour: Colour) -> ExitCode {
    let words = error.words(true, Paint::stderr(colour));
    if !words.is_empty() {
        say(&words);
    }
    ExitCode::from(error.exit())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Kubeseal,
    Seal,
}

/// As kubeseal when called so, or when there is no verb among the arguments. A first argument that is a word, and
/// no verb, is a mistyped one: no script calls kubeseal like that, and clap knows what is meant.
fn mode(arguments: &[OsString]) -> Mode {
    let program = arguments.first().map(Path::new).and_then(Path::file_stem).unwrap_or_default();
    if program == "kubeseal" {
        return Mode::Kubeseal;
    }
    let flags = verbs::flags();
    let mut words = arguments.iter().skip(1).map(|argument| argument.to_string_lossy());
    let mut first = true;
    while let Some(word) = words.next() {
        if word == "--" {
            break;
        }
        if !word.starts_with('-') || word == "-" {
            if first || word == "help" || verbs::is_verb(&word) {
                return Mode::Seal;
            }
        } else if takes_value(&flags, &word) {
            words.next();
        }
        first = false;
    }
    Mode::Kubeseal
}

/// Whether the next argument is this flag's value, for flags that may stand before a verb.
fn takes_value(flags: &clap::Command, flag: &str) -> bool {
    const KUBESEALS: [&str; 10] = [
        "--secret-file",
        "--sealed-secret-file",
        "--format",
        "--scope",
        "--name",
        "--from-file",
        "--merge-into",
        "--recovery-private-key",
        "-f",
        "-w",
    ];
    if flag.contains('=') {
        return false;
    }
    let known = flags.get_arguments().find(|argument| match flag.strip_prefix("--") {
        Some(long) => argument.get_long() == Some(long),
        None => flag.len() == 2 && argument.get_short() == flag.chars().nth(1),
    });
    KUBESEALS.contains(&flag)
        || ["-o", "-v"].contains(&flag)
        || known.is_some_and(|argument| {
            argument.get_action().takes_values() && argument.get_num_args().is_none_or(|n| n.min_values() > 0)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_among_the_arguments_is_ours_and_everything_else_kubeseals() {
        for (line, expected) in [
            ("kubeseal new", Mode::Kubeseal),
            ("/usr/bin/kubeseal --version", Mode::Kubeseal),
            ("seal --version", Mode::Kubeseal),
            ("seal", Mode::Kubeseal),
            ("seal --cert new --format yaml", Mode::Kubeseal),
            ("seal --cert=x.pem extra", Mode::Kubeseal),
            ("seal --cert x.pem extra", Mode::Kubeseal),
            ("seal -w check -f set", Mode::Kubeseal),
            ("seal --raw --name edit -n show", Mode::Kubeseal),
            ("seal new db", Mode::Seal),
            ("seal -n shop new db", Mode::Seal),
            ("seal --cert x.pem -n shop --no-input set f k", Mode::Seal),
            ("seal chek .", Mode::Seal),
            ("seal help", Mode::Seal),
            ("kubectl-seal check", Mode::Seal),
        ] {
            let arguments: Vec<_> = line.split(' ').map(OsString::from).collect();
            assert_eq!(mode(&arguments), expected, "{line}");
        }
    }
}
