//! What becomes of connections that dawdle, and of requests under way when the server stops.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::{HEAD, HEADERS, serve};

async fn connected(router: Router, stop: oneshot::Receiver<()>) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { serve(&listener, &router, async { drop(stop.await) }).await });
    TcpStream::connect(address).await.unwrap()
}

async fn rest(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn hello() -> Router {
    Router::new().route("/", get(|| async { "hello" }))
}

/// Time is the test's own: it jumps to the next thing that waits for it.
#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_is_not_waited_for() {
    let (_stop, stopped) = oneshot::channel();
    let mut stream = connected(hello(), stopped).await;
    let began = Instant::now();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: here\r\nX-Slow: ").await.unwrap();
    let answer = rest(stream).await;
    assert!(!answer.contains("200 OK"), "{answer}");
    assert!(began.elapsed() >= HEAD);
}

#[tokio::test]
async fn a_head_of_too_many_headers_is_refused() {
    let (_stop, stopped) = oneshot::channel();
    let mut stream = connected(hello(), stopped).await;
    let headers = "X-Many: 1\r\n".repeat(HEADERS + 1);
    let request = format!("GET / HTTP/1.1\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn what_is_under_way_is_finished_when_the_server_stops() {
    let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (here, waits) = (Arc::clone(&arrived), Arc::clone(&go_on));
    let slow = move || async move {
        here.notify_one();
        waits.notified().await;
        "finished"
    };
    let (stop, stopped) = oneshot::channel();
    let mut stream = connected(Router::new().route("/", get(slow)), stopped).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").await.unwrap();
    arrived.notified().await;
    stop.send(()).unwrap();
    go_on.notify_one();
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("finished"), "{answer}");
}
