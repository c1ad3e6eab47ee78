//! The queue under every controller (D14): one entry an object, classes, fairness between lanes.
//!
//! A backlog must not delay a person: what somebody changed goes first, then what is new, what a dependency woke,
//! what fell due, and the backlog of a start last. Within a class the lanes (a namespace, or a store) take turns, so a
//! thousand objects of one team do not hold up one of another. The scheduler knows keys and classes, nothing else.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::plan::{Next, ObjectKey};

/// Why an object waits, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Somebody changed it, or its target.
    Changed,
    /// It has just been made.
    New,
    /// Something that it refers to changed.
    Woken,
    /// Its time has come.
    Periodic,
    /// It was there when we started, and looks handled.
    Backlog,
}

/// First pause after a failure.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// Longest pause after failures: a cause that lasts an hour costs a dozen tries, and its end is noticed in five minutes.
const BACKOFF_LONGEST: Duration = Duration::from_secs(300);

/// Timers that no longer count and are kept before all such are thrown away.
const SPARE_TIMERS: usize = 64;

/// The queue of one controller. Cheap to clone; all clones are the same queue.
#[derive(Clone, Default)]
pub struct Scheduler {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    bell: Notify,
}

#[derive(Default)]
struct State {
    /// The class under which a waiting key will run. A key is here, in `running`, or nowhere.
    waiting: HashMap<ObjectKey, Class>,
    /// Per class, the lanes in turn; a lane's keys in order of arrival. Entries whose class has improved since are skipped.
    classes: BTreeMap<Class, Lanes>,
    /// Keys for later; an entry counts only while `due` names the same instant.
    later: BinaryHeap<Reverse<(Instant, ObjectKey)>>,
    due: HashMap<ObjectKey, Instant>,
    running: HashSet<ObjectKey>,
    /// Keys that were pushed while they ran: they run once more.
    again: HashMap<ObjectKey, Class>,
    failures: HashMap<ObjectKey, u32>,
}

#[derive(Default)]
struct Lanes {
    turn: VecDeque<String>,
    keys: HashMap<String, VecDeque<ObjectKey>>,
}

impl Scheduler {
    /// Queues a key. A key that waits already keeps the better of both classes; one that runs will run once more.
    pub fn push(&self, key: ObjectKey, class: Class) {
        let mut state = self.lock();
        if state.running.contains(&key) {
            let best = state.again.get(&key).map_or(class, |&known| known.min(class));
            state.again.insert(key, best);
        } else {
            state.enqueue(key, class);
        }
        drop(state);
        self.shared.bell.notify_one();
    }

    /// Queues a key after a pause, unless its time comes earlier.
    pub fn push_later(&self, key: &ObjectKey, pause: Duration) {
        let mut state = self.lock();
        let at = Instant::now() + pause;
        if state.due.get(key).is_none_or(|known| at < *known) {
            state.set_timer(key, at);
        }
        drop(state);
        self.shared.bell.notify_one();
    }

    /// Forgets a key that is gone: its timer and its count of failures.
    pub fn forget(&self, key: &ObjectKey) {
        let mut state = self.lock();
        state.due.remove(key);
        state.failures.remove(key);
    }

    /// The next key to work on. It is marked as running until [`Scheduler::done`].
    pub async fn next(&self) -> (ObjectKey, Class) {
        loop {
            let wait = {
                let mut state = self.lock();
                state.promote_due(Instant::now());
                if let Some(ticket) = state.take() {
                    return ticket;
                }
                state.later.peek().map(|Reverse((at, _))| *at)
            };
            match wait {
                Some(at) => tokio::select! {
                    () = tokio::time::sleep_until(at) => {}
                    () = self.shared.bell.notified() => {}
                },
                None => self.shared.bell.notified().await,
            }
        }
    }

    /// Ends the run of a key and says when it is to run again.
    pub fn done(&self, key: &ObjectKey, next: Next) {
        let mut state = self.lock();
        state.running.remove(key);
        let pause = match next {
            Next::Backoff => {
                let failures = state.failures.entry(key.clone()).or_insert(0);
                *failures += 1;
                Some(backoff(*failures))
            }
            Next::After(pause) => {
                state.failures.remove(key);
                Some(pause)
            }
            Next::OnChange => {
                state.failures.remove(key);
                None
            }
        };
        match pause {
            Some(pause) => state.set_timer(key, Instant::now() + pause),
            None => {
                state.due.remove(key);
            }
        }
        if let Some(class) = state.again.remove(key) {
            state.enqueue(key.clone(), class);
        }
        drop(state);
        self.shared.bell.notify_one();
    }

    /// How many keys wait to run now.
    pub fn depth(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent between statements: a panic elsewhere leaves nothing half done.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enqueue(&mut self, key: ObjectKey, class: Class) {
        match self.waiting.get(&key) {
            Some(&known) if known <= class => return,
            _ => {}
        }
        self.waiting.insert(key.clone(), class);
        self.classes.entry(class).or_default().push(key);
    }

    fn set_timer(&mut self, key: &ObjectKey, at: Instant) {
        if self.due.insert(key.clone(), at) == Some(at) {
            return;
        }
        self.later.push(Reverse((at, key.clone())));
        // An object that is woken often leaves a timer behind each time.
        if self.later.len() > 2 * self.due.len() + SPARE_TIMERS {
            let due = &self.due;
            self.later.retain(|Reverse((at, key))| due.get(key) == Some(at));
        }
    }

    /// Moves keys whose time has come into the queue.
    fn promote_due(&mut self, now: Instant) {
        let mut promoted = BTreeSet::new();
        while let Some(Reverse((at, _))) = self.later.peek() {
            if *at > now {
                break;
            }
            let Some(Reverse((at, key))) = self.later.pop() else {
                break;
            };
            if self.due.get(&key) == Some(&at) {
                self.due.remove(&key);
                promoted.insert(key);
            }
        }
        for key in promoted {
            if self.running.contains(&key) {
                self.again.entry(key).or_insert(Class::Periodic);
            } else {
                self.enqueue(key, Class::Periodic);
            }
        }
    }

    fn take(&mut self) -> Option<(ObjectKey, Class)> {
        for (&class, lanes) in &mut self.classes {
            while let Some(key) = lanes.pop() {
                // A stale entry: the key has moved to a better class, or ran already.
                if self.waiting.get(&key) == Some(&class) {
                    self.waiting.remove(&key);
                    self.running.insert(key.clone());
                    return Some((key, class));
                }
            }
        }
        None
    }
}

impl Lanes {
    fn push(&mut self, key: ObjectKey) {
        let lane = self.keys.entry(key.namespace.clone()).or_default();
        if lane.is_empty() {
            self.turn.push_back(key.namespace.clone());
        }
        lane.push_back(key);
    }

    fn pop(&mut self) -> Option<ObjectKey> {
        let name = self.turn.pop_front()?;
        let lane = self.keys.get_mut(&name)?;
        let key = lane.pop_front();
        if lane.is_empty() {
            self.keys.remove(&name);
        } else {
            self.turn.push_back(name);
        }
        key
    }
}

/// The pause after this many failures in a row.
fn backoff(failures: u32) -> Duration {
    BACKOFF_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(BACKOFF_LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> ObjectKey {
        let (namespace, name) = text.split_once('/').unwrap();
        ObjectKey::new(namespace, name)
    }

    async fn drain(queue: &Scheduler) -> Vec<String> {
        let mut order = Vec::new();
        while queue.depth() > 0 {
            let (key, _) = queue.next().await;
            queue.done(&key, Next::OnChange);
            order.push(key.to_string());
        }
        order
    }

    #[tokio::test]
    async fn what_a_person_changed_overtakes_the_backlog() {
        let queue = Scheduler::default();
        for n in 0..3 {
            queue.push(key(&format!("a/old{n}")), Class::Backlog);
        }
        queue.push(key("a/woken"), Class::Woken);
        queue.push(key("a/old2"), Class::Changed);
        assert_eq!(drain(&queue).await, ["a/old2", "a/woken", "a/old0", "a/old1"]);
    }

    #[tokio::test]
    async fn namespaces_take_turns() {
        let queue = Scheduler::default();
        for name in ["a/1", "a/2", "a/3", "b/1", "c/1"] {
            queue.push(key(name), Class::New);
        }
        assert_eq!(drain(&queue).await, ["a/1", "b/1", "c/1", "a/2", "a/3"]);
    }

    #[tokio::test]
    async fn a_key_pushed_while_it_runs_runs_once_more_and_never_twice_at_a_time() {
        let queue = Scheduler::default();
        queue.push(key("a/1"), Class::New);
        let (running, _) = queue.next().await;
        queue.push(key("a/1"), Class::Woken);
        queue.push(key("a/1"), Class::Changed);
        assert_eq!(queue.depth(), 0, "not while it runs");
        queue.done(&running, Next::OnChange);
        assert_eq!(queue.next().await, (key("a/1"), Class::Changed));
        queue.done(&running, Next::OnChange);
        assert_eq!(queue.depth(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_with_failures_and_a_success_resets_them() {
        let queue = Scheduler::default();
        queue.push(key("a/1"), Class::New);
        let mut pauses = Vec::new();
        let mut before = Instant::now();
        for _ in 0..4 {
            let (key, _) = queue.next().await;
            pauses.push(before.elapsed().as_millis());
            before = Instant::now();
            queue.done(&key, Next::Backoff);
        }
        let (again, class) = queue.next().await;
        assert_eq!(class, Class::Periodic);
        queue.done(&again, Next::After(Duration::from_secs(10)));
        assert_eq!(pauses, [0, 500, 1000, 2000]);
        let (again, _) = queue.next().await;
        before = Instant::now();
        queue.done(&again, Next::Backoff);
        queue.next().await;
        assert_eq!(before.elapsed(), BACKOFF_FIRST);
        assert_eq!(backoff(40), BACKOFF_LONGEST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_push_for_later_waits_and_never_delays_an_earlier_one() {
        let queue = Scheduler::default();
        let start = Instant::now();
        queue.push_later(&key("a/1"), Duration::from_secs(5));
        queue.push_later(&key("a/1"), Duration::from_secs(60));
        queue.next().await;
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn timers_that_no_longer_count_do_not_pile_up() {
        let queue = Scheduler::default();
        let hour = Duration::from_secs(3600);
        for _ in 0..1000 {
            queue.push(key("a/often"), Class::Changed);
            let (often, _) = queue.next().await;
            queue.done(&often, Next::After(hour));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        queue.push_later(&key("a/once"), 2 * hour);
        let kept = queue.lock().later.len();
        assert!(kept < 100, "{kept}");
        assert_eq!((queue.next().await.0, queue.next().await.0), (key("a/often"), key("a/once")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_verdict_replaces_an_earlier_timer() {
        let queue = Scheduler::default();
        queue.push(key("a/1"), Class::New);
        let (first, _) = queue.next().await;
        queue.done(&first, Next::After(Duration::from_secs(5)));
        queue.push(key("a/1"), Class::Changed);
        let (second, _) = queue.next().await;
        queue.done(&second, Next::After(Duration::from_secs(60)));
        let start = Instant::now();
        queue.next().await;
        assert_eq!(start.elapsed(), Duration::from_secs(60));
    }
}
