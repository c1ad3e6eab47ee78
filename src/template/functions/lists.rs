//! Lists.

use super::super::bounds::DEEPEST_VALUE;
use super::super::error::Fault;
use super::super::run::Run;
use super::super::signature::Rest;
use super::super::value::{List, Of, Value};
use super::numbers::integer_of;
use super::{Function, both};

/// The list that a value is.
fn list_of(value: &Value) -> Result<&List, Fault> {
    match value {
        Value::List(list) => Ok(list),
        other => Fault::wrong(format!("not a list but of kind {}", other.kind())),
    }
}

fn list(values: Rest<Value>) -> Vec<Value> {
    values.0
}

fn push(list: Value, value: Value) -> Result<Vec<Value>, Fault> {
    Ok([list_of(&list)?, &[value][..]].concat())
}

fn prepend(list: Value, value: Value) -> Result<Vec<Value>, Fault> {
    Ok([&[value][..], list_of(&list)?].concat())
}

fn chunk(run: &mut Run, size: i64, list: Value) -> Result<Value, Fault> {
    const OUT_OF_RANGE: &str = "makeslice: len out of range";
    let list = list_of(&list)?;
    let size = match usize::try_from(size) {
        Ok(0) => return Fault::wrong(OUT_OF_RANGE),
        Ok(size) => size,
        // What the original's arithmetic makes of a negative size.
        Err(_) => match (list.len(), usize::try_from(size.unsigned_abs()).unwrap_or(usize::MAX)) {
            (0, _) => return Fault::wrong(OUT_OF_RANGE),
            (1, _) => 1,
            (length, size) if length - 1 <= size => return run.list(Of::List, Vec::new()).map(Value::List),
            _ => return Fault::wrong(OUT_OF_RANGE),
        },
    };
    let chunks: Result<Vec<_>, _> =
        list.chunks(size).map(|chunk| run.list(Of::Any, chunk.to_vec()).map(Value::List)).collect();
    run.list(Of::List, chunks?).map(Value::List)
}

fn first(list: Value) -> Result<Value, Fault> {
    Ok(list_of(&list)?.first().cloned().unwrap_or(Value::Nil))
}

fn last(list: Value) -> Result<Value, Fault> {
    Ok(list_of(&list)?.last().cloned().unwrap_or(Value::Nil))
}

fn rest(run: &mut Run, list: Value) -> Result<List, Fault> {
    match list_of(&list)?.split_first() {
        Some((_, rest)) => run.list(Of::Any, rest.to_vec()),
        None => Ok(List::nil(Of::Any)),
    }
}

fn initial(run: &mut Run, list: Value) -> Result<List, Fault> {
    match list_of(&list)?.split_last() {
        Some((_, initial)) => run.list(Of::Any, initial.to_vec()),
        None => Ok(List::nil(Of::Any)),
    }
}

fn reverse(list: Value) -> Result<Vec<Value>, Fault> {
    Ok(list_of(&list)?.iter().rev().cloned().collect())
}

fn compact(list: Value) -> Result<Vec<Value>, Fault> {
    Ok(list_of(&list)?.iter().filter(|value| !super::types::is_empty(value)).cloned().collect())
}

/// Whether a list has a value: deeply equal, and of the same type.
fn holds(run: &mut Run, list: &[Value], wanted: &Value) -> Result<bool, Fault> {
    run.budget.spend(list.len())?;
    Ok(list.iter().any(|value| value.is_equal(wanted, DEEPEST_VALUE)))
}

fn uniq(run: &mut Run, list: Value) -> Result<Vec<Value>, Fault> {
    let mut kept = Vec::new();
    for value in list_of(&list)?.iter() {
        if !holds(run, &kept, value)? {
            kept.push(value.clone());
        }
    }
    Ok(kept)
}

fn without(run: &mut Run, list: Value, omitted: Rest<Value>) -> Result<Vec<Value>, Fault> {
    let mut kept = Vec::new();
    for value in list_of(&list)?.iter() {
        if !holds(run, &omitted.0, value)? {
            kept.push(value.clone());
        }
    }
    Ok(kept)
}

fn has(run: &mut Run, wanted: Value, list: Value) -> Result<bool, Fault> {
    if list.is_nil() {
        return Ok(false);
    }
    holds(run, list_of(&list)?, &wanted)
}

fn slice(run: &mut Run, list: Value, bounds: Rest<Value>) -> Result<Value, Fault> {
    let list = list_of(&list)?;
    if list.is_empty() {
        return Ok(Value::Nil);
    }
    let bound = |index: usize, otherwise: usize| match bounds.0.get(index) {
        Some(value) => usize::try_from(integer_of(run, value)).unwrap_or(usize::MAX),
        None => otherwise,
    };
    let (start, end) = (bound(0, 0), bound(1, list.len()));
    match list.get(start..end) {
        Some(part) => run.list(list.of, part.to_vec()).map(Value::List),
        None => Fault::wrong("slice index out of bounds"),
    }
}

fn concat(run: &mut Run, lists: Rest<Value>) -> Result<List, Fault> {
    let mut all = Vec::new();
    for list in &lists.0 {
        all.extend_from_slice(list_of(list)?);
        run.budget.spend(all.len())?;
    }
    if all.is_empty() { Ok(List::nil(Of::Any)) } else { run.list(Of::Any, all) }
}

pub(super) fn table() -> Vec<Function> {
    vec![
        both("append", push, "The list with a value at its end."),
        both("chunk", chunk, "Lists of that size."),
        both("compact", compact, "Without what is empty."),
        both("concat", concat, "All elements of the lists."),
        both("first", first, "The first element; nil if there is none."),
        both("has", has, "Whether the list has the value."),
        both("initial", initial, "All but the last."),
        both("last", last, "The last element; nil if there is none."),
        both("list", list, "A list of the arguments."),
        both("mustAppend", push, "The same as `append`."),
        both("mustChunk", chunk, "The same as `chunk`."),
        both("mustCompact", compact, "The same as `compact`."),
        both("mustFirst", first, "The same as `first`."),
        both("mustHas", has, "The same as `has`."),
        both("mustInitial", initial, "The same as `initial`."),
        both("mustLast", last, "The same as `last`."),
        both("mustPrepend", prepend, "The same as `prepend`."),
        both("mustPush", push, "The same as `append`."),
        both("mustRest", rest, "The same as `rest`."),
        both("mustReverse", reverse, "The same as `reverse`."),
        both("mustSlice", slice, "The same as `slice`."),
        both("mustUniq", uniq, "The same as `uniq`."),
        both("mustWithout", without, "The same as `without`."),
        both("prepend", prepend, "The list with a value in front."),
        both("push", push, "The same as `append`."),
        both("rest", rest, "All but the first."),
        both("reverse", reverse, "From the end to the beginning."),
        both("slice", slice, "The elements from an index to before another. Not for texts: it replaces Go's own."),
        both("tuple", list, "The same as `list`."),
        both("uniq", uniq, "Each value once."),
        both("without", without, "Without the values that follow."),
    ]
}
