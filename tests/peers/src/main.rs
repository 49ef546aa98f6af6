//! Measures Tidbok beside what people would otherwise pick, in one run on one PostgreSQL server.
//!
//! `peers SERVER TIDBOK [--json] [--runs N] [--seconds N] [--stored N]`, where SERVER is the address of
//! a server whose user may do everything there, and TIDBOK the program. All take turns in every round,
//! so that what else the machine does meets all of them; what is told are medians over the rounds.

mod cqrs;
mod decisions;
mod floors;
mod load;
mod ours;
mod umadb;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;
use sqlx::postgres::{PgPoolOptions, Postgres};

use crate::cqrs::{Clear, Crypto};
use crate::decisions::Decisions;
use crate::floors::Floor;
use crate::load::{DAYS, Days, HELD, rate};
use crate::ours::Tidbok;
use crate::umadb::UmaDb;

/// As many as there are callers at the least: no caller waits for a connection.
const POOL: u32 = 64;
/// How many bookings a batch has with 64 and with 256 callers, as they form in Tidbok's writer.
const BATCHES: [usize; 2] = [32, 128];

struct Wanted {
    server: String,
    tidbok: String,
    json: bool,
    runs: u32,
    run: Duration,
    stored: u64,
}

impl Wanted {
    fn read(mut words: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let server = words.next().context("the server's address is missing")?;
        let tidbok = words.next().context("the path of tidbok is missing")?;
        let run = Duration::from_secs(4);
        let stored = DAYS * u64::try_from(HELD)?;
        let mut wanted = Self { server, tidbok, json: false, runs: 5, run, stored };
        while let Some(word) = words.next() {
            if word == "--json" {
                wanted.json = true;
                continue;
            }
            let number = words.next().with_context(|| format!("{word} needs a number"))?;
            match word.as_str() {
                "--runs" => wanted.runs = number.parse()?,
                "--seconds" => wanted.run = Duration::from_secs(number.parse()?),
                "--stored" => wanted.stored = number.parse()?,
                _ => anyhow::bail!("{word} is no option"),
            }
        }
        Ok(wanted)
    }

    /// A new database; answers its address.
    async fn database(&self, name: &str) -> anyhow::Result<String> {
        let client = floors::connect(&format!("{}/postgres", self.server)).await?;
        client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
        client.batch_execute(&format!("CREATE DATABASE {name}")).await?;
        Ok(format!("{}/{name}", self.server))
    }

    async fn pool(&self, name: &str) -> anyhow::Result<sqlx::Pool<Postgres>> {
        let address = self.database(name).await?;
        Ok(PgPoolOptions::new().max_connections(POOL).connect(&address).await?)
    }
}

/// What was measured, by what and by whom.
#[derive(Default)]
struct Measured(BTreeMap<(&'static str, &'static str), Vec<f64>>);

impl Measured {
    fn add(&mut self, what: &'static str, who: &'static str, figure: f64) {
        eprintln!("{what:<12} {who:<22} {figure:>12.1}");
        self.0.entry((what, who)).or_default().push(figure);
    }

    fn median(&self, what: &'static str, who: &'static str) -> Option<f64> {
        let mut sorted = self.0.get(&(what, who))?.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    }

    /// Every one that is not Tidbok beside it.
    fn lines(&self) -> Vec<Line> {
        let others = self.0.iter().filter(|((_, who), _)| *who != TIDBOK);
        let lines = others.filter_map(|(&(what, who), runs)| {
            let (ours, theirs) = (self.median(what, TIDBOK)?, self.median(what, who)?);
            let wanted = wanted(what, who);
            Some(Line {
                what,
                who,
                tidbok: ours,
                other: theirs,
                ratio: ours / theirs,
                wanted,
                runs: runs.len(),
            })
        });
        lines.collect()
    }
}

#[derive(Serialize)]
struct Line {
    what: &'static str,
    who: &'static str,
    tidbok: f64,
    other: f64,
    ratio: f64,
    wanted: Option<f64>,
    runs: usize,
}

const TIDBOK: &str = "tidbok";
const PLAIN: &str = "postgres-es";
const CRYPTO: &str = "cqrs-es-crypto";
const DISINTEGRATE: &str = "disintegrate-postgres";
const UMADB: &str = "umadb";
const BARE: &str = "bare inserts";
const COPY: &str = "bare copy out";

/// How many times as much Tidbok should do.
fn wanted(what: &str, who: &str) -> Option<f64> {
    let wanted = match (what, who) {
        ("new_64", PLAIN | CRYPTO) => 7.0,
        ("new_256", PLAIN) => 10.0,
        ("new_64", UMADB) => 2.0,
        ("new_64", BARE) => 0.7,
        ("new_256", BARE) => 0.5,
        ("new_1", BARE) => 0.75,
        ("full_64", PLAIN) => 5.0,
        ("replay", PLAIN) => 2.0,
        ("replay", COPY) => 0.45,
        _ => return None,
    };
    Some(wanted)
}

/// New bookings, on days that nobody has booked yet.
async fn new_bookings(wanted: &Wanted, ours: &Tidbok, into: &mut Measured) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let clear = Arc::new(Clear::new(wanted.pool("peer_clear").await?).await?);
    let crypto = Arc::new(Crypto::new(wanted.pool("peer_crypto").await?).await?);
    let decisions = Arc::new(Decisions::new(wanted.pool("peer_disintegrate").await?).await?);
    let umadb = Arc::new(UmaDb::new(folder.path(), "127.0.0.1:50151").await?);
    ours.appends(0, 1)?;
    let mut floor = Floor::new(&ours.ledger).await?;
    let run = wanted.run;
    for _ in 0..wanted.runs {
        for (what, callers) in [("new_1", 1), ("new_64", 64), ("new_256", 256)] {
            into.add(what, PLAIN, rate(&clear, callers, run, Days::New).await?);
            into.add(what, CRYPTO, rate(&crypto, callers, run, Days::New).await?);
            into.add(what, DISINTEGRATE, rate(&decisions, callers, run, Days::New).await?);
            into.add(what, UMADB, rate(&umadb, callers, run, Days::New).await?);
        }
        into.add("new_1", BARE, floor.inserts(1, run).await?);
        let [many, more] = BATCHES;
        into.add("new_64", BARE, floor.inserts(many, run).await?);
        into.add("new_256", BARE, floor.inserts(more, run).await?);
        let appends = ours.appends(0, 1)?;
        into.add("new_1", TIDBOK, appends.one);
        into.add("new_64", TIDBOK, appends.many);
        into.add("new_256", TIDBOK, appends.more);
    }
    Ok(())
}

/// Bookings on days that hold twenty already, and a replay of all of that.
async fn full_days(wanted: &Wanted, ours: &Tidbok, into: &mut Measured) -> anyhow::Result<()> {
    let clear = Arc::new(Clear::new(wanted.pool("peer_clear").await?).await?);
    clear.fill().await?;
    for _ in 0..wanted.runs {
        let start = Instant::now();
        let count = clear.replay().await?;
        into.add("replay", PLAIN, count as f64 / start.elapsed().as_secs_f64());
    }
    for _ in 0..wanted.runs {
        into.add("full_64", PLAIN, rate(&clear, 64, wanted.run, Days::Full).await?);
    }
    // Its own medians, of as many runs.
    into.add("replay", TIDBOK, ours.replay(wanted.stored, wanted.runs)?);
    let floor = Floor::new(&ours.ledger).await?;
    for _ in 0..wanted.runs {
        into.add("replay", COPY, floor.copy().await?);
    }
    into.add("full_64", TIDBOK, ours.appends(wanted.stored, wanted.runs)?.many);
    Ok(())
}

/// 200 bookings of 200 persons, with what is personal in them.
async fn pages(wanted: &Wanted, ours: &Tidbok, into: &mut Measured) -> anyhow::Result<()> {
    let crypto = Crypto::new(wanted.pool("peer_crypto").await?).await?;
    let days = crypto.page(200).await?;
    crypto.load(&days).await?;
    for _ in 0..wanted.runs {
        let start = Instant::now();
        crypto.load(&days).await?;
        into.add("page_200", CRYPTO, 1.0 / start.elapsed().as_secs_f64());
    }
    into.add("page_200", TIDBOK, ours.page(wanted.runs)?);
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1).peekable();
    if words.next_if(|word| word == "umadb").is_some() {
        let (folder, address) = (words.next(), words.next());
        return umadb::serve(&folder.context("a folder")?, &address.context("an address")?).await;
    }
    let wanted = Wanted::read(words)?;
    let ledger = wanted.database("peer_tidbok").await?;
    let ours = Tidbok { program: wanted.tidbok.clone(), ledger, run: wanted.run };
    let mut measured = Measured::default();
    new_bookings(&wanted, &ours, &mut measured).await?;
    pages(&wanted, &ours, &mut measured).await?;
    full_days(&wanted, &ours, &mut measured).await?;
    let lines = measured.lines();
    if wanted.json {
        println!("{}", serde_json::to_string_pretty(&lines)?);
        return Ok(());
    }
    println!(
        "| what | beside | tidbok | it | ratio | wanted |\n| --- | --- | ---: | ---: | ---: | ---: |"
    );
    for line in &lines {
        let wanted = line.wanted.map_or(String::new(), |wanted| format!("{wanted:.2}"));
        let Line { what, who, tidbok, other, ratio, .. } = line;
        println!("| `{what}` | {who} | {tidbok:.0} | {other:.0} | {ratio:.2} | {wanted} |");
    }
    Ok(())
}
