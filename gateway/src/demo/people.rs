//! Made-up people. Any likeness is chance, and the dice are loaded: every demo has the same.

use domain::Field;
use eventstore::Personal;

use crate::dice::Dice;

const FIRST: [&str; 24] = [
    "Astrid", "Bo", "Camilla", "David", "Elin", "Frida", "Gustav", "Hanna", "Ingrid", "Jonas",
    "Karin", "Lars", "Maja", "Nils", "Olivia", "Per", "Ronja", "Sven", "Tuva", "Ulf", "Vera",
    "Wilma", "Yngve", "Åsa",
];
const LAST: [&str; 16] = [
    "Ahlberg",
    "Berg",
    "Dahl",
    "Ek",
    "Forsberg",
    "Granlund",
    "Holm",
    "Lind",
    "Moe",
    "Nyström",
    "Oskarsson",
    "Persdotter",
    "Rask",
    "Sjö",
    "Vik",
    "Öberg",
];
const NOTES: [&str; 6] = [
    "Comes with a wheelchair; please keep the way free",
    "Prefers tea",
    "Call when you are running late",
    "Brings a small dog",
    "First visit, recommended by a friend",
    "Sensitive to perfume",
];

pub(super) fn contact(dice: &mut Dice, number: u64) -> Personal {
    let first = dice.pick(&FIRST).unwrap_or("Nobody");
    let last = dice.pick(&LAST).unwrap_or("Inparticular");
    Personal::default()
        .with(Field::Name, format!("{first} {last}"))
        .with(Field::Email, format!("client{number}@example.org"))
        .with(Field::Phone, format!("+46 70 {:03} {:02} {:02}", 100 + number, number % 90 + 10, 42))
}

/// A note, for every third booking.
pub(super) fn note(dice: &mut Dice) -> Personal {
    match dice.roll(3) {
        0 => match dice.pick(&NOTES) {
            Some(note) => Personal::default().with(Field::Note, note.to_owned()),
            None => Personal::default(),
        },
        _ => Personal::default(),
    }
}
