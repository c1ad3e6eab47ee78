//! Verbs for people, one file each. Without a verb the program is the operator.

/// `chancery render`.
pub mod render;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::args::Settings;

/// The program: the operator, or a verb.
#[derive(Debug, Parser)]
#[command(name = "chancery", version, about, max_term_width = 110, args_conflicts_with_subcommands = true)]
pub struct Program {
    /// What to do instead of running the operator.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// The operator's flags.
    #[command(flatten)]
    pub settings: Settings,
}

/// What people ask for.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Render a template, or those of a manifest, offline
    Render(render::Render),
}

impl Verb {
    /// Does it, and says what the process ends with.
    pub fn run(&self) -> ExitCode {
        match self {
            Self::Render(render) => render::run(render),
        }
    }
}
