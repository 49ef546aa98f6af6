//! Intake: where plain input becomes sealed commands.
//!
//! Import, HTTP and the demo all go through here, so that the same values are sealed in the same
//! entries and found by the same lookups, whichever way they came in.

use domain::booking::{
    BookingCommand, Change, NewPart, Past, Price, Reason, Request, Role, Side, Wanted,
};
use domain::consent::{ConsentCommand, Medium, Occasion, Purpose, Text};
use domain::facet::Channel;
use domain::ids::Hash;
use domain::person::PersonCommand;
use domain::slot::Slot;
use domain::{
    Actor, BookingId, Command, Event, Field, Handle, RegistrationId, RetentionClass, ServiceId,
};
use eventstore::keyring::KeyError;
use eventstore::ledger::appender::{Append, Appended, Idempotency};
use eventstore::{Lookup, LookupKind, Part, PersonId, Personal, Sealing, Tenant};
use jiff::Timestamp;

/// Who a part is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Known(PersonId),
    New,
}

/// Somebody's part in a booking, in the clear.
pub struct PartIn {
    pub who: Who,
    pub role: Role,
    /// Contact fields only for somebody new; those of the booking for all.
    pub fields: Personal,
    /// What they can be found by from now on, besides mail and phone.
    pub references: Vec<Lookup>,
}

/// A booking as it comes in.
pub struct BookingIn {
    pub service: ServiceId,
    pub wanted: Vec<Wanted>,
    pub slot: Slot,
    pub parts: Vec<PartIn>,
    pub party: u16,
    pub channel: Channel,
    pub policy: Option<Hash>,
    pub price: Option<Price>,
    pub past: Option<Past>,
}

/// A consent as it comes in.
pub struct ConsentIn {
    pub purpose: Purpose,
    pub medium: Medium,
    pub occasion: Occasion,
    pub text: Text,
    /// What shows that it was given, in words.
    pub evidence: String,
}

/// Who sends a command, and when it happened.
#[derive(Debug, Clone, Copy)]
pub struct Sender {
    pub actor: Actor,
    pub occurred_at: Option<Timestamp>,
    pub idempotency: Option<Idempotency>,
}

impl Sender {
    pub fn new(actor: Actor) -> Self {
        Self { actor, occurred_at: None, idempotency: None }
    }
}

/// Why input could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    #[error("the field {0} cannot be given here")]
    FieldOutOfPlace(Field),
    #[error("the field {0} is not well-formed")]
    FieldMalformed(Field),
    /// Of a booking; its people are there.
    #[error("what was said around the booking has ended, and nothing can be added to it")]
    ContentEnded,
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Seals a booking's parts and makes the command of it.
///
/// # Errors
/// Where a field is malformed or out of place, a person is unknown or erased, or the key store
/// cannot be reached. The years' keys for accounting fields exist ([`domain::policy::Policy::fiscal_year`]).
pub fn booking(
    tenant: &Tenant,
    booking: BookingIn,
    fiscal_year: i16,
    sender: Sender,
) -> Result<(Append, Vec<Part>), IntakeError> {
    let mut sealing = tenant.ledger.sealing();
    let mut parts = Vec::with_capacity(booking.parts.len());
    let mut new_parts = Vec::with_capacity(booking.parts.len());
    let mut index = 0;
    for part in booking.parts {
        let (part, new) = seal_part(&mut sealing, part, fiscal_year, &mut index)?;
        parts.push(part);
        new_parts.push(new);
    }
    let request = Request {
        service: booking.service,
        wanted: booking.wanted,
        slot: booking.slot,
        parts: new_parts,
        party: booking.party,
        channel: booking.channel,
        policy: booking.policy,
        price: booking.price,
        past: booking.past,
    };
    let command = Command::Booking(BookingCommand::Request(Box::new(request)));
    Ok((append(command, sealing, sender), parts))
}

/// The booking that an append brought about: its entry stands behind those of new clients.
pub fn booking_id(appended: &Appended, new_clients: usize) -> BookingId {
    BookingId(appended.first.0 + u64::try_from(new_clients).unwrap_or(0))
}

/// Seals one part; `index` counts the seals of the booking's entry.
fn seal_part(
    sealing: &mut Sealing,
    part: PartIn,
    fiscal_year: i16,
    index: &mut u16,
) -> Result<(Part, NewPart), IntakeError> {
    let kind = Event::KIND_BOOKING_REQUESTED;
    let mut fields = part.fields;
    let contact = fields.split_off(RetentionClass::Contact);
    let (known, registers) = match part.who {
        Who::Known(person) => {
            if let Some(field) = contact.fields().iter().next() {
                return Err(IntakeError::FieldOutOfPlace(field));
            }
            sealing.look_up(person, &part.references)?;
            (sealing.known(person)?, None)
        }
        Who::New => {
            let mut found_by = lookups(&contact)?;
            found_by.extend(part.references);
            let registration = sealing.new_person(contact.fields(), &found_by)?;
            let sealed = sealing.seal(&registration, Event::KIND_PERSON_REGISTERED, 0, &contact)?;
            (sealing.again(&registration)?, Some(sealed))
        }
    };
    let given = known.fields.union(fields.fields());
    let mut next = || {
        *index += 1;
        *index - 1
    };
    let health = fields.split_off(RetentionClass::Health);
    let accounting = fields.split_off(RetentionClass::Accounting);
    let details = fields.split_off(RetentionClass::Booking);
    if let Some(field) = fields.fields().iter().next() {
        return Err(IntakeError::FieldOutOfPlace(field));
    }
    // Sealed also where nothing was said: nobody can see whether there is a note.
    let details = sealing.seal(&known, kind, next(), &details)?;
    let health = match health.is_empty() {
        true => None,
        false => Some(sealing.seal(&known, kind, next(), &health)?),
    };
    let accounting = match accounting.is_empty() {
        true => None,
        false => Some(sealing.seal_for_year(&known, fiscal_year, kind, next(), &accounting)?),
    };
    let (handle, fence, role) = (known.handle, known.fence, part.role);
    Ok((known, NewPart { handle, role, details, health, accounting, fence, given, registers }))
}

/// Seals the contact fields of somebody new.
///
/// # Errors
/// As [`booking`].
pub fn register(
    tenant: &Tenant,
    fields: &Personal,
    references: Vec<Lookup>,
    sender: Sender,
) -> Result<(Append, Part), IntakeError> {
    only(fields, RetentionClass::Contact)?;
    let mut sealing = tenant.ledger.sealing();
    let mut found_by = lookups(fields)?;
    found_by.extend(references);
    let given = fields.fields();
    let part = sealing.new_person(given, &found_by)?;
    let contact = sealing.seal(&part, Event::KIND_PERSON_REGISTERED, 0, fields)?;
    let command = PersonCommand::Register { contact, fence: part.fence, given };
    Ok((append(Command::Person(command), sealing, sender), part))
}

/// Seals new contact fields for somebody known, in place of all the old ones.
///
/// # Errors
/// As [`booking`].
pub fn rectify(
    tenant: &Tenant,
    person: PersonId,
    fields: &Personal,
    expected: Option<u32>,
    sender: Sender,
) -> Result<Append, IntakeError> {
    only(fields, RetentionClass::Contact)?;
    let info = tenant.keyring().info(person)?.ok_or(KeyError::Unknown)?;
    let registration: RegistrationId = info.registration.ok_or(KeyError::Erased)?;
    let mut sealing = tenant.ledger.sealing();
    let part = sealing.known(person)?;
    let given = fields.fields();
    sealing.replace_lookups(person, given, &lookups(fields)?)?;
    let contact = sealing.seal(&part, Event::KIND_PERSON_RECTIFIED, 0, fields)?;
    let fence = part.fence;
    let command = PersonCommand::Rectify { registration, contact, fence, given, expected };
    Ok(append(Command::Person(command), sealing, sender))
}

/// Seals what shows that a consent was given.
///
/// # Errors
/// As [`booking`].
pub fn consent(
    tenant: &Tenant,
    person: PersonId,
    consent: ConsentIn,
    sender: Sender,
) -> Result<(Append, Part), IntakeError> {
    let mut sealing = tenant.ledger.sealing();
    let part = sealing.known(person)?;
    let content = Personal::default().with(Field::Evidence, consent.evidence);
    let evidence = sealing.seal(&part, Event::KIND_CONSENT_GIVEN, 0, &content)?;
    let command = ConsentCommand::Give {
        evidence,
        fence: part.fence,
        purpose: consent.purpose,
        medium: consent.medium,
        occasion: consent.occasion,
        text: consent.text,
    };
    Ok((append(Command::Consent(command), sealing, sender), part))
}

/// Seals what shows that a policy was accepted.
///
/// # Errors
/// As [`booking`].
pub fn accept(
    tenant: &Tenant,
    person: PersonId,
    occasion: Occasion,
    text: Text,
    evidence: String,
    sender: Sender,
) -> Result<(Append, Part), IntakeError> {
    let mut sealing = tenant.ledger.sealing();
    let part = sealing.known(person)?;
    let content = Personal::default().with(Field::Evidence, evidence);
    let evidence = sealing.seal(&part, Event::KIND_POLICY_ACCEPTED, 0, &content)?;
    let fence = part.fence;
    let command = ConsentCommand::Accept { evidence, fence, occasion, text };
    Ok((append(Command::Consent(command), sealing, sender), part))
}

/// What is cancelled, and why.
#[derive(Debug, Clone, Copy)]
pub struct CancelIn {
    pub booking: BookingId,
    pub expected: Option<u32>,
    pub by: Side,
    pub reason: Reason,
}

/// Seals a note under the part it belongs to, if there is one, and makes the cancellation.
///
/// # Errors
/// As [`booking`].
pub fn cancel(
    tenant: &Tenant,
    cancel: CancelIn,
    note: Option<(PersonId, Handle, String)>,
    sender: Sender,
) -> Result<Append, IntakeError> {
    let mut sealing = tenant.ledger.sealing();
    let (mut sealed, mut fence) = (None, None);
    if let Some((person, handle, note)) = note {
        let part = sealing.continued(person, handle)?;
        let content = Personal::default().with(Field::CancelNote, note);
        sealed = Some(match sealing.seal(&part, Event::KIND_BOOKING_CANCELLED, 0, &content) {
            // Whoever was erased was refused above: it is the booking's own key that is gone.
            Err(KeyError::Erased) => return Err(IntakeError::ContentEnded),
            sealed => sealed?,
        });
        fence = Some(part.fence);
    }
    let CancelIn { booking, expected, by, reason } = cancel;
    let change = Change::Cancel { by, reason, note: sealed, fence };
    let command = Command::Booking(BookingCommand::Change { booking, expected, change });
    Ok(append(command, sealing, sender))
}

fn append(command: Command, sealing: Sealing, sender: Sender) -> Append {
    let Sender { actor, occurred_at, idempotency } = sender;
    Append { occurred_at, idempotency, ..Append::new(command, actor).sealed(sealing) }
}

fn only(fields: &Personal, class: RetentionClass) -> Result<(), IntakeError> {
    match fields.fields().iter().find(|field| field.class() != class) {
        Some(field) => Err(IntakeError::FieldOutOfPlace(field)),
        None => Ok(()),
    }
}

/// What a person with these contact fields can be found by.
///
/// # Errors
/// Where a mail address or phone number is not well-formed.
pub fn lookups(fields: &Personal) -> Result<Vec<Lookup>, IntakeError> {
    let mut found_by = Vec::new();
    if let Some(mail) = fields.reveal(Field::Email) {
        let mail = normal_mail(mail).ok_or(IntakeError::FieldMalformed(Field::Email))?;
        found_by.push(Lookup::new(LookupKind::Email, mail));
    }
    if let Some(phone) = fields.reveal(Field::Phone) {
        let phone = normal_phone(phone).ok_or(IntakeError::FieldMalformed(Field::Phone))?;
        found_by.push(Lookup::new(LookupKind::Phone, phone));
    }
    if let Some(number) = fields.reveal(Field::NationalId) {
        let digits: String = number.chars().filter(char::is_ascii_alphanumeric).collect();
        found_by.push(Lookup::new(LookupKind::NationalId, digits));
    }
    Ok(found_by)
}

/// A mail address as it is looked up: small letters, no space around.
pub fn normal_mail(mail: &str) -> Option<String> {
    let mail = mail.trim().to_lowercase();
    email_address::EmailAddress::is_valid(&mail).then_some(mail)
}

/// A phone number as it is looked up: E.164 where it has its country, else its digits.
pub fn normal_phone(phone: &str) -> Option<String> {
    let plain = |letter: char| letter.is_ascii_digit() || " +-().\u{a0}".contains(letter);
    let digits = phone.chars().filter(char::is_ascii_digit).count();
    if !phone.chars().all(plain) || !(4..=20).contains(&digits) {
        return None;
    }
    match phonenumber::parse(None, phone) {
        Ok(number) => Some(number.format().mode(phonenumber::Mode::E164).to_string()),
        Err(_) => Some(phone.chars().filter(char::is_ascii_digit).collect()),
    }
}
