//! Who was given something of whose, and what they are told of what became of it (GDPR Art. 19).
//!
//! A notice is made by the commit of the entry that it tells of, so none is forgotten; it is sent
//! until it is acknowledged.

use domain::Position;
use zeroize::Zeroizing;

use super::Tenant;
use crate::engine::{Change, Notices, Paper};
use crate::keyring::KeyError;
use crate::keyring::person::PersonId;
use crate::ledger::appender::AppendError;
use crate::wait::blocking;

const SECRET_WEBHOOKS: &str = "webhooks";

/// What became of somebody's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    Erased,
    Rectified,
    Restricted,
    Unrestricted,
}

impl NoticeKind {
    pub const ALL: [Self; 4] =
        [Self::Erased, Self::Rectified, Self::Restricted, Self::Unrestricted];

    pub fn name(self) -> &'static str {
        match self {
            Self::Erased => "erased",
            Self::Rectified => "rectified",
            Self::Restricted => "restricted",
            Self::Unrestricted => "unrestricted",
        }
    }

    pub(crate) fn of_restriction(restricted: bool) -> Self {
        if restricted { Self::Restricted } else { Self::Unrestricted }
    }

    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What a recipient is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub id: u64,
    /// By the name that the policy has for them.
    pub recipient: String,
    pub kind: NoticeKind,
    /// None once they are erased and the recipient knows.
    pub person: Option<PersonId>,
    /// The entry that it tells of.
    pub position: Position,
    /// Seconds since 1970.
    pub made_at: i64,
    pub attempts: u32,
    pub next_at: i64,
    pub acknowledged_at: Option<i64>,
}

impl Tenant {
    /// Takes down that a recipient was given something of a person's; nothing for somebody erased.
    /// What stands there already costs no commit.
    ///
    /// # Errors
    /// Where the keyring cannot be read or written.
    pub async fn give(
        &self,
        persons: Vec<PersonId>,
        recipient: &str,
        now: jiff::Timestamp,
    ) -> Result<(), AppendError> {
        let persons = blocking(|| self.log().reader().not_given(recipient, &persons))?;
        if persons.is_empty() {
            return Ok(());
        }
        let (recipient, at) = (recipient.to_owned(), now.as_second());
        self.ledger.change(Change::Paper(Paper::Give { persons, recipient, at })).await.map(drop)
    }

    /// Who was given something of a person's, by the policy's names, in order.
    ///
    /// # Errors
    /// Where the keyring cannot be read.
    pub fn given_to(&self, person: PersonId) -> Result<Vec<String>, KeyError> {
        Ok(self.log().reader().given_to(person)?)
    }

    /// Of how many persons a recipient was given something.
    ///
    /// # Errors
    /// Where the keyring cannot be read.
    pub fn given_of(&self, recipient: &str) -> Result<u64, KeyError> {
        Ok(self.log().reader().given_of(recipient)?)
    }

    /// Notices.
    ///
    /// # Errors
    /// Where the keyring cannot be read.
    pub fn notices(&self, which: Notices<'_>) -> Result<Vec<Notice>, KeyError> {
        Ok(self.log().reader().notices(which)?)
    }

    /// What notices to a recipient are signed with; theirs alone, and another one for each number.
    ///
    /// # Errors
    /// Where the keyring cannot be read or written.
    pub async fn webhook_key(
        &self,
        recipient: &str,
        number: u32,
    ) -> Result<Zeroizing<[u8; 32]>, AppendError> {
        let keyring = self.keyring();
        let key = match keyring.secret(SECRET_WEBHOOKS) {
            Err(KeyError::Missing) => {
                let wrapped = keyring.wrapped_for_tenant()?;
                self.ledger.change(Change::Secret { name: SECRET_WEBHOOKS, wrapped }).await?;
                keyring.secret(SECRET_WEBHOOKS)?
            }
            known => known?,
        };
        // No recipient is called with a space.
        let name = match number {
            0 => recipient.to_owned(),
            number => format!("{recipient} {number}"),
        };
        Ok(Zeroizing::new(*key.key.derived(name.as_bytes()).expose()))
    }

    /// Takes a notice on, to be taken on again at a second since 1970; whether nobody else has.
    ///
    /// # Errors
    /// Where the keyring cannot be written.
    pub async fn take_on(&self, notice: &Notice, again_at: i64) -> Result<bool, AppendError> {
        let (id, attempts) = (notice.id, notice.attempts);
        Ok(self.ledger.change(Change::Paper(Paper::TakeOn { id, attempts, again_at })).await? > 0)
    }

    /// Takes down that a recipient knows; whether it was not known before.
    ///
    /// # Errors
    /// Where the keyring cannot be written.
    pub async fn acknowledge(&self, id: u64, now: jiff::Timestamp) -> Result<bool, AppendError> {
        let at = now.as_second();
        Ok(self.ledger.change(Change::Paper(Paper::Acknowledge { id, at })).await? > 0)
    }
}
