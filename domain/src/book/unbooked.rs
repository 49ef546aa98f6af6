//! Stretches of days that nobody has booked: what need not be read to be known.
//!
//! Most bookings are for days to come, and most of those have none yet. A shelf knows single things;
//! whoever reads an index in order also sees what is not there, up to the last day that anybody has booked
//! and from there to the end of time.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::tag::Tag;

/// How many stretches are kept. Beyond that the earliest is forgotten: its days are over the soonest.
const MOST: usize = 65_536;

/// Tags under which there is no entry, as far as is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Unbooked {
    /// The last tag of each stretch by its first. No two meet.
    stretches: BTreeMap<Tag, Tag>,
}

impl Unbooked {
    pub(super) fn contains(&self, tag: Tag) -> bool {
        self.around(tag).is_some()
    }

    /// Takes note that of these tags only some have entries; these are in order.
    pub(super) fn learn(&mut self, stretch: RangeInclusive<Tag>, booked: &[Tag]) {
        let (mut first, last) = (stretch.start().0, stretch.end().0);
        for tag in booked {
            self.remove(*tag);
            if first < tag.0 {
                self.add(Tag(first), Tag(tag.0 - 1));
            }
            first = first.max(tag.0.saturating_add(1));
        }
        if first <= last {
            self.add(Tag(first), Tag(last));
        }
    }

    /// Takes note that there may be an entry under a tag.
    pub(super) fn remove(&mut self, tag: Tag) {
        let Some((first, last)) = self.around(tag) else { return };
        self.stretches.remove(&first);
        if first < tag {
            self.keep(first, Tag(tag.0 - 1));
        }
        if tag < last {
            self.keep(Tag(tag.0 + 1), last);
        }
    }

    fn keep(&mut self, first: Tag, last: Tag) {
        self.stretches.insert(first, last);
        if self.stretches.len() > MOST {
            self.stretches.pop_first();
        }
    }

    /// The stretch that a tag lies in.
    fn around(&self, tag: Tag) -> Option<(Tag, Tag)> {
        let (first, last) = self.stretches.range(..=tag).next_back()?;
        (tag <= *last).then_some((*first, *last))
    }

    fn add(&mut self, mut first: Tag, mut last: Tag) {
        if let Some((earlier, end)) = self.around(first) {
            (first, last) = (earlier, last.max(end));
        }
        while let Some((&met, &end)) = self.stretches.range(first..=last).next_back() {
            last = last.max(end);
            self.stretches.remove(&met);
        }
        self.keep(first, last);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::book::tests::Chance;

    #[test]
    fn it_knows_what_was_read_less_what_was_booked_since() {
        // Tag by tag.
        let (mut known, mut model) = (Unbooked::default(), BTreeSet::new());
        let mut chance = Chance(7);
        let mut roll = |limit| chance.below(limit);
        for _ in 0..2000 {
            if roll(3) == 0 {
                let first = roll(200);
                let last = first + roll(30);
                let booked: Vec<Tag> = (first..=last).filter(|_| roll(4) == 0).map(Tag).collect();
                model.extend(first..=last);
                model.retain(|tag| !booked.contains(&Tag(*tag)));
                known.learn(Tag(first)..=Tag(last), &booked);
            } else {
                let tag = roll(240);
                model.remove(&tag);
                known.remove(Tag(tag));
            }
            for tag in 0..240 {
                assert_eq!(known.contains(Tag(tag)), model.contains(&tag), "{tag}");
            }
        }
    }

    #[test]
    fn what_is_kept_has_a_bound_and_what_is_forgotten_is_only_not_known() {
        let mut known = Unbooked::default();
        known.learn(Tag(0)..=Tag(u64::MAX), &[]);
        let booked = |number: u64| Tag(1 + 2 * number);
        for number in 0..70_000 {
            known.remove(booked(number));
        }
        assert_eq!(known.stretches.len(), MOST);
        assert!((0..70_000).all(|number| !known.contains(booked(number))));
        assert!(!known.contains(Tag(0)) && known.contains(Tag(u64::MAX)));
    }
}
