//! Runs recorded command lines and turns what they did into facts. What differs on purpose is listed here, and in
//! MIGRATING.md.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use seal::{Certificate, RsaUnwrapKey, SecretBytes, UnwrapKey, manifest, open_item, seal_item, wire};
use serde_json::{Map, Value, json};

/// Cases that ours answers otherwise on purpose, and how: the exit code.
const DIFFERENT: [(&str, i64); 3] = [
    // A YAML file stays YAML, comments and all, unless -o asks for something else.
    ("merge: yaml target, no -o", 0),
    // The reference writes an item that nobody can open.
    ("merge: namespace-wide target, no --scope", 1),
    ("merge: strict target, --scope cluster-wide", 1),
];

/// The words that a message must hold, by the kind of trouble that was recorded.
const WORDS: [(&str, &[&str]); 18] = [
    ("certificate expired", &["expired"]),
    ("not a usable certificate", &["certificate"]),
    ("file not found", &["No such file"]),
    ("unknown output format", &["format"]),
    ("name missing", &["name"]),
    ("namespace conflict", &["namespace"]),
    ("no data", &["empty"]),
    ("nothing to seal", &["no secret", "no Secret"]),
    ("from-file without raw", &["--raw"]),
    ("more than one from-file", &["--from-file"]),
    ("name needed", &["--name"]),
    ("namespace needed", &["namespace"]),
    ("invalid base64", &["base64"]),
    ("no key fits", &["no key could decrypt", "private key"]),
    ("key Secret without private key", &["tls.key"]),
    ("template error", &["template"]),
    ("controller service not found", &["service"]),
    ("wrong kind", &["not a SealedSecret"]),
];

/// What a command line did.
struct Seen {
    exit: i64,
    stdout: Value,
    stderr: String,
    files: BTreeMap<String, Value>,
}

fn judged(id: &str, case: &Value, seen: &Seen) -> Result<(), String> {
    let recorded = &case["recorded"];
    for canary in case["canaries"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if seen.stderr.contains(canary) {
            return Err("a value is on stderr".to_owned());
        }
    }
    if let Some((_, exit)) = DIFFERENT.iter().find(|(known, _)| *known == id) {
        return same("exit", &json!(exit), &json!(seen.exit));
    }
    // Where the reference crashes or never ends, and where it prints its usage, a clean refusal will do.
    if recorded["stderr"] == "crash" || recorded["exit"] == "never ends" || case["refusal_only"] == true {
        let clean = (1..126).contains(&seen.exit) && seen.files.is_empty() && !seen.stderr.is_empty();
        return if clean { Ok(()) } else { Err(format!("no clean refusal: {}", seen.exit)) };
    }
    same("exit", &recorded["exit"], &json!(seen.exit))?;
    same("stdout", &recorded["stdout"], &seen.stdout)?;
    same("files", &recorded["files"], &json!(seen.files))?;
    if seen.exit != 0 {
        let kind = recorded["stderr"].as_str().unwrap_or_default();
        if seen.stderr.trim().is_empty() {
            return Err("an error without a word".to_owned());
        }
        if let Some((_, words)) = WORDS.iter().find(|(known, _)| *known == kind)
            && !words.iter().any(|word| seen.stderr.contains(word))
        {
            return Err(format!("the message does not speak of: {kind}"));
        }
    }
    Ok(())
}

fn same(what: &str, wanted: &Value, got: &Value) -> Result<(), String> {
    if wanted == got { Ok(()) } else { Err(format!("{what}:\n    wanted {wanted}\n    got    {got}")) }
}

/// A program to try, the recorded cases, and the test keys.
pub(crate) struct Lab {
    program: PathBuf,
    folder: PathBuf,
    keys: Vec<(String, RsaUnwrapKey)>,
    /// The kubeconfig of cases that need a cluster, and what else they need to find the controller.
    pub(crate) cluster: Option<(PathBuf, Vec<(String, String)>)>,
}

impl Lab {
    pub(crate) fn new(program: &Path, folder: &Path) -> Self {
        let mut keys = Vec::new();
        for entry in std::fs::read_dir(folder.join("keys")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "key")
                && let Ok(key) = RsaUnwrapKey::from_pem(&std::fs::read_to_string(&path).unwrap())
            {
                keys.push((path.file_stem().unwrap().to_str().unwrap().to_owned(), key));
            }
        }
        Self { program: program.to_owned(), folder: folder.to_owned(), keys, cluster: None }
    }

    /// Runs the cases that are wanted: how many, and what is wrong.
    pub(crate) fn failures(&self, wanted: impl Fn(&Value) -> bool) -> (usize, Vec<String>) {
        let cases = std::fs::read_to_string(self.folder.join("cases.json")).unwrap();
        let cases: Vec<Value> = serde_json::from_str(&cases).unwrap();
        let (mut failures, mut ran) = (Vec::new(), 0);
        for case in cases.iter().filter(|case| wanted(case)) {
            ran += 1;
            let id = case["id"].as_str().unwrap();
            let seen = self.run(case);
            if let Err(why) = judged(id, case, &seen) {
                failures.push(format!("{id}: {why}\n  {}", seen.stderr.trim()));
            }
        }
        (ran, failures)
    }

    /// Runs one case in a directory of its own, with nothing of the environment but PATH.
    fn run(&self, case: &Value) -> Seen {
        let place = tempfile::tempdir().unwrap();
        let (work, home) = (place.path().join("work"), place.path().join("home"));
        for folder in [&work, &home, &work.join("tmp")] {
            std::fs::create_dir(folder).unwrap();
        }
        let mut before = BTreeMap::new();
        for (name, text) in case["files"].as_object().into_iter().flatten() {
            let bytes = self.bytes(text, &work);
            std::fs::write(work.join(name), &bytes).unwrap();
            before.insert(name.clone(), bytes);
        }
        let mut command = Command::new(&self.program);
        command.env_clear().env("HOME", &home).env("TMPDIR", work.join("tmp")).current_dir(&work);
        if let (Some("cluster"), Some((kubeconfig, environment))) = (case["kubeconfig"].as_str(), &self.cluster) {
            command.env("KUBECONFIG", kubeconfig).envs(environment.iter().cloned());
        } else if let Some(context) = case["kubeconfig"].as_str() {
            std::fs::write(home.join("kubeconfig"), kubeconfig(context)).unwrap();
            command.env("KUBECONFIG", home.join("kubeconfig"));
        }
        for (name, value) in case["env"].as_object().into_iter().flatten() {
            command.env(name, self.expanded(value.as_str().unwrap(), &work));
        }
        for argument in case["args"].as_array().into_iter().flatten() {
            command.arg(self.expanded(argument.as_str().unwrap(), &work));
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Who refuses its arguments does not read.
        let _ = child.stdin.take().unwrap().write_all(&self.bytes(&case["stdin"], &work));
        let output = child.wait_with_output().unwrap();
        let labels: Vec<_> = case["labels"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(&work).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if !path.is_file() {
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            match before.get(&name) {
                Some(known) if *known == bytes => {}
                Some(_) => drop(files.insert(name, json!({ "changed": self.facts(&bytes, &labels) }))),
                None => drop(files.insert(name, json!({ "created": self.facts(&bytes, &labels) }))),
            }
        }
        Seen {
            exit: output.status.code().map_or(-1, i64::from),
            stdout: self.facts(&output.stdout, &labels),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            files,
        }
    }

    /// Output as facts: kind, format, and every item opened.
    fn facts(&self, bytes: &[u8], labels: &[&str]) -> Value {
        if bytes.is_empty() {
            return json!({ "kind": "empty" });
        }
        let text = String::from_utf8_lossy(bytes).into_owned();
        if text.starts_with("kubeseal version: ") {
            return json!({ "kind": "version line", "newline": text.ends_with('\n') });
        }
        if ["--controller-name", "--scope", "--re-encrypt"].iter().all(|flag| text.contains(flag)) {
            return json!({ "kind": "usage" });
        }
        if text.contains("-----BEGIN") {
            let digests: Vec<_> = text.split("-----BEGIN CERTIFICATE-----").skip(1).map(certificate_digest).collect();
            return json!({ "kind": "certificates", "sha256": digests });
        }
        if text.len() > 300 && wire::decode(&text).is_ok() {
            let mut facts = self.opened(text.trim(), "", "", labels);
            facts["kind"] = json!("raw item");
            facts["newline"] = json!(text.ends_with('\n'));
            return facts;
        }
        let Ok(documents) = manifest::documents(&text) else { return json!({ "kind": "text" }) };
        let count = documents.len();
        let documents: Vec<_> = documents.into_iter().map(|document| self.document(document, labels)).collect();
        if text.starts_with('{') {
            let indent = if text.starts_with("{\n  \"") { 2 } else { 0 };
            json!({ "kind": "documents", "format": "json", "documents": documents, "indent": indent })
        } else {
            let marked = text.starts_with("---\n") && text.lines().filter(|line| *line == "---").count() == count;
            json!({ "kind": "documents", "format": "yaml", "documents": documents, "each document starts with ---": marked })
        }
    }

    fn document(&self, document: Value, labels: &[&str]) -> Value {
        let mut document = cleaned(document);
        let text = |field: &str| document["metadata"][field].as_str().unwrap_or_default().to_owned();
        let (name, namespace) = (text("name"), text("namespace"));
        if let Some(items) = document.pointer_mut("/spec/encryptedData").and_then(Value::as_object_mut) {
            for item in items.values_mut() {
                *item = self.opened(item.as_str().unwrap_or_default(), &namespace, &name, labels);
            }
        }
        if document["kind"] == "Secret"
            && let Some(data) = document.pointer_mut("/data").and_then(Value::as_object_mut)
        {
            for value in data.values_mut() {
                *value = shown(&wire::decode(value.as_str().unwrap_or_default()).unwrap());
            }
        }
        document
    }

    fn opened(&self, item: &str, namespace: &str, name: &str, labels: &[&str]) -> Value {
        let own = [format!("{namespace}/{name}"), namespace.to_owned(), String::new()];
        for label in own.iter().map(String::as_str).chain(labels.iter().copied()) {
            for (called, key) in &self.keys {
                if let Ok(opened) = open_item(item, label.as_bytes(), [key as &dyn UnwrapKey]) {
                    return json!({ "opened": shown(opened.value.expose()), "label": label, "key": called });
                }
            }
        }
        json!({ "unopenable": true })
    }

    /// A text of a case, or bytes as base64.
    fn bytes(&self, text: &Value, work: &Path) -> Vec<u8> {
        match text {
            Value::String(text) => self.expanded(text, work).into_bytes(),
            Value::Object(fields) => wire::decode(fields["base64"].as_str().unwrap()).unwrap(),
            _ => Vec::new(),
        }
    }

    /// `{keys}`, `{dir}` and `{seal KEY LABEL VALUE}`.
    fn expanded(&self, text: &str, work: &Path) -> String {
        let mut text =
            text.replace("{keys}", self.folder.join("keys").to_str().unwrap()).replace("{dir}", work.to_str().unwrap());
        while let Some(start) = text.find("{seal ") {
            let end = start + text[start..].find('}').unwrap();
            let words: Vec<_> = text[start + 6..end].splitn(3, ' ').map(str::to_owned).collect();
            let [key, label, value] = words.as_slice() else { panic!("{text}") };
            let pem = std::fs::read_to_string(self.folder.join(format!("keys/{key}.crt"))).unwrap();
            let label = if label == "-" { "" } else { label };
            let value = SecretBytes::from(value.clone());
            let item =
                seal_item(&mut rand::rng(), &Certificate::from_pem(&pem).unwrap(), label.as_bytes(), &value).unwrap();
            text.replace_range(start..=end, &item);
        }
        text
    }
}

/// What says nothing is taken out: a time of `null`, an empty status.
fn cleaned(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(name, value)| !(name == "creationTimestamp" && value.is_null()))
                .filter(|(name, value)| !(name == "status" && value.as_object().is_none_or(Map::is_empty)))
                .map(|(name, value)| (name, cleaned(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(cleaned).collect()),
        other => other,
    }
}

fn shown(value: &[u8]) -> Value {
    match std::str::from_utf8(value) {
        _ if value.len() > 300 => json!({ "sha256": hex_digest(value), "length": value.len() }),
        Ok(text) => json!({ "text": text }),
        Err(_) => json!({ "base64": wire::encode(value) }),
    }
}

fn certificate_digest(block: &str) -> String {
    hex_digest(&wire::decode(block.split("-----END").next().unwrap().trim()).unwrap())
}

fn hex_digest(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A kubeconfig whose cluster nobody answers for; its context has a namespace or none.
fn kubeconfig(context: &str) -> String {
    let current = if context == "ctxns" { "x" } else { "plain" };
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": current,
        "clusters": [{ "name": "c", "cluster": { "server": "https://127.0.0.1:1" } }],
        "users": [{ "name": "u", "user": { "token": "x" } }],
        "contexts": [
            { "name": "x", "context": { "cluster": "c", "user": "u", "namespace": "ctxns" } },
            { "name": "plain", "context": { "cluster": "c", "user": "u" } },
        ],
    })
    .to_string()
}
