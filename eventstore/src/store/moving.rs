//! Moving a tenant: out of use where it is, into files that are all of it, into use elsewhere.
//!
//! The order makes it safe. A tenant is closed before it is copied, so nothing is booked behind the
//! copy; one step, a rename or a row of the directory, says where it is from then on; and only then
//! is it deleted where it was. What was cut off is done again from its start. The first entry in the new
//! place is marked with the key store, so that no copy left behind is taken for the ledger again.

use std::fs::{self, File};
use std::path::Path;
use std::sync::{Arc, PoisonError};

use domain::ledger::{Moved, Residence};
use domain::{Actor, Command};

use super::cluster::{Cluster, OnServer};
use super::export::{Export, complete, copy, copy_files, extent, head_of};
use super::place::{Place, Site, Which, folder, left_behind};
use super::{Store, StoreError, gate};
use crate::engine::Reader;
use crate::keyring::provider::TenantId;
use crate::ledger::appender::Append;
use crate::postgres::{self, Held, Home, Placed};
use crate::sqlite::SqliteReader;

/// A tenant and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    /// The other server that it is on.
    pub server: Option<String>,
    /// Out of use: exported, or about to be moved.
    pub closed: bool,
}

impl Store {
    /// All tenants and where they are, those out of use too.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn listed(&self) -> Result<Vec<Listed>, StoreError> {
        let Place::Server(cluster) = &self.place else {
            let mut all = Vec::new();
            for (closed, names) in [(false, self.tenants()?), (true, self.exported()?)] {
                all.extend(names.into_iter().map(|name| Listed { name, server: None, closed }));
            }
            all.sort_by(|one, other| one.name.cmp(&other.name));
            return Ok(all);
        };
        let listed = |(name, placed): (String, Placed)| {
            let Placed { server, closed, .. } = placed;
            Listed { name, server, closed }
        };
        Ok(cluster.main.directory.all()?.into_iter().map(listed).collect())
    }

    /// The tenants in files that were exported and not removed.
    fn exported(&self) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        for file in fs::read_dir(self.dir.join("tenants"))? {
            let name = file?.file_name().into_string().unwrap_or_default();
            let name = name.strip_prefix('.').and_then(|name| name.strip_suffix(".exported"));
            names.extend(name.map(str::to_owned));
        }
        Ok(names)
    }

    /// Those of the open tenants that are not where they were when they were opened, or out of use.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn moved(&self) -> Result<Vec<String>, StoreError> {
        let Place::Server(cluster) = &self.place else { return Ok(Vec::new()) };
        let open: Vec<(String, TenantId, Option<String>)> = {
            let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
            tenants
                .iter()
                .filter_map(|(name, open)| {
                    // One that is being opened or closed is looked at the next time.
                    match &open.try_lock().ok()?.as_ref()?.site {
                        Site::Folder(_) => None,
                        Site::Server { on, id, .. } => Some((name.clone(), *id, on.name.clone())),
                    }
                })
                .collect()
        };
        if open.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<String> = open.iter().map(|(name, ..)| name.clone()).collect();
        let placed = cluster.main.directory.those(&names)?;
        let stays = |(name, id, server): &(String, TenantId, Option<String>)| {
            placed.iter().any(|(of, now)| {
                of == name && now.id == *id && now.server == *server && !now.closed
            })
        };
        Ok(open.into_iter().filter(|tenant| !stays(tenant)).map(|(name, ..)| name).collect())
    }

    /// Takes a tenant out of use and writes all of it into a folder. It stays out of use; where this
    /// fails, it is in use again.
    ///
    /// # Errors
    /// Where there is no such tenant, somebody has it in hand, or files cannot be written.
    pub fn export(&self, name: &str, to: &Path) -> Result<Export, StoreError> {
        if to.exists() && fs::read_dir(to)?.next().is_some() {
            return Err(StoreError::NotEmpty);
        }
        let export = match &self.place {
            Place::Files => self.export_files(name, to)?,
            Place::Server(cluster) => {
                let _held = hold(cluster, name)?;
                let placed = cluster.placed(name)?;
                let (on, together) = cluster.reach(&placed)?;
                let home = on.home(together);
                cluster.main.directory.close(placed.id, true)?;
                self.close(name);
                let copied = postgres::close(&home, placed.id, true)
                    .map_err(StoreError::from)
                    .and_then(|()| copy(&Site::on(&on, placed.id, &self.dir, together), to))
                    .and_then(|()| complete(name, placed.id, to));
                if copied.is_err() && !placed.closed {
                    postgres::reopen(&home, placed.id, true)?;
                    cluster.main.directory.close(placed.id, false)?;
                }
                copied?
            }
        };
        export.write(to)?;
        Ok(export)
    }

    fn export_files(&self, name: &str, to: &Path) -> Result<Export, StoreError> {
        let (from, left) = (folder(&self.dir, name), left_behind(&self.dir, name));
        let again = !from.is_dir() && left.is_dir();
        if !again {
            self.place.find(&self.dir, name)?;
            let slot = self.slot(name);
            let mut open = slot.lock().unwrap_or_else(PoisonError::into_inner);
            if open.as_ref().is_some_and(|tenant| Arc::strong_count(tenant) > 1) {
                return Err(StoreError::InUse(name.to_owned()));
            }
            // Under its lock: nobody opens it between.
            drop(open.take());
            fs::rename(&from, &left)?;
            File::open(self.dir.join("tenants"))?.sync_all()?;
        }
        let copied = copy_files(&left, to).and_then(|id| complete(name, id, to));
        if copied.is_err() && !again {
            fs::rename(&left, &from)?;
        }
        copied
    }

    /// Puts a tenant into use that [`Self::export`] has written into a folder, in files or on a
    /// server of this name. What of it is here, out of use, is replaced.
    ///
    /// # Errors
    /// Where the folder is no whole export, the tenant has moved on since, the key store is another,
    /// or another tenant has its name.
    pub fn import(&self, from: &Path, server: Option<&str>) -> Result<Export, StoreError> {
        let export = Export::read(from)?;
        let name = export.tenant.as_str();
        match (&self.place, self.place.server(server)?) {
            (Place::Server(cluster), Some(on)) => self.import_to(cluster, &on, from, &export)?,
            (Place::Files | Place::Server(_), _) => {
                let left = left_behind(&self.dir, name);
                if left.is_dir() && head_of(&left)?.0 != export.id()? {
                    return Err(StoreError::TenantExists);
                }
                self.place(name, |beside| self.take_in(from, beside, &export))?;
                self.arrive(name, Residence::Files)?;
                if left.is_dir() {
                    fs::remove_dir_all(left)?;
                }
            }
        }
        Ok(export)
    }

    fn import_to(
        &self,
        cluster: &Cluster,
        on: &Arc<OnServer>,
        from: &Path,
        export: &Export,
    ) -> Result<(), StoreError> {
        let (name, id) = (export.tenant.as_str(), export.id()?);
        let _held = hold(cluster, name)?;
        let here = cluster.main.directory.find(name)?;
        let before = match &here {
            Some(placed) if placed.id == id && placed.closed => Some(cluster.reach(placed)?),
            Some(_) => return Err(StoreError::TenantExists),
            None => None,
        };
        let workshop = self.workshop()?;
        self.take_in(from, workshop.folder(), export)?;
        // A keyring stays with its ledger, or apart from it, as it was.
        let together = before.as_ref().is_some_and(|(_, together)| *together);
        load(&on.home(together), id, workshop.folder(), true)?;
        if before.is_none() {
            if !cluster.name(name, id, on)? {
                return Err(StoreError::TenantExists);
            }
        } else {
            cluster.put(id, on)?;
        }
        self.arrive(name, Residence::Database)?;
        match before {
            Some((old, together)) if old.name != on.name => {
                cluster.leave(id, &old, together, false)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Moves a tenant to another server, while all others go on. A keyring that is in a database of
    /// its own stays there.
    ///
    /// # Errors
    /// Where ledgers are files, there is no such tenant or server, or the databases cannot be
    /// written: then it is in use where it was.
    pub fn move_to(&self, name: &str, server: &str) -> Result<bool, StoreError> {
        let Place::Server(cluster) = &self.place else { return Err(StoreError::ServersAlone) };
        let to = cluster.server(Some(server))?;
        let _held = hold(cluster, name)?;
        let placed = cluster.placed(name)?;
        if placed.server == to.name {
            return self.stay(cluster, &to, &placed);
        }
        let (from, together) = cluster.reach(&placed)?;
        let (id, home) = (placed.id, from.home(together));
        let workshop = self.workshop()?;
        cluster.main.directory.close(id, true)?;
        self.close(name);
        let moved = postgres::close(&home, id, false)
            .map_err(StoreError::from)
            .and_then(|()| {
                copy(&Site::on(&from, id, &self.dir, together), workshop.folder())?;
                complete(name, id, workshop.folder())?;
                load(&to.home(together), id, workshop.folder(), together)
            })
            .and_then(|()| cluster.put(id, &to));
        if let Err(error) = moved {
            postgres::reopen(&home, id, false)?;
            cluster.main.directory.close(id, false)?;
            return Err(error);
        }
        self.arrive(name, Residence::Database)?;
        cluster.leave(id, &from, together, false)?;
        Ok(true)
    }

    /// A tenant that is where it is to be: one whose move was cut off before anything was moved is
    /// put into use again. Whether anything was done.
    fn stay(&self, cluster: &Cluster, on: &OnServer, placed: &Placed) -> Result<bool, StoreError> {
        if placed.closed {
            let (_, together) = cluster.reach(placed)?;
            postgres::reopen(&on.home(together), placed.id, true)?;
            cluster.main.directory.close(placed.id, false)?;
        }
        Ok(placed.closed)
    }

    /// Deletes what is here of a tenant that was exported.
    ///
    /// # Errors
    /// Where it is in use, or there is none.
    pub fn remove(&self, name: &str) -> Result<(), StoreError> {
        match &self.place {
            Place::Files => {
                let left = left_behind(&self.dir, name);
                if !left.is_dir() {
                    self.place.find(&self.dir, name)?;
                    return Err(StoreError::NotClosed(name.to_owned()));
                }
                Ok(fs::remove_dir_all(left)?)
            }
            Place::Server(cluster) => {
                let _held = hold(cluster, name)?;
                let placed = cluster.placed(name)?;
                if !placed.closed {
                    return Err(StoreError::NotClosed(name.to_owned()));
                }
                let (on, together) = cluster.reach(&placed)?;
                cluster.leave(placed.id, &on, together, true)?;
                Ok(cluster.main.directory.remove(placed.id)?)
            }
        }
    }

    /// Copies an export's files into a folder of ours and sees that they are what it says, and no
    /// older than what was promised.
    fn take_in(&self, from: &Path, to: &Path, export: &Export) -> Result<(), StoreError> {
        copy_files(from, to)?;
        for which in Which::ALL {
            let reader = SqliteReader::open(&to.join(which.file()))?;
            if extent(&reader)? != *export.extent(which) || reader.head()?.tenant != export.id()? {
                return Err(StoreError::NoExport("its files are not those of its tenant.json"));
            }
            if which == Which::Ledger {
                gate::look(&export.tenant, &reader, self.provider.as_ref())?;
            }
        }
        Ok(())
    }

    /// Opens a tenant in its new place and says so in its ledger.
    fn arrive(&self, name: &str, to: Residence) -> Result<(), StoreError> {
        let tenant = self.tenant(name)?;
        tenant.ledger.append_blocking(Append::new(Command::Moved(Moved { to }), Actor::System))?;
        tenant.ledger.mark_blocking()?;
        Ok(())
    }
}

fn hold(cluster: &Cluster, name: &str) -> Result<Held, StoreError> {
    let held = cluster.main.directory.hold(name)?;
    held.ok_or_else(|| StoreError::Moving(name.to_owned()))
}

/// Makes a tenant's ledgers on a server of the files in a folder.
fn load(home: &Home, id: TenantId, from: &Path, keyrings: bool) -> Result<(), StoreError> {
    for which in Which::ALL {
        postgres::load(home, (id, which), &from.join(which.file()), keyrings)?;
    }
    Ok(())
}
