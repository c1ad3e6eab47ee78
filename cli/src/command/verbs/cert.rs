//! `seal cert`: the public certificate. It is no secret: commit it.

use std::path::{Path, PathBuf};

use seal::{Certificate, Fingerprint};
use serde_json::json;

use crate::command::certificate::{self, Published, Source};
use crate::command::codes::Code;
use crate::command::context::{Context, counted, described};
use crate::command::error::CommandError;
use crate::command::io;
use crate::command::output::Output;
use crate::command::project::FILE;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Cert {
    /// Get the certificate of the cluster
    Fetch(Fetch),
    /// Show a certificate: key, dates
    Show(Show),
    /// Pin a certificate that you compared by another channel
    Pin(Pin),
    /// Look whether the pinned certificate is still the cluster's
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Fetch {
    /// Write it to the profile's place in .seal.toml (made when there is none), unless it is a stranger's
    #[arg(long)]
    pin: bool,
    /// Write it to this file instead of standard output
    #[arg(short = 'w', long, value_name = "FILE", conflicts_with = "pin")]
    write: Option<PathBuf>,
    /// Only pem; for habit's sake
    #[arg(short, long, hide = true)]
    output: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// A PEM file or URL [default: the pinned one]
    place: Option<String>,
    /// table or json
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Pin {
    /// The fingerprint that you compared, whole or as it is shown (4f:9a:..:31)
    #[arg(long, value_name = "FINGERPRINT")]
    accept: String,
    /// A PEM file or URL [default: what the cluster offers]
    place: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Verify {}

impl Cert {
    pub(crate) fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Fetch(verb) => verb.run(context),
            Self::Show(verb) => verb.run(context),
            Self::Pin(verb) => verb.run(context),
            Self::Verify(_) => verify(context),
        }
    }
}

impl Fetch {
    fn run(self, context: &Context) -> Result<(), CommandError> {
        let published = offered(context)?;
        if !self.pin {
            return io::write(self.write.as_deref(), published.pem.as_bytes());
        }
        let (name, certificate) = (cluster_name(context)?, first(&published)?);
        let pinned = match context.pinned(None)? {
            Some(file) => file,
            None => start_project(context, &name)?,
        };
        if let Some(old) = read_pinned(&pinned)? {
            if old.fingerprint == certificate.fingerprint {
                context.tell(&format!(
                    "{} is the cluster's certificate ({})",
                    pinned.display(),
                    described(&certificate)
                ));
                return Ok(());
            }
            if !published.knows(&old.fingerprint) {
                return Err(stranger(&name, &old, &certificate));
            }
        }
        io::write(Some(&pinned), published.bundle().as_bytes())?;
        context.tell(&format!(
            "pinned {} for {name} ({}); commit it, it is no secret",
            pinned.display(),
            described(&certificate)
        ));
        Ok(())
    }
}

impl Show {
    fn run(self, context: &Context) -> Result<(), CommandError> {
        let certificates = match &self.place {
            Some(place) => {
                let source = Source::Place(place);
                Certificate::all_from_pem(&source.pem()?).map_err(|error| source.unusable(&error))?
            }
            None => context.known_certificates(None)?,
        };
        if certificates.is_empty() {
            return Err(CommandError::coded(Code::NoCertificate, "no certificate is pinned here")
                .help("seal cert fetch --pin   or   seal cert show FILE"));
        }
        let shown: Vec<_> = certificates
            .iter()
            .enumerate()
            .map(|(index, certificate)| {
                json!({
                    "fingerprint": certificate.fingerprint.as_str(), "short": certificate.fingerprint.short(),
                    "notBefore": certificate::day(certificate.not_before), "notAfter": certificate::day(certificate.not_after),
                    "bits": certificate.wrapped_length() * 8, "seals": index == 0,
                })
            })
            .collect();
        if self.output == Output::Json {
            let words = format!("{:#}\n", json!({ "schema": "seal/certificates/v1", "items": shown }));
            return io::write_stdout(words.as_bytes());
        }
        let mut words = String::new();
        for (certificate, shown) in certificates.iter().zip(&shown) {
            words += &format!(
                "{}  {}\n  {} bits, from {} to {}, {}\n",
                certificate.fingerprint.short(),
                certificate.fingerprint,
                shown["bits"],
                certificate::day(certificate.not_before),
                certificate::day(certificate.not_after),
                if shown["seals"] == true {
                    described(certificate)
                } else {
                    "an earlier key, which still opens".to_owned()
                },
            );
        }
        io::write_stdout(words.as_bytes())
    }
}

impl Pin {
    fn run(self, context: &Context) -> Result<(), CommandError> {
        let published = match &self.place {
            Some(place) => Published::alone(Source::Place(place).pem()?),
            None => offered(context)?,
        };
        let certificate = first(&published)?;
        let accepted =
            [certificate.fingerprint.as_str(), &certificate.fingerprint.short()].contains(&self.accept.as_str());
        if !accepted {
            return Err(CommandError::coded(Code::OtherCertificate, format!("it is not the key {}", self.accept))
                .note(format!("it is {} ({})", certificate.fingerprint, certificate.fingerprint.short())));
        }
        let pinned = match context.pinned(None)? {
            Some(file) => file,
            None => start_project(context, &cluster_name(context)?)?,
        };
        // What an earlier key sealed is still known by its certificate.
        let earlier = if pinned.is_file() { io::read(Some(&pinned))? } else { String::new() };
        io::write(Some(&pinned), format!("{}{earlier}", published.bundle()).as_bytes())?;
        context.tell(&format!("pinned {} ({})", pinned.display(), described(&certificate)));
        Ok(())
    }
}

fn verify(context: &Context) -> Result<(), CommandError> {
    let Some(pinned) = context.pinned(None)? else {
        return Err(
            CommandError::coded(Code::NoCertificate, "no certificate is pinned here").help("seal cert fetch --pin")
        );
    };
    let old = read_pinned(&pinned)?.ok_or_else(|| {
        CommandError::coded(Code::NoCertificate, format!("{} is not there", pinned.display()))
            .help("seal cert fetch --pin")
    })?;
    let (published, name) = (offered(context)?, cluster_name(context)?);
    let certificate = first(&published)?;
    if old.fingerprint == certificate.fingerprint {
        context.tell(&format!("{} is the certificate of {name} ({})", pinned.display(), described(&old)));
        return Ok(());
    }
    if !published.knows(&old.fingerprint) {
        return Err(stranger(&name, &old, &certificate));
    }
    context.warn(&format!(
        "{} was replaced in the cluster {} (pinned {}, current {}). What it seals still opens. Update with: seal cert fetch --pin",
        pinned.display(),
        match (certificate::now() - certificate.not_before) / certificate::DAY {
            ..=0 => "today".to_owned(),
            days => format!("{} ago", counted(usize::try_from(days).unwrap_or_default(), "day")),
        },
        old.fingerprint.short(),
        certificate.fingerprint.short()
    ));
    Err(CommandError::silent(crate::command::codes::FAILED))
}

fn offered(context: &Context) -> Result<Published, CommandError> {
    if let Some(place) = context.global.cert.as_deref().filter(|place| !place.is_empty()) {
        return Ok(Published::alone(Source::Place(place).pem()?));
    }
    Published::fetch(&context.cluster(None)?, |words| context.tell(words))
}

fn first(published: &Published) -> Result<Certificate, CommandError> {
    Certificate::from_pem(&published.pem).map_err(|error| {
        CommandError::coded(Code::NotACertificate, format!("cannot use what is offered as a certificate: {error}"))
    })
}

fn read_pinned(file: &Path) -> Result<Option<Certificate>, CommandError> {
    if !file.exists() {
        return Ok(None);
    }
    let place = file.display().to_string();
    Source::Place(&place).certificate().map(Some)
}

fn cluster_name(context: &Context) -> Result<String, CommandError> {
    let (name, _) = context.profile(None)?;
    if !name.is_empty() {
        return Ok(name);
    }
    if context.global.cert.is_some() || context.global.offline {
        return Ok("default".to_owned());
    }
    Ok(context.cluster(None)?.context_name())
}

/// A `.seal.toml` with one profile, in the repository's root, and the place of its certificate.
fn start_project(context: &Context, name: &str) -> Result<PathBuf, CommandError> {
    if let Some(folder) = &context.project.folder {
        return Err(CommandError::coded(Code::BadConfig, "no profile says where its certificate is pinned")
            .at(&folder.join(FILE), 0)
            .help("write: cert = \"certs/prod.pem\"  under the profile, or choose one with --profile"));
    }
    let root = repository_root().unwrap_or_else(|| PathBuf::from("."));
    let word: String = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    let cluster = &context.global.cluster;
    let mut toml = format!(
        "# What `seal` knows about this repository's clusters.\nprofile = \"{word}\"\n\n[profiles.{word}]\ncert = \"certs/{word}.pem\"\n"
    );
    for (key, value) in [
        ("context", cluster.context.as_deref()),
        ("controller-namespace", cluster.controller_namespace.as_deref()),
        ("controller-name", cluster.controller_name.as_deref()),
    ] {
        if let Some(value) = value {
            toml += &format!("{key} = {}\n", json!(value));
        }
    }
    let certs = root.join("certs");
    std::fs::create_dir_all(&certs)
        .map_err(|error| CommandError::coded(Code::NotReadable, format!("cannot make {}: {error}", certs.display())))?;
    io::write(Some(&root.join(FILE)), toml.as_bytes())?;
    context.tell(&format!("made {} with the profile {word}", root.join(FILE).display()));
    Ok(certs.join(format!("{word}.pem")))
}

fn repository_root() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors().find(|folder| folder.join(".git").exists()).map(Path::to_owned)
}

fn stranger(name: &str, old: &Certificate, new: &Certificate) -> CommandError {
    let line = |word: &str, certificate: &Certificate| {
        format!("{word} {} valid from {}", certificate.fingerprint.short(), certificate::day(certificate.not_before))
    };
    let fingerprint: &Fingerprint = &new.fingerprint;
    CommandError::coded(Code::OtherCertificate, format!("the certificate for cluster {name} is not the one you pinned"))
        .note(line("pinned ", old))
        .note(format!("{}, and the cluster does not know the pinned key", line("offered", new)))
        .help(format!(
            "if you rotated on purpose, compare fingerprints by another channel, then: seal cert pin --accept {}",
            fingerprint.short()
        ))
}
