//! Input that nobody should have: a clean refusal with words, no value said, no file harmed.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, Instant};

mod support;

use support::{CANARY, command, keys, names, seal, sealed, words};

/// Longest that a refusal may take: without optimisation, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);

/// Verbs that want one SealedSecret, as command lines about `x.yaml`.
fn verbs() -> Vec<Vec<String>> {
    let key = format!("{}/a2048.key", keys());
    [
        &["set", "x.yaml", "key", "--generate", "hex:8"][..],
        &["unset", "x.yaml", "k"],
        &["rename", "x.yaml", "--key", "k=l"],
        &["edit", "x.yaml", "--on-disk"],
        &["recover", "x.yaml", "--key", &key, "--yes", "--output-file", "out"],
    ]
    .iter()
    .map(|line| line.iter().map(|&word| word.to_owned()).collect())
    .collect()
}

#[test]
fn whatever_is_in_the_file_the_answer_is_a_refusal_with_its_place() {
    let bomb = (1..30).fold("a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned(), |bomb, n| {
        bomb + &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(","))
    });
    let head = "kind: SealedSecret\nmetadata: {name: x, namespace: shop}\nspec:\n";
    let cases: [(&str, Vec<u8>); 14] = [
        ("twice", format!("{head}  encryptedData: {{k: a, k: {CANARY}}}\n").into()),
        ("alias bomb", format!("{head}  encryptedData: {{}}\n{bomb}").into()),
        ("an anchor that holds itself", format!("{head}  x: &x [*x]\n").into()),
        ("bottomless", format!("{head}  x: {}", "[".repeat(100_000)).into()),
        (
            "bottomless blocks",
            format!("{head}  x:{}", (2..600).map(|n| format!("\n{}- a:", " ".repeat(2 * n))).collect::<String>())
                .into(),
        ),
        ("NUL", format!("{head}  x: \"{CANARY}\0\"\n  y: [\n").into()),
        ("no text", vec![0xff, 0x00, 0x80, 0xc3, 0x28]),
        ("UTF-16 cut off", vec![0xff, 0xfe, 0x61]),
        ("nothing", Vec::new()),
        ("words", CANARY.into()),
        ("a list", format!("- {CANARY}\n").into()),
        ("a plain Secret", format!("kind: Secret\nstringData: {{k: {CANARY}}}\n").into()),
        ("items that are no map", format!("{head}  encryptedData: {CANARY}\n").into()),
        ("two of them", format!("{head}  encryptedData: {{k: AA==}}\n---\n{head}").into()),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in cases {
        let file = folder.path().join("x.yaml");
        std::fs::write(&file, &text).unwrap();
        for verb in verbs() {
            let name = format!("{name}, {}", verb[0]);
            let line: Vec<&str> = verb.iter().map(String::as_str).collect();
            let started = Instant::now();
            let output = seal(folder.path(), &line, b"");
            let words = words(&output);
            // What can be read, and holds items that are none, fails later where values are opened.
            let codes = if verb[0] == "recover" { &[1, 3, 7][..] } else { &[3] };
            assert!(codes.contains(&output.status.code().unwrap()), "{name}: {:?} {words}", output.status);
            assert!(words.contains("error[E0") && words.contains("x.yaml"), "{name}: {words}");
            assert!(!words.contains(CANARY) && output.stdout.is_empty(), "{name}: {words}");
            assert_eq!(std::fs::read(&file).unwrap(), text, "{name}: the file was touched");
            assert!(started.elapsed() < PATIENCE, "{name} takes for ever");
        }
        assert_eq!(names(folder.path()), ["x.yaml"], "{name}");
    }
}

#[test]
fn what_is_no_file_to_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("x.yaml")).unwrap();
    let mut cases =
        vec![("x.yaml", "it is a directory"), ("gone.yaml", "No such file"), ("x.yaml/in/it", "cannot read")];
    #[cfg(unix)]
    {
        // Unreadable even to root.
        std::os::unix::fs::symlink("loop.yaml", folder.path().join("loop.yaml")).unwrap();
        cases.push(("loop.yaml", "cannot read loop.yaml"));
    }
    for (file, word) in cases {
        for verb in verbs() {
            let line: Vec<&str> = verb.iter().map(|word| if word == "x.yaml" { file } else { word }).collect();
            let output = seal(folder.path(), &line, b"");
            assert_eq!(output.status.code(), Some(3), "{line:?}: {}", words(&output));
            assert!(words(&output).contains(word) && words(&output).contains(file), "{line:?}: {}", words(&output));
        }
        for line in [&["check", file][..], &["guard", "run", file], &["show", file], &["file", file], &["-f", file]] {
            // Directories are walked by these, and kubeseal has one exit code.
            if file == "x.yaml" && line[0] != "-f" {
                continue;
            }
            let output = seal(folder.path(), line, b"");
            let code = if line[0] == "-f" { 1 } else { 3 };
            assert_eq!(output.status.code(), Some(code), "{line:?}: {}", words(&output));
            assert!(words(&output).contains(file), "{line:?}: {}", words(&output));
        }
    }
}

#[test]
fn keys_and_certificates_that_are_none_are_named() {
    let folder = tempfile::tempdir().unwrap();
    sealed(folder.path());
    let keys = keys();
    for (file, word) in [
        ("a2048.key", "private key"),
        ("a2048.pub", "public key"),
        ("text.crt", "no certificate"),
        ("ec256.key", "private key"),
    ] {
        let place = format!("{keys}/{file}");
        let output = seal(folder.path(), &["set", "db.yaml", "a", "--generate", "hex:8", "--cert", &place], b"");
        assert_eq!(output.status.code(), Some(4), "{file}: {}", words(&output));
        assert!(words(&output).contains(word), "{file}: {}", words(&output));
    }
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    std::fs::write(folder.path().join("junk.pem"), [0, 159, 146, 150]).unwrap();
    for (file, code) in [("text.crt", 3), ("nokey.json", 3), ("ec256.key", 3), ("a2048.crt", 3), ("other2048.key", 7)] {
        let place = format!("{keys}/{file}");
        let line = ["recover", "db.yaml", "--key", &place, "--yes", "--output-file", "out"];
        let output = seal(folder.path(), &line, b"");
        assert_eq!(output.status.code(), Some(code), "{file}: {}", words(&output));
        assert!(!folder.path().join("out").exists());
    }
    for (place, code) in [("folder", 3), ("junk.pem", 3), ("gone.pem", 3), ("age:junk.pem", 7), ("age:gone", 3)] {
        let line = ["recover", "db.yaml", "--key", place, "--identity", "db.yaml", "--yes", "--output-file", "out"];
        let output = seal(folder.path(), &line, b"");
        assert_eq!(output.status.code(), Some(code), "{place}: {}", words(&output));
        assert!(!folder.path().join("out").exists());
    }
}

/// DER: a tag and what is in it.
fn der(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    let content = parts.concat();
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x84][..], &length, &content].concat().to_vec()
}

/// DER as it must be: the shortest length.
fn short(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().position(|byte| *byte != 0).unwrap_or(7)..];
    let head = match length {
        [only @ 0..0x80] => vec![tag, *only],
        long => [&[tag, 0x80 | long.len() as u8], long].concat(),
    };
    [head, content].concat()
}

/// A certificate with this RSA key; nobody signed it, which nobody asks.
fn certificate(write: fn(u8, &[Vec<u8>]) -> Vec<u8>, modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    const RSA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    const SIGNED: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
    let number = |digits: &[u8]| write(2, &[vec![0], digits.to_vec()]);
    let algorithm = |id: &[u8]| write(0x30, &[write(6, &[id.to_vec()]), write(5, &[])]);
    let time = |text: &str| write(0x17, &[text.into()]);
    let exponent = write(2, &[exponent.to_vec()]);
    let key = write(0x30, &[number(modulus), exponent]);
    let body = write(
        0x30,
        &[
            write(0xa0, &[write(2, &[vec![2]])]),
            write(2, &[vec![1]]),
            algorithm(&SIGNED),
            write(0x30, &[]),
            write(0x30, &[time("250101000000Z"), time("450101000000Z")]),
            write(0x30, &[]),
            write(0x30, &[algorithm(&RSA), write(3, &[vec![0], key])]),
        ],
    );
    write(0x30, &[body, algorithm(&SIGNED), write(3, &[vec![0], vec![1; 256]])])
}

fn pem(bytes: &[u8]) -> String {
    let text = seal::wire::encode(bytes);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

#[test]
fn hostile_certificates_seal_nothing_and_cost_nothing() {
    let odd = |bytes: usize| [vec![0xc5; bytes - 1], vec![0x0d]].concat();
    let ours = |modulus: &[u8], exponent: &[u8]| pem(&certificate(short, modulus, exponent));
    let good = ours(&odd(256), &[1, 0, 1]);
    let body = good.lines().nth(1).unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let before = sealed(folder.path());
    let set = |text: &str| {
        std::fs::write(folder.path().join("hostile.pem"), text).unwrap();
        let started = Instant::now();
        let output = seal(folder.path(), &["set", "db.yaml", "a", "--generate", "hex:8", "--cert", "hostile.pem"], b"");
        assert!(started.elapsed() < PATIENCE, "it takes for ever");
        output
    };
    // The writer above is right: what is refused below is refused for what it holds.
    assert_eq!(set(&good).status.code(), Some(0), "{}", words(&set(&good)));
    std::fs::write(folder.path().join("db.yaml"), &before).unwrap();
    let cases = [
        ("a small key", ours(&odd(64), &[1, 0, 1])),
        ("a key of 1024 bits", ours(&odd(128), &[1, 0, 1])),
        ("a key of 16384 bits", ours(&odd(2048), &[1, 0, 1])),
        ("a megabyte of key", ours(&odd(1 << 20), &[1, 0, 1])),
        ("an even modulus", ours(&[odd(255), vec![0]].concat(), &[1, 0, 1])),
        ("no modulus", ours(&[], &[1, 0, 1])),
        ("exponent 0", ours(&odd(256), &[0])),
        ("exponent 1", ours(&odd(256), &[1])),
        ("an even exponent", ours(&odd(256), &[1, 0, 0])),
        ("a negative exponent", ours(&odd(256), &[0x81])),
        ("an exponent as large as the modulus", ours(&odd(256), &[vec![0], odd(256)].concat())),
        ("lengths in the wrong form", pem(&certificate(der, &odd(256), &[1, 0, 1]))),
        ("no DER", pem(b"tide and time")),
        ("an empty block", pem(&[])),
        ("a length beyond the end", pem(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff])),
        ("bottomless DER", pem(&[0x30, 0x80].repeat(100_000))),
        ("cut off", good[..good.len() / 2].to_owned()),
        ("no base64", good.replace(&body, "§§§§")),
        ("NULs", good.replace(&body, &body.replace('A', "\0"))),
        ("only beginnings", "-----BEGIN CERTIFICATE-----\n".repeat(200_000)),
        ("nothing", String::new()),
    ];
    for (name, text) in cases {
        let output = set(&text);
        assert_eq!(output.status.code(), Some(4), "{name}: {}", words(&output));
        assert!(words(&output).contains("hostile.pem"), "{name}: {}", words(&output));
        let mut shown = command(folder.path(), &["cert", "show", "hostile.pem"]);
        assert_eq!(shown.output().unwrap().status.code(), Some(4), "{name}");
    }
    assert_eq!(std::fs::read_to_string(folder.path().join("db.yaml")).unwrap(), before);
    // One that is fit to seal with, and a broken one behind it, which would have to open what is there.
    std::fs::write(folder.path().join("hostile.pem"), format!("{good}{}", pem(b"tide"))).unwrap();
    let output = seal(folder.path(), &["check", "--cert", "hostile.pem"], b"");
    assert_eq!(output.status.code(), Some(4), "{}", words(&output));
}

#[test]
fn a_merge_goes_into_the_one_object_that_fits_or_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let one = sealed(folder.path());
    let shared =
        one.replace("  annotations:", "  annotations:\n    sealedsecrets.bitnami.com/namespace-wide: \"true\"");
    assert_ne!(one, shared);
    let secret = format!("kind: Secret\nmetadata: {{name: db, namespace: shop}}\nstringData: {{k: {CANARY}}}\n");
    for (name, target, flags, word) in [
        ("several documents", format!("{one}---\n{one}"), &[][..], "one SealedSecret and nothing else"),
        ("another document", format!("{one}---\nkind: ConfigMap\n"), &[], "one SealedSecret and nothing else"),
        (
            "a List of two",
            "kind: List\nitems: [{kind: SealedSecret}, {kind: SealedSecret}]\n".to_owned(),
            &[],
            "one SealedSecret",
        ),
        ("a plain Secret", secret.clone(), &[], "not a SealedSecret"),
        (
            "no items",
            "kind: SealedSecret\nmetadata: {name: db, namespace: shop}\nspec: {}\n".to_owned(),
            &[],
            "encryptedData",
        ),
        ("another scope", shared, &[], "--scope namespace-wide"),
        ("another scope, asked for", one.clone(), &["--scope", "cluster-wide"], "--scope strict"),
        ("another namespace", one.clone(), &["-n", "other"], "does not match the namespace"),
        ("nothing", String::new(), &[], "one SealedSecret"),
    ] {
        std::fs::write(folder.path().join("db.yaml"), &target).unwrap();
        let output = seal(folder.path(), &[&["--merge-into", "db.yaml"], flags].concat(), secret.as_bytes());
        assert_eq!(output.status.code(), Some(1), "{name}: {}", words(&output));
        assert!(words(&output).contains(word) && !words(&output).contains(CANARY), "{name}: {}", words(&output));
        assert_eq!(std::fs::read_to_string(folder.path().join("db.yaml")).unwrap(), target, "{name}");
    }
    std::fs::write(folder.path().join("db.yaml"), &one).unwrap();
    let merged = seal(folder.path(), &["--merge-into", "db.yaml"], secret.as_bytes());
    assert!(merged.status.success(), "{}", words(&merged));
    assert!(std::fs::read_to_string(folder.path().join("db.yaml")).unwrap().contains("    k: AQ"));
}

#[test]
fn large_values_and_odd_encodings_are_no_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let before = sealed(folder.path());
    let file = folder.path().join("db.yaml");
    // 900 kB.
    std::fs::write(folder.path().join("large"), vec![0x61; 900_000]).unwrap();
    let output = seal(folder.path(), &["set", "db.yaml", "large", "--from-file", "large"], b"");
    assert!(output.status.success(), "{}", words(&output));
    let shown = seal(folder.path(), &["show", "db.yaml"], b"");
    assert!(String::from_utf8_lossy(&shown.stdout).contains("900000"));
    // UTF-16 with Windows' line ends, as old PowerShell writes it, and it stays so.
    let text = before.replace('\n', "\r\n");
    let bytes = [&[0xff, 0xfe][..], &text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()].concat();
    std::fs::write(&file, &bytes).unwrap();
    let output = seal(folder.path(), &["set", "db.yaml", "b", "--stdin"], CANARY.as_bytes());
    assert!(output.status.success(), "{}", words(&output));
    let after = std::fs::read(&file).unwrap();
    let (after, encoding) = seal::Encoding::decode(&after).unwrap();
    assert_eq!(encoding, seal::Encoding::Utf16Low);
    assert!(
        after.lines().count() == text.lines().count() + 1
            && after.matches("\r\n").count() == after.matches('\n').count()
    );
}
