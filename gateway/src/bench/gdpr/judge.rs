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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expected() -> Expected {
        let (id, name) = ("cli_1".to_owned(), "Astrid".to_owned());
        Expected {
            id: "bkg_1".to_owned(),
            service: "svc_1".to_owned(),
            status: "confirmed",
            note: Note::Shown("by bus".to_owned()),
            whose: Whose::Shown { id, name, address: None },
            settled: true,
            was_gone: false,
        }
    }

    fn shown() -> Value {
        json!({
            "id": "bkg_1", "service_id": "svc_1", "status": "confirmed", "client_id": "cli_1",
            "parts": [{
                "client": { "id": "cli_1", "state": "live", "contact": { "name": "Astrid" } },
                "details": { "state": "live", "fields": { "note": "by bus" } },
            }],
        })
    }

    #[test]
    fn what_is_as_expected_is_right() {
        assert_eq!(booking(&shown(), &expected()), Ok(()));
    }

    #[test]
    fn other_data_is_wrong_and_so_is_another_client() {
        let other = Expected { note: Note::Shown("by car".to_owned()), ..expected() };
        assert!(booking(&shown(), &other).is_err());
        let nobody = Expected { whose: Whose::Nobody, ..expected() };
        assert!(booking(&shown(), &nobody).is_err());
    }

    #[test]
    fn what_was_gone_is_never_shown_whoever_changes_it_meanwhile() {
        let gone = Expected { was_gone: true, settled: false, ..expected() };
        assert!(booking(&shown(), &gone).is_err());
        let changing = Expected { settled: false, note: Note::Hidden, ..expected() };
        assert_eq!(booking(&shown(), &changing), Ok(()));
    }

    #[test]
    fn a_page_with_something_missing_is_wrong() {
        let whole = json!({ "data": [shown()] });
        assert_eq!(page(&whole, &[expected()]), Ok(()));
        assert!(page(&whole, &[expected(), expected()]).is_err());
    }
}
