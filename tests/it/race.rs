//! A time is never sold twice, however many ask for it at once.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, header};
use http_body_util::BodyExt;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use system_tests::{Answer, TestApp};
use tokio::net::{TcpListener, TcpStream};

const RACERS: usize = 1000;
/// How many requests each of the connections carries.
const EACH: usize = 10;

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

/// Sends requests over one connection, one after another, and gives what each came to.
async fn call(address: SocketAddr, requests: Vec<(Span, Request<Body>)>) -> Vec<(Span, Answer)> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut answers = Vec::new();
    for (span, request) in requests {
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        let body = serde_json::from_slice(&bytes).unwrap();
        let (status, headers) = (head.status, head.headers);
        answers.push((span, Answer { status, headers, bytes, body }));
    }
    answers
}

/// Over real connections, from the first byte of a request to the last of its answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_racing_bookings_leave_exactly_the_winners() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(gateway::http::serve(Arc::clone(&app.app), listener, pending::<()>()));
    let mut chance = fastrand::Rng::with_seed(7);
    let mut racing = Vec::new();
    for _ in 0..RACERS / EACH {
        let mut requests = Vec::new();
        for _ in 0..EACH {
            let span = wanted(&mut chance);
            let wish = salon.wish(&client, &span.0.to_string(), &span.1.to_string());
            let body = serde_json::to_vec(&wish).unwrap();
            let mut request = salon.tenant.staff.request(Method::POST, "/v1/bookings", body);
            request.headers_mut().insert(header::HOST, HeaderValue::from_static("localhost"));
            requests.push((span, request));
        }
        racing.push(tokio::spawn(call(address, requests)));
    }
    let (mut winners, mut losers): (Vec<Span>, Vec<Span>) = (Vec::new(), Vec::new());
    for caller in racing {
        for (span, answer) in caller.await.unwrap() {
            match answer.status.as_u16() {
                201 => winners.push(span),
                _ => {
                    answer.problem(409, "slot_unavailable");
                    losers.push(span);
                }
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
