//! `seal` as people see it: each file of `cmd/` is one command line or a few, with what is said and the files after it.
//! `TRYCMD=overwrite cargo test -p seal --test cmd` writes them anew.

#[test]
fn command_lines() {
    trycmd::TestCases::new()
        .env("KUBECONFIG", "")
        .env("HOME", "/nonexistent")
        .env("NO_COLOR", "1")
        .case("tests/cmd/*.toml")
        .case("tests/cmd/*.trycmd");
}
