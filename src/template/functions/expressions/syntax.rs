//! Go's syntax of regular expressions, read and written anew for the `regex` crate.
//!
//! The two differ in small things: `\d` is ASCII in Go, `$` the very end, `[a[b]` has no class within a class.

use std::fmt::Write;

use super::Refused;

/// Go's own bound of a repetition, and of repetitions within each other.
const MOST_REPEATS: u32 = 1000;

/// Deepest nesting of groups.
pub(super) const DEEPEST: usize = 200;

/// Reads Go's syntax and writes ours.
pub(super) struct Reader {
    letters: Vec<char>,
    at: usize,
    /// `i`, `m`, `s`, `U`.
    flags: Flags,
    names: Vec<String>,
    depth: usize,
}

#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are the flags of a group")]
struct Flags {
    folds: bool,
    lines: bool,
    dot_takes_newline: bool,
    swaps_greed: bool,
}

/// What was read last: a repetition needs something in front of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Piece,
    Repetition,
}

impl Reader {
    pub(super) fn new(expression: &str) -> Self {
        Self { letters: expression.chars().collect(), at: 0, flags: Flags::default(), names: Vec::new(), depth: 0 }
    }

    fn peek(&self) -> Option<char> {
        self.letters.get(self.at).copied()
    }

    fn looks_at(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(more, letter)| self.letters.get(self.at + more) == Some(&letter))
    }

    fn bump(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += 1;
        Some(letter)
    }

    pub(super) fn whole(mut self) -> Result<String, Refused> {
        let (written, _) = self.alternatives()?;
        match self.peek() {
            None => Ok(written),
            Some(_) => Err(Refused::Wrong("unexpected )")),
        }
    }

    /// Up to the end or to a `)`. Gives also the greatest number of repetitions within each other.
    fn alternatives(&mut self) -> Result<(String, u32), Refused> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Refused::TooMuch);
        }
        let mut out = String::new();
        // Where the last piece begins, and how often it repeats within.
        let (mut piece_at, mut piece_repeats, mut most) = (0, 1, 1);
        let mut last = Last::Nothing;
        while let Some(letter) = self.peek() {
            match letter {
                ')' => break,
                '|' => {
                    self.at += 1;
                    out.push('|');
                    last = Last::Nothing;
                    continue;
                }
                '*' | '+' | '?' => {
                    self.at += 1;
                    let bounds = match letter {
                        '*' => "*",
                        '+' => "+",
                        _ => "?",
                    };
                    self.repeat(&mut out, piece_at, bounds, last)?;
                    last = Last::Repetition;
                    continue;
                }
                '{' => {
                    if let Some((low, high)) = self.repetition() {
                        let limit = high.flatten().unwrap_or(low);
                        if low > MOST_REPEATS || limit > MOST_REPEATS || limit < low {
                            return Err(Refused::Wrong("invalid repeat count"));
                        }
                        let bounds = match high {
                            None => format!("{{{low}}}"),
                            Some(None) => format!("{{{low},}}"),
                            Some(Some(high)) => format!("{{{low},{high}}}"),
                        };
                        self.repeat(&mut out, piece_at, &bounds, last)?;
                        piece_repeats = u32::saturating_mul(piece_repeats, limit.max(1));
                        if piece_repeats > MOST_REPEATS {
                            return Err(Refused::Wrong("invalid repeat count"));
                        }
                        most = most.max(piece_repeats);
                        last = Last::Repetition;
                        continue;
                    }
                }
                _ => {}
            }
            if self.looks_at("\\Q") {
                self.at += 2;
                last = self.quoted(&mut out, &mut piece_at, last);
                piece_repeats = 1;
                continue;
            }
            let begin = out.len();
            piece_repeats = 1;
            let is_piece = self.piece(&mut out, &mut piece_repeats)?;
            most = most.max(piece_repeats);
            if is_piece {
                piece_at = begin;
                last = Last::Piece;
            } else {
                // Flags alone: what is in front of them can still not be repeated.
                last = if last == Last::Repetition { Last::Piece } else { last };
                piece_at = begin;
                if last == Last::Piece {
                    last = Last::Nothing;
                }
            }
        }
        self.depth -= 1;
        Ok((out, most))
    }

    fn repeat(&mut self, out: &mut String, piece_at: usize, bounds: &str, last: Last) -> Result<(), Refused> {
        let is_lazy = self.peek() == Some('?');
        self.at += usize::from(is_lazy);
        match last {
            Last::Nothing => return Err(Refused::Wrong("missing argument to repetition operator")),
            Last::Repetition => return Err(Refused::Wrong("invalid nested repetition operator")),
            Last::Piece => {}
        }
        out.insert_str(piece_at, "(?:");
        out.push(')');
        *out += bounds;
        if is_lazy != self.flags.swaps_greed {
            out.push('?');
        }
        Ok(())
    }

    /// `{n}`, `{n,}` or `{n,m}`; anything else is text.
    fn repetition(&mut self) -> Option<(u32, Option<Option<u32>>)> {
        let begin = self.at;
        let found = self.repetition_here();
        if found.is_none() {
            self.at = begin;
        }
        found
    }

    fn repetition_here(&mut self) -> Option<(u32, Option<Option<u32>>)> {
        self.at += 1;
        let low = self.count()?;
        if self.peek() == Some('}') {
            self.at += 1;
            return Some((low, None));
        }
        if self.bump() != Some(',') {
            return None;
        }
        if self.peek() == Some('}') {
            self.at += 1;
            return Some((low, Some(None)));
        }
        let high = self.count()?;
        (self.bump() == Some('}')).then_some((low, Some(Some(high))))
    }

    fn count(&mut self) -> Option<u32> {
        let begin = self.at;
        while self.peek().is_some_and(|letter| letter.is_ascii_digit()) {
            self.at += 1;
        }
        let digits: String = self.letters[begin..self.at].iter().collect();
        if digits.is_empty() || digits.len() > 1 && digits.starts_with('0') {
            return None;
        }
        Some(digits.parse().unwrap_or(u32::MAX))
    }

    fn quoted(&mut self, out: &mut String, piece_at: &mut usize, last: Last) -> Last {
        let mut last = if last == Last::Repetition { Last::Piece } else { last };
        while self.peek().is_some() {
            if self.looks_at("\\E") {
                self.at += 2;
                break;
            }
            if let Some(letter) = self.bump() {
                *piece_at = out.len();
                self.literal(letter, out);
                last = Last::Piece;
            }
        }
        last
    }

    /// One piece. Tells whether it can be repeated; flags alone cannot.
    fn piece(&mut self, out: &mut String, repeats: &mut u32) -> Result<bool, Refused> {
        let Some(letter) = self.bump() else { return Ok(false) };
        match letter {
            '(' => return self.group(out, repeats),
            '^' => *out += if self.flags.lines { "(?m:^)" } else { r"\A" },
            '$' => *out += if self.flags.lines { "(?m:$)" } else { r"\z" },
            '.' => *out += if self.flags.dot_takes_newline { "(?s:.)" } else { r"[^\n]" },
            '[' => self.class(out)?,
            '\\' => self.escape(out)?,
            other => self.literal(other, out),
        }
        Ok(true)
    }

    fn literal(&self, letter: char, out: &mut String) {
        let _ = if self.flags.folds {
            write!(out, "(?i:\\x{{{:X}}})", u32::from(letter))
        } else {
            write!(out, "\\x{{{:X}}}", u32::from(letter))
        };
    }

    fn group(&mut self, out: &mut String, repeats: &mut u32) -> Result<bool, Refused> {
        let outer = self.flags;
        if self.peek() != Some('?') {
            out.push('(');
        } else if self.looks_at("?P<") || self.looks_at("?<") {
            self.at += if self.looks_at("?P<") { 3 } else { 2 };
            let begin = self.at;
            while self.peek().is_some_and(|letter| letter != '>') {
                self.at += 1;
            }
            let name: String = self.letters[begin..self.at].iter().collect();
            if self.bump().is_none() || name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            {
                return Err(Refused::Wrong("invalid named capture"));
            }
            if self.names.contains(&name) {
                return Err(Refused::Wrong("duplicate capture group name"));
            }
            // Names that begin with a digit are fine for Go alone; they get a letter in front.
            let _ = write!(out, "(?P<n{name}>");
            self.names.push(name);
        } else {
            self.at += 1;
            if !self.set_flags()? {
                return Ok(false);
            }
            *out += "(?:";
        }
        let (inner, most) = self.alternatives()?;
        if self.bump() != Some(')') {
            return Err(Refused::Wrong("missing closing )"));
        }
        *out += &inner;
        out.push(')');
        *repeats = most;
        self.flags = outer;
        Ok(true)
    }

    /// Flags up to `:` or `)`. Tells whether a group follows.
    fn set_flags(&mut self) -> Result<bool, Refused> {
        const INVALID: Refused = Refused::Wrong("invalid or unsupported Perl syntax");
        let mut flags = self.flags;
        let (mut value, mut any) = (true, false);
        loop {
            let letter =
                self.bump().ok_or(Refused::Wrong("missing argument to repetition operator")).map_err(|_| INVALID)?;
            match letter {
                'i' => flags.folds = value,
                'm' => flags.lines = value,
                's' => flags.dot_takes_newline = value,
                'U' => flags.swaps_greed = value,
                '-' if value => {
                    (value, any) = (false, false);
                    continue;
                }
                ':' | ')' if value || any => {
                    self.flags = flags;
                    return Ok(letter == ':');
                }
                _ => return Err(INVALID),
            }
            any = true;
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), Refused> {
        match self.peek() {
            Some('A') => *out += r"\A",
            Some('z') => *out += r"\z",
            Some('b') => *out += r"(?-u:\b)",
            Some('B') => *out += r"(?-u:\B)",
            Some(letter) if ascii_class(letter).is_some() => {
                let class = ascii_class(letter).unwrap_or_default();
                *out += &if self.flags.folds { format!("(?i:[{class}])") } else { format!("[{class}]") };
            }
            Some('p' | 'P') => {
                let class = self.unicode_class()?;
                *out += &if self.flags.folds { format!("(?i:{class})") } else { class };
                return Ok(());
            }
            _ => {
                let letter = self.escaped_letter()?;
                self.literal(letter, out);
                return Ok(());
            }
        }
        self.at += 1;
        Ok(())
    }

    /// What stands behind a backslash for one character.
    fn escaped_letter(&mut self) -> Result<char, Refused> {
        const INVALID: Refused = Refused::Wrong("invalid escape sequence");
        let letter = self.bump().ok_or(Refused::Wrong("trailing backslash at end of expression"))?;
        Ok(match letter {
            'a' => '\x07',
            'f' => '\x0C',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0B',
            '0'..='7' => {
                // One digit alone would be a reference to a group.
                let octal = |letter: Option<char>| letter.and_then(|letter| letter.to_digit(8));
                if letter != '0' && octal(self.peek()).is_none() {
                    return Err(INVALID);
                }
                let mut value = letter.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    if let Some(digit) = octal(self.peek()) {
                        value = value * 8 + digit;
                        self.at += 1;
                    }
                }
                char::from_u32(value).ok_or(INVALID)?
            }
            'x' => {
                let mut digits = String::new();
                if self.peek() == Some('{') {
                    self.at += 1;
                    while let Some(digit) = self.peek().filter(char::is_ascii_hexdigit) {
                        digits.push(digit);
                        self.at += 1;
                    }
                    if self.bump() != Some('}') || digits.is_empty() || digits.len() > 8 {
                        return Err(INVALID);
                    }
                } else {
                    digits.extend([self.bump().ok_or(INVALID)?, self.bump().ok_or(INVALID)?]);
                }
                let value = u32::from_str_radix(&digits, 16).map_err(|_| INVALID)?;
                char::from_u32(value).ok_or(INVALID)?
            }
            other if other.is_ascii() && !other.is_ascii_alphanumeric() => other,
            _ => return Err(INVALID),
        })
    }

    fn unicode_class(&mut self) -> Result<String, Refused> {
        const INVALID: Refused = Refused::Wrong("invalid character class range");
        let mut negated = self.bump() == Some('P');
        let mut name = String::new();
        match self.bump().ok_or(INVALID)? {
            '{' => loop {
                match self.bump().ok_or(INVALID)? {
                    '}' => break,
                    letter => name.push(letter),
                }
            },
            letter => name.push(letter),
        }
        if let Some(rest) = name.strip_prefix('^') {
            negated = !negated;
            name = rest.to_owned();
        }
        // Go's names begin with a capital and have no spaces.
        let is_name = name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name {
            return Err(INVALID);
        }
        Ok(format!("\\{}{{{name}}}", if negated { 'P' } else { 'p' }))
    }

    fn class(&mut self, out: &mut String) -> Result<(), Refused> {
        const MISSING: Refused = Refused::Wrong("missing closing ]");
        const RANGE: Refused = Refused::Wrong("invalid character class range");
        let mut inner = String::new();
        let negated = self.peek() == Some('^');
        self.at += usize::from(negated);
        let mut is_first = true;
        loop {
            match self.peek() {
                None => return Err(MISSING),
                Some(']') if !is_first => {
                    self.at += 1;
                    break;
                }
                Some('[') if self.letters.get(self.at + 1) == Some(&':') => {
                    if self.posix_class(&mut inner)? {
                        is_first = false;
                        continue;
                    }
                }
                Some('\\') => match self.letters.get(self.at + 1).copied() {
                    Some('p' | 'P') => {
                        self.at += 1;
                        inner += &self.unicode_class()?;
                        is_first = false;
                        continue;
                    }
                    Some(letter) if ascii_class(letter).is_some() => {
                        self.at += 2;
                        let class = ascii_class(letter).unwrap_or_default();
                        let _ = write!(inner, "[{class}]");
                        is_first = false;
                        continue;
                    }
                    _ => {}
                },
                Some(_) => {}
            }
            is_first = false;
            let low = self.class_letter()?;
            let mut high = low;
            if self.peek() == Some('-') && self.letters.get(self.at + 1).is_some_and(|next| *next != ']') {
                self.at += 1;
                high = self.class_letter()?;
                if high < low {
                    return Err(RANGE);
                }
            }
            let _ = write!(inner, "\\x{{{:X}}}-\\x{{{:X}}}", u32::from(low), u32::from(high));
        }
        let sign = if negated { "^" } else { "" };
        let _ = if self.flags.folds { write!(out, "(?i:[{sign}{inner}])") } else { write!(out, "[{sign}{inner}]") };
        Ok(())
    }

    fn class_letter(&mut self) -> Result<char, Refused> {
        match self.bump().ok_or(Refused::Wrong("missing closing ]"))? {
            '\\' => self.escaped_letter(),
            letter => Ok(letter),
        }
    }

    fn posix_class(&mut self, inner: &mut String) -> Result<bool, Refused> {
        let rest: String = self.letters[self.at..].iter().take(20).collect();
        let Some(end) = rest.find(":]") else { return Ok(false) };
        let name = &rest[2..end];
        let (negated, bare) = match name.strip_prefix('^') {
            Some(bare) => ("^", bare),
            None => ("", name),
        };
        const KNOWN: [&str; 14] = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
            "word", "xdigit",
        ];
        if !KNOWN.contains(&bare) {
            return Err(Refused::Wrong("invalid character class range"));
        }
        let _ = write!(inner, "[:{negated}{bare}:]");
        self.at += rest[..end + 2].chars().count();
        Ok(true)
    }
}

/// What `\d` and its like are in Go: ASCII.
fn ascii_class(letter: char) -> Option<&'static str> {
    Some(match letter {
        'd' => "0-9",
        'D' => "^0-9",
        's' => r"\t\n\x0C\r ",
        'S' => r"^\t\n\x0C\r ",
        'w' => "0-9A-Za-z_",
        'W' => "^0-9A-Za-z_",
        _ => return None,
    })
}
