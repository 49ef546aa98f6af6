//! Repeats: a request that was answered in the last day is answered the same again.

use domain::Position;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::Batch;
use crate::keyring::KeyError;
use crate::keyring::key::Key;
use crate::ledger::appender::{AppendError, Appended, Idempotency};
use crate::ledger::writer::Writer;
use crate::sqlite::{int, uint};
use crate::tree::Hash;

/// A request that was answered, to be known again.
pub(in crate::ledger) struct Repeat {
    day: i64,
    key: Hash,
    body: Hash,
}

/// What is known of a request.
pub(in crate::ledger) enum Seen {
    Before(Appended),
    Never(Repeat),
}

impl Writer {
    /// Whether a request was answered before, in this batch or in the last day.
    pub(in crate::ledger) fn repeated(
        &mut self,
        batch: &Batch,
        idempotency: Idempotency,
        now: Timestamp,
    ) -> Result<Seen, AppendError> {
        const DAY: i64 = 24 * 3600;
        let today = now.as_second().div_euclid(DAY);
        for day in [today, today - 1] {
            let Some(secret) = self.repeat_key(day, day == today)? else { continue };
            let key = secret.hmac(&[b"key", &idempotency.key]);
            let body = secret.hmac(&[b"body", &idempotency.body]);
            let earlier = batch.repeats.iter().find(|(repeat, _)| repeat.key == key);
            let stored = match earlier {
                Some((repeat, appended)) => Some((repeat.body, appended.clone())),
                None => self.stored_repeat(day, &key)?,
            };
            match stored {
                Some((known, appended)) if known == body => {
                    return Ok(Seen::Before(Appended { repeated: true, ..appended }));
                }
                Some(_) => return Err(AppendError::KeyReused),
                None => (),
            }
        }
        let secret = self.repeat_key(today, true)?.ok_or(AppendError::Stopped)?;
        let key = secret.hmac(&[b"key", &idempotency.key]);
        let body = secret.hmac(&[b"body", &idempotency.body]);
        Ok(Seen::Never(Repeat { day: today, key, body }))
    }

    fn stored_repeat(&self, day: i64, key: &Hash) -> rusqlite::Result<Option<(Hash, Appended)>> {
        let mut select = self.conn.prepare_cached(
            "SELECT body, first, count FROM idempotency WHERE day = ?1 AND key = ?2",
        )?;
        select
            .query_row(params![day, key], |row| {
                let first = Position(uint(row.get(1)?));
                Ok((row.get(0)?, Appended { first, count: row.get(2)?, repeated: true }))
            })
            .optional()
    }

    /// The key of one day's repeats; making today's lets go of those that are over.
    fn repeat_key(&mut self, day: i64, make: bool) -> Result<Option<&Key>, AppendError> {
        if !self.repeats.contains_key(&day) {
            let name = format!("repeats {day}");
            let mut select =
                self.conn.prepare_cached("SELECT wrapped FROM secret WHERE name = ?1")?;
            let wrapped: Option<Vec<u8>> =
                select.query_row([&name], |row| row.get(0)).optional()?;
            drop(select);
            let tenant_key = self.keyring.tenant_key()?;
            let key = match wrapped {
                Some(wrapped) => tenant_key.key.unwrap(&wrapped).map_err(KeyError::from)?,
                None if !make => return Ok(None),
                None => {
                    let key = Key::random(&self.env);
                    let wrapped = tenant_key.key.wrap(&key);
                    self.begin_day(day, &name, &wrapped)?;
                    key
                }
            };
            self.repeats.retain(|known, _| *known >= day - 1);
            self.repeats.insert(day, key);
        }
        Ok(self.repeats.get(&day))
    }

    fn begin_day(&mut self, day: i64, name: &str, wrapped: &[u8]) -> rusqlite::Result<()> {
        let tx = self.conn.transaction()?;
        tx.execute("INSERT INTO secret VALUES (?1, ?2)", params![name, wrapped])?;
        tx.execute("DELETE FROM idempotency WHERE day < ?1", [day - 1])?;
        let yesterday = format!("repeats {}", day - 1);
        tx.execute(
            "DELETE FROM secret WHERE name GLOB 'repeats *' AND name NOT IN (?1, ?2)",
            params![name, yesterday],
        )?;
        tx.commit()
    }
}

pub(super) fn insert(conn: &Connection, repeats: &[(Repeat, Appended)]) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached("INSERT INTO idempotency VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (repeat, appended) in repeats {
        let first = int(appended.first.0);
        insert.execute(params![repeat.day, repeat.key, repeat.body, first, appended.count])?;
    }
    Ok(())
}
