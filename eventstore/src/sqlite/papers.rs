//! Rows that change and are no events, in a file: read, and made by commits.

use domain::Position;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::{int, uint};
use crate::engine::{Notices, Paper, Papers, Read, Seen};
use crate::keyring::person::PersonId;
use crate::store::credentials::ApiKey;
use crate::store::notices::{Notice, NoticeKind};
use crate::store::requests::{PrivacyRequest, Stage};
use crate::tree::Hash;

const KEY: &str = "SELECT id, role, label, person, created_at, revoked_at, recipient FROM api_key";
const REQUEST: &str = "SELECT id, kind, person, requested_at, decided_at, status, fence_at, course,
                       receipt FROM privacy_request";
const NOTICE: &str = "SELECT id, recipient, kind, person, position, made_at, attempts, next_at,
                      acknowledged_at FROM notice";

impl Papers for Connection {
    fn api_key(&self, hash: &Hash) -> Read<Option<ApiKey>> {
        let sql = format!("{KEY} WHERE hash = ?1 AND revoked_at IS NULL");
        Ok(self.prepare_cached(&sql)?.query_row([hash], api_key).optional()?)
    }

    fn api_keys(&self) -> Read<Vec<ApiKey>> {
        // Of an erased client's only the number is left.
        let rest = "WHERE role <> 'client' OR person IS NOT NULL ORDER BY id";
        let mut select = self.prepare_cached(&format!("{KEY} {rest}"))?;
        let rows = select.query_map([], api_key)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn privacy_request(&self, id: u64) -> Read<Option<PrivacyRequest>> {
        let sql = format!("{REQUEST} WHERE id = ?1");
        Ok(self.prepare_cached(&sql)?.query_row([int(id)], request).optional()?)
    }

    fn privacy_requests(&self, after: Seen, limit: u32) -> Read<Vec<PrivacyRequest>> {
        let rest = "WHERE (decided_at IS NOT NULL) > ?1
                    OR ((decided_at IS NOT NULL) = ?1 AND id < ?2)
                    ORDER BY decided_at IS NOT NULL, id DESC LIMIT ?3";
        let mut select = self.prepare_cached(&format!("{REQUEST} {rest}"))?;
        let rows = select.query_map(params![after.settled, int(after.id), limit], request)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn open_requests(&self) -> Read<Vec<PrivacyRequest>> {
        let sql = format!(
            "{REQUEST} WHERE decided_at IS NULL OR (status = 'done' AND receipt IS NULL AND course <> '{{}}')
             ORDER BY id"
        );
        let mut select = self.prepare_cached(&sql)?;
        let rows = select.query_map([], request)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn given_to(&self, person: PersonId) -> Read<Vec<String>> {
        let sql = "SELECT recipient FROM given WHERE person = ?1 ORDER BY recipient";
        let mut select = self.prepare_cached(sql)?;
        let rows = select.query_map([int(person.0)], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn not_given(&self, recipient: &str, persons: &[PersonId]) -> Read<Vec<PersonId>> {
        let sql = "SELECT count(*) FROM given WHERE person = ?1 AND recipient = ?2";
        let mut known = self.prepare_cached(sql)?;
        let mut left = Vec::new();
        for person in persons {
            let given: i64 = known.query_row((int(person.0), recipient), |row| row.get(0))?;
            if given == 0 {
                left.push(*person);
            }
        }
        Ok(left)
    }

    fn given_of(&self, recipient: &str) -> Read<u64> {
        let sql = "SELECT count(*) FROM given WHERE recipient = ?1";
        Ok(uint(self.prepare_cached(sql)?.query_row([recipient], |row| row.get(0))?))
    }

    fn notices(&self, which: Notices<'_>) -> Read<Vec<Notice>> {
        let (rest, values): (_, Vec<Value>) = match which {
            Notices::One(id) => ("WHERE id = ?1", vec![int(id).into()]),
            Notices::Waiting => ("WHERE acknowledged_at IS NULL ORDER BY id LIMIT 1", Vec::new()),
            Notices::WaitingFor(recipient) => {
                let rest = "WHERE acknowledged_at IS NULL AND recipient = ?1
                            ORDER BY next_at, id LIMIT 100";
                (rest, vec![recipient.to_owned().into()])
            }
            Notices::Of(position) => {
                ("WHERE position = ?1 ORDER BY id", vec![int(position.0).into()])
            }
            Notices::After(Seen { settled, id }, limit) => {
                let rest = "WHERE (acknowledged_at IS NOT NULL) > ?1
                            OR ((acknowledged_at IS NOT NULL) = ?1 AND id < ?2)
                            ORDER BY acknowledged_at IS NOT NULL, id DESC LIMIT ?3";
                (rest, vec![settled.into(), int(id).into(), limit.into()])
            }
        };
        let mut select = self.prepare_cached(&format!("{NOTICE} {rest}"))?;
        let rows = select.query_map(params_from_iter(values), notice)?;
        Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().collect())
    }
}

fn person(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<PersonId>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(|id| PersonId(uint(id))))
}

fn api_key(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    Ok(ApiKey {
        id: uint(row.get(0)?),
        role: row.get(1)?,
        label: row.get(2)?,
        person: person(row, 3)?,
        created_at: row.get(4)?,
        revoked_at: row.get(5)?,
        recipient: row.get(6)?,
    })
}

fn request(row: &Row<'_>) -> rusqlite::Result<PrivacyRequest> {
    Ok(PrivacyRequest {
        id: uint(row.get(0)?),
        kind: row.get(1)?,
        person: person(row, 2)?,
        requested_at: row.get(3)?,
        decided_at: row.get(4)?,
        stage: Stage::of(&row.get::<_, String>(5)?),
        fence_at: row.get::<_, Option<i64>>(6)?.map(|at| Position(uint(at))),
        course: row.get(7)?,
        receipt: row.get(8)?,
    })
}

/// A notice; none of a kind that this program does not know.
fn notice(row: &Row<'_>) -> rusqlite::Result<Option<Notice>> {
    let Some(kind) = NoticeKind::of(&row.get::<_, String>(2)?) else { return Ok(None) };
    Ok(Some(Notice {
        id: uint(row.get(0)?),
        recipient: row.get(1)?,
        kind,
        person: person(row, 3)?,
        position: Position(uint(row.get(4)?)),
        made_at: row.get(5)?,
        attempts: row.get(6)?,
        next_at: row.get(7)?,
        acknowledged_at: row.get(8)?,
    }))
}

/// Makes a change of such rows; the number of what was added, or how many were changed.
pub(super) fn make(conn: &Connection, change: &Paper) -> rusqlite::Result<u64> {
    let added = |()| uint(conn.last_insert_rowid());
    let changed = |rows: usize| u64::try_from(rows).unwrap_or(u64::MAX);
    match change {
        Paper::AddApiKey { hash, role, label, person, recipient, at } => {
            let person = person.map(|person| int(person.0));
            conn.execute(
                "INSERT INTO api_key (hash, role, label, person, recipient, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![hash, role, label, person, recipient, at],
            )
            .map(drop)
            .map(added)
        }
        Paper::RevokeApiKey { id, at } => conn
            .execute(
                "UPDATE api_key SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL",
                (int(*id), at),
            )
            .map(changed),
        Paper::AddRequest { kind, person, stage, course, at } => conn
            .execute(
                "INSERT INTO privacy_request (kind, person, requested_at, status, course)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![kind, int(person.0), at, stage.name(), course],
            )
            .map(drop)
            .map(added),
        Paper::MoveRequest { id, from, to, course, at } => conn
            .execute(
                "UPDATE privacy_request SET status = ?3, course = ?4, decided_at = ?5
                 WHERE id = ?1 AND status = ?2 AND decided_at IS NULL",
                params![int(*id), from.name(), to.name(), course, at],
            )
            .map(changed),
        Paper::KeepReceipt { id, receipt, known } => conn
            .execute(
                "UPDATE privacy_request SET receipt = ?2 WHERE id = ?1 AND ?3 =
                 (SELECT count(*) FROM notice WHERE position = fence_at AND acknowledged_at IS NOT NULL)",
                params![int(*id), receipt, int(*known)],
            )
            .map(changed),
        Paper::Give { persons, recipient, at } => give(conn, persons, recipient, *at).map(changed),
        Paper::TakeOn { id, attempts, again_at } => conn
            .execute(
                "UPDATE notice SET attempts = attempts + 1, next_at = ?3
                 WHERE id = ?1 AND attempts = ?2 AND acknowledged_at IS NULL",
                (int(*id), attempts, again_at),
            )
            .map(changed),
        Paper::Acknowledge { id, at } => acknowledge(conn, int(*id), *at).map(changed),
    }
}

fn give(
    conn: &Connection,
    persons: &[PersonId],
    recipient: &str,
    at: i64,
) -> rusqlite::Result<usize> {
    let mut insert = conn.prepare_cached(
        "INSERT OR IGNORE INTO given SELECT id, ?2, ?3 FROM person WHERE id = ?1 AND state < 3",
    )?;
    let mut given = 0;
    for person in persons {
        given += insert.execute((int(person.0), recipient, at))?;
    }
    Ok(given)
}

fn acknowledge(conn: &Connection, id: i64, at: i64) -> rusqlite::Result<usize> {
    let known = conn.execute(
        "UPDATE notice SET acknowledged_at = ?2,
         person = CASE WHEN kind = 'erased'
             OR EXISTS (SELECT 1 FROM person p WHERE p.id = notice.person AND p.state >= 3)
             THEN NULL ELSE person END
         WHERE id = ?1 AND acknowledged_at IS NULL",
        (id, at),
    )?;
    if known > 0 {
        // The receipt that says so is signed anew.
        conn.execute(
            "UPDATE privacy_request SET receipt = NULL WHERE status = 'done'
             AND fence_at = (SELECT position FROM notice WHERE id = ?1)",
            [id],
        )?;
    }
    Ok(known)
}

/// Has everybody who was given something of a person's be told what became of it.
pub(super) fn tell(
    conn: &Connection,
    kind: NoticeKind,
    whose: PersonId,
    (position, at): (Position, i64),
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO notice (recipient, kind, person, position, made_at, next_at)
         SELECT recipient, ?2, person, ?3, ?4, ?4 FROM given WHERE person = ?1",
    )?
    .execute((int(whose.0), kind.name(), int(position.0), at))?;
    Ok(())
}

/// Has nothing say any more to whom somebody's data were given, but to those who are still to be told.
pub(super) fn forget(conn: &Connection, whose: PersonId) -> rusqlite::Result<()> {
    let id = int(whose.0);
    // Whoever was given nothing is in no notice: the table is not looked through for them.
    conn.prepare_cached(
        "UPDATE notice SET person = NULL WHERE person = ?1 AND acknowledged_at IS NOT NULL
         AND EXISTS (SELECT 1 FROM given WHERE person = ?1)",
    )?
    .execute([id])?;
    conn.prepare_cached("DELETE FROM given WHERE person = ?1")?.execute([id])?;
    Ok(())
}

/// Ends what was asked for somebody who is erased: done, whoever had asked.
pub(super) fn done(
    conn: &Connection,
    whose: PersonId,
    (position, at): (Position, i64),
) -> rusqlite::Result<()> {
    conn.execute(
        "UPDATE privacy_request SET status = 'done', fence_at = ?2, decided_at = ?3
         WHERE person = ?1 AND kind = 'erasure' AND decided_at IS NULL",
        (int(whose.0), int(position.0), at),
    )?;
    Ok(())
}
