//! Rows that change and are no events, on a server: read, and made by commits.

use domain::Position;
use tokio_postgres::Row;

use super::reader::{get, maybe, number};
use super::{PgError, PgReader, Tx, int, uint};
use crate::engine::{Notices, Paper, Papers, Read, Seen};
use crate::keyring::person::PersonId;
use crate::store::credentials::ApiKey;
use crate::store::notices::{Notice, NoticeKind};
use crate::store::requests::{PrivacyRequest, Stage};
use crate::tree::Hash;

macro_rules! api_key {
    ($rest:literal) => {
        concat!(
            "SELECT id, role, label, person, created_at, revoked_at, recipient FROM api_key ",
            $rest
        )
    };
}

macro_rules! request {
    ($rest:literal) => {
        concat!(
            "SELECT id, kind, person, requested_at, decided_at, status, fence_at, course, receipt
             FROM privacy_request ",
            $rest
        )
    };
}

macro_rules! notice {
    ($rest:literal) => {
        concat!(
            "SELECT id, recipient, kind, person, position, made_at, attempts, next_at,
             acknowledged_at FROM notice ",
            $rest
        )
    };
}

impl Papers for PgReader {
    fn api_key(&self, hash: &Hash) -> Read<Option<ApiKey>> {
        let sql = api_key!("WHERE hash = $1 AND revoked_at IS NULL");
        self.row(sql, &[&hash.as_slice()], api_key)
    }

    fn api_keys(&self) -> Read<Vec<ApiKey>> {
        self.rows(api_key!("ORDER BY id"), &[], api_key)
    }

    fn privacy_request(&self, id: u64) -> Read<Option<PrivacyRequest>> {
        self.row(request!("WHERE id = $1"), &[&int(id)], request)
    }

    fn privacy_requests(&self, after: Seen, limit: u32) -> Read<Vec<PrivacyRequest>> {
        let sql = request!(
            "WHERE (decided_at IS NOT NULL) > $1 OR ((decided_at IS NOT NULL) = $1 AND id < $2)
             ORDER BY decided_at IS NOT NULL, id DESC LIMIT $3"
        );
        self.rows(sql, &[&after.settled, &int(after.id), &i64::from(limit)], request)
    }

    fn open_requests(&self) -> Read<Vec<PrivacyRequest>> {
        let sql = request!(
            "WHERE decided_at IS NULL OR (status = 'done' AND receipt IS NULL AND course <> '{}') ORDER BY id"
        );
        self.rows(sql, &[], request)
    }

    fn given_to(&self, person: PersonId) -> Read<Vec<String>> {
        let sql = "SELECT recipient FROM given WHERE person = $1 ORDER BY recipient COLLATE \"C\"";
        self.rows(sql, &[&int(person.0)], |row| get(row, 0))
    }

    fn not_given(&self, recipient: &str, persons: &[PersonId]) -> Read<Vec<PersonId>> {
        let sql = "SELECT asked.id FROM unnest($2::int8[]) asked (id) WHERE NOT EXISTS
                   (SELECT 1 FROM given WHERE person = asked.id AND recipient = $1)";
        let asked: Vec<i64> = persons.iter().map(|person| int(person.0)).collect();
        let left = self.rows(sql, &[&recipient, &asked], |row| number(row, 0))?;
        Ok(left.into_iter().map(PersonId).collect())
    }

    fn given_of(&self, recipient: &str) -> Read<u64> {
        let sql = "SELECT count(*) FROM given WHERE recipient = $1";
        Ok(self.row(sql, &[&recipient], |row| number(row, 0))?.unwrap_or(0))
    }

    fn notices(&self, which: Notices<'_>) -> Read<Vec<Notice>> {
        let rows = match which {
            Notices::One(id) => self.rows(notice!("WHERE id = $1"), &[&int(id)], notice),
            Notices::Waiting => {
                let sql = notice!("WHERE acknowledged_at IS NULL ORDER BY id LIMIT 1");
                self.rows(sql, &[], notice)
            }
            Notices::WaitingFor(recipient) => {
                let sql = notice!(
                    "WHERE acknowledged_at IS NULL AND recipient = $1
                     ORDER BY next_at, id LIMIT 100"
                );
                self.rows(sql, &[&recipient], notice)
            }
            Notices::Of(position) => {
                let sql = notice!("WHERE position = $1 ORDER BY id");
                self.rows(sql, &[&int(position.0)], notice)
            }
            Notices::After(Seen { settled, id }, limit) => {
                let sql = notice!(
                    "WHERE (acknowledged_at IS NOT NULL) > $1
                     OR ((acknowledged_at IS NOT NULL) = $1 AND id < $2)
                     ORDER BY acknowledged_at IS NOT NULL, id DESC LIMIT $3"
                );
                self.rows(sql, &[&settled, &int(id), &i64::from(limit)], notice)
            }
        };
        Ok(rows?.into_iter().flatten().collect())
    }
}

fn api_key(row: &Row) -> Result<ApiKey, PgError> {
    Ok(ApiKey {
        id: number(row, 0)?,
        role: get(row, 1)?,
        label: get(row, 2)?,
        person: maybe(row, 3)?.map(PersonId),
        created_at: get(row, 4)?,
        revoked_at: get(row, 5)?,
        recipient: get(row, 6)?,
    })
}

fn request(row: &Row) -> Result<PrivacyRequest, PgError> {
    Ok(PrivacyRequest {
        id: number(row, 0)?,
        kind: get(row, 1)?,
        person: maybe(row, 2)?.map(PersonId),
        requested_at: get(row, 3)?,
        decided_at: get(row, 4)?,
        stage: Stage::of(get(row, 5)?),
        fence_at: maybe(row, 6)?.map(Position),
        course: get(row, 7)?,
        receipt: get(row, 8)?,
    })
}

/// A notice; none of a kind that this program does not know.
fn notice(row: &Row) -> Result<Option<Notice>, PgError> {
    let Some(kind) = NoticeKind::of(get(row, 2)?) else { return Ok(None) };
    Ok(Some(Notice {
        id: number(row, 0)?,
        recipient: get(row, 1)?,
        kind,
        person: maybe(row, 3)?.map(PersonId),
        position: Position(number(row, 4)?),
        made_at: get(row, 5)?,
        attempts: u32::try_from(get::<i32>(row, 6)?).unwrap_or(0),
        next_at: get(row, 7)?,
        acknowledged_at: get(row, 8)?,
    }))
}

/// Makes a change of such rows; the number of what was added, or how many were changed.
pub(super) fn make(tx: &mut Tx, change: &Paper) -> Result<u64, PgError> {
    let added = |rows: Vec<Row>| -> Result<u64, PgError> {
        let id = rows.first().map(|row| row.try_get::<_, i64>(0)).transpose();
        Ok(id.map_err(PgError::Altered)?.map_or(0, uint))
    };
    match change {
        Paper::AddApiKey { hash, role, label, person, recipient, at } => {
            let sql = "INSERT INTO api_key (hash, role, label, person, recipient, created_at)
                       VALUES ($1, $2, $3, $4, $5, $6) RETURNING id";
            let person = person.map(|person| int(person.0));
            added(tx.rows(sql, &[&hash.as_slice(), role, label, &person, recipient, at])?)
        }
        Paper::RevokeApiKey { id, at } => {
            let sql = "UPDATE api_key SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
            tx.run(sql, &[&int(*id), at])
        }
        Paper::AddRequest { kind, person, stage, course, at } => {
            let sql = "INSERT INTO privacy_request (kind, person, requested_at, status, course)
                       VALUES ($1, $2, $3, $4, $5) RETURNING id";
            added(tx.rows(sql, &[kind, &int(person.0), at, &stage.name(), course])?)
        }
        Paper::MoveRequest { id, from, to, course, at } => {
            let sql = "UPDATE privacy_request SET status = $3, course = $4, decided_at = $5
                       WHERE id = $1 AND status = $2 AND decided_at IS NULL";
            tx.run(sql, &[&int(*id), &from.name(), &to.name(), course, at])
        }
        Paper::KeepReceipt { id, receipt, known } => {
            // Who acknowledges changes this row last: what they said is seen once it is held.
            tx.run("SELECT 1 FROM privacy_request WHERE id = $1 FOR UPDATE", &[&int(*id)])?;
            let sql = "UPDATE privacy_request SET receipt = $2 WHERE id = $1 AND $3 =
                       (SELECT count(*) FROM notice WHERE position = fence_at
                        AND acknowledged_at IS NOT NULL)";
            tx.run(sql, &[&int(*id), receipt, &int(*known)])
        }
        Paper::Give { persons, recipient, at } => {
            // Their rows are held, so that nothing is added behind a fence; of those only who is new.
            let sql = "INSERT INTO given
                       SELECT id, $2::text, $3::int8 FROM person WHERE id = ANY ($1) AND state < 3
                       AND NOT EXISTS (SELECT 1 FROM given WHERE person = id AND recipient = $2)
                       ORDER BY id FOR UPDATE
                       ON CONFLICT DO NOTHING";
            let persons: Vec<i64> = persons.iter().map(|person| int(person.0)).collect();
            tx.run(sql, &[&persons, recipient, at])
        }
        Paper::TakeOn { id, attempts, again_at } => {
            let sql = "UPDATE notice SET attempts = attempts + 1, next_at = $3
                       WHERE id = $1 AND attempts = $2 AND acknowledged_at IS NULL";
            let attempts = i32::try_from(*attempts).unwrap_or(i32::MAX);
            tx.run(sql, &[&int(*id), &attempts, again_at])
        }
        Paper::Acknowledge { id, at } => {
            let sql = "UPDATE notice SET acknowledged_at = $2,
                       person = CASE WHEN kind = 'erased'
                           OR EXISTS (SELECT 1 FROM person p WHERE p.id = notice.person AND p.state >= 3)
                           THEN NULL ELSE person END
                       WHERE id = $1 AND acknowledged_at IS NULL";
            let known = tx.run(sql, &[&int(*id), at])?;
            if known > 0 {
                // The receipt that says so is signed anew.
                let sql = "UPDATE privacy_request SET receipt = NULL WHERE status = 'done'
                           AND fence_at = (SELECT position FROM notice WHERE id = $1)";
                tx.run(sql, &[&int(*id)])?;
            }
            Ok(known)
        }
    }
}

/// Has everybody who was given something of a person's be told what became of it.
pub(super) fn tell(
    tx: &mut Tx,
    kind: NoticeKind,
    whose: PersonId,
    (position, at): (Position, i64),
) -> Result<(), PgError> {
    let sql = "INSERT INTO notice (recipient, kind, person, position, made_at, next_at)
               SELECT recipient, $2::text, person, $3::int8, $4::int8, $4::int8 FROM given WHERE person = $1
               ORDER BY recipient";
    tx.run(sql, &[&int(whose.0), &kind.name(), &int(position.0), &at]).map(drop)
}

/// Has nothing say any more to whom somebody's data were given, but to those who are still to be told.
pub(super) fn forget(tx: &mut Tx, whose: PersonId) -> Result<(), PgError> {
    // Whoever was given nothing is in no notice: the table is not looked through for them.
    let sql = "UPDATE notice SET person = NULL WHERE person = $1 AND acknowledged_at IS NOT NULL
               AND EXISTS (SELECT 1 FROM given WHERE person = $1)";
    tx.run(sql, &[&int(whose.0)])?;
    tx.run("DELETE FROM given WHERE person = $1", &[&int(whose.0)]).map(drop)
}

/// Ends what was asked for somebody who is erased: done, whoever had asked.
pub(super) fn done(
    tx: &mut Tx,
    whose: PersonId,
    (position, at): (Position, i64),
) -> Result<(), PgError> {
    let sql = "UPDATE privacy_request SET status = 'done', fence_at = $2, decided_at = $3
               WHERE person = $1 AND kind = 'erasure' AND decided_at IS NULL";
    tx.run(sql, &[&int(whose.0), &int(position.0), &at]).map(drop)
}
