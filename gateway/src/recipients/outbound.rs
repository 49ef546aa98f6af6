//! Sending notices out: where they may go, and how long that may take.
//!
//! Whoever administers one tenant of many chooses the addresses, so by default none leads into the
//! operator's own network, whatever a name resolves to at that moment, and nothing is followed to
//! another place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url};

/// How long the other side has to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where notices may go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reach {
    /// To addresses of the public network, encrypted.
    #[default]
    Public,
    /// To any, also in clear: for an operator whose recipients are in the same house.
    Any,
}

/// Why a notice did not come through.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    #[error("notices are not sent there: not to private addresses, and only by https")]
    NotThere,
    #[error("the other side answered {0}")]
    Answer(u16),
    #[error("the other side cannot be reached")]
    Unreachable(#[source] reqwest::Error),
}

/// A notice on its way.
pub(super) struct Delivery {
    pub id: String,
    /// Seconds since 1970.
    pub timestamp: i64,
    pub signature: String,
    pub body: String,
}

/// Sends notices.
#[derive(Default)]
pub struct Outbound {
    reach: Reach,
    client: OnceLock<Client>,
}

impl Outbound {
    pub fn new(reach: Reach) -> Self {
        Self { reach, client: OnceLock::new() }
    }

    /// Sends a notice; the other side has it when this answers.
    ///
    /// # Errors
    /// Where it may not be sent there, or no success comes back in time.
    pub(super) async fn post(&self, to: &str, delivery: Delivery) -> Result<(), OutboundError> {
        let url: Url = to.parse().map_err(|_| OutboundError::NotThere)?;
        if !self.is_open_to(&url) {
            return Err(OutboundError::NotThere);
        }
        let answer = self
            .client()?
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", delivery.id)
            .header("webhook-timestamp", delivery.timestamp)
            .header("webhook-signature", delivery.signature)
            .body(delivery.body)
            .send()
            .await
            .map_err(|error| OutboundError::Unreachable(error.without_url()))?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(OutboundError::Answer(status.as_u16())) }
    }

    fn is_open_to(&self, url: &Url) -> bool {
        match self.reach {
            Reach::Any => true,
            Reach::Public => {
                let host = url.host_str().unwrap_or_default();
                let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
                // Names are looked at when they are resolved.
                url.scheme() == "https" && literal.map_or(true, is_public)
            }
        }
    }

    fn client(&self) -> Result<&Client, OutboundError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("tidbok/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(Guarded(self.reach)))
            .build()
            .map_err(OutboundError::Unreachable)?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// Resolves names, and forgets addresses that notices may not go to.
struct Guarded(Reach);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let Self(reach) = *self;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let open: Vec<SocketAddr> =
                found.filter(|to| reach == Reach::Any || is_public(to.ip())).collect();
            if open.is_empty() {
                return Err(Box::new(OutboundError::NotThere).into());
            }
            Ok(Box::new(open.into_iter()) as Addrs)
        })
    }
}

/// Whether an address belongs to the public network (the special ones are those of RFC 6890 and its
/// registries).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocols = (a, b, c) == (192, 0, 0);
    let benchmarks = a == 198 && (18..20).contains(&b);
    !(a == 0
        || a >= 224
        || shared
        || protocols
        || benchmarks
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = address.to_ipv4_mapped() {
        return is_public_v4(inner);
    }
    let [first, second, ..] = address.segments();
    // Global unicast, without documentation, and without the tunnels that lead to IPv4 addresses.
    let tunnels = first == 0x2002 || (first, second) == (0x2001, 0);
    let documentation = (first, second) == (0x2001, 0xdb8) || first == 0x3fff;
    (0x2000..0x4000).contains(&first) && !tunnels && !documentation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_notice_goes_to_a_private_address_or_in_clear() {
        let open = |url: &str| Outbound::default().is_open_to(&url.parse().unwrap());
        for public in
            ["https://books.example/hook", "https://93.184.215.14", "https://[2606:4700::1]"]
        {
            assert!(open(public), "{public}");
        }
        for private in [
            "http://books.example/hook",
            "https://127.0.0.1",
            "https://2130706433",
            "https://10.0.0.8:8443/x",
            "https://172.16.0.1",
            "https://192.168.1.1",
            "https://169.254.169.254/latest",
            "https://100.64.0.1",
            "https://0.0.0.0",
            "https://[::1]",
            "https://[fd00::1]",
            "https://[fe80::1]",
            "https://[::ffff:127.0.0.1]",
            "https://[2002:7f00:1::]",
            "https://[64:ff9b::a00:1]",
        ] {
            assert!(!open(private), "{private}");
        }
    }

    /// Also where a name leads there.
    #[tokio::test]
    async fn a_name_of_a_private_address_leads_nowhere() {
        let resolve = |reach| Guarded(reach).resolve("localhost".parse().unwrap());
        assert!(resolve(Reach::Public).await.is_err());
        assert!(resolve(Reach::Any).await.unwrap().next().is_some());
    }
}
