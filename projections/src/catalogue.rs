//! The catalogue and the tenant's policy as they stand.

use domain::catalogue::{Resource, Service};
use domain::policy::Policy;
use domain::{Event, GroupId, Recorded, ResourceId, ServiceId};
use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::column::{Json, Number};
use crate::{FoldError, Projection, ProjectionError};

/// Something of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<I, T> {
    pub id: I,
    pub value: T,
    /// Whether it takes no new bookings any more.
    pub retired: bool,
    /// How many entries tell of it.
    pub version: u32,
}

pub(crate) enum Fold {}

impl Projection for Fold {
    const NAME: &'static str = "catalogue.v1";
    const SCHEMA: &'static str = include_str!("catalogue/schema.sql");
    const TABLES: &'static [&'static str] = &["resource_group", "resource", "service", "policy"];

    fn apply(connection: &Connection, entry: &Recorded) -> Result<(), FoldError> {
        let id = entry.position.0;
        match &entry.event {
            Event::GroupDefined(event) => group_defined(connection, id, &event.name),
            Event::ResourceDefined(event) => {
                let resource = &event.resource;
                defined(connection, "resource", id, &resource.name, resource)
            }
            Event::ResourceRevised(event) => {
                let resource = &event.resource;
                revised(connection, "resource", event.id.0, &resource.name, resource)
            }
            Event::ResourceRetired(event) => retired(connection, "resource", event.id.0),
            Event::ServiceDefined(event) => {
                let service = &event.service;
                defined(connection, "service", id, &service.name, service)
            }
            Event::ServiceRevised(event) => {
                let service = &event.service;
                revised(connection, "service", event.id.0, &service.name, service)
            }
            Event::ServiceRetired(event) => retired(connection, "service", event.id.0),
            Event::PolicySet(event) => policy_set(connection, &event.policy),
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
            | Event::ConsentGiven(_)
            | Event::ConsentWithdrawn(_)
            | Event::PolicyAccepted(_)
            | Event::LedgerReopened(_)
            | Event::KeysRotated(_)
            | Event::LogKeyRotated(_)
            | Event::LedgerMoved(_)
            | Event::PeriodEnded(_)
            | Event::SealsOpened(_) => Ok(()),
        }
    }
}

fn group_defined(connection: &Connection, id: u64, name: &str) -> Result<(), FoldError> {
    let mut statement = connection
        .prepare_cached("INSERT INTO resource_group (id, name, version) VALUES (?1, ?2, 1)")?;
    statement.execute((Number(id), name))?;
    Ok(())
}

fn defined(
    connection: &Connection,
    table: &str,
    id: u64,
    name: &str,
    value: &impl Serialize,
) -> Result<(), FoldError> {
    let sql =
        format!("INSERT INTO {table} (id, name, body, retired, version) VALUES (?1, ?2, ?3, 0, 1)");
    connection.prepare_cached(&sql)?.execute((Number(id), name, Json(value)))?;
    Ok(())
}

/// What is revised takes bookings again.
fn revised(
    connection: &Connection,
    table: &'static str,
    id: u64,
    name: &str,
    value: &impl Serialize,
) -> Result<(), FoldError> {
    let sql = format!(
        "UPDATE {table} SET name = ?2, body = ?3, retired = 0, version = version + 1 WHERE id = ?1"
    );
    let changed = connection.prepare_cached(&sql)?.execute((Number(id), name, Json(value)))?;
    one(table, id, changed)
}

fn retired(connection: &Connection, table: &'static str, id: u64) -> Result<(), FoldError> {
    let sql = format!("UPDATE {table} SET retired = 1, version = version + 1 WHERE id = ?1");
    let changed = connection.prepare_cached(&sql)?.execute([Number(id)])?;
    one(table, id, changed)
}

fn one(what: &'static str, id: u64, changed: usize) -> Result<(), FoldError> {
    if changed == 1 { Ok(()) } else { Err(FoldError::Unknown { what, id }) }
}

fn policy_set(connection: &Connection, policy: &Policy) -> Result<(), FoldError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO policy (id, body, version) VALUES (1, ?1, 1) \
         ON CONFLICT (id) DO UPDATE SET body = excluded.body, version = version + 1",
    )?;
    statement.execute([Json(policy)])?;
    Ok(())
}

/// The catalogue, to be read.
#[derive(Debug, Clone, Copy)]
pub struct Catalogue<'r> {
    connection: &'r Connection,
}

impl<'r> Catalogue<'r> {
    pub(crate) fn of(connection: &'r Connection) -> Self {
        Self { connection }
    }

    /// Every group of resources with its name, in order.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn groups(&self) -> Result<Vec<Item<GroupId, String>>, ProjectionError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT id, name, version FROM resource_group ORDER BY id")?;
        let rows = statement.query_map([], group)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The group with this number.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn group(&self, id: GroupId) -> Result<Option<Item<GroupId, String>>, ProjectionError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT id, name, version FROM resource_group WHERE id = ?1")?;
        Ok(statement.query_row([Number(id.0)], group).optional()?)
    }

    /// Every resource, retired ones too, in order.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn resources(&self) -> Result<Vec<Item<ResourceId, Resource>>, ProjectionError> {
        self.all("resource", ResourceId)
    }

    /// The resource with this number.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn resource(
        &self,
        id: ResourceId,
    ) -> Result<Option<Item<ResourceId, Resource>>, ProjectionError> {
        self.one("resource", id.0, ResourceId)
    }

    /// Every service, retired ones too, in order.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn services(&self) -> Result<Vec<Item<ServiceId, Service>>, ProjectionError> {
        self.all("service", ServiceId)
    }

    /// The service with this number.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn service(
        &self,
        id: ServiceId,
    ) -> Result<Option<Item<ServiceId, Service>>, ProjectionError> {
        self.one("service", id.0, ServiceId)
    }

    /// The tenant's policy and how many entries set it; none before the first.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn policy(&self) -> Result<Option<(Policy, u32)>, ProjectionError> {
        let mut statement = self.connection.prepare_cached("SELECT body, version FROM policy")?;
        let policy = |row: &Row<'_>| Ok((row.get::<_, Json<_>>(0)?.0, row.get(1)?));
        Ok(statement.query_row([], policy).optional()?)
    }

    fn all<I, T: DeserializeOwned>(
        &self,
        table: &str,
        id: impl Fn(u64) -> I,
    ) -> Result<Vec<Item<I, T>>, ProjectionError> {
        let sql = format!("SELECT id, body, retired, version FROM {table} ORDER BY id");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([], |row| item(row, &id))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn one<I, T: DeserializeOwned>(
        &self,
        table: &str,
        number: u64,
        id: impl Fn(u64) -> I,
    ) -> Result<Option<Item<I, T>>, ProjectionError> {
        let sql = format!("SELECT id, body, retired, version FROM {table} WHERE id = ?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row([Number(number)], |row| item(row, &id)).optional()?)
    }
}

fn group(row: &Row<'_>) -> rusqlite::Result<Item<GroupId, String>> {
    let Number(id) = row.get(0)?;
    Ok(Item { id: GroupId(id), value: row.get(1)?, retired: false, version: row.get(2)? })
}

fn item<I, T: DeserializeOwned>(
    row: &Row<'_>,
    id: &impl Fn(u64) -> I,
) -> rusqlite::Result<Item<I, T>> {
    let (Number(number), Json(value)) = (row.get(0)?, row.get(1)?);
    Ok(Item { id: id(number), value, retired: row.get(2)?, version: row.get(3)? })
}
