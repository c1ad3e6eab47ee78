//! Git as Applications see it: one list of refs a remote for all of them, a rendered folder each.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};

use crate::address::normalise;
use crate::api::Application;
use crate::api::application::Source;
use crate::cluster::{self, Cluster, RepositorySecret};
use crate::decide::application::spec::project_name;
use crate::error::Classify;
use crate::git::{self, Credentials, Directory, Limits, Mirrors, ObjectId, Refs, Remote, Rendered, RepositoryEntry};
use crate::plan::ObjectKey;
use crate::telemetry::{GitLabels, Metrics};

/// Remotes that are asked at a time: many, because dead ones hold their place until their deadline, and the others must not
/// wait for them.
const AT_A_TIME: usize = 32;
/// How long repository Secrets are held: a poll reads them anew.
const ENTRIES_AGE: Duration = Duration::from_secs(10);

/// All repositories of all Applications.
pub(super) struct Repositories {
    cluster: Cluster,
    metrics: Arc<Metrics>,
    control_namespace: String,
    mirrors: Arc<Mirrors>,
    entries: tokio::sync::Mutex<Option<(Instant, Arc<Entries>)>>,
    remotes: Mutex<HashMap<RemoteKey, Arc<Listed>>>,
    rendered: Mutex<HashMap<ObjectKey, Cached>>,
}

/// Two spellings of one address with the same credentials are one remote.
type RemoteKey = (String, String);

/// The refs of one remote, listed by one task at a time.
#[derive(Default)]
struct Listed(tokio::sync::Mutex<Option<(Instant, Answer)>>);

type Answer = Result<Arc<Refs>, git::Error>;

#[derive(Default)]
struct Entries {
    repositories: Vec<RepositoryEntry>,
    authorities: BTreeMap<String, String>,
}

struct Cached {
    commit: ObjectId,
    path: String,
    options: Directory,
    tree: ObjectId,
    rendered: Arc<Rendered>,
}

/// A folder at a commit.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The commit.
    pub(super) revision: String,
    /// What it declares.
    pub(super) rendered: Arc<Rendered>,
}

/// Why a folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Git(#[from] git::Error),
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    #[error("reading was interrupted")]
    Interrupted,
}

impl Repositories {
    pub(super) fn new(
        cluster: &Cluster,
        metrics: &Arc<Metrics>,
        control_namespace: &str,
        cache: &std::path::Path,
    ) -> Self {
        Self {
            cluster: cluster.clone(),
            metrics: Arc::clone(metrics),
            control_namespace: control_namespace.to_owned(),
            mirrors: Arc::new(Mirrors::new(cache, Limits::default())),
            entries: tokio::sync::Mutex::default(),
            remotes: Mutex::default(),
            rendered: Mutex::default(),
        }
    }

    /// Reads what `source` declares. `fresh` asks the server even when its refs are known from the last poll;
    /// `revision` is in place of the source's own.
    pub(super) async fn read(
        &self,
        application: &Application,
        source: &Source,
        revision: Option<&str>,
        fresh: bool,
    ) -> Result<Target, Error> {
        let remote = self.remote(application, fresh).await?;
        let revision = revision.unwrap_or(&source.target_revision);
        let commit = match git::full_id(revision) {
            Some(commit) => commit,
            None => git::resolve(&*self.refs(&remote, fresh.then(Instant::now)).await?, revision)?,
        };
        let explicit = source.directory.is_some();
        let directory = source.directory.clone().unwrap_or_default();
        let options =
            Directory { explicit, recurse: directory.recurse, include: directory.include, exclude: directory.exclude };
        let key = key_of(application);
        if let Some(rendered) =
            self.cached(&key, |known| known.commit == commit && known.path == source.path && known.options == options)
        {
            return Ok(Target { revision: commit.to_string(), rendered });
        }
        let mirrors = Arc::clone(&self.mirrors);
        let path = source.path.clone();
        let known_tree = self
            .lock_rendered()
            .get(&key)
            .filter(|known| known.options == options)
            .map(|known| (known.tree, Arc::clone(&known.rendered)));
        let for_folder = options.clone();
        let fetched = tokio::task::spawn_blocking(move || mirrors.fetch(&remote, commit)).await;
        let fetched = fetched.map_err(|_| Error::Interrupted)?;
        if !fetched.as_ref().is_ok_and(|snapshot| !snapshot.was_fetched()) {
            self.count("fetch", fetched.as_ref().err());
        }
        let snapshot = fetched?;
        let (tree, rendered) = tokio::task::spawn_blocking(move || {
            let tree = snapshot.tree_hash(&path)?;
            match known_tree {
                Some((known, rendered)) if known == tree && !rendered.has_links => Ok((tree, rendered)),
                _ => git::directory(&snapshot, &path, &for_folder).map(|rendered| (tree, Arc::new(rendered))),
            }
        })
        .await
        .map_err(|_| Error::Interrupted)??;
        let cached = Cached { commit, path: source.path.clone(), options, tree, rendered: Arc::clone(&rendered) };
        self.lock_rendered().insert(key, cached);
        Ok(Target { revision: commit.to_string(), rendered })
    }

    /// Forgets what was read for an Application.
    pub(super) fn forget(&self, key: &ObjectKey) {
        self.lock_rendered().remove(key);
    }

    /// Asks every remote in use for its refs, or only those at one address, and names the Applications for which
    /// something changed: a new commit, a new trouble, the end of one.
    pub(super) async fn poll(&self, applications: &[Application], only: Option<&str>) -> Vec<ObjectKey> {
        let wanted = only.map(normalise);
        let mut users: HashMap<RemoteKey, (Remote, Vec<&Application>)> = HashMap::new();
        for application in applications {
            let Some(source) = &application.spec.source else { continue };
            if wanted.as_ref().is_some_and(|wanted| normalise(&source.repo_url) != *wanted) {
                continue;
            }
            match self.remote(application, false).await {
                Ok(remote) => {
                    users.entry(remote_key(&remote)).or_insert_with(|| (remote, Vec::new())).1.push(application)
                }
                Err(error) => tracing::debug!(%error, "repository Secrets could not be read and will be"),
            }
        }
        if only.is_none() {
            self.lock_remotes().retain(|key, _| users.contains_key(key));
        }
        let asked: Vec<_> = users.into_values().map(|(remote, users)| self.moved(remote, users).boxed()).collect();
        let moved: Vec<Vec<ObjectKey>> = futures::stream::iter(asked).buffer_unordered(AT_A_TIME).collect().await;
        moved.concat()
    }

    /// Asks one remote, and names those of its users whose revision now means something else.
    async fn moved(&self, remote: Remote, users: Vec<&Application>) -> Vec<ObjectKey> {
        let slot = self.slot(&remote);
        let before = slot.0.lock().await.as_ref().map(|(_, refs)| refs.clone());
        let after = self.refs(&remote, Some(Instant::now())).await;
        let has_moved = |application: &Application| {
            let source = application.spec.source.as_ref();
            let revision = source.map(|source| source.target_revision.as_str()).unwrap_or_default();
            let commit = |refs: &Answer| match refs {
                Ok(refs) => git::resolve(refs, revision),
                Err(error) => Err(error.clone()),
            };
            before.as_ref().map(commit) != Some(commit(&after))
        };
        users.into_iter().filter(|application| has_moved(application)).map(key_of).collect()
    }

    /// How an Application's repository is reached.
    async fn remote(&self, application: &Application, fresh: bool) -> Result<Remote, cluster::Error> {
        let entries = self.entries(fresh).await?;
        let url = application.spec.source.as_ref().map(|source| source.repo_url.clone()).unwrap_or_default();
        let entry = git::choose(&entries.repositories, &url, project_name(application));
        let mut credentials = entry.map(|entry| entry.credentials.clone()).unwrap_or_default();
        let host = reqwest::Url::parse(&url).ok().and_then(|url| url.host_str().map(str::to_owned));
        credentials.authorities = host.and_then(|host| entries.authorities.get(&host).cloned());
        Ok(Remote { url, identity: entry.map(|entry| entry.name.clone()).unwrap_or_default(), credentials })
    }

    async fn entries(&self, fresh: bool) -> Result<Arc<Entries>, cluster::Error> {
        let mut known = self.entries.lock().await;
        let age = if fresh { Duration::from_millis(500) } else { ENTRIES_AGE };
        if let Some((at, entries)) = &*known
            && at.elapsed() < age
        {
            return Ok(Arc::clone(entries));
        }
        let repositories = self.cluster.repository_secrets(&self.control_namespace).await?;
        let entries = Arc::new(Entries {
            repositories: repositories.into_iter().filter_map(entry_of).collect(),
            authorities: self.cluster.repository_authorities(&self.control_namespace).await?,
        });
        *known = Some((Instant::now(), Arc::clone(&entries)));
        Ok(entries)
    }

    /// The refs of a remote: those of the last poll, or, when asked for newer ones than that, new ones. Whoever comes
    /// while somebody asks gets the same answer.
    async fn refs(&self, remote: &Remote, newer_than: Option<Instant>) -> Answer {
        let slot = self.slot(remote);
        let mut known = slot.0.lock().await;
        if let Some((at, refs)) = &*known
            && newer_than.is_none_or(|wanted| *at >= wanted)
        {
            return refs.clone();
        }
        let at = Instant::now();
        let (mirrors, remote) = (Arc::clone(&self.mirrors), remote.clone());
        let listed = tokio::task::spawn_blocking(move || mirrors.list(&remote)).await;
        let refs = match listed {
            Ok(refs) => refs.map(Arc::new),
            Err(_) => Err(git::Error::Storage("listing refs was interrupted".to_owned())),
        };
        self.count("ls-refs", refs.as_ref().err());
        *known = Some((at, refs.clone()));
        refs
    }

    fn count(&self, request: &'static str, error: Option<&git::Error>) {
        let result = error.map_or("ok", Classify::reason);
        self.metrics.git_requests.get_or_create(&GitLabels { request, result }).inc();
    }

    fn slot(&self, remote: &Remote) -> Arc<Listed> {
        Arc::clone(self.lock_remotes().entry(remote_key(remote)).or_default())
    }

    fn cached(&self, key: &ObjectKey, fits: impl Fn(&Cached) -> bool) -> Option<Arc<Rendered>> {
        self.lock_rendered().get(key).filter(|known| fits(known)).map(|known| Arc::clone(&known.rendered))
    }

    fn lock_remotes(&self) -> std::sync::MutexGuard<'_, HashMap<RemoteKey, Arc<Listed>>> {
        self.remotes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_rendered(&self) -> std::sync::MutexGuard<'_, HashMap<ObjectKey, Cached>> {
        self.rendered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remote_key(remote: &Remote) -> RemoteKey {
    (normalise(&remote.url), remote.identity.clone())
}

fn key_of(application: &Application) -> ObjectKey {
    let metadata = &application.metadata;
    ObjectKey::new(metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

/// A repository Secret as an entry; none for Helm and OCI repositories.
fn entry_of(secret: RepositorySecret) -> Option<RepositoryEntry> {
    let text = |key: &str| {
        secret.data.get(key).map(|value| String::from_utf8_lossy(value.expose()).trim().to_owned()).unwrap_or_default()
    };
    if !matches!(text("type").as_str(), "" | "git") || text("url").is_empty() {
        return None;
    }
    let value = |key: &str| secret.data.get(key).filter(|value| !value.expose().is_empty()).cloned();
    Some(RepositoryEntry {
        url: text("url"),
        project: Some(text("project")).filter(|project| !project.is_empty()),
        credentials: Credentials {
            username: text("username"),
            password: value("password"),
            bearer_token: value("bearerToken"),
            authorities: None,
            insecure: text("insecure") == "true",
        },
        name: secret.name,
        is_template: secret.is_template,
    })
}
