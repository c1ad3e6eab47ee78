//! What `seal` notes beside the items, so that they can be checked where no key is.
//!
//! A sealed item tells neither its key nor its place. The annotation `ANNOTATION` of the SealedSecret does, in one line
//! without any secret: groups of items by key, scope and place, each item with a short digest of its ciphertext, so that
//! a note is not believed when another program changed the item.
//!
//! ```text
//! SHA256:mVPwvezrULsl…  strict shop/db-login password=1f2e3d4c,username=9a8b7c6d
//! ```
//!
//! Groups are separated by `; `. The reference ignores the annotation.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest, Sha256};

use crate::certificate::Fingerprint;
use crate::scope::Scope;

/// The annotation's name.
pub const ANNOTATION: &str = "chancery.dev/sealed";

/// How one item was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// With which key.
    pub key: Fingerprint,
    /// With which scope.
    pub scope: Scope,
    /// For which place: `namespace/name`, `namespace`, or nothing.
    pub place: String,
    digest: String,
}

/// The notes of one SealedSecret, by item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks(BTreeMap<String, Mark>);

impl Mark {
    /// Notes how this item, given as base64, was sealed.
    pub fn new(key: &Fingerprint, scope: Scope, namespace: &str, name: &str, item: &str) -> Self {
        let place = String::from_utf8_lossy(&scope.label(namespace, name)).into_owned();
        Self { key: key.clone(), scope, place, digest: digest(item) }
    }
}

impl Marks {
    /// Reads the annotation. What cannot be read is not there: a note is a help, never a proof.
    pub fn read(annotation: &str) -> Self {
        Self(annotation.split("; ").filter_map(group).flatten().collect())
    }

    /// The note of an item, if it speaks of this very ciphertext.
    pub fn of(&self, name: &str, item: &str) -> Option<&Mark> {
        self.0.get(name).filter(|mark| mark.digest == digest(item))
    }

    /// Notes an item. Names that no Secret can have are left out.
    pub fn insert(&mut self, name: &str, mark: Mark) {
        if is_name(name) {
            self.0.insert(name.to_owned(), mark);
        }
    }

    /// Forgets an item.
    pub fn remove(&mut self, name: &str) -> Option<Mark> {
        self.0.remove(name)
    }

    /// Whether nothing is noted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut groups: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for (name, mark) in &self.0 {
            let group = (mark.key.as_str(), mark.scope.to_string(), mark.place.as_str());
            groups.entry(group).or_default().push(format!("{name}={}", mark.digest));
        }
        let written = groups.into_iter().map(|((key, scope, place), items)| {
            let place = if place.is_empty() { "*" } else { place };
            format!("{key} {scope} {place} {}", items.join(","))
        });
        f.write_str(&written.collect::<Vec<_>>().join("; "))
    }
}

fn group(text: &str) -> Option<Vec<(String, Mark)>> {
    let mut words = text.split_whitespace();
    let key: Fingerprint = words.next()?.parse().ok()?;
    let scope: Scope = words.next()?.parse().ok()?;
    // No place has a semicolon, which would be taken for the end of the group when it is written anew.
    let place = words.next().filter(|place| !place.contains(';'))?;
    let place = if place == "*" { "" } else { place };
    let items = words.next()?.split(',').map(|item| {
        let (name, digest) = item.split_once('=').filter(|(name, digest)| is_name(name) && is_digest(digest))?;
        let mark = Mark { key: key.clone(), scope, place: place.to_owned(), digest: digest.to_owned() };
        Some((name.to_owned(), mark))
    });
    items.collect()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

fn is_digest(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Enough of SHA-256 to see that an item is another one; white space does not count, as the decoder skips it.
fn digest(item: &str) -> String {
    let mut hash = Sha256::new();
    item.split_ascii_whitespace().for_each(|part| hash.update(part));
    hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_one_line_and_come_back() {
        let key: Fingerprint = format!("SHA256:{}", "A".repeat(43)).parse().unwrap();
        let mut marks = Marks::default();
        marks.insert("password", Mark::new(&key, Scope::Strict, "shop", "db", "AgBx"));
        marks.insert("user.name", Mark::new(&key, Scope::Strict, "shop", "db", "AgBy"));
        marks.insert("shared", Mark::new(&key, Scope::ClusterWide, "shop", "db", "AgBz"));
        marks.insert("no, name", Mark::new(&key, Scope::Strict, "shop", "db", "AgBz"));
        let line = marks.to_string();
        assert!(!line.contains('\n') && !line.contains("no, name"), "{line}");
        assert_eq!(Marks::read(&line), marks);
        assert!(marks.of("password", "AgB\nx").is_some());
        assert!(marks.of("password", "AgBy").is_none(), "another ciphertext");
    }

    #[test]
    fn what_is_no_note_says_nothing() {
        for text in ["", "words", "SHA256:x strict a/b c=d", "; ; ;", "SHA256: SHA256: SHA256:"] {
            assert!(Marks::read(text).is_empty(), "{text:?}");
        }
        // Found by the fuzzer: these were read, and not read again when they were written anew.
        let key = format!("SHA256:{}", "A".repeat(43));
        for rest in ["shop/db;\rpassword=1f2e3d4c", "shop/db password=;", "shop/db pass;word=1f2e3d4c"] {
            assert!(Marks::read(&format!("{key} strict {rest}")).is_empty(), "{rest:?}");
        }
    }
}
