//! Gathering: who is to be in one commit.
//!
//! A commit costs nearly as much for one as for many, and those who were answered by the last one
//! tend to ask again at once. A batch is therefore not over when nobody waits any more, but when
//! nobody else is to be expected: it takes in whoever comes while it is decided, and gives those who
//! were just answered a moment to come back. Who is alone never waits for others.
//!
//! Who asks again may be there before the last of them is answered. So who waits is looked up
//! before anybody is answered: whoever comes later may be one of them, and is not expected twice.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// The most of one commit.
const MOST: usize = 512;
/// How long the next one of those who are expected may take: little beside a commit.
const MOMENT: Duration = Duration::from_micros(100);

/// A queue from which batches are gathered.
pub struct Gather<T> {
    queue: Receiver<T>,
    /// Who waited when the last one was answered.
    waiting: Vec<T>,
    /// How many the last batch has, or this one by now.
    taken: usize,
    /// How many this one is expected to have.
    expected: usize,
}

impl<T> Gather<T> {
    pub fn from(queue: Receiver<T>) -> Self {
        Self { queue, waiting: Vec::new(), taken: 0, expected: 0 }
    }

    /// Sees who waits, before somebody is answered.
    pub fn look(&mut self) {
        let room = MOST.saturating_sub(self.waiting.len());
        self.waiting.extend(self.queue.try_iter().take(room));
    }

    /// Begins a batch with all who wait; if there is nobody, with the first who comes.
    ///
    /// # Errors
    /// Where nobody came for so long, or nobody is left who could.
    pub fn begin(&mut self, patience: Duration) -> Result<Vec<T>, RecvTimeoutError> {
        let answered = std::mem::take(&mut self.taken);
        let mut all = std::mem::take(&mut self.waiting);
        // Those who waited then were not among those who were answered.
        self.expected = (answered + all.len()).min(MOST);
        all.extend(self.queue.try_iter().take(MOST - all.len()));
        if all.is_empty() {
            all.push(self.queue.recv_timeout(patience)?);
            all.extend(self.queue.try_iter().take(MOST - 1));
        }
        self.taken = all.len();
        Ok(all)
    }

    /// Who has come since; nobody once the batch is over.
    pub fn more(&mut self) -> Vec<T> {
        let room = MOST.saturating_sub(self.taken);
        let mut more: Vec<T> = self.waiting.drain(..room.min(self.waiting.len())).collect();
        more.extend(self.queue.try_iter().take(room - more.len()));
        if more.is_empty() && self.taken < self.expected {
            more.extend(self.queue.recv_timeout(MOMENT));
        }
        self.taken += more.len();
        more
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{SyncSender, sync_channel};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// A batch that has the first who came.
    fn begun() -> (SyncSender<u8>, Gather<u8>) {
        let (sender, queue) = sync_channel(8);
        let mut gather = Gather::from(queue);
        sender.send(1).unwrap();
        assert_eq!(gather.begin(LONG).unwrap(), [1]);
        (sender, gather)
    }

    #[test]
    fn a_batch_has_whoever_comes_while_it_is_decided() {
        let (sender, mut gather) = begun();
        sender.send(2).unwrap();
        assert_eq!(gather.more(), [2]);
        assert!(gather.more().is_empty());
    }

    #[test]
    fn those_who_were_answered_are_expected_again() {
        let (sender, mut gather) = begun();
        assert!(gather.more().is_empty());
        // One waits when the first is answered, and that one is to come back.
        sender.send(2).unwrap();
        gather.look();
        assert_eq!(gather.begin(LONG).unwrap(), [2]);
        assert_eq!(gather.expected, 2);
        // Who is alone is expected alone.
        assert!(gather.more().is_empty());
        sender.send(1).unwrap();
        gather.begin(LONG).unwrap();
        assert!(gather.more().is_empty());
    }

    /// Else who is alone would wait for itself each time.
    #[test]
    fn who_is_back_before_the_next_batch_begins_is_not_expected_again() {
        let (sender, mut gather) = begun();
        gather.look();
        sender.send(1).unwrap();
        assert_eq!(gather.begin(LONG).unwrap(), [1]);
        assert_eq!(gather.expected, 1);
    }

    /// What is done alone in the middle of a batch answers somebody too.
    #[test]
    fn who_was_seen_in_the_middle_of_a_batch_is_in_it() {
        let (sender, mut gather) = begun();
        sender.send(2).unwrap();
        gather.look();
        sender.send(3).unwrap();
        assert_eq!(gather.more(), [2, 3]);
    }

    #[test]
    fn a_batch_has_an_end() {
        let (sender, queue) = sync_channel(4096);
        let mut gather = Gather::from(queue);
        for job in 0..1000 {
            sender.send(job).unwrap();
        }
        assert_eq!(gather.begin(LONG).unwrap().len(), MOST);
        assert!(gather.more().is_empty());
        assert_eq!(gather.begin(LONG).unwrap().len(), 1000 - MOST);
        drop(sender);
        assert!(gather.begin(LONG).is_err());
    }
}
