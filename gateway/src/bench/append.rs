//! Durable sealed bookings of known persons, through the whole path.
//!
//! Beside it: the same path with one caller, and the rows of such bookings inserted in batches of
//! 32 with nothing else around: no decision, no sealing, no tree, no index.

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
    let (mut one, mut many, mut more, mut bare) = (vec![], vec![], vec![], vec![]);
    for _ in 0..extent.runs {
        one.push(rig.rate(1, extent.run, Wish::Anywhere)?);
        many.push(rig.rate(64, extent.run, Wish::Anywhere)?);
        more.push(rig.rate(256, extent.run, Wish::Anywhere)?);
        bare.push(bare_inserts(rig)?);
    }
    let (caller, rows) = ("one caller", "bare inserts of the same rows by 32");
    Ok(vec![
        Figure::new("append_64", "bookings/s", &many, caller, &one, "at least 6"),
        Figure::new("append_64_rows", "bookings/s", &many, rows, &bare, "at least 0.7"),
        Figure::new("append_256_rows", "bookings/s", &more, rows, &bare, "shown"),
    ])
}

/// The newest bookings' rows once more, into a copy of the file that held them.
fn bare_inserts(rig: &Rig) -> Result<f64, CliError> {
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
    drop(conn);
    let mut target =
        sqlite::open_writer(&copy).map_err(|error| CliError::Bench("append", error.to_string()))?;
    let mut next: i64 = target
        .query_row("SELECT max(position) + 1 FROM entry", [], |row| row.get(0))
        .map_err(failed)?;
    let mut done = Ok(());
    let taken = seconds(|| {
        for batch in rows.chunks(BATCH) {
            done = insert(&mut target, batch, &mut next);
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

fn insert(conn: &mut rusqlite::Connection, rows: &[Row], next: &mut i64) -> rusqlite::Result<()> {
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
        tx.execute("UPDATE head SET size = ?1 WHERE id = 1", [*next])?;
    }
    tx.commit()
}
