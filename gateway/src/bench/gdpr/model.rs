//! What every answer has to be: the whole store once more, in memory.
//!
//! Whoever changes something says so before it is sent and after it was answered. An answer about
//! what nobody was changing meanwhile must be the model's to the letter; about the rest it must at
//! least not show what was gone before it was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use jiff::Timestamp;

use super::records::{PURPOSES, Record, Scale};

/// How it stands with a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Live,
    /// Has objected: kept, and not to be used.
    Restricted,
    Erased,
}

/// When something was changed last, and by how many it is being changed.
#[derive(Debug, Clone, Copy, Default)]
struct Touched {
    at: u64,
    now: u32,
}

impl Touched {
    fn is_settled(self, since: u64) -> bool {
        self.now == 0 && self.at <= since
    }
}

/// A person.
#[derive(Debug)]
pub(super) struct Person {
    pub id: String,
    /// The API key of the person's own.
    pub key: String,
    pub standing: Standing,
    pub address: Option<String>,
    /// Consents that stand, by purpose.
    pub consents: BTreeMap<&'static str, String>,
    /// All that the person ever gave or accepted: ids.
    pub given: BTreeSet<String>,
    pub shared_with: BTreeSet<u64>,
    pub records: Vec<usize>,
    /// The request by which they were erased.
    pub request: String,
    touched: Touched,
}

/// A record as it is kept.
#[derive(Debug)]
pub(super) struct Kept {
    pub id: String,
    pub record: Record,
    pub status: &'static str,
    /// Whether its data is there.
    pub content: bool,
    touched: Touched,
}

/// What of a note an answer shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Note {
    Shown(String),
    /// Nothing, for the person's sake or because it has ended.
    Hidden,
}

/// Whose a record is, as an answer shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whose {
    Shown { id: String, name: String, address: Option<String> },
    Restricted { id: String },
    Nobody,
}

/// What an answer has to say of a record.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub id: String,
    pub service: String,
    pub status: &'static str,
    pub note: Note,
    pub whose: Whose,
    /// Whether nobody was changing it while it was asked for.
    pub settled: bool,
    /// Whether its data was gone before it was asked for.
    pub was_gone: bool,
}

/// The store.
#[derive(Debug)]
pub(super) struct Model {
    pub scale: Scale,
    pub persons: Vec<Person>,
    pub records: Vec<Kept>,
    pub services: Vec<Service>,
    /// How often the clock was put forward.
    pub tick: u64,
    /// Who was erased before the regulator came.
    pub erased: Vec<usize>,
    by_start: BTreeMap<Timestamp, usize>,
    by_purpose: Vec<BTreeMap<Timestamp, usize>>,
    sequence: u64,
    next_key: u64,
}

/// A purpose, as the catalogue has it.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub id: String,
    /// Whether whoever books has to give a mail address.
    pub asks_mail: bool,
    /// How far its bookings that are over were gone through.
    pub page: Option<String>,
    /// The last record of that.
    pub seen: Option<usize>,
}

pub(super) fn name_of(person: usize) -> String {
    format!("Person Number {person}")
}

impl Model {
    pub(super) fn new(scale: Scale, services: Vec<String>) -> Self {
        let service = |id| Service { id, asks_mail: false, page: None, seen: None };
        Self {
            scale,
            persons: Vec::new(),
            records: Vec::new(),
            services: services.into_iter().map(service).collect(),
            tick: 0,
            erased: Vec::new(),
            by_start: BTreeMap::new(),
            by_purpose: (0..PURPOSES).map(|_| BTreeMap::new()).collect(),
            sequence: 1,
            next_key: scale.records,
        }
    }

    pub(super) fn add_person(&mut self, id: String, shared_with: u64) {
        self.persons.push(Person {
            id,
            key: String::new(),
            standing: Standing::Live,
            address: None,
            consents: BTreeMap::new(),
            given: BTreeSet::new(),
            shared_with: [shared_with].into(),
            records: Vec::new(),
            request: String::new(),
            touched: Touched::default(),
        });
    }

    pub(super) fn add(&mut self, id: String, record: Record) {
        let at = self.records.len();
        let status = match (record.expires, record.purpose % 2) {
            (Some(_), _) => "completed",
            (None, 0) => "confirmed",
            (None, _) => "pending",
        };
        self.by_start.insert(record.start, at);
        if let Some(of) = place(&mut self.by_purpose, record.purpose) {
            of.insert(record.start, at);
        }
        if let Some(person) = place(&mut self.persons, record.person) {
            person.records.push(at);
        }
        let touched = Touched { at: self.next(), now: 0 };
        self.records.push(Kept { id, record, status, content: true, touched });
    }

    /// A record nobody has had yet.
    pub(super) fn fresh(&mut self) -> Record {
        self.next_key += 1;
        self.scale.record(self.next_key - 1)
    }

    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// The moment from which on a reader must see what was answered before.
    pub(super) fn now(&self) -> u64 {
        self.sequence
    }

    /// Says that these records are about to change.
    pub(super) fn begin(&mut self, records: &[usize]) {
        for at in records {
            if let Some(kept) = self.records.get_mut(*at) {
                kept.touched.now += 1;
            }
        }
    }

    /// Says that they have changed.
    pub(super) fn end(&mut self, records: &[usize], change: impl Fn(&mut Kept)) {
        let next = self.next();
        for at in records {
            if let Some(kept) = self.records.get_mut(*at) {
                change(kept);
                kept.touched = Touched { at: next, now: kept.touched.now.saturating_sub(1) };
            }
        }
    }

    pub(super) fn begin_person(&mut self, person: usize) {
        if let Some(person) = self.persons.get_mut(person) {
            person.touched.now += 1;
        }
    }

    pub(super) fn end_person(&mut self, person: usize, change: impl FnOnce(&mut Person)) {
        let next = self.next();
        if let Some(person) = self.persons.get_mut(person) {
            change(person);
            person.touched = Touched { at: next, now: person.touched.now.saturating_sub(1) };
        }
    }

    /// What an answer has to say of a record that was asked for at a moment of [`Self::now`].
    pub(super) fn expected(&self, at: usize, since: u64) -> Option<Expected> {
        let kept = self.records.get(at)?;
        let number = usize::try_from(kept.record.person).ok()?;
        let person = self.persons.get(number)?;
        let whose = match person.standing {
            Standing::Live => Whose::Shown {
                id: person.id.clone(),
                name: name_of(number),
                address: person.address.clone(),
            },
            Standing::Restricted => Whose::Restricted { id: person.id.clone() },
            Standing::Erased => Whose::Nobody,
        };
        let note = match (person.standing, kept.content) {
            (Standing::Live, true) => Note::Shown(kept.record.data()),
            (Standing::Live, false) | (Standing::Restricted | Standing::Erased, _) => Note::Hidden,
        };
        let erased = person.standing == Standing::Erased && person.touched.at <= since;
        let service = usize::try_from(kept.record.purpose).ok();
        Some(Expected {
            id: kept.id.clone(),
            service: service.and_then(|at| self.services.get(at))?.id.clone(),
            status: kept.status,
            note,
            whose,
            settled: kept.touched.is_settled(since) && person.touched.is_settled(since),
            was_gone: erased || (!kept.content && kept.touched.at <= since),
        })
    }

    /// The records of a person, by start.
    pub(super) fn of_person(&self, person: usize) -> Vec<usize> {
        let of = self.persons.get(person).map(|person| person.records.clone());
        let mut of = of.unwrap_or_default();
        of.sort_by_key(|at| self.records.get(*at).map(|kept| kept.record.start));
        of
    }

    /// A page of all that begins at a time or later and is as asked for.
    pub(super) fn page(&self, from: Timestamp, most: usize, asked: Asked) -> Vec<usize> {
        let of_all = Bound::Included(from);
        let range = |of: &BTreeMap<Timestamp, usize>| -> Vec<usize> {
            let range = of.range((of_all, Bound::Unbounded)).map(|(_, at)| *at);
            range.filter(|at| asked.fits(self.records.get(*at))).take(most).collect()
        };
        match asked {
            Asked::Purpose(purpose) => {
                let of = usize::try_from(purpose).ok().and_then(|at| self.by_purpose.get(at));
                of.map(range).unwrap_or_default()
            }
            Asked::All | Asked::Pending => range(&self.by_start),
        }
    }

    /// The records whose content expires with this step of the clock or an earlier one, and is
    /// there.
    pub(super) fn expired(&self, tick: u64) -> Vec<usize> {
        let most = usize::try_from(self.scale.persons).unwrap_or(usize::MAX);
        let due = |kept: &Kept| kept.content && kept.record.expires.is_some_and(|at| at <= tick);
        let over = self.records.iter().enumerate().take(most);
        over.filter(|(_, kept)| due(kept)).map(|(at, _)| at).collect()
    }

    /// How many bytes of personal data are there: by the ten fields of the original, and by the one
    /// that it counts as data.
    pub(super) fn personal(&self) -> (u64, u64) {
        let standing = |kept: &Kept| {
            let person = usize::try_from(kept.record.person).ok();
            person.and_then(|at| self.persons.get(at)).map(|person| person.standing)
        };
        let there = |kept: &&Kept| kept.content && standing(kept) != Some(Standing::Erased);
        let there = self.records.iter().filter(there);
        there.fold((0, 0), |(all, data), kept| (all + kept.record.size(), data + 100))
    }
}

/// What a page is asked for by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked {
    All,
    /// PUR.
    Purpose(u64),
    /// DEC: what no machine has decided.
    Pending,
}

impl Asked {
    fn fits(self, kept: Option<&Kept>) -> bool {
        match self {
            Self::All => true,
            Self::Purpose(purpose) => kept.is_some_and(|kept| kept.record.purpose == purpose),
            Self::Pending => kept.is_some_and(|kept| kept.status == "pending"),
        }
    }
}

fn place<T>(things: &mut [T], number: u64) -> Option<&mut T> {
    things.get_mut(usize::try_from(number).ok()?)
}
