//! Go's text/template with the functions that Sealed Secrets and External Secrets leave in it: pure, bounded, and the
//! same bytes as the original.
//!
//! An engine of our own, because the values of a Secret are bytes and no crate's are: a template decodes a PKCS#12 file
//! and hands it on. It follows Go also in what shows: the types (`int` is not `int64`), the order, the number formats,
//! and where an error is.
//!
//! Nothing here reaches out. The time and the chance that some functions need are arguments (`Chance`), so the same
//! template renders the same bytes again after a restart, on another replica or when a hand edit is put right.

mod bounds;
mod chance;
mod compare;
mod error;
mod functions;
mod lex;
mod literal;
mod parse;
mod print;
mod run;
mod signature;
mod unicode;
mod value;

use std::collections::BTreeMap;

use seal::SecretBytes;

pub use bounds::{LONGEST_OUTPUT, LONGEST_TEMPLATE};
pub use chance::Chance;
pub use error::{Error, Phase};
pub use functions::reference;

/// Whose rules a template follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Bitnami's: Sprig without what reaches out, and a missing key prints `<no value>`.
    SealedSecrets,
    /// External Secrets Operator's: its own functions as well, and a missing key is an error.
    ExternalSecrets,
}

/// A template that was read, ready to be rendered any number of times.
#[derive(Debug)]
pub struct Template {
    dialect: Dialect,
    parsed: parse::Parsed,
}

impl Template {
    /// Reads a template. Its name, the key that it is rendered for, counts among the templates that it defines.
    ///
    /// # Errors
    ///
    /// [`Error`] with [`Phase::Parse`] and the line, also when the text is longer than [`LONGEST_TEMPLATE`].
    pub fn parse(name: &str, text: &str, dialect: Dialect) -> Result<Self, Error> {
        Ok(Self { dialect, parsed: parse::parse(name, text, dialect)? })
    }

    /// Renders it over the variables, which it sees as texts of bytes.
    ///
    /// # Errors
    ///
    /// [`Error`] with [`Phase::Exec`], the line and the column. Its text holds nothing that came from a variable.
    pub fn render(&self, variables: &BTreeMap<String, SecretBytes>, chance: Chance) -> Result<SecretBytes, Error> {
        run::render(&self.parsed, self.dialect, variables, chance)
    }

    /// Renders it over groups of variables: `{{ .group.variable }}`.
    ///
    /// # Errors
    ///
    /// As [`Template::render`].
    pub fn render_groups(
        &self,
        groups: &BTreeMap<String, BTreeMap<String, SecretBytes>>,
        chance: Chance,
    ) -> Result<SecretBytes, Error> {
        run::render_groups(&self.parsed, self.dialect, groups, chance)
    }
}

#[cfg(test)]
mod tests;
