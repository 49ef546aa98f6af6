//! When two folds are the same: a hash over the sorted rows of each projection.
//!
//! The hash covers what a projection says and not where SQLite put it, so a rebuild, a live file
//! and a fold on another machine agree byte for byte. SHA-256 runs over, for each table of the
//! projection in the order it names them: byte 5 and the table's name as a value; then its rows,
//! sorted by all columns from the first, each as byte 6 and its values in column order. A value is
//! byte 0 for null; byte 1 and 8 bytes for an integer; byte 3 (text) or 4 (blob), the length in 8
//! bytes, and the bytes. Numbers are big-endian, text is UTF-8 and sorts by its bytes.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::{MODELS, Model, ProjectionError};

const TABLE: u8 = 5;
const ROW: u8 = 6;

/// The hash of each projection in hexadecimal digits, by its name without the version.
pub type Hashes = BTreeMap<&'static str, String>;

/// The hashes of every projection, at one moment.
pub(crate) fn hashes(connection: &Connection) -> Result<Hashes, ProjectionError> {
    MODELS.iter().map(|model| Ok((model.short_name(), hash(connection, model)?))).collect()
}

fn hash(connection: &Connection, model: &Model) -> Result<String, ProjectionError> {
    let mut context = digest::Context::new(&digest::SHA256);
    for table in model.tables {
        context.update(&[TABLE]);
        update(&mut context, ValueRef::Text(table.as_bytes()));
        update_rows(&mut context, connection, table)?;
    }
    Ok(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn update_rows(
    context: &mut digest::Context,
    connection: &Connection,
    table: &str,
) -> Result<(), ProjectionError> {
    let columns = connection.prepare(&format!("SELECT * FROM {table}"))?.column_count();
    let order: Vec<String> = (1..=columns).map(|column| column.to_string()).collect();
    let sql = format!("SELECT * FROM {table} ORDER BY {}", order.join(", "));
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        context.update(&[ROW]);
        for column in 0..columns {
            update(context, row.get_ref(column)?);
        }
    }
    Ok(())
}

fn update(context: &mut digest::Context, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => context.update(&[0]),
        ValueRef::Integer(number) => {
            context.update(&[1]);
            context.update(&number.to_be_bytes());
        }
        // No table here has a column of this type.
        ValueRef::Real(number) => {
            context.update(&[2]);
            context.update(&number.to_be_bytes());
        }
        ValueRef::Text(bytes) => update_bytes(context, 3, bytes),
        ValueRef::Blob(bytes) => update_bytes(context, 4, bytes),
    }
}

fn update_bytes(context: &mut digest::Context, kind: u8, bytes: &[u8]) {
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    context.update(&[kind]);
    context.update(&length.to_be_bytes());
    context.update(bytes);
}
