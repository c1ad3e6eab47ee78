//! Where a template is wrong, without a word of what it was given.

use std::borrow::Cow;
use std::fmt;

/// When a template turned out to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// While it was read.
    Parse,
    /// While it ran.
    Exec,
}

/// What is wrong with a template, and where.
///
/// Names of functions, of types and of the template's own fields may stand in it; a value never does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// When it was found.
    pub phase: Phase,
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 0 as Go counts it; only for what was found while running.
    pub column: Option<usize>,
    /// The function that failed.
    pub function: Option<&'static str>,
    /// What is wrong.
    pub problem: Cow<'static, str>,
    /// Whether a bound was reached, rather than a rule broken.
    pub too_much: bool,
}

impl Error {
    /// Where it is, as Go writes it: `line`, or `line:column`.
    pub fn position(&self) -> String {
        match self.column {
            Some(column) => format!("{}:{column}", self.line),
            None => self.line.to_string(),
        }
    }

    pub(super) fn parse(line: usize, problem: impl Into<Cow<'static, str>>) -> Self {
        Self { phase: Phase::Parse, line, column: None, function: None, problem: problem.into(), too_much: false }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "template:{}: ", self.position())?;
        if let Some(function) = self.function {
            write!(f, "{function}: ")?;
        }
        f.write_str(&self.problem)
    }
}

/// Why a function does not do what it was asked.
#[derive(Debug)]
pub(super) enum Fault {
    /// Wrong input. The text holds no value.
    Wrong(Cow<'static, str>),
    /// A bound was reached.
    TooMuch(&'static str),
}

impl Fault {
    pub(super) fn wrong<T>(problem: impl Into<Cow<'static, str>>) -> Result<T, Self> {
        Err(Self::Wrong(problem.into()))
    }
}

impl From<&'static str> for Fault {
    fn from(problem: &'static str) -> Self {
        Self::Wrong(problem.into())
    }
}

impl From<String> for Fault {
    fn from(problem: String) -> Self {
        Self::Wrong(problem.into())
    }
}
