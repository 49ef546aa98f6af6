//! The schema of a ledger on a server, in steps: a new one takes all of them, an older one those it
//! lacks, when its tenant is next looked for.

use std::sync::Arc;

use tokio_postgres::Client;

use super::pool::Server;
use super::{Names, PgError};
use crate::keyring::provider::TenantId;
use crate::store::Which;
use crate::wait::wait;

const STEPS: [&str; 2] = [
    include_str!("../../migrations/postgres/0001-ledger-and-keyring.sql"),
    include_str!("../../migrations/postgres/0002-requests-and-recipients.sql"),
];

/// The schema that this program writes. A tenant with a newer one is refused.
pub(super) const VERSION: i32 = 2;

/// Takes the steps behind a version, within the caller's transaction.
pub(super) async fn steps(
    client: &Client,
    names: &Names,
    version: i32,
) -> Result<(), tokio_postgres::Error> {
    for step in STEPS.iter().skip(usize::try_from(version).unwrap_or(0)) {
        let sql = step
            .replace("{owner}", &names.owner)
            .replace("{role}", &names.role)
            .replace("{ledger}", &names.ledger)
            .replace("{keyring}", &names.keyring);
        client.batch_execute(&sql).await?;
    }
    Ok(())
}

/// Brings an older tenant to this program's version: all or nothing, and once, whichever node is
/// first.
pub(super) fn upgrade(server: &Arc<Server>, name: &str, id: TenantId) -> Result<(), PgError> {
    let borrowed = server.borrow()?;
    let client = borrowed.client()?;
    let upgraded = wait(async {
        client.batch_execute("BEGIN").await?;
        let sql = "SELECT version FROM tidbok.tenant WHERE name = $1 FOR UPDATE";
        let version: i32 = client.query_one(sql, &[&name]).await?.try_get(0)?;
        if version < VERSION {
            for which in Which::ALL {
                steps(client, &Names::of(id, which), version).await?;
            }
            let sql = "UPDATE tidbok.tenant SET version = $2 WHERE name = $1";
            client.execute(sql, &[&name, &VERSION]).await?;
        }
        client.batch_execute("COMMIT").await
    });
    upgraded.map_err(PgError::of)?;
    borrowed.done();
    Ok(())
}
