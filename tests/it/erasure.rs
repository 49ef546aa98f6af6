//! Forgetting: nothing of the erased opens or lies in any file, nobody else notices, and no
//! statistic changes by a byte.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap};
use domain::booking::Change;
use domain::ledger::ReadPurpose;
use domain::sealed::SealRef;
use domain::{Handle, Position, Recorded, RetentionClass};
use eventstore::engine::HangingOf;
use eventstore::ledger::audit::verify;
use eventstore::{Lookup, LookupKind, PersonId, PersonState, Personal, SealAt};
use gateway::import::{self, Options};
use gateway::intake::{self, Who};
use gateway::retention;
use jiff::civil::date;
use jiff::{SignedDuration, Timestamp};
use projections::{Hashes, StatFacet};
use rusqlite::Connection;
use serde_json::Value;

use crate::hotel::{Guest, Hotel, MARK, NOON, contact, files, staff};

/// Rows of guests who come again and again, as another program would write them.
pub(crate) fn stays(rows: u32, guests: u32) -> String {
    let mut random = fastrand::Rng::with_seed(17);
    let mut file = "room,arrival,nights,status,who,phone\n".to_owned();
    for row in 0..rows {
        let (room, month, day) = (random.u8(1..5), random.u8(1..13), random.u8(1..29));
        let nights = random.u8(0..6);
        let status = random.choice(["Check-Out", "Check-Out", "Canceled", "No-Show"]).unwrap();
        // Everybody comes at least once.
        let who = if row < guests { row } else { random.u32(0..guests) };
        file += &format!(
            "{room},2029-{month:02}-{day:02},{nights},{status},{MARK}{who}x,+4670{:07}\n",
            1_000_000 + who
        );
    }
    file
}

pub(crate) const STAYS: &str = r#"
    [service]
    name = "Nights"
    [resource]
    group = "House"
    name = "Type {room}"
    capacity = "fit"
    [start]
    date = "{arrival}"
    time = "15:00"
    [end]
    nights = "{nights}"
    time = "11:00"
    day_use = "20:00"
    [status]
    is = { value = "{status}", map = { "Check-Out" = "completed", "Canceled" = "cancelled", "No-Show" = "no_show" } }
    [person]
    same = "{who}"
    reference = "{who}"
    [person.fields]
    name = "{who} family"
    email = "{who}@example.org"
    phone = "{phone}"
    note = "{who} wants quiet"
    invoice_name = "{who} Ltd"
"#;

/// Beginnings of everything personal that the file has.
const PERSONAL: [&str; 2] = [MARK, "+46701"];

fn import(hotel: &Hotel, file: &Path, mapping: &Path) {
    let options = Options { dry_run: false, now: Timestamp::from_second(hotel.now()).unwrap() };
    let report = import::run(hotel.desk(), file, mapping, options, &|_, _| ()).unwrap();
    assert_eq!((report.imported, report.refused_rows()), (report.rows, 0), "{report}");
    hotel.desk().follow().unwrap();
}

/// Everything that is counted: the read model's hash and many tables.
pub(crate) fn statistics(hotel: &Hotel) -> (Hashes, Vec<Value>) {
    use StatFacet::{Channel, Day, Group, Hour, Lead, Month, Nth, Outcome, Party, Service};
    let tables: [&[StatFacet]; 5] = [
        &[Outcome],
        &[Group, Outcome],
        &[Month, Nth, Outcome],
        &[Service, Lead, Hour],
        &[Day, Party, Channel],
    ];
    let (hashes, counts) = hotel
        .desk()
        .read::<_, gateway::DeskError>(|reader| {
            let tables = tables.iter().map(|by| {
                let counts = reader.statistics().counts(by, None)?;
                Ok(projections::nested(by, &counts))
            });
            let tables = tables.collect::<Result<Vec<_>, projections::ProjectionError>>()?;
            Ok((reader.hashes()?, tables))
        })
        .unwrap();
    (hashes.into_iter().filter(|(name, _)| *name == "statistics").collect(), counts)
}

/// Whose handles are whose, while the keyring still knows.
struct Known {
    handles: BTreeMap<PersonId, BTreeSet<Handle>>,
    said: Vec<(SealAt, Handle, String)>,
}

fn known(hotel: &Hotel) -> Known {
    let seals = hotel.seals();
    let handles: Vec<Handle> = seals.iter().map(|(_, seal)| seal.handle).collect();
    let mut known = Known { handles: BTreeMap::new(), said: Vec::new() };
    for (handle, person) in hotel.tenant().keyring().persons_of(&handles).unwrap() {
        known.handles.entry(person).or_default().insert(handle);
    }
    let at: Vec<SealAt> = seals.iter().map(at).collect();
    for (at, said) in at.iter().zip(hotel.read(&at)) {
        known.said.push((*at, at.seal.handle, said));
    }
    known
}

fn at((entry, seal): &(Recorded, SealRef)) -> SealAt {
    SealAt { position: entry.position, kind: entry.event.kind(), seal: *seal }
}

impl Known {
    /// That of the erased only bookkeeping opens, and of all others everything as before.
    #[track_caller]
    fn assert_opens_but_for(&self, hotel: &Hotel, erased: &BTreeSet<PersonId>) {
        let of_erased: BTreeSet<Handle> =
            erased.iter().flat_map(|person| self.handles[person].clone()).collect();
        let seals: Vec<SealAt> = self.said.iter().map(|(at, ..)| *at).collect();
        for ((at, handle, said), says) in self.said.iter().zip(hotel.read(&seals)) {
            let gone = of_erased.contains(handle) && at.seal.class != RetentionClass::Accounting;
            assert_eq!(&says, if gone { "erased" } else { said }, "{at:?}");
        }
    }
}

/// 30 of a hundred, by chance.
fn some_of(persons: &BTreeMap<PersonId, BTreeSet<Handle>>) -> BTreeSet<PersonId> {
    let mut persons: Vec<PersonId> = persons.keys().copied().collect();
    fastrand::Rng::with_seed(30).shuffle(&mut persons);
    persons.truncate(persons.len() * 3 / 10);
    assert!(!persons.is_empty());
    persons.into_iter().collect()
}

/// F31, F53, F54, F77: a third of the guests is erased.
#[test]
fn erasing_many_changes_no_statistic_and_leaves_nothing_of_them() {
    if system_tests::on_postgres() {
        return; // It works on the file itself.
    }
    let mut hotel = Hotel::open(9, &[1]);
    let folder = tempfile::tempdir().unwrap();
    let (file, mapping) = (folder.path().join("rows.csv"), folder.path().join("mapping.toml"));
    fs::write(&file, stays(400, 150)).unwrap();
    fs::write(&mapping, STAYS).unwrap();
    import(&hotel, &file, &mapping);
    hotel.reopen();
    assert_forgets(hotel, &PERSONAL);
}

/// The same with what a real hotel recorded, where the file is at hand: of its rows every fifth,
/// for the sake of those who wait for the test.
#[test]
fn erasing_guests_of_the_published_hotels_changes_no_statistic() {
    if system_tests::on_postgres() {
        return; // It works on the file itself.
    }
    let Some(file) = crate::import::hotel_bookings() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let hotel = Hotel::open(11, &[1]);
    let folder = tempfile::tempdir().unwrap();
    let some = folder.path().join("rows.csv");
    let all = fs::read_to_string(file).unwrap();
    fs::write(&some, all.lines().step_by(5).fold(String::new(), |rows, row| rows + row + "\n"))
        .unwrap();
    import(&hotel, &some, &root.join("examples/hotel/mapping.toml"));
    assert_forgets(hotel, &["(synthetic)"]);
}

fn assert_forgets(mut hotel: Hotel, personal: &[&str]) {
    let known = known(&hotel);
    let erased = some_of(&known.handles);
    let before = statistics(&hotel);
    let keys = unwrapped_keys(&hotel);
    assert_eq!(hotel.found_in_files(personal), [], "sealed at rest, all of them");
    for person in &erased {
        hotel.erase(*person);
    }
    hotel.desk().follow().unwrap();
    assert_eq!(statistics(&hotel), before);
    assert_eq!(hotel.found_in_files(personal), []);
    known.assert_opens_but_for(&hotel, &erased);
    assert_unlinked(&hotel, &known, &erased);
    hotel.assert_sound();
    assert_eq!(statistics(&hotel), before, "after a rebuild from the ledger");
    assert_no_key_in_files(&hotel, &keys);
    hotel.reopen();
    assert_eq!(hotel.found_in_files(personal), []);
    assert_no_key_in_files(&hotel, &keys);
    assert_unlinked(&hotel, &known, &erased);
    for person in known.handles.keys() {
        let state = if erased.contains(person) { PersonState::Erased } else { PersonState::Live };
        assert_eq!(hotel.state(*person), state);
    }
}

/// That no row of any table names an erased person, or has two handles of theirs beside each other.
fn assert_unlinked(hotel: &Hotel, known: &Known, erased: &BTreeSet<PersonId>) {
    let conn = Connection::open(hotel.ledger_file()).unwrap();
    let column = |sql: &str| -> BTreeSet<i64> {
        let mut select = conn.prepare(sql).unwrap();
        select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    // Every column of persons there is; a new table must be thought of here.
    let tables = column_names(&conn, "person");
    let expected = [
        "api_key",
        "data_key",
        "given",
        "lookup",
        "notice",
        "person_tag",
        "privacy_request",
        "retired_key",
    ];
    assert_eq!(tables, expected);
    for table in expected {
        let named =
            column(&format!("SELECT DISTINCT person FROM {table} WHERE person IS NOT NULL"));
        for person in erased {
            assert!(!named.contains(&person.0.cast_signed()), "{table} names {person:?}");
        }
    }
    let contacts = column("SELECT contact_handle FROM person WHERE contact_handle IS NOT NULL");
    let rows = column("SELECT handle FROM person_tag");
    let opens = column("SELECT handle FROM data_key WHERE wrapped IS NOT NULL AND year IS NULL");
    for handle in erased.iter().flat_map(|person| &known.handles[person]) {
        let handle = handle.0.cast_signed();
        assert!(![&contacts, &rows, &opens].iter().any(|found| found.contains(&handle)));
    }
    let left = "SELECT count(*) FROM person WHERE state = 4 AND (fence IS NOT NULL OR fields IS NOT
                NULL OR registration IS NOT NULL OR contact_at IS NOT NULL OR keys IS NOT NULL
                OR lookups <> x'')";
    assert_eq!(column(left), [0].into());
    let read = Connection::open(hotel.ledger_file().with_file_name("read.sqlite")).unwrap();
    assert_eq!(column_names(&read, "person"), [] as [&str; 0], "a read model knows no persons");
}

/// The tables that have a column of this name.
fn column_names(conn: &Connection, column: &str) -> Vec<String> {
    let sql = "SELECT t.name FROM sqlite_schema t, pragma_table_info(t.name) c
               WHERE t.type = 'table' AND c.name = ?1 ORDER BY 1";
    let mut select = conn.prepare(sql).unwrap();
    select.query_map([column], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Every key there is, unwrapped the way an intruder would who has data and key store.
fn unwrapped_keys(hotel: &Hotel) -> BTreeSet<[u8; 32]> {
    let epoch = fs::read(hotel.keys().join("epoch-1.key")).unwrap();
    let epoch: [u8; 32] = epoch.try_into().unwrap();
    let mut keys = BTreeSet::from([epoch]);
    for name in ["ledger.sqlite", "access.sqlite"] {
        let conn = Connection::open(hotel.ledger_file().with_file_name(name)).unwrap();
        let rows = |sql: &str| -> Vec<(i64, i64, Vec<u8>)> {
            let mut select = conn.prepare(sql).unwrap();
            let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
            rows.unwrap().collect::<Result<_, _>>().unwrap()
        };
        let tenant = unwrap(&epoch, &rows("SELECT 0, 0, wrapped FROM tenant_key")[0].2);
        keys.insert(tenant);
        keys.extend(
            rows("SELECT 0, 0, wrapped FROM secret").iter().map(|row| unwrap(&tenant, &row.2)),
        );
        let under_tenant = |sql| -> BTreeMap<(i64, i64), [u8; 32]> {
            let rows = rows(sql).into_iter();
            rows.map(|(a, b, wrapped)| ((a, b), unwrap(&tenant, &wrapped))).collect()
        };
        let persons: BTreeMap<(i64, i64), [u8; 32]> =
            rows("SELECT id, 0, keys FROM person WHERE keys IS NOT NULL")
                .iter()
                .flat_map(|(id, _, row)| person_keys(&tenant, *id, row))
                .collect();
        let years = under_tenant("SELECT year, class, wrapped FROM period_key");
        for (person, class, wrapped) in
            rows("SELECT person, class, wrapped FROM data_key WHERE year IS NULL")
        {
            keys.insert(unwrap(&persons[&(person, class)], &wrapped));
        }
        for (year, class, wrapped) in
            rows("SELECT year, class, wrapped FROM data_key WHERE year IS NOT NULL")
        {
            keys.insert(unwrap(&years[&(year, class)], &wrapped));
        }
        keys.extend(persons.into_values().chain(years.into_values()));
    }
    keys
}

fn unwrap(under: &[u8; 32], wrapped: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    AesKek::new(&AES_256, under).unwrap().unwrap(wrapped, &mut key).unwrap();
    key
}

/// A person's keys by person and class. The format in full: form, epoch, how many; class and epoch
/// of each; then the keys under AES-256-GCM-SIV, the nonce the person's number.
fn person_keys(tenant: &[u8; 32], person: i64, row: &[u8]) -> Vec<((i64, i64), [u8; 32])> {
    let derived = hmac::Key::new(hmac::HMAC_SHA256, tenant);
    let derived = hmac::sign(&derived, b"tidbok/derived/1persons' keys");
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, derived.as_ref()).unwrap());
    let (front, sealed) = row.split_at(6 + 3 * usize::from(row[5]));
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&person.to_be_bytes());
    let (nonce, mut sealed) = (Nonce::assume_unique_for_key(nonce), sealed.to_vec());
    let keys = key.open_in_place(nonce, Aad::from(front), &mut sealed).unwrap();
    let classes = front[6..].chunks(3).map(|class| i64::from(class[0]));
    classes.zip(keys.chunks(32)).map(|(c, key)| ((person, c), key.try_into().unwrap())).collect()
}

/// That none of these stands in any file of the data directory.
fn assert_no_key_in_files(hotel: &Hotel, keys: &BTreeSet<[u8; 32]>) {
    let begins = |bytes: &[u8]| usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    let mut some = vec![false; 1 << 16];
    keys.iter().for_each(|key| some[begins(key)] = true);
    for file in files(&hotel.data()) {
        let bytes = fs::read(&file).unwrap();
        let found = bytes.windows(32).any(|window| some[begins(window)] && keys.contains(window));
        assert!(!found, "an unwrapped key lies in {}", file.display());
    }
}

/// A guest, erased or not: a booking of their own at this hour, with a note.
fn booked(hotel: &Hotel, hour: i64, who: Who, name: &str) -> (domain::BookingId, Position) {
    hotel.book(0, NOON + hour * 3600, &[Guest { who, name, note: name }])
}

/// The states or texts of all seals of an entry.
fn says(hotel: &Hotel, position: Position) -> Vec<String> {
    let seals: Vec<SealAt> =
        hotel.seals().iter().map(at).filter(|at| at.position == position).collect();
    hotel.read(&seals)
}

/// F56, as far as it is one booking that is told to expire.
#[test]
fn one_booking_s_content_expires_alone() {
    let mut hotel = Hotel::open(21, &[3]);
    let (first, registered) = booked(&hotel, 1, Who::New, &format!("{MARK}1"));
    let person = hotel.person_at(registered);
    let (second, _) = booked(&hotel, 2, Who::Known(person), &format!("{MARK}2"));
    assert!(hotel.change(first, Change::EraseContent).is_err(), "it is still to come");
    hotel.pass(24 * 3600);
    hotel.change(first, Change::EraseContent).unwrap();
    let expected = |hotel: &Hotel| {
        let name = format!("{MARK}1");
        assert_eq!(says(hotel, Position(first.0)), ["erased", "erased", &name]);
        assert_eq!(says(hotel, registered), [name]);
        let other = format!("{MARK}2");
        assert_eq!(says(hotel, Position(second.0)), vec![other; 3]);
        assert_eq!(hotel.state(person), PersonState::Live);
        hotel.assert_sound();
    };
    expected(&hotel);
    hotel.crash();
    expected(&hotel);
    hotel.erase(person);
    assert_eq!(says(&hotel, Position(second.0))[..2], ["erased", "erased"]);
    hotel.assert_sound();
}

/// F49: of what was put right the old value does not open, and nobody is found by it.
#[test]
fn a_rectified_value_is_gone() {
    let mut hotel = Hotel::open(22, &[3]);
    let (_, registered) = booked(&hotel, 1, Who::New, &format!("{MARK}old"));
    let person = hotel.person_at(registered);
    let fields = contact(Personal::default(), &format!("{MARK}new"));
    let append = intake::rectify(hotel.tenant(), person, &fields, None, staff()).unwrap();
    let rectified = hotel.append(append).unwrap().first;
    let by_mail = |hotel: &Hotel, name: &str| {
        let lookup = Lookup::new(LookupKind::Email, format!("{MARK}{name}@example.org"));
        hotel.tenant().keyring().find(&lookup).unwrap()
    };
    let expected = |hotel: &Hotel| {
        assert_eq!(says(hotel, registered), ["erased"]);
        assert_eq!(says(hotel, rectified), [format!("{MARK}new")]);
        assert_eq!((by_mail(hotel, "old"), by_mail(hotel, "new")), (vec![], vec![person]));
        hotel.assert_sound();
    };
    expected(&hotel);
    hotel.crash();
    expected(&hotel);
    hotel.pass(24 * 3600);
    hotel.erase(person);
    assert_eq!(says(&hotel, rectified), ["erased"]);
    assert_eq!(by_mail(&hotel, "new"), []);
    hotel.assert_sound();
}

/// The seal that the law keeps of the one booking there is.
fn invoice(hotel: &Hotel) -> SealAt {
    let kept = |at: &SealAt| at.seal.class == RetentionClass::Accounting;
    hotel.seals().iter().map(at).find(kept).unwrap()
}

/// F52: bookkeeping outlives the person, for bookkeeping alone.
#[test]
fn what_the_law_keeps_is_kept_for_bookkeeping_alone() {
    let hotel = Hotel::open(25, &[3]);
    let name = format!("{MARK}1");
    let (booking, registered) = booked(&hotel, 1, Who::New, &name);
    let person = hotel.person_at(registered);
    let invoice = invoice(&hotel);
    assert_eq!(invoice.position, Position(booking.0));
    let reads = |purpose| hotel.read_for(purpose, &[invoice]).remove(0);
    assert_eq!(reads(ReadPurpose::Administration), name);
    hotel.pass(24 * 3600);
    hotel.erase(person);
    assert_eq!(reads(ReadPurpose::Bookkeeping), name);
    for purpose in [ReadPurpose::Administration, ReadPurpose::OwnAccount, ReadPurpose::Booking] {
        assert_eq!(reads(purpose), "restricted");
    }
}

/// F52: and no longer than the law does, whoever asks and whosever it was.
#[test]
fn what_the_law_keeps_ends_with_its_year() {
    let hotel = Hotel::open(26, &[3]);
    let name = format!("{MARK}1");
    let (booking, registered) = booked(&hotel, 1, Who::New, &name);
    let person = hotel.person_at(registered);
    let invoice = invoice(&hotel);
    let reads = |hotel: &Hotel| hotel.read_for(ReadPurpose::Bookkeeping, &[invoice]).remove(0);
    let sweep = |hotel: &Hotel, now: Timestamp| retention::sweep(hotel.desk(), now).unwrap().years;
    let year = hotel.tenant().log().reader().hanging().unwrap();
    let year = year
        .iter()
        .find_map(|row| if let HangingOf::Period(5, year) = row.of { Some(year) } else { None });
    let year = year.unwrap();
    let (_, other) = booked(&hotel, 3, Who::New, &format!("{MARK}2"));
    let other = hotel.person_at(other);
    let kept = |hotel: &Hotel| gateway::receipt::kept(hotel.tenant(), other).unwrap().len();
    hotel.pass(24 * 3600);
    hotel.erase(person);

    let turn = |year: i16| date(year, 1, 1).in_tz("UTC").unwrap().timestamp();
    let second = SignedDuration::from_secs(1);
    assert_eq!(sweep(&hotel, turn(year + 8) - second), 0);
    // The ledger's own clock decides.
    assert_eq!(sweep(&hotel, turn(year + 8)), 0);
    assert_eq!((reads(&hotel), kept(&hotel)), (name, 1));
    let seconds = turn(year + 8).as_second() - hotel.now();
    hotel.pass(seconds);
    assert_eq!(sweep(&hotel, turn(year + 8)), 1);
    assert_eq!((reads(&hotel), sweep(&hotel, turn(year + 8))), ("erased".to_owned(), 0));
    assert_eq!(kept(&hotel), 0, "what has ended is promised to nobody");
    assert!(hotel.tenant().log().entry(Position(booking.0)).unwrap().is_some());
    hotel.assert_sound();
}

/// A year's key that is gone is no erasure unless the ledger says so.
#[test]
fn a_year_that_is_gone_before_its_time_is_found() {
    if system_tests::on_postgres() {
        return;
    }
    let hotel = Hotel::open(27, &[3]);
    booked(&hotel, 1, Who::New, &format!("{MARK}1"));
    hotel.assert_sound();
    let file = Connection::open(hotel.tenant().folder().join("ledger.sqlite")).unwrap();
    file.execute("DELETE FROM period_key WHERE class = 5", []).unwrap();
    let report = verify(hotel.tenant().log(), &mut |_, _| ()).unwrap();
    let codes: Vec<&str> = report.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["period_missing"]);
}

#[test]
fn somebody_who_comes_back_is_a_new_person() {
    let hotel = Hotel::open(23, &[3]);
    let name = format!("{MARK}same");
    let (first, registered) = booked(&hotel, 1, Who::New, &name);
    let person = hotel.person_at(registered);
    hotel.pass(24 * 3600);
    hotel.erase(person);
    let known = Guest { who: Who::Known(person), name: &name, note: &name };
    let part = crate::hotel::part(&known, domain::booking::Role::Booker);
    let wish = hotel.wish(hotel.rooms[0], crate::hotel::slot(hotel.now() + 3600, 1), vec![part]);
    assert!(intake::booking(hotel.tenant(), wish, 2030, staff()).is_err(), "no key comes back");

    let (again, registered) = booked(&hotel, 26, Who::New, &name);
    let returned = hotel.person_at(registered);
    assert_ne!(returned, person);
    let lookup = Lookup::new(LookupKind::Email, format!("{name}@example.org"));
    assert_eq!(hotel.tenant().keyring().find(&lookup).unwrap(), [returned]);
    assert_eq!(says(&hotel, Position(first.0))[..2], ["erased", "erased"]);
    assert_eq!(says(&hotel, Position(again.0)), vec![name; 3]);
    let handles = hotel.tenant().keyring().handles_of(returned).unwrap();
    assert_eq!(handles.len(), 2, "the registration's and the booking's");
    hotel.assert_sound();
}

#[test]
fn whoever_has_open_bookings_is_not_erased_before_they_are_over() {
    let hotel = Hotel::open(24, &[3]);
    let (_, registered) = booked(&hotel, 1, Who::New, &format!("{MARK}1"));
    let person = hotel.person_at(registered);
    let refused = hotel.wait(hotel.tenant().ledger.erase(person)).unwrap_err();
    assert!(matches!(refused, eventstore::AppendError::OpenBookings(1)), "{refused}");
    assert_eq!(hotel.state(person), PersonState::Live);
    assert_eq!(says(&hotel, registered), [format!("{MARK}1")]);
    hotel.pass(2 * 3600);
    hotel.erase(person);
    assert_eq!(says(&hotel, registered), ["erased"]);
}

#[test]
fn erasures_that_are_asked_for_at_once_are_each_answered_by_themselves() {
    let mut hotel = Hotel::open(25, &[3]);
    let guest = |hour, name| hotel.person_at(booked(&hotel, hour, Who::New, name).1);
    let [first, second, third] =
        [(1, "a"), (3, "b"), (5, "c")].map(|(hour, name)| guest(hour, name));
    hotel.pass(24 * 3600);
    let stays = guest(26, "d");
    let nobody = PersonId(1_000_000);
    let ledger = &hotel.tenant().ledger;
    let (one, two, twice, unknown, booked, three) = hotel.wait(async {
        tokio::join!(
            ledger.erase(first),
            ledger.erase(second),
            ledger.erase(second),
            ledger.erase(nobody),
            ledger.erase(stays),
            ledger.erase(third),
        )
    });
    assert!(matches!(unknown, Err(eventstore::AppendError::Key(_))), "{unknown:?}");
    assert!(matches!(booked, Err(eventstore::AppendError::OpenBookings(1))), "{booked:?}");
    let erased = domain::Refusal::from(domain::person::PersonRefusal::Erased);
    let again =
        matches!(twice, Err(eventstore::AppendError::Refused(refused)) if refused == erased);
    assert!(again, "nobody is erased twice");
    let fences: BTreeSet<Position> = [one, two, three]
        .map(|erasure| {
            let erasure = erasure.unwrap();
            hotel.wait(erasure.cleared).unwrap().unwrap();
            assert_eq!(
                erasure.ended, 3,
                "what was said when they were registered and of their booking"
            );
            erasure.fence
        })
        .into();
    assert_eq!(fences.len(), 3);
    for person in [first, second, third] {
        assert_eq!(hotel.state(person), PersonState::Erased);
    }
    assert_eq!(hotel.state(stays), PersonState::Live);
    let marks = fs::read_dir(hotel.keys().join("marks")).unwrap().next().unwrap().unwrap().path();
    let marks = fs::read_to_string(marks).unwrap();
    assert_eq!(marks.matches("\"fence\":\"").count(), 3, "one for each: {marks}");
    hotel.assert_sound();
    hotel.crash();
    assert_eq!(hotel.state(third), PersonState::Erased);
    hotel.assert_sound();
}
