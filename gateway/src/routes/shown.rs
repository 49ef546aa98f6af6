//! What answers have in common: who acted, and sealed fields with their state.
//!
//! Everything that an answer will show is asked for first and opened at once, under one ticket:
//! one access record per request.

use std::collections::{BTreeMap, BTreeSet};

use domain::booking::Role;
use domain::ledger::ReadPurpose;
use domain::{Actor, Event, Handle, Kind, Position, RetentionClass};
use eventstore::engine::Seen;
use eventstore::keyring::person::PersonInfo;
use eventstore::{Disclosed, Disclosure, IdKind, Opening, PersonId, Personal, SealAt};
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::{PageQuery, bad_cursor, cursor, cut, limit, read_cursor};
use crate::caller::Caller;
use crate::problem::Problem;

/// What makes a request safe to repeat.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "stands in the description only; `Once` reads the header")]
pub(super) struct Repeat {
    /// New for each new wish, and the same when it is sent again. Remembered for a day.
    #[param(rename = "Idempotency-Key")]
    idempotency_key: String,
}

/// Who acted: nobody by name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ActorOut {
    /// client, staff, support, key or system.
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

impl ActorOut {
    pub(super) fn new<P>(caller: &Caller<P>, actor: Actor) -> Self {
        let (kind, id) = match actor {
            Actor::Client(part) => ("client", Some((IdKind::Part, part.0))),
            Actor::Staff(id) => ("staff", Some((IdKind::Key, id.0))),
            Actor::Support(id) => ("support", Some((IdKind::Key, id.0))),
            Actor::Key(id) => ("key", Some((IdKind::Key, id.0))),
            Actor::System => ("system", None),
        };
        Self { kind, id: id.map(|(kind, number)| caller.show(kind, number)) }
    }
}

/// Sealed fields: how it stands with them, and their values where they are live.
#[derive(Serialize, ToSchema)]
pub(crate) struct Fields {
    /// live, restricted, erased, withheld, `unknown_key` or tampered.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    fields: Option<Disclosed>,
}

/// A client: their id and state, and their contact fields where the answer shows them.
#[derive(Serialize, ToSchema)]
pub(crate) struct ClientOut {
    /// Absent once the person is erased: nothing links the part to anybody any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "cli_00112233445566778899aabbccddeeff")]
    pub(super) id: Option<String>,
    /// live, restricted, erasing or erased.
    pub(super) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub(super) contact: Option<Disclosed>,
}

/// So many seals are opened where they are asked for.
const FEW: usize = 4;

/// Seals to be opened together, and whose they are.
#[derive(Default)]
pub(super) struct Openings(Vec<(Option<PersonId>, SealAt)>);

/// Which of the seals asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask(usize);

impl Openings {
    /// Asks for a seal of somebody's, or of somebody who is not linked any more.
    pub(super) fn ask(&mut self, person: Option<PersonId>, seal: SealAt) -> Ask {
        self.0.push((person, seal));
        Ask(self.0.len() - 1)
    }

    /// Asks for somebody's newest contact fields.
    pub(super) fn ask_contact(&mut self, info: &PersonInfo) -> Option<Ask> {
        contact_seal(info).map(|seal| self.ask(Some(info.id), seal))
    }

    /// Records that all of it is read, and opens it: what the caller is not given stays closed.
    pub(super) async fn open<P>(
        self,
        caller: &Caller<P>,
        purpose: ReadPurpose,
    ) -> Result<Opened, Problem> {
        let mut opened = Opened { ticket: None, came: Vec::with_capacity(self.0.len()) };
        if self.0.is_empty() {
            return Ok(opened);
        }
        let given = caller.given()?;
        let (mut whom, mut classes) = (BTreeSet::new(), BTreeSet::new());
        let mut seals = Vec::new();
        for (person, seal) in self.0 {
            let class = seal.seal.class;
            if given.as_ref().is_none_or(|given| given.contains(&class)) {
                whom.extend(person);
                classes.insert(class);
                opened.came.push(Came::Gone);
                seals.push(seal);
            } else {
                opened.came.push(Came::Withheld);
            }
        }
        if seals.is_empty() {
            return Ok(opened);
        }
        let whom: Vec<PersonId> = whom.into_iter().collect();
        let classes: Vec<RetentionClass> = classes.into_iter().collect();
        // Before anything opens: whoever is given it is to hear of what becomes of it.
        let read = caller.tenant().disclose(caller.actor(), purpose, &classes, &whom);
        let read = async { read.await.map_err(Problem::from) };
        let ((), ticket) = tokio::try_join!(caller.gives(&whom), read)?;
        let desk = std::sync::Arc::clone(caller.desk());
        let opening = move || {
            let openings = desk.tenant.keyring().open(&ticket, &seals);
            openings.map(|openings| (ticket, openings))
        };
        let (ticket, openings) = match opened.came.len() {
            // To be handed to another thread takes longer than to be opened.
            ..=FEW => opening()?,
            _ => tokio::task::spawn_blocking(opening).await??,
        };
        let asked = opened.came.iter_mut().filter(|came| matches!(came, Came::Gone));
        asked.zip(openings).for_each(|(came, opening)| *came = Came::Opening(opening));
        opened.ticket = Some(ticket);
        Ok(opened)
    }
}

/// Why somebody of the caller's role reads personal data.
pub(super) fn purpose<P>(caller: &Caller<P>, otherwise: ReadPurpose) -> ReadPurpose {
    if caller.is_client() { ReadPurpose::OwnAccount } else { otherwise }
}

fn contact_seal(info: &PersonInfo) -> Option<SealAt> {
    let (position, handle) = info.contact?;
    let first = info.registration.is_some_and(|registration| registration.0 == position.0);
    let kind = match first {
        true => Event::KIND_PERSON_REGISTERED,
        false => Event::KIND_PERSON_RECTIFIED,
    };
    Some(SealAt::new(position, kind, handle, RetentionClass::Contact, 0))
}

/// What came of opening.
pub(super) struct Opened {
    ticket: Option<Disclosure>,
    came: Vec<Came>,
}

/// What came of one seal.
#[derive(Default)]
enum Came {
    /// Handed out, or never there.
    #[default]
    Gone,
    /// The caller is not given its class.
    Withheld,
    Opening(Opening),
}

impl Opened {
    fn hand_out(&mut self, Ask(index): Ask) -> Came {
        self.came.get_mut(index).map(std::mem::take).unwrap_or_default()
    }

    /// What came of one seal; each is handed out once.
    pub(super) fn take(&mut self, ask: Ask) -> Fields {
        let opening = match self.hand_out(ask) {
            Came::Gone => return Fields { state: "unknown_key", fields: None },
            Came::Withheld => return Fields { state: "withheld", fields: None },
            Came::Opening(opening) => opening,
        };
        let state = opening.state();
        let fields = match (opening, &self.ticket) {
            (Opening::Live(content), Some(ticket)) => Some(content.disclose(ticket)),
            (_, _) => None,
        };
        Fields { state, fields }
    }

    /// The values of one seal in the clear, to be sealed again.
    pub(super) fn content(&mut self, ask: Ask) -> Option<Personal> {
        match self.hand_out(ask) {
            Came::Opening(Opening::Live(content)) => Some(content),
            Came::Opening(_) | Came::Gone | Came::Withheld => None,
        }
    }

    pub(super) fn values(&mut self, ask: Option<Ask>) -> Option<Disclosed> {
        ask.and_then(|ask| self.take(ask).fields)
    }
}

/// Where a read model says that a seal lies.
pub(super) fn sealed_at(at: projections::SealAt, kind: Kind, class: RetentionClass) -> SealAt {
    SealAt::new(at.position, kind, at.handle, class, at.seal)
}

/// Whose these handles are, and how it stands with each of those persons.
pub(super) struct People {
    of: BTreeMap<Handle, PersonId>,
    known: BTreeMap<PersonId, PersonInfo>,
}

impl People {
    pub(super) fn behind<P>(caller: &Caller<P>, handles: &[Handle]) -> Result<Self, Problem> {
        let keyring = caller.tenant().keyring();
        let of = keyring.persons_of(handles)?;
        let known = keyring.infos(of.values().copied())?;
        Ok(Self { of, known })
    }

    pub(super) fn person(&self, handle: Handle) -> Option<&PersonInfo> {
        self.of.get(&handle).and_then(|person| self.known.get(person))
    }

    /// The client behind a handle, without contact fields.
    pub(super) fn client<P>(&self, caller: &Caller<P>, handle: Handle) -> ClientOut {
        match self.person(handle) {
            Some(info) => client(caller, info),
            None => ClientOut { id: None, state: "erased", contact: None },
        }
    }
}

/// A client, without contact fields.
pub(super) fn client<P>(caller: &Caller<P>, info: &PersonInfo) -> ClientOut {
    let id = Some(caller.show(IdKind::Client, info.id.0));
    ClientOut { id, state: info.state.name(), contact: None }
}

/// What somebody does in a booking.
pub(super) fn role(role: Role) -> &'static str {
    role.name()
}

/// A page of a list on which what is still open stands first, and where the next one begins.
pub(super) fn open_first<P, T>(
    (caller, kind, query): (&Caller<P>, IdKind, &PageQuery),
    read: impl FnOnce(Seen, u32) -> Result<Vec<T>, Problem>,
    seen: impl FnOnce(&T) -> Seen,
) -> Result<(Vec<T>, Option<String>), Problem> {
    let limit = limit(query.limit)?;
    let after = match &query.cursor {
        Some(cursor) => read_seen(caller, kind, cursor).ok_or_else(bad_cursor)?,
        None => Seen::NOTHING,
    };
    let mut rows = read(after, limit + 1)?;
    let more = cut(&mut rows, limit);
    let last = rows.last().filter(|_| more).map(seen);
    let next = last.map(|last| {
        let whether = if last.settled { SETTLED } else { OPEN };
        cursor(&format!("{whether} {}", caller.show(kind, last.id)))
    });
    Ok((rows, next))
}

const OPEN: &str = "open";
const SETTLED: &str = "settled";

fn read_seen<P>(caller: &Caller<P>, kind: IdKind, cursor: &str) -> Option<Seen> {
    let text = read_cursor(cursor).ok()?;
    let (whether, id) = text.split_once(' ')?;
    let settled = match whether {
        OPEN => false,
        SETTLED => true,
        _ => return None,
    };
    Some(Seen { settled, id: caller.read_id(kind, id).ok()? })
}

/// The position behind the last entry of an append.
pub(super) fn behind(appended: &eventstore::Appended) -> Position {
    Position(appended.first.0 + u64::from(appended.count))
}
