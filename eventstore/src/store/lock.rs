//! The lock of a data directory: one process writes it. And within that, who has which tenant in hand.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::StoreError;

/// A file that one holder at a time has locked, among processes and within one.
#[derive(Debug)]
pub struct FileLock(File);

impl FileLock {
    /// Nothing where somebody else has it. The file is made where there is none.
    ///
    /// # Errors
    /// Where the file cannot be made, opened or locked.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing would not do: a child that is just being started has the file open too, until
        // it is another program.
        if let Err(error) = self.0.unlock() {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a lock is held until the process ends"
            );
        }
    }
}

/// Held as long as the directory is written.
pub(super) fn lock(dir: &Path) -> Result<FileLock, StoreError> {
    FileLock::take(&dir.join("tidbok.lock"))?.ok_or(StoreError::Locked)
}

/// The tenants of which somebody does something with all there is.
#[derive(Default)]
pub(super) struct Hands(Mutex<BTreeSet<String>>);

/// Keeps a tenant from everybody else who would do such a thing.
pub(super) struct Hand {
    name: String,
    hands: Arc<Hands>,
}

impl Hands {
    pub(super) fn take(self: &Arc<Self>, name: &str) -> Result<Hand, StoreError> {
        if !self.names().insert(name.to_owned()) {
            return Err(StoreError::Moving(name.to_owned()));
        }
        Ok(Hand { name: name.to_owned(), hands: Arc::clone(self) })
    }

    fn names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.hands.names().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_has_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        assert!(matches!(lock(dir.path()), Err(StoreError::Locked)));
        drop(held);
        assert!(lock(dir.path()).is_ok());
    }

    /// What a child has between its making and its becoming another program.
    #[test]
    fn a_lock_that_is_let_go_is_free_though_a_child_has_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        let inherited = held.0.try_clone().unwrap();
        drop(held);
        assert!(lock(dir.path()).is_ok());
        drop(inherited);
    }
}
