//! Semantic versions and ranges of them, as Masterminds' library reads them.

use std::cmp::Ordering;
use std::fmt;
use std::rc::Rc;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::super::error::Fault;
use super::super::signature::Nilable;
use super::super::value::Text;
use super::{Function, both};

/// A version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Version {
    major: u64,
    minor: u64,
    patch: u64,
    prerelease: String,
    metadata: String,
    original: String,
    /// Made by a method, which gives it by value rather than as a pointer.
    pub(in super::super) by_value: bool,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if !self.prerelease.is_empty() {
            write!(f, "-{}", self.prerelease)?;
        }
        if !self.metadata.is_empty() {
            write!(f, "+{}", self.metadata)?;
        }
        Ok(())
    }
}

const VERSION: &str =
    r"v?([0-9]+)(\.[0-9]+)?(\.[0-9]+)?(-([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?(\+([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?";
/// The same with `x` and `*` for parts that do not matter.
const PARTIAL: &str = r"v?([0-9|xX*]+)(\.[0-9|xX*]+)?(\.[0-9|xX*]+)?(-([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?(\+([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?";
const OPERATORS: &str = r"=||!=|>|<|>=|=>|<=|=<|~|~>|\^";

static WHOLE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&format!("^(?:{VERSION})$")).ok());
static ONE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!(r"^\s*({OPERATORS})\s*({PARTIAL})\s*$")).ok());
static SPAN: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!(r"\s*({PARTIAL})\s+-\s+({PARTIAL})\s*")).ok());
static EACH: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&format!(r"({OPERATORS})\s*({PARTIAL})")).ok());
static VALID: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let one = format!(r"(?:{OPERATORS})\s*(?:{PARTIAL})\s*");
    Regex::new(&format!(r"^(?:\s*{one})(?:(?:\s+|,\s*){one})*$")).ok()
});

impl Version {
    fn read(text: &str) -> Result<Self, &'static str> {
        let parts = WHOLE.as_ref().and_then(|whole| whole.captures(text)).ok_or("invalid semantic version")?;
        let part = |index: usize| parts.get(index).map_or("", |part| part.as_str());
        let number = |index: usize| match part(index).trim_start_matches('.') {
            "" => Ok(0),
            digits => digits.parse().map_err(|_| "a part of the version is too big"),
        };
        let prerelease = part(5);
        let has_leading_zero =
            |part: &str| part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit());
        if prerelease.split('.').any(has_leading_zero) {
            return Err("version segment starts with 0");
        }
        Ok(Self {
            major: number(1)?,
            minor: number(2)?,
            patch: number(3)?,
            prerelease: prerelease.to_owned(),
            metadata: part(8).to_owned(),
            original: text.to_owned(),
            by_value: false,
        })
    }

    fn compare(&self, other: &Self) -> Ordering {
        (self.major, self.minor, self.patch)
            .cmp(&(other.major, other.minor, other.patch))
            .then_with(|| compare_prereleases(&self.prerelease, &other.prerelease))
    }

    /// The next one, without pre-release and metadata.
    fn next(&self, major: u64, minor: u64, patch: u64) -> Self {
        let mut next = Self {
            major,
            minor,
            patch,
            prerelease: String::new(),
            metadata: String::new(),
            original: String::new(),
            by_value: true,
        };
        let prefix = if self.original.starts_with('v') { "v" } else { "" };
        next.original = format!("{prefix}{next}");
        next
    }
}

fn compare_prereleases(a: &str, b: &str) -> Ordering {
    match (a, b) {
        _ if a == b => return Ordering::Equal,
        ("", _) => return Ordering::Greater,
        (_, "") => return Ordering::Less,
        _ => {}
    }
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

struct Condition {
    operator: String,
    version: Version,
    /// Some part does not matter.
    is_partial: bool,
    any_minor: bool,
    any_patch: bool,
}

impl Condition {
    fn read(text: &str) -> Result<Self, &'static str> {
        let improper = "improper constraint";
        let parts = ONE.as_ref().and_then(|one| one.captures(text)).ok_or(improper)?;
        let part = |index: usize| parts.get(index).map_or("", |part| part.as_str());
        let is_any = |part: &str| matches!(part.trim_start_matches('.'), "" | "x" | "X" | "*");
        let (mut any_minor, mut any_patch, mut is_partial) = (false, false, false);
        let written = if is_any(part(3)) {
            is_partial = true;
            format!("0.0.0{}", part(6))
        } else if is_any(part(4)) {
            (any_minor, is_partial) = (true, true);
            format!("{}.0.0{}", part(3), part(6))
        } else if is_any(part(5)) {
            (any_patch, is_partial) = (true, true);
            format!("{}{}.0{}", part(3), part(4), part(6))
        } else {
            part(2).to_owned()
        };
        let version = Version::read(&written).map_err(|_| improper)?;
        Ok(Self { operator: part(1).to_owned(), version, is_partial, any_minor, any_patch })
    }

    fn holds(&self, version: &Version, admits_prereleases: bool) -> bool {
        if !version.prerelease.is_empty() && !admits_prereleases {
            return false;
        }
        let bound = &self.version;
        let order = version.compare(bound);
        match self.operator.as_str() {
            "" | "=" if self.is_partial => self.is_near(version),
            "" | "=" => order.is_eq(),
            "!=" if self.is_partial => {
                if bound.major != version.major || bound.minor != version.minor && !self.any_minor {
                    true
                } else if self.any_minor {
                    false
                } else if self.any_patch {
                    compare_prereleases(&version.prerelease, &bound.prerelease).is_ne()
                } else {
                    bound.patch != version.patch || order.is_ne()
                }
            }
            "!=" => order.is_ne(),
            ">" if self.is_partial => match version.major.cmp(&bound.major) {
                Ordering::Greater => true,
                Ordering::Less => false,
                Ordering::Equal if self.any_minor => false,
                Ordering::Equal if self.any_patch => version.minor > bound.minor,
                Ordering::Equal => order.is_gt(),
            },
            ">" => order.is_gt(),
            "<" => order.is_lt(),
            ">=" | "=>" => order.is_ge(),
            "<=" | "=<" if self.is_partial => {
                version.major < bound.major
                    || version.major == bound.major && (version.minor <= bound.minor || self.any_minor)
            }
            "<=" | "=<" => order.is_le(),
            "~" | "~>" => self.is_near(version),
            _ => self.is_compatible(version),
        }
    }

    /// `~`: the same minor version, or the same major one if the minor was left open.
    fn is_near(&self, version: &Version) -> bool {
        let bound = &self.version;
        if version.compare(bound).is_lt() {
            return false;
        }
        let is_zero = (bound.major, bound.minor, bound.patch) == (0, 0, 0);
        if is_zero && !self.any_minor && !self.any_patch {
            return true;
        }
        version.major == bound.major && (version.minor == bound.minor || self.any_minor)
    }

    /// `^`: the same first part that is not 0.
    fn is_compatible(&self, version: &Version) -> bool {
        let bound = &self.version;
        if version.compare(bound).is_lt() || version.major != bound.major {
            return false;
        }
        if bound.major > 0 || self.any_minor {
            return true;
        }
        if version.minor != bound.minor {
            return false;
        }
        bound.minor > 0 || self.any_patch || version.patch == bound.patch
    }
}

fn semver(text: Text) -> Result<Rc<Version>, Fault> {
    Ok(Rc::new(Version::read(&text.lossy())?))
}

fn semver_compare(range: Text, version: Text) -> Result<bool, Fault> {
    let range = range.lossy();
    // `1.2 - 1.4` is `>= 1.2, <= 1.4`.
    let range = match SPAN.as_ref() {
        Some(span) => span
            .replace_all(&range, |parts: &Captures<'_>| format!(">= {}, <= {} ", &parts[1], &parts[11]))
            .into_owned(),
        None => range,
    };
    let mut alternatives = Vec::new();
    for alternative in range.split("||") {
        if !VALID.as_ref().is_some_and(|valid| valid.is_match(alternative)) {
            return Fault::wrong("improper constraint");
        }
        let each = EACH.as_ref().into_iter().flat_map(|each| each.find_iter(alternative));
        let conditions: Result<Vec<_>, _> = each.map(|found| Condition::read(found.as_str())).collect();
        alternatives.push(conditions?);
    }
    let version = Version::read(&version.lossy())?;
    Ok(alternatives.iter().any(|conditions| {
        let admits = conditions.iter().any(|condition| !condition.version.prerelease.is_empty());
        conditions.iter().all(|condition| condition.holds(&version, admits))
    }))
}

type Receiver = Nilable<Rc<Version>>;

/// The version that a method is called on; there is always one.
fn own(receiver: Receiver) -> Result<Rc<Version>, Fault> {
    receiver.0.ok_or_else(|| "nil version".into())
}

fn compare(a: Receiver, b: Receiver) -> Result<i64, Fault> {
    Ok(own(a)?.compare(&*own(b)?) as i64)
}

fn test(a: Receiver, b: Receiver, fits: fn(Ordering) -> bool) -> Result<bool, Fault> {
    Ok(fits(own(a)?.compare(&*own(b)?)))
}

/// What a version can be asked.
pub(super) fn methods() -> Vec<Function> {
    vec![
        both("Major", |version: Receiver| own(version).map(|version| version.major), "The first part."),
        both("Minor", |version: Receiver| own(version).map(|version| version.minor), "The second part."),
        both("Patch", |version: Receiver| own(version).map(|version| version.patch), "The third part."),
        both("Prerelease", |version: Receiver| own(version).map(|v| v.prerelease.clone()), "What stands behind `-`."),
        both("Metadata", |version: Receiver| own(version).map(|v| v.metadata.clone()), "What stands behind `+`."),
        both("Original", |version: Receiver| own(version).map(|v| v.original.clone()), "As it was written."),
        both("String", |version: Receiver| own(version).map(|version| version.to_string()), "In full."),
        both("Compare", compare, "-1, 0 or 1."),
        both("Equal", |a: Receiver, b: Receiver| test(a, b, Ordering::is_eq), "Whether they are the same."),
        both("LessThan", |a: Receiver, b: Receiver| test(a, b, Ordering::is_lt), "Whether it is older."),
        both("GreaterThan", |a: Receiver, b: Receiver| test(a, b, Ordering::is_gt), "Whether it is newer."),
        both("LessThanEqual", |a: Receiver, b: Receiver| test(a, b, Ordering::is_le), "Whether it is not newer."),
        both("GreaterThanEqual", |a: Receiver, b: Receiver| test(a, b, Ordering::is_ge), "Whether it is not older."),
        both(
            "IncMajor",
            |version: Receiver| own(version).map(|v| v.next(v.major.wrapping_add(1), 0, 0)),
            "The next major version.",
        ),
        both(
            "IncMinor",
            |version: Receiver| own(version).map(|v| v.next(v.major, v.minor.wrapping_add(1), 0)),
            "The next minor version.",
        ),
        both(
            "IncPatch",
            |version: Receiver| {
                // A pre-release comes before its own version.
                let patch = |v: &Version| v.patch.wrapping_add(u64::from(v.prerelease.is_empty()));
                own(version).map(|v| v.next(v.major, v.minor, patch(&v)))
            },
            "The next patch version.",
        ),
    ]
}

pub(super) fn table() -> Vec<Function> {
    vec![
        both(
            "semver",
            semver,
            "A version, with `.Major`, `.Minor`, `.Patch`, `.Prerelease`, `.Metadata`, `.Compare` …",
        ),
        both("semverCompare", semver_compare, "Whether a version lies in a range such as `^1.2 || >=3 <4`."),
    ]
}
