//! The queries of `GDPRbench` and how often each role asks them: as the paper has it, and as its
//! repository does.

use serde::Serialize;

use crate::config::Mix;
use crate::dice::Dice;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Processor,
    Regulator,
    Customer,
    Controller,
}

impl Role {
    /// In the order in which they are measured: who destroys most comes last.
    pub(super) const ALL: [Self; 4] =
        [Self::Processor, Self::Regulator, Self::Customer, Self::Controller];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Processor => "processor",
            Self::Regulator => "regulator",
            Self::Customer => "customer",
            Self::Controller => "controller",
        }
    }

    pub(super) fn figure(self) -> &'static str {
        match self {
            Self::Processor => "gdpr_processor",
            Self::Regulator => "gdpr_regulator",
            Self::Customer => "gdpr_customer",
            Self::Controller => "gdpr_controller",
        }
    }

    /// Whether some are asked about far more often than others.
    pub(super) fn is_skewed(self) -> bool {
        match self {
            Self::Customer | Self::Regulator => true,
            Self::Controller | Self::Processor => false,
        }
    }
}

/// What is asked. Named as in `GDPRbench`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Query {
    CreateRecord,
    ReadDataByKey,
    ReadDataByPur,
    ReadDataByUsr,
    ReadDataByObj,
    ReadDataByDec,
    ReadMetadataByKey,
    ReadMetadataByPur,
    ReadMetadataByUsr,
    UpdateDataByKey,
    UpdateMetadataByKey,
    UpdateMetadataByPur,
    UpdateMetadataByUsr,
    UpdateMetadataByShr,
    DeleteRecordByKey,
    DeleteRecordByPur,
    DeleteRecordByTtl,
    DeleteRecordByUsr,
    GetSystemLogs,
    VerifyDeletion,
}

/// How often each query is asked, beside the others.
type Shares = &'static [(Query, u64)];

/// The shares of a role. Their sum is not always a hundred: some are thirds.
pub(super) fn shares(mix: Mix, role: Role) -> Shares {
    match mix {
        Mix::Paper => in_the_paper(role),
        Mix::Repo => in_the_repository(role),
    }
}

fn in_the_paper(role: Role) -> Shares {
    use Query as Q;
    match role {
        Role::Controller => &[
            (Q::CreateRecord, 75),
            (Q::DeleteRecordByPur, 25),
            (Q::DeleteRecordByTtl, 25),
            (Q::DeleteRecordByUsr, 25),
            (Q::UpdateMetadataByPur, 50),
            (Q::UpdateMetadataByUsr, 50),
            (Q::UpdateMetadataByShr, 50),
        ],
        Role::Customer => &[
            (Q::ReadDataByUsr, 20),
            (Q::ReadMetadataByKey, 20),
            (Q::UpdateDataByKey, 20),
            (Q::UpdateMetadataByKey, 20),
            (Q::DeleteRecordByKey, 20),
        ],
        Role::Processor => &[
            (Q::ReadDataByKey, 240),
            (Q::ReadDataByPur, 20),
            (Q::ReadDataByObj, 20),
            (Q::ReadDataByDec, 20),
        ],
        Role::Regulator => {
            &[(Q::ReadMetadataByUsr, 46), (Q::GetSystemLogs, 31), (Q::VerifyDeletion, 23)]
        }
    }
}

fn in_the_repository(role: Role) -> Shares {
    use Query as Q;
    match role {
        Role::Controller => &[
            (Q::CreateRecord, 25),
            (Q::DeleteRecordByKey, 25),
            (Q::UpdateMetadataByPur, 25),
            (Q::UpdateMetadataByUsr, 25),
        ],
        Role::Customer => &[
            (Q::ReadMetadataByKey, 20),
            (Q::UpdateDataByKey, 20),
            (Q::DeleteRecordByKey, 20),
            (Q::ReadMetadataByPur, 10),
            (Q::ReadMetadataByUsr, 10),
            (Q::UpdateMetadataByPur, 10),
            (Q::UpdateMetadataByUsr, 10),
        ],
        Role::Processor => {
            &[(Q::ReadDataByKey, 20), (Q::ReadDataByPur, 40), (Q::ReadDataByUsr, 40)]
        }
        // Removed there later; from the commit of January 2020.
        Role::Regulator => &[(Q::ReadMetadataByUsr, 50), (Q::GetSystemLogs, 50)],
    }
}

/// One query by the shares.
pub(super) fn draw(shares: Shares, dice: &mut Dice) -> Option<Query> {
    let all = shares.iter().map(|(_, share)| share).sum();
    let mut rolled = dice.roll(all);
    for (query, share) in shares {
        if rolled < *share {
            return Some(*query);
        }
        rolled -= share;
    }
    None
}

/// Numbers of which the first few come most often, spread over all (YCSB's scrambled Zipfian
/// distribution with its constant).
pub(super) struct Zipf {
    many: u64,
    zeta: f64,
    half: f64,
    eta: f64,
}

const THETA: f64 = 0.99;

impl Zipf {
    pub(super) fn new(many: u64) -> Self {
        let power = |number: u64| 1.0 / (number as f64).powf(THETA);
        let zeta = (1..=many).map(power).sum::<f64>();
        let half = 1.0 + power(2);
        let eta =
            (1.0 - (2.0 / many as f64).powf(1.0 - THETA)) / (1.0 - half / zeta.max(half + 1e-9));
        Self { many, zeta, half, eta }
    }

    pub(super) fn draw(&self, dice: &mut Dice) -> u64 {
        let fine = 1_u64 << 40;
        let uniform = dice.roll(fine) as f64 / fine as f64;
        let scaled = uniform * self.zeta;
        let rank = if scaled < 1.0 {
            0
        } else if scaled < self.half {
            1
        } else {
            let power = 1.0 / (1.0 - THETA);
            let rank = self.many as f64 * (self.eta * uniform - self.eta + 1.0).powf(power);
            whole(rank).min(self.many.saturating_sub(1))
        };
        Dice::new(rank).roll(self.many)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank is small and not negative"
)]
fn whole(rank: f64) -> u64 {
    rank as u64
}
