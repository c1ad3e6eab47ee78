//! PEM as Go's `encoding/pem` reads and writes it: forgiving about what stands around a block, strict about the block.

use super::texts::shapes::trim_space;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::super::error::Fault;
use super::super::run::Run;
use super::super::value::Text;
use super::encodings::decode_base64;
use super::texts::find;
use super::{Function, external};

/// One block.
pub(super) struct Block {
    /// What stands behind `BEGIN`.
    pub(super) label: Vec<u8>,
    pub(super) headers: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"\n-----END ";
const DASHES: &[u8] = b"-----";
const LINE: usize = 64;

/// The first line without white space at its end, what follows it, and how many bytes it takes.
fn line(text: &[u8]) -> (&[u8], &[u8], usize) {
    let (line, taken) = match text.iter().position(|byte| *byte == b'\n') {
        Some(end) => (text[..end].strip_suffix(b"\r").unwrap_or(&text[..end]), end + 1),
        None => (text, text.len()),
    };
    let blank = line.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    (&line[..line.len() - blank], &text[taken..], taken)
}

impl Block {
    /// A block without headers.
    pub(super) fn new(label: &str, bytes: &[u8]) -> Self {
        let bytes = Zeroizing::new(bytes.to_vec());
        Self { label: label.as_bytes().to_vec(), headers: BTreeMap::new(), bytes }
    }

    /// The first block in a text, and what follows it.
    pub(super) fn decode(text: &[u8]) -> Option<(Self, &[u8])> {
        let mut rest = text;
        loop {
            // The last beginning in front of the first end: what was begun and never ended is passed over.
            let end = find(rest, END)?;
            let after = &rest[end + END.len()..];
            if let Some(begin) = memchr::memmem::rfind(&rest[..end], BEGIN)
                && (begin == 0 || rest[begin - 1] == b'\n')
                && let Some(found) = Self::decode_between(&rest[begin + BEGIN.len()..], end - begin - BEGIN.len())?
            {
                return Some(found);
            }
            rest = after;
        }
    }

    /// A block whose label comes first and whose end is known. The outer `None`: there is none at all in the text.
    #[expect(clippy::option_option, reason = "go on with the next, or give up")]
    fn decode_between(text: &[u8], end: usize) -> Option<Option<(Self, &[u8])>> {
        let (label_line, mut rest, mut taken) = line(text);
        let Some(label) = label_line.strip_suffix(DASHES) else { return Some(None) };
        let mut headers = BTreeMap::new();
        loop {
            if rest.is_empty() {
                return None;
            }
            let (header, next, length) = line(rest);
            let Some(colon) = header.iter().position(|byte| *byte == b':') else { break };
            headers.insert(trim_space(&header[..colon]).to_vec(), trim_space(&header[colon + 1..]).to_vec());
            rest = next;
            taken += length;
        }
        // An empty block ends where its first line does: one byte back.
        if taken > end + 1 || taken > end && !headers.is_empty() {
            return Some(None);
        }
        let Some(trailer) = text.get(end + END.len()..) else { return Some(None) };
        let Some(trailer) = trailer.strip_prefix(label).and_then(|trailer| trailer.strip_prefix(DASHES)) else {
            return Some(None);
        };
        if !line(trailer).0.is_empty() {
            return Some(None);
        }
        let content: Vec<u8> = text
            .get(taken..end)
            .unwrap_or_default()
            .iter()
            .copied()
            .filter(|byte| !matches!(byte, b' ' | b'\t'))
            .collect();
        let Ok(bytes) = decode_base64(&content) else { return Some(None) };
        let block = Self { label: label.to_vec(), headers, bytes: Zeroizing::new(bytes) };
        Some(Some((block, line(trailer).1)))
    }

    /// As text.
    pub(super) fn encode(&self) -> Vec<u8> {
        const FIRST: &[u8] = b"Proc-Type";
        let mut out = [BEGIN, &self.label, DASHES, b"\n"].concat();
        let first = self.headers.get_key_value(FIRST);
        let others = self.headers.iter().filter(|(name, _)| *name != FIRST);
        for (name, value) in first.into_iter().chain(others) {
            out.extend_from_slice(&[name, &b": "[..], value, b"\n"].concat());
        }
        if !self.headers.is_empty() {
            out.push(b'\n');
        }
        let encoded = Zeroizing::new(STANDARD.encode(&*self.bytes));
        for line in encoded.as_bytes().chunks(LINE) {
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        out.extend_from_slice(&END[1..]);
        out.extend_from_slice(&[&self.label, DASHES, b"\n"].concat());
        out
    }
}

/// What stands in front of the first beginning is passed over.
pub(super) fn without_junk(text: &[u8]) -> &[u8] {
    find(text, &BEGIN[..BEGIN.len() - 1]).map_or(text, |at| &text[at..])
}

fn filter_pem(run: &mut Run, label: Text, text: Text) -> Result<Vec<u8>, Fault> {
    run.budget.spend(text.len().saturating_mul(4))?;
    let mut rest = without_junk(&text);
    let mut kept = Vec::new();
    while let Some((block, after)) = Block::decode(rest) {
        rest = after;
        if super::super::unicode::is_same_folded(&block.label, &label) {
            kept.extend_from_slice(&block.encode());
        }
    }
    if kept.is_empty() && !rest.is_empty() {
        return Fault::wrong("junk was found where a PEM block should be");
    }
    Ok(kept)
}

pub(super) fn table() -> Vec<Function> {
    vec![external("filterPEM", filter_pem, "The PEM blocks with that label.")]
}
