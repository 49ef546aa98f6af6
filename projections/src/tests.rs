//! Facts about the folds as a whole. Entries come from the book's own decisions, so that what is
//! folded here is what a ledger holds.

mod rows;
mod story;

use domain::booking::Change;
use domain::consent::{Occasion, Withdrawn};
use domain::{ConsentId, Handle, Position};

use crate::{FoldError, Hashes, ProjectionError, ReadModels, Reader, Rebuild};
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
    assert_eq!(names, ["bookings.v2", "statistics.v1"]);
}
