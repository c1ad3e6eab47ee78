//! Held to what the originals gave. `recorded.json`: External Secrets Operator 2.9.0.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use seal::SecretBytes;
use serde::Deserialize;

use super::{Chance, Dialect, Error, Phase, Template};

/// One case, as the original answered it.
#[derive(Deserialize)]
struct Case {
    name: String,
    #[serde(default)]
    vars: BTreeMap<String, String>,
    template: String,
    output_base64: Option<String>,
    error_kind: Option<String>,
    error_position: Option<String>,
}

impl Case {
    fn variables(&self) -> BTreeMap<String, SecretBytes> {
        let value = |text: &String| SecretBytes::from(STANDARD.decode(text).unwrap());
        self.vars.iter().map(|(key, text)| (key.clone(), value(text))).collect()
    }

    /// What should come out, in words.
    fn expected(&self) -> String {
        match &self.output_base64 {
            Some(output) => shown(&STANDARD.decode(output).unwrap()),
            None => {
                format!("{} error at {}", self.error_kind.as_deref().unwrap(), self.error_position.as_deref().unwrap())
            }
        }
    }

    fn found(&self, dialect: Dialect) -> String {
        match render(&self.template, &self.variables(), dialect) {
            Ok(bytes) => shown(bytes.expose()),
            Err(error) => {
                let kind = if error.phase == Phase::Parse { "parse" } else { "exec" };
                format!("{kind} error at {}", error.position())
            }
        }
    }
}

fn shown(bytes: &[u8]) -> String {
    format!("output {:?}", String::from_utf8_lossy(bytes))
}

fn render(text: &str, variables: &BTreeMap<String, SecretBytes>, dialect: Dialect) -> Result<SecretBytes, Error> {
    let now = Timestamp::from_second(1_764_158_400).unwrap();
    Template::parse("out", text, dialect)?.render(variables, Chance::new(now, [7; 32]))
}

fn differences(cases: &str, dialect: Dialect, excepted: &[&str]) -> Vec<String> {
    let cases: Vec<Case> = serde_json::from_str(cases).unwrap();
    let differs = |case: &&Case| !excepted.contains(&case.name.as_str()) && case.found(dialect) != case.expected();
    let told = |case: &Case| {
        format!("{}: {}\n  expected {}\n  found    {}", case.name, case.template, case.expected(), case.found(dialect))
    };
    cases.iter().filter(differs).map(told).collect()
}

#[test]
fn renders_what_external_secrets_operator_renders() {
    let recorded = include_str!("../../tests/vectors/templates/recorded.json");
    let differences = differences(recorded, Dialect::ExternalSecrets, &[]);
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn a_template_can_be_shared_between_threads() {
    fn is_shared<T: Send + Sync>(_: &T) {}
    is_shared(&Template::parse("out", "{{ .a }}", Dialect::SealedSecrets).unwrap());
}

#[test]
fn a_missing_key_is_an_error_or_no_value() {
    let none = BTreeMap::new();
    assert_eq!(render("{{ .a }}", &none, Dialect::SealedSecrets).unwrap().expose(), b"<no value>");
    assert_eq!(render("{{ .a }}", &none, Dialect::ExternalSecrets).unwrap_err().position(), "1:3");
}
