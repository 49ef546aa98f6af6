//! Durable sealed bookings of known persons, through the whole path.
//!
//! Beside it: the same path with one caller, and the rows of such bookings inserted in batches of
//! 32 with nothing else around: no decision, no sealing, no tree, no queue. The rows are those that
//! the path writes: entry, seal, data key, and for each booking one row of either index, in slices
//! of the key order. A stricter baseline without the index rows is shown too.

use eventstore::sqlite;
use rusqlite::params;

use super::rig::{Rig, Wish};
use super::{Extent, Figure, seconds};
use crate::cli::CliError;
use crate::cli::console::Console;
use crate::dice::Dice;

const BATCH: usize = 32;

pub(super) fn measure(
    rig: &mut Rig,
    extent: Extent,
    console: &mut Console,
) -> Result<Vec<Figure>, CliError> {
    rig.fill(extent.stored, &|done, total| console.progress(done, total))?;
    // Warm: what is measured is a running system.
    rig.rate(64, extent.run, Wish::Anywhere)?;
    let (mut one, mut many, mut more) = (vec![], vec![], vec![]);
    let (mut bare, mut bare_entries) = (vec![], vec![]);
    for _ in 0..extent.runs {
        one.push(rig.rate(1, extent.run, Wish::Anywhere)?);
        many.push(rig.rate(64, extent.run, Wish::Anywhere)?);
        more.push(rig.rate(256, extent.run, Wish::Anywhere)?);
        bare.push(bare_inserts(rig, true)?);
        bare_entries.push(bare_inserts(rig, false)?);
    }
    let (caller, rows) = ("one caller", "bare inserts of the same rows by 32");
    let entries = "bare inserts without index rows";
    Ok(vec![
        Figure::new("append_64", "bookings/s", &many, caller, &one, "at least 6"),
        Figure::new("append_64_rows", "bookings/s", &many, rows, &bare, "at least 0.7"),
        Figure::new("append_256_rows", "bookings/s", &more, rows, &bare, "shown"),
        Figure::new("append_64_entries", "bookings/s", &many, entries, &bare_entries, "shown"),
    ])
}

/// The newest bookings' rows once more, into a copy of the file that held them.
fn bare_inserts(rig: &Rig, indexed: bool) -> Result<f64, CliError> {
    let failed = |error: rusqlite::Error| CliError::Bench("append", error.to_string());
    let source = rig.bench.tenant.log();
    let size = source.size();
    let copy = rig.folder.path().join("bare.sqlite");
    let conn = rusqlite::Connection::open_with_flags(
        source.path(),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
    )
    .map_err(failed)?;
    if !copy.exists() {
        // Without its newest rows, which are what is inserted.
        conn.execute("VACUUM INTO ?1", [copy.to_string_lossy()]).map_err(failed)?;
    }
    let rows = rows(&conn, size).map_err(failed)?;
    let index = if indexed { index_rows(&conn, rows.len()).map_err(failed)? } else { Vec::new() };
    drop(conn);
    let mut target =
        sqlite::open_writer(&copy).map_err(|error| CliError::Bench("append", error.to_string()))?;
    let mut next: i64 = target
        .query_row("SELECT max(position) + 1 FROM entry", [], |row| row.get(0))
        .map_err(failed)?;
    let mut done = Ok(());
    let taken = seconds(|| {
        let mut slices = index.chunks(BATCH);
        for batch in rows.chunks(BATCH) {
            let slice = slices.next().unwrap_or_default();
            done = insert(&mut target, batch, slice, &mut next);
            if done.is_err() {
                return;
            }
        }
    });
    done.map_err(failed)?;
    Ok(rows.len() as f64 / taken)
}

struct Row {
    bytes: Vec<u8>,
    leaf: Vec<u8>,
    seal: Vec<u8>,
    wrapped: Vec<u8>,
}

fn rows(conn: &rusqlite::Connection, size: u64) -> rusqlite::Result<Vec<Row>> {
    let mut select = conn.prepare(
        "SELECT bytes, leaf, ciphertext FROM entry JOIN seal ON seal.id = entry.position * 65536
         WHERE entry.position > ?1 ORDER BY entry.position",
    )?;
    let from = i64::try_from(size.saturating_sub(40_000)).unwrap_or(0);
    let rows = select.query_map([from], |row| {
        let (bytes, leaf, seal) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Row { bytes, leaf, seal, wrapped: vec![7; 40] })
    })?;
    rows.collect()
}

/// Places of either index, in the order of their keys.
struct IndexRow {
    tag: i64,
    person: i64,
    until: i64,
}

fn index_rows(conn: &rusqlite::Connection, count: usize) -> rusqlite::Result<Vec<IndexRow>> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    // Somewhere in the middle, each run elsewhere: where the last one wrote is warm.
    let mut tags = conn.prepare("SELECT tag FROM tag ORDER BY tag LIMIT ?1 OFFSET ?1")?;
    let tags = tags.query_map([count], |row| row.get(0))?;
    let mut persons =
        conn.prepare("SELECT person, until FROM person_tag ORDER BY person LIMIT ?1 OFFSET ?1")?;
    let persons = persons.query_map([count], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let both = tags.zip(persons).map(|(tag, person)| {
        let (person, until) = person?;
        Ok(IndexRow { tag: tag?, person, until })
    });
    both.collect()
}

fn insert(
    conn: &mut rusqlite::Connection,
    rows: &[Row],
    slice: &[IndexRow],
    next: &mut i64,
) -> rusqlite::Result<()> {
    let mut dice = Dice::new(u64::try_from(*next).unwrap_or(0));
    let tx = conn.transaction()?;
    {
        let mut entry = tx.prepare_cached("INSERT INTO entry VALUES (?1, ?2, ?3)")?;
        let mut seal = tx.prepare_cached("INSERT INTO seal VALUES (?1 * 65536, ?2)")?;
        let mut data_key =
            tx.prepare_cached("INSERT INTO data_key VALUES (?1 * 8 + 2, ?2, NULL, ?3)")?;
        for row in rows {
            entry.execute(params![*next, row.bytes, row.leaf])?;
            seal.execute(params![*next, row.seal])?;
            let person = i64::try_from(dice.roll(10_000)).unwrap_or(0);
            data_key.execute(params![*next + (1 << 40), person, row.wrapped])?;
            *next += 1;
        }
        let mut tag = tx.prepare_cached("INSERT INTO tag VALUES (?1, ?2)")?;
        let mut person =
            tx.prepare_cached("INSERT INTO person_tag VALUES (?1, ?2, ?3, ?3, ?3, 1, 2026, 1)")?;
        let first = *next - i64::try_from(rows.len()).unwrap_or(0);
        for (position, row) in (first..).zip(slice) {
            tag.execute((row.tag, position))?;
            person.execute((row.person, row.until, position))?;
        }
        tx.execute("UPDATE head SET size = ?1 WHERE id = 1", [*next])?;
    }
    tx.commit()
}
