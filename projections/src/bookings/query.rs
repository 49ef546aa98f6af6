//! What can be asked about bookings.

use domain::booking::{Hold, Part, Price, Role, Status};
use domain::entry::Actor;
use domain::facet::Facets;
use domain::ids::Hash;
use domain::slot::Zone;
use domain::{BookingId, GroupId, Handle, Position, ResourceId, RetentionClass, ServiceId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::Ended;
use crate::column::{At, Json, Number, Word};
use crate::{ProjectionError, SealAt};

/// The most rows of one page.
pub const LONGEST_PAGE: u32 = 1000;

/// A booking as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct BookingRow {
    pub id: BookingId,
    pub status: Status,
    pub service: ServiceId,
    pub start: Timestamp,
    pub end: Timestamp,
    pub zone: Zone,
    /// How many entries tell of it.
    pub version: u32,
    /// What it holds, or held until it was given up.
    pub held: Vec<Hold>,
    pub parts: Vec<PartRow>,
    /// Channel, party and the other facets of its newest time.
    pub facets: Facets,
    pub price: Option<Price>,
    pub policy: Option<Hash>,
    pub created_by: Actor,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When the ledger heard of it.
    pub recorded_at: Timestamp,
    /// That it was cancelled, or declined.
    pub cancelled: Option<Ended>,
    /// Whether some of what was said around it has been erased.
    pub content_erased: bool,
}

/// One person's part in a booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartRow {
    pub handle: Handle,
    pub role: Role,
    pub details: SealAt,
    pub health: Option<SealAt>,
    pub accounting: Option<SealAt>,
}

impl PartRow {
    fn of(position: Position, part: Part) -> Self {
        let at = |handle, seal| SealAt { position, seal, handle };
        Self {
            handle: part.handle,
            role: part.role,
            details: at(part.details.handle, part.details.seal),
            health: part.health.map(|seal| at(seal.handle, seal.seal)),
            accounting: part.accounting.map(|seal| at(seal.handle, seal.seal)),
        }
    }
}

/// Which bookings a page is of. What is none excludes nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BookingFilter {
    pub status: Option<Status>,
    pub service: Option<ServiceId>,
    pub resource: Option<ResourceId>,
    pub group: Option<GroupId>,
    /// Starting at this instant or later.
    pub from: Option<Timestamp>,
    /// Starting before this instant.
    pub to: Option<Timestamp>,
    /// Behind this booking in the order of pages: start, then number.
    pub after: Option<(Timestamp, BookingId)>,
    /// How many at most; never more than [`LONGEST_PAGE`].
    pub limit: u32,
}

/// The bookings, to be read.
#[derive(Debug, Clone, Copy)]
pub struct Bookings<'r> {
    connection: &'r Connection,
}

const COLUMNS: &str = "b.id, b.status, b.service, b.start_at, b.end_at, b.zone, b.version, b.held, \
     b.parts, b.facets, b.price, b.policy, b.created_by, b.created_at, b.recorded_at, \
     b.cancelled, b.content_erased";

impl<'r> Bookings<'r> {
    pub(crate) fn of(connection: &'r Connection) -> Self {
        Self { connection }
    }

    /// The booking with this number.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn get(&self, id: BookingId) -> Result<Option<BookingRow>, ProjectionError> {
        let sql = format!("SELECT {COLUMNS} FROM booking AS b WHERE b.id = ?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row([Number(id.0)], booking).optional()?)
    }

    /// A page of bookings, by start and then by number.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn page(&self, filter: &BookingFilter) -> Result<Vec<BookingRow>, ProjectionError> {
        let (source, order) = match filter.resource {
            Some(_) => (
                "booking_resource AS r CROSS JOIN booking AS b ON b.id = r.booking \
                 WHERE r.resource = :resource AND",
                "r",
            ),
            None => ("booking AS b WHERE :resource IS NULL AND", "b"),
        };
        let id = if order == "r" { "r.booking" } else { "b.id" };
        let sql = format!(
            "SELECT {COLUMNS} FROM {source} {order}.start_at >= :from AND {order}.start_at < :to \
             AND ({order}.start_at, {id}) > (:start, :id) \
             AND (:status IS NULL OR b.status = :status) \
             AND (:service IS NULL OR b.service = :service) \
             AND (:group IS NULL OR b.resource_group = :group) \
             ORDER BY {order}.start_at, {id} LIMIT :limit"
        );
        let after = filter.after.map(|(start, id)| (start.as_microsecond(), id));
        let first = filter.from.map_or(i64::MIN, Timestamp::as_microsecond);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(
            named_params! {
                ":resource": filter.resource.map(|id| Number(id.0)),
                ":from": after.map_or(first, |(start, _)| start.max(first)),
                ":to": filter.to.map_or(i64::MAX, Timestamp::as_microsecond),
                ":start": after.map_or(i64::MIN, |(start, _)| start),
                ":id": Number(after.map_or(0, |(_, id)| id.0)),
                ":status": filter.status.map(Status::name),
                ":service": filter.service.map(|id| Number(id.0)),
                ":group": filter.group.map(|id| Number(id.0)),
                ":limit": filter.limit.min(LONGEST_PAGE),
            },
            booking,
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The bookings of which something is kept in a class, over at an instant or before, the
    /// longest over first; behind one that is known.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn kept(
        &self,
        class: RetentionClass,
        until: Timestamp,
        after: Option<(Timestamp, BookingId)>,
        limit: u32,
    ) -> Result<Vec<(Timestamp, BookingId)>, ProjectionError> {
        let column = match class {
            RetentionClass::Booking => "details",
            RetentionClass::Health => "health",
            RetentionClass::Contact
            | RetentionClass::Consent
            | RetentionClass::Accounting
            | RetentionClass::Access => return Ok(Vec::new()),
        };
        let sql = format!(
            "SELECT end_at, id FROM booking WHERE {column} AND end_at <= ?1 \
             AND (end_at, id) > (?2, ?3) ORDER BY end_at, id LIMIT ?4"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let (end, id) = after.map_or((i64::MIN, 0), |(end, id)| (end.as_microsecond(), id.0));
        let rows = statement.query_map((At(until), end, Number(id), limit), |row| {
            let Number(id) = row.get(1)?;
            Ok((row.get::<_, At>(0)?.0, BookingId(id)))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The bookings that some of these handles have a part in, by start.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn of_handles(&self, handles: &[Handle]) -> Result<Vec<BookingRow>, ProjectionError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM booking AS b WHERE b.id IN (SELECT booking FROM part \
             WHERE handle IN (SELECT value FROM json_each(?1))) ORDER BY b.start_at, b.id"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([Json(handles)], booking)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The booking that a handle has its part in.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn by_handle(&self, handle: Handle) -> Result<Option<BookingId>, ProjectionError> {
        let mut statement =
            self.connection.prepare_cached("SELECT booking FROM part WHERE handle = ?1")?;
        let found = statement.query_row([Number(handle.0)], |row| row.get(0)).optional()?;
        Ok(found.map(|Number(id)| BookingId(id)))
    }
}

fn booking(row: &Row<'_>) -> rusqlite::Result<BookingRow> {
    let Number(id) = row.get(0)?;
    let Number(service) = row.get(2)?;
    let Json(parts): Json<Vec<Part>> = row.get(8)?;
    let position = Position(id);
    Ok(BookingRow {
        id: BookingId(id),
        status: row.get::<_, Word<_>>(1)?.0,
        service: ServiceId(service),
        start: row.get::<_, At>(3)?.0,
        end: row.get::<_, At>(4)?.0,
        zone: row.get::<_, Word<_>>(5)?.0,
        version: row.get(6)?,
        held: row.get::<_, Json<_>>(7)?.0,
        parts: parts.into_iter().map(|part| PartRow::of(position, part)).collect(),
        facets: row.get::<_, Json<_>>(9)?.0,
        price: row.get::<_, Option<Json<_>>>(10)?.map(|Json(price)| price),
        policy: row.get::<_, Option<_>>(11)?.map(Hash),
        created_by: row.get::<_, Json<_>>(12)?.0,
        created_at: row.get::<_, At>(13)?.0,
        recorded_at: row.get::<_, At>(14)?.0,
        cancelled: row.get::<_, Option<Json<_>>>(15)?.map(|Json(ended)| ended),
        content_erased: row.get(16)?,
    })
}
