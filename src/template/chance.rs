//! The time and the chance that some functions need, given by the caller.

use chacha20::ChaCha20Rng;
use jiff::Timestamp;
use rand_core::{Rng, SeedableRng};

/// When a template is rendered, and what its random functions draw from.
///
/// The same seed gives the same values for ever: the stream is ChaCha20's, and each function says how it draws from it.
pub struct Chance {
    now: Timestamp,
    stream: ChaCha20Rng,
}

impl Chance {
    /// At a time, from 32 bytes that nobody can guess.
    pub fn new(now: Timestamp, seed: [u8; 32]) -> Self {
        Self { now, stream: ChaCha20Rng::from_seed(seed) }
    }

    /// What `now` is.
    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// The stream, for what makes keys.
    pub(super) fn stream(&mut self) -> &mut ChaCha20Rng {
        &mut self.stream
    }

    /// Fills a place with random bytes.
    pub(super) fn fill(&mut self, place: &mut [u8]) {
        self.stream.fill_bytes(place);
    }

    /// A number below `end`, all equally likely.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        // The uneven rest at the top is drawn again.
        let rest = (u64::MAX % end + 1) % end;
        loop {
            let drawn = self.stream.next_u64();
            if drawn <= u64::MAX - rest {
                return drawn % end;
            }
        }
    }
}
