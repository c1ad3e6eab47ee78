//! How much ciphertext waits in memory to be opened: what goes beyond is read again when its turn comes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::key_of;
use crate::api::SealedSecret;
use crate::decide::sealed_secret as decide;
use crate::plan::ObjectKey;

/// Bytes of sealed values: nearly two thousand objects of three items each.
const MOST: usize = 4 << 20;

/// The objects whose sealed values are kept. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Unopened {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    bytes: usize,
    by_object: HashMap<ObjectKey, usize>,
}

impl Unopened {
    /// Leaves out of an object the sealed values that have been opened, or that there is no room for.
    pub(super) fn shrink(&self, object: &mut SealedSecret) {
        let key = key_of(object);
        let bytes = decide::sealed_bytes(object);
        let mut kept = self.lock();
        kept.forget(&key);
        if decide::is_opened(object) || kept.bytes + bytes > MOST {
            decide::slim(object);
        } else {
            kept.bytes += bytes;
            kept.by_object.insert(key, bytes);
        }
    }

    /// Forgets an object that is gone.
    pub(super) fn forget(&self, key: &ObjectKey) {
        self.lock().forget(key);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn forget(&mut self, key: &ObjectKey) {
        self.bytes -= self.by_object.remove(key).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, bytes: usize) -> SealedSecret {
        serde_json::from_value(json!({
            "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
            "metadata": { "namespace": "shop", "name": name }, "spec": { "encryptedData": { "a": "A".repeat(bytes) } },
        }))
        .unwrap()
    }

    #[test]
    fn what_goes_beyond_the_room_is_left_out_until_there_is_some() {
        let unopened = Unopened::default();
        let is_kept = |name: &str, bytes: usize| {
            let mut object = object(name, bytes);
            unopened.shrink(&mut object);
            !decide::is_slim(&object)
        };
        assert!(is_kept("one", MOST / 2));
        assert!(is_kept("one", MOST / 2), "the same object takes its room once");
        assert!(is_kept("two", MOST / 2));
        assert!(!is_kept("three", 1));
        assert!(!is_kept("two", MOST), "a larger version of it has no room");
        assert!(is_kept("three", 1));
        unopened.forget(&ObjectKey::new("shop", "one"));
        unopened.forget(&ObjectKey::new("shop", "never seen"));
        assert!(is_kept("four", MOST / 2));
        assert_eq!(unopened.lock().bytes, MOST / 2 + 1);
    }
}
