//! What a template works with: Go's types as far as they show.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::functions::dates::Time;
use super::functions::versions::Version;

/// A string of Go: bytes, usually UTF-8. Wiped with its last owner.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Text(Arc<Zeroizing<Vec<u8>>>);

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.as_slice().cmp(other.0.as_slice())
    }
}

impl Text {
    /// As UTF-8, wrong bytes replaced one by one, as Go does it.
    pub(super) fn lossy(&self) -> String {
        super::unicode::lossy(self)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

impl Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

/// What the elements of a list or a dict are declared as; it shows in `typeOf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// `interface {}`.
    Any,
    /// `string`.
    Text,
    /// `int`.
    Int,
    /// `[]interface {}`.
    List,
}

impl Of {
    fn name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Text => "string",
            Self::Int => "int",
            Self::List => "[]interface {}",
        }
    }
}

/// A slice. It never changes; functions make new ones.
#[derive(Clone, Debug)]
pub(super) struct List {
    pub(super) of: Of,
    /// A nil slice: empty, and null in JSON.
    pub(super) is_nil: bool,
    items: Rc<Vec<Value>>,
    /// How deep lists nest in it: what is dropped recursively is bounded by it.
    depth: usize,
}

impl List {
    /// A list. `None` when lists would nest too deep.
    pub(super) fn new(of: Of, items: Vec<Value>) -> Option<Self> {
        let inner = |item: &Value| if let Value::List(list) = item { list.depth } else { 0 };
        let depth = 1 + items.iter().map(inner).max().unwrap_or(0);
        (depth <= super::bounds::DEEPEST_VALUE).then(|| Self { of, is_nil: false, items: Rc::new(items), depth })
    }

    /// The nil slice of a type.
    pub(super) fn nil(of: Of) -> Self {
        Self { of, is_nil: true, items: Rc::default(), depth: 1 }
    }

    /// A list of texts.
    pub(super) fn texts(items: Vec<Text>) -> Self {
        Self { of: Of::Text, is_nil: false, items: Rc::new(items.into_iter().map(Value::Text).collect()), depth: 1 }
    }
}

impl Deref for List {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.items
    }
}

/// A map with string keys. Shared: `set` shows to everyone who has it.
#[derive(Clone, Debug)]
pub(super) struct Dict {
    pub(super) of: Of,
    /// A nil map: empty, and null in JSON.
    pub(super) is_nil: bool,
    entries: Rc<RefCell<Entries>>,
}

/// The content of a dict, in Go's order of printing.
pub(super) type Entries = BTreeMap<Text, Value>;

impl Dict {
    /// Only `Run::dict` calls this: it sees that dicts which contain each other are taken apart in the end.
    pub(super) fn new(of: Of, entries: Entries) -> Self {
        Self { of, is_nil: false, entries: Rc::new(RefCell::new(entries)) }
    }

    /// The nil map. Nothing is ever put into it.
    pub(super) fn nil() -> Self {
        Self { of: Of::Any, is_nil: true, entries: Rc::default() }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Value> {
        // A `Text` borrows as nothing but itself; a lookup costs one copy of the key.
        self.entries.borrow().get(&Text::from(key)).cloned()
    }

    pub(super) fn set(&self, key: Text, value: Value) {
        let before = self.entries.borrow_mut().insert(key, value);
        drop(before);
    }

    pub(super) fn unset(&self, key: &Text) {
        let before = self.entries.borrow_mut().remove(key);
        drop(before);
    }

    pub(super) fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    /// The entries as they are now.
    pub(super) fn entries(&self) -> Entries {
        self.entries.borrow().clone()
    }

    /// Takes everything out.
    pub(super) fn take(&self) -> Entries {
        self.entries.take()
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.entries, &other.entries)
    }
}

/// A certificate with its key, as the `gen…` functions make them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) certificate: Text,
    pub(super) key: Text,
}

/// A value of Go.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// No value at all: reflect's zero Value. Prints `<no value>`.
    Absent,
    /// A nil interface, such as an element of a list. Prints `<nil>`.
    Nil,
    Bool(bool),
    Int(i64),
    Int64(i64),
    /// One byte of a string.
    Uint8(u8),
    Uint64(u64),
    Float(f64),
    Complex(f64, f64),
    Text(Text),
    List(List),
    Dict(Dict),
    Time(Time),
    /// Nanoseconds.
    Duration(i64),
    /// From 1.
    Month(i8),
    /// From 0, Sunday.
    Weekday(i8),
    Version(Rc<Version>),
    Pair(Rc<Pair>),
}

impl Value {
    /// A text.
    pub(super) fn text(text: impl Into<Text>) -> Self {
        Self::Text(text.into())
    }

    /// Go's name of its type, as `%T` prints it.
    pub(super) fn type_name(&self) -> String {
        match self {
            Self::Absent | Self::Nil => "<nil>".to_owned(),
            Self::Bool(_) => "bool".to_owned(),
            Self::Int(_) => "int".to_owned(),
            Self::Int64(_) => "int64".to_owned(),
            Self::Uint8(_) => "uint8".to_owned(),
            Self::Uint64(_) => "uint64".to_owned(),
            Self::Float(_) => "float64".to_owned(),
            Self::Complex(..) => "complex128".to_owned(),
            Self::Text(_) => "string".to_owned(),
            Self::List(list) => format!("[]{}", list.of.name()),
            Self::Dict(dict) => format!("map[string]{}", dict.of.name()),
            Self::Time(_) => "time.Time".to_owned(),
            Self::Duration(_) => "time.Duration".to_owned(),
            Self::Month(_) => "time.Month".to_owned(),
            Self::Weekday(_) => "time.Weekday".to_owned(),
            Self::Version(version) => if version.by_value { "semver.Version" } else { "*semver.Version" }.to_owned(),
            Self::Pair(_) => "sprig.certificate".to_owned(),
        }
    }

    /// Go's name of its kind.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Absent | Self::Nil => "invalid",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::Month(_) | Self::Weekday(_) => "int",
            Self::Int64(_) | Self::Duration(_) => "int64",
            Self::Uint8(_) => "uint8",
            Self::Uint64(_) => "uint64",
            Self::Float(_) => "float64",
            Self::Complex(..) => "complex128",
            Self::Text(_) => "string",
            Self::List(_) => "slice",
            Self::Dict(_) => "map",
            Self::Version(version) if version.by_value => "struct",
            Self::Version(_) => "ptr",
            Self::Time(_) | Self::Pair(_) => "struct",
        }
    }

    /// Whether `if` takes it for true: not the zero of its type.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Absent | Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) | Self::Int64(value) | Self::Duration(value) => *value != 0,
            Self::Month(value) | Self::Weekday(value) => *value != 0,
            Self::Uint8(value) => *value != 0,
            Self::Uint64(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Complex(real, imaginary) => *real != 0.0 || *imaginary != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Dict(dict) => dict.len() > 0,
            Self::Time(_) | Self::Version(_) | Self::Pair(_) => true,
        }
    }

    /// Whether there is nothing in it at all: what a nil interface and no value have in common.
    pub(super) fn is_nil(&self) -> bool {
        matches!(self, Self::Absent | Self::Nil)
    }

    /// Whether two values are deeply equal: of the same type, with the same content.
    pub(super) fn is_equal(&self, other: &Self, depth: usize) -> bool {
        if depth == 0 {
            return false;
        }
        match (self, other) {
            (Self::Absent | Self::Nil, Self::Absent | Self::Nil) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b))
            | (Self::Int64(a), Self::Int64(b))
            | (Self::Duration(a), Self::Duration(b)) => a == b,
            (Self::Month(a), Self::Month(b)) | (Self::Weekday(a), Self::Weekday(b)) => a == b,
            (Self::Uint8(a), Self::Uint8(b)) => a == b,
            (Self::Uint64(a), Self::Uint64(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b) == Some(Ordering::Equal),
            (Self::Complex(a, b), Self::Complex(c, d)) => (a, b).partial_cmp(&(c, d)) == Some(Ordering::Equal),
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::List(a), Self::List(b)) => {
                a.of == b.of
                    && a.is_nil == b.is_nil
                    && a.len() == b.len()
                    && a.iter().zip(b.iter()).all(|(a, b)| a.is_equal(b, depth - 1))
            }
            (Self::Dict(a), Self::Dict(b)) => {
                let same = |(key, value): (&Text, &Self)| b.get(key).is_some_and(|b| value.is_equal(&b, depth - 1));
                a.of == b.of
                    && a.is_nil == b.is_nil
                    && a.len() == b.len()
                    && (a.is_same(b) || a.entries().iter().all(same))
            }
            (Self::Time(a), Self::Time(b)) => a == b,
            (Self::Version(a), Self::Version(b)) => a == b,
            (Self::Pair(a), Self::Pair(b)) => a == b,
            _ => false,
        }
    }
}
