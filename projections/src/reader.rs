//! The reading side: one connection that cannot write, and a view of each read model.

use std::path::Path;
use std::time::Duration;

use domain::Position;
use rusqlite::{Connection, OpenFlags};

use crate::bookings::Bookings;
use crate::catalogue::Catalogue;
use crate::clients::Clients;
use crate::consents::Consents;
use crate::hash::{self, Hashes};
use crate::occupancy::Occupancy;
use crate::runner::{earliest, is_current, progress};
use crate::statistics::Statistics;
use crate::{ProjectionError, ProjectionStatus};

/// Reads the read models of one tenant; one per thread. It never waits for the writing side, and
/// goes on reading across a rebuild.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
}

impl Reader {
    /// Opens a file that exists, only to read it.
    ///
    /// # Errors
    /// Where there is no file, or one that needs a rebuild.
    pub fn open(path: &Path) -> Result<Self, ProjectionError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.set_prepared_statement_cache_capacity(64);
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        Self::on(connection)
    }

    pub(crate) fn on(connection: Connection) -> Result<Self, ProjectionError> {
        if connection.table_exists(None, "projection")? && is_current(&progress(&connection)?) {
            Ok(Self { connection })
        } else {
            Err(ProjectionError::NeedsRebuild)
        }
    }

    /// Reads several things as they were at one moment, such as rows and the position that they
    /// reflect.
    ///
    /// # Errors
    /// Those of `read`, and where the file cannot be read.
    pub fn at_once<T, E: From<ProjectionError>>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let moment = self.connection.unchecked_transaction().map_err(ProjectionError::from)?;
        let found = read(self);
        moment.finish().map_err(ProjectionError::from)?;
        found
    }

    /// The first position that is not yet reflected by every live projection.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn position(&self) -> Result<Position, ProjectionError> {
        Ok(earliest(&progress(&self.connection)?))
    }

    /// Where every projection stands.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn status(&self) -> Result<Vec<ProjectionStatus>, ProjectionError> {
        progress(&self.connection)
    }

    /// The [hash] of each projection.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn hashes(&self) -> Result<Hashes, ProjectionError> {
        self.at_once(|reader| hash::hashes(&reader.connection))
    }

    pub fn bookings(&self) -> Bookings<'_> {
        Bookings::of(&self.connection)
    }

    pub fn catalogue(&self) -> Catalogue<'_> {
        Catalogue::of(&self.connection)
    }

    pub fn clients(&self) -> Clients<'_> {
        Clients::of(&self.connection)
    }

    pub fn consents(&self) -> Consents<'_> {
        Consents::of(&self.connection)
    }

    pub fn occupancy(&self) -> Occupancy<'_> {
        Occupancy::of(&self.connection)
    }

    pub fn statistics(&self) -> Statistics<'_> {
        Statistics::of(&self.connection)
    }
}
