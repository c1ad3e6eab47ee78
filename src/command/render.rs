//! `chancery render`: what the operator would make of a template, offline.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use seal::{SecretBytes, yaml};
use serde_json::{Value, json};

use crate::template::{self, Chance, Dialect, Template};

/// Largest file that is read.
const LARGEST_FILE: u64 = 8 << 20;
/// A template is wrong.
const WRONG_TEMPLATE: u8 = 1;
/// A file cannot be read, or is not what it should be. (2 is wrong usage, by clap.)
const WRONG_INPUT: u8 = 3;

/// Render a template, or those of a manifest, offline
#[derive(Debug, Args)]
#[command(after_help = "Values are never taken from the command line, where other processes see them.\n\n\
    Exit status: 0 rendered, 1 a template is wrong (with its line and column), 2 wrong usage, 3 a file is wrong.\n\n\
    Examples:\n  chancery render config.tmpl --values values.yaml\n  \
    kubectl get secret db -o yaml | chancery render externalsecret.yaml --values - --key config.yaml")]
pub struct Render {
    /// A template, or a SealedSecret or ExternalSecret whose templates are rendered; `-` for stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Values: a YAML or JSON map of texts, or a Secret; `-` for stdin. Later ones win
    #[arg(long, value_name = "FILE")]
    values: Vec<PathBuf>,

    /// One value from a file, byte for byte, such as a PKCS#12 file
    #[arg(long, value_name = "KEY=FILE", value_parser = key_and_file)]
    value_file: Vec<(String, PathBuf)>,

    /// Whose rules a plain template follows; a manifest says it itself
    #[arg(long, value_enum, default_value = "external-secrets", value_name = "NAME")]
    dialect: Rules,

    /// Of a manifest, only the template of this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,

    /// What `now` is; the real time when absent
    #[arg(long, value_name = "TIME")]
    now: Option<Timestamp>,

    /// How it is shown: the bytes themselves, or JSON with places and errors
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: Output,
}

/// Whose rules.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Rules {
    ExternalSecrets,
    SealedSecrets,
}

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

fn key_and_file(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((key, file)) if !key.is_empty() && !file.is_empty() => Ok((key.to_owned(), file.into())),
        _ => Err("KEY=FILE is wanted".to_owned()),
    }
}

/// Why it does not work out. No text of a value.
enum Problem {
    Input(String),
    Template { place: String, error: template::Error },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(problem) => f.write_str(problem),
            Self::Template { place, error } => write!(f, "{place}: {error}"),
        }
    }
}

/// A template and where it stands.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    place: String,
    key: String,
    text: String,
}

/// Runs the verb.
pub fn run(render: &Render) -> ExitCode {
    match rendered(render).and_then(|outputs| shown(render, &outputs)) {
        Ok(bytes) => match std::io::stdout().lock().write_all(&bytes) {
            Ok(()) => ExitCode::SUCCESS,
            // A reader that has seen enough.
            Err(_) => ExitCode::from(WRONG_INPUT),
        },
        Err(problem) => {
            let (code, told) = told(&problem);
            if render.output == Output::Json {
                drop(std::io::stdout().lock().write_all(format!("{told:#}\n").as_bytes()));
            } else {
                drop(writeln!(std::io::stderr().lock(), "error: {problem}"));
            }
            ExitCode::from(code)
        }
    }
}

fn told(problem: &Problem) -> (u8, Value) {
    match problem {
        Problem::Input(problem) => (WRONG_INPUT, json!({ "error": { "kind": "input", "problem": problem } })),
        Problem::Template { place, error } => {
            let kind = if error.phase == template::Phase::Parse { "parse" } else { "exec" };
            let told = json!({ "error": {
                "kind": kind, "place": place, "line": error.line, "column": error.column,
                "function": error.function, "problem": error.problem,
            } });
            (WRONG_TEMPLATE, told)
        }
    }
}

fn rendered(render: &Render) -> Result<Vec<(Found, SecretBytes)>, Problem> {
    let values = values(render)?;
    let text = String::from_utf8(read(&render.file)?.expose().to_vec())
        .map_err(|_| Problem::Input(format!("{}: a template is UTF-8", render.file.display())))?;
    let (mut found, dialect, siblings) = templates(render, text)?;
    if let Some(key) = &render.key {
        found.retain(|one| one.key == *key);
    }
    if found.is_empty() {
        return Err(Problem::Input(format!("{}: there is no such template in it", render.file.display())));
    }
    // In a SealedSecret a template sees the texts of its siblings, unless a value has that name.
    let mut variables = values;
    for (key, text) in siblings {
        variables.entry(key).or_insert_with(|| text.into());
    }
    let now = render.now.unwrap_or_else(Timestamp::now);
    let one = |found: Found| {
        // The operator's seeds are other ones: they come from its install key.
        let chance = Chance::new(now, [0; 32]);
        let bytes = Template::parse(&found.key, &found.text, dialect).and_then(|one| one.render(&variables, chance));
        match bytes {
            Ok(bytes) => Ok((found, bytes)),
            Err(error) => Err(Problem::Template { place: found.place, error }),
        }
    };
    found.into_iter().map(one).collect()
}

fn shown(render: &Render, outputs: &[(Found, SecretBytes)]) -> Result<Vec<u8>, Problem> {
    if render.output == Output::Json {
        let one = |(found, bytes): &(Found, SecretBytes)| match std::str::from_utf8(bytes.expose()) {
            Ok(text) => json!({ "place": found.place, "key": found.key, "output": text }),
            Err(_) => {
                json!({ "place": found.place, "key": found.key, "outputBase64": STANDARD.encode(bytes.expose()) })
            }
        };
        let all: Vec<Value> = outputs.iter().map(one).collect();
        return Ok(format!("{:#}\n", json!({ "rendered": all })).into_bytes());
    }
    match outputs {
        [(_, only)] => Ok(only.expose().to_vec()),
        several => {
            let mut out = Vec::new();
            for (found, bytes) in several {
                out.extend_from_slice(format!("# {}\n", found.place).as_bytes());
                out.extend_from_slice(bytes.expose());
                if !bytes.expose().ends_with(b"\n") {
                    out.push(b'\n');
                }
            }
            Ok(out)
        }
    }
}

fn read(file: &Path) -> Result<SecretBytes, Problem> {
    let wrong = |error: std::io::Error| Problem::Input(format!("{}: {error}", file.display()));
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().lock().take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(wrong)?;
    } else {
        let open = std::fs::File::open(file).map_err(wrong)?;
        open.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(wrong)?;
    }
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST_FILE) {
        return Err(Problem::Input(format!("{}: larger than 8 MiB", file.display())));
    }
    Ok(bytes.into())
}

fn parsed(text: &str) -> Option<Value> {
    let mut documents = yaml::documents(text, yaml::Duplicates::LastWins).ok()?;
    if documents.len() == 1 { documents.pop() } else { None }
}

fn values(render: &Render) -> Result<BTreeMap<String, SecretBytes>, Problem> {
    let mut all = BTreeMap::new();
    for file in &render.values {
        let wrong = |what: &str| Problem::Input(format!("{}: {what}", file.display()));
        let bytes = read(file)?;
        let text = std::str::from_utf8(bytes.expose()).map_err(|_| wrong("not UTF-8"))?;
        let read = parsed(text).ok_or_else(|| wrong("not one YAML or JSON document"))?;
        all.extend(values_of(&read).map_err(|problem| wrong(&problem))?);
    }
    for (key, file) in &render.value_file {
        all.insert(key.clone(), read(file)?);
    }
    Ok(all)
}

/// The values of a Secret, or of a map of texts.
fn values_of(read: &Value) -> Result<BTreeMap<String, SecretBytes>, String> {
    let is_secret = read["kind"] == "Secret";
    let texts = |map: &Value| -> Result<Vec<(String, String)>, String> {
        let map = map.as_object().ok_or("not a map of keys and values")?;
        let text = |(key, value): (&String, &Value)| match value {
            Value::String(text) => Ok((key.clone(), text.clone())),
            _ => Err(format!("{key:?} is not a text: quote it")),
        };
        map.iter().map(text).collect()
    };
    if !is_secret {
        return Ok(texts(read)?.into_iter().map(|(key, text)| (key, text.into())).collect());
    }
    let mut values = BTreeMap::new();
    if !read["data"].is_null() {
        for (key, text) in texts(&read["data"])? {
            let bytes = STANDARD.decode(text).map_err(|_| format!("data.{key} is not base64"))?;
            values.insert(key, bytes.into());
        }
    }
    if !read["stringData"].is_null() {
        values.extend(texts(&read["stringData"])?.into_iter().map(|(key, text)| (key, text.into())));
    }
    Ok(values)
}

type Templates = (Vec<Found>, Dialect, Vec<(String, String)>);

fn templates(render: &Render, text: String) -> Result<Templates, Problem> {
    let object = parsed(&text).filter(Value::is_object);
    let kind = object.as_ref().and_then(|object| object["kind"].as_str()).unwrap_or_default();
    match (kind, &object) {
        ("SealedSecret", Some(object)) => {
            let found = maps(object, "/spec/template", &["data"]);
            let siblings = found.iter().map(|one| (one.key.clone(), one.text.clone())).collect();
            Ok((found, Dialect::SealedSecrets, siblings))
        }
        ("ExternalSecret", Some(object)) => {
            let mut found = maps(object, "/spec/target/template", &["data", "metadata/labels", "metadata/annotations"]);
            let from = object.pointer("/spec/target/template/templateFrom").and_then(Value::as_array);
            for (index, from) in from.into_iter().flatten().enumerate() {
                let place = format!("spec.target.template.templateFrom[{index}].literal");
                if let Some(text) = from["literal"].as_str() {
                    found.push(Found { key: place.clone(), place, text: text.to_owned() });
                }
            }
            Ok((found, Dialect::ExternalSecrets, Vec::new()))
        }
        _ => {
            let dialect = match render.dialect {
                Rules::ExternalSecrets => Dialect::ExternalSecrets,
                Rules::SealedSecrets => Dialect::SealedSecrets,
            };
            let name = render.file.display().to_string();
            Ok((vec![Found { place: name.clone(), key: name, text }], dialect, Vec::new()))
        }
    }
}

/// The templates in the maps below a place.
fn maps(object: &Value, below: &str, names: &[&str]) -> Vec<Found> {
    let mut found = Vec::new();
    for name in names {
        let pointer = format!("{below}/{name}");
        let map = object.pointer(&pointer).and_then(Value::as_object);
        for (key, text) in map.into_iter().flatten() {
            let place = format!("{}.{key}", pointer.trim_start_matches('/').replace('/', "."));
            if let Some(text) = text.as_str() {
                found.push(Found { place, key: key.clone(), text: text.to_owned() });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        render: Render,
    }

    /// What a command line prints, or what is wrong, over files of these names and contents.
    fn outcome(files: &[(&str, &str)], line: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let place = |word: &str| match word.strip_prefix('@').or_else(|| Some(word.split_once("=@")?.1)) {
            Some(name) => word.replace(&format!("@{name}"), &folder.path().join(name).display().to_string()),
            None => word.to_owned(),
        };
        let words = std::iter::once("render".to_owned()).chain(line.split_whitespace().map(place));
        let render = Line::try_parse_from(words).unwrap().render;
        let bytes = rendered(&render).and_then(|outputs| shown(&render, &outputs)).map_err(|problem| {
            let (code, _) = told(&problem);
            format!("{code} {problem}").replace(&format!("{}/", folder.path().display()), "")
        });
        bytes.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    const EXTERNAL: &str = r#"
apiVersion: external-secrets.io/v1
kind: ExternalSecret
spec:
  target:
    template:
      data: { url: "pg://{{ .user }}:{{ .pass | urlquery }}@db", "plain": "x" }
      metadata: { labels: { team: "{{ .team }}" } }
      templateFrom: [{ literal: "a: {{ .user }}\n" }]
"#;
    const SEALED: &str = r#"
apiVersion: bitnami.com/v1alpha1
kind: SealedSecret
spec:
  template:
    data: { greeting: "{{ .missing }} {{ .part }}", part: "p" }
"#;
    const VALUES: &str = "{user: orla, pass: 'a b&c', team: kelp}";

    #[test]
    fn what_is_rendered() {
        let secret = "kind: Secret\ndata: {user: b3JsYQ==}\nstringData: {pass: s3}\n";
        let cases = [
            (("t", "{{ .user | upper }}"), "@t --values @v", Ok("ORLA")),
            (("t", "{{ .nope }}"), "@t --values @v", Err("1 t: template:1:3: map has no entry for key \"nope\"")),
            (("t", "{{ .nope }}"), "@t --values @v --dialect sealed-secrets", Ok("<no value>")),
            (("t", "a\n{{ nope }}"), "@t", Err("1 t: template:2: function \"nope\" not defined")),
            (("t", "{{ .user }}-{{ .pass }}"), "@t --values @s", Ok("orla-s3")),
            (("t", "{{ .raw }}"), "@t --value-file raw=@s", Ok(secret)),
            (("es.yaml", EXTERNAL), "@es.yaml --values @v --key url", Ok("pg://orla:a+b%26c@db")),
            (
                ("es.yaml", EXTERNAL),
                "@es.yaml --values @v --key none",
                Err("3 es.yaml: there is no such template in it"),
            ),
            (("ss.yaml", SEALED), "@ss.yaml --key greeting", Ok("<no value> p")),
            (("t", "x"), "@t --values @nowhere", Err("3 nowhere: No such file or directory (os error 2)")),
            (("t", "x"), "@t --values @n", Err("3 n: \"a\" is not a text: quote it")),
            (("t", "{{ now | date \"2006\" }}"), "@t --now 2031-02-03T04:05:06Z", Ok("2031")),
        ];
        for (file, line, expected) in cases {
            let files = [file, ("v", VALUES), ("s", secret), ("n", "a: 1")];
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(outcome(&files, line), expected, "{line}: {}", file.1);
        }
    }

    #[test]
    fn several_templates_of_a_manifest_are_told_apart() {
        let files = [("es.yaml", EXTERNAL), ("v", VALUES)];
        let text = outcome(&files, "@es.yaml --values @v").unwrap();
        assert_eq!(
            text,
            "# spec.target.template.data.url\npg://orla:a+b%26c@db\n# spec.target.template.data.plain\nx\n\
             # spec.target.template.metadata.labels.team\nkelp\n# spec.target.template.templateFrom[0].literal\na: orla\n",
        );
        let json: Value = serde_json::from_str(&outcome(&files, "@es.yaml --values @v -o json").unwrap()).unwrap();
        assert_eq!(
            json["rendered"][1],
            json!({ "place": "spec.target.template.data.plain", "key": "plain", "output": "x" })
        );
    }
}
