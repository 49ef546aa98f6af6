//! Checkpoints: what commits have written ahead is brought to the file beside the writer.
//!
//! Left to itself, SQLite has the commit that fills the write-ahead log bring it over, and everybody
//! in it waits for the pages and two more flushes of the disk. Here a thread with a connection of its
//! own does that while the writer goes on. The log begins anew only where nothing in it is left to be
//! brought over, which a writer that never rests does not let happen: once it has grown long, the
//! writer brings over the little that is left.

use std::error::Error;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::{OpenError, open_for_writing, open_writer};

/// After how many new pages the log is brought over beside the writer: as often as SQLite would.
const BESIDE: i32 = 1000;
/// How many pages the log may have before the writer brings it over itself: 32 MiB.
const LONGEST: i32 = 8192;
/// How many while many rows are rewritten: each time most of the same pages are among them.
const PATIENT: i32 = 16_384;

/// The one connection that writes a file, and the thread that brings its log over.
pub struct Checkpointed {
    conn: Connection,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Whether nothing is to be brought over beside the writer for now.
    patient: AtomicBool,
    /// Held while the log is brought over.
    at_work: Mutex<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Checkpointed {
    /// Opens a file for writing and gives it the schema, or what it lacks of it.
    ///
    /// # Errors
    /// As [`open_writer`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let mut conn = open_writer(path)?;
        let shared = Arc::new(Shared::default());
        let mut due =
            Due { file: path.to_owned(), shared: Arc::clone(&shared), ask: None, asked_at: 0 };
        let committed = move |log: &mut Wal, pages| {
            due.after_commit(log, pages);
            Ok(())
        };
        conn.wal_hook(Some(committed))?;
        Ok(Self { conn, shared })
    }

    /// Keeps everybody else from bringing the log over.
    pub(super) fn alone(&self) -> MutexGuard<'_, ()> {
        self.shared.alone()
    }

    /// Whether the log is to grow longer than usual, because most of the same pages are written
    /// over and over.
    pub(super) fn be_patient(&self, patient: bool) {
        self.shared.patient.store(patient, Ordering::Relaxed);
    }
}

impl Deref for Checkpointed {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.conn
    }
}

impl DerefMut for Checkpointed {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.conn
    }
}

impl Drop for Checkpointed {
    /// The thread's connection is closed before this one, so that this one closes the file whole.
    fn drop(&mut self) {
        type Hook = fn(&mut Wal, i32) -> rusqlite::Result<()>;
        if let Err(error) = self.conn.wal_hook(None::<Hook>) {
            tracing::warn!(
                error = &error as &dyn Error,
                "a file's log is still brought over as it is closed"
            );
            return;
        }
        let mut thread = self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // It has logged why, where it panicked.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn alone(&self) -> MutexGuard<'_, ()> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Knows when the log is to be brought over.
struct Due {
    file: PathBuf,
    shared: Arc<Shared>,
    /// The thread, once there was something to do.
    ask: Option<SyncSender<()>>,
    /// How long the log was when the thread was last asked.
    asked_at: i32,
}

impl Due {
    /// What is committed stands, whatever becomes of bringing it over.
    fn after_commit(&mut self, log: &mut Wal, pages: i32) {
        // It has begun anew.
        self.asked_at = self.asked_at.min(pages);
        let patient = self.shared.patient.load(Ordering::Relaxed);
        if pages >= if patient { PATIENT } else { LONGEST } {
            let _alone = self.shared.alone();
            if let Err(error) = log.checkpoint() {
                tracing::debug!(%error, "the write-ahead log is not brought over yet");
            }
        } else if !patient && pages >= self.asked_at.saturating_add(BESIDE) {
            self.asked_at = pages;
            let ask = match self.ask.take() {
                Some(ask) => ask,
                None => match begin(&self.file, &self.shared) {
                    Ok(ask) => ask,
                    Err(error) => {
                        tracing::warn!(
                            error = &*error as &(dyn Error + 'static),
                            "the write-ahead log is brought over by the writer"
                        );
                        return;
                    }
                },
            };
            if ask.try_send(()).is_err() {
                tracing::trace!("the write-ahead log is still being brought over");
            }
            self.ask = Some(ask);
        }
    }
}

fn begin(file: &Path, shared: &Arc<Shared>) -> Result<SyncSender<()>, Box<dyn Error>> {
    let conn = open_for_writing(file)?;
    let (ask, asked) = sync_channel(1);
    let at_work = Arc::clone(shared);
    let thread = std::thread::Builder::new()
        .name("checkpoints".to_owned())
        .spawn(move || bring_over(&conn, &at_work, &asked))?;
    *shared.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
    Ok(ask)
}

fn bring_over(conn: &Connection, shared: &Shared, asked: &Receiver<()>) {
    while asked.recv().is_ok() {
        let _alone = shared.alone();
        let done = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        if let Err(error) = done {
            tracing::debug!(%error, "the write-ahead log is not brought over yet");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_log_stays_short_while_it_is_written_and_is_gone_with_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let (file, log) = (folder.path().join("file"), folder.path().join("file-wal"));
        let writer = Checkpointed::open(&file).unwrap();
        let mut insert = writer.prepare("INSERT INTO secret VALUES (?1, zeroblob(60000))").unwrap();
        for number in 0..1500 {
            insert.execute([number]).unwrap();
            let longest = u64::try_from(LONGEST + 100).unwrap() * 4120;
            assert!(fs::metadata(&log).unwrap().len() < longest, "after {number}");
        }
        drop(insert);
        assert!(writer.shared.thread.lock().unwrap().is_some());
        drop(writer);
        assert!(!log.exists());
        let again = Connection::open(&file).unwrap();
        let count = "SELECT count(*) FROM secret WHERE length(wrapped) = 60000";
        assert_eq!(again.query_row(count, [], |row| row.get(0)), Ok(1500));
    }
}
