//! Moving a tenant: out of use where it is, into files that are all of it, into use elsewhere.
//!
//! The order makes it safe. A tenant is closed before it is copied, so nothing is booked behind the
//! copy. One step, a rename or a row of the directory, says where it is from then on. It is used
//! there only once its first entry in the new place is marked with the key store, so that no copy left
//! behind is taken for the ledger again, and once nothing is left where it was. Each state is
//! written down, and what was cut off is finished, or taken back, by the same command.

mod files;
mod servers;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use domain::ledger::{Moved, Residence};
use domain::{Actor, Command};

use super::cluster::{Cluster, MAIN, OnServer};
use super::export::{Export, complete, copy, copy_files, extent};
use super::place::{Place, Site, Which, is_tenant_name, node_folder};
use super::{Store, StoreError, gate};
use crate::engine::Reader;
use crate::keyring::provider::TenantId;
use crate::ledger::appender::Append;
use crate::postgres::{self, Held, PgReader, Placed, Scope, State};
use crate::sqlite::SqliteReader;
use servers::left_of;

impl Store {
    /// Takes a tenant out of use and writes all of it into a folder. It stays out of use; where this
    /// fails before the folder is whole, it is in use again.
    ///
    /// # Errors
    /// Where there is no such tenant, somebody has it in hand, or files cannot be written.
    pub fn export(&self, name: &str, to: &Path) -> Result<Export, StoreError> {
        if to.exists() && fs::read_dir(to)?.next().is_some() {
            return Err(StoreError::NotEmpty);
        }
        let Place::Server(cluster) = &self.place else { return self.export_files(name, to) };
        let held = hold(cluster, name)?;
        let placed = self.settled(cluster, &held, name)?;
        let (on, together) = cluster.reach(&placed)?;
        let (home, id) = (on.home(together), placed.id);
        let next = |state| placed.now(state, placed.server.as_deref(), None);
        let exporting = next(State::Exporting);
        if placed.state == State::InUse {
            turn(&held, name, &placed, &exporting)?;
        }
        self.close(name);
        let done = postgres::close(&home, id, true)
            .map_err(StoreError::from)
            .and_then(|()| copy(&Site::on(&on, id, &self.dir, together), to))
            .and_then(|()| finish_export(name, id, to));
        match placed.state {
            State::InUse if done.is_err() && !Export::may_be_in(to) => {
                // Whoever has lost the tenant without knowing touches nothing of it.
                turn(&held, name, &exporting, &exporting)?;
                postgres::reopen(&home, id, true)?;
                turn(&held, name, &exporting, &placed)?;
            }
            State::InUse | State::Exporting if done.is_ok() => {
                turn(&held, name, &exporting, &next(State::Exported))?;
            }
            // A folder may be whole, this or one of before, and may be imported elsewhere.
            State::InUse | State::Exporting | State::Exported | State::Moving | State::Arriving => {
            }
        }
        done
    }

    /// Puts a tenant into use that [`Self::export`] has written into a folder, in files or on a
    /// server of this name. What of it is here, out of use, is replaced.
    ///
    /// # Errors
    /// Where the folder is no whole export, the tenant has moved on since, the key store is another,
    /// or another tenant has its name.
    pub fn import(&self, from: &Path, server: Option<&str>) -> Result<Export, StoreError> {
        self.import_as(from, server, false)
    }

    /// As [`Self::import`], where servers are lost that may have something of the tenant, too: that is
    /// given up.
    ///
    /// # Errors
    /// As [`Self::import`].
    pub fn import_forsaking(
        &self,
        from: &Path,
        server: Option<&str>,
    ) -> Result<Export, StoreError> {
        self.import_as(from, server, true)
    }

    fn import_as(
        &self,
        from: &Path,
        server: Option<&str>,
        forsake: bool,
    ) -> Result<Export, StoreError> {
        let export = Export::read(from)?;
        if !is_tenant_name(&export.tenant) {
            return Err(StoreError::BadName);
        }
        match (&self.place, self.place.server(server)?) {
            (Place::Server(cluster), Some(on)) => {
                let on = server.map(|_| on);
                self.import_to(cluster, on, (from, &export), forsake)?;
            }
            (Place::Files | Place::Server(_), _) => self.import_files(from, &export)?,
        }
        Ok(export)
    }

    /// Whether what is here of a tenant, on its way into use, was overtaken: it has gone on elsewhere,
    /// and the key store knows.
    fn is_overtaken(&self, name: &str, reader: &dyn Reader) -> Result<bool, StoreError> {
        match gate::look(name, reader, self.provider.as_ref()) {
            Err(StoreError::Behind { .. } | StoreError::Forked(_)) => Ok(true),
            looked => looked.map(|()| false),
        }
    }

    fn is_overtaken_on(
        &self,
        cluster: &Cluster,
        name: &str,
        placed: &Placed,
    ) -> Result<bool, StoreError> {
        let on = cluster.server(placed.server.as_deref())?;
        // What is not there any more was being removed for that.
        Ok(!postgres::is_here(&on.home.ledger, placed.id)?
            || self.is_overtaken(name, &ledger(&on, placed.id))?)
    }

    /// Moves a tenant to another server, while all others go on; whether there was anything to do. A
    /// keyring that is in a database of its own stays there.
    ///
    /// # Errors
    /// Where ledgers are files, there is no such tenant or server, or the databases cannot be
    /// written: then it is in use where it was, or this is to be called again.
    pub fn move_to(&self, name: &str, server: &str) -> Result<bool, StoreError> {
        let Place::Server(cluster) = &self.place else { return Err(StoreError::ServersAlone) };
        let to = cluster.server(Some(server))?;
        let held = hold(cluster, name)?;
        let found = cluster.placed(name)?;
        let placed = self.settled(cluster, &held, name)?;
        if placed.state != State::InUse {
            return Err(StoreError::Closed(name.to_owned()));
        }
        if placed.server == to.name {
            return Ok(found != placed);
        }
        let (from, together) = cluster.reach(&placed)?;
        let (id, home) = (placed.id, from.home(together));
        let both = distinct(&from, &to, (name, id))?;
        may_lodge(&to, name, id)?;
        let workshop = self.workshop()?;
        let (here, there) = (placed.server.as_deref(), to.name.as_deref());
        let moving = placed.now(State::Moving, here, Some(there.unwrap_or(MAIN)));
        let arriving = placed.now(State::Arriving, there, Some(here.unwrap_or(MAIN)));
        turn(&held, name, &placed, &moving)?;
        self.close(name);
        let moved = postgres::close(&home, id, false).map_err(StoreError::from).and_then(|()| {
            copy(&Site::on(&from, id, &self.dir, together), workshop.folder())?;
            complete(name, id, workshop.folder())?;
            land(&to, id, workshop.folder(), (together, false))?;
            turn(&held, name, &moving, &arriving)
        });
        drop(both);
        if let Err(error) = moved {
            // What the directory says counts, also where its answer was lost.
            if cluster.placed(name)?.state == State::Moving {
                take_back(cluster, &held, name, &moving)?;
            }
            return Err(error);
        }
        self.finish(cluster, &held, name, &arriving)?;
        Ok(true)
    }

    /// Gives up what may be of a tenant that has arrived on a server it came from and that is lost.
    /// What the key store has marked refuses that, should it come back.
    ///
    /// # Errors
    /// Where ledgers are files, there is no such tenant, or the directory cannot be written.
    pub fn forsake(&self, name: &str) -> Result<(), StoreError> {
        let Place::Server(cluster) = &self.place else { return Err(StoreError::ServersAlone) };
        let held = hold(cluster, name)?;
        let placed = cluster.placed(name)?;
        let left = left_of(cluster, &placed);
        // Where what has arrived is lost itself, its export is to be imported again.
        match placed.state == State::Arriving && left.server == placed.server {
            true => turn(&held, name, &placed, &left),
            false => Ok(()),
        }
    }

    /// A tenant of which nothing is under way any more: an arrival that was cut off is finished, and a
    /// move before that taken back.
    fn settled(&self, cluster: &Cluster, held: &Held, name: &str) -> Result<Placed, StoreError> {
        let placed = cluster.placed(name)?;
        match placed.state {
            State::InUse | State::Exporting | State::Exported => return Ok(placed),
            State::Moving => take_back(cluster, held, name, &placed)?,
            State::Arriving if self.is_overtaken_on(cluster, name, &placed)? => {
                return Err(StoreError::Overtaken(name.to_owned()));
            }
            State::Arriving => self.finish(cluster, held, name, &placed)?,
        }
        cluster.placed(name)
    }

    /// Has a tenant say in its ledger that it has moved, deletes it where it was, and puts it into use.
    fn finish(
        &self,
        cluster: &Cluster,
        held: &Held,
        name: &str,
        placed: &Placed,
    ) -> Result<(), StoreError> {
        let (on, together) = cluster.reach(placed)?;
        let id = placed.id;
        postgres::reopen(&on.home(together), id, true)?;
        self.arrive(name, Site::on(&on, id, &self.dir, together), Residence::Database)?;
        if let Some(was) = &placed.other {
            leave(&*cluster.server(Some(was))?, &on, (name, id))?;
        }
        turn(held, name, placed, &placed.now(State::InUse, placed.server.as_deref(), None))
    }

    /// Deletes what is here of a tenant that was exported, or that was overtaken while it arrived;
    /// whether its keyring was left, which the place has by now where it went.
    ///
    /// # Errors
    /// Where it is in use, may be all there is, or there is none.
    pub fn remove(&self, name: &str) -> Result<bool, StoreError> {
        let Place::Server(cluster) = &self.place else {
            return self.remove_files(name).map(|()| false);
        };
        let held = hold(cluster, name)?;
        let placed = cluster.placed(name)?;
        match placed.state {
            State::Exported => {}
            State::Arriving if self.is_overtaken_on(cluster, name, &placed)? => {}
            State::Exporting => return Err(StoreError::NotWhole(name.to_owned())),
            State::InUse => return Err(StoreError::NotClosed(name.to_owned())),
            State::Moving | State::Arriving => return Err(StoreError::Closed(name.to_owned())),
        }
        let mut left = false;
        for on in copies(cluster, &placed)? {
            left |= cluster.delete(&on, placed.id)?;
        }
        held.remove(placed.id)?;
        let own = node_folder(&self.dir, placed.id);
        if own.is_dir() {
            fs::remove_dir_all(own)?;
        }
        Ok(left)
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

    /// Opens a tenant in its new place, for nobody else yet, and says in its ledger that it is there.
    fn arrive(&self, name: &str, site: Site, to: Residence) -> Result<(), StoreError> {
        let tenant = self.pass_gate(name, site)?;
        tenant.ledger.append_blocking(Append::new(Command::Moved(Moved { to }), Actor::System))?;
        tenant.ledger.mark_blocking()?;
        // Keys may have been rotated while it was out of use.
        let current = self.provider.current()?;
        if tenant.log().reader().epochs()?.first().is_some_and(|newest| *newest < current.0) {
            tenant.rotate(current)?;
        }
        Ok(())
    }
}

/// Completes the files in a folder, and says there that they are whole.
fn finish_export(name: &str, id: TenantId, to: &Path) -> Result<Export, StoreError> {
    let export = complete(name, id, to)?;
    export.write(to)?;
    Ok(export)
}

fn hold(cluster: &Cluster, name: &str) -> Result<Held, StoreError> {
    let held = cluster.main.directory.hold(&format!("name {name}"))?;
    held.ok_or_else(|| StoreError::Moving(name.to_owned()))
}

/// Makes sure that two servers are two databases, whatever they are called, and that nobody else
/// takes a tenant into either.
fn distinct(
    one: &OnServer,
    other: &OnServer,
    (name, id): (&str, TenantId),
) -> Result<(Held, Held), StoreError> {
    if one.directory.is_also(&other.directory)? {
        return Err(StoreError::SamePlace(name.to_owned(), other.called().to_owned()));
    }
    let hold = |on: &OnServer| {
        let held = on.directory.hold(&format!("id {id}"))?;
        held.ok_or_else(|| StoreError::Moving(name.to_owned()))
    };
    Ok((hold(one)?, hold(other)?))
}

/// Whether a tenant may come to a server whose own directory may have it, in use.
fn may_lodge(on: &OnServer, name: &str, id: TenantId) -> Result<(), StoreError> {
    if on.name.is_none() {
        return Ok(());
    }
    match on.directory.by_id(id, false)? {
        Some(own) if own.state != State::Exported => Err(StoreError::NotClosed(name.to_owned())),
        Some(_) | None => Ok(()),
    }
}

/// Says what is so of a tenant from now on.
fn turn(held: &Held, name: &str, was: &Placed, is: &Placed) -> Result<(), StoreError> {
    if held.turn(was, is)? { Ok(()) } else { Err(StoreError::Moving(name.to_owned())) }
}

/// Puts a tenant into use again where it was before a move that came to nothing.
fn take_back(
    cluster: &Cluster,
    held: &Held,
    name: &str,
    moving: &Placed,
) -> Result<(), StoreError> {
    // Whoever has lost the tenant without knowing touches nothing of it.
    turn(held, name, moving, moving)?;
    let (from, together) = cluster.reach(moving)?;
    if let Some(to) = &moving.other {
        // A part of a copy, out of use, does no harm where it cannot be deleted now.
        let cleared = cluster.server(Some(to)).and_then(|to| leave(&to, &from, (name, moving.id)));
        if let Err(error) = cleared {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(tenant = name, server = to, error, "a copy may be left of a move");
        }
    }
    postgres::reopen(&from.home(together), moving.id, false)?;
    turn(held, name, moving, &moving.now(State::InUse, moving.server.as_deref(), None))
}

/// Deletes what a server has of a tenant that is on another.
fn leave(old: &OnServer, now: &OnServer, (name, id): (&str, TenantId)) -> Result<(), StoreError> {
    let _both = distinct(now, old, (name, id))?;
    postgres::discard(&old.home.ledger, id)?;
    Ok(old.directory.dislodge(id)?)
}

/// Whether an export is of the tenant that is here, and goes as far.
fn compare(export: &Export, id: TenantId, here: Option<u64>) -> Result<(), StoreError> {
    if export.id()? != id {
        return Err(StoreError::TenantExists);
    }
    match here.filter(|here| *here > export.ledger.size) {
        Some(here) => {
            let tenant = export.tenant.clone();
            Err(StoreError::OlderExport { tenant, here, export: export.ledger.size })
        }
        None => Ok(()),
    }
}

/// Makes a tenant's ledgers on a server of the files in a folder, out of use: its keyring with them, or
/// in the database of keyrings, if it is to be made there.
fn land(
    on: &OnServer,
    id: TenantId,
    from: &Path,
    (together, keyrings): (bool, bool),
) -> Result<(), StoreError> {
    for which in Which::ALL {
        postgres::load(&on.home(together), (id, which), &from.join(which.file()), keyrings)?;
    }
    if on.name.is_some() {
        on.directory.lodge(id)?;
    }
    Ok(())
}

/// A tenant's ledger on a server, also where it is out of use and its keyring elsewhere.
fn ledger(on: &OnServer, id: TenantId) -> PgReader {
    PgReader(Scope::of_owner(&on.home(true), id, Which::Ledger))
}

/// The servers on which something may be of a tenant: first the one that it is on.
fn copies(cluster: &Cluster, placed: &Placed) -> Result<Vec<Arc<OnServer>>, StoreError> {
    let all = [placed.server.as_deref().or(Some(MAIN)), placed.other.as_deref()];
    all.into_iter().flatten().map(|name| cluster.server(Some(name))).collect()
}
