//! A desk: one tenant at work, its ledger and the read models that follow it.
//!
//! The desk pumps committed entries into the read models. Whoever needs the newest asks for it by
//! position; a reader that sends back the position of its own write is answered from there on.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use domain::Position;
use eventstore::ledger::codec::CodecError;
use eventstore::ledger::log::{Log, ReadError};
use eventstore::ledger::replay::Replay;
use eventstore::proof::nodes::{self, Nodes, Tree};
use eventstore::proof::tile::Tile;
use eventstore::proof::{consistency, inclusion};
use eventstore::tree::Hash;
use eventstore::{EntryBytes, Tenant};
use projections::{CATCH_UP, Feed, Hashes, ProjectionError, ReadModels, Reader, Rebuild};
use tokio::sync::watch;

/// Why a desk cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    #[error(transparent)]
    Projection(#[from] ProjectionError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("entry {0} cannot be read")]
    Entry(Position, #[source] CodecError),
    #[error("a read model stopped at {0} and must be rebuilt")]
    Stopped(Position),
}

/// One tenant with its read models.
pub struct Desk {
    // Readers are closed first: the last to close a file empties its write-ahead log, and only a
    // writer can.
    readers: Mutex<Vec<Reader>>,
    models: Mutex<ReadModels>,
    pub tenant: Arc<Tenant>,
    path: PathBuf,
    reflected: watch::Sender<u64>,
    /// The inner nodes of the ledger's tree, as far as tiles were asked for.
    nodes: Mutex<Nodes>,
    /// The tenant is elsewhere.
    left: AtomicBool,
}

impl Desk {
    /// Opens a tenant's read models; builds them anew where they do not fit the ledger.
    ///
    /// # Errors
    /// Where files cannot be opened.
    pub fn open(tenant: Arc<Tenant>) -> Result<Self, DeskError> {
        let path = tenant.folder().join("read.sqlite");
        let models = ReadModels::open(&path)?;
        let fits = !models.needs_rebuild() && agrees(&models, tenant.log())?;
        let models = if fits {
            models
        } else {
            drop(models);
            rebuild(&path, tenant.log(), Position(tenant.log().size()), &|_, _| ())?;
            ReadModels::open(&path)?
        };
        let reflected = watch::Sender::new(models.next().0);
        Ok(Self {
            tenant,
            models: Mutex::new(models),
            path,
            readers: Mutex::default(),
            reflected,
            nodes: Mutex::default(),
            left: AtomicBool::default(),
        })
    }

    /// Has nobody come to it any more: the tenant is elsewhere, and has another.
    pub(crate) fn leave(&self) {
        self.left.store(true, Ordering::Release);
    }

    pub(crate) fn is_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    /// The hashes of a tile of the ledger's tree, all of which must be committed.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub fn tile(&self, tile: Tile) -> Result<Vec<Hash>, ReadError> {
        let log = self.tenant.log();
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if tile.level > 0 {
            nodes.follow(log, log.size())?;
        }
        let leaves = |from, count| nodes::leaves(log, from, count);
        Tree { nodes: &nodes, leaves: &leaves }.tile(tile)
    }

    /// The proof that an entry stands in the log's first `size` (RFC 6962, section 2.1.1).
    ///
    /// # Errors
    /// Where the ledger cannot be read, or is not as large.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, ReadError> {
        let log = self.tenant.log();
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.follow(log, size)?;
        let leaves = |from, count| nodes::leaves(log, from, count);
        inclusion::prove(&Tree { nodes: &nodes, leaves: &leaves }, index, size)
    }

    /// The proof that the log's first `size` entries continue its first `old` (RFC 6962, section
    /// 2.1.2).
    ///
    /// # Errors
    /// Where the ledger cannot be read, or is not as large.
    pub fn continuation(&self, old: u64, size: u64) -> Result<Vec<Hash>, ReadError> {
        let log = self.tenant.log();
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.follow(log, size)?;
        let leaves = |from, count| nodes::leaves(log, from, count);
        consistency::prove(&Tree { nodes: &nodes, leaves: &leaves }, old, size)
    }

    /// Takes in everything committed so far; answers the next position.
    ///
    /// # Errors
    /// Where ledger or read models cannot be read or written.
    pub fn follow(&self) -> Result<Position, DeskError> {
        self.follow_with(&|_, _| ())
    }

    /// As [`Self::follow`], telling how far it is of how many.
    ///
    /// # Errors
    /// As [`Self::follow`].
    pub fn follow_with(&self, progress: &dyn Fn(u64, u64)) -> Result<Position, DeskError> {
        let mut models = self.models();
        loop {
            let next = models.next();
            let entries = self.tenant.log().entries(next, CATCH_UP)?;
            if entries.is_empty() {
                return Ok(next);
            }
            feed(&entries, |feeds| models.apply(feeds))?;
            progress(models.next().0, self.tenant.log().size());
            if models.next() == next {
                return Err(DeskError::Stopped(next));
            }
            self.reflected.send_replace(models.next().0);
        }
    }

    /// Follows the ledger until the desk is closed, which this does not hinder.
    pub async fn keep_following(desk: Weak<Self>) {
        let Some(mut growth) = desk.upgrade().map(|desk| desk.tenant.log().growth()) else {
            return;
        };
        loop {
            let size = *growth.borrow_and_update();
            let Some(strong) = desk.upgrade() else { return };
            // Others may have followed meanwhile, such as who rebuilds.
            strong.tenant.log().followed(strong.position());
            if *strong.reflected.borrow() < size {
                let followed = tokio::task::spawn_blocking(move || {
                    // Who goes on following is waited for; who follows once is not.
                    let log = strong.tenant.log();
                    let followed = strong.follow_with(&|next, _| log.followed(Position(next)));
                    followed.map_err(|error| (error, strong.tenant.name().to_owned()))
                });
                if let Ok(Err((error, tenant))) = followed.await {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        tenant,
                        "read models stopped"
                    );
                    tokio::time::sleep(Duration::from_secs(5)).await;
                }
                continue;
            }
            drop(strong);
            if growth.changed().await.is_err() {
                return;
            }
        }
    }

    /// The next position that the read models do not reflect yet.
    pub fn position(&self) -> Position {
        Position(*self.reflected.borrow())
    }

    /// Waits until the read models reflect everything before `position`; whether they do in time.
    pub async fn reflects(&self, position: Position, patience: Duration) -> bool {
        let mut reflected = self.reflected.subscribe();
        let wait = reflected.wait_for(|next| *next >= position.0);
        matches!(tokio::time::timeout(patience, wait).await, Ok(Ok(_)))
    }

    /// Asks the read models something, on a connection of its own.
    ///
    /// # Errors
    /// Whatever the question answers, and where no reader can be opened.
    pub fn read<T, E: From<ProjectionError>>(
        &self,
        question: impl FnOnce(&Reader) -> Result<T, E>,
    ) -> Result<T, E> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = match idle {
            Some(reader) => reader,
            None => Reader::open(&self.path)?,
        };
        let answer = question(&reader);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < 8 {
            readers.push(reader);
        }
        answer
    }

    /// Each read model with its state.
    pub fn status(&self) -> Vec<projections::ProjectionStatus> {
        self.models().status().to_vec()
    }

    /// Builds all read models again beside the live ones and puts them in their place; answers the
    /// hashes before and after.
    ///
    /// # Errors
    /// Where ledger or read models cannot be read or written.
    pub fn rebuild(&self, progress: &dyn Fn(u64, u64)) -> Result<(Hashes, Hashes), DeskError> {
        self.follow()?;
        let mut models = self.models();
        let before = models.reader()?.hashes()?;
        let after = rebuild(&self.path, self.tenant.log(), models.next(), progress)?;
        *models = ReadModels::open(&self.path)?;
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.reflected.send_replace(models.next().0);
        Ok((before, after))
    }

    fn models(&self) -> MutexGuard<'_, ReadModels> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the ledger has the entry that the read models saw last.
fn agrees(models: &ReadModels, log: &Log) -> Result<bool, DeskError> {
    match models.checkpoint() {
        None => Ok(true),
        Some((position, leaf)) => Ok(log.entry(position)?.is_some_and(|entry| entry.leaf == leaf)),
    }
}

fn rebuild(
    path: &std::path::Path,
    log: &Arc<Log>,
    until: Position,
    progress: &dyn Fn(u64, u64),
) -> Result<Hashes, DeskError> {
    let mut rebuild = Rebuild::begin(path)?;
    for page in Replay::of(log, rebuild.next()..until)? {
        let entries = page?.entries;
        for some in entries.chunks(CATCH_UP) {
            let next = rebuild.next();
            let feeds = some
                .iter()
                .map(|(stored, entry)| Feed { recorded: &entry.recorded, leaf: stored.leaf });
            rebuild.apply(&feeds.collect::<Vec<_>>())?;
            if rebuild.next() == next {
                return Err(DeskError::Stopped(next));
            }
            progress(rebuild.next().0, until.0);
        }
    }
    if rebuild.next() < until {
        return Err(DeskError::Stopped(rebuild.next()));
    }
    Ok(rebuild.finish()?)
}

/// Decodes entries and hands them on together.
///
/// # Errors
/// Where an entry cannot be read, and whatever `take` answers.
pub fn feed<T>(
    entries: &[EntryBytes],
    take: impl FnOnce(&[Feed<'_>]) -> Result<T, ProjectionError>,
) -> Result<T, DeskError> {
    let decoded = entries.iter().map(|entry| match entry.decode() {
        Ok(decoded) => Ok((decoded.recorded, entry.leaf)),
        Err(error) => Err(DeskError::Entry(entry.position, error)),
    });
    let decoded = decoded.collect::<Result<Vec<_>, _>>()?;
    let feeds: Vec<Feed<'_>> =
        decoded.iter().map(|(recorded, leaf)| Feed { recorded, leaf: *leaf }).collect();
    Ok(take(&feeds)?)
}
