//! Repeats: a request that was answered in the last day is answered the same again.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Batch;
use crate::engine::{Change, KeyRow, day_of, repeats_of};
use crate::keyring::key::Key;
use crate::ledger::appender::{Append, AppendError, Appended, Idempotency};
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

/// What was looked up of requests: by the hash that stands for each, what was answered, if it was.
pub(in crate::ledger) type Looked = BTreeMap<Hash, Option<(Hash, Appended)>>;

impl Writer {
    /// Looks up at once which of these requests were answered before. On a server each look is a
    /// round trip, for which everybody would wait.
    pub(in crate::ledger) fn look_up<'a>(
        &mut self,
        appends: impl Iterator<Item = &'a Append>,
    ) -> Result<(), AppendError> {
        self.looked.clear();
        let asked: Vec<Idempotency> = appends.filter_map(|append| append.idempotency).collect();
        if asked.is_empty() {
            return Ok(());
        }
        // What was not there may have been made by another node.
        self.repeats.retain(|_, key| key.is_some());
        let today = self.today();
        let mut names = Vec::with_capacity(2 * asked.len());
        for day in [today, today - 1] {
            let Some(secret) = self.repeat_key(day, day == today)? else { continue };
            names.extend(asked.iter().map(|asked| (day, secret.hmac(&[b"key", &asked.key]))));
        }
        let stored = self.log.reader().repeats(&names)?;
        self.looked.extend(names.into_iter().map(|(_, name)| (name, None)));
        self.looked.extend(stored.into_iter().map(|(name, answer)| (name, Some(answer))));
        Ok(())
    }

    fn today(&self) -> i64 {
        day_of(self.env.clock.now().as_second().max(self.recorded_at / 1_000_000))
    }

    /// Whether a request was answered before, in this batch or in the last day.
    pub(in crate::ledger) fn repeated(
        &mut self,
        batch: &Batch,
        idempotency: Idempotency,
        now: Timestamp,
    ) -> Result<Seen, AppendError> {
        let today = day_of(now.as_second());
        for day in [today, today - 1] {
            let Some(secret) = self.repeat_key(day, day == today)? else { continue };
            let key = secret.hmac(&[b"key", &idempotency.key]);
            let body = secret.hmac(&[b"body", &idempotency.body]);
            let earlier = batch.repeats.iter().find(|(repeat, _)| repeat.key == key);
            let stored = match (earlier, self.looked.get(&key)) {
                (Some((repeat, appended)), _) => Some((repeat.body, appended.clone())),
                (None, Some(looked)) => looked.clone(),
                // Midnight has come since.
                (None, None) => {
                    let found = self.log.reader().repeats(&[(day, key)])?;
                    found.into_iter().next().map(|(_, answer)| answer)
                }
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
            let key = wrapped.map(|wrapped| self.keyring.of_tenant(&wrapped)).transpose()?;
            self.repeats.retain(|known, _| *known >= day - 1);
            self.repeats.insert(day, key);
        }
        Ok(self.repeats.get(&day).and_then(Option::as_ref))
    }
}
