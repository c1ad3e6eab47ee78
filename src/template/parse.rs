//! From words to a tree. Errors are on the line on which Go finds them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Dialect;
use super::bounds::{DEEPEST_SYNTAX, LONGEST_TEMPLATE};
use super::error::Error;
use super::functions::{self, Function};
use super::lex::{Item, Kind, Lexer};
use super::literal::{self, Number};
use super::value::Text;

/// A template and those that it defines.
#[derive(Debug)]
pub(super) struct Parsed {
    /// What is rendered.
    pub(super) root: Arc<List>,
    /// By name.
    pub(super) defined: BTreeMap<Text, Arc<List>>,
    /// Where each line begins, to tell a column.
    pub(super) lines: Vec<usize>,
}

/// Nodes one after the other.
pub(super) type List = Vec<Node>;

/// One piece of a template. `at` is where an error in it is, in bytes.
#[derive(Debug)]
pub(super) enum Node {
    Text(Text),
    Action { at: usize, pipe: Pipe },
    If(Branch),
    With(Branch),
    Range(Branch),
    Template { at: usize, name: Text, pipe: Option<Pipe> },
    Break,
    Continue,
}

/// What `if`, `with` and `range` have in common.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) list: List,
    pub(super) otherwise: Option<List>,
}

/// Commands, each fed into the next, and the variables that get the result.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) at: usize,
    /// `=` rather than `:=`.
    pub(super) assigns: bool,
    pub(super) variables: Vec<Arc<str>>,
    pub(super) commands: Vec<Command>,
}

/// Operands: a function and its arguments, or one value.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) at: usize,
    pub(super) first: Operand,
    pub(super) rest: Vec<Operand>,
}

/// One operand.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) at: usize,
    pub(super) term: Term,
}

/// What an operand is.
#[derive(Debug)]
pub(super) enum Term {
    Dot,
    Nil,
    Bool(bool),
    Number(Number),
    Text(Text),
    Function(&'static Function),
    /// `.a.b`.
    Field(Vec<Arc<str>>),
    /// `$a`, and the fields behind it.
    Variable(Arc<str>, Vec<Arc<str>>),
    /// `(…)`.
    Pipe(Box<Pipe>),
    /// `(…).a.b`.
    Chain(Box<Operand>, Vec<Arc<str>>),
}

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
        let list = self.body(CONTEXT)?;
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

    fn pipeline(&mut self, context: &'static str, end: Kind) -> Result<Pipe, Error> {
        let at = self.peek_non_space().at;
        let mut pipe = Pipe { at, assigns: false, variables: Vec::new(), commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            let word = self.next_non_space();
            match word.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    self.back();
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return Err(self.unexpected(word, context)),
            }
        }
        if pipe.commands.is_empty() {
            return Err(self.error(format!("missing value for {context}")));
        }
        let is_plain =
            |term: &Term| matches!(term, Term::Bool(_) | Term::Dot | Term::Nil | Term::Number(_) | Term::Text(_));
        if let Some(stage) = pipe.commands.iter().skip(1).position(|command| is_plain(&command.first.term)) {
            return Err(self.error(format!("non executable command in pipeline stage {}", stage + 2)));
        }
        Ok(pipe)
    }

    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<(), Error> {
        loop {
            let variable = self.peek_non_space();
            if variable.kind != Kind::Variable {
                return Ok(());
            }
            self.next();
            // `$x foo` takes three words to tell from `$x := foo`.
            let after = self.peek();
            let next = self.peek_non_space();
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    pipe.assigns = next.kind == Kind::Assign;
                    self.next_non_space();
                    self.declare(pipe, variable.text);
                    return Ok(());
                }
                Kind::Char if next.text == "," => {
                    self.next_non_space();
                    self.declare(pipe, variable.text);
                    if context != "range" || pipe.variables.len() >= 2 {
                        return Err(self.error(format!("too many declarations in {context}")));
                    }
                    let kind = self.peek_non_space().kind;
                    if !matches!(kind, Kind::Variable | Kind::RightDelim | Kind::RightParen) {
                        return Err(self.error("range can only initialize variables"));
                    }
                }
                _ if after.kind == Kind::Space => {
                    self.back_three(variable, after);
                    return Ok(());
                }
                _ => {
                    self.back_two(variable);
                    return Ok(());
                }
            }
        }
    }

    fn declare(&mut self, pipe: &mut Pipe, name: &str) {
        let name: Arc<str> = name.into();
        pipe.variables.push(name.clone());
        self.tree().variables.push(name);
    }

    fn command(&mut self) -> Result<Command, Error> {
        let at = self.peek_non_space().at;
        let mut operands = Vec::new();
        loop {
            self.peek_non_space();
            operands.extend(self.operand()?);
            let word = self.next();
            match word.kind {
                Kind::Space => {}
                Kind::RightDelim | Kind::RightParen => {
                    self.back();
                    break;
                }
                Kind::Pipe => break,
                _ => return Err(self.unexpected(word, "operand")),
            }
        }
        let mut operands = operands.into_iter();
        match operands.next() {
            Some(first) => Ok(Command { at, first, rest: operands.collect() }),
            None => Err(self.error("empty command")),
        }
    }

    fn operand(&mut self) -> Result<Option<Operand>, Error> {
        let Some(term) = self.term()? else { return Ok(None) };
        let chained = self.peek();
        if chained.kind != Kind::Field {
            return Ok(Some(term));
        }
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            let field = self.next();
            fields.push(field_name(field.text));
        }
        let at = chained.at;
        let term = match term.term {
            Term::Field(mut own) => {
                own.extend(fields);
                Operand { at, term: Term::Field(own) }
            }
            Term::Variable(name, mut own) => {
                own.extend(fields);
                Operand { at, term: Term::Variable(name, own) }
            }
            Term::Bool(_) | Term::Text(_) | Term::Number(_) | Term::Nil | Term::Dot => {
                return Err(self.error("unexpected . after a term"));
            }
            _ => Operand { at, term: Term::Chain(Box::new(term), fields) },
        };
        Ok(Some(term))
    }

    fn term(&mut self) -> Result<Option<Operand>, Error> {
        let word = self.next_non_space();
        let term = match word.kind {
            Kind::Identifier => match functions::find(word.text, self.dialect) {
                Some(function) => Term::Function(function),
                None => return Err(self.error(format!("function {:?} not defined", shown(word.text)))),
            },
            Kind::Dot => Term::Dot,
            Kind::Nil => Term::Nil,
            Kind::Variable => match self.tree().variables.iter().find(|name| ***name == *word.text).cloned() {
                Some(name) => Term::Variable(name, Vec::new()),
                None => return Err(self.error(format!("undefined variable {:?}", shown(word.text)))),
            },
            Kind::Field => Term::Field(vec![field_name(word.text)]),
            Kind::Bool => Term::Bool(word.text == "true"),
            Kind::CharConstant | Kind::Complex | Kind::Number => match literal::number(word.text) {
                Some(number) => Term::Number(number),
                None => return Err(self.error("no number of 64 bits, or malformed")),
            },
            Kind::LeftParen => {
                let pipe = self.deeper(|parser| parser.pipeline("parenthesized pipeline", Kind::RightParen))?;
                Term::Pipe(Box::new(pipe))
            }
            Kind::String | Kind::RawString => match literal::unquote(word.text) {
                Some(text) => Term::Text(text.into()),
                None => return Err(self.error("invalid syntax in a quoted text")),
            },
            _ => {
                self.back();
                return Ok(None);
            }
        };
        Ok(Some(Operand { at: word.at, term }))
    }
}

fn field_name(text: &str) -> Arc<str> {
    text.strip_prefix('.').unwrap_or(text).into()
}

fn shown(name: &str) -> &str {
    name.get(..40).unwrap_or(name)
}

/// Whether a list holds nothing but space: such a template may be defined again.
fn is_empty(list: &[Node]) -> bool {
    list.iter().all(|node| match node {
        Node::Text(text) => text.lossy().trim().is_empty(),
        _ => false,
    })
}
