//! The `seal` command.

fn main() {}
