//! Words in another case: `some_words`, `SomeWords`, `some-words`.

use super::super::super::unicode::{self, characters, is_space};
use super::super::super::value::Text;

pub(super) fn camelcase(text: Text) -> String {
    let letters: Vec<char> = characters(&text).map(|(_, character)| character).collect();
    let Some(first) = letters.iter().position(|letter| !is_connector(*letter)) else {
        // Nothing but connectors: the last is there twice, as in the original.
        return letters.iter().chain(letters.last()).collect();
    };
    let mut out: String = letters[..first].iter().collect();
    let mut word_began_upper = unicode::is_upper(letters[first]);
    let mut current = unicode::to_upper(letters[first]);
    for letter in &letters[first + 1..] {
        let before = std::mem::replace(&mut current, *letter);
        if is_connector(current) && is_connector(before) {
            out.push(before);
        } else if is_connector(before) {
            word_began_upper = unicode::is_upper(current);
            current = unicode::to_upper(current);
        } else {
            if word_began_upper {
                if unicode::is_upper(current) {
                    current = unicode::to_lower(current);
                } else {
                    word_began_upper = false;
                }
            }
            out.push(before);
        }
    }
    out.push(current);
    out
}

pub(super) fn snakecase(text: Text) -> Vec<u8> {
    words_joined(&text, '_')
}

pub(super) fn kebabcase(text: Text) -> Vec<u8> {
    words_joined(&text, '-')
}

fn is_connector(character: char) -> bool {
    matches!(character, '-' | '_') || is_space(character)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    None,
    Number,
    UpperCase,
    Alphabet,
    Connector,
    Punctuation,
    Other,
}

impl Word {
    fn is_visible_break(self) -> bool {
        !matches!(self, Self::None | Self::Connector | Self::Punctuation)
    }
}

/// Words in lower case with a connector between: where a word ends is the original's rule.
fn words_joined(text: &[u8], connector: char) -> Vec<u8> {
    let letters = letters_of(text);
    let mut out = Vec::new();
    let (mut kind, mut word, mut rest) = next_word(&letters);
    while !rest.is_empty() {
        if kind != Word::Connector {
            lower_word(&mut out, kind, word, connector);
        }
        let (before, last) = (kind, word);
        (kind, word, rest) = next_word(rest);
        match before {
            Word::Number => {
                while matches!(kind, Word::Alphabet | Word::Number) {
                    lower_word(&mut out, kind, word, connector);
                    (kind, word, rest) = next_word(rest);
                }
                if kind.is_visible_break() {
                    put(&mut out, connector);
                }
            }
            Word::Connector => lower_word(&mut out, before, last, connector),
            Word::Punctuation => {}
            _ if kind != Word::Number => {
                if kind != Word::Connector && kind != Word::Punctuation {
                    put(&mut out, connector);
                }
            }
            _ if rest.is_empty() => {}
            _ => {
                let number = word;
                (kind, word, rest) = next_word(rest);
                if kind != Word::Alphabet {
                    lower_word(&mut out, Word::Number, number, connector);
                    if kind != Word::Connector && kind != Word::Punctuation {
                        put(&mut out, connector);
                    }
                    continue;
                }
                put(&mut out, connector);
                lower_word(&mut out, Word::Number, number, connector);
                while matches!(kind, Word::Alphabet | Word::Number) {
                    lower_word(&mut out, kind, word, connector);
                    (kind, word, rest) = next_word(rest);
                }
                if kind.is_visible_break() {
                    put(&mut out, connector);
                }
            }
        }
    }
    lower_word(&mut out, kind, word, connector);
    out
}

fn put(out: &mut Vec<u8>, character: char) {
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

fn lower_word(out: &mut Vec<u8>, kind: Word, word: &[Letter<'_>], connector: char) {
    if kind != Word::UpperCase && kind != Word::Connector {
        word.iter().for_each(|letter| out.extend_from_slice(letter.bytes));
        return;
    }
    for (_, character) in word.iter().flat_map(|letter| characters(letter.bytes)) {
        put(
            out,
            match character {
                character if is_connector(character) => connector,
                character if unicode::is_upper(character) => unicode::to_lower(character),
                character => character,
            },
        );
    }
}

/// A character with the wrong bytes in front of it, which stay with it.
struct Letter<'t> {
    character: char,
    bytes: &'t [u8],
}

fn letters_of(text: &[u8]) -> Vec<Letter<'_>> {
    let mut letters: Vec<Letter<'_>> = Vec::new();
    let mut begin = 0;
    for (at, character) in characters(text).filter(|(_, character)| *character != unicode::REPLACEMENT) {
        let end = at + character.len_utf8();
        letters.push(Letter { character, bytes: &text[begin..end] });
        begin = end;
    }
    if begin < text.len() {
        // Wrong bytes at the end count as what is in front of them.
        let character = letters.last().map_or(unicode::REPLACEMENT, |letter| letter.character);
        letters.push(Letter { character, bytes: &text[begin..] });
    }
    letters
}

/// A letter, but none of the signs of Chinese.
fn is_alphabet(character: char) -> bool {
    let is_sign = matches!(character, '\u{3400}'..='\u{4D85}' | '\u{4E00}'..='\u{9FCC}' | '\u{20000}'..='\u{2B81D}');
    !is_sign && unicode::is_letter(character)
}

fn next_word<'a, 't>(letters: &'a [Letter<'t>]) -> (Word, &'a [Letter<'t>], &'a [Letter<'t>]) {
    let Some(first) = letters.first().map(|letter| letter.character) else { return (Word::None, &[], &[]) };
    if first == unicode::REPLACEMENT {
        return (Word::None, letters, &[]);
    }
    let run = |from: usize, fits: &dyn Fn(char) -> bool| {
        letters[from..].iter().position(|letter| !fits(letter.character)).map_or(letters.len(), |more| from + more)
    };
    let goes_on = |letter| is_alphabet(letter) && !unicode::is_upper(letter);
    let (kind, count) = if is_connector(first) {
        (Word::Connector, run(1, &is_connector))
    } else if unicode::is_punctuation(first) {
        (Word::Punctuation, run(1, &unicode::is_punctuation))
    } else if unicode::is_upper(first) {
        match letters.get(1).map(|letter| letter.character) {
            Some(second) if unicode::is_upper(second) => {
                let end = run(2, &unicode::is_upper);
                // The last upper case letter begins the next word, if that goes on.
                let begins_next = letters.get(end).is_some_and(|letter| is_alphabet(letter.character));
                (Word::UpperCase, end - usize::from(begins_next))
            }
            Some(second) if is_alphabet(second) => (Word::UpperCase, run(2, &goes_on)),
            _ => (Word::UpperCase, 1),
        }
    } else if is_alphabet(first) {
        (Word::Alphabet, run(1, &goes_on))
    } else if unicode::is_number(first) {
        (Word::Number, run(1, &unicode::is_number))
    } else {
        let ends = |letter| {
            is_connector(letter) || is_alphabet(letter) || unicode::is_number(letter) || unicode::is_punctuation(letter)
        };
        (Word::Other, run(1, &|letter| !ends(letter)))
    };
    let (word, rest) = letters.split_at(count);
    (kind, word, rest)
}
