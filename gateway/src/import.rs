//! Import: bookings from a CSV file through a mapping that says what its columns mean.
//!
//! A file is walked twice. The survey tells what it names, which rows an earlier run has
//! imported, and how many places its resources need; then what is missing is made, and each row
//! goes in as one append or is refused with a reason. No row stops another. Memory does not grow
//! with the file, but for a few bytes a row.

mod catalogue;
mod landing;
mod mapping;
mod plan;
mod refusal;
mod rehearsal;
mod report;
mod source;
mod survey;
mod target;
mod value;
mod when;

use std::collections::BTreeMap;
use std::path::Path;

use domain::RetentionClass;
use domain::policy::Policy;
use domain::slot::Zone;
use eventstore::AppendError;
use eventstore::keyring::KeyError;
use eventstore::ledger::log::ReadError;
use eventstore::store::FileLock;
use jiff::Timestamp;

pub use mapping::{MappingError, Unfit};
pub use report::{Created, Refused, RefusedRow, Report, Seats};

use crate::desk::{Desk, DeskError};
use catalogue::{Catalogue, Places, furnish};
use landing::{Arrival, Landing};
use mapping::Mapping;
use plan::{Plan, plan};
use refusal::Fault;
use rehearsal::Rehearsal;
use source::Source;
use survey::{RowKeys, Survey, survey};
use target::{Target, Trial};

/// Rows between two words about the progress.
const STEP: u64 = 256;

/// How to import.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Decide everything and append nothing.
    pub dry_run: bool,
    /// What time it is.
    pub now: Timestamp,
}

/// Why an import could not go on. Rows that were appended before stay.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Mapping(#[from] MappingError),
    #[error("{0} cannot be read")]
    File(String, #[source] std::io::Error),
    #[error("the file cannot be read")]
    Csv(#[source] csv::Error),
    #[error("another import into this tenant is running")]
    Running,
    #[error("the tenant's folder cannot be written")]
    Lock(#[source] std::io::Error),
    #[error(transparent)]
    Desk(#[from] DeskError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl ImportError {
    /// Whether the file or the mapping is to blame, so that trying again makes no sense.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Mapping(_) | Self::File(..) => true,
            Self::Csv(_)
            | Self::Running
            | Self::Lock(_)
            | Self::Desk(_)
            | Self::Append(_)
            | Self::Key(_)
            | Self::Read(_) => false,
        }
    }
}

/// Imports a file; `progress` is told how many rows of how many are done.
///
/// Waits for the ledger, so it is not for a thread that runs async tasks.
///
/// # Errors
/// Where mapping and file do not fit each other, or the ledger cannot be read or written. A row
/// that is wrong is no error; it stands in the report.
pub fn run(
    desk: &Desk,
    file: &Path,
    mapping: &Path,
    options: Options,
    progress: &dyn Fn(u64, u64),
) -> Result<Report, ImportError> {
    let mapping = Mapping::read(mapping)?;
    let source = Source::open(file, &mapping)?;
    let _lock = lock(desk)?;
    let catalogue = Catalogue::of(desk)?;
    let zone = mapping.zone.clone().unwrap_or_else(|| catalogue.policy.zone.clone());
    let survey = survey(desk, &source, &mapping, &zone, &catalogue)?;
    let mut report = Report { dry_run: options.dry_run, rows: survey.rows, ..Report::default() };
    let mut policy = catalogue.policy.clone();
    policy.collect.extend(mapping.fields());
    let mut target = match options.dry_run {
        true => Target::Trial(Box::new(Trial::of(desk.tenant.log(), options.now)?)),
        false => Target::Ledger(&desk.tenant),
    };
    let places = furnish(catalogue, &survey, &mapping, &zone, &mut target, &mut report)?;
    let this_year = policy.zone.local(options.now).date().year();
    let mapping = &mapping;
    let walk = Walk { desk, source, mapping, zone, survey, places, policy, this_year, progress };
    match target {
        Target::Ledger(_) => walk.land(&mut report)?,
        Target::Trial(trial) => walk.rehearse(*trial, &mut report)?,
    }
    Ok(report)
}

/// Keeps a second import out, which would not see this one's rows in time.
fn lock(desk: &Desk) -> Result<FileLock, ImportError> {
    let taken = FileLock::take(&desk.tenant.folder().join("import.lock"));
    taken.map_err(ImportError::Lock)?.ok_or(ImportError::Running)
}

/// The second walk, with everything that the first has found.
struct Walk<'a> {
    desk: &'a Desk,
    source: Source<'a>,
    mapping: &'a Mapping,
    zone: Zone,
    survey: Survey,
    places: Places,
    policy: Policy,
    this_year: i16,
    progress: &'a dyn Fn(u64, u64),
}

impl Walk<'_> {
    /// Brings every row into the ledger.
    fn land(&self, report: &mut Report) -> Result<(), ImportError> {
        let mut landing = Landing::new(&self.desk.tenant, self.mapping, &self.policy)?;
        self.arrivals(report, |arrival, report| landing.take(arrival, report))?;
        landing.finish(report)?;
        (self.progress)(self.survey.rows, self.survey.rows);
        Ok(())
    }

    /// Decides every row as the ledger would.
    fn rehearse(&self, trial: Trial, report: &mut Report) -> Result<(), ImportError> {
        let (tenant, mapping) = (&self.desk.tenant, self.mapping);
        let mut rehearsal = Rehearsal { tenant, mapping, trial, people: BTreeMap::new() };
        self.arrivals(report, |arrival, report| rehearsal.take(arrival, report))
    }

    /// Reads every row, counts those that go no further, and hands on the others.
    fn arrivals(
        &self,
        report: &mut Report,
        mut take: impl FnMut(Arrival, &mut Report) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        let mut keys = RowKeys::new(self.mapping);
        self.source.walk(|row| {
            if row.number % STEP == 0 {
                (self.progress)(row.number, self.survey.rows);
            }
            let key = row.check().and_then(|()| keys.next(row));
            let index = usize::try_from(row.number - 1).unwrap_or(usize::MAX);
            if self.survey.repeated.get(index) == Some(&true) {
                report.repeated += 1;
                return Ok(());
            }
            let read = key.and_then(|key| Ok((key, plan(self.mapping, &self.zone, row)?)));
            let placed = match read {
                Ok((_, None)) => {
                    report.skipped += 1;
                    return Ok(());
                }
                Ok((key, Some(plan))) => self.placed(key, row.line, plan),
                Err(fault) => Err(fault),
            };
            match placed {
                Ok(arrival) => take(arrival, report),
                Err(fault) => {
                    report.refuse(row.line, fault);
                    Ok(())
                }
            }
        })?;
        Ok(())
    }

    /// Whether it has something for bookkeeping of a year that no law keeps any longer: its key has ended, or
    /// would with the next sweep.
    fn has_ended(&self, plan: &Plan) -> bool {
        let year = self.policy.fiscal_year(plan.slot.start());
        let ends =
            |class: RetentionClass| class.kept_through(year).is_some_and(|to| to < self.this_year);
        plan.fields.fields().iter().any(|field| ends(field.class()))
    }

    fn placed(&self, key: String, line: u64, plan: Plan) -> Result<Arrival, Fault> {
        // A file that changed between the walks has names that the first did not see.
        let unseen = || Fault::new(refusal::Why::Missing);
        let place = (plan.group.clone(), plan.resource.clone());
        let resource = self.places.resources.get(&place).ok_or_else(unseen)?;
        let service = self.places.services.get(&plan.service).ok_or_else(unseen)?;
        let (resource, service) = (resource.clone(), service.clone());
        if self.has_ended(&plan) {
            return Err(Fault::new(refusal::Why::YearEnded));
        }
        Ok(Arrival {
            line,
            key,
            resource: resource.map_err(Fault::new)?,
            service: service.map_err(Fault::new)?,
            plan,
        })
    }
}
