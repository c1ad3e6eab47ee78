//! Templates of the shapes of the recorded cases, put together by chance: whatever comes out, nothing panics, and it is the
//! same again.

use std::collections::BTreeMap;

use proptest::prelude::*;
use seal::SecretBytes;

use super::super::Dialect;
use super::{Case, render};

fn recorded() -> Vec<Case> {
    serde_json::from_str(include_str!("../../../tests/vectors/templates/recorded.json")).unwrap()
}

/// Pieces of the recorded templates: actions, and the texts between.
fn pieces() -> Vec<String> {
    let pieces = recorded()
        .into_iter()
        .flat_map(|case| case.template.split_inclusive("}}").map(str::to_owned).collect::<Vec<_>>());
    // Keys and bcrypt take long; they have tests of their own.
    pieces.filter(|piece| !["gen", "bcrypt", "htpasswd", "derive"].iter().any(|slow| piece.contains(slow))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn pieces_in_any_order(
        chosen in prop::collection::vec(prop::sample::select(pieces()), 1..8),
        value in prop::collection::vec(any::<u8>(), 0..64),
        cut in any::<prop::sample::Index>(),
    ) {
        let text = chosen.concat();
        let values: BTreeMap<String, SecretBytes> =
            ["host", "user", "pass_", "port", "j", "s", "x", "y"].map(|key| (key.to_owned(), value.clone().into())).into();
        let ends = text.char_indices().map(|(at, _)| at).collect::<Vec<_>>();
        for text in [text.as_str(), &text[..*cut.get(&ends)]] {
            for dialect in [Dialect::ExternalSecrets, Dialect::SealedSecrets] {
                let first = render(text, &values, dialect);
                let again = render(text, &values, dialect);
                prop_assert_eq!(first.map(|bytes| bytes.expose().to_vec()), again.map(|bytes| bytes.expose().to_vec()));
            }
        }
    }

    #[test]
    fn any_text(text in ".{0,200}", inner in "[ -~]{0,80}") {
        let values = BTreeMap::new();
        drop(render(&text, &values, Dialect::SealedSecrets));
        drop(render(&format!("{{{{{inner}}}}}"), &values, Dialect::ExternalSecrets));
    }

    #[test]
    fn any_format(format in "[%+# 0-9.*\\[\\]vdsqxXeEfFgGtTcUbop]{0,12}", number in any::<i64>(), float in any::<f64>()) {
        let values = BTreeMap::new();
        let text = format!("{{{{ printf {format:?} {number} {float:?} \"é\" (list 1 nil) }}}}");
        drop(render(&text, &values, Dialect::ExternalSecrets));
    }
}
