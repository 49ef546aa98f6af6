//! The ledger: one writer that decides in order, and readers that never wait for it.

pub mod appender;
pub mod audit;
pub(crate) mod batch;
pub mod codec;
mod erasure;
pub mod gather;
pub mod index;
mod loader;
pub mod log;
pub(crate) mod mend;
mod mover;
mod pace;
pub mod replay;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use domain::RetentionClass;
use tokio::sync::oneshot;

use crate::engine::Change;
use crate::environment::Environment;
use crate::keyring::person::PersonId;
use crate::keyring::provider::Provider;
use crate::keyring::sealing::Sealing;
use crate::keyring::{KeyError, Keyring};
use crate::sqlite::{OpenError, SqliteReader, SqliteWriter};
use appender::{Append, AppendError, Appended, Erasure};
use gather::Gather;
use log::{Log, ReadError, SharedReader};
use writer::{Job, Writer};

/// How many commands may wait for the writer; more callers wait before they are taken.
const QUEUE: usize = 4096;

/// Why a ledger could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the writer could not be started")]
    Thread(#[source] std::io::Error),
}

/// A ledger that can be written. Dropping it finishes what was accepted and closes the file.
pub struct Ledger {
    log: Arc<Log>,
    keyring: Arc<Keyring>,
    sender: Option<SyncSender<Job>>,
    resting: Arc<AtomicBool>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Ledger {
    /// Opens a ledger's file and starts its writer.
    ///
    /// # Errors
    /// Where the file or its keys cannot be read. A key store that does not fit is an error, never
    /// an erased person.
    pub fn open(
        path: &Path,
        provider: Arc<dyn Provider>,
        env: &Environment,
    ) -> Result<Self, LedgerError> {
        let writer = SqliteWriter::open(path)?;
        let reader = Box::new(SqliteReader::open(path)?);
        Self::over(reader, Box::new(writer), provider, env)
    }

    /// Opens a ledger wherever it is and starts its writer.
    ///
    /// # Errors
    /// Where it or its keys cannot be read.
    pub fn over(
        reader: SharedReader,
        mut engine: Box<dyn crate::engine::Writer>,
        provider: Arc<dyn Provider>,
        env: &Environment,
    ) -> Result<Self, LedgerError> {
        let log = Arc::new(Log::over(reader)?);
        let keyring = Keyring::new(Arc::clone(&log), Arc::clone(&provider), env.clone())?;
        keyring.ensure_log_key(engine.as_mut())?;
        let keyring = Arc::new(keyring);
        if let Some(mover) = engine.mover() {
            log.moved_by(mover);
        }
        engine.follow(&log, &keyring);
        let (sender, queue) = mpsc::sync_channel(QUEUE);
        let writer = Writer::new(
            engine,
            &log,
            &keyring,
            provider,
            env,
            Gather::from(queue),
            sender.clone(),
        )?;
        let resting = writer.resting();
        let writer = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || writer.run())
            .map_err(LedgerError::Thread)?;
        Ok(Self { log, keyring, sender: Some(sender), resting, writer: Mutex::new(Some(writer)) })
    }

    /// Whether nothing is left to be cleared after an erasure: what is, ends while it is open.
    pub fn is_resting(&self) -> bool {
        self.resting.load(Ordering::Acquire)
    }

    /// The reading side.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// Begins to seal what a command brings.
    pub fn sealing(&self) -> Sealing {
        Sealing::new(Arc::clone(&self.keyring))
    }

    /// Decides a command and appends what follows, durably, before it answers.
    ///
    /// # Errors
    /// Where a rule refuses it, or the ledger cannot be written. Nothing was appended then.
    pub async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.ask(|reply| Job::Append(Box::new(append), reply)).await?
    }

    /// As [`Self::append`], for a caller without a runtime.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_blocking(&self, append: Append) -> Result<Appended, AppendError> {
        self.hand_in(append)?.blocking_recv().map_err(|_| AppendError::Stopped)?
    }

    /// Hands a command in without waiting for the answer: an import keeps many on their way. Waits
    /// while the queue is full.
    ///
    /// # Errors
    /// Where the writer has stopped.
    pub fn hand_in(
        &self,
        append: Append,
    ) -> Result<oneshot::Receiver<Result<Appended, AppendError>>, AppendError> {
        let (reply, answer) = oneshot::channel();
        let sender = self.sender.as_ref().ok_or(AppendError::Stopped)?;
        let job = Job::Append(Box::new(append), reply);
        sender.send(job).map_err(|_| AppendError::Stopped)?;
        Ok(answer)
    }

    /// Erases a person: fences, destroys the keys, and then clears links and seals.
    ///
    /// When this answers nothing of the person opens any more; [`Erasure::cleared`] tells when the
    /// links and seals are gone too.
    ///
    /// # Errors
    /// Where the person is unknown or erased already, or has open bookings.
    pub async fn erase(&self, person: PersonId) -> Result<Erasure, AppendError> {
        self.ask(|reply| Job::Erase(person, reply)).await?
    }

    /// Which of a person's bookings are still to come or under way: what stands against erasing.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub async fn open_bookings(
        &self,
        person: PersonId,
    ) -> Result<Vec<domain::BookingId>, AppendError> {
        self.ask(|reply| Job::OpenBookings(person, reply)).await?
    }

    /// How many seals an erasure of the person would end now.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub fn seals_of(&self, person: PersonId) -> Result<u64, ReadError> {
        let rows = loader::all_rows(&self.log, person)?;
        Ok(rows.iter().map(|row| u64::from(row.seals)).sum())
    }

    /// Writes the present size and root into the key store's mark.
    pub(crate) fn mark_blocking(&self) -> Result<(), AppendError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Mark(reply))?;
        answer.blocking_recv().map_err(|_| AppendError::Stopped)?
    }

    /// Sets a fence again that an older copy of the ledger does not know; it had ended so many seals
    /// of somebody whom the copy does not know.
    pub(crate) fn refence_blocking(
        &self,
        fence: domain::FenceId,
        ended: u64,
    ) -> Result<(), AppendError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Refence(fence, ended, reply))?;
        answer.blocking_recv().map_err(|_| AppendError::Stopped)?
    }

    /// Makes sure that a period has its key.
    ///
    /// # Errors
    /// Where the key store or the ledger cannot be written.
    pub async fn ensure_period(&self, class: RetentionClass, year: i16) -> Result<(), AppendError> {
        match self.keyring.period_key(class, year) {
            Ok(_) => Ok(()),
            Err(KeyError::Missing) => self.ask(|reply| Job::Period(class, year, reply)).await?,
            Err(error) => Err(error.into()),
        }
    }

    /// Changes rows of the keyring that are no events: keys to sign in with, requests.
    pub(crate) async fn change(&self, change: Change) -> Result<u64, AppendError> {
        self.ask(|reply| Job::Change(change, reply)).await?
    }

    /// As [`Self::change`], for a caller without a runtime. Waits while the queue is full.
    pub(crate) fn change_blocking(&self, change: Change) -> Result<u64, AppendError> {
        let (reply, answer) = oneshot::channel();
        let sender = self.sender.as_ref().ok_or(AppendError::Stopped)?;
        sender.send(Job::Change(change, reply)).map_err(|_| AppendError::Stopped)?;
        answer.blocking_recv().map_err(|_| AppendError::Stopped)?
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, AppendError> {
        let (reply, answer) = oneshot::channel();
        self.send(job(reply))?;
        answer.await.map_err(|_| AppendError::Stopped)
    }

    fn send(&self, job: Job) -> Result<(), AppendError> {
        let sender = self.sender.as_ref().ok_or(AppendError::Stopped)?;
        match sender.try_send(job) {
            Ok(()) => Ok(()),
            Err(mpsc::TrySendError::Full(_)) => Err(AppendError::Busy),
            Err(mpsc::TrySendError::Disconnected(_)) => Err(AppendError::Stopped),
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.log.close_readers();
        if let Some(sender) = self.sender.take() {
            // Behind everything accepted so far; a writer that is gone needs no telling.
            drop(sender.send(Job::Stop));
        }
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("the ledger's writer ended in a bug; what was committed is safe");
        }
    }
}
