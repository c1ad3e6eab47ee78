//! The manual pages in `docs/man` are what the command writes. `UPDATE_GOLDEN=1 cargo test -p seal --test manual` writes
//! them anew.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

fn pages(folder: &Path) -> BTreeMap<String, String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

#[test]
fn the_manual_is_up_to_date() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/man");
    let folder = tempfile::tempdir().unwrap();
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let target = if update { committed.as_path() } else { folder.path() };
    let status =
        Command::new(env!("CARGO_BIN_EXE_seal")).args(["man", "--dir"]).arg(target).env_clear().status().unwrap();
    assert!(status.success());
    let written = pages(target);
    assert!(written.len() > 20, "{:?}", written.keys());
    assert_eq!(written, pages(&committed));
}
