//! What came of all runs, as figures.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::client::Outcome;
use super::mix::Role;
use super::percentiles;
use super::space::Space;
use crate::bench::Figure;

#[derive(Default)]
pub(super) struct Told {
    ours: BTreeMap<Role, Runs>,
    clear: BTreeMap<Role, Runs>,
    spaces: BTreeMap<&'static str, Vec<Space>>,
}

#[derive(Default)]
struct Runs {
    seconds: Vec<f64>,
    outcome: Outcome,
}

impl Told {
    pub(super) fn add(&mut self, role: Role, is_ours: bool, seconds: f64, outcome: Outcome) {
        let side = if is_ours { &mut self.ours } else { &mut self.clear };
        let runs = side.entry(role).or_default();
        runs.seconds.push(seconds);
        runs.outcome.add(outcome);
    }

    pub(super) fn space(&mut self, when: &'static str, space: Space) {
        self.spaces.entry(when).or_default().push(space);
    }

    pub(super) fn figures(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for role in Role::ALL {
            let (Some(ours), Some(clear)) = (self.ours.get(&role), self.clear.get(&role)) else {
                continue;
            };
            let (measured, beside) = (&ours.seconds, &clear.seconds);
            let figure =
                Figure::new(role.figure(), "s", measured, "in the clear", beside, "at most 2");
            let queries = percentiles(&ours.outcome.took);
            let parts =
                json!({ "queries": queries, "in_the_clear": percentiles(&clear.outcome.took) });
            figures.push(Figure { parts, ..figure });
        }
        figures.push(self.correctness());
        figures.extend(self.factor());
        figures
    }

    /// How many answers of a hundred were what the model says, on both sides.
    fn correctness(&self) -> Figure {
        let share = |side: &BTreeMap<Role, Runs>| {
            let right: u64 = side.values().map(|runs| runs.outcome.right).sum();
            let wrong: u64 = side.values().map(|runs| runs.outcome.wrong).sum();
            let told: Vec<String> =
                side.values().flat_map(|runs| runs.outcome.told.clone()).collect();
            (right, wrong, told)
        };
        let ((right, wrong, told), clear) = (share(&self.ours), share(&self.clear));
        let percent = |right: u64, wrong: u64| 100.0 * right as f64 / (right + wrong) as f64;
        let (ours, theirs) = (percent(right, wrong), percent(clear.0, clear.1));
        let figure =
            Figure::new("gdpr_correctness", "%", &[ours], "in the clear", &[theirs], "100 %");
        let parts = json!({
            "answers": right + wrong, "wrong": wrong, "told": told,
            "in_the_clear": { "answers": clear.0 + clear.1, "wrong": clear.1, "told": clear.2 },
        });
        Figure { parts, ..figure }
    }

    /// Bytes stored over bytes of personal data.
    fn factor(&self) -> Option<Figure> {
        let after = self.spaces.get("loaded")?;
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let stored: Vec<f64> = after.iter().map(|space| megabytes(space.total())).collect();
        let personal: Vec<f64> = after.iter().map(|space| megabytes(space.personal)).collect();
        let name = "personal data";
        let figure = Figure::new("gdpr_space", "MB", &stored, name, &personal, "at most 3.5");
        let last = |spaces: &Vec<Space>| spaces.last().map(Space::told).unwrap_or_default();
        let parts: BTreeMap<&str, Value> =
            self.spaces.iter().map(|(when, spaces)| (*when, last(spaces))).collect();
        Some(Figure { parts: json!(parts), ..figure })
    }
}
