//! `demo`: a server with sample tenants, and five things to try.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::console::Console;
use super::{CliError, Outcome, remote, serve};
use crate::app::App;
use crate::clock;
use crate::config::{Demo, Place};
use crate::demo::{self, Guide};
use crate::keys::{self, Role};

pub(super) fn demo(
    place: &Place,
    command: &Demo,
    console: &mut Console,
    runtime: &tokio::runtime::Handle,
) -> Result<Outcome, CliError> {
    serve::log_to_standard_error(&place.log)?;
    let temporary = tempfile::Builder::new().prefix("tidbok-demo-").tempdir();
    let temporary =
        temporary.map_err(|error| CliError::File("a temporary folder".to_owned(), error))?;
    // What the environment names is somebody's own, and no place to try things.
    let place = match place.is_named {
        true => place.clone(),
        false => Place { data: temporary.path().join("data"), keys: None, ..place.clone() },
    };
    // First the address, so that nothing is made if it is taken.
    let listener = serve::listen(&command.listen, runtime)?;
    let app =
        Arc::new(App::open_at(place.databases(), &place.data, &place.keys(), clock::system())?);
    let address =
        listener.local_addr().map_err(|error| CliError::Listen(command.listen.clone(), error))?;
    let guides = furnish(&app, console)?;
    remote::listen(&place.socket(), &app, runtime)
        .map_err(|error| CliError::File(place.socket().display().to_string(), error))?;
    let mut shown = Vec::new();
    for guide in &guides {
        let keys = issue(&app, guide, runtime)?;
        shown.push((guide, keys));
    }
    tell(console, &format!("http://{address}"), &place.data, &shown);
    serve::until_told(app, listener, runtime);
    drop(std::fs::remove_file(place.socket()));
    Ok(Outcome::Done)
}

/// The sample tenants: made, or as an earlier demo left them.
fn furnish(app: &Arc<App>, console: &Console) -> Result<Vec<Guide>, CliError> {
    demo::furnish(app, &|done, total| console.progress(done, total))
        .map_err(|error| CliError::Usage(error.to_string()))
}

struct Keys {
    admin: String,
    staff: String,
    auditor: String,
    client: String,
}

fn issue(app: &App, guide: &Guide, runtime: &tokio::runtime::Handle) -> Result<Keys, CliError> {
    let desk = app.desk(&guide.tenant)?;
    let key = |role, person| {
        let issued = keys::issue(&desk.tenant, role, "demo", (person, None), &app.env);
        runtime
            .block_on(issued)
            .map(|(_, secret)| secret)
            .map_err(|error| CliError::Usage(error.to_string()))
    };
    Ok(Keys {
        admin: key(Role::Admin, None)?,
        staff: key(Role::Staff, None)?,
        auditor: key(Role::Auditor, None)?,
        client: key(Role::Client, Some(guide.client))?,
    })
}

fn tell(console: &mut Console, address: &str, data: &Path, shown: &[(&Guide, Keys)]) {
    let tenants: Vec<_> = shown
        .iter()
        .map(|(guide, keys)| {
            json!({
                "tenant": guide.tenant,
                "keys": {
                    "admin": keys.admin, "staff": keys.staff,
                    "auditor": keys.auditor, "client": keys.client,
                },
                "client_id": guide.client_id,
                "service_id": guide.service_id,
                "resource_id": guide.resource_id,
            })
        })
        .collect();
    let value = json!({ "address": format!("{address}/"), "data": data, "tenants": tenants });
    let mut text = format!("Tidbok is open at {address}/   (stop with Ctrl-C)\n");
    for (guide, keys) in shown {
        text.push_str(&format!("\n{}, {}\n", guide.tenant, guide.about));
        let all = [
            ("admin", &keys.admin),
            ("staff", &keys.staff),
            ("auditor", &keys.auditor),
            ("client", &keys.client),
        ];
        for (role, key) in all {
            text.push_str(&format!("  {role:<8} {key}\n"));
        }
    }
    if let Some((guide, keys)) = shown.first() {
        text.push_str(&five_things(address, data, guide, keys));
    }
    console.answer(&value, text.trim_end());
}

fn five_things(address: &str, data: &Path, guide: &Guide, keys: &Keys) -> String {
    let tidbok = format!("cargo run --release -- --data {}", data.display());
    let Guide { tenant, client_id, service_id, resource_id, free_start, .. } = guide;
    let Keys { admin, staff, client, .. } = keys;
    format!(
        "\nFive things to try, in another terminal:

1. Read the book as staff, with names, and leave a record of it:
   curl -s -H 'Authorization: Bearer {staff}' '{address}/v1/bookings?limit=2'

2. Book a time as a client (sent again it is answered the same; under another key, try-2, it is refused: the time is sold):
   curl -s -H 'Authorization: Bearer {client}' -H 'Idempotency-Key: \"try-1\"' \\
     -H 'Content-Type: application/json' {address}/v1/bookings \\
     -d '{{\"service_id\":\"{service_id}\",\"resource_ids\":[\"{resource_id}\"],\"start\":\"{free_start}\"}}'

3. Look at the statistics:
   curl -s -H 'Authorization: Bearer {admin}' '{address}/v1/statistics?by=service,outcome'

4. Erase that client, and look at the statistics again: only what they had booked has moved, to cancelled:
   {tidbok} erase --tenant {tenant} --person {client_id} --cancel-open

5. Verify the whole history, and read it with its blanks:
   {tidbok} audit verify --tenant {tenant}
   {tidbok} audit replay --tenant {tenant} --resource {resource_id}
"
    )
}
