//! An honest ledger is clean, whatever was erased in it, and everything that somebody with the file
//! in their hands may do to it is found and named.

mod salon;

use domain::{Event, Position};
use rusqlite::Connection;

use super::{Report, verify};
use crate::keyring::KeyError;
use crate::ledger::appender::AppendError;
use crate::ledger::codec;
use crate::ledger::log::Log;
use crate::sqlite::{int, uint};
use crate::tree::{self, Frontier};
use salon::Salon;

/// A salon where everything that can happen has happened, closed.
fn eventful() -> Salon {
    let mut salon = Salon::open();
    let anna = salon.client();
    let berit = salon.client();
    let first = salon.book(&[anna], 0);
    let second = salon.book(&[berit, anna], 3);
    let third = salon.book(&[berit], 26);
    salon.book_new_client(30);
    salon.reschedule(third, 40);
    salon.cancel(second, berit);
    salon.consent(anna);
    salon.rectify(anna);
    salon.wait_until(9000);
    salon.complete(first);
    salon.erase_content(first);
    salon.close();
    salon
}

/// What an audit finds after somebody has had the file.
#[track_caller]
fn codes_after(sql: &str) -> Vec<&'static str> {
    let salon = eventful();
    salon.tampered(|conn| conn.execute_batch(sql).unwrap());
    codes(&salon.audit())
}

fn codes(report: &Report) -> Vec<&'static str> {
    assert_eq!(report.found, report.findings.len() as u64);
    let mut codes: Vec<_> = report.findings.iter().map(|finding| finding.code).collect();
    codes.dedup();
    codes
}

#[track_caller]
fn assert_clean(report: &Report) {
    assert_eq!(report.findings, []);
    assert!(report.is_clean() && report.blanks_agree);
    assert_eq!(report.blanks, report.ended);
}

#[test]
fn an_honest_ledger_is_clean() {
    let report = eventful().audit();
    assert_clean(&report);
    assert_eq!(report.root.len(), 64);
    assert!(report.entries > 15 && report.blanks > 2, "{report:?}");
}

#[test]
fn it_is_clean_after_every_erasure() {
    let mut salon = Salon::open();
    let clients: Vec<_> = (0..6).map(|_| salon.client()).collect();
    for (hour, client) in (0..).zip(&clients) {
        salon.book(&[*client], hour);
        salon.consent(*client);
        salon.rectify(*client);
    }
    salon.wait_until(9000);
    for client in &clients[1..] {
        salon.erase(*client);
        assert_clean(&salon.audit());
    }
    salon.close();
    let report = salon.audit();
    assert_clean(&report);
    assert_eq!(report.blanks, 6 + 5 * 4);
}

#[test]
fn content_that_expires_before_and_after_its_person_is_counted_once() {
    let mut salon = Salon::open();
    let (anna, berit) = (salon.client(), salon.client());
    let [before, after] = [salon.book(&[anna, berit], 0), salon.book(&[anna, berit], 2)];
    salon.wait_until(9000);
    salon.erase_content(before);
    salon.erase(anna);
    salon.erase_content(after);
    let report = salon.audit();
    assert_eq!(report.findings, []);
    assert!(report.ended > report.blanks);
}

#[test]
fn a_note_of_somebody_who_came_along_ends_with_them() {
    let mut salon = Salon::open();
    let (anna, berit) = (salon.client(), salon.client());
    let booking = salon.book(&[anna, berit], 3);
    salon.cancel(booking, berit);
    salon.erase(berit);
    salon.close();
    assert_clean(&salon.audit());
}

#[test]
fn a_ledger_copied_while_it_is_open_is_clean_and_its_index_complete() {
    let mut salon = Salon::open();
    let (anna, berit) = (salon.client(), salon.client());
    salon.erase(berit);
    salon.book(&[anna], 0);
    let copy = salon.copied_while_open();
    assert_clean(&salon::audit(copy.path()));
    let log = Log::open(&copy.path().join("ledger.sqlite")).unwrap();
    assert!(!log.pending().tags.is_empty());
}

#[test]
fn a_row_of_the_person_index_that_is_stored_already_is_not_made_again() {
    let mut salon = Salon::open();
    let anna = salon.client();
    salon.book(&[anna], 0);
    let copy = salon.copied_while_open();
    let path = copy.path().join("ledger.sqlite");
    let before: Vec<_> = Log::open(&path).unwrap().pending().persons.sorted();
    // As if the crash had come amid a round.
    crate::sqlite::insert_persons(&Connection::open(&path).unwrap(), &before[..1]).unwrap();
    let after: Vec<_> = Log::open(&path).unwrap().pending().persons.sorted();
    assert_eq!(after, before[1..]);
    assert_clean(&salon::audit(copy.path()));
}

#[test]
fn a_ledger_is_audited_while_it_is_written() {
    let mut salon = Salon::open();
    let anna = salon.client();
    for hour in 0..20 {
        salon.book(&[anna], hour);
        assert_clean(&verify(salon.tenant().log(), &mut |_, _| ()).unwrap());
    }
}

#[test]
fn a_flipped_byte_is_found() {
    let salon = eventful();
    salon.tampered(|conn| {
        let mut bytes: Vec<u8> = conn
            .query_row("SELECT bytes FROM entry WHERE position = 3", [], |row| row.get(0))
            .unwrap();
        // The last but one letter of a name inside the body.
        let at = bytes.windows(5).position(|window| window == b"Chair").unwrap();
        bytes[at] = b'c';
        conn.execute("UPDATE entry SET bytes = ?1 WHERE position = 3", [bytes]).unwrap();
    });
    let report = salon.audit();
    assert_eq!(codes(&report), ["leaf_differs", "root_differs"]);
    assert_eq!(report.findings[0].position, Some(3));
}

#[test]
fn a_changed_leaf_is_found() {
    let found = codes_after("UPDATE entry SET leaf = zeroblob(32) WHERE position = 4");
    assert_eq!(found, ["leaf_differs"]);
}

#[test]
fn a_changed_entry_is_found_though_its_leaf_was_changed_with_it() {
    let salon = eventful();
    salon.tampered(|conn| {
        let bytes: Vec<u8> = conn
            .query_row("SELECT bytes FROM entry WHERE position = 2", [], |row| row.get(0))
            .unwrap();
        let text = String::from_utf8_lossy(&bytes).replace("Salon", "Salun");
        assert_ne!(text, String::from_utf8_lossy(&bytes));
        let at = bytes.windows(5).position(|window| window == b"Salon").unwrap();
        let mut bytes = bytes;
        bytes[at + 3] = b'u';
        let leaf = tree::leaf_hash(&bytes);
        conn.execute("UPDATE entry SET bytes = ?1, leaf = ?2 WHERE position = 2", (bytes, leaf))
            .unwrap();
    });
    assert_eq!(codes(&salon.audit()), ["root_differs"]);
}

#[test]
fn a_removed_entry_is_found() {
    let salon = eventful();
    salon.tampered(|conn| {
        conn.execute_batch("DELETE FROM entry WHERE position = 5").unwrap();
    });
    let report = salon.audit();
    let missing = &report.findings[0];
    assert_eq!((missing.code, missing.position), ("entry_missing", Some(5)));
    assert!(codes(&report).contains(&"root_differs"));
}

#[test]
fn a_shortened_ledger_is_found() {
    let last = "(SELECT max(position) FROM entry)";
    let found = codes_after(&format!("DELETE FROM entry WHERE position = {last}"));
    assert!(found.contains(&"size_differs"), "{found:?}");
}

#[test]
fn swapped_seals_are_found() {
    let found = codes_after(
        "CREATE TEMP TABLE two AS SELECT id, ciphertext FROM seal ORDER BY id LIMIT 2;
         UPDATE seal SET ciphertext = (SELECT ciphertext FROM two WHERE two.id <> seal.id)
         WHERE id IN (SELECT id FROM two)",
    );
    assert_eq!(found, ["seal_changed"]);
}

#[test]
fn a_deleted_seal_is_found() {
    let found = codes_after("DELETE FROM seal WHERE id = (SELECT max(id) FROM seal)");
    assert_eq!(found, ["seal_missing"]);
}

#[test]
fn a_seal_that_nobody_wrote_is_found() {
    let found = codes_after("INSERT INTO seal VALUES (9 << 40, x'00')");
    assert_eq!(found, ["seal_extra"]);
}

#[test]
fn a_seal_put_back_behind_its_tombstone_is_found() {
    let salon = eventful();
    let blank = salon.position_of(|event| matches!(event, Event::BookingRequested(_)));
    salon.tampered(|conn| {
        conn.execute("INSERT INTO seal VALUES (?1 << 16, x'00')", [int(blank)]).unwrap();
    });
    assert_eq!(codes(&salon.audit()), ["seal_changed", "seal_not_deleted"]);
}

#[test]
fn a_key_destroyed_without_an_entry_is_found() {
    let found =
        codes_after("UPDATE data_key SET wrapped = NULL WHERE id = (SELECT max(id) FROM data_key)");
    assert!(found.contains(&"seal_not_deleted"), "{found:?}");
    assert!(found.contains(&"blanks_disagree"), "{found:?}");
}

#[test]
fn a_key_that_vanished_is_found() {
    let found = codes_after("DELETE FROM data_key WHERE id = (SELECT max(id) FROM data_key)");
    assert!(found.contains(&"key_unknown"), "{found:?}");
}

#[test]
fn a_key_put_back_after_its_end_is_found() {
    let found = codes_after("UPDATE data_key SET wrapped = x'00' WHERE wrapped IS NULL");
    assert!(found.contains(&"key_not_ended"), "{found:?}");
}

#[test]
fn a_deleted_row_of_the_tag_index_is_found() {
    let salon = eventful();
    salon.tampered(|conn| {
        conn.execute_batch("DELETE FROM tag WHERE position = 4").unwrap();
    });
    let report = salon.audit();
    assert_eq!(codes(&report), ["tag_index"]);
    assert_eq!(report.findings[0].position, Some(4));
}

#[test]
fn an_invented_row_of_the_tag_index_is_found() {
    let found = codes_after("INSERT INTO tag VALUES (77, 6)");
    assert_eq!(found, ["tag_index"]);
    assert_eq!(codes_after("INSERT INTO tag VALUES (77, 6000000)"), ["tag_index"]);
}

#[test]
fn a_changed_row_of_the_person_index_is_found() {
    assert_eq!(codes_after("UPDATE person_tag SET visits = 5 WHERE visits = 1"), ["person_index"]);
    assert_eq!(codes_after("DELETE FROM person_tag WHERE until = 0"), ["person_index"]);
}

#[test]
fn a_tampered_head_is_found() {
    let root = codes_after("UPDATE head SET frontier = zeroblob(length(frontier))");
    assert_eq!(root, ["root_differs"]);
    assert_eq!(codes_after("UPDATE head SET recorded_at = 0"), ["head_differs"]);
    assert_eq!(codes_after("UPDATE head SET next_handle = 1"), ["head_differs"]);
}

#[test]
fn a_link_to_somebody_erased_is_found() {
    let mut salon = Salon::open();
    let anna = salon.client();
    salon.book(&[anna], 0);
    salon.wait_until(9000);
    salon.erase(anna);
    salon.close();
    salon.tampered(|conn| {
        let sql = "UPDATE data_key SET person = ?1 WHERE id = (SELECT max(id) FROM data_key)";
        conn.execute(sql, [int(anna.0)]).unwrap();
        conn.execute("INSERT INTO lookup VALUES (x'00', ?1)", [int(anna.0)]).unwrap();
    });
    let found = codes(&salon.audit());
    assert!(found.contains(&"link_left"), "{found:?}");
}

/// A lookup that is on nobody's list would not go with whose it is.
#[test]
fn a_lookup_that_no_list_knows_is_found() {
    assert_eq!(codes_after("INSERT INTO lookup SELECT x'00', id FROM person"), ["link_left"]);
}

#[test]
fn a_restriction_that_no_entry_tells_of_is_found() {
    let found = codes_after("UPDATE person SET state = 2 WHERE state = 1");
    assert!(found.iter().all(|code| *code == "restriction_differs") && !found.is_empty());
}

/// Somebody was quicker: what was sealed in good faith is not taken in.
#[test]
fn what_was_sealed_before_a_restriction_is_not_taken_after_it() {
    let mut salon = Salon::open();
    let (anna, berit) = (salon.client(), salon.client());
    let [of_anna, of_berit] = [anna, berit].map(|person| salon.sealed_consent(person));
    salon.restrict(anna);
    let refused = salon.hand_in(of_anna);
    assert!(matches!(refused, Err(AppendError::Key(KeyError::Restricted))), "{refused:?}");
    salon.hand_in(of_berit).unwrap();
    assert_clean(&salon.audit());
}

#[test]
fn a_restriction_taken_off_by_hand_is_found() {
    let mut salon = Salon::open();
    let anna = salon.client();
    salon.restrict(anna);
    assert_clean(&salon.audit());
    salon.close();
    salon.tampered(|conn| {
        conn.execute("UPDATE person SET state = 1 WHERE id = ?1", [int(anna.0)]).unwrap();
    });
    assert_eq!(codes(&salon.audit()), ["restriction_differs"]);
}

#[test]
fn a_booking_slipped_in_with_all_hashes_right_breaks_the_rules() {
    let salon = eventful();
    salon.tampered(|conn| append_again(conn, 3));
    let found = codes(&salon.audit());
    assert!(found.contains(&"overbooked"), "{found:?}");
    assert!(found.contains(&"handle_reused"), "{found:?}");
}

/// Appends the last booking once more, as a forger would who knows the format.
fn append_again(conn: &Connection, copies: u64) {
    for _ in 0..copies {
        let (size, frontier): (i64, Vec<u8>) = conn
            .query_row("SELECT size, frontier FROM head", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        let mut frontier = Frontier::from_bytes(uint(size), &frontier).unwrap();
        let bytes = again(conn, Position(uint(size)));
        let leaf = tree::leaf_hash(&bytes);
        frontier.push(leaf);
        conn.execute("INSERT INTO entry VALUES (?1, ?2, ?3)", (size, bytes, leaf)).unwrap();
        let sql = "UPDATE head SET size = ?1, frontier = ?2, indexed = ?1";
        conn.execute(sql, (size + 1, frontier.to_bytes())).unwrap();
    }
}

fn again(conn: &Connection, position: Position) -> Vec<u8> {
    let mut select = conn.prepare("SELECT bytes FROM entry ORDER BY position DESC").unwrap();
    let rows = select.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    let entries = rows.map(|bytes| codec::decode(&bytes.unwrap()).unwrap());
    let is_booking =
        |entry: &codec::Entry| matches!(entry.recorded.event, Event::BookingRequested(_));
    let entry = entries.into_iter().find(is_booking).unwrap();
    let recorded = entry.recorded;
    let header = codec::Header {
        position,
        recorded_at: jiff::Timestamp::from_second(3_000_000_000).unwrap(),
        occurred_at: recorded.occurred_at,
        actor: recorded.actor,
        cause: entry.cause,
    };
    let draft = domain::Draft::now(recorded.event);
    let tagged = domain::entry::Tagged { draft, tags: entry.tags };
    codec::encode(&header, &tagged, &entry.seal_hashes).unwrap()
}
