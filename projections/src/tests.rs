//! Facts about the folds as a whole. Entries come from the book's own decisions, so that what is
//! folded here is what a ledger holds.

mod story;

use domain::booking::{Change, Reason, Side, Status};
use domain::consent::{ConsentCommand, Occasion, Withdrawn};
use domain::{BookingId, Command, ConsentId, Handle, Position};
use jiff::civil::date;
use serde_json::json;

use crate::{
    BookingFilter, FoldError, Hashes, ProjectionError, ReadModels, Reader, Rebuild, SealAt,
    StatFacet, nested,
};
use story::{Story, at};

fn folded(story: &Story, batch: usize) -> Reader {
    let mut models = ReadModels::in_memory().unwrap();
    for feed in story.feeds().chunks(batch) {
        models.apply(feed).unwrap();
    }
    models.into_reader().unwrap()
}

fn hashes(story: &Story, batch: usize) -> Hashes {
    folded(story, batch).hashes().unwrap()
}

fn outcomes(reader: &Reader) -> serde_json::Value {
    let by = [StatFacet::Outcome];
    nested(&by, &reader.statistics().counts(&by, None).unwrap())
}

#[test]
fn batches_of_any_size_give_the_same_rows() {
    let story = Story::varied(40);
    let whole = hashes(&story, usize::MAX);
    assert_eq!(whole.len(), crate::MODELS.len());
    assert_eq!(hashes(&story, 1), whole);
    assert_eq!(hashes(&story, 7), whole);
}

#[test]
fn other_entries_give_other_hashes() {
    let (few, more) = (hashes(&Story::varied(4), 9), hashes(&Story::varied(5), 9));
    assert_ne!(few["bookings"], more["bookings"]);
    assert_ne!(few["statistics"], more["statistics"]);
    assert_eq!(few["catalogue"], more["catalogue"]);
}

#[test]
fn a_rebuild_equals_the_live_file_and_takes_its_place_under_open_readers() {
    let story = Story::varied(30);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.sqlite");
    let mut live = ReadModels::open(&path).unwrap();
    let feeds = story.feeds();
    feeds.chunks(3).for_each(|feed| live.apply(feed).unwrap());
    let reader = live.reader().unwrap();
    let before = reader.hashes().unwrap();

    let mut rebuild = Rebuild::begin(&path).unwrap();
    feeds.chunks(50).for_each(|feed| rebuild.apply(feed).unwrap());
    assert_eq!(rebuild.finish().unwrap(), before);

    assert_eq!(reader.hashes().unwrap(), before);
    assert_eq!(reader.position().unwrap(), story.book.next);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 3, "the file, its log and its index");
}

#[test]
fn the_live_side_goes_on_after_a_rebuild_that_lags() {
    let story = Story::varied(10);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.sqlite");
    let mut live = ReadModels::open(&path).unwrap();
    let feeds = story.feeds();
    live.apply(&feeds[..20]).unwrap();
    let mut rebuild = Rebuild::begin(&path).unwrap();
    rebuild.apply(&feeds[..10]).unwrap();
    rebuild.finish().unwrap();

    let gap = live.apply(&feeds[20..]).unwrap_err();
    assert!(matches!(gap, ProjectionError::Gap { expected: Position(10), .. }));
    live.apply(&feeds[10..]).unwrap();
    assert_eq!(live.into_reader().unwrap().hashes().unwrap(), hashes(&story, 5));
}

#[test]
fn a_file_of_other_versions_is_rebuilt_and_not_patched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.sqlite");
    drop(ReadModels::open(&path).unwrap());
    let older = rusqlite::Connection::open(&path).unwrap();
    older.execute("UPDATE projection SET name = 'bookings.v0' WHERE name LIKE 'b%'", []).unwrap();
    drop(older);

    let story = Story::varied(2);
    let mut live = ReadModels::open(&path).unwrap();
    assert!(live.needs_rebuild());
    assert!(matches!(live.apply(&story.feeds()), Err(ProjectionError::NeedsRebuild)));
    assert!(matches!(live.reader(), Err(ProjectionError::NeedsRebuild)));
    drop(live);
    let mut rebuild = Rebuild::begin(&path).unwrap();
    rebuild.apply(&story.feeds()).unwrap();
    rebuild.finish().unwrap();
    assert!(!ReadModels::open(&path).unwrap().needs_rebuild());
}

#[test]
fn a_file_that_is_no_database_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.sqlite");
    std::fs::write(&path, [7; 9000]).unwrap();
    assert!(ReadModels::open(&path).is_err());
    let story = Story::varied(2);
    let mut rebuild = Rebuild::begin(&path).unwrap();
    rebuild.apply(&story.feeds()).unwrap();
    rebuild.finish().unwrap();
    assert_eq!(ReadModels::open(&path).unwrap().next(), story.book.next);
}

#[test]
fn a_gap_is_refused_and_nothing_is_folded() {
    let story = Story::varied(2);
    let mut models = ReadModels::in_memory().unwrap();
    let mut feeds = story.feeds();
    models.apply(&feeds[..2]).unwrap();
    feeds.remove(3);
    let gap = models.apply(&feeds[2..]).unwrap_err();
    assert!(matches!(gap, ProjectionError::Gap { expected: Position(3), found: Position(4) }));
    assert_eq!(models.next(), Position(2));
}

#[test]
fn an_entry_that_comes_twice_is_refused() {
    let story = Story::varied(1);
    let mut models = ReadModels::in_memory().unwrap();
    models.apply(&story.feeds()[..2]).unwrap();
    let again = models.apply(&story.feeds()[1..]).unwrap_err();
    assert!(matches!(again, ProjectionError::Gap { expected: Position(2), found: Position(1) }));
}

#[test]
fn the_checkpoint_is_the_last_position_and_its_leaf() {
    let story = Story::varied(1);
    let mut models = ReadModels::in_memory().unwrap();
    assert_eq!(models.checkpoint(), None);
    models.apply(&story.feeds()[..3]).unwrap();
    assert_eq!(models.checkpoint(), Some((Position(2), story::leaf(2))));
}

/// Entries of which one takes back a consent that nobody gave, and one that was taken back.
fn with_a_stray_withdrawal() -> (Story, Position) {
    let mut story = Story::varied(6);
    let stray = story.book.next;
    let withdrawn = Withdrawn {
        consent: ConsentId(999_999),
        medium: domain::consent::Medium::Email,
        occasion: Occasion::Link,
        purpose: domain::consent::Purpose::Offers,
    };
    story.push(withdrawn.into(), at("2026-11-01T00:00:00Z"));
    story.book(20, 1);
    story.consent(5000);
    (story, stray)
}

#[test]
fn a_projection_that_cannot_take_an_entry_stops_and_the_others_go_on() {
    let (story, stray) = with_a_stray_withdrawal();
    let mut models = ReadModels::in_memory().unwrap();
    models.apply(&story.feeds()).unwrap();

    let expected = FoldError::Unknown { what: "consent", id: 999_999 }.to_string();
    for status in models.status() {
        if status.name == "consents.v1" {
            assert_eq!((status.next, status.error.as_deref()), (stray, Some(expected.as_str())));
        } else {
            assert_eq!((status.next, status.error.as_deref()), (story.book.next, None));
        }
    }
    assert_eq!(models.next(), story.book.next, "the live ones need no old entry again");
}

#[test]
fn what_was_good_before_the_stop_stays() {
    let (story, _) = with_a_stray_withdrawal();
    let (whole, single) = (folded(&story, usize::MAX), folded(&story, 1));
    assert_eq!(whole.hashes().unwrap(), single.hashes().unwrap());
    assert_eq!(whole.status().unwrap(), single.status().unwrap());
    let given = whole.consents().of_handles(&[story::consent_handle(0)]).unwrap();
    assert_eq!(given.len(), 1);
    assert!(whole.consents().of_handles(&[Handle(5000)]).unwrap().is_empty());
}

#[test]
fn a_stopped_projection_tries_again_only_when_told_and_the_others_fold_nothing_twice() {
    let (story, stray) = with_a_stray_withdrawal();
    let mut models = ReadModels::in_memory().unwrap();
    models.apply(&story.feeds()).unwrap();
    models.retry().unwrap();
    assert_eq!(models.next(), stray);
    models.apply(&story.feeds()[usize::try_from(stray.0).unwrap()..]).unwrap();
    assert_eq!(models.next(), story.book.next);
    assert_eq!(models.into_reader().unwrap().hashes().unwrap(), hashes(&story, 3));
}

#[test]
fn statistics_add_up_to_the_bookings() {
    let story = Story::varied(35);
    let reader = folded(&story, 8);
    let total = reader.statistics().counts(&[], None).unwrap();
    assert_eq!(total, [(vec![], 35)]);
    for facet in StatFacet::ALL {
        let counts = reader.statistics().counts(&[facet], None).unwrap();
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 35, "{facet}");
        assert!(counts.iter().all(|(values, count)| *count > 0 && values.len() == 1));
    }
}

#[test]
fn statistics_follow_a_booking_through_its_states() {
    let mut story = Story::opened();
    let booking = story.book(3, 2);
    assert_eq!(outcomes(&folded(&story, 9)), json!({"confirmed": 1}));
    story.change(booking, Change::Reschedule { slot: story::day_slot(9), wanted: None });
    story.change(booking, Change::CheckIn);
    assert_eq!(outcomes(&folded(&story, 9)), json!({"checked_in": 1}));
    story.change(booking, Change::Complete);
    let reader = folded(&story, 9);
    assert_eq!(outcomes(&reader), json!({"completed": 1}));
    let by = [StatFacet::Group, StatFacet::Day, StatFacet::Party];
    let nested = nested(&by, &reader.statistics().counts(&by, None).unwrap());
    assert_eq!(nested, json!({"House": {"2026-12-10": {"2": 1}}}));
}

#[test]
fn statistics_count_the_days_asked_for() {
    let mut story = Story::opened();
    (0..4).for_each(|day| _ = story.book(day, 1));
    let reader = folded(&story, 9);
    let days = date(2026, 12, 2)..=date(2026, 12, 3);
    assert_eq!(reader.statistics().counts(&[], Some(&days)).unwrap(), [(vec![], 2)]);
    let none = date(2020, 1, 1)..=date(2020, 1, 3);
    assert!(reader.statistics().counts(&[], Some(&none)).unwrap().is_empty());
}

#[test]
fn an_erasure_changes_no_statistic() {
    let mut story = Story::varied(20);
    let before = hashes(&story, 9)["statistics"].clone();
    story.erase();
    assert_eq!(hashes(&story, 9)["statistics"], before);
}

#[test]
fn a_booking_is_found_by_handle_with_its_seals() {
    let mut story = Story::opened();
    let booking = story.book(3, 1);
    let reader = folded(&story, 9);
    let handle = story.handle_of(booking);
    let rows = reader.bookings().of_handles(&[handle, Handle(77)]).unwrap();
    let [row] = rows.as_slice() else { panic!("one booking") };
    assert_eq!((row.id, row.version, row.status), (booking, 1, Status::Confirmed));
    let details = SealAt { position: Position(booking.0), seal: 0, handle };
    assert_eq!(row.parts[0].details, details);
    assert_eq!(reader.bookings().by_handle(handle).unwrap(), Some(booking));
    assert_eq!(reader.bookings().get(BookingId(1)).unwrap(), None);
}

#[test]
fn a_cancelled_booking_says_by_whom_and_frees_its_time() {
    let mut story = Story::opened();
    let booking = story.book(3, 1);
    let start = story::day_slot(3).start();
    assert_eq!(folded(&story, 9).occupancy().held_at(start).unwrap().len(), 1);
    let (by, reason) = (Side::Client, Reason::Illness);
    story.change(booking, Change::Cancel { by, reason, note: None, fence: None });
    let reader = folded(&story, 9);
    let row = reader.bookings().get(booking).unwrap().unwrap();
    let ended = row.cancelled.unwrap();
    assert_eq!((ended.by, ended.reason, row.version), (by, reason, 2));
    assert!(reader.occupancy().held_at(start).unwrap().is_empty());
}

#[test]
fn pages_meet_without_gap_or_repeat() {
    let story = Story::varied(25);
    let reader = folded(&story, 9);
    for resource in [None, Some(story.room)] {
        let mut filter = BookingFilter { resource, limit: 4, ..BookingFilter::default() };
        let mut seen = Vec::new();
        loop {
            let page = reader.bookings().page(&filter).unwrap();
            let Some(last) = page.last() else { break };
            filter.after = Some((last.start, last.id));
            seen.extend(page.iter().map(|row| (row.start, row.id)));
        }
        assert_eq!(seen.len(), 25);
        assert!(seen.is_sorted());
    }
}

#[test]
fn a_page_holds_only_what_was_asked_for() {
    let story = Story::varied(25);
    let reader = folded(&story, 9);
    let (from, to) = (story::day_slot(5).start(), story::day_slot(10).start());
    let status = Some(Status::Cancelled);
    let filter =
        BookingFilter { status, from: Some(from), to: Some(to), limit: 99, ..Default::default() };
    let rows = reader.bookings().page(&filter).unwrap();
    assert!(!rows.is_empty());
    assert!(rows.iter().all(|row| row.status == Status::Cancelled));
    assert!(rows.iter().all(|row| from <= row.start && row.start < to));
    let elsewhere = BookingFilter { group: Some(domain::GroupId(99)), ..filter };
    assert!(reader.bookings().page(&elsewhere).unwrap().is_empty());
}

#[test]
fn the_days_are_those_that_decisions_depend_on() {
    let story = Story::varied(25);
    let reader = folded(&story, 9);
    let days = reader.occupancy().days(story.room, date(2026, 11, 25)..=date(2027, 2, 5)).unwrap();
    for (date, day) in days {
        let decided = story.book.days.get(&(story.room, date)).cloned().unwrap_or_default();
        assert_eq!(day, decided, "{date}");
    }
}

#[test]
fn a_long_hold_is_seen_on_its_last_day_and_not_on_the_next() {
    let mut story = Story::opened();
    let slot = story::slot("2026-12-01T15:00:00Z", "2027-01-20T10:00:00Z");
    let booking = story.book_at(slot, 1);
    let days = date(2027, 1, 20)..=date(2027, 1, 21);
    let found = folded(&story, 9).occupancy().days(story.room, days).unwrap();
    assert_eq!(found.values().map(domain::booking::Day::len).collect::<Vec<_>>(), [1, 0]);
    let row = folded(&story, 9).bookings().get(booking).unwrap().unwrap();
    assert_eq!(row.end, slot.end());
}

#[test]
fn a_withdrawn_consent_says_since_when() {
    let mut story = Story::opened();
    let consent = story.consent(500);
    let withdraw = ConsentCommand::Withdraw { consent, occasion: Occasion::Link };
    story.wish(Command::Consent(withdraw));
    let reader = folded(&story, 9);
    let rows = reader.consents().of_handles(&[Handle(500)]).unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].is_withdrawn() && !rows[0].is_acceptance());
    assert_eq!(rows[0].evidence.position, Position(consent.0));
}

#[test]
fn a_client_is_found_by_the_newest_contact_seal_only() {
    let mut story = Story::opened();
    let registration = story.register(600);
    story.rectify(registration, 601);
    let reader = folded(&story, 9);
    assert!(reader.clients().of_handles(&[Handle(600)]).unwrap().is_empty());
    let found = reader.clients().of_handles(&[Handle(601)]).unwrap();
    assert_eq!((found[0].registration, found[0].version), (registration, 2));
    assert_eq!(found[0].contact.position, Position(story.book.next.0 - 1));
}

#[test]
fn erased_content_marks_its_booking() {
    let mut story = Story::opened();
    let booking = story.book(3, 1);
    story.change(booking, Change::Complete);
    story.change(booking, Change::EraseContent);
    let row = folded(&story, 9).bookings().get(booking).unwrap().unwrap();
    assert!(row.content_erased);
    assert_eq!((row.status, row.version), (Status::Completed, 3));
}

#[test]
fn every_booking_stands_where_the_book_has_it() {
    let story = Story::varied(30);
    let reader = folded(&story, 11);
    for (id, known) in story.book.bookings.iter() {
        let row = reader.bookings().get(*id).unwrap().unwrap();
        assert_eq!((row.status, row.version), (known.status, known.version));
        assert_eq!((row.start, row.end), (known.slot_start, known.slot_end));
        assert_eq!((row.held, row.facets), (known.held.clone(), known.facets));
    }
}

#[test]
fn the_catalogue_is_what_the_book_has() {
    let mut story = Story::varied(3);
    story.retire_service();
    let reader = folded(&story, 9);
    let catalogue = reader.catalogue();
    let room = catalogue.resource(story.room).unwrap().unwrap();
    assert_eq!(Some(&room.value), story.book.resources.get(&story.room));
    let service = catalogue.service(story.service).unwrap().unwrap();
    assert_eq!((service.retired, service.version), (true, 2));
    assert_eq!(catalogue.groups().unwrap()[0].value, "House");
    assert_eq!(catalogue.policy().unwrap(), Some((story.book.policy.clone(), 1)));
    assert_eq!((catalogue.resources().unwrap().len(), catalogue.services().unwrap().len()), (1, 1));
}

#[test]
fn what_had_not_occurred_yet_is_passed_over() {
    let mut story = Story::opened();
    story.book(1, 1);
    let until = story.entries.last().unwrap().occurred_at;
    story.book(2, 1);
    let mut models = ReadModels::in_memory_as_occurred(until).unwrap();
    models.apply(&story.feeds()).unwrap();
    assert_eq!(models.next(), story.book.next);
    let counts = models.into_reader().unwrap().statistics().counts(&[], None).unwrap();
    assert_eq!(counts, [(vec![], 1)]);
}

#[test]
fn a_reader_sees_one_moment_while_entries_come_in() {
    let story = Story::varied(10);
    let folder = tempfile::tempdir().unwrap();
    let mut live = ReadModels::open(&folder.path().join("read.sqlite")).unwrap();
    live.apply(&story.feeds()[..10]).unwrap();
    let reader = live.reader().unwrap();
    let seen = reader.at_once(|reader| {
        let first = reader.position()?;
        live.apply(&story.feeds()[10..])?;
        Ok::<_, ProjectionError>((first, reader.position()?))
    });
    assert_eq!(seen.unwrap(), (Position(10), Position(10)));
    assert_eq!(reader.position().unwrap(), story.book.next);
}

#[test]
fn changes_of_unknown_bookings_stop_what_depends_on_them() {
    let mut story = Story::opened();
    let booking = story.book(1, 1);
    let mut entries = story.entries.clone();
    story.change(booking, Change::Complete);
    let mut step = story.entries.pop().unwrap();
    step.position = entries.last().unwrap().position.next();
    entries.extend([step.clone(), domain::Recorded { position: step.position.next(), ..step }]);
    story.entries = entries;
    let status = folded(&story, 9).status().unwrap();
    let stopped = status.iter().filter(|status| status.error.is_some());
    let names: Vec<&str> = stopped.map(|status| status.name.as_str()).collect();
    assert_eq!(names, ["bookings.v1", "statistics.v1"]);
}

#[test]
fn handles_are_looked_up_in_one_query_however_many() {
    let story = Story::varied(30);
    let handles: Vec<Handle> = (0..5000).map(Handle).collect();
    let found = folded(&story, 9).bookings().of_handles(&handles).unwrap();
    assert_eq!(found.len(), 30);
}
