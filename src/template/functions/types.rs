//! Types, and what stands in for what is empty.

use super::super::bounds::DEEPEST_VALUE;
use super::super::error::Fault;
use super::super::run::Run;
use super::super::signature::Rest;
use super::super::value::{Text, Value};
use super::{Function, both};

/// Whether Sprig takes a value for empty: nil, zero, or of length 0.
pub(super) fn is_empty(value: &Value) -> bool {
    !value.is_true()
}

fn default(otherwise: Value, given: Rest<Value>) -> Value {
    match given.0.into_iter().next() {
        Some(value) if !is_empty(&value) => value,
        _ => otherwise,
    }
}

fn empty(value: Value) -> bool {
    is_empty(&value)
}

fn coalesce(values: Rest<Value>) -> Value {
    values.0.into_iter().find(|value| !is_empty(value)).unwrap_or(Value::Nil)
}

fn all(values: Rest<Value>) -> bool {
    !values.0.iter().any(is_empty)
}

fn any(values: Rest<Value>) -> bool {
    values.0.iter().any(|value| !is_empty(value))
}

fn ternary(yes: Value, no: Value, truth: bool) -> Value {
    if truth { yes } else { no }
}

fn type_of(value: Value) -> String {
    value.type_name()
}

fn type_is(name: Text, value: Value) -> bool {
    *name == *value.type_name().as_bytes()
}

fn type_is_like(name: Text, value: Value) -> bool {
    let type_name = value.type_name();
    *name == *type_name.as_bytes() || type_name.as_bytes().strip_prefix(b"*") == Some(&*name)
}

fn kind_of(value: Value) -> &'static str {
    value.kind()
}

fn kind_is(name: Text, value: Value) -> bool {
    *name == *value.kind().as_bytes()
}

fn deep_equal(run: &mut Run, a: Value, b: Value) -> Result<bool, Fault> {
    run.budget.spend(64)?;
    Ok(a.is_equal(&b, DEEPEST_VALUE))
}

pub(super) fn table() -> Vec<Function> {
    vec![
        both("all", all, "Whether none of the arguments is empty."),
        both("any", any, "Whether one of the arguments is not empty."),
        both("coalesce", coalesce, "The first argument that is not empty."),
        both("deepEqual", deep_equal, "Whether two values are equal in type and content."),
        both("default", default, "The second argument, or the first if that is empty."),
        both("empty", empty, "Whether it is nil, zero, false or of length 0."),
        both("kindIs", kind_is, "Whether it is of that kind."),
        both("kindOf", kind_of, "Its kind: `string`, `int`, `slice`, `map` …"),
        both("ternary", ternary, "The first if the third is true, the second otherwise."),
        both("typeIs", type_is, "Whether it is of that type."),
        both("typeIsLike", type_is_like, "Whether it is of that type or a pointer to it."),
        both("typeOf", type_of, "Its type: `string`, `[]interface {}` …"),
    ]
}
