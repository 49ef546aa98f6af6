//! `/v1/policy`: what the tenant has decided for itself.

use std::collections::{BTreeMap, BTreeSet};

use domain::policy::PolicyCommand;
use domain::slot::Zone;
use domain::{Command, Field, RetentionClass};
use eventstore::Append;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::{Answer, matches};
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
    /// The month (1 to 12) in which the fiscal year ends.
    fiscal_year_ends: u8,
    /// Days that `booking` and `health` are kept after the booking is over; without a number,
    /// until the person is erased.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, u32>)]
    retention_days: BTreeMap<RetentionClass, u32>,
    #[schema(value_type = String, example = "Europe/Stockholm")]
    time_zone: Zone,
}

impl From<Policy> for domain::policy::Policy {
    fn from(policy: Policy) -> Self {
        Self {
            cancel_before_minutes: policy.cancel_before_minutes,
            collect: policy.collect,
            fiscal_year_ends: policy.fiscal_year_ends,
            retention_days: policy.retention_days,
            zone: policy.time_zone,
        }
    }
}

impl From<domain::policy::Policy> for Policy {
    fn from(policy: domain::policy::Policy) -> Self {
        Self {
            cancel_before_minutes: policy.cancel_before_minutes,
            collect: policy.collect,
            fiscal_year_ends: policy.fiscal_year_ends,
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
    let seen = seen.required()?;
    let _alone = caller.app.revising.lock().await;
    caller.caught_up_now().await?;
    let ((_, version), _) = caller.find(|reader| reader.catalogue().policy()).await?;
    matches(seen, version)?;
    let command = Command::Policy(PolicyCommand::Set(policy.into()));
    let appended = caller.append(Append::new(command, caller.actor())).await?;
    caller.caught_up_now().await?;
    let ((policy, version), _) = caller.find(|reader| reader.catalogue().policy()).await?;
    Ok(Answer::changed(policy.into(), &appended).version(version))
}
