//! Index rows that wait in memory until they are written, in rounds over the whole key space.
//!
//! What comes in forms sorted runs, merged as they grow, so that a row costs a few sequential
//! copies instead of a place in a tree. When enough wait, all of them become one round: a single
//! sorted run that is written from its front, as many rows with each commit as came in. Rows that
//! come meanwhile belong to the next round.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// For how many rows room is kept at most.
const SPARE: usize = 16_384;

/// Rows of one index that are not in its table yet.
#[derive(Debug, Clone)]
pub struct Waiting<K> {
    /// Sorted runs, each at least twice as long as the next.
    runs: Vec<Vec<K>>,
    /// Room for the next run, so that merging does not ask for memory each time.
    spare: Vec<K>,
    /// What is left of the round.
    round: VecDeque<K>,
    /// The size of the ledger when the round began: all older rows are in the table when it ends.
    began_at: u64,
    complete_to: u64,
}

/// The next rows of a round.
#[derive(Debug)]
pub struct Slice<K> {
    pub rows: Vec<K>,
    /// Whether the round ends with them.
    ends: bool,
}

impl<K> Slice<K> {
    pub(in crate::ledger) fn nothing() -> Self {
        Self { rows: Vec::new(), ends: false }
    }
}

impl<K> Default for Waiting<K> {
    fn default() -> Self {
        Self::new(0)
    }
}

impl<K> Waiting<K> {
    /// None, of an index whose table is complete up to an entry.
    pub fn new(complete_to: u64) -> Self {
        Self {
            runs: Vec::new(),
            spare: Vec::new(),
            round: VecDeque::new(),
            began_at: complete_to,
            complete_to,
        }
    }

    pub fn len(&self) -> usize {
        self.round.len() + self.runs.iter().map(Vec::len).sum::<usize>()
    }

    pub fn is_empty(&self) -> bool {
        self.round.is_empty() && self.runs.iter().all(Vec::is_empty)
    }

    /// Every row, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &K> {
        self.round.iter().chain(self.runs.iter().flatten())
    }

    /// Forgets the rows that are not to be kept.
    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.round.retain(&keep);
        self.runs.iter_mut().for_each(|run| run.retain(&keep));
    }
}

impl<K: Ord + Copy> Waiting<K> {
    /// Takes rows in.
    pub fn add(&mut self, mut rows: Vec<K>) {
        if rows.is_empty() {
            return;
        }
        rows.sort_unstable();
        while let Some(last) = self.runs.pop_if(|last| last.len() < 2 * rows.len()) {
            let mut both = std::mem::take(&mut self.spare);
            merge(&last, &rows, &mut both);
            rows = std::mem::replace(&mut both, rows);
            self.spare = [last, both].into_iter().max_by_key(Vec::capacity).unwrap_or_default();
            self.spare.clear();
        }
        self.spare.shrink_to(SPARE);
        self.runs.push(rows);
    }

    /// Rows in a range, in no order.
    pub fn range(&self, range: RangeInclusive<K>) -> impl Iterator<Item = &K> {
        let (first, last) = range.into_inner();
        let begin = self.round.partition_point(|row| *row < first);
        let of_round = self.round.range(begin..).take_while(move |row| **row <= last);
        let of_runs = self.runs.iter().flat_map(move |run| {
            let begin = run.partition_point(|row| *row < first);
            run.iter().skip(begin).take_while(move |row| **row <= last)
        });
        of_round.chain(of_runs)
    }

    /// As [`Self::range`], to be changed in what does not decide their place.
    pub fn range_mut(&mut self, range: RangeInclusive<K>) -> impl Iterator<Item = &mut K> {
        let (first, last) = range.into_inner();
        let begin = self.round.partition_point(|row| *row < first);
        let of_round = self.round.range_mut(begin..).take_while(move |row| **row <= last);
        let of_runs = self.runs.iter_mut().flat_map(move |run| {
            let begin = run.partition_point(|row| *row < first);
            run.iter_mut().skip(begin).take_while(move |row| **row <= last)
        });
        of_round.chain(of_runs)
    }

    /// Forgets the rows in a range.
    pub fn remove(&mut self, range: RangeInclusive<K>) {
        let (first, last) = range.into_inner();
        let begin = self.round.partition_point(|row| *row < first);
        let end = self.round.partition_point(|row| *row <= last);
        drop(self.round.drain(begin..end));
        for run in &mut self.runs {
            let begin = run.partition_point(|row| *row < first);
            let end = run.partition_point(|row| *row <= last);
            drop(run.drain(begin..end));
        }
    }

    /// The first rows in a range, in order.
    pub fn first(&self, range: RangeInclusive<K>, limit: usize) -> Vec<K> {
        let (first, last) = range.into_inner();
        let begin = self.round.partition_point(|row| *row < first);
        let mut rows: Vec<K> = self.round.range(begin..).take(limit).copied().collect();
        for run in &self.runs {
            let begin = run.partition_point(|row| *row < first);
            rows.extend(run.iter().skip(begin).take(limit));
        }
        rows.retain(|row| *row <= last);
        rows.sort_unstable();
        rows.truncate(limit);
        rows
    }

    /// Every row, in order.
    pub fn sorted(&self) -> Vec<K> {
        let mut rows: Vec<K> = self.iter().copied().collect();
        rows.sort_unstable();
        rows
    }

    /// The next `count` rows to be written, once more than `enough` wait. They go on waiting until
    /// [`Self::written`]. `size` is the ledger's.
    pub fn next(&mut self, count: usize, enough: usize, size: u64) -> Slice<K> {
        if self.round.is_empty() {
            if self.len() <= enough {
                return Slice::nothing();
            }
            let runs = std::mem::take(&mut self.runs);
            // From the shortest on: each row is then copied about once more.
            let all = runs.into_iter().rev().reduce(|all, run| {
                let mut both = Vec::new();
                merge(&run, &all, &mut both);
                both
            });
            self.round = all.unwrap_or_default().into();
            self.began_at = size;
        }
        let rows: Vec<K> = self.round.iter().take(count).copied().collect();
        Slice { ends: rows.len() == self.round.len(), rows }
    }

    /// Up to where the table is complete once a slice is in it.
    pub fn complete_after(&self, slice: &Slice<K>) -> u64 {
        if slice.ends { self.began_at } else { self.complete_to }
    }

    /// Takes note that a slice is in the table.
    pub fn written(&mut self, slice: &Slice<K>) {
        self.round.drain(..slice.rows.len().min(self.round.len()));
        self.complete_to = self.complete_after(slice);
    }

    /// Takes note that the table is complete up to an entry, and forgets the rows that are `behind` it.
    pub fn complete(&mut self, to: u64, behind: impl Fn(&K) -> bool) {
        if to > self.complete_to {
            self.retain(|row| !behind(row));
            self.complete_to = to;
            self.began_at = self.began_at.max(to);
        }
    }

    /// Up to where the table is complete.
    pub fn complete_to(&self) -> u64 {
        self.complete_to
    }

    /// Takes note that all rows are in the table, of a ledger of this size.
    pub fn all_written(&mut self, size: u64) {
        *self = Self::new(size);
    }
}

/// Puts the rows of two runs into an empty one, in order.
fn merge<K: Ord + Copy>(one: &[K], other: &[K], both: &mut Vec<K>) {
    both.reserve(one.len() + other.len());
    let (mut ones, mut others) = (one.iter().peekable(), other.iter().peekable());
    while let (Some(a), Some(b)) = (ones.peek(), others.peek()) {
        let next = if a <= b { ones.next() } else { others.next() };
        both.extend(next);
    }
    both.extend(ones);
    both.extend(others);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_while_it_waits_and_written_once_in_order() {
        let mut waiting = Waiting::new(0);
        let mut written = Vec::new();
        for size in 0..200_u64 {
            let slice = waiting.next(2, 40, size);
            assert!(slice.rows.is_sorted());
            waiting.written(&slice);
            written.extend(slice.rows);
            waiting.add(vec![size * 7 % 200, 1000 + size * 11 % 200]);
            let found: Vec<u64> = waiting.range(0..=199).copied().collect();
            let mut all: Vec<u64> =
                written.iter().copied().filter(|row| *row < 200).chain(found).collect();
            all.sort_unstable();
            let mut owed: Vec<u64> = (0..=size).map(|size| size * 7 % 200).collect();
            owed.sort_unstable();
            assert_eq!(all, owed);
            let mut first: Vec<u64> = waiting.range(90..=1080).copied().collect();
            first.sort_unstable();
            first.truncate(5);
            assert_eq!(waiting.first(90..=1080, 5), first);
        }
        assert!(waiting.len() <= 42 && written.len() + waiting.len() == 400);
    }

    #[test]
    fn the_table_is_complete_up_to_where_the_last_round_began() {
        let mut waiting = Waiting::new(3);
        waiting.add(vec![4, 2, 9, 1]);
        let first = waiting.next(3, 3, 10);
        assert_eq!((&*first.rows, waiting.complete_after(&first)), (&[1, 2, 4][..], 3));
        waiting.written(&first);
        waiting.add(vec![0]);
        let second = waiting.next(3, 3, 11);
        assert_eq!((&*second.rows, waiting.complete_after(&second)), (&[9][..], 10));
        waiting.written(&second);
        assert!(waiting.next(3, 3, 12).rows.is_empty(), "one row is not enough for a round");
        assert_eq!(waiting.sorted(), [0]);
    }
}
