//! As kubeseal: what the real one was seen to do, ours does.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::path::Path;

mod lab;

#[test]
fn every_recorded_command_line_is_answered_as_kubeseal_answered_it() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
    let lab = lab::Lab::new(env!("CARGO_BIN_EXE_seal").as_ref(), &tests);
    let (ran, failures) = lab.failures(|case| case["needs_controller"] != true);
    assert!(ran > 100, "{ran} cases");
    assert!(failures.is_empty(), "{} of {ran} failed:\n{}", failures.len(), failures.join("\n"));
}
