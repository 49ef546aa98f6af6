//! A client of the benchmark: asks one query after the other over HTTP and holds each answer
//! against the model.
//!
//! Each client changes only persons and purposes of its own, so that its answers depend on nothing
//! that another does at the same time; it reads all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::judge::Verdict;
use super::mix::{Query, Role, Zipf, draw, shares};
use super::model::{Asked, Person, Standing};
use super::regulator::Verified;
use super::side::Side;
use super::wire::Wire;
use crate::cli::CliError;
use crate::config::Mix;
use crate::dice::Dice;

/// How many wrong answers are told in full.
const TOLD: usize = 5;

/// What a query comes to: an error where nothing was answered at all.
pub(super) type Answered = Result<Verdict, CliError>;

/// What a client does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task {
    pub mix: Mix,
    pub role: Role,
    pub operations: u64,
    /// Which client of how many.
    pub number: u64,
    pub clients: u64,
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Microseconds, query by query.
    pub took: BTreeMap<Query, Vec<u64>>,
    pub right: u64,
    pub wrong: u64,
    pub told: Vec<String>,
}

impl Outcome {
    pub(super) fn add(&mut self, other: Self) {
        for (query, took) in other.took {
            self.took.entry(query).or_default().extend(took);
        }
        self.right += other.right;
        self.wrong += other.wrong;
        self.told.extend(other.told);
        self.told.truncate(TOLD);
    }

    pub(super) fn judge(&mut self, what: &str, verdict: Verdict) {
        match verdict {
            Ok(()) => self.right += 1,
            Err(wrong) => {
                self.wrong += 1;
                if self.told.len() < TOLD {
                    self.told.push(format!("{what}: {wrong:.600}"));
                }
            }
        }
    }
}

pub(super) struct Client {
    pub side: Arc<Side>,
    pub wire: Wire,
    pub dice: Dice,
    pub task: Task,
    pub verified: Option<Verified>,
    zipf: Option<Zipf>,
}

impl Client {
    pub(super) async fn new(side: Arc<Side>, task: Task) -> Result<Self, CliError> {
        let Task { role, number, seed, .. } = task;
        let name = format!("{}-{seed}-{number}", role.name());
        let wire = Wire::connect(side.address, name).await?;
        let dice = Dice::new(seed.wrapping_mul(1_000_003).wrapping_add(number));
        let own = side.model().persons.len() as u64 / task.clients;
        let zipf = role.is_skewed().then(|| Zipf::new(own.max(1)));
        Ok(Self { side, wire, dice, task, verified: None, zipf })
    }

    pub(super) async fn run(mut self) -> Result<Outcome, CliError> {
        let mut outcome = Outcome::default();
        let shares = shares(self.task.mix, self.task.role);
        for _ in 0..self.task.operations {
            let Some(query) = draw(shares, &mut self.dice) else { continue };
            let start = Instant::now();
            let verdict = self.ask(query).await?;
            let took = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
            outcome.took.entry(query).or_default().push(took);
            outcome.judge(&format!("{query:?}"), verdict);
        }
        Ok(outcome)
    }

    async fn ask(&mut self, query: Query) -> Answered {
        let is_customer = self.task.role == Role::Customer;
        match query {
            Query::CreateRecord => self.create().await,
            Query::ReadDataByKey => {
                let at = self.any_record();
                self.read(self.side.keys.processor.clone(), at).await
            }
            Query::ReadDataByPur => {
                let purpose = self.dice.roll(super::records::PURPOSES);
                self.read_page(Asked::Purpose(purpose)).await
            }
            Query::ReadDataByObj => self.read_page(Asked::All).await,
            Query::ReadDataByDec => self.read_page(Asked::Pending).await,
            Query::ReadDataByUsr => self.read_of_person(is_customer).await,
            Query::ReadMetadataByKey => self.read_own().await,
            Query::ReadMetadataByPur => self.read_purpose().await,
            Query::ReadMetadataByUsr if is_customer => self.read_consents().await,
            Query::ReadMetadataByUsr => self.read_standing().await,
            Query::UpdateDataByKey => self.rectify().await,
            Query::UpdateMetadataByKey => self.consent(true).await,
            Query::UpdateMetadataByPur if is_customer => self.consent(true).await,
            Query::UpdateMetadataByPur => self.revise().await,
            Query::UpdateMetadataByUsr if is_customer => self.accept().await,
            Query::UpdateMetadataByUsr => self.restrict_or_consent().await,
            Query::UpdateMetadataByShr => self.share().await,
            Query::DeleteRecordByKey => self.delete(is_customer).await,
            Query::DeleteRecordByPur => self.end_purpose().await,
            Query::DeleteRecordByTtl => self.side.expire().await.map(Ok),
            Query::DeleteRecordByUsr => self.erase_somebody().await,
            Query::GetSystemLogs => self.system_logs().await,
            Query::VerifyDeletion => self.verify_deletion().await,
        }
    }

    /// Any record, whoever's it is.
    pub(super) fn any_record(&mut self) -> usize {
        let all = self.side.model().records.len();
        usize::try_from(self.dice.roll(all as u64)).unwrap_or(0)
    }

    /// A person of this client's own who is as wished, or the next one who is.
    pub(super) fn own_person(&mut self, wish: impl Fn(&Person) -> bool) -> Option<usize> {
        let model = self.side.model();
        let own = (model.persons.len() as u64 / self.task.clients).max(1);
        let first = match &self.zipf {
            Some(zipf) => zipf.draw(&mut self.dice),
            None => self.dice.roll(own),
        };
        let number = |at: u64| at % own * self.task.clients + self.task.number;
        let mut all = (first..first + own).filter_map(|at| usize::try_from(number(at)).ok());
        all.find(|at| model.persons.get(*at).is_some_and(&wish))
    }

    /// One whose data may be used.
    pub(super) fn own_live(&mut self) -> Option<usize> {
        self.own_person(|person| person.standing == Standing::Live)
    }

    /// A record of somebody's.
    pub(super) fn record_of(&mut self, person: usize) -> Option<usize> {
        let model = self.side.model();
        let records = &model.persons.get(person)?.records;
        let at = usize::try_from(self.dice.roll(records.len() as u64)).ok()?;
        records.get(at).copied()
    }

    /// A purpose of this client's own.
    pub(super) fn own_purpose(&mut self) -> u64 {
        let (number, clients) = (self.task.number, self.task.clients);
        let own = (super::records::PURPOSES + clients - 1 - number) / clients;
        number + self.dice.roll(own.max(1)) * clients
    }

    pub(super) fn person_id(&self, person: usize) -> String {
        self.side.model().persons.get(person).map(|person| person.id.clone()).unwrap_or_default()
    }

    pub(super) fn person_key(&self, person: usize) -> String {
        self.side.model().persons.get(person).map(|person| person.key.clone()).unwrap_or_default()
    }

    pub(super) fn record_id(&self, record: usize) -> String {
        self.side.model().records.get(record).map(|kept| kept.id.clone()).unwrap_or_default()
    }
}

/// That there was nobody left to ask about: nothing is wrong with that.
pub(super) const NOBODY: Answered = Ok(Ok(()));
