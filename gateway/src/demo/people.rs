//! Made-up people. Any likeness is chance, and the dice are loaded: every demo has the same.

use domain::Field;
use eventstore::Personal;

const FIRST: [&str; 24] = [
    "Astrid", "Bo", "Camilla", "David", "Elin", "Frida", "Gustav", "Hanna", "Ingrid", "Jonas",
    "Karin", "Lars", "Maja", "Nils", "Olivia", "Per", "Ronja", "Sven", "Tuva", "Ulf", "Vera",
    "Wilma", "Yngve", "Åsa",
];
const LAST: [&str; 16] = [
    "Ahlberg", "Berg", "Dahl", "Ek", "Forsberg", "Granlund", "Holm", "Lind", "Moe", "Nyström",
    "Oskarsson", "Persdotter", "Rask", "Sjö", "Vik", "Öberg",
];
const NOTES: [&str; 6] = [
    "Comes with a wheelchair; please keep the way free",
    "Prefers tea",
    "Call when you are running late",
    "Brings a small dog",
    "First visit, recommended by a friend",
    "Sensitive to perfume",
];

/// Numbers that look random and are the same each time (SplitMix64).
pub(super) struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (bits ^ (bits >> 31)) % sides.max(1)
    }

    pub fn hours(&mut self, most: u32) -> i64 {
        i64::try_from(self.roll(u64::from(most))).unwrap_or(0)
    }

    pub fn pick<T: Copy>(&mut self, things: &[T]) -> Option<T> {
        let sides = u64::try_from(things.len()).ok()?;
        things.get(usize::try_from(self.roll(sides)).ok()?).copied()
    }
}

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
