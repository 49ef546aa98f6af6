//! The writer: takes the commands that wait, decides each in order, commits once, answers all.
//!
//! What a decision needs is on the book's shelves; a command whose days or booking are not there
//! is handed to the loader and comes back with them, so that cold state never holds up the others.
//! Commands of one batch see what earlier ones of the same batch decided. If the commit fails,
//! nobody was told of success: all are told of the failure, and the shelves are made anew.

mod decide;
mod nodes;
mod recent;
mod standing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{RecvTimeoutError, SyncSender};
use std::time::Duration;

use domain::book::Shelf;
use domain::{Book, Key, Position, RetentionClass};
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::appender::{Append, AppendError, Appended, Erasure};
use super::batch::{Batch, Looked};
use super::codec;
use super::erasure::Clearing;
use super::gather::Gather;
use super::index;
use super::loader::{self, Loaded, Loader, Visits};
use super::log::{Log, ReadError, Stretch};
use crate::engine::{self, Change, Paper};
use crate::environment::Environment;
use crate::keyring::Keyring;
use crate::keyring::person::PersonId;
use crate::keyring::provider::Provider;
use crate::tree::Frontier;
pub(super) use recent::Recent;

/// How many things each generation of a shelf keeps.
const SHELF: usize = 65_536;
/// How long the writer sleeps at most before it looks after leases.
const IDLE: Duration = Duration::from_secs(5);

pub(crate) type Reply<T> = oneshot::Sender<Result<T, AppendError>>;

/// What the writer can be asked to do.
pub(crate) enum Job {
    Append(Box<Append>, Reply<Appended>),
    Loaded(Box<Append>, Reply<Appended>, Result<Loaded, ReadError>),
    Erase(PersonId, Reply<Erasure>),
    OpenBookings(PersonId, Reply<Vec<domain::BookingId>>),
    Refence(domain::FenceId, u64, Reply<()>),
    Mark(Reply<()>),
    Period(RetentionClass, i16, Reply<()>),
    Change(Change, Reply<u64>),
    Stop,
}

impl Job {
    fn append(&self) -> Option<&Append> {
        if let Self::Append(append, _) = self { Some(append) } else { None }
    }
}

/// Mints what tells the appends apart: random for this writer's life, then counted. A caller never
/// chooses it.
pub(super) struct Causes {
    life: [u8; 8],
    minted: u64,
}

impl Causes {
    fn new(env: &Environment) -> Self {
        Self { life: env.random(), minted: 0 }
    }

    pub(super) fn mint(&mut self) -> [u8; 16] {
        self.minted += 1;
        let mut cause = [0; 16];
        let (life, number) = cause.split_at_mut(8);
        life.copy_from_slice(&self.life);
        number.copy_from_slice(&self.minted.to_be_bytes());
        cause
    }
}

pub(crate) struct Writer {
    pub(super) engine: Box<dyn engine::Writer>,
    /// Whether other nodes write the same ledger.
    pub(super) shared: bool,
    /// How many committed entries everything here rests on.
    pub(super) base: u64,
    /// Whether it has committed anything.
    pub(super) has_written: bool,
    /// Nothing here can be relied on before it is made anew.
    pub(super) stale: bool,
    pub(super) log: Arc<Log>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) provider: Arc<dyn Provider>,
    pub(super) env: Environment,
    pub(super) book: Book,
    pub(super) visits: Shelf<PersonId, Visits>,
    pub(super) clearings: Vec<Clearing>,
    /// Whether there may be erasures that were cut off and that nobody here goes on with.
    pub(super) unresumed: bool,
    pub(super) resting: Arc<AtomicBool>,
    pub(super) frontier: Frontier,
    pub(super) recorded_at: i64,
    pub(super) origin: u32,
    /// The keys of days' repeats; of a day that has none, that it has none.
    pub(super) repeats: BTreeMap<i64, Option<crate::keyring::key::Key>>,
    pub(super) looked: Looked,
    pub(super) causes: Causes,
    pub(super) recent: Recent,
    /// Goes before the loader, which may wait for room in it.
    pub(super) queue: Gather<Job>,
    loader: Loader,
}

impl Writer {
    pub(crate) fn new(
        engine: Box<dyn engine::Writer>,
        log: &Arc<Log>,
        keyring: &Arc<Keyring>,
        provider: Arc<dyn Provider>,
        env: &Environment,
        queue: Gather<Job>,
        itself: SyncSender<Job>,
    ) -> Result<Self, ReadError> {
        let head = log.head()?;
        let size = head.frontier.size();
        if size > log.size() {
            // Another node has gone on since the log was opened: what is decided on this head has to know of it.
            log.take_in(head.indexed, size, |_| ())?;
            keyring.evict_all();
            log.grown(size);
        }
        let loader = loader::start(Arc::clone(log), Arc::clone(keyring), itself);
        let mut writer = Self {
            shared: log.reader().is_shared(),
            engine,
            base: size,
            has_written: false,
            stale: false,
            log: Arc::clone(log),
            keyring: Arc::clone(keyring),
            provider,
            env: env.clone(),
            book: Book::partial(SHELF),
            visits: Shelf::partial(SHELF),
            clearings: Vec::new(),
            unresumed: true,
            // Until it is known whether an erasure was cut off.
            resting: Arc::default(),
            frontier: head.frontier,
            recorded_at: head.recorded_at,
            origin: head.origin,
            repeats: BTreeMap::new(),
            looked: Looked::new(),
            causes: Causes::new(env),
            recent: Recent::from(size),
            queue,
            loader,
        };
        writer.book = loader::standing_book(log, size, SHELF)?;
        Ok(writer)
    }

    /// Tells others whether there is clearing left to do.
    pub(super) fn resting(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.resting)
    }

    /// Works until it is told to stop or nobody is left to ask.
    pub(crate) fn run(mut self) {
        let mut swept_at = Duration::ZERO;
        loop {
            if self.unresumed {
                self.resume_erasures();
            }
            self.log.keep_pace();
            let jobs = match self.queue.begin(self.clearing_due().unwrap_or(IDLE)) {
                Ok(jobs) => jobs,
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            // However busy it is: keys are not kept in memory for longer than they are lent.
            let now = self.env.clock.since_boot();
            if jobs.is_empty() || now.saturating_sub(swept_at) >= IDLE {
                self.keyring.sweep();
                swept_at = now;
            }
            if let Err(error) = self.keep_up(!jobs.is_empty()) {
                if nodes::refuse(jobs, error) {
                    break;
                }
                continue;
            }
            if self.work(jobs) {
                break;
            }
            self.clear();
        }
        self.close();
    }

    /// Does what was asked, and with it what is asked meanwhile; says whether to stop.
    fn work(&mut self, mut jobs: Vec<Job>) -> bool {
        let mut batch = Batch::default();
        while !jobs.is_empty() {
            if self.decide_all(&mut batch, jobs) {
                return true;
            }
            jobs = self.queue.more();
        }
        self.commit(batch);
        false
    }

    /// Decides what was asked into the batch; says whether to stop.
    fn decide_all(&mut self, batch: &mut Batch, jobs: Vec<Job>) -> bool {
        let jobs: Vec<Job> = jobs.into_iter().map(|job| self.shelve(batch, job)).collect();
        let appends = jobs.iter().filter_map(Job::append);
        if let Err(error) = self.look_up(appends) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "requests are looked up one by one"
            );
        }
        // These are of different callers, who wait for each other nowhere: together they cost one commit.
        let (mut papers, mut erasures, mut stop) = (Vec::new(), Vec::new(), false);
        for job in jobs {
            match job {
                Job::Append(append, reply) => self.take(batch, append, reply),
                Job::Change(Change::Paper(paper), reply) => papers.push((paper, reply)),
                Job::Loaded(_, reply, loaded) => {
                    let error = loaded.err().map_or(AppendError::Stopped, AppendError::from);
                    drop(reply.send(Err(error)));
                }
                Job::Erase(person, reply) => erasures.push((person, reply)),
                Job::OpenBookings(person, reply) => {
                    self.commit(std::mem::take(batch));
                    let open = self.open_bookings(person);
                    drop(reply.send(open));
                }
                Job::Refence(fence, ended, reply) => {
                    self.commit(std::mem::take(batch));
                    let set = self.alone(|writer| writer.refence(fence, ended));
                    drop(reply.send(set));
                }
                Job::Mark(reply) => {
                    self.commit(std::mem::take(batch));
                    let marked = self.alone(|writer| writer.mark(&[]));
                    drop(reply.send(marked));
                }
                Job::Period(class, year, reply) => {
                    let made = self.make_period(class, year);
                    drop(reply.send(made));
                }
                Job::Change(change, reply) => {
                    self.commit(std::mem::take(batch));
                    let done = self.engine.change(&change).map_err(AppendError::from);
                    drop(reply.send(done));
                }
                Job::Stop => {
                    stop = true;
                    break;
                }
            }
        }
        if stop || !papers.is_empty() || !erasures.is_empty() {
            self.commit(std::mem::take(batch));
        }
        if !papers.is_empty() {
            self.make_all(papers);
        }
        if !erasures.is_empty() {
            self.erase_all(erasures);
        }
        stop
    }

    /// Makes changes together, or where that fails each by itself: one that cannot be made is nobody else's
    /// matter.
    fn make_all(&mut self, papers: Vec<(Paper, Reply<u64>)>) {
        let (papers, replies): (Vec<Paper>, Vec<Reply<u64>>) = papers.into_iter().unzip();
        let done: Vec<Result<u64, AppendError>> = match self.engine.change_all(&papers) {
            Ok(done) if papers.len() == done.len() => done.into_iter().map(Ok).collect(),
            // They may stand, and nothing is done twice.
            Err(error) if error.is_of_the_way() => {
                let error = Arc::new(error);
                papers.iter().map(|_| Err(AppendError::Commit(Arc::clone(&error)))).collect()
            }
            Ok(_) | Err(_) => {
                let alone = papers.into_iter().map(Change::Paper);
                alone.map(|change| Ok(self.engine.change(&change)?)).collect()
            }
        };
        self.queue.look();
        for (done, reply) in done.into_iter().zip(replies) {
            drop(reply.send(done));
        }
    }

    fn shelve(&mut self, batch: &Batch, job: Job) -> Job {
        match job {
            Job::Loaded(append, reply, Ok(loaded)) => match self.install(batch, loaded) {
                Ok(()) => Job::Append(append, reply),
                Err(error) => Job::Loaded(append, reply, Err(error)),
            },
            Job::Loaded(..)
            | Job::Append(..)
            | Job::Erase(..)
            | Job::OpenBookings(..)
            | Job::Refence(..)
            | Job::Mark(_)
            | Job::Period(..)
            | Job::Change(..)
            | Job::Stop => job,
        }
    }

    /// Puts loaded state on the shelves, with what was committed since it was read, and what this batch has.
    /// It may also have been read further than this node has caught up: then the next commit finds another
    /// node ahead, and what that brought is taken off the shelves again.
    fn install(&mut self, batch: &Batch, loaded: Loaded) -> Result<(), ReadError> {
        if let Some(Stretch { tags, mut booked }) = loaded.stretch
            && let Some(newer) = self.recent.all_since(loaded.size)
        {
            booked.extend(newer.chain(batch.tags()).filter(|tag| tags.contains(tag)));
            booked.sort_unstable();
            self.book.learn(tags, &booked);
        }
        for (key, mut entries) in loaded.states {
            if self.book.knows(key) {
                continue;
            }
            let since = match self.recent.since(key.tag(), loaded.size) {
                Some(false) => Vec::new(),
                Some(true) | None => self.positions_since(key, loaded.size)?,
            };
            let stored = self.log.reader().entries_at(&since)?;
            let stored = stored.iter().map(|entry| (entry.position, entry.bytes.as_slice()));
            for (position, bytes) in stored.chain(batch.under(key.tag())) {
                let event = codec::decode_event(bytes);
                entries.push((position, event.map_err(|error| ReadError::Entry(position, error))?));
            }
            self.book.load(key, entries.iter().map(|(position, event)| (*position, event)));
        }
        if let Some((person, rows)) = loaded.person
            && !self.visits.knows(&person)
        {
            let mut rows = match self.recent.of_since(person, loaded.size) {
                Some(false) => rows,
                Some(true) | None => loader::all_rows(&self.log, person)?,
            };
            rows.extend(batch.rows_of(person));
            self.visits.put(person, Visits::of(&rows));
        }
        Ok(())
    }

    fn positions_since(&self, key: Key, size: u64) -> Result<Vec<Position>, ReadError> {
        let mut positions = self.log.positions(key.tag())?;
        positions.splice(..0, loader::first_entry(key, self.base));
        // What other nodes commit meanwhile is caught up with, and takes this off the shelf again.
        positions.retain(|position| (size..self.base).contains(&position.0));
        Ok(positions)
    }

    /// The ledger's clock: never before the last entry, whatever the machine's says.
    pub(super) fn tick(&mut self) -> Timestamp {
        let now = self.env.clock.now().as_microsecond().max(self.recorded_at);
        self.recorded_at = now;
        Timestamp::from_microsecond(now).unwrap_or(Timestamp::MAX)
    }

    fn make_period(&mut self, class: RetentionClass, year: i16) -> Result<(), AppendError> {
        let key = crate::keyring::key::Key::random(&self.env);
        let wrapped = self.keyring.tenant_key()?.key.wrap(&key).to_vec();
        self.engine.change(&Change::Period { class, year, wrapped })?;
        Ok(())
    }

    /// Makes everything in memory anew from what is committed.
    pub(super) fn reset(&mut self) {
        self.stale = true;
        if let Err(error) = self.make_anew() {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the ledger cannot be read after a failed commit"
            );
        }
    }

    fn make_anew(&mut self) -> Result<(), ReadError> {
        let head = self.log.head()?;
        let size = head.frontier.size();
        let pending = index::rebuild(self.log.reader(), head.indexed)?;
        // First: the book is made of what is found by these rows.
        self.log.pending().replace(pending);
        self.drop_cleared();
        self.book = loader::standing_book(&self.log, size, SHELF)?;
        self.visits = Shelf::partial(SHELF);
        self.frontier = head.frontier;
        self.recorded_at = head.recorded_at;
        self.origin = head.origin;
        self.repeats.clear();
        self.looked.clear();
        self.base = size;
        self.recent = Recent::from(size);
        // What others have ended meanwhile is taken in with this, and nobody is told of it any more.
        self.keyring.evict_all();
        self.log.grown(size);
        self.stale = false;
        self.unresumed = true;
        Ok(())
    }

    /// Writes what is pending and closes the file whole, so that the next start is short.
    fn close(&mut self) {
        if let Err(error) = self.write_pending() {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "index rows stay for the next start"
            );
        }
        self.log.close_readers();
        if let Err(error) = self.engine.settle() {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the write-ahead log stays for the next start"
            );
        }
    }
}
