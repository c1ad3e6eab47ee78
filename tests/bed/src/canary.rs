//! Known values that must never be seen anywhere but in Secrets: after all tests everything that the operator said is
//! searched for them, plain and base64.

use std::path::{Path, PathBuf};

use anyhow::Result;
use base64::Engine;

use crate::bed::Bed;

/// The value that tests seal, store and rotate.
pub const CANARY: &str = "canary-7f3a9b-value";
/// All of them: the canary, values in broken files, the Git server's password.
const VALUES: [&str; 3] = [CANARY, "hunter2", crate::git::PASSWORD];
/// Kinds whose whole objects are searched; Secrets are where values belong.
const KINDS: [&str; 9] = [
    "events.k8s.io/v1 Event",
    "v1 ConfigMap",
    "coordination.k8s.io/v1 Lease",
    "bitnami.com/v1alpha1 SealedSecret",
    "external-secrets.io/v1 ExternalSecret",
    "external-secrets.io/v1 SecretStore",
    "argoproj.io/v1alpha1 Application",
    "argoproj.io/v1alpha1 AppProject",
    "chancery.dev/v1alpha1 Doorbell",
];

/// Places where a value is seen: files that operators left below `folder` (logs, last metrics and answers), and objects.
///
/// # Errors
///
/// Trouble with the API server, or a file that cannot be read.
pub async fn search(bed: &Bed, folder: &Path) -> Result<Vec<String>> {
    let needles: Vec<String> = VALUES
        .iter()
        .flat_map(|value| [(*value).to_owned(), base64::engine::general_purpose::STANDARD_NO_PAD.encode(value)])
        // The last character of base64 depends on what follows.
        .map(|needle| needle[..needle.len() - 1].to_owned())
        .collect();
    let holds = |text: &str| needles.iter().any(|needle| text.contains(needle));
    let mut found = Vec::new();
    let mut bytes = 0;
    for file in said_by_operators(folder) {
        let text = String::from_utf8_lossy(&std::fs::read(&file)?).into_owned();
        bytes += text.len();
        found.extend(text.lines().filter(|line| holds(line)).map(|line| format!("{}: {line}", file.display())));
    }
    let cluster = bed.cluster().await?;
    let mut objects = 0;
    for kind in KINDS {
        for object in cluster.list(kind, "").await? {
            objects += 1;
            let text = object.to_string();
            if holds(&text) {
                found.push(format!("{kind} {}/{}", object["metadata"]["namespace"], object["metadata"]["name"]));
            }
        }
    }
    crate::say(format!("  searched {} KiB of logs and answers, {objects} objects", bytes / 1024));
    Ok(found)
}

fn said_by_operators(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_said = path.extension().is_some_and(|extension| extension == "log" || extension == "answers");
            if path.is_dir() {
                folders.push(path);
            } else if is_said
                && !path.to_string_lossy().contains("/plane/")
                && !path.to_string_lossy().contains("/vault/")
            {
                files.push(path);
            }
        }
    }
    files
}
