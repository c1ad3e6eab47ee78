//! Equal reads, joined: whoever asks for what is being fetched waits for it, and what has just been fetched is handed to
//! whoever may take it that old.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use super::{Error, Payload};
use crate::api::external_secret::RemoteRef;
use crate::plan::StoreId;

/// Nothing is kept longer.
pub(super) const LONGEST: Duration = Duration::from_secs(30);
/// How often what is too old is thrown away.
const SWEEP: Duration = Duration::from_secs(10);

/// Whose, made from which settings, and what.
pub(super) type Wanted = (StoreId, u64, RemoteRef);

type Answer = Result<Arc<Payload>, Error>;

#[derive(Clone)]
struct Slot {
    answer: Arc<OnceCell<Answer>>,
    begun: Instant,
}

/// What has just been fetched.
#[derive(Clone, Default)]
pub(super) struct Shares {
    slots: Arc<Mutex<Slots>>,
}

#[derive(Default)]
struct Slots {
    by_wanted: HashMap<Wanted, Slot>,
    is_swept: bool,
}

impl Shares {
    /// What another read has brought within `max_age`, or brings now; else `fetch`, for whoever comes after.
    pub(super) async fn get(
        &self,
        wanted: Wanted,
        max_age: Duration,
        fetch: impl Future<Output = Result<Payload, Error>>,
    ) -> Answer {
        let slot = self.slot(&wanted, max_age);
        let answer = slot.answer.get_or_init(|| async { fetch.await.map(Arc::new) }).await.clone();
        if answer.is_err() {
            let mut slots = self.lock();
            // A failure is told to those who waited for it, and to nobody else.
            if slots.by_wanted.get(&wanted).is_some_and(|known| Arc::ptr_eq(&known.answer, &slot.answer)) {
                slots.by_wanted.remove(&wanted);
            }
        }
        answer
    }

    /// Lays down what a batch has brought.
    pub(super) fn put(&self, wanted: Wanted, payload: Arc<Payload>) {
        let answer = Arc::new(OnceCell::new_with(Some(Ok(payload))));
        self.lock().by_wanted.insert(wanted, Slot { answer, begun: Instant::now() });
        self.sweep_later();
    }

    /// Whether a read would be answered at once.
    pub(super) fn has(&self, wanted: &Wanted, max_age: Duration) -> bool {
        self.lock().by_wanted.get(wanted).is_some_and(|slot| slot.begun.elapsed() < max_age.min(LONGEST))
    }

    /// Forgets what was fetched from a store, and what is being fetched: that may be older than what the store holds now.
    pub(super) fn forget(&self, store: &StoreId) {
        self.lock().by_wanted.retain(|(known, ..), _| known != store);
    }

    fn slot(&self, wanted: &Wanted, max_age: Duration) -> Slot {
        let mut slots = self.lock();
        let known = slots.by_wanted.get(wanted).filter(|slot| slot.begun.elapsed() < max_age.min(LONGEST));
        if let Some(known) = known {
            return known.clone();
        }
        let slot = Slot { answer: Arc::default(), begun: Instant::now() };
        slots.by_wanted.insert(wanted.clone(), slot.clone());
        drop(slots);
        self.sweep_later();
        slot
    }

    /// Values do not stay in memory because nobody asks for anything any more.
    fn sweep_later(&self) {
        if std::mem::replace(&mut self.lock().is_swept, true) {
            return;
        }
        let shares = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                let mut slots = shares.lock();
                slots.by_wanted.retain(|_, slot| slot.begun.elapsed() < LONGEST);
                if slots.by_wanted.is_empty() {
                    slots.is_swept = false;
                    return;
                }
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn wanted(asker: &str) -> Wanted {
        (StoreId { asker: asker.to_owned(), ..StoreId::default() }, 0, RemoteRef::default())
    }

    #[tokio::test]
    async fn equal_reads_are_one_and_those_of_others_are_their_own() {
        let (shares, fetched) = (Shares::default(), AtomicUsize::new(0));
        let fetch = || async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(Payload::bytes(fetched.fetch_add(1, Ordering::SeqCst).to_string(), None))
        };
        let second = Duration::from_secs(1);
        let (one, two, other) = tokio::join!(
            shares.get(wanted("a"), second, fetch()),
            shares.get(wanted("a"), second, fetch()),
            shares.get(wanted("b"), second, fetch()),
        );
        assert!(Arc::ptr_eq(&one.unwrap(), &two.unwrap()));
        assert!(other.is_ok());
        assert_eq!(fetched.load(Ordering::SeqCst), 2);
        shares.get(wanted("a"), Duration::ZERO, fetch()).await.unwrap();
        assert_eq!(fetched.load(Ordering::SeqCst), 3, "a forced read is its own");
        shares.get(wanted("a"), second, fetch()).await.unwrap();
        assert_eq!(fetched.load(Ordering::SeqCst), 3, "and serves those after it");
    }

    #[tokio::test]
    async fn a_failure_is_not_kept() {
        let shares = Shares::default();
        let second = Duration::from_secs(1);
        assert!(shares.get(wanted("a"), second, async { Err(Error::Sealed) }).await.is_err());
        assert!(shares.get(wanted("a"), second, async { Ok(Payload::bytes("v".to_owned(), None)) }).await.is_ok());
    }

    #[tokio::test]
    async fn what_a_write_may_have_changed_is_read_anew() {
        let (shares, minute) = (Shares::default(), Duration::from_secs(60));
        let old = || Arc::new(Payload::bytes("old".to_owned(), None));
        for asker in ["a", "b"] {
            shares.put(wanted(asker), old());
        }
        shares.forget(&wanted("a").0);
        assert!(!shares.has(&wanted("a"), minute));
        assert!(shares.has(&wanted("b"), minute), "another store's values stay");
    }

    #[tokio::test(start_paused = true)]
    async fn values_are_swept_away() {
        let shares = Shares::default();
        shares.put(wanted("a"), Arc::new(Payload::bytes("v".to_owned(), None)));
        assert!(shares.has(&wanted("a"), LONGEST));
        // The clock of slots is the real one: made old by hand.
        shares.lock().by_wanted.values_mut().for_each(|slot| slot.begun -= LONGEST);
        tokio::time::sleep(SWEEP * 2).await;
        assert!(shares.lock().by_wanted.is_empty());
    }
}
