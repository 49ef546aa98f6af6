//! A copy of a ledger on a server, as the file that it would be on one machine.
//!
//! What reads a ledger whole reads such a copy: the audit has one way to check tables, and a tenant
//! one form in which to move.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::pool::Borrowed;
use super::reader::get;
use super::transaction::UNHURRIED;
use super::{Part, PgError, Scope, Tx, apart};
use crate::ledger::log::ReadError;
use crate::sqlite;

/// How many rows are fetched at a time.
const STRETCH: &str = "FETCH FORWARD 4000 FROM copied";

/// Each table with its columns, alike on both sides.
pub(super) const TABLES: [(&str, &str); 16] = [
    ("entry", "position, bytes, leaf"),
    ("seal", "id, ciphertext"),
    ("tag", "tag, position"),
    ("idempotency", "day, key, body, first, count"),
    ("tenant_key", "epoch, wrapped"),
    ("secret", "name, wrapped"),
    ("person", "id, state, fence, fields, registration, contact_at, contact_handle, keys, lookups"),
    ("retired_key", "person, class, wrapped"),
    ("period_key", "class, year, wrapped"),
    ("data_key", "id, person, year, wrapped"),
    ("person_tag", "person, until, position, handle, booking, seals, year, visits"),
    ("lookup", "value, person"),
    ("api_key", "id, hash, role, label, person, created_at, revoked_at, recipient"),
    (
        "privacy_request",
        "id, kind, person, requested_at, decided_at, status, fence_at, course, receipt",
    ),
    ("given", "person, recipient, since"),
    (
        "notice",
        "id, recipient, kind, person, position, made_at, attempts, next_at, acknowledged_at",
    ),
];

const HEAD: &str =
    "SELECT id, tenant, origin, size, frontier, recorded_at, indexed, 0::int8, 0::int8
    FROM head";

const COUNTERS: &str = "SELECT name, next FROM counter WHERE name IN ('handle', 'person')";

/// How many of the tables are the ledger's.
pub(super) const OF_LEDGER: usize = 3;

/// Copies a ledger as it stands at one moment into a new file.
pub(super) fn copy(scope: &Scope, to: &Path) -> Result<(), ReadError> {
    let mut file = sqlite::open_writer(to)?;
    // Nobody relies on the copy before it is complete.
    file.pragma_update(None, "synchronous", "OFF")?;
    let tx = file.transaction()?;
    let (ledger, keyring) = snapshots(scope)?;
    let keys = keyring.as_ref().unwrap_or(&ledger);
    let columns =
        "id, tenant, origin, size, frontier, recorded_at, indexed, next_handle, next_person";
    rows(&ledger, HEAD, &tx, "head", columns)?;
    for row in keys.wait(keys.client()?.query(COUNTERS, &[])).map_err(PgError::of)? {
        let (name, next): (&str, i64) = (get(&row, 0)?, get(&row, 1)?);
        tx.execute(&format!("UPDATE head SET next_{name} = ?1"), [next])?;
    }
    for (n, (table, columns)) in TABLES.into_iter().enumerate() {
        // In order: entries are only added at the next position.
        let select = format!("SELECT {columns} FROM {table} ORDER BY 1");
        let from = if n < OF_LEDGER { &ledger } else { keys };
        rows(from, &select, &tx, table, columns)?;
    }
    for snapshot in [Some(ledger), keyring].into_iter().flatten() {
        snapshot.wait(snapshot.client()?.batch_execute("COMMIT")).map_err(PgError::of)?;
        snapshot.done();
    }
    tx.commit()?;
    Ok(())
}

/// The ledger as it stands at one moment, with the keyring where it is in another database.
fn snapshots(scope: &Scope) -> Result<(Borrowed, Option<Borrowed>), PgError> {
    if scope.apart.is_none() {
        return Ok((snapshot(&scope.ledger)?, None));
    }
    // No commit is under way while somebody has the head and what was prepared is settled.
    let (mut head, _) = Tx::with_head(&scope.ledger)?;
    apart::settle(scope, &mut head)?;
    let taken = (snapshot(&scope.ledger)?, Some(snapshot(&scope.keyring)?));
    head.end("ROLLBACK")?;
    Ok(taken)
}

fn snapshot(part: &Part) -> Result<Borrowed, PgError> {
    let borrowed = part.server.borrow_for(&part.tenant)?;
    // One lies idle while what is in the other database is copied, however long that takes.
    let begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {}; {UNHURRIED};
         SELECT 1 FROM pg_class LIMIT 1",
        part.begin
    );
    borrowed.wait(borrowed.client()?.batch_execute(&begin)).map_err(PgError::of)?;
    Ok(borrowed)
}

fn rows(
    from: &Borrowed,
    select: &str,
    file: &Connection,
    table: &str,
    columns: &str,
) -> Result<(), ReadError> {
    let places = vec!["?"; columns.split(',').count()].join(", ");
    let mut insert = file.prepare(&format!("INSERT INTO {table} ({columns}) VALUES ({places})"))?;
    let client = from.client()?;
    let open = format!("DECLARE copied NO SCROLL CURSOR FOR {select}");
    from.wait(client.batch_execute(&open)).map_err(PgError::of)?;
    let fetch = from.wait(client.prepare(STRETCH)).map_err(PgError::of)?;
    loop {
        let stretch = from.wait(client.query(&fetch, &[])).map_err(PgError::of)?;
        if stretch.is_empty() {
            break;
        }
        for row in &stretch {
            insert.execute(params_from_iter(values(row)?))?;
        }
    }
    from.wait(client.batch_execute("CLOSE copied")).map_err(PgError::of)?;
    Ok(())
}

fn values(row: &Row) -> Result<Vec<Value>, PgError> {
    let value = |column: usize, kind: &Type| -> Result<Value, tokio_postgres::Error> {
        let value = match *kind {
            Type::INT2 => row.try_get::<_, Option<i16>>(column)?.map(Value::from),
            Type::INT4 => row.try_get::<_, Option<i32>>(column)?.map(Value::from),
            Type::INT8 => row.try_get::<_, Option<i64>>(column)?.map(Value::from),
            Type::TEXT => row.try_get::<_, Option<String>>(column)?.map(Value::from),
            _ => row.try_get::<_, Option<Vec<u8>>>(column)?.map(Value::from),
        };
        Ok(value.unwrap_or(Value::Null))
    };
    let values = row.columns().iter().enumerate().map(|(n, column)| value(n, column.type_()));
    values.collect::<Result<_, _>>().map_err(PgError::Altered)
}
