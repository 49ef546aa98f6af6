//! The two indexes are written late. After a crash at any moment they are what the entries say,
//! and an erased person's rows never come back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use std::{fs, thread};

use domain::booking::{Change, Reason, Side};
use domain::{Handle, Position, Tag};
use eventstore::{PersonId, PersonState};
use gateway::intake::Who;
use rusqlite::Connection;

use crate::hotel::{Guest, Hotel, MARK, NOON, copy_files, slot};

/// A hotel with these bookings: each a room, an hour and the guests by number. Whoever comes for
/// the first time is registered.
fn hotel_with(bookings: &[(usize, i64, &[usize])]) -> (Hotel, Vec<PersonId>) {
    let hotel = Hotel::open(3, &[1, 2]);
    let mut persons: Vec<PersonId> = Vec::new();
    for (room, hour, guests) in bookings {
        let names: Vec<String> = guests.iter().map(|guest| format!("{MARK}{guest}")).collect();
        let known = |guest: &usize| persons.get(*guest).map_or(Who::New, |id| Who::Known(*id));
        let guests: Vec<Guest<'_>> = guests
            .iter()
            .zip(&names)
            .map(|(guest, name)| Guest { who: known(guest), name, note: name })
            .collect();
        let new = guests.iter().filter(|guest| guest.who == Who::New).count();
        let (_, first) = hotel.book(*room, NOON + hour * 3600, &guests);
        persons.extend((0..new as u64).map(|n| hotel.person_at(Position(first.0 + n))));
    }
    (hotel, persons)
}

/// Three guests, a cancellation and a move; all of it over by now.
fn lively() -> (Hotel, Vec<PersonId>) {
    let (hotel, persons) =
        hotel_with(&[(0, 1, &[0]), (1, 1, &[0, 1]), (1, 4, &[1, 2]), (0, 30, &[2]), (0, 50, &[0])]);
    let bookings: Vec<_> = bookings(&hotel);
    let cancel = Change::Cancel { by: Side::Staff, reason: Reason::Other, note: None, fence: None };
    hotel.change(bookings[1], cancel).unwrap();
    let moved = Change::Reschedule { slot: slot(NOON + 60 * 3600, 2), wanted: None };
    hotel.change(bookings[3], moved).unwrap();
    hotel.pass(100 * 3600);
    (hotel, persons)
}

fn bookings(hotel: &Hotel) -> Vec<domain::BookingId> {
    let entries = hotel.tenant().log().entries(Position(0), 10_000).unwrap();
    let requested = entries.iter().filter(|entry| {
        matches!(entry.decode().unwrap().recorded.event, domain::Event::BookingRequested(_))
    });
    requested.map(|entry| domain::BookingId(entry.position.0)).collect()
}

/// That both indexes answer as the entries and links do.
#[track_caller]
fn assert_index_is_of_entries(hotel: &Hotel) {
    let log = hotel.tenant().log();
    let mut by_tag: BTreeMap<Tag, BTreeSet<Position>> = BTreeMap::new();
    let mut handles: BTreeSet<Handle> = BTreeSet::new();
    for entry in log.entries(Position(0), 100_000).unwrap() {
        let decoded = entry.decode().unwrap();
        for tag in decoded.tags {
            by_tag.entry(tag).or_default().insert(entry.position);
        }
        handles.extend(decoded.recorded.event.seals().iter().map(|seal| seal.handle));
    }
    for (tag, positions) in by_tag {
        let found: BTreeSet<Position> = log.positions(tag).unwrap().into_iter().collect();
        assert_eq!(found, positions, "{tag:?}");
    }
    let handles: Vec<Handle> = handles.into_iter().collect();
    let mut by_person: BTreeMap<PersonId, Vec<Handle>> = BTreeMap::new();
    for (handle, person) in hotel.tenant().keyring().persons_of(&handles).unwrap() {
        by_person.entry(person).or_default().push(handle);
    }
    for person in hotel.tenant().keyring().page(PersonId(0), 10_000).unwrap() {
        let linked = by_person.remove(&person.id).unwrap_or_default();
        let indexed = hotel.tenant().keyring().handles_of(person.id).unwrap();
        assert_eq!(indexed, linked, "{:?}", person.id);
    }
}

/// How many rows of somebody are stored.
fn stored_rows(file: &Path, person: PersonId) -> i64 {
    let conn = Connection::open(file).unwrap();
    let count = "SELECT count(*) FROM person_tag WHERE person = ?1";
    conn.query_row(count, [person.0.cast_signed()], |row| row.get(0)).unwrap()
}

#[test]
fn after_a_crash_the_index_is_made_again_from_the_entries() {
    if system_tests::on_postgres() {
        return; // It works on the file itself.
    }
    let (mut hotel, persons) = lively();
    assert_eq!(stored_rows(&hotel.ledger_file(), persons[0]), 0, "the rows are in memory only");
    hotel.crash();
    assert_index_is_of_entries(&hotel);
    hotel.assert_sound();
    hotel.reopen();
    assert!(stored_rows(&hotel.ledger_file(), persons[0]) > 0, "a good end stores the rows");
    assert_index_is_of_entries(&hotel);
    hotel.assert_sound();
}

#[test]
fn rows_of_an_erased_person_never_come_back() {
    if system_tests::on_postgres() {
        return; // It works on the file itself.
    }
    let (mut hotel, persons) = lively();
    hotel.erase(persons[0]);
    let gone = |hotel: &Hotel| {
        assert_eq!(stored_rows(&hotel.ledger_file(), persons[0]), 0);
        assert_eq!(hotel.tenant().keyring().handles_of(persons[0]).unwrap(), []);
        assert_index_is_of_entries(hotel);
        hotel.assert_sound();
    };
    gone(&hotel);
    hotel.crash();
    gone(&hotel);
    hotel.reopen();
    gone(&hotel);
    hotel.close();
    assert_eq!(stored_rows(&hotel.ledger_file(), persons[0]), 0);
}

/// A crash cuts the write-ahead log off after some commit. Whichever it was, the next start ends
/// the erasure or knows nothing of it, and nobody else notices.
#[test]
fn an_erasure_cut_off_after_any_commit_is_whole_or_not_begun() {
    if system_tests::on_postgres() {
        return; // It works on the file itself.
    }
    let (mut hotel, persons) = lively();
    hotel.crash();
    let keys_before = tempfile::tempdir().unwrap();
    copy_files(&hotel.keys(), keys_before.path());
    let lengths = wal_while(&hotel, |hotel| {
        let erasure = hotel.wait(hotel.tenant().ledger.erase(persons[1])).unwrap();
        // Only the reader that keeps the log holds its end up.
        let info = || hotel.tenant().keyring().info(persons[1]).unwrap().unwrap();
        while info().registration.is_some() {
            thread::sleep(Duration::from_millis(5));
        }
        drop(erasure.cleared);
    });
    assert!(lengths.cuts.len() >= 3, "a fence, and at least one step of clearing");
    for (commits, length) in lengths.cuts.iter().enumerate() {
        // The key store is told after the fence is committed, or the crash came before that.
        for marked in [false, true].into_iter().filter(|marked| commits > 0 || !marked) {
            let files = tempfile::tempdir().unwrap();
            copy_files(lengths.files.path(), &files.path().join("data"));
            let wal = files.path().join("data/tenants/hotel/ledger.sqlite-wal");
            fs::OpenOptions::new().write(true).open(wal).unwrap().set_len(*length).unwrap();
            let keys = if marked { hotel.keys() } else { keys_before.path().to_owned() };
            copy_files(&keys, &files.path().join("data.keys"));
            let cut = hotel.on(files);
            cut.let_erasures_end();
            let place = format!("after {commits} commits, marked: {marked}");
            let erased = if commits == 0 { PersonState::Live } else { PersonState::Erased };
            assert_eq!(cut.state(persons[1]), erased, "{place}");
            assert_eq!(cut.state(persons[0]), PersonState::Live, "{place}");
            let handles = cut.tenant().keyring().handles_of(persons[1]).unwrap();
            assert_eq!(handles.is_empty(), commits > 0, "{place}");
            assert_index_is_of_entries(&cut);
            cut.assert_sound();
        }
    }
}

/// The files after something, and the lengths of the write-ahead log after each of its commits.
pub(crate) struct Wal {
    pub files: tempfile::TempDir,
    pub cuts: Vec<u64>,
}

pub(crate) fn wal_while(hotel: &Hotel, act: impl FnOnce(&Hotel)) -> Wal {
    // Folded back before, so that all frames found afterwards are of the act; kept by a reader.
    let conn = Connection::open(hotel.ledger_file()).unwrap();
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    conn.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema").unwrap();
    act(hotel);
    let files = tempfile::tempdir().unwrap();
    copy_files(&hotel.data(), files.path());
    drop(conn);
    let wal = fs::read(files.path().join("tenants/hotel/ledger.sqlite-wal")).unwrap();
    Wal { cuts: commits(&wal), files }
}

/// Where in a write-ahead log a transaction ends (the file format of SQLite, section 4.1).
fn commits(wal: &[u8]) -> Vec<u64> {
    let number = |at: usize| u32::from_be_bytes(wal[at..at + 4].try_into().unwrap());
    let frame = 24 + number(8) as usize;
    let starts = (32..).step_by(frame).take_while(|start| start + frame <= wal.len());
    let of_this_log = starts.take_while(|start| wal[start + 8..start + 16] == wal[16..24]);
    let ends = of_this_log.filter(|start| number(start + 4) > 0);
    // Nothing but the header is a log without commits.
    [32].into_iter().chain(ends.map(|start| (start + frame) as u64)).collect()
}
