//! What one row asks for, told from the row and the mapping alone.

use domain::Field;
use domain::booking::{Past, PastStep, Price, Reason, Side, Status};
use domain::catalogue::Confirmation;
use domain::facet::Channel;
use domain::slot::{Slot, Zone};
use eventstore::Personal;
use eventstore::keyring::personal::LONGEST;
use jiff::Timestamp;

use super::mapping::{Fate, Mapping};
use super::refusal::{Fault, Why};
use super::source::Row;
use super::value::{Choice, Count, Template, Value};
use super::when;

/// A row's booking, before anything is known of the tenant.
pub(super) struct Plan {
    pub(super) service: String,
    pub(super) group: String,
    pub(super) resource: String,
    pub(super) units: u16,
    pub(super) slot: Slot,
    pub(super) booked: Timestamp,
    /// What has happened since; none for a booking that is still to be judged by today's rules.
    pub(super) past: Option<Past>,
    pub(super) party: u16,
    pub(super) channel: Channel,
    pub(super) price: Option<Price>,
    /// What all rows of the same person have in common.
    pub(super) same: Option<String>,
    pub(super) reference: Option<String>,
    pub(super) fields: Personal,
}

impl Plan {
    /// Whether the booking still holds its time after the row.
    pub(super) fn holds(&self) -> bool {
        let given_up = |(_, step): &(Timestamp, PastStep)| match step {
            PastStep::Cancelled { .. } => true,
            PastStep::Changed { .. } | PastStep::Reached(_) => false,
        };
        !self.past.as_ref().is_some_and(|past| past.steps.iter().any(given_up))
    }
}

/// Reads a row; nothing where the mapping says to skip it.
pub(super) fn plan(mapping: &Mapping, zone: &Zone, row: &Row<'_>) -> Result<Option<Plan>, Fault> {
    let fate = mapping.status.is.of(row, Why::UnknownStatus)?;
    if fate == Fate::Skip {
        return Ok(None);
    }
    if fate == Fate::Pending && mapping.service.confirmation == Confirmation::Instant {
        return Err(mapping.status.is.template().fault(Why::NotPending));
    }
    let slot = when::slot(mapping, zone, row)?;
    let booked = when::booked(mapping, zone, row, slot)?;
    let booking = &mapping.booking;
    Ok(Some(Plan {
        service: text(&mapping.service.name, row)?,
        group: text(&mapping.resource.group, row)?,
        resource: text(&mapping.resource.name, row)?,
        units: number(mapping.resource.units.as_ref(), row)?.unwrap_or(1),
        slot,
        booked,
        past: past(mapping, zone, row, fate, slot, booked)?,
        party: number(booking.party.as_ref(), row)?.unwrap_or(1),
        channel: word(booking.channel.as_ref(), row)?.unwrap_or(Channel::Unknown),
        price: price(booking.price.as_ref(), booking.currency.as_ref(), row)?,
        same: mapping.person.same.as_ref().and_then(|same| same.of(row)).map(Into::into),
        reference: mapping.person.reference.as_ref().and_then(|r| r.of(row)).map(Into::into),
        fields: fields(mapping, row)?,
    }))
}

fn past(
    mapping: &Mapping,
    zone: &Zone,
    row: &Row<'_>,
    fate: Fate,
    slot: Slot,
    booked: Timestamp,
) -> Result<Option<Past>, Fault> {
    let (usual, step) = match fate {
        Fate::Pending | Fate::Skip => return Ok(None),
        Fate::Confirmed => (booked, None),
        Fate::CheckedIn => (slot.start(), Some(PastStep::Reached(Status::CheckedIn))),
        Fate::Completed => (slot.end(), Some(PastStep::Reached(Status::Completed))),
        Fate::NoShow => (slot.start(), Some(PastStep::Reached(Status::NoShow))),
        Fate::Cancelled => {
            let by = word(mapping.status.by.as_ref(), row)?.unwrap_or(Side::Client);
            let reason = word(mapping.status.reason.as_ref(), row)?.unwrap_or(Reason::Unknown);
            (booked, Some(PastStep::Cancelled { by, reason }))
        }
    };
    let mut steps = Vec::new();
    let times: u32 = number(mapping.booking.changes.as_ref(), row)?.unwrap_or(0);
    if times > 0 {
        steps.push((booked, PastStep::Changed { times }));
    }
    if let Some(step) = step {
        // Nothing happens to a booking before it is made.
        let at = when::reached(mapping, zone, row, usual)?.max(booked);
        steps.push((at, step));
    }
    Ok(Some(Past { steps }))
}

fn fields(mapping: &Mapping, row: &Row<'_>) -> Result<Personal, Fault> {
    let mut fields = Personal::default();
    for (field, value) in &mapping.person.fields {
        if let Some(text) = value.of(row) {
            if text.len() > LONGEST {
                return Err(value.template().fault(Why::TooLong));
            }
            fields = fields.with(*field, text.into_owned());
        }
    }
    if let Some(synthetic) = &mapping.person.synthetic
        && fields.reveal(Field::Name).is_none()
        && let Some(name) = synthetic.of(row)
    {
        fields = fields.with(Field::Name, format!("{name} (synthetic)"));
    }
    Ok(fields)
}

fn text(value: &Value, row: &Row<'_>) -> Result<String, Fault> {
    match value.of(row) {
        Some(text) => Ok(text.into_owned()),
        None => Err(value.template().fault(Why::Missing)),
    }
}

fn number<N: TryFrom<u32>>(count: Option<&Count>, row: &Row<'_>) -> Result<Option<N>, Fault> {
    let Some(count) = count else { return Ok(None) };
    let Some(number) = count.of(row)? else { return Ok(None) };
    let column = || count.templates().flat_map(Template::columns).next();
    let number = N::try_from(number).map_err(|_| Fault::new(Why::BadNumber).at(column()))?;
    Ok(Some(number))
}

fn word<T: Copy + std::str::FromStr>(
    choice: Option<&Choice<T>>,
    row: &Row<'_>,
) -> Result<Option<T>, Fault> {
    choice.map(|choice| choice.of(row, Why::UnknownWord)).transpose()
}

fn price(
    amount: Option<&Template>,
    currency: Option<&Template>,
    row: &Row<'_>,
) -> Result<Option<Price>, Fault> {
    let (Some(amount), Some(currency)) = (amount, currency) else { return Ok(None) };
    let Some(written) = amount.of(row) else { return Ok(None) };
    if written.split_once(',').is_some_and(|(_, behind)| behind.len() == 3) {
        // A thousand, or one and some tenths of a cent: nobody can tell.
        return Err(amount.fault(Why::BadPrice));
    }
    let missing = || currency.fault(Why::Missing);
    let price = Price {
        amount: written.replace(',', "."),
        currency: currency.of(row).ok_or_else(missing)?.into_owned(),
    };
    if price.is_sound() { Ok(Some(price)) } else { Err(amount.fault(Why::BadPrice)) }
}
