//! Pipelines, commands and fields, evaluated.

use std::sync::Arc;

use super::super::bounds::with_stack;
use super::super::error::Error;
use super::super::functions;
use super::super::literal::Number;
use super::super::parse::{Command, Operand, Pipe, Term};
use super::super::signature::Type;
use super::super::value::{Pair, Value};
use super::{Evaluated, Machine};

impl Machine<'_> {
    pub(super) fn pipe(&mut self, dot: &Value, pipe: &Pipe) -> Evaluated {
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
    pub(super) fn constant(&self, term: &Term) -> Evaluated {
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

    pub(super) fn field_node(
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

    pub(super) fn chain(
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

    pub(super) fn variable(
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
}
