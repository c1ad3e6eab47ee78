//! Hints from outside, heard once each (D10).

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::api::Doorbell;
use crate::api::doorbell::Hint;
use crate::cluster::{Seen, Watched};

/// Calls `listener` for each hint that comes from now on. A hint is only a reason to look: what stood there when the
/// watch began has been looked at by whoever led then, or is looked at anyway.
pub(super) fn on_hint(doorbells: &Watched<Doorbell>, listener: impl Fn(&Hint) + Send + Sync + 'static) {
    let heard = Mutex::new(HashSet::new());
    doorbells.on_seen(move |seen, _, object| {
        let Ok(doorbell) = &object.0 else { return };
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        let now: HashSet<Hint> = doorbell.spec.hints.iter().cloned().collect();
        if seen != Seen::Listed {
            now.difference(&heard).for_each(&listener);
        }
        *heard = now;
    });
}
