//! Ids as the outside sees them: numbers of the ledger under one AES block.
//!
//! Nobody can count a tenant's bookings by them, an id of one tenant means nothing in another, and
//! no index is needed to find what an id stands for.

use domain::ids::hex_digits;

use super::key::{Cover, Key};

/// What kind of thing an id names; its prefix is part of the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdKind {
    Booking,
    Service,
    Resource,
    Group,
    Consent,
    Client,
    Part,
    Key,
    PrivacyRequest,
    Notice,
}

impl IdKind {
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Booking => "bkg",
            Self::Service => "svc",
            Self::Resource => "res",
            Self::Group => "grp",
            Self::Consent => "con",
            Self::Client => "cli",
            Self::Part => "prt",
            Self::Key => "key",
            Self::PrivacyRequest => "prq",
            Self::Notice => "ntc",
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Booking => 1,
            Self::Service => 2,
            Self::Resource => 3,
            Self::Group => 4,
            Self::Consent => 5,
            Self::Client => 6,
            Self::Part => 7,
            Self::Key => 8,
            Self::PrivacyRequest => 9,
            Self::Notice => 10,
        }
    }
}

/// Turns numbers into public ids and back, for one tenant.
pub struct PublicIds(Cover);

impl PublicIds {
    pub(crate) fn under(key: &Key) -> Self {
        Self(key.cover())
    }

    pub fn show(&self, kind: IdKind, number: u64) -> String {
        let mut block = [0; 16];
        let (head, tail) = block.split_at_mut(8);
        head.fill(kind.code());
        tail.copy_from_slice(&number.to_be_bytes());
        let mut id = String::with_capacity(36);
        id.push_str(kind.prefix());
        id.push('_');
        id.extend(hex_digits(&self.0.encrypt_block(block)));
        id
    }

    /// The number behind an id, or none where it is no id of this kind and tenant.
    pub fn read(&self, kind: IdKind, id: &str) -> Option<u64> {
        let hex = id.strip_prefix(kind.prefix())?.strip_prefix('_')?;
        let block = self.0.decrypt_block(domain::ids::parse_hex(hex)?);
        let (head, tail) = block.split_first_chunk::<8>()?;
        let number = u64::from_be_bytes(*tail.first_chunk()?);
        (*head == [kind.code(); 8]).then_some(number)
    }
}
