//! An error as people read it: what happened, where, why, and what to do.

use std::fmt::Write;
use std::path::Path;

use super::codes::Code;
use super::console::Paint;

/// What happened and, where there is one, the way on.
#[derive(Debug)]
pub(crate) struct CommandError {
    code: Option<Code>,
    exit: u8,
    message: String,
    place: Option<String>,
    notes: Vec<String>,
    help: Vec<String>,
}

impl CommandError {
    /// An error that has no page: the command line is wrong.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            code: None,
            exit: super::codes::USAGE,
            message: message.into(),
            place: None,
            notes: Vec::new(),
            help: Vec::new(),
        }
    }

    /// An error that `seal explain` knows.
    pub(crate) fn coded(code: Code, message: impl Into<String>) -> Self {
        Self { code: Some(code), exit: code.exit(), ..Self::new(message) }
    }

    /// An exit code without words: they were said.
    pub(crate) fn silent(exit: u8) -> Self {
        Self { exit, ..Self::new("") }
    }

    /// Adds the place.
    pub(crate) fn at(self, file: &Path, line: usize) -> Self {
        let line = if line == 0 { String::new() } else { format!(":{line}") };
        Self { place: Some(format!("{}{line}", file.display())), ..self }
    }

    /// Adds a fact.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds the way on.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Time ran out.
    pub(crate) fn timed_out(self) -> Self {
        Self { exit: super::codes::TIMED_OUT, ..self }
    }

    /// What the process ends with; kubeseal knows only 1.
    pub(crate) fn exit(&self) -> u8 {
        self.exit
    }

    /// The headline.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Which page explains it.
    pub(crate) fn code(&self) -> Option<Code> {
        self.code
    }

    /// As it is said. `named` shows the code, which kubeseal's callers do not know.
    pub(crate) fn words(&self, named: bool, paint: Paint) -> String {
        if self.message.is_empty() {
            return String::new();
        }
        let code = self.code.filter(|_| named).map_or_else(String::new, |code| format!("[{}]", code.id()));
        let mut words = format!("{}: {}", paint.red(&format!("error{code}")), self.message);
        if let Some(place) = &self.place {
            let _ = write!(words, "\n  {} {place}", paint.dim("-->"));
        }
        for note in &self.notes {
            let _ = write!(words, "\n   {} {note}", paint.dim("="));
        }
        for (index, help) in self.help.iter().enumerate() {
            let mark = if index == 0 { paint.green("help:") } else { "     ".to_owned() };
            let _ = write!(words, "\n{mark} {help}");
        }
        words
    }
}
