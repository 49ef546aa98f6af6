//! `clients list`: who there is, by opaque id and state. Reads only, and opens nothing.

use eventstore::store::TenantView;
use eventstore::{IdKind, PersonId};
use serde_json::json;

use super::console::Console;
use super::{CliError, Outcome};
use crate::clock;
use crate::config::{Clients, Place};

const PAGE: u32 = 1000;

pub(super) fn list(
    place: &Place,
    command: &Clients,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    let Clients::List { tenant } = command;
    let view =
        TenantView::open(place.databases(), &place.data, &place.keys(), tenant, &clock::system())?;
    let mut rows = Vec::new();
    let mut after = PersonId(0);
    loop {
        let page = view.keyring.page(after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = last.id;
        rows.extend(
            page.iter()
                .map(|person| (view.ids.show(IdKind::Client, person.id.0), person.state.name())),
        );
    }
    let value = rows.iter().map(|(id, state)| json!({ "id": id, "state": state })).collect();
    let text: Vec<String> = rows.iter().map(|(id, state)| format!("{id}  {state}")).collect();
    console.answer(&serde_json::Value::Array(value), text.join("\n"));
    Ok(Outcome::Done)
}
