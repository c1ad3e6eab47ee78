//! Changes to a manifest that touch nothing else: comments, order, quotes, indentation and line ends stay.
//!
//! Each change replaces bytes of the text. In the end the text is read again and compared with the same changes made to
//! the plain values: what comes out is what was meant, or an error.

use serde_json::{Map, Value};

use crate::manifest;
use crate::tree::{self, Entry, Kind, Node, Object, Style};
use crate::yaml::YamlError;

/// One change of one object. A path goes from the object's root through keys of maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Gives a key this text; key and maps on the way are made when they are not there.
    Set(Vec<String>, String),
    /// Takes a key away.
    Remove(Vec<String>),
    /// Gives a key another name, at its place.
    Rename(Vec<String>, String),
}

/// Why a text cannot be changed in place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It cannot be read.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// A key stands twice in one map: nobody can tell which is meant.
    #[error("line {line}: a key stands twice in one map")]
    Twice {
        /// Of the second one, counted from 1.
        line: usize,
    },
    /// The object or key is not there.
    #[error("there is no {0}")]
    Missing(String),
    /// Something on the path is no map.
    #[error("{0} is not a map")]
    NotAMap(String),
    /// A key of the new name is there.
    #[error("there is a {0} already")]
    Exists(String),
    /// The text uses YAML (aliases, merges, tags) in which this change cannot be made without touching more.
    #[error("it uses aliases or other YAML that cannot be changed in place without touching more than is meant")]
    Entangled,
}

impl Change {
    /// [`Change::Set`] from parts.
    pub fn set(path: &[&str], text: impl Into<String>) -> Self {
        Self::Set(owned(path), text.into())
    }

    /// [`Change::Remove`] from parts.
    pub fn remove(path: &[&str]) -> Self {
        Self::Remove(owned(path))
    }

    /// [`Change::Rename`] from parts.
    pub fn rename(path: &[&str], name: impl Into<String>) -> Self {
        Self::Rename(owned(path), name.into())
    }
}

/// Changes one object of a text; `object` counts as [`tree::objects`] does.
///
/// # Errors
///
/// [`EditError`]; the text is never changed halfway.
pub fn edit(text: &str, object: usize, changes: &[Change]) -> Result<String, EditError> {
    let documents = tree::read(text)?;
    if let Some(line) = tree::twice(&documents) {
        return Err(EditError::Twice { line });
    }
    let place = place(&documents, object)?;
    let mut meant = values(text)?;
    let mut edited = text.to_owned();
    for change in changes {
        let documents = tree::read(&edited).map_err(|_| EditError::Entangled)?;
        let objects = tree::objects(&documents);
        let target = objects.get(object).ok_or(EditError::Entangled)?;
        edited = applied(&edited, target, change)?;
        apply_to_value(root(&mut meant, place).ok_or(EditError::Entangled)?, change);
    }
    if values(&edited).map_err(|_| EditError::Entangled)? != meant {
        return Err(EditError::Entangled);
    }
    Ok(edited)
}

/// Puts another object in an object's place, written as the text is: block YAML, or JSON between braces.
///
/// # Errors
///
/// [`EditError`].
pub fn replace(text: &str, object: usize, value: &Value) -> Result<String, EditError> {
    let documents = tree::read(text)?;
    let place = place(&documents, object)?;
    let objects = tree::objects(&documents);
    let node = objects.get(object).ok_or_else(|| EditError::Missing("object".to_owned()))?.node;
    let indent = column(text, node.span.start);
    let written = if text[node.span.start..].starts_with('{') {
        serde_json::to_string_pretty(value).map_err(|_| EditError::Entangled)?
    } else {
        crate::yaml::write(value)?
    };
    let eol = format!("{}{}", line_break(text), " ".repeat(indent));
    let written = written.trim_end().replace('\n', &eol);
    let mut end = node.span.end;
    if text[..end].ends_with('\n') {
        end = text[..end].trim_end_matches(['\r', '\n']).len();
    }
    let edited = spliced(text, node.span.start..end, &written);
    let mut meant = values(text)?;
    *root(&mut meant, place).ok_or(EditError::Entangled)? = value.clone();
    if values(&edited).map_err(|_| EditError::Entangled)? != meant {
        return Err(EditError::Entangled);
    }
    Ok(edited)
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|part| (*part).to_owned()).collect()
}

fn values(text: &str) -> Result<Vec<Value>, EditError> {
    manifest::documents(text).map_err(|error| match error {
        manifest::ManifestError::Yaml(error) => EditError::Yaml(error),
        _ => EditError::Missing("object".to_owned()),
    })
}

fn place(documents: &[Node], object: usize) -> Result<(usize, Option<usize>), EditError> {
    let objects = tree::objects(documents);
    let found = objects.get(object).ok_or_else(|| EditError::Missing("object".to_owned()))?;
    Ok((found.document, found.item))
}

fn root(values: &mut [Value], (document, item): (usize, Option<usize>)) -> Option<&mut Value> {
    let document = values.get_mut(document)?;
    match item {
        None => Some(document),
        Some(item) => document.get_mut("items")?.get_mut(item),
    }
}

// ---- the same change, on values ----

fn apply_to_value(root: &mut Value, change: &Change) {
    let (path, make) = match change {
        Change::Set(path, _) => (path, true),
        Change::Remove(path) | Change::Rename(path, _) => (path, false),
    };
    let Some((last, parents)) = path.split_last() else { return };
    let mut here = root;
    for parent in parents {
        if here.is_null() && make {
            *here = Value::Object(Map::new());
        }
        let Value::Object(fields) = here else { return };
        here = fields.entry(parent.clone()).or_insert(Value::Null);
    }
    if here.is_null() && make {
        *here = Value::Object(Map::new());
    }
    let Value::Object(fields) = here else { return };
    match change {
        Change::Set(_, text) => {
            fields.insert(last.clone(), Value::String(text.clone()));
        }
        Change::Remove(_) => {
            fields.shift_remove(last);
        }
        Change::Rename(_, name) => {
            if let Some(value) = fields.shift_remove(last) {
                fields.insert(name.clone(), value);
            }
        }
    }
}

// ---- on the text ----

fn applied(text: &str, object: &Object<'_>, change: &Change) -> Result<String, EditError> {
    match change {
        Change::Set(path, value) => set(text, object.node, path, value),
        Change::Remove(path) => {
            let (parent, map, index) = found(object.node, path)?;
            removed(text, parent, map, index)
        }
        Change::Rename(path, name) => {
            let (_, map, index) = found(object.node, path)?;
            if map.entry(name).is_some() {
                return Err(EditError::Exists(name.clone()));
            }
            let key = &map.entries()[index].key;
            let style = style_of(key);
            Ok(spliced(text, key.span.clone(), &scalar(name, style, is_flow(map))))
        }
    }
}

/// The map that holds the last key of a path, the entry that holds the map, and the key's index.
fn found<'n>(root: &'n Node, path: &[String]) -> Result<(Option<&'n Entry>, &'n Node, usize), EditError> {
    let missing = || EditError::Missing(path.join("."));
    let (last, parents) = path.split_last().ok_or_else(missing)?;
    let (mut entry, mut map) = (None, root);
    for parent in parents {
        let next = map.entry(parent).ok_or_else(missing)?;
        (entry, map) = (Some(next), &next.value);
    }
    let index = map.entries().iter().position(|entry| entry.key.text() == Some(last)).ok_or_else(missing)?;
    Ok((entry, map, index))
}

fn set(text: &str, root: &Node, path: &[String], value: &str) -> Result<String, EditError> {
    let (mut holder, mut map): (Option<(&Node, &Entry)>, &Node) = (None, root);
    for (depth, key) in path.iter().enumerate() {
        if !matches!(map.kind, Kind::Map { .. }) && !map.is_null() {
            return Err(EditError::NotAMap(path[..depth].join(".")));
        }
        let Some(entry) = map.entry(key) else {
            return inserted(text, holder, map, &path[depth..], value);
        };
        if depth + 1 == path.len() {
            return replaced(text, map, entry, value);
        }
        (holder, map) = (Some((map, entry)), &entry.value);
    }
    Err(EditError::Missing(path.join(".")))
}

fn replaced(text: &str, map: &Node, entry: &Entry, value: &str) -> Result<String, EditError> {
    let old = &entry.value;
    let Kind::Scalar { style, .. } = old.kind else {
        return Err(EditError::Entangled);
    };
    let json = is_flow(map) && style_of(&entry.key) == Style::Double;
    match style {
        Style::Block => {
            // Header, tag and lines go; the line break after them stays.
            let start = after_colon(text, entry)?;
            let kept = text[..old.span.end].trim_end_matches(['\r', '\n', ' ']).len().max(start);
            Ok(spliced(text, start..kept, &format!(" {}", scalar(value, Style::Plain, false))))
        }
        _ if old.span.is_empty() => {
            let start = after_colon(text, entry)?;
            Ok(spliced(text, start..start, &format!(" {}", scalar(value, Style::Plain, is_flow(map)))))
        }
        Style::Plain if json => Ok(spliced(text, old.span.clone(), &scalar(value, Style::Double, true))),
        style => Ok(spliced(text, old.span.clone(), &scalar(value, style, is_flow(map)))),
    }
}

fn inserted(
    text: &str,
    holder: Option<(&Node, &Entry)>,
    map: &Node,
    path: &[String],
    value: &str,
) -> Result<String, EditError> {
    let eol = line_break(text);
    if let (false, Some(first), Some(last)) = (is_flow(map), map.entries().first(), map.entries().last()) {
        let lines = block_lines(path, value, column(text, first.key.span.start), eol);
        let end = last.value.span.end.max(last.key.span.end);
        let at = if text[..end].ends_with('\n') { end } else { line_end(text, end) };
        let before = if at == 0 || text[..at].ends_with('\n') { "" } else { eol };
        let lines = if before.is_empty() { lines } else { lines.trim_end_matches(['\r', '\n']).to_owned() };
        return Ok(spliced(text, at..at, &format!("{before}{lines}")));
    }
    if let (Some(first), Some(last)) = (map.entries().first(), map.entries().last()) {
        let json = style_of(&first.key) == Style::Double;
        let alone = text[map.span.start..first.key.span.start].contains('\n');
        let indent = column(text, first.key.span.start);
        let unit = indent.saturating_sub(line_indent(text, map.span.start)).max(1);
        let entry = flow_entry(path, value, json, alone.then_some((indent, unit, eol)));
        let gap = if alone { format!(",{eol}{}", " ".repeat(indent)) } else { ", ".to_owned() };
        return Ok(spliced(text, last.value.span.end..last.value.span.end, &format!("{gap}{entry}")));
    }
    // An empty map, or nothing at all, under a key.
    let (outer, entry) = holder.ok_or(EditError::Entangled)?;
    let start = after_colon(text, entry)?;
    let end = map.span.end.max(start);
    if is_flow(outer) {
        let json = style_of(&entry.key) == Style::Double;
        let inner = flow_entry(path, value, json, None);
        return Ok(spliced(text, start..end, &format!(" {{{inner}}}")));
    }
    let indent = column(text, entry.key.span.start) + 2;
    let lines = block_lines(path, value, indent, eol);
    Ok(spliced(text, start..end, &format!("{eol}{}", lines.trim_end_matches(['\r', '\n']))))
}

fn removed(text: &str, holder: Option<&Entry>, map: &Node, index: usize) -> Result<String, EditError> {
    let entries = map.entries();
    let entry = &entries[index];
    let end = entry.value.span.end.max(entry.key.span.end);
    let next = entries.get(index + 1);
    if entries.len() == 1 {
        return match holder {
            _ if is_flow(map) => Ok(spliced(text, map.span.clone(), "{}")),
            Some(holder) => {
                let cut = text[..end].trim_end_matches(['\r', '\n']).len();
                Ok(spliced(text, after_colon(text, holder)?..cut, " {}"))
            }
            None => Err(EditError::Entangled),
        };
    }
    if is_flow(map) {
        let range = match (next, index.checked_sub(1).and_then(|before| entries.get(before))) {
            (Some(next), _) => entry.key.span.start..next.key.span.start,
            (None, Some(before)) => before.value.span.end..end,
            (None, None) => return Err(EditError::Entangled),
        };
        return Ok(spliced(text, range, ""));
    }
    let start = line_start(text, entry.key.span.start);
    if text[start..entry.key.span.start].trim().is_empty() {
        let stop = if text[..end].ends_with('\n') { end } else { line_end(text, end) };
        return Ok(spliced(text, start..stop, ""));
    }
    // The first key behind a list's dash: the next one moves up.
    let next = next.ok_or(EditError::Entangled)?;
    Ok(spliced(text, entry.key.span.start..next.key.span.start, ""))
}

/// Lines of a block map: `path` as nested keys, the value behind the last. The first annotation of an object comes on
/// one line, so that a note is one line of a diff.
fn block_lines(path: &[String], value: &str, indent: usize, eol: &str) -> String {
    if path.len() == 2 && path[0] == "annotations" {
        return format!("{}{}{eol}", " ".repeat(indent), flow_entry(path, value, false, None));
    }
    let mut lines = String::new();
    for (depth, key) in path.iter().enumerate() {
        let last = depth + 1 == path.len();
        let written = if last { format!(" {}", scalar(value, Style::Plain, false)) } else { String::new() };
        let key = scalar(key, Style::Plain, false);
        lines += &format!("{}{key}:{written}{eol}", " ".repeat(indent + 2 * depth));
    }
    lines
}

/// An entry between braces; with an indentation each level gets lines of its own.
fn flow_entry(path: &[String], value: &str, json: bool, lines: Option<(usize, usize, &str)>) -> String {
    let style = if json { Style::Double } else { Style::Plain };
    let Some((key, rest)) = path.split_first() else { return scalar(value, style, true) };
    let key = scalar(key, style, true);
    if rest.is_empty() {
        return format!("{key}: {}", scalar(value, style, true));
    }
    match lines {
        None => format!("{key}: {{{}}}", flow_entry(rest, value, json, None)),
        Some((indent, unit, eol)) => {
            let inner = flow_entry(rest, value, json, Some((indent + unit, unit, eol)));
            format!("{key}: {{{eol}{}{inner}{eol}{}}}", " ".repeat(indent + unit), " ".repeat(indent))
        }
    }
}

/// A text as a scalar, in this style where it can be written so.
fn scalar(text: &str, style: Style, flow: bool) -> String {
    match style {
        Style::Single if !text.contains(['\r', '\n']) => format!("'{}'", text.replace('\'', "''")),
        Style::Plain if is_plain(text, flow) => text.to_owned(),
        _ => Value::String(text.to_owned()).to_string(),
    }
}

/// Whether every YAML reader takes these characters for this text.
fn is_plain(text: &str, flow: bool) -> bool {
    const OTHER_THINGS: [&str; 11] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"];
    let fits = |character: char| {
        character.is_ascii_alphanumeric() || "/_.+=-:; ".contains(character) || (character == ',' && !flow)
    };
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(fits)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !OTHER_THINGS.contains(&text.to_ascii_lowercase().as_str())
}

fn is_flow(node: &Node) -> bool {
    matches!(node.kind, Kind::Map { flow: true, .. })
}

fn style_of(node: &Node) -> Style {
    match node.kind {
        Kind::Scalar { style, .. } => style,
        _ => Style::Plain,
    }
}

fn after_colon(text: &str, entry: &Entry) -> Result<usize, EditError> {
    let behind = text[entry.key.span.end..].trim_start_matches([' ', '\t']);
    let colon = text.len() - behind.len();
    if behind.starts_with(':') { Ok(colon + 1) } else { Err(EditError::Entangled) }
}

fn spliced(text: &str, range: std::ops::Range<usize>, new: &str) -> String {
    [&text[..range.start], new, &text[range.end..]].concat()
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

/// Where the next line begins, or the text's end.
fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |end| at + end + 1)
}

fn column(text: &str, at: usize) -> usize {
    text[line_start(text, at)..at].chars().count()
}

fn line_indent(text: &str, at: usize) -> usize {
    let line = &text[line_start(text, at)..];
    line.len() - line.trim_start_matches([' ', '\t', '-']).len()
}

fn line_break(text: &str) -> &'static str {
    if text.find('\n').is_some_and(|end| text[..end].ends_with('\r')) { "\r\n" } else { "\n" }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEM: &str = "AgBnewNEW+/=";

    fn set_pin() -> Change {
        Change::set(&["spec", "encryptedData", "pin"], ITEM)
    }

    #[test]
    fn one_value_is_one_line() {
        for (before, after) in [
            (
                "spec: # here\n  encryptedData:\n    pin: AgBold  # why\n    zz: q\n",
                "spec: # here\n  encryptedData:\n    pin: AgBnewNEW+/=  # why\n    zz: q\n",
            ),
            ("spec:\n  encryptedData:\n    pin: \"AgB\"", "spec:\n  encryptedData:\n    pin: \"AgBnewNEW+/=\""),
            (
                "spec:\r\n  encryptedData:\r\n    pin: 'AgB'\r\n",
                "spec:\r\n  encryptedData:\r\n    pin: 'AgBnewNEW+/='\r\n",
            ),
            (
                "spec:\n  encryptedData:\n    pin: >-\n      AgB\n      old\n    zz: q\n",
                "spec:\n  encryptedData:\n    pin: AgBnewNEW+/=\n    zz: q\n",
            ),
            ("spec:\n  encryptedData:\n    pin:\n  x: y\n", "spec:\n  encryptedData:\n    pin: AgBnewNEW+/=\n  x: y\n"),
            (
                "{\"spec\": {\"encryptedData\": {\"pin\": null}}}",
                "{\"spec\": {\"encryptedData\": {\"pin\": \"AgBnewNEW+/=\"}}}",
            ),
        ] {
            assert_eq!(edit(before, 0, &[set_pin()]).unwrap(), after);
        }
    }

    #[test]
    fn a_new_key_is_written_like_its_neighbours() {
        for (before, after) in [
            (
                "spec:\n    encryptedData:\n        a: b # c\n\n# end\n",
                "spec:\n    encryptedData:\n        a: b # c\n        pin: AgBnewNEW+/=\n\n# end\n",
            ),
            ("spec:\n  encryptedData:\n    a: b", "spec:\n  encryptedData:\n    a: b\n    pin: AgBnewNEW+/="),
            ("spec:\n  encryptedData: {}\n", "spec:\n  encryptedData:\n    pin: AgBnewNEW+/=\n"),
            (
                "spec:\r\n  encryptedData:\r\n  a: b\r\n",
                "spec:\r\n  encryptedData:\r\n    pin: AgBnewNEW+/=\r\n  a: b\r\n",
            ),
            ("spec:\n  a: |\n    b\n\n", "spec:\n  a: |\n    b\n\n  encryptedData:\n    pin: AgBnewNEW+/=\n"),
            ("spec: {encryptedData: {a: b}}\n", "spec: {encryptedData: {a: b, pin: AgBnewNEW+/=}}\n"),
            (
                "{\n  \"spec\": {\n    \"a\": \"b\"\n  }\n}\n",
                "{\n  \"spec\": {\n    \"a\": \"b\",\n    \"encryptedData\": {\n      \"pin\": \"AgBnewNEW+/=\"\n    }\n  }\n}\n",
            ),
        ] {
            assert_eq!(edit(before, 0, &[set_pin()]).unwrap(), after, "{before:?}");
        }
    }

    #[test]
    fn keys_go_and_are_renamed_where_they_stand() {
        let text = "# top\nspec:\n  encryptedData:\n    # one\n    a: b\n    c: d # two\n  e: f\n";
        let path = ["spec", "encryptedData", "c"];
        let gone = edit(text, 0, &[Change::remove(&path)]).unwrap();
        assert_eq!(gone, "# top\nspec:\n  encryptedData:\n    # one\n    a: b\n  e: f\n");
        let both = edit(text, 0, &[Change::remove(&path), Change::remove(&["spec", "encryptedData", "a"])]).unwrap();
        assert_eq!(both, "# top\nspec:\n  encryptedData: {}\n  e: f\n");
        let renamed = edit(text, 0, &[Change::rename(&path, "g")]).unwrap();
        assert_eq!(renamed, text.replace("c: d", "g: d"));
        assert_eq!(edit(text, 0, &[Change::rename(&path, "a")]), Err(EditError::Exists("a".to_owned())));
        let flow = "{a: {b: 1, c: 2, d: 3}}";
        assert_eq!(edit(flow, 0, &[Change::remove(&["a", "d"])]).unwrap(), "{a: {b: 1, c: 2}}");
        assert_eq!(edit(flow, 0, &[Change::remove(&["a", "b"])]).unwrap(), "{a: {c: 2, d: 3}}");
    }

    #[test]
    fn only_the_object_that_is_meant_is_changed() {
        let text = "a: 1\n---\nkind: List\nitems:\n- kind: X\n  spec: {encryptedData: {}}\n- kind: Y\n";
        let changed = edit(text, 2, &[set_pin()]).unwrap();
        assert_eq!(changed, format!("{text}  spec:\n    encryptedData:\n      pin: AgBnewNEW+/=\n"));
        let streams = "{\"a\": 1}\n{\"b\": {}}\n";
        assert_eq!(
            edit(streams, 1, &[Change::set(&["b", "c"], "d")]).unwrap(),
            "{\"a\": 1}\n{\"b\": {\"c\": \"d\"}}\n"
        );
    }

    #[test]
    fn what_cannot_be_done_alone_is_refused() {
        for (text, expected) in [
            ("x: &x {pin: a}\nspec:\n  encryptedData: *x\n", EditError::NotAMap("spec.encryptedData".to_owned())),
            ("y: &y a\nspec: {encryptedData: {pin: *y}}\n", EditError::Entangled),
            ("spec: {encryptedData: {pin: &y a}}\nz: *y\n", EditError::Entangled),
            ("spec: {encryptedData: {pin: a, pin: b}}\n", EditError::Twice { line: 1 }),
            ("spec:\n  encryptedData: words\n", EditError::NotAMap("spec.encryptedData".to_owned())),
        ] {
            assert_eq!(edit(text, 0, &[set_pin()]), Err(expected), "{text}");
        }
    }

    #[test]
    fn an_object_takes_anothers_place() {
        let other = serde_json::json!({ "kind": "SealedSecret", "spec": { "x": "z" } });
        let text = "# top\nkind: Secret # plain\ndata:\n  a: b\n---\nkind: Deployment\n";
        let replaced = replace(text, 0, &other).unwrap();
        assert_eq!(replaced, "# top\nkind: SealedSecret\nspec:\n  x: z\n---\nkind: Deployment\n");
        let list = "kind: List\nitems:\n  - kind: Secret\n    data: {}\n  - kind: Other\n";
        let replaced = super::replace(list, 0, &other).unwrap();
        assert_eq!(replaced, "kind: List\nitems:\n  - kind: SealedSecret\n    spec:\n      x: z\n  - kind: Other\n");
    }
}
