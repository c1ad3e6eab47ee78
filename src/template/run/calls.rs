//! Functions and methods called, their arguments checked as Go checks them.

use super::super::bounds::with_stack;
use super::super::error::Error;
use super::super::functions::Function;
use super::super::literal::Number;
use super::super::parse::{Operand, Term};
use super::super::signature::Type;
use super::super::value::Value;
use super::{Evaluated, Machine};

impl Machine<'_> {
    /// Calls a function; `at` is where an error of the function itself is.
    pub(super) fn call(
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

    pub(super) fn call_method(
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

    pub(super) fn argument(&mut self, dot: &Value, declared: Type, operand: &Operand) -> Evaluated {
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
