//! What must not stay behind when a signal ends the process: drafts beside files, private copies. Signals are the
//! process's own, and so is the list that is kept here.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long an editor may take to end when we have to.
const FAREWELL: Duration = Duration::from_secs(2);
/// Ctrl-C and Ctrl-\: an editor may give them a meaning of its own.
const FROM_THE_KEYBOARD: [i32; 2] = [2, 3];

static STATE: Mutex<State> =
    Mutex::new(State { listening: false, paths: Vec::new(), editor: None, interrupted: false, ending: false });

struct State {
    listening: bool,
    paths: Vec<PathBuf>,
    /// The process that has the terminal.
    editor: Option<u32>,
    interrupted: bool,
    ending: bool,
}

/// A file or a folder that goes when this is dropped, or when a signal ends the process.
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    /// Makes it by `make`; no signal comes between that and the list.
    pub(crate) fn make<T>(path: PathBuf, make: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<(Self, T)> {
        let mut state = state();
        state.listen()?;
        let made = make(&path)?;
        state.paths.push(path.clone());
        Ok((Self(path), made))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let mut state = state();
        remove(&self.0);
        state.paths.retain(|path| *path != self.0);
    }
}

/// Runs a program that has the terminal. Until it ends, it gets every signal, and what Ctrl-C means is its to say.
pub(crate) fn run(command: &mut Command) -> io::Result<ExitStatus> {
    let mut child = {
        let mut state = state();
        let child = command.spawn()?;
        state.editor = Some(child.id());
        child
    };
    let status = child.wait();
    let mut state = state();
    state.editor = None;
    if state.ending {
        drop(state);
        // Whoever heard the signal ends the process.
        loop {
            std::thread::park();
        }
    }
    status
}

/// Whether Ctrl-C was heard while a program had the terminal.
pub(crate) fn heard() -> bool {
    state().interrupted
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// From the first call on, a signal is ours to answer.
    fn listen(&mut self) -> io::Result<()> {
        if self.listening {
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut signals = {
            let _entered = runtime.enter();
            Signals::new()?
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            loop {
                answer(runtime.block_on(signals.next()));
            }
        })?;
        self.listening = true;
        Ok(())
    }
}

fn answer(signal: i32) {
    let mut state = state();
    if let Some(editor) = state.editor {
        pass_on(editor, signal);
        if FROM_THE_KEYBOARD.contains(&signal) {
            state.interrupted = true;
            return;
        }
        state.ending = true;
        let started = Instant::now();
        while state.editor.is_some() && started.elapsed() < FAREWELL {
            drop(state);
            std::thread::sleep(Duration::from_millis(20));
            state = self::state();
        }
    }
    for path in state.paths.drain(..) {
        remove(&path);
    }
    // The lock is kept, so that nothing new is made.
    std::process::exit(128 + signal);
}

/// A folder goes with what an editor left in it (backups, swap files), all of it overwritten first.
fn remove(path: &Path) {
    if !path.is_dir() {
        let _ = std::fs::remove_file(path);
        return;
    }
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        if let Ok(length) = entry.metadata().map(|known| known.len()) {
            let _ = std::fs::write(entry.path(), vec![0; usize::try_from(length).unwrap_or_default()]);
        }
    }
    let _ = std::fs::remove_dir_all(path);
}

#[cfg(unix)]
fn pass_on(process: u32, signal: i32) {
    use rustix::process::{Pid, Signal, kill_process};
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    if let (Some(process), Some(signal)) = (process, Signal::from_named_raw(signal)) {
        let _ = kill_process(process, signal);
    }
}

/// Elsewhere the console tells everybody.
#[cfg(not(unix))]
fn pass_on(_process: u32, _signal: i32) {}

#[cfg(unix)]
struct Signals(Vec<(i32, tokio::signal::unix::Signal)>);

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate(), SignalKind::hangup()];
        kinds.into_iter().map(|kind| Ok((kind.as_raw_value(), signal(kind)?))).collect::<io::Result<_>>().map(Self)
    }

    async fn next(&mut self) -> i32 {
        std::future::poll_fn(|context| {
            let arrived =
                self.0.iter_mut().find_map(|(number, signal)| signal.poll_recv(context).is_ready().then_some(*number));
            arrived.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        })
        .await
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> i32 {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        FROM_THE_KEYBOARD[0]
    }
}
