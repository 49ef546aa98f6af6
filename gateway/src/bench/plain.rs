//! The price of privacy: the same entries and tags with plaintext in place of seals, no key rows
//! and no leaf hashes, through a writer of the same build.
//!
//! This writer exists only to be compared with. It is asked and answers in the ledger's words, by the
//! same clock, gathers as the ledger does and decides with the same book, writes the same entry bytes,
//! makes the same index rows by the same function and moves them alike, and commits as durably. What it
//! lacks is what privacy asks for, and it is the only thing that it lacks on purpose.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::book::Shelf;
use domain::booking::{BookingCommand, NewPart, Request, Role, Wanted};
use domain::facet::Channel;
use domain::sealed::{FieldSet, Sealed};
use domain::slot::Slot;
use domain::{
    Actor, Book, BookingId, Command, Context, Event, FenceId, Field, Handle, Position, ResourceId,
    RetentionClass, ServiceId, Tag,
};
use eventstore::PersonId;
use eventstore::environment::Environment;
use eventstore::ledger::appender::{Append, AppendError, Appended};
use eventstore::ledger::codec::{self, Header};
use eventstore::ledger::gather::Gather;
use eventstore::ledger::index::{self, Links, Pending, PersonRow};
use eventstore::sqlite::{self, Checkpointed};
use jiff::{Span, Timestamp};
use rusqlite::params;
use tokio::sync::oneshot;

use super::rig::{DAYS, PERSONS, RESOURCES, Rig, Wish};
use super::{Extent, Figure};
use crate::cli::CliError;
use crate::cli::console::Console;
use crate::dice::Dice;

/// As in the ledger.
const SHELF: usize = 65_536;
const IDLE: Duration = Duration::from_secs(5);

pub(super) fn measure(
    rig: &mut Rig,
    extent: Extent,
    console: &mut Console,
) -> Result<Vec<Figure>, CliError> {
    rig.fill(extent.stored, &|done, total| console.progress(done, total))?;
    let file = rig.folder.path().join("plain.sqlite");
    let plain = Plain::start(rig, &file)?;
    // As full as the other: earlier measurements have added to it.
    plain.fill(rig.stored, console)?;
    plain.rate(rig, 64, extent.run)?;
    rig.rate(64, extent.run, Wish::Anywhere)?;
    let (mut sealed, mut clear) = (vec![], vec![]);
    for _ in 0..extent.runs {
        let [in_the_clear, with_seals] = extent.in_turns(|which, run| {
            rig.settle(&[&file])?;
            match which {
                0 => plain.rate(rig, 64, run),
                _ => rig.rate(64, run, Wish::Anywhere),
            }
        })?;
        clear.push(in_the_clear);
        sealed.push(with_seals);
    }
    let wanted = "at least 0.82";
    Ok(vec![Figure::new("privacy_64", "bookings/s", &sealed, "in the clear", &clear, wanted)])
}

fn failed(error: impl std::fmt::Display) -> CliError {
    CliError::Bench("privacy", error.to_string())
}

/// A booking in the clear.
struct Ask {
    append: Box<Append>,
    person: PersonId,
    text: Vec<u8>,
    reply: Reply,
}

type Reply = oneshot::Sender<Result<Appended, AppendError>>;

/// The comparison's writer and what its callers need.
struct Plain {
    queue: SyncSender<Box<Ask>>,
    handles: Arc<AtomicU64>,
    service: ServiceId,
    resources: Vec<ResourceId>,
    first_day: Timestamp,
    rounds: AtomicU64,
}

impl Plain {
    /// A file with the rig's catalogue, and a writer on it.
    fn start(rig: &Rig, file: &Path) -> Result<Arc<Self>, CliError> {
        let (queue, asks) = sync_channel(4096);
        let mut book = Book::partial(SHELF);
        let catalogue = rig.bench.tenant.log().entries(Position(0), 200).map_err(failed)?;
        for entry in catalogue {
            let event = entry.decode().map_err(failed)?.recorded.event;
            if matches!(event, Event::PersonRegistered(_) | Event::BookingRequested(_)) {
                break;
            }
            let tags = book.tags(&event);
            book.apply_next(&event, &tags);
        }
        // The file holds only what comes now.
        book.next = Position(0);
        let writer = PlainWriter::open(file, book, rig.app.env.clone()).map_err(failed)?;
        std::thread::spawn(move || writer.run(Gather::from(asks)));
        Ok(Arc::new(Self {
            queue,
            handles: Arc::new(AtomicU64::new(1)),
            service: rig.bench.service,
            resources: rig.bench.resources.clone(),
            first_day: rig.bench.first_day,
            rounds: AtomicU64::new(0),
        }))
    }

    fn ask(
        &self,
        dice: &mut Dice,
    ) -> Result<oneshot::Receiver<Result<Appended, AppendError>>, CliError> {
        let handle = Handle(self.handles.fetch_add(1, Ordering::Relaxed));
        let (resource, day) = (dice.roll(RESOURCES), dice.roll(DAYS));
        let minutes = i64::try_from(day * 1440 + dice.roll(144) * 10).unwrap_or(0);
        let start = self.first_day.checked_add(Span::new().minutes(minutes)).map_err(failed)?;
        let end = start.checked_add(Span::new().minutes(10)).map_err(failed)?;
        let resource = usize::try_from(resource).ok().and_then(|at| self.resources.get(at));
        let resource = *resource.ok_or_else(|| failed("the rig is not furnished"))?;
        let part = NewPart {
            handle,
            role: Role::Booker,
            details: Sealed::new(handle, 0),
            health: None,
            accounting: None,
            fence: FenceId([0; 16]),
            given: FieldSet::default().with(Field::Name).with(Field::Note),
            registers: None,
        };
        let request = Request {
            service: self.service,
            wanted: vec![Wanted { resource, units: 1 }],
            slot: Slot::new(start, end).map_err(failed)?,
            parts: vec![part],
            party: 1,
            channel: Channel::Online,
            policy: None,
            price: None,
            past: None,
        };
        let note =
            BTreeMap::from([("note", "would like the place by the window, and comes by bus")]);
        let text = serde_json::to_vec(&note).map_err(failed)?;
        let command = Command::Booking(BookingCommand::Request(Box::new(request)));
        let (reply, answer) = oneshot::channel();
        let person = PersonId(dice.roll(PERSONS));
        let append = Box::new(Append::new(command, Actor::System));
        self.queue.send(Box::new(Ask { append, person, text, reply })).map_err(failed)?;
        Ok(answer)
    }

    fn fill(&self, stored: u64, console: &Console) -> Result<(), CliError> {
        let mut dice = Dice::new(7);
        let mut waiting = std::collections::VecDeque::new();
        let mut done = 0;
        while done < stored {
            waiting.push_back(self.ask(&mut dice)?);
            if waiting.len() >= 400
                && let Some(answer) = waiting.pop_front()
            {
                done += u64::from(matches!(answer.blocking_recv(), Ok(Ok(_))));
                if done.is_multiple_of(4096) {
                    console.progress(done, stored);
                }
            }
        }
        waiting.into_iter().for_each(|answer| drop(answer.blocking_recv()));
        console.progress(1, 1);
        Ok(())
    }

    fn rate(self: &Arc<Self>, rig: &Rig, callers: u64, run: Duration) -> Result<f64, CliError> {
        let done = Arc::new(AtomicU64::new(0));
        let start = Instant::now();
        let until = start + run;
        let round = self.rounds.fetch_add(1, Ordering::Relaxed);
        let tasks: Vec<_> = (0..callers)
            .map(|caller| {
                let (plain, done) = (Arc::clone(self), Arc::clone(&done));
                rig.runtime.spawn(async move {
                    let mut dice = Dice::new(1_000_000 + round * 1000 + caller);
                    while Instant::now() < until {
                        match plain.ask(&mut dice)?.await.map_err(failed)? {
                            Ok(_) => drop(done.fetch_add(1, Ordering::Relaxed)),
                            Err(AppendError::Refused(_)) => (),
                            Err(error) => return Err(failed(error)),
                        }
                    }
                    Ok::<_, CliError>(())
                })
            })
            .collect();
        for task in tasks {
            rig.runtime.block_on(task).map_err(failed)??;
        }
        Ok(done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64())
    }
}

struct PlainWriter {
    conn: Checkpointed,
    book: Book,
    visits: Shelf<PersonId, BTreeMap<i16, u32>>,
    pending: Mutex<Pending>,
    env: Environment,
    causes: u64,
}

/// What one batch brings.
#[derive(Default)]
struct Rows {
    entries: Vec<(Position, Vec<u8>, Vec<u8>)>,
    tags: Vec<(Tag, Position)>,
    persons: Vec<PersonRow>,
    replies: Vec<(Reply, Appended)>,
    links: Vec<(Handle, PersonId)>,
}

impl Links for Rows {
    fn person(&self, handle: Handle) -> Option<PersonId> {
        self.links.iter().rev().find(|(linked, _)| *linked == handle).map(|(_, person)| *person)
    }

    fn is_live(&self, _: Handle, _: RetentionClass) -> bool {
        true
    }

    /// Only bookings are made.
    fn parts(&self, _: BookingId) -> Vec<Handle> {
        Vec::new()
    }
}

impl PlainWriter {
    fn open(file: &Path, book: Book, env: Environment) -> Result<Self, CliError> {
        let conn = Checkpointed::open(file).map_err(failed)?;
        conn.execute("INSERT INTO head VALUES (1, zeroblob(16), 1, 0, x'', 0, 0, 1, 1)", [])
            .map_err(failed)?;
        let visits = Shelf::partial(SHELF);
        Ok(Self { conn, book, visits, pending: Mutex::default(), env, causes: 0 })
    }

    fn run(mut self, mut queue: Gather<Box<Ask>>) {
        loop {
            let mut asks = match queue.begin(IDLE) {
                Ok(asks) => asks,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut rows = Rows::default();
            while !asks.is_empty() {
                asks.into_iter().for_each(|ask| self.decide(&mut rows, *ask));
                asks = queue.more();
            }
            if self.commit(&mut rows).is_err() {
                return;
            }
            queue.look();
            for (reply, appended) in rows.replies {
                // A caller that went away needs no answer.
                reply.send(Ok(appended)).ok();
            }
        }
    }

    fn decide(&mut self, rows: &mut Rows, ask: Ask) {
        let now = self.env.clock.now();
        for key in self.book.missing(&ask.append.command) {
            // What is not on the shelf has not been: all days fit on it.
            self.book.load(key, std::iter::empty());
        }
        if !self.visits.touch(&ask.person) {
            self.visits.put(ask.person, BTreeMap::new());
        }
        let visits = self.visits.get(&ask.person).cloned().unwrap_or_default();
        let context =
            Context { now, occurred_at: now, actor: Actor::System, visits, held: [].into() };
        let drafts = match self.book.decide(&ask.append.command, &context) {
            Ok(drafts) => drafts,
            Err(refusal) => {
                ask.reply.send(Err(refusal.into())).ok();
                return;
            }
        };
        self.causes += 1;
        let first = self.book.next;
        let count = u32::try_from(drafts.len()).unwrap_or(u32::MAX);
        for draft in drafts {
            let position = self.book.next;
            let header = Header {
                position,
                recorded_at: now,
                occurred_at: now,
                actor: Actor::System,
                cause: u128::from(self.causes).to_be_bytes(),
            };
            let tagged = self.book.take(draft);
            let Ok(bytes) = codec::encode(&header, &tagged, &[]) else { continue };
            let Event::BookingRequested(event) = &tagged.draft.event else { continue };
            rows.links.extend(event.booker().map(|handle| (handle, ask.person)));
            for row in index::rows_of(position, &tagged.draft.event, rows) {
                if let Some(visits) = self.visits.get_mut(&row.person) {
                    *visits.entry(row.year).or_default() += 1;
                }
                rows.persons.push(row);
            }
            rows.tags.extend(tagged.tags.iter().map(|tag| (*tag, position)));
            rows.entries.push((position, bytes, ask.text.clone()));
        }
        rows.replies.push((ask.reply, Appended { first, count, repeated: false }));
    }

    fn commit(&mut self, rows: &mut Rows) -> rusqlite::Result<()> {
        let (size, enough) = (self.book.next.0, index::enough(self.book.next.0));
        let (tags, persons) = {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            let tags = pending.tags.next(rows.tags.len().max(64), enough, size);
            (tags, pending.persons.next(rows.persons.len().max(64), enough, size))
        };
        let size = i64::try_from(self.book.next.0).unwrap_or(i64::MAX);
        let tx = self.conn.transaction()?;
        {
            let mut entry = tx.prepare_cached("INSERT INTO entry VALUES (?1, ?2, x'')")?;
            let mut text = tx.prepare_cached("INSERT INTO seal VALUES (?1 * 65536, ?2)")?;
            for (position, bytes, plain) in &rows.entries {
                let position = i64::try_from(position.0).unwrap_or(i64::MAX);
                entry.execute(params![position, bytes])?;
                text.execute(params![position, plain])?;
            }
            sqlite::insert_tags(&tx, &tags.rows)?;
            sqlite::insert_persons(&tx, &persons.rows)?;
            tx.prepare_cached("UPDATE head SET size = ?1 WHERE id = 1")?.execute([size])?;
        }
        tx.commit()?;
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.tags.written(&tags);
        pending.persons.written(&persons);
        pending.tags.add(std::mem::take(&mut rows.tags));
        pending.persons.add(std::mem::take(&mut rows.persons));
        Ok(())
    }
}
