//! The writer of what is compared with: the same decisions and entry bytes, batched and committed
//! as the ledger does, with the rows that are read from in the same commit.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use domain::book::Shelf;
use domain::booking::BookingCommand;
use domain::{Actor, Book, Command, Context, Event, Position, Refusal, Tag};
use eventstore::ledger::codec::{self, Header};
use eventstore::ledger::index::{self, Pending};
use eventstore::tree::Hash;
use eventstore::{Clock, sqlite};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tokio::sync::oneshot;

use crate::bench::gdpr::failed;
use crate::cli::CliError;

/// As in the ledger.
const BATCH: usize = 512;
const QUEUE: usize = 4096;

/// What was appended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub first: u64,
    pub count: u64,
    pub at: Timestamp,
}

/// What is to be written down beside the entries.
pub(super) type Rows = Box<dyn FnOnce(&Transaction<'_>, &Told) -> rusqlite::Result<()> + Send>;

pub(super) type Answer = oneshot::Receiver<Result<Told, Refusal>>;

/// Commands that are decided together, and what follows for the rows.
pub(super) struct Ask {
    pub commands: Vec<Command>,
    pub actor: Actor,
    /// Whose visits are counted.
    pub person: Option<u64>,
    /// By what a repeat is known.
    pub once: Option<Hash>,
    pub rows: Rows,
    pub reply: oneshot::Sender<Result<Told, Refusal>>,
}

impl Ask {
    pub(super) fn new(commands: Vec<Command>, rows: Rows) -> (Self, Answer) {
        let (reply, answer) = oneshot::channel();
        let (actor, person, once) = (Actor::System, None, None);
        (Self { commands, actor, person, once, rows, reply }, answer)
    }
}

/// Starts the writer on a new file.
pub(super) fn start(file: &Path, clock: Arc<dyn Clock>) -> Result<SyncSender<Ask>, CliError> {
    let conn = sqlite::open_writer(file).map_err(failed)?;
    conn.execute("INSERT INTO head VALUES (1, zeroblob(16), 1, 0, x'', 0, 0, 1, 1)", [])
        .map_err(failed)?;
    // Nobody here has to forget: what is deleted is not overwritten.
    conn.pragma_update(None, "secure_delete", "OFF").map_err(failed)?;
    conn.execute_batch(include_str!("schema.sql")).map_err(failed)?;
    let (queue, asks) = sync_channel(QUEUE);
    let writer = Writer {
        conn,
        book: Book::default(),
        visits: Shelf::default(),
        pending: Pending::default(),
        clock,
        last: Timestamp::UNIX_EPOCH,
    };
    std::thread::spawn(move || writer.run(&asks));
    Ok(queue)
}

struct Writer {
    conn: Connection,
    /// All of it: nothing has to be loaded, and no caller waits for what is not at hand.
    book: Book,
    visits: Shelf<u64, BTreeMap<i16, u32>>,
    pending: Pending,
    clock: Arc<dyn Clock>,
    last: Timestamp,
}

type Waiting = oneshot::Sender<Result<Told, Refusal>>;

/// What one batch brings.
#[derive(Default)]
struct Batch {
    entries: Vec<(Position, Vec<u8>)>,
    tags: Vec<(Tag, Position)>,
    repeats: Vec<(Hash, Told)>,
    rows: Vec<(Rows, Told)>,
    replies: Vec<(Waiting, Result<Told, Refusal>)>,
}

impl Writer {
    fn run(mut self, asks: &Receiver<Ask>) {
        while let Ok(first) = asks.recv() {
            let mut batch = Batch::default();
            let mut ask = Some(first);
            while let Some(next) = ask.take() {
                self.decide(&mut batch, next);
                if batch.replies.len() < BATCH {
                    ask = asks.try_recv().ok();
                }
            }
            if self.commit(&mut batch).is_err() {
                return;
            }
            for (reply, told) in batch.replies {
                // A caller that went away needs no answer.
                reply.send(told).ok();
            }
        }
    }

    fn decide(&mut self, batch: &mut Batch, ask: Ask) {
        if let Some(told) = ask.once.and_then(|key| self.repeated(&key)) {
            batch.replies.push((ask.reply, Ok(told)));
            return;
        }
        self.last = self.clock.now().max(self.last);
        let first = self.book.next.0;
        let alone = ask.commands.len() == 1;
        for command in &ask.commands {
            if let Err(refusal) = self.take(batch, command, &ask)
                && alone
            {
                batch.replies.push((ask.reply, Err(refusal)));
                return;
            }
        }
        let told = Told { first, count: self.book.next.0 - first, at: self.last };
        batch.repeats.extend(ask.once.map(|key| (key, told)));
        batch.rows.push((ask.rows, told));
        batch.replies.push((ask.reply, Ok(told)));
    }

    fn take(&mut self, batch: &mut Batch, command: &Command, ask: &Ask) -> Result<(), Refusal> {
        let now = self.last;
        let counts = matches!(command, Command::Booking(BookingCommand::Request(_)));
        let person = ask.person.filter(|_| counts);
        let visits = person.and_then(|person| self.visits.get(&person).cloned());
        let (visits, held) = (visits.unwrap_or_default(), [].into());
        let context = Context { now, occurred_at: now, actor: ask.actor, visits, held };
        for draft in self.book.decide(command, &context)? {
            let position = self.book.next;
            let occurred_at = draft.occurred_at.unwrap_or(now);
            let (recorded_at, actor, cause) = (now, ask.actor, [1; 16]);
            let header = Header { position, recorded_at, occurred_at, actor, cause };
            let tagged = self.book.take(draft);
            let Ok(bytes) = codec::encode(&header, &tagged, &[]) else { continue };
            if let (Event::BookingRequested(event), Some(person)) = (&tagged.draft.event, person) {
                if self.visits.get(&person).is_none() {
                    self.visits.put(person, BTreeMap::new());
                }
                if let Some(visits) = self.visits.get_mut(&person) {
                    *visits.entry(event.facets.day.year()).or_default() += 1;
                }
            }
            batch.tags.extend(tagged.tags.iter().map(|tag| (*tag, position)));
            batch.entries.push((position, bytes));
        }
        Ok(())
    }

    fn repeated(&self, key: &Hash) -> Option<Told> {
        let sql = "SELECT first, count FROM idempotency WHERE day = 0 AND key = ?1";
        let mut statement = self.conn.prepare_cached(sql).ok()?;
        let known = statement.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).optional();
        let (first, count): (i64, i64) = known.ok()??;
        let number = |stored| u64::try_from(stored).unwrap_or(0);
        Some(Told { first: number(first), count: number(count), at: self.last })
    }

    fn commit(&mut self, batch: &mut Batch) -> rusqlite::Result<()> {
        let pending = &mut self.pending;
        let (size, enough) = (self.book.next.0, index::enough(self.book.next.0));
        let tags = pending.tags.next(batch.tags.len().max(64), enough, size);
        let tx = self.conn.transaction()?;
        {
            let mut entry = tx.prepare_cached("INSERT INTO entry VALUES (?1, ?2, x'')")?;
            for (position, bytes) in &batch.entries {
                entry.execute(params![number(position.0), bytes])?;
            }
            sqlite::insert_tags(&tx, &tags.rows)?;
            let repeat = "INSERT INTO idempotency VALUES (0, ?1, ?1, ?2, ?3)";
            let mut repeat = tx.prepare_cached(repeat)?;
            for (key, told) in &batch.repeats {
                repeat.execute(params![key, number(told.first), number(told.count)])?;
            }
            for (rows, told) in batch.rows.drain(..) {
                rows(&tx, &told)?;
            }
            let head = "UPDATE head SET size = ?1 WHERE id = 1";
            tx.prepare_cached(head)?.execute([number(size)])?;
        }
        tx.commit()?;
        pending.tags.written(&tags);
        pending.tags.add(std::mem::take(&mut batch.tags));
        Ok(())
    }
}

/// A number as it is stored.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
