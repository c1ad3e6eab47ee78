//! The template of a Secret: what `template` in ExternalSecrets and PushSecrets makes of the values that were read.
//!
//! Each template is rendered by itself over all values. `template.data` and `template.metadata` win over `templateFrom`;
//! the values themselves stay when `mergePolicy` says so, or when no template makes data.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use seal::{SecretBytes, yaml};
use serde_json::Value;
use sha3::{Digest, Sha3_256};

use crate::api::target_template::{TargetTemplate, TemplateAs, TemplateFrom, TemplateItem, TemplateMergePolicy};
use crate::error::{Classify, Retry};
use crate::template::{self, Chance, Dialect, Template};
use crate::values::{self, ValueError};

/// An object that holds templates, in the namespace of the object that refers to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A ConfigMap.
    ConfigMap(String),
    /// A Secret.
    Secret(String),
}

/// What the objects that hold templates hold.
pub type Sources = BTreeMap<Source, BTreeMap<String, SecretBytes>>;

/// What templates made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rendered {
    /// `data`.
    pub data: BTreeMap<String, SecretBytes>,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
}

/// The time and the chance of one rendering: each template draws its own, the same whenever it is rendered again.
#[derive(Clone, Copy)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// What chance is drawn from; nobody can guess it.
    pub seed: [u8; 32],
}

impl Moment {
    fn chance(&self, place: &str) -> Chance {
        let mut hash = Sha3_256::new();
        hash.update(self.seed);
        hash.update(place.as_bytes());
        Chance::new(self.at, hash.finalize().into())
    }
}

/// Why templates do not become a Secret. Never holds a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A template is wrong.
    #[error("{place}: {error}")]
    Template {
        /// Where it stands.
        place: String,
        /// What is wrong, and at which line.
        error: template::Error,
    },
    /// What it rendered is no map of texts.
    #[error("{place}: what it renders is not a YAML map of keys and values")]
    NotAMap {
        /// Where it stands.
        place: String,
    },
    /// A rendered key or value is not as wanted.
    #[error("{place}: {error}")]
    Value {
        /// Where it stands.
        place: String,
        /// Why.
        error: ValueError,
    },
    /// A label or annotation that is no text.
    #[error("{place}: what it renders is not text")]
    NotText {
        /// Where it stands.
        place: String,
    },
    /// It names something that is not there.
    #[error("{place}: {what} does not exist")]
    Missing {
        /// Where it stands.
        place: String,
        /// What is not there.
        what: String,
    },
    /// Not one of the three.
    #[error("{place}: {target:?} is none of Data, Labels and Annotations")]
    Target {
        /// Where it stands.
        place: String,
        /// What stands there.
        target: String,
    },
}

impl Classify for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "TemplateNotFound",
            _ => "InvalidTemplate",
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Target { .. } => Retry::OnChange,
            // The values, or the object that holds the template, may be others next time.
            _ => Retry::Backoff,
        }
    }
}

/// The objects that hold templates: they are read before anything is rendered.
pub fn sources(template: &TargetTemplate) -> BTreeSet<Source> {
    let of = |from: &TemplateFrom| {
        let map = from.config_map.as_ref().map(|reference| Source::ConfigMap(reference.name.clone()));
        let secret = from.secret.as_ref().map(|reference| Source::Secret(reference.name.clone()));
        map.into_iter().chain(secret).collect::<Vec<_>>()
    };
    template.template_from.iter().flat_map(of).collect()
}

/// Renders all templates over the values.
///
/// # Errors
///
/// [`Error`], for the first template that is wrong.
pub fn render(
    template: &TargetTemplate,
    values: &BTreeMap<String, SecretBytes>,
    sources: &Sources,
    moment: Moment,
) -> Result<Rendered, Error> {
    let mut rendered = Rendered::default();
    let makes_data = !(template.data.is_empty() && template.template_from.is_empty());
    if template.merge_policy == TemplateMergePolicy::Merge || !makes_data {
        rendered.data.clone_from(values);
    }
    let run = Run { values, moment };
    for (index, from) in template.template_from.iter().enumerate() {
        run.template_from(&format!("templateFrom[{index}]"), from, sources, &mut rendered)?;
    }
    for (key, text) in &template.data {
        let place = format!("template.data.{key}");
        values::check_key(key).map_err(|error| Error::Value { place: place.clone(), error })?;
        rendered.data.insert(key.clone(), run.one(&place, key, text)?);
    }
    if let Some(metadata) = &template.metadata {
        for (name, text) in &metadata.labels {
            rendered.labels.insert(name.clone(), run.text(&format!("template.metadata.labels.{name}"), name, text)?);
        }
        for (name, text) in &metadata.annotations {
            let place = format!("template.metadata.annotations.{name}");
            rendered.annotations.insert(name.clone(), run.text(&place, name, text)?);
        }
    }
    Ok(rendered)
}

/// Renders the template of a rewrite over `.value`, which is a key.
///
/// # Errors
///
/// Where the template is wrong, in words.
pub fn render_key(text: &str, key: &str, moment: Moment) -> Result<String, String> {
    let values = BTreeMap::from([("value".to_owned(), SecretBytes::from(key.to_owned()))]);
    let run = Run { values: &values, moment };
    run.text("rewrite.transform", "transform", text).map_err(|error| error.to_string())
}

/// One rendering.
struct Run<'a> {
    values: &'a BTreeMap<String, SecretBytes>,
    moment: Moment,
}

impl Run<'_> {
    fn one(&self, place: &str, name: &str, text: &str) -> Result<SecretBytes, Error> {
        let wrong = |error| Error::Template { place: place.to_owned(), error };
        let template = Template::parse(name, text, Dialect::ExternalSecrets).map_err(wrong)?;
        template.render(self.values, self.moment.chance(place)).map_err(wrong)
    }

    fn text(&self, place: &str, name: &str, text: &str) -> Result<String, Error> {
        let bytes = self.one(place, name, text)?;
        let text = std::str::from_utf8(bytes.expose()).map_err(|_| Error::NotText { place: place.to_owned() })?;
        Ok(text.to_owned())
    }

    fn template_from(
        &self,
        place: &str,
        from: &TemplateFrom,
        sources: &Sources,
        rendered: &mut Rendered,
    ) -> Result<(), Error> {
        let maps = from.config_map.as_ref().map(|reference| (Source::ConfigMap(reference.name.clone()), reference));
        let secrets = from.secret.as_ref().map(|reference| (Source::Secret(reference.name.clone()), reference));
        for (source, reference) in maps.into_iter().chain(secrets) {
            for item in &reference.items {
                let text = template_text(place, &source, item, sources)?;
                let place = format!("{place}, key {}", item.key);
                let pairs = match item.template_as {
                    TemplateAs::Values => vec![(item.key.clone(), self.one(&place, &item.key, &text)?)],
                    TemplateAs::KeysAndValues => self.pairs(&place, &text)?,
                };
                put(&place, from, pairs, rendered)?;
            }
        }
        if let Some(literal) = &from.literal {
            put(place, from, self.pairs(place, literal)?, rendered)?;
        }
        Ok(())
    }

    /// A template whose rendering is a YAML map.
    fn pairs(&self, place: &str, text: &str) -> Result<Vec<(String, SecretBytes)>, Error> {
        let not_a_map = || Error::NotAMap { place: place.to_owned() };
        // Its name is its whole text in the reference; nothing but an error shows it.
        let bytes = self.one(place, "templateFrom", text)?;
        let text = std::str::from_utf8(bytes.expose()).map_err(|_| not_a_map())?;
        let documents = yaml::documents(text, yaml::Duplicates::LastWins).map_err(|_| not_a_map())?;
        let Some(document) = documents.into_iter().next() else { return Ok(Vec::new()) };
        let Value::Object(fields) = document else { return Err(not_a_map()) };
        fields.into_iter().map(|(key, value)| Ok((key, scalar(&value).ok_or_else(not_a_map)?.into()))).collect()
    }
}

/// A value as Go's YAML reader makes a text of it; none for what is no scalar.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Array(_) | Value::Object(_) => None,
        other => Some(values::text(other)),
    }
}

fn template_text(place: &str, source: &Source, item: &TemplateItem, sources: &Sources) -> Result<String, Error> {
    let what = match source {
        Source::ConfigMap(name) => format!("ConfigMap {name}"),
        Source::Secret(name) => format!("Secret {name}"),
    };
    let missing = |what: String| Error::Missing { place: place.to_owned(), what };
    let held = sources.get(source).ok_or_else(|| missing(what.clone()))?;
    let text = held.get(&item.key).ok_or_else(|| missing(format!("key {} of {what}", item.key)))?;
    let text = std::str::from_utf8(text.expose()).map_err(|_| Error::NotText { place: place.to_owned() })?;
    Ok(text.to_owned())
}

/// Puts what was rendered where it belongs.
fn put(
    place: &str,
    from: &TemplateFrom,
    pairs: Vec<(String, SecretBytes)>,
    rendered: &mut Rendered,
) -> Result<(), Error> {
    let strategy = from.values_decoding_strategy.unwrap_or_default();
    let wrong = |error| Error::Value { place: place.to_owned(), error };
    for (key, value) in pairs {
        let value = values::decode(value, strategy).map_err(wrong)?;
        let text = || {
            let text = std::str::from_utf8(value.expose()).map(str::to_owned);
            text.map_err(|_| Error::NotText { place: place.to_owned() })
        };
        match from.target.to_ascii_lowercase().as_str() {
            "" | "data" => {
                values::check_key(&key).map_err(wrong)?;
                rendered.data.insert(key, value);
            }
            "labels" => drop(rendered.labels.insert(key, text()?)),
            "annotations" => drop(rendered.annotations.insert(key, text()?)),
            // A closed set: type, owners and the like are not for templates to write.
            _ => return Err(Error::Target { place: place.to_owned(), target: from.target.clone() }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn moment() -> Moment {
        Moment { at: Timestamp::UNIX_EPOCH, seed: [7; 32] }
    }

    fn run(template: Value) -> Result<Value, String> {
        let template: TargetTemplate = serde_json::from_value(template).unwrap();
        let pairs = [("u", "orla"), ("p", "s3<&>")];
        let values = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned().into())).collect();
        let held = [("t", "a: {{ .u }}\nb: 2\nyes: no\nf: 1.50"), ("v", "<{{ .u }}>")];
        let held: BTreeMap<String, SecretBytes> =
            held.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned().into())).collect();
        let sources = Sources::from([(Source::ConfigMap("cm".to_owned()), held)]);
        let made = render(&template, &values, &sources, moment()).map_err(|error| error.to_string())?;
        let text = |value: &SecretBytes| String::from_utf8(value.expose().to_vec()).unwrap();
        let data: BTreeMap<_, _> = made.data.iter().map(|(key, value)| (key, text(value))).collect();
        Ok(json!({ "data": data, "labels": made.labels, "annotations": made.annotations }))
    }

    fn data(data: Value) -> Value {
        json!({ "data": data, "labels": {}, "annotations": {} })
    }

    #[test]
    fn templates_make_a_secret() {
        let from = |fields: Value| json!({ "templateFrom": [fields] });
        let map = |items: Value| from(json!({ "configMap": { "name": "cm", "items": items } }));
        for (name, template, expected) in [
            ("metadata only keeps the values", json!({ "metadata": {} }), data(json!({ "u": "orla", "p": "s3<&>" }))),
            ("data replaces them", json!({ "data": { "x": "{{ .u }}:{{ .p }}" } }), data(json!({ "x": "orla:s3<&>" }))),
            (
                "or stays beside them",
                json!({ "mergePolicy": "Merge", "data": { "p": "over" } }),
                data(json!({ "u": "orla", "p": "over" })),
            ),
            ("a value from a ConfigMap", map(json!([{ "key": "v" }])), data(json!({ "v": "<orla>" }))),
            (
                "keys and values from a ConfigMap",
                map(json!([{ "key": "t", "templateAs": "KeysAndValues" }])),
                data(json!({ "a": "orla", "b": "2", "yes": "false", "f": "1.5" })),
            ),
            (
                "a literal, decoded",
                from(json!({ "literal": "k: {{ .u | b64enc }}", "valuesDecodingStrategy": "Base64" })),
                data(json!({ "k": "orla" })),
            ),
            (
                "a target in lower case; metadata wins",
                json!({
                    "metadata": { "labels": { "l": "{{ .u }}" } },
                    "templateFrom": [{ "target": "labels", "literal": "l: literal\nm: literal" }],
                }),
                json!({ "data": {}, "labels": { "l": "orla", "m": "literal" }, "annotations": {} }),
            ),
        ] {
            assert_eq!(run(template).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place_and_without_a_value() {
        let from = |fields: Value| json!({ "templateFrom": [fields] });
        for (template, expected) in [
            (json!({ "data": { "x": "{{ .absent }}" } }), "template.data.x: template:1:3: "),
            (json!({ "data": { "x": "{{ .u" } }), "template.data.x: template:1: "),
            (from(json!({ "literal": "- {{ .u }}" })), "templateFrom[0]: what it renders is not a YAML map"),
            (from(json!({ "literal": "a: [{{ .u }}]" })), "templateFrom[0]: what it renders is not a YAML map"),
            (from(json!({ "literal": "a: b", "target": "immutable" })), "templateFrom[0]: \"immutable\" is none of"),
            (
                from(json!({ "secret": { "name": "s", "items": [{ "key": "k" }] } })),
                "templateFrom[0]: Secret s does not exist",
            ),
            (
                from(json!({ "configMap": { "name": "cm", "items": [{ "key": "k" }] } })),
                "templateFrom[0]: key k of ConfigMap cm does not exist",
            ),
        ] {
            let told = run(template).unwrap_err();
            assert!(told.starts_with(expected), "{told}");
            assert!(!told.contains("orla"), "{told}");
        }
    }

    #[test]
    fn chance_is_the_same_again_and_another_for_each_template() {
        let two = json!({ "data": { "a": "{{ randAlphaNum 20 }}", "b": "{{ randAlphaNum 20 }}" } });
        let made = run(two.clone()).unwrap();
        assert_eq!(made, run(two).unwrap());
        assert_ne!(made["data"]["a"], made["data"]["b"]);
    }
}
