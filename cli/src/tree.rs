//! Where everything stands in a manifest: the same documents as [`yaml::documents`](crate::yaml::documents) reads, with
//! the bytes of each key and value.

use std::borrow::Cow;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle};

use crate::yaml::YamlError;

/// Deepest nesting, as in [`yaml`](crate::yaml).
const DEEPEST: usize = 256;
/// Most nodes of one text, as in [`yaml`](crate::yaml).
const MOST_NODES: usize = 1_000_000;

/// One node of a document and its place in the text.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its bytes; of a block map or list those between its first and last child.
    pub span: Range<usize>,
    /// Line of its first byte, counted from 1.
    pub line: usize,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A text, number, boolean or nothing at all.
    Scalar {
        /// The text after unquoting.
        text: String,
        /// How it is written.
        style: Style,
    },
    /// Keys and values in the order of the text.
    Map {
        /// Its entries.
        entries: Vec<Entry>,
        /// Written with braces.
        flow: bool,
    },
    /// A list.
    List {
        /// Its items.
        items: Vec<Node>,
        /// Written with brackets.
        flow: bool,
    },
    /// A reference to another node.
    Alias,
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// In single quotes.
    Single,
    /// In double quotes.
    Double,
    /// Below a `|` or `>`.
    Block,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: Node,
    /// The value.
    pub value: Node,
}

/// A Kubernetes object inside a text: a document, or an item of a List.
#[derive(Clone, Copy, Debug)]
pub struct Object<'t> {
    /// Counted from 0; documents without content do not count.
    pub document: usize,
    /// Its place in a List's `items`, counted from 0.
    pub item: Option<usize>,
    /// The object's root.
    pub node: &'t Node,
}

impl Node {
    /// The text of a scalar that says something.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }

    /// Whether it says nothing: empty, `~` or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, style: Style::Plain }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The entries of a map, none of anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map { entries, .. } => entries,
            _ => &[],
        }
    }

    /// The value under a path of keys.
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| Some(&node.entry(key)?.value))
    }

    /// The entry of a key; the last one when it stands twice.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().rev().find(|entry| entry.key.text() == Some(key))
    }

    /// The text under a path of keys.
    pub fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path)?.text()
    }

    fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::List { items, .. } => items,
            _ => &[],
        }
    }
}

impl Object<'_> {
    /// `kind`, or nothing.
    pub fn kind(&self) -> &str {
        self.node.text_at(&["kind"]).unwrap_or_default()
    }

    /// `metadata.name`, or nothing.
    pub fn name(&self) -> &str {
        self.node.text_at(&["metadata", "name"]).unwrap_or_default()
    }

    /// `metadata.namespace`, or nothing.
    pub fn namespace(&self) -> &str {
        self.node.text_at(&["metadata", "namespace"]).unwrap_or_default()
    }
}

/// All objects: documents, and what Lists among them hold.
pub fn objects(documents: &[Node]) -> Vec<Object<'_>> {
    let mut found = Vec::new();
    for (document, node) in documents.iter().enumerate() {
        let items = node.at(&["items"]).filter(|_| node.text_at(&["kind"]).is_some_and(|kind| kind.ends_with("List")));
        match items {
            Some(items) => found.extend(items.items().iter().enumerate().map(|(item, node)| Object {
                document,
                item: Some(item),
                node,
            })),
            None => found.push(Object { document, item: None, node }),
        }
    }
    found
}

/// The line of the first key that stands twice in one map.
pub fn twice(documents: &[Node]) -> Option<usize> {
    fn within(node: &Node) -> Option<usize> {
        match &node.kind {
            Kind::Map { entries, .. } => {
                let mut seen = std::collections::HashSet::new();
                entries.iter().find_map(|entry| match entry.key.text() {
                    // A map may be merged with several others.
                    Some(key) if key != "<<" && !seen.insert(key) => Some(entry.key.line),
                    _ => within(&entry.value),
                })
            }
            Kind::List { items, .. } => items.iter().find_map(within),
            _ => None,
        }
    }
    documents.iter().find_map(within)
}

/// Reads all documents that have content. JSON objects one after the other are documents, too.
///
/// # Errors
///
/// [`YamlError`] with the line. Keys that stand twice are let pass: [`yaml::documents`](crate::yaml::documents) finds them.
pub fn read(text: &str) -> Result<Vec<Node>, YamlError> {
    if let Some(ends) = json_ends(text) {
        let mut documents = Vec::new();
        let mut start = 0;
        for end in ends {
            let lines = text[..start].matches('\n').count();
            documents.extend(Reader::new(&text[start..end], start, lines).documents()?);
            start = end;
        }
        return Ok(documents);
    }
    Reader::new(text, 0, 0).documents()
}

/// Where each of several JSON objects ends; nothing for one object or for YAML.
fn json_ends(text: &str) -> Option<Vec<usize>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    let mut ends = Vec::new();
    while let Some(read) = stream.next() {
        read.ok()?;
        ends.push(stream.byte_offset());
    }
    (ends.len() > 1).then_some(ends)
}

struct Reader<'t> {
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    base: usize,
    lines: usize,
    nodes: usize,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str, base: usize, lines: usize) -> Self {
        let options =
            granit_parser::options! { block_nesting_limit: DEEPEST, flow_nesting_limit: DEEPEST, emit_comments: false };
        Self { parser: Parser::new_from_str_with_options(text, options), base, lines, nodes: 0 }
    }

    fn documents(mut self) -> Result<Vec<Node>, YamlError> {
        let mut documents = Vec::new();
        loop {
            match self.next()? {
                Some((Event::DocumentStart(..), _)) => {
                    let (event, span) = self.expect()?;
                    let node = self.node(event, &span)?;
                    if !node.is_null() {
                        documents.push(node);
                    }
                }
                Some(_) => {}
                None => return Ok(documents),
            }
        }
    }

    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, YamlError> {
        self.parser.next().transpose().map_err(|error| YamlError {
            line: (error.marker().line() + self.lines) as u64,
            column: error.marker().col() as u64 + 1,
            problem: "it is not valid YAML",
        })
    }

    fn expect(&mut self) -> Result<(Event<'t>, Span), YamlError> {
        self.next()?.ok_or(YamlError { line: 0, column: 0, problem: "it ends in the middle" })
    }

    fn node(&mut self, event: Event<'t>, span: &Span) -> Result<Node, YamlError> {
        self.nodes += 1;
        let line = span.start.line() + self.lines;
        if self.nodes > MOST_NODES {
            return Err(YamlError { line: line as u64, column: 1, problem: "it grows beyond all measure" });
        }
        let range = span.byte_range().unwrap_or_default();
        let mut span = range.start + self.base..range.end + self.base;
        let kind = match event {
            Event::Scalar(text, style, ..) => scalar(text, style, span.is_empty()),
            Event::MappingStart(style, ..) => {
                let mut entries = Vec::new();
                let end = loop {
                    match self.expect()? {
                        (Event::MappingEnd, end) => break end,
                        (event, start) => {
                            let key = self.node(event, &start)?;
                            let (event, start) = self.expect()?;
                            entries.push(Entry { key, value: self.node(event, &start)? });
                        }
                    }
                };
                let flow = style == StructureStyle::Flow;
                span.end = self.end(flow, &end, entries.last().map(|entry| &entry.value), span.end);
                Kind::Map { entries, flow }
            }
            Event::SequenceStart(style, ..) => {
                let mut items = Vec::new();
                let end = loop {
                    match self.expect()? {
                        (Event::SequenceEnd, end) => break end,
                        (event, start) => items.push(self.node(event, &start)?),
                    }
                };
                let flow = style == StructureStyle::Flow;
                span.end = self.end(flow, &end, items.last(), span.end);
                Kind::List { items, flow }
            }
            _ => Kind::Alias,
        };
        Ok(Node { span, line, kind })
    }

    /// A block ends with its last child, whatever white space and comments follow.
    fn end(&self, flow: bool, end: &Span, last: Option<&Node>, start: usize) -> usize {
        match (flow, last) {
            (true, _) => end.byte_range().map_or(start, |range| range.end + self.base),
            (false, Some(last)) => last.span.end,
            (false, None) => start,
        }
    }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, empty: bool) -> Kind {
    let style = match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::Single,
        ScalarStyle::DoubleQuoted => Style::Double,
        _ => Style::Block,
    };
    // The parser hands out `~` where nothing is written.
    let text = if empty && style == Style::Plain { String::new() } else { text.into_owned() };
    Kind::Scalar { text, style }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_and_value_is_found_where_it_stands() {
        let text = "# words\r\nkind: SealedSecret\r\nspec:\r\n  a: \"x\"  # y\r\n  b: {c: 'ü', d: [1, 2]}\r\n---\r\nkind: List\r\nitems:\r\n- kind: Secret\r\n";
        let documents = read(text).unwrap();
        let found = objects(&documents);
        assert_eq!(found.len(), 2);
        let a = found[0].node.at(&["spec", "a"]).unwrap();
        assert_eq!((&text[a.span.clone()], a.line, a.text()), ("\"x\"", 4, Some("x")));
        assert_eq!(&text[found[0].node.at(&["spec", "b"]).unwrap().span.clone()], "{c: 'ü', d: [1, 2]}");
        assert_eq!((found[1].kind(), found[1].item, found[1].node.line), ("Secret", Some(0), 9));
    }

    #[test]
    fn documents_without_content_do_not_count_and_json_streams_do() {
        assert_eq!(read("---\n---\n# words\n---\na: 1\n---\n").unwrap().len(), 1);
        let text = "{\"a\": 1}\n{\"b\":\n 2}\n";
        let documents = read(text).unwrap();
        let b = documents[1].at(&["b"]).unwrap();
        assert_eq!((&text[b.span.clone()], b.line), ("2", 3));
    }

    #[test]
    fn bottomless_nesting_is_refused() {
        assert!(read(&"[".repeat(100_000)).is_err());
        assert!(read("a: *nobody\n").is_err());
        assert_eq!(read("a: b\nc: \"d\n").unwrap_err().line, 2);
    }
}
