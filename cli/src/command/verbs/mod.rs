//! As itself: one verb a file.

use clap::{Parser, Subcommand};

use super::context::{Context, Global};
use super::error::CommandError;

mod cert;
mod check;
mod completion;
mod diff;
mod doctor;
mod edit;
mod explain;
mod file;
mod guard;
mod keys;
mod man;
mod new;
mod recover;
mod rename;
mod reseal;
mod schema;
mod set;
mod show;
mod unset;

/// Seals Kubernetes Secrets so that only the cluster can read them: safe to commit.
///
///     seal cert fetch --pin                      # once: the cluster's public certificate into the repository
///     seal new db-login -n shop > db-login.yaml  # asks for keys and values, writes a SealedSecret
///     seal set db-login.yaml password            # one new value: a one-line diff
///     seal check .                               # everything in the tree, offline
///
/// Without a verb it is kubeseal: `kubectl create secret … --dry-run=client -o yaml | seal --cert prod.pem`;
/// its flags are told by `seal --help`.
#[derive(Debug, Parser)]
#[command(name = "seal", verbatim_doc_comment, disable_version_flag = true, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 done, 1 a check failed or something differs, 2 wrong command line, 3 bad input file, \
4 no or bad certificate,\n5 no cluster, 6 forbidden, 7 does not decrypt, 8 plaintext found, 9 nothing changed, \
130 interrupted.\nEvery error has a page: seal explain E0203"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a SealedSecret, asking for each key and value
    New(new::New),
    /// Seal the plain Secrets in manifests, directories or globs; everything else in them stays
    File(file::File),
    /// Seal one value into a file; the rest of it stays byte for byte
    Set(set::Set),
    /// Take keys out of a file
    Unset(unset::Unset),
    /// Rename a SealedSecret, move it to another namespace, or rename a key
    Rename(rename::Rename),
    /// Change values in an editor; those that are there show as <sealed> and stay unless replaced
    Edit(edit::Edit),
    /// Show names, keys, sizes, scopes and sealing keys; never a value
    Show(show::Show),
    /// Check manifests offline: place, scope, key, certificate, unsealed Secrets
    Check(check::Check),
    /// Show what applying the files would change in the cluster, by key and digest
    Diff(diff::Diff),
    /// Seal files anew with the cluster's newest key; the values stay inside the cluster
    Reseal(reseal::Reseal),
    /// The public certificate: fetch, show, pin, verify
    #[command(subcommand)]
    Cert(cert::Cert),
    /// The cluster's sealing keys: list, usage, backup, restore, renew
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Keep plain Secrets out of commits: run, install, allow
    #[command(subcommand)]
    Guard(guard::Guard),
    /// Open a SealedSecret with a private key, in an emergency
    Recover(recover::Recover),
    /// Look whether everything is set up
    Doctor(doctor::Doctor),
    /// Explain an error code
    Explain(explain::Explain),
    /// Print the JSON schema of a SealedSecret or of what `-o json` prints
    Schema(schema::Schema),
    /// Print a shell's completion script
    Completion(completion::Completion),
    /// Write the manual pages
    Man(man::Man),
    /// Print versions
    Version,
}

/// The command line as clap knows it, for man pages and completion.
pub(crate) fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// The flags that may stand before a verb, without the whole command line: whoever seals as kubeseal never builds that.
pub(crate) fn flags() -> clap::Command {
    <Global as clap::Args>::augment_args(clap::Command::new("seal"))
}

/// Whether a word is a verb.
pub(crate) fn is_verb(word: &str) -> bool {
    <Verb as Subcommand>::has_subcommand(word)
}

/// Parses the verb's command line and runs it. A mistake in it ends the process with clap's words and 2.
pub(crate) fn run(cli: Cli) -> Result<(), CommandError> {
    let context = || Context::new(cli.global.clone());
    match cli.verb {
        Verb::New(verb) => verb.run(&context()?),
        Verb::File(verb) => verb.run(&context()?),
        Verb::Set(verb) => verb.run(&context()?),
        Verb::Unset(verb) => verb.run(&context()?),
        Verb::Rename(verb) => verb.run(&context()?),
        Verb::Edit(verb) => verb.run(&context()?),
        Verb::Show(verb) => verb.run(&context()?),
        Verb::Check(verb) => verb.run(&context()?),
        Verb::Diff(verb) => verb.run(&context()?),
        Verb::Reseal(verb) => verb.run(&context()?),
        Verb::Cert(verb) => verb.run(&context()?),
        Verb::Keys(verb) => verb.run(&context()?),
        Verb::Guard(verb) => verb.run(&context()?),
        Verb::Recover(verb) => verb.run(&context()?),
        Verb::Doctor(verb) => verb.run(&cli.global),
        Verb::Explain(verb) => verb.run(),
        Verb::Schema(verb) => verb.run(),
        Verb::Completion(verb) => verb.run(),
        Verb::Man(verb) => verb.run(),
        Verb::Version => super::version::run(),
    }
}

impl Cli {
    /// The colours that were asked for.
    pub(crate) fn colour(&self) -> super::console::Colour {
        self.global.color
    }
}
