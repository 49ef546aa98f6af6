//! Commits over two databases, where the keyring is not in the ledger's.
//!
//! Under the head's lock the keyring's part is prepared, then the ledger's is committed, then the
//! keyring's is carried out: what decides is the ledger. Whatever is found prepared later belongs
//! to a commit whose entry stands, and is carried out by whoever finds it, or to one that has ended
//! without; that can only be told under the head's lock, which a commit keeps until its end. The
//! keyring counts along, so nobody reads a ledger further than its keys go.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use domain::RegistrationId;
use domain::ids::hex_digits;
use tokio_postgres::error::SqlState;

use super::columns::Rows;
use super::effects::{self, Both, state};
use super::insert::Place;
use super::pool::Server;
use super::reader::get;
use super::transaction::UNHURRIED;
use super::writer::{Failed, does_more, stands};
use super::{Apart, Home, PgError, Scope, Tx, int, uint};
use crate::engine::{Commit, Effect, Older, Outcome};
use crate::keyring::person::{PersonId, PersonState};
use crate::keyring::provider::TenantId;
use crate::store::Which;
use crate::tree::Hash;

const SIZE: &str = "SELECT next FROM counter WHERE name = 'size'";
/// How long a commit waits for another's keys before it looks what became of that.
const PATIENCE: &str = "; SET LOCAL lock_timeout = '500ms'";
/// What else is finishing the same commit needs no longer.
const BUSY: Duration = Duration::from_millis(5);
const TRIES: u32 = 400;
/// How far numbers jump when a keyring is older than its ledger: past all that were given out and
/// are on no row any more.
const JUMP: i64 = 1 << 20;

/// What the commits of a ledger are called: behind this stand the first entry's place and leaf.
pub(super) fn prefix(tenant: TenantId, which: Which) -> String {
    format!("tidbok/{}/{tenant}/", which.name())
}

fn name(prefix: &str, position: u64, leaf: &Hash) -> String {
    let leaf: String = hex_digits(leaf).collect();
    format!("{prefix}{position}/{leaf}")
}

/// A commit whose part in the keyring is prepared.
struct Prepared {
    name: String,
    tenant: TenantId,
    which: Which,
    position: i64,
    leaf: Vec<u8>,
}

impl Prepared {
    fn read(name: &str) -> Option<Self> {
        let mut parts = name.split('/').skip(1);
        let which = parts.next()?;
        let which = Which::ALL.into_iter().find(|known| known.name() == which)?;
        let tenant = TenantId(hex(parts.next()?)?.try_into().ok()?);
        let (position, leaf) = (parts.next()?.parse().ok()?, hex(parts.next()?)?);
        Some(Self { name: name.to_owned(), tenant, which, position, leaf })
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks_exact(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()).collect()
}

/// Writes a batch in both.
pub(super) fn write(
    scope: &Scope,
    prefix: &str,
    held: Option<Tx>,
    commit: &Commit<'_>,
    rows: &Rows<'_>,
) -> Result<Outcome, Failed> {
    let mut ledger = held.map_or_else(|| Tx::begin_first(&scope.ledger), Ok)?;
    let form = rows.form(Place::Ledger);
    let statement = form.prepare(&mut ledger, &scope.ledger)?;
    if ledger.wait(rows.send(ledger.connection(), form, &statement))?.is_empty() {
        ledger.end("ROLLBACK")?;
        return Ok(Outcome::Behind);
    }
    let keyring = keys(scope, &mut ledger, commit, rows)?;
    let Some(first) = commit.batch.entries.first() else {
        // What a command was answered that had nothing to append is in the keyring alone.
        keyring.commit().map_err(Failed::Ending)?;
        drop(ledger.end("ROLLBACK"));
        return Ok(Outcome::Done);
    };
    let name = name(prefix, first.position.0, &first.leaf);
    // As whoever has logged in, so that every node may end it.
    keyring.end(&format!("SET LOCAL ROLE NONE; PREPARE TRANSACTION '{name}'"))?;
    ledger.commit().map_err(Failed::Ending)?;
    finish(&scope.keyring.server, "COMMIT PREPARED", &name).map_err(Failed::Ending)?;
    Ok(Outcome::Done)
}

/// Does the keyring's part, in a transaction that is still to be ended.
fn keys(
    scope: &Scope,
    ledger: &mut Tx,
    commit: &Commit<'_>,
    rows: &Rows<'_>,
) -> Result<Tx, PgError> {
    let mut keyring = Tx::begin_with(&scope.keyring, PATIENCE)?;
    let form = rows.form(Place::Keyring);
    let statement = form.prepare(&mut keyring, &scope.keyring)?;
    let written = match keyring.wait(rows.send(keyring.connection(), form, &statement)) {
        Err(PgError::Locked(_)) => {
            // What somebody left who was cut off.
            drop(keyring);
            settle(scope, ledger)?;
            keyring = Tx::begin(&scope.keyring)?;
            let statement = form.prepare(&mut keyring, &scope.keyring)?;
            keyring.wait(rows.send(keyring.connection(), form, &statement))?
        }
        written => written?,
    };
    if written.is_empty() {
        let reached = uint(keyring.number(SIZE, &[])?.unwrap_or_default());
        return Err(match reached > commit.base {
            true => PgError::LedgerBehind(reached),
            false => PgError::KeyringBehind(reached),
        });
    }
    if does_more(commit) {
        // Rows that a rotation holds are waited for as anywhere else.
        keyring.run("SET LOCAL lock_timeout TO DEFAULT", &[])?;
        Both { ledger, keyring: Some(&mut keyring) }.what_else(commit)?;
    }
    Ok(keyring)
}

/// Ends what is prepared. Somebody else may have, or be just about to.
fn finish(server: &Arc<Server>, how: &str, name: &str) -> Result<(), PgError> {
    for _ in 0..TRIES {
        let borrowed = server.borrow()?;
        match borrowed.wait(borrowed.client()?.batch_execute(&format!("{how} '{name}'"))) {
            Ok(()) => {
                borrowed.done();
                return Ok(());
            }
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_OBJECT) => {
                borrowed.done();
                return Ok(());
            }
            Err(error) if error.code() == Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) => {
                borrowed.done();
                std::thread::sleep(BUSY);
            }
            Err(error) => return Err(PgError::of(error)),
        }
    }
    Err(PgError::Exhausted)
}

/// What is prepared under a prefix for at least so many seconds.
fn prepared(server: &Arc<Server>, prefix: &str, age: f64) -> Result<Vec<Prepared>, PgError> {
    let borrowed = server.borrow()?;
    let sql = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()
               AND starts_with(gid, $1) AND prepared <= now() - make_interval(secs => $2)";
    let rows =
        borrowed.wait(borrowed.client()?.query(sql, &[&prefix, &age])).map_err(PgError::of)?;
    borrowed.done();
    let mut found = Vec::new();
    for row in &rows {
        found.extend(Prepared::read(get(row, 0)?));
    }
    Ok(found)
}

/// Ends whatever is prepared for a ledger as the ledger has it. `ledger` is a transaction that has
/// the head: every commit but its own has ended.
pub(super) fn settle(scope: &Scope, ledger: &mut Tx) -> Result<(), PgError> {
    let Some(prefix) = &scope.apart else { return Ok(()) };
    let server = &scope.keyring.server;
    for prepared in prepared(server, prefix, 0.0)? {
        let stands = stands(ledger, prepared.position, &prepared.leaf)?;
        let how = if stands { "COMMIT PREPARED" } else { "ROLLBACK PREPARED" };
        finish(server, how, &prepared.name)?;
    }
    Ok(())
}

/// As [`settle`], for whoever has no transaction.
fn settle_alone(scope: &Scope) -> Result<(), PgError> {
    let (mut ledger, _) = Tx::with_head(&scope.ledger)?;
    settle(scope, &mut ledger)?;
    ledger.end("ROLLBACK")
}

/// Settles what others were cut off in a while ago, whoever's it is.
pub(super) fn sweep(home: &Home) -> Result<(), PgError> {
    let Some(Apart { server, .. }) = &home.keyring else { return Ok(()) };
    for prepared in prepared(server, "tidbok/", 10.0)? {
        // What cannot be settled now must not keep the others waiting.
        if let Err(error) = settle_left(home, &prepared) {
            let commit = prepared.name;
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                commit,
                "a commit that was cut off is settled later"
            );
        }
    }
    Ok(())
}

fn settle_left(home: &Home, prepared: &Prepared) -> Result<(), PgError> {
    // Only ledgers of this server say what became of it; keyrings may be those of several.
    match super::is_here(&home.ledger, prepared.tenant)? {
        true => settle_alone(&Scope::new(home, prepared.tenant, prepared.which)),
        false => Ok(()),
    }
}

fn keyring_size(scope: &Scope) -> Result<u64, PgError> {
    let rows = scope.keyring.query(SIZE, &[])?;
    let size: i64 = rows.first().map(|row| get(row, 0)).transpose()?.unwrap_or_default();
    Ok(uint(size))
}

/// How many entries the keyring has heard of, where it is in a database of its own.
pub(super) fn reached(scope: &Scope) -> Result<Option<u64>, PgError> {
    scope.apart.as_ref().map(|_| keyring_size(scope)).transpose()
}

/// Waits until the keyring has what a ledger of this size brought: carries out what is prepared.
pub(super) fn ensure(scope: &Scope, size: u64) -> Result<(), PgError> {
    let Some(prefix) = &scope.apart else { return Ok(()) };
    if keyring_size(scope)? >= size {
        return Ok(());
    }
    let server = &scope.keyring.server;
    for prepared in prepared(server, prefix, 0.0)? {
        let mut ledger = Tx::begin(&scope.ledger)?;
        // An entry that stands stands for good: that needs no lock.
        let stands = stands(&mut ledger, prepared.position, &prepared.leaf)?;
        ledger.end("ROLLBACK")?;
        if stands {
            finish(server, "COMMIT PREPARED", &prepared.name)?;
        }
    }
    match keyring_size(scope)? {
        reached if reached >= size => Ok(()),
        reached => Err(PgError::KeyringBehind(reached)),
    }
}

/// From which size to which the keyring has not heard of its ledger, once all is settled.
pub(super) fn lag(scope: &Scope) -> Result<Option<RangeInclusive<u64>>, PgError> {
    if scope.apart.is_none() {
        return Ok(None);
    }
    let (mut ledger, size) = Tx::with_head(&scope.ledger)?;
    settle(scope, &mut ledger)?;
    let (size, reached) = (uint(size), keyring_size(scope)?);
    ledger.end("ROLLBACK")?;
    Ok((reached < size).then_some(reached..=size))
}

/// Has an older keyring end what its ledger says has ended, and count on from there; whether it
/// was still to be done.
pub(super) fn take_up(scope: &Scope, older: &Older) -> Result<bool, PgError> {
    // What ended once must not end again after another node has gone on: a correction deletes
    // whatever contact is there. The head keeps that node's commits away, and the count, which it
    // moved first, says that it was here.
    let (mut ledger, _) = Tx::with_head(&scope.ledger)?;
    ledger.run(UNHURRIED, &[])?;
    let mut keyring = Tx::begin(&scope.keyring)?;
    let sql = "UPDATE counter SET next = $2 WHERE name = 'size' AND next = $1";
    if keyring.run(sql, &[&int(older.from), &int(older.size)])? == 0 {
        keyring.end("ROLLBACK")?;
        ledger.end("ROLLBACK")?;
        return Ok(false);
    }
    for row in &older.rows {
        let sql = "INSERT INTO person_tag VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                   ON CONFLICT DO NOTHING";
        let booking = row.booking.map(|booking| int(booking.0));
        let seals = i32::try_from(row.seals).unwrap_or(i32::MAX);
        let (person, position) = (int(row.person.0), int(row.position.0));
        let (handle, visits) = (int(row.handle.0), i16::from(row.visits));
        keyring.run(
            sql,
            &[&person, &row.until, &position, &handle, &booking, &seals, &row.year, &visits],
        )?;
    }
    for (effect, at) in &older.effects {
        if let Effect::Rectified { person, .. } = effect {
            // What they are found by since then is lost; what they were found by is not theirs.
            effects::found_by(&mut keyring, *person, &[])?;
        }
        Both { ledger: &mut ledger, keyring: Some(&mut keyring) }.apply(effect, *at)?;
    }
    for (fence, when) in &older.fences {
        let sql = "SELECT id FROM person WHERE fence = $1 AND state < 3";
        if let Some(person) = keyring.number(sql, &[&fence.0.as_slice()])? {
            effects::fence(&mut keyring, PersonId(uint(person)), *when)?;
        }
    }
    // Numbers that were given out since the copy was made mean somebody, or something, else.
    let sql = "UPDATE counter SET next = $2::int8 +
               greatest(next, CASE name WHEN 'handle' THEN $1::int8 ELSE 0 END)
               WHERE name <> 'size'";
    keyring.run(sql, &[&int(older.next_handle), &JUMP])?;
    // What went with the seals goes again, whichever of the two is cut off.
    ledger.commit()?;
    keyring.commit()?;
    Ok(true)
}

/// What goes with entries from a size on, in order.
const CUT: [&str; 14] = [
    "DELETE FROM idempotency WHERE first >= $1",
    // With the row of the index goes what says whose a handle is: no erasure would come to it.
    "UPDATE data_key SET wrapped = NULL, person = NULL
     FROM (SELECT DISTINCT lost.handle FROM person_tag lost WHERE lost.position >= $1
           AND NOT EXISTS (SELECT 1 FROM person_tag kept WHERE kept.person = lost.person
                           AND kept.handle = lost.handle AND kept.position < $1)) gone,
          generate_series(0, 7) class
     WHERE id = gone.handle * 8 + class",
    "DELETE FROM person_tag WHERE position >= $1",
    // Who was registered there is nobody's: no entry tells of them.
    "DELETE FROM retired_key USING person WHERE id = person AND registration >= $1",
    "DELETE FROM lookup USING person WHERE id = person AND registration >= $1",
    "DELETE FROM api_key USING person WHERE person.id = person AND registration >= $1",
    "DELETE FROM given USING person WHERE id = person AND registration >= $1",
    "UPDATE data_key SET wrapped = NULL, person = NULL FROM person
     WHERE person.id = data_key.person AND registration >= $1",
    "DELETE FROM person WHERE registration >= $1",
    "UPDATE person SET contact_at = NULL, contact_handle = NULL WHERE contact_at >= $1",
    // That somebody was erased is still true, and recipients are still to hear of it: from here if
    // the fence that is set again does not tell them. The entry at this place records the loss.
    "DELETE FROM notice WHERE position >= $1 AND (kind <> 'erased' OR acknowledged_at IS NOT NULL
     OR EXISTS (SELECT 1 FROM given WHERE given.person = notice.person
                AND given.recipient = notice.recipient))",
    "UPDATE notice SET position = $1 WHERE position > $1",
    // Another entry will stand where the fence stood. Whoever is still there gets one again.
    "UPDATE privacy_request SET fence_at = NULL, decided_at = CASE WHEN EXISTS
     (SELECT 1 FROM person WHERE person.id = privacy_request.person) THEN NULL ELSE decided_at END
     WHERE fence_at >= $1",
    "UPDATE counter SET next = $1 WHERE name = 'size'",
];

/// Has a keyring forget what came with entries that an older ledger does not have any more.
/// Restricted are these, and nobody else.
pub(super) fn cut(scope: &Scope, restricted: &[RegistrationId]) -> Result<(), PgError> {
    let (mut ledger, size) = Tx::with_head(&scope.ledger)?;
    ledger.run(UNHURRIED, &[])?;
    settle(scope, &mut ledger)?;
    let mut keyring = Tx::begin_with(&scope.keyring, "; SET LOCAL statement_timeout = 0")?;
    for sql in CUT {
        keyring.run(sql, &[&size])?;
    }
    let restricted: Vec<i64> = restricted.iter().map(|id| int(id.0)).collect();
    let sql = "UPDATE person SET state = CASE state WHEN $2 THEN $3 ELSE $2 END
               WHERE (state = $2 AND registration = ANY ($1))
               OR (state = $3 AND registration <> ALL ($1))";
    let (free, held) = (state(PersonState::Live), state(PersonState::Restricted));
    keyring.run(sql, &[&restricted, &free, &held])?;
    keyring.commit()?;
    ledger.end("ROLLBACK")
}
