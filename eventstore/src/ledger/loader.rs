//! Loading what a decision needs, on a thread of its own.
//!
//! The loader reads committed entries while the writer goes on with other commands; what is
//! committed in between, the writer adds when it puts the state on its shelves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::thread::JoinHandle;

use domain::tag::TagKind;
use domain::{Book, Event, Key, Position, Tag};

use super::appender::{Append, Appended};
use super::codec;
use super::index::PersonRow;
use super::log::{Log, ReadError, Stretch};
use super::writer::{Job, Reply};
use crate::keyring::Keyring;
use crate::keyring::person::PersonId;

/// How many commands' state is read together at most.
const TOGETHER: usize = 64;

/// A command that waits for its state.
pub(crate) struct LoadJob {
    pub keys: Vec<Key>,
    pub booker: Option<PersonId>,
    pub append: Box<Append>,
    pub reply: Reply<Appended>,
}

/// What was read, complete for all entries before `size`.
pub(crate) struct Loaded {
    pub size: u64,
    pub states: Vec<(Key, Vec<(Position, Event)>)>,
    pub person: Option<(PersonId, Vec<PersonRow>)>,
    /// Days about which this tells more than was asked.
    pub stretch: Option<Stretch>,
}

/// The loader's thread. It is over when this is gone: what it holds of log and keyring is let go of by then,
/// and with it what only the process may outlive, such as an HSM's module.
pub(crate) struct Loader {
    jobs: Option<mpsc::Sender<LoadJob>>,
    thread: Option<JoinHandle<()>>,
}

impl Loader {
    /// Has a command's state loaded.
    ///
    /// # Errors
    /// With the job, where nobody can load anything.
    pub(crate) fn send(&self, job: LoadJob) -> Result<(), LoadJob> {
        match &self.jobs {
            Some(jobs) => jobs.send(job).map_err(|refused| refused.0),
            None => Err(job),
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.jobs = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("loading ended in a bug; what was committed is safe");
        }
    }
}

/// Starts the loader. What it hands in to the writer is refused once the writer's queue is gone, which must
/// therefore go before it.
pub(crate) fn start(log: Arc<Log>, keyring: Arc<Keyring>, writer: SyncSender<Job>) -> Loader {
    let (sender, queue) = mpsc::channel::<LoadJob>();
    let work = move || {
        while let Ok(first) = queue.recv() {
            // What waits is read together: one round trip costs as much as many rows.
            let mut jobs = vec![first];
            jobs.extend(queue.try_iter().take(TOGETHER - 1));
            let wants: Vec<Want<'_>> =
                jobs.iter().map(|job| Want { keys: &job.keys, booker: job.booker }).collect();
            let loaded = load(&log, &keyring, &wants);
            let mut loaded = match loaded {
                Ok(loaded) => loaded.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            };
            // Of several that fail together one tells why, and the others that they did.
            loaded.resize_with(jobs.len(), || Err(ReadError::Together));
            for (LoadJob { append, reply, .. }, loaded) in jobs.into_iter().zip(loaded) {
                if writer.send(Job::Loaded(append, reply, loaded)).is_err() {
                    return;
                }
            }
        }
    };
    let thread = std::thread::Builder::new().name("loader".to_owned()).spawn(work);
    if let Err(error) = &thread {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "no thread for loading; commands on cold state will be refused"
        );
    }
    Loader { jobs: Some(sender), thread: thread.ok() }
}

/// What one command lacks.
pub(super) struct Want<'a> {
    pub keys: &'a [Key],
    pub booker: Option<PersonId>,
}

/// Reads what commands need, complete for the entries that are committed now.
pub(super) fn load(
    log: &Log,
    keyring: &Keyring,
    wants: &[Want<'_>],
) -> Result<Vec<Loaded>, ReadError> {
    let size = log.size();
    let keys: BTreeSet<Key> = wants.iter().flat_map(|want| want.keys).copied().collect();
    let tags: Vec<Tag> = keys.iter().map(|key| key.tag()).collect();
    let mut under: BTreeMap<Tag, BTreeSet<Position>> = BTreeMap::new();
    for (tag, position) in log.positions_under(&tags)? {
        under.entry(tag).or_default().insert(position);
    }
    for key in &keys {
        under.entry(key.tag()).or_default().extend(first_entry(*key, size));
    }
    let positions: BTreeSet<Position> =
        under.values().flatten().copied().filter(|position| position.0 < size).collect();
    let events: BTreeMap<Position, Event> =
        events(log, &positions.into_iter().collect::<Vec<_>>())?.into_iter().collect();
    let bookers: BTreeSet<PersonId> = wants.iter().filter_map(|want| want.booker).collect();
    let mut rows: BTreeMap<PersonId, Vec<PersonRow>> = BTreeMap::new();
    for row in keyring.rows_of_all(&bookers.into_iter().collect::<Vec<_>>())? {
        rows.entry(row.person).or_default().push(row);
    }
    // From the first of the days on: bookings are for days to come.
    let days = TagKind::Day.range();
    let stretch = tags.iter().copied().filter(|tag| days.contains(tag)).min();
    let stretch = stretch.map(|first| log.stretch(first..=*days.end()));
    let mut stretch = stretch.transpose()?;
    let loaded = wants.iter().map(|want| {
        let states = want.keys.iter().map(|key| {
            let positions = under.get(&key.tag()).into_iter().flatten();
            let found = positions.filter_map(|at| Some((*at, events.get(at)?.clone())));
            (*key, found.collect())
        });
        let person = want.booker.map(|id| (id, rows.get(&id).cloned().unwrap_or_default()));
        // One of them tells of the days for all.
        Loaded { size, states: states.collect(), person, stretch: stretch.take() }
    });
    Ok(loaded.collect())
}

/// The entry that began a thing carries no tag of it: its position is the thing's id.
pub(super) fn first_entry(key: Key, size: u64) -> Option<Position> {
    let number = match key {
        Key::Booking(id) => id.0,
        Key::Consent(id) => id.0,
        Key::Registration(id) => id.0,
        Key::Day(..) => return None,
    };
    (number < size).then_some(Position(number))
}

fn events(log: &Log, positions: &[Position]) -> Result<Vec<(Position, Event)>, ReadError> {
    let mut events = Vec::with_capacity(positions.len());
    for entry in log.reader().entries_at(positions)? {
        let event = codec::decode_event(&entry.bytes)
            .map_err(|error| ReadError::Entry(entry.position, error))?;
        events.push((entry.position, event));
    }
    Ok(events)
}

/// The book with what every decision may need: catalogue, policy, fences, restrictions and legal
/// holds.
pub(crate) fn standing_book(log: &Log, size: u64, shelf: usize) -> Result<Book, ReadError> {
    let standing = [
        TagKind::Group,
        TagKind::Resource,
        TagKind::Service,
        TagKind::Policy,
        TagKind::Fence,
        TagKind::Standing,
    ];
    let mut positions = Vec::new();
    for kind in standing {
        positions.extend(log.positions_within(kind.range())?);
    }
    positions.sort_unstable();
    positions.dedup();
    let mut book = Book::partial(shelf);
    for stored in log.reader().entries_at(&positions)? {
        let entry = codec::decode(&stored.bytes)
            .map_err(|error| ReadError::Entry(stored.position, error))?;
        book.next = stored.position;
        book.apply_next(&entry.recorded.event, &entry.tags);
    }
    book.next = Position(size);
    Ok(book)
}

/// A person's rows, in memory and in the table.
pub(crate) fn all_rows(log: &Log, person: PersonId) -> Result<Vec<PersonRow>, ReadError> {
    let mut rows: Vec<PersonRow> = log.pending().of_person(person, 0).copied().collect();
    rows.extend(log.reader().person_rows(person, 0)?);
    rows.sort_unstable();
    rows.dedup_by_key(|row| (row.until, row.position, row.handle));
    Ok(rows)
}

/// What is counted of a person.
#[derive(Debug, Default)]
pub(crate) struct Visits {
    /// Bookings not given up, by the calendar year of their local start.
    pub by_year: BTreeMap<i16, u32>,
    /// Seals that would end with the person.
    pub seals: u64,
}

impl Visits {
    pub(crate) fn of(rows: &[PersonRow]) -> Self {
        // Summed first: the row that gives a booking up may come before the one that made it.
        let mut sums: BTreeMap<i16, i64> = BTreeMap::new();
        for row in rows {
            *sums.entry(row.year).or_default() += i64::from(row.visits);
        }
        let by_year = sums.into_iter().map(|(year, sum)| (year, u32::try_from(sum).unwrap_or(0)));
        Self {
            by_year: by_year.collect(),
            seals: rows.iter().map(|row| u64::from(row.seals)).sum(),
        }
    }

    /// Counts one more row.
    pub(crate) fn count(&mut self, row: &PersonRow) {
        let count = self.by_year.entry(row.year).or_default();
        *count = count.saturating_add_signed(i32::from(row.visits));
        self.seals += u64::from(row.seals);
    }
}

/// Puts a booking on its shelf at once, for the rare work that cannot wait for the loader.
pub(crate) fn ensure_booking(
    book: &mut Book,
    log: &Log,
    id: domain::BookingId,
) -> Result<(), ReadError> {
    let key = Key::Booking(id);
    if book.knows(key) {
        return Ok(());
    }
    let mut positions = log.positions(key.tag())?;
    positions.extend(first_entry(key, log.size()));
    positions.sort_unstable();
    positions.dedup();
    let entries = events(log, &positions)?;
    book.load(key, entries.iter().map(|(position, event)| (*position, event)));
    Ok(())
}
