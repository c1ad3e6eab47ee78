//! Paths, with slashes: those of the operating system are the same where this runs.

use super::super::value::Text;
use super::{Function, both};

fn clean(path: Text) -> Vec<u8> {
    cleaned(&path)
}

/// The shortest path that means the same.
fn cleaned(path: &[u8]) -> Vec<u8> {
    let is_rooted = path.first() == Some(&b'/');
    let mut kept: Vec<&[u8]> = Vec::new();
    for element in path.split(|byte| *byte == b'/') {
        match element {
            b"" | b"." => {}
            b".." => match kept.last() {
                Some(last) if *last != b".." => {
                    kept.pop();
                }
                _ if is_rooted => {}
                _ => kept.push(element),
            },
            other => kept.push(other),
        }
    }
    let joined = kept.join(&b'/');
    match (is_rooted, joined.is_empty()) {
        (true, _) => [b"/", &joined[..]].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}

fn base(path: Text) -> Vec<u8> {
    if path.is_empty() {
        return b".".to_vec();
    }
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let begin = path[..end].iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    if begin == end { b"/".to_vec() } else { path[begin..end].to_vec() }
}

fn dir(path: Text) -> Vec<u8> {
    let end = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    cleaned(&path[..end])
}

fn ext(path: Text) -> Vec<u8> {
    match path.iter().rposition(|byte| matches!(byte, b'/' | b'.')) {
        Some(at) if path[at] == b'.' => path[at..].to_vec(),
        _ => Vec::new(),
    }
}

fn is_abs(path: Text) -> bool {
    path.first() == Some(&b'/')
}

pub(super) fn table() -> Vec<Function> {
    vec![
        both("base", base, "The last element of a path."),
        both("clean", clean, "The shortest path that means the same."),
        both("dir", dir, "All but the last element of a path."),
        both("ext", ext, "The extension, with its dot."),
        both("isAbs", is_abs, "Whether a path begins at the root."),
        both("osBase", base, "The same as `base`."),
        both("osClean", clean, "The same as `clean`."),
        both("osDir", dir, "The same as `dir`."),
        both("osExt", ext, "The same as `ext`."),
        both("osIsAbs", is_abs, "The same as `isAbs`."),
    ]
}
