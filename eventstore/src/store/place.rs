//! Where the ledgers of a store lie: in files of the data directory, or on a server.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{ACCESS, LEDGER, StoreError};
use crate::engine::Writer;
use crate::environment::Environment;
use crate::keyring::Founding;
use crate::keyring::provider::{Provider, TenantId};
use crate::ledger::log::SharedReader;
use crate::postgres::{self, Directory, PgReader, PgWriter, Scope, Server, Watch};
use crate::sqlite::{self, SqliteReader, SqliteWriter};

/// Which of a tenant's two ledgers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// What happened.
    Ledger,
    /// Who read what.
    Access,
}

impl Which {
    pub const ALL: [Self; 2] = [Self::Ledger, Self::Access];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Access => "access",
        }
    }

    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Ledger => LEDGER,
            Self::Access => ACCESS,
        }
    }
}

/// The engine that holds the ledgers of a store.
#[derive(Clone)]
pub(crate) enum Place {
    Files,
    Server(Arc<OnServer>),
}

/// Ledgers in a database that many nodes may share.
pub(crate) struct OnServer {
    server: Arc<Server>,
    directory: Directory,
    watch: Watch,
}

impl Place {
    /// A database behind an address, or files where there is none.
    pub(crate) fn at(address: Option<&str>) -> Result<Self, StoreError> {
        let Some(address) = address else { return Ok(Self::Files) };
        let server = Server::new(address)?;
        let directory = Directory::open(&server)?;
        let watch = Watch::start(&server)?;
        Ok(Self::Server(Arc::new(OnServer { server, directory, watch })))
    }

    /// The names of all tenants, in order.
    pub(crate) fn tenants(&self, dir: &Path) -> Result<Vec<String>, StoreError> {
        match self {
            Self::Files => tenant_names(dir),
            Self::Server(on) => Ok(on.directory.names()?),
        }
    }

    /// Where a tenant is.
    pub(crate) fn find(&self, dir: &Path, name: &str) -> Result<Site, StoreError> {
        let folder = dir.join("tenants").join(name);
        match self {
            Self::Files if is_tenant_name(name) && folder.is_dir() => Ok(Site::Folder(folder)),
            Self::Files => Err(StoreError::UnknownTenant),
            Self::Server(on) => {
                let id = on.directory.find(name)?.ok_or(StoreError::UnknownTenant)?;
                Ok(Site::on(on, id, dir))
            }
        }
    }
}

/// Where one tenant's ledgers are.
#[derive(Clone)]
pub(crate) enum Site {
    Folder(PathBuf),
    /// With the folder for what this node keeps of its own.
    Server(Arc<OnServer>, TenantId, PathBuf),
}

impl Site {
    pub(crate) fn on(on: &Arc<OnServer>, id: TenantId, dir: &Path) -> Self {
        // By the permanent id: a name may come to mean another tenant.
        Self::Server(Arc::clone(on), id, dir.join("nodes").join(id.to_string()))
    }

    /// Where the tenant's own files lie, of which read models are some.
    pub(crate) fn folder(&self) -> &Path {
        match self {
            Self::Folder(folder) | Self::Server(_, _, folder) => folder,
        }
    }

    pub(crate) fn reader(&self, which: Which) -> Result<SharedReader, StoreError> {
        match self {
            Self::Folder(folder) => Ok(Box::new(SqliteReader::open(&folder.join(which.file()))?)),
            Self::Server(on, id, _) => Ok(Box::new(PgReader(Scope::new(&on.server, *id, which)))),
        }
    }

    pub(crate) fn writer(&self, which: Which) -> Result<Box<dyn Writer>, StoreError> {
        match self {
            Self::Folder(folder) => {
                Ok(Box::new(SqliteWriter(sqlite::open_writer(&folder.join(which.file()))?)))
            }
            Self::Server(on, id, folder) => {
                fs::create_dir_all(folder)?;
                let scope = Scope::new(&on.server, *id, which);
                let follower = on.watch.follower(&scope.ledger);
                Ok(Box::new(PgWriter::new(scope, follower)))
            }
        }
    }

    /// Makes both ledgers of a new tenant.
    pub(crate) fn found(
        &self,
        tenant: TenantId,
        provider: &dyn Provider,
        env: &Environment,
    ) -> Result<(), StoreError> {
        for which in Which::ALL {
            let keys = Founding::new(provider, env)?;
            match self {
                Self::Folder(folder) => {
                    sqlite::found(&folder.join(which.file()), tenant, &keys)?;
                }
                Self::Server(on, id, _) => postgres::found(&on.server, *id, which, &keys)?,
            }
        }
        Ok(())
    }
}

impl OnServer {
    /// Gives a tenant its name; whether it was free.
    pub(crate) fn name(&self, name: &str, id: TenantId) -> Result<bool, StoreError> {
        Ok(self.directory.name(name, id)?)
    }
}

fn tenant_names(dir: &Path) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    let folder = dir.join("tenants");
    if folder.is_dir() {
        for file in fs::read_dir(folder)? {
            names.extend(file?.file_name().into_string().ok().filter(|name| is_tenant_name(name)));
        }
    }
    names.sort_unstable();
    Ok(names)
}

pub(super) fn is_tenant_name(name: &str) -> bool {
    let plain =
        |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(plain)
        && name.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
}
