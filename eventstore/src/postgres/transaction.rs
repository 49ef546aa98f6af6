//! A transaction of a tenant's on one server, as the tenant's role.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::pool::Borrowed;
use super::{Part, PgError};

/// Set for a transaction that lies idle while another database is being worked on.
pub(super) const UNHURRIED: &str = "SET LOCAL idle_in_transaction_session_timeout = 0";
const HEAD: &str = "SELECT size FROM head WHERE id = 1 FOR UPDATE";

/// A transaction under way; let go of, it is rolled back.
pub(super) struct Tx(Borrowed);

impl Tx {
    pub(super) fn begin(part: &Part) -> Result<Self, PgError> {
        Self::begin_with(part, "")
    }

    /// As [`Self::begin`], with more that is set for the transaction.
    pub(super) fn begin_with(part: &Part, more: &str) -> Result<Self, PgError> {
        let begin = format!("BEGIN; {}{more}", part.begin);
        Self::begin_on(part.server.borrow_for(&part.tenant)?, part, &begin)
    }

    /// As [`Self::begin`], of a transaction beside which others are asked for before it ends. There are
    /// never so many that these wait for one another.
    pub(super) fn begin_first(part: &Part) -> Result<Self, PgError> {
        let begin = format!("BEGIN; {}", part.begin);
        Self::begin_on(part.server.borrow_first(&part.tenant)?, part, &begin)
    }

    /// As [`Self::begin_first`], with the head of a ledger, and how long that is: every commit of it has
    /// ended, and none begins before this does.
    pub(super) fn with_head(ledger: &Part) -> Result<(Self, i64), PgError> {
        let mut tx = Self::begin_first(ledger)?;
        let size = tx.number(HEAD, &[])?.unwrap_or_default();
        Ok((tx, size))
    }

    /// As [`Self::begin`], on a connection that is at hand; it acts for the tenant from then on.
    pub(super) fn turn(borrowed: Borrowed, part: &Part) -> Result<Self, PgError> {
        let mut tx = Self::begin_on(borrowed, part, &format!("BEGIN; {}", part.turn))?;
        tx.0.acts_from_now();
        Ok(tx)
    }

    fn begin_on(borrowed: Borrowed, part: &Part, begin: &str) -> Result<Self, PgError> {
        match borrowed.wait(borrowed.client()?.batch_execute(begin)) {
            Ok(()) => Ok(Self(borrowed)),
            Err(error) if error.code().is_none() => {
                // A connection that died while it lay idle.
                let first = borrowed.is_first();
                drop(borrowed);
                part.server.let_go();
                let borrowed = match first {
                    true => part.server.borrow_first(&part.tenant)?,
                    false => part.server.borrow_for(&part.tenant)?,
                };
                borrowed.wait(borrowed.client()?.batch_execute(begin)).map_err(PgError::of)?;
                Ok(Self(borrowed))
            }
            Err(error) => Err(PgError::of(error)),
        }
    }

    pub(super) fn connection(&self) -> &Borrowed {
        &self.0
    }

    /// As [`Borrowed::wait`].
    pub(super) fn wait<F: Future>(&self, future: F) -> F::Output {
        self.0.wait(future)
    }

    pub(super) fn prepared(&mut self, sql: &'static str) -> Result<Statement, PgError> {
        self.0.prepared(sql)
    }

    /// As [`Borrowed::prepared_by_name`].
    pub(super) fn prepared_by_name(
        &mut self,
        sql: &'static str,
        written: impl FnOnce(&str) -> String,
    ) -> Result<Statement, PgError> {
        self.0.prepared_by_name(sql, written)
    }

    pub(super) fn rows(
        &mut self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, PgError> {
        let statement = self.prepared(sql)?;
        self.wait(self.0.client()?.query(&statement, params)).map_err(PgError::of)
    }

    /// The number in the first row, if there is one.
    pub(super) fn number(
        &mut self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<i64>, PgError> {
        let row = self.rows(sql, params)?.pop();
        row.map(|row| row.try_get(0).map_err(PgError::Altered)).transpose()
    }

    pub(super) fn run(
        &mut self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, PgError> {
        let statement = self.prepared(sql)?;
        self.wait(self.0.client()?.execute(&statement, params)).map_err(PgError::of)
    }

    pub(super) fn commit(self) -> Result<(), PgError> {
        self.end("COMMIT")
    }

    /// Ends the transaction in some way, and gives the connection back.
    pub(super) fn end(self, how: &str) -> Result<(), PgError> {
        self.wait(self.0.client()?.batch_execute(how)).map_err(PgError::of)?;
        self.done();
        Ok(())
    }

    /// Gives the connection back: the transaction has ended.
    pub(super) fn done(self) {
        self.0.done();
    }
}
