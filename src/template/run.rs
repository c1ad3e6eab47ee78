//! Walks a template and writes what it says. The errors are at the places where Go has them.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use regex::bytes::Regex;
use seal::SecretBytes;
use zeroize::Zeroizing;

use super::bounds::{Budget, DEEPEST_CALLS, LONGEST_OUTPUT, with_stack};
use super::error::{Error, Fault, Phase};
use super::functions::{self, Function};
use super::literal::Number;
use super::parse::{Branch, Command, List as Nodes, Node, Operand, Parsed, Pipe, Term};
use super::print;
use super::signature::Type;
use super::value::{Dict, Entries, List, Of, Pair, Text, Value};
use super::{Chance, Dialect};

/// What functions have at hand while a template runs.
pub(super) struct Run {
    pub(super) budget: Budget,
    pub(super) chance: Chance,
    /// Regular expressions that this template has used.
    pub(super) expressions: BTreeMap<Text, Result<Rc<Regex>, super::functions::expressions::Refused>>,
    /// All dicts that were made, to take them apart in the end: they may contain each other.
    dicts: Vec<Dict>,
}

impl Run {
    fn new(chance: Chance) -> Self {
        Self { budget: Budget::new(), chance, expressions: BTreeMap::new(), dicts: Vec::new() }
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
    let mut run = Run::new(chance);
    let root = variables.iter().map(|(key, value)| (key.as_str().into(), Value::text(value.expose()))).collect();
    let root = Dict::new(Of::Text, root);
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
            Some(otherwise) if !any => self.list(dot, otherwise),
            _ => Ok(Flow::On),
        };
        self.variables.truncate(mark);
        flow
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

    fn pipe(&mut self, dot: &Value, pipe: &Pipe) -> Evaluated {
        self.at = pipe.at;
        let mut value = None;
        for command in &pipe.commands {
            let result = self.command(dot, command, value)?;
            // What is in an interface is taken out of it: a nil interface is no value.
            value = Some(if matches!(result, Value::Nil) { Value::Absent } else { result });
        }
        let value = value.unwrap_or(Value::Absent);
        for name in &pipe.variables {
            if pipe.assigns {
                self.assign(name, value.clone())?;
            } else {
                self.variables.push((name.clone(), value.clone()));
            }
        }
        Ok(value)
    }

    /// `last` is what the command before gave: the last argument of this one.
    fn command(&mut self, dot: &Value, command: &Command, last: Option<Value>) -> Evaluated {
        self.spend(1)?;
        let (first, rest) = (&command.first, command.rest.as_slice());
        match &first.term {
            Term::Field(names) => self.field_node(dot, first.at, names, rest, last),
            Term::Chain(inner, names) => self.chain(dot, first.at, inner, names, rest, last),
            Term::Function(function) => {
                self.at = first.at;
                self.call(dot, function, command.at, rest, last)
            }
            Term::Pipe(pipe) => {
                self.not_a_function(rest, last.as_ref())?;
                with_stack(|| self.pipe(dot, pipe))
            }
            Term::Variable(name, names) => self.variable(dot, first.at, name, names, rest, last),
            _ => {
                self.at = first.at;
                self.not_a_function(rest, last.as_ref())?;
                match &first.term {
                    Term::Dot => Ok(dot.clone()),
                    Term::Nil => Err(self.error("nil is not a command")),
                    term => self.constant(term),
                }
            }
        }
    }

    fn not_a_function(&self, rest: &[Operand], last: Option<&Value>) -> Result<(), Box<Error>> {
        if rest.is_empty() && last.is_none() { Ok(()) } else { Err(self.error("can't give argument to non-function")) }
    }

    /// A constant where nothing asks for a type.
    fn constant(&self, term: &Term) -> Evaluated {
        match term {
            Term::Bool(truth) => Ok(Value::Bool(*truth)),
            Term::Text(text) => Ok(Value::Text(text.clone())),
            Term::Number(number) => match number {
                Number { complex: Some((real, imaginary)), .. } => Ok(Value::Complex(*real, *imaginary)),
                Number { looks_like_float: true, float: Some(float), .. } => Ok(Value::Float(*float)),
                Number { integer: Some(integer), .. } => Ok(Value::Int(*integer)),
                Number { unsigned: Some(_), .. } => Err(self.error("the number overflows int")),
                _ => Ok(Value::Absent),
            },
            _ => Err(self.error("can't evaluate this as a command")),
        }
    }

    fn field_node(
        &mut self,
        dot: &Value,
        at: usize,
        names: &[Arc<str>],
        rest: &[Operand],
        last: Option<Value>,
    ) -> Evaluated {
        self.at = at;
        self.fields(dot, dot.clone(), at, names, rest, last)
    }

    fn chain(
        &mut self,
        dot: &Value,
        at: usize,
        inner: &Operand,
        names: &[Arc<str>],
        rest: &[Operand],
        last: Option<Value>,
    ) -> Evaluated {
        self.at = at;
        if matches!(inner.term, Term::Nil) {
            return Err(self.error("indirection through explicit nil"));
        }
        let receiver = self.argument(dot, Type::Any, inner)?;
        self.fields(dot, receiver, at, names, rest, last)
    }

    fn variable(
        &mut self,
        dot: &Value,
        at: usize,
        name: &str,
        names: &[Arc<str>],
        rest: &[Operand],
        last: Option<Value>,
    ) -> Evaluated {
        self.at = at;
        let value = self.variables.iter().rev().find(|(known, _)| **known == *name).map(|(_, value)| value.clone());
        let Some(value) = value else { return Err(self.error(format!("undefined variable: {name}"))) };
        if names.is_empty() {
            self.not_a_function(rest, last.as_ref())?;
            return Ok(value);
        }
        self.fields(dot, value, at, names, rest, last)
    }

    /// `.a.b.c` from a receiver on; the last may be a method, and gets the arguments.
    fn fields(
        &mut self,
        dot: &Value,
        mut receiver: Value,
        at: usize,
        names: &[Arc<str>],
        rest: &[Operand],
        last: Option<Value>,
    ) -> Evaluated {
        let Some((final_name, inner)) = names.split_last() else { return Ok(receiver) };
        for name in inner {
            receiver = self.field(dot, &receiver, at, name, &[], None)?;
        }
        self.field(dot, &receiver, at, final_name, rest, last)
    }

    fn field(
        &mut self,
        dot: &Value,
        receiver: &Value,
        at: usize,
        name: &str,
        rest: &[Operand],
        last: Option<Value>,
    ) -> Evaluated {
        match receiver {
            Value::Absent if self.strict => return Err(self.error(format!("nil data; no entry for key {name:?}"))),
            Value::Absent => return Ok(Value::Absent),
            Value::Nil => return Err(self.error(format!("nil pointer evaluating interface {{}}.{name}"))),
            _ => {}
        }
        if let Some(method) = functions::method(receiver, name) {
            return self.call_method(dot, method, receiver.clone(), at, rest, last);
        }
        let has_arguments = !rest.is_empty() || last.is_some();
        match receiver {
            Value::Pair(pair) => {
                let Pair { certificate, key } = &**pair;
                let text = match name {
                    "Cert" => certificate,
                    "Key" => key,
                    _ => {
                        return Err(self.error(format!("can't evaluate field {name} in type {}", receiver.type_name())));
                    }
                };
                if has_arguments {
                    return Err(self.error(format!("{name} has arguments but cannot be invoked as function")));
                }
                Ok(Value::Text(text.clone()))
            }
            Value::Dict(dict) => {
                if has_arguments {
                    return Err(self.error(format!("{name} is not a method but has arguments")));
                }
                match dict.get(name.as_bytes()) {
                    Some(value) => Ok(value),
                    None if self.strict => Err(self.error(format!("map has no entry for key {name:?}"))),
                    None => Ok(Value::Absent),
                }
            }
            _ => Err(self.error(format!("can't evaluate field {name} in type {}", receiver.type_name()))),
        }
    }

    /// Calls a function; `at` is where an error of the function itself is.
    fn call(
        &mut self,
        dot: &Value,
        function: &'static Function,
        at: usize,
        rest: &[Operand],
        last: Option<Value>,
    ) -> Evaluated {
        let types = function.parameters();
        self.check_count(function, types.len(), rest.len(), last.is_some())?;
        if let Some(ends_on) = function.ends_on() {
            return self.short_circuit(dot, ends_on, rest, last);
        }
        let arguments = self.arguments(dot, function, types, rest, last)?;
        self.finish(function, at, arguments)
    }

    fn call_method(
        &mut self,
        dot: &Value,
        method: &'static Function,
        receiver: Value,
        at: usize,
        rest: &[Operand],
        last: Option<Value>,
    ) -> Evaluated {
        let types = method.parameters().get(1..).unwrap_or_default();
        self.check_count(method, types.len(), rest.len(), last.is_some())?;
        let mut arguments = vec![receiver];
        arguments.extend(self.arguments(dot, method, types, rest, last)?);
        self.finish(method, at, arguments)
    }

    fn finish(&mut self, function: &'static Function, at: usize, arguments: Vec<Value>) -> Evaluated {
        self.run.budget.spend(1).map_err(|fault| self.told(None, fault))?;
        let result = function.call(&mut self.run, arguments).and_then(|value| {
            // What a function makes costs as much as it is long.
            let length = match &value {
                Value::Text(text) => text.len(),
                Value::List(list) => 32 * list.len(),
                _ => 0,
            };
            self.run.budget.spend(length).map(|()| value)
        });
        result.map_err(|fault| {
            self.at = at;
            self.told(Some(function.name), fault)
        })
    }

    fn check_count(
        &self,
        function: &'static Function,
        declared: usize,
        given: usize,
        has_last: bool,
    ) -> Result<(), Box<Error>> {
        let given = given + usize::from(has_last);
        let fits = if function.has_rest() { given + 1 >= declared } else { given == declared };
        if fits {
            return Ok(());
        }
        let want = if function.has_rest() { format!("at least {}", declared - 1) } else { declared.to_string() };
        Err(self.told(Some(function.name), format!("wrong number of args: want {want} got {given}").into()))
    }

    fn arguments(
        &mut self,
        dot: &Value,
        function: &'static Function,
        types: &[Type],
        rest: &[Operand],
        last: Option<Value>,
    ) -> Result<Vec<Value>, Box<Error>> {
        let type_at = |index: usize| types.get(index).or(types.last()).copied().unwrap_or(Type::Any);
        let mut arguments = Vec::with_capacity(rest.len() + 1);
        for (index, operand) in rest.iter().enumerate() {
            arguments.push(self.argument(dot, type_at(index), operand)?);
        }
        if let Some(last) = last {
            let declared = if function.has_rest() { type_at(rest.len()) } else { type_at(usize::MAX) };
            arguments.push(self.checked(last, declared)?);
        }
        Ok(arguments)
    }

    /// `and` and `or` look at no more arguments than they need.
    fn short_circuit(&mut self, dot: &Value, ends_on: bool, rest: &[Operand], last: Option<Value>) -> Evaluated {
        let mut value = Value::Absent;
        for operand in rest {
            value = self.argument(dot, Type::Raw, operand)?;
            if value.is_true() == ends_on {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    fn argument(&mut self, dot: &Value, declared: Type, operand: &Operand) -> Evaluated {
        self.at = operand.at;
        let value = match &operand.term {
            Term::Dot => dot.clone(),
            Term::Nil if declared.takes_nil() => return Ok(Value::Nil),
            Term::Nil => return Err(self.error(format!("cannot assign nil to {}", declared.name()))),
            Term::Field(names) => self.field_node(dot, operand.at, names, &[], None)?,
            Term::Variable(name, names) => self.variable(dot, operand.at, name, names, &[], None)?,
            Term::Pipe(pipe) => with_stack(|| self.pipe(dot, pipe))?,
            Term::Function(function) => {
                self.at = operand.at;
                self.call(dot, function, operand.at, &[], None)?
            }
            Term::Chain(inner, names) => self.chain(dot, operand.at, inner, names, &[], None)?,
            constant => return self.typed_constant(declared, constant),
        };
        self.checked(value, declared)
    }

    /// A constant where a type is asked for.
    fn typed_constant(&self, declared: Type, term: &Term) -> Evaluated {
        match (declared, term) {
            (Type::Any | Type::Raw, term) => self.constant(term),
            (Type::Bool, Term::Bool(truth)) => Ok(Value::Bool(*truth)),
            (Type::Text | Type::HashAlgorithm, Term::Text(text)) => Ok(Value::Text(text.clone())),
            (Type::Int, Term::Number(Number { integer: Some(number), .. })) => Ok(Value::Int(*number)),
            (Type::Int64, Term::Number(Number { integer: Some(number), .. })) => Ok(Value::Int64(*number)),
            (Type::Duration, Term::Number(Number { integer: Some(number), .. })) => Ok(Value::Duration(*number)),
            (Type::Uint32, Term::Number(Number { unsigned: Some(number), .. })) => Ok(Value::Uint64(*number)),
            (Type::Float, Term::Number(Number { float: Some(number), .. })) => Ok(Value::Float(*number)),
            _ => Err(self.error(format!("expected {}", declared.name()))),
        }
    }

    fn checked(&self, value: Value, declared: Type) -> Evaluated {
        if matches!(value, Value::Absent) {
            return if declared.takes_nil() {
                Ok(value)
            } else {
                Err(self.error(format!("invalid value; expected {}", declared.name())))
            };
        }
        if declared.takes(&value) {
            return Ok(value);
        }
        Err(self.error(format!("wrong type for value; expected {}; got {}", declared.name(), value.type_name())))
    }
}
