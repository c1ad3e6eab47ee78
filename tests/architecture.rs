//! The import table of `ARCHITECTURE.md`, held to the code; and the sizes, as a report.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each room of the operator may use of the others. A room that is not listed here may use everything.
const MAY_USE: [(&str, &[&str]); 14] = [
    ("api", &[]),
    ("address", &[]),
    ("glob", &[]),
    ("error", &[]),
    ("plan", &["api"]),
    ("args", &["error", "plan"]),
    ("scheduler", &["error", "plan"]),
    ("telemetry", &["args", "error", "plan"]),
    ("values", &["api", "error", "plan"]),
    ("template", &["values"]),
    ("decide", &["address", "api", "error", "glob", "plan", "template", "values"]),
    ("providers", &["api", "error", "plan", "telemetry", "template", "values"]),
    ("git", &["address", "api", "error", "glob", "plan"]),
    ("cluster", &["api", "error", "plan", "telemetry"]),
];
/// What controllers must not use: they are used by it.
const ABOVE_CONTROLLERS: [&str; 1] = ["serve"];
/// Rooms of rules: functions of their arguments.
const PURE: [&str; 5] = ["decide", "template", "values", "glob", "address"];
/// What a function of its arguments has no use for.
const IMPURE: [&str; 12] = [
    "async fn",
    "tokio",
    "tracing",
    "kube::Client",
    "kube::Api",
    "kube::runtime",
    "std::env",
    "std::fs",
    "std::time::Instant",
    "SystemTime::now",
    "Timestamp::now",
    "rand::",
];
/// What the library of `seal` has no use for: it runs in a browser.
const NOT_IN_A_BROWSER: [&str; 8] =
    ["tokio", "std::fs", "std::env", "std::net", "std::process", "SystemTime::now", "Instant::now", "println!"];
/// Files over this many lines without their tests are worth a look; it is a sign, not a limit.
const WORTH_A_LOOK: usize = 300;

#[test]
fn every_room_keeps_to_the_import_table() {
    let mut violations = Vec::new();
    for (file, code) in code_below("src") {
        let room = room_of(&file);
        let allowed = MAY_USE.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed);
        for used in rooms_used(&code) {
            let ok = match allowed {
                Some(allowed) => used == room || allowed.contains(&used.as_str()),
                None => room != "controllers" || !ABOVE_CONTROLLERS.contains(&used.as_str()),
            };
            if !ok {
                violations.push(format!("{}: `{room}` uses `{used}`", file.display()));
            }
        }
        if PURE.contains(&room.as_str()) {
            let impure = IMPURE.iter().filter(|word| code.contains(**word));
            violations.extend(impure.map(|word| format!("{}: a rule uses `{word}`", file.display())));
        }
    }
    for (file, code) in code_below("cli/src") {
        let is_library = !file.starts_with("cli/src/command") && !file.ends_with("main.rs");
        let found = NOT_IN_A_BROWSER.iter().filter(|word| is_library && code.contains(**word));
        violations.extend(found.map(|word| format!("{}: the library uses `{word}`", file.display())));
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn only_one_file_writes_users_objects_and_one_room_makes_conditions() {
    let mut violations = Vec::new();
    for (file, code) in code_below("src") {
        let in_cluster = file.starts_with("src/cluster");
        if !in_cluster && ["Api::", "PatchParams", "PostParams", "DeleteParams"].iter().any(|word| code.contains(word))
        {
            violations.push(format!("{}: only `cluster` speaks to Kubernetes", file.display()));
        }
        if !file.starts_with("src/decide/status") && code.contains("last_transition_time: ") && room_of(&file) != "api"
        {
            let is_health = file.to_string_lossy().contains("decide/application/health/");
            if !is_health {
                violations.push(format!("{}: only `decide/status` makes conditions", file.display()));
            }
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn architecture_md_names_every_room() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut rooms: Vec<String> = code_below("src").keys().map(|file| room_of(file)).collect();
    rooms.sort();
    rooms.dedup();
    let missing: Vec<_> = rooms.into_iter().filter(|room| !text.contains(&format!("`{room}"))).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md does not name {missing:?}");
}

/// A report, not a test of anything: `cargo test --test architecture -- --nocapture sizes`.
#[test]
fn sizes_are_reported() {
    let mut sizes: Vec<(usize, PathBuf)> = ["src", "cli/src", "tests/bed/src"]
        .iter()
        .flat_map(|folder| code_below(folder))
        .map(|(file, code)| (code.lines().count(), file))
        .collect();
    sizes.sort();
    let total: usize = sizes.iter().map(|(lines, _)| lines).sum();
    let report: Vec<String> = sizes
        .iter()
        .rev()
        .take_while(|(lines, _)| *lines > WORTH_A_LOOK)
        .map(|(lines, file)| format!("{lines:>5} {}", file.display()))
        .collect();
    let median = sizes.get(sizes.len() / 2).map_or(0, |(lines, _)| *lines);
    #[expect(clippy::print_stdout, reason = "a report")]
    {
        println!("{} files, {total} lines, median {median}; worth a look:\n{}", sizes.len(), report.join("\n"));
    }
    assert!(sizes.len() > 50, "the report has lost its files");
}

/// Every file below a folder, with its tests and comments taken out.
fn code_below(folder: &str) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
                let code =
                    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
                files.insert(path.strip_prefix(root()).unwrap().to_owned(), code);
            }
        }
    }
    files
}

/// `src/git/fetch.rs` is in `git`, `src/glob.rs` in `glob`.
fn room_of(file: &Path) -> String {
    let first = file.components().nth(1).map(|part| part.as_os_str().to_string_lossy().into_owned());
    first.unwrap_or_default().trim_end_matches(".rs").to_owned()
}

/// The rooms that code names by `crate::…`.
fn rooms_used(code: &str) -> Vec<String> {
    let mut used: Vec<String> = code
        .split("crate::")
        .skip(1)
        .flat_map(|rest| {
            let name = |text: &str| {
                text.chars()
                    .take_while(|character| character.is_alphanumeric() || *character == '_')
                    .collect::<String>()
            };
            match rest.strip_prefix('{') {
                Some(list) => {
                    list.split('}').next().unwrap_or_default().split(',').map(|item| name(item.trim())).collect()
                }
                None => vec![name(rest)],
            }
        })
        .filter(|name| !name.is_empty())
        .collect();
    used.sort();
    used.dedup();
    used
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
