//! What a function takes and gives, read from its Rust type.

use super::error::Fault;
use super::functions::dates::Time;
use super::functions::versions::Version;
use super::run::Run;
use super::value::{Dict, List, Of, Pair, Text, Value};
use std::rc::Rc;

/// What a parameter is declared as. Go checks it where the argument stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// `interface {}`.
    Any,
    /// Whatever the value is: the built-in functions look themselves.
    Raw,
    Text,
    Int,
    Int64,
    Uint32,
    Bool,
    Float,
    /// `map[string]interface {}`.
    Dict,
    /// `[]interface {}`.
    List,
    Time,
    Duration,
    Version,
    Pair,
    /// `sprig.HashAlgorithm`: a text of a type of its own, so that only one written in the template is one.
    HashAlgorithm,
}

impl Type {
    /// Go's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Raw => "value",
            Self::Text => "string",
            Self::Int => "int",
            Self::Int64 => "int64",
            Self::Uint32 => "uint32",
            Self::Bool => "bool",
            Self::Float => "float64",
            Self::Dict => "dict",
            Self::List => "list",
            Self::Time => "time",
            Self::Duration => "duration",
            Self::Version => "version",
            Self::Pair => "certificate",
            Self::HashAlgorithm => "hash",
        }
    }

    /// Whether nothing at all stands for a value of it.
    pub(super) fn takes_nil(self) -> bool {
        matches!(self, Self::Any | Self::Raw | Self::Dict | Self::List | Self::Version)
    }

    /// Whether a value may be given without any conversion: Go has none here.
    pub(super) fn takes(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Any | Self::Raw, _)
            | (Self::Text, Value::Text(_))
            | (Self::Int, Value::Int(_))
            | (Self::Int64, Value::Int64(_))
            | (Self::Bool, Value::Bool(_))
            | (Self::Float, Value::Float(_))
            | (Self::Time, Value::Time(_))
            | (Self::Duration, Value::Duration(_))
            | (Self::Pair, Value::Pair(_)) => true,
            (Self::Version, Value::Version(version)) => !version.by_value,
            (Self::Dict, Value::Dict(dict)) => dict.of == Of::Any,
            (Self::List, Value::List(list)) => list.of == Of::Any,
            _ => false,
        }
    }
}

/// Something that a function takes.
pub(super) trait Parameter: Sized {
    /// What it is declared as.
    const TYPE: Type;
    /// Whether it takes all arguments that are left.
    const IS_REST: bool = false;

    /// Takes it from the arguments, whose types were checked.
    fn take(arguments: &mut std::vec::IntoIter<Value>) -> Result<Self, Fault>;
}

/// Something that a function gives.
pub(super) trait Gives {
    /// Its name in the reference.
    const NAME: &'static str;

    fn put(self) -> Result<Value, Fault>;
}

/// All arguments that are left.
pub(super) struct Rest<T>(pub(super) Vec<T>);
/// A parameter or a result of the type `int64`.
pub(super) struct Int64(pub(super) i64);
/// A value that the function looks at itself.
pub(super) struct Raw(pub(super) Value);
/// A result of the type `[]int`.
pub(super) struct Ints(pub(super) Vec<i64>);
/// A dict that may be nil, which is another thing than an empty one where Go asks.
pub(super) struct Nilable<T>(pub(super) Option<T>);

macro_rules! parameter {
    ($type:ty, $declared:ident, $pattern:pat => $taken:expr) => {
        impl Parameter for $type {
            const TYPE: Type = Type::$declared;

            fn take(arguments: &mut std::vec::IntoIter<Value>) -> Result<Self, Fault> {
                match arguments.next() {
                    Some($pattern) => Ok($taken),
                    _ => Fault::wrong("an argument is missing or of another type"),
                }
            }
        }
    };
}

parameter!(Text, Text, Value::Text(text) => text);
parameter!(i64, Int, Value::Int(number) => number);
parameter!(Int64, Int64, Value::Int64(number) => Int64(number));
parameter!(bool, Bool, Value::Bool(truth) => truth);
parameter!(f64, Float, Value::Float(number) => number);
parameter!(Time, Time, Value::Time(time) => time);
parameter!(Rc<Pair>, Pair, Value::Pair(pair) => pair);
parameter!(Value, Any, value => if matches!(value, Value::Absent) { Value::Nil } else { value });
parameter!(Raw, Raw, value => Raw(value));

/// The name of a hash.
pub(super) struct HashAlgorithm(pub(super) Text);
parameter!(HashAlgorithm, HashAlgorithm, Value::Text(text) => HashAlgorithm(text));

/// A duration, in nanoseconds.
pub(super) struct Nanoseconds(pub(super) i64);
parameter!(Nanoseconds, Duration, Value::Duration(nanoseconds) => Nanoseconds(nanoseconds));

impl Parameter for u32 {
    const TYPE: Type = Type::Uint32;

    fn take(arguments: &mut std::vec::IntoIter<Value>) -> Result<Self, Fault> {
        match arguments.next() {
            // As `SetUint` does it, what is too big loses its upper half.
            #[expect(clippy::cast_possible_truncation, reason = "see above")]
            Some(Value::Uint64(number)) => Ok(number as Self),
            _ => Fault::wrong("an argument is missing or of another type"),
        }
    }
}

macro_rules! nilable_parameter {
    ($type:ty, $declared:ident, $pattern:pat => $taken:expr) => {
        impl Parameter for Nilable<$type> {
            const TYPE: Type = Type::$declared;

            fn take(arguments: &mut std::vec::IntoIter<Value>) -> Result<Self, Fault> {
                match arguments.next() {
                    Some($pattern) => Ok(Nilable(Some($taken))),
                    Some(Value::Nil | Value::Absent) => Ok(Nilable(None)),
                    _ => Fault::wrong("an argument is missing or of another type"),
                }
            }
        }
    };
}

impl Parameter for Nilable<Dict> {
    const TYPE: Type = Type::Dict;

    fn take(arguments: &mut std::vec::IntoIter<Value>) -> Result<Self, Fault> {
        match arguments.next() {
            Some(Value::Dict(dict)) => Ok(Nilable(Some(dict).filter(|dict| !dict.is_nil))),
            Some(Value::Nil | Value::Absent) => Ok(Nilable(None)),
            _ => Fault::wrong("an argument is missing or of another type"),
        }
    }
}

nilable_parameter!(List, List, Value::List(list) => list);
nilable_parameter!(Rc<Version>, Version, Value::Version(version) => version);

impl<T: Parameter> Parameter for Rest<T> {
    const TYPE: Type = T::TYPE;
    const IS_REST: bool = true;

    fn take(arguments: &mut std::vec::IntoIter<Value>) -> Result<Self, Fault> {
        let mut all = Vec::with_capacity(arguments.len());
        while arguments.len() > 0 {
            all.push(T::take(arguments)?);
        }
        Ok(Self(all))
    }
}

macro_rules! gives {
    ($type:ty, $name:literal, $given:ident => $value:expr) => {
        impl Gives for $type {
            const NAME: &'static str = $name;

            fn put(self) -> Result<Value, Fault> {
                let $given = self;
                Ok($value)
            }
        }
    };
}

gives!(Text, "string", text => Value::Text(text));
gives!(String, "string", text => Value::text(text));
gives!(&'static str, "string", text => Value::text(text));
gives!(Vec<u8>, "string", bytes => Value::text(bytes));
gives!(bool, "bool", truth => Value::Bool(truth));
gives!(i64, "int", number => Value::Int(number));
gives!(Int64, "int64", number => Value::Int64(number.0));
gives!(u64, "uint64", number => Value::Uint64(number));
gives!(f64, "float64", number => Value::Float(number));
gives!(Value, "any", value => value);
gives!(List, "list", list => Value::List(list));
gives!(Dict, "dict", dict => Value::Dict(dict));
gives!(Time, "time", time => Value::Time(time));
gives!(Nanoseconds, "duration", duration => Value::Duration(duration.0));
gives!(Version, "version", version => Value::Version(Rc::new(version)));
gives!(Rc<Version>, "version", version => Value::Version(version));
gives!(Pair, "certificate", pair => Value::Pair(Rc::new(pair)));
gives!(Vec<Text>, "list of strings", texts => Value::List(List::texts(texts)));

impl Gives for Ints {
    const NAME: &'static str = "list of ints";

    fn put(self) -> Result<Value, Fault> {
        let items = self.0.into_iter().map(Value::Int).collect();
        List::new(Of::Int, items).map(Value::List).ok_or_else(too_deep)
    }
}

impl Gives for Vec<Value> {
    const NAME: &'static str = "list";

    fn put(self) -> Result<Value, Fault> {
        List::new(Of::Any, self).map(Value::List).ok_or_else(too_deep)
    }
}

impl<T: Gives> Gives for Result<T, Fault> {
    const NAME: &'static str = T::NAME;

    fn put(self) -> Result<Value, Fault> {
        self?.put()
    }
}

fn too_deep() -> Fault {
    Fault::TooMuch("lists nest too deep")
}

/// How a function is called, whatever its Rust type.
pub(super) type Call = Box<dyn Fn(&mut Run, Vec<Value>) -> Result<Value, Fault> + Send + Sync>;

/// A Rust function that a template can call. `Marker` tells the shapes apart.
pub(super) trait Callable<Marker>: Copy + Send + Sync + 'static {
    /// What it takes, and whether the last of them takes all that are left.
    fn parameters() -> (Vec<Type>, bool);
    /// What it gives.
    fn gives() -> &'static str;
    /// How it is called.
    fn into_call(self) -> Call;
}

macro_rules! callable {
    ($($parameter:ident)*) => {
        impl<F, R, $($parameter),*> Callable<fn($($parameter),*) -> R> for F
        where
            F: Fn($($parameter),*) -> R + Copy + Send + Sync + 'static,
            R: Gives,
            $($parameter: Parameter),*
        {
            fn parameters() -> (Vec<Type>, bool) {
                (vec![$($parameter::TYPE),*], false $(|| $parameter::IS_REST)*)
            }

            fn gives() -> &'static str {
                R::NAME
            }

            #[allow(non_snake_case, unused_mut, unused_variables)]
            fn into_call(self) -> Call {
                Box::new(move |_, arguments| {
                    let mut arguments = arguments.into_iter();
                    $(let $parameter = $parameter::take(&mut arguments)?;)*
                    self($($parameter),*).put()
                })
            }
        }

        impl<F, R, $($parameter),*> Callable<fn(&mut Run, $($parameter),*) -> R> for F
        where
            F: Fn(&mut Run, $($parameter),*) -> R + Copy + Send + Sync + 'static,
            R: Gives,
            $($parameter: Parameter),*
        {
            fn parameters() -> (Vec<Type>, bool) {
                (vec![$($parameter::TYPE),*], false $(|| $parameter::IS_REST)*)
            }

            fn gives() -> &'static str {
                R::NAME
            }

            #[allow(non_snake_case, unused_mut, unused_variables)]
            fn into_call(self) -> Call {
                Box::new(move |run, arguments| {
                    let mut arguments = arguments.into_iter();
                    $(let $parameter = $parameter::take(&mut arguments)?;)*
                    self(run, $($parameter),*).put()
                })
            }
        }
    };
}

callable!();
callable!(A);
callable!(A B);
callable!(A B C);
callable!(A B C D);
callable!(A B C D E);
callable!(A B C D E G);
