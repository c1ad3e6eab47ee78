//! Which objects have to do with what: asked for with every event among thousands, so it is kept and not searched.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use crate::plan::ObjectKey;

/// From things to the objects that have to do with them.
#[derive(Debug)]
pub(super) struct Index<T> {
    objects: HashMap<T, Objects>,
    things: HashMap<ObjectKey, Vec<T>>,
}

/// Nearly always one, and a set of one takes the room of eleven.
#[derive(Debug)]
enum Objects {
    One(ObjectKey),
    Many(BTreeSet<ObjectKey>),
}

impl Objects {
    fn add(&mut self, object: &ObjectKey) {
        match self {
            Self::One(known) if known == object => {}
            Self::One(known) => *self = Self::Many(BTreeSet::from([std::mem::take(known), object.clone()])),
            Self::Many(all) => {
                all.insert(object.clone());
            }
        }
    }

    /// Whether none is left.
    fn remove(&mut self, object: &ObjectKey) -> bool {
        match self {
            Self::One(known) => known == object,
            Self::Many(all) => {
                all.remove(object);
                all.is_empty()
            }
        }
    }
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self { objects: HashMap::new(), things: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> Index<T> {
    /// Says with what an object has to do from now on; with nothing, it is forgotten.
    pub(super) fn set(&mut self, object: &ObjectKey, things: Vec<T>) {
        let before = self.things.get(object).map(Vec::as_slice).unwrap_or_default();
        if before == things {
            return;
        }
        for gone in before.iter().filter(|before| !things.contains(before)) {
            if self.objects.get_mut(gone).is_some_and(|objects| objects.remove(object)) {
                self.objects.remove(gone);
            }
        }
        for thing in &things {
            match self.objects.get_mut(thing) {
                Some(objects) => objects.add(object),
                None => drop(self.objects.insert(thing.clone(), Objects::One(object.clone()))),
            }
        }
        if things.is_empty() {
            self.things.remove(object);
        } else {
            self.things.insert(object.clone(), things);
        }
    }

    /// Whether any object has to do with it.
    pub(super) fn has(&self, thing: &T) -> bool {
        self.objects.contains_key(thing)
    }

    /// The objects that have to do with it, in order.
    pub(super) fn of(&self, thing: &T) -> Vec<ObjectKey> {
        match self.objects.get(thing) {
            None => Vec::new(),
            Some(Objects::One(object)) => vec![object.clone()],
            Some(Objects::Many(objects)) => objects.iter().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_last_counts_and_nothing_is_left_behind() {
        let (one, two) = (ObjectKey::new("a", "one"), ObjectKey::new("a", "two"));
        let mut index = Index::default();
        index.set(&one, vec!["x", "y"]);
        index.set(&two, vec!["y"]);
        assert_eq!((index.of(&"x"), index.of(&"y")), (vec![one.clone()], vec![one.clone(), two.clone()]));
        index.set(&one, vec!["z", "y"]);
        assert_eq!(
            (index.has(&"x"), index.of(&"y"), index.of(&"z")),
            (false, vec![one.clone(), two.clone()], vec![one.clone()])
        );
        index.set(&one, vec![]);
        assert_eq!((index.has(&"z"), index.of(&"y")), (false, vec![two.clone()]));
        index.set(&two, vec![]);
        assert!(index.objects.is_empty() && index.things.is_empty(), "{index:?}");
    }
}
