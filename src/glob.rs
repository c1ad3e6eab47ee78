//! Globs as Argo CD reads them: `*`, `**`, `?`, `[a-z]`, `[!a-z]`, `{a,b}` and `\` to escape.

/// Whether `*` and `?` stop at a slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separator {
    /// They cross it: destinations, names, files of a directory source.
    None,
    /// They stop there, and only `**` crosses: repositories.
    Slash,
}

/// Steps a match may take: enough for any honest pattern, little for one made to burn time.
const MOST_STEPS: usize = 100_000;

/// Whether `pattern` matches the whole `text`. A pattern that cannot be read matches nothing.
///
/// Source: the glob library that Argo CD uses; recorded in its directory and project cases.
pub fn matches(pattern: &str, text: &str, separator: Separator) -> bool {
    let Some(alternatives) = expand(pattern) else { return false };
    let text: Vec<char> = text.chars().collect();
    alternatives.iter().any(|pattern| {
        let mut steps = MOST_STEPS;
        let pattern: Vec<char> = pattern.chars().collect();
        matches_from(&pattern, &text, separator, &mut steps)
    })
}

/// Writes `{a,b}` out as patterns without braces; `None` when braces do not pair or there are too many.
fn expand(pattern: &str) -> Option<Vec<String>> {
    const MOST: usize = 256;
    let mut open = vec![pattern.to_owned()];
    let mut done = Vec::new();
    while let Some(pattern) = open.pop() {
        if open.len() + done.len() > MOST {
            return None;
        }
        let Some((start, end)) = first_braces(&pattern)? else {
            done.push(pattern);
            continue;
        };
        let (before, inside, after) = (&pattern[..start], &pattern[start + 1..end], &pattern[end + 1..]);
        open.extend(split_at_commas(inside).into_iter().map(|choice| format!("{before}{choice}{after}")));
    }
    Some(done)
}

/// Byte positions of the first pair of braces; `Some(None)` without any, `None` when they do not pair.
fn first_braces(pattern: &str) -> Option<Option<(usize, usize)>> {
    let mut start = None;
    let mut depth = 0;
    let mut escaped = false;
    for (at, character) in pattern.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => {
                start.get_or_insert(at);
                depth += 1;
            }
            '}' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    return Some(start.map(|start| (start, at)));
                }
            }
            _ => {}
        }
    }
    (depth == 0).then_some(None)
}

fn split_at_commas(inside: &str) -> Vec<String> {
    let mut choices = vec![String::new()];
    let mut depth = 0;
    for character in inside.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                choices.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(choice) = choices.last_mut() {
            choice.push(character);
        }
    }
    choices
}

fn matches_from(pattern: &[char], text: &[char], separator: Separator, steps: &mut usize) -> bool {
    if *steps == 0 {
        return false;
    }
    *steps -= 1;
    let crosses = |character: char| separator == Separator::None || character != '/';
    match pattern {
        [] => text.is_empty(),
        ['*', '*', rest @ ..] => (0..=text.len()).any(|taken| matches_from(rest, &text[taken..], separator, steps)),
        ['*', rest @ ..] => {
            let longest = text.iter().position(|character| !crosses(*character)).unwrap_or(text.len());
            (0..=longest).any(|taken| matches_from(rest, &text[taken..], separator, steps))
        }
        ['?', rest @ ..] => {
            matches!(text, [first, ..] if crosses(*first)) && matches_from(rest, &text[1..], separator, steps)
        }
        ['[', rest @ ..] => {
            let (Some(end), Some((first, later))) = (class_end(rest), text.split_first()) else { return false };
            in_class(&rest[..end], *first) && matches_from(&rest[end + 1..], later, separator, steps)
        }
        ['\\', literal, rest @ ..] | [literal, rest @ ..] => {
            text.first() == Some(literal) && matches_from(rest, &text[1..], separator, steps)
        }
    }
}

/// Where the class ends; a bracket in first place belongs to it.
fn class_end(class: &[char]) -> Option<usize> {
    let first = usize::from(matches!(class.first(), Some('!' | '^')));
    class.iter().skip(first + 1).position(|character| *character == ']').map(|at| at + first + 1)
}

fn in_class(class: &[char], character: char) -> bool {
    let (negated, mut members) = match class {
        ['!' | '^', rest @ ..] => (true, rest),
        all => (false, all),
    };
    let mut found = false;
    while let Some(first) = members.first() {
        if let [low, '-', high, rest @ ..] = members {
            found |= (*low..=*high).contains(&character);
            members = rest;
        } else {
            found |= *first == character;
            members = &members[1..];
        }
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_argo_cd_has_them() {
        use Separator::{None, Slash};
        for (pattern, text, separator, expected) in [
            ("payments-*", "payments-eu-west", None, true),
            ("payments-*", "payments", None, false),
            ("*web*", "deep/web.yaml", None, true),
            ("**/*.yaml", "a.yaml", None, false),
            ("**/*.yaml", "deep/a.yaml", None, true),
            ("{a,b}.yaml", "b.yaml", None, true),
            ("{a,{b,c}}*.yaml", "cd.yaml", None, true),
            ("{a,b", "a", None, false),
            ("https://github.com/org/*", "https://github.com/org/repo", Slash, true),
            ("https://github.com/org/*", "https://github.com/org/repo/more", Slash, false),
            ("https://github.com/**", "https://github.com/org/repo/more", Slash, true),
            ("team-[a-c]", "team-b", None, true),
            ("team-[!a-c]", "team-b", None, false),
            ("[]]", "]", None, true),
            ("a?c", "a/c", Slash, false),
            (r"\*", "*", None, true),
            (r"\*", "x", None, false),
            ("", "", None, true),
            ("*", "", None, true),
        ] {
            assert_eq!(matches(pattern, text, separator), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_pattern_made_to_burn_time_gives_up() {
        assert!(!matches(&format!("{}b", "*a".repeat(40)), &"a".repeat(200), Separator::None));
        assert!(!matches(&"{a,b}".repeat(40), "a", Separator::None));
    }
}
