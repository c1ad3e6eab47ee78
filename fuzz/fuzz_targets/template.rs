//! Any text is a template: it is read and rendered in both dialects, and no outcome is a panic, an overflow of the stack
//! or a result beyond its bound.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;

#[path = "../../src/template/mod.rs"]
#[allow(dead_code, unreachable_pub, unused_imports, missing_docs)]
mod template;

use template::{Chance, Dialect, LONGEST_OUTPUT, Template};

fuzz_target!(|text: &str| {
    let values = [("s", "Hello World".as_bytes()), ("n", b"42"), ("bin", b"\xff\xfe\0a"), ("j", b"{\"a\":[1,null,2.5]}")];
    let values: BTreeMap<_, _> = values.map(|(key, value)| (key.to_owned(), value.to_vec().into())).into();
    for dialect in [Dialect::ExternalSecrets, Dialect::SealedSecrets] {
        let Ok(template) = Template::parse("out", text, dialect) else { continue };
        let chance = || Chance::new(jiff::Timestamp::UNIX_EPOCH, [7; 32]);
        let first = template.render(&values, chance());
        if let Ok(bytes) = &first {
            assert!(bytes.expose().len() <= LONGEST_OUTPUT);
        }
        assert!(template.render(&values, chance()) == first, "the same chance renders the same bytes");
    }
});
