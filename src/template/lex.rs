//! A template's text in words.

use super::unicode;

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Error,
    Bool,
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    Eof,
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelim,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    Dot,
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

/// One word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'t> {
    pub(super) kind: Kind,
    /// Where it begins, in bytes.
    pub(super) at: usize,
    /// Its text; for an error, what is wrong.
    pub(super) text: &'t str,
    /// The line where it begins, from 1.
    pub(super) line: usize,
}

impl Item<'_> {
    pub(super) const NONE: Self = Item { kind: Kind::Error, at: 0, text: "", line: 0 };
}

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
const TRIM: usize = 2;

/// Reads words one after the other, as Go's lexer does: the lines that it counts are those that errors name.
pub(super) struct Lexer<'t> {
    input: &'t str,
    at: usize,
    start: usize,
    line: usize,
    start_line: usize,
    in_action: bool,
    parentheses: usize,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(input: &'t str) -> Self {
        Self { input, at: 0, start: 0, line: 1, start_line: 1, in_action: false, parentheses: 0 }
    }

    /// The next word. After an error there are only further errors.
    pub(super) fn next_item(&mut self) -> Item<'t> {
        if self.in_action { self.inside_action() } else { self.text() }
    }

    fn rest(&self) -> &'t str {
        self.input.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        self.line += usize::from(character == '\n');
        Some(character)
    }

    fn back(&mut self, character: char) {
        self.at -= character.len_utf8();
        self.line -= usize::from(character == '\n');
    }

    fn emit(&mut self, kind: Kind) -> Item<'t> {
        let text = self.input.get(self.start..self.at).unwrap_or_default();
        let item = Item { kind, at: self.start, text, line: self.start_line };
        self.start = self.at;
        self.start_line = self.line;
        item
    }

    fn ignore(&mut self) {
        self.line += newlines(self.input.get(self.start..self.at).unwrap_or_default());
        self.start = self.at;
        self.start_line = self.line;
    }

    fn error(&mut self, problem: &'static str) -> Item<'t> {
        let item = Item { kind: Kind::Error, at: self.start, text: problem, line: self.start_line };
        (self.input, self.at, self.start) = ("", 0, 0);
        item
    }

    fn text(&mut self) -> Item<'t> {
        loop {
            let Some(until) = self.rest().find(LEFT) else {
                self.at = self.input.len();
                if self.at == self.start {
                    return self.emit(Kind::Eof);
                }
                self.line += newlines(&self.input[self.start..self.at]);
                return self.emit(Kind::Text);
            };
            if until > 0 {
                self.at += until;
                let text = &self.input[self.start..self.at];
                let trimmed = if trims_left(&self.input[self.at + LEFT.len()..]) {
                    text.len() - text.trim_end_matches(is_space).len()
                } else {
                    0
                };
                self.at -= trimmed;
                self.line += newlines(&self.input[self.start..self.at]);
                let item = self.emit(Kind::Text);
                self.at += trimmed;
                self.ignore();
                if !item.text.is_empty() {
                    return item;
                }
            }
            // The left delimiter.
            self.at += LEFT.len();
            let marker = if trims_left(self.rest()) { TRIM } else { 0 };
            if !self.rest()[marker..].starts_with("/*") {
                let item = self.emit(Kind::LeftDelim);
                self.in_action = true;
                self.at += marker;
                self.ignore();
                self.parentheses = 0;
                return item;
            }
            self.at += marker;
            self.ignore();
            if let Err(problem) = self.comment() {
                return self.error(problem);
            }
        }
    }

    fn comment(&mut self) -> Result<(), &'static str> {
        self.at += 2;
        self.at += self.rest().find("*/").ok_or("unclosed comment")? + 2;
        let trims = self.at_right_delim().ok_or("comment ends before closing delimiter")?;
        self.at += if trims { TRIM } else { 0 } + RIGHT.len();
        if trims {
            self.skip_space();
        }
        self.ignore();
        Ok(())
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches(is_space).len();
    }

    /// Whether the right delimiter is next, and whether it trims.
    fn at_right_delim(&self) -> Option<bool> {
        let rest = self.rest();
        if trims_right(rest) && rest[TRIM..].starts_with(RIGHT) {
            return Some(true);
        }
        rest.starts_with(RIGHT).then_some(false)
    }

    fn right_delim(&mut self) -> Item<'t> {
        let trims = self.at_right_delim() == Some(true);
        if trims {
            self.at += TRIM;
            self.ignore();
        }
        self.at += RIGHT.len();
        let item = self.emit(Kind::RightDelim);
        if trims {
            self.skip_space();
            self.ignore();
        }
        self.in_action = false;
        item
    }

    fn inside_action(&mut self) -> Item<'t> {
        if self.at_right_delim().is_some() {
            return if self.parentheses == 0 { self.right_delim() } else { self.error("unclosed left paren") };
        }
        let Some(character) = self.bump() else { return self.error("unclosed action") };
        match character {
            _ if is_space(character) => {
                self.back(character);
                self.space()
            }
            '=' => self.emit(Kind::Assign),
            ':' => {
                if self.bump() != Some('=') {
                    return self.error("expected :=");
                }
                self.emit(Kind::Declare)
            }
            '|' => self.emit(Kind::Pipe),
            '"' => self.quoted('"', Kind::String, "unterminated quoted string"),
            '\'' => self.quoted('\'', Kind::CharConstant, "unterminated character constant"),
            '`' => {
                while let Some(next) = self.bump() {
                    if next == '`' {
                        return self.emit(Kind::RawString);
                    }
                }
                self.error("unterminated raw quoted string")
            }
            '$' => self.field_or_variable(Kind::Variable),
            '.' if self.peek().is_some_and(|next| !next.is_ascii_digit()) => self.field_or_variable(Kind::Field),
            '.' | '+' | '-' | '0'..='9' => {
                self.back(character);
                self.number()
            }
            _ if is_alphanumeric(character) => {
                self.back(character);
                self.identifier()
            }
            '(' => {
                self.parentheses += 1;
                self.emit(Kind::LeftParen)
            }
            ')' => {
                let Some(fewer) = self.parentheses.checked_sub(1) else { return self.error("unexpected right paren") };
                self.parentheses = fewer;
                self.emit(Kind::RightParen)
            }
            ' '..='~' => self.emit(Kind::Char),
            _ => self.error("unrecognized character in action"),
        }
    }

    fn space(&mut self) -> Item<'t> {
        let (mut count, mut last) = (0, ' ');
        while let Some(character) = self.peek().filter(|character| is_space(*character)) {
            self.bump();
            (count, last) = (count + 1, character);
        }
        // The last space may belong to a delimiter that trims.
        let before = &self.input[self.at - 1..];
        if trims_right(before) && before[TRIM..].starts_with(RIGHT) {
            self.back(last);
            if count == 1 {
                return self.right_delim();
            }
        }
        self.emit(Kind::Space)
    }

    fn quoted(&mut self, end: char, kind: Kind, problem: &'static str) -> Item<'t> {
        loop {
            match self.bump() {
                Some('\\') if self.peek().is_some_and(|next| next != '\n') => {
                    self.bump();
                }
                Some('\\' | '\n') | None => {
                    return self.error(problem);
                }
                Some(character) if character == end => return self.emit(kind),
                Some(_) => {}
            }
        }
    }

    fn identifier(&mut self) -> Item<'t> {
        while self.peek().is_some_and(is_alphanumeric) {
            self.bump();
        }
        if !self.at_terminator() {
            return self.error("bad character after a name");
        }
        let kind = match &self.input[self.start..self.at] {
            "block" => Kind::Block,
            "break" => Kind::Break,
            "continue" => Kind::Continue,
            "define" => Kind::Define,
            "else" => Kind::Else,
            "end" => Kind::End,
            "if" => Kind::If,
            "nil" => Kind::Nil,
            "range" => Kind::Range,
            "template" => Kind::Template,
            "with" => Kind::With,
            "true" | "false" => Kind::Bool,
            _ => Kind::Identifier,
        };
        self.emit(kind)
    }

    fn field_or_variable(&mut self, kind: Kind) -> Item<'t> {
        if self.at_terminator() {
            // Nothing but the "." or the "$".
            return self.emit(if kind == Kind::Variable { kind } else { Kind::Dot });
        }
        while self.peek().is_some_and(is_alphanumeric) {
            self.bump();
        }
        if self.at_terminator() { self.emit(kind) } else { self.error("bad character after a name") }
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some(' ' | '\t' | '\r' | '\n' | '.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(_) => self.rest().starts_with(RIGHT),
        }
    }

    fn number(&mut self) -> Item<'t> {
        if !self.scan_number() {
            return self.error("bad number syntax");
        }
        if matches!(self.peek(), Some('+' | '-')) {
            if !self.scan_number() || !self.input[..self.at].ends_with('i') {
                return self.error("bad number syntax");
            }
            return self.emit(Kind::Complex);
        }
        self.emit(Kind::Number)
    }

    fn accept(&mut self, any_of: &str) -> bool {
        let accepts = self.peek().is_some_and(|next| any_of.contains(next));
        if accepts {
            self.bump();
        }
        accepts
    }

    fn accept_run(&mut self, any_of: &str) {
        while self.accept(any_of) {}
    }

    fn scan_number(&mut self) -> bool {
        const DECIMAL: &str = "0123456789_";
        const HEXADECIMAL: &str = "0123456789abcdefABCDEF_";
        self.accept("+-");
        let mut digits = DECIMAL;
        if self.accept("0") {
            if self.accept("xX") {
                digits = HEXADECIMAL;
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        if digits == DECIMAL && self.accept("eE") || digits == HEXADECIMAL && self.accept("pP") {
            self.accept("+-");
            self.accept_run(DECIMAL);
        }
        self.accept("i");
        if self.peek().is_some_and(is_alphanumeric) {
            self.bump();
            return false;
        }
        true
    }
}

/// Go's white space within actions.
pub(super) fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

fn is_alphanumeric(character: char) -> bool {
    character == '_' || unicode::is_letter(character) || unicode::is_digit(character)
}

fn trims_left(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next() == Some('-') && characters.next().is_some_and(is_space)
}

fn trims_right(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(is_space) && characters.next() == Some('-')
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}
