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
use crate::ledger::mend::mend;
use crate::postgres::{
    self, Directory, Home, Keyrings, PgError, PgReader, PgWriter, Scope, Server, Watch,
};
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

/// The databases of a store; none where its ledgers are files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Databases<'a> {
    /// Where the ledgers are.
    pub ledger: Option<&'a str>,
    /// Where the keyrings are of tenants that are made; with the ledgers, if this is not said.
    pub keyring: Option<&'a str>,
}

/// Ledgers in a database that many nodes may share.
pub(crate) struct OnServer {
    home: Home,
    directory: Directory,
    keyrings: Option<Keyrings>,
    watch: Watch,
}

impl Place {
    /// Databases behind addresses, or files where there are none.
    pub(crate) fn at(databases: Databases<'_>) -> Result<Self, StoreError> {
        let Databases { ledger: Some(address), keyring } = databases else {
            return match databases.keyring {
                Some(_) => Err(StoreError::KeyringAlone),
                None => Ok(Self::Files),
            };
        };
        let server = Server::new(address)?;
        let keyring = keyring.map(Server::new).transpose()?;
        let directory = Directory::open(&server)?;
        let keyrings = keyring.as_ref().map(Keyrings::open).transpose()?;
        let home = Home { ledger: server, keyring };
        let watch = Watch::start(&home)?;
        Ok(Self::Server(Arc::new(OnServer { home, directory, keyrings, watch })))
    }

    /// The names of all tenants, in order.
    pub(crate) fn tenants(&self, dir: &Path) -> Result<Vec<String>, StoreError> {
        match self {
            Self::Files => tenant_names(dir),
            Self::Server(on) => Ok(on.directory.names()?),
        }
    }

    /// Whether keyrings can be reached that are in a database of their own.
    pub(crate) fn reach_keyrings(&self) -> Result<(), StoreError> {
        match self {
            Self::Files => Ok(()),
            Self::Server(on) => Ok(on.keyrings.as_ref().map_or(Ok(()), Keyrings::reach)?),
        }
    }

    /// Where a tenant is.
    pub(crate) fn find(&self, dir: &Path, name: &str) -> Result<Site, StoreError> {
        let folder = dir.join("tenants").join(name);
        match self {
            Self::Files if is_tenant_name(name) && folder.is_dir() => Ok(Site::Folder(folder)),
            Self::Files => Err(StoreError::UnknownTenant),
            Self::Server(on) => {
                let (id, both) = on.directory.find(name)?.ok_or(StoreError::UnknownTenant)?;
                let site = Site::on(on, id, dir);
                if both {
                    return Ok(site.together());
                }
                let known = on.keyrings.as_ref().map(|keyrings| keyrings.has(id)).transpose()?;
                match known {
                    Some(true) => Ok(site),
                    Some(false) => Err(PgError::OtherKeyring.into()),
                    None => Err(PgError::NoKeyring.into()),
                }
            }
        }
    }
}

/// Where one tenant's ledgers are.
#[derive(Clone)]
pub(crate) enum Site {
    Folder(PathBuf),
    Server {
        on: Arc<OnServer>,
        home: Home,
        id: TenantId,
        /// For what this node keeps of its own.
        folder: PathBuf,
    },
}

impl Site {
    /// Where a tenant is, or comes to be.
    pub(crate) fn on(on: &Arc<OnServer>, id: TenantId, dir: &Path) -> Self {
        // By the permanent id: a name may come to mean another tenant.
        let folder = dir.join("nodes").join(id.to_string());
        Self::Server { on: Arc::clone(on), home: on.home.clone(), id, folder }
    }

    /// With the keyring in the ledger's database, wherever those of others are.
    fn together(mut self) -> Self {
        if let Self::Server { home, .. } = &mut self {
            home.keyring = None;
        }
        self
    }

    /// Where the tenant's own files lie, of which read models are some.
    pub(crate) fn folder(&self) -> &Path {
        match self {
            Self::Folder(folder) | Self::Server { folder, .. } => folder,
        }
    }

    pub(crate) fn reader(&self, which: Which) -> Result<SharedReader, StoreError> {
        match self {
            Self::Folder(folder) => Ok(Box::new(SqliteReader::open(&folder.join(which.file()))?)),
            Self::Server { home, id, .. } => Ok(Box::new(PgReader(Scope::new(home, *id, which)))),
        }
    }

    /// To read and to write. A keyring that is older than its ledger is first brought back to what
    /// the ledger says has ended.
    pub(crate) fn open(&self, which: Which) -> Result<(SharedReader, Box<dyn Writer>), StoreError> {
        let reader = self.reader(which)?;
        let mut writer: Box<dyn Writer> = match self {
            Self::Folder(folder) => {
                Box::new(SqliteWriter(sqlite::open_writer(&folder.join(which.file()))?))
            }
            Self::Server { on, home, id, folder } => {
                fs::create_dir_all(folder)?;
                let scope = Scope::new(home, *id, which);
                let follower = on.watch.follower(&scope.schema);
                Box::new(PgWriter::new(scope, follower))
            }
        };
        mend(reader.as_ref(), writer.as_mut())?;
        Ok((reader, writer))
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
                Self::Server { home, id, .. } => postgres::found(home, *id, which, &keys)?,
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
