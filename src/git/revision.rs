//! Which commit a `targetRevision` means.

use std::collections::BTreeMap;

use gix::ObjectId;
use semver::{Prerelease, Version};

use super::Error;

/// What a server advertises: each ref's name and the commit that it leads to, annotated tags peeled; `HEAD` among them.
pub type Refs = BTreeMap<String, ObjectId>;

/// Finds the commit.
///
/// In this order: 40 hexadecimal digits are the commit; nothing is `HEAD`; a version is the tag of that name; a range of
/// versions is the highest tag within; a full ref name, a branch, a tag. Seven or more hexadecimal digits are tried as
/// the beginning of an advertised commit.
///
/// Source: Argo CD's resolution, in the order in which it tries.
///
/// # Errors
///
/// [`Error::EmptyRepository`] when nothing is advertised, [`Error::RevisionNotFound`] when nothing fits.
pub fn resolve(refs: &Refs, revision: &str) -> Result<ObjectId, Error> {
    if let Some(commit) = full_id(revision) {
        return Ok(commit);
    }
    if refs.is_empty() {
        return Err(Error::EmptyRepository);
    }
    let named = |name: &str| refs.get(name).copied();
    let revision = if revision.is_empty() { "HEAD" } else { revision };
    range_of(revision)
        .and_then(|range| highest_tag(refs, &range))
        .or_else(|| named(revision))
        .or_else(|| named(&format!("refs/heads/{revision}")))
        .or_else(|| named(&format!("refs/tags/{revision}")))
        .or_else(|| abbreviated(refs, revision))
        .ok_or_else(|| Error::RevisionNotFound { revision: revision.to_owned() })
}

/// A whole object id.
pub fn full_id(revision: &str) -> Option<ObjectId> {
    (revision.len() == 40).then(|| ObjectId::from_hex(revision.to_ascii_lowercase().as_bytes()).ok()).flatten()
}

fn abbreviated(refs: &Refs, revision: &str) -> Option<ObjectId> {
    let is_hex = revision.len() >= 7 && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    let revision = revision.to_ascii_lowercase();
    let mut fitting: Vec<_> =
        refs.values().filter(|commit| is_hex && commit.to_string().starts_with(&revision)).copied().collect();
    fitting.sort_unstable();
    fitting.dedup();
    match fitting.as_slice() {
        [only] => Some(*only),
        _ => None,
    }
}

fn highest_tag(refs: &Refs, range: &Range) -> Option<ObjectId> {
    refs.iter()
        .filter_map(|(name, commit)| Some((version(name.strip_prefix("refs/tags/")?)?, *commit)))
        .filter(|(version, _)| range.contains(version))
        .max_by(|(a, _), (b, _)| a.cmp(b))
        .map(|(_, commit)| commit)
}

/// Alternatives (`||`) of conditions that all hold.
struct Range(Vec<Vec<Condition>>);

struct Condition {
    /// Inclusive.
    low: Option<Version>,
    /// Exclusive.
    high: Option<Version>,
    /// Turned round: outside of both.
    outside: bool,
    /// A condition that names a pre-release admits pre-releases.
    prereleases: bool,
}

impl Range {
    fn contains(&self, version: &Version) -> bool {
        self.0.iter().any(|all| all.iter().all(|condition| condition.contains(version)))
    }
}

impl Condition {
    fn contains(&self, version: &Version) -> bool {
        if !version.pre.is_empty() && !self.prereleases {
            return false;
        }
        let inside =
            self.low.as_ref().is_none_or(|low| version >= low) && self.high.as_ref().is_none_or(|high| version < high);
        inside != self.outside
    }
}

/// A range of versions in Masterminds' syntax; `None` for anything else, one exact version included: that is a tag's name.
fn range_of(text: &str) -> Option<Range> {
    if version(text).is_some() && text.trim_start_matches('v').split('.').count() == 3 {
        return None;
    }
    let alternatives: Option<Vec<_>> = text.split("||").map(conditions).collect();
    alternatives.map(Range)
}

fn conditions(text: &str) -> Option<Vec<Condition>> {
    if let Some((from, to)) = text.split_once(" - ") {
        return Some(vec![condition(">=", from.trim())?, condition("<=", to.trim())?]);
    }
    let mut all = Vec::new();
    let mut operator = String::new();
    for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
        let at = word.find(|character: char| !"=<>!~^".contains(character)).unwrap_or(word.len());
        operator += &word[..at];
        if at < word.len() {
            all.push(condition(&std::mem::take(&mut operator), &word[at..])?);
        }
    }
    (!all.is_empty() && operator.is_empty()).then_some(all)
}

fn condition(operator: &str, text: &str) -> Option<Condition> {
    let partial = Partial::read(text)?;
    let (low, next) = (partial.lowest(), partial.next());
    let prereleases = !low.pre.is_empty();
    let end = next.unwrap_or_else(|| just_after(low.clone()));
    let any = partial.major.is_none();
    let (low, high, outside) = match operator {
        "" | "=" if any => (None, None, false),
        "" | "=" => (Some(low), Some(end), false),
        "!=" => (Some(low), Some(end), true),
        ">" => (Some(end), None, false),
        ">=" | "=>" => (Some(low), None, false),
        "<" => (None, Some(low), false),
        "<=" | "=<" => (None, Some(end), false),
        "~" | "~>" => (Some(low.clone()), (!any).then(|| partial.tilde_end()), false),
        "^" => (Some(low.clone()), (!any).then(|| partial.caret_end()), false),
        _ => return None,
    };
    Some(Condition { low, high, outside, prereleases })
}

/// A version of which the end may be missing or a wildcard.
struct Partial {
    major: Option<u64>,
    minor: Option<u64>,
    patch: Option<u64>,
    pre: Prerelease,
}

impl Partial {
    fn read(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let text = text.split('+').next()?;
        let (numbers, pre) = text.split_once('-').map_or((text, ""), |(numbers, pre)| (numbers, pre));
        let mut parts = [None; 3];
        let mut wild = false;
        for (index, part) in numbers.split('.').enumerate() {
            if matches!(part, "x" | "X" | "*") {
                wild = true;
                continue;
            }
            if wild {
                return None;
            }
            *parts.get_mut(index)? = Some(part.parse().ok()?);
        }
        Some(Self { major: parts[0], minor: parts[1], patch: parts[2], pre: Prerelease::new(pre).ok()? })
    }

    fn lowest(&self) -> Version {
        let mut low = Version::new(self.major.unwrap_or(0), self.minor.unwrap_or(0), self.patch.unwrap_or(0));
        low.pre = self.pre.clone();
        low
    }

    /// The first version beyond what a partial one stands for; `None` for a whole one.
    fn next(&self) -> Option<Version> {
        match (self.major, self.minor, self.patch) {
            (None, ..) => Some(Version::new(u64::MAX, 0, 0)),
            (Some(major), None, _) => Some(Version::new(major + 1, 0, 0)),
            (Some(major), Some(minor), None) => Some(Version::new(major, minor + 1, 0)),
            _ => None,
        }
    }

    fn tilde_end(&self) -> Version {
        match (self.major.unwrap_or(0), self.minor) {
            (major, None) => Version::new(major + 1, 0, 0),
            (major, Some(minor)) => Version::new(major, minor + 1, 0),
        }
    }

    fn caret_end(&self) -> Version {
        match (self.major.unwrap_or(0), self.minor, self.patch) {
            (0, Some(0), Some(patch)) => Version::new(0, 0, patch + 1),
            (0, Some(minor), _) => Version::new(0, minor + 1, 0),
            (major, ..) => Version::new(major + 1, 0, 0),
        }
    }
}

/// The smallest version above this one.
fn just_after(mut version: Version) -> Version {
    if version.pre.is_empty() {
        version.patch += 1;
        version.pre = Prerelease::new("0").unwrap_or_default();
    } else {
        version.pre = Prerelease::new(&format!("{}.0", version.pre)).unwrap_or_default();
    }
    version
}

/// A tag as a version: `v` in front and missing parts are forgiven.
fn version(tag: &str) -> Option<Version> {
    let text = tag.strip_prefix('v').unwrap_or(tag);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let padded = match numbers.split('.').count() {
        1 => format!("{numbers}.0.0{rest}"),
        2 => format!("{numbers}.0{rest}"),
        _ => text.to_owned(),
    };
    Version::parse(&padded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> ObjectId {
        ObjectId::from_bytes_or_panic(&[number; 20])
    }

    #[test]
    fn revisions_are_resolved_as_argo_cd_does() {
        let names = [
            "HEAD",
            "refs/heads/main",
            "refs/heads/feature/x",
            "refs/tags/v1.0.0",
            "refs/tags/v1.2.0",
            "refs/tags/1.2.5",
            "refs/tags/v2.0.0",
            "refs/tags/v2.1.0-rc.1",
            "refs/tags/release",
            "refs/pull/1/head",
        ];
        let refs: Refs = names.iter().zip(1..).map(|(name, number)| ((*name).to_owned(), id(number))).collect();
        let named = |name: &str| refs[name];
        for (revision, expected) in [
            ("", "HEAD"),
            ("HEAD", "HEAD"),
            ("main", "refs/heads/main"),
            ("feature/x", "refs/heads/feature/x"),
            ("refs/pull/1/head", "refs/pull/1/head"),
            ("release", "refs/tags/release"),
            ("v1.0.0", "refs/tags/v1.0.0"),
            ("1.x", "refs/tags/1.2.5"),
            ("1.2.*", "refs/tags/1.2.5"),
            ("^1", "refs/tags/1.2.5"),
            ("~1.2", "refs/tags/1.2.5"),
            (">=1.0 <1.2.5", "refs/tags/v1.2.0"),
            (">= 1.0, < 1.2.5", "refs/tags/v1.2.0"),
            ("1.0.0 - 1.2.0", "refs/tags/v1.2.0"),
            ("<1.1 || >1.9", "refs/tags/v2.0.0"),
            ("*", "refs/tags/v2.0.0"),
            ("!=2.0.0", "refs/tags/1.2.5"),
            (">=2.1.0-0", "refs/tags/v2.1.0-rc.1"),
            ("0202020", "refs/heads/main"),
        ] {
            assert_eq!(resolve(&refs, revision).unwrap(), named(expected), "{revision}");
        }
        for missing in ["nowhere", "^3", "3.x", "1.5.0", "refs/heads/nowhere", "deadbee"] {
            assert!(matches!(resolve(&refs, missing), Err(Error::RevisionNotFound { .. })), "{missing}");
        }
        let commit = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(resolve(&Refs::new(), commit).unwrap().to_string(), commit);
        assert!(matches!(resolve(&Refs::new(), "main"), Err(Error::EmptyRepository)));
    }
}
