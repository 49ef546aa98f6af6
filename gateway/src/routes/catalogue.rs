//! What services and resources have in common over HTTP.

use domain::Command;
use domain::catalogue::CatalogueCommand;
use eventstore::{Append, Appended, Idempotency};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::problem::Problem;

/// Money as a decimal string and an ISO 4217 code.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Price {
    #[schema(example = "450.00")]
    pub amount: String,
    #[schema(example = "SEK")]
    pub currency: String,
}

impl From<Price> for domain::booking::Price {
    fn from(price: Price) -> Self {
        Self { amount: price.amount, currency: price.currency }
    }
}

impl From<domain::booking::Price> for Price {
    fn from(price: domain::booking::Price) -> Self {
        Self { amount: price.amount, currency: price.currency }
    }
}

/// Appends a change of the catalogue.
pub(super) async fn append<P>(
    caller: &Caller<P>,
    command: CatalogueCommand,
    idempotency: Option<Idempotency>,
) -> Result<Appended, Problem> {
    let append = Append::new(Command::Catalogue(command), caller.actor());
    caller.append(Append { idempotency, ..append }).await
}
