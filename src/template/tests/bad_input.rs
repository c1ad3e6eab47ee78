//! What nobody should write, and somebody will: refused at its place, or rendered within the bounds.

use std::collections::BTreeMap;

use seal::SecretBytes;

use super::super::bounds::LONGEST_TEMPLATE;
use super::super::{Dialect, Error, Phase};
use super::render;

fn values() -> BTreeMap<String, SecretBytes> {
    let values: [(&str, Vec<u8>); 4] = [
        ("bin", b"\xff\xfe\x80a".to_vec()),
        ("big", b"9007199254740993".to_vec()),
        ("canary", b"canary-c4n4ry".to_vec()),
        ("long", vec![b'a'; 1 << 20]),
    ];
    values.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect()
}

fn outcome(text: &str) -> Result<String, Error> {
    let rendered = render(text, &values(), Dialect::ExternalSecrets)?;
    Ok(String::from_utf8_lossy(rendered.expose()).into_owned())
}

#[test]
fn what_has_no_end_or_is_too_large_is_stopped() {
    let nested_lists = format!("{}1{}", "(list ".repeat(600), ")".repeat(600));
    let grown = "{{ $d := dict }}{{ range until 2000 }}{{ $d = dict \"a\" $d }}{{ end }}";
    let cases = [
        ("runaway range", "{{ range until 1000000 }}{{ range until 1000000 }}x{{ end }}{{ end }}".to_owned()),
        ("a range over a number", "{{ range 9000000000000 }}{{ end }}".to_owned()),
        ("recursion", "{{ define \"T\" }}{{ template \"T\" . }}{{ end }}{{ template \"T\" . }}".to_owned()),
        ("repeat 2^31", "{{ repeat 2147483648 \"x\" }}".to_owned()),
        ("repeat of repeat", "{{ repeat 100000 (repeat 100000 \"x\") | len }}".to_owned()),
        ("until 2^31", "{{ until 2147483648 }}".to_owned()),
        ("untilStep", "{{ untilStep 0 9223372036854775807 1 }}".to_owned()),
        ("seq", "{{ seq 1 1 9000000000 }}".to_owned()),
        ("indent", "{{ indent 2000000000 .canary }}".to_owned()),
        ("random letters", "{{ randAlphaNum 2000000000 }}".to_owned()),
        ("random bytes", "{{ randBytes 2000000000 }}".to_owned()),
        ("many bcrypts", "{{ range until 1000 }}{{ bcrypt \"x\" }}{{ end }}".to_owned()),
        ("replace that grows", "{{ replace \"a\" (repeat 1000 \"b\") .long }}".to_owned()),
        ("a long result", "{{ .long }}{{ .long }}{{ .long }}".to_owned()),
        ("join that grows", "{{ join .long (until 100000) }}".to_owned()),
        (
            "printf within printf",
            "{{ range until 100 }}{{ printf \"%999999d\" 1 | printf \"%999999s\" }}{{ end }}".to_owned(),
        ),
        (
            "a regular expression of many repeats",
            "{{ regexMatch \"(((x{100}){10}){10}y)\" \"x\" }}{{ fail \"no\" }}".to_owned(),
        ),
        ("deep parentheses", format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000))),
        ("deep actions", "{{ if true }}".repeat(5000)),
        ("deep lists", format!("{{{{ {nested_lists} | toJson }}}}")),
        ("deep dicts in JSON", format!("{grown}{{{{ mustToJson $d }}}}")),
        ("deep dicts in YAML", format!("{grown}{{{{ toYaml $d }}}}")),
        ("deep dicts printed", format!("{grown}{{{{ $d }}}}")),
        ("deep dicts copied", format!("{grown}{{{{ deepCopy $d }}}}")),
        ("a dict in itself", "{{ $d := dict }}{{ $d = set $d \"a\" $d }}{{ mustToJson $d }}".to_owned()),
        (
            "deep JSON",
            format!("{{{{ mustFromJson (repeat 100000 \"[\") }}}}{{{{ mustFromJson \"{}\" }}}}", "[".repeat(500)),
        ),
        ("deep YAML", "{{ fromYaml (repeat 100000 \"[\") | mustToJson | fail }}".to_owned()),
    ];
    for (name, text) in cases {
        let error = outcome(&text).map(|rendered| rendered.len()).expect_err(name);
        assert!(!error.to_string().contains("c4n4ry"), "{name}: {error}");
    }
}

#[test]
fn no_error_tells_a_value() {
    let cases = [
        "{{ fail .canary }}",
        "{{ mustRegexMatch (print \"(\" .canary) \"x\" }}",
        "{{ mustToDate \"2006\" .canary }}",
        "{{ mustDateModify .canary now }}",
        "{{ semver .canary }}",
        "{{ semverCompare .canary \"1\" }}",
        "{{ urlParse (print \"%zz\" .canary) }}",
        "{{ mustFromJson .canary }}",
        "{{ index .canary .canary }}",
        "{{ index (dict) .canary .canary }}",
        "{{ add1 (dig .canary) }}",
        "{{ dict .canary 1 | dig .canary .canary 1 }}",
        "{{ pkcs12key .canary }}",
        "{{ rsaDecrypt .canary .canary .canary .canary }}",
        "{{ jwkPublicKeyPem .canary }}",
        "{{ filterPEM .canary .canary }}",
        "{{ certSANs .canary }}",
        "{{ genSelfSignedCert \"x\" (list .canary) nil 1 }}",
        "{{ genCAWithKey \"x\" 1 .canary }}",
        "{{ decryptAES .canary .canary }}",
        "{{ .canary.canary }}",
        "{{ len (atoi .canary) }}",
        "{{ template \"T\" .canary }}",
        "{{ slice .canary 1 }}",
        "{{ repeat .canary .canary }}",
        "{{ buildCustomCert .canary .canary }}",
        "{{ pemToPkcs12 .canary .canary }}",
    ];
    for text in cases {
        let error = outcome(text).expect_err(text);
        assert!(!format!("{error} {error:?}").contains("c4n4ry"), "{text}: {error}");
        assert_eq!(error.phase, Phase::Exec, "{text}");
        assert!(error.column.is_some() && error.line == 1, "{text}");
    }
}

#[test]
fn odd_values_are_what_they_are_for_go() {
    let cases = [
        ("{{ .bin }}", "\u{FFFD}\u{FFFD}\u{FFFD}a"),
        ("{{ .bin | b64enc }}", "//6AYQ=="),
        ("{{ .bin | upper | b64enc }}", "77+977+977+9QQ=="),
        ("{{ .bin | quote }}", "\"\\xff\\xfe\\x80a\""),
        ("{{ .bin | toJson }}", "\"\\ufffd\\ufffd\\ufffda\""),
        ("{{ len .bin }}", "4"),
        ("{{ regexReplaceAll \"a\" .bin \"b\" | b64enc }}", "//6AYg=="),
        ("{{ .big | int64 }}", "9007199254740993"),
        ("{{ .big | float64 }}", "9.007199254740992e+15"),
        ("{{ fromJson .big }}", "9.007199254740992e+15"),
        ("{{ int64 \"9223372036854775808\" }}", "0"),
        ("{{ add 9223372036854775807 1 }}", "-9223372036854775808"),
        ("{{ date_in_zone \"15:04 MST\" 0 \"Mars/Olympus\" }}", "00:00 UTC"),
        ("{{ date_in_zone \"15:04 MST\" 0 \"../../etc/passwd\" }}", "00:00 UTC"),
        ("{{ regexMatch \"(a+)+$\" .long }}", "true"),
        ("{{ regexMatch \"(a|aa)+b\" .long }}", "false"),
        ("{{ regexMatch \"(\" \"x\" }}", "false"),
        ("{{ printf \"%[3]*.[2]*[1]f\" 12.0 2 6 }}", " 12.00"),
        ("{{ printf \"%d %s\" 1 }}", "1 %!s(MISSING)"),
    ];
    for (text, expected) in cases {
        assert_eq!(outcome(text).unwrap(), expected, "{text}");
    }
}

#[test]
fn a_template_is_as_long_as_an_object_can_be() {
    let at_most = "x".repeat(LONGEST_TEMPLATE);
    assert!(render(&"x".repeat(1 << 20), &values(), Dialect::SealedSecrets).is_ok());
    assert!(render(&at_most, &values(), Dialect::SealedSecrets).unwrap_err().too_much, "the result is too long");
    let error = render(&"x".repeat(10 << 20), &values(), Dialect::SealedSecrets).unwrap_err();
    assert!(error.too_much && error.phase == Phase::Parse, "{error}");
}
