//! Whether answers are what the model says.

use serde_json::Value;

use super::model::{Expected, Note, Whose};

pub(super) type Verdict = Result<(), String>;

pub(super) fn must(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A booking.
pub(super) fn booking(value: &Value, expected: &Expected) -> Verdict {
    let wrong = |what: &str| Err(format!("{what}: {value} instead of {expected:?}"));
    if text(value, "/id") != expected.id || text(value, "/service_id") != expected.service {
        return wrong("another record");
    }
    let note = value.pointer("/parts/0/details/fields/note").and_then(Value::as_str);
    if note.is_some() && expected.was_gone {
        return wrong("what was gone is shown");
    }
    if !expected.settled {
        return Ok(());
    }
    if text(value, "/status") != expected.status {
        return wrong("another status");
    }
    let shown = match &expected.note {
        Note::Shown(text) => note == Some(text),
        Note::Hidden => note.is_none() && text(value, "/parts/0/details/state") != "live",
    };
    if !shown {
        return wrong("other data");
    }
    if whose(value, &expected.whose) { Ok(()) } else { wrong("somebody else") }
}

fn whose(value: &Value, whose: &Whose) -> bool {
    let client = |name: &str| text(value, &format!("/parts/0/client/{name}")).to_owned();
    let contact = value.pointer("/parts/0/client/contact");
    match whose {
        Whose::Shown { id, name, address } => {
            client("id") == *id
                && client("state") == "live"
                && client("contact/name") == *name
                && client("contact/address") == address.as_deref().unwrap_or_default()
        }
        Whose::Restricted { id } => {
            client("id") == *id && client("state") == "restricted" && contact.is_none()
        }
        Whose::Nobody => {
            client("id").is_empty()
                && client("state") == "erased"
                && contact.is_none()
                && value.get("client_id").is_none()
        }
    }
}

/// A page of bookings, in order, with nothing missing and nothing more.
pub(super) fn page(value: &Value, expected: &[Expected]) -> Verdict {
    let rows = rows(value);
    if rows.len() != expected.len() {
        return Err(format!("{} records instead of {}", rows.len(), expected.len()));
    }
    rows.iter().zip(expected).try_for_each(|(row, expected)| booking(row, expected))
}

pub(super) fn rows(value: &Value) -> &[Value] {
    value.get("data").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
