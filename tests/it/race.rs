//! A time is never sold twice, however many ask for it at once.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use system_tests::{Answer, TestApp};

const RACERS: usize = 1000;

type Span = (Timestamp, Timestamp);

fn overlap(one: Span, other: Span) -> bool {
    one.0 < other.1 && other.0 < one.1
}

/// A time between 9 and 17 on one of two days, in quarters of an hour, from chance.
fn wanted(chance: &mut fastrand::Rng) -> Span {
    let opening: Timestamp = "2026-03-02T08:00:00Z".parse().unwrap();
    let (day, start) = (chance.i64(0..2), chance.i64(0..29));
    let length = chance.i64(1..=3);
    let start =
        opening + SignedDuration::from_hours(24 * day) + SignedDuration::from_mins(15 * start);
    (start, start + SignedDuration::from_mins(15 * length))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_racing_bookings_leave_exactly_the_winners() {
    let app = TestApp::default();
    let salon = Arc::new(app.salon("salon").await);
    let client = salon.tenant.client("Astrid").await;
    let mut chance = fastrand::Rng::with_seed(7);
    let mut racing = Vec::new();
    for _ in 0..RACERS {
        let span = wanted(&mut chance);
        let (staff, wish) = (
            salon.tenant.staff.clone(),
            salon.wish(&client, &span.0.to_string(), &span.1.to_string()),
        );
        racing.push(tokio::spawn(async move { (span, staff.post("/v1/bookings", &wish).await) }));
    }
    let (mut winners, mut losers): (Vec<Span>, Vec<Span>) = (Vec::new(), Vec::new());
    for racer in racing {
        let (span, answer): (Span, Answer) = racer.await.unwrap();
        match answer.status.as_u16() {
            201 => winners.push(span),
            _ => {
                answer.problem(409, "slot_unavailable");
                losers.push(span);
            }
        }
    }
    assert_eq!(winners.len() + losers.len(), RACERS);
    for (n, one) in winners.iter().enumerate() {
        assert!(
            winners.iter().skip(n + 1).all(|other| !overlap(*one, *other)),
            "{one:?} sold twice"
        );
    }
    for lost in losers {
        assert!(winners.iter().any(|won| overlap(*won, lost)), "{lost:?} was free");
    }
}
