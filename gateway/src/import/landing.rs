//! The second walk's rows on their way into the ledger: many at once, decided in the file's order.
//!
//! The writer decides in order, but sends a command whose days it does not have in memory away to
//! be loaded, and goes on with the next. So that no row overtakes another, each window of rows is
//! announced first: a request for no place at all needs the same days and visits, is refused, and
//! leaves them in memory. The announcements of one window travel while the one before is sealed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use domain::booking::{BookingCommand, BookingRefusal, NewPart, Past, Request, Role, Wanted};
use domain::policy::Policy;
use domain::{Actor, Command, ResourceId, RetentionClass, Sealed, ServiceId};
use eventstore::keyring::KeyError;
use eventstore::ledger::codec::CodecError;
use eventstore::{Append, AppendError, Appended, PersonId, Tenant};
use jiff::civil::Date;
use tokio::sync::oneshot::Receiver;

use super::ImportError;
use super::mapping::Mapping;
use super::plan::Plan;
use super::refusal::{Fault, Why};
use super::report::Report;
use super::survey::{person_key, reference};
use crate::intake::{self, BookingIn, IntakeError, PartIn, Sender, Who};

/// Rows that are announced together.
const WINDOW: usize = 256;
/// Rows that may be on their way to the writer.
const FLIGHT: usize = 1024;
/// Days that count as announced; the writer keeps more in memory.
const WARM: usize = 40_000;

type Answer = Receiver<Result<Appended, AppendError>>;

/// A row with its places, ready to go.
pub(super) struct Arrival {
    pub(super) line: u64,
    pub(super) key: String,
    pub(super) service: ServiceId,
    pub(super) resource: ResourceId,
    pub(super) plan: Plan,
}

/// Somebody whom more than one row may mean.
#[derive(Clone, Copy)]
struct Somebody {
    id: PersonId,
    /// Whether the keyring has them, or they are still on their way.
    settled: bool,
}

struct Flight {
    line: u64,
    same: Option<String>,
    answer: Answer,
}

/// The way into the ledger.
pub(super) struct Landing<'a> {
    tenant: &'a Tenant,
    mapping: &'a Mapping,
    policy: &'a Policy,
    /// Whether the tenant has any person at all.
    anybody: bool,
    filling: Vec<Arrival>,
    announced: (Vec<Arrival>, Vec<Answer>),
    warm: BTreeSet<(ResourceId, Date)>,
    people: BTreeMap<String, Somebody>,
    years: BTreeSet<i16>,
    in_flight: VecDeque<Flight>,
}

impl<'a> Landing<'a> {
    pub(super) fn new(
        tenant: &'a Tenant,
        mapping: &'a Mapping,
        policy: &'a Policy,
    ) -> Result<Self, ImportError> {
        Ok(Self {
            tenant,
            mapping,
            policy,
            anybody: !tenant.keyring().page(PersonId(0), 1)?.is_empty(),
            filling: Vec::with_capacity(WINDOW),
            announced: Default::default(),
            warm: BTreeSet::new(),
            people: BTreeMap::new(),
            years: BTreeSet::new(),
            in_flight: VecDeque::new(),
        })
    }

    /// Takes a row; it is sent once its window is full and announced.
    pub(super) fn take(
        &mut self,
        arrival: Arrival,
        report: &mut Report,
    ) -> Result<(), ImportError> {
        self.filling.push(arrival);
        if self.filling.len() < WINDOW { Ok(()) } else { self.turn(report) }
    }

    /// Sends everything and waits for every answer.
    pub(super) fn finish(mut self, report: &mut Report) -> Result<(), ImportError> {
        self.turn(report)?;
        self.turn(report)?;
        self.settle_until(0, report)
    }

    /// Announces the window that was filled, and sends the one announced before.
    fn turn(&mut self, report: &mut Report) -> Result<(), ImportError> {
        let filled = std::mem::take(&mut self.filling);
        let probes = self.announce(&filled)?;
        let (window, answers) = std::mem::replace(&mut self.announced, (filled, probes));
        for answer in answers {
            // What it says is known: no place was asked for, so none was given.
            drop(answer.blocking_recv());
        }
        for arrival in window {
            self.send(arrival, report)?;
            self.settle_until(FLIGHT, report)?;
        }
        Ok(())
    }

    fn announce(&mut self, window: &[Arrival]) -> Result<Vec<Answer>, ImportError> {
        if self.warm.len() > WARM {
            self.warm.clear();
        }
        let mut answers = Vec::new();
        for arrival in window {
            let cold = arrival
                .plan
                .slot
                .days()
                .filter(|date| self.warm.insert((arrival.resource, *date)))
                .count();
            let returning = self.returning(arrival)?;
            if cold > 0 || returning.is_some() {
                answers.push(self.tenant.ledger.hand_in(self.probe(arrival, returning)?)?);
            }
        }
        Ok(answers)
    }

    /// The person of an earlier import whom this row is the first to mean.
    fn returning(&mut self, arrival: &Arrival) -> Result<Option<PersonId>, ImportError> {
        let Some(same) = arrival.plan.same.as_deref().filter(|_| self.anybody) else {
            return Ok(None);
        };
        let name = person_key(self.mapping, same);
        if self.people.contains_key(&name) {
            return Ok(None);
        }
        let found = self.tenant.keyring().find(&reference(name.clone()))?.first().copied();
        self.people.extend(found.map(|id| (name, Somebody { id, settled: true })));
        Ok(found)
    }

    /// A request for no place at all.
    fn probe(&self, arrival: &Arrival, booker: Option<PersonId>) -> Result<Append, ImportError> {
        let mut sealing = self.tenant.ledger.sealing();
        let part = match booker.map(|person| sealing.known(person)) {
            Some(Ok(part)) => Some(part),
            // The row itself will be told.
            Some(Err(KeyError::Erased | KeyError::Restricted)) | None => None,
            Some(Err(error)) => return Err(error.into()),
        };
        let parts = part.map(|part| NewPart {
            handle: part.handle,
            role: Role::Booker,
            details: Sealed::new(part.handle, 0),
            health: None,
            accounting: None,
            fence: part.fence,
            given: part.fields,
            registers: None,
        });
        let request = Request {
            service: arrival.service,
            wanted: vec![Wanted { resource: arrival.resource, units: 0 }],
            slot: arrival.plan.slot,
            parts: parts.into_iter().collect(),
            party: 1,
            channel: arrival.plan.channel,
            policy: None,
            price: None,
            past: Some(Past::default()),
        };
        let command = Command::Booking(BookingCommand::Request(Box::new(request)));
        Ok(Append::new(command, Actor::System).sealed(sealing))
    }

    fn send(&mut self, arrival: Arrival, report: &mut Report) -> Result<(), ImportError> {
        let same = arrival.plan.same.as_deref().map(|same| person_key(self.mapping, same));
        let mut known = self.somebody(same.as_ref());
        if known.is_some_and(|somebody| !somebody.settled) {
            self.settle_until(0, report)?;
            known = self.somebody(same.as_ref());
        }
        let line = arrival.line;
        self.ensure_year(&arrival)?;
        let sealed = self.seal(arrival, same.clone(), known.map(|somebody| somebody.id));
        let (append, person) = match sealed {
            Ok(sealed) => sealed,
            Err(error) => {
                report.refuse(line, self.fault(error)?);
                return Ok(());
            }
        };
        if let (Some(same), None, Some(id)) = (&same, known, person) {
            self.people.insert(same.clone(), Somebody { id, settled: false });
        }
        let answer = self.tenant.ledger.hand_in(append)?;
        let same = same.filter(|_| known.is_none());
        self.in_flight.push_back(Flight { line, same, answer });
        Ok(())
    }

    /// Has the year's key made that a voucher's fields are sealed under.
    fn ensure_year(&mut self, arrival: &Arrival) -> Result<(), ImportError> {
        let class = RetentionClass::Accounting;
        let year = self.fiscal_year(&arrival.plan);
        let fields = arrival.plan.fields.fields();
        if !fields.iter().any(|field| field.class() == class) || !self.years.insert(year) {
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime without drivers needs nothing of the system");
        Ok(runtime.block_on(self.tenant.ledger.ensure_period(class, year))?)
    }

    fn fiscal_year(&self, plan: &Plan) -> i16 {
        self.policy.fiscal_year(plan.slot.start())
    }

    fn somebody(&self, same: Option<&String>) -> Option<Somebody> {
        same.and_then(|same| self.people.get(same)).copied()
    }

    fn seal(
        &mut self,
        arrival: Arrival,
        same: Option<String>,
        known: Option<PersonId>,
    ) -> Result<(Append, Option<PersonId>), IntakeError> {
        let Arrival { key, service, resource, plan, .. } = arrival;
        let fiscal_year = self.fiscal_year(&plan);
        let mut fields = plan.fields;
        let mut references = vec![reference(key)];
        let who = match known {
            Some(person) => {
                // Who is a client already keeps the contact fields they have.
                drop(fields.split_off(RetentionClass::Contact));
                Who::Known(person)
            }
            None => {
                references.extend(same.into_iter().chain(plan.reference).map(reference));
                Who::New
            }
        };
        let booking = BookingIn {
            service,
            wanted: vec![Wanted { resource, units: plan.units }],
            slot: plan.slot,
            parts: vec![PartIn { who, role: Role::Booker, fields, references }],
            party: plan.party,
            channel: plan.channel,
            policy: None,
            price: plan.price,
            past: plan.past,
        };
        let sender =
            Sender { actor: Actor::System, occurred_at: Some(plan.booked), idempotency: None };
        let (append, parts) = intake::booking(self.tenant, booking, fiscal_year, sender)?;
        Ok((append, parts.first().map(|part| part.person)))
    }

    /// Waits for answers until at most so many rows are on their way.
    fn settle_until(&mut self, most: usize, report: &mut Report) -> Result<(), ImportError> {
        while self.in_flight.len() > most
            && let Some(flight) = self.in_flight.pop_front()
        {
            let answer = flight.answer.blocking_recv().map_err(|_| AppendError::Stopped)?;
            let appended = match answer {
                Ok(_) => true,
                Err(error) => {
                    report.refuse(flight.line, Fault::new(why(error)?));
                    false
                }
            };
            report.imported += u64::from(appended);
            if let Some(same) = flight.same {
                match self.people.get_mut(&same) {
                    Some(somebody) if appended => somebody.settled = true,
                    Some(_) => drop(self.people.remove(&same)),
                    None => (),
                }
            }
        }
        Ok(())
    }

    /// What is wrong with a row that could not be sealed.
    fn fault(&self, error: IntakeError) -> Result<Fault, ImportError> {
        match error {
            IntakeError::FieldOutOfPlace(field) | IntakeError::FieldMalformed(field) => {
                Ok(malformed(self.mapping, field))
            }
            IntakeError::ContentEnded => {
                Ok(Fault::new(why(AppendError::Refused(BookingRefusal::ContentEnded.into()))?))
            }
            IntakeError::Key(error) => Ok(Fault::new(why(AppendError::Key(error))?)),
        }
    }
}

/// A personal field that is not well-formed, with the column it came from.
pub(super) fn malformed(mapping: &Mapping, field: domain::Field) -> Fault {
    let template = mapping.person.fields.get(&field).map(super::value::Value::template);
    let column = template.and_then(|template| template.columns().next());
    Fault::new(Why::FieldMalformed(field)).at(column)
}

/// What an error says of its row, unless it is one of the whole import.
fn why(error: AppendError) -> Result<Why, ImportError> {
    match error {
        AppendError::Refused(refusal) => Ok(refusal.into()),
        AppendError::Key(KeyError::Erased) => Ok(BookingRefusal::Erased.into()),
        AppendError::Key(KeyError::Restricted) => Ok(Why::Restricted),
        AppendError::Key(KeyError::TooLong) => Ok(Why::TooLong),
        AppendError::Codec(CodecError::TooLarge(_)) => Ok(Why::TooLarge),
        AppendError::Key(_)
        | AppendError::Codec(_)
        | AppendError::KeyReused
        | AppendError::OpenBookings(_)
        | AppendError::SealsDiffer
        | AppendError::Read(_)
        | AppendError::Commit(_)
        | AppendError::Busy
        | AppendError::Stopped => Err(error.into()),
    }
}
