//! What a running operator must know of its own definitions, without their schemas: those take megabytes to make.

use std::sync::LazyLock;

use kube::Resource;
use serde::Serialize;
use serde_json::Value;

/// Generated from the types by a test, which also holds it to them.
static TABLE: &str = include_str!("definitions.txt");
/// Follows a definition whose status has a place for what we remember.
const REMEMBERS: &str = "remembers";

/// One CustomResourceDefinition that Chancery serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Plural and group.
    pub name: &'static str,
    /// Its one version, in which objects are stored.
    pub version: &'static str,
    /// Whether its status has a place for what we remember.
    pub remembers: bool,
    /// Paths of the fields that are kept as they were written and not honoured, `[]` after the name of a list.
    unhonoured: Vec<&'static str>,
}

/// All of them.
pub fn definitions() -> &'static [Definition] {
    static KNOWN: LazyLock<Vec<Definition>> = LazyLock::new(|| read(TABLE));
    &KNOWN
}

/// Paths of the fields under `spec` and `operation` that were written and are not honoured, such as `spec.source.helm`.
pub fn unsupported_fields<K: Serialize + Resource<DynamicType = ()>>(object: &K) -> Vec<String> {
    let name = format!("{}.{}", K::plural(&()), K::group(&()));
    let Some(definition) = definitions().iter().find(|definition| definition.name == name) else { return Vec::new() };
    if definition.unhonoured.is_empty() {
        return Vec::new();
    }
    let Ok(written) = serde_json::to_value(object) else { return Vec::new() };
    let mut found = Vec::new();
    for path in &definition.unhonoured {
        collect(&written, path, String::new(), &mut found);
    }
    found
}

/// Finds what stands at a path: `rest` is what is left of it, `above` where we are.
fn collect(value: &Value, rest: &str, above: String, found: &mut Vec<String>) {
    let (name, rest) = rest.split_once('.').map_or((rest, None), |(name, rest)| (name, Some(rest)));
    let (name, is_list) = name.strip_suffix("[]").map_or((name, false), |name| (name, true));
    let Some(value) = value.get(name).filter(|value| !value.is_null()) else { return };
    let here = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
    let Some(rest) = rest else { return found.push(here) };
    if is_list {
        let items = value.as_array().into_iter().flatten().enumerate();
        items.for_each(|(index, item)| collect(item, rest, format!("{here}[{index}]"), found));
    } else {
        collect(value, rest, here, found);
    }
}

/// A definition a line, its fields below it, indented.
fn read(table: &'static str) -> Vec<Definition> {
    let mut all: Vec<Definition> = Vec::new();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        match (line.strip_prefix("  "), all.last_mut()) {
            (Some(path), Some(definition)) => definition.unhonoured.push(path),
            _ => {
                let mut words = line.split(' ');
                let (name, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                let remembers = words.next() == Some(REMEMBERS);
                all.push(Definition { name, version, remembers, unhonoured: Vec::new() });
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    use schemars::JsonSchema;
    use schemars::generate::SchemaSettings;

    use super::super::*;
    use super::*;

    const HEAD: &str =
        "# Generated from the types of src/api; `UPDATE_GOLDEN=1 cargo test -p chancery api::` writes it anew.";

    /// The fields of a kind that are not honoured, in the order of its schema.
    fn unhonoured<K: JsonSchema>() -> Vec<String> {
        let settings = SchemaSettings::openapi3().with(|settings| settings.inline_subschemas = true);
        let schema = settings.into_generator().into_root_schema_for::<K>().to_value();
        let mut found = Vec::new();
        for part in ["spec", "operation"] {
            if let Some(schema) = schema.pointer(&format!("/properties/{part}")) {
                marks(schema, part, &mut found);
            }
        }
        found
    }

    fn marks(schema: &Value, path: &str, found: &mut Vec<String>) {
        if schema.get(MARK).is_some() {
            found.push(path.to_owned());
            return;
        }
        // An optional place is wrapped once more.
        let choices = ["anyOf", "allOf"].into_iter().filter_map(|name| schema.get(name)?.as_array());
        choices.flatten().for_each(|choice| marks(choice, path, found));
        for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            marks(schema, &format!("{path}.{name}"), found);
        }
        if let Some(items) = schema.get("items") {
            marks(items, &format!("{path}[]"), found);
        }
    }

    fn lines(crd: &CustomResourceDefinition, unhonoured: &[String]) -> String {
        let [version] = &crd.spec.versions[..] else { panic!("one version") };
        let schema = version.schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
        let status = schema.properties.as_ref().unwrap().get("status");
        let has_record =
            |status: &JSONSchemaProps| status.properties.as_ref().is_some_and(|all| all.contains_key("chancery"));
        let remembers = if status.is_some_and(has_record) { format!(" {REMEMBERS}") } else { String::new() };
        let mut text = format!("{} {}{remembers}\n", crd.metadata.name.as_ref().unwrap(), version.name);
        unhonoured.iter().for_each(|path| text += &format!("  {path}\n"));
        text
    }

    #[test]
    fn the_table_is_what_the_types_say() {
        let with_fields: BTreeMap<String, Vec<String>> = [
            (AppProject::crd(), unhonoured::<AppProject>()),
            (Application::crd(), unhonoured::<Application>()),
            (ClusterExternalSecret::crd(), unhonoured::<ClusterExternalSecret>()),
            (ClusterPushSecret::crd(), unhonoured::<ClusterPushSecret>()),
            (ClusterSecretStore::crd(), unhonoured::<ClusterSecretStore>()),
            (ExternalSecret::crd(), unhonoured::<ExternalSecret>()),
            (PushSecret::crd(), unhonoured::<PushSecret>()),
            (SealedSecret::crd(), unhonoured::<SealedSecret>()),
            (SecretStore::crd(), unhonoured::<SecretStore>()),
        ]
        .map(|(crd, fields)| (crd.metadata.name.unwrap(), fields))
        .into();
        let mut text = format!("{HEAD}\n");
        for (name, crd) in all_crds() {
            text += &lines(&crd, with_fields.get(&name).map(Vec::as_slice).unwrap_or_default());
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api/definitions.txt");
            std::fs::write(file, &text).unwrap();
        }
        assert_eq!(TABLE, text, "UPDATE_GOLDEN=1 cargo test -p chancery api::");
        assert_eq!(definitions().len(), all_crds().len());
    }

    #[test]
    fn fields_are_found_in_lists_and_below_others() {
        let written = serde_json::json!({ "a": { "b": [{ "c": 1 }, { "c": null }, { "c": false, "d": 2 }] }, "e": {} });
        for (path, expected) in [
            ("a", vec!["a"]),
            ("a.b", vec!["a.b"]),
            ("a.b[].c", vec!["a.b[0].c", "a.b[2].c"]),
            ("a.b[].x", vec![]),
            ("a.b.c", vec![]),
            ("e.f", vec![]),
        ] {
            let mut found = Vec::new();
            collect(&written, path, String::new(), &mut found);
            assert_eq!(found, expected, "{path}");
        }
    }
}
