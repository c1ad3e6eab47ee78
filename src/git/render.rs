//! Argo CD's directory source: a folder of plain manifests becomes a list of objects.

use seal::yaml::{self, Duplicates};
use serde_json::Value;

use super::tree::Files;
use super::{Error, Snapshot};
use crate::glob::{Separator, matches};
use crate::plan::Manifest;

/// Files of one source.
const MOST_FILES: usize = 20_000;
/// Bytes of all manifests of one source; upstream's default.
const MOST_BYTES: u64 = 10 << 20;
/// A file with this text is left alone.
const SKIP: &str = "+argocd:skip-file-rendering";

/// How a folder is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Directory {
    /// The source says that it is a directory: a Chart.yaml or kustomization.yaml in it is a file like any other.
    pub explicit: bool,
    /// Sub-folders, too.
    pub recurse: bool,
    /// Only files that match.
    pub include: String,
    /// Not files that match; wins over `include`.
    pub exclude: String,
}

/// One object and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Located {
    /// Path of the file, relative to the source's folder.
    pub file: String,
    /// Counted from 1.
    pub document: usize,
    /// The object; `kind` and `apiVersion` are there, a name may be missing.
    pub manifest: Manifest,
}

/// What a folder holds, in the order of its files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rendered {
    /// All objects, `List`s taken apart. Two may be the same object: the last one counts.
    pub objects: Vec<Located>,
    /// It depends on more than the folder's hash: links were followed.
    pub has_links: bool,
}

/// Reads a folder of plain manifests.
///
/// Files ending in `.yaml`, `.yml` and `.json` count. What parses and is no Kubernetes object is left out, and so is a
/// file that does not parse, unless it looks like a manifest: that one stops everything, so that nothing is pruned because
/// of a typing error.
///
/// Source: Argo CD's directory generator, its recorded cases.
///
/// # Errors
///
/// [`Error::PathNotFound`] and its like; [`Error::UnsupportedSource`] for Helm and Kustomize; [`Error::BrokenManifest`]
/// with file and line; [`Error::TooManyManifests`].
pub fn directory(snapshot: &Snapshot, path: &str, options: &Directory) -> Result<Rendered, Error> {
    let Files { files, has_links } = snapshot.files(path, options.recurse, MOST_FILES)?;
    for (file, tool) in [
        ("Chart.yaml", "Helm"),
        ("kustomization.yaml", "Kustomize"),
        ("kustomization.yml", "Kustomize"),
        ("Kustomization", "Kustomize"),
    ] {
        if !options.explicit && files.iter().any(|found| found.path == file) {
            return Err(Error::UnsupportedSource { path: path.to_owned(), tool, file: file.to_owned() });
        }
    }
    if let Some(file) = files.iter().find(|file| file.path.ends_with(".jsonnet") && fits(&file.path, options)) {
        return Err(Error::UnsupportedSource { path: path.to_owned(), tool: "Jsonnet", file: file.path.clone() });
    }
    let mut rendered = Rendered { objects: Vec::new(), has_links };
    let mut bytes = 0;
    for file in files.iter().filter(|file| is_wanted(&file.path, options)) {
        bytes += snapshot.size(file.blob)?;
        if bytes > MOST_BYTES {
            let what = format!("{} MiB of manifests", MOST_BYTES >> 20);
            return Err(Error::TooManyManifests { path: path.to_owned(), what });
        }
        let content = snapshot.read(file.blob)?;
        read_file(&file.path, &content, &mut rendered.objects)?;
    }
    Ok(rendered)
}

fn is_wanted(path: &str, options: &Directory) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_manifest = name.rsplit_once('.').is_some_and(|(_, extension)| matches!(extension, "yaml" | "yml" | "json"));
    is_manifest && fits(path, options)
}

/// Whether the globs let a file in.
fn fits(path: &str, options: &Directory) -> bool {
    let matched = |pattern: &str| matches(pattern, path, Separator::None);
    (options.exclude.is_empty() || !matched(&options.exclude))
        && (options.include.is_empty() || matched(&options.include))
}

fn read_file(path: &str, content: &[u8], objects: &mut Vec<Located>) -> Result<(), Error> {
    let broken = |file: String, problem: &str| Error::BrokenManifest { file, problem: problem.to_owned() };
    let Ok(text) = std::str::from_utf8(content) else {
        return if looks_like_a_manifest(&String::from_utf8_lossy(content)) {
            Err(broken(path.to_owned(), "it is not UTF-8 text"))
        } else {
            Ok(())
        };
    };
    if text.contains(SKIP) {
        return Ok(());
    }
    let documents = match yaml::documents(text, Duplicates::LastWins) {
        Ok(documents) => documents,
        Err(error) if looks_like_a_manifest(text) || path.ends_with(".json") => {
            return Err(broken(format!("{path}:{}:{}", error.line, error.column), error.problem));
        }
        Err(_) => return Ok(()),
    };
    if path.ends_with(".json") && documents.iter().any(|document| !document.is_object()) {
        return Err(broken(path.to_owned(), "a .json file holds one object"));
    }
    for (document, number) in documents.into_iter().zip(1..) {
        take(path, number, document, objects);
    }
    Ok(())
}

/// As upstream tells a broken manifest from a template or other people's YAML.
fn looks_like_a_manifest(text: &str) -> bool {
    ["apiVersion:", "kind:", "metadata:"].iter().all(|word| text.contains(word))
}

fn take(file: &str, document: usize, value: Value, objects: &mut Vec<Located>) {
    let Ok(mut manifest) = Manifest::new(value) else { return };
    if manifest.kind().is_empty() || manifest.api_version().is_empty() {
        return;
    }
    if manifest.kind().ends_with("List")
        && let Some(Value::Array(items)) = manifest.fields_mut().remove("items")
    {
        for item in items {
            take(file, document, item, objects);
        }
        return;
    }
    objects.push(Located { file: file.to_owned(), document, manifest });
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::git::{Limits, Mirrors, Remote};

    /// A repository made by `git`, and the snapshot of its only commit as a fetch would leave it.
    fn snapshot(files: &[(&str, &str)], links: &[(&str, &str)]) -> (tempfile::TempDir, Snapshot) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let file = folder.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        for (path, target) in links {
            std::os::unix::fs::symlink(target, folder.path().join(path)).unwrap();
        }
        let git = |arguments: &[&str]| {
            let output = Command::new("git").args(arguments).current_dir(folder.path()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        git(&["init", "--quiet"]);
        git(&["add", "--all"]);
        git(&["-c", "user.name=A", "-c", "user.email=a@b", "commit", "--quiet", "-m", "Title\n\nBody"]);
        let commit = gix::ObjectId::from_hex(git(&["rev-parse", "HEAD"]).as_bytes()).unwrap();
        let repository = gix::ThreadSafeRepository::open_opts(folder.path(), gix::open::Options::isolated()).unwrap();
        (folder, Snapshot { repository, commit, fetched: false })
    }

    fn names(rendered: &Rendered) -> Vec<&str> {
        rendered.objects.iter().map(|located| located.manifest.name()).collect()
    }

    fn config_map(name: &str) -> String {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n")
    }

    #[test]
    fn a_folder_is_read_as_argo_cd_does() {
        let many = format!("---\n---\n# words\n---\n{}---\nnull\n---\n{}", config_map("a"), config_map("b"));
        let list = r#"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"l"}}]}"#;
        let (_folder, snapshot) = snapshot(
            &[
                ("app/many.yaml", many.as_str()),
                ("app/list.json", list),
                ("app/values.yaml", "replicas: 3\n"),
                ("app/scalar.yaml", "just words\n"),
                ("app/template.yaml", "{{- range .x }}\n- : {{ . }}\n"),
                ("app/skip.yaml", &format!("# {SKIP}\n{}", config_map("skipped"))),
                ("app/other.txt", &config_map("text")),
                ("app/deep/er.yml", &config_map("deep")),
                ("shared.yaml", &config_map("shared")),
            ],
            &[("app/zlink.yaml", "../shared.yaml")],
        );
        let flat = Directory::default();
        assert_eq!(names(&directory(&snapshot, "app", &flat).unwrap()), ["l", "a", "b", "shared"]);
        let deep = Directory { recurse: true, ..Directory::default() };
        assert_eq!(names(&directory(&snapshot, "./app/", &deep).unwrap()), ["deep", "l", "a", "b", "shared"]);
        let some = Directory {
            recurse: true,
            include: "{*er.yml,l*}".to_owned(),
            exclude: "*.json".to_owned(),
            explicit: true,
        };
        assert_eq!(names(&directory(&snapshot, "app", &some).unwrap()), ["deep"]);
        assert!(matches!(directory(&snapshot, "nowhere", &flat), Err(Error::PathNotFound { .. })));
        assert!(matches!(directory(&snapshot, "shared.yaml", &flat), Err(Error::NotADirectory { .. })));
        assert!(matches!(directory(&snapshot, "app/../..", &flat), Err(Error::PathEscapes { .. })));
        assert_ne!(snapshot.tree_hash("").unwrap(), snapshot.tree_hash("app").unwrap());
    }

    #[test]
    fn what_means_to_be_a_manifest_and_is_broken_stops_everything_without_its_text() {
        let (_folder, snapshot) = snapshot(
            &[
                ("broken/a.yaml", "apiVersion: v1\nkind: Secret\nmetadata:\n  name: x\ndata:\n  k: \"hunter2\n"),
                ("json/a.json", "{ \"kind\": "),
                ("helm/Chart.yaml", "name: x\n"),
                ("kustomize/kustomization.yml", "resources: []\n"),
                ("jsonnet/main.jsonnet", "{}\n"),
            ],
            &[],
        );
        let error = directory(&snapshot, "broken", &Directory::default()).unwrap_err().to_string();
        assert!(error.starts_with("a.yaml:"), "{error}");
        assert!(!error.contains("hunter2"));
        assert!(matches!(directory(&snapshot, "json", &Directory::default()), Err(Error::BrokenManifest { .. })));
        for path in ["helm", "kustomize", "jsonnet"] {
            let read = directory(&snapshot, path, &Directory::default());
            assert!(matches!(read, Err(Error::UnsupportedSource { .. })), "{path}");
        }
        let explicit = Directory { explicit: true, ..Directory::default() };
        assert!(directory(&snapshot, "helm", &explicit).is_ok(), "a directory that is called one");
    }

    #[test]
    fn links_never_leave_the_repository() {
        let (_folder, snapshot) = snapshot(
            &[("a/x.yaml", "a: 1\n"), ("b/x.yaml", "a: 1\n")],
            &[("a/passwd.yaml", "../../etc/passwd"), ("b/absolute.yaml", "/etc/passwd"), ("loop.yaml", "loop.yaml")],
        );
        for path in ["a", "b"] {
            let read = directory(&snapshot, path, &Directory::default());
            assert!(matches!(read, Err(Error::LinkEscapes { .. })), "{path}: {read:?}");
        }
        assert_eq!(directory(&snapshot, "", &Directory::default()).unwrap().objects, []);
    }

    #[test]
    fn mirrors_of_different_credentials_are_apart() {
        let folder = tempfile::tempdir().unwrap();
        let mirrors = Mirrors::new(folder.path(), Limits::default());
        let remote = |identity: &str| Remote {
            url: "http://127.0.0.1:1/a".to_owned(),
            identity: identity.to_owned(),
            ..Remote::default()
        };
        assert!(mirrors.list(&remote("")).is_err());
        assert!(mirrors.list(&remote("repo-a")).is_err());
        assert_eq!(std::fs::read_dir(folder.path().join("git")).unwrap().count(), 2);
    }
}
