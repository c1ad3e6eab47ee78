//! The function library, grouped by what the functions do. Each file ends in its table: one line a function.

mod builtin;
mod certificates;
mod chains;
mod ciphers;
pub(super) mod dates;
mod der;
mod dicts;
mod encodings;
pub(super) mod expressions;
mod json;
mod jwk;
mod keys;
mod lists;
mod numbers;
mod paths;
mod pbe;
mod pem;
mod pkcs12;
mod random;
mod texts;
mod types;
mod urls;
pub(super) mod versions;
mod yaml;

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::LazyLock;

use super::Dialect;
use super::error::Fault;
use super::run::Run;
use super::signature::{Call, Callable, Type};
use super::value::Value;

/// A function that a template can call.
pub(super) struct Function {
    pub(super) name: &'static str,
    parameters: Vec<Type>,
    has_rest: bool,
    gives: &'static str,
    does: &'static str,
    /// The dialect that alone has it.
    only: Option<Dialect>,
    ends_on: Option<bool>,
    call: Call,
}

impl Function {
    /// What it takes; the last may take all that are left.
    pub(super) fn parameters(&self) -> &[Type] {
        &self.parameters
    }

    /// Whether the last parameter takes all arguments that are left.
    pub(super) fn has_rest(&self) -> bool {
        self.has_rest
    }

    /// For `and` and `or`: which truth ends the look at further arguments.
    pub(super) fn ends_on(&self) -> Option<bool> {
        self.ends_on
    }

    /// Calls it with arguments that fit its parameters.
    pub(super) fn call(&self, run: &mut Run, arguments: Vec<Value>) -> Result<Value, Fault> {
        (self.call)(run, arguments)
    }

    fn signature(&self) -> String {
        let mut words = vec![self.name.to_owned()];
        for (index, parameter) in self.parameters.iter().enumerate() {
            let dots = if self.has_rest && index + 1 == self.parameters.len() { "…" } else { "" };
            words.push(format!("{}{dots}", parameter.name()));
        }
        words.join(" ")
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// A function of both dialects.
fn both<M, F: Callable<M>>(name: &'static str, function: F, does: &'static str) -> Function {
    let (parameters, has_rest) = F::parameters();
    let call = function.into_call();
    Function { name, parameters, has_rest, gives: F::gives(), does, only: None, ends_on: None, call }
}

/// A function of External Secrets alone.
fn external<M, F: Callable<M>>(name: &'static str, function: F, does: &'static str) -> Function {
    Function { only: Some(Dialect::ExternalSecrets), ..both(name, function, does) }
}

/// A function of Sealed Secrets alone.
fn sealed<M, F: Callable<M>>(name: &'static str, function: F, does: &'static str) -> Function {
    Function { only: Some(Dialect::SealedSecrets), ..both(name, function, does) }
}

type Group = (&'static str, fn() -> Vec<Function>);

/// The groups, in the order of the reference page.
const GROUPS: [Group; 21] = [
    ("Built in", builtin::table),
    ("Texts", texts::table),
    ("Regular expressions", expressions::table),
    ("Numbers", numbers::table),
    ("Lists", lists::table),
    ("Dicts", dicts::table),
    ("Types and defaults", types::table),
    ("Dates", dates::table),
    ("Encodings and digests", encodings::table),
    ("JSON", json::table),
    ("YAML", yaml::table),
    ("Versions", versions::table),
    ("Paths", paths::table),
    ("Addresses", urls::table),
    ("Chance", random::table),
    ("Ciphers and passwords", ciphers::table),
    ("Keys and certificates", certificates::table),
    ("PEM", pem::table),
    ("Chains of certificates", chains::table),
    ("JWK and RSA", jwk::table),
    ("PKCS#12", pkcs12::table),
];

type ByName = HashMap<&'static str, Function>;

fn of_dialect(dialect: Dialect) -> ByName {
    let all = GROUPS.iter().flat_map(|(_, table)| table());
    let own = all.filter(|function| function.only.is_none_or(|only| only == dialect));
    own.map(|function| (function.name, function)).collect()
}

static SEALED: LazyLock<ByName> = LazyLock::new(|| of_dialect(Dialect::SealedSecrets));
static EXTERNAL: LazyLock<ByName> = LazyLock::new(|| of_dialect(Dialect::ExternalSecrets));

static METHODS: LazyLock<HashMap<&'static str, ByName>> = LazyLock::new(|| {
    let tables = [
        ("time", dates::time_methods()),
        ("duration", dates::duration_methods()),
        ("month", dates::month_methods()),
        ("weekday", dates::weekday_methods()),
        ("version", versions::methods()),
    ];
    let named = |table: Vec<Function>| table.into_iter().map(|function| (function.name, function)).collect();
    tables.into_iter().map(|(receiver, table)| (receiver, named(table))).collect()
});

/// The function of that name, if the dialect has it.
pub(super) fn find(name: &str, dialect: Dialect) -> Option<&'static Function> {
    match dialect {
        Dialect::SealedSecrets => SEALED.get(name),
        Dialect::ExternalSecrets => EXTERNAL.get(name),
    }
}

/// The method of that name.
pub(super) fn method(receiver: &Value, name: &str) -> Option<&'static Function> {
    let kind = match receiver {
        Value::Time(_) => "time",
        Value::Duration(_) => "duration",
        Value::Month(_) => "month",
        Value::Weekday(_) => "weekday",
        Value::Version(_) => "version",
        _ => return None,
    };
    METHODS.get(kind)?.get(name)
}

/// The reference page: all functions, from the tables.
pub fn reference() -> String {
    let mut page = String::from(
        "# Template functions\n\nGenerated from the tables in `src/template/functions`; a test keeps the two equal.\n\n\
         Templates are Go's text/template. A function takes its last argument from the left of a `|`. \
         *Both*: SealedSecret and ExternalSecret templates; *sealed*, *external*: those of one alone.\n",
    );
    for (title, table) in GROUPS {
        let _ = write!(page, "\n## {title}\n\n| function | gives | where | what it does |\n|---|---|---|---|\n");
        let mut functions = table();
        functions.sort_by_key(|function| function.name);
        for function in functions {
            let place = match function.only {
                None => "both",
                Some(Dialect::SealedSecrets) => "sealed",
                Some(Dialect::ExternalSecrets) => "external",
            };
            let (signature, gives, does) = (function.signature(), function.gives, function.does);
            let _ = writeln!(page, "| `{signature}` | {gives} | {place} | {does} |");
        }
    }
    page
}
