//! The schema of a ledger on a server, in steps: a new one takes all of them, an older one those it
//! lacks, when its tenant is next looked for.

use std::sync::Arc;

use tokio_postgres::Client;

use super::pool::Server;
use super::{Names, PgError};
use crate::keyring::provider::TenantId;
use crate::store::Which;

/// Each for the ledger and for the keyring.
const STEPS: [(&str, &str); 4] = [
    (
        include_str!("../../migrations/postgres/0001-ledger.sql"),
        include_str!("../../migrations/postgres/0001-keyring.sql"),
    ),
    ("", include_str!("../../migrations/postgres/0002-keyring.sql")),
    ("", include_str!("../../migrations/postgres/0003-keyring.sql")),
    ("", include_str!("../../migrations/postgres/0004-keyring.sql")),
];

/// The schema that this program writes. A tenant with a newer one is refused.
pub(super) const VERSION: i32 = 4;

/// What of a tenant a database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    Both,
    Ledger,
    Keyring,
}

impl Half {
    fn has_ledger(self) -> bool {
        self != Self::Keyring
    }

    fn has_keyring(self) -> bool {
        self != Self::Ledger
    }
}

/// Takes the steps behind a version, within the caller's transaction.
pub(super) async fn steps(
    client: &Client,
    names: &Names,
    half: Half,
    version: i32,
) -> Result<(), tokio_postgres::Error> {
    for (ledger, keyring) in STEPS.iter().skip(usize::try_from(version).unwrap_or(0)) {
        let ledger = if half.has_ledger() { *ledger } else { "" };
        let keyring = if half.has_keyring() { *keyring } else { "" };
        let sql = format!("{ledger}\n{keyring}")
            .replace("{owner}", &names.owner)
            .replace("{role}", &names.role)
            .replace("{ledger}", &names.ledger)
            .replace("{keyring}", &names.keyring);
        client.batch_execute(&sql).await?;
    }
    Ok(())
}

impl Names {
    /// The schemas of a half.
    pub(super) fn schemas(&self, half: Half) -> Vec<String> {
        let ledger = half.has_ledger().then(|| self.ledger.clone());
        let keyring = half.has_keyring().then(|| self.keyring.clone());
        ledger.into_iter().chain(keyring).collect()
    }
}

/// A table that says which version a tenant's schemas in a database have.
#[derive(Clone, Copy)]
pub(super) struct Versions {
    pub half: Half,
    pub read: &'static str,
    pub write: &'static str,
}

/// Brings an older tenant to this program's version: all or nothing, and once, whichever node is
/// first.
pub(super) fn upgrade(server: &Arc<Server>, id: TenantId, of: Versions) -> Result<(), PgError> {
    let borrowed = server.borrow()?;
    let client = borrowed.client()?;
    let upgraded = borrowed.wait(async {
        // A step may go over all persons, and what was ended in the middle would begin anew each time.
        client.batch_execute("BEGIN; SET LOCAL statement_timeout = 0").await?;
        let version: i32 = client.query_one(of.read, &[&id.0.as_slice()]).await?.try_get(0)?;
        if version < VERSION {
            for which in Which::ALL {
                steps(client, &Names::of(id, which), of.half, version).await?;
            }
            client.execute(of.write, &[&id.0.as_slice(), &VERSION]).await?;
        }
        client.batch_execute("COMMIT").await
    });
    upgraded.map_err(PgError::of)?;
    borrowed.done();
    Ok(())
}
