//! Reading seals and their data keys, neighbours together.

use tokio_postgres::Row;
use zeroize::Zeroizing;

use super::reader::get;
use super::{PgError, Scope, Tx, int, uint};
use crate::engine::SealRow;
use crate::keyring::DataKeyRow;
use crate::keyring::person::PersonId;
use crate::keyring::seal::SealAt;

/// How many rows between two that are wanted cost less to pass over than to look for each.
const SPARSE: i64 = 8;

/// Rows by id, whether they are asked for as a stretch or one by one.
struct Wanted {
    ids: Vec<i64>,
    first: i64,
    last: i64,
    /// As a stretch.
    dense: bool,
}

impl Wanted {
    /// `step` is how far apart neighbours lie.
    fn new(mut ids: Vec<i64>, step: i64) -> Self {
        ids.sort_unstable();
        ids.dedup();
        let (first, last) = (ids.first().copied().unwrap_or(0), ids.last().copied().unwrap_or(0));
        let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        let dense = (last - first) / step <= count.saturating_mul(SPARSE);
        Self { ids, first, last, dense }
    }
}

macro_rules! seals {
    ($which:literal) => {
        concat!("SELECT id, ciphertext, NULL::int8, NULL::int2, true FROM seal WHERE id ", $which)
    };
}

macro_rules! keys {
    ($which:literal) => {
        concat!("SELECT id, wrapped, person, year, false FROM data_key WHERE id ", $which)
    };
}

/// One statement for both tables, so that a key and its seal are of the same moment.
macro_rules! both {
    ($seals:literal, $keys:literal) => {
        concat!(seals!($seals), " UNION ALL ", keys!($keys))
    };
}

fn together(scope: &Scope, sealed: &Wanted, keyed: &Wanted) -> Result<Vec<Row>, PgError> {
    let at = &scope.ledger;
    match (sealed.dense, keyed.dense) {
        (true, true) => at.query(
            both!("BETWEEN $1 AND $2", "BETWEEN $3 AND $4"),
            &[&sealed.first, &sealed.last, &keyed.first, &keyed.last],
        ),
        (true, false) => at.query(
            both!("BETWEEN $1 AND $2", "= ANY ($3)"),
            &[&sealed.first, &sealed.last, &keyed.ids],
        ),
        (false, true) => at.query(
            both!("= ANY ($1)", "BETWEEN $2 AND $3"),
            &[&sealed.ids, &keyed.first, &keyed.last],
        ),
        (false, false) => at.query(both!("= ANY ($1)", "= ANY ($2)"), &[&sealed.ids, &keyed.ids]),
    }
}

/// From two databases. Seals first: a key that has ended since says why its seal opens no more.
fn apart(scope: &Scope, sealed: &Wanted, keyed: &Wanted) -> Result<Vec<Row>, PgError> {
    let mut rows = match sealed.dense {
        true => scope.ledger.query(seals!("BETWEEN $1 AND $2"), &[&sealed.first, &sealed.last]),
        false => scope.ledger.query(seals!("= ANY ($1)"), &[&sealed.ids]),
    }?;
    // A stretch brings rows between those that are wanted, too.
    let mut wanted = 0;
    for row in &rows {
        wanted += usize::from(sealed.ids.binary_search(&get(row, 0)?).is_ok());
    }
    let every = wanted == sealed.ids.len();
    rows.extend(match (keyed.dense, every) {
        (true, true) => {
            scope.keyring.query(keys!("BETWEEN $1 AND $2"), &[&keyed.first, &keyed.last])
        }
        (false, true) => scope.keyring.query(keys!("= ANY ($1)"), &[&keyed.ids]),
        // A seal that is gone went with a commit whose part here may be about to be carried out.
        (_, false) => {
            let mut tx = Tx::begin(&scope.keyring)?;
            let rows = tx.rows(concat!(keys!("= ANY ($1)"), " FOR SHARE"), &[&keyed.ids])?;
            tx.commit()?;
            Ok(rows)
        }
    }?);
    Ok(rows)
}

/// Seals with their data keys, of one moment, in the order asked for.
pub(super) fn find(scope: &Scope, seals: &[SealAt]) -> Result<Vec<SealRow>, PgError> {
    let seal_id = |at: &SealAt| int(at.position.0) * 65_536 + i64::from(at.seal.seal);
    let key_id = |at: &SealAt| int(at.seal.handle.0) * 8 + i64::from(at.seal.class.code());
    let sealed = Wanted::new(seals.iter().map(seal_id).collect(), 65_536);
    let keyed = Wanted::new(seals.iter().map(key_id).collect(), 8);
    let rows = match scope.apart {
        None => together(scope, &sealed, &keyed),
        Some(_) => apart(scope, &sealed, &keyed),
    }?;
    let (mut ciphertexts, mut keys) = (Vec::new(), Vec::new());
    for row in &rows {
        let id: i64 = get(row, 0)?;
        if get(row, 4)? {
            ciphertexts.push((id, get::<&[u8]>(row, 1)?));
        } else {
            keys.push((id, data_key(row)?));
        }
    }
    // As they come from an index, they are nearly in order already.
    ciphertexts.sort_unstable_by_key(|(id, _)| *id);
    keys.sort_unstable_by_key(|(id, _)| *id);
    let found = seals.iter().map(|at| SealRow {
        data_key: at_id(&keys, key_id(at)).copied(),
        // What is decrypted in place is overwritten; what lay in the answer is ciphertext.
        ciphertext: at_id(&ciphertexts, seal_id(at)).map(|bytes| Zeroizing::new(bytes.to_vec())),
    });
    Ok(found.collect())
}

/// What has this id, among what is sorted by it.
fn at_id<T>(sorted: &[(i64, T)], id: i64) -> Option<&T> {
    let index = sorted.binary_search_by_key(&id, |(id, _)| *id).ok()?;
    sorted.get(index).map(|(_, found)| found)
}

/// A row of `id, wrapped, person, year`.
pub(super) fn data_key(row: &Row) -> Result<DataKeyRow, PgError> {
    Ok(DataKeyRow {
        person: get::<Option<i64>>(row, 2)?.map(|id| PersonId(uint(id))),
        year: get(row, 3)?,
        wrapped: get::<Option<&[u8]>>(row, 1)?.and_then(|bytes| bytes.try_into().ok()),
    })
}
