//! Held to what the originals gave. `recorded.json`: External Secrets Operator 2.9.0; `compared.json`: inputs of ours, and
//! what the two originals' function libraries made of them under Go 1.26.

mod bad_input;
mod shapes;

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
    /// `sealed` for Sealed Secrets' own.
    dialect: Option<String>,
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

fn differences(cases: &[Case], dialect: Dialect) -> Vec<String> {
    let differs = |case: &&Case| case.found(dialect) != case.expected();
    let told = |case: &Case| {
        format!("{}: {}\n  expected {}\n  found    {}", case.name, case.template, case.expected(), case.found(dialect))
    };
    cases.iter().filter(differs).map(told).collect()
}

#[test]
fn renders_what_external_secrets_operator_renders() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../tests/vectors/templates/recorded.json")).unwrap();
    let differences = differences(&cases, Dialect::ExternalSecrets);
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn renders_what_both_originals_render() {
    for dialect in [Dialect::ExternalSecrets, Dialect::SealedSecrets] {
        let compared = include_str!("../../tests/vectors/templates/compared.json");
        let mut cases: Vec<Case> = serde_json::from_str(compared).unwrap();
        cases.retain(|case| (case.dialect.as_deref() == Some("sealed")) == (dialect == Dialect::SealedSecrets));
        let differences = differences(&cases, dialect);
        assert!(differences.is_empty(), "{} of {} differ:\n{}", differences.len(), cases.len(), differences.join("\n"));
    }
}

/// `UPDATE_GOLDEN=1` writes it anew.
#[test]
fn the_reference_page_is_what_the_tables_say() {
    let page = super::reference();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let is_root = |folder: &&std::path::Path| folder.join("docs").is_dir() && folder.join("src/template").is_dir();
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(is_root).unwrap();
        std::fs::write(root.join("docs/template-functions.md"), &page).unwrap();
        return;
    }
    assert_eq!(page, include_str!("../../docs/template-functions.md"), "run it with UPDATE_GOLDEN=1");
}

#[test]
fn each_dialect_has_its_functions_and_nothing_that_reaches_out() {
    let none = BTreeMap::new();
    for gone in ["env", "expandenv", "getHostByName", "getSecretKey", "lookup", "mustToYaml", "tpl", "include"] {
        for dialect in [Dialect::ExternalSecrets, Dialect::SealedSecrets] {
            let error = render(&format!("{{{{ {gone} }}}}"), &none, dialect).unwrap_err();
            assert_eq!((error.phase, error.position()), (Phase::Parse, "1".to_owned()), "{gone}");
        }
    }
    for own in ["toYaml", "pkcs12key", "jwkPublicKeyPem", "rsaDecrypt", "hexdec"] {
        assert_eq!(render(&format!("{{{{ {own} }}}}"), &none, Dialect::SealedSecrets).unwrap_err().phase, Phase::Parse);
        assert_eq!(
            render(&format!("{{{{ {own} }}}}"), &none, Dialect::ExternalSecrets).unwrap_err().phase,
            Phase::Exec
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_does_not() {
    let text = "{{ randAlphaNum 20 }} {{ uuidv4 }} {{ genPrivateKey \"ecdsa\" }} {{ encryptAES \"k\" \"v\" }} {{ shuffle \"abcdefgh\" }}";
    let template = Template::parse("out", text, Dialect::SealedSecrets).unwrap();
    let with = |seed| {
        let bytes = template.render(&BTreeMap::new(), Chance::new(Timestamp::UNIX_EPOCH, [seed; 32])).unwrap();
        String::from_utf8(bytes.expose().to_vec()).unwrap()
    };
    assert_eq!(with(1), with(1));
    assert_ne!(with(1), with(2));
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
