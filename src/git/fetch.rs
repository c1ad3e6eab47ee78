//! Bare mirrors, filled with single commits over HTTPS.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gix::bstr::ByteSlice;
use gix::protocol::handshake::Ref;
use gix::remote::Direction;
use gix::remote::fetch::Shallow;
use gix::{ObjectId, ThreadSafeRepository, open};

use super::transport::{Address, classified, transport};
use super::{Error, Refs, Remote};
use crate::address::normalise;

/// What one repository may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For one list of refs.
    pub list: Duration,
    /// For one commit.
    pub fetch: Duration,
    /// Largest pack of one commit, in bytes.
    pub pack: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { list: Duration::from_secs(15), fetch: Duration::from_secs(90), pack: 512 << 20 }
    }
}

/// More packs than this in one mirror, one a fetched commit, and it is begun anew: cheaper than repacking.
const MOST_PACKS: usize = 100;

/// All mirrors, in a folder that may be lost at any time.
#[derive(Debug)]
pub struct Mirrors {
    folder: PathBuf,
    limits: Limits,
    /// One fetch a mirror at a time.
    locks: Mutex<HashMap<PathBuf, Arc<Mutex<()>>>>,
}

/// One commit of a mirror, with all its files.
#[derive(Clone)]
pub struct Snapshot {
    pub(super) repository: ThreadSafeRepository,
    pub(super) commit: ObjectId,
    pub(super) fetched: bool,
}

impl Mirrors {
    /// Mirrors below `folder`.
    pub fn new(folder: &Path, limits: Limits) -> Self {
        Self { folder: folder.join("git"), limits, locks: Mutex::default() }
    }

    /// Asks a server for its refs: one cheap round trip, the same for every Application of the repository.
    ///
    /// # Errors
    ///
    /// Trouble with the address, the connection or the credentials.
    pub fn list(&self, remote: &Remote) -> Result<Refs, Error> {
        let address = Address::of(remote)?;
        let repository = self.open(remote)?.to_thread_local();
        let told = |error: gix::Error| classified(&address.told, &error, self.limits.list);
        let at = repository.remote_at_without_url_rewrite(address.url.as_str()).map_err(told)?;
        let connection = at.connect(Direction::Fetch).map_err(told)?;
        let connection = connection.with_credentials(|_| Ok(None)).with_transport_options(Box::new(transport(
            &address,
            &remote.credentials,
            self.limits.list,
        )));
        let options =
            gix::remote::ref_map::Options { prefix_from_spec_as_filter_on_remote: false, ..Default::default() };
        let (map, _) = connection.ref_map(gix::progress::Discard, options).map_err(told)?;
        Ok(map.remote_refs.iter().filter_map(named).collect())
    }

    /// A commit with all its files, fetched unless it is there already.
    ///
    /// # Errors
    ///
    /// Trouble with the address, the connection or the credentials; [`Error::TooLarge`]; [`Error::Storage`].
    pub fn fetch(&self, remote: &Remote, commit: ObjectId) -> Result<Snapshot, Error> {
        let lock = self.lock_of(remote);
        let _alone = hold(&lock);
        let repository = self.open(remote)?;
        if is_whole(&repository, commit) {
            return Ok(Snapshot { repository, commit, fetched: false });
        }
        self.receive(remote, &repository, commit)?;
        // Opened anew: a handle knows the packs of its time.
        let repository = self.open(remote)?;
        if is_whole(&repository, commit) {
            Ok(Snapshot { repository, commit, fetched: true })
        } else {
            Err(Error::RevisionNotFound { revision: commit.to_string() })
        }
    }

    fn receive(&self, remote: &Remote, repository: &ThreadSafeRepository, commit: ObjectId) -> Result<(), Error> {
        let address = Address::of(remote)?;
        let told = |error: gix::Error| classified(&address.told, &error, self.limits.fetch);
        let repository = repository.to_thread_local();
        let wanted = format!("+{commit}:refs/heads/fetched");
        let at = repository
            .remote_at_without_url_rewrite(address.url.as_str())
            .and_then(|at| {
                at.with_fetch_tags(gix::remote::fetch::Tags::None).with_refspecs([wanted.as_str()], Direction::Fetch)
            })
            .map_err(told)?;
        let connection = at.connect(Direction::Fetch).map_err(told)?;
        let connection = connection.with_credentials(|_| Ok(None)).with_transport_options(Box::new(transport(
            &address,
            &remote.credentials,
            self.limits.fetch,
        )));
        let watch = Watchdog::start(repository.objects.store_ref().path().join("pack"), self.limits);
        let received = connection
            .prepare_fetch(gix::progress::Discard, gix::remote::ref_map::Options::default())
            .and_then(|prepared| {
                prepared
                    .with_shallow(Shallow::DepthAtRemote(std::num::NonZeroU32::MIN))
                    .receive(gix::progress::Discard, &watch.interrupt)
            });
        match watch.end() {
            Some(Ended::TooLarge) => Err(Error::TooLarge { url: address.told, mebibytes: self.limits.pack >> 20 }),
            Some(Ended::TooLate) => Err(Error::Timeout { url: address.told, seconds: self.limits.fetch.as_secs() }),
            None => received.map(drop).map_err(told),
        }
    }

    /// The mirror, made when it is not there, begun anew when it is broken or worn.
    fn open(&self, remote: &Remote) -> Result<ThreadSafeRepository, Error> {
        let folder = self.folder_of(remote);
        let packs = std::fs::read_dir(folder.join("objects/pack")).map_or(0, Iterator::count) / 2;
        if packs <= MOST_PACKS
            && let Ok(repository) = ThreadSafeRepository::open_opts(&folder, open::Options::isolated())
        {
            return Ok(repository);
        }
        let storage = |error: &dyn std::fmt::Display| Error::Storage(format!("{}: {error}", folder.display()));
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(|error| storage(&error))?;
        }
        std::fs::create_dir_all(&folder).map_err(|error| storage(&error))?;
        gix::init_bare(&folder).map_err(|error| storage(&error))?;
        ThreadSafeRepository::open_opts(&folder, open::Options::isolated()).map_err(|error| storage(&error))
    }

    /// One folder a repository and credentials: a name that says nothing of either.
    fn folder_of(&self, remote: &Remote) -> PathBuf {
        let text = format!("{}\n{}", normalise(&remote.url), remote.identity);
        let name = gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Blob, text.as_bytes());
        self.folder.join(name.map_or_else(|_| "unnamed".to_owned(), |name| name.to_string()))
    }

    fn lock_of(&self, remote: &Remote) -> Arc<Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(self.folder_of(remote)).or_default())
    }
}

fn hold(lock: &Mutex<()>) -> MutexGuard<'_, ()> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a commit is there with its tree: a fetch that was cut leaves no pack behind.
fn is_whole(repository: &ThreadSafeRepository, commit: ObjectId) -> bool {
    let repository = repository.to_thread_local();
    repository.find_commit(commit).is_ok_and(|commit| commit.tree().is_ok())
}

/// A ref's name and the commit that it leads to.
fn named(reference: &Ref) -> Option<(String, ObjectId)> {
    let (name, object) = match reference {
        Ref::Peeled { full_ref_name, object, .. }
        | Ref::Direct { full_ref_name, object }
        | Ref::Symbolic { full_ref_name, object, .. } => (full_ref_name, object),
        Ref::Unborn { .. } => return None,
    };
    Some((name.to_str().ok()?.to_owned(), *object))
}

/// Ends a fetch that grows or lasts too long: HTTP's own timeout does not count bytes.
struct Watchdog {
    interrupt: Arc<AtomicBool>,
    ended: Arc<Mutex<Option<Ended>>>,
    over: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

#[derive(Clone, Copy)]
enum Ended {
    TooLarge,
    TooLate,
}

impl Watchdog {
    fn start(folder: PathBuf, limits: Limits) -> Self {
        let (interrupt, ended): (Arc<AtomicBool>, Arc<Mutex<Option<Ended>>>) = Default::default();
        let (over, wait) = std::sync::mpsc::channel();
        let before = size_of(&folder);
        let thread = std::thread::spawn({
            let (interrupt, ended) = (Arc::clone(&interrupt), Arc::clone(&ended));
            move || {
                let started = Instant::now();
                while wait.recv_timeout(Duration::from_millis(100)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    let cause = if size_of(&folder).saturating_sub(before) > limits.pack {
                        Ended::TooLarge
                    } else if started.elapsed() > limits.fetch {
                        Ended::TooLate
                    } else {
                        continue;
                    };
                    *ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(cause);
                    interrupt.store(true, Ordering::Relaxed);
                    return;
                }
            }
        });
        Self { interrupt, ended, over, thread }
    }

    fn end(self) -> Option<Ended> {
        drop(self.over);
        let _ = self.thread.join();
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size_of(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_server_is_told_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let mirrors = Mirrors::new(folder.path(), Limits::default());
        let remote = Remote { url: "http://127.0.0.1:1/a.git".to_owned(), ..Remote::default() };
        let error = mirrors.list(&remote).unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    }
}
