//! A shelf: things by key, of which all or only the recently used ones are at hand.
//!
//! Two generations keep it small: what is touched moves to the young one, and when that is full
//! the old one is dropped whole.
//!
//! Each decision looks several things up, most of them not lately: in a hash table that is two
//! places in memory, where a tree of as many has five.

use std::hash::Hash;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// Things by key. A complete shelf answers for every key; a partial one only for those put on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shelf<K: Hash + Eq, V> {
    young: IndexMap<K, Option<V>>,
    old: IndexMap<K, Option<V>>,
    /// How many things a generation may hold; none for a complete shelf.
    limit: Option<usize>,
}

impl<K: Hash + Eq, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self { young: IndexMap::new(), old: IndexMap::new(), limit: None }
    }
}

impl<K: Hash + Eq + Clone, V: Default> Shelf<K, V> {
    /// The thing under `key`, to be changed. On a complete shelf it comes to be by being asked for.
    pub fn get_mut_or_default(&mut self, key: &K) -> Option<&mut V> {
        if self.limit.is_none() && !self.young.contains_key(key) {
            self.young.insert(key.clone(), Some(V::default()));
        }
        self.get_mut(key)
    }
}

impl<K: Hash + Eq + Clone, V> Shelf<K, V> {
    /// An empty shelf that keeps about twice `limit` things.
    pub fn partial(limit: usize) -> Self {
        Self { limit: Some(limit), ..Self::default() }
    }

    /// The thing under `key`, if it exists and is at hand.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key)).and_then(Option::as_ref)
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let thing = match self.young.get_mut(key) {
            Some(thing) => Some(thing),
            None => self.old.get_mut(key),
        };
        thing.and_then(Option::as_mut)
    }

    /// Whether the shelf can answer for `key`, if only that there is nothing.
    pub fn knows(&self, key: &K) -> bool {
        self.limit.is_none() || self.young.contains_key(key) || self.old.contains_key(key)
    }

    /// As [`Self::knows`], and keeps the thing at hand for longer.
    pub fn touch(&mut self, key: &K) -> bool {
        if self.limit.is_none() || self.young.contains_key(key) {
            return true;
        }
        match self.old.swap_remove_entry(key) {
            Some((key, thing)) => {
                self.insert(key, thing);
                true
            }
            None => false,
        }
    }

    pub fn put(&mut self, key: K, thing: V) {
        self.insert(key, Some(thing));
    }

    /// Puts a thing on the shelf, or the knowledge that there is none.
    pub fn put_or_absent(&mut self, key: K, thing: Option<V>) {
        self.insert(key, thing);
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.young.swap_remove(key).or_else(|| self.old.swap_remove(key)).flatten()
    }

    /// Everything at hand, in no order that matters.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let both = self.old.iter().chain(&self.young);
        both.filter_map(|(key, thing)| Some((key, thing.as_ref()?)))
    }

    fn insert(&mut self, key: K, thing: Option<V>) {
        if self.limit.is_some_and(|limit| self.young.len() >= limit) {
            std::mem::swap(&mut self.young, &mut self.old);
            // Its room stays: as much comes again.
            self.young.clear();
        }
        self.old.swap_remove(&key);
        self.young.insert(key, thing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_touched_stays_and_what_is_not_goes() {
        let mut shelf = Shelf::partial(2);
        shelf.put(1, "kept");
        for key in 2..6 {
            assert!(shelf.touch(&1));
            shelf.put(key, "passing");
        }
        assert_eq!(shelf.get(&1), Some(&"kept"));
        assert!(!shelf.knows(&2));
    }
}
