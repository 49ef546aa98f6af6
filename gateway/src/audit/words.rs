//! What happened, in words.

use domain::booking::{Cancelled, Hold, Requested, Rescheduled, Status};
use domain::catalogue::Resource;
use domain::consent::{Medium, Text};
use domain::ledger::Residence;
use domain::person::{LegalHold, Restricted};
use domain::slot::Zone;
use domain::{Event, Recorded};
use eventstore::ledger::log::ReadError;
use jiff::Timestamp;

use super::names::Names;

/// What an entry tells, as a clause without a full stop.
pub(super) fn tell(recorded: &Recorded, names: &mut Names<'_>) -> Result<String, ReadError> {
    Ok(match &recorded.event {
        Event::BookingRequested(event) => requested(event, names)?,
        Event::BookingConfirmed(_) => "the booking was confirmed".to_owned(),
        Event::BookingDeclined(event) => format!("the booking was declined ({})", event.reason),
        Event::BookingRescheduled(event) => rescheduled(event, names)?,
        Event::BookingCancelled(event) => cancelled(event),
        Event::BookingCheckedIn(_) => "the client arrived".to_owned(),
        Event::BookingCompleted(_) => "the booking was completed".to_owned(),
        Event::BookingMissed(_) => "nobody came".to_owned(),
        Event::BookingChanged(event) => {
            format!("the booking had been changed {} before it came here", times(event.times))
        }
        Event::BookingContentErased(event) => {
            format!("what was said around the booking was erased, {}", ended(event.ended.into()))
        }
        Event::PersonRegistered(_) => "somebody became a client".to_owned(),
        Event::PersonRectified(event) => {
            format!("a client's contact fields were put right, {}", ended(event.ended.into()))
        }
        Event::PersonErased(event) => {
            format!("a person was erased, {}, behind fence {}", ended(event.ended), event.fence)
        }
        Event::PersonRestricted(event) => restricted(*event),
        Event::PersonUnrestricted(_) => "a client's data is used again".to_owned(),
        Event::HoldPlaced(event) => put_under(event.hold()),
        Event::HoldLifted(event) => lifted(event.hold()),
        Event::ConsentGiven(event) => {
            let (purpose, by) = (event.purpose, by(event.medium));
            format!("a consent to {purpose}{by} was given, {}", text(&event.text))
        }
        Event::ConsentWithdrawn(event) => {
            format!("a consent to {}{} was withdrawn", event.purpose, by(event.medium))
        }
        Event::PolicyAccepted(event) => format!("the terms were accepted, {}", text(&event.text)),
        Event::GroupDefined(event) => format!("the group {} came to be", event.name),
        Event::ResourceDefined(event) => resource(&event.resource, "can be booked", names)?,
        Event::ResourceRevised(event) => resource(&event.resource, "was revised", names)?,
        Event::ResourceRetired(event) => {
            format!("{} takes no more bookings", names.resource(event.id)?)
        }
        Event::ServiceDefined(event) => format!("the service {} is offered", event.service.name),
        Event::ServiceRevised(event) => format!("the service {} was revised", event.service.name),
        Event::ServiceRetired(event) => {
            format!("the service {} is not offered any more", names.service(event.id)?)
        }
        Event::PolicySet(_) => "the tenant's policy was set".to_owned(),
        Event::LedgerReopened(event) => format!(
            "the ledger was taken up from an older copy as origin {}; it had reached {} entries",
            event.origin, event.lost_size
        ),
        Event::KeysRotated(event) => format!(
            "the keys of {} persons were wrapped anew under epoch {}",
            event.persons, event.epoch
        ),
        Event::LogKeyRotated(event) => {
            format!("the log is signed with another key from here on: {}", event.vkey)
        }
        Event::LedgerMoved(event) => format!("the ledger was moved into {}", residence(event.to)),
        Event::PeriodEnded(event) => format!(
            "what is kept in {} of the year {} is over: its key is destroyed",
            event.class, event.year
        ),
        Event::SealsOpened(event) => {
            let classes: Vec<&str> = event.classes.iter().map(|class| class.name()).collect();
            let (purpose, classes) = (event.purpose, classes.join(", "));
            format!("seals of {} persons were opened ({classes}; {purpose})", event.count)
        }
    })
}

fn put_under(LegalHold { class, ground }: LegalHold) -> String {
    let of = class.map(|class| format!("'s {class}")).unwrap_or_default();
    format!("a client{of} was put under legal hold ({ground})")
}

fn lifted(LegalHold { class, ground }: LegalHold) -> String {
    let on = class.map(|class| format!(" on {class}")).unwrap_or_default();
    format!("a legal hold{on} was lifted ({ground})")
}

fn requested(event: &Requested, names: &mut Names<'_>) -> Result<String, ReadError> {
    let how = match event.status {
        Status::Pending => "was asked for and waits for an answer",
        Status::Confirmed
        | Status::Declined
        | Status::CheckedIn
        | Status::Completed
        | Status::Cancelled
        | Status::NoShow => "was booked",
    };
    let service = names.service(event.service)?;
    let on = held(&event.held, names)?;
    let people = match event.parts.len() {
        0 | 1 => String::new(),
        people => format!(" for {people} people"),
    };
    let time = time(event.start, event.end, &event.zone);
    Ok(format!("{service}{people} {how}: {on}, {time}"))
}

fn rescheduled(event: &Rescheduled, names: &mut Names<'_>) -> Result<String, ReadError> {
    let on = held(&event.held, names)?;
    Ok(format!("the booking was moved: {on}, {}", time(event.start, event.end, &event.zone)))
}

fn restricted(Restricted { ground, until, .. }: Restricted) -> String {
    let until = until.map(|until| format!(", until {until}")).unwrap_or_default();
    format!("a client's data was restricted ({ground}){until}")
}

fn cancelled(event: &Cancelled) -> String {
    let note = if event.note.is_some() { ", with a note" } else { "" };
    format!("the booking was cancelled by {} ({}{note})", event.by, event.reason)
}

/// The places that are held, by the names of their resources.
fn held(held: &[Hold], names: &mut Names<'_>) -> Result<String, ReadError> {
    let mut places = Vec::with_capacity(held.len());
    for hold in held {
        let name = names.resource(hold.resource)?;
        places.push(if hold.units == 1 {
            name
        } else {
            format!("{} places of {name}", hold.units)
        });
    }
    Ok(places.join(" and "))
}

fn resource(resource: &Resource, what: &str, names: &mut Names<'_>) -> Result<String, ReadError> {
    let group = names.group(resource.group)?;
    let places = match resource.capacity {
        1 => "one place".to_owned(),
        places => format!("{places} places"),
    };
    Ok(format!("{} of {group} {what}, with {places}", resource.name))
}

/// A span of local time; the day is said once where it is the same.
fn time(start: Timestamp, end: Timestamp, zone: &Zone) -> String {
    let (from, until) = (zone.local(start), zone.local(end));
    let ends = if from.date() == until.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
    format!("{} to {} {}", from.strftime("%Y-%m-%d %H:%M"), until.strftime(ends), zone.name())
}

fn by(medium: Medium) -> String {
    match medium {
        Medium::None => String::new(),
        Medium::Email | Medium::Sms | Medium::Phone | Medium::Post => format!(" by {medium}"),
    }
}

fn text(text: &Text) -> String {
    let hash: String = text.hash.to_string().chars().take(12).collect();
    format!("text {hash} ({})", text.locale)
}

fn ended(seals: u64) -> String {
    match seals {
        1 => "which ended 1 seal".to_owned(),
        seals => format!("which ended {seals} seals"),
    }
}

fn times(times: u32) -> String {
    match times {
        1 => "once".to_owned(),
        times => format!("{times} times"),
    }
}

fn residence(place: Residence) -> &'static str {
    match place {
        Residence::Files => "files",
        Residence::Database => "another database",
    }
}
