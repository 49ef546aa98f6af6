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
