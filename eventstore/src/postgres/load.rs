//! A ledger on a server, made of the file that it was on one machine or that was copied of it.
//!
//! The other way of `copy.rs`, and over the same tables.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use rusqlite::{Connection, Row};
use tokio_postgres::Client;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

use super::copy::{OF_LEDGER, TABLES};
use super::migrate::{Half, VERSION};
use super::moving::{drop_schemas, way_in};
use super::pool::Server;
use super::{Apart, Home, Names, PgError, found, migrate};
use crate::engine::EngineError;
use crate::keyring::provider::TenantId;
use crate::sqlite;
use crate::store::Which;

/// The head as it is on a server, which counts numbers elsewhere.
const HEAD: &str = "id, tenant, origin, size, frontier, recorded_at, indexed";

/// What counts by itself counts on from what came.
const COUNTED: [&str; 3] = ["api_key", "privacy_request", "notice"];

/// Makes a tenant's ledger of a complete file, out of use. What the server had of it is replaced, so
/// whoever asks has made sure that nobody uses that. A keyring that is in a database of its own is left as it
/// is unless it is asked for.
pub(crate) fn load(
    home: &Home,
    (tenant, which): (TenantId, Which),
    file: &Path,
    keyrings: bool,
) -> Result<(), EngineError> {
    let file = sqlite::open_reader(file).map_err(|error| match error {
        sqlite::OpenError::Sqlite(error) => EngineError::Sqlite(error),
        sqlite::OpenError::Newer(_) => EngineError::Spoilt,
    })?;
    let load = Load { tenant, which, file: &file, directory: None };
    match &home.keyring {
        None => load.make_on(&home.ledger, Half::Both),
        Some(Apart { server, directory }) => {
            if keyrings {
                Load { directory: Some(directory), ..load }.make_on(server, Half::Keyring)?;
            }
            load.make_on(&home.ledger, Half::Ledger)
        }
    }
}

struct Load<'a> {
    tenant: TenantId,
    which: Which,
    file: &'a Connection,
    /// Who has the tenant of a keyring that is alone.
    directory: Option<&'a str>,
}

impl Load<'_> {
    /// All or nothing.
    fn make_on(&self, server: &Arc<Server>, half: Half) -> Result<(), EngineError> {
        let borrowed = server.borrow()?;
        borrowed.wait(self.all(borrowed.client()?, half))?;
        borrowed.done();
        Ok(())
    }

    async fn all(&self, client: &Client, half: Half) -> Result<(), EngineError> {
        let names = Names::of(self.tenant, self.which);
        self.schemas(client, &names, half).await.map_err(PgError::of)?;
        let (ledger, keyring) = (half != Half::Keyring, half != Half::Ledger);
        if ledger {
            self.table(client, "head", HEAD).await?;
            for (table, columns) in TABLES.into_iter().take(OF_LEDGER) {
                self.table(client, table, columns).await?;
            }
        }
        if keyring {
            self.counters(client, half).await?;
            for (table, columns) in TABLES.into_iter().skip(OF_LEDGER) {
                self.table(client, table, columns).await?;
            }
            for table in COUNTED {
                let sql = format!(
                    "SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}
                     HAVING max(id) IS NOT NULL"
                );
                client.batch_execute(&sql).await.map_err(PgError::of)?;
            }
        }
        // Nobody uses it before it is said to be here.
        let end = format!("{}; COMMIT", way_in(&names, &names.schemas(half), false));
        Ok(client.batch_execute(&end).await.map_err(PgError::of)?)
    }

    async fn schemas(
        &self,
        client: &Client,
        names: &Names,
        half: Half,
    ) -> Result<(), tokio_postgres::Error> {
        client.batch_execute("BEGIN; SET LOCAL statement_timeout = 0").await?;
        let Names { owner, .. } = names;
        let schemas = names.schemas(half);
        drop_schemas(client, names, &schemas).await?;
        found::make_roles(client, names).await?;
        migrate::steps(client, names, half, 0).await?;
        if half == Half::Keyring {
            let sql = "INSERT INTO tidbok.keyring (id, version, directory) VALUES ($1, $2, $3)
                       ON CONFLICT (id) DO UPDATE SET version = excluded.version,
                       directory = excluded.directory";
            let id = self.tenant.0.as_slice();
            client.execute(sql, &[&id, &VERSION, &self.directory]).await?;
        }
        let path = schemas.join(", ");
        client
            .batch_execute(&format!("SET LOCAL ROLE {owner}; SET LOCAL search_path = {path}"))
            .await
    }

    async fn counters(&self, client: &Client, half: Half) -> Result<(), EngineError> {
        let sql = "SELECT next_handle, next_person, size FROM head";
        let (handle, person, size): (i64, i64, i64) =
            self.file.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let sql = "INSERT INTO counter VALUES ('handle', $1), ('person', $2)";
        client.execute(sql, &[&handle, &person]).await.map_err(PgError::of)?;
        if half == Half::Keyring {
            let sql = "INSERT INTO counter VALUES ('size', $1)";
            client.execute(sql, &[&size]).await.map_err(PgError::of)?;
        }
        Ok(())
    }

    async fn table(&self, client: &Client, table: &str, columns: &str) -> Result<(), EngineError> {
        let shape = client.prepare(&format!("SELECT {columns} FROM {table}")).await;
        let shape = shape.map_err(PgError::of)?;
        let types: Vec<Type> =
            shape.columns().iter().map(|column| column.type_().clone()).collect();
        let copy = format!("COPY {table} ({columns}) FROM STDIN BINARY");
        let sink = client.copy_in(&copy).await.map_err(PgError::of)?;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
        let mut select = self.file.prepare(&format!("SELECT {columns} FROM {table} ORDER BY 1"))?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let cells = cells(row, &types)?;
            let cells = cells.iter().map(|cell| &**cell as &(dyn ToSql + Sync));
            writer.as_mut().write_raw(cells).await.map_err(PgError::of)?;
        }
        writer.finish().await.map_err(PgError::of)?;
        Ok(())
    }
}

/// A row's values, each as the column it goes into has them.
fn cells(row: &Row<'_>, types: &[Type]) -> Result<Vec<Box<dyn ToSql + Sync>>, rusqlite::Error> {
    let cell = |(n, kind): (usize, &Type)| -> Result<Box<dyn ToSql + Sync>, rusqlite::Error> {
        Ok(match *kind {
            Type::INT2 => Box::new(row.get::<_, Option<i16>>(n)?),
            Type::INT4 => Box::new(row.get::<_, Option<i32>>(n)?),
            Type::INT8 => Box::new(row.get::<_, Option<i64>>(n)?),
            Type::TEXT => Box::new(row.get::<_, Option<String>>(n)?),
            _ => Box::new(row.get::<_, Option<Vec<u8>>>(n)?),
        })
    };
    types.iter().enumerate().map(cell).collect()
}
