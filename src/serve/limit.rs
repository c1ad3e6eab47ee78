//! How often one caller may ask.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Callers that are remembered at once. One is forgotten as soon as it could ask again, so this many ask within a second
/// or two: then new ones wait.
const CALLERS: usize = 10_000;

/// A limit for each caller: so many a second, and so many at once. Cheap to clone.
#[derive(Clone)]
pub(super) struct Limiter {
    between: Duration,
    burst: Duration,
    /// When each caller's allowance is whole again (the generic cell rate algorithm).
    whole: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Limiter {
    pub(super) fn new(a_second: u32, burst: u32) -> Self {
        let between = Duration::from_secs(1) / a_second.max(1);
        Self { between, burst: between * burst.max(1), whole: Arc::default() }
    }

    /// Lets a caller in, or says how long it must wait.
    pub(super) fn admit(&self, caller: &str) -> Result<(), Duration> {
        self.admit_at(caller, Instant::now())
    }

    fn admit_at(&self, caller: &str, now: Instant) -> Result<(), Duration> {
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if whole.len() >= CALLERS {
            whole.retain(|_, at| *at > now);
        }
        let at = whole.get(caller).copied().unwrap_or(now).max(now) + self.between;
        let wait = at.saturating_duration_since(now + self.burst);
        if !wait.is_zero() {
            return Err(wait);
        }
        if whole.len() >= CALLERS && !whole.contains_key(caller) {
            return Err(self.between);
        }
        whole.insert(caller.to_owned(), at);
        Ok(())
    }
}

/// The answer to who asks too often.
pub(super) fn refusal(wait: Duration) -> Response {
    let seconds = wait.as_secs() + 1;
    let words = format!("too many requests; ask again in {seconds} s\n");
    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds.to_string())], words).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_may_ask_so_often_and_the_others_do_not_notice() {
        let limiter = Limiter::new(2, 2);
        let start = Instant::now();
        let at = |caller: &str, milliseconds: u64| {
            limiter.admit_at(caller, start + Duration::from_millis(milliseconds)).is_ok()
        };
        let cases = [
            ("the first", "a", 0, true),
            ("the burst", "a", 1, true),
            ("one more", "a", 2, false),
            ("somebody else", "b", 3, true),
            ("after half a second", "a", 510, true),
            ("and at once again", "a", 520, false),
            ("after a while", "a", 5000, true),
        ];
        for (name, caller, milliseconds, expected) in cases {
            assert_eq!(at(caller, milliseconds), expected, "{name}");
        }
    }

    #[test]
    fn inventing_callers_does_not_fill_the_memory() {
        let limiter = Limiter::new(1, 1);
        let start = Instant::now();
        for caller in 0..CALLERS {
            assert!(limiter.admit_at(&caller.to_string(), start).is_ok());
        }
        assert!(limiter.admit_at("one more", start).is_err());
        assert!(limiter.admit_at("one more", start + Duration::from_secs(2)).is_ok());
        assert_eq!(limiter.whole.lock().unwrap().len(), 1);
    }
}
