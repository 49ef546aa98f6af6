//! `/v1/policy`: what the tenant has decided for itself.

use std::collections::{BTreeMap, BTreeSet};

use domain::policy::{self, PolicyCommand, RecipientRole};
use domain::slot::Zone;
use domain::{Command, Field, RetentionClass};
use eventstore::Append;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::Answer;
use crate::caller::{Caller, MaySeePolicy, MaySetPolicy};
use crate::problem::Problem;
use crate::sent::{IfMatch, Sent};

/// A tenant's policy.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    /// Clients may cancel until so many minutes before the start.
    cancel_before_minutes: u32,
    /// The personal fields that may be asked for; all others are refused.
    #[schema(value_type = Vec<String>)]
    collect: BTreeSet<Field>,
    /// What an erasure waits for.
    #[serde(default)]
    erasure: ErasureRule,
    /// The month (1 to 12) in which the fiscal year ends.
    fiscal_year_ends: u8,
    /// Who is given personal data, by a short name that stays. None can be left out again, but
    /// retired.
    #[serde(default)]
    recipients: BTreeMap<String, Recipient>,
    /// Days that `booking` and `health` are kept after the booking is over; without a number,
    /// until the person is erased.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, u32>)]
    retention_days: BTreeMap<RetentionClass, u32>,
    #[schema(value_type = String, example = "Europe/Stockholm")]
    time_zone: Zone,
}

/// What an erasure waits for.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErasureRule {
    /// Whether somebody else than who asked has to approve.
    approval: bool,
    /// For how many hours it can be withdrawn before it is carried out; at most 336.
    cooling_off_hours: u32,
}

/// Somebody who is given personal data: an organisation, never a person.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recipient {
    /// What they are given.
    #[schema(value_type = Vec<String>)]
    classes: BTreeSet<RetentionClass>,
    /// In which country: two letters of ISO 3166-1.
    #[schema(example = "SE")]
    country: String,
    /// Where notices are sent as webhooks; without it, staff tell them and acknowledge it here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    name: String,
    /// What for.
    purpose: String,
    /// They are given nothing new, and are still told of what they have.
    #[serde(default)]
    retired: bool,
    /// `processor`, `controller` or `authority`.
    #[schema(value_type = String, example = "processor")]
    role: RecipientRole,
    /// Which of their secrets notices are signed with, and with it the one before. One more begins another; no
    /// former one comes back.
    #[serde(default)]
    secret_number: u32,
}

impl From<Recipient> for policy::Recipient {
    fn from(of: Recipient) -> Self {
        let Recipient { classes, country, endpoint, name, purpose, retired, role, secret_number } =
            of;
        Self { classes, country, endpoint, name, purpose, retired, role, secret_number }
    }
}

impl From<policy::Recipient> for Recipient {
    fn from(of: policy::Recipient) -> Self {
        let policy::Recipient {
            classes,
            country,
            endpoint,
            name,
            purpose,
            retired,
            role,
            secret_number,
        } = of;
        Self { classes, country, endpoint, name, purpose, retired, role, secret_number }
    }
}

fn each<T, U: From<T>>(all: BTreeMap<String, T>) -> BTreeMap<String, U> {
    all.into_iter().map(|(slug, one)| (slug, one.into())).collect()
}

impl From<Policy> for policy::Policy {
    fn from(policy: Policy) -> Self {
        Self {
            cancel_before_minutes: policy.cancel_before_minutes,
            collect: policy.collect,
            erasure: policy::ErasureRule {
                approval: policy.erasure.approval,
                cooling_off_hours: policy.erasure.cooling_off_hours,
            },
            fiscal_year_ends: policy.fiscal_year_ends,
            recipients: each(policy.recipients),
            retention_days: policy.retention_days,
            zone: policy.time_zone,
        }
    }
}

impl From<policy::Policy> for Policy {
    fn from(policy: policy::Policy) -> Self {
        Self {
            cancel_before_minutes: policy.cancel_before_minutes,
            collect: policy.collect,
            erasure: ErasureRule {
                approval: policy.erasure.approval,
                cooling_off_hours: policy.erasure.cooling_off_hours,
            },
            fiscal_year_ends: policy.fiscal_year_ends,
            recipients: each(policy.recipients),
            retention_days: policy.retention_days,
            time_zone: policy.zone,
        }
    }
}

/// Reads the policy. For staff, administrators and auditors.
#[utoipa::path(get, path = "/v1/policy", tag = "catalogue",
    responses((status = OK, body = Policy)))]
pub(super) async fn read(caller: Caller<MaySeePolicy>) -> Result<Answer<Policy>, Problem> {
    let ((policy, version), position) = caller.find(|reader| reader.catalogue().policy()).await?;
    Ok(Answer::read(policy.into(), position).version(version))
}

/// Sets the policy. For administrators.
#[utoipa::path(put, path = "/v1/policy", tag = "catalogue",
    params(("If-Match" = String, Header)),
    request_body = Policy, responses((status = OK, body = Policy)))]
pub(super) async fn set(
    caller: Caller<MaySetPolicy>,
    seen: IfMatch,
    Sent(policy): Sent<Policy>,
) -> Result<Answer<Policy>, Problem> {
    let set = PolicyCommand::Set { expected: seen.required()?, policy: policy.into() };
    let command = Command::Policy(set);
    let appended = caller.append(Append::new(command, caller.actor())).await?;
    caller.caught_up_now().await?;
    let ((policy, version), _) = caller.find(|reader| reader.catalogue().policy()).await?;
    Ok(Answer::changed(policy.into(), &appended).version(version))
}
