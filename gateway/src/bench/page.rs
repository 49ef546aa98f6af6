//! A page of 200 bookings of as many persons, with what was said and whose they are.

use std::time::Instant;

use domain::ledger::ReadPurpose;
use domain::{Actor, Event, Handle, RetentionClass};
use eventstore::{Opening, PersonId, SealAt};
use jiff::Timestamp;
use projections::{BookingFilter, BookingRow};

use super::rig::Rig;
use super::{Extent, Figure};
use crate::cli::CliError;
use crate::cli::console::Console;
use crate::desk::{Desk, DeskError};

const ROWS: u32 = 200;
/// How often a page is loaded in one run.
const PAGES: u32 = 50;

pub(super) fn measure(
    rig: &mut Rig,
    extent: Extent,
    console: &mut Console,
) -> Result<Vec<Figure>, CliError> {
    rig.fill(extent.stored, &|done, total| console.progress(done, total))?;
    let first = book(rig)?;
    let desk = Desk::open(std::sync::Arc::clone(&rig.bench.tenant))?;
    desk.follow_with(&|done, total| console.progress(done, total))?;
    load(rig, &desk, first)?;
    let (mut opened, mut unopened, mut cold, mut warm) = (vec![], vec![], vec![], vec![]);
    for _ in 0..extent.runs {
        unopened.push(pages(|| rows(&desk, first).map(drop))?);
        opened.push(pages(|| load(rig, &desk, first))?);
        warm.push(milliseconds(|| load(rig, &desk, first))?);
        rig.bench.tenant.keyring().evict_all();
        cold.push(milliseconds(|| load(rig, &desk, first))?);
    }
    let base = "rows with nothing opened";
    Ok(vec![
        Figure::new("page_200", "pages/s", &opened, base, &unopened, "at least 200 pages/s"),
        Figure::new("page_200_cold", "ms", &cold, "warm", &warm, "under 20 ms"),
    ])
}

/// How long something takes once.
fn milliseconds(load: impl FnOnce() -> Result<(), CliError>) -> Result<f64, CliError> {
    let start = Instant::now();
    load()?;
    Ok(start.elapsed().as_secs_f64() * 1000.0)
}

/// The day before all others, booked by 200 persons; answers when it begins.
fn book(rig: &Rig) -> Result<Timestamp, CliError> {
    let mut waiting = Vec::new();
    let persons = rig.bench.persons.iter().zip(0_i64..);
    for (person, number) in persons.take(usize::try_from(ROWS).unwrap_or(0)) {
        let minutes = -1440 + number * 5 % 1440 / 10 * 10;
        let resource = rig.bench.resources.get(usize::try_from(number % 50).unwrap_or(0));
        let append = rig.bench.booking_at(Some(*person), resource.copied(), minutes)?;
        waiting.push(rig.bench.tenant.ledger.hand_in(append)?);
    }
    super::rig::drain(&mut waiting)?;
    let day = jiff::Span::new().hours(24);
    rig.bench.first_day.checked_sub(day).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> CliError {
    CliError::Bench("page", error.to_string())
}

/// How often something is done in a second.
fn pages(mut load: impl FnMut() -> Result<(), CliError>) -> Result<f64, CliError> {
    let start = Instant::now();
    for _ in 0..PAGES {
        load()?;
    }
    Ok(f64::from(PAGES) / start.elapsed().as_secs_f64())
}

fn rows(desk: &Desk, from: Timestamp) -> Result<Vec<BookingRow>, CliError> {
    let filter = BookingFilter { from: Some(from), limit: ROWS, ..BookingFilter::default() };
    Ok(desk.read::<_, DeskError>(|reader| Ok(reader.bookings().page(&filter)?))?)
}

/// As the route does it: the rows, whose they are, and all their seals under one ticket.
fn load(rig: &Rig, desk: &Desk, from: Timestamp) -> Result<(), CliError> {
    let rows = rows(desk, from)?;
    let keyring = rig.bench.tenant.keyring();
    let parts = rows.iter().flat_map(|row| &row.parts);
    let handles: Vec<Handle> = parts.clone().map(|part| part.handle).collect();
    let of = keyring.persons_of(&handles)?;
    let infos = keyring.infos(of.values().copied())?;
    let notes = parts.map(|part| {
        let (at, kind) = (part.details, Event::KIND_BOOKING_REQUESTED);
        SealAt::new(at.position, kind, at.handle, RetentionClass::Booking, at.seal)
    });
    let mut seals: Vec<SealAt> = notes.collect();
    let contacts = infos.values().filter_map(|info| info.contact);
    seals.extend(contacts.map(|(position, handle)| {
        SealAt::new(position, Event::KIND_PERSON_REGISTERED, handle, RetentionClass::Contact, 0)
    }));
    let whom: Vec<PersonId> = infos.keys().copied().collect();
    let classes = [RetentionClass::Contact, RetentionClass::Booking];
    let purpose = ReadPurpose::Booking;
    let ticket = rig.bench.tenant.disclose(Actor::System, purpose, &classes, &whom);
    let ticket = rig.runtime.block_on(ticket)?;
    let openings = keyring.open(&ticket, &seals)?;
    let whole = openings.iter().all(|opening| matches!(opening, Opening::Live(_)));
    let wanted = usize::try_from(ROWS).unwrap_or(0);
    match whole && infos.len() == wanted && openings.len() == 2 * wanted {
        true => Ok(()),
        false => Err(failed("a page lacks something")),
    }
}
