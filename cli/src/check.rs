//! What can be known about manifests where no private key is: from the text, the notes beside the items
//! ([`marks`](crate::marks)) and the public certificates.

use crate::certificate::{Certificate, Fingerprint};
use crate::marks::{ANNOTATION, Mark, Marks};
use crate::scope::{CLUSTER_WIDE, NAMESPACE_WIDE, Scope};
use crate::tree::{self, Node, Object};
use crate::wire;
use crate::yaml::YamlError;

/// What is known to judge by.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Certificates of the cluster's keys; without any, keys are not judged.
    pub certificates: Vec<Certificate>,
}

/// What a text holds and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// SealedSecrets seen.
    pub objects: usize,
    /// Their items.
    pub items: usize,
    /// Items that nothing is known about: `seal` did not write them.
    pub unknown: usize,
    /// What is wrong, in the order of the text.
    pub findings: Vec<Finding>,
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Counted from 1.
    pub line: usize,
    /// `namespace/name` of the object, or its name alone.
    pub object: String,
    /// The keys that it concerns.
    pub keys: Vec<String>,
    /// What it is.
    pub problem: Problem,
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A key stands twice in one map.
    Twice,
    /// The items are no sealed values.
    Damaged(wire::Wire),
    /// The items were sealed for another name or namespace.
    OtherPlace {
        /// Where they can be opened.
        sealed_for: String,
        /// Where they are.
        here: String,
    },
    /// The items were sealed with another scope than the annotations declare.
    OtherScope {
        /// How they were sealed.
        sealed: Scope,
        /// What the object declares.
        declared: Scope,
    },
    /// The items were sealed with a key that is not among the certificates.
    UnknownKey(Option<Fingerprint>),
    /// The object has no name.
    NoName,
    /// A Secret whose values can be read.
    Readable(Vec<Readable>),
}

/// A value that can be read, described without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readable {
    /// `data.password`, `stringData.password`.
    pub path: String,
    /// Counted from 1.
    pub line: usize,
    /// Its size in bytes.
    pub length: usize,
}

/// Whether a text can hold anything to look at: one pass over the bytes, before any YAML is read.
pub fn may_concern(text: &str) -> bool {
    text.match_indices("Secret").any(|(at, word)| {
        let before = text[..at].trim_end_matches(['"', '\'', ' ', '\t']);
        let after = text[at + word.len()..].bytes().next();
        before.ends_with("Sealed")
            || (before.ends_with(':') && !after.is_some_and(|next| next.is_ascii_alphanumeric() && next != b'L'))
    })
}

/// Looks at every SealedSecret and Secret of a text.
///
/// # Errors
///
/// [`YamlError`] when it cannot be read.
pub fn check(text: &str, known: &Known) -> Result<Report, YamlError> {
    let documents = tree::read(text)?;
    let mut report = Report::default();
    for object in tree::objects(&documents) {
        match object.kind() {
            "SealedSecret" => sealed(&object, known, &mut report),
            "Secret" => report.findings.extend(readable(&object)),
            _ => {}
        }
    }
    report.findings.sort_by_key(|finding| finding.line);
    Ok(report)
}

/// The scope that an object's annotations declare.
pub fn declared_scope(object: &Object<'_>) -> Scope {
    let annotations = object.node.at(&["metadata", "annotations"]).map(Node::entries).unwrap_or_default();
    Scope::of(
        &annotations
            .iter()
            .filter_map(|entry| Some((entry.key.text()?.to_owned(), entry.value.text()?.to_owned())))
            .collect(),
    )
}

/// The notes beside an object's items.
pub fn marks(object: &Object<'_>) -> Marks {
    object.node.text_at(&["metadata", "annotations", ANNOTATION]).map(Marks::read).unwrap_or_default()
}

fn sealed(object: &Object<'_>, known: &Known, report: &mut Report) {
    report.objects += 1;
    let (name, namespace) = (object.name(), object.namespace());
    let mut finder = Finder { object: called(object), found: Vec::new() };
    if let Some(line) = tree::twice(std::slice::from_ref(object.node)) {
        finder.add(line, "", Problem::Twice);
    }
    if name.is_empty() {
        finder.add(object.node.line, "", Problem::NoName);
    }
    let (marks, declared) = (marks(object), declared_scope(object));
    let items = object.node.at(&["spec", "encryptedData"]).map(Node::entries).unwrap_or_default();
    for entry in items {
        report.items += 1;
        let (key, item, line) =
            (entry.key.text().unwrap_or_default(), entry.value.text().unwrap_or_default(), entry.key.line);
        let wrapped = match wire::decode(item).and_then(|sealed| Ok(wire::unframe(&sealed)?.wrapped_key.len())) {
            Ok(wrapped) => wrapped,
            Err(error) => {
                finder.add(line, key, Problem::Damaged(error));
                continue;
            }
        };
        let mark = marks.of(key, item);
        report.unknown += usize::from(mark.is_none());
        if let Some(problem) = key_problem(mark, wrapped, known) {
            finder.add(line, key, problem);
        }
        let Some(mark) = mark else { continue };
        let here = String::from_utf8_lossy(&mark.scope.label(namespace, name)).into_owned();
        if mark.scope != declared {
            finder.add(scope_line(object, line), key, Problem::OtherScope { sealed: mark.scope, declared });
        } else if mark.place != here && !(namespace.is_empty() && same_but_for_namespace(mark, name)) {
            let line = place_line(object, mark, line);
            finder.add(line, key, Problem::OtherPlace { sealed_for: mark.place.clone(), here });
        }
    }
    report.findings.append(&mut finder.found);
}

fn key_problem(mark: Option<&Mark>, wrapped: usize, known: &Known) -> Option<Problem> {
    let certificates = &known.certificates;
    let fits = match mark {
        _ if certificates.is_empty() => true,
        Some(mark) => certificates.iter().any(|certificate| certificate.fingerprint == mark.key),
        // Without a note only the length tells: no key of another size made this item.
        None => certificates.iter().any(|certificate| certificate.wrapped_length() == wrapped),
    };
    (!fits).then(|| Problem::UnknownKey(mark.map(|mark| mark.key.clone())))
}

/// A manifest may leave the namespace to whoever applies it.
fn same_but_for_namespace(mark: &Mark, name: &str) -> bool {
    match mark.scope {
        Scope::Strict => mark.place.split_once('/').is_some_and(|(_, sealed_for)| sealed_for == name),
        Scope::NamespaceWide | Scope::ClusterWide => true,
    }
}

fn place_line(object: &Object<'_>, mark: &Mark, otherwise: usize) -> usize {
    let namespace = mark.place.split('/').next().unwrap_or_default();
    let field = if namespace == object.namespace() { "name" } else { "namespace" };
    object.node.at(&["metadata", field]).map_or(otherwise, |node| node.line)
}

fn scope_line(object: &Object<'_>, otherwise: usize) -> usize {
    let annotations = object.node.at(&["metadata", "annotations"]);
    [CLUSTER_WIDE, NAMESPACE_WIDE].iter().find_map(|name| annotations?.at(&[name])).map_or(otherwise, |node| node.line)
}

/// A Secret's values that can be read; those that are plainly no values (empty, `<…>`, `${…}`, `changeme`) are let pass.
fn readable(object: &Object<'_>) -> Option<Finding> {
    let mut values = Vec::new();
    for field in ["data", "stringData"] {
        for entry in object.node.at(&[field]).map(Node::entries).unwrap_or_default() {
            let (key, text) = (entry.key.text().unwrap_or_default(), entry.value.text().unwrap_or_default());
            let value = match field {
                "data" => wire::decode(text).unwrap_or_else(|_| text.as_bytes().to_vec()),
                _ => text.as_bytes().to_vec(),
            };
            if !stands_for_a_value(&value) && !is_public(&value) {
                values.push(Readable { path: format!("{field}.{key}"), line: entry.key.line, length: value.len() });
            }
        }
    }
    let line = values.first()?.line;
    let keys = values.iter().map(|value| value.path.clone()).collect();
    Some(Finding { line, object: called(object), keys, problem: Problem::Readable(values) })
}

/// Whether a value is a certificate, which everyone may see; a private key beside it is none.
pub fn is_public(value: &[u8]) -> bool {
    let text = std::str::from_utf8(value).unwrap_or_default().trim_start();
    text.starts_with("-----BEGIN CERTIFICATE-----") && !text.contains("PRIVATE KEY")
}

/// Whether a text only says that a value belongs here.
fn stands_for_a_value(value: &[u8]) -> bool {
    const WORDS: [&str; 9] = [
        "changeme",
        "change-me",
        "change_me",
        "replaceme",
        "replace-me",
        "replace_me",
        "placeholder",
        "todo",
        "example",
    ];
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let text = text.trim();
    let between = |open: &str, close: &str| text.starts_with(open) && text.ends_with(close);
    text.is_empty()
        || between("<", ">")
        || between("${", "}")
        || between("{{", "}}")
        || between("$(", ")")
        || text.chars().all(|character| "xX*.-_".contains(character))
        || WORDS.contains(&text.to_ascii_lowercase().as_str())
}

fn called(object: &Object<'_>) -> String {
    match object.namespace() {
        "" => object.name().to_owned(),
        namespace => format!("{namespace}/{}", object.name()),
    }
}

/// Gathers findings; items with the same problem at the same object are one.
struct Finder {
    object: String,
    found: Vec<Finding>,
}

impl Finder {
    fn add(&mut self, line: usize, key: &str, problem: Problem) {
        let key = (!key.is_empty()).then(|| key.to_owned());
        match self.found.iter_mut().find(|finding| finding.problem == problem) {
            Some(known) if key.as_ref().is_some_and(|key| known.keys.contains(key)) => {}
            Some(known) => known.keys.extend(key),
            None => {
                self.found.push(Finding { line, object: self.object.clone(), keys: key.into_iter().collect(), problem })
            }
        }
    }
}
