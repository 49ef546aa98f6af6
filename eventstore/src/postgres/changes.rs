//! Rows of the keyring that are changed outside of a batch.

use super::{PgError, Tx, papers, rotation};
use crate::engine::{Change, repeats_of};
use crate::keyring::{SECRET_FORMER_LOG, SECRET_LOG};

pub(super) fn make(tx: &mut Tx, change: &Change) -> Result<u64, PgError> {
    match change {
        Change::Paper(paper) => papers::make(tx, paper),
        Change::Period { class, year, wrapped } => {
            let sql = "INSERT INTO period_key VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
            tx.run(sql, &[&i16::from(class.code()), year, wrapped])
        }
        Change::Secret { name, wrapped } => {
            tx.run("INSERT INTO secret VALUES ($1, $2) ON CONFLICT DO NOTHING", &[name, wrapped])
        }
        Change::LogKey { was, wrapped } => {
            let sql = "UPDATE secret SET wrapped = $3 WHERE name = $1 AND wrapped = $2";
            let changed = tx.run(sql, &[&SECRET_LOG, was, wrapped])?;
            if changed > 0 {
                let sql = "INSERT INTO secret VALUES ($1, $2)
                           ON CONFLICT (name) DO UPDATE SET wrapped = excluded.wrapped";
                tx.run(sql, &[&SECRET_FORMER_LOG, was])?;
            }
            Ok(changed)
        }
        Change::ForgetLogKey => tx.run("DELETE FROM secret WHERE name = $1", &[&SECRET_FORMER_LOG]),
        Change::TenantKey { epoch, wrapped } => {
            let sql = "INSERT INTO tenant_key VALUES ($1, $2) ON CONFLICT DO NOTHING";
            tx.run(sql, &[&i32::try_from(*epoch).unwrap_or(i32::MAX), wrapped])
        }
        Change::Rewrapped(rows) => rotation::rewrap(tx, rows),
        Change::Rotated(rows) => rotation::rotate(tx, rows),
        Change::Replaced(replaced) => rotation::replace(tx, replaced),
        Change::EndEpochs { before } => rotation::end_epochs(tx, *before),
        // A server lays rows down anew when it vacuums.
        Change::LinksAnew => Ok(0),
        Change::Day { day, wrapped } => {
            let sql = "INSERT INTO secret VALUES ($1, $2) ON CONFLICT DO NOTHING";
            let made = tx.run(sql, &[&repeats_of(*day), wrapped])?;
            end_days(tx, *day)?;
            Ok(made)
        }
        Change::EndDays { today } => end_days(tx, *today),
    }
}

/// Lets go of repeats from before yesterday, with their keys; how many there were.
fn end_days(tx: &mut Tx, today: i64) -> Result<u64, PgError> {
    let ended = tx.run("DELETE FROM idempotency WHERE day < $1", &[&(today - 1)])?;
    let sql = "DELETE FROM secret WHERE name LIKE 'repeats %' AND name <> $1 AND name <> $2";
    tx.run(sql, &[&repeats_of(today), &repeats_of(today - 1)])?;
    Ok(ended)
}
