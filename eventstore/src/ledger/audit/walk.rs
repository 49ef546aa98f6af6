//! The walk through a ledger: every entry once, in order, with all that stands beside it.

use std::collections::BTreeMap;

use domain::book::audit::Auditor;
use domain::booking::ContentErased;
use domain::booking::event::Part;
use domain::{Book, BookingId, Event, Handle, Position, RetentionClass};
use rusqlite::Connection;

use super::fault::Fault;
use super::indexes::Sums;
use super::keys::{self, KeyState, Keys};
use super::seals::{self, SealRows};
use super::{Findings, Report, hex};
use crate::keyring::person::PersonId;
use crate::ledger::codec::{self, Entry};
use crate::ledger::index::{self, Links};
use crate::ledger::log::{Head, ReadError};
use crate::sqlite::{read_entry, uint};
use crate::tree::{self, Frontier, Hash};

/// How many entries pass between two words about progress.
const STRIDE: u64 = 10_000;

/// Everything that is known on the way.
pub(super) struct Walk<'a> {
    head: &'a Head,
    keys: Keys,
    findings: Findings,
    auditor: Auditor,
    sums: Sums,
    frontier: Frontier,
    next: u64,
    recorded_at: i64,
    newest_handle: u64,
    seals: u64,
    blanks: u64,
    /// Seals that fences say they ended.
    fenced: u64,
    /// Seals that other entries say they ended, each known by name.
    named: u64,
    /// Of these, seals whose person may have been erased before: a fence counted them then.
    either: u64,
    /// Cancellations with a note: their seals are content of the booking too.
    noted: BTreeMap<BookingId, u64>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(head: &'a Head, keys: Keys, findings: Findings) -> Self {
        let sums = Sums::new(head.frontier.size(), keys.erasing);
        Self {
            head,
            keys,
            findings,
            auditor: Auditor::default(),
            sums,
            frontier: Frontier::default(),
            next: 0,
            recorded_at: i64::MIN,
            newest_handle: 0,
            seals: 0,
            blanks: 0,
            fenced: 0,
            named: 0,
            either: 0,
            noted: BTreeMap::new(),
        }
    }

    /// Reads all entries with their seals.
    pub(super) fn entries(
        &mut self,
        conn: &Connection,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), ReadError> {
        let size = self.head.frontier.size();
        let mut select = conn.prepare("SELECT position, n, ciphertext FROM seal ORDER BY id")?;
        let mut seals = SealRows::new(select.query([])?)?;
        let mut select =
            conn.prepare("SELECT position, bytes, leaf FROM entry ORDER BY position")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let position = Position(uint(row.get(0)?));
            let bytes = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            let leaf = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
            self.place(position);
            self.leaf(position, bytes, leaf);
            let stored = seals.at(position, &mut self.findings)?;
            match codec::decode(bytes) {
                Ok(entry) => self.entry(conn, position, &entry, &stored)?,
                Err(_) => self.findings.add(position, &Fault::Unreadable),
            }
            if position.0.is_multiple_of(STRIDE) {
                progress(position.0, size);
            }
        }
        seals.rest(&mut self.findings)?;
        keys::check_restrictions(conn, &self.auditor.book().restricted, &mut self.findings)?;
        self.seals = seals.count;
        progress(size, size);
        Ok(())
    }

    /// Positions are 0, 1, 2 ... without gaps, and end where the head says.
    fn place(&mut self, position: Position) {
        if position.0 > self.next {
            let (first, last) = (Position(self.next), Position(position.0 - 1));
            self.findings.add(first, &Fault::EntryMissing { first, last });
        }
        if position.0 >= self.head.frontier.size() {
            self.findings.add(position, &Fault::EntryExtra);
        }
        self.next = position.0.saturating_add(1);
    }

    fn leaf(&mut self, position: Position, bytes: &[u8], stored: &[u8]) {
        let leaf = tree::leaf_hash(bytes);
        if leaf != stored {
            self.findings.add(position, &Fault::Leaf);
        }
        self.frontier.push(leaf);
    }

    fn entry(
        &mut self,
        conn: &Connection,
        position: Position,
        entry: &Entry,
        stored: &[seals::Stored],
    ) -> Result<(), ReadError> {
        let recorded = &entry.recorded;
        let event = &recorded.event;
        let at = recorded.recorded_at.as_microsecond();
        if recorded.position != position {
            self.findings.add(position, &Fault::Position(recorded.position));
            return Ok(());
        }
        if at < self.recorded_at {
            self.findings.add(position, &Fault::Clock);
        }
        self.recorded_at = self.recorded_at.max(at);
        let mut references = event.seals();
        references.sort_by_key(|seal| seal.seal);
        let said = (references.as_slice(), entry.seal_hashes.as_slice());
        self.blanks += seals::check(position, said, stored, &self.keys, &mut self.findings);
        self.handles(position, event);
        self.endings(conn, position, event)?;
        self.sums.carried(position, &entry.tags);
        if !self.keys.erasing {
            let links = AuditLinks { keys: &self.keys, book: self.auditor.book() };
            self.sums.owed(&index::rows_of(position, event, &links));
        }
        for violation in self.auditor.check(recorded, &entry.tags) {
            self.findings.add(position, &Fault::Rule(violation));
        }
        Ok(())
    }

    /// A handle stands for one part in one matter, and is never used again.
    fn handles(&mut self, position: Position, event: &Event) {
        for handle in begun_under(event) {
            self.newest_handle = self.newest_handle.max(handle.0);
            if !self.keys.begin(handle) {
                self.findings.add(position, &Fault::HandleReused(handle));
            }
        }
    }

    /// What an entry says it ended, where that can be named.
    fn endings(
        &mut self,
        conn: &Connection,
        position: Position,
        event: &Event,
    ) -> Result<(), ReadError> {
        if let Event::BookingCancelled(event) = event
            && event.note.is_some()
        {
            self.noted.insert(event.booking, 1);
        }
        if let Event::PersonErased(event) = event {
            self.fenced = self.fenced.saturating_add(event.ended);
        }
        if let Event::PersonRectified(event) = event {
            self.named = self.named.saturating_add(1);
            self.ended(position, event.was, RetentionClass::Contact);
            self.said(position, event.ended.into(), 1);
        }
        if let Event::PeriodEnded(event) = event {
            self.keys.over.remove(&(event.class.code(), event.year));
        }
        if let Event::BookingContentErased(event) = event {
            self.content(conn, position, event)?;
        }
        Ok(())
    }

    fn content(
        &mut self,
        conn: &Connection,
        position: Position,
        event: &ContentErased,
    ) -> Result<(), ReadError> {
        let first = read_entry(conn, Position(event.booking.0))?;
        let first = first.and_then(|entry| codec::decode_event(&entry.bytes).ok());
        let Some(Event::BookingRequested(requested)) = first else { return Ok(()) };
        let content = requested.parts.iter().flat_map(Part::seals);
        let content: Vec<_> = content.filter(|seal| event.classes.contains(&seal.class)).collect();
        let noted = match event.classes.contains(&RetentionClass::Booking) {
            true => self.noted.get(&event.booking).copied().unwrap_or(0),
            false => 0,
        };
        let were = u64::try_from(content.len()).unwrap_or(u64::MAX).saturating_add(noted);
        self.said(position, event.ended.into(), were);
        self.named = self.named.saturating_add(were);
        for seal in &content {
            self.ended(position, seal.handle, seal.class);
        }
        let unlinked = content.iter().filter(|seal| self.keys.person(seal.handle).is_none());
        let unlinked = u64::try_from(unlinked.count()).unwrap_or(u64::MAX);
        if unlinked > 0 {
            self.either = self.either.saturating_add(unlinked).saturating_add(noted);
        }
        Ok(())
    }

    fn said(&mut self, position: Position, said: u64, were: u64) {
        if said != were {
            self.findings.add(position, &Fault::Ended { said, were });
        }
    }

    fn ended(&mut self, position: Position, handle: Handle, class: RetentionClass) {
        match self.keys.state(handle, class) {
            KeyState::Live | KeyState::Kept => {
                self.findings.add(position, &Fault::KeyNotEnded { handle, class });
            }
            KeyState::Unknown | KeyState::Blank | KeyState::Dark | KeyState::Over => (),
        }
    }

    /// Holds the whole against the head and what entries say against what is.
    pub(super) fn finish(mut self) -> (Findings, Sums) {
        let size = self.head.frontier.size();
        if self.next != size {
            self.findings.add(None, &Fault::Size { said: size, are: self.next });
        } else if self.frontier != self.head.frontier {
            self.findings.add(None, &Fault::Root);
        }
        if self.head.recorded_at < self.recorded_at || self.head.next_handle <= self.newest_handle {
            self.findings.add(None, &Fault::Head);
        }
        for (class, year) in &self.keys.over {
            let class = RetentionClass::from_code(*class);
            let missing = class.map(|class| Fault::PeriodMissing { class, year: *year });
            missing.iter().for_each(|fault| self.findings.add(None, fault));
        }
        let by_fences = self.blanks.checked_sub(self.named);
        let agree = by_fences.is_some_and(|least| {
            (least..=least.saturating_add(self.either)).contains(&self.fenced)
        });
        let ended = self.named.saturating_add(self.fenced);
        if !agree {
            self.findings.add(None, &Fault::Blanks { blanks: self.blanks, ended });
        }
        let root: Hash = self.frontier.root();
        self.sums.report = Report {
            entries: self.frontier.size(),
            root: hex(&root),
            findings: Vec::new(),
            found: 0,
            seals: self.seals,
            blanks: self.blanks,
            ended,
            blanks_agree: agree,
        };
        (self.findings, self.sums)
    }
}

/// The handles under which a matter begins with this entry.
fn begun_under(event: &Event) -> Vec<Handle> {
    match event {
        Event::BookingRequested(event) => event.parts.iter().map(|part| part.handle).collect(),
        Event::PersonRegistered(event) => vec![event.contact.handle],
        Event::PersonRectified(event) => vec![event.contact.handle],
        Event::ConsentGiven(event) => vec![event.evidence.handle],
        Event::PolicyAccepted(event) => vec![event.evidence.handle],
        Event::SealsOpened(event) => vec![event.whom.handle],
        Event::BookingConfirmed(_)
        | Event::BookingDeclined(_)
        | Event::BookingRescheduled(_)
        | Event::BookingCancelled(_)
        | Event::BookingCheckedIn(_)
        | Event::BookingCompleted(_)
        | Event::BookingMissed(_)
        | Event::BookingChanged(_)
        | Event::BookingContentErased(_)
        | Event::PersonErased(_)
        | Event::PersonRestricted(_)
        | Event::PersonUnrestricted(_)
        | Event::HoldPlaced(_)
        | Event::HoldLifted(_)
        | Event::ConsentWithdrawn(_)
        | Event::GroupDefined(_)
        | Event::ResourceDefined(_)
        | Event::ResourceRevised(_)
        | Event::ResourceRetired(_)
        | Event::ServiceDefined(_)
        | Event::ServiceRevised(_)
        | Event::ServiceRetired(_)
        | Event::PolicySet(_)
        | Event::LedgerReopened(_)
        | Event::KeysRotated(_)
        | Event::LogKeyRotated(_)
        | Event::LedgerMoved(_)
        | Event::PeriodEnded(_) => Vec::new(),
    }
}

/// Links as they stand at the end, and bookings as they stood before the entry.
struct AuditLinks<'a> {
    keys: &'a Keys,
    book: &'a Book,
}

impl Links for AuditLinks<'_> {
    fn person(&self, handle: Handle) -> Option<PersonId> {
        self.keys.person(handle)
    }

    fn is_live(&self, handle: Handle, class: RetentionClass) -> bool {
        self.keys.state(handle, class) == KeyState::Live
    }

    fn parts(&self, booking: BookingId) -> Vec<Handle> {
        let Some(booking) = self.book.bookings.get(&booking) else { return Vec::new() };
        let mut handles = booking.handles.clone();
        handles.sort_by_key(|handle| Some(*handle) != booking.booker);
        handles
    }
}
