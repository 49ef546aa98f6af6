//! What persons have asked for about their data, and how far it has come: rows that change and are
//! no events.

use std::sync::atomic::Ordering;

use domain::Position;

use super::Tenant;
use crate::engine::{Change, Paper, Seen, day_of};
use crate::keyring::KeyError;
use crate::keyring::person::PersonId;
use crate::ledger::appender::AppendError;

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// For an approval, or for its time.
    Waiting,
    /// It is being carried out.
    Received,
    /// Said by the commit that ends the person's keys, by no other. What is left is being cleared as
    /// long as the request names the person.
    Done,
    /// Something stood in the way.
    Refused,
    Failed,
    /// Who asked has thought again.
    Withdrawn,
    /// Nobody has approved it in time.
    Expired,
}

impl Stage {
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Received,
        Self::Done,
        Self::Refused,
        Self::Failed,
        Self::Withdrawn,
        Self::Expired,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Received => "received",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }

    /// Whether nothing more comes of it.
    pub fn is_decided(self) -> bool {
        !matches!(self, Self::Waiting | Self::Received)
    }

    /// The stage of this name; one that this program does not know is nothing to go on with.
    pub(crate) fn of(name: &str) -> Self {
        Self::ALL.into_iter().find(|stage| stage.name() == name).unwrap_or(Self::Failed)
    }
}

/// A request of a person about their data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivacyRequest {
    pub id: u64,
    pub kind: String,
    /// Whose; none once they are erased.
    pub person: Option<PersonId>,
    /// Seconds since 1970.
    pub requested_at: i64,
    pub decided_at: Option<i64>,
    pub stage: Stage,
    pub fence_at: Option<Position>,
    /// What whoever carries it out has to know, in JSON.
    pub course: String,
    /// The signed receipt.
    pub receipt: Option<String>,
}

impl PrivacyRequest {
    /// Whether the key store knows of the erasure, and nothing is left to be cleared.
    pub fn is_through(&self) -> bool {
        self.stage == Stage::Done && self.person.is_none()
    }

    /// How far it is, for whoever asks: it is done when nothing is left to be done.
    pub fn state(&self) -> &'static str {
        match self.stage == Stage::Done && !self.is_through() {
            true => Stage::Received.name(),
            false => self.stage.name(),
        }
    }
}

impl Tenant {
    /// Whether other nodes may serve it too.
    pub fn is_shared(&self) -> bool {
        self.log().reader().is_shared()
    }

    /// Records what a person has asked for.
    ///
    /// # Errors
    /// Where the keyring cannot be written.
    pub async fn add_privacy_request(
        &self,
        kind: &str,
        person: PersonId,
        (stage, course): (Stage, String),
        now: jiff::Timestamp,
    ) -> Result<u64, AppendError> {
        let (kind, at) = (kind.to_owned(), now.as_second());
        self.ledger
            .change(Change::Paper(Paper::AddRequest { kind, person, stage, course, at }))
            .await
    }

    /// Takes a request from one stage to another, or to another course in the same; whether it was
    /// there. Of two who try, one does.
    ///
    /// # Errors
    /// Where the keyring cannot be written.
    pub async fn move_privacy_request(
        &self,
        id: u64,
        (from, to): (Stage, Stage),
        course: String,
        now: jiff::Timestamp,
    ) -> Result<bool, AppendError> {
        let at = to.is_decided().then(|| now.as_second());
        let moved = Change::Paper(Paper::MoveRequest { id, from, to, course, at });
        Ok(self.ledger.change(moved).await? > 0)
    }

    /// Keeps the receipt of a request that is done, in the place of an earlier one, where so many of who
    /// are told `known` of it; whether it is so.
    ///
    /// # Errors
    /// Where the keyring cannot be written.
    pub async fn keep_receipt(
        &self,
        id: u64,
        receipt: String,
        known: u64,
    ) -> Result<bool, AppendError> {
        let keep = Change::Paper(Paper::KeepReceipt { id, receipt, known });
        Ok(self.ledger.change(keep).await? > 0)
    }

    /// Lets go of what is remembered of requests so that they can be repeated, from before yesterday, once a
    /// day; how much there was.
    ///
    /// # Errors
    /// Where the keyring cannot be written.
    pub fn end_repeats(&self, now: jiff::Timestamp) -> Result<u64, AppendError> {
        let today = day_of(now.as_second());
        if self.repeats_ended.load(Ordering::Relaxed) == today {
            return Ok(0);
        }
        let ended = self.ledger.change_blocking(Change::EndDays { today })?;
        self.repeats_ended.store(today, Ordering::Relaxed);
        Ok(ended)
    }

    /// A request by its number.
    ///
    /// # Errors
    /// Where the keyring cannot be read.
    pub fn privacy_request(&self, id: u64) -> Result<Option<PrivacyRequest>, KeyError> {
        Ok(self.log().reader().privacy_request(id)?)
    }

    /// So many after one: those first that nobody has decided, and of each the newest first.
    ///
    /// # Errors
    /// Where the keyring cannot be read.
    pub fn privacy_requests(
        &self,
        after: Seen,
        limit: u32,
    ) -> Result<Vec<PrivacyRequest>, KeyError> {
        Ok(self.log().reader().privacy_requests(after, limit)?)
    }

    /// Requests with which something is still to be done, the oldest first.
    ///
    /// # Errors
    /// Where the keyring cannot be read.
    pub fn open_requests(&self) -> Result<Vec<PrivacyRequest>, KeyError> {
        Ok(self.log().reader().open_requests()?)
    }
}
