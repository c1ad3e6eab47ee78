//! `template.data` when a SealedSecret is opened offline.

use std::collections::BTreeMap;

use seal::SecretBytes;

use super::codes::Code;
use super::error::CommandError;
use crate::template::{Chance, Dialect, Template};

/// Renders the templates over the opened values, as the controller does it; a template of `null` takes a key out of the
/// Secret under the rules of 0.40, and says nothing under the older ones that kubeseal has.
pub(crate) fn render(
    values: BTreeMap<String, SecretBytes>,
    templates: &BTreeMap<String, Option<String>>,
) -> Result<BTreeMap<String, SecretBytes>, CommandError> {
    let (mut secret, now) = (values.clone(), jiff::Timestamp::now());
    for (key, template) in templates {
        let Some(text) = template else { continue };
        let failed = |error: &dyn std::fmt::Display| {
            CommandError::coded(Code::CannotOpen, format!("template: {key}: {error}"))
                .help("put spec.template.data right; the items themselves were opened")
        };
        let template = Template::parse(key, text, Dialect::SealedSecrets).map_err(|error| failed(&error))?;
        secret.insert(
            key.clone(),
            template.render(&values, Chance::new(now, rand::random())).map_err(|error| failed(&error))?,
        );
    }
    Ok(secret)
}
