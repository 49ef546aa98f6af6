//! Founding: the roles and schemas of a new ledger, and what stands in them from the start.

use std::sync::Arc;

use super::pool::Server;
use super::{Names, PgError, migrate};
use crate::keyring::Founding;
use crate::keyring::provider::TenantId;
use crate::store::Which;
use crate::wait::wait;

/// Gives a new ledger its roles, its schemas, its head and the keys of its tenant: all or nothing.
pub(crate) fn found(
    server: &Arc<Server>,
    tenant: TenantId,
    which: Which,
    keys: &Founding,
) -> Result<(), PgError> {
    let names = Names::of(tenant, which);
    let Names { owner, role, ledger, keyring } = &names;
    let borrowed = server.borrow()?;
    let client = borrowed.client()?;
    let mut roles = String::from("BEGIN;");
    if which == Which::Ledger {
        for name in [owner, role] {
            roles.push_str(&format!(
                "CREATE ROLE {name} NOLOGIN NOINHERIT; GRANT {name} TO CURRENT_USER;"
            ));
        }
    }
    let epoch = i32::try_from(keys.epoch).unwrap_or(i32::MAX);
    let founded = wait(async {
        client.batch_execute(&roles).await?;
        migrate::steps(client, &names, 0).await?;
        let path = format!("SET LOCAL ROLE {owner}; SET LOCAL search_path = {ledger}, {keyring}");
        client.batch_execute(&path).await?;
        let sql = "INSERT INTO head VALUES (1, $1, 1, 0, '', 0, 0)";
        client.execute(sql, &[&tenant.0.as_slice()]).await?;
        client.execute("INSERT INTO counter VALUES ('handle', 1), ('person', 1)", &[]).await?;
        let sql = "INSERT INTO tenant_key VALUES ($1, $2)";
        client.execute(sql, &[&epoch, &keys.tenant_key]).await?;
        for (name, wrapped) in &keys.secrets {
            client.execute("INSERT INTO secret VALUES ($1, $2)", &[name, wrapped]).await?;
        }
        client.batch_execute("COMMIT").await
    });
    founded.map_err(PgError::of)?;
    borrowed.done();
    Ok(())
}
