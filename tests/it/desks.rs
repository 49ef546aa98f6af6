//! Tenants are opened when somebody comes and closed when nobody has for a while.

use std::fs;

use jiff::SignedDuration;
use system_tests::TestApp;

const TEN: &str = "2026-03-02T10:00:00";
const ELEVEN: &str = "2026-03-02T11:00:00";

/// How many files of these folders' this process has open.
fn open_files(app: &TestApp) -> usize {
    let folder = app.folder.path();
    let open = fs::read_dir("/proc/self/fd").unwrap();
    let targets = open.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    targets.filter(|target| target.starts_with(folder)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_nobody_uses_is_closed_and_opened_again_for_whoever_comes() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let booking = salon.booked(&client, TEN, ELEVEN).await;
    let (staff, path) = (salon.tenant.staff.clone(), format!("/v1/bookings/{booking}"));
    salon.tenant.desk.follow().unwrap();
    let before = open_files(&app);
    // Somebody has it: it stays.
    app.clock.advance(SignedDuration::from_mins(6));
    app.app.rest();
    assert_eq!(open_files(&app), before);
    drop(salon);
    // What is followed in the background may hold it for a moment.
    while open_files(&app) > 2 {
        app.app.rest();
        tokio::task::yield_now().await;
    }
    let seen = app.app.seen("salon").unwrap();
    assert_eq!((seen.bookings, seen.lag, seen.stopped), (1, 0, 0));
    assert!(open_files(&app) <= 2, "asking for counts opens nothing");
    assert_eq!(app.anybody().get("/ready").await.ok().body["tenants"], 1);
    assert!(open_files(&app) <= 2, "and neither does a look at all tenants");
    staff.get(&path).await.ok();
    assert!(open_files(&app) > 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_tenants_few_stay_open_and_all_are_ready() {
    let app = TestApp::default();
    let mut keys = Vec::new();
    for number in 0..80 {
        let tenant = app.tenant(&format!("tenant-{number}")).await;
        keys.push(tenant.staff.clone());
    }
    let ready = app.anybody().get("/ready").await.ok();
    assert_eq!(ready.body["tenants"], 80);
    app.clock.advance(SignedDuration::from_secs(11));
    app.app.rest();
    // Ten files each, were they all open.
    assert!(open_files(&app) < 700, "{}", open_files(&app));
    for staff in keys {
        staff.get("/v1/resources").await.ok();
    }
}
