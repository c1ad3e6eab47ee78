//! Whether a value has the shape that a JSON schema tells. Only what our schemas use is known; anything else fails, and
//! so does a field that the schema does not name.

use serde_json::Value;

/// Where and why the value is of another shape.
pub(crate) fn mismatch(schema: &Value, value: &Value) -> Option<String> {
    at("$", schema, value).err()
}

fn at(place: &str, schema: &Value, value: &Value) -> Result<(), String> {
    let is_null = value.is_null();
    for (keyword, rule) in schema.as_object().ok_or_else(|| format!("{place}: no schema"))? {
        let fits = match keyword.as_str() {
            "$schema" | "title" | "description" | "format" | "x-kubernetes-validations" | "nullable" => true,
            "type" if is_null && schema["nullable"] == true => true,
            "type" => types(rule).any(|name| is_of(name, value)),
            "const" => rule == value,
            "enum" => rule.as_array().is_some_and(|all| all.contains(value)),
            "minimum" => is_null || value.as_f64() >= rule.as_f64(),
            "maxLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 <= rule.as_u64().unwrap()),
            "pattern" => {
                let pattern = regex::Regex::new(rule.as_str().unwrap()).unwrap();
                value.as_str().is_none_or(|text| pattern.is_match(text))
            }
            "required" => types(rule).all(|name| is_null || value.get(name).is_some()),
            "properties" | "additionalProperties" | "x-kubernetes-preserve-unknown-fields" => {
                fields(place, schema, value)?;
                true
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    at(&format!("{place}[{index}]"), rule, item)?;
                }
                true
            }
            other => return Err(format!("{place}: the keyword {other} is not known here")),
        };
        if !fits {
            return Err(format!("{place}: {value} is not {keyword} {rule}"));
        }
    }
    Ok(())
}

fn fields(place: &str, schema: &Value, value: &Value) -> Result<(), String> {
    for (name, field) in value.as_object().into_iter().flatten() {
        let place = format!("{place}.{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(rule), _) => at(&place, rule, field)?,
            (None, rule @ Value::Object(_)) => at(&place, rule, field)?,
            (None, Value::Bool(true)) => {}
            // An object of which nothing is told may hold anything.
            _ if schema.get("properties").is_none() || schema["x-kubernetes-preserve-unknown-fields"] == true => {}
            _ => return Err(format!("{place} is not told of")),
        }
    }
    Ok(())
}

fn types(rule: &Value) -> impl Iterator<Item = &str> {
    rule.as_str().into_iter().chain(rule.as_array().into_iter().flatten().filter_map(Value::as_str))
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        _ => name == "object" && value.is_object(),
    }
}
