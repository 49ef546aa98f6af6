//! Where the ledgers of a store lie: in files of the data directory, or on a server.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cluster::{Cluster, Databases, OnServer};
use super::{ACCESS, LEDGER, StoreError};
use crate::engine::{Reader, Writer};
use crate::environment::Environment;
use crate::keyring::Founding;
use crate::keyring::provider::{Provider, TenantId};
use crate::ledger::log::SharedReader;
use crate::ledger::mend::mend;
use crate::postgres::{self, Home, PgReader, PgWriter, Scope, State};
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
    Server(Arc<Cluster>),
}

impl Place {
    /// Databases behind addresses, or files where there are none.
    pub(crate) fn at(databases: Databases<'_>, env: &Environment) -> Result<Self, StoreError> {
        match databases.ledger {
            Some(address) => Ok(Self::Server(Arc::new(Cluster::open(address, databases, env)?))),
            None if databases.keyring.is_some() => Err(StoreError::KeyringAlone),
            None if !databases.servers.is_empty() => Err(StoreError::ServersAlone),
            None => Ok(Self::Files),
        }
    }

    /// The server of a name; none where ledgers are files.
    pub(crate) fn server(&self, name: Option<&str>) -> Result<Option<Arc<OnServer>>, StoreError> {
        match self {
            Self::Files if name.is_some() => Err(StoreError::ServersAlone),
            Self::Files => Ok(None),
            Self::Server(cluster) => cluster.server(name).map(Some),
        }
    }

    /// The names of all tenants that are in use, in order.
    pub(crate) fn tenants(&self, dir: &Path) -> Result<Vec<String>, StoreError> {
        match self {
            Self::Files => tenant_names(dir),
            Self::Server(cluster) => {
                let all = cluster.main.directory.all()?.into_iter();
                let in_use = all.filter(|(_, placed)| placed.state == State::InUse);
                Ok(in_use.map(|(name, _)| name).collect())
            }
        }
    }

    /// The permanent ids of all tenants that are in use.
    pub(crate) fn ids(&self, dir: &Path) -> Result<BTreeSet<TenantId>, StoreError> {
        match self {
            Self::Files => {
                let id = |name: String| {
                    let reader = SqliteReader::open(&folder(dir, &name).join(LEDGER))?;
                    Ok(reader.head()?.tenant)
                };
                tenant_names(dir)?.into_iter().map(id).collect()
            }
            Self::Server(cluster) => {
                let all = cluster.main.directory.all()?.into_iter();
                let in_use = all.filter(|(_, placed)| placed.state == State::InUse);
                Ok(in_use.map(|(_, placed)| placed.id).collect())
            }
        }
    }

    /// Whether there is no tenant, in use or out of it.
    pub(crate) fn is_empty(&self, dir: &Path) -> Result<bool, StoreError> {
        match self {
            Self::Files => Ok(tenant_names(dir)?.is_empty() && out_of_use(dir)?.is_empty()),
            Self::Server(cluster) => Ok(cluster.main.directory.all()?.is_empty()),
        }
    }

    /// Whether keyrings can be reached that are in a database of their own.
    pub(crate) fn reach_keyrings(&self) -> Result<(), StoreError> {
        match self {
            Self::Files => Ok(()),
            Self::Server(cluster) => cluster.reach_keyrings(),
        }
    }

    /// Where a tenant is.
    pub(crate) fn find(&self, dir: &Path, name: &str) -> Result<Site, StoreError> {
        match self {
            Self::Files if is_tenant_name(name) => {
                let folder = folder(dir, name);
                if folder.is_dir() {
                    return Ok(Site::Folder(folder));
                }
                Err(if is_out_of_use(dir, name) {
                    StoreError::Closed(name.to_owned())
                } else {
                    StoreError::UnknownTenant
                })
            }
            Self::Files => Err(StoreError::UnknownTenant),
            Self::Server(cluster) => {
                let placed = cluster.placed(name)?;
                if placed.state != State::InUse {
                    return Err(StoreError::Closed(name.to_owned()));
                }
                let (on, together) = cluster.reach(&placed)?;
                Ok(Site::on(&on, placed.id, dir, together))
            }
        }
    }
}

/// Where a tenant's files are.
pub(super) fn folder(dir: &Path, name: &str) -> PathBuf {
    dir.join("tenants").join(name)
}

/// Where the files of a tenant are that was imported, before its ledger says so.
pub(super) fn arriving(dir: &Path, name: &str) -> PathBuf {
    dir.join("tenants").join(format!(".{name}.arriving"))
}

/// Where the files of a tenant are that is being exported, or was until that was cut off.
pub(super) fn exporting(dir: &Path, name: &str) -> PathBuf {
    dir.join("tenants").join(format!(".{name}.exporting"))
}

/// Where the files of a tenant are that was exported whole. The name is no tenant's.
pub(super) fn left_behind(dir: &Path, name: &str) -> PathBuf {
    dir.join("tenants").join(format!(".{name}.exported"))
}

/// Whether there are files of a tenant that is out of use.
pub(super) fn is_out_of_use(dir: &Path, name: &str) -> bool {
    [exporting, left_behind, arriving].into_iter().any(|place| place(dir, name).exists())
}

/// What a node has of its own of a tenant on a server: by the permanent id, for a name may come to mean
/// another tenant.
pub(super) fn node_folder(dir: &Path, id: TenantId) -> PathBuf {
    dir.join("nodes").join(id.to_string())
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
    /// Where a tenant is, or comes to be; its keyring in the same database, or in that of keyrings if
    /// there is one.
    pub(crate) fn on(on: &Arc<OnServer>, id: TenantId, dir: &Path, together: bool) -> Self {
        let folder = node_folder(dir, id);
        Self::Server { on: Arc::clone(on), home: on.home(together), id, folder }
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
            Self::Folder(folder) => Box::new(SqliteWriter::open(&folder.join(which.file()))?),
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

/// The tenants in files that are out of use. An import puts what it brings beside what was exported.
pub(super) fn out_of_use(dir: &Path) -> Result<BTreeMap<String, State>, StoreError> {
    let mut files = Vec::new();
    for file in fs::read_dir(dir.join("tenants"))? {
        files.extend(file?.file_name().into_string());
    }
    let mut found = BTreeMap::new();
    for (end, state) in [
        (".exported", State::Exported),
        (".exporting", State::Exporting),
        (".arriving", State::Arriving),
    ] {
        let names = files.iter().filter_map(|file| file.strip_prefix('.')?.strip_suffix(end));
        found.extend(names.map(|name| (name.to_owned(), state)));
    }
    Ok(found)
}

pub(super) fn is_tenant_name(name: &str) -> bool {
    let plain =
        |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(plain)
        && name.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
}
