//! The queries that change something.

use hyper::Method;
use serde_json::{Value, json};

use super::client::{Answered, Client, NOBODY};
use super::judge::{self, Verdict, must, text};
use super::model::{Asked, Standing};
use super::place;
use super::records::{RECIPIENTS, RESOURCES};

/// What is consented to.
pub(super) const CONSENTS: [&str; 5] = ["newsletter", "offers", "reminders", "surveys", "research"];
/// How many records of a purpose are ended with one query.
const SLICE: usize = 10;

pub(super) fn shown_text() -> Value {
    json!({ "hash": "5f".repeat(32), "locale": "sv" })
}

impl Client {
    pub(super) async fn create(&mut self) -> Answered {
        let Some(person) = self.own_live() else { return NOBODY };
        let (record, service) = {
            let mut model = self.side.model();
            let mut record = model.fresh();
            record.person = person as u64;
            let service = usize::try_from(record.purpose).ok();
            let service = service.and_then(|at| model.services.get(at));
            (record, service.map(|service| service.id.clone()).unwrap_or_default())
        };
        let resource = usize::try_from(record.resource % RESOURCES).ok();
        let resource = resource.and_then(|at| self.side.resources.get(at));
        let body = json!({
            "service_id": service,
            "resource_ids": [resource],
            "start": record.start,
            "client_id": self.person_id(person),
            "channel": record.channel.name(),
            "fields": { "note": record.data() },
        });
        let key = self.side.keys.staff.clone();
        let reply = self.wire.post(&key, "/v1/bookings", &body).await?;
        Ok(reply.json(201).and_then(|value| {
            let status = if record.purpose.is_multiple_of(2) { "confirmed" } else { "pending" };
            let id = text(&value, "/id").to_owned();
            let mut model = self.side.model();
            model.begin_person(person);
            model.add(id, record);
            model.end_person(person, |_| ());
            must(text(&value, "/status") == status, || format!("another status: {value}"))
        }))
    }

    /// Ends one record's content: what is to come is given up first.
    pub(super) async fn delete(&mut self, is_customer: bool) -> Answered {
        let Some(person) = self.own_live() else { return NOBODY };
        let Some(at) = self.record_of(person) else { return NOBODY };
        let is_open = {
            let mut model = self.side.model();
            model.begin(&[at]);
            let status = model.records.get(at).map(|kept| kept.status);
            matches!(status, Some("confirmed" | "pending"))
        };
        let key = match is_customer {
            true => self.person_key(person),
            false => self.side.keys.staff.clone(),
        };
        let verdict = match is_open {
            true => self.cancel(&key, at).await?,
            false => Ok(()),
        };
        let ended = self.end_content(&self.record_id(at)).await?;
        self.side.model().end(&[at], |kept| {
            kept.content = false;
            kept.status = if is_open { "cancelled" } else { kept.status };
        });
        Ok(verdict.and(ended))
    }

    async fn cancel(&mut self, key: &str, at: usize) -> Answered {
        let path = format!("/v1/bookings/{}/cancel", self.record_id(at));
        let reply = self.wire.post(key, &path, &json!({ "reason": "client_request" })).await?;
        Ok(reply.json(200).and_then(|value| {
            must(text(&value, "/status") == "cancelled", || format!("not cancelled: {value}"))
        }))
    }

    async fn end_content(&mut self, id: &str) -> Answered {
        let (key, path) = (&self.side.keys.admin, format!("/v1/bookings/{id}/erase-content"));
        let reply = self.wire.post(key, &path, &json!({})).await?;
        Ok(reply.json(200).and_then(|value| {
            let ended = value.get("content_erased") == Some(&Value::Bool(true));
            must(ended, || format!("not ended: {value}"))
        }))
    }

    /// Ends the content of the next few records of a purpose that are over.
    pub(super) async fn end_purpose(&mut self) -> Answered {
        let purpose = self.own_purpose();
        let Some((path, rows, since)) = self.next_of(purpose) else { return NOBODY };
        let key = self.side.keys.admin.clone();
        let reply = self.wire.get(&key, &path).await?;
        let value = match reply.json(200) {
            Ok(value) => value,
            Err(wrong) => return Ok(Err(wrong)),
        };
        let mut verdict = {
            let mut model = self.side.model();
            if let Some(service) =
                usize::try_from(purpose).ok().and_then(|at| model.services.get_mut(at))
            {
                let next = value.get("next_cursor").and_then(Value::as_str);
                service.page = next.map(str::to_owned);
                service.seen = rows.last().copied().filter(|_| next.is_some());
            }
            let rows: Vec<_> = rows.iter().filter_map(|at| model.expected(*at, since)).collect();
            judge::page(&value, &rows)
        };
        let there = |row: &Value| row.get("content_erased") == Some(&Value::Bool(false));
        let left: Vec<usize> = judge::rows(&value)
            .iter()
            .zip(rows)
            .filter(|(row, _)| there(row))
            .map(|(_, at)| at)
            .collect();
        self.side.model().begin(&left);
        for at in &left {
            let ended = self.end_content(&self.record_id(*at)).await?;
            verdict = verdict.and(ended);
        }
        self.side.model().end(&left, |kept| kept.content = false);
        Ok(verdict)
    }

    /// The next page of a purpose's records that are over: where it is, what has to be on it, and
    /// since when.
    fn next_of(&self, purpose: u64) -> Option<(String, Vec<usize>, u64)> {
        let model = self.side.model();
        let service = model.services.get(usize::try_from(purpose).ok()?)?;
        let to = model.scale.before_all_to_come();
        let mut path = format!("/v1/bookings?service_id={}&to={to}&limit={SLICE}", service.id);
        if let Some(cursor) = &service.page {
            path.push_str(&format!("&cursor={cursor}"));
        }
        let last = service.seen.and_then(|at| model.records.get(at));
        let from = last.map_or(jiff::Timestamp::MIN, |kept| {
            let nanosecond = jiff::SignedDuration::from_nanos(1);
            kept.record.start.checked_add(nanosecond).unwrap_or(kept.record.start)
        });
        let mut rows = model.page(from, SLICE, Asked::Purpose(purpose));
        let over =
            |at: &usize| model.records.get(*at).is_some_and(|kept| kept.record.expires.is_some());
        rows.retain(over);
        Some((path, rows, model.now()))
    }

    pub(super) async fn erase_somebody(&mut self) -> Answered {
        let Some(person) = self.own_live() else { return NOBODY };
        self.erase(person).await
    }

    /// Erases a person, whatever they have booked.
    pub(super) async fn erase(&mut self, person: usize) -> Answered {
        let records = {
            let mut model = self.side.model();
            let records = model.persons.get(person).map(|person| person.records.clone());
            let records = records.unwrap_or_default();
            model.begin_person(person);
            model.begin(&records);
            records
        };
        let id = self.person_id(person);
        let body = json!({ "kind": "erasure", "client_id": id, "cancel_open_bookings": true });
        let key = self.side.keys.admin.clone();
        let reply = self.wire.post(&key, "/v1/privacy-requests", &body).await?;
        let answer = reply.json(202);
        let mut model = self.side.model();
        model.end(&records, |kept| {
            if matches!(kept.status, "confirmed" | "pending") {
                kept.status = "cancelled";
            }
        });
        model.end_person(person, |person| {
            person.standing = Standing::Erased;
            let id = answer.as_ref().map(|value| text(value, "/id")).unwrap_or_default();
            person.request = id.to_owned();
        });
        Ok(answer.and_then(|value| {
            must(text(&value, "/state") == "done", || format!("not erased: {value}"))
        }))
    }

    /// Revises what a purpose needs of whoever it is for.
    pub(super) async fn revise(&mut self) -> Answered {
        let purpose = self.own_purpose();
        let Some(number) = usize::try_from(purpose).ok() else { return NOBODY };
        let (id, asks) = {
            let model = self.side.model();
            let Some(service) = model.services.get(number) else { return NOBODY };
            (service.id.clone(), !service.asks_mail)
        };
        let requires = if asks { vec!["name", "email"] } else { vec!["name"] };
        let confirmation = if purpose.is_multiple_of(2) { "instant" } else { "staff" };
        let body = json!({
            "name": place::service_name(purpose),
            "length": { "fixed": { "minutes": 10 } },
            "confirmation": confirmation,
            "requires": requires,
        });
        let (key, path) = (self.side.keys.admin.clone(), format!("/v1/services/{id}"));
        let reply = self.wire.send(Method::PUT, &key, &path, Some(&body)).await?;
        if let Some(service) = self.side.model().services.get_mut(number) {
            service.asks_mail = asks;
        }
        Ok(reply.json(200).and_then(|value| {
            let fields = value.get("requires").and_then(Value::as_array).map_or(0, Vec::len);
            must(fields == requires.len(), || format!("not revised: {value}"))
        }))
    }

    /// Takes an objection in, or ends it; or has a consent given or withdrawn at the desk.
    pub(super) async fn restrict_or_consent(&mut self) -> Answered {
        let Some(person) = self.own_person(|person| person.standing != Standing::Erased) else {
            return NOBODY;
        };
        let standing = self.side.model().persons.get(person).map(|person| person.standing);
        if standing == Some(Standing::Live) && self.dice.roll(2) == 0 {
            return self.consent_of(person, false).await;
        }
        let (what, body, next) = match standing {
            Some(Standing::Restricted) => ("unrestrict", json!({}), Standing::Live),
            Some(Standing::Live | Standing::Erased) | None => {
                ("restrict", json!({ "ground": "objection" }), Standing::Restricted)
            }
        };
        self.side.model().begin_person(person);
        let path = format!("/v1/clients/{}/{what}", self.person_id(person));
        let key = self.side.keys.staff.clone();
        let reply = self.wire.post(&key, &path, &body).await?;
        self.side.model().end_person(person, |person| person.standing = next);
        Ok(reply.json(200).and_then(|value| {
            let restricted = text(&value, "/restriction/ground") == "objection";
            must(restricted == (next == Standing::Restricted), || format!("{what}: {value}"))
        }))
    }

    /// A customer gives a consent, or takes it back.
    pub(super) async fn consent(&mut self, is_customer: bool) -> Answered {
        let Some(person) = self.own_live() else { return NOBODY };
        self.consent_of(person, is_customer).await
    }

    async fn consent_of(&mut self, person: usize, is_customer: bool) -> Answered {
        let Some(purpose) = self.dice.pick(&CONSENTS) else { return NOBODY };
        let stands = {
            let model = self.side.model();
            let person = model.persons.get(person);
            person.and_then(|person| person.consents.get(purpose).cloned())
        };
        let key = match is_customer {
            true => self.person_key(person),
            false => self.side.keys.staff.clone(),
        };
        match stands {
            Some(id) => self.withdraw(person, (&key, &id), purpose).await,
            None => self.give(person, (&key, is_customer), purpose).await,
        }
    }

    async fn withdraw(
        &mut self,
        person: usize,
        (key, id): (&str, &str),
        purpose: &'static str,
    ) -> Answered {
        let body = json!({ "occasion": "account" });
        let reply = self.wire.post(key, &format!("/v1/consents/{id}/withdraw"), &body).await?;
        if let Some(person) = self.side.model().persons.get_mut(person) {
            person.consents.remove(purpose);
        }
        Ok(reply.json(200).and_then(|value| {
            must(value.get("withdrawn_at").is_some(), || format!("not withdrawn: {value}"))
        }))
    }

    async fn give(
        &mut self,
        person: usize,
        (key, is_customer): (&str, bool),
        purpose: &'static str,
    ) -> Answered {
        let mut body = json!({
            "purpose": purpose,
            "medium": "email",
            "occasion": if is_customer { "account" } else { "desk" },
            "text": shown_text(),
        });
        if let Some(members) = body.as_object_mut().filter(|_| !is_customer) {
            members.insert("client_id".to_owned(), self.person_id(person).into());
        }
        let reply = self.wire.post(key, "/v1/consents", &body).await?;
        Ok(reply.json(201).and_then(|value| {
            self.note(person, Some(purpose), &value);
            must(text(&value, "/purpose") == purpose, || format!("another consent: {value}"))
        }))
    }

    /// A customer accepts the newest terms.
    pub(super) async fn accept(&mut self) -> Answered {
        let Some(person) = self.own_live() else { return NOBODY };
        let body = json!({ "occasion": "account", "text": shown_text() });
        let key = self.person_key(person);
        let reply = self.wire.post(&key, "/v1/policy-acceptances", &body).await?;
        Ok(reply.json(201).and_then(|value| {
            self.note(person, None, &value);
            must(text(&value, "/kind") == "acceptance", || format!("not accepted: {value}"))
        }))
    }

    fn note(&self, person: usize, purpose: Option<&'static str>, value: &Value) {
        if let Some(person) = self.side.model().persons.get_mut(person) {
            let id = text(value, "/id").to_owned();
            person.given.insert(id.clone());
            if let Some(purpose) = purpose {
                person.consents.insert(purpose, id);
            }
        }
    }

    /// Takes down that a recipient was given a person's data.
    pub(super) async fn share(&mut self) -> Answered {
        let Some(person) = self.own_live() else { return NOBODY };
        let recipient = self.dice.roll(RECIPIENTS);
        let path = format!("/v1/recipients/{}/disclosures", place::recipient(recipient));
        let body = json!({ "client_id": self.person_id(person) });
        let key = self.side.keys.staff.clone();
        let reply = self.wire.post(&key, &path, &body).await?;
        let mut model = self.side.model();
        let Some(person) = model.persons.get_mut(person) else { return NOBODY };
        person.shared_with.insert(recipient);
        let all = person.shared_with.iter().map(|number| place::recipient(*number)).collect();
        Ok(reply.json(200).and_then(|value| {
            must(super::reads::strings(&value, "recipients") == all, || {
                format!("other recipients: {value}")
            })
        }))
    }

    /// Puts contact data right, at the desk.
    pub(super) async fn rectify(&mut self) -> Answered {
        let Some(person) = self.own_live() else { return NOBODY };
        let address = format!("{} Harbour Street", self.dice.roll(1_000_000));
        let body = json!({ "contact": { "address": address } });
        let path = format!("/v1/clients/{}", self.person_id(person));
        let key = self.side.keys.staff.clone();
        self.side.model().begin_person(person);
        let reply = self.wire.send(Method::PATCH, &key, &path, Some(&body)).await?;
        self.side.model().end_person(person, |person| person.address = Some(address));
        Ok(reply.json(200).and_then(|value| self.still(person, &value)))
    }

    fn still(&self, person: usize, value: &Value) -> Verdict {
        let same = text(value, "/id") == self.person_id(person) && text(value, "/state") == "live";
        must(same, || format!("somebody else: {value}"))
    }
}
