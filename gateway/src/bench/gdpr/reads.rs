//! The queries that change nothing.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::client::{Answered, Client, NOBODY};
use super::judge::{self, must, text};
use super::model::{Asked, Standing};
use super::place;

/// As many records as a page has where nobody says how many.
const PAGE: usize = 50;

impl Client {
    /// Reads one record with some key.
    pub(super) async fn read(&mut self, key: String, at: usize) -> Answered {
        let since = self.side.model().now();
        let path = format!("/v1/bookings/{}", self.record_id(at));
        let reply = self.wire.get(&key, &path).await?;
        if key == self.side.keys.processor {
            self.given(&[at]);
        }
        let expected = self.side.model().expected(at, since);
        let verdict = reply.json(200).and_then(|value| match expected {
            Some(expected) => judge::booking(&value, &expected),
            None => Err("no such record".to_owned()),
        });
        Ok(verdict)
    }

    /// A customer looks at a record of theirs.
    pub(super) async fn read_own(&mut self) -> Answered {
        let Some(person) = self.own_live() else { return NOBODY };
        let Some(at) = self.record_of(person) else { return NOBODY };
        self.read(self.person_key(person), at).await
    }

    /// Reads the page of records that begins at some record.
    pub(super) async fn read_page(&mut self, asked: Asked) -> Answered {
        let at = match asked {
            // One of somebody's who has objected stands first.
            Asked::All => self.objected(),
            Asked::Purpose(_) | Asked::Pending => Some(self.any_record()),
        };
        let Some(at) = at else { return NOBODY };
        let (path, rows, since) = {
            let model = self.side.model();
            let Some(kept) = model.records.get(at) else { return NOBODY };
            let from = kept.record.start;
            let by = match asked {
                Asked::All => String::new(),
                Asked::Pending => "&status=pending".to_owned(),
                Asked::Purpose(purpose) => {
                    let service = usize::try_from(purpose).ok();
                    let service = service.and_then(|at| model.services.get(at));
                    let id = service.map(|service| service.id.as_str()).unwrap_or_default();
                    format!("&service_id={id}")
                }
            };
            let path = format!("/v1/bookings?from={from}&limit={PAGE}{by}");
            (path, model.page(from, PAGE, asked), model.now())
        };
        let key = self.side.keys.processor.clone();
        let reply = self.wire.get(&key, &path).await?;
        self.given(&rows);
        Ok(reply.json(200).and_then(|value| self.judge_page(&value, &rows, since)))
    }

    fn judge_page(&self, value: &Value, rows: &[usize], since: u64) -> judge::Verdict {
        let model = self.side.model();
        let rows: Vec<_> = rows.iter().filter_map(|at| model.expected(*at, since)).collect();
        judge::page(value, &rows)
    }

    /// A record of somebody's who has objected.
    fn objected(&mut self) -> Option<usize> {
        let all = self.side.model().persons.len() as u64;
        let first = self.dice.roll(all);
        let found = {
            let model = self.side.model();
            let mut numbers = (first..first + all).filter_map(|at| usize::try_from(at % all).ok());
            numbers.find(|at| {
                let person = model.persons.get(*at);
                person.is_some_and(|person| person.standing == Standing::Restricted)
            })
        };
        self.record_of(found?)
    }

    /// Takes down that the processor was given something of these records' persons: the server
    /// does so with each read of theirs.
    fn given(&self, rows: &[usize]) {
        if !self.side.is_ours() {
            return;
        }
        let mut model = self.side.model();
        for at in rows {
            let person = model.records.get(*at).map(|kept| kept.record.person);
            let person = person.and_then(|person| usize::try_from(person).ok());
            let person = person.and_then(|person| model.persons.get_mut(person));
            if let Some(person) = person.filter(|person| person.standing != Standing::Erased) {
                person.shared_with.insert(place::PROCESSOR);
            }
        }
    }

    /// Reads all records of a person: a customer their own, a processor anybody's.
    pub(super) async fn read_of_person(&mut self, is_customer: bool) -> Answered {
        let Some(person) = self.own_live() else { return NOBODY };
        let (key, path) = match is_customer {
            true => (self.person_key(person), "/v1/me/bookings".to_owned()),
            false => {
                let id = self.person_id(person);
                (self.side.keys.processor.clone(), format!("/v1/clients/{id}/bookings"))
            }
        };
        let (rows, since) = {
            let model = self.side.model();
            (model.of_person(person), model.now())
        };
        let reply = self.wire.get(&key, &path).await?;
        if !is_customer {
            self.given(&rows);
        }
        Ok(reply.json(200).and_then(|value| self.judge_page(&value, &rows, since)))
    }

    /// A customer looks at what they have consented to.
    pub(super) async fn read_consents(&mut self) -> Answered {
        let Some(person) = self.own_live() else { return NOBODY };
        let key = self.person_key(person);
        let reply = self.wire.get(&key, "/v1/me/consents").await?;
        let model = self.side.model();
        let Some(person) = model.persons.get(person) else { return NOBODY };
        Ok(reply.json(200).and_then(|value| {
            let rows = judge::rows(&value);
            let all: BTreeSet<&str> = rows.iter().map(|row| text(row, "/id")).collect();
            let stand = rows
                .iter()
                .filter(|row| text(row, "/kind") == "consent" && row.get("withdrawn_at").is_none());
            let stand: BTreeSet<&str> = stand.map(|row| text(row, "/id")).collect();
            let expected: BTreeSet<&str> = person.consents.values().map(String::as_str).collect();
            let given: BTreeSet<&str> = person.given.iter().map(String::as_str).collect();
            must(all == given && stand == expected, || format!("other consents: {value}"))
        }))
    }

    /// Reads what a purpose is and needs.
    pub(super) async fn read_purpose(&mut self) -> Answered {
        let purpose = self.dice.roll(super::records::PURPOSES);
        let service = usize::try_from(purpose).ok();
        let service = service.and_then(|at| self.side.model().services.get(at).cloned());
        let Some(service) = service else { return NOBODY };
        let key = self.side.keys.staff.clone();
        let reply = self.wire.get(&key, &format!("/v1/services/{}", service.id)).await?;
        let confirmation = if purpose.is_multiple_of(2) { "instant" } else { "staff" };
        Ok(reply.json(200).and_then(|value| {
            let same =
                text(&value, "/id") == service.id && text(&value, "/confirmation") == confirmation;
            must(same, || format!("another purpose: {value}"))
        }))
    }

    /// What a regulator asks of a person: what is kept of them, for how long and on what ground,
    /// and who has it. Nothing of it is opened.
    pub(super) async fn read_standing(&mut self) -> Answered {
        let Some(person) = self.own_person(|_| true) else { return NOBODY };
        let body = json!({ "kind": "erasure", "client_id": self.person_id(person) });
        let key = self.side.keys.admin.clone();
        let reply = self.wire.post(&key, "/v1/privacy-requests/preview", &body).await?;
        let model = self.side.model();
        let Some(known) = model.persons.get(person) else { return NOBODY };
        if known.standing == Standing::Erased {
            return Ok(must(reply.status == 410, || "somebody erased is known".to_owned()));
        }
        let open = known.records.iter().filter_map(|at| model.records.get(*at));
        let open = open.filter(|kept| matches!(kept.status, "confirmed" | "pending"));
        let open: BTreeSet<String> = open.map(|kept| kept.id.clone()).collect();
        let recipients: BTreeSet<String> =
            known.shared_with.iter().map(|number| place::recipient_name(*number)).collect();
        Ok(reply.json(200).and_then(|value| {
            let same = strings(&value, "open_bookings") == open
                && strings(&value, "recipients") == recipients
                && strings(&value, "legal_holds").is_empty();
            must(same, || format!("another standing: {value}, not {open:?} {recipients:?}"))
        }))
    }
}

pub(super) fn strings(value: &Value, name: &str) -> BTreeSet<String> {
    let all = value.get(name).and_then(Value::as_array).map_or(&[] as &[Value], Vec::as_slice);
    all.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
