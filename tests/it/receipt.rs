//! Receipts of erasures: they hold with nothing but themselves, and no change to one goes unnoticed.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use eventstore::store::rotation::WINDOW;
use gateway::erasure;
use gateway::intake::Who;
use gateway::receipt::words::{Language, page};
use gateway::receipt::{self, Invalid, Left, NotConfirmed};
use jiff::SignedDuration;
use serde_json::{Value, json};
use system_tests::{TestApp, on_postgres};

use crate::hotel::{Guest, Hotel, MARK, NAME, NOON};
use crate::program::run;

/// Erases Astrid with a booking to come; answers the receipt.
async fn erased(app: &TestApp) -> String {
    let salon = app.salon("salon").await;
    let id = salon.tenant.client("Astrid").await;
    let nine = "2026-03-02T09:00:00+01:00[Europe/Stockholm]";
    let ten = "2026-03-02T10:00:00+01:00[Europe/Stockholm]";
    salon.booked(&id, nine, ten).await;
    let (desk, person) = (Arc::clone(&salon.tenant.desk), salon.tenant.person(&id));
    let kept = receipt::kept(&desk.tenant, person).unwrap();
    let erased = erasure::erase(&desk, person, true).await.unwrap();
    let left = Left { kept, recipients: Vec::new() };
    receipt::sign(&app.app, &desk, id, (erased.fence, left), WINDOW).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_says_what_went_and_holds_by_itself() {
    let app = TestApp::default();
    let signed = erased(&app).await;
    let (statement, signer) = receipt::check(&signed, None).unwrap();
    assert_eq!(statement.tenant, "salon");
    assert_eq!(statement.destroyed, ["contact", "booking", "health", "consent"]);
    assert!(statement.seals_ended >= 2 && statement.kept.is_empty());
    assert_eq!(statement.backups.out_of_reach_at, None, "no rotation has come after it");
    assert!(!signed.contains("Astrid"));
    // The same against the key from elsewhere, and against another.
    receipt::check(&signed, Some(&signer)).unwrap();
    let other = receipt::check(&erased(&TestApp::seeded(9)).await, None).unwrap().1;
    assert!(matches!(receipt::check(&signed, Some(&other)), Err(Invalid::Note(_))));
    for (language, word) in [
        (Language::Sv, "förstörda"),
        (Language::Da, "ødelagt"),
        (Language::Nb, "Nøklene"),
        (Language::En, "destroyed"),
    ] {
        let page = page(&statement, language);
        assert!(page.contains(word) && !page.contains("{}"), "{page}");
        assert!(page.contains(&statement.client), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_change_to_a_receipt_goes_unnoticed() {
    let app = TestApp::default();
    let signed = erased(&app).await;
    let file: Value = serde_json::from_str(&signed).unwrap();
    let check = |file: &Value| receipt::check(&file.to_string(), None);
    check(&file).unwrap();

    let mut edited = file.clone();
    edited["statement"]["seals_ended"] = json!(1);
    assert!(matches!(check(&edited), Err(Invalid::Differs)));
    let mut edited = file.clone();
    let text = file["signed"].as_str().unwrap().replace("salon", "salun");
    edited["signed"] = json!(text);
    assert!(matches!(check(&edited), Err(Invalid::Note(_))));
    // A proof of another entry, and one that does not lead to the root.
    for (from, to) in [("index ", "index 1"), ("extra ", "extra AA")] {
        let mut edited = file.clone();
        let text = file["proof"].as_str().unwrap().replacen(from, to, 1);
        edited["proof"] = json!(text);
        assert!(matches!(check(&edited), Err(Invalid::Proof(_))), "{from}");
    }
    // Signed by whoever forged it, with a proof of the log that is not theirs.
    let forged: Value = serde_json::from_str(&erased(&TestApp::seeded(9)).await).unwrap();
    let mut edited = file.clone();
    for part in ["signed", "statement", "vkey"] {
        edited[part] = forged[part].clone();
    }
    assert!(matches!(check(&edited), Err(Invalid::Proof(_))));
    assert!(matches!(receipt::check("{}", None), Err(Invalid::Malformed(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_names_the_day_from_which_no_backup_opens() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let id = salon.tenant.client("Astrid").await;
    let (desk, person) = (Arc::clone(&salon.tenant.desk), salon.tenant.person(&id));
    let erased = erasure::erase(&desk, person, true).await.unwrap();
    app.clock.advance(SignedDuration::from_hours(24));
    let find = |name: &str| -> Result<_, gateway::app::AppError> {
        Ok(Arc::clone(&app.app.desk(name)?.tenant))
    };
    tokio::task::block_in_place(|| app.app.store.rotate(WINDOW, &find, &|_, _| ())).unwrap();
    let after = (erased.fence, Left { kept: Vec::new(), recipients: Vec::new() });
    let signed = receipt::sign(&app.app, &desk, id, after, WINDOW).unwrap();
    let (statement, _) = receipt::check(&signed, None).unwrap();
    let at = statement.backups.out_of_reach_at.unwrap();
    let days = at.duration_since(statement.erased_at).as_hours() / 24;
    assert_eq!((days, statement.backups.kept_days), (23, 21));
}

/// Before the epoch is over nothing is confirmed; afterwards a receipt says what is so, not what
/// will be.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_receipt_says_that_no_backup_opens_any_more() {
    let app = TestApp::default();
    let first = erased(&app).await;
    let desk = app.app.desk("salon").unwrap();
    let confirm = |text: &str| receipt::confirm(&app.app, &desk.tenant, text, WINDOW);
    assert!(matches!(confirm(&first), Err(NotConfirmed::NotYet(None))));
    let find = |name: &str| -> Result<_, gateway::app::AppError> {
        Ok(Arc::clone(&app.app.desk(name)?.tenant))
    };
    let rotate = || {
        app.clock.advance(SignedDuration::from_hours(24));
        tokio::task::block_in_place(|| app.app.store.rotate(WINDOW, &find, &|_, _| ())).unwrap();
    };
    rotate();
    let Err(NotConfirmed::NotYet(Some(until))) = confirm(&first) else { panic!("not yet") };
    app.clock.advance(SignedDuration::from_hours(22 * 24));
    rotate();
    // It holds though the log is signed with another key by now.
    tokio::task::block_in_place(|| desk.tenant.ledger.rotate_log_key()).unwrap();
    tokio::task::block_in_place(|| desk.tenant.ledger.forget_log_key()).unwrap();
    let second = confirm(&first).unwrap();
    let (statement, _) = receipt::check(&second, None).unwrap();
    let (promised, _) = receipt::check(&first, None).unwrap();
    assert!(statement.backups.out_of_reach && !promised.backups.out_of_reach);
    assert!(statement.backups.out_of_reach_at.unwrap() >= until);
    assert_eq!((statement.fence, &statement.client), (promised.fence, &promised.client));
    for (language, word) in [
        (Language::Sv, "nyckeln till dem är förstörd"),
        (Language::Da, "nøglen til dem er ødelagt"),
        (Language::Nb, "nøkkelen til dem er ødelagt"),
        (Language::En, "the key to them is destroyed"),
    ] {
        assert!(page(&statement, language).contains(word));
        assert!(!page(&promised, language).contains(word));
    }
    // Neither another tenant's receipt nor one that was touched is confirmed.
    let foreign = erased(&TestApp::seeded(9)).await;
    assert!(matches!(confirm(&foreign), Err(NotConfirmed::Invalid(_))));
    let mut edited: Value = serde_json::from_str(&first).unwrap();
    edited["statement"]["seals_ended"] = json!(1);
    assert!(matches!(confirm(&edited.to_string()), Err(NotConfirmed::Invalid(_))));
}

#[test]
fn nobody_is_erased_whose_receipt_cannot_be_written() {
    if on_postgres() {
        return;
    }
    let (hotel, id) = one_guest();
    let data = hotel.data();
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("there.json");
    fs::write(&there, "kept").unwrap();
    for to in [&folder.path().join("no/such/folder.json"), &there] {
        let to = to.to_str().unwrap();
        let erase = ["erase", "--tenant", NAME, "--person", &id, "--cancel-open", "--receipt", to];
        let said = run(&data, &erase).ended(1);
        assert!(said.error.contains(to), "{}", said.error);
        let clients = run(&data, &["--json", "clients", "list", "--tenant", NAME]).ended(0).json();
        assert_eq!(clients[0]["state"], "live");
    }
    assert_eq!(fs::read_to_string(&there).unwrap(), "kept");
    // Where somebody is not erased, no empty file is left either.
    let to = folder.path().join("receipt.json");
    let erase = ["erase", "--tenant", NAME, "--person", &id, "--receipt", to.to_str().unwrap()];
    run(&data, &erase).ended(1);
    assert!(!to.exists());
}

/// A hotel with one guest and a booking to come, closed; and the guest's id.
fn one_guest() -> (Hotel, String) {
    let mut hotel = Hotel::open(5, &[9]);
    let guest = Guest { who: Who::New, name: MARK, note: MARK };
    hotel.book(0, NOON, &[guest]);
    hotel.close();
    let list = ["--json", "clients", "list", "--tenant", NAME];
    let clients = run(&hotel.data(), &list).ended(0).json();
    let id = clients[0]["id"].as_str().unwrap().to_owned();
    (hotel, id)
}

#[test]
fn the_program_writes_a_receipt_and_checks_it_without_any_data() {
    if on_postgres() {
        return;
    }
    let (hotel, id) = one_guest();
    let (data, id) = (hotel.data(), id.as_str());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("receipt.json");
    let path = file.to_str().unwrap();
    let erase =
        ["--json", "erase", "--tenant", NAME, "--person", id, "--cancel-open", "--receipt", path];
    let said = run(&data, &erase).ended(0).json();
    assert_eq!(said[0]["receipt"], json!(path));

    let nowhere = folder.path().join("nowhere");
    let checked = run(&nowhere, &["--json", "audit", "receipt", path]).ended(0).json();
    assert_eq!((&checked["valid"], &checked["statement"]["client"]), (&json!(true), &json!(id)));
    let told = run(&nowhere, &["audit", "receipt", path, "--language", "sv"]).ended(0).out;
    assert!(told.contains("Kvitto på radering"), "{told}");
    let second = folder.path().join("second.json");
    let second = second.to_str().unwrap();
    let confirm =
        ["--json", "keys", "confirm", "--tenant", NAME, "--receipt", path, "--to", second];
    let early = run(&data, &confirm).ended(1).json();
    assert!(early["reason"].as_str().unwrap().contains("can still be opened"), "{early}");
    assert!(!Path::new(second).exists());
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(id, "cli_00112233445566778899aabbccddeeff")).unwrap();
    let checked = run(&nowhere, &["--json", "audit", "receipt", path]).ended(1).json();
    assert_eq!(checked["valid"], json!(false));
}
