//! A seeded simulation: random commands, faults and restarts against the real store, and after
//! each a look whether the hotel is what it must be.
//!
//! A model folds the same entries by a complete book. Before each command it says what the store
//! must answer: the same events or the same refusal. No room is ever held beyond its capacity, a
//! fold of all entries gives the model's book again, read models rebuilt are the live ones, the
//! audit finds nothing, what is live opens with its own text, what is erased does not, and
//! nobody's text stands in any file. A failure prints the seed.

mod model;
mod wishes;

use std::collections::BTreeMap;
use std::io::Write;
use std::{env, thread};

use domain::booking::BookingCommand;
use domain::person::PersonRefusal;
use domain::{Actor, Book, Command, Event, Handle, Position, Refusal};
use eventstore::ledger::codec::Entry;
use eventstore::{Append, AppendError, Appended, Idempotency, PersonId, PersonState, SealAt};
use jiff::Timestamp;
use rusqlite::Connection;

use crate::hotel::{Hotel, MARK};
use model::Model;

const STEPS: u32 = 250;

type Answer = tokio::sync::oneshot::Receiver<Result<Appended, AppendError>>;

/// A command ready to be appended, and what the model needs to know of it.
struct Wish {
    /// Until it is handed in.
    append: Option<Append>,
    command: Command,
    actor: Actor,
    booker: Option<PersonId>,
    /// What its seals will hold, in the order of the entries and of the seals in each.
    texts: Vec<String>,
}

impl Wish {
    fn new(append: Append, texts: Vec<String>) -> Self {
        let (command, actor) = (append.command.clone(), append.actor);
        Self { append: Some(append), command, actor, booker: None, texts }
    }

    /// Whether this asks for the booking in which this is the first part.
    fn brings(&self, handle: Handle) -> bool {
        let Command::Booking(BookingCommand::Request(request)) = &self.command else {
            return false;
        };
        request.parts[0].handle == handle
    }
}

struct Simulation {
    seed: u64,
    random: fastrand::Rng,
    hotel: Hotel,
    model: Model,
    persons: Vec<PersonId>,
    /// How many texts were made up.
    said: u64,
    log: Vec<String>,
}

impl Drop for Simulation {
    fn drop(&mut self) {
        if thread::panicking() {
            let last = self.log[self.log.len().saturating_sub(12)..].join("\n");
            let seed = self.seed;
            drop(writeln!(std::io::stderr(), "seed {seed}; the last of what was done:\n{last}"));
        }
    }
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let (hotel, random) = (Hotel::open(seed, &[1, 2, 3]), fastrand::Rng::with_seed(seed));
        let (model, persons, log) = (Model::default(), Vec::new(), Vec::new());
        let mut simulation = Self { seed, random, hotel, model, persons, said: 0, log };
        let furniture = simulation.hotel.tenant().log().size();
        simulation.take_in(&[], usize::try_from(furniture).unwrap());
        simulation
    }

    /// How much happened: the number of bookings or persons, whichever is smaller.
    fn run(mut self, steps: u32) -> usize {
        for step in 1..=steps {
            self.hotel.pass(self.random.i64(0..3 * 3600));
            match self.random.u8(0..100) {
                0..75 => self.act(),
                75..80 => self.erase(),
                80..84 => self.burst(),
                84..88 => self.repeat(),
                88..92 => self.failing(),
                92..95 => self.say("reopen", |simulation| simulation.hotel.reopen()),
                95..98 => self.say("crash", |simulation| simulation.hotel.crash()),
                _ => self.crash_in_a_burst(),
            }
            assert_eq!(self.hotel.tenant().log().size(), self.model.next().0);
            if step % 10 == 0 || step == steps {
                self.look();
            }
        }
        self.model.bookings.len().min(self.persons.len())
    }

    fn say(&mut self, what: &str, act: impl FnOnce(&mut Self)) {
        self.log.push(what.to_owned());
        act(self);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.hotel.now()).unwrap()
    }

    /// One wish; the store answers as the model says.
    fn act(&mut self) {
        let Some(mut wish) = self.wish() else { return };
        let expected = self.expected(&wish);
        self.log.push(format!("{:?} -> {expected:?}", wish.command));
        let answered = self.hotel.append(wish.append.take().unwrap());
        self.compare(answered, expected, &wish.texts);
    }

    fn expected(&self, wish: &Wish) -> Result<Vec<Event>, Refusal> {
        let drafts = self.model.decide(&wish.command, self.now(), wish.actor, wish.booker)?;
        Ok(drafts.into_iter().map(|draft| draft.event).collect())
    }

    fn compare(
        &mut self,
        answered: Result<Appended, AppendError>,
        expected: Result<Vec<Event>, Refusal>,
        texts: &[String],
    ) {
        match (answered, expected) {
            (Ok(appended), Ok(events)) => {
                assert_eq!(appended.first, self.model.next());
                assert_eq!(appended.count as usize, events.len());
                let taken = self.take_in(texts, events.len());
                assert_eq!(taken, events);
            }
            (Err(AppendError::Refused(refused)), Err(expected)) => assert_eq!(refused, expected),
            (answered, expected) => panic!("{answered:?}, but {expected:?}"),
        }
    }

    /// Takes the next entries into the model.
    fn take_in(&mut self, texts: &[String], count: usize) -> Vec<Event> {
        let entries = self.new_entries(count);
        let mut texts = texts;
        let mut events = Vec::new();
        for Entry { recorded, tags, .. } in entries {
            let handles: Vec<Handle> =
                recorded.event.seals().iter().map(|seal| seal.handle).collect();
            let whose = self.hotel.tenant().keyring().persons_of(&handles).unwrap();
            let (own, rest) = texts.split_at(handles.len());
            texts = rest;
            assert_eq!(self.model.book.tags(&recorded.event), tags);
            self.model.take(&recorded.event, &tags, own, &whose);
            if let Event::PersonRegistered(event) = &recorded.event {
                self.persons.push(whose[&event.contact.handle]);
            }
            events.push(recorded.event);
        }
        events
    }

    /// Entries that the model does not know yet.
    fn new_entries(&self, count: usize) -> Vec<Entry> {
        let entries = self.hotel.tenant().log().entries(self.model.next(), count).unwrap();
        entries.iter().map(|entry| entry.decode().unwrap()).collect()
    }

    /// Somebody is erased, if their bookings allow it; sometimes a crash comes right after the
    /// fence.
    fn erase(&mut self) {
        let Some(person) = self.random.choice(&self.persons).copied() else { return };
        let open = self.model.open_bookings(person, self.now());
        let (erased, ending) = (self.model.is_erased(person), self.model.ending(person));
        let held = self.model.is_held(person);
        self.log.push(format!("erase {person:?}: erased {erased}, {open} open bookings"));
        match self.hotel.wait(self.hotel.tenant().ledger.erase(person)) {
            Ok(erasure) => {
                assert!(!erased && !held && open == 0);
                assert_eq!((erasure.fence, erasure.ended), (self.model.next(), ending));
                if self.random.bool() {
                    self.hotel.wait(erasure.cleared).unwrap().unwrap();
                } else {
                    self.say("crash behind the fence", |simulation| simulation.hotel.crash());
                    self.hotel.let_erasures_end();
                }
                let events = self.take_in(&[], 1);
                let [Event::PersonErased(event)] = events.as_slice() else { panic!("{events:?}") };
                assert_eq!(event.ended, ending);
                self.model.erased(person);
            }
            Err(AppendError::OpenBookings(number)) => {
                assert_eq!((erased, held, number), (false, false, open));
            }
            Err(AppendError::Refused(Refusal::Person(PersonRefusal::Held))) => assert!(held),
            Err(AppendError::Refused(Refusal::Person(PersonRefusal::Erased))) => assert!(erased),
            Err(error) => panic!("{error}"),
        }
    }

    /// Several want the same room at once. What is granted follows the model in its order; what is
    /// refused would be refused behind all that.
    fn burst(&mut self) {
        let wishes = self.rivals();
        self.log.push(format!("{} at once", wishes.len()));
        let mut granted = BTreeMap::new();
        let mut refused = Vec::new();
        for (wish, answer) in self.hand_in(wishes) {
            match answer.blocking_recv().unwrap() {
                Ok(appended) => drop(granted.insert(appended.first, wish)),
                Err(AppendError::Refused(_)) => refused.push(wish),
                Err(error) => panic!("{error}"),
            }
        }
        for (first, wish) in granted {
            assert_eq!(first, self.model.next());
            self.take_in_as_expected(&wish);
        }
        for wish in refused {
            assert!(self.expected(&wish).is_err());
        }
    }

    /// The program ends while several commands are under way. What of them is there fits the
    /// model; nobody had heard of the others.
    fn crash_in_a_burst(&mut self) {
        let wishes = self.rivals();
        self.log.push(format!("crash in {} at once", wishes.len()));
        let wishes = self.hand_in(wishes);
        let files = self.hotel.copy();
        self.hotel.go_on_with(files);
        for entry in self.new_entries(usize::MAX >> 1) {
            // Rivals have nothing else that tells them apart.
            let handle = entry.recorded.event.seals()[0].handle;
            let (wish, _) = wishes.iter().find(|(wish, _)| wish.brings(handle)).unwrap();
            self.take_in_as_expected(wish);
        }
    }

    fn hand_in(&self, wishes: Vec<Wish>) -> Vec<(Wish, Answer)> {
        let ledger = &self.hotel.tenant().ledger;
        let handed_in = wishes.into_iter().map(|mut wish| {
            let append = wish.append.take().unwrap();
            (wish, ledger.hand_in(append).unwrap())
        });
        handed_in.collect()
    }

    fn take_in_as_expected(&mut self, wish: &Wish) {
        let expected = self.expected(wish).unwrap();
        assert_eq!(self.take_in(&wish.texts, expected.len()), expected);
    }

    /// A request comes again with its key: answered as before, also after a restart.
    fn repeat(&mut self) {
        let Some(mut wish) = self.request() else { return };
        self.log.push(format!("{:?}, with a key", wish.command));
        let key = self.random.u128(..).to_be_bytes().repeat(2).try_into().unwrap();
        let keyed = Idempotency { key, body: [1; 32] };
        let expected = self.expected(&wish);
        let append = Append { idempotency: Some(keyed), ..wish.append.take().unwrap() };
        let answered = self.hotel.append(append);
        let before = answered.as_ref().ok().cloned();
        self.compare(answered, expected, &wish.texts);
        let Some(before) = before else { return };
        match self.random.u8(0..3) {
            0 => self.hotel.reopen(),
            1 => self.hotel.crash(),
            _ => (),
        }
        let again = |body| {
            let mut append = Append::new(wish.command.clone(), wish.actor);
            append.idempotency = Some(Idempotency { key, body: [body; 32] });
            self.hotel.append(append)
        };
        assert_eq!(again(1).unwrap(), Appended { repeated: true, ..before });
        assert!(matches!(again(2), Err(AppendError::KeyReused)));
    }

    /// The disk does not take a commit: nobody is told of success, and nothing has happened.
    fn failing(&mut self) {
        let conn = Connection::open(self.hotel.ledger_file()).unwrap();
        let when = *self.random.choice(&["INSERT ON entry", "UPDATE ON head"]).unwrap();
        let broken = "SELECT RAISE(ABORT, 'the disk is full')";
        let sql = format!("CREATE TRIGGER broken BEFORE {when} BEGIN {broken}; END");
        conn.execute_batch(&sql).unwrap();
        if let Some(mut wish) = self.wish() {
            self.log.push(format!("failing: {:?}", wish.command));
            let expected = self.expected(&wish);
            match self.hotel.append(wish.append.take().unwrap()) {
                Err(AppendError::Commit(_)) => assert!(expected.is_ok()),
                answered => self.compare(answered, expected, &wish.texts),
            }
        }
        if let Some(person) = self.random.choice(&self.persons).copied()
            && !self.model.is_erased(person)
        {
            let failed = self.hotel.wait(self.hotel.tenant().ledger.erase(person)).unwrap_err();
            let open = self.model.open_bookings(person, self.now());
            let is_it = open == 0 && !self.model.is_held(person);
            assert_eq!(matches!(failed, AppendError::Commit(_)), is_it, "{failed}");
            let restricted = self.model.is_restricted(person);
            let stands = if restricted { PersonState::Restricted } else { PersonState::Live };
            assert_eq!(self.hotel.state(person), stands);
        }
        conn.execute_batch("DROP TRIGGER broken").unwrap();
    }

    /// The whole look.
    fn look(&self) {
        self.hotel.assert_sound();
        let mut replayed = Book::default();
        for entry in self.hotel.tenant().log().entries(Position(0), 100_000).unwrap() {
            let entry = entry.decode().unwrap();
            replayed.apply_next(&entry.recorded.event, &entry.tags);
        }
        assert_eq!(format!("{replayed:?}"), format!("{:?}", self.model.book));
        let (seals, texts): (Vec<SealAt>, Vec<&str>) = self.model.said().unzip();
        assert_eq!(self.hotel.read(&seals), texts);
        assert_eq!(self.hotel.found_in_files(&[MARK]), []);
    }
}

#[test]
fn a_hotel_in_an_ordinary_year() {
    assert!(Simulation::new(1).run(STEPS) > 15);
}

#[test]
fn a_hotel_in_a_bad_year() {
    assert!(Simulation::new(2).run(STEPS) > 15);
}

#[test]
fn a_hotel_in_a_worse_year() {
    assert!(Simulation::new(3).run(STEPS) > 15);
}

/// For a search: as many years as are asked for, from this one on.
#[test]
fn a_hotel_in_years_that_somebody_asks_for() {
    let Some(years) = env::var_os("TIDBOK_SIMULATE") else { return };
    let years = years.into_string().unwrap();
    let (first, last) = years.split_once("..").unwrap();
    for seed in first.parse().unwrap()..last.parse().unwrap() {
        // A quiet year is no fault.
        Simulation::new(seed).run(STEPS);
    }
}
