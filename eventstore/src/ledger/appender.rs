//! The writer: takes the commands that wait, decides each in order, commits once, answers all.
//!
//! What a decision needs is on the book's shelves; a command whose days or booking are not there
//! is handed to the loader and comes back with them, so that cold state never holds up the others.
//! Commands of one batch see what earlier ones of the same batch decided. If the commit fails,
//! nobody was told of success: all are told of the failure, and the shelves are made anew.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use domain::book::Shelf;
use domain::booking::BookingCommand;
use domain::{
    Actor, Book, BookingId, Command, Context, Handle, Position, Refusal, RetentionClass, Tag,
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::oneshot;

use super::batch::Batch;
use super::codec::{self, CodecError};
use super::index::{self, Links, Round};
use super::loader::{self, LoadJob, Loaded};
use super::log::{Log, ReadError, read_entry, read_head};
use crate::environment::Environment;
use crate::keyring::person::PersonId;
use crate::keyring::provider::{Provider, ProviderError};
use crate::keyring::sealing::Sealing;
use crate::keyring::{KeyError, Keyring};
use crate::sqlite::{int, uint};
use crate::tree::{Frontier, Hash};

/// The most commands of one commit.
const BATCH: usize = 512;
/// How many things each generation of a shelf keeps.
const SHELF: usize = 65_536;
/// How long the writer sleeps at most before it looks after leases.
const IDLE: Duration = Duration::from_secs(5);

/// A command with all that comes with it.
pub struct Append {
    pub command: Command,
    pub actor: Actor,
    /// When it happened, if not now.
    pub occurred_at: Option<Timestamp>,
    /// What was sealed for it.
    pub sealing: Option<Sealing>,
    pub idempotency: Option<Idempotency>,
}

impl Append {
    pub fn new(command: Command, actor: Actor) -> Self {
        Self { command, actor, occurred_at: None, sealing: None, idempotency: None }
    }

    #[must_use]
    pub fn sealed(self, sealing: Sealing) -> Self {
        Self { sealing: Some(sealing), ..self }
    }
}

/// By what a repeat of a request is known: hashes of the caller's key and of the whole request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idempotency {
    pub key: Hash,
    pub body: Hash,
}

/// What was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The position of the first entry; where nothing had to be appended, the next one.
    pub first: Position,
    pub count: u32,
    /// The same request was answered before; these are its entries.
    pub repeated: bool,
}

impl Appended {
    /// The position of the last entry.
    pub fn last(&self) -> Position {
        Position((self.first.0 + u64::from(self.count)).saturating_sub(1))
    }
}

/// How an erasure went so far.
#[derive(Debug)]
pub struct Erasure {
    /// Where the fence stands.
    pub fence: Position,
    /// How many seals it ended.
    pub ended: u64,
    /// Tells when links and seals are gone too.
    pub cleared: oneshot::Receiver<Result<(), AppendError>>,
}

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the idempotency key was used for another request")]
    KeyReused,
    #[error("the person has {0} open bookings, which must be over or cancelled first")]
    OpenBookings(u32),
    #[error("seals and entries do not fit each other")]
    SealsDiffer,
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the commit failed; nothing was appended")]
    Commit(#[source] Arc<rusqlite::Error>),
    #[error("too many commands are waiting")]
    Busy,
    #[error("the ledger is being closed")]
    Stopped,
}

impl From<rusqlite::Error> for AppendError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Commit(Arc::new(error))
    }
}

impl From<ProviderError> for AppendError {
    fn from(error: ProviderError) -> Self {
        Self::Key(KeyError::Provider(error))
    }
}

pub(crate) type Reply<T> = oneshot::Sender<Result<T, AppendError>>;
type Change = Box<dyn FnOnce(&Connection) -> rusqlite::Result<()> + Send>;

/// What the writer can be asked to do.
pub(crate) enum Job {
    Append(Box<Append>, Reply<Appended>),
    Loaded(Box<Append>, Reply<Appended>, Result<Loaded, ReadError>),
    Erase(PersonId, Reply<Erasure>),
    Clear(super::erasure::Clearing),
    Refence(domain::FenceId, Reply<()>),
    Mark(Reply<()>),
    Period(RetentionClass, i16, Reply<()>),
    Change(Change, Reply<()>),
    Stop,
}

pub(crate) struct Writer {
    pub(super) conn: Connection,
    pub(super) log: Arc<Log>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) provider: Arc<dyn Provider>,
    pub(super) env: Environment,
    pub(super) book: Book,
    pub(super) visits: Shelf<PersonId, BTreeMap<i16, u32>>,
    pub(super) frontier: Frontier,
    pub(super) recorded_at: i64,
    pub(super) origin: u32,
    pub(super) tag_round: Round<(Tag, Position)>,
    pub(super) person_round: Round<index::PersonRow>,
    pub(super) repeats: BTreeMap<i64, crate::keyring::key::Key>,
    loader: std::sync::mpsc::Sender<LoadJob>,
    itself: SyncSender<Job>,
}

impl Writer {
    pub(crate) fn new(
        conn: Connection,
        log: &Arc<Log>,
        keyring: &Arc<Keyring>,
        provider: Arc<dyn Provider>,
        env: &Environment,
        itself: SyncSender<Job>,
    ) -> Result<Self, ReadError> {
        let head = read_head(&conn)?;
        let size = head.frontier.size();
        let loader = loader::start(Arc::clone(log), Arc::clone(keyring), itself.clone());
        let mut writer = Self {
            conn,
            log: Arc::clone(log),
            keyring: Arc::clone(keyring),
            provider,
            env: env.clone(),
            book: Book::partial(SHELF),
            visits: Shelf::partial(SHELF),
            frontier: head.frontier,
            recorded_at: head.recorded_at,
            origin: head.origin,
            tag_round: Round::new(head.indexed, size),
            person_round: Round::new(head.indexed, size),
            repeats: BTreeMap::new(),
            loader,
            itself,
        };
        writer.book = loader::standing_book(&writer.conn, log, size, SHELF)?;
        Ok(writer)
    }

    /// Works until it is told to stop or nobody is left to ask.
    pub(crate) fn run(mut self, queue: &Receiver<Job>) {
        self.resume_erasures();
        loop {
            let first = match queue.recv_timeout(IDLE) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => {
                    self.keyring.sweep();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let mut jobs = vec![first];
            while jobs.len() < BATCH
                && let Ok(job) = queue.try_recv()
            {
                jobs.push(job);
            }
            if self.work(jobs) {
                break;
            }
        }
        self.close();
    }

    /// Does what was asked; says whether to stop.
    fn work(&mut self, jobs: Vec<Job>) -> bool {
        // What was loaded is put on the shelves before the batch decides anything: it was read
        // from committed entries, which then are all there are.
        let jobs: Vec<Job> = jobs.into_iter().map(|job| self.shelve(job)).collect();
        let mut batch = Batch::default();
        for job in jobs {
            match job {
                Job::Append(append, reply) => self.take(&mut batch, append, reply),
                Job::Loaded(_, reply, loaded) => {
                    let error = loaded.err().map_or(AppendError::Stopped, AppendError::from);
                    drop(reply.send(Err(error)));
                }
                Job::Erase(person, reply) => {
                    self.commit(std::mem::take(&mut batch));
                    let erased = self.erase(person);
                    drop(reply.send(erased));
                }
                Job::Clear(clearing) => {
                    self.commit(std::mem::take(&mut batch));
                    self.clear(clearing);
                }
                Job::Refence(fence, reply) => {
                    self.commit(std::mem::take(&mut batch));
                    let set = self.refence(fence);
                    drop(reply.send(set));
                }
                Job::Mark(reply) => {
                    self.commit(std::mem::take(&mut batch));
                    let marked = self.mark(None);
                    drop(reply.send(marked));
                }
                Job::Period(class, year, reply) => {
                    let made = self.make_period(class, year);
                    drop(reply.send(made));
                }
                Job::Change(change, reply) => {
                    self.commit(std::mem::take(&mut batch));
                    let done = self.change(change);
                    drop(reply.send(done));
                }
                Job::Stop => {
                    self.commit(std::mem::take(&mut batch));
                    return true;
                }
            }
        }
        self.commit(batch);
        false
    }

    fn shelve(&mut self, job: Job) -> Job {
        match job {
            Job::Loaded(append, reply, Ok(loaded)) => match self.install(loaded) {
                Ok(()) => Job::Append(append, reply),
                Err(error) => Job::Loaded(append, reply, Err(error)),
            },
            Job::Loaded(..)
            | Job::Append(..)
            | Job::Erase(..)
            | Job::Clear(_)
            | Job::Refence(..)
            | Job::Mark(_)
            | Job::Period(..)
            | Job::Change(..)
            | Job::Stop => job,
        }
    }

    /// Puts loaded state on the shelves, with what was committed since it was read.
    fn install(&mut self, loaded: Loaded) -> Result<(), ReadError> {
        for (key, mut entries) in loaded.states {
            if self.book.knows(key) {
                continue;
            }
            for position in self.positions_since(key.tag(), loaded.size)? {
                if let Some(entry) = read_entry(&self.conn, position)? {
                    let event = codec::decode_event(&entry.bytes)
                        .map_err(|error| ReadError::Entry(position, error))?;
                    entries.push((position, event));
                }
            }
            self.book.load(key, entries.iter().map(|(position, event)| (*position, event)));
        }
        if let Some((person, _)) = loaded.person
            && !self.visits.knows(&person)
        {
            // The rows are few and now in the cache: reading them again is the simple way to
            // have those that came since.
            let rows = loader::all_rows(&self.conn, &self.log, person)?;
            self.visits.put(person, loader::visits(&rows));
        }
        Ok(())
    }

    fn positions_since(&self, tag: Tag, size: u64) -> Result<Vec<Position>, ReadError> {
        let mut positions: Vec<Position> = {
            let mut select = self
                .conn
                .prepare_cached("SELECT position FROM tag WHERE tag = ?1 AND position >= ?2")?;
            let rows =
                select.query_map((int(tag.0), int(size)), |row| Ok(Position(uint(row.get(0)?))))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        let pending = self.log.pending();
        positions.extend(pending.positions(tag).filter(|position| position.0 >= size));
        positions.sort_unstable();
        positions.dedup();
        Ok(positions)
    }

    /// Decides one command into the batch, or sends it for what it lacks.
    fn take(&mut self, batch: &mut Batch, mut append: Box<Append>, reply: Reply<Appended>) {
        let keys = self.book.missing(&append.command);
        let booker = booker(&append).filter(|person| !self.visits.touch(person));
        let booker = booker.filter(|person| !batch.is_new(*person) && !is_new(&append, *person));
        if !keys.is_empty() || booker.is_some() {
            if let Err(refused) = self.loader.send(LoadJob { keys, booker, append, reply }) {
                drop(refused.0.reply.send(Err(AppendError::Stopped)));
            }
            return;
        }
        match self.decide(batch, &mut append) {
            Ok(Decided::Now(appended)) => batch.answer(reply, appended),
            Ok(Decided::Before(appended)) => batch.answer(reply, appended),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn decide(&mut self, batch: &mut Batch, append: &mut Append) -> Result<Decided, AppendError> {
        let now = self.tick();
        let repeat = match append.idempotency {
            Some(idempotency) => match self.repeated(batch, idempotency, now)? {
                Seen::Before(appended) => return Ok(Decided::Before(appended)),
                Seen::Never(repeat) => Some(repeat),
            },
            None => None,
        };
        let visits = booker(append).and_then(|person| self.visits.get(&person).cloned());
        let context = Context {
            now,
            occurred_at: append.occurred_at.unwrap_or(now),
            actor: append.actor,
            visits: visits.unwrap_or_default(),
        };
        let drafts = self.book.decide(&append.command, &context)?;
        batch.fits(&drafts, append.sealing.as_ref())?;
        let first = self.book.next;
        let count = u32::try_from(drafts.len()).unwrap_or(u32::MAX);
        let cause = self.env.random();
        if let Some(sealing) = append.sealing.take() {
            batch.bring(sealing);
        }
        for draft in drafts {
            let header = codec::Header {
                position: self.book.next,
                recorded_at: now,
                occurred_at: draft.occurred_at.unwrap_or(context.occurred_at),
                actor: actor_of(append.actor, &draft.event),
                cause,
            };
            self.write(batch, &header, draft)?;
        }
        let appended = Appended { first, count, repeated: false };
        if let Some(repeat) = repeat {
            batch.remember(repeat, &appended);
        }
        Ok(Decided::Now(appended))
    }

    /// Takes an entry into book, tree and batch.
    pub(super) fn write(
        &mut self,
        batch: &mut Batch,
        header: &codec::Header,
        draft: domain::Draft,
    ) -> Result<(), AppendError> {
        let tagged = self.book.take(draft);
        let seals = batch.seals_of(&tagged.draft.event)?;
        let hashes: Vec<Hash> = seals.iter().map(|seal| crate::tree::hash(&[seal])).collect();
        let encoded = codec::encode(header, &tagged, &hashes);
        let bytes = match encoded {
            Ok(bytes) => bytes,
            Err(error) => {
                // The book has taken it already; nothing of this batch may stand.
                batch.spoil();
                return Err(error.into());
            }
        };
        let leaf = crate::tree::leaf_hash(&bytes);
        self.frontier.push(leaf);
        let rows = {
            let links = WriterLinks { batch, writer: self };
            index::rows_of(header.position, &tagged.draft.event, &links)
        };
        for row in &rows {
            if let Some(visits) = self.visits.get_mut(&row.person) {
                loader::count_visit(visits, row);
            } else if batch.is_new(row.person) {
                self.visits.put(row.person, loader::visits(std::slice::from_ref(row)));
            }
        }
        let told = self.told(batch, &tagged.draft.event)?;
        batch.entry(header.position, bytes, leaf, seals, tagged, rows, told);
        Ok(())
    }

    /// The entries that tell of the booking whose content an event erases.
    fn told(&self, batch: &Batch, event: &domain::Event) -> Result<Vec<Position>, ReadError> {
        let domain::Event::BookingContentErased(event) = event else { return Ok(Vec::new()) };
        let tag = Tag::booking(event.booking);
        let mut positions = self.log.positions(tag)?;
        positions.push(Position(event.booking.0));
        positions.extend(batch.positions(tag));
        Ok(positions)
    }

    /// The ledger's clock: never before the last entry, whatever the machine's says.
    pub(super) fn tick(&mut self) -> Timestamp {
        let now = self.env.clock.now().as_microsecond().max(self.recorded_at);
        self.recorded_at = now;
        Timestamp::from_microsecond(now).unwrap_or(Timestamp::MAX)
    }

    fn change(&mut self, change: Change) -> Result<(), AppendError> {
        let tx = self.conn.transaction()?;
        change(&tx)?;
        tx.commit()?;
        Ok(())
    }

    fn make_period(&mut self, class: RetentionClass, year: i16) -> Result<(), AppendError> {
        let key = crate::keyring::key::Key::random(&self.env);
        let wrapped = self.keyring.tenant_key()?.key.wrap(&key);
        // Whoever was first has made it for all.
        self.conn.execute(
            "INSERT OR IGNORE INTO period_key VALUES (?1, ?2, ?3)",
            (class.code(), year, wrapped),
        )?;
        Ok(())
    }

    /// Makes everything in memory anew from what is committed.
    pub(super) fn reset(&mut self) {
        let anew = read_head(&self.conn).and_then(|head| {
            let size = head.frontier.size();
            let pending = index::rebuild(&self.conn, head.indexed)?;
            self.book = loader::standing_book(&self.conn, &self.log, size, SHELF)?;
            *self.log.pending() = pending;
            self.visits = Shelf::partial(SHELF);
            self.tag_round = Round::new(head.indexed, size);
            self.person_round = Round::new(head.indexed, size);
            self.frontier = head.frontier;
            self.recorded_at = head.recorded_at;
            self.repeats.clear();
            Ok(())
        });
        if let Err(error) = anew {
            tracing::error!(%error, "the ledger cannot be read after a failed commit");
        }
    }

    /// Writes what is pending and closes the file whole, so that the next start is short.
    fn close(&mut self) {
        if let Err(error) = self.write_pending() {
            tracing::warn!(%error, "index rows stay for the next start");
        }
        self.log.close_readers();
        if let Err(error) = self.checkpoint() {
            tracing::warn!(%error, "the write-ahead log stays for the next start");
        }
    }

    pub(super) fn requeue(&self, job: Job) {
        // A full queue: the work is found again at the next start.
        if self.itself.try_send(job).is_err() {
            tracing::warn!("an erasure's clearing is left to the next start");
        }
    }

    /// Whose handle, where it is committed.
    pub(super) fn stored_person(&self, handle: Handle) -> rusqlite::Result<Option<PersonId>> {
        let mut select = self.conn.prepare_cached(
            "SELECT person FROM data_key WHERE handle = ?1 AND person IS NOT NULL LIMIT 1",
        )?;
        let person = select.query_row([int(handle.0)], |row| row.get(0)).optional()?;
        Ok(person.map(|person| PersonId(uint(person))))
    }
}

enum Decided {
    Now(Appended),
    Before(Appended),
}

pub(super) enum Seen {
    Before(Appended),
    Never(super::batch::Repeat),
}

/// The person whose visits a request counts.
fn booker(append: &Append) -> Option<PersonId> {
    let Command::Booking(BookingCommand::Request(request)) = &append.command else { return None };
    let part = request.parts.iter().find(|part| part.role == domain::booking::Role::Booker)?;
    append.sealing.as_ref()?.links.get(&part.handle).copied()
}

fn is_new(append: &Append, person: PersonId) -> bool {
    append
        .sealing
        .as_ref()
        .is_some_and(|sealing| sealing.persons.iter().any(|new| new.id == person))
}

/// A client acts as their part of what is appended, which only the event knows where it is new.
fn actor_of(actor: Actor, event: &domain::Event) -> Actor {
    match actor {
        Actor::Client(handle) => {
            let own = event.seals().iter().any(|seal| seal.handle == handle);
            let first = event.seals().first().map(|seal| seal.handle);
            Actor::Client(if own { handle } else { first.unwrap_or(handle) })
        }
        Actor::Staff(_) | Actor::Support(_) | Actor::Key(_) | Actor::System => actor,
    }
}

/// Links as the writer knows them: of this batch, and committed ones.
struct WriterLinks<'a> {
    batch: &'a Batch,
    writer: &'a Writer,
}

impl Links for WriterLinks<'_> {
    fn person(&self, handle: Handle) -> Option<PersonId> {
        self.batch.person(handle).or_else(|| self.writer.stored_person(handle).ok().flatten())
    }

    fn live(&self, _: Handle, seals: u32) -> u32 {
        seals
    }

    fn parts(&self, booking: BookingId) -> Vec<Handle> {
        let Some(booking) = self.writer.book.bookings.get(&booking) else { return Vec::new() };
        let mut handles = booking.handles.clone();
        handles.sort_by_key(|handle| Some(*handle) != booking.booker);
        handles
    }
}
