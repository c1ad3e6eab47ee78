//! What a template is read into.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::functions::Function;
use super::super::literal::Number;
use super::super::value::Text;

/// A template and those that it defines.
#[derive(Debug)]
pub(in super::super) struct Parsed {
    /// What is rendered.
    pub(in super::super) root: Arc<List>,
    /// By name.
    pub(in super::super) defined: BTreeMap<Text, Arc<List>>,
    /// Where each line begins, to tell a column.
    pub(in super::super) lines: Vec<usize>,
}

/// Nodes one after the other.
pub(in super::super) type List = Vec<Node>;

/// One piece of a template. `at` is where an error in it is, in bytes.
#[derive(Debug)]
pub(in super::super) enum Node {
    Text(Text),
    Action { at: usize, pipe: Pipe },
    If(Branch),
    With(Branch),
    Range(Branch),
    Template { at: usize, name: Text, pipe: Option<Pipe> },
    Break,
    Continue,
}

/// What `if`, `with` and `range` have in common.
#[derive(Debug)]
pub(in super::super) struct Branch {
    pub(in super::super) pipe: Pipe,
    pub(in super::super) list: List,
    pub(in super::super) otherwise: Option<List>,
}

/// Commands, each fed into the next, and the variables that get the result.
#[derive(Debug)]
pub(in super::super) struct Pipe {
    pub(in super::super) at: usize,
    /// `=` rather than `:=`.
    pub(in super::super) assigns: bool,
    pub(in super::super) variables: Vec<Arc<str>>,
    pub(in super::super) commands: Vec<Command>,
}

/// Operands: a function and its arguments, or one value.
#[derive(Debug)]
pub(in super::super) struct Command {
    pub(in super::super) at: usize,
    pub(in super::super) first: Operand,
    pub(in super::super) rest: Vec<Operand>,
}

/// One operand.
#[derive(Debug)]
pub(in super::super) struct Operand {
    pub(in super::super) at: usize,
    pub(in super::super) term: Term,
}

/// What an operand is.
#[derive(Debug)]
pub(in super::super) enum Term {
    Dot,
    Nil,
    Bool(bool),
    Number(Number),
    Text(Text),
    Function(&'static Function),
    /// `.a.b`.
    Field(Vec<Arc<str>>),
    /// `$a`, and the fields behind it.
    Variable(Arc<str>, Vec<Arc<str>>),
    /// `(…)`.
    Pipe(Box<Pipe>),
    /// `(…).a.b`.
    Chain(Box<Operand>, Vec<Arc<str>>),
}
