//! One client's connection: requests over loopback HTTP, one after the other.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::failed;
use crate::cli::CliError;

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub status: u16,
    pub bytes: Bytes,
}

impl Reply {
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap_or_default()
    }

    /// The answer's JSON, where it has this status.
    pub(super) fn json(&self, status: u16) -> Result<Value, String> {
        if self.status != status {
            return Err(format!("{} instead of {status}: {}", self.status, self.text()));
        }
        serde_json::from_slice(&self.bytes).map_err(|error| error.to_string())
    }
}

/// A connection.
pub(super) struct Wire {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
    /// What tells this client's repeats from others'.
    name: String,
    calls: u64,
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, CliError> {
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(failed)?;
    tokio::spawn(connection);
    Ok(sender)
}

impl Wire {
    pub(super) async fn connect(address: SocketAddr, name: String) -> Result<Self, CliError> {
        Ok(Self { address, sender: connect(address).await?, name, calls: 0 })
    }

    pub(super) async fn get(&mut self, key: &str, path: &str) -> Result<Reply, CliError> {
        self.send(Method::GET, key, path, None).await
    }

    pub(super) async fn post(
        &mut self,
        key: &str,
        path: &str,
        body: &Value,
    ) -> Result<Reply, CliError> {
        self.send(Method::POST, key, path, Some(body)).await
    }

    pub(super) async fn send(
        &mut self,
        method: Method,
        key: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, CliError> {
        self.calls += 1;
        let mut request = Request::builder()
            .uri(path)
            .header("host", "localhost")
            .header("authorization", format!("Bearer {key}"));
        if method == Method::POST {
            let once = format!("\"{}-{}\"", self.name, self.calls);
            request = request.header("idempotency-key", once);
        } else if method != Method::GET {
            // Whatever stands there: nobody else changes it.
            request = request.header("if-match", "*");
        }
        let bytes = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        let request = request.method(method).body(Full::new(bytes)).map_err(failed)?;
        // A server may close a connection after a refusal.
        if self.sender.ready().await.is_err() {
            self.sender = connect(self.address).await?;
        }
        let answer = self.sender.send_request(request).await.map_err(failed)?;
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.map_err(failed)?.to_bytes();
        Ok(Reply { status, bytes })
    }
}
