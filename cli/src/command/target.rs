//! One SealedSecret in a file, opened to be changed.

use std::path::{Path, PathBuf};

use seal::edit::{Change, EditError, edit};
use seal::marks::{ANNOTATION, Mark, Marks};
use seal::tree::{self, Node, Object};
use seal::yaml::YamlError;
use seal::{Certificate, Scope, SecretBytes, check, seal_item};

use super::codes::Code;
use super::context::Context;
use super::error::CommandError;
use super::io::{self, Text};

/// A SealedSecret and its file.
pub(crate) struct Target {
    pub(crate) file: PathBuf,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) scope: Scope,
    /// Keys and ciphertexts in the order of the file.
    pub(crate) items: Vec<(String, String)>,
    pub(crate) marks: Marks,
    pub(crate) has_annotations: bool,
    pub(crate) template: Template,
    before: Text,
    index: usize,
}

/// What the template's metadata says, so that a renamed object keeps it right.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Template {
    pub(crate) has_name: bool,
    pub(crate) has_namespace: bool,
}

impl Target {
    /// Opens the one SealedSecret of a file, or the one of this name.
    pub(crate) fn open(context: &Context, file: &Path, name: Option<&str>) -> Result<Self, CommandError> {
        let before = io::read_text(file)?;
        let documents = tree::read(&before.text).map_err(|error| unreadable(file, &error))?;
        if let Some(line) = tree::twice(&documents) {
            return Err(CommandError::coded(Code::Twice, Code::Twice.title()).at(file, line));
        }
        let objects = tree::objects(&documents);
        let sealed: Vec<_> = objects.iter().enumerate().filter(|(_, object)| object.kind() == "SealedSecret").collect();
        let wanted: Vec<_> =
            sealed.iter().filter(|(_, object)| name.is_none_or(|name| name == object.name())).collect();
        let (index, object) = match wanted.as_slice() {
            [(index, object)] => (*index, *object),
            found => return Err(not_one(file, name, found.len(), &sealed, &objects)),
        };
        let namespace = match object.namespace() {
            "" => context.namespace(Some(file))?.unwrap_or_default(),
            namespace => namespace.to_owned(),
        };
        let items = object.node.at(&["spec", "encryptedData"]).map(Node::entries).unwrap_or_default();
        let text_of = |node: &Node| node.text().unwrap_or_default().to_owned();
        let in_template = |field| object.node.at(&["spec", "template", "metadata", field]).is_some();
        Ok(Self {
            file: file.to_owned(),
            name: object.name().to_owned(),
            namespace,
            scope: check::declared_scope(object),
            items: items.iter().map(|entry| (text_of(&entry.key), text_of(&entry.value))).collect(),
            marks: check::marks(object),
            has_annotations: object.node.at(&["metadata", "annotations"]).is_some_and(|node| node.entries().len() > 1),
            template: Template { has_name: in_template("name"), has_namespace: in_template("namespace") },
            index,
            before,
        })
    }

    /// Refuses to seal where the place is not known.
    pub(crate) fn check_place(&self) -> Result<(), CommandError> {
        let wanted = match self.scope {
            Scope::Strict if self.name.is_empty() => "metadata.name",
            Scope::Strict | Scope::NamespaceWide if self.namespace.is_empty() => "a namespace",
            _ => return Ok(()),
        };
        Err(CommandError::coded(
            Code::NoPlace,
            format!("the SealedSecret has no {wanted}, which its values are sealed to"),
        )
        .at(&self.file, 0)
        .help("write it into the file, pass -n NAMESPACE, or give the directory one in .seal.toml"))
    }

    /// The ciphertext of a key.
    pub(crate) fn item(&self, key: &str) -> Option<&str> {
        self.items.iter().find(|(known, _)| known == key).map(|(_, item)| item.as_str())
    }

    /// Seals a value for this object and notes how.
    pub(crate) fn seal(
        &mut self,
        certificate: &Certificate,
        key: &str,
        value: &SecretBytes,
    ) -> Result<Change, CommandError> {
        check_key(key)?;
        let label = self.scope.label(&self.namespace, &self.name);
        let item = seal_item(&mut rand::rng(), certificate, &label, value)
            .map_err(|error| CommandError::coded(Code::NotACertificate, error.to_string()))?;
        let mark = Mark::new(&certificate.fingerprint, self.scope, &self.namespace, &self.name, &item);
        self.marks.insert(key, mark);
        Ok(Change::set(&["spec", "encryptedData", key], item))
    }

    /// The note beside the items, as it has to be now.
    pub(crate) fn note(&self) -> Option<Change> {
        let had = check_marks(&self.before.text, self.index);
        let path = ["metadata", "annotations", ANNOTATION];
        match (had, self.marks.is_empty()) {
            (Some(had), false) if had == self.marks.to_string() => None,
            (_, false) => Some(Change::set(&path, self.marks.to_string())),
            (Some(_), true) if self.has_annotations => Some(Change::remove(&path)),
            (Some(_), true) => Some(Change::remove(&path[..2])),
            (None, true) => None,
        }
    }

    /// The text with the changes made, and the note beside the items.
    pub(crate) fn changed(&self, mut changes: Vec<Change>) -> Result<String, CommandError> {
        changes.extend(self.note());
        edit(&self.before.text, self.index, &changes).map_err(|error| unedited(&self.file, &error))
    }

    /// Writes the file anew, as it was but for the changes.
    pub(crate) fn write(&self, text: &str) -> Result<(), CommandError> {
        io::write_text(&self.file, &self.before, text)
    }
}

/// The note as it stands in the text.
fn check_marks(text: &str, index: usize) -> Option<String> {
    let documents = tree::read(text).ok()?;
    let objects = tree::objects(&documents);
    objects.get(index)?.node.text_at(&["metadata", "annotations", ANNOTATION]).map(ToOwned::to_owned)
}

/// A key that a Secret can have.
pub(crate) fn check_key(key: &str) -> Result<(), CommandError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if (1..=253).contains(&key.len()) && key.bytes().all(fits) && key != "." && !key.starts_with("..") {
        return Ok(());
    }
    Err(CommandError::new(format!("{key:?} is no key of a Secret"))
        .help("a key has letters, digits, `-`, `_` and `.`, at most 253 of them"))
}

/// Why a text cannot be read.
pub(crate) fn unreadable(file: &Path, error: &YamlError) -> CommandError {
    CommandError::coded(Code::NotYaml, error.problem).at(file, usize::try_from(error.line).unwrap_or_default())
}

/// Why a text cannot be changed.
pub(crate) fn unedited(file: &Path, error: &EditError) -> CommandError {
    match error {
        EditError::Yaml(error) => unreadable(file, error),
        EditError::Twice { line } => CommandError::coded(Code::Twice, Code::Twice.title()).at(file, *line),
        EditError::Missing(_) | EditError::Exists(_) => {
            CommandError::coded(Code::NoSuchKey, error.to_string()).at(file, 0)
        }
        EditError::NotAMap(_) | EditError::Entangled => CommandError::coded(Code::Entangled, error.to_string())
            .at(file, 0)
            .help("write that part of the file out in full"),
    }
}

fn not_one(
    file: &Path,
    name: Option<&str>,
    found: usize,
    sealed: &[(usize, &Object<'_>)],
    all: &[Object<'_>],
) -> CommandError {
    let names: Vec<_> = sealed.iter().map(|(_, object)| object.name()).collect();
    let at = |error: CommandError| error.at(file, 0);
    match (name, found) {
        (_, 0) if all.iter().any(|object| object.kind() == "Secret") && sealed.is_empty() => {
            at(CommandError::coded(Code::WrongObject, "it holds a plain Secret, not a SealedSecret"))
                .help(format!("seal file {} --in-place", file.display()))
        }
        (_, 0) if sealed.is_empty() => at(CommandError::coded(Code::WrongObject, "it holds no SealedSecret")),
        (Some(name), 0) => at(CommandError::coded(Code::WrongObject, format!("it holds no SealedSecret {name:?}")))
            .note(format!("it holds {}", names.join(", "))),
        _ => at(CommandError::coded(Code::WrongObject, format!("it holds {found} SealedSecrets")))
            .help(format!("say which: --name {}", names.join("  or  --name "))),
    }
}
