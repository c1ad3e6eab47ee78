//! What keeps one store from costing the others anything: a few calls at a time, a budget, and a rest after failures.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{DEADLINE, Error};

/// Calls of one store that run at a time: fewer than there are workers.
const AT_A_TIME: usize = 12;
/// A call that has run this long makes its store a slow one, for whose next call no worker waits.
const SLOW: Duration = Duration::from_secs(1);
/// How long a call waits for its turn at a store that is not slow.
const TURN: Duration = Duration::from_secs(2);
/// When a store is busy, its next object is looked at after this time.
const SOON: Duration = Duration::from_millis(500);
/// After a first failure a store is left alone for this long, then twice as long, up to `LONGEST_REST`.
const REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_secs(60);

/// The guard of one store and identity.
pub(super) struct Guard {
    permits: Arc<Semaphore>,
    /// Calls a second, and how many may come at once.
    rate: f64,
    state: Mutex<State>,
}

struct State {
    failures: u32,
    /// Until when the store rests, and why.
    rest: Option<(Instant, Error)>,
    tokens: f64,
    filled: Instant,
    /// When each call that runs began, in the order in which they began.
    running: BTreeMap<u64, Instant>,
    calls: u64,
}

/// A call that has begun, until it is dropped: also when whoever made it has given up.
pub(super) struct Entered {
    guard: Arc<Guard>,
    number: u64,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.guard.lock().running.remove(&self.number);
    }
}

impl Guard {
    /// `rate` calls a second.
    pub(super) fn new(rate: u32) -> Self {
        let rate = f64::from(rate.max(1));
        let state =
            State { failures: 0, rest: None, tokens: rate, filled: Instant::now(), running: BTreeMap::new(), calls: 0 };
        Self { permits: Arc::new(Semaphore::new(AT_A_TIME)), rate, state: Mutex::new(state) }
    }

    /// Lets a call begin, or says why not. Only at a store that answers quickly is a turn waited for, because a worker
    /// that waits is one that others lack.
    pub(super) async fn enter(self: &Arc<Self>) -> Result<Entered, Error> {
        self.is_awake()?;
        let permit = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) if self.is_slow() => return Err(Error::Busy { after: SOON }),
            Err(_) => {
                let turn = tokio::time::timeout(TURN, Arc::clone(&self.permits).acquire_owned()).await;
                turn.ok().and_then(Result::ok).ok_or(Error::Busy { after: SOON })?
            }
        };
        let pause = self.pay();
        if pause > TURN {
            return Err(Error::Busy { after: pause });
        }
        tokio::time::sleep(pause).await;
        let mut state = self.lock();
        state.calls += 1;
        let number = state.calls;
        state.running.insert(number, Instant::now());
        Ok(Entered { guard: Arc::clone(self), number, _permit: permit })
    }

    /// Hears how a call ended.
    pub(super) fn hear(&self, outcome: Result<(), &Error>) {
        let mut state = self.lock();
        let error = match outcome {
            Err(error) if error.is_of_the_store() => error,
            _ => {
                (state.failures, state.rest) = (0, None);
                return;
            }
        };
        let rest = match error {
            Error::Throttled(Some(pause)) => *pause,
            _ => (REST * 2_u32.saturating_pow(state.failures.min(8))).min(LONGEST_REST),
        };
        state.failures += 1;
        state.rest = Some((Instant::now() + rest, error.clone()));
    }

    /// Calls that may still be made at once.
    pub(super) fn budget(&self) -> i64 {
        let state = self.lock();
        let since = state.filled.elapsed().as_secs_f64();
        #[expect(clippy::cast_possible_truncation, reason = "a handful of calls")]
        let tokens = (state.tokens + since * self.rate).min(self.rate) as i64;
        tokens
    }

    /// Why the store rests. When its rest is over, one call tries whether it is back, and the others go on resting.
    fn is_awake(&self) -> Result<(), Error> {
        let mut state = self.lock();
        let now = Instant::now();
        let Some((until, error)) = state.rest.clone() else { return Ok(()) };
        if now < until {
            return Err(error);
        }
        state.rest = Some((now + DEADLINE, error));
        Ok(())
    }

    fn is_slow(&self) -> bool {
        self.lock().running.values().next().is_some_and(|begun| begun.elapsed() > SLOW)
    }

    /// Takes a call from the budget; how long it must wait for it.
    fn pay(&self) -> Duration {
        let mut state = self.lock();
        let now = Instant::now();
        let since = now.duration_since(state.filled).as_secs_f64();
        state.tokens = (state.tokens + since * self.rate).min(self.rate);
        state.filled = now;
        let lacking = 1.0 - state.tokens;
        if lacking <= 0.0 {
            state.tokens -= 1.0;
            return Duration::ZERO;
        }
        let pause = Duration::from_secs_f64(lacking / self.rate);
        if pause <= TURN {
            state.tokens -= 1.0;
        }
        pause
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead() -> Error {
        Error::Unreachable { server: "s".to_owned(), why: "refused".to_owned() }
    }

    #[tokio::test]
    async fn a_store_that_fails_rests_and_is_tried_by_one_call() {
        let guard = Arc::new(Guard::new(100));
        let call = guard.enter().await.unwrap();
        drop(call);
        guard.hear(Err(&dead()));
        assert_eq!(guard.enter().await.err().unwrap(), dead());
        guard.lock().rest = Some((Instant::now(), dead()));
        let call = guard.enter().await.unwrap();
        assert_eq!(guard.enter().await.err().unwrap(), dead(), "only one call tries");
        drop(call);
        guard.hear(Ok(()));
        assert!(guard.enter().await.is_ok());
    }

    #[tokio::test]
    async fn rests_grow_and_a_missing_key_is_no_failure_of_the_store() {
        let guard = Arc::new(Guard::new(100));
        let fail = async |error: Error| {
            guard.lock().rest = None;
            let call = guard.enter().await.unwrap();
            drop(call);
            guard.hear(Err(&error));
            guard.lock().rest.as_ref().map(|(until, _)| (*until - Instant::now()).as_secs_f64().round())
        };
        assert_eq!(fail(dead()).await, Some(5.0));
        assert_eq!(fail(dead()).await, Some(10.0));
        assert_eq!(fail(Error::Throttled(Some(Duration::from_secs(7)))).await, Some(7.0));
        assert_eq!(fail(Error::NotFound { key: "k".to_owned() }).await, None);
        assert_eq!(fail(dead()).await, Some(5.0));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_slow_store_and_the_budget_is_kept() {
        let guard = Arc::new(Guard::new(100));
        let mut held = Vec::new();
        for _ in 0..AT_A_TIME {
            held.push(guard.enter().await.unwrap());
        }
        guard.lock().running.values_mut().for_each(|begun| *begun -= SLOW * 2);
        let asked = Instant::now();
        assert!(matches!(guard.enter().await, Err(Error::Busy { .. })));
        assert!(asked.elapsed() < SLOW);
        drop(held);

        let small = Arc::new(Guard::new(2));
        let asked = Instant::now();
        for _ in 0..3 {
            drop(small.enter().await.unwrap());
        }
        assert!(asked.elapsed() > Duration::from_millis(400), "the third waits for its turn");
        assert!(small.budget() <= 0);
    }
}
