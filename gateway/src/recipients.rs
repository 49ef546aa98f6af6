//! Whom a tenant gives personal data, by its policy as it stands in the ledger, and what they are
//! told of what became of it.
//!
//! A notice names a client by the id that the recipient was given, and nothing else of them. It is
//! a webhook after Standard Webhooks 1.0, sent until the other side says that it knows, or a line on
//! a list that staff work through by hand.

pub mod outbound;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::RetentionClass;
use domain::policy::Recipient;
use eventstore::engine::Notices;
use eventstore::keyring::KeyError;
use eventstore::ledger::log::ReadError;
use eventstore::store::notices::Notice;
use eventstore::{AppendError, IdKind, Tenant};
use jiff::Timestamp;
use serde_json::json;

use crate::app::App;
use crate::policy;
use outbound::Delivery;

/// For how long a recipient is sent one page of notices after the other.
const A_WHILE: Duration = Duration::from_secs(60);
/// Seconds until a notice is sent again, by how often it was.
const AGAIN: [i64; 7] = [5, 30, 120, 600, 3600, 6 * 3600, 24 * 3600];

/// All recipients of a tenant, by the policy's names.
///
/// # Errors
/// Where the ledger cannot be read.
pub fn of(tenant: &Tenant) -> Result<BTreeMap<String, Recipient>, ReadError> {
    Ok(policy::of(tenant)?.recipients)
}

/// With what a recipient checks that a notice is from this tenant, as Standard Webhooks shows it.
///
/// # Errors
/// Where the keyring cannot be read or written.
pub async fn secret(tenant: &Tenant, recipient: &str, number: u32) -> Result<String, AppendError> {
    let key = tenant.webhook_key(recipient, number).await?;
    Ok(format!("whsec_{}", STANDARD.encode(key.as_slice())))
}

/// What a notice says.
fn body(tenant: &Tenant, notice: &Notice) -> String {
    let client = notice.person.map(|person| tenant.ids().show(IdKind::Client, person.0));
    let at = Timestamp::from_second(notice.made_at).unwrap_or_default();
    json!({
        "type": format!("client.{}", notice.kind.name()),
        "timestamp": at,
        "data": {
            "client": client,
            "position": notice.position.0,
            "tenant": tenant.name(),
        },
    })
    .to_string()
}

/// Sends what is due; answers when to look again, if any recipient is still to be told.
///
/// # Errors
/// Where the keyring cannot be read or written. What cannot be sent is tried again.
pub async fn send(app: &App, tenant: &Tenant) -> Result<Option<Timestamp>, AppendError> {
    if tenant.notices(Notices::Waiting)?.is_empty() {
        return Ok(None);
    }
    let mut next: Option<i64> = None;
    for (name, recipient) in of(tenant)? {
        // Without one they are told by staff, who have a list.
        let Recipient { endpoint: Some(endpoint), secret_number, .. } = recipient else { continue };
        let again_at = send_to(app, tenant, &name, (&endpoint, secret_number)).await?;
        next = next.into_iter().chain(again_at).min();
    }
    Ok(next.and_then(|at| Timestamp::from_second(at).ok()))
}

/// Sends one recipient what is due, page by page; when to look again, if anything is left.
async fn send_to(
    app: &App,
    tenant: &Tenant,
    name: &str,
    to: (&str, u32),
) -> Result<Option<i64>, AppendError> {
    let began = app.env.clock.since_boot();
    loop {
        let page = tenant.notices(Notices::WaitingFor(name))?;
        if page.is_empty() {
            return Ok(None);
        }
        if app.env.clock.since_boot().saturating_sub(began) > A_WHILE {
            // Others of the tenant's wait for their turn: erasures that are due, and receipts.
            return Ok(Some(app.env.clock.now().as_second()));
        }
        for notice in page {
            let now = app.env.clock.now().as_second();
            let again_at = match notice.next_at <= now {
                true => deliver(app, tenant, &notice, to).await?,
                false => Some(notice.next_at),
            };
            if again_at.is_some() {
                // Who does not answer is not asked for each notice whether they do.
                return Ok(again_at);
            }
        }
    }
}

/// Sends one; when to send it again, if it has to be.
async fn deliver(
    app: &App,
    tenant: &Tenant,
    notice: &Notice,
    (endpoint, number): (&str, u32),
) -> Result<Option<i64>, AppendError> {
    let now = app.env.clock.now().as_second();
    let wait = AGAIN.get(usize::try_from(notice.attempts).unwrap_or(usize::MAX));
    let again_at = now + wait.or(AGAIN.last()).copied().unwrap_or_default();
    // Whoever takes it on first sends it; should they not come to it, it is sent again.
    if !tenant.take_on(notice, again_at).await? {
        return Ok(Some(again_at));
    }
    let id = tenant.ids().show(IdKind::Notice, notice.id);
    let body = body(tenant, notice);
    let mut signatures = Vec::new();
    // The one before as well: they exchange it when they come to it.
    for number in number.saturating_sub(1)..=number {
        let key = tenant.webhook_key(&notice.recipient, number).await?;
        signatures.push(signature(key.as_slice(), &id, now, &body));
    }
    let signature = signatures.join(" ");
    let delivery = Delivery { id: id.clone(), timestamp: now, signature, body };
    match app.outbound.post(endpoint, delivery).await {
        Ok(()) => {
            tenant.acknowledge(notice.id, app.env.clock.now()).await?;
            Ok(None)
        }
        Err(error) => {
            let (name, recipient) = (tenant.name(), notice.recipient.as_str());
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                tenant = name,
                recipient,
                notice = id,
                "a notice is sent again"
            );
            Ok(Some(again_at))
        }
    }
}

/// What shows that a notice is from whoever has the key (Standard Webhooks 1.0, symmetric).
fn signature(key: &[u8], id: &str, at: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, format!("{id}.{at}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(tag.as_ref()))
}

/// Of which classes a key that reads for a recipient is given anything; none where they are retired.
///
/// # Errors
/// Where the ledger cannot be read.
pub fn given(
    tenant: &Tenant,
    recipient: &str,
) -> Result<Option<BTreeSet<RetentionClass>>, KeyError> {
    let known = of(tenant)?.remove(recipient).filter(|known| !known.retired);
    Ok(known.map(|known| known.classes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that clients of Standard Webhooks are tested with.
    #[test]
    fn a_notice_is_signed_as_the_standard_says() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signed = signature(&key, id, 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
