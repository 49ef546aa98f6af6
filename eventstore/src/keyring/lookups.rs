//! By what somebody is found: on their row a list, and for each of the list a row of `lookup`.
//!
//! The table is asked for a value and answers whose it is. The list says which rows of it are a
//! person's, so that they go with the person, change with what they wrote, and move with the epoch
//! that covers them. Both are written in one transaction.

use super::key::{Cover, Key};
use super::rotation::OfEpoch;
use crate::engine::KINDS;

/// A kind and a value, as they stand in a list.
const ENTRY: usize = 18;

/// A value in a list, and its kind with the epoch above it.
pub(crate) type Listed = (i16, [u8; 16]);

/// The entries of a list.
pub(crate) fn entries(list: &[u8]) -> impl Iterator<Item = Listed> + '_ {
    let (entries, _) = list.as_chunks::<ENTRY>();
    entries.iter().map(|entry| {
        let [high, low, value @ ..] = *entry;
        (i16::from_be_bytes([high, low]), value)
    })
}

/// Adds to a list what is not on it yet.
pub(crate) fn add(list: &mut Vec<u8>, (kind, value): Listed) {
    if entries(list).all(|(_, known)| known != value) {
        list.extend(kind.to_be_bytes());
        list.extend(value);
    }
}

/// A list without what is not kept and with more, and what is on it no longer.
pub(crate) fn changed(
    list: &[u8],
    keep: impl Fn(i16) -> bool,
    more: &[u8],
) -> (Vec<u8>, Vec<[u8; 16]>) {
    let mut now = Vec::with_capacity(list.len() + more.len());
    entries(list).filter(|(kind, _)| keep(kind % KINDS)).for_each(|entry| add(&mut now, entry));
    entries(more).for_each(|entry| add(&mut now, entry));
    let gone = entries(list).map(|(_, value)| value);
    let gone = gone.filter(|value| entries(&now).all(|(_, kept)| kept != *value)).collect();
    (now, gone)
}

/// A kind of lookup with the epoch that covers the value.
pub(crate) fn stored_kind(kind: i16, epoch: u32) -> i16 {
    let epoch = i16::try_from(epoch.saturating_sub(1)).unwrap_or(i16::MAX);
    (kind % KINDS).saturating_add(epoch.saturating_mul(KINDS))
}

/// The value of a lookup row: a hash covered by a key that ends with the tenant's, so that no old
/// copy can be asked whether somebody was in it.
pub(super) fn covered(tenant_key: &Key, hash: [u8; 16]) -> [u8; 16] {
    tenant_key.derived(PURPOSE).encrypt_block(hash)
}

const PURPOSE: &[u8] = b"lookup cover";

/// What covers values, by epoch, newest first.
pub(super) struct Covers(Vec<(i16, Cover)>);

impl Covers {
    pub(super) fn new(keys: &[OfEpoch]) -> Self {
        let cover = |(epoch, key): &OfEpoch| {
            (stored_kind(0, *epoch) / KINDS, key.key.derived(PURPOSE).cover())
        };
        Self(keys.iter().map(cover).collect())
    }

    /// A list covered by the newest, if not all of it is. What no key is left for stays as it is.
    pub(super) fn anew(&self, list: &[u8]) -> Option<Vec<u8>> {
        let (newest, cover) = self.0.first()?;
        if entries(list).all(|(kind, _)| kind / KINDS == *newest) {
            return None;
        }
        let mut moved = Vec::with_capacity(list.len());
        for (kind, value) in entries(list) {
            let old = self.0.iter().skip(1).find(|(epoch, _)| *epoch == kind / KINDS);
            add(
                &mut moved,
                match old {
                    Some((_, old)) => (
                        kind % KINDS + newest * KINDS,
                        cover.encrypt_block(old.decrypt_block(value)),
                    ),
                    None => (kind, value),
                },
            );
        }
        Some(moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(of: &[Listed]) -> Vec<u8> {
        let mut list = Vec::new();
        of.iter().for_each(|entry| add(&mut list, *entry));
        list
    }

    #[test]
    fn a_list_holds_each_value_once() {
        let twice = list(&[(1, [1; 16]), (2, [2; 16]), (1, [1; 16])]);
        assert_eq!(entries(&twice).collect::<Vec<_>>(), [(1, [1; 16]), (2, [2; 16])]);
    }

    #[test]
    fn what_is_neither_kept_nor_added_again_is_gone() {
        let (mail, phone, reference) = ((1, [1; 16]), (2, [2; 16]), (4 + KINDS, [4; 16]));
        let more = list(&[mail, (2, [3; 16])]);
        let (now, gone) = changed(&list(&[mail, phone, reference]), |kind| kind == 4, &more);
        assert_eq!(entries(&now).collect::<Vec<_>>(), [reference, mail, (2, [3; 16])]);
        assert_eq!(gone, [[2; 16]]);
    }

    /// Given twice, before and after somebody heard of the newer epoch: afterwards it is one.
    #[test]
    fn what_an_older_epoch_covers_is_covered_by_the_newest_once() {
        let cover = |byte| Key::from_bytes(zeroize::Zeroizing::new([byte; 32])).cover();
        let covers = Covers(vec![(1, cover(2)), (0, cover(1))]);
        let [old, new] = [cover(1), cover(2)].map(|cover| cover.encrypt_block([7; 16]));
        let moved = covers.anew(&list(&[(1, old), (1 + KINDS, new)])).unwrap();
        assert_eq!(entries(&moved).collect::<Vec<_>>(), [(1 + KINDS, new)]);
        assert_eq!(covers.anew(&moved), None);
    }
}
