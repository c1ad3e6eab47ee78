//! YAML 1.1 as Kubernetes' library reads and writes it: by way of JSON.

mod read;
mod scalars;
mod write;

use super::super::error::Fault;
use super::super::run::Run;
use super::super::value::{Entries, Text, Value};
use super::{Function, external};

fn to_yaml(run: &mut Run, value: Value) -> Result<String, Fault> {
    match write::written(run, &value) {
        // What cannot be written is an empty text, unless a bound was reached.
        Err(Fault::Wrong(_)) => Ok(String::new()),
        other => other,
    }
}

fn from_yaml(run: &mut Run, text: Text) -> Result<Value, Fault> {
    let problem = match read::read(run, &text) {
        Ok(dict @ Value::Dict(_)) => return Ok(dict),
        Ok(Value::Nil | Value::Absent) => return run.dict(Entries::new()).map(Value::Dict),
        Ok(other) => {
            let kind = match other {
                Value::List(_) => "array",
                Value::Text(_) => "string",
                Value::Bool(_) => "bool",
                _ => "number",
            };
            format!(
                "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
            )
        }
        Err(Fault::Wrong(problem)) => format!("error converting YAML to JSON: {problem}"),
        Err(fault) => return Err(fault),
    };
    // The error is an entry of the result, as in the original.
    run.dict(Entries::from([("Error".into(), Value::text(problem))])).map(Value::Dict)
}

pub(super) fn table() -> Vec<Function> {
    vec![
        external(
            "fromYaml",
            from_yaml,
            "The dict behind YAML; if it is none, a dict with what is wrong under `Error`.",
        ),
        external("toYaml", to_yaml, "As YAML, without the last new line; an empty text if the value has none."),
    ]
}
