//! `person` and `hold`: restricts and frees the use of a client's data, places and lifts legal holds.

use std::sync::Arc;

use domain::person::{LegalHold, PersonCommand};
use domain::{Actor, Command, RegistrationId};
use eventstore::keyring::KeyError;
use eventstore::ledger::appender::AppendError;
use eventstore::{Append, IdKind, PersonId};
use serde_json::json;

use super::console::Console;
use super::{CliError, Outcome};
use crate::app::App;
use crate::config::{Held, Hold, Person, Whom};
use crate::desk::Desk;

pub(super) fn run(
    app: &Arc<App>,
    command: &Person,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    match command {
        Person::Restrict { whom, ground, until } => {
            let (ground, until) = (*ground, *until);
            let restrict = |registration| PersonCommand::Restrict { registration, ground, until };
            tell(app, whom, console, "restricted", restrict)
        }
        Person::Unrestrict { whom } => {
            let unrestrict = |registration| PersonCommand::Unrestrict { registration };
            tell(app, whom, console, "unrestricted", unrestrict)
        }
    }
}

pub(super) fn hold(
    app: &Arc<App>,
    command: &Hold,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    let of = |held: &Held| LegalHold { class: held.class, ground: held.reason };
    match command {
        Hold::Place(held) => tell(app, &held.whom, console, "held", |registration| {
            PersonCommand::PlaceHold { registration, hold: of(held) }
        }),
        Hold::Lift(held) => tell(app, &held.whom, console, "lifted", |registration| {
            PersonCommand::LiftHold { registration, hold: of(held) }
        }),
    }
}

fn tell(
    app: &Arc<App>,
    whom: &Whom,
    console: &mut Console,
    done: &str,
    command: impl FnOnce(RegistrationId) -> PersonCommand,
) -> Result<Outcome, CliError> {
    let desk = app.desk(&whom.tenant)?;
    let registration = registration(&desk, whom)?;
    let append = Append::new(Command::Person(command(registration)), Actor::System);
    let appended = desk.tenant.ledger.append_blocking(append)?;
    let (id, entry) = (&whom.person, appended.first.0);
    let shown = json!({ "id": id, "done": done, "entry": entry });
    console.answer(&shown, format!("{id}  {done}, at entry {entry}"));
    Ok(Outcome::Done)
}

fn registration(desk: &Desk, whom: &Whom) -> Result<RegistrationId, CliError> {
    let unknown = || {
        let (person, tenant) = (&whom.person, &whom.tenant);
        CliError::Usage(format!("{person} is no client of {tenant}; nothing was changed"))
    };
    let person = desk.tenant.ids().read(IdKind::Client, &whom.person).map(PersonId);
    let info = desk.tenant.keyring().info(person.ok_or_else(unknown)?)?.ok_or_else(unknown)?;
    Ok(info.registration.ok_or(AppendError::Key(KeyError::Erased))?)
}
