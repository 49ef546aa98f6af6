//! Moving a tenant out of files and into them: the name of its folder says where it stands.

use std::fs::{self, File};
use std::path::Path;
use std::sync::{Arc, PoisonError};

use domain::ledger::Residence;

use super::super::export::{Export, copy_files, head_of};
use super::super::place::{Site, Which, arriving, exporting, folder, left_behind};
use super::super::{Store, StoreError};
use super::{compare, finish_export};
use crate::sqlite::SqliteReader;

impl Store {
    /// Takes a tenant in files out of use, and writes all of it into a folder.
    pub(super) fn export_files(&self, name: &str, to: &Path) -> Result<Export, StoreError> {
        let _hand = self.hands.take(name)?;
        let [from, exporting, left] =
            [folder, exporting, left_behind].map(|place| place(&self.dir, name));
        let began = from.is_dir();
        if began {
            forget_replaced(&self.dir, name)?;
            let slot = self.slot(name);
            let mut open = slot.lock().unwrap_or_else(PoisonError::into_inner);
            if open.as_ref().is_some_and(|tenant| Arc::strong_count(tenant) > 1) {
                return Err(StoreError::InUse(name.to_owned()));
            }
            // Under its lock: nobody opens it between.
            drop(open.take());
            self.rename(&from, &exporting)?;
        }
        let first = exporting.is_dir();
        if !first && !left.is_dir() {
            self.place.find(&self.dir, name)?;
        }
        let done = copy_files(if first { &exporting } else { &left }, to)
            .and_then(|id| finish_export(name, id, to));
        if first && done.is_ok() {
            self.rename(&exporting, &left)?;
        } else if began && !Export::may_be_in(to) {
            // Otherwise it may be imported elsewhere.
            self.rename(&exporting, &from)?;
        }
        done
    }

    /// Puts a tenant into use here that was exported into a folder.
    pub(super) fn import_files(&self, from: &Path, export: &Export) -> Result<(), StoreError> {
        let name = export.tenant.as_str();
        let _hand = self.hands.take(name)?;
        let [place, arriving, exporting, left] =
            [folder, arriving, exporting, left_behind].map(|place| place(&self.dir, name));
        for here in [&exporting, &left, &arriving].into_iter().filter(|here| here.is_dir()) {
            let (id, size) = head_of(here)?;
            compare(export, id, (here != &arriving).then_some(size))?;
        }
        if place.exists() {
            // What was cut off when all else was done is done with that.
            return match forget_replaced(&self.dir, name)? {
                true => Ok(()),
                false => Err(StoreError::TenantExists),
            };
        }
        let overtaken = self.is_overtaken_in(name, &arriving)?;
        if overtaken || !arriving.is_dir() {
            self.place_at(name, &arriving, |beside| {
                self.take_in(from, beside, export)?;
                if overtaken {
                    fs::remove_dir_all(&arriving)?;
                }
                Ok::<(), StoreError>(())
            })?;
        }
        self.arrive(name, Site::Folder(arriving.clone()), Residence::Files)?;
        self.rename(&arriving, &place)?;
        for here in [exporting, left].into_iter().filter(|here| here.is_dir()) {
            fs::remove_dir_all(here)?;
        }
        Ok(())
    }

    /// Deletes what is here of a tenant out of use, unless it may be all there is of it.
    pub(super) fn remove_files(&self, name: &str) -> Result<(), StoreError> {
        let _hand = self.hands.take(name)?;
        let [arriving, exporting, left] =
            [arriving, exporting, left_behind].map(|place| place(&self.dir, name));
        if exporting.is_dir() {
            return Err(StoreError::NotWhole(name.to_owned()));
        }
        if arriving.is_dir() && !self.is_overtaken_in(name, &arriving)? {
            return Err(StoreError::Closed(name.to_owned()));
        }
        if !arriving.is_dir() && !left.is_dir() {
            self.place.find(&self.dir, name)?;
            return Err(StoreError::NotClosed(name.to_owned()));
        }
        for here in [arriving, left].into_iter().filter(|here| here.is_dir()) {
            fs::remove_dir_all(here)?;
        }
        Ok(())
    }

    fn is_overtaken_in(&self, name: &str, arriving: &Path) -> Result<bool, StoreError> {
        let ledger = arriving.join(Which::Ledger.file());
        Ok(arriving.is_dir() && self.is_overtaken(name, &SqliteReader::open(&ledger)?)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        fs::rename(from, to)?;
        File::open(self.dir.join("tenants"))?.sync_all()
    }
}

/// Deletes what an import has replaced, where it was cut off before it could; whether there was any.
fn forget_replaced(dir: &Path, name: &str) -> Result<bool, StoreError> {
    let place = folder(dir, name);
    let mut any = false;
    for here in [exporting, left_behind].map(|place| place(dir, name)) {
        if here.is_dir() && head_of(&here)?.0 == head_of(&place)?.0 {
            fs::remove_dir_all(here)?;
            any = true;
        }
    }
    Ok(any)
}
