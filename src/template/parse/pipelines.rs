//! Pipelines: declarations, commands, operands.

use std::sync::Arc;

use super::super::error::Error;
use super::super::functions;
use super::super::lex::Kind;
use super::super::literal;
use super::{Command, Operand, Parser, Pipe, Term};

impl<'t> Parser<'t> {
    pub(super) fn pipeline(&mut self, context: &'static str, end: Kind) -> Result<Pipe, Error> {
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
