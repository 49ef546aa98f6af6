//! Replaying a ledger page by page, with the next page read ahead.

use domain::book::Command;
use domain::booking::Change;
use domain::catalogue::CatalogueCommand;
use domain::ledger::ReadPurpose;
use domain::{Position, RetentionClass};
use eventstore::Append;
use eventstore::ledger::replay::{Page, Replay};
use gateway::intake::Who;

use crate::hotel::{Guest, Hotel, MARK, NOON, staff, text};

const ALL: std::ops::Range<Position> = Position(0)..Position(u64::MAX);

/// A hotel with two guests, each with a booking that is over; and where each was registered.
fn hotel() -> (Hotel, [(domain::BookingId, Position); 2]) {
    let hotel = Hotel::open(41, &[3]);
    let book = |number: i64| {
        let name = format!("{MARK}{number}");
        let guest = Guest { who: Who::New, name: &name, note: &name };
        hotel.book(0, NOON + number * 3600, &[guest])
    };
    let both = [book(1), book(2)];
    hotel.pass(24 * 3600);
    (hotel, both)
}

fn open(hotel: &Hotel, page: &mut Page) -> Vec<String> {
    let reader = staff().actor;
    let ticket =
        hotel.tenant().disclose(reader, ReadPurpose::Bookkeeping, &RetentionClass::ALL, &[]);
    let ticket = hotel.wait(ticket).unwrap();
    page.open(hotel.tenant().keyring(), &ticket).unwrap().iter().map(text).collect()
}

#[test]
fn a_replay_has_every_entry_and_opens_every_seal_in_order() {
    let (hotel, _) = hotel();
    let log = hotel.tenant().log();
    let mut pages: Vec<Page> = Replay::with_seals(log, ALL).unwrap().map(Result::unwrap).collect();
    let entries = pages.iter().flat_map(|page| &page.entries).map(|(stored, _)| stored.clone());
    assert_eq!(entries.collect::<Vec<_>>(), log.entries(Position(0), 100_000).unwrap());
    let seals: Vec<_> = pages.iter().flat_map(|page| page.seals.clone()).collect();
    let opened: Vec<String> = pages.iter_mut().flat_map(|page| open(&hotel, page)).collect();
    assert_eq!(opened, hotel.read(&seals));
    assert!(opened.contains(&format!("{MARK}1")) && opened.contains(&format!("{MARK}2")));
    let part = Replay::of(log, Position(3)..Position(5)).unwrap();
    let part: Vec<_> = part.flat_map(|page| page.unwrap().entries).collect();
    assert_eq!(part.iter().map(|(stored, _)| stored.position.0).collect::<Vec<_>>(), [3, 4]);
}

/// Threads that take turns read them; nobody who replays sees which.
#[test]
fn a_long_replay_has_its_pages_in_order() {
    let hotel = Hotel::open(43, &[]);
    let group = |number| CatalogueCommand::DefineGroup { name: format!("Hall {number}") };
    let hand_in = |number| {
        let append = Append::new(Command::Catalogue(group(number)), staff().actor);
        hotel.tenant().ledger.hand_in(append).unwrap()
    };
    let answers: Vec<_> = (0..9000).map(hand_in).collect();
    for answer in answers {
        answer.blocking_recv().unwrap().unwrap();
    }
    let size = hotel.tenant().log().size();
    for from in [0, 1, size - 4001, size - 1, size, size + 1] {
        let pages = Replay::of(hotel.tenant().log(), Position(from)..Position(u64::MAX)).unwrap();
        let positions = pages.flat_map(|page| page.unwrap().entries).map(|(at, _)| at.position.0);
        assert!(positions.eq(from..size), "from {from}");
    }
}

/// What was read ahead is as old as the page that is being used.
#[test]
fn what_was_read_ahead_opens_nothing_that_has_ended_since() {
    let (hotel, [(first, _), (_, registered)]) = hotel();
    let read_ahead = || Replay::with_seals(hotel.tenant().log(), ALL).unwrap().next();
    let of = |number: u32, opened: &[String]| {
        opened.iter().filter(|said| **said == format!("{MARK}{number}")).count()
    };
    let mut page = read_ahead().unwrap().unwrap();
    hotel.change(first, Change::EraseContent).unwrap();
    let opened = open(&hotel, &mut page);
    // The contact of the one, and what is kept of their booking for the books; all of the other.
    assert_eq!((of(1, &opened), of(2, &opened)), (2, 4), "{opened:?}");
    let mut page = read_ahead().unwrap().unwrap();
    hotel.erase(hotel.person_at(registered));
    let opened = open(&hotel, &mut page);
    assert_eq!((of(1, &opened), of(2, &opened)), (2, 1), "{opened:?}");
    hotel.assert_sound();
}
