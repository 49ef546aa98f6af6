//! Import: rows become bookings or are refused one by one, and a second run changes nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::{Actor, Field};
use eventstore::{Lookup, LookupKind, PersonId, Personal};
use gateway::import::{self, ImportError, Options, Report};
use gateway::intake::{self, Sender};
use gateway::{Desk, DeskError, clock};
use projections::StatFacet;
use serde_json::{Value, json};
use tempfile::TempDir;

/// When the imports are.
const NOW: &str = "2026-11-20T12:00:00Z";

/// A tenant in a folder of its own, and room for files to import.
struct House {
    folder: TempDir,
    desk: Arc<Desk>,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (data, keys) = (folder.path().join("data"), folder.path().join("keys"));
        let ledger = system_tests::database();
        let app = system_tests::open_at(ledger.as_deref(), &data, &keys, clock::system()).unwrap();
        let desk = app.create_tenant("house", "Europe/Stockholm".parse().unwrap()).unwrap();
        Self { folder, desk }
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn try_import(
        &self,
        file: &Path,
        mapping: &Path,
        dry_run: bool,
    ) -> Result<Report, ImportError> {
        let options = Options { dry_run, now: NOW.parse().unwrap() };
        import::run(&self.desk, file, mapping, options, &|_, _| ())
    }

    #[track_caller]
    fn import(&self, rows: &str, mapping: &str) -> Report {
        let (file, mapping) = (self.file("rows.csv", rows), self.file("mapping.toml", mapping));
        self.try_import(&file, &mapping, false).unwrap()
    }

    fn entries(&self) -> u64 {
        self.desk.tenant.log().size()
    }

    fn statistics(&self, by: &[StatFacet]) -> Value {
        self.desk.follow().unwrap();
        let counts =
            self.desk.read::<_, DeskError>(|reader| Ok(reader.statistics().counts(by, None)?));
        projections::nested(by, &counts.unwrap())
    }

    fn persons(&self) -> usize {
        self.desk.tenant.keyring().page(PersonId(0), 10_000).unwrap().len()
    }
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

/// A table of appointments, of which each test needs only a few columns.
const TABLE: &str = r#"
    [service]
    name = "Massage"
    [resource]
    group = "House"
    name = "{room}"
    capacity = 1
    [start]
    date = "{from}"
    [end]
    date = "{to}"
    [status]
    is = { value = "{status}", map = { "here" = "completed", "off" = "cancelled" } }
    [person]
    same = "{who}"
    [person.fields]
    name = "{who}"
    email = "{mail}"
"#;

const HEAD: &str = "room,from,to,status,who,mail\n";

#[test]
fn nights_are_imported_with_what_became_of_them() {
    let house = House::new();
    let (file, mapping) = (example("hotel/sample.csv"), example("hotel/mapping.toml"));
    let report = house.try_import(&file, &mapping, false).unwrap();
    assert_eq!((report.rows, report.imported, report.refused_rows()), (60, 60, 0), "{report}");
    assert_eq!(
        house.statistics(&[StatFacet::Group, StatFacet::Outcome]),
        json!({
            "Harbour Hotel": {"completed": 20, "cancelled": 11, "no_show": 1},
            "Hill Hotel": {"completed": 21, "cancelled": 6, "no_show": 1},
        })
    );
}

#[test]
fn appointments_are_imported_with_their_clients() {
    let house = House::new();
    let (file, mapping) = (example("salon/sample.csv"), example("salon/mapping.toml"));
    let report = house.try_import(&file, &mapping, false).unwrap();
    assert_eq!((report.imported, report.skipped, report.refused_rows()), (6, 1, 0), "{report}");
    assert_eq!(house.persons(), 4);
    assert_eq!(
        house.statistics(&[StatFacet::Service, StatFacet::Nth]),
        json!({"Cut": {"1": 3, "2": 1}, "Colour": {"1": 1, "2": 1}})
    );
}

#[test]
fn a_bad_row_is_refused_for_its_own_reason_and_the_others_go_in() {
    type Refusal = (&'static str, Option<&'static str>);
    let rows: &[(&[u8], Option<Refusal>)] = &[
        (b"1,2031-03-01T10:00,2031-03-01T11:00,here,a,a@example.org", None),
        (b"1,2031-03-02T10:00,2031-03-02T11:00,gone,b,", Some(("unknown_status", Some("status")))),
        (b"1,2031-02-30T10:00,2031-03-02T11:00,here,c,", Some(("bad_date", Some("from")))),
        (b"1,2031-03-03T10:00,2031-03-03T09:00,here,d,", Some(("end_not_after_start", Some("to")))),
        (
            b"1,2031-03-30T02:30,2031-03-30T04:00,here,e,",
            Some(("nonexistent_local_time", Some("from"))),
        ),
        (
            b"1,2031-10-26T02:30,2031-10-26T04:00,here,f,",
            Some(("ambiguous_local_time", Some("from"))),
        ),
        (b"1,2031-03-04T10:00,2031-03-04T11:00", Some(("field_count", None))),
        (b"1,2031-03-05T10:00,2031-03-05T11:00,here,\xe5sa,", Some(("not_utf8", Some("who")))),
        (b",2031-03-06T10:00,2031-03-06T11:00,here,g,", Some(("missing", Some("room")))),
        (b"1,2031-03-07,2031-03-07T11:00,here,h,", Some(("missing", Some("from")))),
        (
            b"1,2031-03-08T10:00,2031-03-08T11:00,here,i,no mail",
            Some(("field_malformed", Some("mail"))),
        ),
        (b"1,2031-03-01T10:30,2031-03-01T11:30,here,j,", Some(("slot_unavailable", None))),
        (b"1,2031-03-01T11:00,2033-03-01T11:30,here,k,", Some(("slot_too_long", Some("to")))),
        (b"1,2031-03-01T11:00,2031-03-01T11:30,here,l,", None),
        (b"a room\x07,2031-03-01T11:00,2031-03-01T11:30,here,m,", Some(("bad_name", None))),
        (b"1,2031-03-01T11:15,2031-03-01T11:45,off,n,", Some(("slot_unavailable", None))),
    ];
    let house = House::new();
    let mut file = HEAD.as_bytes().to_vec();
    let mut expected = Vec::new();
    for (line, (row, refusal)) in (2..).zip(rows) {
        file.extend(*row);
        file.push(b'\n');
        expected.extend(
            refusal.map(|(code, column)| (line, code.to_owned(), column.map(str::to_owned))),
        );
    }
    let (file, mapping) = (house.file("rows.csv", file), house.file("mapping.toml", TABLE));
    let report = house.try_import(&file, &mapping, false).unwrap();
    let refused = report.refused.first.iter();
    let refused: Vec<_> =
        refused.map(|row| (row.line, row.code.clone(), row.column.clone())).collect();
    assert_eq!(refused, expected);
    assert_eq!((report.imported, report.refused_rows()), (2, 14));
}

#[test]
fn a_value_that_is_too_long_is_refused() {
    let house = House::new();
    let row = format!("1,2031-03-01T10:00,2031-03-01T11:00,here,{},\n", "x".repeat(5000));
    let report = house.import(&format!("{HEAD}{row}"), TABLE);
    assert_eq!(report.refused.first[0].code, "too_long");
}

#[test]
fn a_report_says_nothing_personal() {
    let house = House::new();
    let rows = "1,yesterday,,here,Alma Example,alma@example.org\n\
                1,2031-03-01T10:00,2031-03-01T11:00,Alma's status,Alma Example,alma@example.org\n\
                1,2031-03-01T10:00,2031-03-01T11:00,here,Alma Example,alma at example.org\n\
                1,2031-03-01T10:00,2031-03-01T11:00,here,Alma Example,alma@example.org\n";
    let report = house.import(&format!("{HEAD}{rows}"), TABLE);
    assert_eq!((report.imported, report.refused_rows()), (1, 3));
    let said = format!("{report}{}", serde_json::to_string(&report).unwrap());
    assert!(!said.contains("lma") && !said.contains("yesterday"), "{said}");
}

#[test]
fn a_dry_run_appends_nothing_and_reports_the_same() {
    let house = House::new();
    let (file, mapping) = (house.file("rows.csv", crowd(400)), house.file("mapping.toml", TABLE));
    let before = house.entries();
    let rehearsed = house.try_import(&file, &mapping, true).unwrap();
    assert_eq!(house.entries(), before);
    let real = house.try_import(&file, &mapping, false).unwrap();
    assert!(real.imported > 50 && real.refused_rows() > 50, "{real}");
    assert_eq!(Report { dry_run: false, ..rehearsed }, real);
}

/// The law keeps a year for seven more: what would have to be destroyed at once does not come in.
#[test]
fn invoice_details_of_a_year_that_is_over_are_refused_in_a_dry_run_too() {
    let house = House::new();
    let table = format!("{TABLE}\n    invoice_name = \"{{who}} Ltd\"\n");
    let rows = format!(
        "{HEAD}1,2018-12-31T10:00,2018-12-31T11:00,here,a,\n1,2019-01-01T10:00,2019-01-01T11:00,here,b,\n"
    );
    let (file, mapping) = (house.file("rows.csv", rows), house.file("mapping.toml", table));
    for dry_run in [true, false] {
        let report = house.try_import(&file, &mapping, dry_run).unwrap();
        let refused: Vec<_> =
            report.refused.first.iter().map(|row| (row.line, row.code.as_str())).collect();
        assert_eq!((report.imported, refused), (1, vec![(2, "year_ended")]), "{report}");
    }
}

/// Stays of several days on few rooms, so that most of them want what another has.
fn crowd(rows: usize) -> String {
    let mut random = fastrand::Rng::with_seed(7);
    let mut file = HEAD.to_owned();
    for _ in 0..rows {
        let (room, day, days) = (random.u8(1..4), random.u8(1..20), random.u8(1..8));
        let status = random.choice(["here", "off", "off"]).unwrap();
        let who = random.u8(0..40);
        file += &format!(
            "{room},2031-03-{day:02}T10:00,2031-03-{:02}T09:00,{status},{who},{who}@example.org\n",
            day + days
        );
    }
    file
}

#[test]
fn a_second_run_appends_nothing() {
    let house = House::new();
    for (file, mapping) in
        [("hotel/sample.csv", "hotel/mapping.toml"), ("salon/sample.csv", "salon/mapping.toml")]
    {
        let (file, mapping) = (example(file), example(mapping));
        let first = house.try_import(&file, &mapping, false).unwrap();
        let entries = house.entries();
        let second = house.try_import(&file, &mapping, false).unwrap();
        assert_eq!((second.imported, second.repeated), (0, first.imported));
        assert_eq!((second.refused_rows(), second.created), (0, Default::default()));
        assert_eq!(house.entries(), entries);
    }
}

#[test]
fn of_a_corrected_file_only_the_corrected_rows_go_in() {
    let house = House::new();
    let good = "1,2031-03-01T10:00,2031-03-01T11:00,here,a,\n";
    let other = "2,2031-03-02T10:00,2031-03-02T11:00,here,a,\n";
    let first =
        house.import(&format!("{HEAD}{good}1,2031-03-02,2031-03-02T11:00,here,b,\n{other}"), TABLE);
    assert_eq!((first.imported, first.refused_rows()), (2, 1));
    let second = house.import(
        &format!("{HEAD}{other}1,2031-03-02T10:00,2031-03-02T11:00,here,b,\n{good}"),
        TABLE,
    );
    assert_eq!((second.imported, second.repeated), (1, 2));
}

#[test]
fn rows_that_are_alike_are_different_bookings_unless_they_have_a_key() {
    let row = "1,2031-03-01T10:00,2031-03-01T11:00,off,a,\n";
    let twice = format!("{HEAD}{row}{row}");
    assert_eq!(House::new().import(&twice, TABLE).imported, 2);
    let keyed = format!("{TABLE}\n[row]\nkey = \"{{from}} {{who}}\"");
    let report = House::new().import(&twice, &keyed);
    assert_eq!((report.imported, report.refused.first[0].code.as_str()), (1, "key_twice"));
}

#[test]
fn rows_of_the_same_person_are_one_person_also_in_the_next_file() {
    let house = House::new();
    let row =
        |hour: u8, who: &str| format!("1,2031-03-01T{hour}:00,2031-03-01T{hour}:30,here,{who},\n");
    house.import(&[HEAD, &row(10, "a"), &row(11, "b"), &row(12, "a")].concat(), TABLE);
    assert_eq!(house.persons(), 2);
    house.import(&[HEAD, &row(13, "b"), &row(14, "c"), &row(15, "a")].concat(), TABLE);
    assert_eq!(house.persons(), 3);
    let elsewhere = format!("source = \"another system\"\n{TABLE}");
    house.import(&[HEAD, &row(16, "a")].concat(), &elsewhere);
    assert_eq!(house.persons(), 4);
}

#[test]
fn a_person_is_found_by_the_number_that_staff_knows() {
    let house = House::new();
    let mapping = TABLE.replace("[person]", "[person]\nreference = \"no. {who}\"");
    house.import(&format!("{HEAD}1,2031-03-01T10:00,2031-03-01T11:00,here,7,\n"), &mapping);
    let lookup = Lookup::new(LookupKind::Reference, "no. 7".to_owned());
    assert_eq!(house.desk.tenant.keyring().find(&lookup).unwrap().len(), 1);
}

#[test]
fn rows_are_known_again_after_their_person_was_corrected() {
    let house = House::new();
    let rows = format!("{HEAD}1,2031-03-01T10:00,2031-03-01T11:00,off,a,a@example.org\n");
    house.import(&rows, TABLE);
    let tenant = &house.desk.tenant;
    let person = tenant.keyring().page(PersonId(0), 1).unwrap()[0].id;
    let fields = Personal::default().with(Field::Name, "b".to_owned());
    let sender = Sender::new(Actor::System);
    let rectify = intake::rectify(tenant, person, &fields, None, sender).unwrap();
    tenant.ledger.append_blocking(rectify).unwrap();
    assert_eq!(house.import(&rows, TABLE).repeated, 1);
}

#[test]
fn a_person_whose_first_row_is_refused_comes_with_the_next() {
    let house = House::new();
    let rows = "1,2031-03-01T10:00,2031-03-01T12:00,here,a,\n\
                1,2031-03-01T11:00,2031-03-01T12:00,here,b,\n\
                1,2031-03-01T13:00,2031-03-01T14:00,here,b,b@example.org\n";
    let report = house.import(&format!("{HEAD}{rows}"), TABLE);
    assert_eq!((report.imported, report.refused_rows(), house.persons()), (2, 1, 2));
}

#[test]
fn a_capacity_that_fits_is_the_smallest_that_does() {
    let rows = crowd(120);
    let chosen = |report: &Report| report.capacities.iter().map(|seats| seats.capacity).max();
    let fit = TABLE.replace("capacity = 1", "capacity = \"fit\"");
    let report = House::new().import(&rows, &fit);
    assert_eq!((report.imported, report.refused_rows()), (120, 0), "{report}");
    let places = chosen(&report).unwrap();
    let import = |places: u16| {
        House::new().import(&rows, &TABLE.replace("capacity = 1", &format!("capacity = {places}")))
    };
    assert_eq!(import(places).refused_rows(), 0);
    assert!(import(places - 1).refused_rows() > 0);
}

#[test]
fn a_second_file_raises_a_capacity_that_must_fit_both() {
    let house = House::new();
    let fit = TABLE.replace("capacity = 1", "capacity = \"fit\"");
    let row = |who: &str| format!("{HEAD}1,2031-03-01T10:00,2031-03-01T11:00,here,{who},\n");
    assert_eq!(house.import(&row("a"), &fit).capacities[0].capacity, 1);
    let second = house.import(&row("b"), &fit);
    assert_eq!((second.capacities[0].capacity, second.refused_rows()), (2, 0));
    assert!(second.created.resources.is_empty());
}

#[test]
fn a_file_may_have_a_mark_other_line_ends_and_no_header() {
    let mapping = format!(
        "{TABLE}\n[file]\ndelimiter = \"\\t\"\nquote = \"\"\n\
         columns = [\"room\", \"from\", \"to\", \"status\", \"who\", \"mail\"]"
    );
    let rows = "\u{feff}1\t2031-03-01T10:00\t2031-03-01T11:00\there\t\"a\t\r\n";
    assert_eq!(House::new().import(rows, &mapping).imported, 1);
    let marked = format!("\u{feff}{HEAD}1,2031-03-01T10:00,2031-03-01T11:00,here,a,\r\n");
    assert_eq!(House::new().import(&marked, TABLE).imported, 1);
}

#[test]
fn a_wrong_mapping_is_told_by_its_key() {
    let house = House::new();
    let file = house.file("rows.csv", HEAD);
    let before = house.entries();
    for (from, to, key) in [
        ("name = \"Massage\"", "nmae = \"Massage\"", "nmae"),
        ("[person]", "[persons]", "persons"),
        ("\"{room}\"", "\"{raum}\"", "raum"),
        ("\"{room}\"", "\"{room\"", "name"),
        ("capacity = 1", "capacity = 0", "capacity"),
        ("capacity = 1", "capacity = \"many\"", "capacity"),
        ("= \"cancelled\"", "= \"canceled\"", "canceled"),
        ("date = \"{to}\"", "date = \"{to}\"\nminutes = 5", "end"),
        ("name = \"{who}\"", "shoe_size = \"{who}\"", "shoe_size"),
        ("email = ", "evidence = ", "person.fields"),
        ("[service]", "zone = \"Europe/Atlantis\"\n[service]", "zone"),
        ("[service]", "[booking]\nprice = \"{mail}\"\n[service]", "booking.currency"),
        ("[service]", "[booking]\nchannel = \"carrier pigeon\"\n[service]", "channel"),
    ] {
        assert!(TABLE.contains(from), "{from}");
        let mapping = house.file("mapping.toml", TABLE.replacen(from, to, 1));
        let error = house.try_import(&file, &mapping, false).unwrap_err();
        assert!(error.is_usage(), "{error}");
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(format!("{error}: {cause}").contains(key), "{key}: {error}: {cause}");
    }
    assert_eq!(house.entries(), before);
}

#[test]
#[expect(clippy::print_stdout, reason = "whoever reads the output learns why nothing was compared")]
fn two_hotels_come_out_as_their_data_say() {
    let Some(file) = hotel_bookings() else {
        println!("hotel_bookings.csv is not here (TIDBOK_HOTEL_CSV); nothing was compared");
        return;
    };
    let house = House::new();
    let report = house.try_import(&file, &example("hotel/mapping.toml"), false).unwrap();
    assert_eq!((report.rows, report.imported), (14_938, 14_938), "{report}");
    assert_eq!(
        house.statistics(&[StatFacet::Group, StatFacet::Outcome]),
        json!({
            "Resort Hotel": {"completed": 3666, "cancelled": 6173, "no_show": 160},
            "City Hotel": {"completed": 3272, "cancelled": 1620, "no_show": 47},
        })
    );
}

/// The published data set, where somebody has put it. It is not part of this repository.
pub(crate) fn hotel_bookings() -> Option<PathBuf> {
    let beside = || {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        root.join("../shared/data/hotel_bookings.csv")
    };
    let told = std::env::var_os("TIDBOK_HOTEL_CSV").map(PathBuf::from);
    Some(told.unwrap_or_else(beside)).filter(|path| path.exists())
}
