//! Founding: the roles and schemas of a new ledger, and what stands in them from the start.

use std::sync::Arc;

use tokio_postgres::Client;

use super::migrate::{Half, VERSION};
use super::pool::Server;
use super::{Home, Names, PgError, migrate};
use crate::keyring::Founding;
use crate::keyring::provider::TenantId;
use crate::store::Which;

/// Gives a new ledger its roles, its schemas, its head and the keys of its tenant: in each database
/// all or nothing, and the keyring first where it is in another.
pub(crate) fn found(
    home: &Home,
    tenant: TenantId,
    which: Which,
    keys: &Founding,
) -> Result<(), PgError> {
    let Some(keyring) = &home.keyring else {
        return found_in(&home.ledger, (tenant, which), Half::Both, (keys, None));
    };
    let of = Some(&*keyring.directory);
    found_in(&keyring.server, (tenant, which), Half::Keyring, (keys, of))?;
    found_in(&home.ledger, (tenant, which), Half::Ledger, (keys, None))
}

fn found_in(
    server: &Arc<Server>,
    (tenant, which): (TenantId, Which),
    half: Half,
    (keys, directory): (&Founding, Option<&str>),
) -> Result<(), PgError> {
    let names = Names::of(tenant, which);
    let borrowed = server.borrow()?;
    let client = borrowed.client()?;
    let founded = borrowed.wait(async {
        client.batch_execute("BEGIN").await?;
        if which == Which::Ledger {
            make_roles(client, &names).await?;
        }
        migrate::steps(client, &names, half, 0).await?;
        if half == Half::Keyring && which == Which::Ledger {
            let sql = "INSERT INTO tidbok.keyring (id, version, directory) VALUES ($1, $2, $3)";
            client.execute(sql, &[&tenant.0.as_slice(), &VERSION, &directory]).await?;
        }
        let Names { owner, ledger, keyring, .. } = &names;
        client.batch_execute(&format!("SET LOCAL ROLE {owner}")).await?;
        if half != Half::Keyring {
            client.batch_execute(&format!("SET LOCAL search_path = {ledger}")).await?;
            let sql = "INSERT INTO head VALUES (1, $1, 1, 0, '', 0, 0)";
            client.execute(sql, &[&tenant.0.as_slice()]).await?;
        }
        if half != Half::Ledger {
            client.batch_execute(&format!("SET LOCAL search_path = {keyring}")).await?;
            put_keys(client, half, keys).await?;
        }
        client.batch_execute("COMMIT").await
    });
    founded.map_err(PgError::of)?;
    borrowed.done();
    Ok(())
}

pub(super) async fn make_roles(
    client: &Client,
    names: &Names,
) -> Result<(), tokio_postgres::Error> {
    for name in [&names.owner, &names.role] {
        // Both databases may be the same server's, to whom all roles are known.
        let sql = "SELECT 1 FROM pg_roles WHERE rolname = $1";
        if client.query_opt(sql, &[name]).await?.is_none() {
            let sql =
                format!("CREATE ROLE {name} NOLOGIN NOINHERIT; GRANT {name} TO CURRENT_USER;");
            client.batch_execute(&sql).await?;
        }
    }
    Ok(())
}

async fn put_keys(
    client: &Client,
    half: Half,
    keys: &Founding,
) -> Result<(), tokio_postgres::Error> {
    client.execute("INSERT INTO counter VALUES ('handle', 1), ('person', 1)", &[]).await?;
    if half == Half::Keyring {
        client.execute("INSERT INTO counter VALUES ('size', 0)", &[]).await?;
    }
    let epoch = i32::try_from(keys.epoch).unwrap_or(i32::MAX);
    let sql = "INSERT INTO tenant_key VALUES ($1, $2)";
    client.execute(sql, &[&epoch, &keys.tenant_key]).await?;
    for (name, wrapped) in &keys.secrets {
        client.execute("INSERT INTO secret VALUES ($1, $2)", &[name, wrapped]).await?;
    }
    Ok(())
}
