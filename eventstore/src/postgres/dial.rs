//! Connecting to a server, in the clear or under TLS.
//!
//! With `sslmode=require` in its address the server has to show a certificate that the system's
//! authorities, or the file named by `SSL_CERT_FILE`, vouch for. Without it nothing is encrypted,
//! which is for a server on the same machine.

use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::PgError;

/// How long a server may take to let somebody in once it is reached: one that takes connections and
/// says nothing is as good as gone.
const ANSWER: Duration = Duration::from_secs(5);

/// How a server is reached.
#[derive(Clone)]
pub(super) struct Dial {
    config: Config,
    tls: Option<MakeRustlsConnect>,
}

impl Dial {
    pub(super) fn new(mut config: Config) -> Result<Self, PgError> {
        let required = config.get_ssl_mode() == SslMode::Require;
        if !required && config.get_hosts().iter().any(is_elsewhere) {
            tracing::warn!(
                "the connection to the database is not encrypted; add sslmode=require to --ledger"
            );
        }
        let tls = match required {
            true => {
                let (tls, _) =
                    MakeRustlsConnect::with_native_certs().map_err(|_| PgError::NoRoots)?;
                Some(tls)
            }
            false => {
                config.ssl_mode(SslMode::Disable);
                None
            }
        };
        Ok(Self { config, tls })
    }

    /// Connects, and drives the connection until it ends or `hear` wants no more of what the
    /// server says by itself.
    pub(super) async fn connect(
        &self,
        hear: impl FnMut(AsyncMessage) -> bool + Send + 'static,
    ) -> Result<(Client, JoinHandle<()>), PgError> {
        // Each host has its time to be reached, and all of them together one answer to give.
        let hosts = u32::try_from(self.config.get_hosts().len()).unwrap_or(u32::MAX);
        let reach = self.config.get_connect_timeout().copied().unwrap_or(ANSWER);
        let most = reach.saturating_mul(hosts).saturating_add(ANSWER);
        let connected = tokio::time::timeout(most, self.reach(hear)).await;
        connected.map_err(|_| PgError::Silent)?.map_err(PgError::of)
    }

    async fn reach(
        &self,
        hear: impl FnMut(AsyncMessage) -> bool + Send + 'static,
    ) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        match self.tls.clone() {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls).await?;
                Ok((client, tokio::spawn(drive(connection, hear))))
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                Ok((client, tokio::spawn(drive(connection, hear))))
            }
        }
    }
}

/// What ends a connection is told to whoever uses it.
async fn drive<S, T>(mut connection: Connection<S, T>, mut hear: impl FnMut(AsyncMessage) -> bool)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        if !hear(message) {
            return;
        }
    }
}

fn is_elsewhere(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            let address: Result<std::net::IpAddr, _> = name.parse();
            name != "localhost" && !address.is_ok_and(|address| address.is_loopback())
        }
        Host::Unix(_) => false,
    }
}
