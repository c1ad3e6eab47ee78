//! `seal recover FILE`: values back, with a private key, when there is no cluster left. The one verb that shows values.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use seal::{SecretBytes, manifest, wire};
use serde_json::{Value, json};

use crate::command::age_files;
use crate::command::codes::Code;
use crate::command::console::{self, say};
use crate::command::context::{Context, counted};
use crate::command::error::CommandError;
use crate::command::io;
use crate::command::objects;
use crate::command::open::{self, Keys};

/// How long a value stays on the screen.
const SHOWN: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(crate) struct Recover {
    /// File with SealedSecrets
    file: PathBuf,
    /// Private keys: PEM, key Secrets, or age:FILE for a backup of `seal keys backup`
    #[arg(long, required = true, value_name = "FILE")]
    key: Vec<String>,
    /// File with the age identity, for age:FILE; without it a passphrase is asked for
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Write the Secrets into this new file, for you alone, instead of showing values; with --yes
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
}

impl Recover {
    pub(crate) fn run(self, context: &Context) -> Result<(), CommandError> {
        let on_screen = self.output_file.is_none();
        if on_screen && !(std::io::stdout().is_terminal() && context.can_ask()) {
            return Err(CommandError::coded(
                Code::NeedsInput,
                "values are shown on a terminal only, and only when asked",
            )
            .help("to a file for you alone: --yes --output-file FILE"));
        }
        if !on_screen && !context.global.yes {
            return Err(CommandError::coded(Code::NeedsInput, "this writes secret values into a file")
                .help("say that you mean it: --yes"));
        }
        let keys = self.keys(context)?;
        let text = io::read_text(&self.file)?.text;
        let documents = manifest::documents(&text)
            .map_err(|error| CommandError::coded(Code::NotYaml, error.to_string()).at(&self.file, 0))?;
        let objects: Vec<_> = objects::of_kind(&documents, "SealedSecret").collect();
        if objects.is_empty() {
            return Err(CommandError::coded(Code::WrongObject, "it holds no SealedSecret").at(&self.file, 0));
        }
        let mut opened = Vec::new();
        for object in objects {
            let spec = &object["spec"];
            // The type lets it pass, so that one broken object breaks no watch: nothing would be recovered, silently.
            if !spec["encryptedData"].is_object() && spec["data"].is_null() {
                return Err(CommandError::coded(Code::NotYaml, "its encryptedData is no map of sealed values")
                    .at(&self.file, 0));
            }
            let sealed = serde_json::from_value(object.clone()).map_err(|_| {
                CommandError::coded(Code::NotYaml, "a SealedSecret in it cannot be read").at(&self.file, 0)
            })?;
            opened.push((object, open::secret_values(&sealed, &keys).map_err(|error| error.at(&self.file, 0))?));
        }
        match &self.output_file {
            Some(output) => write(context, output, opened),
            None => self.show(&opened),
        }
    }

    fn keys(&self, context: &Context) -> Result<Keys, CommandError> {
        let (mut files, mut keys) = (Vec::new(), Vec::new());
        for key in &self.key {
            match key.strip_prefix("age:") {
                None => files.push(PathBuf::from(key)),
                Some(file) => {
                    let text = age_files::decrypt(context, Path::new(file), self.identity.as_deref())?;
                    let text = std::str::from_utf8(&text).unwrap_or_default();
                    keys.extend(Keys::parse(text).map_err(|why| {
                        CommandError::coded(Code::NotAKey, format!("no private key in {file}: {why}"))
                    })?);
                }
            }
        }
        Ok(Keys::read(&files)?.and(keys))
    }

    fn show(&self, opened: &[(&Value, BTreeMap<String, SecretBytes>)]) -> Result<(), CommandError> {
        let name = self.file.display().to_string();
        let typed = console::ask("this prints secret values on your screen. Type the file name to go on: ")?;
        if typed.trim() != name {
            return Err(CommandError::new("that is not the file's name; nothing was shown"));
        }
        for (object, values) in opened {
            let place = [&object["metadata"]["namespace"], &object["metadata"]["name"]];
            say(&place.iter().filter_map(|part| part.as_str()).collect::<Vec<_>>().join("/"));
            for (key, value) in values {
                console::ask(&format!("{key}: (press Enter to show for {} s) ", SHOWN.as_secs()))?;
                let text = std::str::from_utf8(value.expose())
                    .map_or_else(|_| wire::encode(value.expose()), ToOwned::to_owned);
                let text = zeroize::Zeroizing::new(text);
                let lines = text.lines().count().max(1);
                io::write_stdout(format!("{}\n", text.as_str()).as_bytes())?;
                std::thread::sleep(SHOWN);
                // Up over the value, and everything below goes.
                io::write_stdout(format!("\x1b[{lines}F\x1b[J").as_bytes())?;
            }
        }
        Ok(())
    }
}

fn write(
    context: &Context,
    output: &Path,
    opened: Vec<(&Value, BTreeMap<String, SecretBytes>)>,
) -> Result<(), CommandError> {
    let count = opened.len();
    let mut text = zeroize::Zeroizing::new(String::new());
    for (object, values) in opened {
        let template = &object["spec"]["template"];
        let data: serde_json::Map<_, _> =
            values.into_iter().map(|(key, value)| (key, json!(wire::encode(value.expose())))).collect();
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": template["type"].as_str().unwrap_or("Opaque"),
            "metadata": { "name": object["metadata"]["name"], "namespace": object["metadata"]["namespace"] },
            "data": data,
        });
        text.push_str("---\n");
        text.push_str(&seal::yaml::write(&secret).map_err(|error| CommandError::new(error.to_string()))?);
    }
    io::write_private(output, text.as_bytes())?;
    context.tell(&format!(
        "wrote {} to {}, readable for you alone; delete it when it is done with",
        counted(count, "Secret"),
        output.display()
    ));
    Ok(())
}
