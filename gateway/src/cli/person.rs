//! `person`: restricts and frees the use of a client's data, places and lifts legal holds.

use std::str::FromStr;
use std::sync::Arc;

use domain::facet::UnknownName;
use domain::person::{HoldGround, PersonCommand, RestrictionGround};
use domain::{Actor, Command, RegistrationId};
use eventstore::keyring::KeyError;
use eventstore::ledger::appender::AppendError;
use eventstore::{Append, IdKind, PersonId};
use jiff::civil::Date;
use serde_json::json;

use super::console::Console;
use super::{CliError, Outcome};
use crate::app::App;
use crate::config::{Person, Whom};
use crate::desk::Desk;

pub(super) fn run(
    app: &Arc<App>,
    command: &Person,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    match command {
        Person::Restrict { whom, ground, until } => {
            let (ground, until) = (one_of(RestrictionGround::ALL, ground)?, day(until.as_deref())?);
            tell(app, whom, console, "restricted", |registration| PersonCommand::Restrict {
                registration,
                ground,
                until,
            })
        }
        Person::Unrestrict { whom } => tell(app, whom, console, "unrestricted", |registration| {
            PersonCommand::Unrestrict { registration }
        }),
        Person::Hold { whom, ground } => {
            let ground = one_of(HoldGround::ALL, ground)?;
            tell(app, whom, console, "held", |registration| PersonCommand::PlaceHold {
                registration,
                ground,
            })
        }
        Person::Release { whom, ground } => {
            let ground = one_of(HoldGround::ALL, ground)?;
            tell(app, whom, console, "released", |registration| PersonCommand::LiftHold {
                registration,
                ground,
            })
        }
    }
}

fn one_of<T>(all: &[T], text: &str) -> Result<T, CliError>
where
    T: FromStr<Err = UnknownName> + std::fmt::Display,
{
    text.parse().map_err(|_| {
        let names: Vec<String> = all.iter().map(ToString::to_string).collect();
        CliError::Usage(format!("{text} is no ground; there are {}", names.join(", ")))
    })
}

fn day(text: Option<&str>) -> Result<Option<Date>, CliError> {
    let parse = |text: &str| {
        text.parse().map_err(|_| CliError::Usage(format!("{text} is no day such as 2027-01-31")))
    };
    text.map(parse).transpose()
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
