//! Consents as they stand, and acceptances of a policy, which are not consents.

use domain::consent::{Medium, Occasion, Purpose, Text, Withdrawn};
use domain::ids::Hash;
use domain::sealed::Evidence;
use domain::{ConsentId, Event, Handle, Position, Recorded, Sealed};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::column::{At, Json, Number, Word};
use crate::{FoldError, Projection, ProjectionError, SealAt};

/// A consent, or the acceptance of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentRow {
    pub id: ConsentId,
    /// What was allowed, by which way; none for an acceptance.
    pub allows: Option<(Purpose, Medium)>,
    pub occasion: Occasion,
    /// Which text was shown.
    pub text: Text,
    pub given_at: Timestamp,
    /// When the ledger heard of it.
    pub recorded_at: Timestamp,
    pub withdrawn_at: Option<Timestamp>,
    pub evidence: SealAt,
}

impl ConsentRow {
    pub fn is_acceptance(&self) -> bool {
        self.allows.is_none()
    }

    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn_at.is_some()
    }
}

pub(crate) enum Fold {}

impl Projection for Fold {
    const NAME: &'static str = "consents.v1";
    const SCHEMA: &'static str = include_str!("consents/schema.sql");
    const TABLES: &'static [&'static str] = &["consent"];

    fn apply(connection: &Connection, entry: &Recorded) -> Result<(), FoldError> {
        match &entry.event {
            Event::ConsentGiven(event) => {
                let allows = Some((event.purpose, event.medium));
                given(connection, entry, event.evidence, allows, event.occasion, &event.text)
            }
            Event::PolicyAccepted(event) => {
                given(connection, entry, event.evidence, None, event.occasion, &event.text)
            }
            Event::ConsentWithdrawn(event) => withdrawn(connection, entry, *event),
            Event::BookingRequested(_)
            | Event::BookingConfirmed(_)
            | Event::BookingDeclined(_)
            | Event::BookingRescheduled(_)
            | Event::BookingCancelled(_)
            | Event::BookingCheckedIn(_)
            | Event::BookingCompleted(_)
            | Event::BookingMissed(_)
            | Event::BookingChanged(_)
            | Event::BookingContentErased(_)
            | Event::PersonRegistered(_)
            | Event::PersonRectified(_)
            | Event::PersonErased(_)
            | Event::PersonRestricted(_)
            | Event::PersonUnrestricted(_)
            | Event::HoldPlaced(_)
            | Event::HoldLifted(_)
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

fn given(
    connection: &Connection,
    entry: &Recorded,
    evidence: Sealed<Evidence>,
    allows: Option<(Purpose, Medium)>,
    occasion: Occasion,
    text: &Text,
) -> Result<(), FoldError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO consent (id, handle, seal, purpose, medium, occasion, text_hash, \
         text_locale, given_at, recorded_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    statement.execute((
        Number(entry.position.0),
        Number(evidence.handle.0),
        evidence.seal,
        allows.map(|(purpose, _)| purpose.name()),
        allows.map(|(_, medium)| medium.name()),
        occasion.name(),
        text.hash.0,
        &text.locale,
        At(entry.occurred_at),
        At(entry.recorded_at),
    ))?;
    Ok(())
}

fn withdrawn(connection: &Connection, entry: &Recorded, event: Withdrawn) -> Result<(), FoldError> {
    let mut statement = connection.prepare_cached(
        "UPDATE consent SET withdrawn_at = ?2 \
         WHERE id = ?1 AND withdrawn_at IS NULL AND purpose IS NOT NULL",
    )?;
    let id = event.consent.0;
    match statement.execute((Number(id), At(entry.occurred_at)))? {
        0 => Err(FoldError::Unknown { what: "consent", id }),
        _ => Ok(()),
    }
}

/// The consents, to be read.
#[derive(Debug, Clone, Copy)]
pub struct Consents<'r> {
    connection: &'r Connection,
}

const COLUMNS: &str = "id, handle, seal, purpose, medium, occasion, text_hash, text_locale, \
     given_at, recorded_at, withdrawn_at";

impl<'r> Consents<'r> {
    pub(crate) fn of(connection: &'r Connection) -> Self {
        Self { connection }
    }

    /// The consent or acceptance with this number.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn get(&self, id: ConsentId) -> Result<Option<ConsentRow>, ProjectionError> {
        let sql = format!("SELECT {COLUMNS} FROM consent WHERE id = ?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row([Number(id.0)], consent).optional()?)
    }

    /// What was consented to and accepted under these handles, in order.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn of_handles(&self, handles: &[Handle]) -> Result<Vec<ConsentRow>, ProjectionError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM consent \
             WHERE handle IN (SELECT value FROM json_each(?1)) ORDER BY id"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([Json(handles)], consent)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn consent(row: &Row<'_>) -> rusqlite::Result<ConsentRow> {
    let (Number(id), Number(handle)) = (row.get(0)?, row.get(1)?);
    let purpose: Option<Word<Purpose>> = row.get(3)?;
    let medium: Option<Word<Medium>> = row.get(4)?;
    Ok(ConsentRow {
        id: ConsentId(id),
        allows: purpose.zip(medium).map(|(Word(purpose), Word(medium))| (purpose, medium)),
        occasion: row.get::<_, Word<_>>(5)?.0,
        text: Text { hash: Hash(row.get(6)?), locale: row.get(7)? },
        given_at: row.get::<_, At>(8)?.0,
        recorded_at: row.get::<_, At>(9)?.0,
        withdrawn_at: row.get::<_, Option<At>>(10)?.map(|At(at)| at),
        evidence: SealAt { position: Position(id), seal: row.get(2)?, handle: Handle(handle) },
    })
}
