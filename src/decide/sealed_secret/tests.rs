use jiff::Timestamp;
use seal::{Certificate, RsaUnwrapKey, seal_item};

use super::*;
use crate::decide::digest::Digester;

fn read(file: &str) -> String {
    std::fs::read_to_string(format!("{}/cli/tests/vectors/keys/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

pub(super) fn key() -> RsaUnwrapKey {
    RsaUnwrapKey::from_pem(&read("k2048.key")).unwrap()
}

fn how() -> Rendering {
    let digester = Digester::new(&vec![7; 32].into());
    Rendering { rules: Rules::New, at: Timestamp::UNIX_EPOCH, digester }
}

pub(super) fn unseal(object: &SealedSecret) -> Result<Made, Error> {
    make(object, &open(object, &[&key()], true)?, &how())
}

/// One value, sealed for `ns/x`.
fn item(text: &[u8]) -> String {
    let certificate = Certificate::from_pem(&read("k2048.crt")).unwrap();
    seal_item(&mut rand::rng(), &certificate, b"ns/x", &text.to_vec().into()).unwrap()
}

/// A SealedSecret `ns/x` with the values `a=1`, `b=2`, changed by `edit`.
pub(super) fn sealed(edit: impl FnOnce(&mut Value)) -> SealedSecret {
    let mut object = json!({
        "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
        "metadata": { "name": "x", "namespace": "ns", "uid": "u" },
        "spec": {
            "encryptedData": { "a": item(b"1"), "b": item(b"2") },
            "template": { "metadata": { "labels": { "app": "shop" } }, "type": "Opaque" },
        },
    });
    edit(&mut object);
    serde_json::from_value(object).unwrap()
}

#[test]
fn items_and_template_become_a_secret() {
    let key = key();
    let unsealed = unseal(&sealed(|_| {})).unwrap();
    let opened = open(&sealed(|_| {}), &[&key], true).unwrap();
    let values: Vec<_> = unsealed.secret.data.iter().map(|(key, value)| (key.as_str(), value.expose())).collect();
    assert_eq!(values, [("a", &b"1"[..]), ("b", b"2")]);
    assert_eq!(unsealed.secret.labels["app"], "shop");
    assert_eq!(opened.keys[UnwrapKey::fingerprint(&key).as_str()], 2);
    assert!(unsealed.short.is_none());
}

#[test]
fn what_is_wrong_is_named() {
    type Edit = fn(&mut Value);
    let cases: [(&str, Edit, &str); 9] = [
        ("moved", |o| o["metadata"]["name"] = "y".into(), "no key could decrypt secret (a, b)"),
        (
            "not base64",
            |o| o["spec"]["encryptedData"]["b"] = "***".into(),
            "b cannot be read: it is not standard base64",
        ),
        (
            "the URL alphabet",
            |o| o["spec"]["encryptedData"]["b"] = "AgB__w==".into(),
            "b cannot be read: it is not standard base64",
        ),
        (
            "not a text",
            |o| o["spec"]["encryptedData"]["b"] = 7.into(),
            "b cannot be read: it is too short to be a sealed value: part of it is missing",
        ),
        (
            "a foreign key of 1024 bits",
            |o| o["spec"]["encryptedData"]["b"] = seal::wire::encode(&[&[0, 128][..], &[9; 144]].concat()).into(),
            "no key could decrypt secret (b)",
        ),
        (
            "scope widened",
            |o| o["metadata"]["annotations"] = json!({ seal::CLUSTER_WIDE: "true" }),
            "no key could decrypt secret (a, b)",
        ),
        (
            "both forms",
            |o| o["spec"]["data"] = "AA==".into(),
            "spec.data and spec.encryptedData are both set; use encryptedData only",
        ),
        (
            "both forms, one empty",
            |o| o["spec"]["data"] = "".into(),
            "spec.data and spec.encryptedData are both set; use encryptedData only",
        ),
        (
            "the old form, which is no Secret",
            |o| {
                o["spec"]["encryptedData"] = json!({});
                o["spec"]["data"] = item(b"[]").into();
            },
            "spec.data does not hold a Secret",
        ),
    ];
    for (name, edit, expected) in cases {
        let error = unseal(&sealed(edit)).unwrap_err();
        assert_eq!(error.to_string(), expected, "{name}");
    }
}

#[test]
fn every_corruption_and_truncation_of_an_item_fails_by_its_name() {
    let key = key();
    let whole = seal::wire::decode(&item(b"hi")).unwrap();
    let attempt = |bytes: &[u8]| {
        let text = seal::wire::encode(bytes);
        let object = sealed(|o| o["spec"]["encryptedData"] = json!({ "b": text }));
        make(&object, &open(&object, &[&key], true)?, &how())
    };
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        let error = attempt(&bytes).expect_err("a corrupted item opens");
        assert_eq!(error.items(), ["b"], "byte {place}: {error}");
    }
    for length in 0..whole.len() {
        let error = attempt(&whole[..length]).expect_err("a truncated item opens");
        assert_eq!(error.items(), ["b"], "{length} bytes: {error}");
    }
    assert_eq!(attempt(&whole).unwrap().secret.data["b"].expose(), b"hi");
}

#[test]
fn two_thousand_failing_items_fit_into_a_status() {
    let error = Error::NoKey { items: (0..2000).map(|n| format!("a-rather-long-name-of-an-item-{n}")).collect() };
    assert!(error.to_string().ends_with("and 1980 more)"), "{error}");
    assert!(error.to_string().len() < 1000, "{}", error.to_string().len());
    assert_eq!(error.items().len(), 20);
}

#[test]
fn a_part_is_made_only_when_asked_for() {
    let broken = |annotations: Value| {
        sealed(|o| {
            o["spec"]["encryptedData"]["b"] = "***".into();
            o["spec"]["template"]["data"] = json!({ "c": "{{ .a }}" });
            o["metadata"]["annotations"] = annotations;
        })
    };
    assert!(unseal(&broken(json!({}))).is_err());
    assert!(unseal(&broken(json!({ PARTIAL: "yes" }))).is_err());
    let part = unseal(&broken(json!({ PARTIAL: "true" }))).unwrap();
    assert_eq!(part.secret.data.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(part.missing.iter().collect::<Vec<_>>(), ["b", "c"], "nothing is rendered without all items");
    assert_eq!(part.short.unwrap().reason(), "MalformedItem");
}

#[test]
fn the_old_form_is_read_unless_switched_off() {
    let inner =
        br#"{"kind":"Secret","apiVersion":"v1","metadata":{"labels":{"l":"1"}},"data":{"k":"djE="},"type":"t"}"#;
    let blob = item(inner);
    let object = sealed(|o| {
        o["spec"]["encryptedData"] = json!({});
        o["spec"]["data"] = blob.into();
    });
    let unsealed = unseal(&object).unwrap();
    assert_eq!(unsealed.secret.data["k"].expose(), b"v1");
    assert_eq!((unsealed.secret.labels["l"].as_str(), unsealed.secret.type_.as_str()), ("1", "t"));
    assert_eq!(open(&object, &[&key()], false).unwrap_err(), Error::OldFormRefused);
}

#[test]
fn what_chance_made_before_us_is_kept() {
    let object = sealed(|o| o["spec"]["template"]["data"] = json!({ "c": "{{ randAlphaNum 8 }}", "d": "fixed" }));
    let live = BTreeMap::from([
        ("c".to_owned(), SecretBytes::from("theirs".to_owned())),
        ("d".to_owned(), SecretBytes::from("edited".to_owned())),
    ]);
    let opened = open(&object, &[&key()], true).unwrap();
    let found = make_as_found(&object, &opened, &how(), &live, |_| true).unwrap().secret.data;
    assert_eq!((found["c"].expose(), found["d"].expose()), (&b"theirs"[..], &b"fixed"[..]));
    let anew = make_as_found(&object, &opened, &how(), &live, |_| false).unwrap().secret.data;
    assert_eq!(anew, make(&object, &opened, &how()).unwrap().secret.data);
}
