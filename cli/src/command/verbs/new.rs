//! `seal new NAME`: a SealedSecret from nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use seal::api::SealedSecret;
use seal::manifest::Secret;
use seal::marks::{ANNOTATION, Mark, Marks};
use seal::{Certificate, Scope, SealError, SecretBytes, seal_secret};

use crate::command::codes::Code;
use crate::command::console;
use crate::command::context::{Context, counted, described, value_of};
use crate::command::error::CommandError;
use crate::command::generate::generate;
use crate::command::io;
use crate::command::target::check_key;

#[derive(Debug, clap::Args)]
pub(crate) struct New {
    /// Name of the Secret
    name: String,
    /// Who may open it: strict (this name and namespace), namespace-wide or cluster-wide
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
    /// Type of the Secret
    #[arg(long = "type", value_name = "TYPE")]
    type_: Option<String>,
    /// A value from a file: KEY=PATH, or PATH alone for a key of the file's name; - is standard input
    #[arg(long, value_name = "KEY=PATH")]
    from_file: Vec<String>,
    /// Values from a file of KEY=VALUE lines
    #[arg(long, value_name = "PATH")]
    from_env_file: Option<PathBuf>,
    /// A value by chance: KEY=alnum:32, hex:64, base64:32, digits:6, ascii:24, uuid
    #[arg(long, value_name = "KEY=SPEC")]
    generate: Vec<String>,
    /// A label of the Secret
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Write to this new file instead of standard output
    #[arg(short = 'w', long, value_name = "FILE")]
    write: Option<PathBuf>,
}

impl New {
    pub(crate) fn run(self, context: &Context) -> Result<(), CommandError> {
        if let Some(file) = self.write.as_deref().filter(|file| file.exists()) {
            return Err(CommandError::coded(Code::NotReadable, format!("{} exists already", file.display()))
                .help(format!("to change it: seal set {0} KEY   or   seal edit {0}", file.display())));
        }
        let scope = match self.scope {
            Some(scope) => scope,
            None => context.scope(self.write.as_deref())?,
        };
        let namespace = context.namespace(self.write.as_deref())?;
        if namespace.is_none() && scope != Scope::ClusterWide {
            return Err(CommandError::coded(Code::NoPlace, "no namespace is known, and the values are sealed to it")
                .help("pass -n NAMESPACE; or give the directory one in .seal.toml"));
        }
        let chosen = context.certificate(self.write.as_deref(), true)?;
        let mut secret = Secret {
            name: Some(self.name.clone()),
            namespace,
            type_: self.type_.clone(),
            labels: self.label.iter().map(|pair| split(pair)).collect::<Result<_, _>>()?,
            data: self.values()?,
            ..Secret::default()
        };
        if secret.data.is_empty() {
            secret.data = ask(context, &secret, scope)?;
        }
        let sealed = sealed(&chosen.certificate, scope, &secret)?;
        let yaml = seal::yaml::write(&sealed).map_err(|error| CommandError::new(error.to_string()))?;
        io::write(self.write.as_deref(), yaml.as_bytes())?;
        let count = counted(secret.data.len(), "item");
        let whom = if chosen.name.is_empty() { String::new() } else { format!(" for {}", chosen.name) };
        context.tell(&format!("sealed {count}{whom} ({})", described(&chosen.certificate)));
        Ok(())
    }

    fn values(&self) -> Result<BTreeMap<String, SecretBytes>, CommandError> {
        let mut values = BTreeMap::new();
        let mut add = |key: String, value: SecretBytes| {
            check_key(&key)?;
            match values.insert(key.clone(), value) {
                None => Ok(()),
                Some(_) => Err(CommandError::new(format!("the key {key} is given twice"))),
            }
        };
        for source in &self.from_file {
            let (key, path) = match source.split_once('=') {
                Some((key, path)) => (key.to_owned(), Path::new(path)),
                None => {
                    let path = Path::new(source);
                    (path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned(), path)
                }
            };
            add(key, value_of(path)?)?;
        }
        if let Some(file) = &self.from_env_file {
            let text = zeroize::Zeroizing::new(io::read_text(file)?.text);
            for (number, line) in text.lines().enumerate() {
                let line = line.trim_start();
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                let (key, value) = line.split_once('=').ok_or_else(|| {
                    CommandError::coded(Code::NotYaml, "a line is not KEY=VALUE").at(file, number + 1)
                })?;
                add(key.trim_end().to_owned(), value.to_owned().into())?;
            }
        }
        for source in &self.generate {
            let (key, spec) = split(source)?;
            add(key, generate(&spec)?)?;
        }
        Ok(values)
    }
}

/// Seals a Secret and notes how, beside the items.
pub(crate) fn sealed(certificate: &Certificate, scope: Scope, secret: &Secret) -> Result<SealedSecret, CommandError> {
    let mut sealed = seal_secret(&mut rand::rng(), certificate, scope, secret, true).map_err(|error| match error {
        SealError::NoName | SealError::NoNamespace(_) => {
            CommandError::coded(Code::NoPlace, error.to_string()).help("write it into the file, or pass -n NAMESPACE")
        }
        error => CommandError::coded(Code::NotACertificate, error.to_string()),
    })?;
    let mut marks = Marks::default();
    let (namespace, name) =
        (secret.namespace.as_deref().unwrap_or_default(), secret.name.as_deref().unwrap_or_default());
    for (key, item) in &sealed.spec.encrypted_data {
        marks.insert(key, Mark::new(&certificate.fingerprint, scope, namespace, name, item));
    }
    if !marks.is_empty() {
        let annotations = sealed.metadata.annotations.get_or_insert_default();
        annotations.insert(ANNOTATION.to_owned(), marks.to_string());
    }
    Ok(sealed)
}

fn split(pair: &str) -> Result<(String, String), CommandError> {
    let (name, value) = pair.split_once('=').ok_or_else(|| CommandError::new(format!("{pair:?} is not NAME=VALUE")))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Asks for keys and values until an empty key.
fn ask(context: &Context, secret: &Secret, scope: Scope) -> Result<BTreeMap<String, SecretBytes>, CommandError> {
    if !context.can_ask() {
        return Err(CommandError::coded(Code::NeedsInput, "no values are given, and nobody can be asked")
            .help("--from-file KEY=PATH, --from-env-file PATH, or --generate KEY=alnum:32"));
    }
    let place = secret.namespace.as_deref().map_or_else(String::new, |namespace| format!(" in {namespace}"));
    let locked = match scope {
        Scope::Strict => "name and namespace are locked in",
        Scope::NamespaceWide => "the namespace is locked in",
        Scope::ClusterWide => "it can be opened anywhere in the cluster",
    };
    console::say(&format!("{}{place}, scope {scope} ({locked})", secret.name.as_deref().unwrap_or_default()));
    let mut values = BTreeMap::new();
    loop {
        let question = if values.is_empty() { "  key: " } else { "  next key (empty to finish): " };
        let key = console::ask(question)?.trim().to_owned();
        if key.is_empty() && !values.is_empty() {
            return Ok(values);
        }
        if let Err(error) = check_key(&key) {
            console::say(&error.words(true, context.paint()));
            continue;
        }
        let value = console::ask_hidden(&format!("  {key} (hidden): "))?;
        console::say(&format!("  {key}: ········  ({})", counted(value.len(), "byte")));
        values.insert(key, value);
    }
}
