//! Walks a template and writes what it says. The errors are at the places where Go has them.

mod calls;
mod evaluate;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use regex::Regex;
use seal::SecretBytes;
use zeroize::Zeroizing;

use super::bounds::{Budget, DEEPEST_CALLS, LONGEST_OUTPUT, with_stack};
use super::error::{Error, Fault, Phase};
use super::parse::{Branch, List as Nodes, Node, Parsed, Pipe};
use super::print;
use super::value::{Dict, Entries, List, Of, Text, Value};
use super::{Chance, Dialect};

/// What functions have at hand while a template runs.
pub(super) struct Run {
    pub(super) dialect: Dialect,
    pub(super) budget: Budget,
    pub(super) chance: Chance,
    /// Regular expressions that this template has used.
    pub(super) expressions: BTreeMap<Text, Result<Rc<Regex>, super::functions::expressions::Refused>>,
    /// All dicts that were made, to take them apart in the end: they may contain each other.
    dicts: Vec<Dict>,
}

impl Run {
    fn new(dialect: Dialect, chance: Chance) -> Self {
        Self { dialect, budget: Budget::new(), chance, expressions: BTreeMap::new(), dicts: Vec::new() }
    }

    /// A new dict.
    pub(super) fn dict(&mut self, entries: Entries) -> Result<Dict, Fault> {
        self.budget.spend(64 + 64 * entries.len())?;
        let dict = Dict::new(Of::Any, entries);
        self.dicts.push(dict.clone());
        Ok(dict)
    }

    /// A new dict of texts.
    pub(super) fn text_dict(&mut self, entries: Entries) -> Result<Dict, Fault> {
        self.budget.spend(64 + 64 * entries.len())?;
        let dict = Dict::new(Of::Text, entries);
        self.dicts.push(dict.clone());
        Ok(dict)
    }

    /// A new list.
    pub(super) fn list(&mut self, of: Of, items: Vec<Value>) -> Result<List, Fault> {
        self.budget.spend(32 + 32 * items.len())?;
        List::new(of, items).ok_or(Fault::TooMuch("lists nest too deep"))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // One after the other: none is dropped from within another, however they are nested.
        for dict in &self.dicts {
            for (_, value) in dict.take() {
                drop(value);
            }
        }
    }
}

/// Renders a template over its variables.
pub(super) fn render(
    parsed: &Parsed,
    dialect: Dialect,
    variables: &BTreeMap<String, SecretBytes>,
    chance: Chance,
) -> Result<SecretBytes, Error> {
    render_over(parsed, dialect, Run::new(dialect, chance), texts(variables))
}

/// The same over groups of variables.
pub(super) fn render_groups(
    parsed: &Parsed,
    dialect: Dialect,
    groups: &BTreeMap<String, BTreeMap<String, SecretBytes>>,
    chance: Chance,
) -> Result<SecretBytes, Error> {
    let mut run = Run::new(dialect, chance);
    let root = groups.iter().map(|(name, variables)| {
        let group = texts(variables);
        run.dicts.push(group.clone());
        (name.as_str().into(), Value::Dict(group))
    });
    let root = Dict::new(Of::Any, root.collect());
    render_over(parsed, dialect, run, root)
}

fn texts(variables: &BTreeMap<String, SecretBytes>) -> Dict {
    Dict::new(
        Of::Text,
        variables.iter().map(|(key, value)| (key.as_str().into(), Value::text(value.expose()))).collect(),
    )
}

fn render_over(parsed: &Parsed, dialect: Dialect, mut run: Run, root: Dict) -> Result<SecretBytes, Error> {
    run.dicts.push(root.clone());
    let root = Value::Dict(root);
    let mut machine = Machine {
        parsed,
        strict: dialect == Dialect::ExternalSecrets,
        run,
        out: Zeroizing::new(Vec::new()),
        variables: vec![(Arc::from("$"), root.clone())],
        at: 0,
        calls: 0,
    };
    match machine.list(&root, &parsed.root) {
        // `break` and `continue` end at their range; the parser sees to it.
        Ok(_) => Ok(SecretBytes::from(std::mem::take(&mut *machine.out))),
        Err(error) => Err(*error),
    }
}

/// What walking a node led to.
enum Flow {
    On,
    Break,
    Continue,
}

type Walked = Result<Flow, Box<Error>>;

type Evaluated = Result<Value, Box<Error>>;

struct Machine<'p> {
    parsed: &'p Parsed,
    /// Whether a missing key is an error.
    strict: bool,
    run: Run,
    out: Zeroizing<Vec<u8>>,
    variables: Vec<(Arc<str>, Value)>,
    /// Where an error would be, in bytes of the text.
    at: usize,
    calls: usize,
}

impl Machine<'_> {
    fn error(&self, problem: impl Into<std::borrow::Cow<'static, str>>) -> Box<Error> {
        self.told(None, Fault::Wrong(problem.into()))
    }

    fn told(&self, function: Option<&'static str>, fault: Fault) -> Box<Error> {
        let line = self.parsed.lines.partition_point(|begin| *begin <= self.at);
        let begin = self.parsed.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let (problem, too_much) = match fault {
            Fault::Wrong(problem) => (problem, false),
            Fault::TooMuch(problem) => (problem.into(), true),
        };
        let column = Some(self.at - begin);
        Box::new(Error { phase: Phase::Exec, line, column, function, problem, too_much })
    }

    fn spend(&mut self, steps: usize) -> Result<(), Box<Error>> {
        let spent = self.run.budget.spend(steps);
        spent.map_err(|fault| self.told(None, fault))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Box<Error>> {
        self.spend(bytes.len())?;
        if self.out.len() + bytes.len() > LONGEST_OUTPUT {
            return Err(self.told(None, Fault::TooMuch("the result is longer than 2 MiB")));
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn list(&mut self, dot: &Value, nodes: &Nodes) -> Walked {
        for node in nodes {
            match self.node(dot, node)? {
                Flow::On => {}
                leave => return Ok(leave),
            }
        }
        Ok(Flow::On)
    }

    fn node(&mut self, dot: &Value, node: &Node) -> Walked {
        self.spend(1)?;
        match node {
            Node::Text(text) => self.write(text)?,
            Node::Action { at, pipe } => {
                self.at = *at;
                let value = self.pipe(dot, pipe)?;
                if pipe.variables.is_empty() {
                    self.at = *at;
                    self.print(&value)?;
                }
            }
            Node::If(branch) => return self.conditional(dot, branch, false),
            Node::With(branch) => return self.conditional(dot, branch, true),
            Node::Range(branch) => return with_stack(|| self.range(dot, branch)),
            Node::Template { at, name, pipe } => with_stack(|| self.call_template(dot, *at, name, pipe.as_ref()))?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn print(&mut self, value: &Value) -> Result<(), Box<Error>> {
        match value {
            Value::Absent => self.write(b"<no value>"),
            Value::Text(text) => self.write(text),
            value => {
                let printed = print::sprint(&mut self.run.budget, std::slice::from_ref(value));
                let printed = printed.map_err(|fault| self.told(None, fault))?;
                self.write(&printed)
            }
        }
    }

    fn conditional(&mut self, dot: &Value, branch: &Branch, sets_dot: bool) -> Walked {
        let mark = self.variables.len();
        self.at = branch.pipe.at;
        let value = self.pipe(dot, &branch.pipe)?;
        let flow = if value.is_true() {
            let dot = if sets_dot { &value } else { dot };
            with_stack(|| self.list(dot, &branch.list))
        } else if let Some(otherwise) = &branch.otherwise {
            with_stack(|| self.list(dot, otherwise))
        } else {
            Ok(Flow::On)
        };
        self.variables.truncate(mark);
        flow
    }

    fn range(&mut self, dot: &Value, branch: &Branch) -> Walked {
        let mark = self.variables.len();
        self.at = branch.pipe.at;
        let value = self.pipe(dot, &branch.pipe)?;
        let over: Box<dyn Iterator<Item = (Value, Value)>> = match value {
            Value::Absent | Value::Nil => Box::new(std::iter::empty()),
            Value::List(list) => Box::new((0..list.len()).map(move |index| {
                let number = i64::try_from(index).unwrap_or(i64::MAX);
                (Value::Int(number), list[index].clone())
            })),
            Value::Dict(dict) => Box::new(dict.entries().into_iter().map(|(key, value)| (Value::Text(key), value))),
            Value::Int(_)
            | Value::Int64(_)
            | Value::Uint8(_)
            | Value::Uint64(_)
            | Value::Duration(_)
            | Value::Month(_)
            | Value::Weekday(_)
                if branch.pipe.variables.len() > 1 =>
            {
                return Err(self.error("a number can't be iterated over with more than one variable"));
            }
            Value::Int(end) => Box::new((0..end).map(|number| (Value::Absent, Value::Int(number)))),
            Value::Int64(end) => Box::new((0..end).map(|number| (Value::Absent, Value::Int64(number)))),
            Value::Duration(end) => Box::new((0..end).map(|number| (Value::Absent, Value::Duration(number)))),
            Value::Month(end) => Box::new((0..end).map(|number| (Value::Absent, Value::Month(number)))),
            Value::Weekday(end) => Box::new((0..end).map(|number| (Value::Absent, Value::Weekday(number)))),
            Value::Uint8(end) => Box::new((0..end).map(|number| (Value::Absent, Value::Uint8(number)))),
            Value::Uint64(end) => Box::new((0..end).map(|number| (Value::Absent, Value::Uint64(number)))),
            other => return Err(self.error(format!("range can't iterate over a value of type {}", other.type_name()))),
        };
        let inner = self.variables.len();
        let mut any = false;
        for (index, element) in over {
            any = true;
            self.spend(1)?;
            self.set_range_variables(&branch.pipe, index, &element)?;
            let flow = self.list(&element, &branch.list);
            self.variables.truncate(inner);
            if matches!(flow?, Flow::Break) {
                break;
            }
        }
        let flow = match &branch.otherwise {
            // `break` leaves this range, `continue` goes on with the one around it.
            Some(otherwise) if !any => match self.list(dot, otherwise)? {
                Flow::Break => Flow::On,
                flow => flow,
            },
            _ => Flow::On,
        };
        self.variables.truncate(mark);
        Ok(flow)
    }

    fn set_range_variables(&mut self, pipe: &Pipe, index: Value, element: &Value) -> Result<(), Box<Error>> {
        let variables = &pipe.variables;
        if pipe.assigns {
            match variables.as_slice() {
                [] => {}
                [only] => self.assign(only, element.clone())?,
                [first, second, ..] => {
                    self.assign(first, index)?;
                    self.assign(second, element.clone())?;
                }
            }
            return Ok(());
        }
        // The pipe has pushed them, with its value.
        let top = self.variables.len();
        if !variables.is_empty() {
            self.variables[top - 1].1 = element.clone();
        }
        if variables.len() > 1 {
            self.variables[top - 2].1 = index;
        }
        Ok(())
    }

    fn call_template(&mut self, dot: &Value, at: usize, name: &Text, pipe: Option<&Pipe>) -> Result<(), Box<Error>> {
        self.at = at;
        let Some(template) = self.parsed.defined.get(name).cloned() else {
            return Err(self.error("the template is not defined"));
        };
        if self.calls >= DEEPEST_CALLS {
            return Err(self.told(None, Fault::TooMuch("templates call each other too deep")));
        }
        let dot = match pipe {
            Some(pipe) => self.pipe(dot, pipe)?,
            None => Value::Absent,
        };
        let outer = std::mem::replace(&mut self.variables, vec![(Arc::from("$"), dot.clone())]);
        self.calls += 1;
        let flow = self.list(&dot, &template);
        self.calls -= 1;
        self.variables = outer;
        flow.map(|_| ())
    }

    fn assign(&mut self, name: &str, value: Value) -> Result<(), Box<Error>> {
        match self.variables.iter_mut().rev().find(|(known, _)| **known == *name) {
            Some((_, place)) => {
                *place = value;
                Ok(())
            }
            None => Err(self.error(format!("undefined variable: {name}"))),
        }
    }
}
