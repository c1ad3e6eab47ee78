//! From a SealedSecret to the Secret that it means.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use seal::{OpenError, Scope, SecretBytes, UnwrapKey, open_item};
use serde_json::{Value, json};

use crate::api::SealedSecret;
use crate::api::sealed_secret::{PARTIAL, SKIP_SET_OWNER_REFERENCES};
use crate::error::{Classify, Retry};
use crate::plan::{ObjectKey, SecretManifest};

mod bounds;
mod digests;
mod settling;
mod slim;
mod templates;
mod writing;

pub use bounds::{Bounds, Danger};
pub use digests::{inputs, outputs, outputs_of_live, outputs_of_merged, shape};
pub use settling::{Knowledge, Notice, Settled, claim, has_templates, is_handled, record, settle, was_synced};
pub use slim::{is_slim, slim};
pub use templates::{Rendering, Rules};
pub use writing::{Claim, Managers, Refusal, Step, Strays, plan, set_by_peer, strays};

/// How many failing items a message and the status name.
const NAMED_ITEMS: usize = 20;

/// Why a SealedSecret does not become a Secret. Its text holds names only, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Items that no key opens. The words are the reference's, because people search for them.
    #[error("no key could decrypt secret ({})", capped(.items))]
    NoKey {
        /// Their names, sorted.
        items: Vec<String>,
    },
    /// Items that are no sealed values.
    #[error("{} cannot be read: {problem}", capped(.items))]
    Malformed {
        /// Their names, sorted.
        items: Vec<String>,
        /// What is wrong with the first.
        problem: String,
    },
    /// No key at all.
    #[error("no key could decrypt secret: there is no sealing key in the operator's namespace")]
    NoKeyAtAll,
    /// Both forms at once.
    #[error("spec.data and spec.encryptedData are both set; use encryptedData only")]
    BothForms,
    /// The old form does not hold a Secret.
    #[error("spec.data does not hold a Secret")]
    OldForm,
    /// The old form is switched off.
    #[error("spec.data is the format of before 2019 and switched off by --accept-deprecated-v1-data=false; seal anew")]
    OldFormRefused,
    /// A template that cannot be rendered.
    #[error("spec.template.data.{key} cannot be rendered: {problem}")]
    Template {
        /// Which one.
        key: String,
        /// Where and why, in the template's own words.
        problem: String,
    },
    /// A Secret that an object may not make.
    #[error(
        "this Secret would be {}; an administrator permits it with --permit={namespace}/{}",
        .danger.words(), .danger.name()
    )]
    Refused {
        /// Why.
        danger: Danger,
        /// Where.
        namespace: String,
    },
    /// A Secret that stands in the way.
    #[error("{0}")]
    Standing(Refusal),
}

impl Classify for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::NoKey { .. } | Self::NoKeyAtAll => "NoKey",
            Self::Malformed { .. } => "MalformedItem",
            Self::BothForms | Self::OldForm | Self::OldFormRefused => "InvalidSpec",
            Self::Template { .. } => "TemplateFailed",
            Self::Refused { .. } => "Refused",
            Self::Standing(Refusal::Foreign) => "Unmanaged",
            Self::Standing(Refusal::Type { .. }) => "TypeChanged",
            Self::Standing(Refusal::Immutable) => "Immutable",
            Self::Standing(Refusal::Terminating) => "TargetTerminating",
        }
    }

    fn retry(&self) -> Retry {
        // A new key wakes what waits for one, a change of the Secret what waits for that; time helps none of them.
        Retry::OnChange
    }

    fn items(&self) -> Vec<String> {
        match self {
            Self::NoKey { items } | Self::Malformed { items, .. } => items.iter().take(NAMED_ITEMS).cloned().collect(),
            Self::Template { key, .. } => vec![key.clone()],
            _ => Vec::new(),
        }
    }
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// The Secret as it should be, its owner left out.
    pub secret: SecretManifest,
    /// Why some of it is missing, where the object is content with a part.
    pub short: Option<Error>,
    /// Keys of the Secret that are missing for that reason: what stands there is kept.
    pub missing: BTreeSet<String>,
}

/// Makes the Secret of all items, or none: one that fails fails the object, and the last good Secret stays; unless its
/// annotation asks for what can be had.
///
/// # Errors
///
/// [`Error`].
pub fn make(object: &SealedSecret, opened: &Opened, how: &Rendering) -> Result<Made, Error> {
    let template = object.spec.template.clone().unwrap_or_default();
    let mut metadata = template.metadata.unwrap_or_default();
    let owner = owner(object);
    let further_owners = match metadata.other.remove("ownerReferences") {
        Some(Value::Array(owners)) if owner.is_none() => owners,
        _ => Vec::new(),
    };
    let mut secret = SecretManifest {
        key: ObjectKey::new(object.namespace().unwrap_or_default(), object.name_any()),
        labels: metadata.labels,
        annotations: metadata.annotations,
        finalizers: metadata.finalizers,
        owner,
        further_owners,
        type_: template.type_.unwrap_or_default(),
        immutable: template.immutable.filter(|immutable| *immutable),
        ..SecretManifest::default()
    };
    let templates = template.data.unwrap_or_default();
    let values = match &opened.failed {
        Some(error) => Err(error.clone()),
        None if opened.old_form => whole_secret(&opened.items, &mut secret),
        None => templates::render(object, &templates, opened.items.clone(), how),
    };
    match values {
        Ok(values) => {
            Ok(Made { secret: SecretManifest { data: values, ..secret }, short: None, missing: BTreeSet::new() })
        }
        Err(error) if object.annotations().get(PARTIAL).is_none_or(|value| value != "true") => Err(error),
        Err(error) => {
            // What a template would make of absent items nobody wants to have.
            let missing: BTreeSet<_> = opened.closed.iter().cloned().chain(templates.into_keys()).collect();
            let kept = opened.items.iter().filter(|(name, _)| !missing.contains(*name) && !opened.old_form);
            secret.data = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
            Ok(Made { secret, short: Some(error), missing })
        }
    }
}

/// The same with what templates left to chance taken from the Secret that stands, as a hand-over finds it: that of the keys
/// which `keeps` says.
///
/// # Errors
///
/// As [`make`].
pub fn make_as_found(
    object: &SealedSecret,
    opened: &Opened,
    how: &Rendering,
    live: &BTreeMap<String, SecretBytes>,
    keeps: impl Fn(&str) -> bool,
) -> Result<Made, Error> {
    let mut made = make(object, opened, how)?;
    let templates = object.spec.template.as_ref().and_then(|template| template.data.as_ref());
    let Some(templates) = templates.filter(|_| made.short.is_none() && !opened.old_form) else { return Ok(made) };
    for name in templates::left_to_chance(object, templates, &opened.items, how)? {
        if let Some(value) = live.get(&name).filter(|_| keeps(&name)) {
            made.secret.data.insert(name, value.clone());
        }
    }
    Ok(made)
}

/// The owner reference of the Secret; none when the template asks for none.
pub fn owner(object: &SealedSecret) -> Option<Value> {
    let metadata = object.spec.template.as_ref().and_then(|template| template.metadata.as_ref());
    let skip = metadata.and_then(|metadata| metadata.annotations.get(SKIP_SET_OWNER_REFERENCES));
    if skip.is_some_and(|value| value == "true") { None } else { Some(owner_reference(object)) }
}

/// The owner reference that every Secret of this object has unless its template asks for none.
pub fn owner_reference(object: &SealedSecret) -> Value {
    json!({
        "apiVersion": "bitnami.com/v1alpha1",
        "kind": "SealedSecret",
        "name": object.name_any(),
        "uid": object.uid().unwrap_or_default(),
        "controller": true,
    })
}

/// What could be opened of an object, and what could not.
#[derive(Clone, Debug)]
pub struct Opened {
    /// By name; of the old form, one that holds a whole Secret.
    pub items: BTreeMap<String, SecretBytes>,
    /// Names of those that did not open, sorted.
    pub closed: Vec<String>,
    /// Why.
    pub failed: Option<Error>,
    /// Keys that opened the items, with how many each.
    pub keys: BTreeMap<String, i64>,
    /// Whether it is the format of before 2019.
    pub old_form: bool,
}

/// Opens what can be opened. No template is evaluated, so that an endpoint may call it (invariant 7).
///
/// # Errors
///
/// [`Error::BothForms`], [`Error::OldFormRefused`]: what an item holds was not looked at.
pub fn open(object: &SealedSecret, keys: &[&dyn UnwrapKey], old_form: bool) -> Result<Opened, Error> {
    let spec = &object.spec;
    let whole = match &spec.data {
        Some(_) if !spec.encrypted_data.is_empty() => return Err(Error::BothForms),
        Some(_) if !old_form => return Err(Error::OldFormRefused),
        whole => whole.as_ref().map(|whole| BTreeMap::from([("data".to_owned(), whole.clone())])),
    };
    let label = Scope::of(object.annotations()).label(&object.namespace().unwrap_or_default(), &object.name_any());
    let mut opened = open_items(whole.as_ref().unwrap_or(&spec.encrypted_data), &label, keys);
    opened.old_form = whole.is_some();
    Ok(opened)
}

fn open_items(items: &BTreeMap<String, String>, label: &[u8], keys: &[&dyn UnwrapKey]) -> Opened {
    let mut opened = BTreeMap::new();
    let mut used = BTreeMap::new();
    let (mut closed, mut malformed, mut problem) = (Vec::new(), Vec::new(), String::new());
    // Most items of an object are sealed with one key: the one that fitted goes before the others.
    let mut keys = keys.to_vec();
    for (name, item) in items {
        match open_item(item, label, keys.iter().copied()) {
            Ok(found) => {
                if let Some(place) = keys.iter().position(|key| *key.fingerprint() == found.key) {
                    keys[..=place].rotate_right(1);
                }
                *used.entry(found.key.as_str().to_owned()).or_insert(0) += 1;
                opened.insert(name.clone(), found.value);
            }
            Err(OpenError::NoKey) => closed.push(name.clone()),
            Err(OpenError::Wire(wire)) => {
                malformed.push(name.clone());
                problem = wire.to_string();
            }
        }
    }
    let failed = match (closed.is_empty(), malformed.is_empty()) {
        (true, true) => None,
        (true, false) => Some(Error::Malformed { items: malformed.clone(), problem }),
        (false, _) if keys.is_empty() => Some(Error::NoKeyAtAll),
        (false, _) => Some(Error::NoKey { items: closed.clone() }),
    };
    closed.extend(malformed);
    closed.sort();
    Opened { items: opened, closed, failed, keys: used, old_form: false }
}

/// The values of the format before 2019, one item that holds a whole Secret as JSON; `secret` gets its metadata, too.
fn whole_secret(
    opened: &BTreeMap<String, SecretBytes>,
    secret: &mut SecretManifest,
) -> Result<BTreeMap<String, SecretBytes>, Error> {
    let text = opened.get("data").and_then(|value| std::str::from_utf8(value.expose()).ok()).ok_or(Error::OldForm)?;
    let inner = seal::manifest::read_secret(text).map_err(|_| Error::OldForm)?;
    secret.labels.extend(inner.labels);
    secret.annotations.extend(inner.annotations);
    if let Some(type_) = inner.type_.filter(|type_| !type_.is_empty()) {
        secret.type_ = type_;
    }
    Ok(inner.data)
}

fn capped(items: &[String]) -> String {
    let shown = items.iter().take(NAMED_ITEMS).cloned().collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(NAMED_ITEMS) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
