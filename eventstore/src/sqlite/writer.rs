//! Writing a ledger's file: each call one transaction.

use std::path::Path;
use std::time::Duration;

use domain::{Handle, Position, RetentionClass, Tag};
use rusqlite::{Connection, params};

use super::{Checkpointed, OpenError, int, papers, rotation};
use crate::engine::{
    Bundle, Change, Cleared, Commit, Effect, EngineError, Outcome, Paper, Rekeyed, Writer,
    repeats_of,
};
use crate::keyring::person::{PersonId, PersonState};
use crate::keyring::sealing::{LookupKind, NewDataKey};
use crate::keyring::{SECRET_FORMER_LOG, SECRET_LOG};
use crate::ledger::batch::{Batch, NewEntry};
use crate::ledger::index::PersonRow;
use crate::store::notices::NoticeKind;

/// How many persons are rotated at once where nobody else writes.
const MANY: usize = 4096;

/// How long a checkpoint waits for readers.
const BRIEFLY: Duration = Duration::from_millis(5);

/// The one writer of a file.
pub struct SqliteWriter(pub(super) Checkpointed);

impl SqliteWriter {
    /// Opens a file for writing and gives it the schema, or what it lacks of it.
    ///
    /// # Errors
    /// Where it cannot be opened, or its schema is newer than this program.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Checkpointed::open(path).map(Self)
    }
}

impl Writer for SqliteWriter {
    fn commit(&mut self, commit: &Commit<'_>) -> Result<Outcome, EngineError> {
        let tx = self.0.transaction()?;
        insert_entries(&tx, &commit.batch.entries)?;
        insert_keyring(&tx, commit.batch)?;
        // Before what ends seals: a row that comes into its table now still counts them.
        insert_persons(&tx, commit.persons)?;
        for effect in &commit.effects {
            apply(&tx, effect, commit.second())?;
        }
        insert_repeats(&tx, commit.batch)?;
        insert_tags(&tx, commit.tags)?;
        for &(person, position) in commit.fenced {
            let id = int(person.0);
            tx.execute("DELETE FROM retired_key WHERE person = ?1", [id])?;
            let state = PersonState::Erasing.code();
            tx.execute("UPDATE person SET state = ?2, keys = NULL WHERE id = ?1", (id, state))?;
            let when = (position, commit.second());
            papers::tell(&tx, NoticeKind::Erased, person, when)?;
            papers::done(&tx, person, when)?;
        }
        tx.prepare_cached(
            "UPDATE head SET size = ?1, frontier = ?2, recorded_at = ?3, indexed = ?4,
             next_handle = ?5, next_person = ?6 WHERE id = 1",
        )?
        .execute(params![
            int(commit.head.size),
            commit.head.frontier,
            commit.head.recorded_at,
            int(commit.head.indexed),
            int(commit.head.next_handle),
            int(commit.head.next_person),
        ])?;
        tx.commit()?;
        Ok(Outcome::Done)
    }

    fn change(&mut self, change: &Change) -> Result<u64, EngineError> {
        if let Change::Rotated(rows) = change
            && rows.len() >= MANY
        {
            return self.rotate_many(rows);
        }
        let tx = self.0.transaction()?;
        let done = make(&tx, change)?;
        tx.commit()?;
        if matches!(change, Change::LinksAnew) && !self.settle()? {
            tracing::debug!(
                "what links were before leaves the write-ahead log with its next checkpoint"
            );
        }
        Ok(done)
    }

    fn change_all(&mut self, changes: &[Paper]) -> Result<Vec<u64>, EngineError> {
        let tx = self.0.transaction()?;
        let done =
            changes.iter().map(|paper| papers::make(&tx, paper)).collect::<Result<_, _>>()?;
        tx.commit()?;
        Ok(done)
    }

    fn clear(&mut self, rows: &[Cleared], last_of: &[PersonId]) -> Result<(), EngineError> {
        let tx = self.0.transaction()?;
        rows.iter().try_for_each(|cleared| clear_row(&tx, cleared))?;
        last_of.iter().try_for_each(|person| bury(&tx, *person))?;
        Ok(tx.commit()?)
    }

    fn cleared(&mut self, persons: &[PersonId]) -> Result<(), EngineError> {
        let state = PersonState::Erased.code();
        let tx = self.0.transaction()?;
        for id in persons.iter().map(|person| int(person.0)) {
            tx.execute("UPDATE person SET state = ?2 WHERE id = ?1", (id, state))?;
            // By that a request is known to be through.
            tx.execute("UPDATE privacy_request SET person = NULL WHERE person = ?1", [id])?;
        }
        Ok(tx.commit()?)
    }

    fn reopen(&mut self, origin: u32) -> Result<(), EngineError> {
        self.0.execute("UPDATE head SET origin = ?1 WHERE id = 1", [origin])?;
        Ok(())
    }

    /// Empties the write-ahead log; whether nothing held it back.
    fn settle(&mut self) -> Result<bool, EngineError> {
        let _alone = self.0.alone();
        // A reader that holds it up is not waited for: others wait for the writer.
        self.0.busy_timeout(BRIEFLY)?;
        let busy: rusqlite::Result<i64> =
            self.0.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        self.0.busy_timeout(super::PATIENCE)?;
        Ok(busy? == 0)
    }
}

impl SqliteWriter {
    /// Rotates persons' keys without bringing the pages of each page to the file.
    fn rotate_many(&mut self, rows: &[(Bundle, Bundle)]) -> Result<u64, EngineError> {
        // Most pages of the lookups' are written each time.
        self.0.be_patient(true);
        let done = self.rotate(rows);
        self.0.be_patient(false);
        Ok(u64::try_from(done?).unwrap_or(u64::MAX))
    }

    fn rotate(&mut self, rows: &[(Bundle, Bundle)]) -> rusqlite::Result<usize> {
        let tx = self.0.transaction()?;
        let done = rotation::rotate(&tx, rows)?;
        tx.commit()?;
        Ok(done)
    }
}

fn make(conn: &Connection, change: &Change) -> rusqlite::Result<u64> {
    let changed = match change {
        Change::Paper(paper) => return papers::make(conn, paper),
        Change::Period { class, year, wrapped } => conn.execute(
            "INSERT OR IGNORE INTO period_key VALUES (?1, ?2, ?3)",
            (class.code(), year, wrapped),
        ),
        Change::Secret { name, wrapped } => {
            conn.execute("INSERT OR IGNORE INTO secret VALUES (?1, ?2)", params![name, wrapped])
        }
        Change::Day { day, wrapped } => begin_day(conn, *day, wrapped),
        Change::EndDays { today } => end_days(conn, *today),
        Change::LogKey { was, wrapped } => exchange_log_key(conn, was, wrapped),
        Change::ForgetLogKey => {
            conn.execute("DELETE FROM secret WHERE name = ?1", [SECRET_FORMER_LOG])
        }
        Change::TenantKey { epoch, wrapped } => {
            conn.execute("INSERT OR IGNORE INTO tenant_key VALUES (?1, ?2)", (epoch, wrapped))
        }
        Change::Rewrapped(rows) => rotation::rewrap(conn, rows),
        Change::Rotated(rows) => rotation::rotate(conn, rows),
        Change::Replaced(replaced) => rotation::replace(conn, replaced),
        Change::EndEpochs { before } => rotation::end_epochs(conn, *before),
        Change::LinksAnew => rotation::links_anew(conn),
    };
    Ok(u64::try_from(changed?).unwrap_or(u64::MAX))
}

fn begin_day(conn: &Connection, day: i64, wrapped: &[u8]) -> rusqlite::Result<usize> {
    let insert = "INSERT OR IGNORE INTO secret VALUES (?1, ?2)";
    let made = conn.execute(insert, params![repeats_of(day), wrapped])?;
    end_days(conn, day)?;
    Ok(made)
}

/// Lets go of repeats from before yesterday, with their keys; how many there were.
fn end_days(conn: &Connection, today: i64) -> rusqlite::Result<usize> {
    let ended = conn.execute("DELETE FROM idempotency WHERE day < ?1", [today - 1])?;
    conn.execute(
        "DELETE FROM secret WHERE name GLOB 'repeats *' AND name NOT IN (?1, ?2)",
        params![repeats_of(today), repeats_of(today - 1)],
    )?;
    Ok(ended)
}

fn insert_repeats(conn: &Connection, batch: &Batch) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached("INSERT INTO idempotency VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (repeat, appended) in &batch.repeats {
        let first = int(appended.first.0);
        insert.execute(params![repeat.day, repeat.key, repeat.body, first, appended.count])?;
    }
    Ok(())
}

/// Writes rows of the index over tags; one that is there already stays.
///
/// # Errors
/// Where the file cannot be written.
pub fn insert_tags(conn: &Connection, rows: &[(Tag, Position)]) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached("INSERT OR IGNORE INTO tag VALUES (?1, ?2)")?;
    for (tag, position) in rows {
        insert.execute((int(tag.0), int(position.0)))?;
    }
    Ok(())
}

/// Writes rows of the index from persons.
///
/// # Errors
/// Where the file cannot be written.
pub fn insert_persons(conn: &Connection, rows: &[PersonRow]) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached(
        "INSERT OR REPLACE INTO person_tag VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for row in rows {
        insert.execute(params![
            int(row.person.0),
            row.until,
            int(row.position.0),
            int(row.handle.0),
            row.booking.map(|booking| int(booking.0)),
            row.seals,
            row.year,
            row.visits,
        ])?;
    }
    Ok(())
}

fn apply(conn: &Connection, effect: &Effect, at: i64) -> rusqlite::Result<()> {
    match effect {
        Effect::Registered { person, position, handle } => {
            conn.prepare_cached(
                "UPDATE person SET registration = ?2, contact_at = ?2, contact_handle = ?3
                 WHERE id = ?1",
            )?
            .execute((int(person.0), int(position.0), int(handle.0)))?;
        }
        Effect::Rectified { person, position, was, handle } => {
            papers::tell(conn, NoticeKind::Rectified, *person, (*position, at))?;
            let person = int(person.0);
            end_key(conn, *was, RetentionClass::Contact)?;
            conn.execute(
                "DELETE FROM seal WHERE id >= 65536 * (SELECT contact_at FROM person WHERE id = ?1)
                 AND id < 65536 * (1 + (SELECT contact_at FROM person WHERE id = ?1))",
                [person],
            )?;
            conn.execute(
                "UPDATE person SET contact_at = ?2, contact_handle = ?3 WHERE id = ?1",
                (person, int(position.0), int(handle.0)),
            )?;
            conn.execute(
                "UPDATE person_tag SET seals = 0 WHERE person = ?1 AND until = 0 AND handle = ?2",
                (person, int(was.0)),
            )?;
        }
        Effect::Restricted { person, position, restricted } => {
            let kind = NoticeKind::of_restriction(*restricted);
            papers::tell(conn, kind, *person, (*position, at))?;
            let (from, to) = PersonState::restriction(*restricted);
            conn.execute(
                "UPDATE person SET state = ?3 WHERE id = ?1 AND state = ?2",
                (int(person.0), from.code(), to.code()),
            )?;
        }
        Effect::PeriodEnded(period) => {
            let sql = "DELETE FROM period_key WHERE class = ?1 AND year = ?2";
            conn.execute(sql, (period.class.code(), period.year))?;
        }
        Effect::Rekeyed(rekeyed) => rekeyed.iter().try_for_each(|one| rekey(conn, one))?,
        Effect::ContentErased { handles, classes, ended } => {
            for handle in handles {
                for class in classes {
                    end_key(conn, *handle, *class)?;
                }
            }
            for ended in ended {
                conn.prepare_cached(
                    "UPDATE person_tag SET seals = max(seals - ?5, 0)
                     WHERE person = ?1 AND until = ?2 AND position = ?3 AND handle = ?4",
                )?
                .execute((
                    ended.person.map(|person| int(person.0)),
                    ended.until,
                    int(ended.position.0),
                    int(ended.handle.0),
                    i64::try_from(ended.seals.len()).unwrap_or(i64::MAX),
                ))?;
                for n in &ended.seals {
                    delete_seal(conn, ended.position, *n)?;
                }
            }
        }
    }
    Ok(())
}

fn rekey(conn: &Connection, one: &Rekeyed) -> rusqlite::Result<()> {
    let id = int(one.handle.0) * 8 + i64::from(RetentionClass::Accounting.code());
    let sql = "UPDATE data_key SET year = ?2, wrapped = ?3 WHERE id = ?1 AND wrapped = ?4";
    conn.execute(sql, (id, one.year, one.wrapped, one.was)).map(drop)
}

/// Destroys a data key. The row stays as a tombstone: what was sealed is erased, not lost.
fn end_key(conn: &Connection, handle: Handle, class: RetentionClass) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE data_key SET wrapped = NULL WHERE id = ?1 * 8 + ?2")?
        .execute((int(handle.0), class.code()))?;
    Ok(())
}

fn delete_seal(conn: &Connection, position: Position, n: u16) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM seal WHERE id = ?1 * 65536 + ?2")?
        .execute((int(position.0), n))?;
    Ok(())
}

/// Clears one row: the seals of the handle at that position, its keys and its link.
fn clear_row(conn: &Connection, cleared: &Cleared) -> rusqlite::Result<()> {
    let row = &cleared.row;
    for n in &cleared.seals {
        delete_seal(conn, row.position, *n)?;
    }
    // Accounting keeps its key, which ends with the fiscal year; nobody is linked to it any more.
    conn.prepare_cached(
        "UPDATE data_key SET person = NULL,
         wrapped = CASE WHEN year IS NULL THEN NULL ELSE wrapped END
         WHERE id BETWEEN ?1 * 8 AND ?1 * 8 + 7",
    )?
    .execute([int(row.handle.0)])?;
    conn.prepare_cached(
        "DELETE FROM person_tag WHERE person = ?1 AND until = ?2 AND position = ?3 AND handle = ?4",
    )?
    .execute((int(row.person.0), row.until, int(row.position.0), int(row.handle.0)))?;
    Ok(())
}

/// Clears what else there is: nothing but the fact that there was somebody stays.
fn bury(conn: &Connection, person: PersonId) -> rusqlite::Result<()> {
    let id = int(person.0);
    rotation::relist(conn, person, |_| false, &[])?;
    // The rows stay, of nobody: the next key would have the number of the newest, which requests name.
    conn.execute(
        "UPDATE api_key SET hash = CAST(id AS BLOB), label = '', person = NULL, created_at = 0,
         revoked_at = 0 WHERE person = ?1",
        [id],
    )?;
    papers::forget(conn, person)?;
    conn.execute(
        "UPDATE person SET fence = NULL, fields = NULL, registration = NULL,
         contact_at = NULL, contact_handle = NULL WHERE id = ?1",
        [id],
    )?;
    Ok(())
}

fn insert_entries(conn: &Connection, entries: &[NewEntry]) -> rusqlite::Result<()> {
    let mut entry = conn.prepare_cached("INSERT INTO entry VALUES (?1, ?2, ?3)")?;
    let mut seal = conn.prepare_cached("INSERT INTO seal VALUES (?1 * 65536 + ?2, ?3)")?;
    for new in entries {
        let position = int(new.position.0);
        entry.execute(params![position, new.bytes, new.leaf])?;
        for (n, ciphertext) in (0_u16..).zip(new.seals.iter().map(|new| &new.bytes)) {
            seal.execute(params![position, n, ciphertext])?;
        }
    }
    Ok(())
}

/// Short rows, of which each booking has one: beginning a statement for each costs as much as the row.
fn insert_data_keys(conn: &Connection, new: &[NewDataKey]) -> rusqlite::Result<()> {
    const ONE: &str = "INSERT INTO data_key VALUES (?, ?, ?, ?)";
    const EIGHT: &str = "INSERT INTO data_key VALUES (?, ?, ?, ?), (?, ?, ?, ?), (?, ?, ?, ?),
        (?, ?, ?, ?), (?, ?, ?, ?), (?, ?, ?, ?), (?, ?, ?, ?), (?, ?, ?, ?)";
    let (eights, rest) = new.as_chunks::<8>();
    let chunks = eights.iter().map(|eight| (EIGHT, eight.as_slice()));
    for (sql, rows) in chunks.chain(rest.chunks(1).map(|one| (ONE, one))) {
        let mut insert = conn.prepare_cached(sql)?;
        for (first, new) in (1..).step_by(4).zip(rows) {
            let id = int(new.handle.0) * 8 + i64::from(new.class.code());
            insert.raw_bind_parameter(first, id)?;
            insert.raw_bind_parameter(first + 1, new.person.map(|person| int(person.0)))?;
            insert.raw_bind_parameter(first + 2, new.year)?;
            insert.raw_bind_parameter(first + 3, new.wrapped)?;
        }
        insert.raw_execute()?;
    }
    Ok(())
}

fn insert_keyring(conn: &Connection, batch: &Batch) -> rusqlite::Result<()> {
    let mut person = conn.prepare_cached(
        "INSERT INTO person (id, state, fence, fields, keys, lookups)
         VALUES (?1, 1, ?2, ?3, ?4, ?5)",
    )?;
    let mut lists = batch.lists();
    for new in &batch.persons {
        let list = lists.remove(&new.id).unwrap_or_default();
        person.execute(params![int(new.id.0), new.fence.0, new.fields.0, new.keys, list])?;
    }
    insert_data_keys(conn, &batch.data_keys)?;
    let mut refit = conn.prepare_cached("UPDATE person SET fields = ?2 WHERE id = ?1")?;
    for (person, fields) in &batch.replaced {
        // What the tenant calls somebody stays when they write themselves in another way.
        let keep = |kind| kind == LookupKind::Reference.code();
        rotation::relist(conn, *person, keep, lists.get(person).map_or(&[], Vec::as_slice))?;
        refit.execute((int(person.0), fields.0))?;
    }
    for (person, list) in &lists {
        rotation::relist(conn, *person, |_| true, list)?;
    }
    let mut lookup = conn.prepare_cached("INSERT OR IGNORE INTO lookup VALUES (?1, ?2)")?;
    for new in &batch.lookups {
        lookup.execute(params![new.value, int(new.person.0)])?;
    }
    Ok(())
}

fn exchange_log_key(conn: &Connection, was: &[u8], wrapped: &[u8]) -> rusqlite::Result<usize> {
    let sql = "UPDATE secret SET wrapped = ?3 WHERE name = ?1 AND wrapped = ?2";
    let changed = conn.execute(sql, params![SECRET_LOG, was, wrapped])?;
    if changed > 0 {
        let sql = "INSERT OR REPLACE INTO secret VALUES (?1, ?2)";
        conn.execute(sql, params![SECRET_FORMER_LOG, was])?;
    }
    Ok(changed)
}
