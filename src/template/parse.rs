//! From words to a tree. Errors are on the line on which Go finds them.

mod pipelines;
mod tree;

pub(super) use self::tree::{Branch, Command, List, Node, Operand, Parsed, Pipe, Term};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::Dialect;
use super::bounds::{DEEPEST_SYNTAX, LONGEST_TEMPLATE};
use super::error::Error;
use super::lex::{Item, Kind, Lexer};
use super::literal::{self};
use super::value::Text;

/// Reads a template. Its name counts among those that it defines.
pub(super) fn parse(name: &str, text: &str, dialect: Dialect) -> Result<Parsed, Error> {
    if text.len() > LONGEST_TEMPLATE {
        return Err(Error { too_much: true, ..Error::parse(1, "the template is longer than 3 MiB") });
    }
    let mut parser =
        Parser { dialect, lexer: Lexer::new(text), trees: vec![Tree::new()], defined: BTreeMap::new(), depth: 0 };
    let root = parser.top()?;
    parser.define(name.into(), root)?;
    let defined: BTreeMap<_, _> = parser.defined.into_iter().map(|(name, list)| (name, Arc::new(list))).collect();
    let root = defined.get(&Text::from(name)).cloned().unwrap_or_default();
    let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    Ok(Parsed { root, defined, lines })
}

/// What Go keeps for each tree: the words that were looked at, and the variables in sight.
struct Tree<'t> {
    words: [Item<'t>; 3],
    peeked: usize,
    variables: Vec<Arc<str>>,
    ranges: usize,
}

impl Tree<'_> {
    fn new() -> Self {
        Self { words: [Item::NONE; 3], peeked: 0, variables: vec![Arc::from("$")], ranges: 0 }
    }
}

struct Parser<'t> {
    dialect: Dialect,
    lexer: Lexer<'t>,
    /// The tree that is being read, and those around it.
    trees: Vec<Tree<'t>>,
    defined: BTreeMap<Text, List>,
    depth: usize,
}

/// What ends a list.
enum Ends {
    End,
    /// `else`, and whether an `if` or a `with` follows in the same action.
    Else(Option<Kind>),
}

/// A node, or what ends the list.
enum Read {
    Node(Node),
    Ends(Ends),
}

impl<'t> Parser<'t> {
    fn tree(&mut self) -> &mut Tree<'t> {
        if self.trees.is_empty() {
            self.trees.push(Tree::new());
        }
        let last = self.trees.len() - 1;
        &mut self.trees[last]
    }

    fn next(&mut self) -> Item<'t> {
        match self.tree().peeked.checked_sub(1) {
            Some(fewer) => self.tree().peeked = fewer,
            None => {
                let word = self.lexer.next_item();
                self.tree().words[0] = word;
            }
        }
        let tree = self.tree();
        tree.words[tree.peeked]
    }

    fn back(&mut self) {
        self.tree().peeked += 1;
    }

    fn back_two(&mut self, before: Item<'t>) {
        self.tree().words[1] = before;
        self.tree().peeked = 2;
    }

    fn back_three(&mut self, first: Item<'t>, second: Item<'t>) {
        self.tree().words[1] = second;
        self.tree().words[2] = first;
        self.tree().peeked = 3;
    }

    fn peek(&mut self) -> Item<'t> {
        if self.tree().peeked == 0 {
            let word = self.lexer.next_item();
            self.tree().words[0] = word;
            self.tree().peeked = 1;
        }
        let tree = self.tree();
        tree.words[tree.peeked - 1]
    }

    fn next_non_space(&mut self) -> Item<'t> {
        loop {
            let word = self.next();
            if word.kind != Kind::Space {
                return word;
            }
        }
    }

    fn peek_non_space(&mut self) -> Item<'t> {
        let word = self.next_non_space();
        self.back();
        word
    }

    /// An error on the line of the last word that was read.
    fn error(&mut self, problem: impl Into<std::borrow::Cow<'static, str>>) -> Error {
        Error::parse(self.tree().words[0].line, problem)
    }

    fn unexpected(&mut self, word: Item<'t>, context: &str) -> Error {
        if word.kind == Kind::Error {
            return self.error(word.text.to_owned());
        }
        let what = match word.kind {
            Kind::Eof => "end of the template".to_owned(),
            _ if word.text.len() > 20 => "text".to_owned(),
            Kind::Text | Kind::String | Kind::RawString => "text".to_owned(),
            _ => format!("{:?}", word.text),
        };
        self.error(format!("unexpected {what} in {context}"))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Item<'t>, Error> {
        let word = self.next_non_space();
        if word.kind == kind { Ok(word) } else { Err(self.unexpected(word, context)) }
    }

    /// Reads something that nests, one level deeper.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth >= DEEPEST_SYNTAX {
            return Err(Error { too_much: true, ..self.error("actions or parentheses nest too deep") });
        }
        self.depth += 1;
        let result = super::bounds::with_stack(|| read(self));
        self.depth -= 1;
        result
    }

    fn top(&mut self) -> Result<List, Error> {
        let mut list = Vec::new();
        while self.peek().kind != Kind::Eof {
            if self.peek().kind == Kind::LeftDelim {
                let delim = self.next();
                if self.next_non_space().kind == Kind::Define {
                    self.trees.push(Tree::new());
                    self.definition()?;
                    self.trees.pop();
                    continue;
                }
                self.back_two(delim);
            }
            match self.text_or_action()? {
                Read::Node(node) => list.push(node),
                Read::Ends(Ends::End) => return Err(self.error("unexpected {{end}}")),
                Read::Ends(Ends::Else(_)) => return Err(self.error("unexpected {{else}}")),
            }
        }
        Ok(list)
    }

    fn definition(&mut self) -> Result<(), Error> {
        const CONTEXT: &str = "define clause";
        let name = self.template_name(CONTEXT)?;
        self.expect(Kind::RightDelim, CONTEXT)?;
        let list = self.body(CONTEXT)?;
        self.define(name, list)
    }

    /// A list that only `end` ends.
    fn body(&mut self, context: &str) -> Result<List, Error> {
        match self.list()? {
            (list, Ends::End) => Ok(list),
            (_, Ends::Else(_)) => Err(self.error(format!("unexpected {{{{else}}}} in {context}"))),
        }
    }

    fn define(&mut self, name: Text, list: List) -> Result<(), Error> {
        match self.defined.get(&name) {
            Some(before) if !is_empty(before) => {
                if !is_empty(&list) {
                    return Err(self.error("a template is defined twice"));
                }
            }
            _ => {
                self.defined.insert(name, list);
            }
        }
        Ok(())
    }

    fn template_name(&mut self, context: &str) -> Result<Text, Error> {
        let word = self.next_non_space();
        self.named(word, context)
    }

    fn named(&mut self, word: Item<'t>, context: &str) -> Result<Text, Error> {
        match word.kind {
            Kind::String | Kind::RawString => match literal::unquote(word.text) {
                Some(name) => Ok(name.into()),
                None => Err(self.error("invalid syntax in a quoted text")),
            },
            _ => Err(self.unexpected(word, context)),
        }
    }

    fn list(&mut self) -> Result<(List, Ends), Error> {
        let mut list = Vec::new();
        while self.peek_non_space().kind != Kind::Eof {
            match self.text_or_action()? {
                Read::Node(node) => list.push(node),
                Read::Ends(ends) => return Ok((list, ends)),
            }
        }
        Err(self.error("unexpected EOF: an {{end}} is missing"))
    }

    fn text_or_action(&mut self) -> Result<Read, Error> {
        let word = self.next_non_space();
        match word.kind {
            Kind::Text => Ok(Read::Node(Node::Text(word.text.into()))),
            Kind::LeftDelim => self.deeper(Self::action),
            _ => Err(self.unexpected(word, "input")),
        }
    }

    fn action(&mut self) -> Result<Read, Error> {
        let word = self.next_non_space();
        let node = match word.kind {
            Kind::Block => self.block()?,
            Kind::Break => self.leave("{{break}}", Node::Break)?,
            Kind::Continue => self.leave("{{continue}}", Node::Continue)?,
            Kind::Else => {
                let next = self.peek_non_space().kind;
                if matches!(next, Kind::If | Kind::With) {
                    return Ok(Read::Ends(Ends::Else(Some(next))));
                }
                self.expect(Kind::RightDelim, "else")?;
                return Ok(Read::Ends(Ends::Else(None)));
            }
            Kind::End => {
                self.expect(Kind::RightDelim, "end")?;
                return Ok(Read::Ends(Ends::End));
            }
            Kind::If => Node::If(self.control(Kind::If)?),
            Kind::Range => Node::Range(self.control(Kind::Range)?),
            Kind::Template => self.call()?,
            Kind::With => Node::With(self.control(Kind::With)?),
            _ => {
                self.back();
                let at = self.peek().at;
                Node::Action { at, pipe: self.pipeline("command", Kind::RightDelim)? }
            }
        };
        Ok(Read::Node(node))
    }

    fn leave(&mut self, name: &str, node: Node) -> Result<Node, Error> {
        let word = self.next_non_space();
        if word.kind != Kind::RightDelim {
            return Err(self.unexpected(word, name));
        }
        if self.tree().ranges == 0 {
            return Err(self.error(format!("{name} outside {{{{range}}}}")));
        }
        Ok(node)
    }

    fn control(&mut self, kind: Kind) -> Result<Branch, Error> {
        let context = match kind {
            Kind::If => "if",
            Kind::With => "with",
            _ => "range",
        };
        let in_sight = self.tree().variables.len();
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        self.tree().ranges += usize::from(kind == Kind::Range);
        let (list, ends) = self.list()?;
        self.tree().ranges -= usize::from(kind == Kind::Range);
        let otherwise = match ends {
            Ends::End => None,
            // `{{else if x}}…{{end}}` is `{{else}}{{if x}}…{{end}}{{end}}`.
            Ends::Else(Some(next)) if next == kind => {
                self.next_non_space();
                let inner = self.deeper(|parser| parser.control(kind))?;
                Some(vec![if kind == Kind::If { Node::If(inner) } else { Node::With(inner) }])
            }
            Ends::Else(_) => match self.list()? {
                (list, Ends::End) => Some(list),
                (_, Ends::Else(_)) => return Err(self.error("expected end; found {{else}}")),
            },
        };
        self.tree().variables.truncate(in_sight);
        Ok(Branch { pipe, list, otherwise })
    }

    fn block(&mut self) -> Result<Node, Error> {
        const CONTEXT: &str = "block clause";
        let word = self.next_non_space();
        let name = self.named(word, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Kind::RightDelim)?;
        self.trees.push(Tree::new());
        let (list, ends) = self.list()?;
        if matches!(ends, Ends::Else(_)) {
            // Told by the tree around the block, on the last line that it has read.
            self.trees.pop();
            return Err(self.error("unexpected {{else}} in block clause"));
        }
        self.define(name.clone(), list)?;
        self.trees.pop();
        Ok(Node::Template { at: word.at, name, pipe: Some(pipe) })
    }

    fn call(&mut self) -> Result<Node, Error> {
        const CONTEXT: &str = "template clause";
        let word = self.next_non_space();
        let name = self.named(word, CONTEXT)?;
        let mut pipe = None;
        if self.next_non_space().kind != Kind::RightDelim {
            self.back();
            pipe = Some(self.pipeline(CONTEXT, Kind::RightDelim)?);
        }
        Ok(Node::Template { at: word.at, name, pipe })
    }
}

/// Whether a list holds nothing but space: such a template may be defined again.
fn is_empty(list: &[Node]) -> bool {
    list.iter().all(|node| match node {
        Node::Text(text) => text.lossy().trim().is_empty(),
        _ => false,
    })
}
