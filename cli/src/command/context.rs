//! What every verb is told: the flags that all share, the repository's settings, and how to speak.

use std::path::{Path, PathBuf};

use seal::{Certificate, Scope};

use super::certificate::{DAY, Published, Source, now};
use super::cluster::ClusterArgs;
use super::codes::Code;
use super::console::{self, Colour, Paint, say};
use super::error::CommandError;
use super::io;
use super::project::{Profile, Project};

/// The operator makes a new key this often, unless it is told otherwise.
const RENEWAL_DAYS: i64 = 30;
/// How long before its end a certificate is warned about.
const SOON_DAYS: i64 = 30;

/// Flags of every verb.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Global {
    /// Certificate to seal with: a PEM file or an http(s) or file URL [default: the profile's]
    #[arg(global = true, long, env = "SEALED_SECRETS_CERT", value_name = "FILE|URL")]
    pub(crate) cert: Option<String>,

    /// Profile of .seal.toml
    #[arg(global = true, long, env = "SEAL_PROFILE", value_name = "NAME")]
    pub(crate) profile: Option<String>,

    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,

    /// Never speak to a cluster or a server
    #[arg(global = true, long)]
    pub(crate) offline: bool,

    /// Never ask anything
    #[arg(global = true, long)]
    pub(crate) no_input: bool,

    /// Answer yes to questions
    #[arg(global = true, long)]
    pub(crate) yes: bool,

    /// Colours: auto, always or never
    #[arg(global = true, long, value_enum, default_value_t, value_name = "WHEN", hide_possible_values = true)]
    pub(crate) color: Colour,

    /// Say nothing but errors
    #[arg(global = true, short, long)]
    pub(crate) quiet: bool,
}

/// What a verb works with.
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) project: Project,
}

/// A certificate to seal with and what people call it.
pub(crate) struct Chosen {
    pub(crate) certificate: Certificate,
    pub(crate) name: String,
}

impl Context {
    pub(crate) fn new(global: Global) -> Result<Self, CommandError> {
        let project = Project::find(Path::new("."))?;
        Ok(Self { global, project })
    }

    /// Says something about what was done; `--quiet` keeps it.
    pub(crate) fn tell(&self, words: &str) {
        if !self.global.quiet {
            say(words);
        }
    }

    /// Says that something needs a look.
    pub(crate) fn warn(&self, words: &str) {
        say(&format!("{}: {words}", self.paint().yellow("warning")));
    }

    pub(crate) fn paint(&self) -> Paint {
        Paint::stderr(self.global.color)
    }

    /// Whether somebody can be asked.
    pub(crate) fn can_ask(&self) -> bool {
        console::can_ask(self.global.no_input)
    }

    /// Asks before something that is hard to undo; without anybody to ask `--yes` must say it.
    pub(crate) fn confirm(&self, question: &str) -> Result<bool, CommandError> {
        if self.global.yes {
            return Ok(true);
        }
        if !self.can_ask() {
            return Err(CommandError::coded(Code::NeedsInput, format!("{question} nobody can be asked"))
                .help("say it with --yes"));
        }
        console::confirm(question)
    }

    /// The profile for a file.
    pub(crate) fn profile(&self, file: Option<&Path>) -> Result<(String, Profile), CommandError> {
        self.project.profile(self.global.profile.as_deref(), file)
    }

    /// The cluster: flags first, then the profile.
    pub(crate) fn cluster(&self, file: Option<&Path>) -> Result<ClusterArgs, CommandError> {
        if self.global.offline {
            return Err(CommandError::coded(Code::NoCluster, "this needs the cluster, and --offline forbids it"));
        }
        let (_, profile) = self.profile(file)?;
        let mut cluster = self.global.cluster.clone();
        cluster.context = cluster.context.or(profile.context);
        cluster.controller_name = cluster.controller_name.or(profile.controller_name);
        cluster.controller_namespace = cluster.controller_namespace.or(profile.controller_namespace);
        Ok(cluster)
    }

    /// The namespace for a file that names none: flag, directory, and only then the kubeconfig's context.
    pub(crate) fn namespace(&self, file: Option<&Path>) -> Result<Option<String>, CommandError> {
        let flag = self.global.cluster.namespace.as_deref().filter(|namespace| !namespace.is_empty());
        let by_folder = || self.project.namespace(file?);
        match flag.or_else(by_folder) {
            Some(namespace) => Ok(Some(namespace.to_owned())),
            None if self.global.offline => Ok(None),
            None => self.cluster(file)?.context_namespace(),
        }
    }

    /// The scope to seal with when the verb was not told one.
    pub(crate) fn scope(&self, file: Option<&Path>) -> Result<Scope, CommandError> {
        let (_, profile) = self.profile(file)?;
        profile
            .scope()
            .map(Option::unwrap_or_default)
            .map_err(|error| CommandError::coded(Code::BadConfig, error.to_string()))
    }

    /// The certificate to seal with. `online` verbs ask the cluster when no certificate is configured.
    pub(crate) fn certificate(&self, file: Option<&Path>, online: bool) -> Result<Chosen, CommandError> {
        let (name, place) = match self.place(file)? {
            Some(found) => found,
            None if online && !self.global.offline => return self.ask_cluster(file),
            None => return Err(no_certificate()),
        };
        let certificate = Source::Place(&place).to_seal_with()?;
        self.judge_age(&name, &certificate);
        Ok(Chosen { certificate, name })
    }

    /// Certificates of all keys that are known here: flag or profile, every one in the file. Nothing when none is set.
    pub(crate) fn known_certificates(&self, file: Option<&Path>) -> Result<Vec<Certificate>, CommandError> {
        let Some((_, place)) = self.place(file)? else { return Ok(Vec::new()) };
        let source = Source::Place(&place);
        Certificate::all_from_pem(&source.pem()?).map_err(|error| source.unusable(&error))
    }

    /// The file that the profile pins its certificate in.
    pub(crate) fn pinned(&self, file: Option<&Path>) -> Result<Option<PathBuf>, CommandError> {
        let (_, profile) = self.profile(file)?;
        Ok(profile.cert.filter(|place| !place.contains("://")).map(|place| self.project.beside(&place)))
    }

    /// What people call the certificate's place, and the place.
    fn place(&self, file: Option<&Path>) -> Result<Option<(String, String)>, CommandError> {
        if let Some(place) = self.global.cert.as_deref().filter(|place| !place.is_empty()) {
            return Ok(Some((place.to_owned(), place.to_owned())));
        }
        let (name, profile) = self.profile(file)?;
        Ok(profile.cert.map(|place| {
            let place = if place.contains("://") { place } else { self.project.beside(&place).display().to_string() };
            (name, place)
        }))
    }

    fn ask_cluster(&self, file: Option<&Path>) -> Result<Chosen, CommandError> {
        let cluster = self.cluster(file)?;
        let way_out = |error: CommandError| {
            error
                .help("get a certificate once and commit it, it is no secret: seal cert fetch --pin")
                .help("or use one that a colleague gives you: --cert FILE")
        };
        let published = Published::fetch(&cluster, |words| self.tell(words)).map_err(way_out)?;
        let certificate = Source::Cluster(&cluster).read(&published.pem).map_err(way_out)?;
        let name = cluster.context_name();
        self.tell(&format!("note: the certificate came from {name}; to work offline: seal cert fetch --pin"));
        Ok(Chosen { certificate, name })
    }

    /// A pinned certificate may be older than the cluster's newest key: what it sealed still opens.
    fn judge_age(&self, name: &str, certificate: &Certificate) {
        let age = (now() - certificate.not_before) / DAY;
        let left = (certificate.not_after - now()) / DAY;
        if left < SOON_DAYS {
            self.warn(&format!(
                "the certificate of {name} ends in {left} days; get the new one: seal cert fetch --pin"
            ));
        } else if age > RENEWAL_DAYS {
            self.warn(&format!(
                "the certificate of {name} ({}) is {age} days old, and a cluster makes a new key every {RENEWAL_DAYS} days. \
                 What it seals still opens; look with: seal cert verify",
                certificate.fingerprint.short()
            ));
        }
    }
}

fn no_certificate() -> CommandError {
    CommandError::coded(Code::NoCertificate, "no certificate is known to seal with")
        .help("get the cluster's and keep it: seal cert fetch --pin   (it is no secret: commit it)")
        .help("or name one:                  --cert FILE")
}

/// `key 4f:9a:..:31, 12 days old`.
pub(crate) fn described(certificate: &Certificate) -> String {
    let days = (now() - certificate.not_before) / DAY;
    let age = match days {
        ..0 => "not valid yet".to_owned(),
        0 => "made today".to_owned(),
        1 => "1 day old".to_owned(),
        days => format!("{days} days old"),
    };
    format!("key {}, {age}", certificate.fingerprint.short())
}

/// `1 item`, `2 items`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Reads a value from a file; `-` is standard input.
pub(crate) fn value_of(path: &Path) -> Result<seal::SecretBytes, CommandError> {
    let bytes = if io::is_dash(path) { io::read_stdin()? } else { io::read_bytes(path)? };
    Ok(bytes.into())
}
