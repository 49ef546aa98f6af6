//! Taking a tenant's ledgers out of use on a server, into use again, and off it.
//!
//! The tenant's role loses its way into the schemas, and then all their tables are locked once: what was
//! under way is through by then, and nobody, on whichever node, reads or writes anything after it. The
//! owner still does, and copies.

use std::sync::Arc;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::migrate::Half;
use super::pool::Server;
use super::{Apart, Home, Names, PgError, Scope, Tx, apart, reader};
use crate::keyring::provider::TenantId;
use crate::store::Which;

/// Longer than any statement of a node's may take.
const PATIENCE: &str = "SET LOCAL lock_timeout = '40s'; SET LOCAL statement_timeout = '60s'";

/// The tables of some schemas, each with the schema's name.
const TABLES: &str = "SELECT format('%I.%I', schemaname, tablename)
    FROM pg_tables WHERE schemaname = ANY ($1) ORDER BY 1";

/// A database with a tenant's schemas in it, of one of its ledgers.
struct Held<'a> {
    server: &'a Arc<Server>,
    names: Names,
    schemas: Vec<String>,
}

/// Where a tenant's schemas are: first those of its ledgers. A keyring in another database is among
/// them only where it is asked for.
fn held(home: &Home, tenant: TenantId, keyrings: bool) -> Vec<Held<'_>> {
    let mut all = Vec::new();
    for which in Which::ALL {
        let names = || Names::of(tenant, which);
        let Names { ledger, keyring, .. } = names();
        match &home.keyring {
            None => {
                let schemas = vec![ledger, keyring];
                all.push(Held { server: &home.ledger, names: names(), schemas });
            }
            Some(Apart { server, .. }) => {
                all.push(Held { server: &home.ledger, names: names(), schemas: vec![ledger] });
                if keyrings {
                    all.push(Held { server, names: names(), schemas: vec![keyring] });
                }
            }
        }
    }
    all
}

/// Whether a server has a tenant's ledger.
pub(crate) fn is_here(server: &Arc<Server>, tenant: TenantId) -> Result<bool, PgError> {
    has_schema(server, &Names::of(tenant, Which::Ledger).ledger)
}

/// Whether a server has a tenant's keyring.
pub(crate) fn has_keyring(server: &Arc<Server>, tenant: TenantId) -> Result<bool, PgError> {
    has_schema(server, &Names::of(tenant, Which::Ledger).keyring)
}

fn has_schema(server: &Arc<Server>, schema: &str) -> Result<bool, PgError> {
    let borrowed = server.borrow()?;
    let sql = "SELECT to_regnamespace($1) IS NOT NULL";
    let row = borrowed.wait(borrowed.client()?.query_one(sql, &[&schema])).map_err(PgError::of)?;
    borrowed.done();
    reader::get(&row, 0)
}

/// Takes a tenant out of use on every node; may be repeated.
pub(crate) fn close(home: &Home, tenant: TenantId, keyrings: bool) -> Result<(), PgError> {
    let all = held(home, tenant, keyrings);
    for held in &all {
        // Without a lock: who holds one may be waiting for an answer to what comes behind ours.
        let close = way_in(&held.names, &held.schemas, false);
        change(held.server, async |client| client.batch_execute(&close).await)?;
    }
    let (ledgers, apart): (Vec<_>, Vec<_>) =
        all.iter().partition(|held| Arc::ptr_eq(held.server, &home.ledger));
    ledgers.into_iter().try_for_each(wait_for_others)?;
    for which in Which::ALL {
        // What was prepared keeps its locks until it is settled.
        let scope = Scope::of_owner(home, tenant, which);
        let (mut head, _) = Tx::with_head(&scope.ledger)?;
        apart::settle(&scope, &mut head)?;
        head.end("ROLLBACK")?;
    }
    apart.into_iter().try_for_each(wait_for_others)
}

/// Waits until whatever was under way in some schemas is through. What begins now finds no way in.
///
/// One table after the other, none of them kept: whoever writes has some and needs others, and would
/// wait for a table that is kept here while one of its own is waited for.
fn wait_for_others(held: &Held<'_>) -> Result<(), PgError> {
    let Held { names: Names { owner, .. }, schemas, .. } = held;
    let tables = change(held.server, async |client| {
        let rows = client.query(TABLES, &[schemas]).await?;
        rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()
    })?;
    tables.iter().try_for_each(|table| {
        let lock = format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
        let wait = format!("SET LOCAL ROLE {owner}; {lock}");
        change(held.server, async |client| client.batch_execute(&wait).await)
    })
}

/// Lets a tenant be used again.
pub(crate) fn reopen(home: &Home, tenant: TenantId, keyrings: bool) -> Result<(), PgError> {
    for held in held(home, tenant, keyrings) {
        let open = way_in(&held.names, &held.schemas, true);
        change(held.server, async |client| client.batch_execute(&open).await)?;
    }
    Ok(())
}

/// What lets a tenant's role into schemas of its own, or keeps it out, within the caller's transaction.
pub(super) fn way_in(Names { owner, role, .. }: &Names, schemas: &[String], open: bool) -> String {
    let schemas = schemas.join(", ");
    let change = match open {
        true => format!("GRANT USAGE ON SCHEMA {schemas} TO {role}"),
        false => format!("REVOKE USAGE ON SCHEMA {schemas} FROM {role}"),
    };
    format!("SET LOCAL ROLE {owner}; {change}")
}

/// Deletes whatever a server with ledgers has of a tenant; may be repeated.
pub(crate) fn discard(server: &Arc<Server>, tenant: TenantId) -> Result<(), PgError> {
    let names = Names::of(tenant, Which::Ledger);
    let schemas = of_both(tenant, Half::Both);
    change(server, async |client| drop_schemas(client, &names, &schemas).await)?;
    drop_roles(server, &names)
}

/// Deletes a tenant's keyring in a database of its own, unless another directory has the tenant by now
/// and put it there; whether nothing is left.
pub(crate) fn discard_keyring(apart: &Apart, tenant: TenantId) -> Result<bool, PgError> {
    let names = Names::of(tenant, Which::Ledger);
    let schemas = of_both(tenant, Half::Keyring);
    let (id, directory) = (tenant.0.as_slice(), &*apart.directory);
    let ours = change(&apart.server, async |client| {
        // Whoever else puts one there waits for this row, or is waited for.
        let sql = "DELETE FROM tidbok.keyring WHERE id = $1 AND coalesce(directory, $2) = $2";
        if client.execute(sql, &[&id, &directory]).await? == 0 {
            let sql = "SELECT FROM tidbok.keyring WHERE id = $1";
            return Ok(client.query_opt(sql, &[&id]).await?.is_none());
        }
        drop_schemas(client, &names, &schemas).await?;
        Ok(true)
    })?;
    if ours {
        drop_roles(&apart.server, &names)?;
    }
    Ok(ours)
}

/// The schemas of both ledgers of a tenant.
fn of_both(tenant: TenantId, half: Half) -> Vec<String> {
    Which::ALL.into_iter().flat_map(|which| Names::of(tenant, which).schemas(half)).collect()
}

/// Drops schemas, as far as they are there, within the caller's transaction.
pub(super) async fn drop_schemas(
    client: &Client,
    Names { owner, .. }: &Names,
    schemas: &[String],
) -> Result<(), tokio_postgres::Error> {
    let sql = "SELECT 1 FROM pg_roles WHERE rolname = $1";
    if client.query_opt(sql, &[owner]).await?.is_none() {
        return Ok(());
    }
    let schemas = schemas.join(", ");
    let sql =
        format!("SET LOCAL ROLE {owner}; DROP SCHEMA IF EXISTS {schemas} CASCADE; RESET ROLE");
    client.batch_execute(&sql).await
}

/// Drops a tenant's roles, unless another database of the same server still needs them.
fn drop_roles(server: &Arc<Server>, Names { role, owner, .. }: &Names) -> Result<(), PgError> {
    let borrowed = server.borrow()?;
    for name in [role, owner] {
        let sql = format!("DROP ROLE IF EXISTS {name}");
        match borrowed.wait(borrowed.client()?.batch_execute(&sql)) {
            Ok(()) => {}
            Err(error) if error.code() == Some(&SqlState::DEPENDENT_OBJECTS_STILL_EXIST) => {}
            Err(error) => return Err(PgError::of(error)),
        }
    }
    borrowed.done();
    Ok(())
}

/// Runs something as one transaction.
fn change<T>(
    server: &Arc<Server>,
    work: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
) -> Result<T, PgError> {
    let borrowed = server.borrow()?;
    let client = borrowed.client()?;
    let changed = borrowed.wait(async {
        client.batch_execute(&format!("BEGIN; {PATIENCE}")).await?;
        let changed = work(client).await?;
        client.batch_execute("COMMIT").await?;
        Ok(changed)
    });
    let changed = changed.map_err(PgError::of)?;
    borrowed.done();
    Ok(changed)
}
