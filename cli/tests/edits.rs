//! What is true of every edit and of every sealed value.

use proptest::prelude::*;
use seal::edit::{Change, EditError, edit};
use seal::marks::{Mark, Marks};
use seal::{Certificate, RsaUnwrapKey, Scope, SecretBytes, UnwrapKey, manifest, open_item, seal_item, tree};
use serde_json::{Value, json};

/// How a file is written.
#[derive(Clone, Debug)]
struct Hand {
    indent: usize,
    crlf: bool,
    comments: bool,
    quotes: &'static str,
    json: bool,
    last_newline: bool,
}

fn hand() -> impl Strategy<Value = Hand> {
    let quotes = prop_oneof![Just(""), Just("'"), Just("\"")];
    (1_usize..6, any::<bool>(), any::<bool>(), quotes, any::<bool>(), any::<bool>()).prop_map(
        |(indent, crlf, comments, quotes, json, last_newline)| Hand {
            indent,
            crlf,
            comments,
            quotes,
            json,
            last_newline,
        },
    )
}

fn keys() -> impl Strategy<Value = Vec<String>> {
    prop::collection::btree_set("[a-z][a-z0-9_.-]{0,8}", 0..5).prop_map(|keys| keys.into_iter().collect())
}

/// A SealedSecret between two other documents, as this hand writes it.
fn written(hand: &Hand, keys: &[String]) -> String {
    let item = |key: &str| format!("AgB{key}+/=");
    if hand.json {
        let items: serde_json::Map<_, _> = keys.iter().map(|key| (key.clone(), json!(item(key)))).collect();
        let object = json!({ "kind": "SealedSecret", "metadata": { "name": "x" }, "spec": { "encryptedData": items } });
        return if hand.crlf { object.to_string() } else { format!("{object:#}\n") };
    }
    let (pad, quote) = (" ".repeat(hand.indent), hand.quotes);
    let remark = if hand.comments { "  # say: \"why\"" } else { "" };
    let mut text = format!(
        "kind: Other{remark}\n---\n# above\nkind: SealedSecret\nmetadata:\n{pad}name: x\nspec:{remark}\n{pad}encryptedData:"
    );
    if keys.is_empty() {
        text += " {}\n";
    } else {
        text += "\n";
    }
    for key in keys {
        text += &format!("{pad}{pad}{quote}{key}{quote}: {quote}{}{quote}{remark}\n", item(key));
    }
    text += &format!("{pad}template: {{type: Opaque}}\n---\n- last\n- [one]");
    if hand.last_newline {
        text += "\n";
    }
    if hand.crlf { text.replace('\n', "\r\n") } else { text }
}

/// Which object of the text is the SealedSecret.
fn index(hand: &Hand) -> usize {
    usize::from(!hand.json)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn setting_a_value_changes_its_line_and_nothing_else(hand in hand(), keys in keys(), new in "[a-z][a-z0-9_.-]{0,8}") {
        let text = written(&hand, &keys);
        let change = Change::set(&["spec", "encryptedData", &new], "AgBother");
        let edited = edit(&text, index(&hand), &[change]).unwrap();
        let mut meant = manifest::documents(&text).unwrap();
        meant[index(&hand)]["spec"]["encryptedData"][&new] = json!("AgBother");
        prop_assert_eq!(manifest::documents(&edited).unwrap(), meant);
        // Every line but that of the value is still there, in order.
        let mut lines = edited.split('\n');
        for line in text.split('\n').filter(|line| !line.contains(&new) && !line.contains("encryptedData")) {
            let kept = lines.any(|other| other == line || (hand.json && other.trim_end_matches(',') == line.trim_end_matches(',')));
            prop_assert!(kept || text.lines().count() == 1, "{} is gone:\n{}", line, edited);
        }
    }

    #[test]
    fn a_key_that_came_and_went_leaves_no_trace(hand in hand(), keys in keys()) {
        let text = written(&hand, &keys);
        let path = ["spec", "encryptedData", "zz"];
        prop_assume!(!keys.is_empty() && !keys.iter().any(|key| key == "zz"));
        let there = edit(&text, index(&hand), &[Change::set(&path, "AgB")]).unwrap();
        prop_assert_eq!(edit(&there, index(&hand), &[Change::remove(&path)]).unwrap(), text);
    }

    #[test]
    fn a_key_renamed_twice_is_as_before(hand in hand(), keys in keys()) {
        prop_assume!(!keys.is_empty() && !keys.iter().any(|key| key == "zz"));
        let text = written(&hand, &keys);
        let there = edit(&text, index(&hand), &[Change::rename(&["spec", "encryptedData", &keys[0]], "zz")]).unwrap();
        let back = edit(&there, index(&hand), &[Change::rename(&["spec", "encryptedData", "zz"], &keys[0])]).unwrap();
        prop_assert_eq!(manifest::documents(&back).unwrap(), manifest::documents(&text).unwrap());
    }

    #[test]
    fn any_text_is_edited_as_meant_or_refused(text in "[ \\n:{}\\[\\]a-c&*#'\"|>?,!-]{0,40}") {
        let text = format!("kind: SealedSecret\nspec:\n  encryptedData:\n    a: b\n  x: {text}\n");
        let (Ok(mut meant), Ok(documents)) = (manifest::documents(&text), tree::read(&text)) else { return Ok(()) };
        prop_assume!(tree::twice(&documents).is_none());
        match edit(&text, 0, &[Change::set(&["spec", "encryptedData", "a"], "AgB")]) {
            Ok(edited) => {
                meant[0]["spec"]["encryptedData"]["a"] = Value::from("AgB");
                prop_assert_eq!(manifest::documents(&edited).unwrap(), meant);
            }
            Err(error) => prop_assert!(matches!(error, EditError::Entangled | EditError::NotAMap(_)), "{}", error),
        }
    }

    #[test]
    fn notes_come_back(keys in keys(), scope in prop_oneof![Just(Scope::Strict), Just(Scope::NamespaceWide), Just(Scope::ClusterWide)]) {
        let fingerprint = format!("SHA256:{}", "A".repeat(43)).parse().unwrap();
        let mut marks = Marks::default();
        for key in &keys {
            marks.insert(key, Mark::new(&fingerprint, scope, "shop", "db", key));
        }
        let read = Marks::read(&marks.to_string());
        for key in &keys {
            prop_assert!(read.of(key, key).is_some_and(|mark| mark.scope == scope));
            prop_assert!(read.of(key, "other").is_none());
        }
    }
}

proptest! {
    // RSA takes its time without optimisation.
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sealed_opens_there_and_nowhere_else(value in prop::collection::vec(any::<u8>(), 0..300), place in "[a-z]{1,8}") {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded/keys");
        let read = |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).unwrap();
        let certificate = Certificate::from_pem(&read("a2048.crt")).unwrap();
        let (key, other) = (RsaUnwrapKey::from_pem(&read("a2048.key")).unwrap(), RsaUnwrapKey::from_pem(&read("other2048.key")).unwrap());
        let label = Scope::Strict.label("shop", &place);
        let secret = SecretBytes::from(value.clone());
        let item = seal_item(&mut rand::rng(), &certificate, &label, &secret).unwrap();
        let opened = open_item(&item, &label, [&key as &dyn UnwrapKey]).unwrap();
        prop_assert_eq!(opened.value.expose(), value.as_slice());
        prop_assert!(open_item(&item, &Scope::Strict.label("shop", "other"), [&key as &dyn UnwrapKey]).is_err());
        prop_assert!(open_item(&item, &label, [&other as &dyn UnwrapKey]).is_err());
    }
}
