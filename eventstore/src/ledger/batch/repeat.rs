//! Repeats: a request that was answered in the last day is answered the same again.

use jiff::Timestamp;

use super::Batch;
use crate::engine::{Change, KeyRow, repeats_of};
use crate::keyring::KeyError;
use crate::keyring::key::Key;
use crate::ledger::appender::{AppendError, Appended, Idempotency};
use crate::ledger::writer::Writer;
use crate::tree::Hash;

/// A request that was answered, to be known again.
pub(crate) struct Repeat {
    pub day: i64,
    pub key: Hash,
    pub body: Hash,
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
                None => self.log.reader().repeat(day, &key)?,
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

    /// The key of one day's repeats; making today's lets go of those that are over.
    fn repeat_key(&mut self, day: i64, make: bool) -> Result<Option<&Key>, AppendError> {
        if !self.repeats.contains_key(&day) {
            let name = repeats_of(day);
            let mut wrapped = self.log.reader().wrapped(KeyRow::Secret(&name))?;
            let tenant_key = self.keyring.tenant_key()?;
            if wrapped.is_none() && make {
                let new = tenant_key.key.wrap(&Key::random(&self.env)).to_vec();
                self.engine.change(&Change::Day { day, wrapped: new })?;
                // Whoever was first has made it for all.
                wrapped = self.log.reader().wrapped(KeyRow::Secret(&name))?;
            }
            let Some(wrapped) = wrapped else { return Ok(None) };
            let key = tenant_key.key.unwrap(&wrapped).map_err(KeyError::from)?;
            self.repeats.retain(|known, _| *known >= day - 1);
            self.repeats.insert(day, key);
        }
        Ok(self.repeats.get(&day))
    }
}
