//! Moving rows of the index over tags into their table, on a connection of their own.

use super::{Part, Tx, int};
use crate::engine::{EngineError, TagMover};
use crate::ledger::index::TagRow;

/// Moves the rows of one ledger.
pub(super) struct PgTagMover(pub Part);

impl TagMover for PgTagMover {
    fn write(&mut self, rows: &[TagRow]) -> Result<(), EngineError> {
        let (tags, positions): (Vec<i64>, Vec<i64>) =
            rows.iter().map(|(tag, at)| (int(tag.0), int(at.0))).unzip();
        let mut tx = Tx::begin(&self.0)?;
        let sql = "INSERT INTO tag SELECT * FROM unnest($1::int8[], $2::int8[])
                   ON CONFLICT DO NOTHING";
        tx.run(sql, &[&tags, &positions])?;
        Ok(tx.commit()?)
    }

    fn complete(&mut self, indexed: u64) -> Result<(), EngineError> {
        let mut tx = Tx::begin(&self.0)?;
        let sql = "UPDATE head SET indexed = $1 WHERE id = 1 AND indexed < $1";
        tx.run(sql, &[&int(indexed)])?;
        Ok(tx.commit()?)
    }
}
