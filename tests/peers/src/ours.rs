//! Tidbok itself, asked by its own `bench` on the same server.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;

pub struct Tidbok {
    pub program: String,
    pub ledger: String,
    pub run: Duration,
}

#[derive(Debug, Deserialize)]
struct Figure {
    name: String,
    median: f64,
    baseline: f64,
}

/// Bookings per second.
pub struct Appends {
    pub one: f64,
    pub many: f64,
    pub more: f64,
}

impl Tidbok {
    /// With so many bookings stored before.
    pub fn appends(&self, stored: u64, runs: u32) -> anyhow::Result<Appends> {
        let figures = self.bench("append", stored, runs)?;
        let (many, more) = (find(&figures, "append_64")?, find(&figures, "append_256")?);
        Ok(Appends { one: many.baseline, many: many.median, more: more.median })
    }

    /// Entries per second, every seal opened.
    pub fn replay(&self, stored: u64, runs: u32) -> anyhow::Result<f64> {
        Ok(find(&self.bench("replay", stored, runs)?, "replay_opened")?.median)
    }

    /// Pages per second of 200 bookings of 200 persons, with their names.
    pub fn page(&self, runs: u32) -> anyhow::Result<f64> {
        Ok(find(&self.bench("page", 20_000, runs)?, "page_200")?.median)
    }

    fn bench(&self, name: &str, stored: u64, runs: u32) -> anyhow::Result<Vec<Figure>> {
        let ran = Command::new(&self.program)
            .args(["--json", "--ledger", &self.ledger, "bench", name])
            .args(["--stored", &stored.to_string(), "--runs", &runs.to_string()])
            .args(["--seconds", &self.run.as_secs().to_string()])
            .stderr(Stdio::inherit())
            .output()?;
        anyhow::ensure!(ran.status.success(), "tidbok bench {name} failed");
        Ok(serde_json::from_slice(&ran.stdout)?)
    }
}

fn find<'a>(figures: &'a [Figure], name: &str) -> anyhow::Result<&'a Figure> {
    figures.iter().find(|figure| figure.name == name).with_context(|| format!("no figure {name}"))
}
