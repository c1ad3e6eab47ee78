//! Further keys of the Secret, each a Go template over the opened items.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use seal::SecretBytes;

use super::Error;
use crate::api::SealedSecret;
use crate::decide::digest::Digester;
use crate::template::{Chance, Dialect, Template};

/// Whose rules templates follow: what a name means changed upstream between two versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rules {
    /// A template sees items only, wins over an item of its own name, and `null` is an empty text.
    Old,
    /// A template sees the texts of its siblings, too; an item wins over a template of its name; `null` leaves the key
    /// out of the Secret.
    #[default]
    New,
}

impl Rules {
    /// The upstream version whose rules these are, as statuses and the annotation name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Old => "0.36",
            Self::New => "0.40",
        }
    }

    /// The rules of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Old, Self::New].into_iter().find(|rules| rules.name() == name)
    }
}

/// What rendering depends on besides the object: all of it is the same at the next look, on another replica and after a
/// restart, so the same bytes come out.
#[derive(Clone)]
pub struct Rendering {
    /// Whose rules.
    pub rules: Rules,
    /// What `now` is: when this generation was first rendered.
    pub at: Timestamp,
    /// Under the install key it makes the seeds.
    pub digester: Digester,
}

/// The values of the Secret: the items and what the templates make of them.
///
/// # Errors
///
/// [`Error::Template`] with the key and the place, without any text that came from a value.
pub(super) fn render(
    object: &SealedSecret,
    templates: &BTreeMap<String, Option<String>>,
    items: BTreeMap<String, SecretBytes>,
    how: &Rendering,
) -> Result<BTreeMap<String, SecretBytes>, Error> {
    render_with(object, templates, items, how, how.at, "template")
}

/// Keys whose values are not the same at another time and with other chance: a hand-over keeps what they hold.
///
/// # Errors
///
/// As [`render`].
pub(super) fn left_to_chance(
    object: &SealedSecret,
    templates: &BTreeMap<String, Option<String>>,
    items: &BTreeMap<String, SecretBytes>,
    how: &Rendering,
) -> Result<BTreeSet<String>, Error> {
    let later = how.at.saturating_add(SignedDuration::from_hours(9001)).unwrap_or(how.at);
    let once = render(object, templates, items.clone(), how)?;
    let again = render_with(object, templates, items.clone(), how, later, "template-again")?;
    Ok(once.into_iter().filter(|(name, value)| again.get(name) != Some(value)).map(|(name, _)| name).collect())
}

fn render_with(
    object: &SealedSecret,
    templates: &BTreeMap<String, Option<String>>,
    items: BTreeMap<String, SecretBytes>,
    how: &Rendering,
    now: Timestamp,
    purpose: &str,
) -> Result<BTreeMap<String, SecretBytes>, Error> {
    let mut variables = items.clone();
    if how.rules == Rules::New {
        let siblings = templates.iter().filter_map(|(name, text)| Some((name, text.as_ref()?)));
        for (name, text) in siblings {
            variables.entry(name.clone()).or_insert_with(|| text.clone().into());
        }
    }
    let mut rendered = BTreeMap::new();
    for (name, text) in templates {
        let Some(text) = text else { continue };
        let generation = object.metadata.generation.unwrap_or_default().to_be_bytes();
        // A seed a key: two passwords of one object must not be the same.
        let seed =
            how.digester.seed(purpose, [object.uid().unwrap_or_default().as_bytes(), &generation, name.as_bytes()]);
        let value = Template::parse(name, text, Dialect::SealedSecrets)
            .and_then(|template| template.render(&variables, Chance::new(now, seed)))
            .map_err(|error| Error::Template { key: name.clone(), problem: error.to_string() })?;
        rendered.insert(name.clone(), value);
    }
    let nulls = templates.iter().filter(|(_, text)| text.is_none()).map(|(name, _)| name);
    Ok(match how.rules {
        Rules::New => {
            rendered.extend(items);
            nulls.for_each(|name| drop(rendered.remove(name)));
            rendered
        }
        Rules::Old => {
            rendered.extend(nulls.map(|name| (name.clone(), SecretBytes::default())));
            items.into_iter().chain(rendered).collect()
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(templates: &serde_json::Value) -> SealedSecret {
        serde_json::from_value(json!({
            "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
            "metadata": { "name": "x", "namespace": "ns", "uid": "u", "generation": 3 },
            "spec": { "encryptedData": {}, "template": { "data": templates } },
        }))
        .unwrap()
    }

    fn rendered(templates: &serde_json::Value, rules: Rules) -> Result<BTreeMap<String, String>, Error> {
        let object = object(templates);
        let texts = object.spec.template.clone().and_then(|template| template.data).unwrap();
        let items = BTreeMap::from([("pin".to_owned(), SecretBytes::from("7".to_owned()))]);
        let values = render(&object, &texts, items, &how(rules))?;
        Ok(values.into_iter().map(|(k, v)| (k, String::from_utf8(v.expose().to_vec()).unwrap())).collect())
    }

    fn how(rules: Rules) -> Rendering {
        Rendering { rules, at: Timestamp::UNIX_EPOCH, digester: Digester::new(&vec![7; 32].into()) }
    }

    #[test]
    fn the_three_differences_between_the_rules() {
        let cases = [
            (
                "an item",
                json!({ "cfg": "p={{ .pin }}" }),
                &[("cfg", "p=7"), ("pin", "7")][..],
                &[("cfg", "p=7"), ("pin", "7")][..],
            ),
            (
                "a sibling",
                json!({ "a": "{{ .b }}", "b": "text {{ .pin }}" }),
                &[("a", "<no value>"), ("b", "text 7"), ("pin", "7")],
                &[("a", "text {{ .pin }}"), ("b", "text 7"), ("pin", "7")],
            ),
            ("the name of an item", json!({ "pin": "x{{ .pin }}" }), &[("pin", "x7")], &[("pin", "7")]),
            ("null", json!({ "pin": null, "cfg": "p={{ .pin }}" }), &[("cfg", "p=7"), ("pin", "")], &[("cfg", "p=7")]),
        ];
        for (name, templates, old, new) in cases {
            for (rules, expected) in [(Rules::Old, old), (Rules::New, new)] {
                let values = rendered(&templates, rules).unwrap();
                let values: Vec<_> = values.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
                assert_eq!(values, expected, "{name} by {rules:?}");
            }
        }
    }

    #[test]
    fn chance_is_the_same_again_and_differs_by_key_and_generation() {
        let random = json!({ "a": "{{ randAlphaNum 8 }}", "b": "{{ randAlphaNum 8 }}", "c": "still" });
        let once = rendered(&random, Rules::New).unwrap();
        assert_eq!(once, rendered(&random, Rules::New).unwrap());
        assert_ne!(once["a"], once["b"]);
        let mut next = object(&random);
        next.metadata.generation = Some(4);
        let texts = next.spec.template.clone().and_then(|template| template.data).unwrap();
        let later = render(&next, &texts, BTreeMap::new(), &how(Rules::New)).unwrap();
        assert_ne!(later["a"].expose(), once["a"].as_bytes());
        let left = left_to_chance(&next, &texts, &BTreeMap::new(), &how(Rules::New)).unwrap();
        assert_eq!(left.iter().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn an_error_names_the_key_and_the_place_and_no_value() {
        let error = rendered(&json!({ "cfg": "{{ fail .pin }}" }), Rules::New).unwrap_err();
        let told = error.to_string();
        assert!(told.starts_with("spec.template.data.cfg cannot be rendered: template:1:3: fail"), "{told}");
        assert!(!told.contains('7'), "{told}");
    }
}
