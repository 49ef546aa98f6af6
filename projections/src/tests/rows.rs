//! Facts about the rows of each read model.

use domain::booking::{Change, Reason, Side, Status};
use domain::consent::{ConsentCommand, Occasion};
use domain::{BookingId, Command, Handle, Position};
use jiff::civil::date;
use serde_json::json;

use super::story::{self, Story};
use super::{folded, hashes};
use crate::{BookingFilter, Reader, SealAt, StatFacet, nested};

fn outcomes(reader: &Reader) -> serde_json::Value {
    let by = [StatFacet::Outcome];
    nested(&by, &reader.statistics().counts(&by, None).unwrap())
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
    story.wish(&Command::Consent(withdraw));
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
fn handles_are_looked_up_in_one_query_however_many() {
    let story = Story::varied(30);
    let handles: Vec<Handle> = (0..5000).map(Handle).collect();
    let found = folded(&story, 9).bookings().of_handles(&handles).unwrap();
    assert_eq!(found.len(), 30);
}
