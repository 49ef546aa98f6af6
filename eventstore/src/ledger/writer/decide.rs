//! Deciding one command and taking what follows into the batch.

use std::cell::RefCell;

use domain::booking::{BookingCommand, Rescheduled, Role};
use domain::entry::Tagged;
use domain::person::{Restricted, Unrestricted};
use domain::{
    Actor, BookingId, Command, Context, Draft, Event, Handle, Key, Position, RetentionClass, Tag,
};
use smallvec::SmallVec;

use super::{Reply, Writer};
use crate::engine::Rekeyed;
use crate::keyring::person::PersonId;
use crate::keyring::sealing::NewSeal;
use crate::keyring::{DataKeyRow, KeyError};
use crate::ledger::appender::{Append, AppendError, Appended};
use crate::ledger::batch::{Batch, Known, Seen};
use crate::ledger::codec;
use crate::ledger::index::{self, Links};
use crate::ledger::loader::{LoadJob, Visits};
use crate::ledger::log::ReadError;
use crate::tree::{self, Hash};

impl Writer {
    /// Decides one command into the batch, or sends it for what it lacks.
    pub(super) fn take(&mut self, batch: &mut Batch, append: Box<Append>, reply: Reply<Appended>) {
        let (keys, booker) = self.missing(batch, &append);
        if !keys.is_empty() || booker.is_some() {
            if let Err(refused) = self.loader.send(LoadJob { keys, booker, append, reply }) {
                drop(refused.reply.send(Err(AppendError::Stopped)));
            }
            return;
        }
        self.take_known(batch, append, reply);
    }

    /// What is not at hand that a command needs.
    pub(super) fn missing(
        &mut self,
        batch: &Batch,
        append: &Append,
    ) -> (Vec<Key>, Option<PersonId>) {
        let keys = self.book.missing(&append.command);
        let booker = booker(append).filter(|person| !self.visits.touch(person));
        let booker = booker.filter(|person| !batch.is_new(*person) && !is_new(append, *person));
        (keys, booker)
    }

    /// Decides a command for which everything is at hand.
    pub(super) fn take_known(
        &mut self,
        batch: &mut Batch,
        mut append: Box<Append>,
        reply: Reply<Appended>,
    ) {
        let kept = self.shared.then(|| append.brought.clone());
        let answer = self.decide(batch, &mut append);
        match kept {
            // What is refused may be so for something that does not come to stand.
            Some(brought) => {
                append.brought = brought;
                batch.keep(*append);
                batch.answer(reply, answer);
            }
            None if answer.is_ok() => batch.answer(reply, answer),
            None => drop(reply.send(answer)),
        }
    }

    fn decide(&mut self, batch: &mut Batch, append: &mut Append) -> Result<Appended, AppendError> {
        let now = self.tick();
        self.not_restricted(batch, append)?;
        let repeat = match append.idempotency {
            Some(idempotency) => match self.repeated(batch, idempotency, now)? {
                Seen::Before(appended) => return Ok(appended),
                Seen::Never(repeat) => Some(repeat),
            },
            None => None,
        };
        let visits = booker(append).and_then(|person| self.visits.get(&person));
        let context = Context {
            now,
            // What is yet to come has not happened: statistics as of a moment would pass over it, and count
            // what followed.
            occurred_at: append.occurred_at.unwrap_or(now).min(now),
            actor: append.actor,
            visits: visits.map(|visits| visits.by_year.clone()).unwrap_or_default(),
            held: self.held(&append.command)?,
        };
        let drafts = self.book.decide(&append.command, &context)?;
        Batch::fits(&drafts, &append.brought)?;
        let first = self.book.next;
        let count = u32::try_from(drafts.len()).unwrap_or(u32::MAX);
        let cause = self.causes.mint();
        batch.loosen(std::mem::take(&mut append.brought.seals));
        let mut brought = Some(std::mem::take(&mut append.brought));
        for draft in drafts {
            let header = codec::Header {
                position: self.book.next,
                recorded_at: now,
                occurred_at: draft.occurred_at.unwrap_or(context.occurred_at).min(now),
                actor: actor_of(append.actor, &draft.event),
                cause,
            };
            let entry = self.encode(batch, &header, draft);
            // What cannot be written at all is its own caller's concern, as long as nothing of it is taken in.
            let entry = entry.inspect_err(|_| batch.let_go(brought.is_none()))?;
            brought.take().into_iter().for_each(|brought| batch.bring(brought));
            self.take_in(batch, entry)?;
        }
        let appended = Appended { first, count, repeated: false };
        if let Some(repeat) = repeat {
            batch.remember(repeat, &appended);
        }
        Ok(appended)
    }

    /// Writes an entry as it will stand. Nothing is changed but that its seals are taken off the batch's loose
    /// ones.
    pub(in crate::ledger) fn encode(
        &self,
        batch: &mut Batch,
        header: &codec::Header,
        draft: Draft,
    ) -> Result<Encoded, AppendError> {
        let tagged = self.book.tagged(draft);
        let seals = batch.seals_of(&tagged.draft.event)?;
        let hashes: SmallVec<[Hash; 2]> = seals.iter().map(|new| new.hash).collect();
        let bytes = codec::encode(header, &tagged, &hashes)?;
        Ok(Encoded { position: header.position, tagged, seals, bytes })
    }

    /// Takes an entry into book, tree and batch.
    pub(in crate::ledger) fn take_in(
        &mut self,
        batch: &mut Batch,
        Encoded { position, tagged, seals, bytes }: Encoded,
    ) -> Result<(), AppendError> {
        self.book.apply_next(&tagged.draft.event, &tagged.tags);
        let leaf = tree::leaf_hash(&bytes);
        self.frontier.push(leaf);
        let (rows, unread) = {
            let links = WriterLinks { batch, writer: self, unread: RefCell::default() };
            let rows = index::rows_of(position, &tagged.draft.event, &links);
            (rows, links.unread.into_inner())
        };
        if let Some(error) = unread {
            // Whose it is decides which rows find it: without them it must not stand.
            batch.spoil();
            return Err(error.into());
        }
        for row in &rows {
            if let Some(visits) = self.visits.get_mut(&row.person) {
                visits.count(row);
            } else if batch.is_new(row.person) {
                self.visits.put(row.person, Visits::of(std::slice::from_ref(row)));
            }
        }
        let counted = self.forget_counts(&tagged.draft.event, batch).map_err(AppendError::from);
        let known = match counted.and_then(|()| self.known(batch, &tagged.draft.event)) {
            Ok(known) => known,
            Err(error) => {
                batch.spoil();
                return Err(error);
            }
        };
        batch.entry(position, bytes, leaf, seals, tagged, rows, known);
        Ok(())
    }

    /// What ends seals without ending their person: how many are left is counted anew when asked.
    fn forget_counts(&mut self, event: &Event, batch: &mut Batch) -> Result<(), ReadError> {
        let handles: &[Handle] = if let Event::PersonRectified(event) = event {
            &[event.contact.handle]
        } else if let Event::BookingContentErased(event) = event {
            &event.handles
        } else {
            &[]
        };
        for handle in handles {
            let person = match batch.person(*handle) {
                Some(person) => Some(person),
                None => self.stored_person(*handle)?,
            };
            if let Some(person) = person {
                self.visits.remove(&person);
                // Also where the rows are loaded before this batch is committed, or at this moment.
                batch.recount(person);
                let now = self.book.next;
                self.recent.add(std::iter::empty(), std::iter::once((person, now)));
            }
        }
        Ok(())
    }

    /// What is known of what an event is about, where that matters for rows that are there.
    fn known(&mut self, batch: &Batch, event: &Event) -> Result<Known, AppendError> {
        let mut known = Known::default();
        if let Event::BookingContentErased(event) = event {
            let tag = Tag::booking(event.booking);
            let mut positions = self.log.positions(tag)?;
            positions.push(Position(event.booking.0));
            positions.extend(batch.positions(tag));
            known.ended = batch.content(self.log.reader(), &positions, event)?;
        }
        if let Event::PersonRestricted(Restricted { registration, .. })
        | Event::PersonUnrestricted(Unrestricted { registration }) = event
        {
            known.person = self.registered(*registration)?;
        }
        if let Event::BookingRescheduled(event) = event {
            known.rekeyed = self.rekeyed(event)?;
        }
        Ok(known)
    }

    /// Has what bookkeeping keeps of a booking hang on the key of the fiscal year into which it is moved: it is
    /// kept for as long as the law keeps that year, neither less nor more.
    fn rekeyed(&mut self, event: &Rescheduled) -> Result<Vec<Rekeyed>, AppendError> {
        const CLASS: RetentionClass = RetentionClass::Accounting;
        let (policy, day) = (&self.book.policy, event.facets_before.day);
        let year = policy.fiscal_year(event.start);
        // Its day was told by the resource's clock, and its year by the tenant's.
        let days = [day.yesterday().ok(), Some(day), day.tomorrow().ok()];
        if days.into_iter().flatten().all(|day| policy.fiscal_year_of(day) == year) {
            return Ok(Vec::new());
        }
        let booking = self.book.bookings.get(&event.booking);
        let handles = booking.map(|booking| booking.handles.clone()).unwrap_or_default();
        let mut rekeyed = Vec::new();
        for handle in handles {
            let Some(row) = self.log.reader().data_key_row(handle, CLASS)? else { continue };
            let DataKeyRow { year: Some(before), wrapped: Some(was), .. } = row else { continue };
            // A year that is over has ended what hung on it.
            let former = match self.keyring.period_key(CLASS, before) {
                Err(KeyError::Missing) => continue,
                former => former?,
            };
            let is = match self.keyring.period_key(CLASS, year) {
                Err(KeyError::Missing) => {
                    self.make_period(CLASS, year)?;
                    self.keyring.period_key(CLASS, year)?
                }
                is => is?,
            };
            if before != year {
                let key = former.key.unwrap(&was).map_err(KeyError::from)?;
                rekeyed.push(Rekeyed { handle, year, was, wrapped: is.key.wrap(&key) });
            }
        }
        Ok(rekeyed)
    }

    /// Whose handle, where it is committed.
    pub(super) fn stored_person(&self, handle: Handle) -> Result<Option<PersonId>, ReadError> {
        Ok(self.log.reader().links(&[handle])?.remove(&handle))
    }
}

/// The person whose visits a request counts.
fn booker(append: &Append) -> Option<PersonId> {
    let Command::Booking(BookingCommand::Request(request)) = &append.command else { return None };
    let part = request.parts.iter().find(|part| part.role == Role::Booker)?;
    append.brought.person(part.handle)
}

fn is_new(append: &Append, person: PersonId) -> bool {
    append.brought.persons.iter().any(|new| new.id == person)
}

/// A client acts as their part of what is appended, which only the event knows where it is new.
fn actor_of(actor: Actor, event: &Event) -> Actor {
    match actor {
        Actor::Client(handle) => {
            let own = event.seals().iter().any(|seal| seal.handle == handle);
            let first = event.seals().first().map(|seal| seal.handle);
            Actor::Client(if own { handle } else { first.unwrap_or(handle) })
        }
        Actor::Staff(_) | Actor::Support(_) | Actor::Key(_) | Actor::System => actor,
    }
}

/// An entry as it is going to stand, of which nothing is taken in yet.
pub(in crate::ledger) struct Encoded {
    position: Position,
    tagged: Tagged,
    seals: Vec<NewSeal>,
    bytes: Vec<u8>,
}

/// Links as the writer knows them: of this batch, and committed ones.
struct WriterLinks<'a> {
    batch: &'a Batch,
    writer: &'a Writer,
    /// Why it is not known of some.
    unread: RefCell<Option<ReadError>>,
}

impl Links for WriterLinks<'_> {
    fn person(&self, handle: Handle) -> Option<PersonId> {
        self.batch.person(handle).or_else(|| {
            self.writer.stored_person(handle).unwrap_or_else(|error| {
                *self.unread.borrow_mut() = Some(error);
                None
            })
        })
    }

    fn is_live(&self, _: Handle, _: RetentionClass) -> bool {
        true
    }

    fn parts(&self, booking: BookingId) -> Vec<Handle> {
        let Some(booking) = self.writer.book.bookings.get(&booking) else { return Vec::new() };
        let mut handles = booking.handles.clone();
        handles.sort_by_key(|handle| Some(*handle) != booking.booker);
        handles
    }
}
