//! Durable sealed bookings of known persons, through the whole path.
//!
//! Beside it: the same path with one caller, and the rows of such bookings inserted in batches of
//! 32 with nothing else around: no decision, no sealing, no tree, no queue. The rows are those that
//! the path has just written: entry, seal, data key, and for each booking one row of either index,
//! in slices of the key order of as many as wait in memory, which is what the path moves. They go,
//! by the same statements, into a copy of the file as it was just before: indexes as large, pages
//! as full. A stricter baseline without the index rows is shown too.

use std::path::{Path, PathBuf};

use domain::{Position, Tag};
use eventstore::ledger::codec;
use eventstore::ledger::index::{self, PersonRow, StoredLinks};
use eventstore::sqlite;
use rusqlite::{Connection, OpenFlags, params};

use super::rig::{Rig, Wish};
use super::{Extent, Figure, seconds};
use crate::cli::CliError;
use crate::cli::console::Console;
use crate::dice::Dice;

const BATCH: usize = 32;
/// How many bookings are inserted bare in one turn.
const BARE: u64 = 15_000;

pub(super) fn measure(
    rig: &mut Rig,
    extent: Extent,
    console: &mut Console,
) -> Result<Vec<Figure>, CliError> {
    rig.fill(extent.stored, &|done, total| console.progress(done, total))?;
    if rig.bench.tenant.log().path().is_none() {
        return on_server(rig, extent);
    }
    let copy = rig.folder.path().join("bare.sqlite");
    // Warm: what is measured is a running system.
    rig.rate(64, extent.run, Wish::Anywhere)?;
    let (mut one, mut many, mut more) = (vec![], vec![], vec![]);
    let (mut bare, mut bare_entries) = (vec![], vec![]);
    for _ in 0..extent.runs {
        copy_to(rig, &copy)?;
        rig.settle(&[&copy])?;
        one.push(rig.rate(1, extent.run, Wish::Anywhere)?);
        let [with_64, with_256, rows, entries] = extent.in_turns(|which, run| {
            rig.settle(&[&copy])?;
            match which {
                0 => rig.rate(64, run, Wish::Anywhere),
                1 => rig.rate(256, run, Wish::Anywhere),
                2 => bare_inserts(rig, &copy, true),
                _ => bare_inserts(rig, &copy, false),
            }
        })?;
        many.push(with_64);
        more.push(with_256);
        bare.push(rows);
        bare_entries.push(entries);
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

/// On a server: what stands beside it there is measured by the comparison with peers.
fn on_server(rig: &mut Rig, extent: Extent) -> Result<Vec<Figure>, CliError> {
    rig.rate(64, extent.run, Wish::Anywhere)?;
    let (mut one, mut many, mut more) = (vec![], vec![], vec![]);
    for _ in 0..extent.runs {
        one.push(rig.rate(1, extent.run, Wish::Anywhere)?);
        many.push(rig.rate(64, extent.run, Wish::Anywhere)?);
        more.push(rig.rate(256, extent.run, Wish::Anywhere)?);
    }
    Ok(vec![
        Figure::new("append_64", "bookings/s", &many, "one caller", &one, "shown"),
        Figure::new("append_256", "bookings/s", &more, "64 callers", &many, "shown"),
    ])
}

fn failed(error: impl std::fmt::Display) -> CliError {
    CliError::Bench("append", error.to_string())
}

fn reader(rig: &Rig) -> Result<Connection, CliError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let path = rig.bench.tenant.folder().join("ledger.sqlite");
    Connection::open_with_flags(path, flags).map_err(failed)
}

/// Copies the file as it is now, page by page: without the rows that the next runs bring. Nobody
/// writes it meanwhile.
fn copy_to(rig: &Rig, copy: &Path) -> Result<(), CliError> {
    let ledger = rig.bench.tenant.folder().join("ledger.sqlite");
    for part in ["", "-wal"] {
        let named = |file: &Path| PathBuf::from(format!("{}{part}", file.display()));
        std::fs::copy(named(&ledger), named(copy)).map_err(failed)?;
    }
    match std::fs::remove_file(PathBuf::from(format!("{}-shm", copy.display()))) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The newest bookings' rows once more, into the copy.
fn bare_inserts(rig: &Rig, copy: &Path, indexed: bool) -> Result<f64, CliError> {
    let conn = reader(rig)?;
    let size = rig.bench.tenant.log().size();
    let rows = rows(&conn, size).map_err(failed)?;
    let (tags, persons) = match indexed {
        true => index_rows(&conn, size, rows.len()).map_err(failed)?,
        false => (Vec::new(), Vec::new()),
    };
    drop(conn);
    let mut target = sqlite::open_writer(copy).map_err(failed)?;
    let mut next: i64 = target
        .query_row("SELECT max(position) + 1 FROM entry", [], |row| row.get(0))
        .map_err(failed)?;
    let mut done = Ok(());
    let taken = seconds(|| {
        let (mut tags, mut persons) = (tags.chunks(BATCH), persons.chunks(BATCH));
        for batch in rows.chunks(BATCH) {
            let slices = (tags.next().unwrap_or_default(), persons.next().unwrap_or_default());
            done = insert(&mut target, batch, slices, &mut next);
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

fn rows(conn: &Connection, size: u64) -> rusqlite::Result<Vec<Row>> {
    let mut select = conn.prepare(
        "SELECT bytes, leaf, ciphertext FROM entry JOIN seal ON seal.id = entry.position * 65536
         WHERE entry.position > ?1 ORDER BY entry.position",
    )?;
    let from = i64::try_from(size.saturating_sub(BARE)).unwrap_or(0);
    let rows = select.query_map([from], |row| {
        let (bytes, leaf, seal) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Row { bytes, leaf, seal, wrapped: vec![7; 40] })
    })?;
    rows.collect()
}

type IndexRows = (Vec<(Tag, Position)>, Vec<PersonRow>);

/// A stretch of the newest rows of either index, in key order: what a round moves.
fn index_rows(conn: &Connection, size: u64, count: usize) -> rusqlite::Result<IndexRows> {
    let mut select = conn.prepare("SELECT position, bytes FROM entry WHERE position >= ?1")?;
    let waiting = u64::try_from(index::enough(size)).unwrap_or(u64::MAX);
    let from = i64::try_from(size.saturating_sub(waiting)).unwrap_or(0);
    let mut entries = select.query([from])?;
    let links = StoredLinks::new(conn);
    let (mut tags, mut persons) = (Vec::new(), Vec::new());
    while let Some(row) = entries.next()? {
        let position = Position(u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0));
        if let Ok(entry) = codec::decode(row.get_ref(1)?.as_blob()?) {
            tags.extend(entry.tags.iter().map(|tag| (*tag, position)));
            persons.extend(index::rows_of(position, &entry.recorded.event, &links));
        }
    }
    Ok((stretch(tags, size, count), stretch(persons, size, count)))
}

/// So many rows in their order, from a place that is another one in each run.
fn stretch<T: Ord>(mut rows: Vec<T>, size: u64, count: usize) -> Vec<T> {
    rows.sort_unstable();
    let room = rows.len().saturating_sub(count).max(1);
    let from = usize::try_from(size).unwrap_or(0) % room;
    rows.into_iter().skip(from).take(count).collect()
}

fn insert(
    conn: &mut Connection,
    rows: &[Row],
    (tags, persons): (&[(Tag, Position)], &[PersonRow]),
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
        sqlite::insert_tags(&tx, tags)?;
        sqlite::insert_persons(&tx, persons)?;
        tx.execute("UPDATE head SET size = ?1 WHERE id = 1", [*next])?;
    }
    tx.commit()
}
