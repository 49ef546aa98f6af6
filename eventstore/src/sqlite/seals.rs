//! Reading seals and their data keys, neighbours together.

use domain::{Handle, RetentionClass};
use rusqlite::{Connection, OptionalExtension, Row, Statement};
use zeroize::Zeroizing;

use super::{int, uint};
use crate::engine::{Read, SealRow};
use crate::keyring::DataKeyRow;
use crate::keyring::person::PersonId;
use crate::keyring::seal::SealAt;

/// How far apart two rows may lie that are still read in one sweep: passing over a row costs a
/// small part of what finding one does.
const SEAL_GAP: i64 = 16 * 65_536;
const DATA_KEY_GAP: i64 = 16 * 8;

pub(super) fn find(conn: &Connection, seals: &[SealAt]) -> Read<Vec<SealRow>> {
    // One snapshot, so that a key and its seal are of the same moment.
    let tx = conn.unchecked_transaction()?;
    let mut found: Vec<(SealAt, SealRow)> =
        seals.iter().map(|at| (*at, SealRow::default())).collect();
    let mut select =
        tx.prepare_cached("SELECT id, ciphertext FROM seal WHERE id BETWEEN ?1 AND ?2")?;
    let id = |at: &SealAt| int(at.position.0) * 65_536 + i64::from(at.seal.seal);
    sweep(&mut select, &mut found, SEAL_GAP, id, |found, row| {
        found.ciphertext = Some(Zeroizing::new(row.get(1)?));
        Ok(())
    })?;
    let mut select = tx.prepare_cached(
        "SELECT id, person, year, wrapped FROM data_key WHERE id BETWEEN ?1 AND ?2",
    )?;
    let id = |at: &SealAt| int(at.seal.handle.0) * 8 + i64::from(at.seal.class.code());
    sweep(&mut select, &mut found, DATA_KEY_GAP, id, |found, row| {
        found.data_key = Some(data_key_row(row)?);
        Ok(())
    })?;
    Ok(found.into_iter().map(|(_, row)| row).collect())
}

/// Reads the rows with these ids, neighbours in one sweep over what lies between them.
fn sweep(
    select: &mut Statement<'_>,
    found: &mut [(SealAt, SealRow)],
    gap: i64,
    id: impl Fn(&SealAt) -> i64,
    take: impl Fn(&mut SealRow, &Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut wanted: Vec<(i64, &mut SealRow)> =
        found.iter_mut().map(|(at, row)| (id(at), row)).collect();
    wanted.sort_unstable_by_key(|(id, _)| *id);
    for stretch in wanted.chunk_by_mut(|(one, _), (next, _)| next - one <= gap) {
        let (Some((first, _)), Some((last, _))) = (stretch.first(), stretch.last()) else {
            continue;
        };
        let mut rows = select.query([*first, *last])?;
        let mut stretch = stretch.iter_mut().peekable();
        while let Some(row) = rows.next()? {
            let at: i64 = row.get(0)?;
            while stretch.next_if(|(id, _)| *id < at).is_some() {}
            while let Some((_, found)) = stretch.next_if(|(id, _)| *id == at) {
                take(found, row)?;
            }
        }
    }
    Ok(())
}

pub(super) fn data_key(
    conn: &Connection,
    handle: Handle,
    class: RetentionClass,
) -> rusqlite::Result<Option<DataKeyRow>> {
    let mut select = conn
        .prepare_cached("SELECT id, person, year, wrapped FROM data_key WHERE id = ?1 * 8 + ?2")?;
    select.query_row((int(handle.0), class.code()), data_key_row).optional()
}

/// A row of `id, person, year, wrapped`.
fn data_key_row(row: &Row<'_>) -> rusqlite::Result<DataKeyRow> {
    Ok(DataKeyRow {
        person: row.get::<_, Option<i64>>(1)?.map(|id| PersonId(uint(id))),
        year: row.get(2)?,
        wrapped: row.get(3)?,
    })
}
