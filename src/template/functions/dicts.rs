//! Dicts.

use super::super::bounds::DEEPEST_VALUE;
use super::super::error::Fault;
use super::super::run::Run;
use super::super::signature::{Nilable, Rest};
use super::super::value::{Dict, Entries, Of, Text, Value};
use super::texts::text_of;
use super::{Function, both};

fn dict(run: &mut Run, values: Rest<Value>) -> Result<Dict, Fault> {
    let mut entries = Entries::new();
    for pair in values.0.chunks(2) {
        if let [key, rest @ ..] = pair {
            let key = text_of(run, key)?;
            entries.insert(key, rest.first().cloned().unwrap_or_else(|| Value::text("")));
        }
    }
    run.dict(entries)
}

fn get(dict: Nilable<Dict>, key: Text) -> Value {
    dict.0.and_then(|dict| dict.get(&key)).unwrap_or_else(|| Value::text(""))
}

fn set(run: &mut Run, dict: Nilable<Dict>, key: Text, value: Value) -> Result<Dict, Fault> {
    let Some(dict) = dict.0 else { return Fault::wrong("assignment to entry in nil map") };
    run.budget.spend(64)?;
    dict.set(key, value);
    Ok(dict)
}

fn unset(dict: Nilable<Dict>, key: Text) -> Dict {
    let dict = dict.0.unwrap_or_else(Dict::nil);
    dict.unset(&key);
    dict
}

fn has_key(dict: Nilable<Dict>, key: Text) -> bool {
    dict.0.is_some_and(|dict| dict.get(&key).is_some())
}

fn pluck(key: Text, dicts: Rest<Nilable<Dict>>) -> Vec<Value> {
    dicts.0.into_iter().filter_map(|dict| dict.0?.get(&key)).collect()
}

fn keys(dicts: Rest<Nilable<Dict>>) -> Vec<Text> {
    // The original's order is a new one each time; ours is sorted.
    dicts.0.into_iter().filter_map(|dict| dict.0).flat_map(|dict| dict.entries().into_keys()).collect()
}

fn values(dict: Nilable<Dict>) -> Vec<Value> {
    dict.0.map(|dict| dict.entries().into_values().collect()).unwrap_or_default()
}

fn pick(run: &mut Run, dict: Nilable<Dict>, keys: Rest<Text>) -> Result<Dict, Fault> {
    let picked = keys.0.into_iter().filter_map(|key| dict.0.as_ref()?.get(&key).map(|value| (key, value))).collect();
    run.dict(picked)
}

fn omit(run: &mut Run, dict: Nilable<Dict>, keys: Rest<Text>) -> Result<Dict, Fault> {
    let mut entries = dict.0.map(|dict| dict.entries()).unwrap_or_default();
    run.budget.spend(entries.len().saturating_mul(32))?;
    entries.retain(|key, _| !keys.0.contains(key));
    run.dict(entries)
}

fn merge(run: &mut Run, into: Nilable<Dict>, others: Rest<Nilable<Dict>>) -> Result<Value, Fault> {
    merged(run, into, others, false)
}

fn merge_overwrite(run: &mut Run, into: Nilable<Dict>, others: Rest<Nilable<Dict>>) -> Result<Value, Fault> {
    merged(run, into, others, true)
}

fn merged(run: &mut Run, into: Nilable<Dict>, others: Rest<Nilable<Dict>>, overwrites: bool) -> Result<Value, Fault> {
    let into = match into.0 {
        Some(into) => into,
        None if others.0.is_empty() => return Ok(Value::Dict(Dict::nil())),
        None => run.dict(Entries::new())?,
    };
    for other in others.0.into_iter().filter_map(|other| other.0) {
        merge_into(run, &into, &other, overwrites, DEEPEST_VALUE)?;
    }
    Ok(Value::Dict(into))
}

/// What is there stays unless it is empty, or unless it is to be overwritten; dicts within dicts are merged in place.
fn merge_into(run: &mut Run, into: &Dict, from: &Dict, overwrites: bool, depth: usize) -> Result<(), Fault> {
    if depth == 0 {
        return Err(Fault::TooMuch("dicts nest too deep to be merged"));
    }
    for (key, value) in from.entries() {
        run.budget.spend(16)?;
        let there = into.get(&key);
        if value.is_nil() {
            if overwrites {
                into.set(key, value);
            }
            continue;
        }
        if let (Some(Value::Dict(inner)), Value::Dict(other)) = (&there, &value) {
            if !inner.is_same(other) {
                merge_into(run, inner, other, overwrites, depth - 1)?;
            }
            if inner.len() > 0 {
                continue;
            }
        }
        if overwrites || there.is_none_or(|there| super::types::is_empty(&there)) {
            into.set(key, value);
        }
    }
    Ok(())
}

fn deep_copy(run: &mut Run, value: Value) -> Result<Value, Fault> {
    if value.is_nil() {
        return Fault::wrong("there is nothing to copy");
    }
    copied(run, &value, DEEPEST_VALUE)
}

pub(super) fn copied(run: &mut Run, value: &Value, depth: usize) -> Result<Value, Fault> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Fault::TooMuch("lists or dicts nest too deep to be copied"));
    };
    run.budget.spend(32)?;
    match value {
        Value::List(list) if !list.is_nil => {
            let items: Result<Vec<_>, _> = list.iter().map(|item| copied(run, item, depth)).collect();
            run.list(list.of, items?).map(Value::List)
        }
        Value::Dict(dict) => {
            let mut entries = Entries::new();
            for (key, value) in dict.entries() {
                entries.insert(key, copied(run, &value, depth)?);
            }
            let copy = if dict.of == Of::Text { run.text_dict(entries)? } else { run.dict(entries)? };
            Ok(Value::Dict(copy))
        }
        // What is in a version is private, and not copied by the original.
        Value::Version(_) => Ok(Value::Version(std::rc::Rc::default())),
        other => Ok(other.clone()),
    }
}

fn dig(arguments: Rest<Value>) -> Result<Value, Fault> {
    let [path @ .., otherwise, start] = arguments.0.as_slice() else {
        return Fault::wrong("dig needs at least three arguments");
    };
    if path.is_empty() {
        return Fault::wrong("dig needs at least three arguments");
    }
    let mut place = start.clone();
    for step in path {
        let Value::Text(key) = step else { return Fault::wrong("a step of the path is not a string") };
        let Value::Dict(dict) = &place else { return Fault::wrong(not_a_dict(&place)) };
        if dict.of != Of::Any {
            return Fault::wrong(not_a_dict(&place));
        }
        match dict.get(key) {
            Some(inner) => place = inner,
            None => return Ok(otherwise.clone()),
        }
    }
    Ok(place)
}

fn not_a_dict(value: &Value) -> String {
    format!("not a map[string]interface {{}} but {}", value.type_name())
}

pub(super) fn table() -> Vec<Function> {
    vec![
        both("deepCopy", deep_copy, "A copy that shares nothing."),
        both("dict", dict, "A dict of keys and values, in turn."),
        both("dig", dig, "What lies at a path of keys; the last argument but one if nothing does."),
        both("get", get, "The value of a key; an empty text if there is none."),
        both("hasKey", has_key, "Whether there is such a key."),
        both("keys", keys, "The keys, sorted."),
        both("merge", merge, "Fills the first dict with what the others have and it has not."),
        both("mergeOverwrite", merge_overwrite, "The same, but later dicts win."),
        both("mustDeepCopy", deep_copy, "The same as `deepCopy`."),
        both("mustMerge", merge, "The same as `merge`."),
        both("mustMergeOverwrite", merge_overwrite, "The same as `mergeOverwrite`."),
        both("omit", omit, "Without these keys."),
        both("pick", pick, "Only these keys."),
        both("pluck", pluck, "The values that the dicts have for a key."),
        both("set", set, "Sets a key, in place."),
        both("unset", unset, "Removes a key, in place."),
        both("values", values, "The values, in the order of the keys."),
    ]
}
