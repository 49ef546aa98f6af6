//! What becomes of rows: each a statement or two, in the commit of its entries.

use rusqlite::{Connection, params};

use super::writer::number;

/// A booking that was asked for.
pub(super) struct NewBooking {
    pub person: u64,
    pub service: u64,
    pub resource: u64,
    pub status: &'static str,
    /// In microseconds.
    pub start: i64,
    pub end: i64,
    pub channel: &'static str,
    pub note: String,
}

pub(super) fn add_booking(
    tx: &Connection,
    id: u64,
    at: i64,
    new: &NewBooking,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO c_booking VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,NULL,0,1)";
    let NewBooking { person, service, resource, status, start, end, channel, note } = new;
    let ids = [id, *person, *service, *resource].map(number);
    let [id, person, service, resource] = ids;
    tx.prepare_cached(sql)?
        .execute(params![id, person, service, resource, status, start, end, channel, note, at])
        .map(drop)
}

pub(super) fn cancel(tx: &Connection, id: i64, at: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE c_booking SET status = 'cancelled', cancelled_at = ?2, \
               version = version + 1 WHERE id = ?1";
    tx.prepare_cached(sql)?.execute([id, at]).map(drop)
}

pub(super) fn end_content(tx: &Connection, id: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE c_booking SET note = NULL, content_erased = 1, version = version + 1 \
               WHERE id = ?1";
    tx.prepare_cached(sql)?.execute([id]).map(drop)
}

pub(super) fn add_person(
    tx: &Connection,
    id: u64,
    (registration, at): (u64, i64),
    [name, email, phone]: &[String; 3],
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO c_person VALUES (?1, 'live', ?2, ?3, ?4, NULL, ?5, 1, ?6, NULL)";
    tx.prepare_cached(sql)?
        .execute(params![number(id), name, email, phone, number(registration), at])
        .map(drop)
}

pub(super) fn restrict(tx: &Connection, id: u64, at: Option<i64>) -> rusqlite::Result<()> {
    let sql = "UPDATE c_person SET state = ?2, restricted_at = ?3, version = version + 1 \
               WHERE id = ?1";
    let state = if at.is_some() { "restricted" } else { "live" };
    tx.prepare_cached(sql)?.execute(params![number(id), state, at]).map(drop)
}

/// Blanks whatever there is of a person.
pub(super) fn erase(tx: &Connection, id: u64, request: u64, at: i64) -> rusqlite::Result<()> {
    let person = number(id);
    let all = [
        "UPDATE c_booking SET note = NULL, person = NULL WHERE person = ?1",
        "UPDATE c_consent SET person = NULL WHERE person = ?1",
        "DELETE FROM c_given WHERE person = ?1",
        "DELETE FROM c_key WHERE person = ?1",
        "UPDATE c_person SET state = 'erased', name = NULL, email = NULL, phone = NULL, \
         address = NULL WHERE id = ?1",
    ];
    for sql in all {
        tx.prepare_cached(sql)?.execute([person])?;
    }
    let sql = "INSERT INTO c_request VALUES (?1, ?2, ?3)";
    tx.prepare_cached(sql)?.execute([number(request), person, at]).map(drop)
}

/// A consent, or an acceptance, which has no purpose.
pub(super) struct NewConsent {
    pub person: u64,
    pub purpose: Option<String>,
    pub medium: Option<String>,
    pub occasion: String,
    pub hash: String,
    pub locale: String,
}

pub(super) fn add_consent(
    tx: &Connection,
    id: u64,
    at: i64,
    new: &NewConsent,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO c_consent VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, NULL)";
    let NewConsent { person, purpose, medium, occasion, hash, locale } = new;
    let (id, person) = (number(id), number(*person));
    tx.prepare_cached(sql)?
        .execute(params![id, person, purpose, medium, occasion, hash, locale, at])
        .map(drop)
}

pub(super) fn share(tx: &Connection, person: u64, to: &str, at: i64) -> rusqlite::Result<()> {
    let sql = "INSERT OR IGNORE INTO c_given VALUES (?1, ?2, ?3)";
    tx.prepare_cached(sql)?.execute(params![number(person), to, at]).map(drop)
}
