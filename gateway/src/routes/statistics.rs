//! `/v1/statistics`: how many bookings there are, by facets. No erasure changes a number here.

use jiff::civil::Date;
use projections::{StatFacet, nested};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::answer::Answer;
use crate::caller::{Caller, MayCount};
use crate::problem::Problem;
use crate::sent::Asked;

const MOST_FACETS: usize = 4;

/// What to count by.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatisticsQuery {
    /// Up to four of outcome, group, service, day, month, year, hour, lead, party, channel and
    /// nth, with commas between them.
    #[param(example = "group,outcome")]
    #[serde(default = "outcome")]
    by: String,
    /// The first local day of a start.
    #[param(value_type = Option<String>)]
    from: Option<Date>,
    /// The last local day of a start.
    #[param(value_type = Option<String>)]
    to: Option<Date>,
}

fn outcome() -> String {
    StatFacet::Outcome.name().to_owned()
}

/// Counts, one level of nesting per facet.
#[derive(Serialize, ToSchema)]
pub(crate) struct Statistics {
    by: Vec<&'static str>,
    #[schema(value_type = Object, example = json!({"completed": 6938, "cancelled": 7793}))]
    counts: Value,
}

/// Counts bookings. For administrators and auditors.
#[utoipa::path(get, path = "/v1/statistics", tag = "history", params(StatisticsQuery),
    responses((status = OK, body = Statistics)))]
pub(super) async fn read(
    caller: Caller<MayCount>,
    Asked(query): Asked<StatisticsQuery>,
) -> Result<Answer<Statistics>, Problem> {
    let facets = query.by.split(',').map(|name| name.trim().parse::<StatFacet>());
    let by: Vec<StatFacet> =
        facets.collect::<Result<_, _>>().map_err(|_| Problem::invalid("?by", "unknown_facet"))?;
    if by.len() > MOST_FACETS {
        return Err(Problem::invalid("?by", "too_many"));
    }
    let days = query.from.unwrap_or(Date::MIN)..=query.to.unwrap_or(Date::MAX);
    let days = (query.from.is_some() || query.to.is_some()).then_some(days);
    let desk = std::sync::Arc::clone(caller.desk());
    let position = desk.position();
    let names = by.iter().map(|facet| facet.name()).collect();
    let counted = tokio::task::spawn_blocking(move || {
        let counts = desk.read(|reader| reader.statistics().counts(&by, days.as_ref()))?;
        Ok::<Value, Problem>(nested(&by, &counts))
    });
    Ok(Answer::read(Statistics { by: names, counts: counted.await?? }, position))
}
