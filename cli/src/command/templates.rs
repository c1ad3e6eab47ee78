//! `template.data` when a SealedSecret is opened offline.

use std::collections::BTreeMap;

use seal::SecretBytes;

use super::codes::Code;
use super::error::CommandError;

/// Renders the templates over the opened values.
pub(crate) fn render(
    values: BTreeMap<String, SecretBytes>,
    templates: &BTreeMap<String, Option<String>>,
) -> Result<BTreeMap<String, SecretBytes>, CommandError> {
    if templates.values().flatten().next().is_some() {
        return Err(CommandError::coded(Code::CannotOpen, "template.data is not rendered offline"));
    }
    Ok(values)
}
