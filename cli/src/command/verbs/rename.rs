//! `seal rename FILE`: another name, another namespace, another key.
//!
//! A key inside a SealedSecret can be renamed freely. Name and namespace are sealed into the values, by scope, so those
//! values must be sealed again: from the Secret that is in the cluster, or opened with a private key.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use seal::edit::Change;
use seal::{Scope, SecretBytes, open_item};

use crate::command::cluster::told;
use crate::command::codes::Code;
use crate::command::context::{Context, counted};
use crate::command::error::CommandError;
use crate::command::open::Keys;
use crate::command::target::{Target, check_key};

#[derive(Debug, clap::Args)]
pub(crate) struct Rename {
    /// File with the SealedSecret
    file: PathBuf,
    /// The new metadata.name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The new metadata.namespace
    #[arg(long = "to-namespace", visible_alias = "move-to", value_name = "NAMESPACE")]
    to_namespace: Option<String>,
    /// Rename a key: OLD=NEW
    #[arg(long = "key", value_name = "OLD=NEW")]
    keys: Vec<String>,
    /// Which SealedSecret, when the file holds several
    #[arg(long, value_name = "NAME")]
    of: Option<String>,
    /// Seal the values anew for the new place, from the Secret that the cluster has
    #[arg(long)]
    reseal: bool,
    /// Seal the values anew for the new place, opened with this private key (PEM or key Secret)
    #[arg(long, value_name = "FILE")]
    with_key: Vec<PathBuf>,
    /// Say what would change and write nothing
    #[arg(long)]
    dry_run: bool,
}

impl Rename {
    pub(crate) fn run(self, context: &Context) -> Result<(), CommandError> {
        let mut target = Target::open(context, &self.file, self.of.as_deref())?;
        let mut changes = Vec::new();
        let mut words = Vec::new();
        for pair in &self.keys {
            let (old, new) =
                pair.split_once('=').ok_or_else(|| CommandError::new(format!("{pair:?} is not OLD=NEW")))?;
            changes.push(rename_key(&mut target, old, new)?);
            words.push(format!("{old} is now {new}"));
        }
        let flag = context.global.cluster.namespace.clone().filter(|_| self.keys.is_empty());
        let namespace = self.to_namespace.clone().or(flag).filter(|namespace| *namespace != target.namespace);
        let name = self.name.clone().filter(|name| *name != target.name);
        if name.is_some() || namespace.is_some() || (self.reseal && self.keys.is_empty()) {
            let moved = self.moved(context, &mut target, name, namespace)?;
            words.push(format!("now {}/{}", target.namespace, target.name));
            if moved.resealed > 0 {
                words.push(format!("{} sealed anew", counted(moved.resealed, "value")));
            }
            changes.extend(moved.changes);
        }
        if words.is_empty() {
            return Err(CommandError::new("nothing to rename: pass --name, --to-namespace or --key OLD=NEW"));
        }
        let changed = target.changed(changes)?;
        let words = format!("{}: {}", self.file.display(), words.join(", "));
        if self.dry_run {
            context.tell(&format!("{words} (--dry-run: nothing written)"));
            return Ok(());
        }
        target.write(&changed)?;
        context.tell(&words);
        Ok(())
    }

    fn moved(
        &self,
        context: &Context,
        target: &mut Target,
        name: Option<String>,
        namespace: Option<String>,
    ) -> Result<Moved, CommandError> {
        let mut changes = Vec::new();
        let values = self.values(context, target, name.is_some(), namespace.is_some())?;
        if let Some(name) = name {
            changes.push(Change::set(&["metadata", "name"], &name));
            if target.template.has_name {
                changes.push(Change::set(&["spec", "template", "metadata", "name"], &name));
            }
            target.name = name;
        }
        if let Some(namespace) = namespace {
            changes.push(Change::set(&["metadata", "namespace"], &namespace));
            if target.template.has_namespace {
                changes.push(Change::set(&["spec", "template", "metadata", "namespace"], &namespace));
            }
            target.namespace = namespace;
        }
        let resealed = values.len();
        if resealed > 0 {
            let chosen = context.certificate(Some(&self.file), true)?;
            for (key, value) in &values {
                changes.push(target.seal(&chosen.certificate, key, value)?);
            }
        }
        Ok(Moved { changes, resealed })
    }

    /// The values that must be sealed again, in memory only.
    fn values(
        &self,
        context: &Context,
        target: &Target,
        renamed: bool,
        moved: bool,
    ) -> Result<BTreeMap<String, SecretBytes>, CommandError> {
        let bound = match target.scope {
            Scope::Strict => renamed || moved || self.reseal,
            Scope::NamespaceWide => moved || self.reseal,
            Scope::ClusterWide => false,
        };
        if !bound || target.items.is_empty() {
            return Ok(BTreeMap::new());
        }
        // Where they were sealed for: the note knows, even when the file was moved already.
        let noted = target.items.iter().find_map(|(key, item)| Some(target.marks.of(key, item)?.place.clone()));
        let place = noted.unwrap_or_else(|| format!("{}/{}", target.namespace, target.name));
        if !self.with_key.is_empty() {
            return opened(target, &place, &Keys::read(&self.with_key)?);
        }
        if !self.reseal {
            return Err(CommandError::coded(
                Code::OtherPlace,
                format!("the values are sealed to {place} ({}): nobody could open them elsewhere", target.scope),
            )
            .at(&self.file, 0)
            .help("--reseal takes them from the Secret in the cluster and seals them for the new place")
            .help("--with-key FILE opens them with a private key instead; or set them again: seal set FILE KEY"));
        }
        let (namespace, name) = place.split_once('/').unwrap_or((&place, &target.name));
        live_values(context, target, namespace, name)
    }
}

struct Moved {
    changes: Vec<Change>,
    resealed: usize,
}

fn rename_key(target: &mut Target, old: &str, new: &str) -> Result<Change, CommandError> {
    check_key(new)?;
    let Some(entry) = target.items.iter_mut().find(|(key, _)| key == old) else {
        return Err(
            CommandError::coded(Code::NoSuchKey, format!("{} has no key {old}", target.name)).at(&target.file, 0)
        );
    };
    entry.0 = new.to_owned();
    if let Some(mark) = target.marks.remove(old) {
        target.marks.insert(new, mark);
    }
    Ok(Change::rename(&["spec", "encryptedData", old], new))
}

fn opened(target: &Target, place: &str, keys: &Keys) -> Result<BTreeMap<String, SecretBytes>, CommandError> {
    let open =
        |(key, item): &(String, String)| match open_item(item, place.as_bytes(), keys.iter()) {
            Ok(opened) => Ok((key.clone(), opened.value)),
            Err(_) => Err(CommandError::coded(Code::CannotOpen, format!("no key could decrypt {key} as {place}"))
                .at(&target.file, 0)),
        };
    target.items.iter().map(open).collect()
}

fn live_values(
    context: &Context,
    target: &Target,
    namespace: &str,
    name: &str,
) -> Result<BTreeMap<String, SecretBytes>, CommandError> {
    let live = context.cluster(Some(&target.file))?.converse(async |client| {
        let secrets: Api<Secret> = Api::namespaced(client, namespace);
        secrets.get(name).await.map_err(|error| told(&error).into_error("cannot read the Secret to seal anew"))
    })?;
    let mut data = live.data.unwrap_or_default();
    target
        .items
        .iter()
        .map(|(key, _)| match data.remove(key) {
            Some(value) => Ok((key.clone(), SecretBytes::from(value.0))),
            None => Err(CommandError::coded(Code::NotInCluster, format!("Secret {namespace}/{name} has no key {key}"))
                .help(format!("set it again: seal set {} {key}", target.file.display()))),
        })
        .collect()
}
