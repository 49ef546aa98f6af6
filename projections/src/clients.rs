//! Clients as far as anybody here knows them: registrations, where the newest contact fields are
//! sealed, and what restricts or holds them.

use domain::person::{LegalHold, Rectified, Registered, Restricted, RestrictionGround};
use domain::{Event, Handle, Position, Recorded, RegistrationId, RetentionClass};
use jiff::Timestamp;
use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params_from_iter};

use crate::column::{At, Json, Number, Word};
use crate::{FoldError, Projection, ProjectionError, SealAt};

/// One person's registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientRow {
    pub registration: RegistrationId,
    /// The newest contact seal.
    pub contact: SealAt,
    /// How many entries tell of it.
    pub version: u32,
    pub registered_at: Timestamp,
    pub restriction: Option<Restriction>,
}

/// That somebody's data is kept and not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restriction {
    pub ground: RestrictionGround,
    pub since: Timestamp,
    /// When it is to be looked at again.
    pub until: Option<Date>,
}

/// That what is kept of somebody is not to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegalHoldRow {
    pub hold: LegalHold,
    pub since: Timestamp,
}

pub(crate) enum Fold {}

impl Projection for Fold {
    const NAME: &'static str = "clients.v3";
    const SCHEMA: &'static str = include_str!("clients/schema.sql");
    const TABLES: &'static [&'static str] = &["client", "legal_hold"];

    fn apply(connection: &Connection, entry: &Recorded) -> Result<(), FoldError> {
        match &entry.event {
            Event::PersonRegistered(event) => registered(connection, entry, *event),
            Event::PersonRectified(event) => rectified(connection, entry, *event),
            Event::PersonRestricted(event) => restricted(connection, entry, *event),
            Event::PersonUnrestricted(event) => {
                let sql = "UPDATE client SET restricted_since = NULL, restricted_ground = NULL, \
                           restricted_until = NULL WHERE registration = ?1";
                change(connection, sql, event.registration, &[])
            }
            Event::HoldPlaced(event) => {
                let sql = "INSERT INTO legal_hold VALUES (?1, ?2, ?3, ?4)";
                let (ground, class) = (event.ground.name(), of(event.class));
                let since = At(entry.recorded_at);
                change(connection, sql, event.registration, &[&ground, &class, &since])
            }
            Event::HoldLifted(event) => {
                let sql = "DELETE FROM legal_hold \
                           WHERE registration = ?1 AND ground = ?2 AND class = ?3";
                let (ground, class) = (event.ground.name(), of(event.class));
                change(connection, sql, event.registration, &[&ground, &class])
            }
            Event::PersonErased(_)
            | Event::BookingRequested(_)
            | Event::BookingConfirmed(_)
            | Event::BookingDeclined(_)
            | Event::BookingRescheduled(_)
            | Event::BookingCancelled(_)
            | Event::BookingCheckedIn(_)
            | Event::BookingCompleted(_)
            | Event::BookingMissed(_)
            | Event::BookingChanged(_)
            | Event::BookingContentErased(_)
            | Event::ConsentGiven(_)
            | Event::ConsentWithdrawn(_)
            | Event::PolicyAccepted(_)
            | Event::GroupDefined(_)
            | Event::ResourceDefined(_)
            | Event::ResourceRevised(_)
            | Event::ResourceRetired(_)
            | Event::ServiceDefined(_)
            | Event::ServiceRevised(_)
            | Event::ServiceRetired(_)
            | Event::PolicySet(_)
            | Event::LedgerReopened(_)
            | Event::KeysRotated(_)
            | Event::LogKeyRotated(_)
            | Event::LedgerMoved(_)
            | Event::PeriodEnded(_)
            | Event::SealsOpened(_) => Ok(()),
        }
    }
}

fn registered(
    connection: &Connection,
    entry: &Recorded,
    event: Registered,
) -> Result<(), FoldError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO client (registration, handle, position, seal, version, registered_at) \
         VALUES (?1, ?2, ?1, ?3, 1, ?4)",
    )?;
    let (id, handle) = (Number(entry.position.0), Number(event.contact.handle.0));
    statement.execute((id, handle, event.contact.seal, At(entry.occurred_at)))?;
    Ok(())
}

fn rectified(connection: &Connection, entry: &Recorded, event: Rectified) -> Result<(), FoldError> {
    let mut statement = connection.prepare_cached(
        "UPDATE client SET handle = ?2, position = ?3, seal = ?4, version = version + 1 \
         WHERE registration = ?1",
    )?;
    let id = event.registration.0;
    let (handle, position) = (Number(event.contact.handle.0), Number(entry.position.0));
    match statement.execute((Number(id), handle, position, event.contact.seal))? {
        0 => Err(FoldError::Unknown { what: "registration", id }),
        _ => Ok(()),
    }
}

fn restricted(
    connection: &Connection,
    entry: &Recorded,
    event: Restricted,
) -> Result<(), FoldError> {
    let sql = "UPDATE client SET restricted_since = ?2, restricted_ground = ?3, \
               restricted_until = ?4 WHERE registration = ?1";
    let until = event.until.map(|until| until.to_string());
    change(
        connection,
        sql,
        event.registration,
        &[&At(entry.recorded_at), &event.ground.name(), &until],
    )
}

/// As the table has the class of a hold: none for all.
fn of(class: Option<RetentionClass>) -> &'static str {
    class.map_or("", RetentionClass::name)
}

/// Changes the one row that there is of a registration's standing.
fn change(
    connection: &Connection,
    sql: &str,
    registration: RegistrationId,
    values: &[&dyn ToSql],
) -> Result<(), FoldError> {
    let id = Number(registration.0);
    let values = std::iter::once(&id as &dyn ToSql).chain(values.iter().copied());
    match connection.prepare_cached(sql)?.execute(params_from_iter(values))? {
        0 => Err(FoldError::Unknown { what: "registration", id: registration.0 }),
        _ => Ok(()),
    }
}

/// The clients, to be read.
#[derive(Debug, Clone, Copy)]
pub struct Clients<'r> {
    connection: &'r Connection,
}

const COLUMNS: &str = "registration, position, seal, handle, version, registered_at, \
    restricted_since, restricted_ground, restricted_until";

impl<'r> Clients<'r> {
    pub(crate) fn of(connection: &'r Connection) -> Self {
        Self { connection }
    }

    /// The registration with this number.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn get(&self, id: RegistrationId) -> Result<Option<ClientRow>, ProjectionError> {
        let sql = format!("SELECT {COLUMNS} FROM client WHERE registration = ?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row([Number(id.0)], client).optional()?)
    }

    /// The registrations whose newest contact seal lies under one of these handles, in order.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn of_handles(&self, handles: &[Handle]) -> Result<Vec<ClientRow>, ProjectionError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM client \
             WHERE handle IN (SELECT value FROM json_each(?1)) ORDER BY registration"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([Json(handles)], client)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What holds a registration, by ground.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn legal_holds(&self, id: RegistrationId) -> Result<Vec<LegalHoldRow>, ProjectionError> {
        let sql = "SELECT ground, nullif(class, ''), since FROM legal_hold \
                   WHERE registration = ?1 ORDER BY ground, class";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([Number(id.0)], |row| {
            let class = row.get::<_, Option<Word<_>>>(1)?.map(|Word(class)| class);
            let hold = LegalHold { class, ground: row.get::<_, Word<_>>(0)?.0 };
            Ok(LegalHoldRow { hold, since: row.get::<_, At>(2)?.0 })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// All registrations of which a class is held, in order.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn held(&self, class: RetentionClass) -> Result<Vec<RegistrationId>, ProjectionError> {
        let sql = "SELECT DISTINCT registration FROM legal_hold \
                   WHERE class IN ('', ?1) ORDER BY registration";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([class.name()], |row| {
            let Number(id) = row.get(0)?;
            Ok(RegistrationId(id))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Registrations in order, behind one of them.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn page(
        &self,
        after: Option<RegistrationId>,
        limit: u32,
    ) -> Result<Vec<ClientRow>, ProjectionError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM client \
             WHERE ?1 IS NULL OR registration > ?1 ORDER BY registration LIMIT ?2"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map((after.map(|id| Number(id.0)), limit), client)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn client(row: &Row<'_>) -> rusqlite::Result<ClientRow> {
    let (Number(registration), Number(position), Number(handle)) =
        (row.get(0)?, row.get(1)?, row.get(3)?);
    let (position, handle) = (Position(position), Handle(handle));
    Ok(ClientRow {
        registration: RegistrationId(registration),
        contact: SealAt { position, seal: row.get(2)?, handle },
        version: row.get(4)?,
        registered_at: row.get::<_, At>(5)?.0,
        restriction: restriction(row)?,
    })
}

fn restriction(row: &Row<'_>) -> rusqlite::Result<Option<Restriction>> {
    let Some(At(since)) = row.get(6)? else { return Ok(None) };
    let (Word(ground), until) = (row.get(7)?, row.get::<_, Option<Word<Date>>>(8)?);
    Ok(Some(Restriction { ground, since, until: until.map(|Word(until)| until) }))
}
