//! Replaying a ledger: its entries in order, a page at a time, with their seals if these are to be opened.
//!
//! The next pages are read while one is in use, on threads of their own that take turns: one waits for the
//! ledger while another decodes what it was given. Who replays pays for what they do with an entry or for
//! reading it, whichever takes longer, and not for both.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use domain::Position;

use super::codec::Entry;
use super::log::{EntryBytes, Log, ReadError};
use crate::keyring::access::Disclosure;
use crate::keyring::seal::{Ahead, Opening, SealAt};
use crate::keyring::{KeyError, Keyring};

/// How many entries a page has at most.
const PAGE: usize = 4000;
/// How many threads read, each every so many pages.
const READERS: usize = 2;
/// How many pages of each reader wait for whoever replays, beside the one that it is reading.
const AHEAD: usize = 1;

/// A replay. It ends where it was told to, or at the end of the ledger as it was when it began, or with an
/// error: never early without one.
pub struct Replay {
    /// One of each thread; whose page is next stands first.
    readers: VecDeque<Receiver<Result<Page, ReadError>>>,
    left: u64,
}

/// Some entries, as they are stored and what they say.
pub struct Page {
    pub entries: Vec<(EntryBytes, Entry)>,
    /// All seals of all of them, in order.
    pub seals: Vec<SealAt>,
    ahead: Option<Ahead>,
}

impl Replay {
    /// Of these entries.
    ///
    /// # Errors
    /// Where the ledger cannot be read, or there is no thread to do so.
    pub fn of(log: &Arc<Log>, entries: Range<Position>) -> Result<Self, ReadError> {
        Self::begin(log, entries, false)
    }

    /// Of these entries, to open their seals.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn with_seals(log: &Arc<Log>, entries: Range<Position>) -> Result<Self, ReadError> {
        Self::begin(log, entries, true)
    }

    fn begin(log: &Arc<Log>, entries: Range<Position>, seals: bool) -> Result<Self, ReadError> {
        // As it is committed: another node may have gone on without this one's having heard.
        let size = log.head()?.frontier.size();
        let all = entries.start.0..entries.end.0.min(size);
        let first_pages = all.clone().step_by(PAGE).take(READERS);
        let readers = first_pages
            .map(|first| {
                let ((sender, pages), log) = (sync_channel(AHEAD), Arc::clone(log));
                let (end, starts) = (all.end, (first..all.end).step_by(PAGE * READERS));
                let work = move || read(&log, starts, end, seals, &sender);
                thread::Builder::new().name("replay".to_owned()).spawn(work)?;
                Ok(pages)
            })
            .collect::<Result<_, _>>()
            .map_err(ReadError::Thread)?;
        Ok(Self { readers, left: all.end.saturating_sub(all.start) })
    }
}

impl Iterator for Replay {
    type Item = Result<Page, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let page = self.readers.front()?.recv().unwrap_or(Err(ReadError::Stopped));
        self.readers.rotate_left(1);
        self.left = match &page {
            Ok(page) => self.left.saturating_sub(length(page.entries.len())),
            Err(_) => 0,
        };
        Some(page)
    }
}

impl Page {
    /// Opens all seals, in order, as [`Keyring::open`] does, with the keys that there are now.
    ///
    /// # Errors
    /// As [`Keyring::open`].
    pub fn open(
        &mut self,
        keyring: &Keyring,
        ticket: &Disclosure,
    ) -> Result<Vec<Opening>, KeyError> {
        match self.ahead.take() {
            Some(ahead) => keyring.open_ahead(ticket, &self.seals, ahead),
            None => keyring.open(ticket, &self.seals),
        }
    }
}

/// Reads the pages that start here until nobody wants them any more.
fn read(
    log: &Log,
    starts: impl Iterator<Item = u64>,
    end: u64,
    seals: bool,
    pages: &SyncSender<Result<Page, ReadError>>,
) {
    for start in starts {
        let limit = usize::try_from(end - start).unwrap_or(PAGE).min(PAGE);
        let page = read_page(log, Position(start), limit, seals);
        let failed = page.is_err();
        if pages.send(page).is_err() || failed {
            return;
        }
    }
}

fn length(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// A whole page: entries that are missing from it are an error, for a ledger has no gaps.
fn read_page(log: &Log, next: Position, limit: usize, seals: bool) -> Result<Page, ReadError> {
    let stored = log.entries(next, limit)?;
    if stored.len() < limit {
        return Err(ReadError::Head);
    }
    let entries = stored.into_iter().map(|stored| match stored.decode() {
        Ok(entry) => Ok((stored, entry)),
        Err(error) => Err(ReadError::Entry(stored.position, error)),
    });
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    let mut all = Vec::new();
    for (stored, entry) in &entries {
        let (position, event) = (stored.position, &entry.recorded.event);
        let kind = event.kind();
        all.extend(event.seals().into_iter().map(|seal| SealAt { position, kind, seal }));
    }
    let ahead = match seals {
        true => Some(Ahead::read(log.reader(), &all)?),
        false => None,
    };
    Ok(Page { entries, seals: all, ahead })
}
