//! The first walk over a file: what its rows name, which of them were imported before, and how
//! many places its resources need.
//!
//! A capacity of `fit` is the smallest under which every row finds its place, in the order of the
//! file: before each row the places are counted that earlier rows still hold at once, and whatever
//! the tenant had booked before. A booking that was cancelled needs its place only at its turn.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest;
use domain::booking::{Day, Occupied};
use domain::slot::Zone;
use domain::{BookingId, ResourceId};
use eventstore::keyring::Keyring;
use eventstore::{Lookup, LookupKind, PersonId};
use jiff::civil::Date;

use super::catalogue::Catalogue;
use super::mapping::{Capacity, Mapping, Unfit};
use super::plan::{Plan, plan};
use super::refusal::{Fault, Why};
use super::source::{Row, Source};
use super::{ImportError, MappingError};
use crate::desk::Desk;

/// How many groups, resources and services a file may bring each.
const MOST: usize = 5000;

/// A group's and a resource's name.
pub(super) type Place = (String, String);

/// What a file holds.
#[derive(Default)]
pub(super) struct Survey {
    pub(super) rows: u64,
    pub(super) services: BTreeSet<String>,
    /// How many places each resource needs; none for those of a fixed capacity.
    pub(super) resources: BTreeMap<Place, u32>,
    /// For each row whether an earlier run has imported it.
    pub(super) repeated: Vec<bool>,
}

/// Walks over a file once and changes nothing.
pub(super) fn survey(
    desk: &Desk,
    source: &Source<'_>,
    mapping: &Mapping,
    zone: &Zone,
    catalogue: &Catalogue,
) -> Result<Survey, ImportError> {
    let keyring = desk.tenant.keyring();
    // Nobody was ever here: then no row was, and there is no need to look.
    let anybody = !keyring.page(PersonId(0), 1)?.is_empty();
    let mut keys = RowKeys::new(mapping);
    let mut survey = Survey::default();
    let mut fit = Fit { desk, catalogue, days: BTreeMap::new() };
    survey.rows = source.walk(|row| {
        let key = row.check().and_then(|()| keys.next(row));
        let repeated = match &key {
            Ok(key) if anybody => is_known(keyring, key)?,
            Ok(_) | Err(_) => false,
        };
        survey.repeated.push(repeated);
        if repeated || key.is_err() {
            return Ok(());
        }
        match plan(mapping, zone, row) {
            Ok(Some(plan)) => survey.take(&mut fit, mapping.resource.capacity, plan, row.number),
            // The second walk will refuse or skip it.
            Ok(None) | Err(_) => Ok(()),
        }
    })?;
    Ok(survey)
}

impl Survey {
    fn take(
        &mut self,
        fit: &mut Fit<'_>,
        capacity: Capacity,
        plan: Plan,
        row: u64,
    ) -> Result<(), ImportError> {
        let needed = match capacity {
            Capacity::Fixed(_) => 0,
            Capacity::Fit => fit.needed(&plan, row)?,
        };
        self.services.insert(plan.service);
        let known = self.resources.entry((plan.group, plan.resource)).or_default();
        *known = needed.max(*known);
        let too_many = |key| Err(MappingError::Unfit { key, why: Unfit::TooMany }.into());
        if self.resources.len() > MOST {
            return too_many("resource.name");
        }
        if self.services.len() > MOST { too_many("service.name") } else { Ok(()) }
    }
}

/// Days as they fill up row by row.
struct Fit<'a> {
    desk: &'a Desk,
    catalogue: &'a Catalogue,
    days: BTreeMap<Place, BTreeMap<Date, Day>>,
}

impl Fit<'_> {
    /// The places needed for a row to be accepted; takes its place if it keeps it.
    fn needed(&mut self, plan: &Plan, row: u64) -> Result<u32, ImportError> {
        let place = (plan.group.clone(), plan.resource.clone());
        let standing = self.catalogue.resource(&place);
        let slot = self.catalogue.held(&plan.service, plan.slot);
        let days = self.days.entry(place).or_default();
        let (mut peak, from, until) = (0, slot.start(), slot.end());
        for date in slot.days() {
            let day = match days.entry(date) {
                Entry::Occupied(day) => day.into_mut(),
                Entry::Vacant(day) => day.insert(held_before(self.desk, standing, date)?),
            };
            if let Some(part) = slot.on_day(date) {
                peak = day.peak(part, None).max(peak);
                if plan.holds() {
                    let held = Occupied { from, until, units: plan.units };
                    // No booking of the tenant's has such a number.
                    day.set(BookingId(u64::MAX - row), Some(held));
                }
            }
        }
        Ok(peak.saturating_add(u32::from(plan.units)))
    }
}

fn held_before(desk: &Desk, standing: Option<ResourceId>, date: Date) -> Result<Day, ImportError> {
    let Some(resource) = standing else { return Ok(Day::default()) };
    let mut days = desk.read::<_, crate::desk::DeskError>(|reader| {
        Ok(reader.occupancy().days(resource, date..=date)?)
    })?;
    Ok(days.remove(&date).unwrap_or_default())
}

/// Knows rows again, whichever file they stand in: by the mapping's key, or by what they hold.
pub(super) struct RowKeys<'m> {
    mapping: &'m Mapping,
    /// How often the file had a row like this, by hash.
    seen: BTreeMap<[u8; 16], u32>,
}

impl<'m> RowKeys<'m> {
    pub(super) fn new(mapping: &'m Mapping) -> Self {
        Self { mapping, seen: BTreeMap::new() }
    }

    /// The key of the file's next row. Rows that are alike in everything are told apart by how
    /// many of them came before.
    pub(super) fn next(&mut self, row: &Row<'_>) -> Result<String, Fault> {
        let mut hash = digest::Context::new(&digest::SHA256);
        let own = match &self.mapping.row.key {
            Some(key) => Some(key.of(row).ok_or_else(|| key.fault(Why::Missing))?),
            None => None,
        };
        match &own {
            Some(key) => hash.update(key.as_bytes()),
            None => row.cells().for_each(|cell| {
                hash.update(&u64::try_from(cell.len()).unwrap_or(u64::MAX).to_be_bytes());
                hash.update(cell);
            }),
        }
        let mut short = [0; 16];
        short.iter_mut().zip(hash.finish().as_ref()).for_each(|(byte, hashed)| *byte = *hashed);
        let before = self.seen.entry(short).or_default();
        *before += 1;
        if *before > 1
            && let Some(key) = &self.mapping.row.key
        {
            return Err(key.fault(Why::KeyTwice));
        }
        let (source, number) = (&self.mapping.source, u128::from_be_bytes(short));
        Ok(format!("import {source} row {number:032x} {before}"))
    }
}

/// What all rows of one person have in common, apart from other systems' people.
pub(super) fn person_key(mapping: &Mapping, same: &str) -> String {
    format!("import {} person {same}", mapping.source)
}

/// How a row or a person is found again.
pub(super) fn reference(key: String) -> Lookup {
    Lookup::new(LookupKind::Reference, key)
}

fn is_known(keyring: &Keyring, key: &str) -> Result<bool, ImportError> {
    Ok(!keyring.find(&reference(key.to_owned()))?.is_empty())
}
