//! Rows of the keyring that are changed outside of a batch: keys to sign in with, requests, secrets.

use tokio_postgres::Row;

use super::writer::Tx;
use super::{PgError, int, rotation, uint};
use crate::engine::{Change, repeats_of};

pub(super) fn make(tx: &mut Tx, change: &Change) -> Result<u64, PgError> {
    let number = |rows: Vec<Row>| -> Result<u64, PgError> {
        let id = rows.first().map(|row| row.try_get::<_, i64>(0)).transpose();
        Ok(uint(id.map_err(PgError::Altered)?.unwrap_or(0)))
    };
    match change {
        Change::AddApiKey { hash, role, label, person, at } => {
            let sql = "INSERT INTO api_key (hash, role, label, person, created_at)
                       VALUES ($1, $2, $3, $4, $5) RETURNING id";
            let person = person.map(|person| int(person.0));
            number(tx.rows(sql, &[&hash.as_slice(), role, label, &person, at])?)
        }
        Change::AddPrivacyRequest { kind, person, at } => {
            let sql = "INSERT INTO privacy_request (kind, person, requested_at, status)
                       VALUES ($1, $2, $3, 'received') RETURNING id";
            number(tx.rows(sql, &[kind, &int(person.0), at])?)
        }
        Change::RevokeApiKey { id, at } => {
            let sql = "UPDATE api_key SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
            tx.run(sql, &[&int(*id), at])
        }
        Change::DecidePrivacyRequest { id, status, fence, at } => {
            let sql = "UPDATE privacy_request SET status = $2, fence_at = $3, decided_at = $4
                       WHERE id = $1";
            tx.run(sql, &[&int(*id), status, &fence.map(|at| int(at.0)), at])
        }
        Change::Period { class, year, wrapped } => {
            let sql = "INSERT INTO period_key VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
            tx.run(sql, &[&i16::from(class.code()), year, wrapped])
        }
        Change::Secret { name, wrapped } => {
            tx.run("INSERT INTO secret VALUES ($1, $2) ON CONFLICT DO NOTHING", &[name, wrapped])
        }
        Change::TenantKey { epoch, wrapped } => {
            let sql = "INSERT INTO tenant_key VALUES ($1, $2) ON CONFLICT DO NOTHING";
            tx.run(sql, &[&i32::try_from(*epoch).unwrap_or(i32::MAX), wrapped])
        }
        Change::Rewrapped(rows) => rotation::rewrap(tx, rows),
        Change::Recovered(rows) => rotation::recover(tx, rows),
        Change::Replaced(replaced) => rotation::replace(tx, replaced),
        Change::EndEpochs { before } => rotation::end_epochs(tx, *before),
        Change::Day { day, wrapped } => {
            let (today, yesterday) = (repeats_of(*day), repeats_of(day - 1));
            let sql = "INSERT INTO secret VALUES ($1, $2) ON CONFLICT DO NOTHING";
            let made = tx.run(sql, &[&today, wrapped])?;
            tx.run("DELETE FROM idempotency WHERE day < $1", &[&(day - 1)])?;
            let sql = "DELETE FROM secret WHERE name LIKE 'repeats %' AND name <> $1
                       AND name <> $2";
            tx.run(sql, &[&today, &yesterday])?;
            Ok(made)
        }
    }
}
