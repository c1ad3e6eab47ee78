//! The terminal: words, colours, questions.

use std::io::{IsTerminal, Write};

use seal::SecretBytes;

use super::codes::Code;
use super::error::CommandError;

/// Whether colours are wanted: `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless NO_COLOR is set or the terminal is dumb.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Paints words, or leaves them alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Paint(bool);

impl Paint {
    /// For what is said on stderr.
    pub(crate) fn stderr(colour: Colour) -> Self {
        Self::of(colour, std::io::stderr().is_terminal())
    }

    /// For the product.
    pub(crate) fn stdout(colour: Colour) -> Self {
        Self::of(colour, std::io::stdout().is_terminal())
    }

    fn of(colour: Colour, terminal: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        Self(match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
        })
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.with("1;31", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.with("1;33", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    fn with(self, style: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Says something to the person; there is nobody to tell when that fails.
pub(crate) fn say(words: &str) {
    let _ = writeln!(std::io::stderr(), "{words}");
}

/// Whether somebody can be asked.
pub(crate) fn can_ask(no_input: bool) -> bool {
    !no_input && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks for a line that may be seen.
pub(crate) fn ask(question: &str) -> Result<String, CommandError> {
    let _ = write!(std::io::stderr(), "{question}");
    let mut line = String::new();
    if std::io::stdin().read_line(&mut line).map_err(gone)? == 0 {
        return Err(gone(std::io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Asks for a value that must not be seen.
pub(crate) fn ask_hidden(question: &str) -> Result<SecretBytes, CommandError> {
    rpassword::prompt_password(question).map(SecretBytes::from).map_err(gone)
}

/// Asks a question that is answered by y or n; no answer is no.
pub(crate) fn confirm(question: &str) -> Result<bool, CommandError> {
    Ok(matches!(ask(&format!("{question} [y/N] "))?.to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn gone(error: std::io::Error) -> CommandError {
    CommandError::coded(Code::NeedsInput, format!("the terminal went away: {error}"))
}
