//! `seal reseal`: the cluster opens and seals anew; the values never come here.

use std::path::PathBuf;

use seal::edit::{Change, edit};
use seal::marks::{ANNOTATION, Mark};
use seal::tree::{self, Node};
use seal::{Certificate, check, manifest};
use serde_json::{Value, json};

use crate::command::certificate::{DAY, Published, now};
use crate::command::cluster::Controller;
use crate::command::codes::Code;
use crate::command::context::{Context, counted};
use crate::command::error::CommandError;
use crate::command::files;
use crate::command::io::{self, Text};
use crate::command::target::{unedited, unreadable};

#[derive(Debug, clap::Args)]
pub(crate) struct Reseal {
    /// Files, directories or globs
    #[arg(default_value = ".")]
    paths: Vec<PathBuf>,
    /// Only what was sealed with a key older than this: 90d, 12w
    #[arg(long, value_name = "AGE")]
    older_than: Option<String>,
    /// Say what would be sealed anew and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// A file with SealedSecrets, some of which are due.
struct Due {
    file: PathBuf,
    before: Text,
    objects: Vec<usize>,
}

impl Reseal {
    pub(crate) fn run(self, context: &Context) -> Result<(), CommandError> {
        let limit = self.older_than.as_deref().map(days).transpose()?;
        let cluster = context.cluster(self.paths.first().map(PathBuf::as_path))?;
        let published = Published::fetch(&cluster, |words| context.tell(words))?;
        let newest = Certificate::from_pem(&published.pem)
            .map_err(|error| CommandError::coded(Code::NotACertificate, error.to_string()))?;
        let (mut seen, mut due) = (0, Vec::new());
        for file in files::listed(&self.paths)? {
            let before = io::read_text(&file)?;
            if !check::may_concern(&before.text) {
                continue;
            }
            let documents = tree::read(&before.text).map_err(|error| unreadable(&file, &error))?;
            let objects = tree::objects(&documents);
            let sealed = objects.iter().enumerate().filter(|(_, object)| object.kind() == "SealedSecret");
            seen += usize::from(sealed.clone().next().is_some());
            let objects: Vec<_> = sealed
                .filter(|(_, object)| is_due(object.node, &check::marks(object), &published, &newest, limit))
                .map(|(index, _)| index)
                .collect();
            if !objects.is_empty() {
                due.push(Due { file, before, objects });
            }
        }
        let why = self.older_than.as_deref().map_or_else(
            || "are not sealed with the newest key".to_owned(),
            |age| format!("depend on keys older than {age}"),
        );
        context.tell(&format!("{}, {} {why}", counted(seen, "file"), due.len()));
        if self.dry_run || due.is_empty() {
            return Ok(());
        }
        let count = due.len();
        cluster.converse(async |client| {
            let controller = Controller::find(client, &cluster).await?;
            for due in &due {
                let text = resealed(context, &controller, due, &newest).await?;
                io::write_text(&due.file, &due.before, &text)?;
            }
            Ok(())
        })?;
        context.tell(&format!("{count}/{count}  re-encrypted inside the cluster, plaintext never came here"));
        context.tell("old ciphertext stays in git history: treat those values as due for rotation");
        Ok(())
    }
}

/// Whether an item of the object needs a key that is too old; an item that nothing is known about may.
fn is_due(
    object: &Node,
    marks: &seal::marks::Marks,
    published: &Published,
    newest: &Certificate,
    limit: Option<i64>,
) -> bool {
    let items = object.at(&["spec", "encryptedData"]).map(Node::entries).unwrap_or_default();
    items.iter().any(|entry| {
        let mark = marks.of(entry.key.text().unwrap_or_default(), entry.value.text().unwrap_or_default());
        let Some(key) = mark.map(|mark| &mark.key) else { return true };
        match limit {
            None => *key != newest.fingerprint,
            Some(limit) => {
                let known = published.all().iter().find(|certificate| certificate.fingerprint == *key);
                known.is_none_or(|certificate| now() - certificate.not_before > limit * DAY)
            }
        }
    })
}

async fn resealed(
    context: &Context,
    controller: &Controller,
    due: &Due,
    newest: &Certificate,
) -> Result<String, CommandError> {
    let mut text = due.before.text.clone();
    for &index in &due.objects {
        let documents = tree::read(&text).map_err(|error| unreadable(&due.file, &error))?;
        let objects = tree::objects(&documents);
        let object = &objects[index];
        let values = manifest::documents(&text).unwrap_or_default();
        let mut value = value_of(&values, object).unwrap_or_default();
        let namespace = match object.namespace() {
            "" => context.namespace(Some(&due.file))?.unwrap_or_default(),
            namespace => namespace.to_owned(),
        };
        value["metadata"]["namespace"] = json!(namespace);
        let answer =
            controller.rotate(&value.to_string()).await.map_err(|error| error.at(&due.file, object.node.line))?;
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        let (scope, mut marks) = (check::declared_scope(object), check::marks(object));
        let mut changes = Vec::new();
        for entry in object.node.at(&["spec", "encryptedData"]).map(Node::entries).unwrap_or_default() {
            let key = entry.key.text().unwrap_or_default();
            let item = answer["spec"]["encryptedData"][key].as_str().ok_or_else(|| {
                CommandError::coded(Code::ControllerRefuses, format!("the controller's answer has no {key}"))
                    .at(&due.file, entry.key.line)
            })?;
            changes.push(Change::set(&["spec", "encryptedData", key], item));
            marks.insert(key, Mark::new(&newest.fingerprint, scope, &namespace, object.name(), item));
        }
        changes.push(Change::set(&["metadata", "annotations", ANNOTATION], marks.to_string()));
        text = edit(&text, index, &changes).map_err(|error| unedited(&due.file, &error))?;
    }
    Ok(text)
}

fn value_of(values: &[Value], object: &tree::Object<'_>) -> Option<Value> {
    let document = values.get(object.document)?;
    match object.item {
        None => Some(document.clone()),
        Some(item) => document["items"].get(item).cloned(),
    }
}

/// `90d` or `12w`.
fn days(text: &str) -> Result<i64, CommandError> {
    let wrong = || CommandError::new(format!("{text:?} is no age: write 90d or 12w"));
    let (number, factor) = match (text.strip_suffix('d'), text.strip_suffix('w')) {
        (Some(number), _) => (number, 1),
        (_, Some(number)) => (number, 7),
        _ => return Err(wrong()),
    };
    number.parse::<i64>().ok().and_then(|number| number.checked_mul(factor)).filter(|days| *days >= 0).ok_or_else(wrong)
}
